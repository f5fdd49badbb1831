"""The light sample that every emitter's `sample` returns, and that of emitters which are not surfaces."""

from prb.kernels import traced
from prb.kernels.backend import ti
from prb.kernels.frame import vec2, vec3

INFINITY = 1e18  # distance to an emitter outside the scene; its square is finite in float32


@ti.dataclass
class LightSample:
    """A sampled direction to a light.

    d: unit vector from the reference point. distance: to the light along d.
    pdf: density by solid angle, or 1 for an emitter at a single direction; 0 if there is no sample.
    scale: geometric factor, by which the product of the emitter's textures is multiplied (1 / r^2 for a
    point).
    delta: 1 for an emitter at a single direction, which no ray can hit, else 0.
    uv: coordinates at which the emitter's textures are looked up.
    """

    d: vec3
    distance: ti.f32
    pdf: ti.f32
    scale: ti.f32
    delta: ti.i32
    uv: vec2


@ti.func
def rows_of(scene: ti.template(), emitter, count: ti.template()):
    """The rows of an emitter in `emitter_data`."""
    first = scene.emitters[emitter][3]
    return [scene.emitter_data[first + i] for i in ti.static(range(count))]


@ti.func
def at_single_direction(scene: ti.template(), entry, ref, connect: ti.template(), count: ti.template()):
    """The `LightSample` of an emitter at a single direction from ref.

    connect(rows, ref), a traced function, gives (d, distance, pdf, scale, uv); rows: its `count` rows.
    """
    d, distance, pdf, scale, uv = traced.value(connect, rows_of(scene, scene.lights[entry][1], count), ref)
    return LightSample(d=d, distance=distance, pdf=pdf, scale=scale, delta=1, uv=uv)
