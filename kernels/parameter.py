"""How a plugin declares the colours and numbers it takes."""

import math
from typing import NamedTuple


class Parameter(NamedTuple):
    """One colour or number of a plugin, under Mitsuba's key.

    key: the name in the scene dictionary.
    default: the value where the scene gives none.
    low, high: the valid range, of each channel.
    number: one number, of a coloured texture its luminance; else a colour.
    plain: Mitsuba's `traverse` calls it ``x.bsdf.key``, not ``x.bsdf.key.value``; never a texture.
    differentiable: False where directions depend on it.
    """

    key: str
    default: float
    low: float = 0.0
    high: float = math.inf
    number: bool = False
    plain: bool = False
    differentiable: bool = True
