"""Mitsuba's XML, versions 2 and 3, to the dictionary that `load_model_dict` takes.

This file reads the text and resolves what concerns text and files: includes, `default` and $name, `path`, ids
and aliases. `prb.scene.reading.xml_values` makes the dictionary of the elements that are left.

The parser is expat with document types refused, so that there are no entities to expand; nesting, includes,
elements and the length of substituted texts are bounded.
"""

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from xml.parsers import expat

from prb.errors import SceneError, printable
from prb.scene.reading.values import fail, nearest, warning
from prb.scene.reading.xml_values import OBJECTS, SCENE_ATTRIBUTES, VALUES, Builder, Element

_MAX_NESTING = 60
_MAX_INCLUDES = 1000
_MAX_ELEMENTS = 2_000_000
_MAX_TEXT = 100_000
# tag -> (required attributes, optional ones), of the elements that are gone once a file has been read
_STRUCTURE = {
    "include": (("filename",), ()),
    "default": (("name", "value"), ()),
    "path": (("value",), ()),
    "alias": (("id", "as"), ()),
}
_SUPPORTED = "prb reads versions 2.0.0 to 3.x"


@dataclass
class Document:
    """What an XML file holds: the scene's dictionary, warnings, and where in the text each object stands.

    places: "shape_2.bsdf" -> "scene.xml, line 12". files: the XML files that were read.
    """

    data: dict[str, Any]
    warnings: list[str]
    places: dict[str, str]
    files: list[Path]

    def located(self, error: SceneError) -> SceneError:
        """The same error, which says where in the XML its place is."""
        message = str(error)
        begins = {printable(place): place for place in self.places}
        inside = [p for p in begins if message.startswith(p) and message[len(p) : len(p) + 1] in ".:["]
        return SceneError(f"{message} ({self.places[begins[max(inside, key=len)]]})") if inside else error


def read_xml(
    path: str | Path, parameters: Mapping[str, Any] | None = None, *, relative_to: str | Path | None = None
) -> Document:
    """The scene of a Mitsuba XML file. Raises `SceneError`, which names file, line and column.

    parameters: values for $name, over the file's defaults; each has to be used.
    relative_to: a folder that file names in the dictionary are written relative to, where the two have one in
    common; without it they are absolute.
    """
    source = _Source(Path(path), {k: parameter_text(k, v) for k, v in (parameters or {}).items()})
    root = source.read()
    folder = None if relative_to is None else Path(os.path.realpath(relative_to))
    builder = Builder(source.ids, source.aliases, source.warn, lambda file: file_name(file, folder))
    return Document(builder.scene(root), source.warnings, builder.places, source.files)


