"""Flat gradients by the names of the parameters, with or without their standard errors."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from prb.device.params import records


class Estimate(NamedTuple):
    """A Monte Carlo estimate and its standard error, two arrays of the same shape and unit: with other random
    numbers `value` varies by about `stderr`, the root of its variance."""

    value: NDArray[np.floating[Any]]
    stderr: NDArray[np.floating[Any]]


def split(scene, flat, names):
    """A flat gradient as a dict name -> array."""
    known = records(scene)
    return {name: known[name].of(flat).copy() for name in names}


def estimates(scene, result, names):
    """A `Result`'s gradient by name, with its standard errors: name -> `Estimate`."""
    values, errors = (split(scene, flat, names) for flat in (result.gradient, np.sqrt(result.variance)))
    return {name: Estimate(values[name], errors[name]) for name in names}
