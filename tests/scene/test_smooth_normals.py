"""Vertex normals of meshes whose files have none, and fans over polygons."""

import numpy as np
from helpers.mesh_files import mesh_of, model_of

from prb.scene.meshes.mesh import smooth_normals, triangulate

V = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"


def test_smooth_normals_weigh_by_angle():
    # at the corner of a cube three squares meet, one of them split: the weight is the angle, not a count
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.float32)
    faces = np.array([[0, 4, 1], [0, 2, 4], [0, 3, 2], [0, 1, 3]])
    normals, undefined = smooth_normals(vertices, faces)
    np.testing.assert_allclose(normals[0], -np.ones(3) / np.sqrt(3), atol=1e-6)
    assert not undefined.any()


def test_degenerate_faces_give_no_nan(tmp_path):
    text = V + "v 5 5 5\nv 6 6 6\nf 1 2 3\nf 1 1 2\nf 4 5 4\n"  # 4 and 5 have no face with area
    (tmp_path / "t.obj").write_text(text)
    mesh = mesh_of(tmp_path, "t.obj")
    np.testing.assert_array_equal(mesh.normals, [[0, 0, 1]] * 3 + [[1, 0, 0]] * 2)


def test_faces_that_cancel_out_warn(tmp_path):
    (tmp_path / "t.obj").write_text(V + "f 1 2 3\nf 1 3 2\n")
    model = model_of(tmp_path, "t.obj")
    assert np.isfinite(model.shapes[0].normals).all()
    assert "the faces around 3 vertices cancel out" in model.warnings[0]


def test_triangulate():
    corners = np.array([7, 8, 9, 1, 2, 3, 4, 5])
    fans = triangulate(np.array([3, 5]), corners)
    assert fans.tolist() == [[7, 8, 9], [1, 2, 3], [1, 3, 4], [1, 4, 5]]