def parameter_text(name: str, value: Any) -> str:
    """A parameter's value as it would stand in the file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, list | tuple) and all(isinstance(v, int | float) for v in value):
        return " ".join(str(v) for v in value)
    fail(name, f"a parameter of a scene is a text, a number or true or false, got a {type(value).__name__}")


def file_name(file: Path, folder: Path | None) -> str:
    """How a scene in the folder names a file: relative where the two have a folder in common."""
    file = Path(os.path.abspath(file))
    if folder is None or file.anchor != folder.anchor:
        return str(file)
    if os.path.commonpath([file, folder]) == file.anchor:  # nothing in common: they do not move together
        return str(file)
    return Path(os.path.relpath(file, folder)).as_posix()


@dataclass
class _Parameter:
    value: str
    used: bool = False


@dataclass
class _Source:
    """A scene file with all that it includes, read in the order of the text."""

    path: Path
    given: dict[str, str]
    ids: dict[str, Element] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)  # of the <path> elements
    including: list[Path] = field(default_factory=list)  # the files that are being read, outermost first
    elements: int = 0

    def read(self) -> Element:
        """The scene's element; in it only objects and values are left."""
        self.parameters = {name: _Parameter(value) for name, value in self.given.items()}
        root = self._parse(self.path)
        if root.tag != "scene":
            root.fail(f"a scene file begins with <scene>, got <{root.tag}>")
        self._check_version(root, required=True)
        self._expand(root)
        self.including.pop()
        unused = [name for name in self.given if not self.parameters[name].used]
        if unused:
            known = [name for name in self.parameters if name not in unused]
            hint = nearest(unused[0], known) or f"; it uses {', '.join(known) or 'none'}"
            fail(str(self.path), f"the scene does not use the parameter '{unused[0]}'{hint}")
        return root

    def warn(self, element: Element, message: str) -> None:
        self.warnings.append(warning(element.place, message))

    def _parse(self, path: Path) -> Element:
        """The tree of one file, as it stands."""
        self.files.append(path)
        self.including.append(path)
        try:
            data = path.read_bytes()
        except OSError as error:
            fail(str(path), f"cannot read the scene file: {error.strerror}")
        if not data.strip():
            fail(str(path), "the file is empty; a scene file is XML that begins with <scene>")
        parser = _Expat(path, self.warn)
        root = parser.parse(data)
        self.elements += parser.count
        if self.elements > _MAX_ELEMENTS:
            root.fail(f"more than {_MAX_ELEMENTS} elements in the files of one scene")
        return root

    def _check_version(self, root: Element, *, required: bool) -> None:
        version = root.attributes.pop("version", None)
        if version is None:
            if required:
                root.fail(f'<{root.tag}> lacks its version, such as version="3.0.0"; {_SUPPORTED}')
            return
        parts = version.split(".")
        if len(parts) not in (2, 3) or not all(part.isdecimal() for part in parts):
            root.fail(f"'{version}' is not a version such as 3.0.0; {_SUPPORTED}")
        if int(parts[0]) < 2:
            root.fail(
                f"a file of version {version}, as the old Mitsuba wrote them; {_SUPPORTED}, whose names"
                " differ (to_world, not toWorld)"
            )
        if int(parts[0]) > 3:
            root.fail(f"version {version} is newer than prb knows; {_SUPPORTED}")

    def _expand(self, element: Element) -> None:
        """Substitute in the element and all below, read includes, and take note of ids."""
        for key, text in element.attributes.items():
            if "$" in text:
                element.attributes[key] = self._substituted(element, text)
        if element.tag in OBJECTS and element.attributes.get("id"):
            identifier = element.attributes["id"]
            self._check_new(element, identifier)
            self.ids[identifier] = element
        self._resolve_file(element)
        children = []
        for child in element.children:
            if child.tag in _STRUCTURE:
                children += self._structure(child)
                continue
            if child.tag not in OBJECTS and child.tag not in VALUES:
                known = [*OBJECTS, *VALUES, *_STRUCTURE]
                child.fail(f"unknown element <{child.tag}>{nearest(child.tag, known)}")
            self._expand(child)
            children.append(child)
        element.children = children

    def _structure(self, element: Element) -> list[Element]:
        """Do what an include, a default, a path or an alias says; the elements that stand for it."""
        element.check_attributes(*_STRUCTURE[element.tag])
        if element.children:
            element.fail(f"nothing belongs inside <{element.tag}>")
        for key, text in element.attributes.items():
            element.attributes[key] = self._substituted(element, text)
        given = element.attributes
        if element.tag == "include":
            return self._include(element, given["filename"])
        if element.tag == "default":
            self.parameters.setdefault(given["name"], _Parameter(given["value"]))
        elif element.tag == "path":
            self.folders.insert(0, self._find(element, given["value"], Path.is_dir, "folder"))
        else:
            self._check_new(element, given["as"])
            if given["id"] not in self.ids and given["id"] not in self.aliases:
                element.fail(
                    f"there is no object '{given['id']}' above this alias{nearest(given['id'], self.ids)}"
                )
            self.aliases[given["as"]] = given["id"]
            self.ids[given["as"]] = self.ids[given["id"]]
        return []

    def _include(self, element: Element, name: str) -> list[Element]:
        path = self._find(element, name, Path.is_file, "file")
        chain = [os.path.realpath(p) for p in self.including]
        if os.path.realpath(path) in chain:
            names = " -> ".join([*(p.name for p in self.including), path.name])
            element.fail(f"the file includes itself: {names}")
        if len(self.files) > _MAX_INCLUDES or len(self.including) > _MAX_NESTING:
            element.fail(f"too many includes (more than {_MAX_INCLUDES}, or nested too deeply)")
        root = self._parse(path)
        self._check_version(root, required=False)
        if root.tag != "scene" and root.tag not in OBJECTS:
            root.fail(f"an included file holds a <scene> or an object, got <{root.tag}>")
        if root.tag == "scene":
            root.check_attributes((), SCENE_ATTRIBUTES)
        self._expand(root)
        self.including.pop()
        return root.children if root.tag == "scene" else [root]

    def _check_new(self, element: Element, identifier: str) -> None:
        if identifier in self.ids:
            element.fail(
                f"the id '{identifier}' stands twice, first in {self.ids[identifier].place};"
                " rename one of them"
            )

    def _resolve_file(self, element: Element) -> None:
        """Make a file name that the element holds an absolute path to a file that exists."""
        key = "value" if element.tag == "string" and element.attributes.get("name") == "filename" else None
        key = "filename" if element.tag == "spectrum" and "filename" in element.attributes else key
        if key in element.attributes:
            element.attributes[key] = str(self._find(element, element.attributes[key], Path.is_file, "file"))

    def _find(self, element: Element, name: str, exists: Callable[[Path], bool], what: str) -> Path:
        """Where a file or folder lies: in the folders of <path>, latest first, the scene's, the includes'."""
        folders = [*self.folders, *dict.fromkeys(file.parent for file in self.including)]
        for folder in folders:
            with contextlib.suppress(OSError):  # such as a name that is too long
                if name and exists(Path(os.path.abspath(folder / name))):
                    return Path(os.path.abspath(folder / name))
        looked = ", ".join(str(folder) for folder in dict.fromkeys(folders))
        shown = name if len(name) <= 200 else name[:197] + "..."
        element.fail(f"no such {what}: '{shown}'; looked in {looked}" if name else f"the {what} has no name")

    def _substituted(self, element: Element, text: str) -> str:
        r"""The text with $name replaced by the longest parameter name that fits; \$ is a dollar sign."""
        names = sorted(self.parameters, key=len, reverse=True)
        parts, start = [], 0
        while (i := text.find("$", start)) >= 0:
            if i > start and text[i - 1] == "\\":
                parts.append(text[start : i - 1] + "$")
                start = i + 1
                continue
            name = next((n for n in names if text.startswith(n, i + 1)), None)
            if name is None:
                word = "".join(_word(text[i + 1 :]))
                known = ", ".join(self.parameters) or "none"
                hint = nearest(word, self.parameters) or f"; defined: {known}"
                element.fail(
                    f"the parameter ${word} is not defined above{hint}; give it a <default>, or a"
                    f" value with -D {word}=..."
                )
            self.parameters[name].used = True
            parts.append(text[start:i] + self.parameters[name].value)
            start = i + 1 + len(name)
            if sum(map(len, parts)) > _MAX_TEXT:
                element.fail(f"the text is longer than {_MAX_TEXT} characters after substitution")
        return "".join([*parts, text[start:]])


