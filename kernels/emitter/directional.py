"""Parallel light from outside the scene.

emitter_data, one row: the unit direction in which it travels; the offset of that direction in `params`.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import INFINITY, at_single_direction
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec2, Vec3, constant

PARAMETER = Parameter("irradiance", default=1.0)  # of a surface perpendicular to the light
PLACEMENT = "direction"


def data(light):
    return [[*light.direction, 0.0]]


def power(light, radius):
    return pi * radius**2


ROWS = 1


def connect(rows, ref):
    x, y, z, _offset = rows[0]
    return (
        Vec3(-x, -y, -z),
        constant(INFINITY),
        constant(1.0),
        constant(1.0),
        Vec2(constant(0.0), constant(0.0)),
    )


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return at_single_direction(scene, entry, ref, connect, ROWS)
