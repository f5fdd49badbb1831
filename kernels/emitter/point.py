"""A point that emits the same radiant intensity in all directions."""

import taichi as ti

from prb.kernels.emitter.sample import LightSample
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("intensity", default=1.0)


@ti.func
def sample(features: ti.template(), scene: ti.template(), entry, ref, u1, u2):
    position = scene.emitter_data[scene.lights[entry][1]]
    r = ti.Vector([position[0], position[1], position[2]]) - ref
    distance2 = r.dot(r)
    distance = ti.sqrt(distance2)
    found = distance2 > 0
    return LightSample(
        d=r / distance,
        distance=distance,
        pdf=ti.select(found, 1.0, 0.0),
        scale=1.0 / distance2,
        delta=1,
    )
