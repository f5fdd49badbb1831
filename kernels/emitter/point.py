"""A point that emits the same radiant intensity in all directions.

emitter_data, one row: its position, the offset of that in `params`.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import at_single_direction
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec2, Vec3, constant, cross, dot, select, sqrt

PARAMETER = Parameter("intensity", default=1.0)
PLACEMENT = "position"


def data(light):
    return [[*light.position, light.offset]]


def power(light, radius):
    return 4 * pi


ROWS, NUMBERS = 1, 3


def from_parameters(rows, p):
    return ((*p, rows[0][3]),)


def connect(rows, ref):
    return *from_position(rows[0], ref), Vec2(constant(0.0), constant(0.0))


def from_position(row, ref):
    """(d, distance, pdf, scale) of an emitter at the point that a row of `emitter_data` holds."""
    to_light = Vec3(row[0], row[1], row[2]) - ref
    distance2 = dot(to_light, to_light)
    defined = distance2 > 0
    inverse2 = 1.0 / select(defined, distance2, 1.0)
    distance = sqrt(select(defined, distance2, 1.0))
    return to_light * sqrt(inverse2), select(defined, distance, 0.0), select(defined, 1.0, 0.0), inverse2


def inverted(to_world):
    """(position, world-to-local matrix by its rows) of an emitter under a 4 x 4 matrix, 16 numbers."""
    x, y, z = (Vec3(*to_world[i:12:4]) for i in range(3))
    inverse = 1.0 / dot(x, cross(y, z))
    return to_world[3:12:4], tuple(v * inverse for v in (cross(y, z), cross(z, x), cross(x, y)))


def in_frame(rows, v):
    """Transform v from world space to the emitter's frame. rows: those of its matrix in `emitter_data`."""
    return Vec3(*(row[0] * v.x + row[1] * v.y + row[2] * v.z for row in rows))


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return at_single_direction(scene, entry, ref, connect, ROWS)
