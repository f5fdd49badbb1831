"""Primary rays: a position on the film by filter importance sampling, and the camera's ray through it.

Filter importance sampling (Ernst et al. 2006): the offset from the pixel's centre is drawn from the
reconstruction filter itself, so each sample belongs to one pixel with weight one. At the border of the film
the filter is truncated, which is what the weighted average of splatted samples converges to. If the film has
`sample_border` it is not truncated.

One form serves every camera, so that no kernel is compiled for another one: the origin and the direction of
the ray are affine in the film position and in the point of the aperture.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import read3, vec2
from prb.kernels.traced import kernel_callable, length
from prb.kernels.warp import square_to_disk

# Layout of the camera's array. START and DIRECTION hold the five vectors that 1, x, y, a and b multiply, for
# the ray through film position (x, y), in pixels of the whole film, and the point (a, b) of the unit disk.
# The ray begins at start + NEAR * direction and ends at start + FAR * direction. LENS: 1 or 0,
# with or without an aperture.
START, DIRECTION, NEAR, FAR, LENS = 0, 15, 30, 31, 32
CAMERA_SIZE = 33


@kernel_callable
def affine(vectors, x, y, a, b):
    """The affine form with the five vectors that 1, x, y, a and b multiply."""
    v0, vx, vy, va, vb = vectors
    return v0 + vx * x + vy * y + va * a + vb * b


@kernel_callable
def ray(start, direction, near, far, x, y, a, b):
    """(origin, unit direction, reach) of the ray through film position (x, y) and aperture point (a, b).

    start, direction: five vectors each, as in the camera's array. near, far: the ray's ends, in multiples of
    the direction that is not normalised.
    """
    d = affine(direction, x, y, a, b)
    norm = length(d)
    return affine(start, x, y, a, b) + d * near, d / norm, (far - near) * norm


@ti.func
def vectors(camera: ti.template(), offset: ti.template()):
    """The five vectors that begin at an offset of the camera's array."""
    return [read3(camera, offset + 3 * i) for i in ti.static(range(5))]


@ti.func
def filter_offset(inverse_cdf: ti.template(), u):
    """An offset from the pixel's centre, in pixels, by the filter's inverse distribution function at u."""
    x = u * ti.f32(inverse_cdf.shape[0] - 1)
    i = ti.min(ti.i32(x), inverse_cdf.shape[0] - 2)
    fraction = x - ti.f32(i)
    return inverse_cdf[i] * (1.0 - fraction) + inverse_cdf[i + 1] * fraction


@ti.func
def sample_ray(sensor: ti.template(), launch, column, row, u):
    """The ray of a sample: origin on the near plane, unit direction, and the distance to the far plane.

    sensor: its arrays (`kernels.arrays.SENSOR`). launch: the record with the crop window. u: four uniform
    numbers, two for the position on the film and two for the point of the aperture.
    """
    range_x = sensor.quantiles[column]
    range_y = sensor.quantiles[launch.width + row]
    offset_x = filter_offset(sensor.inverse_cdf, range_x[0] + u[0] * (range_x[1] - range_x[0]))
    offset_y = filter_offset(sensor.inverse_cdf, range_y[0] + u[1] * (range_y[1] - range_y[0]))
    x = ti.f32(launch.crop_x + column) + 0.5 + offset_x
    y = ti.f32(launch.crop_y + row) + 0.5 + offset_y
    aperture = vec2(0.0, 0.0)
    if sensor.camera[LENS] > 0:
        aperture = square_to_disk(u[2], u[3])
    start, direction = vectors(sensor.camera, START), vectors(sensor.camera, DIRECTION)
    return ray(start, direction, sensor.camera[NEAR], sensor.camera[FAR], x, y, aperture[0], aperture[1])
