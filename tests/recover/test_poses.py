"""Motions as coordinates: proper transforms, derivatives against differences, and a pose that is found."""

import numpy as np
import pytest

import prb
from prb.errors import ParameterError
from prb.recover.poses import KINDS, Pose, left_jacobian, rotation

pytestmark = pytest.mark.quick

CENTRE, RADIUS = np.array([0.4, -1.1, 2.5]), 0.7


def matrix():
    found = np.eye(4)
    found[:3, :3] = rotation([0.3, -0.8, 1.1]) @ np.diag([1.3, 0.8, -0.9])
    found[:3, 3] = [0.5, -1.0, 2.0]
    return found


def pose(kind):
    return Pose(kind, matrix(), CENTRE, RADIUS)


@pytest.mark.parametrize("kind", KINDS)
def test_start_is_the_matrix_itself(kind):
    there = pose(kind)
    np.testing.assert_array_equal(there.to_value(there.start), matrix())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0.0, 1e-9, 5e-3, 0.0099, 0.0101, 0.5, 2.0])
def test_pull_back_is_the_derivative(kind, size):
    rng, there = np.random.default_rng(7), pose(kind)
    x, gradient = size * rng.normal(size=there.start.shape), rng.normal(size=(4, 4))
    step = 1e-5
    expected = [
        (gradient[:3] * (there.to_value(x + d) - there.to_value(x - d))[:3]).sum() / (2 * step)
        for d in step * np.eye(len(x))
    ]
    np.testing.assert_allclose(there.pull_back(x, gradient), expected, rtol=1e-7, atol=2e-9)


def test_series_meet_the_quotients():
    """On both sides of where one takes over from the other."""
    axis = np.array([2, -1, 2]) / 3
    for of in (rotation, left_jacobian):
        below, above = (of(angle * axis) for angle in (0.01 - 1e-12, 0.01 + 1e-12))
        np.testing.assert_allclose(below, above, atol=3e-12)


@pytest.mark.parametrize("kind", ["rigid", "similarity", "translation"])
def test_motions_keep_their_kind(kind):
    """However many steps were taken: R is a rotation, times a scale."""
    there, x = pose(kind), pose(kind).start
    rng = np.random.default_rng(3)
    for _ in range(1000):
        x = x + 0.01 * rng.normal(size=x.shape)
    motion = (there.to_value(x) @ np.linalg.inv(matrix()))[:3, :3]
    scale = np.exp(x[6]) if kind == "similarity" else 1
    np.testing.assert_allclose(motion @ motion.T, scale**2 * np.eye(3), atol=1e-13 * scale**2)
    assert np.linalg.det(motion) > 0
    assert np.array_equal(there.to_value(x)[3], [0, 0, 0, 1])


def test_rotations_leave_the_centre_and_displacements_go_by_the_radius():
    there = pose("rigid")
    centre = np.linalg.solve(matrix(), [*CENTRE, 1])
    np.testing.assert_allclose((there.to_value(np.array([1, 2, 3, 0, 0, 0.0])) @ centre)[:3], CENTRE)
    moved = there.to_value(np.array([1, 2, 3, 1, 0, -2.0])) @ centre
    np.testing.assert_allclose(moved[:3], CENTRE + RADIUS * np.array([1, 0, -2]))


def test_rotation_is_right_handed():
    np.testing.assert_allclose(rotation([0, 0, np.pi / 2]) @ [1, 0, 0], [0, 1, 0], atol=1e-15)


def test_affine_reaches_every_affine_matrix():
    there, wanted = pose("affine"), np.vstack([np.random.default_rng(1).normal(size=(3, 4)), [0, 0, 0, 1]])
    motion = wanted @ np.linalg.inv(matrix())
    shift = motion[:3, :3] @ CENTRE + motion[:3, 3] - CENTRE
    x = np.concatenate([(motion[:3, :3] - np.eye(3)).ravel(), shift / RADIUS])
    np.testing.assert_allclose(there.to_value(x), wanted, atol=1e-13)


def test_adam_finds_a_pose():
    """Points and where they have to go: the transform that takes them there."""
    rng, there = np.random.default_rng(5), pose("similarity")
    points = np.column_stack([rng.normal(size=(20, 3)), np.ones(20)])
    target = points @ there.to_value(np.array([0.9, -0.4, 1.2, 0.5, -0.3, 0.2, 0.3])).T
    opt = prb.Adam(prb.schedules.Cosine(0.1, 300), {"x": there.start})
    for _ in range(300):
        gradient = 2 * (points @ there.to_value(opt["x"]).T - target).T @ points
        opt.step({"x": there.pull_back(opt["x"], gradient)})
    np.testing.assert_allclose(points @ there.to_value(opt["x"]).T, target, atol=1e-3)


def test_what_is_no_pose():
    with pytest.raises(ParameterError, match="'stiff' is no kind of motion"):
        Pose("stiff", np.eye(4), np.zeros(3), 1.0)
    with pytest.raises(ParameterError, match="the radius 0"):
        Pose("rigid", np.eye(4), np.zeros(3), 0.0)
