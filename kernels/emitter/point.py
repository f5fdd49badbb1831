"""A point that emits the same radiant intensity in all directions.

emitter_data, one row: its position, 0.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import LightSample
from prb.kernels.frame import vec2, vec3
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("intensity", default=1.0)
PLACEMENT = "position"


def data(light):
    return [[*light.position, 0.0]]


def power(light, radius):
    return 4 * pi


@ti.func
def sample_position(scene: ti.template(), row, ref):
    """The `LightSample` of an emitter at a point, whose position is in a row of `emitter_data`."""
    position = scene.emitter_data[row]
    to_light = vec3(position[0], position[1], position[2]) - ref
    distance2 = to_light.dot(to_light)
    defined = distance2 > 0
    inverse2 = 1.0 / ti.select(defined, distance2, 1.0)
    return LightSample(
        d=to_light * ti.sqrt(inverse2),
        distance=ti.sqrt(distance2),
        pdf=ti.select(defined, 1.0, 0.0),
        scale=inverse2,
        delta=1,
        uv=vec2(0.0, 0.0),
    )


@ti.func
def to_emitter(scene: ti.template(), row, v):
    """Transform v from world space to the emitter's frame. row: the first of its matrix in `emitter_data`."""
    x, y, z = scene.emitter_data[row], scene.emitter_data[row + 1], scene.emitter_data[row + 2]
    return vec3(
        x[0] * v.x + x[1] * v.y + x[2] * v.z,
        y[0] * v.x + y[1] * v.y + y[2] * v.z,
        z[0] * v.x + z[1] * v.y + z[2] * v.z,
    )


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    return sample_position(scene, scene.emitters[scene.lights[entry][1]][3], ref)
