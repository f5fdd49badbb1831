"""Primary rays: a position on the film by filter importance sampling, and the camera's ray through it.

Filter importance sampling (Ernst et al. 2006): the offset from the pixel's centre is drawn from the
reconstruction filter itself, so each sample belongs to one pixel with weight one. At the border of the
film the filter is cut off there, which is what the weighted average of splatted samples converges to.
"""

import taichi as ti

# Layout of the camera buffer: the ray through film position (x, y), in pixels of the whole film, has the
# direction CORNER + x * DX + y * DY, whose component along the viewing direction is 1.
ORIGIN, CORNER, DX, DY, NEAR, FAR = 0, 3, 6, 9, 12, 13
CAMERA_SIZE = 14


@ti.func
def read3(buffer: ti.template(), at: ti.template()):
    return ti.Vector([buffer[at], buffer[at + 1], buffer[at + 2]])


@ti.func
def filter_offset(inverse_cdf: ti.template(), u):
    """The filter's inverse cumulative distribution, tabulated and interpolated; in pixels."""
    x = u * ti.f32(inverse_cdf.shape[0] - 1)
    i = ti.min(ti.i32(x), inverse_cdf.shape[0] - 2)
    f = x - ti.f32(i)
    return inverse_cdf[i] * (1.0 - f) + inverse_cdf[i + 1] * f


@ti.func
def sample_ray(
    camera: ti.template(), inverse_cdf: ti.template(), quantiles: ti.template(), launch, column, row, u
):
    """Origin at the near plane, unit direction, and the distance from there to the far plane.

    quantiles: for each column, then each row of the crop window, the part of the filter's cumulative
    distribution that lies on the film.
    """
    qx = quantiles[column]
    qy = quantiles[launch.width + row]
    x = ti.f32(launch.crop_x + column) + 0.5 + filter_offset(inverse_cdf, qx[0] + u[0] * (qx[1] - qx[0]))
    y = ti.f32(launch.crop_y + row) + 0.5 + filter_offset(inverse_cdf, qy[0] + u[1] * (qy[1] - qy[0]))
    d = read3(camera, CORNER) + read3(camera, DX) * x + read3(camera, DY) * y
    stretch = d.norm()
    o = read3(camera, ORIGIN) + d * camera[NEAR]
    return o, d / stretch, (camera[FAR] - camera[NEAR]) * stretch
