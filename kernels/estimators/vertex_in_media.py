"""One vertex of a path in a scene with participating media: as kernels/estimators/vertex.py, and more.

A ray flies through the medium that it starts in. If it collides before it meets a surface, the vertex is a
point in the medium, with a phase function in place of a BSDF. Surfaces that the ray passes straight through
(`null`, the hole of a `mask`, a `thindielectric`) are vertices too, but count neither as an edge's end nor
for MIS: next-event estimation looks through them, so the density of the direction remains that of the last
vertex where the path could have turned.
"""

from prb.kernels import bvh, light, material, scattering, straight, tracking
from prb.kernels import medium as media
from prb.kernels.backend import ti
from prb.kernels.estimators.density import RATIO
from prb.kernels.estimators.vertex import (
    DELTA_DENSITY,
    FIRST_RAY_DENSITY,
    intersect,
    meet,
    no_vertex,
    power_heuristic,
)
from prb.kernels.frame import max_abs, to_local, to_world, vec3
from prb.kernels.sampler import SHADOW, draw_vertex, track
from prb.kernels.shape import SHADOW_EPSILON, Interaction, frame, interact, ray_origin
from prb.kernels.texture import LookupPoint


@ti.func
def fly(scene: ti.template(), ray, t_max, sampler, event, vertex: ti.template()):
    """The ray's flight through its medium: record it, and the collision, if there is one, in the vertex."""
    flight = tracking.free_flight(scene, ray.medium, ray.o, ray.d, t_max, sampler, event, ray.balance)
    if ti.static(scene.features.microflakes):
        vertex.segment_d = ray.d
    if flight.begin < flight.end and flight.end < tracking.UNBOUNDED:
        vertex.segment_medium = ray.medium
        vertex.segment_length = flight.end - flight.begin
        vertex.probe = ray.o + flight.probe * ray.d
        vertex.glow_p = ray.o + flight.source * ray.d
        vertex.beyond = ti.select(flight.source > flight.probe, 1, 0)
        if ti.static(scene.execution.density == RATIO):
            t, length = tracking.ratio_track(scene, ray.medium, ray.o, ray.d, t_max, sampler, event)
            vertex.gain_p = ray.o + t * ray.d
            vertex.gain_length = length
    if flight.collided == 1:
        vertex.medium = ray.medium
        vertex.p = ray.o + flight.end * ray.d
    vertex.weight = flight.weight
    vertex.probe_weight = flight.probe_weight
    vertex.glow_weight = flight.source_weight


@ti.func
def look_through(scene: ti.template(), medium, o, to_light, sampler, event, vertex: ti.template()):
    """The transmittance from o along the vector `to_light`, in the vertex; black if something blocks it.

    Surfaces that light passes straight through dim it, and media do. One of those surfaces is the vertex's
    crossing, chosen by a reservoir; if one of them lets nothing pass, it is that one, as no other has a
    derivative then.
    """
    left = to_light.norm()
    d = to_light / left
    left *= 1.0 - SHADOW_EPSILON
    vertex.through = vec3(1.0, 1.0, 1.0)
    vertex.shadow_length = 0.0
    if ti.static(scene.features.microflakes):
        vertex.shadow_d = d
    block = 0  # of random numbers
    coefficient = vec3(1.0, 1.0, 1.0)  # of the crossing
    active = True
    while active:
        slot, t, u, v = bvh.trace(scene, o, d, left, 0)
        if medium >= 0:
            passed, begin, end, next_block = tracking.transmittance(
                scene, medium, o, d, ti.min(t, left), sampler, event, block
            )
            vertex.through *= passed
            if begin < end:
                choice = track(sampler, event, SHADOW, next_block)
                next_block += 1
                vertex.shadow_length += end - begin
                if choice[0] * vertex.shadow_length <= end - begin:
                    vertex.shadow_medium = medium
                    vertex.shadow_p = o + (begin + choice[1] * (end - begin)) * d
            block = next_block
        active = slot >= 0 and max_abs(vertex.through) > 0
        if active:
            si = interact(scene, slot, t, u, v, o, d)
            if ti.static(scene.features.crossings):
                s, r = frame(scene, si.n, si.dp_du)
                wi = to_local(-d, s, r, si.n)
                point = LookupPoint(uv=si.uv, slot=slot, u=u, v=v, p=si.p)
                passed = straight.coefficient(scene, si.material, wi, point)
                if straight.dims(scene, si.material):
                    cross(sampler, event, block, si, slot, wi, passed, coefficient, vertex)
                    block += 1
                else:
                    vertex.through *= passed
            elif straight.dims(scene, si.material):  # it is opaque
                vertex.through = vec3(0.0, 0.0, 0.0)
            medium = media.crossed(si.boundary, medium, si.ng.dot(d))
            o = ray_origin(si, d)
            left -= t
            active = max_abs(vertex.through) > 0 and left > 0
    vertex.crossing_value = coefficient


