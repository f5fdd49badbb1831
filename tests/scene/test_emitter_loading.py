"""Lights in scene files: keys, defaults, names of their parameters, and what is refused."""

import numpy as np
import pytest
from helpers.light_scenes import Lights

from prb.errors import SceneError
from prb.io.images import from_srgb, write_image
from prb.scene import load_model_dict

PICTURE = np.random.default_rng(0).random((4, 6, 3), np.float32)
STRETCHED = np.diag([1.0, 2, 1, 1])


def scene(light, **objects):
    d = {"type": "scene", "sensor": {"type": "perspective"}, "ball": {"type": "sphere"}, "light": light}
    return {**d, **objects}


def load(light, **options):
    return load_model_dict(scene(light), **options).emitters[0]


def bitmap(**keys):
    return {"type": "bitmap", "data": PICTURE, "raw": True, **keys}


LIGHTS = {
    "point": {"type": "point"},
    "constant": {"type": "constant"},
    "directional": {"type": "directional"},
    "directional, turned": {"type": "directional", "direction": [1.0, 2, -2]},
    "spot": {"type": "spot"},
    "spot, wide": {"type": "spot", "cutoff_angle": 50.0, "intensity": {"type": "rgb", "value": [1, 2, 3]}},
    "spot, textured": {"type": "spot", "cutoff_angle": 40.0, "texture": bitmap()},
    "envmap": {"type": "envmap", "bitmap": PICTURE, "scale": 2.0, "mis_compensation": True},
    "projector": {"type": "projector"},
    "projector, y": {"type": "projector", "fov": 60.0, "fov_axis": "y", "irradiance": bitmap()},
    "projector, diagonal": {"type": "projector", "fov": 60.0, "fov_axis": "diagonal", "irradiance": bitmap()},
    "projector, focal": {"type": "projector", "focal_length": "30mm", "irradiance": bitmap(), "scale": 0.5},
}


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def _for_mitsuba(mi, value):
    if isinstance(value, dict):
        return {("bitmap" if k == "data" else k): _for_mitsuba(mi, v) for k, v in value.items()}
    return mi.Bitmap(value) if isinstance(value, np.ndarray) and value.ndim == 3 else value


@pytest.mark.parametrize("name", LIGHTS)
def test_a_light_is_mitsubas(mi, name):
    """Names of what can be differentiated, and what a point in the scene receives."""
    reference = mi.load_dict(_for_mitsuba(mi, scene(LIGHTS[name])))
    model = load_model_dict(scene(LIGHTS[name]))
    names = {n for n in mi.traverse(reference).keys() if n.startswith("light.")}
    ours = {t.name for t in model.emitters[0].textures.values()}
    values = (".value", ".data", "light.scale")
    assert ours == {n for n in names if n.endswith(values)}
    if name == "envmap":
        return  # its samples go elsewhere; radiance is compared in test_placed_emitters
    rng = np.random.default_rng(1)
    refs = np.stack([*rng.uniform(-1, 1, (2, 300)), rng.uniform(0.3, 4, 300)], axis=1)
    found = Lights([], model.emitters)._run(1, refs, np.full((300, 4), 0.5))
    si = mi.SurfaceInteraction3f()
    for ours_d, pdf, radiance, p in zip(found.d, found.pdf, found.radiance, refs, strict=True):
        si.p = mi.Point3f(p)
        sample, value = reference.emitters()[0].sample_direction(si, mi.Point2f(0.5))
        received = radiance / pdf if pdf > 0 else 0 * radiance
        np.testing.assert_allclose(received, np.array(value), rtol=1e-3, atol=1e-4)
        if pdf > 0 and name != "constant":
            np.testing.assert_allclose(ours_d, np.array(sample.d), atol=1e-6)


def test_environment_pictures(tmp_path):
    write_image(tmp_path / "sky.exr", PICTURE)
    light = load({"type": "envmap", "filename": "sky.exr"}, base_dir=tmp_path)
    data = light.textures["data"]
    np.testing.assert_array_equal(data.value, PICTURE)
    assert data.kind == "bitmap" and data.wrap == ("repeat", "clamp") and data.value.dtype == np.float32
    assert light.textures["scale"].value == 1
    write_image(tmp_path / "sky.png", PICTURE)
    light = load({"type": "envmap", "filename": "sky.png"}, base_dir=tmp_path)
    np.testing.assert_allclose(light.textures["data"].value, PICTURE, atol=0.01)
    eight_bit = (PICTURE * 255).astype(np.uint8)
    light = load({"type": "envmap", "bitmap": eight_bit})
    np.testing.assert_allclose(light.textures["data"].value, from_srgb(eight_bit / 255), rtol=1e-5, atol=1e-7)
    grey = load({"type": "envmap", "bitmap": PICTURE[:1, :, :1]}).textures["data"].value
    np.testing.assert_array_equal(grey, np.broadcast_to(PICTURE[:1, :, :1], (2, 6, 3)))


