"""What every emitter's `sample` returns."""

import taichi as ti

from prb.kernels.frame import vec3


@ti.dataclass
class LightSample:
    """A direction towards a light.

    d: unit direction from the reference point; distance: to the light along it.
    pdf: density in solid angle, or 1 for a light at a single direction; 0: no sample.
    scale: what the light's radiometric quantity is multiplied by to give radiance (1 / r^2 for a point).
    delta: 1 for a light that only a sample, never a ray, can find.
    """

    d: vec3
    distance: ti.f32
    pdf: ti.f32
    scale: ti.f32
    delta: ti.i32
