"""A scene's parameters by name: `prb.traverse`, patterns, and what they may be set to."""

import difflib
import fnmatch
from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from prb.device.lock import locked
from prb.errors import NotFiniteError, ParameterError
from prb.scene.plugins.sensors import is_rigid

ALIASES = {
    "albedo": ("*.reflectance.*", "*.diffuse_reflectance.*", "*.base_color.*", "*.albedo.*"),
}
LISTED = 24  # names in a message
SHOWN = 6  # numbers of a parameter that a table prints; larger ones are summarised


@dataclass(frozen=True)
class Slot:
    """Where a parameter lies in the flat buffer."""

    offset: int
    shape: tuple[int, ...]
    low: float
    high: float
    differentiable: bool

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=int))

    def of(self, flat):
        """This parameter's part of a flat array, in its shape."""
        return flat[self.offset : self.offset + self.size].reshape(self.shape)


def slots(scene, *, fixed=False):
    """Every differentiable parameter of a scene: name -> Slot, in the order of the scene.

    fixed: the others that lie in the buffer as well.
    """
    layout = scene.layout
    return {
        t.name: Slot(offset, np.shape(t.value), t.low, t.high, t.differentiable)
        for t, offset in zip(layout.textures, layout.offsets, strict=True)
        if t.differentiable or fixed
    }


def select(scene, patterns):
    """The differentiable parameters that the patterns name, in the order of the scene.

    A pattern is an exact name, a glob (``*.reflectance.value``), or an alias (``albedo``). None: all but
    vertex normals and the directions of lights, which only patterns that end like their names find.
    Raises ParameterError where a pattern matches none.
    """
    known = slots(scene)
    if not known:
        raise ParameterError("the scene has no differentiable parameter; give it a surface or a light")
    turning = scene.layout.turning
    if patterns is None:
        return [name for name in known if name not in turning]
    if isinstance(patterns, str):
        patterns = [patterns]
    chosen = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ParameterError(f"params: expected names or patterns, got {pattern!r}")
        asked = pattern.endswith(("vertex_normals", "direction"))
        found = [name for name in _matches(pattern, known) if asked or name not in turning]
        if not found:
            raise ParameterError(_no_match(scene, pattern, known))
        chosen.update(found)
    return [name for name in known if name in chosen]


def _matches(pattern, names):
    globs = [pattern] if pattern in names else ALIASES.get(pattern, (pattern,))
    return [name for name in names if any(fnmatch.fnmatchcase(name, g) for g in globs)]


