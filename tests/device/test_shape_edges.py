"""Edges of shapes: which there are, what bounds them, and how often each is sampled."""

import numpy as np
import pytest

import prb
from prb.device.edge_views import seen
from prb.device.edges import edges_of, quantised, welded
from prb.kernels.estimators.edge import CIRCLE, LINE, MULTIPLE, SILHOUETTE

TURNED = [{"rotate": {"axis": [1, 2, 3], "angle": 40}}, {"scale": 0.3}, {"translate": [0.1, 0.2, 0.3]}]
SIDES = (
    [],
    [{"rotate": {"axis": [1, 0, 0], "angle": 180}}],
    [{"rotate": {"axis": [1, 0, 0], "angle": 90}}],
    [{"rotate": {"axis": [1, 0, 0], "angle": -90}}],
    [{"rotate": {"axis": [0, 1, 0], "angle": 90}}],
    [{"rotate": {"axis": [0, 1, 0], "angle": -90}}],
)


def scene_of(**shapes):
    return prb.load_dict(
        {"type": "scene", "sensor": {"type": "perspective"}, "light": {"type": "constant"}, **shapes}
    )


def edges(**shapes):
    return edges_of(scene_of(**shapes).layout)


@pytest.mark.parametrize(
    ("kind", "count", "length", "measure"),
    [
        ("rectangle", 4, 8.0, 8 * np.pi**2),  # of all lines: length times the mean of sin over the sphere
        ("cube", 12, 24.0, 24 * np.pi**2),
        ("disk", 1, 2 * np.pi, 2 * np.pi**3),
        ("sphere", 1, 2 * np.pi, 8 * np.pi**2),  # each direction's contour has length 2 pi
        ("cylinder", 3, 4 * np.pi + 2, (4 * np.pi + 2) * np.pi**2),
    ],
)
def test_edges_of_a_shape_have_its_lengths(kind, count, length, measure):
    found = edges(shape={"type": kind})
    assert len(found.records) == count
    assert found.lengths.sum() == pytest.approx(length)
    assert found.measures.sum() == pytest.approx(measure)


def test_six_rectangles_make_a_cube():
    sides = {
        f"side{i}": {"type": "rectangle", "to_world": [{"translate": [0, 0, 1]}, *turn, *TURNED]}
        for i, turn in enumerate(SIDES)
    }
    found = edges(**sides)
    assert len(found.records) == 12
    assert (found.records[:, 3] >= 0).all() and (found.records[:, 5] & MULTIPLE == 0).all()
    np.testing.assert_allclose(found.lengths, 0.6, rtol=1e-5)


def obj_file(path, corners, faces):
    lines = [f"v {x} {y} {z}" for x, y, z in corners]
    path.write_text("\n".join([*lines, *("f " + " ".join(map(str, face)) for face in faces)]) + "\n")
    return {"type": "obj", "filename": str(path), "face_normals": True}


def test_repeated_vertices_are_no_borders(tmp_path):
    """Two triangles that share a side by position only: a seam. Bent, it is an edge; flat, it is none."""
    faces = [(1, 2, 3), (4, 5, 6)]
    for height, sampled in ((0.5, 5), (0.0, 4)):
        corners = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, height), (0, 1, 0)]
        found = edges(mesh=obj_file(tmp_path / f"{sampled}.obj", corners, faces))
        assert len(found.records) == 5
        assert (found.records[:, 3] < 0).sum() == 4
        assert (found.measures > 0).sum() == sampled


def test_a_side_of_three_faces_is_known(tmp_path):
    corners = [(0, 0, 0), (0, 0, 1), (1, 0, 0), (0, 1, 0), (-1, -1, 0)]
    found = edges(mesh=obj_file(tmp_path / "fan.obj", corners, [(1, 2, 3), (1, 2, 4), (1, 2, 5)]))
    assert (found.records[:, 5] & MULTIPLE > 0).sum() == 1


def test_smooth_meshes_have_silhouettes_only(tmp_path):
    mesh = obj_file(
        tmp_path / "tent.obj", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0.5)], [(1, 2, 3), (3, 2, 4)]
    )
    inner = [edges(mesh={**mesh, "face_normals": flat}) for flat in (False, True)]
    shared = [found.records[:, 3] >= 0 for found in inner]
    assert (inner[0].records[shared[0], 5] & SILHOUETTE > 0).all()
    assert (inner[1].records[shared[1], 5] & SILHOUETTE == 0).all()
    assert inner[0].measures[shared[0]].sum() < 0.5 * inner[1].measures[shared[1]].sum()


def test_kinds_of_a_cylinder():
    found = edges(shape={"type": "cylinder", "radius": 0.5})
    assert sorted(found.records[:, 0]) == [CIRCLE, CIRCLE, 3]
    assert (edges(shape={"type": "rectangle"}).records[:, 0] == LINE).all()


def test_corners_are_welded_up_to_rounding():
    points = np.array([[1, 2, 3], [1 + 1e-7, 2, 3 - 1e-7], [1, 2, 3.001], [0, 0, 0]], float)
    assert list(welded(points)) == [1, 1, 2, 0]


def test_cumulative_probabilities_leave_nothing_out():
    cdf = quantised(np.array([1.0, 0.0, 1e-12, 3.0]))
    steps = np.diff(cdf.astype(float)) * 2**24
    assert cdf[0] == 0 and cdf[-1] == 1
    assert steps[1] == 0 and steps[2] == 1
    np.testing.assert_array_equal(steps, np.round(steps))


def test_edges_outside_of_the_view_are_not_sampled():
    """A rectangle that the picture cuts off: the far side is left out, the others are cut."""
    scene = prb.load_dict({
        "type": "scene",
        "sensor": {
            "type": "perspective", "fov": 90, "to_world": [
                {"look_at": {"origin": [0, 0, 1], "target": [0, 0, 0], "up": [0, 1, 0]}}
            ],
            "film": {"type": "hdrfilm", "width": 16, "height": 16},
        },
        "shape": {"type": "rectangle", "to_world": [{"scale": 0.5}, {"translate": [1, 0, 0]}]},
        "light": {"type": "constant"},
    })  # fmt: skip
    found = edges_of(scene.layout)
    weights, ranges = seen(found, scene.sensor, scene.film, scene.layout.arrays)
    x = np.abs(found.a[:, 0] - found.b[:, 0]) < 1e-9
    beyond = x & (found.a[:, 0] > 1)
    inside = x & (found.a[:, 0] < 1)
    assert weights[beyond] == 0
    assert weights[inside] == pytest.approx(8)
    np.testing.assert_allclose(ranges[~x][:, 1] - ranges[~x][:, 0], 0.5, rtol=1e-6)
    np.testing.assert_allclose(weights[~x], 4.0, rtol=1e-6)
