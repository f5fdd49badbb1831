"""Shading: what a vertex contributes, as a function of the parameters.

    E = emitted * emission_weight + direct * f_light * light_weight

Emission and next-event estimation make up E; the BSDF f is the factor of what lies beyond the vertex. `shade`
computes them, `pull_back` adds their cotangents to the gradient, `push_forward` computes their tangents.

With participating media, T the transmittance on the way to the light, and w the weight of the flight to the
vertex (1 unless extinction has three channels),

    E = w (emitted * emission_weight + direct * f_light * T * light_weight) + glow * w_glow * length
    f = w * albedo * phase function, or w * BSDF

and the derivative of T by extinction is -T * length * (derivative of sigma_t at a uniform point of the way).
Derivatives by extinction along the path itself are in kernels/estimators/density.py.
"""

from prb.kernels import emission, material, scattering, straight, volume
from prb.kernels import medium as media
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import LookupPoint, at_uv


@ti.dataclass
class Shading:
    """The values at a vertex that depend on parameters.

    emitted: radiance of the emitter that the ray met. direct: radiance of the sampled light, without its
    geometric factor. f_light, f: BSDF times |cos| for the direction to that light and for the sampled
    direction. glow: radiance emitted for each unit of length of the flight to the vertex. crossing: what
    the light's crossing lets pass, 1 if there is none.
    """

    emitted: vec3
    direct: vec3
    f_light: vec3
    f: vec3
    glow: vec3
    crossing: vec3


@ti.func
def black():
    """The shading of a vertex with neither emission nor surface."""
    zero = vec3(0.0, 0.0, 0.0)
    return Shading(emitted=zero, direct=zero, f_light=zero, f=zero, glow=zero, crossing=vec3(1.0, 1.0, 1.0))


@ti.func
def shade(scene: ti.template(), vertex: ti.template()):
    """The `Shading` of a vertex."""
    shading = black()
    if vertex.emitter >= 0:
        shading.emitted = emission.radiance(scene, vertex.emitter, material.lookup_point(vertex))
    if vertex.material >= 0:
        f_light, f = material.eval(scene, vertex)
        shading.f_light = f_light
        shading.f = f
    if ti.static(scene.features.media):
        if vertex.medium >= 0:
            albedo = media.albedo(scene, scene.params, vertex.medium, vertex.p)
            f_light, f = scattering.eval(
                scene, vertex.medium, vertex.p, vertex.wi, vertex.wo_light, vertex.wo
            )
            shading.f_light = albedo * f_light
            shading.f = albedo * f
        shading.f *= vertex.weight
        if ti.static(scene.features.emissive):
            if vertex.segment_length > 0:
                shading.glow = media.emission(scene, scene.params, vertex.segment_medium, vertex.glow_p)
    if vertex.light_emitter >= 0:
        shading.direct = emission.radiance(scene, vertex.light_emitter, at_uv(vertex.uv_light))
        if ti.static(scene.features.crossings):
            if vertex.crossing_material >= 0:
                at = crossing_point(vertex)
                shading.crossing = straight.coefficient(
                    scene, vertex.crossing_material, vertex.crossing_wi, at
                )
                if ti.static(scene.execution.unrolled):  # the derivative counts for all crossings
                    n = vertex.crossings
                    shading.crossing = n * shading.crossing - (n - 1.0) * vertex.crossing_value
    return shading


@ti.func
def crossing_point(vertex: ti.template()):
    """Where the textures of the vertex's crossing are looked up."""
    return LookupPoint(
        uv=vertex.crossing_uv, slot=vertex.crossing_slot, u=vertex.crossing_u, v=vertex.crossing_v,
        p=vertex.crossing_p,
    )  # fmt: skip


@ti.func
def light_through(scene: ti.template(), vertex: ti.template(), shading: ti.template()):
    """Transmittance on the way to the light."""
    result = vertex.through
    if ti.static(scene.features.crossings):
        result *= shading.crossing
    return result


