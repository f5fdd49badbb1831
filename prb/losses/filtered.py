"""Losses that are made of others: of filtered pictures, of some pixels; and from a text."""

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from prb.errors import ImageError, ParameterError
from prb.losses import filters
from prb.losses.filters import Curve, Filter
from prb.losses.parts import (
    Loss,
    LossOfTarget,
    Part,
    PartOfTarget,
    built,
    evaluated,
    name_of,
    of_target,
    takes_weights,
)
from prb.losses.pointwise import LOSSES
from prb.losses.text import Term, parsed
from prb.losses.weights import Array, product, same_shape, summary

_Inner = str | LossOfTarget


# fmt: off
@overload
def masked(
    loss: _Inner, target: None = None, mask: ArrayLike | None = None, *, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def masked(
    loss: _Inner, target: ArrayLike, mask: ArrayLike | None = None, *, weights: ArrayLike | None = None
) -> Part: ...
# fmt: on
def masked(
    loss: _Inner,
    target: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
) -> Part | PartOfTarget:
    """A loss of some pixels only. loss: a loss without its target, as text or function; one that takes no
    weights has to take each number for itself. mask: (height, width), true where a pixel counts. Gradients
    have no bias where those of the loss have none."""
    if mask is None:
        raise ParameterError("mask: is missing; give an image (height, width), true where a pixel counts")
    make, inner, counts = made(loss), _inner(loss), np.asarray(mask, bool)

    def build(wanted: Array, more: ArrayLike | None) -> Loss:
        if counts.shape != wanted.shape[:2]:
            raise ImageError(f"mask: expected shape {wanted.shape[:2]} (height, width), got {counts.shape}")
        if not counts.any():
            raise ImageError("mask: no pixel is left; let it be true somewhere")
        both = product(weights, more, wanted.shape)
        if both is not None or takes_weights(make):
            return of_target(make, wanted, product(counts, both, wanted.shape))
        of_pixels = make(wanted[counts])

        def masked_loss(image: ArrayLike) -> tuple[float, Array]:
            image = same_shape(image, wanted)
            derivative = np.zeros(image.shape)
            value, derivative[counts] = evaluated(of_pixels, image[counts], inner)
            return value, derivative

        return masked_loss

    return built(f"{summary('masked', counts)}:{inner}", build, target)


# fmt: off
@overload
def multiscale(
    loss: _Inner, target: None = None, levels: int = 4, *, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def multiscale(
    loss: _Inner, target: ArrayLike, levels: int = 4, *, weights: ArrayLike | None = None
) -> Part: ...
# fmt: on
def multiscale(
    loss: _Inner, target: ArrayLike | None = None, levels: int = 4, *, weights: ArrayLike | None = None
) -> Part | PartOfTarget:
    """The mean of a loss over the picture and its reductions; each is the means of 2 x 2 pixels of the one
    before, without an odd last row or column. loss: without its target, as text or function. Gradients have
    no bias where those of the loss have none."""
    if isinstance(levels, bool) or not isinstance(levels, int) or levels < 1:
        raise ParameterError(f"levels: {levels!r} is out of range; it is a whole number from 1 on")

    def views(shape: tuple[int, ...], counts: ArrayLike | None) -> list[Filter]:
        if min(shape[:2]) < 2 ** (levels - 1):
            size = f"{shape[1]} x {shape[0]} pixels"
            raise ParameterError(f"levels: {size} cannot be halved {levels - 1} times; take fewer levels")
        found = [filters.blocks(2**level, shape, counts) for level in range(levels)]
        if any(view.weights is not None and not view.weights.any() for view in found):
            raise ImageError("weights: nothing that counts is left in a reduced picture; take fewer levels")
        return found

    return _through(f"multiscale={levels}", views, loss, target, weights)


# fmt: off
@overload
def blurred(
    loss: _Inner, target: None = None, sigma: float = 2.0, *, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def blurred(
    loss: _Inner, target: ArrayLike, sigma: float = 2.0, *, weights: ArrayLike | None = None
) -> Part: ...
# fmt: on
def blurred(
    loss: _Inner, target: ArrayLike | None = None, sigma: float = 2.0, *, weights: ArrayLike | None = None
) -> Part | PartOfTarget:
    """A loss of the pictures after a Gaussian blur. sigma: its standard deviation in pixels; it ends at four
    of them. loss: without its target, as text or function. Gradients have no bias where those of the loss
    have none."""
    number = _number("sigma", sigma)

    def views(shape: tuple[int, ...], counts: ArrayLike | None) -> list[Filter]:
        return [filters.gaussian(number, shape, counts)]

    return _through(f"blurred={number:g}", views, loss, target, weights)


# fmt: off
@overload
def differences(
    loss: _Inner, target: None = None, *, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def differences(loss: _Inner, target: ArrayLike, *, weights: ArrayLike | None = None) -> Part: ...
# fmt: on
def differences(
    loss: _Inner, target: ArrayLike | None = None, *, weights: ArrayLike | None = None
) -> Part | PartOfTarget:
    """A loss of the differences between neighbouring pixels, the mean of those in a row and in a column:
    edges and texture count, an offset of the whole picture does not. A difference has the lesser weight of
    its two pixels. loss: without its target, as text or function; `log` would drop the differences below
    zero, which `encoded` by "log" does not. Gradients have no bias where those of the loss have none."""

    def views(shape: tuple[int, ...], counts: ArrayLike | None) -> list[Filter]:
        found = [filters.neighbours(axis, shape, counts) for axis in (0, 1) if shape[axis] > 1]
        if not found:
            raise ImageError("target: one pixel has no neighbours; take a larger picture")
        found = [view for view in found if view.weights is None or view.weights.any()]
        if not found:
            raise ImageError("weights: no two neighbours count; let them, or leave the differences out")
        return found

    return _through("differences", views, loss, target, weights)


# fmt: off
@overload
def encoded(
    loss: _Inner, target: None = None, curve: str | Curve = "srgb", *, weights: ArrayLike | None = None
) -> PartOfTarget: ...
@overload
def encoded(
    loss: _Inner, target: ArrayLike, curve: str | Curve = "srgb", *, weights: ArrayLike | None = None
) -> Part: ...
# fmt: on
def encoded(
    loss: _Inner,
    target: ArrayLike | None = None,
    curve: str | Curve = "srgb",
    *,
    weights: ArrayLike | None = None,
) -> Part | PartOfTarget:
    """A loss of the pictures behind a tone curve, as they are seen. target: linear radiance, like the
    picture. loss: without its target, as text or function.

    curve: "srgb", which goes on above 1, so that nothing is clipped; "log", log(1 + x); "reinhard",
        x / (1 + x); the last two go on below 0 as odd functions. Or a function image -> (encoded image,
        derivative of each number by its own).
    Gradients have a bias that shrinks as the samples grow, as a curve of a noisy number is not that of its
    mean.
    """
    function = filters.curve_of(curve)

    def views(shape: tuple[int, ...], counts: ArrayLike | None) -> list[Filter]:
        return [filters.curved(function, shape, counts)]

    name = curve if isinstance(curve, str) else name_of(curve)
    return _through(f"encoded={name}", views, loss, target, weights)


def _through(
    name: str,
    views: Callable[[tuple[int, ...], ArrayLike | None], Sequence[Filter]],
    loss: _Inner,
    target: ArrayLike | None,
    weights: ArrayLike | None,
) -> Part | PartOfTarget:
    """The mean of a loss over several filters of the pictures. views: (shape, weights) -> the filters."""
    make, inner = made(loss), _inner(loss)

    def build(wanted: Array, more: ArrayLike | None) -> Loss:
        found = views(wanted.shape, product(weights, more, wanted.shape))
        losses = [of_target(make, view.apply(wanted)[0], view.weights) for view in found]

        def loss_of_views(image: ArrayLike) -> tuple[float, Array]:
            image = same_shape(image, wanted)
            value, derivative = 0.0, np.zeros(image.shape)
            for view, of_view in zip(found, losses, strict=True):
                picture, pull_back = view.apply(image)
                own, by_picture = evaluated(of_view, picture, inner)
                value, derivative = value + own, derivative + pull_back(by_picture)
            return value / len(found), derivative / len(found)

        return loss_of_views

    described = name if weights is None else f"{name}({summary('weights', weights)})"
    return built(f"{described}:{inner}", build, target)


def _inner(loss: _Inner) -> str:
    """A loss's description inside that of another."""
    make = made(loss)
    text = repr(make) if isinstance(make, PartOfTarget) else name_of(make)
    return f"({text})" if " + " in text or "*" in text else text


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ParameterError(f"{name}: {value!r} is out of range; it is a number larger than 0")
    return number


FILTERS: dict[str, Callable[..., Any]] = {
    "multiscale": multiscale,
    "blurred": blurred,
    "differences": differences,
    "encoded": encoded,
}
OPTIONS = {"multiscale": "levels", "blurred": "sigma", "encoded": "curve", "relative_l2": "epsilon"}


def made(loss: _Inner) -> LossOfTarget:
    """The function target -> loss that a text stands for; a function is returned as it is.

    A text is the name of a loss, or a sum such as ``0.5*l2 + 0.1*multiscale=3:l1``: parts with factors, in
    front of a loss the filters that the pictures go through, from the outermost to the innermost, with an
    option behind "=":

        l1   l2   log   relative_l2   relative_l2=EPSILON
        multiscale:   multiscale=LEVELS:   blurred=SIGMA:   differences:   encoded=CURVE:

    ``differences:(l1 + l2)`` takes a sum through a filter. Raises ParameterError.
    """
    if callable(loss):
        return loss
    if isinstance(loss, str) and loss in LOSSES:
        return LOSSES[loss]
    if not isinstance(loss, str):
        raise ParameterError(f"loss: {loss!r} is unknown; the losses are {', '.join(LOSSES)}")
    return _sum(parsed(loss))


def of_weighted(loss: _Inner, target: ArrayLike, weights: ArrayLike | None) -> Loss:
    """The loss of a target with weights, or without: None. loss: as for `made`; a function has to take
    weights as a keyword then. Raises ParameterError where it does not."""
    return of_target(made(loss), target, weights)


def _sum(terms: Sequence[Term]) -> PartOfTarget:
    found = [_part(term) * term.factor for term in terms]
    return sum(found[1:], start=found[0])


def _part(term: Term) -> PartOfTarget:
    """The loss of a term without its factor."""
    name, option, inner = term.name, term.option, term.inner
    if not name:
        return _sum(inner)
    if name not in LOSSES and name not in FILTERS:
        known = f"the losses are {', '.join(LOSSES)}, filters in front of them {', '.join(FILTERS)}"
        raise ParameterError(f"loss: {name!r} is unknown; {known}")
    if option is not None and name not in OPTIONS:
        raise ParameterError(f"loss: {name} has no option, got {option!r}; leave '={option}' out")
    options = {} if option is None else {OPTIONS[name]: option}
    if name in FILTERS and inner:
        return FILTERS[name](_sum(inner), **options)
    if name in LOSSES and not inner:
        return LOSSES[name](**options)  # type: ignore[return-value]
    if inner:
        raise ParameterError(f"loss: {name} is no filter of pictures; those are {', '.join(FILTERS)}")
    raise ParameterError(f"loss: {name} is a filter; name a loss behind it, as in '{name}:l1'")
