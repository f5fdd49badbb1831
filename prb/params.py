"""A scene's parameters by name: `prb.traverse`, patterns, and what they may be set to."""

import difflib
import fnmatch
from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from prb.errors import ParameterError

ALIASES = {
    "albedo": ("*.reflectance.value", "*.base_color.value", "*.albedo.value"),
}
LISTED = 24  # names in a message
SHOWN = 6  # numbers of a parameter that a table prints; larger ones are summarised


@dataclass(frozen=True)
class Slot:
    """Where a differentiable parameter lies in the flat buffer."""

    offset: int
    shape: tuple[int, ...]
    low: float
    high: float

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=int))

    def of(self, flat):
        """This parameter's part of a flat array, in its shape."""
        return flat[self.offset : self.offset + self.size].reshape(self.shape)


def slots(scene):
    """Every differentiable parameter of a scene: name -> Slot, in the order of the buffer."""
    layout = scene.layout
    return {
        t.name: Slot(offset, np.shape(t.value), t.low, t.high)
        for t, offset in zip(layout.textures, layout.offsets, strict=True)
    }


def select(scene, patterns):
    """The differentiable parameters that the patterns name, in the order of the buffer.

    A pattern is an exact name, a glob (``*.reflectance.value``), or an alias (``albedo``). None: all.
    Raises ParameterError where a pattern matches none.
    """
    known = slots(scene)
    if not known:
        raise ParameterError("the scene has no differentiable parameter; give it a surface or a light")
    if patterns is None:
        return list(known)
    if isinstance(patterns, str):
        patterns = [patterns]
    chosen = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ParameterError(f"params: expected names or patterns, got {pattern!r}")
        found = _matches(pattern, known)
        if not found:
            raise ParameterError(_no_match(scene, pattern, known))
        chosen.update(found)
    return [name for name in known if name in chosen]


def _matches(pattern, names):
    globs = [pattern] if pattern in names else ALIASES.get(pattern, (pattern,))
    return [name for name in names if any(fnmatch.fnmatchcase(name, g) for g in globs)]


def _no_match(scene, pattern, known):
    """The message for a pattern that names nothing differentiable."""
    camera = _matches(pattern, _camera(scene))
    what = "is not differentiable by path replay" if camera else "matches no parameter"
    near = difflib.get_close_matches(pattern, [*known, *ALIASES], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join([*known][:LISTED])
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"{pattern!r}: {what}; {hint}differentiable are {listed}{more}"


def _camera(scene):
    """Parameters that can be changed but not differentiated: name -> (attribute, shape, low, high)."""
    name = scene.sensor.name
    tiny = np.finfo(np.float32).tiny
    return {
        f"{name}.to_world": ("to_world", (4, 4), -np.inf, np.inf),
        f"{name}.x_fov": ("x_fov", (), 1e-3, 179.999),
        f"{name}.near_clip": ("near_clip", (), tiny, np.inf),
        f"{name}.far_clip": ("far_clip", (), tiny, np.inf),
    }


class Params(MutableMapping):
    """The parameters of a scene, name -> array. Assign, then call `update()`; until then nothing changes.

    Differentiable ones are float32 in linear RGB or as the plugin says; the camera's are float64 and can
    be changed, not differentiated. Values are copies. `repr` is a table.
    """

    def __init__(self, scene):
        self._scene = scene
        self._slots = slots(scene)
        self._others = _camera(scene)
        self._pending = {}

    def __getitem__(self, name):
        if name in self._pending:
            return self._pending[name].copy()
        if name in self._slots:
            return self._slots[name].of(self._scene.values).copy()
        if name in self._others:
            return np.array(getattr(self._scene.sensor, self._others[name][0]), float)
        raise KeyError(self._unknown(name))

    def __setitem__(self, name, value):
        self._pending[name] = self._checked(name, value)

    def _checked(self, name, value):
        """The value as an array of the parameter's shape and type."""
        if name in self._slots:
            slot = self._slots[name]
            array, shape, low, high = _numbers(name, value, np.float32), slot.shape, slot.low, slot.high
        elif name in self._others:
            array, (_, shape, low, high) = _numbers(name, value, np.float64), self._others[name]
        else:
            raise ParameterError(self._unknown(name))
        if array.shape != shape:
            raise ParameterError(f"{name}: expected shape {shape}, got {array.shape}")
        if not np.isfinite(array).all():
            raise ParameterError(f"{name}: has a number that is not finite")
        if (array < low).any() or (array > high).any():
            worst = array.min() if (array < low).any() else array.max()
            raise ParameterError(f"{name}: {worst:g} is outside [{low:g}, {high:g}]; clip it")
        if shape == (4, 4) and not _is_rigid(array):
            raise ParameterError(f"{name}: a camera's transform may only rotate and translate")
        return array

    def _unknown(self, name):
        near = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "repr(prb.traverse(scene)) lists them"
        return f"{name!r}: no such parameter; {hint}"

    def __delitem__(self, name):
        raise ParameterError(f"{name}: a scene's parameters cannot be removed")

    def __iter__(self):
        yield from self._slots
        yield from self._others

    def __len__(self):
        return len(self._slots) + len(self._others)

    def differentiable(self, name):
        """True if a gradient with respect to the parameter can be had."""
        return name in self._slots

    def update(self, values=()):
        """Make assigned values take effect. values: a mapping to assign first.

        Raises ParameterError, and then nothing has changed.
        """
        assigned = {name: self._checked(name, value) for name, value in dict(values).items()}
        pending = {**self._pending, **assigned}
        self._check_clipping(pending)
        sensor = self._scene.sensor
        for name, array in pending.items():
            if name in self._slots:
                self._slots[name].of(self._scene.values)[...] = array
            else:
                attribute = self._others[name][0]
                setattr(sensor, attribute, array if array.shape else float(array))
                if attribute == "x_fov":
                    sensor.fov = (float(array), "x")  # what a film of another size goes by
        self._pending.clear()
        self._scene.refresh()

    def _check_clipping(self, pending):
        sensor = self._scene.sensor
        near = float(pending.get(f"{sensor.name}.near_clip", sensor.near_clip))
        far = float(pending.get(f"{sensor.name}.far_clip", sensor.far_clip))
        if near >= far:
            raise ParameterError(f"{sensor.name}.near_clip: {near:g} must be smaller than far_clip {far:g}")

    def __repr__(self):
        rows = [
            [name, _shape(value.shape), numbers(value), "yes" if self.differentiable(name) else "no"]
            for name, value in self.items()
        ]
        return tabulate(rows, headers=["name", "shape", "value", "differentiable"], disable_numparse=True)


def _numbers(name, value, dtype):
    try:
        with np.errstate(over="ignore"):  # what overflows is reported as not finite
            return np.array(value, dtype)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}: expected numbers, got {value!r}") from None


def _is_rigid(matrix):
    linear = matrix[:3, :3]
    return np.abs(linear @ linear.T - np.eye(3)).max() < 1e-3 and np.allclose(matrix[3], [0, 0, 0, 1])


def _shape(shape):
    return "x".join(map(str, shape)) or "number"


def numbers(array):
    """An array as a table shows it: its numbers, or for a large one its range."""
    array = np.asarray(array)
    if array.size <= SHOWN:
        return " ".join(f"{x:.6g}" for x in array.ravel())
    return f"{array.min():.4g} .. {array.max():.4g}, mean {array.mean():.4g}"


def traverse(scene):
    """The parameters of a scene under Mitsuba's names, as a `Params` mapping."""
    return Params(scene)
