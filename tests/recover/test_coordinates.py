"""Coordinates in the loop: what the optimiser has, what the scene gets, and what a run notes of it."""

from dataclasses import dataclass

import numpy as np
import pytest
from test_optimize import RADIANCE, WALL, pictures, scene_dict

import prb
from prb import coordinates, schedules
from prb.errors import ParameterError
from prb.recover.coordinates import Coordinates, coordinates_of
from prb.recover.extents import centre_and_radius
from prb.recover.large_steps import SmoothPositions
from prb.recover.poses import Pose

MIX = np.array([[1.0, 0.4, 0.0], [0.0, 1.0, -0.3], [0.2, 0.0, 1.0]])


@dataclass(frozen=True)
class Mixed(Coordinates):
    """A colour as the mixture of three others."""

    factor: float = 1.0

    def chart(self, scene, name, value):
        return _Mixture(value, self.factor * MIX)


class _Mixture:
    remarks = ("is a mixture",)

    def __init__(self, first, matrix):
        self.first, self.matrix, self.start = first, matrix, np.zeros(3)

    def to_value(self, u):
        return self.first + self.matrix @ u

    def pull_back(self, u, gradient):
        return self.matrix.T @ gradient


def wall(value=(0.3, 0.3, 0.3)):
    scene = prb.load_dict(scene_dict())
    prb.traverse(scene).update({WALL: value})
    return scene


@pytest.fixture(scope="module")
def targets():
    return pictures(prb.load_dict(scene_dict()))


def run(targets, scene=None, **options):
    options = dict(iterations=6, spp=2, coordinates={WALL: Mixed()}) | options
    with pytest.warns(UserWarning, match=f"{WALL}: is a mixture"):
        return prb.optimize(scene or wall(), WALL, targets, **options)


def test_steps_are_those_by_the_coordinates(targets):
    """With SGD: x moves by A A^T g where it would move by g."""
    ends = {}
    for name, given in (("values", None), ("mixed", {WALL: Mixed()})):
        opt, scene = prb.SGD(1e-3), wall()
        if given is None:
            ends[name] = prb.optimize(scene, WALL, targets, iterations=1, spp=2, optimizer=opt)
        else:
            ends[name] = run(targets, scene, iterations=1, optimizer=opt)
        np.testing.assert_allclose(prb.traverse(scene)[WALL], ends[name].params[WALL], rtol=1e-6)
    steps = {name: end.params[WALL] - end.initial[WALL] for name, end in ends.items()}
    np.testing.assert_allclose(steps["mixed"], MIX @ MIX.T @ steps["values"], rtol=1e-5)
    assert ends["mixed"].losses == ends["values"].losses


def test_a_colour_is_found(targets):
    found = run(targets, iterations=80, spp=8)
    np.testing.assert_allclose(found.params[WALL], [0.6, 0.3, 0.1], atol=0.03)
    np.testing.assert_allclose(found.traces[f"{WALL}.0"][0], 0.3, rtol=1e-6)  # values, not coordinates
    assert found.traces[f"{WALL}.0"][-1] == pytest.approx(0.6, abs=0.05)
    assert np.isnan(found.stderr[WALL]).all()  # its gradients are not by these numbers


def test_resumed_run_is_the_one_never_interrupted(targets, tmp_path):
    rate = schedules.Cosine(0.05, 7)
    options = dict(checkpoint=tmp_path / "run.npz", every=2)
    whole = run(targets, iterations=7, optimizer=prb.Adam(rate))
    run(targets, iterations=4, optimizer=prb.Adam(rate), **options)
    resumed = run(targets, iterations=7, optimizer=prb.Adam(rate), resume=True, **options)
    assert whole.losses == resumed.losses
    np.testing.assert_array_equal(whole.params[WALL], resumed.params[WALL])
    for name, trace in whole.traces.items():
        np.testing.assert_array_equal(trace, resumed.traces[name])
    with pytest.raises(ParameterError, match="is of another run .coordinates .*factor=1.0.*, now"):
        run(targets, iterations=9, optimizer=prb.Adam(rate), resume=True,
            coordinates={WALL: Mixed(2.0)}, **options)  # fmt: skip


def test_others_are_optimised_by_their_values(targets):
    scene = wall()
    prb.traverse(scene).update({RADIANCE: [3, 3, 3]})
    with pytest.warns(UserWarning, match="is a mixture"):
        found = prb.optimize(
            scene, [WALL, RADIANCE], targets, iterations=3, spp=2, bounds={RADIANCE: (0, 3.05)},
            coordinates={"wall.*": Mixed()},
        )  # fmt: skip
    assert found.at_limit[RADIANCE][1] and WALL not in found.at_limit and found.ranges[RADIANCE] == (0, 3.05)


