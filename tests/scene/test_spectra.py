"""Spectra become the RGB that Mitsuba's RGB variants make of them."""

import numpy as np
import pytest

from prb.errors import SceneError
from prb.scene.plugins import cie
from prb.scene.plugins.spectra import (
    COLOUR_PLUGINS,
    planck,
    rgb_value,
    spectrum_to_rgb,
    spectrum_value,
)
from prb.scene.reading.reader import Context, Node, Plugin, Reader
from prb.scene.reading.texts import parse_numbers, parse_pairs, parse_rgb

pytestmark = pytest.mark.quick


@pytest.fixture
def reader(tmp_path):
    """A function of a plugin's dictionary: its reader."""
    names = ["rgb", "spectrum", *COLOUR_PLUGINS]

    def make(**data):
        context = Context({n: Plugin("texture", None) for n in names}, frozenset(), tmp_path)
        for key, value in data.items():
            if isinstance(value, dict):
                context.nodes[f"x.{key}"] = Node(value, f"x.{key}", f"x.{key}")
        return Reader(Node(data, "x", "x"), context)

    return make


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


def _mitsubas(mi, spectrum, emission):
    plugin, key = ("area", "radiance") if emission else ("diffuse", "reflectance")
    params = mi.traverse(mi.load_dict({"type": plugin, key: spectrum}))
    return np.array(params[f"{key}.value"]).ravel()


def test_the_tables():
    wavelengths, matching, d65 = cie.table()
    np.testing.assert_array_equal(wavelengths, np.arange(360, 831, 5))
    np.testing.assert_allclose(matching.sum(0) * 5, 106.857, rtol=5e-4)  # of equal energy: x = y = z = 1/3
    white = matching.T @ d65
    np.testing.assert_allclose(white[:2] / white.sum(), [0.31272, 0.32903], atol=5e-5)  # D65's white


def test_spectra_are_mitsubas(mi):
    rng = np.random.default_rng(7)
    for emission in (False, True):
        for _ in range(12):
            n = rng.integers(2, 20)
            wavelengths, values = np.sort(rng.uniform(300, 900, n)), rng.uniform(0, 1, n)
            ours = spectrum_to_rgb(wavelengths, values, emission)
            theirs = _mitsubas(mi, {"type": "spectrum", "value": list(zip(wavelengths, values, strict=True))},
                               emission)  # fmt: skip
            ours = np.clip(ours, 0, None if emission else 1)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


# Each row: a spectrum, as mi.load_dict takes it, and the range of the parameter.
SPECTRA = {
    "number": ({"value": 0.5}, 1),
    "light of the suite": ({"value": [(400, 0.0), (500, 8.0), (600, 15.6), (700, 18.4)]}, np.inf),
    "wall of the suite": ({"value": [(400, 0.78), (500, 0.78), (600, 0.78), (700, 0.78)]}, 1),
    "above one": ({"value": [(400, 0.25), (500, 1.0), (700, 1.5)]}, 1),
    "saturated": ({"value": [(400, 0.2), (500, 0.5)]}, 1),
    "array": ({"value": np.array([[400, 0.1], [700, 0.5]])}, 1),
    "file": ({"filename": "a.spd"}, 1),
}


@pytest.mark.parametrize("case", SPECTRA)
def test_the_plugin_is_mitsubas(mi, reader, tmp_path, case):
    data, high = SPECTRA[case]
    (tmp_path / "a.spd").write_text("# made up\n400 0.1\n500 .3\n\n700 0.5\n")
    theirs = {"type": "spectrum", **data}
    if "filename" in data:
        theirs["filename"] = str(tmp_path / "a.spd")
    for emission in (False, True):
        if not emission and high > 1:
            continue
        limit = np.inf if emission else high
        ours = spectrum_value(reader(type="spectrum", **data), emission=emission, high=limit)
        expected = _mitsubas(mi, theirs, emission)
        assert ours.size == expected.size
        np.testing.assert_allclose(np.ravel(ours), expected, rtol=1e-5, atol=1e-6)


def test_an_index_of_refraction_is_not_clamped_to_one(mi, reader):
    pairs = [(400, 0.5), (500, 2.0), (700, 3.0)]
    ours = spectrum_value(reader(type="spectrum", value=pairs), emission=False)
    params = mi.traverse(mi.load_dict({"type": "conductor", "eta": {"type": "spectrum", "value": pairs}}))
    np.testing.assert_allclose(ours, np.array(params["eta.value"]).ravel(), rtol=1e-5)


def test_clamping_is_said(reader):
    r = reader(type="spectrum", value="400:0.2, 500:0.5")
    assert spectrum_value(r, emission=True)[0] == 0
    assert "is clamped to 0 and above" in r.context.warnings[0]


def test_texts():
    assert parse_numbers(" 1, 2 3.5,") == [1, 2, 3.5]
    assert parse_numbers("1_0") is parse_numbers("") is parse_numbers("a") is parse_rgb("1 2") is None
    assert parse_rgb("0.5") == [0.5] * 3
    assert parse_rgb("#ff8000") == pytest.approx([1, 0.21586050, 0])
    assert parse_pairs("400:1, 500:2 600:3") == [[400, 1], [500, 2], [600, 3]]
    assert parse_pairs("400") is parse_pairs("400:1:2") is parse_pairs("400:") is None


