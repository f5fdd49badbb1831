"""Colours and textures: constants, `bitmap`, `checkerboard`, `mesh_attribute`, `rawconstant`, `volume`.

Each reader takes the range of the parameter that the texture stands for, and whether it is emission.
"""

from collections.abc import Mapping

import numpy as np

from prb.errors import ImageError
from prb.io.images import from_srgb, read_texels
from prb.scene.model import Texture
from prb.scene.plugins.spectra import COLOUR_PLUGINS, rgb_value, spectrum_value
from prb.scene.plugins.volumes import volume_of
from prb.scene.reading.reader import Reader
from prb.scene.reading.values import describe, numeric_array

MAX_TEXELS = 2**28


def _rgb(reader: Reader, *, low, high, emission) -> Texture:
    value = rgb_value(reader)
    reader.check_range(value, low, high, "value")
    return _constant(reader, value, low, high)


def _constant(reader: Reader, value: np.ndarray, low: float, high: float) -> Texture:
    kind = "rgb" if value.shape else "uniform"
    return Texture(f"{reader.name}.value", kind, value.astype(np.float32), low, high)


def _rawconstant(reader: Reader, *, low, high, emission) -> Texture:
    """A number or three numbers that are no colour, such as a normal: taken as they are, also as emission.

    `prb.scene.checks` sees to their range, as to that of an image.
    """
    array = numeric_array(reader.data.get("value"))
    if "value" not in reader or array is None or array.size not in (1, 3):
        got = f", got {describe(reader.data['value'])}" if "value" in reader else ""
        reader.fail(f"expected a number or 3 numbers{got}", "value")
    array = array.reshape(() if array.size == 1 else 3)
    reader.check_range(array, -np.inf, np.inf, "value")
    texture = _constant(reader, array, low, high)
    texture.raw = True
    return texture


def _uniform(reader: Reader, *, low, high, emission) -> Texture:
    reader.without_effect("wavelength_min", "wavelength_max")
    return _constant(reader, np.array(reader.number("value", low=low, high=high)), low, high)


def _spectrum(reader: Reader, *, low, high, emission) -> Texture:
    return _constant(reader, spectrum_value(reader, emission=emission, low=low, high=high), low, high)


def _colour_plugin(reader: Reader, *, low, high, emission) -> Texture:
    return _constant(reader, COLOUR_PLUGINS[reader.type](reader, emission, low, high), low, high)


def _bitmap(reader: Reader, *, low, high, emission) -> Texture:
    """An image from a file, or an array: (height, width), (height, width, 1 or 3), linear unless uint8.

    `prb.scene.checks` sees to its range, once all that use it are known.
    """
    raw = reader.boolean("raw", False)
    given = [key for key in ("filename", "bitmap", "data") if key in reader]
    if len(given) != 1:
        got = f"got {' and '.join(given) or 'none'}"
        reader.fail(f"expected one of filename, bitmap (an image) and data (an array); {got}")
    if "filename" in reader:
        path = reader.file()
        try:
            texels = read_texels(path, raw=raw)
        except ImageError as error:
            reader.fail(str(error), "filename")
        place = "filename"
    else:
        place = "bitmap" if "bitmap" in reader else "data"
        texels = image_array(reader, place, raw)
    if texels.shape[0] * texels.shape[1] > MAX_TEXELS:
        size = f"{texels.shape[1]} x {texels.shape[0]}"
        reader.fail(f"{size} texels are more than prb takes ({MAX_TEXELS}); make the image smaller", place)
    if not np.isfinite(texels).all():
        reader.fail("the image has numbers that are not finite; replace them", place)
    wrap = reader.choice("wrap_mode", ("repeat", "mirror", "clamp"), "repeat")
    reader.choice("format", ("variant", "fp16", "fp32", "auto"), "auto")
    reader.boolean("accel", True)  # of Mitsuba's hardware texture units
    return Texture(
        f"{reader.name}.data", "bitmap", texels, low, high,
        filter=reader.choice("filter_type", ("bilinear", "nearest"), "bilinear"),
        wrap=(wrap, wrap), to_uv=_to_uv(reader),
    )  # fmt: skip


