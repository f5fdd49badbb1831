"""A point that projects an image along its local +z, as a camera at its place would see it.

At distance z along the axis, and in a direction at an angle theta to it, the radiance of a texel E is
pi E / (z^2 cos(theta)), as in Mitsuba 3.9.1. emitter_data, four rows: position,
the offset of `to_world` in `params`; and the world-to-local matrix, a rotation, its rows followed by
cot(x_fov / 2), by cot(y_fov / 2), and by 0.
"""

import math

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import from_position, in_frame, inverted
from prb.kernels.emitter.sample import at_single_direction
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec2, maximum, minimum, select

PARAMETER = Parameter("irradiance", default=1.0)
PLACEMENT = "frame"


def _tangents(light):
    """Tangents of half the horizontal and of half the vertical field of view."""
    width, height = light.resolution
    tan_x = math.tan(math.radians(0.5 * light.constants["x_fov"]))
    return tan_x, tan_x * height / width


def data(light):
    tan_x, tan_y = _tangents(light)
    x, y, z = light.to_local
    return [[*light.position, light.offset], [*x, 1 / tan_x], [*y, 1 / tan_y], [*z, 0.0]]


def power(light, radius):
    tan_x, tan_y = _tangents(light)
    return 4 * pi * tan_x * tan_y


ROWS, NUMBERS = 4, 16


def from_parameters(rows, to_world):
    position, matrix = inverted(to_world)
    first, *others = rows
    return (*position, first[3]), *((*v, row[3]) for v, row in zip(matrix, others, strict=True))


def connect(rows, ref):
    d, distance, pdf, inverse2 = from_position(rows[0], ref)
    v = in_frame(rows[1:], -d)
    cos_theta = maximum(v.z, 1e-6)
    u = 0.5 - 0.5 * v.x / cos_theta * rows[1][3]
    w = 0.5 - 0.5 * v.y / cos_theta * rows[2][3]
    lit = (v.z > 1e-6) & (minimum(u, w) >= 0) & (maximum(u, w) <= 1)
    scale = select(lit, inverse2 * pi / (cos_theta * cos_theta * cos_theta), 0.0)
    return d, distance, select(lit, pdf, 0.0), scale, Vec2(select(lit, u, 0.0), select(lit, w, 0.0))


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return at_single_direction(scene, entry, ref, connect, ROWS)
