"""The keystone: replay, tape and central differences find the same gradient for the same random numbers.

Rounding is all that may differ. So every term, weight and random number of one side that changes alone
turns these tests red.
"""

import numpy as np
import pytest
from helpers.bundled import SCENES

import prb
from prb.estimators.registry import METHODS

TOLERANCE = 1e-4  # of the largest number of a parameter's gradient; float32 throughout


def prepared(name, size, rr_depth=10000):
    scene = prb.load_file(name)
    scene.resize(size, size)
    scene.model.integrator.rr_depth = rr_depth
    return scene


def compare(scene, weight, **options):
    """The largest difference between tape and replay, over the largest number of each parameter."""
    replay = prb.render_backward(scene, weight, **options, adjoint=prb.ReplayAdjoint())
    tape = prb.render_backward(scene, weight, **options, adjoint=prb.TapeAdjoint())
    black = not prb.render(scene, **options).any()
    assert black or any(np.any(g != 0) for g in tape.values())
    for name in replay:
        scale = max(np.abs(tape[name]).max(), 1e-9 * np.abs(weight).sum())
        assert np.abs(replay[name] - tape[name]).max() <= TOLERANCE * scale, name


@pytest.mark.parametrize("rr_depth", [3, 10000])
@pytest.mark.parametrize("depth", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("name", SCENES)
def test_replay_is_the_tape(name, depth, rr_depth):
    scene = prepared(name, 16, rr_depth)
    weight = np.random.default_rng(depth).normal(size=scene.image_shape)
    compare(scene, weight, spp=3, seed=depth, max_depth=depth)


@pytest.mark.parametrize("name", SCENES)
def test_replay_is_the_tape_path_by_path(name):
    """One path at a time: no sum in which faults could cancel."""
    scene = prepared(name, 4)
    for seed in range(3):
        for pixel in range(0, 48, 5):
            weight = np.zeros(scene.image_shape)
            weight.flat[pixel] = 1
            replay = prb.render_backward(scene, weight, spp=1, seed=seed, max_depth=9)
            tape = prb.render_backward(
                scene, weight, spp=1, seed=seed, max_depth=9, adjoint=prb.TapeAdjoint()
            )
            scale = max(np.abs(g).max() for g in tape.values())
            for parameter in replay:
                np.testing.assert_allclose(
                    replay[parameter], tape[parameter], rtol=TOLERANCE, atol=1e-6 * scale
                )


@pytest.mark.quick
def test_replay_is_the_tape_where_factors_are_zero():
    scene = prepared("cornell-box", 24)
    params = prb.traverse(scene)
    params.update(
        {
            "white.reflectance.value": [0, 0.7, 1],
            "red.reflectance.value": [0, 0, 0.3],
            "light.emitter.radiance.value": [0, 10, 5],
        }
    )
    weight = np.random.default_rng(1).uniform(size=scene.image_shape)
    for seed in range(3):
        compare(scene, weight, spp=8, seed=seed)


def test_the_tapes_image_is_the_render():
    scene = prepared("cornell-box", 16)
    weight = np.ones(scene.image_shape)
    options = dict(spp=5, seed=1, max_depth=6)
    images = [METHODS[m]().backward(scene, weight, **options).image for m in ("replay", "tape", "fd")]
    for image in images:
        np.testing.assert_allclose(image, prb.render(scene, **options), rtol=1e-5, atol=1e-7)


def test_central_differences_agree():
    scene = prepared("cornell-box", 16)
    weight = np.random.default_rng(2).uniform(size=scene.image_shape) / 256
    options = dict(spp=8, seed=6)
    before = scene.values.copy()
    differences = prb.render_backward(scene, weight, **options, adjoint=prb.FiniteDifference(step=2e-3))
    assert np.array_equal(scene.values, before)
    replay = prb.render_backward(scene, weight, **options)
    for name in replay:
        np.testing.assert_allclose(differences[name], replay[name], rtol=5e-3, atol=1e-4)


@pytest.mark.parametrize("method", [prb.TapeAdjoint, prb.ReplayAdjoint])
def test_passes_change_nothing_but_memory(method):
    scene = prepared("cornell-box", 16)
    weight = np.ones(scene.image_shape) / 768
    options = dict(spp=7, seed=3, max_depth=5)
    whole = prb.render_backward(scene, weight, **options, adjoint=method())
    for passes in (2, 3, 7):
        parts = prb.render_backward(scene, weight, **options, adjoint=method(passes=passes))
        for name in whole:
            np.testing.assert_allclose(parts[name], whole[name], rtol=1e-5)


def test_bytes_of_the_methods():
    scene = prepared("cornell-box", 64)
    options = dict(spp=16, max_depth=32)
    tape, split, replay = prb.TapeAdjoint(), prb.TapeAdjoint(passes=16), prb.ReplayAdjoint()
    assert tape.device_bytes(scene, **options) > 10 * split.device_bytes(scene, **options)
    assert tape.device_bytes(scene, spp=16, max_depth=64) > 1.8 * tape.device_bytes(scene, **options)
    assert replay.device_bytes(scene, spp=64, max_depth=64) == replay.device_bytes(
        scene, spp=999, max_depth=3
    )


def test_the_tape_refuses_what_does_not_fit():
    scene = prepared("cornell-box", 16)
    weight = np.ones(scene.image_shape)
    small = 2**21
    with pytest.raises(
        prb.MemoryLimitError, match=r"needs \d+ MiB.*limit is 2 MiB.*passes=(\d+).*Replay"
    ) as info:
        prb.render_backward(scene, weight, spp=16, max_depth=8, adjoint=prb.TapeAdjoint(memory_limit=small))
    assert info.value.needed > info.value.limit == small
    passes = int(str(info.value).split("passes=")[1].split(",")[0])
    fits = prb.TapeAdjoint(memory_limit=small, passes=passes)
    assert fits.device_bytes(scene, spp=16, max_depth=8) <= small
    prb.render_backward(scene, weight, spp=16, max_depth=8, adjoint=fits)
    with pytest.raises(prb.MemoryLimitError, match="smaller film or depth"):
        prb.render_backward(scene, weight, spp=2, max_depth=8, adjoint=prb.TapeAdjoint(memory_limit=1000))
    with pytest.raises(prb.ParameterError, match="max_depth: -1 has no end"):
        prb.render_backward(scene, weight, spp=2, max_depth=-1, adjoint=prb.TapeAdjoint())
    with pytest.raises(prb.ParameterError, match="passes: 3 is out of range"):
        prb.render_backward(scene, weight, spp=2, max_depth=2, adjoint=prb.TapeAdjoint(passes=3))
    with pytest.raises(prb.ParameterError, match="step: 0 is out of range"):
        prb.render_backward(scene, weight, spp=2, adjoint=prb.FiniteDifference(step=0))


def test_slots_cover_the_gradient():
    scene = prepared("knot", 8)
    gradient = (
        METHODS["tape"]().backward(scene, np.ones(scene.image_shape), spp=1, seed=0, max_depth=2).gradient
    )
    assert gradient.shape == scene.values.shape
    assert sum(record.size for record in scene.layout.parameters.values()) == gradient.size
