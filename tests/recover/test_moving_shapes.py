"""Shapes in the loop: with losses of their values in place of pictures, so that nothing is traced.

What a picture says of a shape is tested with the derivatives; here are the steps, the scene that they lead
to, checkpoints, and meshes that get other triangles on the way.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.triangle_meshes import octasphere

import prb
from prb import coordinates
from prb.errors import ParameterError
from prb.recover import loop
from prb.recover.evaluation import Evaluation
from prb.recover.large_steps import edges_of
from prb.recover.pictures import rendered_at
from prb.recover.poses import rotation
from prb.scene.meshes.mesh import RawMesh
from prb.scene.meshes.writing import write_ply

BALL, VASE, POSITIONS, CAMERA = "ball.to_world", "vase.to_world", "vase.vertex_positions", "sensor.to_world"
PICTURE = [np.zeros((3, 4, 3))]


@pytest.fixture
def load(tmp_path):
    """A function that loads a scene with a mesh and a sphere; its arguments are further keys of the mesh."""
    positions, faces = octasphere(2)
    write_ply(tmp_path / "vase.ply", RawMesh(positions, faces, None, None))
    film = {"type": "hdrfilm", "width": 4, "height": 3, "rfilter": {"type": "box"}}

    def loaded(**keys):
        return prb.load_dict({
            "type": "scene", "integrator": {"type": "path"}, "light": {"type": "constant"},
            "sensor": {"type": "perspective", "to_world": [{"translate": [0, 0, -9]}], "film": film},
            "vase": {"type": "ply", "filename": str(tmp_path / "vase.ply"),
                     "to_world": [{"scale": 0.5}, {"translate": [1, 0, 0]}], **keys},
            "ball": {"type": "sphere", "center": [3, 0, 0], "radius": 0.5},
        })  # fmt: skip

    return loaded


@pytest.fixture
def loss(monkeypatch):
    """A dict name -> function from values to (loss, gradient), which takes the place of pictures' losses;
    what a render would add is noise by the seed."""
    given = {}

    def evaluated(view, names, _loss, seeds, **_options):
        params, value, grads = prb.traverse(view), 0.0, {}
        rng = np.random.default_rng(seeds[0])
        for name in names:
            part, gradient = given[name](params[name].astype(float))
            value += part
            grads[name] = gradient + 1e-3 * rng.normal(size=gradient.shape)
        return Evaluation(value, grads, np.nan)

    monkeypatch.setattr(loop, "evaluated", evaluated)
    return given


def towards(target):
    return lambda x: (0.5 * ((x - target) ** 2).sum(), x - target)


def moved(matrix, turn=(0.3, -0.5, 0.2), shift=(0.2, 0.1, -0.4), scale=1.0):
    motion = np.eye(4)
    motion[:3, :3] = scale * rotation(turn)
    motion[:3, 3] = matrix[:3, 3] + shift - motion[:3, :3] @ matrix[:3, 3]
    return motion @ matrix


@pytest.mark.parametrize("name, given, scale", [
    (BALL, {}, 1.0), (VASE, {}, 1.0), (CAMERA, {}, 1.0), (VASE, {VASE: coordinates.Similarity()}, 1.4),
    (BALL, {BALL: coordinates.Similarity()}, 0.6),
], ids=str)  # fmt: skip
def test_a_motion_is_found(load, loss, name, given, scale):
    scene = load()
    target = moved(prb.traverse(scene)[name], scale=scale)
    loss[name] = towards(target)
    steps = 600 if name == CAMERA else 150  # it turns about what it looks at, far from its own place
    adam = prb.Adam(prb.schedules.Cosine(0.1, steps))
    found = prb.optimize(scene, name, PICTURE, iterations=steps, optimizer=adam, coordinates=given)
    np.testing.assert_allclose(found.params[name], target, atol=0.01)
    np.testing.assert_array_equal(prb.traverse(scene)[name], found.params[name])
    linear = found.params[name][:3, :3] @ np.linalg.inv(found.initial[name][:3, :3])
    size = np.cbrt(np.linalg.det(linear))
    np.testing.assert_allclose(linear @ linear.T, size**2 * np.eye(3), atol=1e-14)


@pytest.mark.parametrize("names", [[VASE], [POSITIONS], [BALL, POSITIONS, CAMERA]], ids=str)
def test_resumed_run_is_the_one_never_interrupted(load, loss, tmp_path, names):
    """Bit for bit, also of positions that go along with a transform."""
    start = prb.traverse(load())
    loss |= {name: towards(moved(start[name])) for name in names if name != POSITIONS}
    loss[POSITIONS] = towards(1.5 * start[POSITIONS])
    scenes = [load() for _ in range(3)]
    options = dict(seed=4, optimizer=None)
    whole = prb.optimize(scenes[0], names, PICTURE, iterations=9, **options)
    options |= dict(checkpoint=tmp_path / "run.npz", every=2)
    prb.optimize(scenes[1], names, PICTURE, iterations=5, **options)
    again = prb.optimize(scenes[2], names, PICTURE, iterations=9, resume=True, **options)
    assert again.losses == whole.losses and whole.losses[-1] < whole.losses[0]
    first, last = (prb.traverse(scene) for scene in (scenes[0], scenes[2]))
    for name in first:
        assert first[name].tobytes() == last[name].tobytes(), name


def test_positions_go_along_without_drift(load, loss):
    """There and back again, in many steps."""
    scene, loss[VASE] = load(), lambda x: (0.0, np.zeros((4, 4)))
    params, first = prb.traverse(scene), prb.traverse(load())
    rng = np.random.default_rng(0)
    loss[VASE] = lambda x: (0.0, rng.normal(size=(4, 4)))
    found = prb.optimize(scene, VASE, PICTURE, iterations=60)
    motion = found.params[VASE] @ np.linalg.inv(found.initial[VASE])
    expected = first[POSITIONS].astype(float) @ motion[:3, :3].T + motion[:3, 3]
    np.testing.assert_array_equal(prb.traverse(scene)[POSITIONS], expected.astype(np.float32))
    lengths = np.linalg.norm(params["vase.vertex_normals"], axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-6)


def egg(x):
    """The squared distance from an egg around (1, 0, 0), of each place's share of the surface."""
    axes = np.array([0.8, 0.5, 0.5])
    away = (x - [1, 0, 0]) / axes
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return 0.5 * ((length - 1) ** 2).mean(), (length - 1) * away / length / axes / len(x)


