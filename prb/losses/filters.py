"""Filters of pictures that losses look through, with their exact pull-backs.

A filter turns a picture into another one, whose size may differ, and a derivative by the result into one by
the picture. Where pixels have weights, averages are weighted ones, so that what does not count does not leak
into its neighbours either; the weights of the result say how much of it counted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from prb.errors import ImageError, ParameterError
from prb.losses.weights import Array, spread

Curve: TypeAlias = Callable[[Array], tuple[Array, Array]]  # numbers -> (encoded, derivative of that)
Linear: TypeAlias = Callable[[Array], Array]
PullBack: TypeAlias = Callable[[Array], Array]

TRUNCATED = 4.0  # standard deviations, where the Gaussian is 3e-4 of its maximum


@dataclass(frozen=True)
class Filter:
    """apply: image -> (result, pull-back of a derivative by it). weights: of the result; None: all numbers
    count alike."""

    apply: Callable[[Array], tuple[Array, PullBack]]
    weights: Array | None = None


def blocks(edge: int, shape: tuple[int, ...], weights: ArrayLike | None) -> Filter:
    """Means of edge x edge pixels, without the rest at the end of a row or column."""
    height, width = (n // edge for n in shape[:2])
    whole = slice(0, height * edge), slice(0, width * edge)

    def sums(image: Array) -> Array:
        return image[whole].reshape(height, edge, width, edge, *shape[2:]).sum(axis=(1, 3))

    def spread_out(derivative: Array) -> Array:
        found = np.zeros(shape)
        found[whole] = derivative.repeat(edge, axis=0).repeat(edge, axis=1)
        return found

    return _means(sums, spread_out, shape, weights)


def gaussian(sigma: float, shape: tuple[int, ...], weights: ArrayLike | None) -> Filter:
    """A Gaussian blur of standard deviation sigma in pixels; what lies beyond the picture does not count."""
    radius = max(1, math.ceil(TRUNCATED * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)

    def blur(image: Array) -> Array:
        for axis in (0, 1):
            image = _convolved(image, taps, axis)
        return image

    return _means(blur, blur, shape, weights)  # the taps are symmetric, so the blur is its own transpose


def _convolved(image: Array, taps: Array, axis: int) -> Array:
    """The convolution along an axis with an odd number of taps, zeros beyond the picture."""
    size, radius = image.shape[axis], len(taps) // 2
    lines = np.moveaxis(image, axis, 0)
    found = np.zeros(lines.shape)
    for offset in range(max(-radius, 1 - size), min(radius, size - 1) + 1):
        there, here = (
            slice(max(offset, 0), size + min(offset, 0)),
            slice(max(-offset, 0), size - max(offset, 0)),
        )
        found[here] += taps[offset + radius] * lines[there]
    return np.moveaxis(found, 0, axis)


def _means(sums: Linear, transpose: Linear, shape: tuple[int, ...], weights: ArrayLike | None) -> Filter:
    """Weighted means, sums(w x) / sums(w); where nothing counts, 0."""
    counts = np.ones(shape) if weights is None else spread(weights, shape)
    total = sums(counts)
    inverse = np.divide(1, total, out=np.zeros(total.shape), where=total > 0)

    def apply(image: Array) -> tuple[Array, PullBack]:
        return inverse * sums(counts * image), lambda derivative: counts * transpose(inverse * derivative)

    return Filter(apply, None if weights is None else total)


def neighbours(axis: int, shape: tuple[int, ...], weights: ArrayLike | None) -> Filter:
    """Differences of neighbouring pixels along an axis. A difference counts as the lesser of its two."""

    def ends(image: Array) -> tuple[Array, Array]:
        last, first = [slice(None)] * image.ndim, [slice(None)] * image.ndim
        last[axis], first[axis] = slice(1, None), slice(None, -1)
        return image[tuple(last)], image[tuple(first)]

    def pull_back(derivative: Array) -> Array:
        found = np.zeros(shape)
        last, first = ends(found)
        last += derivative
        first -= derivative
        return found

    def apply(image: Array) -> tuple[Array, PullBack]:
        last, first = ends(image)
        return last - first, pull_back

    return Filter(apply, None if weights is None else np.minimum(*ends(spread(weights, shape))))


def curved(curve: Curve, shape: tuple[int, ...], weights: ArrayLike | None) -> Filter:
    """A tone curve, number by number."""

    def apply(image: Array) -> tuple[Array, PullBack]:
        encoded, slope = (np.asarray(x, np.float64) for x in curve(image))
        for what, found in (("result", encoded), ("derivative", slope)):
            if found.shape != image.shape:
                raise ImageError(f"curve: its {what} has shape {found.shape}, the picture {image.shape}")
        return encoded, lambda derivative: derivative * slope

    return Filter(apply, None if weights is None else spread(weights, shape))


def srgb(x: Array) -> tuple[Array, Array]:
    """sRGB's curve (IEC 61966-2-1), which goes on above 1, and as its straight line below 0."""
    above = np.maximum(x, 0.0031308)
    curve, slope = 1.055 * above ** (1 / 2.4) - 0.055, 1.055 / 2.4 * above ** (1 / 2.4 - 1)
    straight = x <= 0.0031308
    return np.where(straight, 12.92 * x, curve), np.where(straight, 12.92, slope)


def logarithm(x: Array) -> tuple[Array, Array]:
    """sign(x) log(1 + |x|), whose derivative is 1 / (1 + |x|) on both sides."""
    size = np.abs(x)
    return np.sign(x) * np.log1p(size), 1 / (1 + size)


def reinhard(x: Array) -> tuple[Array, Array]:
    """x / (1 + |x|), Reinhard's tone curve (Reinhard et al. 2002) on both sides of 0."""
    size = 1 + np.abs(x)
    return x / size, 1 / size**2


CURVES: dict[str, Curve] = {"srgb": srgb, "log": logarithm, "reinhard": reinhard}


def curve_of(curve: str | Curve) -> Curve:
    """The curve of a name. Raises ParameterError."""
    if callable(curve):
        return curve
    if curve not in CURVES:
        raise ParameterError(f"curve: {curve!r} is unknown; the curves are {', '.join(CURVES)}")
    return CURVES[curve]
