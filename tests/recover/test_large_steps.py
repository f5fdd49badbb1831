"""Smooth coordinates of vertices against dense linear algebra, and a shape that only they find untangled."""

import sys

import numpy as np
import pytest
from helpers.triangle_meshes import grid, octasphere

import prb
from prb.errors import MissingPackageError, ParameterError
from prb.recover.large_steps import SmoothPositions, edges_of, half_diagonal, parts, welded

pytestmark = pytest.mark.quick


def dense(positions, faces, lambda_):
    """(I + lambda L) of a mesh without double vertices, entry by entry."""
    a = np.eye(len(positions))
    for i, j in {tuple(sorted((f[k], f[k - 1]))) for f in faces for k in range(3)}:
        a[[i, j], [i, j]] += lambda_
        a[i, j] -= lambda_
        a[j, i] -= lambda_
    return a


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 19.0])
def test_is_the_papers_equation(lambda_):
    positions, faces = octasphere(2)
    rng, smooth = np.random.default_rng(0), SmoothPositions(positions, faces, lambda_)
    u, gradient = rng.normal(size=(2, *positions.shape))
    _, order = np.unique(positions, axis=0, return_index=True)  # the order of places
    in_order = np.empty_like(order)
    in_order[order] = np.arange(len(order))
    inverse = np.linalg.inv(dense(positions, faces, lambda_)) * half_diagonal(positions)
    np.testing.assert_allclose(smooth.to_value(u), positions + inverse @ u[in_order], atol=1e-12)
    np.testing.assert_allclose(smooth.pull_back(u, gradient), (inverse @ gradient)[order], atol=1e-12)
    assert smooth.remarks == ()


def test_starts_at_the_positions_themselves():
    positions, faces = octasphere(2)
    smooth = SmoothPositions(positions.astype(np.float32), faces)
    np.testing.assert_array_equal(
        smooth.to_value(smooth.start).astype(np.float32), positions.astype(np.float32)
    )


def test_seams_stay_closed():
    """Every triangle with corners of its own is the mesh with shared ones."""
    positions, faces = octasphere(1)
    loose, corners = positions[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
    whole, torn = SmoothPositions(positions, faces), SmoothPositions(loose, corners)
    rng = np.random.default_rng(2)
    u, gradient = rng.normal(size=whole.start.shape), rng.normal(size=loose.shape)
    np.testing.assert_allclose(torn.to_value(u), whole.to_value(u)[faces].reshape(-1, 3), atol=1e-13)
    of_shared = np.zeros(positions.shape)
    np.add.at(of_shared, faces.ravel(), gradient)
    np.testing.assert_allclose(torn.pull_back(u, gradient), whole.pull_back(u, of_shared), atol=1e-13)
    assert torn.remarks == ()


def test_pull_back_is_the_transpose():
    """By differences: the map is linear, so that they are exact."""
    positions, faces = grid(4)
    smooth, rng = SmoothPositions(positions, faces, 3.0), np.random.default_rng(4)
    u, du, gradient = rng.normal(size=(3, *positions.shape))
    moved = (gradient * (smooth.to_value(u + du) - smooth.to_value(u))).sum()
    assert moved == pytest.approx((smooth.pull_back(u, gradient) * du).sum(), rel=1e-10)


def test_parts_move_by_themselves():
    positions, faces = octasphere(1)
    both = np.concatenate([positions, positions + [5, 0, 0]])
    smooth = SmoothPositions(both, np.concatenate([faces, faces + len(positions)]))
    assert smooth.remarks == ("it has 2 parts that share no vertex, each of which moves by itself",)
    gradient = np.zeros(both.shape)
    gradient[0] = 1
    moved = smooth.to_value(smooth.pull_back(smooth.start, gradient)) != both
    assert moved[: len(positions)].all() and not moved[len(positions) :].any()


def test_loose_triangles_are_reported():
    corners = np.random.default_rng(0).normal(size=(30, 3))
    remarks = SmoothPositions(corners, np.arange(30).reshape(-1, 3)).remarks
    assert remarks[0].startswith("100% of its edges belong to one triangle") and "10 parts" in remarks[1]


def test_vertices_without_a_face_are_no_parts():
    positions, faces = octasphere(1)
    smooth = SmoothPositions(np.concatenate([positions, [[9, 9, 9]]]), faces)
    assert smooth.remarks == ()
    np.testing.assert_array_equal(smooth.to_value(smooth.start)[-1], [9, 9, 9])


def test_graph_of_a_mesh():
    edges, counts = edges_of(np.array([[0, 1, 2], [2, 1, 3], [4, 4, 5]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3], [4, 5]]
    assert counts.tolist() == [1, 1, 2, 1, 1, 2]
    assert parts(7, edges).tolist() == [0, 0, 0, 0, 4, 4, 6]
    chain = np.random.default_rng(1).permutation(1000)
    assert (parts(1000, np.stack([chain[1:], chain[:-1]], axis=1)) == 0).all()
    places, of_vertex = welded([[1, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert places.tolist() == [[0, 0, 0], [1, 0, 0]] and of_vertex.tolist() == [1, 0, 1]


def flipped(positions, faces):
    """How many triangles of a height field have turned over."""
    a, b, c = np.moveaxis(positions[faces], 1, 0)
    return int((np.cross(b - a, c - a)[:, 2] <= 0).sum())


def test_large_steps_leave_the_mesh_untangled():
    """A sheet whose vertices each get noise on their derivatives, as those of a rendering have."""
    positions, faces = grid(12)
    target, found = positions + [0.0, 0.0, 0.3], {}
    for lambda_ in (0.0, 19.0):
        smooth, rng = SmoothPositions(positions, faces, lambda_), np.random.default_rng(6)
        opt = prb.Adam(0.03, {"x": smooth.start}, uniform=True)
        for _ in range(60):
            x = smooth.to_value(opt["x"])
            opt.step({"x": smooth.pull_back(opt["x"], x - target + 0.5 * rng.normal(size=x.shape))})
        found[lambda_] = smooth.to_value(opt["x"])
    assert flipped(found[19.0], faces) == 0 < flipped(found[0.0], faces)
    assert np.abs(found[19.0] - target).mean() < 0.03


@pytest.mark.parametrize("lambda_", [-1.0, np.inf, np.nan, True])
def test_lambda_out_of_range(lambda_):
    with pytest.raises(ParameterError, match="^lambda: .* from 0 on$"):
        SmoothPositions(*octasphere(0), lambda_)


def test_without_cholespy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cholespy", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'prb\[shapes\]'"):
        SmoothPositions(*octasphere(0))
    assert SmoothPositions(*octasphere(0), 0).remarks == ()
