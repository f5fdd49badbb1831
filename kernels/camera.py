"""Primary rays: a position on the film by filter importance sampling, and the camera's ray through it.

Filter importance sampling (Ernst et al. 2006): the offset from the pixel's centre is drawn from the
reconstruction filter itself, so each sample belongs to one pixel with weight one. At the border of the
film the filter is cut off there, which is what the weighted average of splatted samples converges to
(unless the film says sample_border).

One description serves every camera, so that another one compiles nothing: where its ray starts and where
it goes are affine in the film position and in a point of the aperture.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import read3, vec2
from prb.kernels.traced import kernel_callable, length
from prb.kernels.warp import square_to_disk

# Layout of the camera buffer. Of the ray through film position (x, y), in pixels of the whole film, and
# point (a, b) of the unit disk, START and DIRECTION hold the five vectors that 1, x, y, a and b multiply.
# The ray begins at start + NEAR * direction and ends at start + FAR * direction. LENS: 1 for an aperture.
START, DIRECTION, NEAR, FAR, LENS = 0, 15, 30, 31, 32
CAMERA_SIZE = 33


@kernel_callable
def affine(vectors, x, y, a, b):
    """The five vectors that 1, x, y, a and b multiply, put together."""
    v0, vx, vy, va, vb = vectors
    return v0 + vx * x + vy * y + va * a + vb * b


@kernel_callable
def ray(start, direction, near, far, x, y, a, b):
    """(origin, unit direction, reach) of the ray through film position (x, y) and aperture point (a, b).

    start, direction: the five vectors of each, as in the camera's array. near, far: where on it the ray
    begins and ends.
    """
    d = affine(direction, x, y, a, b)
    stretch = length(d)
    return affine(start, x, y, a, b) + d * near, d / stretch, (far - near) * stretch


@ti.func
def vectors(camera: ti.template(), at: ti.template()):
    """The five vectors that begin at a place of the camera's array."""
    return [read3(camera, at + 3 * i) for i in ti.static(range(5))]


@ti.func
def filter_offset(inverse_cdf: ti.template(), u):
    """The filter's inverse cumulative distribution, tabulated and interpolated; in pixels."""
    x = u * ti.f32(inverse_cdf.shape[0] - 1)
    i = ti.min(ti.i32(x), inverse_cdf.shape[0] - 2)
    f = x - ti.f32(i)
    return inverse_cdf[i] * (1.0 - f) + inverse_cdf[i + 1] * f


@ti.func
def sample_ray(sensor: ti.template(), launch, column, row, u):
    """Origin at the near plane, unit direction, and the distance from there to the far plane.

    sensor: its arrays (`kernels.arrays.SENSOR`). launch: has the crop window. u: four uniform numbers, two
    for the place on the film and two for that on the aperture.
    """
    qx = sensor.quantiles[column]
    qy = sensor.quantiles[launch.width + row]
    offset_x = filter_offset(sensor.inverse_cdf, qx[0] + u[0] * (qx[1] - qx[0]))
    offset_y = filter_offset(sensor.inverse_cdf, qy[0] + u[1] * (qy[1] - qy[0]))
    x = ti.f32(launch.crop_x + column) + 0.5 + offset_x
    y = ti.f32(launch.crop_y + row) + 0.5 + offset_y
    lens = vec2(0.0, 0.0)
    if sensor.camera[LENS] > 0:
        lens = square_to_disk(u[2], u[3])
    start, direction = vectors(sensor.camera, START), vectors(sensor.camera, DIRECTION)
    return ray(start, direction, sensor.camera[NEAR], sensor.camera[FAR], x, y, lens[0], lens[1])
