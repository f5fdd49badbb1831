"""A point that projects an image along its local +z, as a camera at its place would see it.

At distance z along the axis, and in a direction at an angle theta to it, the radiance of a texel E is
pi E / (z^2 cos(theta)), as in Mitsuba 3.9.1. emitter_data, four rows: position, 0; and the world-to-local
matrix, a rotation, its rows followed by cot(x_fov / 2), by cot(y_fov / 2), and by 0.
"""

import math

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import sample_position, to_emitter
from prb.kernels.frame import vec2
from prb.kernels.parameter import Parameter

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
    return [[*light.position, 0.0], [*x, 1 / tan_x], [*y, 1 / tan_y], [*z, 0.0]]


def power(light, radius):
    tan_x, tan_y = _tangents(light)
    return 4 * pi * tan_x * tan_y


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    row = scene.emitters[scene.lights[entry][1]][3]
    s = sample_position(scene, row, ref)
    v = to_emitter(scene, row + 1, -s.d)
    cos_theta = ti.max(v.z, 1e-6)
    u = 0.5 - 0.5 * v.x / cos_theta * scene.emitter_data[row + 1][3]
    w = 0.5 - 0.5 * v.y / cos_theta * scene.emitter_data[row + 2][3]
    lit = (v.z > 1e-6) & (ti.min(u, w) >= 0) & (ti.max(u, w) <= 1)
    s.pdf = ti.select(lit, s.pdf, 0.0)
    s.scale = ti.select(lit, s.scale * pi / (cos_theta * cos_theta * cos_theta), 0.0)
    s.uv = ti.select(lit, vec2(u, w), vec2(0.0, 0.0))
    return s
