"""Which edge a boundary sample is taken at, and which of the lines through its points graze the shape."""

from prb.kernels.backend import pi, ti
from prb.kernels.estimators.edge import SILHOUETTE, SPHERICAL, across_edge, inward
from prb.kernels.frame import tangents, vec3
from prb.kernels.hashing import TO_UNIT

vec2f = ti.types.vector(2, ti.f32)
vec8i = ti.types.vector(8, ti.i32)
MIN_WEDGE = 1e-6


@ti.func
def choose_edge(cdf: ti.template(), u, fine):
    """(edge, tau, probability) for a uniform number u; fine: another one, for digits that u does not have.

    cdf: cumulative probabilities, n + 1 multiples of TO_UNIT, as is u; so the probabilities are exact.
    """
    low, high = 0, cdf.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if cdf[middle] <= u:
            low = middle
        else:
            high = middle
    probability = cdf[low + 1] - cdf[low]
    tau = ti.min((u - cdf[low] + fine * TO_UNIT) / probability, 0.99999994)
    return low, tau, probability


@ti.func
def guided(guide: ti.template(), boxes: ti.template(), u, fine):
    """(lowest corner, size, inverse density): a box of those that fill the unit cube, chosen by a guide, and
    the inverse density of a uniform point in it.

    guide: the boxes' cumulative probabilities, as of `choose_edge`. boxes: two rows for each, its lowest
    corner and its size. u, fine: which box.
    """
    box, _tau, probability = choose_edge(guide, u, fine)
    low, size = boxes[2 * box], boxes[2 * box + 1]
    inverse = size.x * size.y * size.z / probability
    return vec3(low.x, low.y, low.z), vec3(size.x, size.y, size.z), inverse


@ti.func
def wedge(scene: ti.template(), record, p, t):
    """(d, m, eta): the directions that graze a straight edge are +-(cos a d + sin a m) plus any part along
    it, for -eta < a < eta; d and m are unit vectors perpendicular to the edge's tangent t.

    Two faces with inward directions h_1, h_2 lie on one side of a line outside of the angle between h_1 and
    h_2 and of its opposite. For other edges all directions count.
    """
    d, m = tangents(t)
    eta = 0.5 * pi
    if record[5] & SILHOUETTE != 0:
        one = inward(scene, record, record[1], record[2], p)
        two = inward(scene, record, record[3], record[4], p)
        one = across_edge(scene, record[1], t, one)
        two = across_edge(scene, record[3], t, two)
        across = two - one
        if across.norm() > 1e-3:
            d = across.normalized()
            m = t.cross(d)
            m *= ti.select(m.dot(one + two) < 0, -1.0, 1.0)
            half = ti.min(0.5 * (one + two).norm(), 1.0)
            eta = ti.max(ti.asin(half), MIN_WEDGE)
    return d, m, eta


@ti.func
def density_at_edge(scene: ti.template(), record, p, t):
    """The density by solid angle of the direction of a line through an edge at p by `grazing_direction`, or
    by `edge.free_tangency`."""
    density = 0.25 / pi
    if record[0] < SPHERICAL:
        _d, _m, eta = wedge(scene, record, p, t)
        density = 0.125 / eta
    return density


@ti.func
def grazing_direction(scene: ti.template(), record, p, t, u1, u2):
    """(direction, its inverse density by solid angle) of a line that may graze an edge at p."""
    d, m, eta = wedge(scene, record, p, t)
    sign = ti.select(u2 < 0.5, 1.0, -1.0)
    u2 = ti.select(u2 < 0.5, 2.0 * u2, 2.0 * u2 - 1.0)
    angle = (2.0 * u2 - 1.0) * eta
    cosine = 1.0 - 2.0 * u1
    sine = ti.sqrt(ti.max(1.0 - cosine * cosine, 0.0))
    omega = cosine * t + (sign * sine) * (ti.cos(angle) * d + ti.sin(angle) * m)
    return omega, 8.0 * eta
