"""Plain values of a scene and what is said about them: numbers as arrays, descriptions, one-line errors.

Everything that reads a scene uses these helpers; they know no plugin and no `Reader`.
"""

import difflib
import numbers
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np

from prb.errors import SceneError, printable

FLOAT32_MAX = float(np.finfo(np.float32).max)


def fail(place: str, problem: str) -> NoReturn:
    raise SceneError(f"{place or 'scene'}: {' '.join(problem.split())}")


def warning(place: str, message: str) -> str:
    """The line of a warning, as `fail` makes that of an error."""
    return printable(f"{place or 'scene'}: {message}")


def kind_of(data: Mapping) -> str | None:
    """The plugin that a dictionary names, if it names one."""
    kind = data.get("type")
    return kind if isinstance(kind, str) else None


def describe(value: Any) -> str:
    """A short description of a wrong value, for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string '{value if len(value) <= 40 else value[:37] + '...'}'"
    if isinstance(value, Mapping):
        kind = kind_of(value)
        return f"a dictionary of type '{kind}'" if kind else "a dictionary"
    if isinstance(value, numbers.Real):
        return f"{value:g}" if isinstance(value, float) else str(value)[:40]
    if isinstance(value, list | tuple):
        for item in value:
            if isinstance(item, bool | str) or item is None:
                return f"a list with {describe(item)} in it"
        return f"a list of {len(value)} values"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"a {type(value).__name__}"


def nearest(word: str, known) -> str:
    """'; did you mean "x"?' where a known word is close, else nothing."""
    folded = {k.lower(): k for k in known}
    match = difflib.get_close_matches(word.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean '{folded[match[0]]}'?" if match else ""


def _holds_bool(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_bool(v) for v in value)
    return isinstance(value, bool | np.bool_)


def numeric_array(value: Any) -> np.ndarray | None:
    """`value` as a float64 array, or None where it does not consist of numbers alone."""
    if value is None or isinstance(value, str | bytes | Mapping) or _holds_bool(value):
        return None
    try:
        array = np.array(value)
        return array.astype(np.float64) if array.dtype.kind in "iuf" else None
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
