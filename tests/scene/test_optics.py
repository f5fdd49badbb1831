"""Named indices of refraction and metals are Mitsuba's."""

from pathlib import Path

import numpy as np
import pytest

from prb.errors import SceneError
from prb.scene.plugins.optics import CONDUCTORS, INDICES, conductor_ior, index_of_refraction
from prb.scene.reading.reader import Context, Node, Plugin, Reader

pytestmark = pytest.mark.quick


def reader(**data):
    plugins = {"conductor": Plugin("bsdf", None)}
    return Reader(Node({"type": "conductor", **data}, "x", "x"), Context(plugins, frozenset(), Path(".")))


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_mitsubas(mi, name):
    bsdf = mi.load_dict({"type": "dielectric", "int_ior": name, "ext_ior": "vacuum"})
    eta = mi.traverse(bsdf)["eta"]
    assert index_of_refraction(reader(ior=name), "ior", "air") == pytest.approx(eta, rel=1e-7)


def test_index_of_refraction():
    assert index_of_refraction(reader(ior="BK7"), "ior", "air") == 1.5046
    assert index_of_refraction(reader(), "ior", "water") == 1.333
    assert index_of_refraction(reader(ior=2), "ior", "water") == 2.0


@pytest.mark.parametrize("name", CONDUCTORS)
def test_metals_are_mitsubas(mi, name):
    params = mi.traverse(mi.load_dict({"type": "conductor", "material": name}))
    for ours, key in zip(conductor_ior(reader(material=name)), ("eta", "k"), strict=True):
        assert ours.shape == (3,)
        np.testing.assert_allclose(ours, np.array(params[f"{key}.value"]).ravel(), rtol=1e-6, atol=1e-9)


def test_second_names_of_metals():
    metals = [conductor_ior(reader(material=name)) for name in ("K", "K_palik", "Cu", "Cu_palik")]
    np.testing.assert_array_equal(metals[0], metals[1])
    assert (metals[2][0] != metals[3][0]).all()


def test_without_a_material_there_are_textures():
    assert conductor_ior(reader()) is None
    assert conductor_ior(reader(material="none", eta=1.0)) is None


def _ior(reader):
    return index_of_refraction(reader, "ior", "air")


# Each row: a function, the dictionary, the message.
MISTAKES = [
    (conductor_ior, {"material": "au"}, "x.material: unknown material 'au'; did you mean 'Au'"),
    (conductor_ior, {"material": "unobtainium"}, "known are a-C, Ag"),
    (conductor_ior, {"material": "Au", "k": 1.0}, "both material and k are given"),
    (conductor_ior, {"material": 3}, "x.material: expected a string"),
    (_ior, {"ior": "watr"}, "x.ior: no index of .* did you mean 'water'"),
    (_ior, {"ior": "1.5"}, "or give a number"),
    (_ior, {"ior": 0.0}, "x.ior: 0 is out of range"),
]


@pytest.mark.parametrize("row", MISTAKES, ids=lambda row: str(row[1]))
def test_mistakes(row):
    function, data, message = row
    with pytest.raises(SceneError, match=message):
        function(reader(**data))
