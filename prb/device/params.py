"""A scene's parameters by name: `prb.traverse`, patterns, and checks of assigned values."""

import difflib
import fnmatch
from collections.abc import Iterator, MutableMapping

import numpy as np
from numpy.typing import ArrayLike
from tabulate import tabulate

from prb.device.lock import locked
from prb.device.parameters import ANGLE
from prb.device.scene import Scene
from prb.errors import NotFiniteError, ParameterError

ALIASES = {
    "albedo": ("*.reflectance.*", "*.diffuse_reflectance.*", "*.base_color.*", "*.albedo.*"),
}
MAX_LISTED = 24  # names in a message
MAX_SHOWN = 6  # numbers of a parameter that a table prints; larger ones are summarised


def records(scene):
    """Every differentiable parameter of a scene: name -> `ParameterRecord`, in the order of the scene."""
    return scene.layout.differentiable


def select(scene, patterns):
    """The differentiable parameters that the patterns name, in the order of the scene.

    A pattern is an exact name, a glob (``*.reflectance.value``), or an alias (``albedo``). Patterns select
    vertex normals, the places of lights and what moves shapes or cameras only if they end like their names.
    None: all but these, and but those that only attached sampling differentiates, so that it costs time only
    where it is asked for.
    Raises ParameterError where a pattern matches none.
    """
    if isinstance(patterns, str):
        patterns = [patterns]
    patterns = patterns and list(patterns)
    scene.free_corners(name for name in patterns or () if isinstance(name, str))
    known = records(scene)
    if not known:
        raise ParameterError("the scene has no differentiable parameter; give it a surface or a light")
    if patterns is None:
        chosen = [name for name, record in known.items() if record.by_default]
        if not chosen:
            listed = ", ".join([*known][:MAX_LISTED])
            raise ParameterError(f"params: nothing is differentiated here unless it is named; name {listed}")
        return chosen
    chosen = set()
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ParameterError(f"params: expected names or patterns, got {pattern!r}")
        found = [
            name
            for name in _matches(pattern, known)
            if not known[name].by_ending or pattern.endswith(name.rpartition(".")[2])
        ]
        if not found:
            raise ParameterError(_no_match(scene, pattern, known))
        chosen.update(found)
    return [name for name in known if name in chosen]


def _matches(pattern, names):
    globs = [pattern] if pattern in names else ALIASES.get(pattern, (pattern,))
    return [name for name in names if any(fnmatch.fnmatchcase(name, g) for g in globs)]


