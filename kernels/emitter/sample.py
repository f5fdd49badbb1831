"""What every emitter's `sample` returns."""

from prb.kernels.backend import ti
from prb.kernels.frame import vec2, vec3

INFINITY = 1e18  # distance to a light outside the scene; its square is still a float32


@ti.dataclass
class LightSample:
    """A direction towards a light.

    d: unit direction from the reference point; distance: to the light along it.
    pdf: density in solid angle, or 1 for a light at a single direction; 0: no sample.
    scale: what the product of the light's textures is multiplied by to give radiance (1 / r^2 for a point).
    delta: 1 for a light that only a sample, never a ray, can find.
    uv: where the light's textures are looked up.
    """

    d: vec3
    distance: ti.f32
    pdf: ti.f32
    scale: ti.f32
    delta: ti.i32
    uv: vec2