@pytest.mark.parametrize("options, message", [
    ({"bounds": {WALL: (0, 1)}}, f"bounds: {WALL} is optimised in coordinates, which have no range; leave"),
    ({"optimizer": prb.SGD(1, {WALL: [0, 0, 0]})}, f"optimizer: {WALL} is optimised in coordinates, which"),
    ({"coordinates": {"*.alpha": Mixed()}}, "coordinates: *.alpha is not optimised; those are wall"),
    ({"coordinates": {WALL: "rigid"}}, f"coordinates: {WALL}: 'rigid' is no coordinates; take one of prb.c"),
    ({"coordinates": [Mixed()]}, "coordinates: expected patterns with coordinates, got list"),
    ({"coordinates": {WALL: coordinates.Rigid()}}, f"coordinates: {WALL} with shape (3,) is no transform"),
    ({"coordinates": {WALL: coordinates.LargeSteps()}}, f"coordinates: {WALL} is no positions of a mesh's"),
], ids=str)  # fmt: skip
def test_mistakes(targets, options, message):
    options = {"coordinates": {WALL: Mixed()}} | options
    with pytest.raises(ParameterError) as caught:
        prb.optimize(wall(), WALL, targets, iterations=1, spp=2, **options)
    assert str(caught.value).startswith(message)


@pytest.fixture
def shapes(tmp_path):
    (tmp_path / "two.obj").write_text("v 0 0 0\nv 2 0 0\nv 2 4 0\nv 0 4 0\nf 1 2 3\nf 1 3 4\n")
    mesh = {"type": "obj", "filename": str(tmp_path / "two.obj"), "to_world": [{"translate": [0, 0, 7]}]}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path"}, "sheet": mesh,
        "sensor": {"type": "perspective", "to_world": [{"translate": [1, 2, -24]}]},
        "ball": {"type": "sphere", "center": [1, 2, 3], "radius": 2},
        "can": {"type": "cylinder", "p0": [0, 0, 1], "p1": [0, 0, 5]},
        "lamp": {"type": "spot", "to_world": [{"translate": [0, 0, 9]}]},
    })  # fmt: skip


def test_where_shapes_are(shapes):
    for owner, centre, radius in (
        ("sheet", [1, 2, 7], np.sqrt(5)), ("ball", [1, 2, 3], 2 * np.sqrt(3)), ("can", [0, 0, 3], np.sqrt(6))
    ):  # fmt: skip
        found = centre_and_radius(shapes, owner, np.eye(4))
        np.testing.assert_allclose(found[0], centre, atol=1e-6)
        assert found[1] == pytest.approx(radius)
    place = prb.traverse(shapes)["sensor.to_world"]  # it looks along z; the shapes' middles: z = 7, 3, 3
    centre, radius = centre_and_radius(shapes, "sensor", place)
    np.testing.assert_allclose(centre, [1, 2, 3], atol=1e-5)
    assert radius == pytest.approx(27)
    place = prb.traverse(shapes)["lamp.to_world"]
    centre, radius = centre_and_radius(shapes, "lamp", place)
    assert centre.tolist() == [0, 0, 9] and radius == pytest.approx(np.sqrt(41))


def test_what_is_moved_by_default(shapes):
    """Positions and transforms as they will be called; the sensor's has a value already."""
    found = coordinates_of(shapes, ["sensor.to_world", "lamp.to_world", "sheet.bsdf.reflectance.value"], None)
    assert found == {"sensor.to_world": coordinates.Rigid()}
    assert coordinates_of(shapes, ["sensor.to_world"], {"*.to_world": None}) == {}
    given = {"*.to_world": coordinates.Translation()}
    assert coordinates_of(shapes, ["sensor.to_world", "lamp.to_world"], given) == dict.fromkeys(
        ["sensor.to_world", "lamp.to_world"], coordinates.Translation()
    )
    assert coordinates_of(shapes, ["sheet.vertex_positions"], None) == {
        "sheet.vertex_positions": coordinates.LargeSteps()
    }


def test_charts_of_shapes(shapes):
    positions = shapes.model.shapes[0].vertices
    smooth = coordinates.LargeSteps(3.0).chart(shapes, "sheet.vertex_positions", positions)
    assert isinstance(smooth, SmoothPositions) and smooth.to_value(smooth.start).shape == (4, 3)
    ball = coordinates.Affine().chart(shapes, "ball.to_world", shapes.model.shapes[1].to_world)
    assert isinstance(ball, Pose) and ball.kind == "affine" and ball.centre.tolist() == [1, 2, 3]
    with pytest.raises(ParameterError, match="sensor.to_world belongs to no shape.*; take rigid or trans"):
        coordinates.Similarity().chart(shapes, "sensor.to_world", np.eye(4))


def test_a_sensor_stays_rigid(shapes):
    """What a scene takes: after many steps, too."""
    params, rng = prb.traverse(shapes), np.random.default_rng(0)
    chart = coordinates.Rigid().chart(shapes, "sensor.to_world", params["sensor.to_world"])
    opt = prb.Adam(0.1, {"x": chart.start})
    for _ in range(200):
        opt.step({"x": chart.pull_back(opt["x"], rng.normal(size=(4, 4)))})
        params.update({"sensor.to_world": chart.to_value(opt["x"])})
    linear = params["sensor.to_world"][:3, :3]
    np.testing.assert_allclose(linear @ linear.T, np.eye(3), atol=1e-14)


def test_adam_is_uniform_for_some():
    gradient, opt = np.array([4.0, 1.0]), prb.Adam(0.1, {"a": [0, 0], "b": [0, 0]}, uniform=["a"])
    opt.step({"a": gradient, "b": gradient})
    np.testing.assert_allclose(opt["a"], [-0.1, -0.025], rtol=1e-6)
    np.testing.assert_allclose(opt["b"], [-0.1, -0.1], rtol=1e-6)
    assert "uniform=('a',)" in repr(opt) and "uniform=False" in repr(prb.Adam(1, uniform=[]))
