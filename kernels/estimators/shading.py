"""What a vertex contributes, as a function of the parameters: emission, next-event estimation, the BSDF.

    E = emitted * emission_weight + direct * f_light * light_weight

`Shading` has the values, `pull_back` sends their cotangents to the parameters, `push_forward` gives their
tangents.
"""

from prb.kernels import emission, material
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import at_uv


@ti.dataclass
class Shading:
    """emitted: radiance of the emitter that the ray met. direct: of the light that was sampled. f_light, f:
    BSDF times cosine for the direction to that light, and for the sampled direction."""

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
    s = black()
    if vertex.emitter >= 0:
        s.emitted = emission.radiance(scene, vertex.emitter, material.lookup_point(vertex))
    if vertex.material >= 0:
        if vertex.light_emitter >= 0:
            s.direct = emission.radiance(scene, vertex.light_emitter, at_uv(vertex.uv_light))
        f_light, f = material.eval(scene, vertex)
        s.f_light = f_light
        s.f = f
    return s


@ti.func
def contribution(vertex: ti.template(), s: ti.template()):
    """What the vertex adds to a path of throughput 1: E."""
    return s.emitted * vertex.emission_weight + s.direct * s.f_light * vertex.light_weight


@ti.func
def pull_back(
    scene: ti.template(), gradient: ti.template(), vertex: ti.template(), s: ti.template(), grad_E, grad_f
):
    """Send the cotangents of E and of f to the parameters."""
    grad_light = grad_E * vertex.light_weight
    if vertex.emitter >= 0:
        grad_emitted = grad_E * vertex.emission_weight  # fault: mis-weight-left-out
        emission.pull_back(scene, gradient, vertex.emitter, material.lookup_point(vertex), grad_emitted)
    if vertex.material >= 0:
        grad_f_light = grad_light * s.direct  # fault: sign-of-next-event-estimation
        material.pull_back(scene, gradient, vertex, grad_f_light, grad_f)
        if vertex.light_emitter >= 0:
            grad_direct = grad_light * s.f_light
            emission.pull_back(scene, gradient, vertex.light_emitter, at_uv(vertex.uv_light), grad_direct)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), vertex: ti.template(), s: ti.template()):
    """The tangents (dE, df) under the parameters' tangents."""
    dE, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if vertex.emitter >= 0:
        at = material.lookup_point(vertex)
        dE += vertex.emission_weight * emission.push_forward(scene, tangents, vertex.emitter, at)
    if vertex.material >= 0:
        df_light, df_sampled = material.push_forward(scene, tangents, vertex)
        df = df_sampled
        dE += vertex.light_weight * s.direct * df_light
        if vertex.light_emitter >= 0:
            ddirect = emission.push_forward(scene, tangents, vertex.light_emitter, at_uv(vertex.uv_light))
            dE += vertex.light_weight * s.f_light * ddirect
    return dE, df
