"""`principled` and `principledthin` in a scene: parameter names, mistakes, and pictures as in Mitsuba."""

import numpy as np
import pytest

import prb


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("llvm_ad_rgb")
    return mitsuba


def load(bsdf):
    """A sphere of the material under a constant light, seen from (0, 0, 4)."""
    film = {"type": "hdrfilm", "width": 8, "height": 8}
    look = {"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 4}, "light": {"type": "constant"},
        "sensor": {"type": "perspective", "fov": 20.0, "to_world": [look], "film": film},
        "shape": {"type": "sphere", "bsdf": bsdf},
    })  # fmt: skip


def names(bsdf):
    prefix = "shape.bsdf."
    return {key.removeprefix(prefix) for key in prb.traverse(load(bsdf)) if key.startswith(prefix)}


@pytest.mark.parametrize(
    "bsdf, absent",
    [
        ({"type": "principled", "spec_trans": 0.0}, set()),
        ({"type": "principled", "spec_trans": 0.5, "eta": 1.3}, set()),
        ({"type": "principled"}, {"spec_trans.value"}),
        ({"type": "principled", "eta": 1.3}, {"spec_trans.value"}),
        ({"type": "principledthin", "diff_trans": 0.7}, set()),
    ],
)
def test_names_are_those_of_mitsuba(mi, bsdf, absent):
    theirs = {key for key in mi.traverse(mi.load_dict(bsdf)).keys() if not key.endswith("_rate")}
    assert names(bsdf) == theirs - absent


@pytest.mark.parametrize(
    "bsdf, message",
    [
        ({"specular": 0.5, "eta": 1.5}, r"shape.bsdf.specular: .*eta.*remove one"),
        ({"clearcoat_sampling_rate": -1.0}, r"shape.bsdf.clearcoat_sampling_rate: -1 is out of range"),
        ({"metallic": 1.5}, r"shape.bsdf.metallic: 1.5 is out of range"),
        ({"diff_trans": 1.0}, r"shape.bsdf.diff_trans: unknown key"),
        ({"eta": {"type": "rgb", "value": [1, 1, 1]}}, r"shape.bsdf.eta: expected a number"),
        ({"type": "principledthin", "clearcoat": 1.0}, r"shape.bsdf.clearcoat: unknown key"),
        ({"type": "principledthin", "diff_trans": 2.5}, r"shape.bsdf.diff_trans: 2.5 is out of range"),
    ],
)
def test_errors_name_the_place(bsdf, message):
    with pytest.raises(prb.SceneError, match=message) as error:
        load({"type": "principled", **bsdf})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "bsdf",
    [
        {"type": "principled", "metallic": 0.3, "roughness": 0.4, "clearcoat": 0.5, "anisotropic": 0.4},
        {"type": "principled", "spec_trans": 0.7, "eta": 1.4, "roughness": 0.4},
        {"type": "principledthin", "spec_trans": 0.5, "diff_trans": 0.6, "sheen": 0.5},
    ],
)
def test_pictures_are_those_of_mitsuba(mi, bsdf):
    image = prb.render(load(bsdf), spp=4096, seed=1)
    to_world = mi.ScalarTransform4f().look_at(origin=[0, 0, 4], target=[0, 0, 0], up=[0, 1, 0])
    theirs = mi.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 4}, "light": {"type": "constant"},
        "sensor": {
            "type": "perspective", "fov": 20.0, "to_world": to_world,
            "film": {"type": "hdrfilm", "width": 8, "height": 8, "pixel_format": "rgb"},
        },
        "shape": {"type": "sphere", "bsdf": bsdf},
    })  # fmt: skip
    reference = np.array(mi.render(theirs, spp=4096, seed=2))
    np.testing.assert_allclose(image.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), rtol=5e-3)
    np.testing.assert_allclose(image, reference, atol=0.05)
