"""One vertex of a path: trace the ray to it, sample a light and the BSDF there, and note the outcome.

Nothing here is differentiated: directions, densities, weights and visibility are constants (detached
sampling). What a vertex adds, and its derivative, follow from the `Vertex` alone
(kernels/estimators/shading.py).
"""

from prb.kernels import bvh, light, material
from prb.kernels.backend import ti
from prb.kernels.frame import to_local, to_world, vec2, vec3
from prb.kernels.sampler import BSDF, LIGHT, draw
from prb.kernels.shape import SHADOW_EPSILON, Interaction, frame, interact, leave

DELTA_DENSITY = 1e30  # density of a direction that only one technique can find
FIRST_RAY_DENSITY = 0.0  # of the ray that a path begins with: no other technique competes with it


@ti.dataclass
class Ray:
    """The ray o + t d, 0 < t < t_max, on its way to the next vertex.

    previous: the vertex it leaves. pdf: density with which that vertex's BSDF took d; DELTA_DENSITY from a
    delta lobe, FIRST_RAY_DENSITY where the path begins with this ray.
    """

    o: vec3
    d: vec3
    t_max: ti.f32
    previous: vec3
    pdf: ti.f32


@ti.dataclass
class Vertex:
    """All that adding up, or differentiating, needs to know of a vertex: 25 numbers.

    emitter: whose emission the ray met (-1: none). emission_weight: its multiple importance weight.
    material: that of the surface there (-1: the path ends). wi: where the ray came from, local.
    light_emitter: the emitter that next-event estimation took (-1: none), at the local direction wo_light.
    light_weight: visibility times multiple importance weight over density.
    wo: the sampled direction, local. pdf: its density, 0 where there is none. lobe: the leaf whose delta
    lobe it comes from, or -1. eta: relative index of refraction that it passes.
    uv, slot, u, v: where the surface's textures, or the environment's, are looked up (see
    kernels/texture.py). uv_light: the same for the light's.
    """

    emitter: ti.i32
    emission_weight: ti.f32
    material: ti.i32
    wi: vec3
    light_emitter: ti.i32
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
def no_vertex():
    """A vertex with neither emission nor surface."""
    return Vertex(
        emitter=-1, emission_weight=1.0, material=-1, light_emitter=-1, pdf=0.0, lobe=-1, eta=1.0, slot=-1
    )  # fmt: skip


@ti.func
def power_heuristic(a, b):
    """Weight of the technique with density a > 0 against one with density b; no square overflows."""
    ratio = b / a
    return 1.0 / (1.0 + ratio * ratio)


@ti.func
def intersect(scene: ti.template(), ray, first):
    """The ray's nearest hit: (slot or -1, the `Interaction` there, the ray).

    first: the path begins with this ray; emitters that the camera does not see are passed through then.
    """
    slot, t, hit_u, hit_v = -1, 0.0, 0.0, 0.0
    si = Interaction(material=-1, emitter=-1)
    searching = True
    while searching:
        searching = False
        slot, t, hit_u, hit_v = bvh.trace(scene, ray.o, ray.d, ray.t_max, 0)
        if slot >= 0:
            si = interact(scene, slot, t, hit_u, hit_v, ray.o, ray.d)
            if ti.static(scene.features.hide_emitters):
                if first and si.emitter >= 0:
                    ray.o = leave(si, ray.d)
                    ray.t_max -= t
                    searching = True
    return slot, si, ray


@ti.func
def next_vertex(scene: ti.template(), launch, sampler, ray, event, depth):
    """Trace the ray to its next vertex, sample a light and the BSDF there. Returns (vertex, next ray).

    event: the vertex's number, for random numbers. depth: edges of the path before this ray; at the last of
    launch.max_depth only emission counts.
    """
    first, environment = ray.pdf == FIRST_RAY_DENSITY, launch.environment
    vertex = no_vertex()
    slot, si, found = intersect(scene, ray, first)
    ray = found

    # Emission there; its weight against next-event estimation at the previous vertex.
    if slot < 0:
        if environment >= 0 and not (first and ti.static(scene.features.hide_emitters)):
            vertex.emitter = scene.lights[environment][1]
            pdf, uv = light.environment(scene, environment, ray.d, not first)
            vertex.uv = uv
            if not first:
                vertex.emission_weight = power_heuristic(ray.pdf, pdf)
    elif si.emitter >= 0 and si.ng.dot(ray.d) < 0:
        vertex.emitter = si.emitter
        if not first:
            pdf = light.hit_pdf(scene, slot, ray.previous, si.p, si.ng)
            vertex.emission_weight = power_heuristic(ray.pdf, pdf)
    if slot >= 0:
        vertex.uv = si.uv
        vertex.slot = slot
        vertex.u = si.u
        vertex.v = si.v

    if slot >= 0 and depth + 1 < launch.max_depth:
        u_light, u_bsdf = draw(sampler, event, LIGHT), draw(sampler, event, BSDF)
        vertex.u_roulette = u_light[3]
        frame_s, frame_t = frame(scene, si.n, si.dp_du)
        vertex.material = si.material
        vertex.wi = to_local(-ray.d, frame_s, frame_t, si.n)

        # Next-event estimation, and a direction from the BSDF.
        light_emitter, ds = light.sample(scene, si.p, u_light, u_bsdf[3])
        vertex.wo_light = to_local(ds.d, frame_s, frame_t, si.n)
        pdf_light, wo, pdf, lobe, eta = material.sample(scene, vertex, u_bsdf)
        if ds.pdf > 0 and pdf_light > 0:
            shadow_o = leave(si, ds.d)
            shadow = (si.p - shadow_o) + ds.d * ds.distance  # to the very point on the light
            length = shadow.norm()
            shadow_t = length * (1.0 - SHADOW_EPSILON)
            blocker, _t, _u, _v = bvh.trace(scene, shadow_o, shadow / length, shadow_t, 1)
            if blocker < 0:
                competitor = ti.select(ds.delta == 1, 0.0, pdf_light)
                vertex.light_emitter = light_emitter
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
        ray.pdf = ti.select(lobe >= 0, DELTA_DENSITY, pdf)
    return vertex, ray
