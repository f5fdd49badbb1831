"""benchmarks/loop_against_mitsuba.py: its statistics are right, and what it has measured is kept."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import prb

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
try:
    import loop_against_mitsuba as loop
    import loop_scenes
    import loop_statistics as statistics
    from loop_sides import Prb, Watch
    from workers import with_matrices
finally:
    sys.path.pop(0)


def gradients(generator, count, deviation, shift=0.0):
    return [
        (0.1, {"a": shift + deviation * generator.standard_normal(3), "b": generator.standard_normal()})
        for _ in range(count)
    ]


def test_variance_is_the_sum_over_the_numbers():
    x = np.random.default_rng(0).standard_normal((7, 5, 4, 3)) + 100
    samples = statistics.Samples(x)
    assert samples.variance() == pytest.approx(x.var(axis=0, ddof=1).sum())


def test_variance_of_resamples():
    generator = np.random.default_rng(1)
    x = generator.standard_normal((9, 4))
    drawn = statistics.resamples(9, generator)[:20]
    counts = np.stack([np.bincount(row, minlength=9) for row in drawn])
    expected = [x[row].var(axis=0, ddof=1).sum() for row in drawn]
    np.testing.assert_allclose(statistics.Samples(x).variance(counts), expected)


def test_resamples_of_two_have_a_variance():
    drawn = statistics.resamples(2, np.random.default_rng(0))
    assert drawn.shape == (statistics.RESAMPLES, 2) and (drawn.sum(axis=1) == 1).all()


def test_blocks_add_up_to_the_image():
    x = np.random.default_rng(2).standard_normal((3, 10, 6, 3))
    found = statistics.groups(x)
    assert found.shape == (3, statistics.BLOCKS**2 * 3)
    np.testing.assert_allclose(found.reshape(3, -1, 3).sum(axis=1), x.sum(axis=(1, 2)))


def test_efficiency_is_variance_times_time():
    """Samples of twice the deviation that took three times as long: 12, within the interval."""
    generator = np.random.default_rng(3)
    x = generator.standard_normal((60, 3))
    samples = {"prb": {"a": statistics.Samples(x)}, "mitsuba": {"a": statistics.Samples(2 * x)}}
    seconds = {"prb": [0.1] * 60, "mitsuba": [0.3] * 60}
    found = statistics.Efficiency(samples, seconds)
    assert found.ratio["a"] == pytest.approx(12)
    low, high = statistics.interval(found.resampled["a"])
    assert 6 < low < 12 < high < 24


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Of 200 experiments with a true ratio of 1, the intervals of 95 % miss it in 10 +- 3.1."""
    generator = np.random.default_rng(4)
    missed = 0
    for seed in range(200):
        one, other = (statistics.Samples(generator.standard_normal((40, 3))) for _ in range(2))
        seconds = {"prb": [1.0] * 40, "mitsuba": [1.0] * 40}
        found = statistics.Efficiency({"prb": {"a": one}, "mitsuba": {"a": other}}, seconds, seed=seed)
        low, high = statistics.interval(found.resampled["a"])
        missed += not low < 1 < high
    assert 2 <= missed <= 24


def test_z_values_find_a_bias_and_no_other():
    generator = np.random.default_rng(5)
    a, b = (statistics.Samples(generator.standard_normal((40, 500))) for _ in range(2))
    assert statistics.z_values(a, b).max() < statistics.largest_z(500)
    assert (statistics.z_values(a, b) > 1.96).mean() == pytest.approx(0.05, abs=0.03)
    shifted = statistics.Samples(generator.standard_normal((40, 3)) + [0, 0, 2])
    assert np.argmax(statistics.z_values(shifted, statistics.Samples(np.zeros((40, 3))))) == 2
    z = statistics.z_values(*[statistics.Samples(np.ones((5, 2)))] * 2)
    assert (z == 0).all()


def test_largest_z_is_a_normal_quantile():
    assert statistics.largest_z(1, level=0.05) == pytest.approx(1.959964, abs=1e-5)
    assert statistics.largest_z(100, level=0.05) == pytest.approx(3.480756, abs=1e-5)


def case(generator, deviation):
    """One case of the benchmark, Mitsuba's side of some deviation."""
    calls = {"prb": gradients(generator, 40, 1.0), "mitsuba": gradients(generator, 40, deviation)}
    return {"scene": "s", "filter": "box", "place": "start"} | loop.summary(calls)


