"""Lines that graze edges, sampled by directions at edges: those to surfaces near by.

What the camera sees of a surface next to an edge is a poor way to find lines between the two, as their number
grows with one over the squared distance; directions at the edge find them evenly.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.estimators import edge as edges
from prb.kernels.estimators.edge_light import no_line
from prb.kernels.estimators.edge_sampling import choose_edge, grazing_direction
from prb.kernels.sampler import EDGE, track


@ti.func
def draw_at_edge(scene: ti.template(), sampler, records: ti.template(), cdf: ti.template()):
    """A line by a direction at an edge, of which the part up to `Drawn.near` is this technique's."""
    found = no_line()
    u, v = track(sampler, 0, EDGE, 0), track(sampler, 0, EDGE, 1)
    index, tau, probability = choose_edge(cdf, u[0], v[0])
    record = records[index]
    if record[0] < edges.SPHERICAL:
        p, along = edges.line_point(scene, record, tau)
        t = along.normalized()
        omega, inverse = grazing_direction(scene, record, p, t, u[1], u[2])
        of_line = edges.graze_line(scene, record, tau, p, t, omega)
        found.grazing = of_line
        found.density = 1.0 / inverse
        found.weight = along.norm() * inverse * t.cross(omega).norm() / probability
    else:
        p, n, omega, weight = edges.free_tangency(scene, record, tau, u[1], u[2])
        of_smooth = edges.graze_smooth(scene, record, p, n.cross(omega), n, omega)
        found.grazing = of_smooth
        found.density = 0.25 / pi
        found.weight = weight / probability
    found.near = edges.near(record)
    return found
