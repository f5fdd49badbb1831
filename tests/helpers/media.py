"""Scenes with media, put together by hand: a ball or more in front of a camera."""

import numpy as np

from prb.device.scene import Scene
from prb.scene.load import load_model_dict
from prb.scene.model import Medium, Phase, Volume


def constant(name, value, **fields):
    return Volume(name, "constant", np.float32(value), **fields)


def grid(name, value, **fields):
    """value: (Z, Y, X) or (Z, Y, X, channels)."""
    value = np.float32(value)
    return Volume(name, "grid", value[..., None] if value.ndim == 3 else value, **fields)


def medium(name="fog", *, kind="heterogeneous", phase=None, **volumes):
    """volumes: each a `Volume`, or the value of a constant."""
    volumes = {"sigma_t": 1.0, "albedo": 0.75, "scale": 1.0, **volumes}
    made = {
        key: v if isinstance(v, Volume) else constant(f"{name}.{key}.value.value", v)
        for key, v in volumes.items()
    }
    phase = Phase(f"{name}.phase_function", "isotropic") if phase is None else phase
    return Medium(name, kind, made, phase)


def model_of(interiors, *, volumetric=True, bsdf="null", exterior=None, around=None):
    """A model with one ball for each of `interiors`. around: the camera's medium."""
    balls = {f"ball{i}": {"type": "sphere", "bsdf": {"type": bsdf}} for i in range(len(interiors))}
    film = {"type": "hdrfilm", "width": 4, "height": 4}
    model = load_model_dict(
        {"type": "scene", "integrator": {"type": "path"}, "light": {"type": "constant"},
         "sensor": {"type": "perspective", "film": film}, **balls}
    )  # fmt: skip
    for shape, interior in zip(model.shapes, interiors, strict=True):
        shape.interior, shape.exterior = interior, exterior
    model.sensors[0].medium = around
    model.integrator.volumetric = volumetric
    return model


def scene_of(*interiors, **options):
    return Scene(model_of(interiors, **options))