@ti.func
def contribution(scene: ti.template(), vertex: ti.template(), shading: ti.template()):
    """E, what the vertex adds to the radiance of a path of throughput 1."""
    direct = shading.direct * shading.f_light * vertex.light_weight
    if ti.static(scene.features.media):
        direct *= light_through(scene, vertex, shading)
    E = shading.emitted * vertex.emission_weight + direct
    if ti.static(scene.features.media):
        E = E * vertex.weight + glow(scene, vertex, shading)
    return E


@ti.func
def attenuated(
    scene: ti.template(), vertex: ti.template(), shading: ti.template(), loss, at_collision,
    at_probe, at_p, at_shadow,
):  # fmt: skip
    """(E, f) with the derivatives by extinction, as factors of value 1 that Taichi's reverse mode
    differentiates: those of the light's transmittance as in `pull_back`, those along the path as in
    kernels/estimators/density.py.

    loss, at_collision: of `density.weights`. at_probe, at_p, at_shadow: `medium.change` there.
    """
    emitted, f = glow(scene, vertex, shading), shading.f
    rest = contribution(scene, vertex, shading) - emitted
    through = light_through(scene, vertex, shading) * vertex.weight
    direct = shading.direct * shading.f_light * vertex.light_weight * through
    factor = 1.0 - loss * at_probe + at_collision * at_p
    rest = (rest - direct * vertex.shadow_length * at_shadow) * factor
    emitted *= 1.0 - ti.select(vertex.beyond == 1, loss, 0.0) * at_probe
    return rest + emitted, f * factor


@ti.func
def glow(scene: ti.template(), vertex: ti.template(), shading: ti.template()):
    """The part of E that the medium emits on the way to the vertex."""
    result = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.emissive):
        result = shading.glow * vertex.glow_weight * vertex.segment_length
    return result


@ti.func
def pull_back(
    scene: ti.template(),
    gradient: ti.template(),
    vertex: ti.template(),
    shading: ti.template(),
    grad_E,
    grad_f,
):
    """Add the cotangents of E and of f, pulled back to the parameters, to the gradient."""
    if ti.static(scene.features.media):
        if ti.static(scene.features.emissive):
            if vertex.segment_length > 0 and scene.media[vertex.segment_medium, media.EMISSION] >= 0:
                index = scene.media[vertex.segment_medium, media.EMISSION]
                grad_source = grad_E * vertex.glow_weight * vertex.segment_length
                volume.scatter(scene, gradient, index, vertex.glow_p, grad_source)
        grad_E *= vertex.weight
        grad_f *= vertex.weight
    grad_light = grad_E * vertex.light_weight
    if ti.static(scene.features.crossings):
        if vertex.light_emitter >= 0 and vertex.crossing_material >= 0:
            grad_through = grad_light * shading.direct * shading.f_light
            straight.pull_back(
                scene, gradient, vertex.crossing_material, vertex.crossing_wi, crossing_point(vertex),
                grad_through * vertex.through * vertex.crossings,
            )  # fmt: skip
    if ti.static(scene.features.media):
        grad_light *= light_through(scene, vertex, shading)
    if vertex.emitter >= 0:
        grad_emitted = grad_E * vertex.emission_weight  # fault: mis-weight-left-out
        emission.pull_back(scene, gradient, vertex.emitter, material.lookup_point(vertex), grad_emitted)
    grad_f_light = grad_light * shading.direct  # fault: sign-of-next-event-estimation
    if vertex.material >= 0:
        material.pull_back(scene, gradient, vertex, grad_f_light, grad_f)
    if ti.static(scene.features.media):
        if vertex.medium >= 0:
            scatter_in_medium(scene, gradient, vertex, grad_f_light, grad_f)
        if ti.static(scene.execution.density != ""):
            if vertex.light_emitter >= 0 and vertex.shadow_length > 0:
                grad_sigma = -vertex.shadow_length * grad_f_light * shading.f_light
                media.pull_back_extinction(
                    scene, gradient, vertex.shadow_medium, vertex.shadow_p, vertex.shadow_d, grad_sigma
                )
    if vertex.light_emitter >= 0:
        grad_direct = grad_light * shading.f_light
        emission.pull_back(scene, gradient, vertex.light_emitter, at_uv(vertex.uv_light), grad_direct)


