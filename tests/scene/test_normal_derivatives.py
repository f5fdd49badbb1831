"""Derivatives of the normals that are computed from positions: against differences, and their transpose."""

import numpy as np
import pytest

from prb.scene.meshes import normals
from prb.scene.meshes.mesh import smooth_normals

RNG = np.random.default_rng(1)


def mesh(kind):
    """Positions (n, 3) and faces (m, 3)."""
    if kind == "tetrahedron":
        positions = np.array([[0, 0, 0], [1, 0, 0], [0.2, 1.1, 0], [0.1, 0.3, 0.9]])
        return positions, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]])
    n = 5
    x, y = (a.ravel() for a in np.meshgrid(np.arange(n), np.arange(n)))
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    positions = np.stack([x, y, np.zeros(n * n)], 1) + 0.2 * RNG.normal(size=(n * n, 3))
    if kind == "with faces without area":
        faces = np.concatenate([faces, [[0, 0, 7], [3, 3, 3]]])
    return positions, faces


KINDS = "tetrahedron", "sheet", "with faces without area"


def values(positions, faces):
    """The normals in float64, which `smooth_normals` rounds."""
    total = normals._faces(positions, faces).total
    return total / np.linalg.norm(total, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", KINDS)
def test_against_differences(kind):
    positions, faces = mesh(kind)
    np.testing.assert_allclose(values(positions, faces), smooth_normals(positions, faces)[0], atol=1e-6)
    tangent, h = RNG.normal(size=positions.shape), 1e-6
    ends = [values(positions + sign * h * tangent, faces) for sign in (1, -1)]
    found = normals.push_forward(positions, faces, tangent)
    assert np.abs(found).max() > 0.1
    np.testing.assert_allclose(found, (ends[0] - ends[1]) / (2 * h), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_transpose(kind):
    positions, faces = mesh(kind)
    tangent, grad = RNG.normal(size=(2, *positions.shape))
    forward = (grad * normals.push_forward(positions, faces, tangent)).sum()
    reverse = (normals.pull_back(positions, faces, grad) * tangent).sum()
    assert forward == pytest.approx(reverse, rel=1e-10) and abs(forward) > 1e-3


def test_nothing_changes_the_normals_but_the_shape():
    """A shift, a scale, and the length of a cotangent along the normal."""
    positions, faces = mesh("sheet")
    for tangent in (np.full(positions.shape, 0.7), positions):
        assert np.abs(normals.push_forward(positions, faces, tangent)).max() < 1e-12
    assert np.abs(normals.pull_back(positions, faces, values(positions, faces))).max() < 1e-12


def test_where_no_normal_is_defined():
    """A vertex of no face, and one whose faces cancel out: zero, not NaN."""
    positions = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]], float)
    faces = np.array([[0, 1, 2], [0, 2, 1]])
    for derivative in (normals.push_forward, normals.pull_back):
        found = derivative(positions, faces, RNG.normal(size=positions.shape))
        assert np.isfinite(found).all() and (found == 0).all()
