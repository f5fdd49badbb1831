"""Scenes: Mitsuba 3 dictionaries, JSON and XML files in, a checked `SceneModel` out. NumPy only.

The files here share the records of `model`: `load` makes them of a dictionary, `checks` sees to what can be
checked only once all is read, `leaves` takes nested scattering models apart, `files` finds and writes scene
files, and `parameter_values` puts recovered values into one. `reading/` turns text and dictionaries into
checked values, `plugins/` has a reader for each plugin, `meshes/` reads triangle meshes.
"""

from prb.scene.load import load_model_dict, load_model_file

__all__ = ["load_model_dict", "load_model_file"]
