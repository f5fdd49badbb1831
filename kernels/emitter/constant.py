"""An environment of the same radiance in all directions, sampled uniformly: density 1 / (4 pi)."""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.frame import vec2
from prb.kernels.parameter import Parameter
from prb.kernels.warp import square_to_sphere

PARAMETER = Parameter("radiance", default=1.0)
PLACEMENT = None


def power(light, radius):
    return 4 * pi**2 * radius**2


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    d = square_to_sphere(u1, u2)
    return LightSample(d=d, distance=INFINITY, pdf=0.25 / pi, scale=1.0, delta=0, uv=vec2(0.0, 0.0))


@ti.func
def environment(scene: ti.template(), index, d, with_pdf):
    return 0.25 / pi, vec2(0.0, 0.0)
