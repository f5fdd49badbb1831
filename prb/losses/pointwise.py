"""Losses that compare two pictures number by number."""

from collections.abc import Callable
from typing import overload

import numpy as np
from numpy.typing import ArrayLike

from prb.errors import ParameterError
from prb.losses.parts import Loss, LossOfTarget, Part, PartOfTarget, built
from prb.losses.weights import Array, product, same_shape, shares, summary


# fmt: off
@overload
def l1(target: None = None, weights: ArrayLike | None = None) -> PartOfTarget: ...
@overload
def l1(target: ArrayLike, weights: ArrayLike | None = None) -> Part: ...
# fmt: on
def l1(target: ArrayLike | None = None, weights: ArrayLike | None = None) -> Part | PartOfTarget:
    """The mean absolute difference. Its gradients have a bias that shrinks as the samples grow: the sign of a
    noisy difference is not that of its mean."""

    def build(target: Array) -> _Compared:
        def compared(image: Array) -> tuple[Array, Array]:
            difference = image - target
            return np.abs(difference), np.sign(difference)

        return compared

    return _pointwise("l1", build, target, weights)


# fmt: off
@overload
def l2(target: None = None, weights: ArrayLike | None = None) -> PartOfTarget: ...
@overload
def l2(target: ArrayLike, weights: ArrayLike | None = None) -> Part: ...
# fmt: on
def l2(target: ArrayLike | None = None, weights: ArrayLike | None = None) -> Part | PartOfTarget:
    """The mean squared difference. Its gradients have no bias."""
    return _pointwise("l2", lambda target: _squared(target, 1.0), target, weights)


# fmt: off
@overload
def relative_l2(
    target: None = None, epsilon: float = 1e-2, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def relative_l2(
    target: ArrayLike, epsilon: float = 1e-2, weights: ArrayLike | None = None
) -> Part: ...
# fmt: on
def relative_l2(
    target: ArrayLike | None = None, epsilon: float = 1e-2, weights: ArrayLike | None = None
) -> Part | PartOfTarget:
    """The mean of squared differences over target^2 + epsilon, so that what is dark counts as well. Its
    gradients have no bias."""
    try:
        positive = 0 < float(epsilon) < np.inf
    except (TypeError, ValueError):
        positive = False
    if not positive:
        raise ParameterError(f"epsilon: {epsilon!r} is out of range; it is a number larger than 0")
    name = "relative_l2" if epsilon == 1e-2 else f"relative_l2={epsilon:g}"
    return _pointwise(name, lambda target: _squared(target, 1 / (target**2 + epsilon)), target, weights)


# fmt: off
@overload
def log(target: None = None, weights: ArrayLike | None = None) -> PartOfTarget: ...
@overload
def log(target: ArrayLike, weights: ArrayLike | None = None) -> Part: ...
# fmt: on
def log(target: ArrayLike | None = None, weights: ArrayLike | None = None) -> Part | PartOfTarget:
    """The mean squared difference of log(1 + x), where x below zero counts as zero. Its gradients have a bias
    that shrinks as the samples grow."""

    def build(target: Array) -> _Compared:
        wanted = np.log1p(np.maximum(target, 0))

        def compared(image: Array) -> tuple[Array, Array]:
            positive = np.maximum(image, 0)
            difference = np.log1p(positive) - wanted
            slope = np.where(image > 0, 1 / (1 + positive), 0.0)
            return difference**2, 2 * difference * slope

        return compared

    return _pointwise("log", build, target, weights)


LOSSES: dict[str, LossOfTarget] = {"l1": l1, "l2": l2, "relative_l2": relative_l2, "log": log}

_Compared = Callable[[Array], tuple[Array, Array]]  # image -> (loss of each number, its derivative)


def _pointwise(
    name: str, build: Callable[[Array], _Compared], target: ArrayLike | None, weights: ArrayLike | None
) -> Part | PartOfTarget:
    """The weighted mean of what `build` makes of a target."""

    def loss_of(target: Array, more: ArrayLike | None) -> Loss:
        compared = build(target)
        counts = shares(product(weights, more, target.shape), target.shape)

        def loss(image: ArrayLike) -> tuple[float, Array]:
            values, derivatives = compared(same_shape(image, target))
            if counts is None:
                return float(values.mean()), derivatives / derivatives.size
            return float((counts * values).sum()), counts * derivatives

        return loss

    described = name if weights is None else f"{name}({summary('weights', weights)})"
    return built(described, loss_of, target)


def _squared(target: Array, weight: float | Array) -> _Compared:
    def compared(image: Array) -> tuple[Array, Array]:
        difference = image - target
        weighted = weight * difference
        return weighted * difference, 2 * weighted

    return compared
