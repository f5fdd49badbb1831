"""Losses: how far a picture is from a target, and the derivative of that.

A loss is a function image -> (value, derivative): a number, and its derivative by the image in the image's
shape. Those of this module are `Part`s, which + and * combine:

    loss = 0.5 * l2(target) + 0.1 * multiscale("l1", target, weights=weights)

Without a target they are `PartOfTarget`s, for any target, and combine in the same way; `prb.optimize` takes
one and gives it the target of each view:

    loss = 0.5 * l2() + 0.1 * multiscale("l1")

The same as text, which `prb optimize --loss` takes as well: ``"0.5*l2 + 0.1*multiscale:l1"``; see `made`.

of two pictures    `l1`, `l2`, `relative_l2`, `log`: means over pixels and channels
of filtered ones   `multiscale`, `blurred`, `differences` of neighbouring pixels, `encoded` by a tone curve;
                   each takes another loss, also one of this kind
of some pixels     `masked`; and all of them take weights
own functions      `Part` and `PartOfTarget` make them parts of a sum; so do `prb.torch.loss` and
                   `prb.jax.loss`, which find the derivative themselves

weights: how much each pixel counts, (height, width), or each of its channels, in the target's shape; not
negative. The value is then the weighted mean: divided by the sum of the weights and not by the number of
pixels, so that a constant factor changes nothing and what is left out does not make a loss small. A sum's
weights are those of each of its parts.

Bias: the gradient of `prb.value_and_grad` has no bias where the derivative of the loss is linear in the
picture. `l2` and `relative_l2` are such losses, and what sums, factors, weights, masks, `multiscale`,
`blurred` and `differences` make of these; for `l1`, `log` and `encoded` the bias shrinks as the samples grow.
"""

from prb.losses.filtered import (
    FILTERS,
    blurred,
    differences,
    encoded,
    made,
    masked,
    multiscale,
    of_weighted,
)
from prb.losses.filters import CURVES, Curve
from prb.losses.parts import (
    Array,
    Loss,
    LossOfTarget,
    Part,
    PartOfTarget,
    derivative_of,
    value_of,
)
from prb.losses.pointwise import LOSSES, l1, l2, log, relative_l2
from prb.losses.weights import checked_weights

__all__ = [
    "Array", "CURVES", "Curve", "FILTERS", "LOSSES", "Loss", "LossOfTarget", "Part", "PartOfTarget",
    "blurred", "checked_weights", "derivative_of", "differences", "encoded", "l1", "l2", "log", "made",
    "masked", "multiscale", "of_weighted", "relative_l2", "value_of",
]  # fmt: skip
