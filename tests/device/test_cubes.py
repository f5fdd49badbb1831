"""Cubes whose corners move: meshes in their place, which show the same picture."""

import numpy as np
import pytest

import prb
from prb.errors import ParameterError

POSITIONS = "box.vertex_positions"
TURN = [
    {"rotate": {"axis": [1, 2, 3], "angle": 40}},
    {"scale": [0.7, 0.5, 0.6]},
    {"translate": [0.1, 0.2, 0]},
]


def scene_of(**keys):
    film = {"type": "hdrfilm", "width": 16, "height": 12, "rfilter": {"type": "box"}}
    checks = {
        "type": "checkerboard",
        "color0": 0.2,
        "color1": {"type": "rgb", "value": [0.9, 0.5, 0.1]},
        "to_uv": [{"scale": [4, 2, 1]}],
    }
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 3},
        "light": {"type": "constant", "radiance": {"type": "rgb", "value": [0.5, 1, 2]}},
        "sensor": {"type": "perspective", "to_world": [{"translate": [0, 0, -4]}], "film": film},
        "box": {"type": "cube", "to_world": TURN, "bsdf": {"type": "diffuse", "reflectance": checks}, **keys},
    })  # fmt: skip


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mirror", [1, -1])
def test_the_mesh_of_a_cube_shows_the_same_picture(flip, mirror):
    keys = {"flip_normals": flip, "to_world": [*TURN, {"scale": [mirror, 1, 1]}]}
    cube = scene_of(**keys)
    expected = prb.render(cube, spp=64)
    positions = prb.traverse(cube)[POSITIONS]
    assert positions.shape == (24, 3) and cube.model.shapes[0].kind == "mesh"
    found = prb.render(cube, spp=64)
    assert abs(found - expected).max() < 1e-4
    normals = prb.traverse(cube)
    assert "box.to_world" in normals and POSITIONS in normals


def test_positions_come_from_where_the_cube_is_now():
    scene = scene_of()
    params = prb.traverse(scene)
    moved = np.array(params["box.to_world"])
    moved[0, 3] += 0.5
    params["box.to_world"] = moved
    params.update()
    assert params[POSITIONS][:, 0].mean() == pytest.approx(0.6, abs=1e-6)
    params[POSITIONS] = params[POSITIONS] + [0, 0, 1]  # the mapping from before goes on
    params.update()
    assert params[POSITIONS][:, 2].mean() == pytest.approx(1, abs=1e-6)


def test_a_cube_stays_one_where_nobody_asks():
    scene = scene_of()
    assert POSITIONS not in prb.traverse(scene)
    prb.render_backward(scene, np.ones(scene.image_shape), params=["box.to_world"], spp=1)
    assert scene.model.shapes[0].kind == "cube"
    with pytest.raises(ParameterError, match="floor.vertex_positions"):
        prb.render_backward(scene, np.ones(scene.image_shape), params=["floor.vertex_positions"])


@pytest.mark.slow
def test_positions_of_a_cube_have_the_derivative_of_its_pose():
    """Moved all alike, the corners are the cube's translation."""
    scene = scene_of()
    weights = np.random.default_rng(0).random(scene.image_shape)
    options = dict(spp=512, seed=1)
    pose = prb.render_backward(scene, weights, params=["box.to_world"], **options)["box.to_world"]
    corners = prb.render_backward(scene, weights, params=[POSITIONS], **options)[POSITIONS]
    assert corners.shape == (24, 3)
    np.testing.assert_allclose(
        corners.sum(axis=0), pose[:3, 3], rtol=0.05, atol=0.05 * abs(pose[:3, 3]).max()
    )
