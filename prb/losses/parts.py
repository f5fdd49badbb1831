"""Losses as parts of sums: `Part` compares with one target, `PartOfTarget` with any; and what is called a
loss, checked."""

import inspect
import math
from collections.abc import Callable
from numbers import Real
from typing import Any, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from prb.errors import ImageError, NotFiniteError, ParameterError
from prb.losses.weights import Array, checked_target, checked_weights

Loss: TypeAlias = Callable[[Any], tuple[float, Array]]  # image -> (value, derivative by the image)
LossOfTarget: TypeAlias = Callable[..., Loss]  # target -> loss
_Function = TypeVar("_Function", bound=Callable[..., Any])
_Own = TypeVar("_Own", bound="_Sum[Any]")


class _Sum(Generic[_Function]):
    """A sum of functions with factors, which + and * change. terms: (factor, function, its name)."""

    __array_ufunc__ = None  # NumPy's numbers leave * and + to this class

    def __init__(self, function: _Function, name: str | None = None) -> None:
        if not callable(function):
            raise ParameterError(f"loss: expected a function, got {type(function).__name__}")
        known = name or name_of(function)
        self._terms: tuple[tuple[float, _Function, str], ...] = ((1.0, function, known),)

    @classmethod
    def _of(cls: type[_Own], terms: tuple[tuple[float, Any, str], ...]) -> _Own:
        new = cls.__new__(cls)
        new._terms = terms
        return new

    def __add__(self: _Own, other: Any) -> _Own:
        if isinstance(other, Real) and other == 0:  # where `sum` begins
            return self
        if not isinstance(other, type(self)):
            if isinstance(other, _Sum):
                kinds = "one part is of a target and the other of any"
                raise ParameterError(f"loss: {kinds}; give both a target, or none, as in l2() + l1()")
            if not callable(other):
                got = type(other).__name__
                raise ParameterError(f"loss: a sum has losses for parts, got {got}; take what prb.losses has")
            other = type(self)(other)
        return type(self)._of(self._terms + other._terms)

    def __radd__(self: _Own, other: Any) -> _Own:
        if isinstance(other, Real) and other == 0:
            return self
        return type(self)(other) + self if callable(other) else self + other

    def __mul__(self: _Own, factor: Any) -> _Own:
        if isinstance(factor, bool) or not isinstance(factor, Real):
            what = f"its factor is a number, got {type(factor).__name__}"
            raise ParameterError(f"loss: {what}; an image of weights is an option: l2(target, weights=image)")
        number = float(factor)
        if not (math.isfinite(number) and number >= 0):
            raise ParameterError(f"loss: the factor {number:g} is out of range; it goes from 0 on")
        return type(self)._of(tuple((number * f, function, name) for f, function, name in self._terms))

    __rmul__ = __mul__

    def __truediv__(self: _Own, divisor: Any) -> _Own:
        if not isinstance(divisor, Real) or divisor == 0:
            raise ParameterError(f"loss: {divisor!r} is no divisor; it is a number larger than 0")
        return self * (1 / divisor)

    def __repr__(self) -> str:
        return " + ".join(name if f == 1 else f"{f:.12g}*{name}" for f, _, name in self._terms)


class Part(_Sum[Loss]):
    """A loss image -> (value, derivative by the image) that can be a part of a sum: ``0.5 * a + b``.

    ``Part(function, name)`` makes one of a function with these results. Factors are numbers from 0 on. The
    sum of losses whose gradients have no bias has none either.
    """

    def __call__(self, image: ArrayLike) -> tuple[float, Array]:
        if len(self._terms) == 1 and self._terms[0][0] == 1:
            return self._terms[0][1](image)
        image = np.asarray(image, np.float64)
        value, derivative = 0.0, np.zeros(image.shape)
        for factor, function, name in self._terms:
            if factor:  # else it need not even be finite
                own, by_image = evaluated(function, image, name)
                value, derivative = value + factor * own, derivative + factor * by_image
        return value, derivative


class PartOfTarget(_Sum[LossOfTarget]):
    """A function target -> loss that can be a part of a sum: ``0.5 * l2() + multiscale("l1")``.

    ``PartOfTarget(function, name)`` makes one of a function target -> loss, which may take weights as a
    keyword. To be called with a target, and with weights as in `prb.losses`; returns a `Part`.
    """

    def __call__(self, target: ArrayLike, weights: ArrayLike | None = None) -> Part:
        terms = tuple((f, of_target(function, target, weights), name) for f, function, name in self._terms)
        if len(terms) == 1 and isinstance(terms[0][1], Part):
            return terms[0][1] * terms[0][0]
        return Part._of(terms)


