"""Parallel light from outside the scene.

emitter_data, one row: the unit direction in which it travels; the offset of that direction in `params`.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.frame import vec2, vec3
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("irradiance", default=1.0)  # of a surface perpendicular to the light
PLACEMENT = "direction"


def data(light):
    return [[*light.direction, 0.0]]


def power(light, radius):
    return pi * radius**2


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    data_row = scene.emitter_data[scene.emitters[scene.lights[entry][1]][3]]
    d = -vec3(data_row[0], data_row[1], data_row[2])
    return LightSample(d=d, distance=INFINITY, pdf=1.0, scale=1.0, delta=1, uv=vec2(0.0, 0.0))