def test_overall_counts_every_parameter_of_every_case():
    generator = np.random.default_rng(6)
    cases = [case(generator, deviation) for deviation in (1.0, 3.0)]
    calls = {"prb": gradients(generator, 40, 1.0), "mitsuba": gradients(generator, 40, 9.0)}
    only = {side: [(seconds, {"a": g["a"]}) for seconds, g in of] for side, of in calls.items()}
    cases.append({"scene": "s", "filter": "box", "place": "optimum"} | loop.summary(only))
    ratios = [p["efficiency"] for c in cases for p in c["parameters"].values()]
    total = loop.overall(cases)
    assert total["geometric_mean"] == pytest.approx(np.prod(ratios) ** 0.2)
    assert total["variance_ratio"] == pytest.approx(total["geometric_mean"])  # times are the same here
    assert total["least"] == min(ratios) and total["parameters"] == 2 and total["cases"] == 3
    low, high = total["interval"]
    assert (
        total["geometric_mean"] / 1.3 < low < total["geometric_mean"] < high < 1.3 * total["geometric_mean"]
    )
    assert "they agree" in loop.gradient_report(cases)


def test_means_that_differ_are_said_to():
    generator = np.random.default_rng(7)
    calls = {"prb": gradients(generator, 40, 1.0, shift=3.0), "mitsuba": gradients(generator, 40, 1.0)}
    report = loop.gradient_report([{"scene": "s", "filter": "box", "place": "start"} | loop.summary(calls)])
    assert "THEY DO NOT AGREE" in report


def test_results_are_whole_after_each_case(tmp_path, monkeypatch):
    """An interrupt in the second case leaves the first one, in files that can be read."""
    generator = np.random.default_rng(8)

    def measured(scene, rfilter, args):
        yield case(generator, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "measure_gradient", measured)
    monkeypatch.setattr(loop, "versions", dict)
    monkeypatch.setattr(loop.workers, "has_mitsuba", lambda: True)
    with pytest.raises(SystemExit, match="interrupted"):
        loop.main(["gradient", "--scene", "cornell-box", "-o", str(tmp_path), "--option", "hit_budget=0"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["loop_gradient.json", "loop_gradient.md"]
    found = json.loads((tmp_path / "loop_gradient.json").read_text())
    assert len(found["cases"]) == 1 and found["settings"]["option"] == {"hit_budget": 0}


def test_medians_are_of_the_last_complete_iteration():
    curves = [
        [(0.0, {"a": 8.0}), (1.0, {"a": 4.0}), (2.0, {"a": 2.0})],
        [(0.0, {"a": 8.0}), (1.5, {"a": 1.0})],
        [(0.0, {"a": 8.0}), (0.5, {"a": 6.0}), (2.5, {"a": 0.0})],
    ]
    found = statistics.medians_at(curves, [0.0, 1.0, 2.0, 3.0])
    np.testing.assert_array_equal(found["a"], [8, 6, 2, 1])


def test_watch_leaves_out_the_errors(monkeypatch):
    clock = iter([10.0, 11.0, 20.0, 22.0])  # after a record, before the next one
    monkeypatch.setattr("loop_sides.time.perf_counter", lambda: next(clock))
    watch = Watch(3.0, lambda: {"a": np.array([1.0, 3.0])}, {"a": np.zeros(2)})
    watch.record()
    assert not watch.over
    watch.record()
    assert watch.curve[-1] == (1.0, {"a": pytest.approx(np.sqrt(5))})


def test_places_are_within_the_range():
    """All that a problem starts from can be assigned, and differs from the truth."""
    numbers = 0
    for make in loop_scenes.PROBLEMS.values():
        problem = make()
        scene = with_matrices(loop_scenes.with_film(problem.scene, size=4, rfilter="box"))
        side = Prb(scene, problem.parameters)
        numbers += len(problem.parameters)
        for place in loop.PLACES:
            values = problem.values(place, side.true)
            side.set(values)
            off = [np.abs(values[name] / true - 1).max() for name, true in side.true.items()]
            assert min(off) > 0 and (max(off) <= loop_scenes.NEAR) == (place == "optimum")
            assert all(side.params.differentiable(name) for name in values)
        assert side.scene.image_shape == (4, 4, 3)
    assert numbers >= 20


def test_a_recovery_ends_with_its_time():
    """prb's side of a recovery: errors from the start on, and no exception at its end."""
    problem = loop_scenes.cornell_box()
    names = ("red.reflectance.value",)
    made = with_matrices(loop_scenes.with_film(problem.scene, size=4, rfilter="box"))
    side = Prb(made, names)
    initial = problem.values("start", side.true)
    target = prb.render(side.scene, spp=4)
    curve = side.recover([target], initial, rate=0.02, spp=2, seed=0, seconds=0.2)
    assert curve[0][0] == 0 and curve[-1][0] >= 0.2 > curve[-2][0]
    true, start = side.true[names[0]], initial[names[0]]
    assert curve[0][1] == {names[0]: pytest.approx(np.sqrt(np.mean((start - true) ** 2)), rel=1e-6)}


@pytest.mark.parametrize("argv", [["gradient", "--seeds", "1"], ["gradient", "--option", "x"], []])
def test_mistakes_end_with_status_2(argv, capsys):
    with pytest.raises(SystemExit) as error:
        loop.arguments(argv)
    assert error.value.code == 2
