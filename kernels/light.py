"""All lights together: which one next-event estimation takes, and how likely a ray's find was.

One entry of `lights` is an emitting primitive or a light without a surface. An entry is chosen with an
alias table (Walker 1977).
"""

from prb.kernels import emitter
from prb.kernels.backend import ti
from prb.kernels.emitter.sample import LightSample
from prb.kernels.frame import vec2, vec3


@ti.func
def sample(scene: ti.template(), ref, u, u_alias):
    """A direction from ref to some light. u: at least three numbers. Returns (emitter, LightSample)."""
    count = scene.lights.shape[0]
    entry = ti.min(ti.i32(u[0] * ti.f32(count)), count - 1)
    if u_alias >= scene.light_pdf[entry][0]:
        entry = scene.lights[entry][2]
    index = scene.lights[entry][1]
    kind = scene.emitters[index][0]
    nothing = vec2(0.0, 0.0)
    s = LightSample(d=vec3(0.0, 0.0, 1.0), distance=1.0, pdf=0.0, scale=0.0, delta=0, uv=nothing)
    for name in ti.static(scene.features.emitters):
        if kind == ti.static(emitter.KINDS[name]):
            s = emitter.of(name).sample(scene, entry, ref, u[1], u[2])
    s.pdf *= scene.light_pdf[entry][1]
    return index, s


@ti.func
def hit_pdf(scene: ti.template(), slot, ref, p, n):
    """Density with which `sample` would have taken the direction from ref to the emitting primitive's p."""
    pdf = 0.0
    if ti.static("area" in scene.features.emitters):
        entry = scene.prim_light[slot]
        pdf = emitter.area.pdf(scene, slot, ref, p, n) * scene.light_pdf[entry][1]
    return pdf


@ti.func
def environment(scene: ti.template(), entry, d, weighed):
    """For the unit direction d of a ray that left the scene, and the environment's entry of `lights`.

    Returns (density with which `sample` would have taken d, if that is to be weighed; where the environment's
    textures are looked up).
    """
    pdf = 0.0
    uv = vec2(0.0, 0.0)
    index = scene.lights[entry][1]
    kind = scene.emitters[index][0]
    for name in ti.static(scene.features.emitters):
        if ti.static(name in emitter.ENVIRONMENTS):
            if kind == ti.static(emitter.KINDS[name]):
                pdf, uv = emitter.of(name).environment(scene, index, d, weighed)
    return pdf * scene.light_pdf[entry][1], uv
