"""Losses: how far a picture is from a target, and the derivative of that.

A loss is a function image -> (value, derivative): a number, and its derivative by the image in the image's
shape. `l1`, `l2`, `relative_l2` and `log` make one from a target; values are means over pixels and channels.
`masked` and `multiscale` make one from those. For squared errors, `l2` and `relative_l2`, the gradients of
`prb.value_and_grad` have no bias; for the others it shrinks as the samples grow.

weights: how much each pixel counts, (height, width), or each of its channels, in the target's shape; not
negative. The value is then the weighted mean: divided by the sum of the weights and not by the number of
pixels, so that a constant factor changes nothing and what is left out does not make a loss small.
"""

import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import ImageError, NotFiniteError, ParameterError

Array: TypeAlias = NDArray[np.float64]
Loss: TypeAlias = Callable[[Any], tuple[float, Array]]  # image -> (value, derivative by the image)
LossOfTarget: TypeAlias = Callable[..., Loss]  # target -> loss


def l1(target: ArrayLike, weights: ArrayLike | None = None) -> Loss:
    """The mean absolute difference."""
    wanted = _checked(target)
    parts = _parts(weights, wanted)

    def loss(image: ArrayLike) -> tuple[float, Array]:
        difference = _same_shape(image, wanted) - wanted
        return _mean(np.abs(difference), parts), _scaled(np.sign(difference), parts)

    return loss


def l2(target: ArrayLike, weights: ArrayLike | None = None) -> Loss:
    """The mean squared difference."""
    wanted = _checked(target)
    return _squared(wanted, 1.0, _parts(weights, wanted))


def relative_l2(target: ArrayLike, epsilon: float = 1e-2, weights: ArrayLike | None = None) -> Loss:
    """The mean of squared differences over target^2 + epsilon, so that what is dark counts as well."""
    wanted = _checked(target)
    return _squared(wanted, 1 / (wanted**2 + epsilon), _parts(weights, wanted))


def log(target: ArrayLike, weights: ArrayLike | None = None) -> Loss:
    """The mean squared difference of log(1 + x), where x below zero counts as zero."""
    wanted = np.log1p(np.maximum(_checked(target), 0))
    parts = _parts(weights, wanted)

    def loss(image: ArrayLike) -> tuple[float, Array]:
        positive = np.maximum(_same_shape(image, wanted), 0)
        difference = np.log1p(positive) - wanted
        slope = np.where(np.asarray(image) > 0, 1 / (1 + positive), 0.0)
        return _mean(difference**2, parts), _scaled(2 * difference * slope, parts)

    return loss


LOSSES: dict[str, LossOfTarget] = {"l1": l1, "l2": l2, "relative_l2": relative_l2, "log": log}


def masked(loss: str | LossOfTarget, target: ArrayLike, mask: ArrayLike) -> Loss:
    """A loss of some pixels only. loss: a name of `LOSSES` or a function target -> loss that takes each
    number for itself. mask: (height, width), true where a pixel counts."""
    wanted, counts = _checked(target), np.asarray(mask, bool)
    if counts.shape != wanted.shape[:2]:
        raise ImageError(f"mask: expected shape {wanted.shape[:2]} (height, width), got {counts.shape}")
    if not counts.any():
        raise ImageError("mask: no pixel is left; let it be true somewhere")
    of_pixels = made(loss)(wanted[counts])

    def masked_loss(image: ArrayLike) -> tuple[float, Array]:
        image = _same_shape(image, wanted)
        derivative = np.zeros(image.shape)
        value, derivative[counts] = of_pixels(image[counts])
        return value, derivative

    return masked_loss


def multiscale(loss: str | LossOfTarget, target: ArrayLike, levels: int = 4) -> Loss:
    """The mean of a loss over the picture and its reductions; each is the means of 2 x 2 pixels of the one
    before, without an odd last row or column. loss: as for `masked`."""
    wanted, make = _checked(target), made(loss)
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
        raise ParameterError(f"levels: {levels!r} is out of range; it is a whole number from 1 on")
    if min(wanted.shape[:2]) < 2 ** (levels - 1):
        size = f"{wanted.shape[1]} x {wanted.shape[0]} pixels"
        raise ParameterError(f"levels: {size} cannot be halved {levels - 1} times; take fewer levels")
    targets = [wanted]
    while len(targets) < levels:
        targets.append(_halved(targets[-1]))
    losses = [make(t) for t in targets]

    def multiscale_loss(image: ArrayLike) -> tuple[float, Array]:
        images = [_same_shape(image, wanted)]
        while len(images) < levels:
            images.append(_halved(images[-1]))
        found = [of_level(reduced) for of_level, reduced in zip(losses, images, strict=True)]
        derivative = found[-1][1]
        for (_, finer), reduced in zip(found[-2::-1], images[-2::-1], strict=True):
            derivative = finer + _spread(derivative, reduced.shape)
        return sum(value for value, _ in found) / levels, derivative / levels

    return multiscale_loss


