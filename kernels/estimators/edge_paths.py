"""What lies on both ends of a line that grazes an edge: radiance beyond it, and connections to the camera.

Both are cut by the number of edges of the whole path, so radiance is summed in bins by the edges that it
takes.
"""

from prb.kernels import bvh, material
from prb.kernels.backend import ti
from prb.kernels.estimators import edge_film, modes
from prb.kernels.estimators.modes import is_usable
from prb.kernels.estimators.path import extend, new_state
from prb.kernels.estimators.shading import shade
from prb.kernels.estimators.vertex import Ray, next_vertex, no_vertex
from prb.kernels.frame import max_abs, to_local, to_world, vec3
from prb.kernels.points import INDEPENDENT
from prb.kernels.sampler import BSDF, draw
from prb.kernels.shape import frame, interact, ray_origin

BINS = 16  # longest path on either side of an edge that is told apart by its length
FIRST_SENSOR_EVENT = 1000  # from there on, events' random numbers are those of the sensor's side
MAX_SURVIVAL = 0.95


@ti.func
def new_ray(o, d, t_max, density, previous):
    """A ray in vacuum."""
    return Ray(o=o, d=d, t_max=t_max, previous=previous, pdf=density, medium=-1, balance=vec3(1.0, 1.0, 1.0))


@ti.func
def add_radiance(
    scene: ti.template(), launch, sampler, ray, depth, reach, before, sign, count: ti.template(),
    fixed: ti.template(), sliding: ti.template(),
):  # fmt: skip
    """Add the radiance L along a ray to bins: sign L to `fixed`, -sign (1 - s) L to `sliding`.

    depth: edges of the path before this ray. reach: |x_B - x|. before: how far before x_B the ray starts.
    Bin k has what k + 1 edges bring, RGB; the last one has all that is longer.
    """
    state = new_state()
    state.depth = depth
    rest = 1.0  # 1 - s
    active = launch.max_depth > depth
    k = 0
    while active:
        vertex, next_ray = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
        ray = next_ray
        if k == 0 and vertex.slot >= 0:
            away = ti.max(vertex.distance - before, 0.0)
            rest = away / (reach + away)
        shading = shade(scene, vertex)
        emitted = sign * state.beta * shading.emitted * vertex.emission_weight
        direct = sign * state.beta * shading.direct * shading.f_light * vertex.light_weight
        here, there = 3 * ti.min(k, count - 1), 3 * ti.min(k + 1, count - 1)
        if is_usable(emitted) & is_usable(direct):
            for c in ti.static(range(3)):
                fixed[here + c] += emitted[c]
                fixed[there + c] += direct[c]
                sliding[here + c] -= rest * emitted[c]
                sliding[there + c] -= rest * direct[c]
        state.depth += 1
        state.event += 1
        k += 1
        continues, _survival = extend(modes.PRIMAL, launch, state, shading.f, vertex)
        active = continues
    return rest


@ti.func
def sees(scene: ti.template(), o, d, distance):
    """True if nothing lies between a point and the camera, that far away along d. If the camera does not see
    emitters, they do not block its view."""
    blocked = False
    unknown = True
    while unknown:
        unknown = False
        any_hit = ti.static(0 if scene.features.hide_emitters else 1)
        slot, t, u, v = bvh.trace(scene, o, d, distance, any_hit)
        blocked = slot >= 0
        if ti.static(scene.features.hide_emitters):
            if slot >= 0:
                si = interact(scene, slot, t, u, v, o, d)
                if si.emitter >= 0:
                    o = ray_origin(si, d)
                    distance -= t
                    unknown = distance > 0
                    blocked = False
    return not blocked


@ti.dataclass
class Sensed:
    """What is found on the sensor's side of an edge.

    count: of connections to the camera, each one edge longer than the one before. slot, u, v, p, n: the
    surface at x, the first point, and its geometric normal. first: the film point that x itself was
    connected to. direct, deep: n.dx for n_x.dm = 1 (see kernels/estimators/boundary.py), if the path goes to
    the camera from x and if it goes on. density: that of the direction at the edge, by solid angle, if x is
    found by a uniform point of the film.
    """

    count: ti.i32
    slot: ti.i32
    u: ti.f32
    v: ti.f32
    p: vec3
    n: vec3
    reach: ti.f32
    direct: ti.f32
    deep: ti.f32
    first: edge_film.FilmPoint
    density: ti.f32


@ti.func
def nothing_sensed():
    """`Sensed` without a connection."""
    return Sensed(count=0, slot=-1, direct=0.0, deep=0.0, density=0.0)


