"""Targets and weights as arrays, checked."""

import zlib
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import ImageError

Array: TypeAlias = NDArray[np.float64]


def checked_target(target: ArrayLike) -> Array:
    """The target as float64. Raises ImageError."""
    try:
        checked = np.asarray(target, np.float64)
    except (TypeError, ValueError):
        raise ImageError(f"target: expected an array of numbers, got {type(target).__name__}") from None
    if checked.size == 0 or checked.ndim < 2:
        raise ImageError(f"target: expected (height, width, channels), got {checked.shape}")
    if not np.isfinite(checked).all():
        raise ImageError("target: has numbers that are not finite; replace them")
    return checked


def same_shape(image: ArrayLike, target: Array) -> Array:
    """The image as float64, which has the target's shape. Raises ImageError."""
    found = np.asarray(image, np.float64)
    if found.shape != target.shape:
        shapes = f"{target.shape} and the picture {found.shape}"
        raise ImageError(f"target: has shape {shapes}; resize one of them")
    return found


def checked_weights(weights: ArrayLike, shape: tuple[int, ...], place: str = "weights") -> Array:
    """Weights of a picture of the given shape, as float64. place: what messages call them.

    Raises ImageError unless they are (height, width) or of that shape, finite, not negative, and not all 0.
    """
    try:
        found = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise ImageError(f"{place}: expected an array of numbers, got {type(weights).__name__}") from None
    if found.shape not in (shape[:2], shape):
        raise ImageError(f"{place}: expected shape {shape[:2]} or {shape}, got {found.shape}; resize them")
    if not np.isfinite(found).all():
        raise ImageError(f"{place}: has numbers that are not finite; replace them")
    if (found < 0).any():
        raise ImageError(f"{place}: has the negative number {found.min():g}; weights go from 0 on")
    if not found.any():
        raise ImageError(f"{place}: is 0 everywhere, so nothing is left to compare; let something count")
    return found


def spread(weights: ArrayLike, shape: tuple[int, ...], place: str = "weights") -> Array:
    """The weights in the picture's shape, the largest 1, so that no sum of them overflows. Raises
    ImageError, as `checked_weights` does."""
    checked = checked_weights(weights, shape, place)
    full = np.broadcast_to(checked if checked.ndim == len(shape) else checked[..., None], shape)
    return full / full.max()


def product(one: ArrayLike | None, other: ArrayLike | None, shape: tuple[int, ...]) -> ArrayLike | None:
    """Two weights of a picture as one, up to a factor; None: all counts alike."""
    if one is None or other is None:
        return other if one is None else one
    found = spread(one, shape) * spread(other, shape)
    if not found.any():
        raise ImageError("weights: two of them leave nothing that counts in both; let something count")
    return found


def shares(weights: ArrayLike | None, shape: tuple[int, ...]) -> Array | None:
    """The weights in the picture's shape, with sum 1; None: all numbers count alike."""
    if weights is None:
        return None
    full = spread(weights, shape)
    return np.asarray(full / full.sum())


def summary(name: str, image: ArrayLike) -> str:
    """An image in the description of a loss: its size, and a checksum, so that others are told apart."""
    array = np.asarray(image)
    size = " x ".join(map(str, array.shape))
    return f"{name} {size}, CRC {zlib.crc32(np.ascontiguousarray(array).tobytes()):08x}"
