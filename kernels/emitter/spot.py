"""A point that emits into a cone around its local +z, with a falloff that is linear in the angle.

emitter_data, four rows: position, the offset of `to_world` in `params`, which the two angles follow; and
the world-to-local matrix, its rows followed by the cutoff angle, by 1 / (cutoff - beam width), and by
cot(cutoff), which is 0 for a cutoff of 90 degrees or more. Angles are measured from the axis, in radians, as
parameters in degrees. The texture fills the square around the cone, x to the right in u.
"""

import math

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import from_position, in_frame, inverted
from prb.kernels.emitter.sample import at_single_direction
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec2, atan2, maximum, minimum, select, sqrt, tan

PARAMETER = Parameter("intensity", default=1.0)
PLACEMENT = "frame"
ANGLES = ("cutoff_angle", "beam_width")


def _angles(light):
    """Cutoff angle and beam width in radians."""
    return math.radians(light.constants["cutoff_angle"]), math.radians(light.constants["beam_width"])


def data(light):
    cutoff, beam = _angles(light)
    cot = 1 / math.tan(cutoff) if cutoff < 0.5 * pi else 0.0
    x, y, z = light.to_local
    return [[*light.position, light.offset], [*x, cutoff], [*y, 1 / max(cutoff - beam, 1e-6)], [*z, cot]]


def power(light, radius):
    cutoff, beam = _angles(light)
    slope = (math.sin(cutoff) - math.sin(beam)) / (cutoff - beam) if cutoff > beam else math.cos(cutoff)
    return 2 * pi * (1 - slope)


ROWS, NUMBERS = 4, 18


def from_parameters(rows, p):
    position, (x, y, z) = inverted(p[:16])
    cutoff, beam = (angle * (pi / 180) for angle in p[16:])
    narrow = cutoff < 0.5 * pi
    cot = select(narrow, 1.0 / tan(select(narrow, cutoff, 0.25 * pi)), 0.0)
    steepness = 1.0 / maximum(cutoff - beam, 1e-6)
    return (*position, rows[0][3]), (*x, cutoff), (*y, steepness), (*z, cot)


def connect(rows, ref):
    d, distance, pdf, inverse2 = from_position(rows[0], ref)
    v = in_frame(rows[1:], -d)
    cutoff, steepness, cot = rows[1][3], rows[2][3], rows[3][3]
    across2 = v.x * v.x + v.y * v.y
    off_axis = across2 > 0
    angle = atan2(select(off_axis, sqrt(select(off_axis, across2, 1.0)), 0.0), v.z)
    falloff = minimum((cutoff - angle) * steepness, 1.0)
    lit = falloff > 0
    slope = 0.5 * cot / maximum(v.z, 1e-20)
    uv = Vec2(select(lit, 0.5 + slope * v.x, 0.0), select(lit, 0.5 + slope * v.y, 0.0))
    return d, distance, select(lit, pdf, 0.0), inverse2 * maximum(falloff, 0.0), uv


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return at_single_direction(scene, entry, ref, connect, ROWS)
