"""Reconstruction filters as tables, and the window of the film that is sampled."""

import math

import numpy as np

from prb.kernels.estimators.film import LINE, STEPS

BLOCK = 8  # pixels, at most
RADIUS_TOLERANCE = 2e-4  # pixels, as Mitsuba rounds


def _gaussian(film, x):
    """A Gaussian that is cut off at four standard deviations and shifted to reach zero there."""
    return np.exp(-0.5 * (x / film.filter_stddev) ** 2) - np.exp(-8.0)


def _cubic(film, x):
    """The two-parameter family of Mitchell and Netravali, Reconstruction Filters in Computer Graphics,
    SIGGRAPH 1988, equation 8; Catmull-Rom's spline is B = 0, C = 1/2."""
    b, c = film.filter_bc
    near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + (6 - 2 * b)
    far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c)
    return np.where(x < 1, near, far) / 6


def _lanczos(film, x):
    return np.sinc(x) * np.sinc(x / film.radius)


# Values at distances (an array, in pixels, up to the radius) of a film's filter; they need not be normalised.
FILTERS = {
    "box": lambda film, x: np.ones_like(x),
    "tent": lambda film, x: 1 - x / film.radius,
    "gaussian": _gaussian,
    "mitchell": _cubic,
    "catmullrom": _cubic,
    "lanczos": _lanczos,
}


def filter_table(film):
    """The film's filter as kernels/estimators/film.py reads it: float32 (STEPS, 2 columns).

    Row i is for samples that lie between i/STEPS and (i + 1)/STEPS in their pixel: the filter at the centres
    of the pixels that they count in, for the interval's lower end and then for its upper end.
    """
    value, radius, interval = FILTERS[film.rfilter], film.radius, np.arange(STEPS)[:, None]
    pixels = np.arange(filter_width(film)) - reach(film) + (shifts(film) & (interval >= STEPS // 2))
    halves = []
    for end in (0, 1):
        distance = np.abs(pixels + 0.5 - (interval + end) / STEPS)
        values = np.where(distance <= radius, value(film, np.minimum(distance, radius)), 0.0)
        halves.append(np.pad(values, ((0, 0), (0, columns(film) - filter_width(film)))))
    return np.concatenate(halves, axis=1).astype(np.float32)


def shifts(film):
    """True if a sample counts in an even number of pixels, which begin one later if it lies in the second
    half of its own."""
    return reach(film) > 0 and film.radius <= reach(film) + RADIUS_TOLERANCE


def filter_width(film):
    """Pixels in a row that one sample counts in."""
    return 2 * reach(film) + 1 - shifts(film)


def block(film):
    """Pixels that a sample counts in at once, in vector operations."""
    return min(filter_width(film), BLOCK)


def columns(film):
    """The filter's width in whole blocks."""
    return block(film) * math.ceil(filter_width(film) / block(film))


def reach(film):
    """Pixels on each side of a sample's own that it can count in. Zero says that it counts in its own alone,
    and fully: a radius of half a pixel makes a box of every filter, as in Mitsuba; a smaller one does not."""
    narrow = abs(film.radius - 0.5) > RADIUS_TOLERANCE
    return max(math.ceil(film.radius - 0.5 - RADIUS_TOLERANCE), int(narrow))


def margin(film):
    """Pixels around the crop window, on each side, that are sampled as well."""
    return reach(film) if film.sample_border else 0


def sampled_size(film):
    """(width, height) of the window that is sampled, in pixels."""
    width, height = film.crop_size
    return width + 2 * margin(film), height + 2 * margin(film)


def pitch(film):
    """Columns of a row that samples can add to or read without asking whether they leave the picture."""
    return sampled_size(film)[0] + 2 * reach(film) + columns(film) + LINE


def largest_weight(film):
    """The largest sum of the absolute weights that a sample has in all pixels."""
    table = np.abs(filter_table(film)[:, : columns(film)].astype(float))
    return float(table.sum(axis=1).max()) ** 2
