"""Reconstruction filters for tests: as a scene's file has them, and by their formulas."""

from dataclasses import replace

import numpy as np

from prb.estimators import work


def tent(radius):
    return lambda x: np.maximum(1 - np.abs(x) / radius, 0)


def gaussian(stddev):
    return lambda x: np.maximum(np.exp(-0.5 * (x / stddev) ** 2) - np.exp(-8.0), 0)


def cubic(b, c):
    """Mitchell and Netravali 1988, equation 8."""

    def value(x):
        x = np.abs(x)
        near = (12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b
        far = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2 + (-12 * b - 48 * c) * x + 8 * b + 24 * c
        return np.select([x < 1, x < 2], [near, far]) / 6

    return value


def lanczos(lobes):
    return lambda x: np.where(np.abs(x) <= lobes, np.sinc(x) * np.sinc(x / lobes), 0)


FILTERS = {  # name -> the plugin, and its value at a distance in pixels
    "box": ({"type": "box"}, lambda x: np.where(np.abs(x) <= 0.5, 1.0, 0.0)),
    "tent": ({"type": "tent"}, tent(1.0)),
    "tent-0.4": ({"type": "tent", "radius": 0.4}, tent(0.4)),
    "tent-1.7": ({"type": "tent", "radius": 1.7}, tent(1.7)),
    "tent-2.3": ({"type": "tent", "radius": 2.3}, tent(2.3)),
    "tent-12": ({"type": "tent", "radius": 12.0}, tent(12.0)),
    "gaussian": ({"type": "gaussian"}, gaussian(0.5)),
    "gaussian-0.1": ({"type": "gaussian", "stddev": 0.1}, gaussian(0.1)),
    "gaussian-0.4": ({"type": "gaussian", "stddev": 0.4}, gaussian(0.4)),
    "gaussian-0.7": ({"type": "gaussian", "stddev": 0.7}, gaussian(0.7)),
    "mitchell": ({"type": "mitchell"}, cubic(1 / 3, 1 / 3)),
    "mitchell-0.2-0.7": ({"type": "mitchell", "B": 0.2, "C": 0.7}, cubic(0.2, 0.7)),
    "catmullrom": ({"type": "catmullrom"}, cubic(0.0, 0.5)),
    "lanczos-2": ({"type": "lanczos", "lobes": 2}, lanczos(2)),
    "lanczos": ({"type": "lanczos"}, lanczos(3)),
    "lanczos-5": ({"type": "lanczos", "lobes": 5}, lanczos(5)),
}
SIX = ("box", "tent", "gaussian", "mitchell", "catmullrom", "lanczos")


WIDE = {"tent-12": 12, "lanczos": 3, "lanczos-5": 5, "tent-2.3": 3, "gaussian-0.7": 3}  # pixels of a film


def film(name, width, height, *, crop=None, **more):
    """A film's dictionary. crop: its window, (left, top, width, height) in pixels."""
    keys = ("crop_offset_x", "crop_offset_y", "crop_width", "crop_height")
    window = dict(zip(keys, crop or (), strict=False))
    return {
        "type": "hdrfilm",
        "width": width,
        "height": height,
        "rfilter": FILTERS[name][0],
        **window,
        **more,
    }


def plan_of(monkeypatch, **changes):
    """Cut renders in another way, on whatever device."""
    for device in ("CPU", "GPU"):
        monkeypatch.setattr(work, device, replace(getattr(work, device), **changes))


def small_film(name, width, height, *, crop=None, **more):
    """The same picture, but as a crop window where the filter would be wider than the film."""
    if max(width, height) < WIDE.get(name, 0):
        return film(name, 24, 24, crop=crop or (0, 0, width, height), **more)
    return film(name, width, height, crop=crop, **more)
