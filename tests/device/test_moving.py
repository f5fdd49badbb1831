"""Shapes that move: what follows a new transform or new positions, the hierarchy, and what is refused."""

import numpy as np
import pytest
from helpers.moving_scenes import PAINTED, plane, scene, sheet

import prb
from prb.device.primitives import ROUNDING
from prb.kernels.bvh import KIND_BITS
from prb.kernels.view import TRIANGLE, WIDTH
from prb.scene.meshes.mesh import smooth_normals

MESH, POSITIONS, NORMALS = "sheet.to_world", "sheet.vertex_positions", "sheet.vertex_normals"
TILT = {"rotate": {"axis": [1, 0.4, 0], "angle": 25}}
LAMP = {"type": "rectangle", "to_world": [{"translate": [0, 0, 9]}], "emitter": {"type": "area"}}
QUARTER = np.array([[0, -1, 0, 3], [1, 0, 0, 2], [0, 0, 1, 1], [0, 0, 0, 1.0]])
UNEVEN = np.array([[1.2, 0.3, 0, 0.5], [-0.2, 0.7, 0.1, 0.25], [0.1, 0, 1.5, -0.5], [0, 0, 0, 1]])
MOVED = [QUARTER, 1.5 * QUARTER @ np.diag([1, 1, 1, 2 / 3]), UNEVEN]


@pytest.fixture(params=["computed", "own"])
def folder(tmp_path, request):
    """One with a mesh file, whose normals are computed or its own."""
    sheet(tmp_path, normals=request.param == "own", n=17)
    return tmp_path


def loaded(folder, *steps, **shapes):
    own = {
        "type": "ply",
        "filename": "sheet.ply",
        "bsdf": PAINTED,
        "to_world": [*steps, {"translate": [0, 0, 0]}],
    }
    return scene(folder, sheet=own, **shapes)


def triangles(scene):
    """The triangles of the meshes in their order: (n, 12), vertex, edges and unit normal, and the vertices'
    normals (n, 9)."""
    arrays, geometry = scene.layout.arrays, scene.layout.moving._made()
    slots = geometry.slot_of[geometry.kinds == TRIANGLE]
    first = arrays["prim_info"][slots, 2]
    normals = [arrays["normals"][first + i] for i in range(3)]
    return arrays["prims"][slots], np.concatenate(normals, axis=1)


@pytest.mark.parametrize("matrix", MOVED)
def test_a_transform_takes_positions_and_normals_along(folder, matrix):
    moved, fresh = loaded(folder, TILT), loaded(folder, TILT, {"matrix": matrix.tolist()})
    params, expected = prb.traverse(moved), prb.traverse(fresh)
    params.update({MESH: matrix @ params[MESH]})
    for name in (MESH, POSITIONS):
        np.testing.assert_allclose(params[name], expected[name], atol=3e-6)
    assert params[MESH].dtype == np.float64
    (places, normals), (places_there, normals_there) = triangles(moved), triangles(fresh)
    np.testing.assert_allclose(places, places_there, atol=2e-5)
    if matrix is not UNEVEN or not moved.model.shapes[0].smooth:  # computed anew they are weighed otherwise
        np.testing.assert_allclose(params[NORMALS], expected[NORMALS], atol=3e-6)
        np.testing.assert_allclose(normals, normals_there, atol=3e-6)


def test_transforms_there_and_back(folder):
    """In two steps, and back again: as at first, up to rounding."""
    moved = loaded(folder, TILT)
    params, before = prb.traverse(moved), np.concatenate(triangles(moved), axis=1)
    start = params[MESH]
    picture = prb.render(moved, spp=4)
    for matrix in MOVED:
        params.update({MESH: matrix @ params[MESH]})
    assert np.abs(np.concatenate(triangles(moved), axis=1) - before).max() > 1
    params.update({MESH: start})
    np.testing.assert_allclose(np.concatenate(triangles(moved), axis=1), before, atol=1e-4)
    np.testing.assert_allclose(prb.render(moved, spp=4), picture, rtol=1e-3, atol=1e-4)


def test_positions_take_computed_normals_along(folder):
    moved = loaded(folder, TILT)
    params = prb.traverse(moved)
    positions, normals, to_world = params[POSITIONS], params[NORMALS], params[MESH]
    positions += np.random.default_rng(0).normal(scale=0.1, size=positions.shape).astype(np.float32)
    params.update({POSITIONS: positions})
    np.testing.assert_array_equal(params[POSITIONS], positions)
    np.testing.assert_array_equal(params[MESH], to_world)
    follows = moved.model.shapes[0].smooth
    if follows:
        normals, _undefined = smooth_normals(positions, moved.model.shapes[0].faces)
    np.testing.assert_allclose(params[NORMALS], normals, atol=1e-6)
    faces = moved.model.shapes[0].faces
    own = positions[faces]
    own = np.concatenate([own[:, 0], own[:, 1] - own[:, 0], own[:, 2] - own[:, 0]], axis=1)
    places, of_corners = triangles(moved)
    np.testing.assert_allclose(places[:, :9], own, atol=1e-6)
    np.testing.assert_allclose(of_corners, normals[faces].reshape(-1, 9), atol=1e-6)


