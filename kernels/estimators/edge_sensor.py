"""Lines that graze edges, sampled from points of a path from the camera.

A path from a point of the film ends at one of its surface points, x, by chance. Of several points of edges
one is kept, in proportion to how much light from there would count, as most edges are no silhouettes from x,
and a glossy surface hardly sees the rest (resampled importance sampling: Talbot, Cline and Egbert 2005).

Surfaces near by are left to edge_near.py. A guide (prb/estimators/guides.py) says where in the cube of (which
edge, film position) samples go.
"""

from prb.kernels import bvh, material
from prb.kernels.backend import ti
from prb.kernels.camera import sample_ray
from prb.kernels.estimators import edge as edges
from prb.kernels.estimators import edge_film
from prb.kernels.estimators.edge_light import no_line
from prb.kernels.estimators.edge_paths import (
    BINS,
    FIRST_SENSOR_EVENT,
    film_density,
    new_ray,
    nothing_sensed,
)
from prb.kernels.estimators.edge_sampling import choose_edge, guided
from prb.kernels.estimators.vertex import DELTA_DENSITY, FIRST_RAY_DENSITY, intersect, no_vertex
from prb.kernels.frame import max_abs, to_local, to_world, vec3
from prb.kernels.points import INDEPENDENT
from prb.kernels.sampler import BSDF, EDGE, draw, track
from prb.kernels.shape import SHADOW_EPSILON, Interaction, frame, ray_origin

STOPS = 0.5  # probability that a path ends at a point


