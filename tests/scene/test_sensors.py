"""Cameras as a scene holds them: what is read, several in one scene, and their pictures."""

import re
import weakref

import numpy as np
import pytest

import prb
from prb.errors import SceneError
from prb.scene import load_model_dict

BROWN = {"type": "rgb", "value": [0.7, 0.5, 0.3]}
SPHERE = {"type": "sphere", "bsdf": {"type": "diffuse", "reflectance": BROWN}}
REFLECTANCE = "ball.bsdf.reflectance.value"


def at(*origin):
    return [{"look_at": {"origin": list(origin), "target": [0, 0, 0], "up": [0, 1, 0]}}]


def film(width=8, height=6, rfilter="box", **keys):
    return {"type": "hdrfilm", "width": width, "height": height, "rfilter": {"type": rfilter}, **keys}


def scene_dict(**sensors):
    return {
        "type": "scene", "integrator": {"type": "path", "max_depth": 3}, **sensors, "ball": SPHERE,
        "floor": {"type": "rectangle", "to_world": [{"scale": 4}, {"translate": [0, 0, -1]}]},
        "light": {"type": "point", "position": [0, 4, 5]},
    }  # fmt: skip


SENSORS = {
    "front": {"type": "perspective", "fov": 40, "to_world": at(0, 1, 6), "film": film()},
    "lens": {"type": "thinlens", "fov": 30, "to_world": at(4, 2, 5), "aperture_radius": 0.3,
             "focus_distance": 6.0, "film": film(9, 5, "gaussian"),
             "sampler": {"type": "independent", "sample_count": 7}},
    "flat": {"type": "orthographic", "to_world": [{"scale": [2, 2, 1]}, *at(-3, 1, 4)],
             "film": film(10, 10, "tent", crop_offset_x=2, crop_width=7)},
}  # fmt: skip


@pytest.fixture
def scene():
    return prb.load_dict(scene_dict(**SENSORS))


def alone(name):
    return prb.load_dict(scene_dict(**{name: SENSORS[name]}))


# Several sensors


@pytest.mark.parametrize("number, name", list(enumerate(SENSORS)))
def test_each_sensor_of_a_scene_is_that_of_a_scene_of_its_own(scene, number, name):
    single = alone(name)
    assert not scene.model.warnings
    image = prb.render(single, seed=2)
    for sensor in (number, np.int64(number), name):
        np.testing.assert_array_equal(prb.render(scene, sensor=sensor, seed=2), image)
    np.testing.assert_array_equal(prb.render(scene.view(name), seed=2), image)
    assert image.max() > 0

    weight = np.random.default_rng(1).random(image.shape)
    for adjoint in (prb.ReplayAdjoint(), prb.TapeAdjoint(), prb.FiniteDifference()):
        options = dict(params=[REFLECTANCE], spp=2, adjoint=adjoint)
        here = prb.render_backward(scene, weight, sensor=number, **options)[REFLECTANCE]
        there = prb.render_backward(single, weight, **options)[REFLECTANCE]
        np.testing.assert_allclose(here, there, rtol=1e-5)
        assert here.all()
    tangent = {REFLECTANCE: [1, 0, 2]}
    np.testing.assert_array_equal(
        prb.render_forward(scene, tangent, sensor=name, spp=2), prb.render_forward(single, tangent, spp=2)
    )


def test_the_first_sensor_is_the_default(scene):
    assert scene.sensor.name == "front" and scene.image_shape == (6, 8, 3)
    np.testing.assert_array_equal(prb.render(scene), prb.render(scene, sensor=0))
    assert scene.view("lens").view().sensor.name == "lens"
    assert scene.view("lens").view(0).sensor.name == "front"


@pytest.mark.parametrize("sensor", [3, -1, "top", True, 1.0, [1], ""])
def test_a_sensor_that_is_not_there(scene, sensor):
    message = re.escape(f"sensor: there is no {sensor!r}; the scene has 0 (front), 1 (lens), 2 (flat)")
    with pytest.raises(prb.ParameterError, match=message):
        prb.render(scene, sensor=sensor)


