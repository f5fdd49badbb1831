"""How lights without a surface move with the parameters that say where they are.

What moves is a light's position, or for light from outside the scene the unit direction to it. Its parameters
start at the offset in the first of its rows in `emitter_data`; see kernels/emitter/.
"""

from prb.kernels import emitter
from prb.kernels.backend import ti
from prb.kernels.frame import read3, vec3
from prb.kernels.gradient import add

# Where a position is in the parameter that places a light: the first number of it, and the step between them.
POSITIONS = {"position": (0, 1), "frame": (3, 4)}


def _is_placed(name):
    """True for an emitter without a surface that has such parameters, at a single direction."""
    module = emitter.of(name)
    return hasattr(module, "connect") and hasattr(module, "from_parameters")


def _has_position(name):
    """True if the emitter has a position; else it has a direction."""
    return emitter.of(name).PLACEMENT in POSITIONS


def _places_of(name):
    """(first, step) as of POSITIONS; those of a direction's numbers without a position."""
    return POSITIONS.get(emitter.of(name).PLACEMENT, (0, 1))


@ti.func
def _offset(scene: ti.template(), index):
    return ti.i32(scene.emitter_data[scene.emitters[index][3]][3])


@ti.func
def light_motion(scene: ti.template(), tangents: ti.template(), index):
    """The tangent of the position of an emitter, or of the unit direction to it."""
    total = vec3(0.0, 0.0, 0.0)
    kind = scene.emitters[index][0]
    for name in ti.static(scene.features.emitters):
        if ti.static(_is_placed(name)):
            if kind == ti.static(emitter.KINDS[name]):
                offset = _offset(scene, index)
                first, step = ti.static(*_places_of(name))
                for i in ti.static(range(3)):
                    total[i] = tangents[offset + first + step * i]
                if ti.static(not _has_position(name)):
                    total = _turned(read3(scene.params, offset), total)
    return total


@ti.func
def _turned(p, v):
    """-d(p / |p|) along v. The matrix is symmetric, so that it is its transpose, too."""
    length2 = p.dot(p)
    return (p * (p.dot(v) / length2) - v) / ti.sqrt(length2)


@ti.func
def add_light_motion(scene: ti.template(), gradient: ti.template(), index, grad):
    """Transpose of `light_motion`: add the cotangent of the position or direction to the parameters."""
    kind = scene.emitters[index][0]
    for name in ti.static(scene.features.emitters):
        if ti.static(_is_placed(name)):
            if kind == ti.static(emitter.KINDS[name]):
                offset = _offset(scene, index)
                first, step = ti.static(*_places_of(name))
                own = grad
                if ti.static(not _has_position(name)):
                    own = _turned(read3(scene.params, offset), grad)
                for i in ti.static(range(3)):
                    if offset + first + step * i < gradient.size:
                        add(gradient, offset + first + step * i, own[i])
