"""Cameras and what belongs to them: film, reconstruction filter, sampler.

Accepted without effect, because they do not change a picture of prb: `focus_distance` of a camera
without an aperture, and the shutter times (nothing moves); `component_format`, `file_format`,
`compensate`, `banner` of `hdrfilm` (prb writes what the output file's name says).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from prb.scene.model import Film, Sensor
from prb.scene.reading.reader import Reader
from prb.scene.reading.values import fail, kind_of

MAX_SIDE = 65536
MAX_PIXELS = 2**28

_FOV_AXES = ("x", "y", "diagonal", "smaller", "larger")
_PIXEL_FORMATS = ("rgb", "rgba", "luminance", "luminance_alpha", "xyz", "xyza")
_SAMPLERS = {  # Mitsuba's samplers: prb's names for them, and their keys
    "independent": ("independent", ()),
    "ldsampler": ("sobol", ()),
    "multijitter": ("multijitter", ("jitter",)),
    "orthogonal": ("orthogonal", ("jitter", "strength")),
    "stratified": ("stratified", ("jitter",)),
}
_REFUSED = {  # Mitsuba's plugins that may stand inside a film or a sensor, and why prb lacks them
    "specfilm": "prb's pictures are rgb; use hdrfilm",
}


def _perspective(reader: Reader) -> Sensor:
    sensor = _pinhole(reader)
    sensor.principal_point_offset_x = reader.number("principal_point_offset_x", 0.0, low=-100.0, high=100.0)
    sensor.principal_point_offset_y = reader.number("principal_point_offset_y", 0.0, low=-100.0, high=100.0)
    reader.without_effect("focus_distance")
    return sensor


def _thinlens(reader: Reader) -> Sensor:
    sensor = _pinhole(reader)
    sensor.aperture_radius = reader.number("aperture_radius", low=0.0)
    sensor.focus_distance = reader.number("focus_distance", sensor.far_clip, above=0.0)
    return sensor


def _orthographic(reader: Reader) -> Sensor:
    """The transform may also scale: the film shows what lies between -1 and 1 along the local x axis."""
    for key in ("fov", "focal_length", "fov_axis"):
        if key in reader:
            reader.fail("an orthographic camera has none; its picture's size is the scale of to_world", key)
    reader.without_effect("focus_distance")
    return _sensor(reader, reader.transform())


def _pinhole(reader: Reader) -> Sensor:
    """A camera with a field of view."""
    to_world = reader.transform()
    if not is_rigid(to_world):
        reader.fail(
            "a camera's transform may not scale or shear; use rotations, translations and look_at", "to_world"
        )
    fov = fov_of(reader)
    sensor = _sensor(reader, to_world)
    sensor.fov = fov
    sensor.x_fov = horizontal_fov(*fov, sensor.film.width / sensor.film.height)
    if not 0 < sensor.x_fov < 180:
        reader.fail(f"the horizontal field of view is {sensor.x_fov:g} degrees, outside (0, 180)", "fov")
    return sensor


def _sensor(reader: Reader, to_world: np.ndarray) -> Sensor:
    """What all cameras have in common. The film is its own, also where two sensors refer to one."""
    near_clip = reader.number("near_clip", 1e-2, above=0.0)
    far_clip = reader.number("far_clip", 1e4, above=0.0)
    if near_clip >= far_clip:
        reader.fail(f"near_clip {near_clip:g} must be smaller than far_clip {far_clip:g}", "near_clip")
    reader.without_effect("shutter_open", "shutter_close")
    _refuse(reader)
    found: dict = {}
    for child in reader.children("film", "sampler", "medium"):
        if child.category not in ("film", "sampler", "medium"):
            child.misplaced(reader)
        if child.category in found:
            child.fail(f"a sensor holds one {child.category}; remove one of the two")
        found[child.category] = child.make()
    film = replace(found.get("film", Film()))
    return Sensor(
        reader.name, to_world, 0.0, film, near_clip, far_clip, *found.get("sampler", (4, "independent")),
        kind=reader.type, medium=found.get("medium"),
    )  # fmt: skip


def is_rigid(matrix: np.ndarray) -> bool:
    """True if an affine 4x4 matrix only rotates, reflects and translates."""
    linear = matrix[:3, :3]
    return bool(np.abs(linear @ linear.T - np.eye(3)).max() < 1e-3)


def _refuse(reader: Reader) -> None:
    """Fail for a nested plugin that prb does not support, and say why."""
    for key, value in reader.data.items():
        kind = kind_of(value) if isinstance(value, Mapping) else None
        if kind in _REFUSED:
            problem = f"the plugin '{kind}' exists in Mitsuba but not in prb: {_REFUSED[kind]}"
            reader.fail(problem, f"{key}.type")


def resized(sensor: Sensor, width: int, height: int) -> Sensor:
    """The sensor with a film of another size, without a crop; the field of view stays along its axis."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE) or width * height > MAX_PIXELS:
        fail(
            "size",
            f"{width}x{height} is not a size prb renders; sides go from 1 to {MAX_SIDE},"
            f" pixels to {MAX_PIXELS}",
        )
    film = replace(sensor.film, width=width, height=height, crop_size=(width, height), crop_offset=(0, 0))
    if not _filter_fits(film):
        fail("size", f"{_too_wide(film)}; take a larger size")
    if sensor.kind == "orthographic":
        return replace(sensor, film=film)
    return replace(sensor, film=film, x_fov=horizontal_fov(*sensor.fov, width / height))