def test_what_is_assigned_stays(folder):
    """Positions beside a transform, and normals beside positions."""
    moved = loaded(folder)
    params = prb.traverse(moved)
    positions, normals = params[POSITIONS] + np.float32(0.5), np.full_like(params[NORMALS], 0.6)
    params.update({MESH: UNEVEN, POSITIONS: positions})
    np.testing.assert_array_equal(params[POSITIONS], positions)
    np.testing.assert_array_equal(params[MESH], UNEVEN)
    params.update({POSITIONS: positions + 1, NORMALS: normals})
    np.testing.assert_array_equal(params[NORMALS], normals)
    params.update({"lamp.intensity.value": [1, 2, 3]})
    np.testing.assert_array_equal(params[POSITIONS], positions + 1)
    np.testing.assert_array_equal(params[NORMALS], normals)


def copies(folder):
    """A scene with two instances of a mesh at TILT, the second one at SHIFT."""
    own = {"type": "ply", "filename": "sheet.ply", "bsdf": PAINTED, "to_world": [TILT]}
    instance = {"type": "instance", "shapegroup": {"type": "ref", "id": "group"}}
    group = {"type": "shapegroup", "sheet": own}
    return scene(folder, group=group, first=instance, second={**instance, "to_world": [SHIFT]})


SHIFT = {"translate": [0, 0, -4]}


@pytest.mark.parametrize("matrix", MOVED[:2])
def test_instances_under_two_transforms(folder, matrix):
    """An instance at M of a mesh at T is where a mesh at M T is, whichever of them moves, and again."""
    step = {"matrix": matrix.tolist()}
    at = [
        triangles(loaded(folder, TILT, *steps))
        for steps in ([], [SHIFT], [step], [step, SHIFT], [step, step])
    ]
    start, shifted, moved, moved_shifted, twice = at

    def check(scene, *expected):
        for found, parts in zip(triangles(scene), zip(*expected, strict=True), strict=True):
            np.testing.assert_allclose(found, np.concatenate(parts), atol=3e-5)

    own = copies(folder)
    params = prb.traverse(own)
    sheet_to_world = next(n for n in params if n.endswith("sheet.to_world"))
    check(own, start, shifted)
    params.update({"first.to_world": matrix})
    check(own, moved, shifted)
    params.update({sheet_to_world: matrix @ params[sheet_to_world], "first.to_world": np.eye(4)})
    check(own, moved, moved_shifted)
    params.update({"first.to_world": matrix})
    check(own, twice, moved_shifted)
    positions = next(n for n in params if n.endswith("vertex_positions"))
    np.testing.assert_allclose(params[positions], moved_positions(loaded(folder, TILT, step)), atol=1e-5)


def moved_positions(scene):
    return prb.traverse(scene)[POSITIONS]


def test_normals_of_instances_follow_positions(tmp_path):
    sheet(tmp_path, n=17)
    own, alone = copies(tmp_path), loaded(tmp_path, TILT)
    params, start = prb.traverse(own), prb.traverse(alone)[POSITIONS]
    positions = start + np.random.default_rng(0).normal(scale=0.1, size=start.shape).astype(np.float32)
    prb.traverse(alone).update({POSITIONS: positions})
    params.update({next(n for n in params if n.endswith("vertex_positions")): positions})
    places, normals = triangles(alone)
    found_places, found_normals = triangles(own)
    np.testing.assert_allclose(found_normals, np.concatenate([normals, normals]), atol=1e-5)
    np.testing.assert_allclose(found_places[: len(places)], places, atol=1e-5)


# The hierarchy


def check_bounds(scene):
    """The box of each child in `nodes` is the union of those below it, and leaves have the boxes of their
    primitives, up to rounding."""
    arrays = scene.layout.arrays
    nodes, children, prims, info = (arrays[k] for k in ("nodes", "children", "prims", "prim_info"))
    nodes = nodes.reshape(len(children), 6, WIDTH)
    filled = np.zeros(len(prims), bool)
    filled[scene.layout.moving._made().slot_of] = True
    seen = 0

    def box(code):
        nonlocal seen
        if code >= 0:
            return below(code)
        slots = (~code >> KIND_BITS) * WIDTH + np.arange(WIDTH)
        slots = slots[filled[slots]]
        seen += len(slots)
        v0, e1, e2 = prims[slots, :3], prims[slots, 3:6], prims[slots, 6:9]
        assert np.isin(info[slots, 0], [TRIANGLE, TRIANGLE + 1]).all()
        fourth = np.where((info[slots, 0] == TRIANGLE)[:, None], v0, v0 + e1 + e2)
        points = np.concatenate([v0, v0 + e1, v0 + e2, fourth])
        return points.min(axis=0), points.max(axis=0)

    def below(node):
        boxes = []
        for k in range(WIDTH):
            if nodes[node, 0, k] > nodes[node, 1, k]:
                continue
            lower, upper = box(children[node, k])
            error = 4 * ROUNDING * max(np.abs(lower).max(), np.abs(upper).max())
            np.testing.assert_allclose(nodes[node, ::2, k], lower, atol=error)
            np.testing.assert_allclose(nodes[node, 1::2, k], upper, atol=error)
            boxes.append((lower, upper))
        lower, upper = zip(*boxes, strict=True)
        return np.min(lower, axis=0), np.max(upper, axis=0)

    below(0)
    assert seen == filled.sum() == len(scene.layout.moving._made().slot_of)