@ti.func
def film_density(launch, film, at, n, omega, reach):
    """`Sensed.density` for a point x with normal n, whose film point is `at`, and x_B at the distance `reach`
    along omega."""
    area = ti.f32(launch.width) * ti.f32(film.sampled_height)
    cosine = ti.max(ti.abs(n.dot(omega)), 1e-6)
    return ti.abs(at.grad_x.cross(at.grad_y).dot(n)) / area * reach * reach / cosine


@ti.func
def connections(
    scene: ti.template(), launch, film, sensor: ti.template(), sampler, aperture, grazing, limit, weight,
    values: ti.template(), places: ti.template(),
):  # fmt: skip
    """Follow a grazing line towards the sensor, up to the distance `limit`. Returns `Sensed`; for connection
    k of it, `values` (RGB) are the weight times W, `places` the film position (2).

    At each surface point the path is connected to the camera, and goes on along a sampled direction: as in
    light tracing, where the BSDF is that of the path from the camera, f(omega' -> omega). Its cosine, which
    prb's `eval` includes, is that at the side of the light, so it is exchanged for that at the sensor's side.
    """
    found = nothing_sensed()
    o, d, toward = grazing.start, -grazing.omega, grazing.omega
    beta = vec3(weight, weight, weight)
    active = True
    k = 0
    while active:
        active = False
        slot, t, hit_u, hit_v = bvh.trace(scene, o, d, ti.select(k == 0, limit, bvh.MISS), 0)
        if slot >= 0:
            si = interact(scene, slot, t, hit_u, hit_v, o, d)
            s, tt = frame(scene, si.n, si.dp_du)
            if k == 0:
                found.slot = slot
                found.u = hit_u
                found.v = hit_v
                found.p = si.p
                found.n = si.ng
                found.reach = (grazing.p - si.p).norm()
            vertex = no_vertex()
            vertex.material = si.material
            vertex.uv = si.uv
            vertex.slot = slot
            vertex.u = hit_u
            vertex.v = hit_v
            vertex.p = si.p
            local_toward = to_local(toward, s, tt, si.n)
            cos_toward = ti.max(ti.abs(si.ng.dot(toward)), 1e-6)
            vertex.wi = local_toward
            vertex.wo_light = local_toward
            u = draw(INDEPENDENT, sampler, FIRST_SENSOR_EVENT + k, BSDF)
            u_roulette = u[3]
            _pdf_light, sampled, pdf, lobe, eta = material.sample(scene, vertex, u)
            at = edge_film.project(sensor, si.p, aperture)
            to_camera = -at.omega
            sampled_world = to_world(sampled, s, tt, si.n)
            vertex.wo = local_toward
            next_beta = vec3(0.0, 0.0, 0.0)
            for way in range(2):
                to_sensor = to_camera
                vertex.wi = to_local(to_camera, s, tt, si.n)
                vertex.lobe = -1
                wanted = edge_film.in_window(launch, film, at)
                if ti.static(scene.features.hide_emitters):
                    wanted = wanted & (si.emitter < 0)
                if way == 1:
                    to_sensor = sampled_world
                    vertex.wi = sampled
                    vertex.lobe = lobe
                    wanted = (pdf > 0) & (k + 1 < BINS) & (k + 3 <= launch.max_depth)
                if wanted:
                    _f_light, f = material.eval(scene, vertex)
                    f *= beta / cos_toward
                    cos_sensor = si.ng.dot(to_sensor)
                    slide = grazing.n.dot(to_sensor) / ti.select(ti.abs(cos_sensor) > 1e-6, cos_sensor, 1e-6)
                    if way == 0:
                        f *= ti.abs(at.grad_x.cross(at.grad_y).dot(si.ng))  # fault: film-jacobian
                        distance = (at.t - sensor.camera[edge_film.NEAR]) * at.speed
                        origin = ray_origin(si, to_camera)
                        lit = max_abs(f) > 0
                        if lit:
                            if is_usable(f) and sees(scene, origin, to_camera, distance):
                                for c in ti.static(range(3)):
                                    values[3 * k + c] = f[c]
                                places[2 * k] = at.x
                                places[2 * k + 1] = at.y
                                found.count = k + 1
                                if k == 0:
                                    found.first = at
                                    found.direct = slide
                                    found.density = film_density(launch, film, at, si.ng, toward, found.reach)
                    else:
                        if lobe >= 0:
                            f *= cos_toward / (eta * eta)
                        else:
                            f *= ti.abs(cos_sensor)
                        next_beta = f / pdf
                        if k == 0:
                            found.deep = slide
            beta = next_beta
            strength = max_abs(beta) / ti.max(ti.abs(weight), 1e-30)
            active = strength > 0
            if k + 1 >= launch.rr_depth:
                survival = ti.min(strength, MAX_SURVIVAL)
                active = active & (u_roulette < survival)
                beta /= survival
            o = ray_origin(si, sampled_world)
            d = sampled_world
            toward = -sampled_world
            k += 1
    return found