@pytest.mark.parametrize("normals", [True, False])
def test_a_mesh_that_is_remeshed_goes_on(load, loss, normals):
    scene, loss[POSITIONS] = load(face_normals=not normals), egg
    before = {name: value for name, value in prb.traverse(scene).items() if "vase.vertex" not in name}
    found = prb.optimize(scene, POSITIONS, PICTURE, iterations=60, remesh={"vase.*": [20, (40, 0.1)]})
    shape, after = scene.model.shapes[0], prb.traverse(scene)
    assert len(found.losses) == 60 and found.losses[-1] < 0.1 * found.losses[0]
    assert found.initial[POSITIONS].shape == (66, 3)
    assert found.params[POSITIONS].shape == after[POSITIONS].shape == shape.vertices.shape != (66, 3)
    edges, counts = edges_of(shape.faces)
    assert (counts == 2).all()
    lengths = np.linalg.norm(np.diff(after[POSITIONS][edges], axis=1), axis=2)
    assert lengths.mean() == pytest.approx(0.1, rel=0.2)
    assert ("vase.vertex_normals" in after) == normals
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    assert found.defects[POSITIONS] == (len(shape.faces), 0, 0)
    assert len(found.traces[f"{POSITIONS}:rms"]) == 60


@pytest.mark.parametrize("stop", [2, 4, 5, 7])
def test_a_remeshed_run_resumes(load, loss, tmp_path, stop):
    """Before and after the exchanges, and just as one is due."""
    options = dict(remesh={POSITIONS: [4, (6, 0.15)]}, seed=2)
    loss[POSITIONS] = egg
    whole = prb.optimize(load(), POSITIONS, PICTURE, iterations=9, **options)
    options |= dict(checkpoint=tmp_path / "run.npz", every=1)

    def interrupt(k):
        if k == stop:
            raise KeyboardInterrupt

    prb.optimize(load(), POSITIONS, PICTURE, iterations=9, on_iteration=interrupt, **options)
    scene = load()
    again = prb.optimize(scene, POSITIONS, PICTURE, iterations=9, resume=True, **options)
    assert again.losses == whole.losses
    assert again.params[POSITIONS].tobytes() == whole.params[POSITIONS].tobytes()
    assert prb.traverse(scene)[POSITIONS].shape == whole.params[POSITIONS].shape
    with pytest.raises(ParameterError, match="is of another run .remesh"):
        prb.optimize(load(), POSITIONS, PICTURE, resume=True, **{**options, "remesh": {POSITIONS: [4]}})


def test_views_see_the_other_mesh(load):
    scene = load()
    view, shape = scene.view(0), scene.model.shapes[0]
    scene.resize(8, 6)
    prb.traverse(scene).update({BALL: moved(prb.traverse(scene)[BALL])})
    place = prb.traverse(scene)[BALL]
    positions, faces = octasphere(1)
    new = replace(shape, vertices=positions.astype(np.float32), faces=faces.astype(np.int32), normals=None)
    scene.exchange({"vase": replace(new, smooth=False)})
    assert prb.traverse(view)[POSITIONS].shape == (18, 3) and view.image_shape == (6, 8, 3)
    np.testing.assert_array_equal(prb.traverse(view)[BALL], place)
    assert view.values is scene.values and view.layout is scene.layout


@pytest.mark.parametrize("remesh, message", [
    ({"ball.*": [3]}, "remesh: ball.* is not optimised; those are vase.vertex_positions"),
    ({POSITIONS: 3}, f"remesh: {POSITIONS}: 3 is no list of iterations; give"),
    ({POSITIONS: [-1]}, f"remesh: {POSITIONS}: [-1] is no list of iterations; give"),
    ({POSITIONS: [2, 2]}, f"remesh: {POSITIONS}: [2, 2] is no list of iterations; give"),
    ([3], "remesh: expected patterns with iterations, got list"),
], ids=str)  # fmt: skip
def test_mistakes_of_remeshing(load, loss, remesh, message):
    with pytest.raises(ParameterError) as caught:
        prb.optimize(load(), POSITIONS, PICTURE, iterations=1, remesh=remesh)
    assert str(caught.value).startswith(message)


def test_one_thing_says_where_a_shape_is(load, loss):
    with pytest.raises(ParameterError, match="vase.to_world and vertex_positions both say where vase is"):
        prb.optimize(load(), [VASE, POSITIONS], PICTURE, iterations=1)


def test_the_first_mesh_can_be_seen_again(load, loss):
    """For the comparison: at the initial values, while the scene keeps the mesh that it has by now."""
    scene, loss[POSITIONS] = load(), egg
    first = prb.render(scene, spp=4)
    found = prb.optimize(scene, POSITIONS, PICTURE, iterations=3, remesh={POSITIONS: [1]})
    again = rendered_at(scene.view(0), found.initial, found.initial_shapes, spp=4)
    np.testing.assert_array_equal(again, first)
    now = found.params[POSITIONS].astype(np.float32)
    np.testing.assert_array_equal(prb.traverse(scene)[POSITIONS], now)