def test_nothing_is_compiled_for_another_sensor(scene):
    from prb.kernels.estimators import launch, tape

    weight = np.ones(scene.image_shape)
    prb.render(scene, spp=1)
    for adjoint in (prb.ReplayAdjoint(), prb.TapeAdjoint()):
        prb.render_backward(scene, weight, spp=1, adjoint=adjoint)
    kernels = [k._primal for k in (launch.trace_paths, tape.begin, tape.record, tape.shade_bounce)]
    compiled = [len(k.compiled_kernels) for k in kernels]
    for name in ("lens", "flat"):
        view = scene.view(name)
        prb.render(view, spp=1)
        for adjoint in (prb.ReplayAdjoint(), prb.TapeAdjoint()):
            prb.render_backward(view, np.ones(view.image_shape), spp=1, adjoint=adjoint)
    assert [len(k.compiled_kernels) for k in kernels] == compiled


def test_views_share_the_scene_on_the_device(scene):
    first, second = scene.device_arrays(), scene.view(1).device_arrays()
    assert first[0] is second[0] and first[1] is not second[1]
    assert all(a is b for a, b in zip(second, scene.view(1).device_arrays(), strict=True))
    camera = weakref.ref(second[1]["camera"])
    del first, second
    scene.view(1).resize(4, 4)
    assert camera() is None  # the old film's arrays are gone
    assert prb.render(scene, sensor=1, spp=1).shape == (4, 4, 3)
    assert prb.render(scene, spp=1).shape == (6, 8, 3)


def test_parameters_are_those_of_all_sensors(scene):
    params = prb.traverse(scene)
    common = {"to_world", "near_clip", "far_clip"}
    expected = {
        "front": {*common, "x_fov", "principal_point_offset_x", "principal_point_offset_y"},
        "lens": {*common, "x_fov", "aperture_radius", "focus_distance"},
        "flat": common,
    }
    listed = {n for n in params if n.split(".")[0] in SENSORS}
    assert listed == {f"{sensor}.{key}" for sensor, keys in expected.items() for key in keys}
    assert {n for n in params if not params.differentiable(n)} == {n for n in listed if n.endswith("_clip")}
    before = {name: prb.render(scene, sensor=name) for name in SENSORS}

    params.update({"lens.aperture_radius": 0.0, REFLECTANCE: [0.1, 0.2, 0.3]})
    changed = dict(SENSORS, lens={**SENSORS["lens"], "aperture_radius": 0.0})
    other = prb.load_dict(scene_dict(**changed))
    prb.traverse(other).update({REFLECTANCE: [0.1, 0.2, 0.3]})
    for name in SENSORS:
        image = prb.render(scene, sensor=name)
        np.testing.assert_array_equal(image, prb.render(other, sensor=name))
        assert np.any(image != before[name])
    assert prb.traverse(scene.view("lens"))["lens.aperture_radius"] == 0


def test_names_of_parameters_are_mitsubas(scene):
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    d = scene_dict(**SENSORS)
    for sensor, model in zip(SENSORS, scene.model.sensors, strict=True):
        d[sensor] = {**d[sensor], "to_world": mi.ScalarTransform4f(model.to_world)}
    d["floor"] = {"type": "rectangle"}
    theirs = [key for key in mi.traverse(mi.load_dict(d)).keys() if key.split(".")[0] in SENSORS]
    left_out = [k for k in theirs if ".film." in k or ".shutter_" in k]
    mine = [key for key in prb.traverse(scene) if key.split(".")[0] in SENSORS]
    assert set(theirs) == {*mine, *left_out}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lens.aperture_radius", -1, "-1 is outside"),
        ("lens.focus_distance", 0, "0 is outside"),
        ("lens.to_world", 2 * np.eye(4), "may only rotate and translate"),
        ("flat.to_world", np.diag([1, 1, 0, 1]), "must be affine and invertible"),
        ("flat.to_world", np.diag([1, 1, 1, 2]), "must be affine and invertible"),
        ("flat.near_clip", 2e4, "flat.near_clip: 20000 must be smaller than far_clip 10000"),
        ("flat.x_fov", 30, "no such parameter"),
    ],
)
def test_wrong_camera_parameters(scene, name, value, message):
    with pytest.raises(prb.ParameterError, match=message):
        prb.traverse(scene).update({name: value})