@ti.func
def cross(
    sampler, event, block, si, slot, wi, passed, coefficient: ti.template(), vertex: ti.template()
):  # fmt: skip
    """Let a surface with the coefficient `passed` compete for the vertex's crossing, whose own is
    `coefficient`; what is not chosen goes into vertex.through."""
    was_black = vertex.crossing_material >= 0 and max_abs(coefficient) <= 0
    is_black = max_abs(passed) <= 0
    count = ti.select(vertex.crossing_material >= 0, vertex.crossings + 1.0, 1.0)
    chosen = track(sampler, event, SHADOW, block)[0] * count < 1.0
    if (chosen or is_black) and not was_black:
        vertex.through *= coefficient
        coefficient = passed
        vertex.crossing_material = si.material
        vertex.crossing_wi = wi
        vertex.crossing_slot = slot
        vertex.crossing_u = si.u
        vertex.crossing_v = si.v
        vertex.crossing_uv = si.uv
        vertex.crossing_p = si.p
    else:
        vertex.through *= passed
    vertex.crossings = ti.select(is_black or was_black, 1.0, count)


@ti.func
def next_vertex(scene: ti.template(), launch, sampler, ray, event, depth, forced):
    """Trace the ray to its next vertex, sample a light and a direction there. Returns (vertex, next ray).

    event, depth: as in kernels/estimators/vertex.py. forced: the ray collides where it starts.
    """
    first = ray.pdf == FIRST_RAY_DENSITY
    vertex = no_vertex()
    slot, t = -1, 0.0
    si = Interaction(material=-1, emitter=-1)
    if forced:
        vertex.medium = ray.medium
        vertex.p = ray.o
    else:
        found, distance, interaction, last_ray = intersect(scene, ray, first)
        slot, t, si, ray = found, distance, interaction, last_ray
        if ray.medium >= 0:
            fly(scene, ray, t, sampler, event, vertex)
            ray.balance *= vertex.weight
        if vertex.medium < 0:
            meet(scene, launch, ray, slot, si, vertex)
    counts = depth + 1 < launch.max_depth
    collided = vertex.medium >= 0
    if (collided and counts) or (not collided and slot >= 0):
        u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, event)
        vertex.u_roulette = u_light[3]
        p = vertex.p
        s, r, n = vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0), vec3(0.0, 0.0, 1.0)
        if not collided:
            p = si.p
            n = si.n
            s1, r1 = frame(scene, si.n, si.dp_du)
            s, r = s1, r1
            vertex.material = si.material
        vertex.wi = to_local(-ray.d, s, r, n)
        light_emitter, ds = light.sample(scene, p, u_light, u_bsdf[3])
        vertex.wo_light = to_local(ds.d, s, r, n)
        pdf_light = 0.0
        if collided:
            density, wo, pdf = scattering.sample(scene, vertex.medium, p, vertex.wi, vertex.wo_light, u_bsdf)
            pdf_light, vertex.wo, vertex.pdf = density, wo, pdf
            if scene.media[vertex.medium, media.SAMPLE_EMITTERS] == 0:
                pdf_light = 0.0
        else:
            density, wo, pdf, lobe, eta = material.sample(scene, vertex, u_bsdf)
            pdf_light, vertex.wo, vertex.pdf, vertex.lobe, vertex.eta = density, wo, pdf, lobe, eta
            vertex.straight = ti.select(straight.passed_straight(scene, vertex), 1, 0)
            if not counts and vertex.straight == 0:
                vertex.pdf = 0.0
        if ds.pdf > 0 and pdf_light > 0 and counts:
            shadow_o, shadow_medium = p, ray.medium
            if not collided:
                shadow_o = ray_origin(si, ds.d)
                shadow_medium = media.crossed(si.boundary, ray.medium, si.ng.dot(ds.d))
            to_light = (p - shadow_o) + ds.d * ds.distance
            look_through(scene, shadow_medium, shadow_o, to_light, sampler, event, vertex)
            if max_abs(vertex.through) > 0:
                pdf_other = ti.select(ds.delta == 1, 0.0, pdf_light)
                vertex.light_emitter = light_emitter
                vertex.uv_light = ds.uv
                vertex.light_weight = ds.scale * power_heuristic(ds.pdf, pdf_other) / ds.pdf
        ray.d = to_world(vertex.wo, s, r, n)
        ray.o = p
        ray.t_max = bvh.MISS
        if vertex.straight == 0:
            ray.previous = p
            ray.pdf = ti.select(vertex.lobe >= 0, DELTA_DENSITY, vertex.pdf)
            if collided and scene.media[ti.max(vertex.medium, 0), media.SAMPLE_EMITTERS] == 0:
                ray.pdf = DELTA_DENSITY
        if not collided:
            ray.o = ray_origin(si, ray.d)
            ray.medium = media.crossed(si.boundary, ray.medium, si.ng.dot(ray.d))
    return vertex, ray
