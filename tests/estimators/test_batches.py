"""Results that are merged, estimation in batches, and the seeds of a program's random numbers."""

import functools

import numpy as np
import pytest

import prb
from prb.device.params import records
from prb.estimators import seeds
from prb.estimators.batches import Draw, batch_results, doubling_draws, running_results, seed_draws
from prb.estimators.integrate import integrate
from prb.estimators.sums import Result
from prb.kernels.estimators import modes


def box(size=8):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    return scene


def result(value, spp, variance=None, rejected=0):
    return Result(
        np.full((2, 2, 3), value), gradient=np.array([value, 2 * value]), rejected=rejected, spp=spp,
        variance=None if variance is None else np.full(2, variance),
    )  # fmt: skip


def test_results_are_merged_by_their_samples():
    merged = result(1.0, 30, 0.4, 2).merge(result(5.0, 10, 0.8, 1))
    assert merged.spp == 40 and merged.rejected == 3 and merged.tangent is None
    np.testing.assert_allclose(merged.image, 2.0)
    np.testing.assert_allclose(merged.gradient, [2.0, 4.0])
    np.testing.assert_allclose(merged.variance, (9 * 0.4 + 0.8) / 16)


def test_what_cannot_be_merged():
    with pytest.raises(prb.ParameterError, match="merge: both results have to say their number of samples"):
        result(1.0, 4).merge(result(1.0, 0))
    with pytest.raises(prb.ParameterError, match="merge: only one of the two results has a variance"):
        result(1.0, 4, 0.1).merge(result(1.0, 4))


def test_merged_pictures_of_other_seeds_are_less_noisy():
    scene = box()
    exact = integrate(scene, modes.PRIMAL, spp=2048, seed=99).image
    draws = seed_draws(spp=4, seeds=range(16))
    single = list(batch_results(functools.partial(integrate, scene, modes.PRIMAL), draws))
    totals = list(running_results(single))
    errors = [np.square(result.image - exact).mean() for result in single]
    assert len(totals) == 16 and np.square(totals[-1].image - exact).mean() < np.mean(errors) / 8


def test_merged_variance_is_that_of_the_merged_gradient():
    """Of 60 pairs, the spread of the merged gradients is what their variance says, up to a factor of 2."""
    scene, weight = box(4), np.full((4, 4, 3), 1 / 48)
    backward = functools.partial(
        prb.ReplayAdjoint().backward, scene, weight, names=["red.reflectance.value"], variance=True
    )
    found = [
        first.merge(second)
        for first, second in zip(
            batch_results(backward, seed_draws(spp=16, seeds=range(60))),
            batch_results(backward, seed_draws(spp=48, seeds=range(100, 160))),
            strict=True,
        )
    ]
    red = records(scene)["red.reflectance.value"]
    spread = red.of(np.var([f.gradient for f in found], axis=0, ddof=1))
    claimed = red.of(np.mean([f.variance for f in found], axis=0))
    assert np.all((0.5 < claimed / spread) & (claimed / spread < 2))


@pytest.mark.parametrize("most", [8, 9, 24, 64, 65])
def test_doubling_batches_are_all_samples_once(most):
    draws = list(doubling_draws(spp=8, seed=5, max_spp=most))
    assert [d.first_sample for d in draws] == [sum(d.spp for d in draws[:i]) for i in range(len(draws))]
    assert sum(d.spp for d in draws) == most and all(d.seed == 5 and d.spp > 1 for d in draws)


def test_batches_are_made_when_they_are_asked_for():
    asked = []

    def estimate(**options):
        asked.append(options)
        return result(1.0, options["spp"])

    totals = running_results(batch_results(estimate, [Draw(2, 7), Draw(3, 7, 2), Draw(4, 7, 5)]))
    assert [next(totals).spp, next(totals).spp] == [2, 5]
    assert asked == [dict(spp=2, seed=7), dict(spp=3, seed=7, first_sample=2)]


def test_seeds_are_those_that_pictures_and_checkpoints_were_made_with():
    assert seeds.objective_paths(0) == 2654435769 and seeds.objective_paths(2**32 - 1) == 2654435768
    assert seeds.targets(3) == 65539 and seeds.targets(2**32 - 1) == 65535

    def hashed(*key):
        return np.random.SeedSequence(key).generate_state(1)[0]

    assert seeds.picture(4, 7, 2) == hashed(4, 7, 0, 2)
    assert seeds.paths(4, 7, 2) == hashed(4, 7, 1, 2)
    assert seeds.torch_paths(4) == hashed(4, 1)
    expected = np.random.default_rng([4, 7, 2]).integers(0, 2**30, 8)
    np.testing.assert_array_equal(seeds.views(4, 7).integers(0, 2**30, 8), expected)


def test_seeds_of_a_run_are_all_different():
    found = [
        make(1, k, view) for make in (seeds.picture, seeds.paths) for k in range(40) for view in range(3)
    ]
    found += [seeds.objective_paths(1), seeds.targets(1), 1]
    assert len(set(found)) == len(found)
