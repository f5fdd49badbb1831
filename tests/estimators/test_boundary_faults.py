"""Boundary terms with planted faults: differences of pictures refute them. Long."""

import numpy as np
import pytest
from helpers.edge_scenes import BLOCKERS, FLOOR, LIGHTS, MOTION, differences, scene_of, translation
from helpers.planted_faults import EDGES, forget, planted_in_edges

import prb
from prb.device import edges

pytestmark = pytest.mark.slow
KINDS = {
    "primary": prb.Boundary(shadow=False, indirect=False),
    "secondary": prb.Boundary(primary=False),
}


def half(*place):
    return {"type": "rectangle", "to_world": list(place), "bsdf": {"type": "diffuse", "reflectance": 0.1}}


@pytest.fixture(scope="module")
def scene():
    """A cube between a light and a floor; a screen hides half of it from the camera, a wall from the
    light."""
    return scene_of(
        {
            "floor": FLOOR,
            "blocker": {**BLOCKERS["cube"], "bsdf": {"type": "diffuse", "reflectance": 0.4}},
            "lamp": LIGHTS["area"],
            "wall": half(
                {"scale": 0.3}, {"rotate": {"axis": [1, 0, 0], "angle": 90}}, {"translate": [0.3, 0.8, 0]}
            ),
            "screen": half({"scale": 0.5}, {"translate": [-0.7, 0.7, 1.5]}),
        },
        depth=3,
    )  # fmt: skip


TANGENTS = {"blocker.to_world": translation(**MOTION), "floor.to_world": translation(0.3, 1.0, 0.5)}


@pytest.fixture(scope="module")
def objectives(scene):
    """Pictures that the derivative is multiplied by."""
    ramp = np.linspace(-1, 1, 16)
    ones = np.ones((16, 16, 3))
    return [ones, ones * ramp[:, None, None], ones * ramp[None, :, None]]


@pytest.fixture(scope="module")
def expected(scene, objectives):
    """For each shape, what differences give for the objectives: values and standard errors."""
    found = {}
    for name, tangent in TANGENTS.items():
        pictures = differences(scene, {name: tangent}, spp=2048, seeds=16)
        values = np.array([[(picture * a).sum() for a in objectives] for picture in pictures])
        found[name] = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
    return found


def scores(scene, objectives, expected):
    """Differences of the whole derivative from the expected values, in standard errors."""
    found = []
    for name, (values, errors) in expected.items():
        for a, value, error in zip(objectives, values, errors, strict=True):
            total, variance = 0.0, error**2
            for adjoint in (prb.ReplayAdjoint(), *KINDS.values()):
                estimate = prb.render_backward(scene, a, [name], adjoint=adjoint, spp=1024, stderr=True)[name]
                total += (estimate.value * TANGENTS[name]).sum()
                variance += ((estimate.stderr * TANGENTS[name]) ** 2).sum()
            found.append((total - value) / np.sqrt(variance))
    return np.array(found)


def test_right_kernels_agree(scene, objectives, expected):
    assert np.abs(scores(scene, objectives, expected)).max() < 4


@pytest.mark.parametrize("name", EDGES)
def test_faults_are_refuted(name, scene, objectives, expected, tmp_path, monkeypatch):
    planted_in_edges(name, tmp_path, monkeypatch)
    try:
        assert np.abs(scores(scene, objectives, expected)).max() > 5
    finally:
        forget()


def test_edges_that_are_counted_twice_are_refuted(scene, objectives, expected, monkeypatch):
    """As if corners with equal positions, such as those of texture seams, were different ones."""
    monkeypatch.setattr(edges, "welded", lambda points: np.arange(len(points)))
    edges._topologies.clear()
    try:
        assert np.abs(scores(scene, objectives, expected)).max() > 5
    finally:
        edges._topologies.clear()
