"""Participating media: closed forms, one-sided differences where density is zero, replay against tape.

Tests of means allow for 5 standard errors, so that one of these few dozen comparisons fails by chance with a
probability of about 1e-5; each asserts, too, that the standard error is tenfold below what a dropped term
would make.
"""

import numpy as np
import pytest
from helpers import media_scenes as m

import prb

METHODS = [prb.FreeFlight(), prb.DifferentialRatioTracking(), prb.SampleMatching()]
UNBIASED = METHODS[1:]  # where density is zero, too
LENGTH = 2.0  # of the way through the box
NAMES = {"homogeneous": "box.interior_medium.sigma_t.value.value", "grid": "box.interior_medium.sigma_t.data"}
SCALE = "box.interior_medium.scale"


def along_the_axis(interior, **options):
    """A box of a medium, seen in directions that differ little from its axis."""
    return m.load(sensor=m.camera(fov=0.5), box=m.box(interior), **options)


def medium(kind, sigma, **options):
    return m.fog(m.grid(np.full((4, 4, 4), sigma)) if kind == "grid" else sigma, **options)


def check(found, expected, dropped):
    """found: (mean, standard error). dropped: what a missing term would change."""
    mean, error = found
    assert error < 0.1 * abs(dropped)
    assert abs(mean - expected) <= 5 * error + 1e-4 * abs(dropped)


def gradient(scene, name, *, seeds=8, spp=512, density=None, direction=1.0):
    return m.derivative(scene, name, direction, seeds=range(seeds), spp=spp, density=density)


@pytest.mark.parametrize("kind", ["homogeneous", "grid"])
def test_transmittance_of_a_slab(kind):
    sigma = 0.7
    scene = along_the_axis(medium(kind, sigma, albedo=0.0))
    T = np.exp(-LENGTH * sigma)
    check(m.samples(lambda seed: m.objective(scene, seed, spp=512), range(8)), T, T)
    check(gradient(scene, NAMES[kind]), -LENGTH * T, LENGTH * T)
    check(gradient(scene, SCALE), -LENGTH * sigma * T, LENGTH * sigma * T)


def test_transmittance_of_a_ramp():
    """Between voxel centres density is linear, beyond the outer ones constant."""
    ramp = np.array([0.2, 0.5, 0.8, 1.1])
    scene = along_the_axis(m.fog(m.grid(np.broadcast_to(ramp[:, None, None], (4, 2, 2))), albedo=0.0))
    T = np.exp(-LENGTH * ramp.mean())
    check(m.samples(lambda seed: m.objective(scene, seed, spp=512), range(8)), T, T)
    first = np.zeros((4, 2, 2, 1))
    first[3] = 1.0  # one layer of four, each of which counts for a quarter of the way
    check(gradient(scene, NAMES["grid"], direction=first), -LENGTH / 4 * T, LENGTH / 4 * T)


@pytest.mark.parametrize("sigma", [0.0, 1.0, [0.3, 1.0, 3.0]], ids=str)
def test_furnace(sigma):
    """Nothing is seen of a medium of albedo 1 in constant light, whatever its density."""
    sigma_t = m.rgb(*sigma) if isinstance(sigma, list) else sigma
    scene = m.load(box=m.box(m.fog(sigma_t, albedo=1.0)), max_depth=-1, rr_depth=16)
    picture = m.samples(lambda seed: m.objective(scene, seed, spp=64), range(8))
    check((picture[0], picture[1] + 1e-6), 1.0, 0.5)
    one = np.ones(3) if isinstance(sigma, list) else 1.0
    check(gradient(scene, NAMES["homogeneous"], direction=one, spp=64), 0.0, 0.6)


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_emissive_slab(sigma):
    eps = 0.3
    scene = along_the_axis(m.fog(sigma, albedo=0.0, emission=eps), light=None)
    tau = sigma * LENGTH
    by_eps = (1 - np.exp(-tau)) / sigma if sigma else LENGTH
    by_sigma = -eps * LENGTH**2 / 2
    if sigma:
        by_sigma = eps * (LENGTH * np.exp(-tau) / sigma - (1 - np.exp(-tau)) / sigma**2)
    check(m.samples(lambda seed: m.objective(scene, seed, spp=512), range(8)), eps * by_eps, eps * LENGTH)
    emission = "box.interior_medium.emission.value.value"
    check(gradient(scene, emission), by_eps, by_eps)
    for density in METHODS:
        check(gradient(scene, NAMES["homogeneous"], density=density), by_sigma, by_sigma)


def cloud(**options):
    """A grid with an empty half, lit by a lamp inside and from all around."""
    values = np.random.default_rng(3).uniform(0.5, 1.5, (4, 4, 4))
    values[:, :, :2] = 0
    return m.load(box=m.box(m.fog(m.grid(values), albedo=0.9, **options)), max_depth=6), values