def test_the_size_of_an_orthographic_picture_can_be_changed(scene):
    params = prb.traverse(scene)
    matrix = params["flat.to_world"]
    matrix[:3, :2] *= 0.01
    params.update({"flat.to_world": matrix})
    image = prb.render(scene, sensor="flat", spp=4, max_depth=2)
    assert 0 < np.ptp(image, axis=(0, 1)).max() < 0.1 * image.max()  # a small part of the sphere


# Reading


def sensor_of(**keys):
    d = {"type": "scene", "camera": {"type": "perspective", **keys}, "light": {"type": "constant"}}
    return load_model_dict(d)


def test_defaults():
    lens = sensor_of(type="thinlens", aperture_radius=0.2, far_clip=50.0, shutter_close=1.0).sensors[0]
    assert (lens.kind, lens.aperture_radius, lens.focus_distance) == ("thinlens", 0.2, 50.0)
    flat = sensor_of(type="orthographic", focus_distance=2, to_world=[{"scale": [2, 3, 4]}]).sensors[0]
    assert (flat.kind, flat.near_clip, flat.sample_count) == ("orthographic", 1e-2, 4)
    assert sensor_of(principal_point_offset_x=0.3).sensors[0].principal_point_offset_x == 0.3


def test_sensors_that_refer_to_one_film_have_one_each():
    sensor = {"type": "perspective", "fov": 40, "film": {"type": "ref", "id": "shared"}}
    own = {**sensor, "film": {"type": "hdrfilm", "id": "shared", "width": 10, "height": 10}}
    scene = prb.load_dict({"type": "scene", "a": own, "b": sensor, "light": {"type": "constant"}})
    scene.resize(4, 6)
    assert scene.image_shape == (6, 4, 3) and scene.view("b").image_shape == (10, 10, 3)


SAMPLERS = {  # Mitsuba's name: keys, prb's name
    "independent": ({}, "independent"),
    "stratified": ({"jitter": True}, "stratified"),
    "multijitter": ({"jitter": True}, "multijitter"),
    "orthogonal": ({"jitter": True, "strength": 2}, "orthogonal"),
    "ldsampler": ({}, "sobol"),
}


@pytest.mark.parametrize("kind", SAMPLERS)
def test_samplers(kind):
    own, name = SAMPLERS[kind]
    keys = {"type": kind, "sample_count": 9, "seed": 0, **own}
    model = sensor_of(sampler=keys)
    assert (model.sensors[0].sample_count, model.sensors[0].sampler) == (9, name)
    assert not [w for w in model.warnings if "sampler" in w]
    with pytest.raises(SceneError, match="camera.sampler.strenght: unknown key"):
        sensor_of(sampler={**keys, "strenght": 1})


def test_what_a_sampler_cannot_do_is_said():
    keys = {"type": "orthogonal", "jitter": False, "strength": 3, "seed": 4}
    said = " ".join(w for w in sensor_of(sampler=keys).warnings if "sampler" in w)
    assert "sampler.jitter: false has no effect" in said
    assert "sampler.strength: has no effect" in said and "sampler.seed: has no effect" in said


