"""Priors: what is known of a texture or a volume before a picture is seen, as terms added to the loss.

prb.optimize(..., priors={"floor.*": prb.priors.TotalVariation(1e-4)})

`TotalVariation` keeps edges and flattens what lies between, `Smoothness` blurs both, `L2` holds values where
they started. Texels that few paths reach have noisy gradients and end as salt and pepper without them.

Values are integrals over the texture, whose area counts as 1, or means: a weight keeps its meaning when the
same texture has more texels. Texels count as squares, voxels as cubes, with the volume of all of them as 1.
A class of one's own derives from `Prior`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, TypeAlias

import numpy as np

from prb.errors import ParameterError
from prb.recover.bounds import named
from prb.recover.grids import Array, Grid


class Prior:
    """The base of all priors. weight: the factor of its term, 0 or more. Raises ParameterError.

    A class that derives from it has `value_and_derivative`, and names its settings as attributes: `repr`,
    by which a run is known again when it is resumed, lists them.
    """

    GRIDS_ONLY = True  # False: for a parameter of any shape

    def __init__(self, weight: float) -> None:
        valid = 0 <= _number(weight) < math.inf
        self.weight = _checked("weight", weight, valid, "a finite number from 0 on")

    def value_and_derivative(self, value: Array, grid: Grid) -> tuple[float, Array]:
        """The term for a parameter's values, without the weight, and its derivative, in their shape.

        value: float64 of shape ``grid.shape``. grid: which of the axes are those of a grid, which of these
        wrap, and what the values were at the start.
        """
        raise NotImplementedError

    def __call__(self, value: Array, grid: Grid) -> tuple[float, Array]:
        """The term and its derivative, times the weight. Raises ParameterError for a derivative of another
        shape."""
        found, derivative = self.value_and_derivative(value, grid)
        if np.shape(derivative) != value.shape:
            what = f"its derivative has shape {np.shape(derivative)}, {grid.name} {value.shape}"
            raise ParameterError(f"priors: {type(self).__name__}: {what}; return one of the same shape")
        return self.weight * float(found), self.weight * derivative

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


class TotalVariation(Prior):
    r"""The integral of |grad value| over the texture (Rudin, Osher and Fatemi, "Nonlinear total variation
    based noise removal algorithms", Physica D 60, 1992).

    With D the differences to the next texel along each axis, and n texels to the unit of length, it is the
    mean over the texels of sqrt(n^2 \|D\|^2 + epsilon^2) - epsilon: Charbonnier's form, which has a
    derivative at 0. \|D\|^2 is the sum over axes of the mean over channels: edges of the channels keep
    together (Blomgren and Chan, "Color TV", IEEE Transactions on Image Processing 7, 1998), and a grey
    picture has the value of its one channel.

    epsilon: slope below which the term is quadratic: change of the value over the side of the texture.
    """

    def __init__(self, weight: float, *, epsilon: float = 0.05) -> None:
        super().__init__(weight)
        valid = 0 < _number(epsilon) < math.inf
        self.epsilon = _checked("epsilon", epsilon, valid, "a finite number above 0")

    def value_and_derivative(self, value: Array, grid: Grid) -> tuple[float, Array]:
        n = _texels_per_length(grid)
        slopes = [n * _difference(value, axis, grid) for axis in grid.axes]
        squares = sum((slope**2 for slope in slopes), np.zeros(value.shape)).mean(axis=-1, keepdims=True)
        length = np.sqrt(squares + self.epsilon**2)
        parts = [n * slope / (length * value.size) for slope in slopes]
        return float((length - self.epsilon).mean()), _transposed(parts, value.shape)


class Smoothness(Prior):
    r"""The integral of \|grad value\|^2 over the texture, the mean over channels: its derivative is the
    Laplacian, times -2. With D and n as for `TotalVariation` the mean over texels and channels of n^2
    \|D\|^2."""

    def value_and_derivative(self, value: Array, grid: Grid) -> tuple[float, Array]:
        steps = [_difference(value, axis, grid) for axis in grid.axes]
        factor = _texels_per_length(grid) ** 2 / value.size
        total = factor * float(sum((step**2).sum() for step in steps))
        return total, _transposed([2 * factor * step for step in steps], value.shape)


class L2(Prior):
    """The mean squared difference from the values at the start of the run; for any parameter."""

    GRIDS_ONLY = False

    def value_and_derivative(self, value: Array, grid: Grid) -> tuple[float, Array]:
        difference = value - grid.initial
        return float((difference**2).mean()), 2 * difference / max(value.size, 1)


Priors: TypeAlias = Mapping[str, Prior | Iterable[Prior]]  # pattern -> prior, or several
KINDS: dict[str, type[Prior]] = {"tv": TotalVariation, "smooth": Smoothness, "l2": L2}


def by_name(priors: Priors | None, names: Iterable[str], known: Mapping[str, Grid]) -> dict[str, list[Prior]]:
    """name -> the priors that patterns give it. known: name -> `Grid`. Raises ParameterError."""
    if priors is None:
        return {}
    if not isinstance(priors, Mapping):
        raise ParameterError(f"priors: expected patterns with priors, got {type(priors).__name__}")
    found: dict[str, list[Prior]] = {}
    for pattern, given in priors.items():
        for prior in _listed(pattern, given):
            for name in named("priors", pattern, list(names)):
                if prior.GRIDS_ONLY and not known[name].wraps:
                    what = f"{name} is no grid of texels, its shape is {known[name].shape}"
                    raise ParameterError(
                        f"priors: {type(prior).__name__}: {what}; name a texture or a gridvolume"
                    )
                found.setdefault(name, []).append(prior)
    return found


def _listed(pattern: str, given: Any) -> Iterator[Prior]:
    for prior in given if isinstance(given, list | tuple) else [given]:
        if not isinstance(prior, Prior):
            known = ", ".join(kind.__name__ for kind in KINDS.values())
            what = f"{pattern}: {prior!r} is no prior"
            raise ParameterError(f"priors: {what}; give one of prb.priors ({known}) or a list of them")
        yield prior


def _difference(value: Array, axis: int, grid: Grid) -> Array:
    """The next texel minus this one along an axis; 0 where there is no next one."""
    step = np.roll(value, -1, axis) - value
    if not grid.wraps[axis]:
        np.moveaxis(step, axis, 0)[-1] = 0
    return step


def _transposed(parts: list[Array], shape: tuple[int, ...]) -> Array:
    """The derivative by the values of what has these derivatives by the differences, axis by axis."""
    total = np.zeros(shape)
    for axis, part in enumerate(parts):
        total += np.roll(part, 1, axis) - part
    return total


def _texels_per_length(grid: Grid) -> float:
    """The root of the number of texels, of the order of how many axes have more than one."""
    sizes = [grid.shape[axis] for axis in grid.axes if grid.shape[axis] > 1]
    return math.prod(sizes) ** (1 / max(len(sizes), 1))


def _number(value: Any) -> float:
    """The number as a float; not a number for anything else."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan


def _checked(name: str, value: Any, valid: bool, what: str) -> float:
    if not valid:
        raise ParameterError(f"priors: {name}: {value!r} is out of range; it is {what}")
    return float(value)