def _word(text: str):
    for character in text:
        if not (character.isalnum() or character == "_"):
            return
        yield character


class _Expat:
    """One file's text to a tree of elements."""

    def __init__(self, path: Path, warn: Callable[[Element, str], None]):
        self.path, self.warn = path, warn
        self.stack: list[Element] = []
        self.root: Element | None = None
        self.count = 0
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype

    def parse(self, data: bytes) -> Element:
        try:
            self.parser.Parse(data, True)
        except expat.ExpatError as error:
            place = f"{self.path}, line {error.lineno} column {error.offset + 1}"
            inside = f" (inside <{self.stack[-1].tag}> of line {self.stack[-1].line})" if self.stack else ""
            fail(place, f"not well-formed XML: {expat.ErrorString(error.code)}{inside}")
        except (ValueError, LookupError) as error:  # of an encoding that Python lacks
            fail(str(self.path), f"not readable XML: {error}; save it in UTF-8")
        return self.root

    def _here(self) -> tuple[int, int]:
        return self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, [], self.path, *self._here())
        self.count += 1
        if self.count > _MAX_ELEMENTS:
            element.fail(f"more than {_MAX_ELEMENTS} elements in one file")
        if len(self.stack) >= _MAX_NESTING:
            element.fail(f"elements are nested more than {_MAX_NESTING} deep")
        if self.stack:
            self.stack[-1].children.append(element)
        else:
            self.root = element
        self.stack.append(element)

    def _end(self, tag: str) -> None:
        self.stack.pop()

    def _text(self, text: str) -> None:
        if text.strip():
            shown = " ".join(text.split())
            shown = shown if len(shown) <= 40 else shown[:37] + "..."
            self.warn(self.stack[-1], f"the text '{shown}' inside <{self.stack[-1].tag}> has no effect")

    def _doctype(self, *_: Any) -> NoReturn:
        line, column = self._here()
        fail(
            f"{self.path}, line {line} column {column}",
            "document types and entities are not read; remove the <!DOCTYPE ...>",
        )