def image_array(reader: Reader, key: str, raw: bool) -> np.ndarray:
    """The image under a key, an array or an image object: float32 (height, width, 1 or 3).

    Integers of 8 and 16 bits without sign are numbers in [0, 1], in sRGB unless `raw` or the object says so.
    """
    value = reader.data[key]
    linear = getattr(value, "srgb_gamma", None)
    try:
        array = np.array(value)
    except (TypeError, ValueError):
        array = np.zeros(0)
    if array.ndim == 2:
        array = array[..., None]
    channels = (1, 3) if key == "data" else (1, 2, 3, 4)  # an image may have alpha
    if array.ndim != 3 or 0 in array.shape or array.shape[2] not in channels:
        reader.fail(f"expected an image of shape (height, width, 1 or 3), got {describe(value)}", key)
    if array.dtype.kind not in "fiu":
        reader.fail(f"expected an image of floats or unsigned integers, got {array.dtype}", key)
    array = array[..., : 3 if array.shape[2] >= 3 else 1]
    if array.dtype.kind == "u" and array.dtype.itemsize <= 2:
        array = array / np.iinfo(array.dtype).max
        array = array if raw or linear is False else from_srgb(array)
    with np.errstate(over="ignore"):  # who needs finite numbers checks for them
        return np.ascontiguousarray(array, np.float32)


def _checkerboard(reader: Reader, *, low, high, emission) -> Texture:
    children = tuple(
        reader.texture(key, default, low=low, high=high, emission=emission)
        for key, default in (("color0", 0.4), ("color1", 0.2))
    )
    for child in children:
        if child.kind == "checkerboard" and any(c.kind == "checkerboard" for c in child.children):
            reader.fail("checkerboards are nested more than two deep; simplify them")
    return Texture(f"{reader.name}", "checkerboard", None, low, high, to_uv=_to_uv(reader), children=children)


def _mesh_attribute(reader: Reader, *, low, high, emission) -> Texture:
    """An attribute of the mesh, per vertex or per face, times `scale`."""
    name = reader.string("name")
    if not name.startswith(("vertex_", "face_")):
        reader.fail(f"expected a name that begins with vertex_ or face_, got '{name}'", "name")
    if emission:
        reader.fail("a mesh attribute cannot be emitted; use a bitmap")
    if reader.number("scale", 1.0) != 1:
        reader.fail("only 1 is supported; scale the attribute itself", "scale")
    return Texture(f"{reader.name}", "mesh_attribute", None, low, high, attribute=name)


def _volume(reader: Reader, *, low, high, emission) -> Texture:
    """A volume, read where the surface lies in world space.

    As for an image, `prb.scene.checks` sees to its range.
    """
    volume = volume_of(reader, "volume", None, low=-np.inf, emission=emission)
    return Texture(reader.name, "volume", None, low, high, volume=volume)


def _to_uv(reader: Reader) -> np.ndarray:
    """The (2, 3) part of `to_uv` that acts on texture coordinates; 3x3 and 4x4 matrices are taken."""
    value = numeric_array(getattr(reader.data.get("to_uv"), "matrix", reader.data.get("to_uv")))
    if value is None or value.shape != (3, 3):
        return reader.transform("to_uv")[:2, [0, 1, 3]]
    reader.without_effect("to_uv")
    reader.check_range(value, -np.inf, np.inf, "to_uv")
    if not np.allclose(value[2], (0, 0, 1)):
        reader.fail("the last row of a 3x3 matrix must be 0, 0, 1", "to_uv")
    return value[:2]


TEXTURES: Mapping = {
    "rgb": _rgb,
    "uniform": _uniform,
    "spectrum": _spectrum,
    **dict.fromkeys(COLOUR_PLUGINS, _colour_plugin),
    "bitmap": _bitmap,
    "checkerboard": _checkerboard,
    "mesh_attribute": _mesh_attribute,
    "rawconstant": _rawconstant,
    "volume": _volume,
}
