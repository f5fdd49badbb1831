"""Colours and numbers in the flat parameter buffer: read them, and send cotangents back to them."""

import taichi as ti

KINDS = {"uniform": 0, "rgb": 1}


@ti.func
def fetch(features: ti.template(), scene: ti.template(), buffer: ti.template(), index):
    """The colour of texture `index`, its numbers taken from `buffer` (the parameters, or their tangents)."""
    record = scene.textures[index]
    at = scene.base + record[1]
    color = ti.Vector([buffer[at], 0.0, 0.0])
    color.y = color.x
    color.z = color.x
    if record[0] == ti.static(KINDS["rgb"]):
        color.y = buffer[at + 1]
        color.z = buffer[at + 2]
    return color


@ti.func
def accumulate(features: ti.template(), gradient: ti.template(), at, x):
    """Add to the gradient buffer; without atomics where the buffer belongs to this worker alone."""
    if ti.static(features.exclusive):
        gradient[at] = gradient[at] + x
    else:
        ti.atomic_add(gradient[at], x)


@ti.func
def scatter(
    features: ti.template(), scene: ti.template(), gradient: ti.template(), replica, index, cotangent
):
    """Transpose of `fetch`. replica: where this worker's copy of the gradient buffer begins."""
    record = scene.textures[index]
    at = replica + record[1]
    if record[0] == ti.static(KINDS["rgb"]):
        for i in ti.static(range(3)):
            accumulate(features, gradient, at + i, cotangent[i])
    else:
        accumulate(features, gradient, at, cotangent.x + cotangent.y + cotangent.z)
