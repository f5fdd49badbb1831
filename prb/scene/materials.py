"""Colours (`rgb`, `uniform`, `spectrum`) and surface-scattering models, `twosided` among them.

Which models there are, with their keys, defaults and ranges, is declared in `prb.kernels.bsdf`.
"""

from collections.abc import Mapping

import numpy as np

from prb.kernels.bsdf import REGISTRY
from prb.scene.model import Bsdf, Texture
from prb.scene.reader import Reader, describe, numeric_array

# What Mitsuba 3.9.1's RGB variants make of an emission spectrum that is 1 at all wavelengths: light
# of equal energy seen from a D65 white point. A plain number or an rgb is not changed by it.
EQUAL_ENERGY_RGB = np.array([1.20479393, 0.948291, 0.90891606])


def number_texture(reader: Reader, key: str, default: float, *, low, high, emission) -> Texture:
    """A colour that the file gives as a plain number, or does not give.

    As in Mitsuba a number is a grey: one value as a reflectance, three equal ones as an emission.
    """
    name = f"{reader.name}.{key}.value"
    if key in reader:
        value = reader.data[key]
        array = numeric_array(value)
        if type(value).__name__.startswith(("Color3", "ScalarColor3")) and array is not None:
            array = array.reshape(-1)  # Mitsuba's own colour objects
        elif array is None or array.shape != ():
            three = array is not None and array.size == 3
            remedy = '; write {"type": "rgb", "value": [r, g, b]}' if three else ""
            reader.fail(f"expected a number or a colour, got {describe(value)}{remedy}", key)
        elif emission:
            array = np.full(3, array)
        reader.check_range(array, low, high, key)
    else:
        array = np.array(default)
    kind = "rgb" if array.shape else "uniform"
    return Texture(name, kind, array.astype(np.float32), low, high)


def _rgb(reader: Reader, *, low, high, emission) -> Texture:
    array = numeric_array(reader.data.get("value"))
    if array is not None and array.shape == ():
        value = np.full(3, reader.number("value"))
    else:
        value = reader.vector("value")
    reader.check_range(value, low, high, "value")
    return Texture(f"{reader.name}.value", "rgb", value.astype(np.float32), low, high)


def _uniform(reader: Reader, *, low, high, emission) -> Texture:
    value = np.array(reader.number("value", low=low, high=high), np.float32)
    return Texture(f"{reader.name}.value", "uniform", value, low, high)


def _spectrum(reader: Reader, *, low, high, emission) -> Texture:
    value = reader.data.get("value")
    if "filename" in reader or isinstance(value, str | list | tuple | np.ndarray):
        reader.fail("only a spectrum that is one number is supported; use an rgb")
    if not emission:
        return _uniform(reader, low=low, high=high, emission=emission)
    value = reader.number("value", low=low, high=high) * EQUAL_ENERGY_RGB
    return Texture(f"{reader.name}.value", "rgb", value.astype(np.float32), low, high)


def _bsdf(reader: Reader) -> Bsdf:
    module = REGISTRY[reader.type]
    textures = {
        p.key: reader.texture(p.key, p.default, low=p.low, high=p.high) for p in module.PARAMETERS
    }
    count = getattr(module, "CHILDREN", 0)
    children = _nested(reader, count, count)
    return Bsdf(reader.name, reader.type, textures, children)


def _twosided(reader: Reader) -> Bsdf:
    """One model for both sides, or a second one for the back."""
    children = _nested(reader, 1, 2)
    for child in children:
        if child.kind == "twosided":
            reader.fail("a twosided inside a twosided changes nothing; remove one of them")
    return Bsdf(reader.name, "twosided", {}, children)


def _nested(reader: Reader, low: int, high: int) -> tuple[Bsdf, ...]:
    if high == 0:
        return ()
    children = []
    for child in reader.children("bsdf"):
        if child.category != "bsdf":
            child.misplaced(reader)
        children.append(child.make())
    if not low <= len(children) <= high:
        wanted = str(low) if low == high else f"{low} or {high}"
        reader.fail(f"{reader.type} holds {wanted} nested bsdf, got {len(children)}")
    return tuple(children)


def child_name(kind: str, index: int) -> str:
    """What Mitsuba calls the nested model number `index` of a bsdf in the names of parameters."""
    if kind == "twosided":
        return f"brdf_{index}"
    names = getattr(REGISTRY.get(kind), "CHILD_NAMES", ())
    return names[index] if index < len(names) else f"bsdf_{index}"


TEXTURES: Mapping = {"rgb": _rgb, "uniform": _uniform, "spectrum": _spectrum}
BSDFS: Mapping = {**dict.fromkeys(REGISTRY, _bsdf), "twosided": _twosided}
