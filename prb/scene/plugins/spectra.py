"""Spectra to linear RGB, as an RGB renderer takes them, and the plugins that are spectra.

Conversion: as in Mitsuba 3.9.1's RGB variants. A spectrum is linear between its wavelengths and zero
outside them; it is summed at 1000 wavelengths from 360 to 830 nm against the CIE 1931 matching functions
and taken from XYZ to linear sRGB. Light is used as it is, so that equal energy has Y = 1. What is not light
(a reflectance, an index of refraction) is seen under D65, so that a constant is very nearly grey.
Colours that sRGB does not hold, below zero or above what the key allows, are clamped, with a warning.
"""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from prb.scene.plugins import cie
from prb.scene.reading.reader import Reader
from prb.scene.reading.texts import check_pairs, parse_numbers, parse_pairs, parse_rgb
from prb.scene.reading.values import describe, fail, numeric_array

# Linear sRGB from XYZ with the white point D65 (ITU-R BT.709 primaries).
XYZ_TO_RGB = np.array(
    [[3.240479, -1.537150, -0.498535], [-0.969256, 1.875991, 0.041556], [0.055648, -0.204043, 1.057311]]
)
# What a `spectrum` that is one number becomes as a light: equal energy seen from a D65 white point.
# Mitsuba 3.9.1 has this constant apart from the sum, which gives 1.20488, 0.94823, 0.90927.
EQUAL_ENERGY_RGB = np.array([1.20479393, 0.948291, 0.90891606])

_SAMPLES = 1000
_D65_SCALE = 98.99741751876255  # D65's mean weighted by y: by it D65 has the luminance of equal energy


