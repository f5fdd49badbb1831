"""One vertex of a path: trace the ray to it, sample a light and the BSDF there, and record the outcome.

Nothing here is differentiated: directions, densities, weights and visibility are constants (detached
sampling). What a vertex contributes, and its derivative, are functions of the `Vertex` alone
(kernels/estimators/shading.py).
"""

from prb.kernels import bvh, light, material
from prb.kernels.backend import ti
from prb.kernels.frame import to_local, to_world, vec2, vec3
from prb.kernels.sampler import draw_vertex
from prb.kernels.shape import SHADOW_EPSILON, Interaction, frame, interact, ray_origin
from prb.kernels.traced import kernel_callable

DELTA_DENSITY = 1e30  # stands for the density of a direction that only BSDF sampling can find
FIRST_RAY_DENSITY = 0.0  # marks the ray that a path begins with, which no other technique can find


@ti.dataclass
class Ray:
    """The ray o + t d, 0 < t < t_max, to the next vertex. d is a unit vector.

    previous: position of the vertex where it starts. pdf: density by solid angle with which the BSDF sampled
    d; DELTA_DENSITY from a delta lobe, FIRST_RAY_DENSITY if the path begins with this ray.
    medium: the one that it starts in, -1 for vacuum. balance: see `tracking.free_flight`. Both in scenes with
    media alone, where `previous` is the last vertex that the path did not pass straight through.
    """

    o: vec3
    d: vec3
    t_max: ti.f32
    previous: vec3
    pdf: ti.f32
    medium: ti.i32
    balance: vec3