def test_rgb_value(reader):
    np.testing.assert_array_equal(rgb_value(reader(type="rgb", value=0.5)), [0.5] * 3)
    np.testing.assert_array_equal(rgb_value(reader(type="rgb", value="1 2 3")), [1, 2, 3])
    np.testing.assert_array_equal(rgb_value(reader(type="rgb", value=[1, 2, 3])), [1, 2, 3])


def test_planck():
    """Wien's displacement law, and Stefan-Boltzmann's by a sum."""
    wavelengths = np.linspace(50, 100_000, 400_000)
    for kelvin in (3000.0, 6500.0):
        radiance = planck(wavelengths, kelvin)
        assert wavelengths[radiance.argmax()] == pytest.approx(2.897771955e6 / kelvin, abs=0.5)
        power = np.pi * radiance.sum() * (wavelengths[1] - wavelengths[0])
        assert power == pytest.approx(5.670374e-8 * kelvin**4, rel=1e-3)


def test_planck_is_mitsubas(mi):
    mi.set_variant("scalar_spectral")
    try:
        plugin, si = mi.load_dict({"type": "blackbody", "temperature": 5000.0}), mi.SurfaceInteraction3f()
        si.wavelengths = [400, 500, 600, 700]
        theirs = np.array(plugin.eval(si)).ravel()
    finally:
        mi.set_variant("scalar_rgb")
    np.testing.assert_allclose(planck([400, 500, 600, 700], 5000.0), theirs, rtol=1e-5)


def test_colour_plugins(reader):
    """irregular, regular and blackbody are the spectrum they stand for; d65 and srgb are plain colours."""

    def value(emission=False, **data):
        r = reader(**data)
        made = COLOUR_PLUGINS[r.type](r, emission, 0.0, np.inf)
        r.finish()
        return made

    expected = spectrum_to_rgb([400, 550, 700], [0.1, 0.2, 0.6], False)
    texts = {"wavelengths": "400, 550, 700", "values": "0.1 0.2 0.6"}
    np.testing.assert_allclose(value(type="irregular", **texts), expected)
    ends = {"wavelength_min": 400, "wavelength_max": 700.0}
    np.testing.assert_allclose(value(type="regular", **ends, values=[0.1, 0.2, 0.6]), expected)
    white = value(True, type="blackbody", temperature=6504.0)
    np.testing.assert_allclose(white / white.mean(), 1, atol=0.04)  # D65 is daylight of that temperature
    assert value(type="d65") == 1 and value(True, type="d65", scale=2.0) == 2
    rgb = {"type": "rgb", "value": [0.1, 0.2, 0.3]}
    np.testing.assert_array_equal(value(type="srgb", color=rgb), [0.1, 0.2, 0.3])
    np.testing.assert_allclose(value(type="d65", color=rgb, scale=2), [0.2, 0.4, 0.6])


# Each row: a spectrum, and what is wrong with it.
MISTAKES = {
    "text": ({"value": "red"}, "x.value: expected one number or wavelength:value pairs"),
    "one pair": ({"value": "400:1"}, "x.value: a spectrum needs at least two"),
    "flat list": ({"value": [400, 1, 500, 2]}, "x.value: a spectrum needs at least two"),
    "order": ({"value": [[500, 1], [400, 1]]}, "x.value: wavelengths must increase, but 400 nm follows"),
    "not finite": ({"value": [[400, 1], [500, np.nan]]}, "x.value: a wavelength or a value is not finite"),
    "strings": ({"value": [["a", 1], ["b", 2]]}, "x.value: expected"),
    "both": ({"value": 1.0, "filename": "a.spd"}, "x: both value and filename are given"),
    "no file": ({"filename": "none.spd"}, "x.filename: no such file"),
    "file": ({"filename": "bad.spd"}, "line 2: expected a wavelength and a value, got '500'"),
    "range": ({"value": -1.0}, "x.value: -1 is out of range"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(reader, tmp_path, case):
    data, expected = MISTAKES[case]
    (tmp_path / "bad.spd").write_text("400 1\n500\n")
    with pytest.raises(SceneError) as caught:
        spectrum_value(reader(type="spectrum", **data), emission=False)
    assert expected in str(caught.value)


PLUGIN_MISTAKES = {
    "lengths": ({"type": "irregular", "wavelengths": "400,500", "values": "1"}, "2 wavelengths and 1 values"),
    "missing": ({"type": "irregular", "values": "1"}, "x.wavelengths: missing"),
    "range": ({"type": "regular", "wavelength_min": 5, "wavelength_max": 4, "values": "1,2"}, "larger than"),
    "kelvin": ({"type": "blackbody", "temperature": 0.0}, "x.temperature: 0 is out of range"),
    "colour": ({"type": "srgb", "color": {"type": "d65"}}, "x.color: expected an rgb, got d65"),
    "hex": ({"type": "srgb", "color": "#12345"}, "x.color: expected 3 numbers or a colour such as"),
}


@pytest.mark.parametrize("case", PLUGIN_MISTAKES)
def test_mistakes_of_colour_plugins(reader, case):
    data, expected = PLUGIN_MISTAKES[case]
    with pytest.raises(SceneError, match=expected):
        COLOUR_PLUGINS[data["type"]](reader(**data), False, 0.0, 1.0)
