"""Lines that graze edges, sampled in two ways: by directions at the edge, and through points of lights.

indirect    a point of an edge in proportion to the measure of the lines through it, a direction among
            these
shadow      a point of an edge, then a light as seen from there (for a smooth surface: a light, then a
            point of the contour that the surface has from it). As most edges are no silhouettes from
            most lights, several candidates are drawn and one is kept in proportion to its weight
            (resampled importance sampling: Talbot, Cline and Egbert 2005)
"""

from prb.kernels import emission, emitter, light
from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.estimators import edge as edges
from prb.kernels.estimators.edge_sampling import choose_edge, grazing_direction, guided, wedge
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import EDGE, track
from prb.kernels.shape import row3
from prb.kernels.texture import at_uv


@ti.dataclass
class Drawn:
    """A sampled line.

    grazing: the line; its `valid` is 0 if nothing is found. weight: sin(theta) over the density, for a shadow
    line times its light's geometric factor. density: of omega, by solid angle at the edge, that the indirect
    technique has. radiance, distance: of the light, for a shadow line. far: 1 if that light is at infinity.
    light_density: the density of omega by that light; 0 where no ray can hit it. cell: of the guide, for a
    line of the indirect technique.
    """

    grazing: edges.Grazing
    weight: ti.f32
    density: ti.f32
    radiance: vec3
    distance: ti.f32
    far: ti.i32
    light_density: ti.f32
    cell: ti.i32


@ti.func
def draw_line(
    scene: ti.template(), sampler, records: ti.template(), cdf: ti.template(), guide: ti.template(),
    shape, shadow, candidates,
):  # fmt: skip
    """A line by the indirect technique, or with shadow = 1 by that of shadows. Returns `Drawn`."""
    found = Drawn(weight=0.0, density=0.0, distance=0.0, far=0, light_density=0.0)
    found.grazing.valid = 0
    total, chosen_emitter, chosen_uv = 0.0, -1, vec2(0.0, 0.0)
    for k in range(ti.select(shadow == 1, candidates, 1)):
        u, v = track(sampler, k, EDGE, 0), track(sampler, k, EDGE, 1)
        guided_weight = 1.0
        if shadow == 0:
            x, cell, inverse = guided(guide, shape, v[1], v[2], vec3(u[0], u[1], u[2]))
            u[0], u[1], u[2] = x.x, x.y, x.z
            guided_weight = inverse
            found.cell = cell
        index, tau, probability = choose_edge(cdf, u[0], v[0])
        record = records[index]
        straight = record[0] < edges.SPHERICAL
        p, along, n = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 1.0), vec3(1.0, 0.0, 0.0)
        omega = vec3(0.0, 0.0, 1.0)
        weight, density = guided_weight / probability, 0.25 / pi
        ds = LightSample(d=omega, distance=1.0, pdf=0.0, scale=1.0, delta=0, uv=vec2(0.0, 0.0))
        index_of_light, light_density = -1, 0.0
        if straight:
            p_line, along_line = edges.line_point(scene, record, tau)
            p, along = p_line, along_line
        if shadow == 0:
            if straight:
                t = along.normalized()
                omega_line, inverse = grazing_direction(scene, record, p, t, u[1], u[2])
                omega = omega_line
                density = 1.0 / inverse
                weight *= along.norm() * inverse * t.cross(omega).norm()
            else:
                p_free, n_free, omega_free, weight_free = edges.free_tangency(scene, record, tau, u[1], u[2])
                p, n, omega = p_free, n_free, omega_free
                weight *= weight_free
        else:
            ref = p
            if not straight:
                ref = edges.center(scene, record[1])
            entry = light.choose(scene, u[1], u[2])
            index_of_light = scene.lights[entry][1]
            kind = scene.emitters[index_of_light][0]
            weight /= scene.light_pdf[entry][1]
            seen = True
            y, n_y, density_y = p, vec3(0.0, 0.0, 0.0), 0.0
            for part in range(ti.select(straight, 1, 2)):  # the second one as seen from the contour's point
                for name in ti.static(scene.features.emitters):
                    if kind == ti.static(emitter.KINDS[name]):
                        if ti.static(name == "area"):
                            if part == 0:
                                viewer = ref  # from inside of a sphere, points all over it are sampled
                                if not straight:
                                    viewer = row3(scene.prims[scene.lights[entry][0]], 0)
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
                    exists, p_round, along_round, n_round = edges.contour_point(
                        scene, record, infinite, eye, tau
                    )
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
            weight *= along.norm() * t.cross(omega).norm()  # fault: foreshortening
            weight *= ds.scale / ti.max(ds.pdf, 1e-30)
            weight = ti.select(seen, weight, 0.0)
            light_density = ti.select(ds.delta == 1, 0.0, ds.pdf * scene.light_pdf[entry][1])
            if density_y > 0:
                light_density = light.hit_pdf(scene, scene.lights[entry][0], p, y, n_y)
            if straight:
                _d, _m, eta = wedge(scene, record, p, t)
                density = 0.125 / eta
            ds.distance = ti.select(far, INFINITY, ds.distance)
        t = along.normalized()
        grazing = edges.Grazing(valid=0)
        if weight > 0:
            if straight:
                of_line = edges.graze_line(scene, record, tau, p, t, omega)
                grazing = of_line
                if shadow == 1 and of_line.crease == 1:
                    grazing.valid = 0
            else:
                of_smooth = edges.graze_smooth(scene, record, p, n.cross(omega), n, omega)
                grazing = of_smooth
        if grazing.valid == 1:
            total += weight
            if v[3] * total < weight or shadow == 0:
                found.grazing = grazing
                found.weight = weight
                found.density = density
                found.distance = ds.distance
                found.far = ti.select(ds.distance >= INFINITY, 1, 0)
                found.light_density = light_density
                chosen_emitter, chosen_uv = index_of_light, ds.uv
    if shadow == 1 and found.grazing.valid == 1:
        found.weight = total / ti.f32(candidates)
        found.radiance = emission.radiance(scene, chosen_emitter, at_uv(chosen_uv))
    return found