@cache
def _weights() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The wavelengths of the sum (n,), and what RGB each adds, as a light and under D65, (n, 3) each."""
    table, matching, d65 = cie.table()
    wavelengths = np.linspace(cie.WAVELENGTH_MIN, cie.WAVELENGTH_MAX, _SAMPLES)
    xyz = np.stack([np.interp(wavelengths, table, column) for column in matching.T], axis=1)
    light = xyz @ XYZ_TO_RGB.T / xyz[:, 1].sum()
    under_d65 = light * np.interp(wavelengths, table, d65 / _D65_SCALE)[:, None]
    return wavelengths, light, under_d65


def spectrum_to_rgb(wavelengths_nm, values, emission: bool) -> np.ndarray:
    """Linear RGB (3,) in float64 of a spectrum that is linear between the given points and zero outside.

    wavelengths_nm: (n,) increasing, n at least 2; values: (n,). emission: whether it is light (W sr^-1 m^-2
    nm^-1 up to scale, say); else it is a factor, seen under D65. Not clamped: a component may be negative.
    """
    wavelengths, light, under_d65 = _weights()
    sampled = np.interp(wavelengths, wavelengths_nm, values, left=0.0, right=0.0)
    return sampled @ (light if emission else under_d65)


def planck(wavelengths_nm, kelvin: float) -> np.ndarray:
    """Spectral radiance of a black body in W sr^-1 m^-2 nm^-1 (Planck's law), float64, shape as given."""
    metres = np.asarray(wavelengths_nm, float) * 1e-9
    h, c, k = 6.62607015e-34, 299792458.0, 1.380649e-23  # J s, m/s, J/K: SI, exact
    with np.errstate(over="ignore"):
        return 1e-9 * 2 * h * c**2 / metres**5 / np.expm1(h * c / (metres * k * kelvin))


def read_pairs_file(path: Path, place: str) -> np.ndarray:
    """Wavelengths and values (n, 2) of a text file: two numbers in a line, '#' begins a comment line."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except UnicodeDecodeError:
        fail(place, f"{path}: not a text file; a spectrum is two numbers in a line, wavelength and value")
    except OSError as error:
        fail(place, f"{path}: cannot be read: {error.strerror}")
    rows = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            row = parse_numbers(line)
            if row is None or len(row) != 2:
                fail(
                    place,
                    f"{path}, line {number}: expected a wavelength and a value, got '{line.strip()[:40]}'",
                )
            rows.append(row)
    return np.array(rows, float).reshape(-1, 2)


def rgb_value(reader: Reader, key: str = "value") -> np.ndarray:
    """The colour under a key of an `rgb`, (3,): three numbers, one for grey, or the text "#rrggbb"."""
    value = reader.data.get(key)
    if isinstance(value, str):
        found = parse_rgb(value)
        if found is None:
            reader.fail(f"expected 3 numbers or a colour such as #33cc66, got {describe(value)}", key)
        array = np.array(found)
        reader.check_range(array, -math.inf, math.inf, key)
        reader.string(key)  # known now
        return array
    array = numeric_array(value)
    return np.full(3, reader.number(key)) if array is not None and array.size == 1 else reader.vector(key)


def spectrum_value(reader: Reader, *, emission: bool, low: float = 0.0, high: float = math.inf) -> np.ndarray:
    """What a `spectrum` is: () for a factor that is one number, else linear RGB (3,); float64, in range.

    Takes `value` as a number, as [[wavelength, value], ...], as the text "400:0.1, 500:0.2", or `filename`.
    """
    if "filename" in reader:
        if "value" in reader:
            reader.fail("both value and filename are given; keep one of them")
        return _to_rgb(
            reader, read_pairs_file(reader.file(), reader.place("filename")), "filename", emission, low, high
        )
    value = reader.data.get("value")
    pairs: Any = None
    if isinstance(value, str):
        pairs = parse_pairs(value)
        if pairs is None:
            number = parse_numbers(value)
            if number is None or len(number) != 1:
                reader.fail(
                    "expected one number or wavelength:value pairs such as '400:0.1, 700:0.5', got"
                    f" {describe(value)}",
                    "value",
                )
            reader.string("value")
            return _constant(reader, np.array(number[0]), emission, low, high)
    elif isinstance(value, list | tuple | np.ndarray) and np.ndim(_array(reader, "value")) > 0:
        pairs = value
    if pairs is None:
        return _constant(reader, np.array(reader.number("value")), emission, low, high)
    return _to_rgb(reader, _array(reader, "value", pairs), "value", emission, low, high)


def _array(reader: Reader, key: str, value: Any = None) -> np.ndarray:
    array = numeric_array(reader.data.get(key) if value is None else value)
    if array is None:
        reader.fail(f"expected [[wavelength, value], ...], got {describe(reader.data.get(key))}", key)
    _ = key in reader
    return array


def _constant(reader: Reader, value: np.ndarray, emission: bool, low: float, high: float) -> np.ndarray:
    reader.check_range(value, low, high, "value")
    return value * EQUAL_ENERGY_RGB if emission else value


def _to_rgb(
    reader: Reader, pairs: np.ndarray, key: str, emission: bool, low: float, high: float
) -> np.ndarray:
    problem = check_pairs(pairs)
    if problem:
        reader.fail(problem, key)
    rgb = spectrum_to_rgb(pairs[:, 0], pairs[:, 1], emission)
    reader.check_range(rgb, -math.inf, math.inf, key)
    clamped = np.clip(rgb, low, high)
    if (clamped != rgb).any():
        shown = ", ".join(f"{x:.4g}" for x in rgb)
        bound = f"[{low:g}, {high:g}]" if high < math.inf else f"{low:g} and above"
        reader.warn(f"the spectrum's colour in linear sRGB ({shown}) is clamped to {bound}", key)
    return clamped


def _irregular(reader: Reader, emission: bool, low: float, high: float) -> np.ndarray:
    wavelengths, values = (_list(reader, key) for key in ("wavelengths", "values"))
    if len(wavelengths) != len(values):
        reader.fail(f"{len(wavelengths)} wavelengths and {len(values)} values; give as many of both")
    return _to_rgb(reader, np.stack([wavelengths, values], axis=1), "values", emission, low, high)


def _regular(reader: Reader, emission: bool, low: float, high: float) -> np.ndarray:
    shortest, longest = (reader.number(f"wavelength_{end}", above=0.0) for end in ("min", "max"))
    values = _list(reader, "values")
    if longest <= shortest:
        reader.fail(
            f"wavelength_max {longest:g} must be larger than wavelength_min {shortest:g}", "wavelength_max"
        )
    pairs = np.stack([np.linspace(shortest, longest, len(values)), values], axis=1)
    return _to_rgb(reader, pairs, "values", emission, low, high)


def _list(reader: Reader, key: str) -> np.ndarray:
    """Numbers as a list or as a text."""
    if key not in reader:
        reader.fail("missing; expected a list of numbers", key)
    value = reader.data[key]
    array = numeric_array(parse_numbers(value) if isinstance(value, str) else value)
    if array is None or array.ndim != 1:
        reader.fail(f"expected a list of numbers, got {describe(value)}", key)
    return array


def _blackbody(reader: Reader, emission: bool, low: float, high: float) -> np.ndarray:
    kelvin = reader.number("temperature", above=0.0)
    shortest = reader.number("wavelength_min", cie.WAVELENGTH_MIN, above=0.0)
    longest = reader.number("wavelength_max", cie.WAVELENGTH_MAX, above=0.0)
    if longest <= shortest:
        reader.fail(
            f"wavelength_max {longest:g} must be larger than wavelength_min {shortest:g}", "wavelength_max"
        )
    wavelengths = np.linspace(shortest, longest, _SAMPLES)
    pairs = np.stack([wavelengths, planck(wavelengths, kelvin)], axis=1)
    return _to_rgb(reader, pairs, "temperature", emission, low, high)


def _d65(reader: Reader, emission: bool, low: float, high: float) -> np.ndarray:
    """The white of sRGB, times a scale and a colour; grey in RGB."""
    value = np.array(reader.number("scale", 1.0, low=0.0))
    if "color" in reader:
        value = value * _color(reader, "color")
    reader.check_range(value, low, high)
    return value


def _srgb(reader: Reader, emission: bool, low: float, high: float) -> np.ndarray:
    value = _color(reader, "color")
    reader.check_range(value, low, high, "color")
    return value


def _color(reader: Reader, key: str) -> np.ndarray:
    """A colour as an `rgb` dictionary or as plain numbers."""
    if not isinstance(reader.data.get(key), Mapping):
        return rgb_value(reader, key)
    child = reader.child(key)
    if child.type != "rgb":
        child.fail(f"expected an rgb, got {child.type}")
    value = rgb_value(child)
    child.finish()
    return value


# Further texture plugins that are one colour: each takes (reader, emission, low, high) and returns (3,)
# linear RGB, or () where it is grey.
COLOUR_PLUGINS = {
    "irregular": _irregular,
    "regular": _regular,
    "blackbody": _blackbody,
    "d65": _d65,
    "srgb": _srgb,
}