def _no_match(scene, pattern, known):
    """The message for a pattern that names nothing differentiable."""
    parameters, what = scene.layout.parameters, "matches no parameter"
    matching = _matches(pattern, parameters)
    by_ending = [name for name in matching if name in known]
    if by_ending:
        what = f"selects {by_ending[0]} only if it ends like that"
    elif matching:
        what = f"is not differentiable by path replay: {parameters[matching[0]].why_not}"
    near = difflib.get_close_matches(pattern, [*known, *ALIASES], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join([*known][:MAX_LISTED])
    more = f" and {len(known) - MAX_LISTED} more" if len(known) > MAX_LISTED else ""
    return f"{pattern!r}: {what}; {hint}differentiable are {listed}{more}"


class Params(MutableMapping[str, np.ndarray]):
    """The parameters of a scene, name -> array. Assign, then call `update()`; until then nothing changes.

    They are float32, colours in linear RGB; transforms of shapes and what cameras have are float64. Assigning
    a mesh's `to_world` takes its `vertex_positions` along. The `vertex_positions` of a cube are not listed:
    asking for them makes a mesh of it. Values are copies. `repr` is a table.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._pending: dict[str, np.ndarray] = {}

    @property
    def _records(self):
        return self._scene.layout.parameters

    def __getitem__(self, name: str) -> np.ndarray:
        if name in self._pending:
            return self._pending[name].copy()
        if not self._knows(name):
            raise KeyError(self._unknown(name))
        return self._scene.parameter_values[self._records[name]].copy()

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        self._pending[name] = self._checked(name, value)

    def _checked(self, name, value):
        """The value as an array of the parameter's shape and type."""
        if not self._knows(name):
            raise ParameterError(self._unknown(name))
        record = self._records[name]
        array, shape = _numbers(name, value, record.dtype), record.shape
        if record.padded and array.shape == (shape[0], shape[1] + 2, 3):
            array = array[:, 1:-1]
        if array.ndim == 1 and len(shape) > 1 and array.size == record.size:  # Mitsuba's flat arrays
            array = array.reshape(shape)
        if array.shape != shape:
            raise ParameterError(f"{name}: expected shape {shape}, got {array.shape}")
        if not np.isfinite(array).all():
            raise NotFiniteError(f"{name}: has a number that is not finite")
        low, high = record.dtype(record.low), record.dtype(record.high)  # a limit, rounded as the values are
        if (array < low).any() or (array > high).any():
            worst = array.min() if (array < low).any() else array.max()
            raise ParameterError(f"{name}: {worst:g} is outside [{low:g}, {high:g}]; clip it")
        if record.check is not None:
            record.check(name, array)
        return array

    def _knows(self, name):
        """True if there is such a parameter; a cube's positions make a mesh of it."""
        if name not in self._records:
            self._scene.free_corners([name])
        return name in self._records

    def _unknown(self, name):
        near = difflib.get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "repr(prb.traverse(scene)) lists them"
        return f"{name!r}: no such parameter; {hint}"

    def __delitem__(self, name: str) -> None:
        raise ParameterError(f"{name}: a scene's parameters cannot be removed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __len__(self) -> int:
        return len(self._records)

    def differentiable(self, name: str) -> bool:
        """True if a gradient with respect to the parameter can be had."""
        return name in self._records and self._records[name].differentiable

    def sampling(self, name: str) -> tuple[str, ...]:
        """The kinds of sampling by which path replay differentiates a parameter: of "detached" and
        "attached" those that do."""
        layout = self._scene.layout
        kinds = {"detached": layout.not_detached, "attached": layout.not_attached}
        return tuple(kind for kind, reason in kinds.items() if name in self._records and not reason(name))

    def why_not(self, name: str) -> str:
        """Why a parameter has no derivative by path replay; empty where it has one."""
        return self._records[name].why_not

    @locked
    def update(self, values=()):
        """Make assigned values take effect. values: a mapping to assign first. An optimiser's values are
        clipped to the parameters' ranges first (by its method `project`), so that both have the same.

        Raises ParameterError, and then nothing has changed.
        """
        project = getattr(values, "project", None)
        if project is not None:
            project({name: (record.low, record.high) for name, record in self._records.items()})
        assigned = self.checked(values)
        for name, array in assigned.items():
            self._scene.parameter_values[self._records[name]] = array
        self._scene.layout.moving.settle(self._scene.parameter_values, assigned)
        self._pending.clear()
        self._scene.update()

    def checked(self, values):
        """What `update` would assign, name -> array, after its checks; nothing changes."""
        assigned = {name: self._checked(name, value) for name, value in dict(values).items()}
        pending = {**self._pending, **assigned}
        self._check_order(pending)
        return pending

    def _check_order(self, pending):
        """Raise ParameterError unless parameters that must be smaller than others are so."""
        for name, record in self._records.items():
            if record.below:
                here, there = (float(pending.get(n, self[n])) for n in (name, record.below))
                if here > there or (here == there and record.kind != ANGLE):
                    other = record.below.rpartition(".")[2]
                    what = "not be larger" if record.kind == ANGLE else "be smaller"
                    raise ParameterError(f"{name}: {here:g} must {what} than {other} {there:g}")

    def __repr__(self):
        rows = [[name, _shape(value.shape), numbers(value), self._how(name)] for name, value in self.items()]
        return tabulate(rows, headers=["name", "shape", "value", "differentiable"], disable_numparse=True)

    def _how(self, name):
        """How a parameter is differentiated, for the table."""
        return ", ".join(self.sampling(name)) or f"no: {self.why_not(name)}"


def _numbers(name, value, dtype):
    try:
        with np.errstate(over="ignore"):  # what overflows is reported as not finite
            return np.array(value, dtype)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}: expected numbers, got {value!r}") from None


def _shape(shape):
    return "x".join(map(str, shape)) or "number"


def numbers(array, digits=6):
    """An array as a table shows it: its numbers, or for a large one its range."""
    array = np.asarray(array)
    if array.size <= MAX_SHOWN:
        return " ".join(f"{x:.{digits}g}" for x in array.ravel())
    return f"{array.min():.4g} .. {array.max():.4g}, mean {array.mean():.4g}"


def traverse(scene: Scene) -> Params:
    """The parameters of a scene under Mitsuba's names, as a `Params` mapping."""
    return Params(scene)