def _no_match(scene, pattern, known):
    """The message for a pattern that names nothing differentiable."""
    camera = _matches(pattern, {**_camera(scene), **slots(scene, fixed=True)})
    what = "is not differentiable by path replay" if camera else "matches no parameter"
    near = difflib.get_close_matches(pattern, [*known, *ALIASES], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join([*known][:LISTED])
    more = f" and {len(known) - LISTED} more" if len(known) > LISTED else ""
    return f"{pattern!r}: {what}; {hint}differentiable are {listed}{more}"


def _camera(scene):
    """Parameters that can be changed, not differentiated: name -> (sensor, attribute, shape, low, high)."""
    tiny = np.finfo(np.float32).tiny
    found = {}
    for sensor in scene.model.sensors:
        numbers = {} if sensor.kind == "orthographic" else {"x_fov": (1e-3, 179.999)}
        numbers |= {"near_clip": (tiny, np.inf), "far_clip": (tiny, np.inf)}
        if sensor.kind == "perspective":
            numbers |= {f"principal_point_offset_{axis}": (-100.0, 100.0) for axis in "xy"}
        if sensor.kind == "thinlens":
            numbers |= {"aperture_radius": (0.0, np.inf), "focus_distance": (tiny, np.inf)}
        found[f"{sensor.name}.to_world"] = sensor, "to_world", (4, 4), -np.inf, np.inf
        found |= {f"{sensor.name}.{key}": (sensor, key, (), *limits) for key, limits in numbers.items()}
    return found


class Params(MutableMapping):
    """The parameters of a scene, name -> array. Assign, then call `update()`; until then nothing changes.

    Differentiable ones are float32 in linear RGB or as the plugin says; the camera's are float64 and can
    be changed, not differentiated. Values are copies. `repr` is a table.
    """

    def __init__(self, scene):
        self._scene = scene
        self._slots = slots(scene, fixed=True)
        self._others = _camera(scene)
        # Mitsuba's environment maps have a further column on each side; such an array is taken too.
        self._padded = {e.textures["data"].name for e in scene.model.emitters if e.kind == "envmap"}
        self._pending = {}

    def __getitem__(self, name):
        if name in self._pending:
            return self._pending[name].copy()
        if name in self._slots:
            return self._slots[name].of(self._scene.values).copy()
        if name in self._others:
            sensor, attribute, *_ = self._others[name]
            return np.array(getattr(sensor, attribute), float)
        raise KeyError(self._unknown(name))

    def __setitem__(self, name, value):
        self._pending[name] = self._checked(name, value)

    def _checked(self, name, value):
        """The value as an array of the parameter's shape and type."""
        if name in self._slots:
            slot = self._slots[name]
            array, shape, low, high = _numbers(name, value, np.float32), slot.shape, slot.low, slot.high
        elif name in self._others:
            array, (sensor, _, shape, low, high) = _numbers(name, value, np.float64), self._others[name]
        else:
            raise ParameterError(self._unknown(name))
        if name in self._padded and array.shape == (shape[0], shape[1] + 2, 3):
            array = array[:, 1:-1]
        if array.ndim == 1 and len(shape) > 1 and array.size == np.prod(shape):  # Mitsuba's flat arrays
            array = array.reshape(shape)
        if array.shape != shape:
            raise ParameterError(f"{name}: expected shape {shape}, got {array.shape}")
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{name}: has a number that is not finite")
        low, high = array.dtype.type(low), array.dtype.type(high)  # what a value at the limit is rounded to
        if (array < low).any() or (array > high).any():
            worst = array.min() if (array < low).any() else array.max()
            raise ParameterError(f"{name}: {worst:g} is outside [{low:g}, {high:g}]; clip it")
        if name in self._others and shape == (4, 4):
            _check_transform(name, array, sensor.kind)
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
        return name in self._slots and self._slots[name].differentiable

    @locked
    def update(self, values=()):
        """Make assigned values take effect. values: a mapping to assign first; an optimiser's own values are
        clipped to their ranges for that, so that they are those of the scene.

        Raises ParameterError, and then nothing has changed.
        """
        if hasattr(values, "project"):  # an optimiser
            values.project({name: (slot.low, slot.high) for name, slot in self._slots.items()})
        assigned = {name: self._checked(name, value) for name, value in dict(values).items()}
        pending = {**self._pending, **assigned}
        self._check_clipping(pending)
        for name, array in pending.items():
            if name in self._slots:
                self._slots[name].of(self._scene.values)[...] = array
            else:
                sensor, attribute, *_ = self._others[name]
                setattr(sensor, attribute, array if array.shape else float(array))
                if attribute == "x_fov":
                    sensor.fov = (float(array), "x")  # what a film of another size goes by
        self._pending.clear()
        self._scene.follow()
        self._scene.refresh()

    def _check_clipping(self, pending):
        for sensor in self._scene.model.sensors:
            near = float(pending.get(f"{sensor.name}.near_clip", sensor.near_clip))
            far = float(pending.get(f"{sensor.name}.far_clip", sensor.far_clip))
            if near >= far:
                place = f"{sensor.name}.near_clip"
                raise ParameterError(f"{place}: {near:g} must be smaller than far_clip {far:g}")

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


def _check_transform(name, matrix, kind):
    """Raise ParameterError for a matrix that cannot place a camera of that kind."""
    affine = np.allclose(matrix[3], [0, 0, 0, 1])
    if kind == "orthographic":
        scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        if not affine or scales[2] <= 1e-9 * scales[0]:
            raise ParameterError(f"{name}: the transform must be affine and invertible")
    elif not affine or not is_rigid(matrix):
        raise ParameterError(f"{name}: a camera's transform may only rotate and translate")


def _shape(shape):
    return "x".join(map(str, shape)) or "number"


def numbers(array, digits=6):
    """An array as a table shows it: its numbers, or for a large one its range."""
    array = np.asarray(array)
    if array.size <= SHOWN:
        return " ".join(f"{x:.{digits}g}" for x in array.ravel())
    return f"{array.min():.4g} .. {array.max():.4g}, mean {array.mean():.4g}"


def traverse(scene):
    """The parameters of a scene under Mitsuba's names, as a `Params` mapping."""
    return Params(scene)
