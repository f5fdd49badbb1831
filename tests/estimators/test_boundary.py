"""Boundary terms: closed forms, reverse against forward mode, and what a user may ask for."""

import numpy as np
import pytest
from helpers.edge_scenes import (
    LIGHTS,
    MOTION,
    check_against_differences,
    scene_of,
    shaded,
    translation,
)

import prb

WHOLE = prb.ReplayAdjoint() + prb.Boundary()


@pytest.fixture(scope="module")
def lit():
    """A grey rectangle between a light and a floor."""
    return shaded("area", "rectangle", reflectance=0.5, depth=3)


def lamp_alone(**options):
    """A light that covers the left half of the film, a square of side 2.6."""
    place = [{"scale": 2}, {"translate": [-2, 0, 0]}]
    lamp = {"type": "rectangle", "to_world": place, "emitter": {**LIGHTS["area"]["emitter"]}}
    return scene_of({"lamp": lamp}, origin=(0, 0, 3), sensor="orthographic", **options)


@pytest.mark.parametrize("rfilter", ["box", "gaussian"])
def test_half_plane_of_light(rfilter):
    """Its edge moves over the film by 16 / 2.6 pixels for a unit, whatever the filter."""
    scene = lamp_alone(rfilter=rfilter)
    tangents = {"lamp.to_world": translation(x=1.0)}
    boundary = prb.Boundary(shadow=False, indirect=False)
    found = prb.render_forward(scene, tangents, adjoint=boundary, spp=64, stderr=True)
    rows = found.value.sum(axis=1)
    expected = np.array([4, 6, 8]) * 16 / 2.6
    np.testing.assert_allclose(rows.mean(axis=0), expected, rtol=0.02)
    assert (found.value[:, :5] == 0).all() and (found.value[:, 11:] == 0).all()
    error = found.stderr.max(axis=(1, 2))
    assert (np.abs(rows[:, 0] - expected[0]) < 6 * error).all()


def test_what_moves_along_its_edge_changes_nothing():
    scene = lamp_alone()
    tangents = {"lamp.to_world": translation(y=1.0, z=1.0)}
    boundary = prb.Boundary(shadow=False, indirect=False)
    found = prb.render_forward(scene, tangents, adjoint=boundary, spp=16)
    assert np.abs(found).max() < 1e-4


def test_forward_and_reverse_mode_are_transposes(lit):
    """Both take the same samples, so they agree up to rounding."""
    rng = np.random.default_rng(1)
    adjoint = rng.normal(size=lit.image_shape)
    tangents = {
        "floor.to_world": translation(**MOTION) + 0.1 * rng.normal(size=(4, 4)) * [[1], [1], [1], [0]],
        "blocker.to_world": translation(z=-1.0),
        "sensor.to_world": translation(x=0.4, y=1.0),
    }
    image = prb.render_forward(lit, tangents, adjoint=prb.Boundary(), spp=16)
    gradient = prb.render_backward(lit, adjoint, list(tangents), adjoint=prb.Boundary(), spp=16)
    reverse = sum((gradient[name] * tangents[name]).sum() for name in tangents)
    scale = np.abs(image * adjoint).sum()
    assert (image * adjoint).sum() == pytest.approx(reverse, abs=2e-5 * scale)


def test_shadow_and_floor_against_differences(lit):
    """The floor moves towards the light, under a shadow that is seen at an angle: points slide on it."""
    check_against_differences(lit, {"floor.to_world": translation(**MOTION)}, WHOLE, seeds=4, spp=64)


def test_standard_errors_are_those_of_other_seeds(lit):
    options = dict(adjoint=prb.Boundary(), spp=16, stderr=True)
    found = [
        prb.render_backward(lit, np.ones(lit.image_shape), "blocker.to_world", seed=seed, **options)
        for seed in range(16)
    ]
    found = [f["blocker.to_world"] for f in found]
    values, errors = np.array([f.value for f in found]), np.array([f.stderr for f in found])
    scatter, claimed = values.std(axis=0, ddof=1)[:3], np.sqrt((errors**2).mean(axis=0))[:3]
    assert 0.7 < np.exp(np.log(claimed / scatter).mean()) < 1.4


def test_parts_add_up(lit):
    """Silhouettes and other segments are terms of their own; light from beyond has two techniques."""
    tangents = {"blocker.to_world": translation(**MOTION)}
    found = {
        name: prb.render_forward(lit, tangents, adjoint=prb.Boundary(**kinds), spp=64).mean(axis=(0, 1))
        for name, kinds in {
            "all": {},
            "primary": dict(shadow=False, indirect=False),
            "secondary": dict(primary=False),
        }.items()
    }
    np.testing.assert_allclose(found["primary"] + found["secondary"], found["all"], rtol=1e-4)


def test_a_sum_differentiates_what_its_parts_can(lit):
    names = ["floor.bsdf.reflectance.value", "blocker.to_world"]
    grad = np.ones(lit.image_shape)
    gradient = prb.render_backward(lit, grad, names, adjoint=WHOLE, spp=4)
    replay = prb.render_backward(lit, grad, names, adjoint=prb.ReplayAdjoint(), spp=4)
    boundary = prb.render_backward(lit, grad, names[1:], adjoint=prb.Boundary(), spp=4)
    np.testing.assert_allclose(gradient[names[0]], replay[names[0]], rtol=1e-5)
    np.testing.assert_allclose(
        gradient[names[1]], replay[names[1]] + boundary[names[1]], rtol=1e-4, atol=1e-5
    )
    assert WHOLE.methods(lit, names) == {names[0]: "replay", names[1]: "replay + boundary"}


def test_mistakes_are_one_line(lit):
    with pytest.raises(prb.ParameterError, match="primary: -1 is out of range"):
        prb.Boundary(primary=-1)
    with pytest.raises(prb.ParameterError, match="it moves no edge"):
        prb.render_backward(lit, np.ones(lit.image_shape), "albedo", adjoint=prb.Boundary())


def test_nothing_that_moves_warns(lit):
    with pytest.warns(UserWarning, match="none of the parameters moves an edge"):
        found = prb.Boundary().backward(lit, np.ones(lit.image_shape), names=[], spp=1, with_image=False)
    assert not found.gradient.any()
