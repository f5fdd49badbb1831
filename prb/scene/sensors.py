"""The camera and what belongs to it: film, reconstruction filter, sampler.

Accepted without effect, because they do not change a picture of prb: `focus_distance` and the
shutter times of `perspective` (nothing is out of focus or moves); `component_format`, `file_format`,
`compensate`, `banner` of `hdrfilm` (prb writes what the output file's name says).
"""

import math
import re

import numpy as np

from prb.scene.model import Film, Sensor
from prb.scene.reader import Reader, fail

MAX_SIDE = 65536
MAX_PIXELS = 2**28

_FOV_AXES = ("x", "y", "diagonal", "smaller", "larger")
_PIXEL_FORMATS = ("rgb", "rgba", "luminance", "luminance_alpha", "xyz", "xyza")


def _perspective(reader: Reader) -> Sensor:
    to_world = reader.transform()
    gram = to_world[:3, :3] @ to_world[:3, :3].T
    if np.abs(gram - np.eye(3)).max() > 1e-3:
        reader.fail("a camera's transform may not scale or shear; use rotations, translations and look_at",
                    "to_world")
    near_clip = reader.number("near_clip", 1e-2, above=0.0)
    far_clip = reader.number("far_clip", 1e4, above=0.0)
    if near_clip >= far_clip:
        reader.fail(f"near_clip {near_clip:g} must be smaller than far_clip {far_clip:g}", "near_clip")
    for key in ("principal_point_offset_x", "principal_point_offset_y"):
        if reader.number(key, 0.0) != 0:
            reader.fail("only 0 is supported; crop a larger film instead", key)
    reader.without_effect("focus_distance", "shutter_open", "shutter_close")
    fov = _fov_of(reader)
    found: dict = {}
    for child in reader.children("film", "sampler"):
        if child.category not in ("film", "sampler"):
            child.misplaced(reader)
        if child.category in found:
            child.fail(f"a sensor holds one {child.category}; remove one of the two")
        found[child.category] = child.make()
    film = found.get("film", Film())
    x_fov = horizontal_fov(*fov, film.width / film.height)
    if not 0 < x_fov < 180:
        reader.fail(f"the horizontal field of view is {x_fov:g} degrees, outside (0, 180)", "fov")
    return Sensor(reader.name, to_world, x_fov, film, near_clip, far_clip, found.get("sampler", 4), fov)


def resize(sensor: Sensor, width: int, height: int) -> None:
    """Give the sensor a film of another size, without a crop; the field of view stays along its axis."""
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE) or width * height > MAX_PIXELS:
        fail("size", f"{width}x{height} is not a size prb renders; sides go from 1 to {MAX_SIDE},"
                     f" pixels to {MAX_PIXELS}")
    sensor.x_fov = horizontal_fov(*sensor.fov, width / height)
    film = sensor.film
    film.width, film.height = film.crop_size = width, height
    film.crop_offset = 0, 0


def _fov_of(reader: Reader) -> tuple[float, str]:
    """The field of view in degrees, and along what."""
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
        reader.fail(f"{width} x {height} pixels are more than prb renders ({MAX_PIXELS}); reduce the size",
                    "width")
    offset, size = [], []
    for axis, side, extent in (("x", "width", width), ("y", "height", height)):
        offset.append(reader.integer(f"crop_offset_{axis}", 0, low=0, high=MAX_SIDE))
        size.append(reader.integer(f"crop_{side}", extent, low=1, high=MAX_SIDE))
        if offset[-1] + size[-1] > extent:
            reader.fail(f"the crop window reaches to {offset[-1] + size[-1]}, outside the film's {side}"
                        f" {extent}; give crop_offset_{axis} and crop_{side} together", f"crop_{side}")
    pixel_format = reader.choice("pixel_format", _PIXEL_FORMATS, "rgb")
    if pixel_format != "rgb":
        reader.warn(f"'{pixel_format}' has no effect; prb's pictures are rgb", "pixel_format")
    reader.choice("component_format", ("float16", "float32", "uint32"), "float16")
    reader.choice("file_format", ("openexr", "exr", "rgbe", "pfm"), "openexr")
    reader.without_effect("compensate", "banner")
    if reader.boolean("sample_border", False):
        reader.fail("only false is supported; prb samples no pixels outside the film", "sample_border")
    rfilter: dict | None = None
    for child in reader.children("rfilter"):
        if child.category != "rfilter":
            child.misplaced(reader)
        if rfilter is not None:
            child.fail("a film holds one reconstruction filter; remove one of the two")
        rfilter = child.make()
    return Film(width, height, tuple(offset), tuple(size), **(rfilter or {"rfilter": "gaussian"}))


def _box(reader: Reader) -> dict:
    return {"rfilter": "box"}


def _tent(reader: Reader) -> dict:
    return {"rfilter": "tent", "filter_radius": reader.number("radius", 1.0, above=0.0, high=64.0)}


def _gaussian(reader: Reader) -> dict:
    return {"rfilter": "gaussian", "filter_stddev": reader.number("stddev", 0.5, above=0.0, high=16.0)}


def _independent(reader: Reader) -> int:
    """The number of samples per pixel; the seed comes from the call that renders."""
    if reader.integer("seed", 0, low=0, high=2**32 - 1):
        reader.warn("has no effect; give the seed to the call that renders", "seed")
    return reader.integer("sample_count", 4, low=1, high=2**31 - 1)


SENSORS = {"perspective": _perspective}
FILMS = {"hdrfilm": _hdrfilm}
RFILTERS = {"box": _box, "tent": _tent, "gaussian": _gaussian}
SAMPLERS = {"independent": _independent}