@ti.func
def scatter_in_medium(
    scene: ti.template(), gradient: ti.template(), vertex: ti.template(), grad_f_light, grad_f
):
    """As `material.pull_back`, for a point in a medium, where f is albedo times phase function."""
    p, medium = vertex.p, vertex.medium
    albedo = media.albedo(scene, scene.params, medium, p)
    f_light, f = scattering.eval(scene, medium, p, vertex.wi, vertex.wo_light, vertex.wo)
    volume.scatter(scene, gradient, scene.media[medium, media.ALBEDO], p, grad_f_light * f_light + grad_f * f)
    scattering.pull_back(
        scene, gradient, medium, p, vertex.wi, vertex.wo_light, vertex.wo,
        grad_f_light.dot(albedo), grad_f.dot(albedo),
    )  # fmt: skip


@ti.func
def push_forward(
    scene: ti.template(), tangents: ti.template(), vertex: ti.template(), shading: ti.template()
):
    """The tangents (dE, df), for the parameters' tangents."""
    dE, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    df_light, ddirect = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if vertex.emitter >= 0:
        point = material.lookup_point(vertex)
        dE += vertex.emission_weight * emission.push_forward(scene, tangents, vertex.emitter, point)
    if vertex.material >= 0:
        df_light_here, df_sampled = material.push_forward(scene, tangents, vertex)
        df_light = df_light_here
        df = df_sampled
    if ti.static(scene.features.media):
        if vertex.medium >= 0:
            df_light_here, df_sampled = push_through_medium(scene, tangents, vertex)
            df_light = df_light_here
            df = df_sampled
    if vertex.light_emitter >= 0:
        ddirect = emission.push_forward(scene, tangents, vertex.light_emitter, at_uv(vertex.uv_light))
    d_of_light = shading.direct * df_light + shading.f_light * ddirect
    if ti.static(scene.features.media):
        if ti.static(scene.execution.density != ""):
            if vertex.light_emitter >= 0 and vertex.shadow_length > 0:
                dsigma = media.push_forward_extinction(
                    scene, tangents, vertex.shadow_medium, vertex.shadow_p, vertex.shadow_d
                )
                d_of_light -= shading.direct * shading.f_light * (vertex.shadow_length * dsigma)
        d_of_light *= light_through(scene, vertex, shading)
    if ti.static(scene.features.crossings):
        if vertex.light_emitter >= 0 and vertex.crossing_material >= 0:
            d = straight.push_forward(
                scene, tangents, vertex.crossing_material, vertex.crossing_wi, crossing_point(vertex)
            )
            d_of_light += shading.direct * shading.f_light * vertex.through * (vertex.crossings * d)
    dE += vertex.light_weight * d_of_light
    if ti.static(scene.features.media):
        dE *= vertex.weight
        df *= vertex.weight
        if ti.static(scene.features.emissive):
            if vertex.segment_length > 0:
                dsource = media.emission(scene, tangents, vertex.segment_medium, vertex.glow_p)
                dE += dsource * vertex.glow_weight * vertex.segment_length
    return dE, df


@ti.func
def push_through_medium(scene: ti.template(), tangents: ti.template(), vertex: ti.template()):
    """As `material.push_forward`, for a point in a medium."""
    p, medium = vertex.p, vertex.medium
    albedo = media.albedo(scene, scene.params, medium, p)
    dalbedo = media.albedo(scene, tangents, medium, p)
    f_light, f = scattering.eval(scene, medium, p, vertex.wi, vertex.wo_light, vertex.wo)
    df_light, df = scattering.push_forward(scene, tangents, medium, p, vertex.wi, vertex.wo_light, vertex.wo)
    return albedo * df_light + dalbedo * f_light, albedo * df + dalbedo * f