@ti.dataclass
class Vertex:
    """A vertex, as far as the contribution of the path and its derivative depend on it: 25 numbers.

    Directions are unit vectors in the shading frame, and point away from the surface.

    emitter: the emitter that the ray met (-1: none). emission_weight: the MIS weight of its emission.
    material: the surface's material (-1: the path ends here). wi: direction to where the path comes from.
    light_emitter: the emitter of the light sample (-1: none). wo_light: direction to it. light_weight:
    geometric factor times visibility times MIS weight over density.
    wo: the sampled direction. pdf: its density by solid angle, 0 if there is no direction. u_roulette: the
    uniform number of roulette. lobe: the leaf whose delta lobe wo comes from (-1: none). eta: index of
    refraction on the side of wo over that on the side of wi.
    distance: of the hit from the ray's origin; not kept.
    uv, slot, u, v, p: the `LookupPoint` of the surface's or the environment's textures; p only if some
    texture is a volume. uv_light: that of the light sample's textures.

    All that follows is of scenes with participating media (kernels/estimators/vertex_in_media.py).

    medium: the medium in which the path is scattered at p (-1: it is not), directions then in world space.
    straight: 1 if the path passes straight through the surface, as if it were not there.
    weight: of the flight to this vertex, see `tracking.Flight`.
    segment_medium, segment_length, probe: the medium that the path flew through to this vertex, the length of
    that flight, and a point on it, uniform; probe_weight: the flight's weight there, which is not kept.
    glow_p, glow_weight: another such point, where emission is looked up, and its weight. beyond: 1 if it
    lies behind the probe. gain_p, gain_length: a point of the whole ray and its weight, in differential ratio
    tracking; not kept.
    through: transmittance on the way to the light, without that of the crossing. crossing_material: that of a
    surface on that way that light passes straight through, dimmed, or -1; crossings: how many there are, each
    with the same chance; crossing_wi: direction to where light goes on, in its frame; crossing_slot, _u, _v,
    _uv, _p: its `LookupPoint`; crossing_value: its coefficient, for the tape alone. shadow_medium,
    shadow_length, shadow_p: a medium on that way, the length of what lies in media, and a point of that,
    uniform. segment_d, shadow_d: directions of the flight and of the way to the light, where extinction
    depends on them.
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
    distance: ti.f32
    uv: vec2
    uv_light: vec2
    slot: ti.i32
    u: ti.f32
    v: ti.f32
    medium: ti.i32
    p: vec3
    straight: ti.i32
    weight: vec3
    segment_medium: ti.i32
    segment_length: ti.f32
    probe: vec3
    probe_weight: vec3
    glow_p: vec3
    glow_weight: vec3
    beyond: ti.i32
    gain_p: vec3
    gain_length: vec3
    through: vec3
    crossing_material: ti.i32
    crossings: ti.f32
    crossing_wi: vec3
    crossing_slot: ti.i32
    crossing_u: ti.f32
    crossing_v: ti.f32
    crossing_uv: vec2
    crossing_p: vec3
    crossing_value: vec3
    shadow_medium: ti.i32
    shadow_length: ti.f32
    shadow_p: vec3
    segment_d: vec3
    shadow_d: vec3


@ti.func
def no_vertex():
    """A vertex with neither emission nor surface."""
    one = vec3(1.0, 1.0, 1.0)
    return Vertex(
        emitter=-1, emission_weight=1.0, material=-1, light_emitter=-1, pdf=0.0, lobe=-1, eta=1.0, slot=-1,
        medium=-1, straight=0, weight=one, segment_length=0.0, glow_weight=one, through=one,
        shadow_length=0.0, crossing_material=-1, crossings=1.0,
    )  # fmt: skip


@kernel_callable
def power_heuristic(a, b):
    """MIS weight of the technique with density a > 0 against one with density b (Veach 1997, section 9.2.4).

    It is written with the ratio, so that no square overflows.
    """
    ratio = b / a
    return 1.0 / (1.0 + ratio * ratio)


@ti.func
def intersect(scene: ti.template(), ray, first):
    """Find the ray's closest hit: (slot or -1, distance, `Interaction`, ray).

    first: True if the path begins with this ray. If the camera does not see emitters, the ray passes through
    them, and is returned as its last part.
    """
    slot, t, hit_u, hit_v = -1, 0.0, 0.0, 0.0
    si = Interaction(material=-1, emitter=-1)
    passes_through = True
    while passes_through:
        passes_through = False
        slot, t, hit_u, hit_v = bvh.trace(scene, ray.o, ray.d, ray.t_max, 0)
        if slot >= 0:
            si = interact(scene, slot, t, hit_u, hit_v, ray.o, ray.d)
            if ti.static(scene.features.hide_emitters):
                if first and si.emitter >= 0:
                    ray.o = ray_origin(si, ray.d)
                    ray.t_max -= t
                    passes_through = True
    return slot, t, si, ray


@ti.func
def meet(scene: ti.template(), launch, ray, slot, si, vertex: ti.template()):
    """Record what the ray met: where, and emission with its MIS weight against next-event estimation at the
    previous vertex."""
    first, environment = ray.pdf == FIRST_RAY_DENSITY, launch.environment
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
        if ti.static("volume" in scene.features.textures):
            vertex.p = si.p


@ti.func
def next_vertex(scene: ti.template(), launch, sampler, ray, event, depth):
    """Trace the ray to its next vertex, sample a light and the BSDF there. Returns (vertex, next ray).

    event: the vertex's number, by which random numbers are drawn. depth: edges of the path before this ray;
    at the end of edge launch.max_depth only emission counts.
    """
    first = ray.pdf == FIRST_RAY_DENSITY
    vertex = no_vertex()
    slot, _t, si, last_ray = intersect(scene, ray, first)
    vertex.distance = (si.p - ray.o).dot(ray.d)
    ray = last_ray

    meet(scene, launch, ray, slot, si, vertex)

    if slot >= 0 and depth + 1 < launch.max_depth:
        u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, event)  # fault: same-numbers
        vertex.u_roulette = u_light[3]
        frame_s, frame_t = frame(scene, si.n, si.dp_du)
        vertex.material = si.material
        vertex.wi = to_local(-ray.d, frame_s, frame_t, si.n)

        # Next-event estimation, and a direction sampled from the BSDF.
        light_emitter, ds = light.sample(scene, si.p, u_light, u_bsdf[3])
        vertex.wo_light = to_local(ds.d, frame_s, frame_t, si.n)
        pdf_light, wo, pdf, lobe, eta = material.sample(scene, vertex, u_bsdf)
        if ds.pdf > 0 and pdf_light > 0:
            shadow_o = ray_origin(si, ds.d)
            shadow = (si.p - shadow_o) + ds.d * ds.distance  # ends at the sampled point of the light
            length = shadow.norm()
            shadow_t = length * (1.0 - SHADOW_EPSILON)
            blocker, _t, _u, _v = bvh.trace(scene, shadow_o, shadow / length, shadow_t, 1)
            if blocker < 0:
                pdf_bsdf = ti.select(ds.delta == 1, 0.0, pdf_light)
                vertex.light_emitter = light_emitter
                vertex.uv_light = ds.uv
                vertex.light_weight = ds.scale * power_heuristic(ds.pdf, pdf_bsdf) / ds.pdf
        vertex.wo = wo
        vertex.pdf = pdf
        vertex.lobe = lobe
        vertex.eta = eta
        ray.d = to_world(wo, frame_s, frame_t, si.n)
        ray.o = ray_origin(si, ray.d)
        ray.t_max = bvh.MISS
        ray.previous = si.p
        ray.pdf = ti.select(lobe >= 0, DELTA_DENSITY, pdf)
    return vertex, ray
