"""Reading one dictionary of a scene: typed, checked access that remembers what was read.

A `Reader` knows its place in the scene ("red.reflectance"), so every mistake becomes a one-line
`SceneError`, "place: problem; remedy", and a key that nobody asked for is one too.
A `Context` is what all readers of one scene share: references, warnings, the table of plugins.
"""

import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from prb.scene.model import Texture
from prb.scene.reading.transforms import parse_transform
from prb.scene.reading.values import FLOAT32_MAX, describe, fail, kind_of, nearest, numeric_array, warning

REQUIRED = object()


class Plugin(NamedTuple):
    """A supported plugin: what it is ("shape", "bsdf", ...) and the function that reads it."""

    category: str
    make: Callable


class Node(NamedTuple):
    """A plugin's dictionary in the scene: `path` leads to it, `name` is how its parameters begin."""

    data: Mapping
    path: str
    name: str


@dataclass
class Context:
    """What the readers of one scene share.

    nodes and ids: every plugin's dictionary by its path, and the path by its id.
    made: what has been read, by path, so that a shared object is one object.
    """

    plugins: dict[str, Plugin]
    mitsuba_plugins: frozenset[str]
    base_dir: Path
    nodes: dict[str, Node] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)
    active: list[str] = field(default_factory=list)
    referenced: set[str] = field(default_factory=set)
    attached: dict[str, str] = field(default_factory=dict)  # path of an area light -> its shape
    warnings: list[str] = field(default_factory=list)

    def warn(self, place: str, message: str) -> None:
        self.warnings.append(warning(place, message))


