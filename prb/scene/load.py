"""A scene dictionary, a JSON or an XML file to a `SceneModel`: names, references, and the top level."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prb.errors import SceneError
from prb.kernels.emitter import ENVIRONMENTS
from prb.scene.checks import check
from prb.scene.model import Integrator, SceneModel
from prb.scene.plugins.materials import child_name
from prb.scene.plugins.registry import MITSUBA_PLUGINS, PLUGINS
from prb.scene.plugins.shapes import in_world
from prb.scene.reading.reader import Context, Node, Reader
from prb.scene.reading.values import describe, fail, kind_of, nearest
from prb.scene.reading.xml import Document, file_name, read_xml

_MAX_NESTING = 64
_READ_WHERE_USED = ("texture", "volume", "phase")  # what a range or a number of channels is asked of


def load_model_dict(d: Mapping, *, base_dir: str | Path | None = None) -> SceneModel:
    """The scene of a Mitsuba 3 dictionary, checked and with all references resolved.

    d: what `mi.load_dict` takes, of type "scene"; transforms also as lists of steps (docs/architecture.md,
        section 5).
    base_dir: where relative file names start; the current folder without it.
    Raises `SceneError` for anything that prb does not understand or support.
    """
    if not isinstance(d, Mapping):
        fail("", f"expected a dictionary, got {describe(d)}")
    if kind_of(d) != "scene":
        fail(
            "type",
            'missing; the top level needs "type": "scene"'
            if "type" not in d
            else f"expected 'scene', got {describe(d['type'])}; put it into a dictionary of type 'scene'",
        )
    context = Context(PLUGINS, MITSUBA_PLUGINS, Path(base_dir or "."))
    for key in d:
        if not isinstance(key, str) or not key:
            fail("", f"the key {key!r} is not a {'name' if key == '' else 'string'}")
    _index(context, d, "", "", "scene", [])
    return _scene(context, d)


def load_model_file(path: str | Path, parameters: Mapping[str, Any] | None = None) -> SceneModel:
    """The scene of a JSON file or of a Mitsuba XML file. Raises `SceneError`.

    File names in it are relative to its folder. parameters: values for $name in XML; JSON has none.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        fail(str(path), f"cannot read the scene file: {error.strerror}")
    if is_xml(path, data):
        return load_document(read_xml(path, parameters))
    for name in parameters or ():
        fail(str(path), f"got the parameter '{name}', but only a scene in XML has parameters")
    return load_model_dict(_read_json(path, data), base_dir=path.parent)


def is_xml(path: Path, data: bytes) -> bool:
    """Whether a scene file is XML, by its name or its first character (in UTF-8 or UTF-16)."""
    start = data.removeprefix(b"\xef\xbb\xbf").removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
    return path.suffix.lower() == ".xml" or start.lstrip(b" \t\r\n\0").startswith(b"<")


