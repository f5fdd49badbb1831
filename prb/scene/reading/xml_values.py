"""Elements of Mitsuba's XML to the entries of a scene's dictionary: numbers, colours, transforms, objects."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from prb.scene.reading.texts import check_pairs, parse_numbers, parse_pairs, parse_rgb
from prb.scene.reading.values import fail, nearest

# Elements that are a plugin; `type` says which.
OBJECTS = (
    "scene",
    "integrator",
    "sensor",
    "film",
    "rfilter",
    "sampler",
    "shape",
    "bsdf",
    "emitter",
    "texture",
    "medium",
    "phase",
    "volume",
    "field",
)
SCENE_ATTRIBUTES = ("type", "id", "name")


@dataclass(eq=False)
class Element:
    """One element of a file: attributes with all $name replaced, and where it stands."""

    tag: str
    attributes: dict[str, str]
    children: list["Element"]
    file: Path
    line: int
    column: int

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line} column {self.column}"

    def fail(self, problem: str) -> NoReturn:
        fail(self.place, problem)

    def check_attributes(self, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        for key in self.attributes:
            if key not in required and key not in optional:
                known = [*required, *optional]
                hint = nearest(key, known) or f"; it takes {', '.join(known) or 'none'}"
                self.fail(f"<{self.tag}> has an unknown attribute '{key}'{hint}")
        for key in required:
            if key not in self.attributes:
                self.fail(f"<{self.tag}> lacks its attribute '{key}'")

    def numbers(self, key: str, *counts: int) -> list[float]:
        """The finite numbers of an attribute, as many as one of `counts`."""
        text = self.attributes[key]
        found = parse_numbers(text)
        wanted = " or ".join(map(str, counts)) + (" number" if counts == (1,) else " numbers")
        if found is None or not all(map(math.isfinite, found)):
            self.fail(f"<{self.tag}> {key}: expected {wanted}, got '{_short(text)}'")
        if len(found) not in counts:
            self.fail(f"<{self.tag}> {key}: expected {wanted}, got {len(found)}")
        return found


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


# --- values ---------------------------------------------------------------------------------------------


def _float(element: Element) -> float:
    element.check_attributes(("name", "value"))
    return element.numbers("value", 1)[0]


def _integer(element: Element) -> int:
    element.check_attributes(("name", "value"))
    text = element.attributes["value"].strip()
    if not text.removeprefix("-").removeprefix("+").isdecimal() or len(text) > 30:
        element.fail(f"<integer> value: expected a whole number, got '{_short(text)}'")
    return int(text)


def _boolean(element: Element) -> bool:
    element.check_attributes(("name", "value"))
    text = element.attributes["value"].strip().lower()
    if text not in ("true", "false"):
        element.fail(f"<boolean> value: expected true or false, got '{_short(text)}'")
    return text == "true"


def _string(element: Element) -> str:
    element.check_attributes(("name", "value"))
    return element.attributes["value"]


def _vector(element: Element) -> list[float]:
    """A point or a vector, by `value` or by x, y and z."""
    element.check_attributes(("name",), ("value", "x", "y", "z"))
    if "value" not in element.attributes:
        element.check_attributes(("name", "x", "y", "z"))
    return _xyz(element, 0.0)


def _xyz(element: Element, default: float) -> list[float]:
    """Three numbers by `value` (one stands for three) or by x, y, z."""
    given = [key for key in "xyz" if key in element.attributes]
    if "value" in element.attributes:
        if given:
            element.fail(f"<{element.tag}> has both value and {given[0]}; keep one of them")
        found = element.numbers("value", 1, 3)
        return found * 3 if len(found) == 1 else found
    return [element.numbers(key, 1)[0] if key in given else default for key in "xyz"]


def _rgb(element: Element) -> dict:
    element.check_attributes(("name", "value"))
    text = element.attributes["value"]
    found = parse_rgb(text)
    if found is None or not all(map(math.isfinite, found)):
        element.fail(f"<rgb> value: expected 3 numbers or a colour such as #33cc66, got '{_short(text)}'")
    return {"type": "rgb", "value": found}


def _spectrum(element: Element, file_name: Callable[[Path], str]) -> dict:
    """One number, wavelength:value pairs, or a file of them."""
    if "filename" in element.attributes:
        element.check_attributes(("name", "filename"))
        return {"type": "spectrum", "filename": file_name(Path(element.attributes["filename"]))}
    element.check_attributes(("name", "value"))
    text = element.attributes["value"]
    number = parse_numbers(text)
    if number is not None and len(number) == 1 and math.isfinite(number[0]):
        return {"type": "spectrum", "value": number[0]}
    pairs = parse_pairs(text)
    if pairs is None:
        element.fail(
            "<spectrum> value: expected one number or wavelength:value pairs such as"
            f" '400:0.1, 700:0.5', got '{_short(text)}'; for three numbers use <rgb>"
        )
    problem = check_pairs(np.array(pairs))
    if problem:
        element.fail(f"<spectrum> value: {problem}")
    return {"type": "spectrum", "value": pairs}


# --- transforms -----------------------------------------------------------------------------------------


def _translate(element: Element) -> dict:
    element.check_attributes((), ("value", "x", "y", "z"))
    return {"translate": _xyz(element, 0.0)}


def _scale(element: Element) -> dict:
    element.check_attributes((), ("value", "x", "y", "z"))
    return {"scale": _xyz(element, 1.0)}


def _rotate(element: Element) -> dict:
    element.check_attributes(("angle",), ("value", "x", "y", "z"))
    axis = _xyz(element, 0.0)
    if not any(axis):
        element.fail('<rotate> has no axis; give it one, such as y="1"')
    return {"rotate": {"axis": axis, "angle": element.numbers("angle", 1)[0]}}


def _lookat(element: Element) -> dict:
    element.check_attributes(("origin", "target"), ("up",))
    origin, target = element.numbers("origin", 3), element.numbers("target", 3)
    up = element.numbers("up", 3) if "up" in element.attributes else [0.0, 0.0, 0.0]
    if not any(up):
        up = _any_up(np.subtract(target, origin))
    return {"look_at": {"origin": origin, "target": target, "up": up}}


def _any_up(direction: np.ndarray) -> list[float]:
    """A direction perpendicular to the view, where the file names none: the one that Mitsuba takes.

    Duff et al., Building an Orthonormal Basis, Revisited (JCGT 2017).
    """
    length = np.linalg.norm(direction)
    x, y, z = (direction / length).tolist() if length > 0 else (0.0, 0.0, 1.0)
    sign = math.copysign(1.0, z)
    a = -1.0 / (sign + z)
    return [1.0 + sign * x * x * a, sign * x * y * a, -sign * x]


def _matrix(element: Element) -> dict:
    element.check_attributes(("value",))
    found = element.numbers("value", 9, 16)
    matrix = np.eye(4)
    size = 3 if len(found) == 9 else 4
    matrix[:size, :size] = np.reshape(found, (size, size))
    return {"matrix": matrix.tolist()}


_STEPS = {"translate": _translate, "scale": _scale, "rotate": _rotate, "lookat": _lookat, "matrix": _matrix}


def _transform(element: Element) -> list:
    """A list of steps, first to last; the identity as a matrix where there are none."""
    element.check_attributes(("name",))
    steps = []
    for child in element.children:
        if child.tag not in _STEPS:
            child.fail(
                f"<{child.tag}> does not belong inside <transform>{nearest(child.tag, _STEPS)};"
                f" its steps are {', '.join(_STEPS)}"
            )
        if child.children:
            child.fail(f"nothing belongs inside <{child.tag}>")
        steps.append(_STEPS[child.tag](child))
    return steps or np.eye(4).tolist()


_PLAIN = {
    "float": _float,
    "integer": _integer,
    "boolean": _boolean,
    "string": _string,
    "point": _vector,
    "vector": _vector,
    "rgb": _rgb,
}
# All elements that are not objects, once includes and the like are done.
VALUES = (*_PLAIN, "spectrum", "transform", "ref", *_STEPS)


# --- objects --------------------------------------------------------------------------------------------


class Builder:
    """Makes the dictionary of a scene. `places` says where in the text each object came from."""

    def __init__(
        self,
        ids: dict[str, Element],
        aliases: dict[str, str],
        warn: Callable[[Element, str], None],
        file_name: Callable[[Path], str],
    ):
        self.ids, self.aliases, self.warn, self.file_name = ids, aliases, warn, file_name
        self.places: dict[str, str] = {}
        self.names = _usable_names([i for i in ids if i not in aliases])

    def scene(self, root: Element) -> dict:
        """The dictionary of type "scene".

        Keys are the ids. An object without one is called by its element, and a number from the second on:
        "shape", "shape_2". (Mitsuba names such an object by its address, differently in each run.)
        """
        root.check_attributes((), SCENE_ATTRIBUTES)
        renamed = [f"'{i}' as '{n}'" for i, n in self.names.items() if i != n]
        if renamed:
            more = f" and {len(renamed) - 3} more" if len(renamed) > 3 else ""
            self.warn(root, f"ids with a '.' are read with '_' instead: {', '.join(renamed[:3])}{more}")
        return self._fill({"type": "scene"}, root, "", set(self.names.values()))

    def _fill(self, made: dict, element: Element, path: str, taken: set[str]) -> dict:
        """Add the children of an object to its dictionary."""
        taken = taken | {child.attributes["name"] for child in element.children if "name" in child.attributes}
        counts: dict[str, int] = {}
        for child in element.children:
            if child.tag in _STEPS:
                child.fail(f"<{child.tag}> belongs inside <transform>")
            key = self._key(child, made, taken, counts, top=not path)
            child_path = f"{path}.{key}" if path else key
            self.places[child_path] = f"{child.file.name}, line {child.line}"
            value = self._value(child, child_path)
            if isinstance(value, dict) and not path and value.get("id") == key and child.tag != "ref":
                del value["id"]
            made[key] = value
        return made

    def _key(self, child: Element, made: dict, taken: set[str], counts: dict[str, int], *, top: bool) -> str:
        """What a child is called: its id (at the top), its name, or its element and a number."""
        identifier = self.names.get(child.attributes.get("id", "")) if child.tag in OBJECTS else None
        if top and identifier is not None and identifier not in ("type", "id"):
            return identifier
        name = child.attributes.get("name")
        if name is not None and not (top and name in self.names.values()):
            if name in ("", "type", "id") or "." in name:
                child.fail(f"<{child.tag}> cannot have the name '{name}'")
            if name in made:
                child.fail(f"the name '{name}' stands twice in one object; rename or remove one of them")
            return name
        if child.tag not in OBJECTS and child.tag not in ("ref", "spectrum"):
            child.fail(f"<{child.tag}> lacks its attribute 'name'")
        tag = self._target(child).tag if child.tag == "ref" else child.tag
        while True:
            counts[tag] = counts.get(tag, 0) + 1
            key = tag if counts[tag] == 1 else f"{tag}_{counts[tag]}"
            if key not in taken and key not in made:
                return key

    def _value(self, element: Element, path: str) -> Any:
        if element.tag == "spectrum" and "type" not in element.attributes:
            value = _spectrum(element, self.file_name)
        elif element.tag == "transform":
            return _transform(element)
        elif element.tag == "ref":
            value = {"type": "ref", "id": self._identifier(element)}
        elif element.tag in _PLAIN:
            value = _PLAIN[element.tag](element)
            if element.tag == "string" and element.attributes["name"] == "filename":
                value = self.file_name(Path(value))
        else:
            return self._object(element, path)
        if element.children:
            element.children[0].fail(f"nothing belongs inside <{element.tag}>")
        return value

    def _object(self, element: Element, path: str) -> dict:
        if element.tag == "scene":
            element.fail("a <scene> inside a <scene>; use <include> for another file")
        element.check_attributes(("type",), ("id", "name"))
        made = {"type": element.attributes["type"]}
        if element.attributes.get("id"):
            made["id"] = self.names[element.attributes["id"]]
        return self._fill(made, element, path, set())

    def _target(self, element: Element) -> Element:
        element.check_attributes(("id",), ("name",))
        target = element.attributes["id"]
        if target not in self.ids:
            defined = ", ".join(sorted(self.ids)[:24]) or "nothing"
            hint = nearest(target, self.ids) or f"; defined: {defined}"
            element.fail(f"there is no object '{target}' to refer to{hint}")
        return self.ids[target]

    def _identifier(self, element: Element) -> str:
        return self.names[self._target(element).attributes["id"]]


def _usable_names(ids: list[str]) -> dict[str, str]:
    """Ids by the names they get: a '.' separates the parts of a parameter's name, so it becomes '_'."""
    names = {i: i for i in ids if "." not in i}
    taken = set(names)
    for identifier in ids:
        if identifier not in names:
            name = identifier.replace(".", "_")
            while name in taken:
                name += "_"
            names[identifier] = name
            taken.add(name)
    return {i: names[i] for i in ids}
