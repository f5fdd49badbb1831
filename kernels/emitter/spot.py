"""A point that emits into a cone around its local +z, with a falloff that is linear in the angle.

emitter_data, four rows: position, 0; and the world-to-local matrix, its rows followed by the cutoff angle,
by 1 / (cutoff - beam width), and by cot(cutoff), which is 0 for a cutoff of 90 degrees or more. Angles are
measured from the axis, in radians. The texture fills the square around the cone, x to the right in u.
"""

import math

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import sample_position, to_emitter
from prb.kernels.frame import vec2
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("intensity", default=1.0)
PLACEMENT = "frame"


def _angles(light):
    """Cutoff angle and beam width in radians."""
    return math.radians(light.constants["cutoff_angle"]), math.radians(light.constants["beam_width"])


def data(light):
    cutoff, beam = _angles(light)
    cot = 1 / math.tan(cutoff) if cutoff < 0.5 * pi else 0.0
    x, y, z = light.to_local
    return [[*light.position, 0.0], [*x, cutoff], [*y, 1 / max(cutoff - beam, 1e-6)], [*z, cot]]


def power(light, radius):
    cutoff, beam = _angles(light)
    slope = (math.sin(cutoff) - math.sin(beam)) / (cutoff - beam) if cutoff > beam else math.cos(cutoff)
    return 2 * pi * (1 - slope)


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    row = scene.emitters[scene.lights[entry][1]][3]
    s = sample_position(scene, row, ref)
    v = to_emitter(scene, row + 1, -s.d)
    cutoff, steepness, cot = (
        scene.emitter_data[row + 1][3],
        scene.emitter_data[row + 2][3],
        scene.emitter_data[row + 3][3],
    )
    angle = ti.atan2(ti.sqrt(v.x * v.x + v.y * v.y), v.z)
    falloff = ti.min((cutoff - angle) * steepness, 1.0)
    s.pdf = ti.select(falloff > 0, s.pdf, 0.0)
    s.scale *= ti.max(falloff, 0.0)
    slope = 0.5 * cot / ti.max(v.z, 1e-20)
    s.uv = ti.select(falloff > 0, vec2(0.5 + slope * v.x, 0.5 + slope * v.y), vec2(0.0, 0.0))
    return s
