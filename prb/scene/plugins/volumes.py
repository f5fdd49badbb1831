"""Numbers that vary in space: `constvolume`, `gridvolume`, and what a medium or phase function reads as one.

A gridvolume's numbers come from a .vol or a .vdb file, or from an array. It lies in the unit cube under
`to_world`; with `use_grid_bbox` that cube is first mapped to the file's box. An OpenVDB file says where its
grid lies, in its transform, and so `use_grid_bbox` is true for it unless it is set to false.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

import numpy as np

from prb.errors import MissingPackageError, VolumeError
from prb.io.vdb import read_vdb
from prb.io.volumes import CHANNELS, MAX_NUMBERS, VolumeFile, read_vol
from prb.scene.model import Texture, Volume
from prb.scene.reading.reader import Reader
from prb.scene.reading.texts import parse_numbers
from prb.scene.reading.transforms import check_invertible
from prb.scene.reading.values import describe, fail, numeric_array

_WORDS = {1: "one number", 3: "a colour", 6: "six numbers (xx, yy, zz, xy, xz, yz)"}


def number_volume(reader: Reader, key: str, default: float, *, low: float, high: float = np.inf) -> Volume:
    """A plain number of a medium or a phase function, `<name>.<key>`."""
    value = np.array(reader.number(key, default, low=low, high=high), np.float32)
    return Volume(f"{reader.name}.{key}", "constant", value, low, high)


def volume_of(
    reader: Reader,
    key: str,
    default: float | None,
    *,
    low: float = 0.0,
    high: float = np.inf,
    channels: tuple[int, ...] = (1, 3),
    emission: bool = False,
) -> Volume:
    """What stands under a key as a volume: a number, a colour, or a volume plugin; in [low, high].

    default: None where the key has to be there. channels: how many numbers it may have at a point. emission:
    spectra are light, as `prb.scene.plugins.spectra` says.
    """
    wanted = " or ".join(_WORDS[n] for n in channels)
    if key not in reader and default is None:
        reader.fail(f"missing; expected {wanted}, or a volume", key)
    value = reader.data.get(key, default)
    name = f"{reader.name}.{key}.value.value"
    if not isinstance(value, Mapping):
        volume = Volume(name, "constant", _numbers(reader, key, value, wanted), -np.inf)
        return _in_range(volume, reader.place(key), low, high, channels)
    child = reader.child(key)
    if child.category == "volume":
        volume = child.make(low=low, high=high, emission=emission)
        return _in_range(volume, child.path, low, high, channels)
    if child.category != "texture":
        child.fail(f"expected {wanted}, or a volume, got {child.type} ({child.category})")
    if child.path != reader.place(key):
        reader.fail(
            f"'{child.name}' is a texture of surfaces; write the colour here or refer to a volume", key
        )
    volume = Volume(name, "constant", _colour(child, low=low, high=high, emission=emission), -np.inf)
    return _in_range(volume, child.path, low, high, channels)


def _numbers(reader: Reader, key: str, value, wanted: str) -> np.ndarray:
    """One number () or six, written out as a list or as a text."""
    array = numeric_array(parse_numbers(value) if isinstance(value, str) else value)
    if array is not None and type(value).__name__.startswith(("Color3", "ScalarColor3")):
        array = array.reshape(-1)  # Mitsuba's own colour objects
    elif array is None or array.shape not in ((), (1,), (6,)):
        three = array is not None and array.size == 3
        remedy = '; write {"type": "rgb", "value": [r, g, b]}' if three else ""
        reader.fail(f"expected {wanted}, or a volume, got {describe(value)}{remedy}", key)
    reader.check_range(array, -np.inf, np.inf, key)
    return (array.reshape(()) if array.size == 1 else array).astype(np.float32)


def _colour(reader: Reader, *, low: float, high: float, emission: bool) -> np.ndarray:
    """The numbers of a texture plugin that is one colour."""
    texture: Texture = reader.make(low=low, high=high, emission=emission)
    if texture.kind not in ("rgb", "uniform"):
        reader.fail(f"{reader.type} lies on a surface; use an rgb, a gridvolume or a constvolume")
    return texture.value


def _in_range(volume: Volume, place: str, low: float, high: float, channels: tuple[int, ...]) -> Volume:
    """The volume, whose range becomes what all that use it allow."""
    value = volume.value
    count = value.shape[-1] if value.shape else 1
    if count not in channels:
        wanted = " or ".join(map(str, channels))
        fail(place, f"has {count} numbers at each point; expected {wanted}")
    least, most = value.min(), value.max()
    if least < low or most > np.float32(high):
        worst, at = (least, value.argmin()) if least < low else (most, value.argmax())
        index = ""
        if volume.kind == "grid":
            z, y, x, _ = np.unravel_index(at, value.shape)
            index = f" in the voxel z {z}, y {y}, x {x}"
        right = f"{high:g}]" if high < np.inf else "inf)"
        fail(place, f"{worst:g}{index} is out of range; expected values in [{low:g}, {right}")
    volume.low, volume.high = max(volume.low, low), min(volume.high, high)
    return volume


def _constvolume(reader: Reader, *, low: float, high: float, emission: bool) -> Volume:
    """One number, colour or symmetric matrix everywhere; `to_world` only bounds a heterogeneous medium."""
    to_world, name = reader.transform(), f"{reader.name}.value.value"
    value = reader.data.get("value", 1.0)
    if "value" in reader and isinstance(value, Mapping):
        child = reader.child("value")
        if child.category != "texture":
            child.fail(f"expected a number or a colour, got {child.type} ({child.category})")
        if child.path != reader.place("value"):
            reader.fail(f"'{child.name}' is a texture of surfaces; write the colour here", "value")
        numbers = _colour(child, low=low, high=high, emission=emission)
    else:
        numbers = _numbers(reader, "value", value, "a number or a colour")
    return Volume(name, "constant", numbers, -np.inf, to_world=to_world)


def _gridvolume(reader: Reader, *, low: float, high: float, emission: bool) -> Volume:
    given = [key for key in ("filename", "grid", "data") if key in reader]
    if len(given) != 1:
        got = f"got {' and '.join(given) or 'none'}"
        reader.fail(f"expected one of filename, grid (a VolumeGrid) and data (an array); {got}")
    key = given[0]
    to_world = reader.transform()
    if key == "filename":
        path = reader.file()
        grid = _read(reader, path)
        if reader.boolean("use_grid_bbox", path.suffix.lower() == ".vdb"):
            to_world = check_invertible(to_world @ grid.to_world, reader.place("use_grid_bbox"))
        values = grid.values
    else:
        if reader.boolean("use_grid_bbox", False):
            reader.fail("an array has no box; say in to_world where it lies", "use_grid_bbox")
        values = _array(reader, key)
    if not np.isfinite(values).all():
        z, y, x, _ = np.argwhere(~np.isfinite(values))[0]
        number = values[z, y, x][~np.isfinite(values[z, y, x])][0]
        reader.fail(f"the voxel z {z}, y {y}, x {x} holds {number}; replace numbers that are not finite", key)
    largest = reader.number("max_value", None)
    if largest is not None and np.float32(largest) < values.max():
        reader.fail(
            f"{largest:g} is below the grid's maximum of {values.max():g}; raise it, or leave it out",
            "max_value",
        )
    reader.boolean("raw", False)  # in an RGB renderer all numbers are taken as they are
    reader.boolean("accel", True)  # of Mitsuba's hardware texture units
    return Volume(
        f"{reader.name}.data", "grid", values, -np.inf,
        filter=reader.choice("filter_type", ("trilinear", "nearest"), "trilinear"),
        wrap=reader.choice("wrap_mode", ("clamp", "repeat", "mirror"), "clamp"),
        to_world=to_world, max_value=largest,
    )  # fmt: skip


def _read(reader: Reader, path: Path) -> VolumeFile:
    """The grid in a file, by the format that its name says."""
    try:
        if path.suffix.lower() == ".vdb":
            grid = read_vdb(path, reader.string("grid_name", None))
        else:
            grid = read_vol(path)
    except (VolumeError, MissingPackageError) as error:
        reader.fail(str(error), "filename")
    for message in grid.warnings:
        reader.warn(message, "filename")
    return grid


def _array(reader: Reader, key: str) -> np.ndarray:
    """The array under a key, float32 (Z, Y, X, channels)."""
    value = reader.data[key]
    try:
        array = np.array(value)
    except (TypeError, ValueError, RuntimeError):
        _no_grid(reader, key, describe(value))
    shape = describe(array)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape or array.dtype.kind not in "fiu":
        _no_grid(reader, key, shape if array.dtype.kind in "fiu" else describe(value))
    if array.shape[3] not in CHANNELS:
        reader.fail(f"has {array.shape[3]} channels; prb reads volumes of 1, 3 or 6", key)
    if array.size > MAX_NUMBERS:
        reader.fail(f"{array.size} numbers are more than prb takes ({MAX_NUMBERS}); take fewer", key)
    with np.errstate(over="ignore"):  # what overflows is reported as not finite
        return np.ascontiguousarray(array, np.float32)


def _no_grid(reader: Reader, key: str, got: str) -> NoReturn:
    reader.fail(f"expected an array of shape (Z, Y, X) or (Z, Y, X, 1, 3 or 6), got {got}", key)


VOLUMES: Mapping = {"constvolume": _constvolume, "gridvolume": _gridvolume}
