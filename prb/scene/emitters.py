"""Lights: `area` (on a shape), `constant` (all around the scene) and `point`."""

import numpy as np

from prb.scene.model import Emitter
from prb.scene.reader import Reader


def _emitter(reader: Reader, key: str, position: np.ndarray | None = None) -> Emitter:
    textures = {key: reader.texture(key, 1.0, emission=True)}
    weight = reader.number("sampling_weight", 1.0, low=0.0)
    return Emitter(reader.name, reader.type, textures, position, weight)


def _area(reader: Reader) -> Emitter:
    return _emitter(reader, "radiance")


def _constant(reader: Reader) -> Emitter:
    reader.transform()  # checked; it turns a light that looks the same from everywhere
    return _emitter(reader, "radiance")


def _point(reader: Reader) -> Emitter:
    if "position" in reader and "to_world" in reader:
        reader.fail("both position and to_world are given; keep one of them")
    position = reader.transform()[:3, 3] if "to_world" in reader else reader.vector("position", [0, 0, 0])
    return _emitter(reader, "intensity", position)


EMITTERS = {"area": _area, "constant": _constant, "point": _point}
