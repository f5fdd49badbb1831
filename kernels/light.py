"""All lights together: sampling for next-event estimation, and its density where a ray has hit a light.

An entry of `lights` is an emitting primitive or a light without a surface. An entry is chosen with an alias
table (Walker 1977). Densities are by solid angle at the reference point, without a cosine; for a light at a
single direction they are probabilities.
"""

from prb.kernels import emitter
from prb.kernels.backend import ti
from prb.kernels.emitter.sample import LightSample
from prb.kernels.frame import vec2, vec3


@ti.func
def choose(scene: ti.template(), u, u_alias):
    """The entry of `lights` that two uniform numbers choose."""
    count = scene.lights.shape[0]
    entry = ti.min(ti.i32(u * ti.f32(count)), count - 1)
    if u_alias >= scene.light_pdf[entry][0]:
        entry = scene.lights[entry][2]
    return entry


@ti.func
def sample(scene: ti.template(), ref, u, u_alias):
    """Sample a direction from ref to a light; u: three uniform numbers. Returns (emitter, LightSample)."""
    entry = choose(scene, u[0], u_alias)
    index = scene.lights[entry][1]
    kind = scene.emitters[index][0]
    no_uv = vec2(0.0, 0.0)
    s = LightSample(d=vec3(0.0, 0.0, 1.0), distance=1.0, pdf=0.0, scale=0.0, delta=0, uv=no_uv)
    for name in ti.static(scene.features.emitters):
        if kind == ti.static(emitter.KINDS[name]):
            s = emitter.of(name).sample(scene, entry, ref, u[1], u[2])
    s.pdf *= scene.light_pdf[entry][1]
    return index, s


@ti.func
def hit_pdf(scene: ti.template(), slot, ref, p, n):
    """Density of `sample` for the direction from ref to p, a point on an emitting primitive with normal n."""
    pdf = 0.0
    if ti.static("area" in scene.features.emitters):
        entry = scene.prim_light[slot]
        pdf = emitter.area.pdf(scene, slot, ref, p, n) * scene.light_pdf[entry][1]
    return pdf


@ti.func
def environment(scene: ti.template(), entry, d, with_pdf):
    """The environment in the unit direction d of a ray that left the scene. entry: its entry of `lights`.

    Returns (density of `sample` for d, texture coordinates). The density is only valid with with_pdf.
    """
    pdf = 0.0
    uv = vec2(0.0, 0.0)
    index = scene.lights[entry][1]
    kind = scene.emitters[index][0]
    for name in ti.static(scene.features.emitters):
        if ti.static(name in emitter.ENVIRONMENTS):
            if kind == ti.static(emitter.KINDS[name]):
                pdf, uv = emitter.of(name).environment(scene, index, d, with_pdf)
    return pdf * scene.light_pdf[entry][1], uv
