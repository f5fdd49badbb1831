"""Scenes by dictionary, file, or bundled name."""

import json
import os
from importlib import resources
from pathlib import Path

from prb.errors import ImageError, SceneError
from prb.io.images import atomic
from prb.io.protect import check_not_read
from prb.scene.load import is_xml, load_document, read_dict
from prb.scene.reading.xml import read_xml


def convert_file(path, output, parameters=None):
    """Write a scene in Mitsuba's XML as JSON, which loads to the same scene. Returns its `SceneModel`.

    File names are written relative to the output's folder, absolute where the two have no folder in common.
    parameters: values for the $names of the XML, by name. Nothing is written unless prb can load the scene.
    Raises SceneError, and ImageError where it cannot write.
    """
    path, output = Path(scene_file(path)), Path(output)
    if not is_xml(path, path.read_bytes()):
        raise SceneError(f"{path}: is not XML; only Mitsuba's XML needs to be converted")
    document = read_xml(path, parameters, relative_to=output.parent)
    check_not_read(output, [*document.files, *(output.parent / name for name in file_names(document.data))])
    model = load_document(document, base_dir=output.parent)
    write_scene(output, document.data)
    return model


def file_names(data):
    """Every "filename" of a scene's dictionary."""
    if not isinstance(data, dict):
        return []
    own = [data["filename"]] if isinstance(data.get("filename"), str) else []
    return own + [name for item in data.values() for name in file_names(item)]


def write_scene(path, data):
    """Write a scene's dictionary as a JSON file. Raises ImageError."""
    try:
        with atomic(path) as temporary:
            Path(temporary).write_text(_indented(data) + "\n", encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def scene_dict(path, parameters=None, *, relative_to):
    """The dictionary of a scene file or a bundled scene, its files named relative to a folder."""
    return read_dict(scene_file(path), parameters, relative_to=relative_to)


def _indented(value, depth=0):
    """JSON with an object's entries in lines of their own, and lists in one line."""
    if not isinstance(value, dict) or not any(isinstance(v, dict | list) for v in value.values()):
        return json.dumps(value, allow_nan=False)
    indent = "  " * (depth + 1)
    lines = [f"{indent}{json.dumps(key)}: {_indented(item, depth + 1)}" for key, item in value.items()]
    return "{\n" + ",\n".join(lines) + "\n" + "  " * depth + "}"


def scene_file(path):
    """The file of a bundled scene, or of a path that exists."""
    bundled = bundled_scenes()
    if str(path) in bundled and not os.path.isfile(path):
        return bundled[str(path)]
    if os.path.isdir(path):
        raise SceneError(f"{path}: is a folder; name a scene file in it")
    if not os.path.exists(path):
        raise SceneError(f"{path}: no such file; the bundled scenes are {', '.join(bundled)}")
    return path


def bundled_scenes():
    """The scenes that ship with prb: name -> file."""
    folder = Path(str(resources.files("prb.scenes")))
    return {file.stem: file for file in sorted(folder.glob("*.json"))}
