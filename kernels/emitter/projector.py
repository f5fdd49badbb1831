"""A point that throws a picture along its local +z, as a camera there would see it.

Radiance at a distance z along the axis is pi E / (z^2 cos(theta)) for a texel E, theta measured from the
axis, as Mitsuba 3.9.1 has it. emitter_data, four rows: position, 0; and the world-to-local matrix, a
rotation, its rows followed by cot(x_fov / 2), by cot(y_fov / 2), and by 0.
"""

import math

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import local, towards
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
    s = towards(scene, row, ref)
    v = local(scene, row + 1, -s.d)
    cos = ti.max(v.z, 1e-6)
    u = 0.5 - 0.5 * v.x / cos * scene.emitter_data[row + 1][3]
    w = 0.5 - 0.5 * v.y / cos * scene.emitter_data[row + 2][3]
    lit = (v.z > 1e-6) & (ti.min(u, w) >= 0) & (ti.max(u, w) <= 1)
    s.pdf = ti.select(lit, s.pdf, 0.0)
    s.scale = ti.select(lit, s.scale * pi / (cos * cos * cos), 0.0)
    s.uv = ti.select(lit, vec2(u, w), vec2(0.0, 0.0))
    return s