class Reader:
    """One plugin's dictionary. Getters take the key and a default; without one the key is required."""

    def __init__(self, node: Node, context: Context):
        self.data, self.path, self.name = node
        self.context = context
        self._known: set[str] = {"type", "id"}
        self._roles: tuple[str, ...] = ()
        for key in self.data:
            if not isinstance(key, str):
                fail(self.path, f"the key {key!r} is not a string")
            if "." in key:
                fail(self.path, f"the key '{key}' holds a '.', which separates the parts of a path; use '_'")
        if "type" not in self.data:
            hint = nearest("type", self.data) or f"; say which plugin it is, as one of {self._supported()}"
            fail(self.place("type"), f"missing{hint}")
        self.type = self.data["type"]
        if not isinstance(self.type, str):
            fail(self.place("type"), f"expected the name of a plugin, got {describe(self.type)}")
        if self.type not in context.plugins:
            if self.type in context.mitsuba_plugins:
                problem = f"the plugin '{self.type}' exists in Mitsuba but not (yet) in prb"
            else:
                problem = f"unknown plugin '{self.type}'{nearest(self.type, context.plugins)}"
            fail(self.place("type"), f"{problem}; supported: {self._supported()}")
        self.category = context.plugins[self.type].category

    def _supported(self) -> str:
        return ", ".join(sorted(self.context.plugins))

    def place(self, key: str = "") -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def fail(self, problem: str, key: str = "") -> NoReturn:
        fail(self.place(key), problem)

    def warn(self, message: str, key: str = "") -> None:
        self.context.warn(self.place(key), message)

    def __contains__(self, key: str) -> bool:
        self._known.add(key)
        return key in self.data

    def _get(self, key: str, default: Any, expected: str) -> Any:
        self._known.add(key)
        if key in self.data:
            return self.data[key]
        if default is REQUIRED:
            others = nearest(key, set(self.data) - self._known)
            self.fail(f"missing; expected {expected}{others}", key)
        return default

    def number(
        self,
        key: str,
        default: Any = REQUIRED,
        *,
        low=-math.inf,
        high=math.inf,
        above=-math.inf,
        below=math.inf,
    ) -> float:
        """A finite number within [low, high] and strictly between `above` and `below`."""
        value = self._get(key, default, "a number")
        if value is default:
            return value
        array = numeric_array(value)
        if array is None or array.size != 1:
            self.fail(f"expected a number, got {describe(value)}", key)
        value = float(array.reshape(()))
        self.check_range(np.array(value), low, high, key, above=above, below=below)
        return value

    def integer(
        self, key: str, default: Any = REQUIRED, *, low: int | None = None, high: int | None = None
    ) -> int:
        value = self._get(key, default, "a whole number")
        if value is default:
            return value
        if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
            self.fail(f"expected a whole number, got {describe(value)}", key)
        if (low is not None and value < low) or (high is not None and value > high):
            if high is None:
                self.fail(f"{describe(value)} is out of range; expected at least {low}", key)
            self.fail(f"{describe(value)} is out of range; expected a value from {low} to {high}", key)
        return int(value)

    def boolean(self, key: str, default: Any = REQUIRED) -> bool:
        value = self._get(key, default, "true or false")
        if not isinstance(value, bool | np.bool_):
            self.fail(f"expected true or false, got {describe(value)}", key)
        return bool(value)

    def string(self, key: str, default: Any = REQUIRED) -> str:
        value = self._get(key, default, "a string")
        if not isinstance(value, str) and value is not default:
            self.fail(f"expected a string, got {describe(value)}", key)
        return value

    def choice(self, key: str, options: tuple[str, ...], default: Any = REQUIRED) -> str:
        """One of a few words, in any case of letters."""
        value = self.string(key, default)
        if value.lower() not in options:
            self.fail(f"'{value}' is not one of {', '.join(options)}{nearest(value, options)}", key)
        return value.lower()

    def vector(self, key: str, default: Any = REQUIRED) -> np.ndarray:
        value = self._get(key, default, "3 numbers")
        array = numeric_array(value)
        if array is None:
            self.fail(f"expected 3 numbers, got {describe(value)}", key)
        array = array.reshape(-1) if array.ndim and array.size == array.shape[0] else array
        if array.shape != (3,):
            count = array.size if array.ndim <= 1 else f"an array of shape {array.shape}"
            self.fail(f"expected 3 numbers, got {count}", key)
        self.check_range(array, -math.inf, math.inf, key)
        return array

    def check_range(
        self, values: np.ndarray, low: float, high: float, key: str = "", *, above=-math.inf, below=math.inf
    ) -> None:
        """Fail where a number is not finite or not in range."""
        for value in values.ravel():
            if not math.isfinite(value):
                self.fail(f"{value} is not a finite number", key)
            if abs(value) > FLOAT32_MAX:
                self.fail(f"{value:g} is beyond the range of 32-bit numbers", key)
            if not low <= value <= high or not above < value < below:
                left = f"({above:g}" if above > -math.inf else f"[{low:g}" if low > -math.inf else "(-inf"
                right = f"{below:g})" if below < math.inf else f"{high:g}]" if high < math.inf else "inf)"
                self.fail(f"{value:g} is out of range; expected a value in {left}, {right}", key)

    def transform(self, key: str = "to_world") -> np.ndarray:
        """A 4x4 matrix in float64; the identity where the key is absent."""
        self._known.add(key)
        if key not in self.data:
            return np.eye(4)
        return parse_transform(self.data[key], self.place(key))

    def file(self, key: str = "filename") -> Path:
        """An existing file; a relative name starts from the folder of the scene."""
        name = self.string(key)
        path = self.context.base_dir / name
        try:
            if name and path.is_file():
                return path
            what = "is a folder, not a file" if name and path.is_dir() else "no such file"
        except OSError as error:  # such as a name that is too long
            what = error.strerror or "no such file"
        shown = str(path) if len(str(path)) <= 300 else f"{str(path)[:297]}..."
        self.fail(
            f"{what}: {shown if name else 'the name is empty'}; names are relative to the folder of the"
            " scene file",
            key,
        )

    def without_effect(self, *keys: str) -> None:
        """Accept keys that have no effect on a picture, in Mitsuba either; still no NaN in them."""
        for key in keys:
            self._known.add(key)
            array = numeric_array(self.data.get(key))
            if array is not None:
                self.check_range(array, -math.inf, math.inf, key)

    def texture(
        self, key: str, default: float, *, low: float = 0.0, high: float = math.inf, emission: bool = False
    ):
        """A colour: a number, or a dictionary of a texture plugin. Returns a `Texture`."""
        self._known.add(key)
        value = self.data.get(key)
        if isinstance(value, Mapping):
            child = self.child(key)
            if child.category != "texture":
                child.fail(f"expected a colour or a texture, got {child.type} ({child.category})")
            return child.make(low=low, high=high, emission=emission)
        return self._number_texture(key, default, low=low, high=high, emission=emission)

    def _number_texture(self, key: str, default: float, *, low, high, emission) -> Texture:
        """A colour that the file gives as a plain number, or does not give.

        As in Mitsuba a number is a grey: one value as a reflectance, three equal ones as an emission.
        """
        name = f"{self.name}.{key}.value"
        if key in self:
            value = self.data[key]
            array = numeric_array(value)
            if type(value).__name__.startswith(("Color3", "ScalarColor3")) and array is not None:
                array = array.reshape(-1)  # Mitsuba's own colour objects
            elif array is None or array.shape != ():
                three = array is not None and array.size == 3
                remedy = '; write {"type": "rgb", "value": [r, g, b]}' if three else ""
                self.fail(f"expected a number or a colour, got {describe(value)}{remedy}", key)
            elif emission:
                array = np.full(3, array)
            self.check_range(array, low, high, key)
        else:
            array = np.array(default)
        kind = "rgb" if array.shape else "uniform"
        return Texture(name, kind, array.astype(np.float32), low, high)

    def texture_of(self, parameter, default: float | None = None):
        """The texture of a declared parameter (`prb.kernels.parameter.Parameter`)."""
        p = parameter
        default = p.default if default is None else default
        if p.plain:
            value = np.array(self.number(p.key, default, low=p.low, high=p.high), np.float32)
            texture = Texture(f"{self.name}.{p.key}", "uniform", value, p.low, p.high)
        else:
            texture = self.texture(p.key, default, low=p.low, high=p.high)
        if p.number and texture.kind == "checkerboard":  # Mitsuba 3.9.1 swaps the colours of a number's
            texture = replace(texture, children=texture.children[::-1])
        if p.number and texture.raw and texture.value.shape:  # as in Mitsuba, which takes no luminance of it
            self.fail("expected one number, got a rawconstant of three", p.key)
        texture.bends_rays |= not p.differentiable
        return texture

    def child(self, key: str, *, peek: bool = False) -> "Reader":
        """The plugin nested under a key; a reference leads to what it names. peek: it counts as unread."""
        if not peek:
            self._known.add(key)
        path = self.place(key)
        node = self.context.nodes[path]
        seen = [path]
        while kind_of(node.data) == "ref":
            node = self._resolve(node)
            if node.path in seen:
                fail(path, f"circular reference: {' -> '.join([*seen, node.path])}")
            seen.append(node.path)
        return Reader(node, self.context)

    def _resolve(self, node: Node) -> Node:
        context = self.context
        target = node.data.get("id")
        if not isinstance(target, str):
            fail(f"{node.path}.id", f"expected the name of an object of the scene, got {describe(target)}")
        for key in set(node.data) - {"type", "id"}:
            fail(f"{node.path}.{key}", "unknown key; a ref takes only an id")
        path = context.ids.get(target, target)
        if path not in context.nodes:
            known = [*context.ids, *context.nodes]
            defined = ", ".join(sorted(p for p in known if "." not in p)) or "nothing"
            fail(
                node.path,
                f"there is no object '{target}' to refer to{nearest(target, known)}; defined: {defined}",
            )
        context.referenced.add(path)
        return context.nodes[path]

    def children(self, *roles: str) -> Iterator["Reader"]:
        """The nested plugins under all keys not read yet; `roles` are their usual keys, for messages."""
        self._roles = roles
        for key in list(self.data):
            if key not in self._known and isinstance(self.data[key], Mapping):
                yield self.child(key)

    def make(self, **options) -> Any:
        """Read this plugin; what a path leads to is read once."""
        context = self.context
        if self.path in context.made:
            return context.made[self.path]
        if self.path in context.active:
            start = context.active.index(self.path)
            self.fail(f"circular reference: {' -> '.join([*context.active[start:], self.path])}")
        context.active.append(self.path)
        made = context.plugins[self.type].make(self, **options)
        self.finish()
        context.active.pop()
        context.made[self.path] = made
        return made

    def misplaced(self, parent: "Reader") -> NoReturn:
        """Fail because this plugin does not belong inside `parent`."""
        self.fail(f"{self.type} ({self.category}) does not belong inside {parent.type}")

    def finish(self) -> None:
        """Fail for keys that nobody asked for."""
        for key in self.data:
            if key not in self._known:
                if key in self._roles:
                    self.fail(f"expected a dictionary with a type, got {describe(self.data[key])}", key)
                known = sorted((self._known | set(self._roles)) - {"type", "id"})
                hint = nearest(key, known)
                takes = f"{self.type} takes {', '.join(known) or 'no keys'}"
                self.fail(f"unknown key{hint or '; ' + takes}", key)
