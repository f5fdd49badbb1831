"""A loss and its gradient together: `value_and_grad`."""

import math
from numbers import Real
from typing import NamedTuple

import numpy as np

from prb.api import check_memory, report_rejected, split, viewed
from prb.device.params import select
from prb.errors import ImageError, NotFiniteError, ParameterError
from prb.estimators import cross_halves as halves
from prb.kernels.estimators import modes


class ValueAndGrad(NamedTuple):
    """value: the loss of the picture. grads: name -> its derivative, float64 in the parameter's shape.
    image: the picture, float64 (height, width, 3)."""

    value: float
    grads: dict
    image: np.ndarray


def value_and_grad(
    scene, params, loss, *, sensor=None, spp=None, seed=0, max_depth=None, hit_budget=halves.HIT_BUDGET
):
    """The loss of a picture and its derivative by the scene's parameters, from one set of samples.

    params: names, globs or aliases, as for `prb.render_backward`; an optimiser stands for its names.
    loss: a function image -> (value, derivative by the image), such as those of `prb.losses`. It is called
        with float64 (height, width, 3), three times: with the picture, and with that of each half of the
        samples, as each half carries the derivative that the other one gives. So the gradient has no bias
        for a loss that is quadratic in the picture, as `l2` is; the value has that of its picture's noise.
        `prb.torch.loss` makes such a function of one of PyTorch's.
    spp: 2 at least. sensor, seed, max_depth: as for `prb.render`. hit_budget: bytes that hits may take which
        are kept from the picture for the gradient, 40 for each path and 32 to 148 for each of its vertices;
        past it, rays are traced again.

    Returns a `ValueAndGrad`. Raises ParameterError and ImageError, also for a loss that is not finite or
    whose derivative has another shape. Interior derivatives only, as for `prb.render_backward`.
    """
    scene = viewed(scene, sensor)
    check_memory(scene, modes.REVERSE)
    names = select(scene, None if params is None else params if isinstance(params, str) else list(params))
    result = halves.estimate(
        scene, lambda image: derivative_of(loss, image), names, spp=spp, seed=seed, max_depth=max_depth,
        hit_budget=hit_budget,
    )  # fmt: skip
    report_rejected(result)
    return ValueAndGrad(value_of(loss, result.image), split(scene, result.gradient, names), result.image)


def value_of(loss, image):
    """The loss of an image, a finite number. Raises ParameterError."""
    value = _called(loss, image)[0]
    if not math.isfinite(value):
        raise NotFiniteError(f"loss: it is {value}, not a finite number; look at picture and target")
    return value


def derivative_of(loss, image):
    """The derivative of the loss by an image, checked. Raises ImageError and ParameterError."""
    derivative = _called(loss, image)[1]
    if derivative.shape != image.shape:
        raise ImageError(f"loss: its derivative has shape {derivative.shape}, the picture {image.shape}")
    if not np.isfinite(derivative).all():
        raise NotFiniteError("loss: its derivative is not finite everywhere; look at picture and target")
    return derivative


def _called(loss, image):
    found = loss(image)
    try:
        value, derivative = found
        if not isinstance(value, Real) and np.size(value) != 1:
            raise TypeError
        return float(value), np.asarray(derivative, np.float64)
    except (TypeError, ValueError):
        what = f"expected (value, derivative by the image), got {type(found).__name__}"
        raise ParameterError(f"loss: {what}; prb.losses has such functions") from None
