"""Scenes: Mitsuba 3 dictionaries and JSON files in, a checked `SceneModel` out.

`reader` checks keys and values, `load` walks the scene, `plugins` lists what is supported; each kind
of plugin has its file (`shapes`, `materials`, `emitters`, `sensors`, `integrators`).
"""

from prb.scene.load import load_model_dict, load_model_file

__all__ = ["load_model_dict", "load_model_file"]
