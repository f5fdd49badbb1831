"""Scenes load into the model that Mitsuba's conventions call for."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from prb.scene import load_model_dict, load_model_file
from prb.scene.plugins.registry import MITSUBA_PLUGINS, PLUGINS
from prb.scene.plugins.sensors import horizontal_fov

pytestmark = pytest.mark.quick

SCENES = Path(__file__).parents[2] / "scenes"


def scene(**objects) -> dict:
    return {
        "type": "scene",
        "integrator": {"type": "path"},
        "sensor": {"type": "perspective", "fov": 40},
        "shape": {"type": "sphere"},
        "light": {"type": "constant"},
        **objects,
    }


def load(**objects):
    return load_model_dict(scene(**objects))


def only(model, name):
    return next(s for s in model.shapes if s.name == name)


def assert_equal(a, b, place="model"):
    """Equal records, numbers within 1e-6."""
    assert type(a) is type(b), place
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_equal(getattr(a, field.name), getattr(b, field.name), f"{place}.{field.name}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), place
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{place}[{i}]")
    elif isinstance(a, dict):
        assert list(a) == list(b), place
        for key in a:
            assert_equal(a[key], b[key], f"{place}.{key}")
    elif isinstance(a, float | np.ndarray):
        np.testing.assert_allclose(a, b, atol=1e-6, rtol=0, err_msg=place)
    else:
        assert a == b, place


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def test_cornell_box_is_mitsubas(mi):
    assert_equal(load_model_file(SCENES / "cornell-box.json"), load_model_dict(mi.cornell_box()))


def test_cornell_box():
    model = load_model_file(SCENES / "cornell-box.json")
    assert model.warnings == []
    assert [s.kind for s in model.shapes].count("cube") == 2
    assert model.integrator.max_depth == 8
    film = model.sensors[0].film
    assert (film.width, film.height, film.crop_size, film.rfilter) == (256, 256, (256, 256), "gaussian")
    assert only(model, "floor").bsdf is only(model, "light").bsdf
    light = only(model, "light")
    np.testing.assert_allclose(light.to_world @ [1, 1, 0, 1], [0.23, 0.99, 0.2, 1], atol=1e-12)
    assert light.emitter.textures["radiance"].name == "light.emitter.radiance.value"


@pytest.mark.parametrize("path", sorted(SCENES.glob("*.json")), ids=lambda p: p.stem)
def test_bundled_scenes_load_without_warnings(path):
    assert load_model_file(path).warnings == []


# Each row: a scene, and the names, kinds and values of all textures that it should give.
TEXTURES = {
    "own bsdf": (
        {"shape": {"type": "sphere", "anything": {"type": "diffuse", "reflectance": 0.25}}},
        {"shape.bsdf.reflectance.value": ("uniform", 0.25)},
    ),
    "default bsdf": ({}, {"shape.bsdf.reflectance.value": ("uniform", 0.5)}),
    "default bsdf of a light is black": (
        {"shape": {"type": "disk", "e": {"type": "area"}}},
        {"shape.bsdf.reflectance.value": ("uniform", 0.0), "shape.emitter.radiance.value": ("uniform", 1.0)},
    ),
    "number as a radiance is three": (
        {"shape": {"type": "disk", "b": {"type": "diffuse"}, "e": {"type": "area", "radiance": 2}}},
        {
            "shape.emitter.radiance.value": ("rgb", [2, 2, 2]),
            "shape.bsdf.reflectance.value": ("uniform", 0.5),
        },
    ),
    "shared bsdf": (
        {
            "mat": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.1, 0.2, 0.3]}},
            "shape": {"type": "cube", "bsdf": {"type": "ref", "id": "mat"}},
        },
        {"mat.reflectance.value": ("rgb", [0.1, 0.2, 0.3])},
    ),
    "id before key": (
        {
            "mat": {"type": "diffuse", "id": "paint"},
            "shape": {
                "type": "cube",
                "id": "box",
                "bsdf": {"type": "ref", "id": "paint"},
                "e": {"type": "area", "radiance": {"type": "rgb", "value": 3}},
            },
        },
        {"paint.reflectance.value": ("uniform", 0.5), "box.emitter.radiance.value": ("rgb", [3, 3, 3])},
    ),
    "key works beside id": (
        {
            "mat": {"type": "diffuse", "id": "paint"},
            "shape": {"type": "cube", "bsdf": {"type": "ref", "id": "mat"}},
        },
        {"paint.reflectance.value": ("uniform", 0.5)},
    ),
    "path to a nested bsdf": (
        {
            "first": {"type": "cube", "b": {"type": "diffuse"}},
            "shape": {"type": "cube", "bsdf": {"type": "ref", "id": "first.b"}},
        },
        {"first.bsdf.reflectance.value": ("uniform", 0.5)},
    ),
    "nested id": (
        {
            "first": {"type": "cube", "b": {"type": "diffuse", "id": "q"}},
            "shape": {"type": "cube", "bsdf": {"type": "ref", "id": "q"}},
        },
        {"first.bsdf.reflectance.value": ("uniform", 0.5)},
    ),
    "twosided": (
        {
            "shape": {
                "type": "cube",
                "x": {
                    "type": "twosided",
                    "z": {"type": "diffuse"},
                    "a": {"type": "diffuse", "reflectance": 0.2},
                },
            }
        },
        {
            "shape.bsdf.brdf_0.reflectance.value": ("uniform", 0.5),
            "shape.bsdf.brdf_1.reflectance.value": ("uniform", 0.2),
        },
    ),
    "shared twosided": (
        {
            "mat": {"type": "twosided", "n": {"type": "diffuse"}},
            "shape": {"type": "cube", "x": {"type": "ref", "id": "mat"}},
        },
        {"mat.brdf_0.reflectance.value": ("uniform", 0.5)},
    ),
    "area light by reference": (
        {"lamp": {"type": "area"}, "shape": {"type": "cube", "x": {"type": "ref", "id": "lamp"}}},
        {"lamp.radiance.value": ("uniform", 1.0), "shape.bsdf.reflectance.value": ("uniform", 0.0)},
    ),
    "spectra": (
        {
            "shape": {
                "type": "cube",
                "b": {"type": "diffuse", "reflectance": {"type": "spectrum", "value": 0.3}},
                "e": {"type": "area", "radiance": {"type": "spectrum", "value": 2.0}},
            }
        },
        {
            "shape.bsdf.reflectance.value": ("uniform", 0.3),
            "shape.emitter.radiance.value": ("rgb", [2.40958786, 1.896582, 1.81783211]),
        },
    ),
    "uniform": (
        {"lamp": {"type": "point", "intensity": {"type": "uniform", "value": 4}}},
        {"lamp.intensity.value": ("uniform", 4.0), "shape.bsdf.reflectance.value": ("uniform", 0.5)},
    ),
}


def textures_of(model):
    def of_bsdf(bsdf):
        return [*bsdf.textures.values(), *(t for child in bsdf.children for t in of_bsdf(child))]

    found = [t for s in model.shapes for t in of_bsdf(s.bsdf)]
    found += [t for s in model.shapes if s.emitter for t in s.emitter.textures.values()]
    found += [t for e in model.emitters if e.name != "light" for t in e.textures.values()]
    return {t.name: t for t in found}


@pytest.mark.parametrize("objects, expected", TEXTURES.values(), ids=TEXTURES)
def test_textures(objects, expected):
    model = load(**objects)
    found = textures_of(model)
    assert set(found) == set(expected)
    for name, (kind, value) in expected.items():
        assert found[name].kind == kind
        assert found[name].value.dtype == np.float32
        np.testing.assert_array_equal(found[name].value, np.array(value, np.float32))
    assert model.warnings == []


@pytest.mark.parametrize("objects, expected", TEXTURES.values(), ids=TEXTURES)
def test_texture_names_and_values_are_mitsubas(mi, objects, expected):
    parameters = mi.traverse(mi.load_dict(scene(**objects)))
    for name, (_, value) in expected.items():
        if name not in parameters:  # Mitsuba 3.9 merges meshes that share a bsdf, under another name
            assert name.startswith("first.")
            continue
        np.testing.assert_allclose(np.array(parameters[name], dtype=float), value, rtol=1e-6)


def test_the_same_dictionary_twice_is_two_bsdfs():
    paint = {"type": "diffuse"}
    model = load(a={"type": "cube", "bsdf": paint}, b={"type": "cube", "bsdf": paint})
    a, b = only(model, "a").bsdf, only(model, "b").bsdf
    assert a is not b
    assert a.textures["reflectance"].name == "a.bsdf.reflectance.value"


FOVS = [
    {"fov": 40},
    {"fov": 40, "fov_axis": "y"},
    {"fov": 40, "fov_axis": "diagonal"},
    {},
    {"fov": 40, "fov_axis": "smaller"},
    {"fov": 40, "fov_axis": "LARGER"},
    {"focal_length": "35mm"},
    {"focal_length": "85"},
    {"focal_length": "20 mm"},
]
FILMS = [
    {},
    {"width": 100, "height": 50},
    {"width": 50, "height": 100},
    {"width": 90, "height": 70, "crop_offset_x": 5, "crop_width": 20, "crop_offset_y": 9, "crop_height": 61},
]


@pytest.mark.parametrize("fov", FOVS, ids=str)
@pytest.mark.parametrize("film", FILMS, ids=str)
def test_field_of_view_and_crop_are_mitsubas(mi, fov, film):
    sensor = {"type": "perspective", "film": {"type": "hdrfilm", **film}, **fov}
    theirs = mi.traverse(mi.load_dict(sensor))
    mine = load(sensor=sensor).sensors[0]
    assert mine.x_fov == pytest.approx(theirs["x_fov"], rel=1e-5)
    assert list(mine.film.crop_offset) == list(theirs["film.crop_offset"])
    assert list(mine.film.crop_size) == list(theirs["film.crop_size"])


def test_field_of_view_by_hand():
    assert horizontal_fov(90, "y", 2.0) == pytest.approx(2 * np.degrees(np.arctan(2)))
    assert horizontal_fov(90, "smaller", 0.5) == 90
    assert horizontal_fov(90, "larger", 0.5) == pytest.approx(2 * np.degrees(np.arctan(0.5)))


def test_film_sampler_and_filters():
    def film_of(**rfilter):
        return load(
            sensor={
                "type": "perspective",
                "sampler": {"type": "independent", "sample_count": 7},
                "film": {"type": "hdrfilm", "f": rfilter},
            }
        ).sensors[0]

    assert film_of(type="tent", radius=2).film.filter_radius == 2
    assert film_of(type="gaussian", stddev=0.8).film.filter_stddev == 0.8
    assert film_of(type="box").film.rfilter == "box"
    assert film_of(type="box").sample_count == 7
    default = load(sensor={"type": "perspective"}).sensors[0]
    assert (default.film.width, default.film.height, default.film.rfilter) == (768, 576, "gaussian")
    assert (default.near_clip, default.far_clip, default.sample_count) == (1e-2, 1e4, 4)


def test_integrators():
    assert load(integrator={"type": "path"}).integrator.max_depth == -1
    assert load(integrator={"type": "prb"}).integrator.max_depth == 6
    integrator = {"type": "prb", "max_depth": 0, "rr_depth": 1, "hide_emitters": True}
    integrator = load(integrator=integrator).integrator
    assert (integrator.max_depth, integrator.rr_depth, integrator.hide_emitters) == (0, 1, True)


WARNINGS = {
    "unused bsdf": ({"mat": {"type": "diffuse"}}, "mat: no shape uses this diffuse"),
    "pixel format": (
        {"sensor": {"type": "perspective", "film": {"type": "hdrfilm", "pixel_format": "rgba"}}},
        "sensor.film.pixel_format: 'rgba' has no effect",
    ),
    "seed": (
        {"sensor": {"type": "perspective", "s": {"type": "independent", "seed": 3}}},
        "sensor.s.seed: has no effect",
    ),
    "block size": ({"integrator": {"type": "path", "block_size": 8}}, "integrator.block_size: has no effect"),
}


@pytest.mark.parametrize("objects, expected", WARNINGS.values(), ids=WARNINGS)
def test_warnings(objects, expected):
    (warning,) = load(**objects).warnings
    assert warning.startswith(expected)


def test_scene_without_integrator_or_light_warns():
    d = scene()
    del d["integrator"], d["light"]
    warnings = load_model_dict(d).warnings
    assert len(warnings) == 2
    assert "no emitter" in warnings[0] and "no integrator" in warnings[1]


def test_sphere():
    sphere = {
        "type": "sphere",
        "center": [1, 2, 3],
        "radius": 2,
        "to_world": [{"scale": 2}, {"translate": [1, 1, 1]}],
    }
    sphere = only(load(shape=sphere), "shape")
    np.testing.assert_allclose(sphere.to_world[:3], [[4, 0, 0, 3], [0, 4, 0, 5], [0, 0, 4, 7]])
    assert not sphere.flip_normals
    mirrored = {"type": "sphere", "to_world": [{"scale": [1, 1, -1]}]}
    assert only(load(shape=mirrored), "shape").flip_normals
    assert not only(load(shape={**mirrored, "flip_normals": True}), "shape").flip_normals


def test_point_light_position():
    steps = [{"scale": 3}, {"translate": [1, 0, 2]}]
    lamps = {
        "a": {"type": "point", "position": [1, 2, 3]},
        "c": {"type": "point"},
        "b": {"type": "point", "to_world": steps, "sampling_weight": 2},
    }
    model = load(**lamps)
    positions = {e.name: e.position.tolist() for e in model.emitters if e.kind == "point"}
    assert positions == {"a": [1, 2, 3], "b": [1, 0, 2], "c": [0, 0, 0]}
    assert [e.sampling_weight for e in model.emitters] == [1, 1, 1, 2]


def test_numpy_values_and_file_names(tmp_path):
    d = scene(
        shape={"type": "sphere", "radius": np.float32(2), "center": np.array([1, 2, 3])},
        lamp={"type": "point", "intensity": {"type": "rgb", "value": np.array([1, 2, 3], np.float32)}},
    )
    model = load_model_dict(d)
    assert model.shapes[0].to_world[0, 0] == 2
    (tmp_path / "meshes").mkdir()
    (tmp_path / "meshes" / "t.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    d = scene(shape={"type": "obj", "filename": "meshes/t.obj"})
    (tmp_path / "scene.json").write_text(json.dumps(d))
    by_file = load_model_file(tmp_path / "scene.json")
    assert_equal(by_file, load_model_dict(d, base_dir=tmp_path))
    assert by_file.shapes[0].faces.tolist() == [[0, 1, 2]]


def test_every_supported_plugin_is_mitsubas():
    own = {"phong"}  # prb's own, in the form that teaching renderers use
    assert set(PLUGINS) - {"rgb", "spectrum"} - own <= MITSUBA_PLUGINS
    assert not own & MITSUBA_PLUGINS