def read_dict(
    path: str | Path, parameters: Mapping[str, Any] | None = None, *, relative_to: str | Path
) -> dict[str, Any]:
    """The dictionary of a scene file, with the names of its files as a scene in `relative_to` writes them."""
    path, folder = Path(path), Path(os.path.realpath(relative_to))
    data = path.read_bytes()
    if is_xml(path, data):
        return read_xml(path, parameters, relative_to=folder).data

    def moved(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        d = {key: moved(item) for key, item in value.items()}
        if isinstance(d.get("filename"), str):
            d["filename"] = file_name(Path(os.path.realpath(path.parent / d["filename"])), folder)
        return d

    return moved(_read_json(path, data))


def named_nodes(d: Mapping) -> dict[str, Mapping]:
    """The dictionary of every plugin of a scene, by what the names of its parameters begin with."""
    context = Context(PLUGINS, MITSUBA_PLUGINS, Path("."))
    _index(context, d, "", "", "scene", [])
    return {node.name: node.data for node in context.nodes.values() if kind_of(node.data) != "ref"}


def load_document(document: Document, *, base_dir: str | Path | None = None) -> SceneModel:
    """The scene that was read from XML; errors and warnings say where in the file."""
    try:
        model = load_model_dict(document.data, base_dir=base_dir)
    except SceneError as error:
        raise document.located(error) from None
    model.warnings[:0] = document.warnings
    return model


def _read_json(path: Path, data: bytes) -> dict:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(str(path), f"not a text file in UTF-8 (byte {error.start}); a scene file is JSON or XML")
    if not text.strip():
        fail(str(path), "the file is empty; a scene file is JSON, a dictionary of type 'scene', or XML")
    try:
        d = json.loads(text, object_pairs_hook=_Object)
    except json.JSONDecodeError as error:
        fail(str(path), f"not JSON, line {error.lineno} column {error.colno}: {error.msg}")
    except (RecursionError, ValueError) as error:
        fail(str(path), f"not a scene: {error}")
    if not isinstance(d, dict):
        fail(str(path), f"expected a dictionary of type 'scene' at the top level, got {describe(d)}")
    _check_duplicates(d, "")
    return d


class _Object(dict):
    """A JSON object that remembers a key that it holds twice."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        self.duplicate = None
        if len(self) < len(pairs):
            seen: set[str] = set()
            self.duplicate = next(k for k, _ in pairs if k in seen or seen.add(k))


def _check_duplicates(value: Any, place: str) -> None:
    if isinstance(value, _Object):
        if value.duplicate is not None:
            where = f"{place}.{value.duplicate}" if place else value.duplicate
            fail(where, "the key stands twice in one dictionary; rename or remove one of them")
        for key, item in value.items():
            _check_duplicates(item, f"{place}.{key}" if place else key)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_duplicates(item, f"{place}[{i}]")


def _index(
    context: Context, data: Mapping, path: str, name: str, parent: str | None, inside: list[int]
) -> None:
    """Note every plugin's dictionary with its path, its id and the name of its parameters.

    The name is Mitsuba's: an object's id or key at the top level, below it the role that it plays.
    """
    if id(data) in inside or len(inside) > _MAX_NESTING:
        fail(path, "the dictionary contains itself, or is nested too deeply")
    count = 0
    for key, value in data.items():
        if not isinstance(value, Mapping) or not isinstance(key, str):
            continue
        child_path = f"{path}.{key}" if path else key
        kind = kind_of(value)
        category = _category(context, value)
        if parent == "scene":
            child = value["id"] if isinstance(value.get("id"), str) and kind != "ref" else key
        elif parent in ("bsdf", "phase") and category in (parent, "ref") and key != "weight":
            child = child_name(kind_of(data), count)
            count += 1
        else:
            child = _role(kind_of(data), parent, category, key)
        context.nodes[child_path] = Node(value, child_path, f"{name}.{child}" if name else child)
        if kind != "ref" and "id" in value:
            _note_id(context, value["id"], child_path)
        _index(context, value, child_path, context.nodes[child_path].name, category, [*inside, id(data)])


def _role(kind: str | None, parent: str | None, category: str | None, key: str) -> str:
    """What Mitsuba calls an object under a key of a plugin (kind, of category parent), by its role there."""
    if (kind, category) == ("bumpmap", "texture"):
        return "nested_texture"
    if parent == "shape" and category in ("bsdf", "emitter"):
        return category
    if category == "medium":
        return f"{key}_medium" if parent == "shape" else "medium"
    return "phase_function" if (parent, category) == ("medium", "phase") else key


def _category(context: Context, data: Mapping) -> str | None:
    kind = kind_of(data)
    return context.plugins[kind].category if kind in context.plugins else kind


def _note_id(context: Context, identifier: Any, path: str) -> None:
    if not isinstance(identifier, str) or not identifier:
        fail(f"{path}.id", f"expected a name, got {describe(identifier)}")
    if "." in identifier:
        fail(f"{path}.id", f"the id '{identifier}' holds a '.', which separates the parts of a path; use '_'")
    other = context.ids.setdefault(identifier, path)
    if other != path:
        fail(f"{path}.id", f"the id '{identifier}' belongs to '{other}' already; rename one of them")


def _scene(context: Context, d: Mapping) -> SceneModel:
    found: dict[str, list] = {
        c: [] for c in ("sensor", "integrator", "shape", "emitter", "bsdf", "medium", *_READ_WHERE_USED)
    }
    for key, value in d.items():
        if key in ("type", "id"):
            continue
        if "." in key:
            fail(key, "the key holds a '.', which separates the parts of a path; use '_'")
        if not isinstance(value, Mapping):
            fail(
                key,
                f"expected an object of the scene, a dictionary with a type, got {describe(value)}"
                f"{nearest(key, ['type'])}",
            )
        if kind_of(value) == "ref":
            fail(key, "a ref at the top level has no effect; remove it")
        reader = Reader(context.nodes[key], context)
        clash = context.ids.get(key, key)
        if clash != key:
            fail(key, f"'{key}' is also the id of '{clash}'; rename one of them")
        if reader.category not in found or reader.type in ("rgb", "spectrum"):
            reader.fail(
                f"{reader.type} ({reader.category}) does not belong at the top level;"
                " write it where it is used"
            )
        found[reader.category].append(reader)
    environments = [r for r in found["emitter"] if r.type in ENVIRONMENTS]
    for several, what in ((found["integrator"], "integrator"), (environments, "environment light")):
        if len(several) > 1:
            several[1].fail(f"a scene holds one {what} and '{several[0].path}' is one; remove one of the two")
    made = {
        category: [reader.make() for reader in readers]
        for category, readers in found.items()
        if category not in _READ_WHERE_USED
    }
    made["shape"] = in_world(made["shape"])
    _check_use(context, found)
    emitters = [e for e in made["emitter"] if e.kind != "area"]
    if not made["sensor"]:
        fail("", 'there is no sensor; add one, such as "sensor": {"type": "perspective", "to_world": ...}')
    if not made["shape"] and not any(e.kind in ENVIRONMENTS for e in emitters):
        fail("", "there is nothing to see; add a shape, or a constant or envmap emitter")
    if not emitters and not any(s.emitter for s in made["shape"]):
        context.warn("", "there is no emitter; the picture will be black")
    if not made["integrator"]:
        context.warn("", "there is no integrator; using path with its defaults")
    integrator = made["integrator"][0] if made["integrator"] else Integrator()
    model = SceneModel(made["shape"], emitters, made["sensor"], integrator, context.warnings)
    check(model)
    return model


def _check_use(context: Context, found: dict[str, list[Reader]]) -> None:
    """No surface model, medium, texture or area light stands at the top level for nothing."""
    for reader in found["emitter"]:
        if reader.type == "area" and reader.path not in context.attached:
            reader.fail("an area emitter belongs inside a shape, or is referred to by one")
    users = {
        "bsdf": "shape",
        "medium": "shape or sensor",
        "texture": "surface or light",
        "volume": "medium",
        "phase": "medium",
    }
    for reader in (reader for category in users for reader in found[category]):
        if reader.path not in context.referenced:
            user = users[reader.category]
            context.warn(
                reader.path,
                f"no {user} uses this {reader.type}; refer to it with"
                f' {{"type": "ref", "id": "{reader.name}"}}',
            )