@ti.func
def draw_from_sensor(
    scene: ti.template(), launch, film, sensor: ti.template(), sampler, records: ti.template(),
    cdf: ti.template(), moved: ti.template(), guide: ti.template(), boxes: ti.template(), candidates,
    scale, values: ti.template(), places: ti.template(),
):  # fmt: skip
    """(`Drawn`, `Sensed`): a line, and its one connection to the camera as `connections` has them. scale: as
    of `boundary.secondary_sample`. moved: as of `boundary.trace_edges`; lines are left out where nothing
    moves."""
    found, sensed = no_line(), nothing_sensed()
    u, v = track(sampler, 0, EDGE, 0), track(sampler, 0, EDGE, 1)
    low, size, inverse = guided(guide, boxes, v[0], v[1])
    across, down = low.y + size.y * u[1], low.z + size.z * u[2]
    found.place = ti.min(vec3(low.x + size.x * u[0], across, down), 0.99999994)
    x, y = across * ti.f32(launch.width), down * ti.f32(film.sampled_height)
    column, row = ti.min(ti.i32(x), launch.width - 1), ti.min(ti.i32(y), film.sampled_height - 1)
    x, y = ti.min(x - ti.f32(column), 0.99999994), ti.min(y - ti.f32(row), 0.99999994)
    o, d, t_max = sample_ray(sensor, launch, column, row, ti.Vector([x, y, u[3], v[2]]))
    ray = new_ray(o, d, t_max, FIRST_RAY_DENSITY, o)
    beta = vec3(1.0, 1.0, 1.0) * (inverse * scale)
    last = ti.min(launch.max_depth - 2, BINS - 1)
    slot, si, vertex = -1, Interaction(material=-1, emitter=-1), no_vertex()
    from_light = True  # paths from lights can find it, too
    k, walks = 0, last >= 0
    while walks:
        walks = False
        hit, _t, met, _ray = intersect(scene, ray, k == 0)
        if hit >= 0:
            s, t = frame(scene, met.n, met.dp_du)
            vertex = no_vertex()
            vertex.material = met.material
            vertex.uv = met.uv
            vertex.slot = hit
            vertex.u = met.u
            vertex.v = met.v
            vertex.p = met.p
            vertex.wi = to_local(-ray.d, s, t, met.n)
            w = draw(INDEPENDENT, sampler, FIRST_SENSOR_EVENT + k, BSDF)
            ends = w[3] < STOPS
            beta /= ti.select(k == last, 1.0, ti.select(ends, STOPS, 1.0 - STOPS))
            if ends or k == last:
                slot, si = hit, met
            else:
                vertex.wo_light = vertex.wi
                _pdf_light, wo, pdf, lobe, eta = material.sample(scene, vertex, w)
                vertex.wo = wo
                vertex.lobe = lobe
                vertex.eta = eta
                if pdf > 0:
                    _f_light, f = material.eval(scene, vertex)
                    beta *= f / pdf
                    if k == 0 and lobe >= 0:
                        from_light = False
                    d = to_world(wo, s, t, met.n)
                    ray = new_ray(ray_origin(met, d), d, bvh.MISS, 1.0, met.p)
                    walks = max_abs(beta) > 0
                    k += 1
    if slot >= 0:
        s, t = frame(scene, si.n, si.dp_du)
        total, value = 0.0, vec3(0.0, 0.0, 0.0)
        point_moves = moved[scene.prim_info[slot][1]]
        for i in range(candidates):
            c = track(sampler, i, EDGE, 2)
            number = ti.min(low.x + size.x * c[0], 0.99999994)
            index, tau, probability = choose_edge(cdf, number, c[1])
            record = records[index]
            straight = record[0] < edges.SPHERICAL
            exists = 1
            p, along, n = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 1.0), vec3(1.0, 0.0, 0.0)
            if straight:
                p_line, along_line = edges.line_point(scene, record, tau)
                p, along = p_line, along_line
            else:
                of_contour, p_round, along_round, n_round = edges.contour_point(scene, record, 0, si.p, tau)
                exists, p, along, n = of_contour, p_round, along_round, n_round
            r = p - si.p
            reach = r.norm()
            omega = r / ti.max(reach, 1e-20)
            tangent = along.normalized()
            f = vec3(0.0, 0.0, 0.0)
            grazing = edges.Grazing(valid=0)
            if (exists == 1) & (reach > 0):
                if straight:
                    of_line = edges.graze_line(scene, record, tau, p, tangent, omega)
                    grazing = of_line
                else:
                    of_smooth = edges.graze_smooth(scene, record, p, n.cross(omega), n, omega)
                    grazing = of_smooth
            if grazing.valid == 1:
                grazing.valid = point_moves | moved[scene.prim_info[grazing.slot][1]]
                if reach - grazing.before <= edges.near(record):
                    grazing.valid = 0
            if grazing.valid == 1:
                vertex.wo = to_local(omega, s, t, si.n)
                vertex.wo_light = vertex.wo
                vertex.lobe = -1
                _f_light, evaluated = material.eval(scene, vertex)
                f = evaluated * (along.norm() * tangent.cross(omega).norm() / (probability * reach * reach))
            weight = max_abs(f)
            if weight > 0:
                total += weight
                if c[2] * total < weight:
                    found.grazing = grazing
                    found.place.x = number
                    value = f / weight
                    sensed.reach = reach
        if found.grazing.valid == 1:
            omega, reach = found.grazing.omega, sensed.reach
            blocker, _t1, _u1, _v1 = bvh.trace(
                scene, found.grazing.start, -omega, reach * (1.0 - SHADOW_EPSILON), 1
            )
            at = edge_film.project(sensor, si.p, edge_film.aperture_point(sensor, u[3], v[2]))
            if k > 0:
                at.exists = 1
                at.x = ti.f32(launch.crop_x + column) + x
                at.y = ti.f32(launch.crop_y + row) + y
            if (blocker < 0) & edge_film.in_window(launch, film, at):
                area = ti.f32(launch.width) * ti.f32(film.sampled_height)
                value *= beta * (area * total / ti.f32(candidates))
                for c in ti.static(range(3)):
                    values[3 * k + c] = value[c]
                places[2 * k] = at.x
                places[2 * k + 1] = at.y
                sensed.count = k + 1
                sensed.slot = slot
                sensed.u = si.u
                sensed.v = si.v
                sensed.p = si.p
                sensed.n = si.ng
                sensed.first = at
                cosine = -si.ng.dot(ray.d)
                slide = -found.grazing.n.dot(ray.d) / ti.select(ti.abs(cosine) > 1e-6, cosine, 1e-6)
                sensed.direct = ti.select(k == 0, slide, 0.0)
                sensed.deep = ti.select(k == 0, 0.0, slide)
                if k == 0:
                    found.density = film_density(launch, film, at, si.ng, omega, reach)
                if not from_light:
                    found.density = DELTA_DENSITY
    return found, sensed
