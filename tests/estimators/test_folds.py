"""Folds of `value_and_grad`: no bias for a squared error, less noise with more of them, and their mistakes.

All runs have fixed seeds. Where a mean is tested for zero, the significance is 1e-4 (two-sided, 3.9 standard
errors).
"""

import numpy as np
import pytest
from helpers.filters import FILTERS
from helpers.lit_wall import RADIANCE

import prb
from prb import losses

LIMIT = 3.9
SEEDS = 80


def lit(filter_name, size=4):
    """A wall by an area light, noisy and linear in its radiance."""
    grey = {"type": "rgb", "value": [0.5, 0.5, 0.5]}
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": FILTERS[filter_name][0]}
    turned = {"rotate": {"axis": [0, 1, 0], "angle": 180}}
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3},
        "sensor": {"type": "perspective", "fov": 60, "film": film,
                   "to_world": [{"look_at": {"origin": [0, 0, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}]},
        "wall": {"type": "rectangle", "to_world": [{"scale": 3}],
                 "bsdf": {"type": "diffuse", "reflectance": grey}},
        "light": {"type": "rectangle", "to_world": [{"scale": 0.7}, turned, {"translate": [0.5, 0, 0.6]}],
                  "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [4, 4, 4]}}},
    })  # fmt: skip


def mean_gradients(scene, loss, spp, seeds, **options):
    found = [prb.value_and_grad(scene, [RADIANCE], loss, spp=spp, seed=s, **options) for s in seeds]
    return np.array([f.grads[RADIANCE].mean() for f in found])


def independent_gradients(scene, loss, spp, seeds):
    """The loss gradient at one picture, pulled back along the paths of another seed."""
    found = []
    for s in seeds:
        adjoint = loss(prb.render(scene, spp=spp, seed=s + 5000))[1]
        found.append(prb.render_backward(scene, adjoint, [RADIANCE], spp=spp, seed=s)[RADIANCE].mean())
    return np.array(found)


def shared_gradients(scene, loss, spp, seeds):
    found = []
    for s in seeds:
        adjoint = loss(prb.render(scene, spp=spp, seed=s))[1]
        found.append(prb.render_backward(scene, adjoint, [RADIANCE], spp=spp, seed=s)[RADIANCE].mean())
    return np.array(found)


def standard_errors(a, b):
    return abs(a.mean() - b.mean()) / np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))


@pytest.mark.parametrize("filter_name", ["box", "gaussian"])
def test_folds_have_no_bias_and_shared_samples_have(filter_name):
    scene = lit(filter_name)
    target = np.full(scene.image_shape, 0.3)
    loss = losses.l2(target)
    seeds = range(SEEDS)
    independent = {spp: independent_gradients(scene, loss, spp, range(2 * SEEDS)) for spp in (2, 8)}
    for spp, folds in ((2, 2), (8, 2), (8, 3), (8, 8)):
        found = mean_gradients(scene, loss, spp, seeds, folds=folds)
        assert standard_errors(found, independent[spp]) < LIMIT, (spp, folds)
    shared = shared_gradients(scene, loss, 2, range(4 * SEEDS))
    assert standard_errors(shared, independent[2]) > 2 * LIMIT


def test_noise_falls_with_the_number_of_folds():
    """Over the same seeds; with 8 folds a loss gradient is from 7/8 of the samples, not from a half."""
    for filter_name in ("box", "gaussian"):
        scene = lit(filter_name)
        loss = losses.l2(prb.render(scene, spp=4096, seed=99))  # at the optimum, where only noise is left
        two, eight = (mean_gradients(scene, loss, 8, range(2 * SEEDS), folds=k).var(ddof=1) for k in (2, 8))
        assert eight < 0.9 * two, (filter_name, eight / two)


