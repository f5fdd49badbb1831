"""`to_world`: Mitsuba transform objects, 4x4 matrices and lists of steps, as checked 4x4 matrices."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from prb.scene.reading.values import FLOAT32_MAX, describe, fail, nearest, numeric_array

_FORMS = 'expected a 4x4 matrix, a list of steps such as {"translate": [0, 1, 0]}, or a transform object'


def parse_transform(value: Any, place: str) -> np.ndarray:
    """`value` as an invertible affine 4x4 matrix (float64) that maps column vectors.

    Takes an object with `.matrix` (Mitsuba's transforms), a 4x4 list or array, or a list of steps
    that are applied first to last. Raises `SceneError` for anything else.
    """
    if isinstance(value, Mapping):
        fail(place, f"got {describe(value)}; put steps into a list: [{{...}}, {{...}}]")
    if isinstance(value, list | tuple) and any(isinstance(step, Mapping) for step in value):
        matrix = np.eye(4)
        for i, step in enumerate(value):
            with np.errstate(all="ignore"):  # check_invertible finds what overflows
                matrix = _step(step, f"{place}[{i}]") @ matrix
    else:
        matrix = _matrix(value, place)
    return check_invertible(matrix, place)


def check_invertible(matrix: np.ndarray, place: str) -> np.ndarray:
    """The matrix itself; fails where it squashes space to a plane, a line or a point."""
    if not (np.abs(matrix) <= FLOAT32_MAX).all():
        fail(place, "the transform holds numbers beyond the range of 32-bit ones")
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if scales[2] <= 1e-9 * scales[0]:
        fail(place, "the transform is singular (a scale of zero?); it must be invertible")
    return matrix


def _matrix(value: Any, place: str) -> np.ndarray:
    array = numeric_array(getattr(value, "matrix", value))
    if array is None:
        fail(place, f"{_FORMS}, got {describe(value)}")
    if array.shape == (4, 4, 1):  # Mitsuba's vectorised variants
        array = array[:, :, 0]
    if array.shape != (4, 4):
        fail(place, f"{_FORMS}, got an array of shape {array.shape}")
    if not np.isfinite(array).all():
        fail(place, "the matrix holds NaN or inf; a look_at whose target is its origin gives such a matrix")
    if np.abs(array[3] - (0, 0, 0, 1)).max() > 1e-6:
        fail(place, f"the last row of the matrix must be 0, 0, 0, 1, got {array[3].tolist()}")
    return array


def _step(step: Any, place: str) -> np.ndarray:
    if not isinstance(step, Mapping):
        fail(place, f'expected a step such as {{"scale": 2}}, got {describe(step)}')
    if len(step) != 1:
        fail(place, f"a step holds one of {', '.join(_STEPS)}, got {len(step)} keys; use one step for each")
    ((kind, value),) = step.items()
    if kind not in _STEPS:
        fail(place, f"unknown step '{kind}'{nearest(str(kind), _STEPS)}; the steps are {', '.join(_STEPS)}")
    return _STEPS[kind](value, f"{place}.{kind}")


def _vector(value: Any, place: str) -> np.ndarray:
    array = numeric_array(value)
    if array is None:
        fail(place, f"expected 3 numbers, got {describe(value)}")
    if array.shape != (3,):
        fail(place, f"expected 3 numbers, got {array.size if array.ndim <= 1 else describe(array)}")
    return _usable(array, place)


def _usable(array: np.ndarray, place: str) -> np.ndarray:
    if not np.isfinite(array).all():
        fail(place, "a number is NaN or inf")
    if np.abs(array).max() > FLOAT32_MAX:
        fail(place, "a number is beyond the range of 32-bit ones")
    return array


def _fields(value: Any, place: str, names: tuple[str, ...]) -> list:
    if not isinstance(value, Mapping):
        fail(place, f"expected a dictionary with {', '.join(names)}, got {describe(value)}")
    for key in value:
        if key not in names:
            fail(f"{place}.{key}", f"unknown key{nearest(str(key), names)}; expected {', '.join(names)}")
    for name in names:
        if name not in value:
            fail(f"{place}.{name}", "missing")
    return [value[name] for name in names]


def _translate(value: Any, place: str) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = _vector(value, place)
    return matrix


def _scale(value: Any, place: str) -> np.ndarray:
    array = numeric_array(value)
    if array is None or array.shape not in ((), (3,)):
        fail(place, f"expected a number or 3 numbers, got {describe(value)}")
    return np.diag(np.append(np.broadcast_to(_usable(array, place), 3), 1.0))


def _rotate(value: Any, place: str) -> np.ndarray:
    """Rodrigues' formula; unlike Mitsuba's transform object the axis need not have length 1."""
    axis, angle = _fields(value, place, ("axis", "angle"))
    axis = _vector(axis, f"{place}.axis")
    degrees = numeric_array(angle)
    if degrees is None or degrees.shape != ():
        fail(f"{place}.angle", f"expected a number of degrees, got {describe(angle)}")
    _usable(degrees, f"{place}.angle")
    length = np.linalg.norm(axis)
    if length == 0:
        fail(f"{place}.axis", "the axis has length zero")
    x, y, z = axis / length
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    radians = math.radians(float(degrees))
    matrix = np.eye(4)
    matrix[:3, :3] += math.sin(radians) * cross + (1 - math.cos(radians)) * (cross @ cross)
    return matrix


def _look_at(value: Any, place: str) -> np.ndarray:
    """Local +z points from origin to target, local +y is as near to `up` as it can be."""
    names = ("origin", "target", "up")
    origin, target, up = (
        _vector(v, f"{place}.{k}") for k, v in zip(names, _fields(value, place, names), strict=True)
    )
    forward = target - origin
    if np.linalg.norm(forward) <= 1e-12 * max(1.0, np.abs(origin).max()):
        fail(place, "origin and target are the same point, so there is no direction to look in")
    forward /= np.linalg.norm(forward)
    if np.linalg.norm(up) == 0:
        fail(f"{place}.up", "the vector has length zero")
    left = np.cross(up / np.linalg.norm(up), forward)
    if np.linalg.norm(left) < 1e-6:
        fail(f"{place}.up", "up is parallel to the direction of view; choose another one")
    left /= np.linalg.norm(left)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = left, np.cross(forward, left)
    matrix[:3, 2], matrix[:3, 3] = forward, origin
    return matrix


_STEPS = {
    "scale": _scale,
    "rotate": _rotate,
    "translate": _translate,
    "look_at": _look_at,
    "matrix": _matrix,
}