@pytest.mark.parametrize("density", [pytest.param(UNBIASED[0], marks=pytest.mark.slow), UNBIASED[1]])
def test_empty_voxels_have_their_derivative(density):
    """A forward difference, as density cannot be negative, in voxels that are empty."""
    scene, values = cloud()
    empty = (values == 0)[..., None] * 1.0
    reference = m.differences(scene, NAMES["grid"], empty, 0.1, seeds=range(16), sided=1, spp=1024)
    found = gradient(scene, NAMES["grid"], density=density, direction=empty, seeds=12)
    error = np.hypot(found[1], reference[1])
    assert abs(found[0] - reference[0]) <= 4 * error
    free_flight = gradient(scene, NAMES["grid"], density=METHODS[0], direction=empty, seeds=12)
    assert abs(free_flight[0] - reference[0]) > 10 * np.hypot(free_flight[1], reference[1])


@pytest.mark.parametrize("density", METHODS, ids=lambda d: type(d).__name__)
def test_methods_against_differences(density):
    scene, _ = cloud()
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    options = dict(weight=weight, spp=1024)
    reference = m.differences(scene, SCALE, 1.0, 0.1, seeds=range(16), **options)
    found = m.derivative(scene, SCALE, 1.0, seeds=range(12), density=density, **options)
    assert abs(found[0] - reference[0]) <= 4 * np.hypot(found[1], reference[1])


def test_forward_mode_is_the_transpose():
    scene, values = cloud(phase={"type": "hg", "g": 0.4})
    rng = np.random.default_rng(5)
    weight = rng.normal(size=scene.image_shape)
    names = [NAMES["grid"], SCALE, "box.interior_medium.albedo.value.value"]
    names += ["box.interior_medium.phase_function.g", "light.radiance.value"]
    tangents = {name: rng.normal(size=np.shape(prb.traverse(scene)[name])) for name in names}
    for density in METHODS:
        adjoint = prb.ReplayAdjoint(density=density)
        grads = prb.render_backward(scene, weight, names, spp=16, adjoint=adjoint)
        forward = prb.render_forward(scene, tangents, spp=16, adjoint=adjoint)
        expected = sum((grads[name] * tangents[name]).sum() for name in names)
        np.testing.assert_allclose((forward * weight).sum(), expected, rtol=2e-4)


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


def test_a_grid_of_one_value_is_homogeneous():
    scenes = {
        kind: m.load(box=m.box(medium(kind, 1.3, albedo=0.8)), max_depth=6)
        for kind in ("homogeneous", "grid")
    }
    pictures = [m.samples(lambda seed, s=s: m.objective(s, seed, spp=256), range(8)) for s in scenes.values()]
    assert abs(pictures[0][0] - pictures[1][0]) <= 5 * np.hypot(pictures[0][1], pictures[1][1])
    grads = [gradient(scene, NAMES[kind], spp=256) for kind, scene in scenes.items()]
    assert abs(grads[0][0] - grads[1][0]) <= 5 * np.hypot(grads[0][1], grads[1][1])


def test_surfaces_and_lights_are_differentiated_through_fog():
    """The camera in the fog, a lamp in it, and a floor: parameters of all against differences."""
    lamp = {
        "type": "sphere",
        "center": [0.5, 0.5, 0],
        "radius": 0.2,
        "emitter": {"type": "area", "radiance": 9.0},
    }
    floor = {"type": "rectangle", "to_world": [{"scale": 3}, {"translate": [0, 0, -0.8]}]}
    haze = {**m.fog(0.3, albedo=0.6), "id": "haze"}
    ref = {"type": "ref", "id": "haze"}
    box = {"type": "sphere", "radius": 20, "bsdf": {"type": "null"}, "interior": ref}
    scene = m.load(
        haze=haze, sensor=m.camera(medium=ref), lamp=lamp, floor=floor, around=box, light=None, max_depth=5
    )
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    for name, step in (("floor.bsdf.reflectance.value", 0.1), ("haze.sigma_t.value.value", 0.05)):
        options = dict(weight=weight, spp=1024)
        reference = m.differences(scene, name, 1.0, step, seeds=range(12), **options)
        found = m.derivative(scene, name, 1.0, seeds=range(12), **options)
        assert abs(found[0] - reference[0]) <= 4 * np.hypot(found[1], reference[1])
        assert found[1] < 0.2 * abs(found[0])


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


def test_one_call_gives_the_gradient_of_two():
    """Kept vertices and probes: value_and_grad is the same with a budget for them and without."""
    scene, _ = cloud()

    def loss(picture):
        return float((picture**2).sum()), 2 * picture

    options = dict(spp=16, folds=2)
    results = [
        prb.value_and_grad(scene, [NAMES["grid"], SCALE], loss, hit_budget=budget, **options)
        for budget in (0, 2**26)
    ]
    for name in (NAMES["grid"], SCALE):
        a, b = (result.grads[name] for result in results)
        np.testing.assert_allclose(a, b, atol=2e-4 * np.abs(a).max())


def test_deterministic_sums():
    scene, _ = cloud()
    weight = np.ones(scene.image_shape)
    grads = [
        prb.render_backward(scene, weight, [NAMES["grid"]], spp=16, deterministic=True)[NAMES["grid"]]
        for _ in range(2)
    ]
    assert np.array_equal(*grads)
