"""Values of textures outside [0, 1]: images keep them as reflectances; and `rawconstant`, which takes any."""

import numpy as np
import pytest

import prb
from prb.errors import ParameterError, SceneError
from prb.io.images import write_image
from prb.scene import load_model_dict
from prb.scene.parameter_values import with_values

DIFFUSE = {"type": "diffuse"}
BRIGHT = np.float32([[[0.5, 1.5, 3.0], [0.2, 0.9, 0.1]], [[0.0, 2.0, 1.0], [2.5, 0.3, 0.7]]])
NAME = "s.bsdf.reflectance.data"


def scene(bsdf, *, look_at=None, **objects):
    """A square that fills the picture, under a constant light."""
    look_at = look_at or [{"look_at": {"origin": [0, 0, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    film = {"type": "hdrfilm", "width": 8, "height": 8, "rfilter": {"type": "box"}}
    return {"type": "scene", "integrator": {"type": "path", "max_depth": 2}, "sky": {"type": "constant"},
            "sensor": {"type": "perspective", "fov": 36, "to_world": look_at, "film": film},
            "s": {"type": "rectangle", "bsdf": bsdf}, **objects}  # fmt: skip


def image(data, **keys):
    return {"type": "bitmap", "data": np.asarray(data, np.float32), "raw": True, **keys}


def raw(value):
    return {"type": "rawconstant", "value": value}


@pytest.fixture
def museum(tmp_path):
    """A scene of a plane with a picture of bright values, from an EXR."""
    write_image(tmp_path / "a.exr", BRIGHT)
    return scene({**DIFFUSE, "reflectance": {"type": "bitmap", "filename": str(tmp_path / "a.exr")}})


def test_an_exr_above_1_is_kept_with_one_warning(museum):
    model = load_model_dict(museum)
    assert (model.shapes[0].bsdf.textures["reflectance"].value == BRIGHT).all()
    (warning,) = model.warnings
    assert warning.startswith(f"{NAME}: s.bsdf.reflectance has values up to 3, above 1, so energy is not c")


def test_its_range_reaches_as_far_as_its_values(museum):
    """So that an update with the scene's own values and an optimiser's clipping leave it alone."""
    loaded = prb.load_dict(museum)
    params = prb.traverse(loaded)
    params.update({NAME: params[NAME]})
    assert (prb.traverse(loaded)[NAME] == BRIGHT).all()
    optimizer = prb.Adam(0.1, {NAME: BRIGHT + 0.25})
    params.update(optimizer)
    assert (prb.traverse(loaded)[NAME] == np.minimum(BRIGHT + 0.25, 3)).all()
    with pytest.raises(ParameterError, match=r"3.5 is outside \[0, 3\]"):
        params.update({NAME: BRIGHT + 0.5})
    dim = prb.traverse(prb.load_dict(scene({**DIFFUSE, "reflectance": image(BRIGHT / 4)})))
    with pytest.raises(ParameterError, match=r"1.5 is outside \[0, 1\]"):
        dim.update({NAME: BRIGHT / 2})


def test_the_gradient_of_bright_values_is_that_of_dim_ones(museum):
    """One reflection: the picture is linear in the reflectance, whatever its size."""
    dim = scene({**DIFFUSE, "reflectance": image(BRIGHT / 4)})
    grads = [
        prb.render_backward(prb.load_dict(d), np.ones((8, 8, 3)), [NAME], spp=4, seed=1)[NAME]
        for d in (museum, dim)
    ]
    np.testing.assert_allclose(*grads, rtol=1e-4)


@pytest.mark.parametrize(
    ("bsdf", "warning", "value"),
    [
        ({**DIFFUSE, "reflectance": image(BRIGHT - 1)},
         "[-1, 2]; clipped to [0, 2]", (BRIGHT - 1).clip(0, 2)),
        ({"type": "blendbsdf", "weight": image(BRIGHT), "a": DIFFUSE, "b": DIFFUSE},
         "[0, 3]; clipped to [0, 1]", BRIGHT.clip(0, 1)),
        ({"type": "plastic", "nonlinear": True, "diffuse_reflectance": image(BRIGHT)},
         "[0, 3]; clipped to [0, 1]", BRIGHT.clip(0, 1)),
        ({"type": "principled", "metallic": image(BRIGHT)}, "[0, 3]; clipped to [0, 1]", BRIGHT.clip(0, 1)),
    ],
)  # fmt: skip
def test_what_is_clipped_nevertheless(bsdf, warning, value):
    """Below zero, what is no reflectance, and where above 1 a sum over internal reflections diverges."""
    model = load_model_dict(scene(bsdf))
    assert f"the image has values in {warning}" in model.warnings[0]
    found = [t for t in model.shapes[0].bsdf.textures.values() if t.kind == "bitmap"]
    np.testing.assert_array_equal(found[0].value, value)


def test_a_weight_that_shares_the_image_of_a_reflectance_limits_it():
    both = {"type": "blendbsdf", "weight": {"type": "ref", "id": "t"},
            "a": {**DIFFUSE, "reflectance": {"type": "ref", "id": "t"}}, "b": DIFFUSE}  # fmt: skip
    model = load_model_dict(scene(both, t=image(BRIGHT)))
    (warning,) = model.warnings
    assert warning == "t.data: the image has values in [0, 3]; clipped to [0, 1] for s.bsdf.weight"


# --- rawconstant ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bsdf", "name", "value"),
    [
        ({**DIFFUSE, "reflectance": raw([0.1, 0.2, 0.3])}, "s.bsdf.reflectance.value", [0.1, 0.2, 0.3]),
        ({**DIFFUSE, "reflectance": raw(0.25)}, "s.bsdf.reflectance.value", 0.25),
        ({"type": "roughconductor", "alpha": raw(0.25)}, "s.bsdf.alpha.value", 0.25),
        ({"type": "blendbsdf", "weight": raw(0.25), "a": DIFFUSE, "b": DIFFUSE}, "s.bsdf.weight.value", 0.25),
        ({"type": "normalmap", "normalmap": raw([0.6, 0.5, 0.9]), "a": DIFFUSE},
         "s.bsdf.normalmap.value", [0.6, 0.5, 0.9]),
    ],
)  # fmt: skip
def test_rawconstant_has_mitsubas_name(bsdf, name, value):
    params = prb.traverse(prb.load_dict(scene(bsdf)))
    np.testing.assert_array_equal(params[name], np.float32(value))


def test_rawconstant_as_a_light_is_no_colour():
    """A number stays one number, where a `spectrum` would become a colour."""
    objects = {"lamp": {"type": "rectangle", "emitter": {"type": "area", "radiance": raw(2.0)}}}
    params = prb.traverse(prb.load_dict(scene(DIFFUSE, **objects)))
    assert params["lamp.emitter.radiance.value"] == 2


def test_rawconstant_above_1_is_kept_with_a_warning():
    model = load_model_dict(scene({**DIFFUSE, "reflectance": raw([2, 0.5, 0.5])}))
    texture = model.shapes[0].bsdf.textures["reflectance"]
    assert texture.value.tolist() == [2, 0.5, 0.5] and texture.high == 2
    (warning,) = model.warnings
    assert "s.bsdf.reflectance has values up to 2, above 1, so energy is not conserved" in warning


def test_a_normal_is_one_that_an_image_of_it_gives():
    """As a constant and as an image of one texel, which have the same random numbers."""
    normal = [0.65, 0.45, 0.9]
    pictures = [
        prb.render(prb.load_dict(scene({"type": "normalmap", "normalmap": t, "a": DIFFUSE})), spp=16, seed=1)
        for t in (raw(normal), image([[normal]]), image([[[0.5, 0.5, 1.0]]]))
    ]
    np.testing.assert_allclose(pictures[0], pictures[1], rtol=1e-5)
    assert np.abs(pictures[0] - pictures[2]).max() > 0.01


@pytest.mark.parametrize(
    ("bsdf", "message"),
    [
        ({**DIFFUSE, "reflectance": {"type": "rawconstant"}}, "reflectance.value: expected a number or 3"),
        ({**DIFFUSE, "reflectance": raw([1, 2])}, "reflectance.value: expected a number or 3 numbers, got a"),
        ({**DIFFUSE, "reflectance": raw("0.5")}, "reflectance.value: expected a number or 3 numbers, got"),
        ({**DIFFUSE, "reflectance": raw([0, np.nan, 0])}, "reflectance.value: nan is not a finite number"),
        ({**DIFFUSE, "reflectance": raw([0, -1, 0])}, "reflectance.value: -1 is out of range; expected"),
        ({"type": "roughconductor", "alpha": raw([1, 1, 1])}, "alpha: expected one number, got a raw"),
        ({"type": "normalmap", "normalmap": raw(0.5), "a": DIFFUSE}, "normalmap: expected a bitmap with"),
        ({"type": "mask", "opacity": raw(1.5), "a": DIFFUSE}, "opacity.value: 1.5 is out of range; expected"),
    ],
)  # fmt: skip
def test_mistakes_in_rawconstant(bsdf, message):
    with pytest.raises(SceneError) as caught:
        load_model_dict(scene(bsdf))
    assert str(caught.value).startswith(f"s.bsdf.{message}") and "\n" not in str(caught.value)


def test_rawconstant_is_written_as_one():
    d = scene({**DIFFUSE, "reflectance": raw([2, 0.5, 0.5])})
    name = "s.bsdf.reflectance.value"
    changed, left_out = with_values(d, [name], {name: np.float32([1.5, 0.5, 0.25])}, None)
    assert left_out == [] and changed["s"]["bsdf"]["reflectance"] == raw([1.5, 0.5, 0.25])


# --- beside Mitsuba -------------------------------------------------------------------------------------


COLOURS = {  # models with a bright image, by the key of its colour
    "diffuse": "reflectance",
    "plastic": "diffuse_reflectance",
    "roughplastic": "diffuse_reflectance",
    "principled": "base_color",
    "conductor": "specular_reflectance",
    "roughconductor": "specular_reflectance",
    "dielectric": "specular_transmittance",
}


def _pictures(bsdf, spp=256):
    """Mitsuba's picture of a scene, and prb's, as means over quarters: what each texel of BRIGHT covers."""
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    mi.set_log_level(mi.LogLevel.Error)

    def theirs(value):
        if isinstance(value, dict):
            return {key: theirs(item) for key, item in value.items()}
        return mi.TensorXf(value) if isinstance(value, np.ndarray) else value

    look_at = mi.ScalarTransform4f().look_at([0, 0, 3], [0, 0, 0], [0, 1, 0])
    loaded = mi.load_dict(theirs(scene(bsdf, look_at=look_at)))
    reference = np.array(mi.render(loaded, spp=spp))
    picture = prb.render(prb.load_dict(scene(bsdf)), spp=spp, seed=1)
    return [p.reshape(2, 4, 2, 4, 3).mean((1, 3)) for p in (reference, picture)]  # by texel


@pytest.mark.parametrize("kind", COLOURS)
def test_bright_values_are_mitsubas(kind):
    reference, picture = _pictures({"type": kind, COLOURS[kind]: image(BRIGHT, filter_type="nearest")})
    np.testing.assert_allclose(picture, reference, rtol=0.03, atol=0.01)
    assert reference.max() > 1.2  # clipped at 1 none is above 1.1


@pytest.mark.parametrize(
    "bsdf",
    [
        {"type": "normalmap", "normalmap": raw([0.65, 0.45, 0.9]), "a": {"type": "diffuse"}},
        {"type": "roughconductor", "alpha": raw(0.3)},
        {**DIFFUSE, "reflectance": raw([2, 0.5, 0.5])},
    ],
)
def test_rawconstant_is_mitsubas(bsdf):
    reference, picture = _pictures(bsdf)
    np.testing.assert_allclose(picture, reference, rtol=0.02)
