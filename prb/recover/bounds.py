"""The ranges of a recovery: where the values may go, and which of them ended at a limit."""

import fnmatch
import math
import re
from collections.abc import Mapping

from prb.device.params import ALIASES
from prb.errors import ParameterError

# Below these the models clamp what they are given (`MIN_ALPHA` in kernels/microfacet.py, `ALPHA` of
# roughplastic, and `MIN_ALPHA`, of the roughness squared, in kernels/bsdf/principled_lobes.py): there is no
# derivative there that would lead out again. By key: a parameter's name ends in it, or in that of a texture.
LEAST = {"alpha": 0.002, "alpha_u": 0.002, "alpha_v": 0.002, "roughness": 0.035}
_KEY = re.compile(rf"(?:^|\.)({'|'.join(LEAST)})(?:\.(?:color[01]\.)?(?:value|data))?$")


def named(option, pattern, names):
    """Those of the names that a name, glob or alias stands for. Raises ParameterError where there is none."""
    globs = [pattern] if pattern in names else ALIASES.get(pattern, (pattern,))
    found = [name for name in names if any(fnmatch.fnmatchcase(name, glob) for glob in globs)]
    if not found:
        raise ParameterError(f"{option}: {pattern} is not optimised; those are {', '.join(names)}")
    return found


def given_bounds(bounds, names, records):
    """name -> (low, high) of the bounds that a caller gives by patterns, later ones first.
    Raises ParameterError."""
    if bounds is None:
        return {}
    if not isinstance(bounds, Mapping):
        raise ParameterError(f"bounds: expected patterns with (low, high), got {type(bounds).__name__}")
    found = {}
    for pattern, limits in bounds.items():
        try:
            low, high = map(float, limits)
        except (TypeError, ValueError):
            raise ParameterError(f"bounds: {pattern}: {limits!r} is no range; give (low, high)") from None
        for name in named("bounds", pattern, names):
            record = records[name]
            if low > record.high or high < record.low:
                valid = f"[{record.low:g}, {record.high:g}]"
                raise ParameterError(f"bounds: {name}: {low:g} to {high:g} lies outside {valid}; overlap it")
            found[name] = low, high
    return found


def bounds_with_derivative(names):
    """name -> (low, high) of the parameters whose derivative ends before their range does."""
    keys = {name: match[1] for name in names if (match := _KEY.search(name))}
    return {name: (LEAST[key], math.inf) for name, key in keys.items()}


def ranges(names, records, bounds):
    """name -> (low, high): where the bounds and the valid range overlap."""
    found = {}
    for name in names:
        low, high = bounds.get(name, (-math.inf, math.inf))
        found[name] = max(low, records[name].low), min(high, records[name].high)
    return found


def at_limit(values, limits):
    """name -> (how many of its numbers are at the low end, how many at the high end), of those with any."""
    counts = {}
    for name, value in values.items():
        low, high = limits[name]
        count = int((value <= low).sum()), int((value >= high).sum())
        if any(count):
            counts[name] = count
    return counts