@pytest.mark.parametrize("filter_name", ["box", "gaussian", "lanczos"])
def test_each_fold_is_given_the_picture_of_all_others(filter_name):
    """Two folds of one sample each: the pictures are those of the first and of the second sample alone; and
    the last one that a loss sees is that of all samples."""
    scene = lit(filter_name)
    for spp, folds in ((2, 2), (5, 5), (7, 3)):
        pictures = []

        def loss(image, pictures=pictures):
            pictures.append(image.copy())
            return float(image.sum()), np.ones(image.shape)

        found = prb.value_and_grad(scene, [RADIANCE], loss, spp=spp, seed=3, folds=folds)
        assert len(pictures) == folds + 1
        np.testing.assert_array_equal(pictures[-1], found.image)
        np.testing.assert_allclose(found.image, prb.render(scene, spp=spp, seed=3), rtol=2e-5, atol=1e-6)
        ends = [j * spp // folds for j in range(folds + 1)]
        sums = prb.render(scene, spp=spp, seed=3).astype(float)
        if filter_name == "box":  # whose pictures are plain means
            whole = sums * spp
            for j, (first, end) in enumerate(zip(ends, ends[1:], strict=False)):
                before = prb.render(scene, spp=first, seed=3) * float(first) if first else 0.0
                own = prb.render(scene, spp=end, seed=3) * float(end) - before
                expected = (whole - own) / (spp - end + first)
                np.testing.assert_allclose(pictures[j], expected, rtol=1e-4, atol=1e-5)
        elif spp == 2:
            np.testing.assert_allclose(pictures[1], prb.render(scene, spp=1, seed=3), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("filter_name", ["box", "gaussian", "mitchell"])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_a_linear_loss_has_the_gradient_of_render_backward(filter_name, folds):
    scene = lit(filter_name)
    weight = np.random.default_rng(0).normal(size=scene.image_shape)
    expected = prb.render_backward(scene, weight, spp=5, seed=2)
    for budget in (0, 2**28):
        found = prb.value_and_grad(
            scene, None, lambda image: ((weight * image).sum(), weight), spp=5, seed=2, folds=folds,
            hit_budget=budget,
        )  # fmt: skip
        for name, gradient in expected.items():
            np.testing.assert_allclose(found.grads[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_loss_gradient_that_differs_by_fold_belongs_to_the_samples_of_the_fold():
    """The derivative is an indicator of one fold: the sum over folds is that of all; a fold's part is what a
    render of its samples alone has."""
    for filter_name in ("box", "gaussian"):
        scene, parts = lit(filter_name), []
        for wanted in range(3):
            calls = []

            def loss(image, calls=calls, wanted=wanted):
                calls.append(0)
                return 0.0, np.full(image.shape, float(len(calls) - 1 == wanted))

            parts.append(prb.value_and_grad(scene, [RADIANCE], loss, spp=7, seed=1, folds=3).grads[RADIANCE])
        expected = prb.render_backward(scene, np.ones(scene.image_shape), [RADIANCE], spp=7, seed=1)[RADIANCE]
        np.testing.assert_allclose(sum(parts), expected, rtol=1e-5)
        first = prb.render_backward(scene, np.ones(scene.image_shape), [RADIANCE], spp=2, seed=1)[RADIANCE]
        if filter_name == "box":
            np.testing.assert_allclose(parts[0], first * 2 / 7, rtol=1e-5)
        assert np.all(parts[2] > 0.3 * expected)  # three of seven samples


@pytest.mark.parametrize("filter_name", ["box", "gaussian"])
def test_what_is_kept_does_not_change_the_gradient(filter_name):
    scene = lit(filter_name, 8)
    loss = losses.l2(np.full(scene.image_shape, 0.3))
    a, b = (
        prb.value_and_grad(scene, None, loss, spp=9, seed=2, folds=4, hit_budget=budget)
        for budget in (0, 2**28)
    )
    np.testing.assert_allclose(a.image, b.image, rtol=1e-5)
    for name, gradient in a.grads.items():
        np.testing.assert_allclose(b.grads[name], gradient, rtol=1e-4, atol=1e-9)


def test_other_methods_agree_where_the_weights_of_folds_are_equal():
    """The tape with as many folds, under a box filter."""
    scene = lit("box")
    loss = losses.l2(np.full(scene.image_shape, 0.3))
    options = dict(spp=8, seed=2, folds=4)
    replay = prb.value_and_grad(scene, [RADIANCE], loss, **options).grads[RADIANCE]
    for method in (prb.TapeAdjoint(), prb.FiniteDifference()):
        found = prb.value_and_grad(scene, [RADIANCE], loss, adjoint=method, **options).grads[RADIANCE]
        np.testing.assert_allclose(found, replay, rtol=1e-3)


@pytest.mark.parametrize("folds", [1, 0, -2, 9, True, 2.5, "2", float("nan")])
@pytest.mark.parametrize("adjoint", [None, prb.TapeAdjoint()], ids=["replay", "tape"])
def test_numbers_of_folds_that_are_none(folds, adjoint):
    scene = lit("gaussian")
    with pytest.raises(prb.ParameterError) as caught:
        prb.value_and_grad(
            scene, [RADIANCE], losses.l2(np.zeros(scene.image_shape)), spp=8, folds=folds, adjoint=adjoint
        )
    message = str(caught.value)
    assert message.startswith(f"folds: {folds!r} is out of range") and "\n" not in message and "8" in message


def test_a_derivative_that_is_not_finite_names_the_fold():
    scene, calls = lit("gaussian"), []

    def loss(image):
        calls.append(0)
        return 0.0, np.full(image.shape, np.nan if len(calls) == 3 else 1.0)

    with pytest.raises(prb.NotFiniteError) as caught:
        prb.value_and_grad(scene, [RADIANCE], loss, spp=8, folds=4)
    assert "fold 2" in str(caught.value) and "not finite" in str(caught.value)
    assert "\n" not in str(caught.value)
