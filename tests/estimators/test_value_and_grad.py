"""A loss and its gradient from one set of samples: no bias, and what a loss may be."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.lit_wall import RADIANCE, lit_scene

import prb
from prb import losses
from prb.estimators import work
from prb.estimators.kept_vertices import PATH_BYTES, KeptVertices, vertex_bytes
from prb.kernels.estimators import modes


def test_halves_have_no_bias_and_shared_samples_have():
    """For a squared error of a picture that is linear in the radiance, the expected gradient is known."""
    scene = lit_scene()
    target = np.full(scene.image_shape, 0.3)
    loss = losses.l2(target)
    exact = prb.render(scene, spp=2**15, seed=999).astype(float)
    # The picture is radiance times its value at 1, channel by channel.
    expected = (2 * (exact - target) * exact / 4).sum(axis=(0, 1)) / target.size
    halves, naive = [], []
    for seed in range(400):
        halves.append(prb.value_and_grad(scene, [RADIANCE], loss, spp=2, seed=seed).grads[RADIANCE])
        image = prb.render(scene, spp=2, seed=seed)
        adjoint = loss(image)[1]
        naive.append(prb.render_backward(scene, adjoint, [RADIANCE], spp=2, seed=seed)[RADIANCE])
    halves, naive = np.array(halves).mean(axis=1), np.array(naive).mean(axis=1)
    expected = expected.mean()

    def standard_errors(found):
        return abs(found.mean() - expected) / (found.std(ddof=1) / np.sqrt(len(found)))

    assert standard_errors(halves) < 4
    assert standard_errors(naive) > 8


@pytest.mark.parametrize("spp", [8, 5])
def test_gradient_does_not_depend_on_what_is_kept(spp, monkeypatch):
    """From no vertex to all of them, with several launches, and where the paths' arrays are used again."""
    monkeypatch.setattr(work, "CPU", replace(work.CPU, paths=700, workers=7))
    scene = prb.load_file("cornell-box")
    scene.resize(16, 16)
    loss = losses.l2(np.full(scene.image_shape, 0.3))
    paths = 16 * 16 * spp
    expected = prb.value_and_grad(scene, "albedo", loss, spp=spp, seed=2, hit_budget=0)
    assert scene.state.kept_vertices is None
    vertices = [1, 2.4, 100, 2.4, 2.4]
    for budget in [paths * (PATH_BYTES + v * vertex_bytes(scene)) for v in vertices]:
        found = prb.value_and_grad(scene, "albedo", loss, spp=spp, seed=2, hit_budget=budget)
        assert 0 < scene.state.kept_vertices.nbytes() <= budget + 7 * 2 * vertex_bytes(scene) * 7
        np.testing.assert_allclose(found.image, expected.image, rtol=1e-5, atol=1e-6)
        for name, gradient in expected.grads.items():
            np.testing.assert_allclose(found.grads[name], gradient, rtol=1e-4, err_msg=name)


def test_kept_vertices_for_few_and_for_many_parameters_take_turns():
    """Many parameters are left to fewer workers, whose rows are longer."""
    texels = np.random.default_rng(1).uniform(0.1, 0.9, (64, 64, 3)).astype(np.float32)
    scene, size = lit_scene(16, texels), 16
    loss = losses.l2(np.zeros((size, size, 3)))
    few, many = sorted((RADIANCE, "wall.bsdf.reflectance.data"), key=lambda n: work.gradient_size(scene, [n]))
    workers = [work.cut(work.CPU, scene, modes.REVERSE, 4, work.gradient_size(scene, [n])).workers
               for n in (few, many)]  # fmt: skip
    assert workers[0] > workers[1]
    kept = KeptVertices.of(scene, 4, 3, 2**20)
    for n in (*workers, *workers):
        vertices, paths, _ = kept.of_launch(0, 0, n, size * size * 4, probes=False)
        assert vertices.shape[0] == n and paths.shape == (size * size * 4,)

    def found(scene, name):
        return prb.value_and_grad(scene, name, loss, spp=4, seed=3).grads[name]

    expected = {name: found(lit_scene(16, texels), name) for name in (few, many)}
    for name in (few, many, few, many, many):
        np.testing.assert_allclose(found(scene, name), expected[name], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("budget", [-1, "much", float("nan"), True])
def test_a_budget_that_is_none(budget):
    scene = lit_scene()
    with pytest.raises(prb.ParameterError, match="hit_budget: .* is not a number of bytes"):
        prb.value_and_grad(scene, RADIANCE, losses.l2(np.zeros(scene.image_shape)), spp=2, hit_budget=budget)


def test_picture_is_that_of_all_samples():
    scene = lit_scene()
    loss = losses.l2(np.zeros(scene.image_shape))
    found = prb.value_and_grad(scene, RADIANCE, loss, spp=5, seed=3, max_depth=2)
    expected = prb.render(scene, spp=5, seed=3, max_depth=2)
    np.testing.assert_allclose(found.image, expected, rtol=1e-6)
    assert found.value == pytest.approx((expected.astype(float) ** 2).mean())
    assert found.image.dtype == found.grads[RADIANCE].dtype == np.float64


def test_linear_loss_has_the_gradient_of_render_backward():
    """What is constant crosses over unchanged, odd numbers of samples included."""
    scene = lit_scene()
    weight = np.random.default_rng(0).uniform(size=scene.image_shape)
    found = prb.value_and_grad(scene, None, lambda image: ((weight * image).sum(), weight), spp=5, seed=2)
    expected = prb.render_backward(scene, weight, spp=5, seed=2)
    assert list(found.grads) == list(expected)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found.grads[name], gradient, rtol=1e-5)


def test_an_optimiser_stands_for_its_names_and_descends():
    scene = lit_scene()
    target = prb.render(scene, spp=256, seed=50)
    params = prb.traverse(scene)
    params.update({RADIANCE: [1, 2, 9]})
    opt = prb.Adam(0.4, {RADIANCE: params[RADIANCE]})
    for seed in range(60):
        value, grads, _ = prb.value_and_grad(scene, opt, losses.l2(target), spp=16, seed=seed)
        opt.step(grads)
        params.update(opt)
    np.testing.assert_allclose(params[RADIANCE], 4, rtol=0.1)


def test_mistakes_are_one_line():
    scene = lit_scene()
    good = losses.l2(np.zeros(scene.image_shape))
    zeros = np.zeros(scene.image_shape)
    for loss, options, message in (
        (good, {"spp": 1}, "spp: 1 sample cannot be split"),
        (good, {"seed": -1}, "seed: -1 is out of range"),
        (lambda image: 1.0, {}, "loss: expected (value, derivative by the image), got float"),
        (lambda image: (None, zeros), {}, "loss: expected (value, derivative by the image), got tuple"),
        (lambda image: (1.0, zeros[:2]), {}, "loss: its derivative has shape (2, 4, 3)"),
        (lambda image: (1.0, zeros + np.nan), {}, "loss: its derivative is not finite"),
        (lambda image: (np.inf, zeros), {}, "loss: it is inf, not a finite number"),
        (losses.l2(np.zeros((5, 4, 3))), {}, "target: has shape (5, 4, 3) and the picture (4, 4, 3)"),
    ):
        with pytest.raises(prb.PrbError) as caught:
            prb.value_and_grad(scene, RADIANCE, loss, **{"spp": 2, **options})
        assert message in str(caught.value) and "\n" not in str(caught.value)
