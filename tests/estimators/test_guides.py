"""Guides of boundary samples: boxes that fill the cube, and densities that follow what a pilot found."""

import numpy as np
import pytest

from prb.estimators import guides


def pilot(count, term, seed=0):
    points = np.random.default_rng(seed).random((count, 3))
    return np.column_stack([points, term(points)])


def corner(points):
    """A term that is large in one corner of the cube."""
    return np.where((points < 0.1).all(axis=1), 100.0, 0.01)


@pytest.mark.parametrize("name", guides.NAMES)
@pytest.mark.parametrize("primary", [True, False])
def test_boxes_fill_the_cube_once(name, primary):
    weights, boxes = guides.made(name, pilot(2**14, corner), primary)
    low, size = boxes[:, :3], boxes[:, 4:7]
    assert weights.sum() == pytest.approx(1)
    assert size.prod(axis=1, dtype=float).sum() == pytest.approx(1)
    points = np.random.default_rng(1).random((500, 1, 3))
    assert (((points >= low) & (points < low + size)).all(axis=2).sum(axis=1) == 1).all()


@pytest.mark.parametrize("name", ["grid", "octree"])
def test_a_guide_brings_the_variance_down(name):
    weights, boxes = guides.made(name, pilot(2**16, corner), False)
    low, size = boxes[:, :3].astype(float), boxes[:, 4:7].astype(float)
    volumes = size.prod(axis=1)
    inner = np.clip(np.minimum(low + size, 0.1) - low, 0, None).prod(axis=1)
    moment = ((inner * 100.0**2 + (volumes - inner) * 0.01**2) * volumes / weights).sum()  # E (f / p)^2
    mean = 0.001 * 100 + 0.999 * 0.01
    uniform = 0.001 * 100.0**2 + 0.999 * 0.01**2
    assert moment - mean**2 < {"grid": 0.25, "octree": 0.1}[name] * (uniform - mean**2)
    assert (volumes / weights).max() <= 1 / guides.DEFENSIVE + 1e-9


def test_an_octree_is_fine_only_where_terms_are_large():
    _, boxes = guides.made("octree", pilot(2**16, corner), False)
    low, size = boxes[:, :3], boxes[:, 4]
    assert len(boxes) <= guides.MAX_BOXES
    assert size[(low < 0.1).all(axis=1)].max() <= 0.125
    assert size[(low >= 0.5).all(axis=1)].min() == 0.5


def test_for_edges_that_the_camera_sees_only_the_first_number_is_cut():
    weights, boxes = guides.made("octree", pilot(2**14, lambda x: (x[:, 0] < 0.01) * 1.0), True)
    assert (boxes[:, 5:7] == 1).all() and boxes[:, 4].min() < 0.01
    assert weights[boxes[:, 0] < 0.01].sum() > 0.45


@pytest.mark.parametrize("name", guides.NAMES)
def test_a_pilot_that_finds_nothing_changes_nothing(name):
    weights, boxes = guides.made(name, pilot(100, lambda x: 0 * x[:, 0]), False)
    assert weights.tolist() == [1] and boxes[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 0]
