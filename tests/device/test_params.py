"""Parameters by name: the table, patterns, assignment, and what is refused."""

import numpy as np
import pytest

import prb
from prb.device.params import select

RED = "red.reflectance.value"
SHAPES = "light", "floor", "ceiling", "back", "green-wall", "red-wall", "small-box", "large-box"


@pytest.fixture
def scene():
    return prb.load_file("cornell-box")


@pytest.fixture
def params(scene):
    return prb.traverse(scene)


def test_names_values_and_table(params):
    assert list(params) == [
        "white.reflectance.value", "light.emitter.radiance.value", "green.reflectance.value", RED,
        *(f"{shape}.to_world" for shape in SHAPES),
        "sensor.to_world", "sensor.x_fov", "sensor.near_clip", "sensor.far_clip",
        "sensor.principal_point_offset_x", "sensor.principal_point_offset_y",
    ]  # fmt: skip
    assert len(params) == 18
    np.testing.assert_allclose(params[RED], [0.570068, 0.0430135, 0.0443706])
    assert params[RED].dtype == np.float32 and params["sensor.to_world"].shape == (4, 4)
    assert params.differentiable(RED) and params.differentiable("sensor.x_fov")
    assert not params.differentiable("sensor.near_clip")
    (row,) = (line for line in repr(params).splitlines() if line.startswith(RED))
    assert row.split() == [RED, "3", "0.570068", "0.0430135", "0.0443706", "detached,", "attached"]
    (row,) = (line for line in repr(params).splitlines() if line.startswith("sensor.x_fov"))
    assert row.split()[-1] == "detached"
    (row,) = (line for line in repr(params).splitlines() if line.startswith("sensor.near_clip"))
    assert row.endswith("  no: it only decides how near and far the camera sees")


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (None, ["white", "light", "green", "red"]),
        (RED, ["red"]),
        ("albedo", ["white", "green", "red"]),
        (["*.radiance.*"], ["light"]),
        (["red*", "[gw]*", "red*"], ["white", "green", "red"]),
        (["*", "*box.to_world"], ["white", "light", "green", "red", "small-box", "large-box"]),
        ("sensor.*to_world", ["sensor"]),
    ],
)
def test_patterns(scene, patterns, expected):
    assert [name.split(".")[0] for name in select(scene, patterns)] == expected


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("blue", "'blue': matches no parameter; differentiable are white.reflectance.value, light"),
        ("red.reflectence.value", "did you mean 'red.reflectance.value'?"),
        ("RED*", "matches no parameter"),
        ("", "'': matches no parameter"),
        (["red*", "blue"], "'blue': matches"),
        ("sensor.far_clip", "'sensor.far_clip': is not differentiable by path replay: it only decides how "),
        ("sensor.*", "'sensor.*': selects sensor.to_world only if it ends like that; "),
        ([3], "expected names or patterns, got 3"),
    ],
)
def test_patterns_that_match_nothing(scene, patterns, message):
    with pytest.raises(prb.ParameterError) as caught:
        select(scene, patterns)
    assert message in str(caught.value)


def test_a_long_list_is_cut():
    shapes = {f"s{i}": {"type": "sphere", "bsdf": {"type": "diffuse"}} for i in range(40)}
    scene = prb.load_dict({"type": "scene", "integrator": {"type": "path"}, "light": {"type": "constant"},
                           "sensor": {"type": "perspective"}, **shapes})  # fmt: skip
    with pytest.raises(prb.ParameterError, match="s0.bsdf.*s23.bsdf.reflectance.value and 61 more$"):
        select(scene, "none")


def test_values_are_copies_and_wait_for_update(scene, params):
    params[RED][:] = 0
    assert params[RED][0] > 0.5
    params[RED] = [0.1, 0.2, 0.3]
    np.testing.assert_allclose(params[RED], [0.1, 0.2, 0.3])
    assert prb.traverse(scene)[RED][0] > 0.5
    params.update()
    np.testing.assert_allclose(prb.traverse(scene)[RED], [0.1, 0.2, 0.3])


def test_update_changes_the_picture_linearly(scene):
    """Radiance is linear in the light's; doubling it is exact in floating point."""
    scene.resize(8, 8)
    before = prb.render(scene, spp=1)
    params = prb.traverse(scene)
    params.update({"light.emitter.radiance.value": 2 * params["light.emitter.radiance.value"]})
    after = prb.render(scene, spp=1)
    assert before.max() > 0
    np.testing.assert_allclose(after, 2 * before, rtol=1e-5)


def test_camera_can_be_moved(scene):
    scene.resize(8, 8)
    params = prb.traverse(scene)
    before = prb.render(scene, spp=1)
    matrix = params["sensor.to_world"]
    matrix[:3, 3] += [0, 0, 5]
    params.update({"sensor.to_world": matrix, "sensor.x_fov": 60})
    after = prb.render(scene, spp=1)
    assert (after[0] == 0).all() and (before[0] != 0).any()  # the box no longer fills the picture
    scene.resize(16, 8)
    assert prb.traverse(scene)["sensor.x_fov"] == pytest.approx(60)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (RED, [1, 2], r"red.reflectance.value: expected shape \(3,\), got \(2,\)"),
        (RED, 0.5, r"expected shape \(3,\), got \(\)"),
        (RED, "blue", "expected numbers, got 'blue'"),
        (RED, [0.1, float("nan"), 0.1], "not finite"),
        (RED, [1e300, 0, 0], "not finite"),
        (RED, [0.1, 1.5, 0.1], r"1.5 is outside \[0, 1\]; clip it"),
        (RED, [-0.1, 0.1, 0.1], r"-0.1 is outside \[0, 1\]; clip it"),
        ("light.emitter.radiance.value", [-1, 0, 0], r"-1 is outside \[0, inf\]"),
        ("sensor.x_fov", 180, "180 is outside"),
        ("sensor.near_clip", 0, "0 is outside"),
        ("sensor.near_clip", 1000, "near_clip: 1000 must be smaller than far_clip 100"),
        ("sensor.to_world", np.zeros((4, 4)), "may only rotate and translate"),
        ("sensor.to_world", 2 * np.eye(4), "may only rotate and translate"),
        ("red.reflectance", [0, 0, 0], "no such parameter; did you mean 'red.reflectance.value'"),
        ("zzz", 0, "'zzz': no such parameter"),
    ],
)
def test_wrong_values_change_nothing(params, name, value, message):
    before = repr(params)
    with pytest.raises(prb.ParameterError, match=message):
        params.update({"green.reflectance.value": [0, 0, 0], name: value})
    params.update()
    assert repr(params) == before


def test_reading_and_removing(params):
    with pytest.raises(KeyError, match="zzz"):
        params["zzz"]
    assert params.get("zzz") is None and "zzz" not in params
    with pytest.raises(prb.ParameterError, match="cannot be removed"):
        del params[RED]