def _squared(target: Array, weight: float | Array, parts: Array | None) -> Loss:
    def loss(image: ArrayLike) -> tuple[float, Array]:
        difference = _same_shape(image, target) - target
        weighted = weight * difference
        return _mean(weighted * difference, parts), _scaled(2 * weighted, parts)

    return loss


def _mean(values: Array, parts: Array | None) -> float:
    return float(values.mean() if parts is None else (parts * values).sum())


def _scaled(derivatives: Array, parts: Array | None) -> Array:
    """Derivatives of the single numbers as those of their mean."""
    return derivatives / derivatives.size if parts is None else parts * derivatives


def _parts(weights: ArrayLike | None, target: Array) -> Array | None:
    """The weights in the target's shape, with sum 1; None: all numbers count alike."""
    if weights is None:
        return None
    checked = checked_weights(weights, target.shape)
    spread = np.broadcast_to(checked if checked.ndim == target.ndim else checked[..., None], target.shape)
    largest = spread / spread.max()  # the sum of large numbers does not overflow then
    return np.asarray(largest / largest.sum())


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


def made(loss: str | LossOfTarget) -> LossOfTarget:
    """The function target -> loss that a name stands for. Raises ParameterError."""
    if callable(loss):
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise ParameterError(f"loss: {loss!r} is unknown; the losses are {', '.join(LOSSES)}")
    return LOSSES[loss]


def of_weighted(loss: str | LossOfTarget, target: ArrayLike, weights: ArrayLike | None) -> Loss:
    """The loss of a target with weights, or without: None. loss: as for `made`; a function has to take
    weights as a keyword then. Raises ParameterError where it does not."""
    make = made(loss)
    if weights is None:
        return make(target)
    try:
        inspect.signature(make).bind(target, weights=weights)
    except ValueError:  # it has no signature
        pass
    except TypeError:
        what = "the function takes no weights"
        raise ParameterError(f"loss: {what}; let it be a function (target, weights=None)") from None
    return make(target, weights=weights)


def value_of(loss: Loss, image: Array) -> float:
    """The loss of an image, a finite number. Raises ParameterError."""
    value = _called(loss, image)[0]
    if not math.isfinite(value):
        raise NotFiniteError(f"loss: it is {value}, not a finite number; look at picture and target")
    return value


def derivative_of(loss: Loss, image: Array) -> Array:
    """The derivative of the loss by an image, checked. Raises ImageError and ParameterError."""
    derivative = _called(loss, image)[1]
    if derivative.shape != image.shape:
        raise ImageError(f"loss: its derivative has shape {derivative.shape}, the picture {image.shape}")
    if not np.isfinite(derivative).all():
        raise NotFiniteError("loss: its derivative is not finite everywhere; look at picture and target")
    return derivative


def _called(loss: Loss, image: Array) -> tuple[float, Array]:
    found = loss(image)
    try:
        value, derivative = found
        if not isinstance(value, Real) and np.size(value) != 1:
            raise TypeError
        return float(value), np.asarray(derivative, np.float64)
    except (TypeError, ValueError):
        what = f"expected (value, derivative by the image), got {type(found).__name__}"
        raise ParameterError(f"loss: {what}; prb.losses has such functions") from None


def _halved(image: Array) -> Array:
    height, width = (n // 2 for n in image.shape[:2])
    blocks = image[: 2 * height, : 2 * width].reshape(height, 2, width, 2, *image.shape[2:])
    return blocks.mean(axis=(1, 3))


def _spread(derivative: Array, shape: tuple[int, ...]) -> Array:
    """The derivative by an image of the given shape, of one by its half."""
    found = np.zeros(shape)
    height, width = derivative.shape[:2]
    found[: 2 * height, : 2 * width] = derivative.repeat(2, axis=0).repeat(2, axis=1) / 4
    return found


def _checked(target: ArrayLike) -> Array:
    try:
        checked = np.asarray(target, np.float64)
    except (TypeError, ValueError):
        raise ImageError(f"target: expected an array of numbers, got {type(target).__name__}") from None
    if checked.size == 0 or checked.ndim < 2:
        raise ImageError(f"target: expected (height, width, channels), got {checked.shape}")
    if not np.isfinite(checked).all():
        raise ImageError("target: has numbers that are not finite; replace them")
    return checked


def _same_shape(image: ArrayLike, target: Array) -> Array:
    found = np.asarray(image, np.float64)
    if found.shape != target.shape:
        shapes = f"{target.shape} and the picture {found.shape}"
        raise ImageError(f"target: has shape {shapes}; resize one of them")
    return found
