"""The camera's ray as a function of the camera's parameters.

The host differentiates the affine form of the rays by each parameter (`by_parameters`, kernels/arrays.py), in
float64 and once for all rays; here the ray is differentiated by the affine form.
"""

from prb.kernels import camera, traced
from prb.kernels.backend import ti
from prb.kernels.camera import DIRECTION, FAR, LENS, NEAR, START
from prb.kernels.frame import vec2, vec3
from prb.kernels.gradient import add
from prb.kernels.warp import square_to_disk


@ti.func
def _inputs(sensor: ti.template(), launch, column, row, u):
    """(start, direction, near, far), film position and aperture point, as of `camera.ray`."""
    x, y = ti.f32(launch.crop_x + column) + u[0], ti.f32(launch.crop_y + row) + u[1]
    aperture = vec2(0.0, 0.0)
    if sensor.camera[LENS] > 0:
        aperture = square_to_disk(u[2], u[3])
    start, direction = camera.vectors(sensor.camera, START), camera.vectors(sensor.camera, DIRECTION)
    return start, direction, sensor.camera[NEAR], sensor.camera[FAR], x, y, aperture[0], aperture[1]


@traced.traced
def _vjp(inputs, grad_o, grad_d):
    _value, found = traced.vjp(camera.ray, inputs, (grad_o, grad_d, 0.0), wrt=(0, 1, 2))
    return found


@traced.traced
def _jvp(inputs, tangents):
    _value, found = traced.jvp(camera.ray, inputs, (*tangents, 0.0, None, None, None, None))
    return found


@ti.func
def pull_back(sensor: ti.template(), launch, gradient: ti.template(), column, row, u, grad_o, grad_d):
    """Add the cotangents of the camera's parameters, from those of origin and direction of its ray."""
    start, direction, near = _vjp(_inputs(sensor, launch, column, row, u), grad_o, grad_d)
    for i in range(sensor.by_parameters.shape[0]):
        offset = ti.i32(sensor.by_parameters[i, 0])
        if offset < gradient.size:
            total = near * sensor.by_parameters[i, 1 + NEAR]
            for j in ti.static(range(5)):
                for k in ti.static(range(3)):
                    total += start[j][k] * sensor.by_parameters[i, 1 + START + 3 * j + k]
                    total += direction[j][k] * sensor.by_parameters[i, 1 + DIRECTION + 3 * j + k]
            add(gradient, offset, total)


@ti.func
def push_forward(sensor: ti.template(), launch, tangents: ti.template(), column, row, u):
    """The tangents of origin and direction of the camera's ray."""
    start, direction, near = ti.Matrix.zero(ti.f32, 5, 3), ti.Matrix.zero(ti.f32, 5, 3), 0.0
    for i in range(sensor.by_parameters.shape[0]):
        tangent = tangents[ti.i32(sensor.by_parameters[i, 0])]
        near += tangent * sensor.by_parameters[i, 1 + NEAR]
        for j in ti.static(range(5)):
            for k in ti.static(range(3)):
                start[j, k] += tangent * sensor.by_parameters[i, 1 + START + 3 * j + k]
                direction[j, k] += tangent * sensor.by_parameters[i, 1 + DIRECTION + 3 * j + k]
    starts = [vec3(start[j, 0], start[j, 1], start[j, 2]) for j in ti.static(range(5))]
    directions = [vec3(direction[j, 0], direction[j, 1], direction[j, 2]) for j in ti.static(range(5))]
    do, dd, _dt = _jvp(_inputs(sensor, launch, column, row, u), (starts, directions, near))
    return do, dd
