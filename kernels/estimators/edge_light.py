"""Lines that graze edges, sampled through points of lights.

A point of an edge is sampled, then a light as seen from there (for a smooth surface: a light, then a point of
the contour that the surface has from it). As most edges are no silhouettes from most lights, several
candidates are drawn and one is kept in proportion to its weight (resampled importance sampling: Talbot, Cline
and Egbert 2005).
"""

from prb.kernels import emission, emitter, light
from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.estimators import edge as edges
from prb.kernels.estimators.edge_sampling import choose_edge, density_at_edge
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import EDGE, track
from prb.kernels.shape import row3
from prb.kernels.texture import at_uv

EVEN = 0.25 / pi  # density of a direction that is assumed where its own is not known


@ti.dataclass
class Drawn:
    """A sampled line.

    grazing: the line; its `valid` is 0 if nothing is found. weight: sin(theta) over the density, times the
    light's geometric factor. density: of omega, by solid angle at the edge, that light is weighed against.
    emitter, radiance, distance: of the light. far: 1 if that light is at infinity. delta: 1 if it has no
    surface and is at a single direction. light_density: the density of omega by that light; 0 where no ray
    can hit it. near: the distance within which edge_near.py has the ends of lines; near_density: of omega by
    it. place: in the guide's cube.
    """

    grazing: edges.Grazing
    weight: ti.f32
    density: ti.f32
    emitter: ti.i32
    radiance: vec3
    distance: ti.f32
    far: ti.i32
    delta: ti.i32
    light_density: ti.f32
    near: ti.f32
    near_density: ti.f32
    place: vec3


@ti.func
def no_line():
    """A `Drawn` without a line."""
    found = Drawn(weight=0.0, density=EVEN, emitter=-1, distance=0.0, far=0, delta=0, light_density=0.0)
    found.near, found.near_density = 0.0, 0.0
    found.grazing.valid = 0
    return found


@ti.func
def draw_through_light(scene: ti.template(), sampler, records: ti.template(), cdf: ti.template(), candidates):
    """A line through a light. Returns `Drawn`."""
    found = no_line()
    total, chosen_uv = 0.0, vec2(0.0, 0.0)
    for k in range(candidates):
        u, v = track(sampler, k, EDGE, 0), track(sampler, k, EDGE, 1)
        index, tau, probability = choose_edge(cdf, u[0], v[0])
        record = records[index]
        straight = record[0] < edges.SPHERICAL
        p, along, n = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 1.0), vec3(1.0, 0.0, 0.0)
        ref = p
        if straight:
            p_line, along_line = edges.line_point(scene, record, tau)
            p, along, ref = p_line, along_line, p_line
        else:
            ref = edges.center(scene, record[1])
        entry = light.choose(scene, u[1], u[2])
        slot, index_of_light = scene.lights[entry][0], scene.lights[entry][1]
        kind = scene.emitters[index_of_light][0]
        ds = LightSample(d=vec3(0.0, 0.0, 1.0), distance=1.0, pdf=0.0, scale=1.0, delta=0, uv=vec2(0.0, 0.0))
        seen = True
        y, n_y, density_y = p, vec3(0.0, 0.0, 0.0), 0.0
        for part in range(ti.select(straight, 1, 2)):  # the second one as seen from the contour's point
            for name in ti.static(scene.features.emitters):
                if kind == ti.static(emitter.KINDS[name]):
                    if ti.static(name == "area"):
                        if part == 0:
                            viewer = ref  # from inside of a sphere, points all over it are sampled
                            if not straight:
                                viewer = row3(scene.prims[slot], 0)
                            point, normal, uv, by_area, by_cone = emitter.area.sample_point(
                                scene, entry, viewer, v[1], v[2]
                            )
                            r = point - ref
                            distance = r.norm()
                            y, n_y = point, normal
                            density_y = by_area
                            if by_cone > 0:
                                cosine = ti.abs(normal.dot(r)) / ti.max(distance, 1e-20)
                                density_y = by_cone * cosine / ti.max(distance * distance, 1e-30)
                            ds.distance = distance
                            ds.uv = uv
                            seen = (distance > 0) & (density_y > 0)
                    else:
                        ds = emitter.of(name).sample(scene, entry, ref, v[1], v[2])
                        y = ref + ds.d * ds.distance
            if part == 0 and not straight:
                infinite = ti.select(ds.distance >= INFINITY, 1, 0)
                eye = ti.select(infinite == 1, ds.d, y)
                exists, p_round, along_round, n_round = edges.contour_point(scene, record, infinite, eye, tau)
                p, along, n, ref = p_round, along_round, n_round, p_round
                seen = seen & (exists == 1)
        far = ds.distance >= INFINITY
        omega = ds.d
        if density_y > 0:  # a point on a surface
            r = y - p
            ds.distance = r.norm()
            omega = r / ti.max(ds.distance, 1e-20)
            cosine = -n_y.dot(omega)
            seen = seen & (cosine > 0) & (ds.distance > 0)
            ds.pdf = density_y * ds.distance * ds.distance / ti.max(cosine, 1e-20)
        seen = seen & (ds.pdf > 0)
        t = along.normalized()
        weight = along.norm() * t.cross(omega).norm()  # fault: foreshortening
        weight *= ds.scale / (ti.max(ds.pdf, 1e-30) * probability * scene.light_pdf[entry][1])
        grazing = edges.Grazing(valid=0)
        if seen & (weight > 0):
            if straight:
                of_line = edges.graze_line(scene, record, tau, p, t, omega)
                grazing = of_line
                if of_line.crease == 1:
                    grazing.valid = 0
            else:
                of_smooth = edges.graze_smooth(scene, record, p, n.cross(omega), n, omega)
                grazing = of_smooth
        if grazing.valid == 1:
            total += weight
            if v[3] * total < weight:
                found.grazing = grazing
                found.near, found.near_density = edges.near(record), density_at_edge(scene, record, p, t)
                found.distance = ti.select(far, INFINITY, ds.distance)
                found.far = ti.select(far, 1, 0)
                found.delta = ds.delta
                found.light_density = ti.select(ds.delta == 1, 0.0, ds.pdf * scene.light_pdf[entry][1])
                if density_y > 0:
                    found.light_density = light.hit_pdf(scene, slot, p, y, n_y)
                found.emitter = index_of_light
                chosen_uv = ds.uv
    if found.grazing.valid == 1:
        found.weight = total / ti.f32(candidates)
        found.radiance = emission.radiance(scene, found.emitter, at_uv(chosen_uv))
    return found