def test_negative_radiance_is_cut_off():
    model = load_model_dict(scene({"type": "envmap", "bitmap": PICTURE - 0.5}))
    assert any(w.startswith("light.bitmap: the image has negative values") for w in model.warnings)
    np.testing.assert_array_equal(model.emitters[0].textures["data"].value, np.maximum(PICTURE - 0.5, 0))


def test_directions():
    np.testing.assert_allclose(load({"type": "directional"}).direction, [0, 0, 1])
    np.testing.assert_allclose(load({"type": "directional", "direction": [0, 3, 4]}).direction, [0, 0.6, 0.8])
    turned = [{"rotate": {"axis": [1, 0, 0], "angle": 90}}]
    light = load({"type": "directional", "to_world": turned})
    np.testing.assert_allclose(light.direction, [0, -1, 0], atol=1e-12)
    assert load({"type": "spot", "cutoff_angle": 40.0}).constants == {"cutoff_angle": 40, "beam_width": 30}


ERRORS = [
    ({"type": "envmap"}, "light: expected one of filename and bitmap"),
    ({"type": "envmap", "filename": "a.exr", "bitmap": PICTURE}, "light: expected one of filename and"),
    ({"type": "envmap", "filename": "none.exr"}, "light.filename: no such file"),
    ({"type": "envmap", "filename": "words.exr"}, "light.filename: .*not a picture that can be read"),
    ({"type": "envmap", "filename": "words.png"}, "light.filename: .*not a picture that can be read"),
    ({"type": "envmap", "filename": "depth.exr"}, "light.filename: .*has no RGB channels; it has"),
    ({"type": "envmap", "bitmap": np.ones(5)}, "light.bitmap: expected an image"),
    ({"type": "envmap", "bitmap": PICTURE * np.float32(np.nan)}, "light.bitmap: .*not finite"),
    ({"type": "envmap", "bitmap": PICTURE, "to_world": STRETCHED}, "light.to_world: .*may not scale"),
    ({"type": "envmap", "bitmap": PICTURE, "scale": -1.0}, "light.scale: -1 is out of range"),
    ({"type": "envmap", "bitmap": PICTURE, "wrap_mode": "clamp"}, "light.wrap_mode: unknown key"),
    ({"type": "spot", "cutoff_angle": 0.0}, "light.cutoff_angle: 0 is out of range"),
    ({"type": "spot", "beam_width": 30.0}, "light.beam_width: beam_width 30 must not be larger"),
    ({"type": "spot", "cutoff_angle": 95.0, "texture": bitmap()}, "light.cutoff_angle: .*below 90"),
    ({"type": "spot", "intensity": bitmap()}, "light.intensity: .*the key 'texture'"),
    ({"type": "spot", "position": [0, 0, 0]}, "light.position: unknown key"),
    ({"type": "point", "intensity": bitmap()}, "light.intensity: point takes one colour"),
    ({"type": "constant", "radiance": bitmap()}, "light.radiance: constant takes one colour"),
    ({"type": "directional", "irradiance": bitmap()}, "light.irradiance: directional takes one colour"),
    ({"type": "directional", "direction": [0, 0, 0]}, "light.direction: the direction is zero"),
    ({"type": "directional", "direction": [0, 0, 1], "to_world": np.eye(4)}, "light: both direction and"),
    ({"type": "directional", "to_world": STRETCHED}, "light.to_world: .*may not scale"),
    ({"type": "projector", "to_world": STRETCHED}, "light.to_world: .*may not scale"),
    ({"type": "projector", "fov": 40.0, "focal_length": "50mm"}, "light: both fov and focal_length"),
    ({"type": "projector", "fov": 180.0}, "light.fov: 180 is out of range"),
]


@pytest.mark.parametrize("light, message", ERRORS)
def test_mistakes(tmp_path, light, message):
    import OpenEXR

    for name in ("words.exr", "words.png"):
        (tmp_path / name).write_text("words")
    depth = np.ones((2, 3), np.float32)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": depth, "id": depth}) as file:
        file.write(str(tmp_path / "depth.exr"))
    with pytest.raises(SceneError, match=f"^{message}") as caught:
        load(light, base_dir=tmp_path)
    assert "\n" not in str(caught.value)


def test_one_environment():
    with pytest.raises(SceneError, match="a scene holds one environment light"):
        load_model_dict(scene({"type": "envmap", "bitmap": PICTURE}, sky={"type": "constant"}))
