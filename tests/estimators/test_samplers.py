"""Samplers in renders and gradients: unbiased, less noise, the same numbers on replay and tape, and honest
standard errors."""

import numpy as np
import pytest

import prb
from prb.errors import ParameterError
from prb.kernels.points import NAMES

SAMPLERS = [
    name if name == "sobol" else pytest.param(name, marks=pytest.mark.slow)
    for name in NAMES
    if name != "independent"
]
PARAM = "white.reflectance.value"


@pytest.fixture(scope="module")
def box():
    scene = prb.load_file("cornell-box")
    scene.resize(16, 16)
    return scene


@pytest.fixture(scope="module")
def truth(box):
    return prb.render(box, spp=8192, max_depth=4, seed=99)


def errors(box, truth, sampler, spp, seeds=range(4)):
    images = [prb.render(box, spp=spp, max_depth=4, seed=seed, sampler=sampler) for seed in seeds]
    return np.mean([((image - truth) ** 2).mean() for image in images]), np.mean(images, axis=0)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pictures_are_right_and_have_less_noise(box, truth, sampler):
    independent, _ = errors(box, truth, "independent", 64)
    own, mean = errors(box, truth, sampler, 64)
    assert own < {"sobol": 0.8}.get(sampler, 0.95) * independent
    assert abs(mean.mean() - truth.mean()) < 0.03 * truth.mean()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_sample_is_as_good_as_an_independent_one(box, truth, sampler):
    found = []
    for name in ("independent", sampler):
        images = [prb.render(box, spp=1, max_depth=4, seed=seed, sampler=name) for seed in range(40)]
        found.append(np.minimum(np.abs(images - truth), 1.0).mean())
    assert found[0] == pytest.approx(found[1], rel=0.03)


def test_a_scene_names_its_sampler():
    scene = prb.load_file("cornell-box")
    assert scene.sampler == "independent"
    view = scene.view(sampler="sobol")
    view.resize(8, 8)
    expected = prb.render(scene, spp=4, sampler="sobol")
    np.testing.assert_array_equal(prb.render(view, spp=4), expected)
    assert (prb.render(scene, spp=4) != expected).any()
    with pytest.raises(ParameterError, match="sampler: 'halton' is unknown; take one of independent, mult"):
        prb.render(scene, sampler="halton")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_replay_tape_and_attached_tape_take_the_same_numbers(box, sampler):
    weights = np.random.default_rng(0).random(box.image_shape)
    options = dict(params=[PARAM], spp=9, max_depth=4, seed=3, sampler=sampler)
    replay = prb.render_backward(box, weights, **options)[PARAM]
    tape = prb.render_backward(box, weights, adjoint=prb.TapeAdjoint(passes=2), **options)[PARAM]
    np.testing.assert_allclose(replay, tape, rtol=2e-4)
    attached = prb.render_backward(box, weights, adjoint=prb.AttachedReplay(), **options)[PARAM]
    attached_tape = prb.TapeAdjoint(sampling="attached")
    np.testing.assert_allclose(
        attached, prb.render_backward(box, weights, adjoint=attached_tape, **options)[PARAM], rtol=2e-3
    )


def test_forward_is_the_transpose_of_reverse(box):
    rng = np.random.default_rng(1)
    weights, tangent = rng.random(box.image_shape), rng.random(3)
    options = dict(spp=16, max_depth=4, seed=5, sampler="sobol")
    image = prb.render_forward(box, {PARAM: tangent}, **options)
    gradient = prb.render_backward(box, weights, params=[PARAM], **options)[PARAM]
    assert (image * weights).sum() == pytest.approx((gradient * tangent).sum(), rel=1e-4)


@pytest.mark.parametrize("rfilter", ["box", "gaussian"])
def test_standard_errors_are_calibrated(rfilter):
    """Over 60 seeds, the spread of gradients over what they say of it."""
    film = {"type": "hdrfilm", "width": 12, "height": 12, "rfilter": {"type": rfilter}}
    scene = prb.load_dict({
        "type": "scene", "integrator": {"type": "path"},
        "sensor": {"type": "perspective", "fov": 40, "film": film, "to_world": [{"translate": [0, 0, -4]}]},
        "white": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.5, 0.6, 0.7]}},
        "wall": {"type": "rectangle", "bsdf": {"type": "ref", "id": "white"}, "to_world": [
            {"rotate": {"axis": [0, 1, 0], "angle": 180}}, {"scale": 3}]},
        "ball": {"type": "sphere", "center": [0.4, 0, -1], "radius": 0.5,
                 "bsdf": {"type": "ref", "id": "white"}},
        "lamp": {"type": "rectangle", "emitter": {"type": "area", "radiance": 5.0},
                 "to_world": [{"scale": 0.5}, {"translate": [-1, 2, -3]}]},
    })  # fmt: skip
    weights = np.random.default_rng(2).random(scene.image_shape)
    options = dict(params=[PARAM], spp=64, max_depth=3, sampler="sobol", stderr=True)
    found = [prb.render_backward(scene, weights, seed=seed, **options)[PARAM] for seed in range(60)]
    spread = np.std([f.value for f in found], axis=0, ddof=1)
    said = np.sqrt(np.mean([f.stderr**2 for f in found], axis=0))
    assert (np.abs(np.log(spread / said)) < 0.35).all()
    image = prb.render_forward(scene, {PARAM: 1.0}, spp=64, max_depth=3, sampler="sobol", stderr=True)
    assert (image.stderr > 0).any() and np.isfinite(image.stderr).all()


def test_a_loss_that_is_quadratic_has_no_bias(box):
    """Folds have points of their own, so that a gradient is not correlated with its picture."""
    target = np.zeros(box.image_shape)
    loss = prb.losses.l2(target)
    options = dict(max_depth=3, sampler="sobol")
    found = [prb.value_and_grad(box, [PARAM], loss, spp=8, seed=seed, **options) for seed in range(60)]
    means = np.mean([each.grads[PARAM] for each in found], axis=0)
    exact = prb.value_and_grad(box, [PARAM], loss, spp=2048, seed=1, **options).grads[PARAM]
    errors_of_means = np.std([each.grads[PARAM] for each in found], axis=0) / np.sqrt(60)
    assert (np.abs(means - exact) < 4 * errors_of_means + 0.01 * exact).all()
