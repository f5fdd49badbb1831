"""One vertex of a path: trace the ray to it, sample a light and the BSDF there, and remember the outcome.

Nothing here is differentiated: directions, densities, weights and visibility are constants. What a vertex
adds, and its derivative, follow from the `Vertex` alone (kernels/estimators/path.py).
"""

from prb.kernels import bvh, light, material
from prb.kernels.backend import ti
from prb.kernels.frame import to_local, to_world, vec2, vec3
from prb.kernels.sampler import uniform4
from prb.kernels.shape import SHADOW_EPSILON, Interaction, frame, interact, leave
from prb.kernels.view import vec10f

BASE, EMISSION, SURFACE, LIGHT = 8, 4, 13, 12  # numbers of the parts of a kept vertex
VERTEX = BASE + EMISSION + SURFACE + LIGHT  # at most
CERTAIN = 1e30  # density of a direction that only one technique can find


@ti.dataclass
class Ray:
    """The ray o + t d, 0 < t < t_max, on its way to the next vertex.

    previous: the vertex it leaves. pdf: density with which that vertex's BSDF took d; 0 at the camera,
    CERTAIN from a delta lobe.
    """

    o: vec3
    d: vec3
    t_max: ti.f32
    previous: vec3
    pdf: ti.f32


@ti.dataclass
class Vertex:
    """All that adding up, or differentiating, needs to know of a vertex: 25 numbers.

    emitter: whose emission the ray met (-1: none), emission_weight: its multiple importance weight.
    material: that of the surface there (-1: the path ends), wi: where the ray came from, local.
    light: whose light next-event estimation took (-1: none), at the local direction wo_light;
    light_weight: visibility times multiple importance weight over density.
    wo: the sampled direction, local; pdf: its density, 0 where there is none; lobe: the leaf whose delta
    lobe it comes from, or -1; eta: relative index of refraction that it passes.
    uv, slot, u, v: where the surface's textures, or the environment's, are looked up (see
    kernels/texture.py), uv_light: those of the light.
    """

    emitter: ti.i32
    emission_weight: ti.f32
    material: ti.i32
    wi: vec3
    light: ti.i32
    light_weight: ti.f32
    wo_light: vec3
    wo: vec3
    pdf: ti.f32
    u_roulette: ti.f32
    lobe: ti.i32
    eta: ti.f32
    uv: vec2
    uv_light: vec2
    slot: ti.i32
    u: ti.f32
    v: ti.f32


@ti.func
def nothing():
    """A vertex where nothing is."""
    return Vertex(
        emitter=-1, emission_weight=1.0, material=-1, light=-1, pdf=0.0, lobe=-1, eta=1.0, slot=-1
    )  # fmt: skip


@ti.func
def bits(i):
    return ti.bit_cast(i, ti.f32)


@ti.func
def write(cache: ti.template(), worker, at, numbers):
    """Put numbers into the worker's row of the cache from place `at` on. Returns the place behind them."""
    for k in ti.static(range(numbers.n)):
        cache[worker, at + k] = numbers[k]
    return at + numbers.n


@ti.func
def keep(cache: ti.template(), worker, at, v, emitted, direct, f_light, f):
    """Write a vertex to the cache: what it has of its parts, one behind the other, for memory is what this
    waits for. Returns the place behind it."""
    base = ti.Vector([bits(v.emitter), bits(v.material), bits(v.light), v.uv.x, v.uv.y,
                      bits(v.slot), v.u, v.v])  # fmt: skip
    emission = ti.Vector([v.emission_weight, emitted.x, emitted.y, emitted.z])
    surface = ti.Vector([v.wi.x, v.wi.y, v.wi.z, v.wo.x, v.wo.y, v.wo.z, v.pdf, v.u_roulette,
                         bits(v.lobe), v.eta, f.x, f.y, f.z])  # fmt: skip
    light = ti.Vector([v.light_weight, v.wo_light.x, v.wo_light.y, v.wo_light.z,
                       v.uv_light.x, v.uv_light.y, direct.x, direct.y, direct.z,
                       f_light.x, f_light.y, f_light.z])  # fmt: skip
    ti.static_assert(base.n == BASE and emission.n == EMISSION and surface.n == SURFACE and light.n == LIGHT)
    at = write(cache, worker, at, base)
    if v.emitter >= 0:
        at = write(cache, worker, at, emission)
    if v.material >= 0:
        at = write(cache, worker, at, surface)
    if v.light >= 0:
        at = write(cache, worker, at, light)
    return at


@ti.func
def integer(cache: ti.template(), worker, at):
    return ti.bit_cast(cache[worker, at], ti.i32)


@ti.func
def three(cache: ti.template(), worker, at):
    return vec3(cache[worker, at], cache[worker, at + 1], cache[worker, at + 2])


@ti.func
def recall(cache: ti.template(), worker, at):
    """What `keep` has written at that place: (vertex, emitted, direct, f_light, f, the place behind it)."""
    v = nothing()
    emitted, direct = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    v.emitter = integer(cache, worker, at)
    v.material = integer(cache, worker, at + 1)
    v.light = integer(cache, worker, at + 2)
    v.uv = vec2(cache[worker, at + 3], cache[worker, at + 4])
    v.slot = integer(cache, worker, at + 5)
    v.u = cache[worker, at + 6]
    v.v = cache[worker, at + 7]
    at += BASE
    if v.emitter >= 0:
        v.emission_weight = cache[worker, at]
        emitted = three(cache, worker, at + 1)
        at += EMISSION
    if v.material >= 0:
        v.wi = three(cache, worker, at)
        v.wo = three(cache, worker, at + 3)
        v.pdf = cache[worker, at + 6]
        v.u_roulette = cache[worker, at + 7]
        v.lobe = integer(cache, worker, at + 8)
        v.eta = cache[worker, at + 9]
        f = three(cache, worker, at + 10)
        at += SURFACE
    if v.light >= 0:
        v.light_weight = cache[worker, at]
        v.wo_light = three(cache, worker, at + 1)
        v.uv_light = vec2(cache[worker, at + 4], cache[worker, at + 5])
        direct = three(cache, worker, at + 6)
        f_light = three(cache, worker, at + 9)
        at += LIGHT
    return v, emitted, direct, f_light, f, at