def test_bounds_follow_and_bad_trees_are_built_again(folder):
    moved = loaded(folder, floor=plane())
    prb.render(moved, spp=1)
    params, children = prb.traverse(moved), moved.layout.arrays["children"].copy()
    start = params[POSITIONS]
    check_bounds(moved)
    params.update({POSITIONS: start + np.float32([0.3, 0.1, 0.5])})
    check_bounds(moved)
    params.update({"floor.to_world": QUARTER @ params["floor.to_world"]})
    check_bounds(moved)
    np.testing.assert_array_equal(moved.layout.arrays["children"], children)  # the tree as it was

    scattered = np.random.default_rng(0).permutation(start)  # neighbours are neighbours no longer
    params.update({POSITIONS: scattered})
    check_bounds(moved)
    rebuilt = moved.layout.arrays["children"]
    assert rebuilt.shape != children.shape or (rebuilt != children).any()
    after = prb.render(moved, spp=4)
    fresh = loaded(folder, floor=plane())
    prb.traverse(fresh).update({POSITIONS: scattered, "floor.to_world": params["floor.to_world"]})
    np.testing.assert_allclose(prb.render(fresh, spp=4), after, rtol=1e-3, atol=1e-4)
    params.update({POSITIONS: start})
    check_bounds(moved)


def test_areas_and_choice_of_lights_follow():
    """Two panels of equal radiance: the larger one is chosen more often."""
    other = {**LAMP, "to_world": [{"translate": [9, 0, 9]}]}
    lit = scene(floor=plane(), first=LAMP, second=other, lamp=None)
    params, before = prb.traverse(lit), lit.layout.arrays["light_pdf"].copy()
    np.testing.assert_allclose(before[:, 2], 4, rtol=1e-6)
    params.update({"second.to_world": params["second.to_world"] @ np.diag([4, 5, 1, 1])})
    after = lit.layout.arrays["light_pdf"]
    np.testing.assert_allclose(after[:, 2], [4, 80], rtol=1e-6)
    np.testing.assert_allclose(after[:, 1] / after[:, 1].sum(), after[:, 1])
    assert after[1, 1] > before[1, 1] + 0.1 and before[0, 1] == pytest.approx(before[1, 1])


# What is refused


WRONG = [
    (MESH, np.diag([1, 1, 0, 1]), "the matrix flattens the shape; give it an invertible one"),
    (MESH, np.diag([1, -1, 1, 1]), "the matrix mirrors the shape; turn or scale it instead"),
    (MESH, np.diag([1, 1, 1, 2]), "the last row of a transform is 0, 0, 0, 1"),
    (MESH, np.full((4, 4), np.nan), "has a number that is not finite"),
    (MESH, np.eye(3), r"expected shape \(4, 4\), got \(3, 3\)"),
    (POSITIONS, np.zeros((4, 3)), r"expected shape \(289, 3\), got \(4, 3\)"),
    (POSITIONS, np.full((289, 3), np.inf), "has a number that is not finite"),
    (POSITIONS, np.full((289, 3), 1e39), "has a number that is not finite"),
    ("ball.to_world", np.diag([1, 2, 1, 1]), "the matrix does not keep a sphere round; scale it evenly"),
    ("tube.to_world", np.diag([1, 2, 1, 1]), "the matrix does not keep a cylinder round; scale it evenly"),
]


def test_what_makes_no_sense_changes_nothing(tmp_path):
    sheet(tmp_path, n=17)
    placed = loaded(tmp_path, ball={"type": "sphere"}, tube={"type": "cylinder"})
    params = prb.traverse(placed)
    before = repr(params)
    for name, value, message in WRONG:
        with pytest.raises(prb.ParameterError, match=f"^{name}: {message}$") as caught:
            params.update({"lamp.intensity.value": [0, 0, 0], name: value})
        assert "\n" not in str(caught.value)
        params.update()
        assert repr(params) == before
    params.update({"tube.to_world": np.diag([2, 2, 7, 1])})
