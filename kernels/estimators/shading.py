"""Shading: what a vertex contributes, as a function of the parameters.

    E = emitted * emission_weight + direct * f_light * light_weight

Emission and next-event estimation make up E; the BSDF f is the factor of what lies beyond the vertex. `shade`
computes them, `pull_back` adds their cotangents to the gradient, `push_forward` computes their tangents.
"""

from prb.kernels import emission, material
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import at_uv


@ti.dataclass
class Shading:
    """The values at a vertex that depend on parameters.

    emitted: radiance of the emitter that the ray met. direct: radiance of the sampled light, without its
    geometric factor. f_light, f: BSDF times |cos| for the direction to that light and for the sampled
    direction.
    """

    emitted: vec3
    direct: vec3
    f_light: vec3
    f: vec3


@ti.func
def black():
    """The shading of a vertex with neither emission nor surface."""
    zero = vec3(0.0, 0.0, 0.0)
    return Shading(emitted=zero, direct=zero, f_light=zero, f=zero)


@ti.func
def shade(scene: ti.template(), vertex: ti.template()):
    """The `Shading` of a vertex."""
    shading = black()
    if vertex.emitter >= 0:
        shading.emitted = emission.radiance(scene, vertex.emitter, material.lookup_point(vertex))
    if vertex.material >= 0:
        if vertex.light_emitter >= 0:
            shading.direct = emission.radiance(scene, vertex.light_emitter, at_uv(vertex.uv_light))
        f_light, f = material.eval(scene, vertex)
        shading.f_light = f_light
        shading.f = f
    return shading


@ti.func
def contribution(vertex: ti.template(), shading: ti.template()):
    """E, what the vertex adds to the radiance of a path of throughput 1."""
    return shading.emitted * vertex.emission_weight + shading.direct * shading.f_light * vertex.light_weight


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
    grad_light = grad_E * vertex.light_weight
    if vertex.emitter >= 0:
        grad_emitted = grad_E * vertex.emission_weight  # fault: mis-weight-left-out
        emission.pull_back(scene, gradient, vertex.emitter, material.lookup_point(vertex), grad_emitted)
    if vertex.material >= 0:
        grad_f_light = grad_light * shading.direct  # fault: sign-of-next-event-estimation
        material.pull_back(scene, gradient, vertex, grad_f_light, grad_f)
        if vertex.light_emitter >= 0:
            grad_direct = grad_light * shading.f_light
            emission.pull_back(scene, gradient, vertex.light_emitter, at_uv(vertex.uv_light), grad_direct)


@ti.func
def push_forward(
    scene: ti.template(), tangents: ti.template(), vertex: ti.template(), shading: ti.template()
):
    """The tangents (dE, df), for the parameters' tangents."""
    dE, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if vertex.emitter >= 0:
        point = material.lookup_point(vertex)
        dE += vertex.emission_weight * emission.push_forward(scene, tangents, vertex.emitter, point)
    if vertex.material >= 0:
        df_light, df_sampled = material.push_forward(scene, tangents, vertex)
        df = df_sampled
        dE += vertex.light_weight * shading.direct * df_light
        if vertex.light_emitter >= 0:
            ddirect = emission.push_forward(scene, tangents, vertex.light_emitter, at_uv(vertex.uv_light))
            dE += vertex.light_weight * shading.f_light * ddirect
    return dE, df