def built(
    name: str, build: Callable[[Array, ArrayLike | None], Loss], target: ArrayLike | None
) -> "Part | PartOfTarget":
    """A loss of that name: of a target where there is one, else of any. build: (target, weights) -> loss."""

    def of_one(target: ArrayLike, weights: ArrayLike | None = None) -> Part:
        return Part(build(checked_target(target), weights), name)

    return PartOfTarget(of_one, name) if target is None else of_one(target)


def of_two_pictures(
    function: Callable[..., Any], loss: Callable[[Callable[[Any], Any]], Part], array: Callable[[Any], Any]
) -> PartOfTarget:
    """A function (picture, target) of another library, or (picture, target, weights=None), as a loss of any
    target. loss: makes a loss of a function of the picture alone. array: makes the library's array."""

    def unweighted(target: ArrayLike) -> Part:
        wanted = array(checked_target(target))
        return loss(lambda picture: function(picture, wanted))

    def weighted(target: ArrayLike, weights: ArrayLike | None = None) -> Part:
        if weights is None:
            return unweighted(target)
        checked = checked_target(target)
        wanted, counts = array(checked), array(checked_weights(weights, checked.shape))
        return loss(lambda picture: function(picture, wanted, weights=counts))

    make = weighted if takes_weights(function, pictures=2) else unweighted
    return PartOfTarget(make, name_of(function))


def name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def takes_weights(make: Callable[..., Any], pictures: int = 1) -> bool:
    """False for a function of so many pictures that does not take weights as a keyword."""
    try:
        inspect.signature(make).bind(*[None] * pictures, weights=None)
    except ValueError:  # it has no signature
        return True
    except TypeError:
        return False
    return True


def of_target(make: LossOfTarget, target: ArrayLike, weights: ArrayLike | None) -> Loss:
    """The loss of a target with weights, or without: None. make: a function target -> loss, which has to take
    weights as a keyword then. Raises ParameterError where it does not."""
    if weights is None:
        return make(target)
    if not takes_weights(make):
        what = "the function takes no weights"
        raise ParameterError(f"loss: {what}; let it be a function (target, weights=None)")
    return make(target, weights=weights)


def value_of(loss: Loss, image: Array) -> float:
    """The loss of an image, a finite number. Raises ParameterError."""
    return _finite_value(_called(loss, image)[0])


def derivative_of(loss: Loss, image: Array) -> Array:
    """The derivative of the loss by an image, checked. Raises ImageError and ParameterError."""
    return _finite_derivative(_called(loss, image)[1], image)


def evaluated(loss: Loss, image: Array, name: str) -> tuple[float, Array]:
    """Value and derivative of a part of a loss, checked as those of the whole are."""
    value, derivative = _called(loss, image, name)
    return _finite_value(value, name), _finite_derivative(derivative, image, name)


def _finite_value(value: float, name: str = "") -> float:
    """name: of a part of the loss, for messages."""
    if not math.isfinite(value):
        what = f"{name or 'it'} is {value}, not a finite number"
        raise NotFiniteError(f"loss: {what}; look at picture and target")
    return value


def _finite_derivative(derivative: Array, image: Array, name: str = "") -> Array:
    whose = f"the derivative of {name}" if name else "its derivative"
    if derivative.shape != image.shape:
        raise ImageError(f"loss: {whose} has shape {derivative.shape}, the picture {image.shape}")
    if not np.isfinite(derivative).all():
        raise NotFiniteError(f"loss: {whose} is not finite everywhere; look at picture and target")
    return derivative


def _called(loss: Loss, image: Array, name: str = "") -> tuple[float, Array]:
    found = loss(image)
    try:
        value, derivative = found
        if not isinstance(value, Real) and np.size(value) != 1:
            raise TypeError
        return float(value), np.asarray(derivative, np.float64)
    except (TypeError, ValueError):
        of_part = f"of {name} " if name else ""
        what = f"expected {of_part}(value, derivative by the image), got {type(found).__name__}"
        raise ParameterError(f"loss: {what}; prb.losses has such functions") from None