@ti.func
def keep_path(L, L_low, Z, first):
    """What sweep 1 needs of a path: its sums, and where its vertices begin (-1: they are not kept)."""
    return vec10f(L.x, L.y, L.z, L_low.x, L_low.y, L_low.z, Z.x, Z.y, Z.z, bits(first))


@ti.func
def recall_path(r):
    """The (L, L_low, Z, first) that `keep_path` made a vector of."""
    L, L_low, Z = vec3(r[0], r[1], r[2]), vec3(r[3], r[4], r[5]), vec3(r[6], r[7], r[8])
    return L, L_low, Z, ti.bit_cast(r[9], ti.i32)


@ti.func
def numbers(pixel, sample, depth, seed):
    """The random numbers of one vertex: four for the light and roulette, four for the BSDF.

    depth: vertices before it; counter 0 is the camera's.
    """
    return uniform4(pixel, sample, 2 * depth + 1, seed), uniform4(pixel, sample, 2 * depth + 2, seed)


@ti.func
def power_heuristic(a, b):
    """Weight of the technique with density a > 0 against one with density b; no square overflows."""
    ratio = b / a
    return 1.0 / (1.0 + ratio * ratio)


@ti.func
def advance(
    features: ti.template(),
    scene: ti.template(),
    stack: ti.template(),
    launch,
    ray,
    film_pixel,
    sample,
    depth,
):
    """Trace the ray to its next vertex, sample a light and the BSDF there. Returns (vertex, next ray).

    depth: vertices before it, the camera not counted. At the last of launch.max_depth only emission counts.
    """
    from_camera, environment = depth == 0, launch.environment
    vertex = nothing()
    slot, t, hit_u, hit_v = -1, 0.0, 0.0, 0.0
    si = Interaction(material=-1, emitter=-1)
    searching = True
    while searching:
        searching = False
        slot, t, hit_u, hit_v = bvh.trace(features, scene, stack, ray.o, ray.d, ray.t_max, 0)
        if slot >= 0:
            si = interact(features, scene, slot, t, hit_u, hit_v, ray.o, ray.d)
            if ti.static(features.hide_emitters):
                if from_camera and si.emitter >= 0:  # seen through
                    ray.o = leave(si, ray.d)
                    ray.t_max -= t
                    searching = True

    # Emission there; its weight against next-event estimation at the previous vertex.
    if slot < 0:
        if environment >= 0 and not (from_camera and ti.static(features.hide_emitters)):
            vertex.emitter = scene.lights[environment][1]
            pdf, uv = light.environment(features, scene, environment, ray.d, not from_camera)
            vertex.uv = uv
            if not from_camera:
                vertex.emission_weight = power_heuristic(ray.pdf, pdf)
    elif si.emitter >= 0 and si.ng.dot(ray.d) < 0:
        vertex.emitter = si.emitter
        if not from_camera:
            pdf = light.hit_pdf(features, scene, slot, ray.previous, si.p, si.ng)
            vertex.emission_weight = power_heuristic(ray.pdf, pdf)
    if slot >= 0:
        vertex.uv = si.uv
        vertex.slot = slot
        vertex.u = si.u
        vertex.v = si.v

    if slot >= 0 and depth + 1 < launch.max_depth:
        u_light, u_bsdf = numbers(film_pixel, sample, depth, launch.seed)
        vertex.u_roulette = u_light[3]
        frame_s, frame_t = frame(features, si.n, si.dp_du)
        vertex.material = si.material
        vertex.wi = to_local(-ray.d, frame_s, frame_t, si.n)

        # Next-event estimation, and a direction from the BSDF.
        light_emitter, ds = light.sample(features, scene, si.p, u_light, u_bsdf[3])
        vertex.wo_light = to_local(ds.d, frame_s, frame_t, si.n)
        pdf_light, wo, pdf, lobe, eta = material.sample(features, scene, vertex, u_bsdf)
        if ds.pdf > 0 and pdf_light > 0:
            shadow_o = leave(si, ds.d)
            shadow = (si.p - shadow_o) + ds.d * ds.distance  # to the very point on the light
            length = shadow.norm()
            shadow_t = length * (1.0 - SHADOW_EPSILON)
            blocker, _t, _u, _v = bvh.trace(features, scene, stack, shadow_o, shadow / length, shadow_t, 1)
            if blocker < 0:
                competitor = ti.select(ds.delta == 1, 0.0, pdf_light)
                vertex.light = light_emitter
                vertex.uv_light = ds.uv
                vertex.light_weight = ds.scale * power_heuristic(ds.pdf, competitor) / ds.pdf
        vertex.wo = wo
        vertex.pdf = pdf
        vertex.lobe = lobe
        vertex.eta = eta
        ray.d = to_world(wo, frame_s, frame_t, si.n)
        ray.o = leave(si, ray.d)
        ray.t_max = bvh.MISS
        ray.previous = si.p
        ray.pdf = ti.select(lobe >= 0, CERTAIN, pdf)
    return vertex, ray
