"""Participating media: replay against tape, the density methods against differences, masks, equal bits.

Tests of means allow for 4 standard errors of fixed seeds.
"""

import numpy as np
import pytest
from helpers import media_scenes as m

import prb

METHODS = [prb.FreeFlight(), prb.DifferentialRatioTracking(), prb.SampleMatching()]
NAMES = {"homogeneous": "box.interior_medium.sigma_t.value.value", "grid": "box.interior_medium.sigma_t.data"}
SCALE = "box.interior_medium.scale"


def cloud(**options):
    """A grid with an empty half, lit by a lamp inside and from all around."""
    values = np.random.default_rng(3).uniform(0.5, 1.5, (4, 4, 4))
    values[:, :, :2] = 0
    return m.load(box=m.box(m.fog(m.grid(values), albedo=0.9, **options)), max_depth=6), values


@pytest.mark.slow
@pytest.mark.parametrize("density", METHODS, ids=lambda d: type(d).__name__)
def test_methods_against_differences(density):
    scene, _ = cloud()
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    options = dict(weight=weight, spp=1024)
    reference = m.differences(scene, SCALE, 1.0, 0.1, seeds=range(16), **options)
    found = m.derivative(scene, SCALE, 1.0, seeds=range(12), density=density, **options)
    assert abs(found[0] - reference[0]) <= 4 * np.hypot(found[1], reference[1])


@pytest.mark.parametrize("density", METHODS, ids=lambda d: type(d).__name__)
def test_replay_is_the_tape(density):
    fog = m.fog(0.8, albedo=m.rgb(0.9, 0.5, 0.7), emission=0.1)
    scene = m.load(box=m.box(fog), max_depth=5)
    _same_as_tape(scene, [NAMES["homogeneous"], SCALE, "box.interior_medium.albedo.value.value"], density)


@pytest.mark.slow
@pytest.mark.parametrize("density", METHODS, ids=lambda d: type(d).__name__)
def test_replay_is_the_tape_in_a_grid(density):
    values = np.random.default_rng(3).uniform(0, 2, (4, 4, 4, 3))
    floor = {"type": "rectangle", "to_world": [{"translate": [0, 0, -0.5]}]}
    fog = m.fog(m.grid(values), albedo=m.rgb(0.9, 0.5, 0.7), emission=0.1, phase={"type": "hg", "g": 0.4})
    scene = m.load(box=m.box(fog), floor=floor, max_depth=5)
    names = [NAMES["grid"], SCALE, "box.interior_medium.phase_function.g", "floor.bsdf.reflectance.value"]
    _same_as_tape(scene, names, density)


def _same_as_tape(scene, names, density):
    weight = np.random.default_rng(2).normal(size=scene.image_shape)
    found, tape = (
        prb.render_backward(scene, weight, names, spp=32, adjoint=method(density=density))
        for method in (prb.ReplayAdjoint, prb.TapeAdjoint)
    )
    for name in names:
        scale = np.abs(tape[name]).max()
        np.testing.assert_allclose(found[name], tape[name], atol=2e-5 * scale)


def test_opacity_dims_the_light_that_is_looked_at_through_it():
    """A mask around the fog: the derivative by its opacity, also where that is 1."""
    lamp = {
        "type": "sphere",
        "center": [0, 3, 1],
        "radius": 0.3,
        "emitter": {"type": "area", "radiance": 20.0},
    }
    mask = {"type": "mask", "opacity": 0.4, "inside": {"type": "diffuse"}}
    scene = m.load(box=m.box(m.fog(0.5), bsdf=mask), lamp=lamp, light=None, max_depth=5)
    name, options = "box.bsdf.opacity.value", dict(spp=1024)
    reference = m.differences(scene, name, 1.0, 0.05, seeds=range(16), **options)
    found = m.derivative(scene, name, 1.0, seeds=range(12), **options)
    assert abs(found[0] - reference[0]) <= 4 * np.hypot(found[1], reference[1])
    prb.traverse(scene).update({name: 1.0})
    reference = m.differences(scene, name, -1.0, 0.05, seeds=range(16), sided=1, **options)
    found = m.derivative(scene, name, -1.0, seeds=range(12), **options)
    assert abs(found[0] - reference[0]) <= 4 * np.hypot(found[1], reference[1])


def test_deterministic_sums():
    scene, _ = cloud()
    weight = np.ones(scene.image_shape)
    grads = [
        prb.render_backward(scene, weight, [NAMES["grid"]], spp=16, deterministic=True)[NAMES["grid"]]
        for _ in range(2)
    ]
    assert np.array_equal(*grads)
