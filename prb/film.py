"""What the host computes for the camera and the film: ray directions and tabulated filters."""

import numpy as np

from prb.kernels.camera import CAMERA_SIZE, CORNER, DX, DY, FAR, NEAR, ORIGIN

TABLE = 4096  # intervals of the inverse cumulative distribution
FINE = 1 << 16


def camera_buffer(sensor):
    """The camera's numbers as kernels/camera.py lays them out: float32 (CAMERA_SIZE,)."""
    film = sensor.film
    m = np.asarray(sensor.to_world, float)
    half = np.tan(np.radians(0.5 * sensor.x_fov))
    pixel = 2 * half / film.width  # of a pixel, at distance 1
    # Local +x points to the left of the picture and +y up; film positions go right and down.
    corner = np.array([half, half * film.height / film.width, 1.0])
    axes = m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)
    out = np.zeros(CAMERA_SIZE)
    out[ORIGIN : ORIGIN + 3] = m[:3, 3]
    out[CORNER : CORNER + 3] = axes @ corner
    out[DX : DX + 3] = axes @ [-pixel, 0, 0]
    out[DY : DY + 3] = axes @ [0, -pixel, 0]
    out[NEAR], out[FAR] = sensor.near_clip, sensor.far_clip
    return out.astype(np.float32)


def _filter(film):
    """The filter's values on a grid over [-radius, radius], and that grid; both (FINE + 1,)."""
    if film.rfilter == "box":
        return np.ones(FINE + 1), np.linspace(-0.5, 0.5, FINE + 1)
    if film.rfilter == "tent":
        x = np.linspace(-film.filter_radius, film.filter_radius, FINE + 1)
        return 1 - np.abs(x) / film.filter_radius, x
    radius = 4 * film.filter_stddev  # where Mitsuba cuts the Gaussian off, shifted to reach zero there
    x = np.linspace(-radius, radius, FINE + 1)
    return np.exp(-0.5 * (x / film.filter_stddev) ** 2) - np.exp(-8.0), x


def filter_tables(film):
    """The filter for importance sampling.

    Returns the inverse cumulative distribution at TABLE + 1 even steps, float32, in pixels from the
    pixel's centre; and for each column and then each row of the crop window the quantiles between which
    the filter lies on the window, float32 (columns + rows, 2).
    """
    values, x = _filter(film)
    cdf = np.concatenate([[0.0], np.cumsum(0.5 * (values[1:] + values[:-1]))])
    cdf /= cdf[-1]
    steps = np.linspace(0, 1, TABLE + 1)
    inverse = np.interp(steps, cdf, x)
    quantiles = []
    for size in film.crop_size:
        centre = np.arange(size) + 0.5
        quantiles.append(
            np.stack([np.interp(-centre, inverse, steps), np.interp(size - centre, inverse, steps)], axis=1)
        )
    return inverse.astype(np.float32), np.concatenate(quantiles).astype(np.float32)
