"""Scenes by dictionary, file, or bundled name."""

import os
from importlib import resources
from pathlib import Path

from prb.device import Scene
from prb.errors import SceneError
from prb.scene import load_model_dict, load_model_file


def load_dict(scene_dict, *, base_dir=None):
    """A scene from a Mitsuba 3 dictionary, as `mi.load_dict` takes it, its transform objects included.

    base_dir: the folder that relative file names start from, by default the current one.
    Raises SceneError, which names the place in the dictionary.
    """
    return Scene(load_model_dict(scene_dict, base_dir=base_dir))


def load_file(path):
    """A scene from a JSON file, or a bundled scene by its name (``cornell-box``).

    File names inside are relative to the file's folder. Raises SceneError.
    """
    bundled = bundled_scenes()
    if str(path) in bundled and not os.path.isfile(path):
        path = bundled[str(path)]
    if os.path.isdir(path):
        raise SceneError(f"{path}: is a folder; name a scene file in it")
    if not os.path.exists(path):
        raise SceneError(f"{path}: no such file; the bundled scenes are {', '.join(bundled)}")
    return Scene(load_model_file(path), name=Path(path).stem)


def bundled_scenes():
    """The scenes that ship with prb: name -> file."""
    folder = Path(str(resources.files("prb.scenes")))
    return {file.stem: file for file in sorted(folder.glob("*.json"))}