def fov_of(reader: Reader) -> tuple[float, str]:
    """The field of view in degrees, and the axis of the film that it is measured along."""
    if "fov" in reader:
        if "focal_length" in reader:
            reader.fail("both fov and focal_length are given; keep one of them")
        fov = reader.number("fov", above=0.0, below=180.0)
        return fov, reader.choice("fov_axis", _FOV_AXES, "x")
    text = reader.string("focal_length", "50mm")
    if "fov_axis" in reader:
        reader.fail("has a meaning only together with fov", "fov_axis")
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(mm)?\s*", text)
    if not match or float(match[1]) <= 0:
        reader.fail(f"expected millimetres such as '50mm', got '{text}'", "focal_length")
    # the diagonal of a 36 x 24 mm frame
    return math.degrees(2 * math.atan(math.hypot(36, 24) / (2 * float(match[1])))), "diagonal"


def horizontal_fov(fov: float, axis: str, aspect: float) -> float:
    """The horizontal field of view, all in degrees; `aspect` is the film's width over its height."""
    if axis in ("smaller", "larger"):
        axis = "y" if (aspect > 1) == (axis == "smaller") else "x"
    half = math.tan(math.radians(fov) / 2)
    if axis == "y":
        half *= aspect
    elif axis == "diagonal":
        half /= math.sqrt(1 + 1 / aspect**2)
    else:
        return fov
    return math.degrees(2 * math.atan(half))


def _hdrfilm(reader: Reader) -> Film:
    width = reader.integer("width", 768, low=1, high=MAX_SIDE)
    height = reader.integer("height", 576, low=1, high=MAX_SIDE)
    if width * height > MAX_PIXELS:
        reader.fail(
            f"{width} x {height} pixels are more than prb renders ({MAX_PIXELS}); reduce the size", "width"
        )
    offset, size = [], []
    for axis, side, extent in (("x", "width", width), ("y", "height", height)):
        offset.append(reader.integer(f"crop_offset_{axis}", 0, low=0, high=MAX_SIDE))
        size.append(reader.integer(f"crop_{side}", extent, low=1, high=MAX_SIDE))
        if offset[-1] + size[-1] > extent:
            reader.fail(
                f"the crop window reaches to {offset[-1] + size[-1]}, outside the film's {side}"
                f" {extent}; give crop_offset_{axis} and crop_{side} together",
                f"crop_{side}",
            )
    pixel_format = reader.choice("pixel_format", _PIXEL_FORMATS, "rgb")
    if pixel_format != "rgb":
        reader.warn(f"'{pixel_format}' has no effect; prb's pictures are rgb", "pixel_format")
    reader.choice("component_format", ("float16", "float32", "uint32"), "float16")
    reader.choice("file_format", ("openexr", "exr", "rgbe", "pfm"), "openexr")
    reader.without_effect("compensate", "banner")
    sample_border = reader.boolean("sample_border", False)
    _refuse(reader)
    rfilter: dict | None = None
    for child in reader.children("rfilter"):
        if child.category != "rfilter":
            child.misplaced(reader)
        if rfilter is not None:
            child.fail("a film holds one reconstruction filter; remove one of the two")
        rfilter = child.make()
    rfilter = rfilter or {"rfilter": "gaussian"}
    film = Film(width, height, tuple(offset), tuple(size), **rfilter, sample_border=sample_border)
    if not _filter_fits(film):
        reader.fail(f"{_too_wide(film)}; reduce it", "rfilter")
    return film


def _filter_fits(film: Film) -> bool:
    """True unless the filter is wider than the film. The default Gaussian fits every film, as in Mitsuba."""
    return film.radius <= max(film.width, film.height, Film().radius)


def _too_wide(film: Film) -> str:
    return (
        f"the filter's radius of {film.radius:g} pixels exceeds the film, {film.width} x {film.height} pixels"
    )


def _box(reader: Reader) -> dict:
    return {"rfilter": "box"}


def _tent(reader: Reader) -> dict:
    return {"rfilter": "tent", "filter_radius": reader.number("radius", 1.0, above=0.0, high=64.0)}


def _gaussian(reader: Reader) -> dict:
    return {"rfilter": "gaussian", "filter_stddev": reader.number("stddev", 0.5, above=0.0, high=16.0)}


def _mitchell(reader: Reader) -> dict:
    bc = tuple(reader.number(key, 1 / 3) for key in "BC")
    return {"rfilter": "mitchell", "filter_bc": bc}


def _catmullrom(reader: Reader) -> dict:
    return {"rfilter": "catmullrom", "filter_bc": (0.0, 0.5)}


def _lanczos(reader: Reader) -> dict:
    return {"rfilter": "lanczos", "filter_radius": float(reader.integer("lobes", 3, low=1, high=64))}


def _sampler(reader: Reader) -> tuple[int, str]:
    """The number of samples per pixel and prb's name of the sampler; the seed comes from the call that
    renders."""
    name, keys = _SAMPLERS[reader.type]
    if "jitter" in keys and not reader.boolean("jitter", True):
        reader.warn("false has no effect: without jitter pictures are biased", "jitter")
    if "strength" in keys and reader.integer("strength", 2, low=0) != 2:
        reader.warn("has no effect; prb's arrays have strength 2", "strength")
    if reader.integer("seed", 0, low=0, high=2**32 - 1):
        reader.warn("has no effect; give the seed to the call that renders", "seed")
    return reader.integer("sample_count", 4, low=1, high=2**31 - 1), name


SENSORS = {"perspective": _perspective, "thinlens": _thinlens, "orthographic": _orthographic}
FILMS = {"hdrfilm": _hdrfilm}
RFILTERS = {
    "box": _box,
    "tent": _tent,
    "gaussian": _gaussian,
    "mitchell": _mitchell,
    "catmullrom": _catmullrom,
    "lanczos": _lanczos,
}
SAMPLERS = dict.fromkeys(_SAMPLERS, _sampler)