ABSENT = "exists in Mitsuba but not in prb: "
WRONG = [
    ({"type": "thinlens"}, "camera.aperture_radius: missing; expected a number"),
    ({"type": "thinlens", "aperture_radius": -1.0}, "camera.aperture_radius: -1 is out of range"),
    ({"type": "thinlens", "aperture_radius": 1, "focus_distance": 0}, "camera.focus_distance: 0 is out of"),
    ({"type": "thinlens", "aperture_radius": 1, "to_world": [{"scale": 2}]}, "camera.to_world: a camera's"),
    ({"type": "thinlens", "aperture_radius": 1, "principal_point_offset_x": 0.1}, "camera.principal_point"),
    ({"aperture_radius": 1.0}, "camera.aperture_radius: unknown key"),
    ({"type": "orthographic", "fov": 40}, "camera.fov: an orthographic camera has none"),
    ({"type": "orthographic", "focal_length": "50mm"}, "camera.focal_length: an orthographic"),
    ({"type": "orthographic", "to_world": [{"scale": [1, 1, 0]}]}, "camera.to_world: the transform is"),
    ({"type": "orthographic", "near_clip": 0.0}, "camera.near_clip: 0 is out of range"),
    ({"type": "orthographic", "near_clip": 5.0, "far_clip": 4.0}, "camera.near_clip: near_clip 5 must be"),
    ({"type": "thinlens", "aperture_radius": 1, "near_clip": -1}, "camera.near_clip: -1 is out of range"),
    ({"film": {"type": "hdrfilm", "width": 8, "height": 6, "rfilter": {"type": "tent", "radius": 9.0}}},
     "camera.film.rfilter: the filter's radius of 9 pixels exceeds the film, 8 x 6 pixels; reduce it"),
    ({"film": {"type": "hdrfilm", "rfilter": {"type": "lanczos", "lobes": 0}}},
     "camera.film.rfilter.lobes: 0 is"),
    ({"film": {"type": "specfilm"}}, f"camera.film.type: the plugin 'specfilm' {ABSENT}"),
    ({"a": {"type": "homogeneous"}, "b": {"type": "homogeneous"}}, "camera.b: a sensor holds one medium"),
]  # fmt: skip


@pytest.mark.parametrize("keys, message", WRONG, ids=[w[1] for w in WRONG])
def test_mistakes(keys, message):
    with pytest.raises(SceneError) as caught:
        sensor_of(**keys)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


# Pictures against Mitsuba's


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


PICTURES = {
    "crop, gaussian": {**SENSORS["front"], "film": film(24, 20, "gaussian", crop_offset_x=9, crop_width=8,
                                                        crop_offset_y=5, crop_height=6)},
    "whole, gaussian": {**SENSORS["front"], "film": film(8, 6, "gaussian")},
    "crop, tent, lens": {**SENSORS["lens"], "film": film(16, 12, "tent", crop_offset_x=5, crop_width=8,
                                                         crop_height=7)},
    "crop, orthographic": SENSORS["flat"],
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_mitsubas(mi, name):
    """A light that shines on itself: every pixel, those of the crop's edge too, within the noise."""
    spp = 8192
    glow = {"type": "area", "radiance": {"type": "rgb", "value": 1.0}}
    d = {"type": "scene", "integrator": {"type": "path", "max_depth": 1}, "camera": PICTURES[name],
         "ball": {"type": "sphere", "center": [0.2, 0.1, 0], "radius": 0.8, "emitter": glow}}  # fmt: skip
    scene = prb.load_dict(d)
    mine = prb.render(scene, spp=spp).astype(float)
    d["camera"] = {**d["camera"], "to_world": mi.ScalarTransform4f(scene.sensor.to_world)}
    theirs = np.array(mi.render(mi.load_dict(d), spp=spp)).astype(float)
    assert 0.1 < mine.mean() < 0.9
    difference = (mine - theirs)[..., 0]
    noise = 0.5 * np.sqrt(2 / spp)  # of a pixel at the sphere's edge
    assert np.abs(difference).max() < 4.5 * noise
    assert np.abs(difference).mean() < 0.8 * noise
    assert abs(difference.mean()) < 4.5 * noise / np.sqrt(difference.size)
