"""How a model or an emitter declares the colours and numbers that it takes."""

import math
from typing import NamedTuple


class Parameter(NamedTuple):
    """A colour or a number of a model or an emitter, under Mitsuba's key.

    key: the name in the scene dictionary.
    default: the value if the scene gives none.
    low, high: the valid range, of each channel.
    number: True for one number, which is the luminance of a coloured texture; False for a colour.
    plain: Mitsuba's `traverse` calls it ``x.bsdf.key``, not ``x.bsdf.key.value``; it is never a texture.
    differentiable: False if sampled directions depend on it, so that detached sampling has no derivative.
    """

    key: str
    default: float
    low: float = 0.0
    high: float = math.inf
    number: bool = False
    plain: bool = False
    differentiable: bool = True
