"""Meshes with other triangles, and what is counted of those that went wrong."""

import sys

import numpy as np
import pytest
from helpers.triangle_meshes import grid, octasphere

from prb.errors import MissingPackageError, ParameterError
from prb.recover import mesh_defects
from prb.recover.large_steps import edges_of
from prb.recover.mesh_defects import Defects, defects, degenerate
from prb.recover.remeshing import remeshed

pytestmark = pytest.mark.quick


def lengths(positions, faces):
    edges, _ = edges_of(faces)
    return np.linalg.norm(positions[edges[:, 0]] - positions[edges[:, 1]], axis=1)


@pytest.mark.parametrize("length", [0.4, 0.15, 0.06])
def test_a_sphere_stays_one(length):
    positions, faces = remeshed(*octasphere(3), length)
    assert (positions.dtype, faces.dtype) == (np.float32, np.int32)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 1, atol=0.03)
    assert lengths(positions, faces).mean() == pytest.approx(length, rel=0.15)
    _, counts = edges_of(faces)
    assert (counts == 2).all()  # closed
    a, b, c = np.moveaxis(positions[faces], 1, 0)
    assert (np.einsum("ij,ij->i", np.cross(b - a, c - a), a) > 0).all()  # as before, from outside
    assert defects(positions, faces) == Defects(len(faces), 0, 0)


def test_without_a_length_edges_are_halved():
    mesh = octasphere(2)
    assert lengths(*remeshed(*mesh)).mean() == pytest.approx(lengths(*mesh).mean() / 2, rel=0.15)


def test_it_is_the_same_each_time():
    first, second = (remeshed(*octasphere(2), 0.1) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_borders_stay_and_seams_close():
    positions, faces = grid(5)
    loose = positions[faces].reshape(-1, 3), np.arange(faces.size).reshape(-1, 3)
    found, triangles = remeshed(*loose, 0.1)
    assert found.min(axis=0).tolist() == [0, 0, 0] and found.max(axis=0).tolist() == [1, 1, 0]
    edges, counts = edges_of(triangles)
    ends = found[edges[counts == 1]]
    assert ((ends == 0) | (ends == 1)).any(axis=2).all() and counts.max() == 2


def test_what_cannot_be_remeshed():
    fan = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0.0]])
    three = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 4]])
    with pytest.raises(ParameterError, match="^vase: more than two triangles meet on 1 of"):
        remeshed(fan, three, 0.3, place="vase")
    with pytest.raises(ParameterError, match="no triangle with an area"):
        remeshed(np.zeros((3, 3)), np.array([[0, 1, 2]]), 0.3)
    with pytest.raises(ParameterError, match="every vertex lies on a border"):
        remeshed(fan, three[:2], 0.3)
    for length in (0.0, -1.0, np.nan, np.inf, True):
        with pytest.raises(ParameterError, match="edge length .* is out of range"):
            remeshed(*octasphere(1), length)
    with pytest.raises(ParameterError, match="more than 1e.07; take a larger length"):
        remeshed(*octasphere(1), 1e-4)


def test_without_gpytoolbox(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpytoolbox", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'prb\[shapes\]'"):
        remeshed(*octasphere(1), 0.3)


def test_triangles_without_area():
    positions = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [1, 1e-7, 0], [1, 1e-4, 0], [0, 0, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 2, 4], [0, 5, 4], [1, 1, 4]])
    assert degenerate(positions, faces).tolist() == [True, True, False, True, True]
    assert defects(positions, faces).degenerate == 4
    assert degenerate(1e-6 * positions, faces).tolist() == degenerate(positions, faces).tolist()


def crossing_by_hand(positions, faces):
    """All pairs, by solving for where an edge meets a triangle's plane."""
    found = set()
    for i, f in enumerate(faces):
        for j, g in enumerate(faces):
            if i == j or len(set(f) & set(g)) > 1:
                continue
            for k in range(3):
                ends = f[k], f[k - 1]
                if set(ends) & set(g):
                    continue
                p, q = positions[list(ends)]
                a, b, c = positions[g]
                try:
                    t, u, v = np.linalg.solve(np.stack([p - q, b - a, c - a], axis=1), p - a)
                except np.linalg.LinAlgError:
                    continue
                if 0 < t < 1 and u > 0 and v > 0 and u + v < 1:
                    found |= {i, j}
    return len(found)


@pytest.mark.parametrize("largest", [10**7, 100])
def test_crossing_triangles_are_all_found(monkeypatch, largest):
    """A crumpled sheet and loose triangles; also where the grid's cells have to be large."""
    monkeypatch.setattr(mesh_defects, "MAX_ENTRIES", largest)
    rng = np.random.default_rng(1)
    positions, faces = grid(6)
    positions = positions + 0.08 * rng.normal(size=positions.shape)
    assert 0 < crossing_by_hand(positions, faces) < len(faces)
    assert defects(positions, faces).crossing == crossing_by_hand(positions, faces)
    loose = rng.random((120, 3)) * [3, 1, 1]
    corners = np.arange(120).reshape(-1, 3)
    assert 0 < defects(loose, corners).crossing == crossing_by_hand(loose, corners)


def test_spheres_that_meet_cross_in_a_circle():
    positions, faces = octasphere(1)
    both = np.concatenate([faces, faces + len(positions)])
    apart, together = (np.concatenate([positions, positions + [d, 0.013, 0.007]]) for d in (2.1, 1.0))
    assert defects(apart, both).crossing == 0
    assert 0 < defects(together, both).crossing == crossing_by_hand(together, both)


def test_large_triangles_among_small_ones():
    positions, faces = octasphere(4)
    sheet = np.array([[-1e4, -1e4, 0.01], [1e4, -1e4, 0.01], [0, 2e4, 0.01]])
    found = defects(np.concatenate([positions, sheet]), np.vstack([faces, len(positions) + np.arange(3)]))
    z = positions[faces][:, :, 2]
    assert found.crossing == ((z.min(axis=1) < 0.01) & (z.max(axis=1) > 0.01)).sum() + 1


def test_what_is_said():
    assert Defects(9, 0, 0).line("vase") == ""
    assert Defects(9, 2, 3).line("vase") == "vase: of its 9 triangles 2 have no area, 3 cross another one"
