"""Standard errors: that they are what they say, and that samples are added until they are small enough."""

import json
import math

import numpy as np
import pytest
from scipy import stats
from test_closed_forms import furnace, geometric

import prb
from prb.cli.main import main
from prb.estimators.tolerance import RELIABLE_ERROR, relative_error, sample_to_tolerance

ALBEDO = np.array([0.5, 0.8, 0.3])
EMISSION = np.array([0.5, 0.2, 2.0])
NAME = "ball.bsdf.reflectance.value"
RUNS = 400
INTERVAL = stats.norm.ppf(0.975)


def small_furnace(size):
    """Roulette from the first vertex on makes it noisy: else nearly every path finds the same."""
    return furnace(ALBEDO.tolist(), EMISSION.tolist(), max_depth=6, rr_depth=1, size=size)


def slope():
    """The derivative of the radiance by the reflectance, channel by channel."""
    return EMISSION * geometric(ALBEDO, 6)[1]


def uniform(scene):
    return np.full(scene.image_shape, 1 / np.prod(scene.image_shape))


def box(size=8):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    return scene


def flat(gradients, part):
    return np.concatenate([getattr(g, part).ravel() for g in gradients.values()])


def test_intervals_of_a_gradient_cover_the_truth():
    """Of 400 independent runs, 92 % to 98 % of the 95 % intervals, for each component."""
    scene = small_furnace(4)
    weight = uniform(scene)
    covered = np.zeros(3)
    for seed in range(RUNS):
        found = prb.render_backward(scene, weight, [NAME], spp=32, seed=seed, stderr=True)[NAME]
        covered += np.abs(found.value - slope() / 3) <= INTERVAL * found.stderr
    assert np.all((0.92 <= covered / RUNS) & (covered / RUNS <= 0.98)), covered / RUNS


def test_intervals_of_a_derivative_image_cover_the_truth():
    """Each of 400 pixels is an experiment of its own."""
    scene = small_furnace(20)
    found = prb.render_forward(scene, {NAME: 1.0}, spp=256, seed=5, stderr=True)
    covered = (np.abs(found.value - slope()) <= INTERVAL * found.stderr).mean(axis=(0, 1))
    assert np.all((0.92 <= covered) & (covered <= 0.98)), covered


def test_standard_errors_are_the_spread_over_seeds():
    """In the Cornell box, for every component of every parameter; a ratio of variances has an F's spread."""
    scene = box()
    weight = uniform(scene)
    runs = [prb.render_backward(scene, weight, spp=32, seed=s, stderr=True) for s in range(100)]
    values = np.array([flat(run, "value") for run in runs])
    claimed = np.sqrt(np.mean([flat(run, "stderr") ** 2 for run in runs], axis=0))
    ratio = claimed / values.std(axis=0, ddof=1)
    assert np.all((0.75 < ratio) & (ratio < 1.33)), ratio


def test_standard_errors_take_no_further_rays():
    """The same samples: what is added differs by rounding only."""
    scene = box()
    plain = prb.render_backward(scene, uniform(scene), spp=24)
    for name, found in prb.render_backward(scene, uniform(scene), spp=24, stderr=True).items():
        np.testing.assert_allclose(found.value, plain[name], rtol=2e-6)


@pytest.mark.parametrize("tolerance", [0.05, 0.02])
def test_samples_are_added_until_every_component_is_certain(tolerance):
    scene = box()
    found = sample_to_tolerance(scene, uniform(scene), "albedo", tolerance=tolerance, spp=8, seed=2)
    assert found.why_not is None and 8 < found.spp <= 4096
    errors = flat(found.gradients, "stderr") / np.abs(flat(found.gradients, "value"))
    assert errors.max() == pytest.approx(found.error) and found.error <= tolerance
    before = sample_to_tolerance(scene, uniform(scene), "albedo", tolerance=1e-9, spp=8, seed=2,
                             max_spp=found.spp // 2)  # fmt: skip
    assert before.error > tolerance, "one batch less would not have been enough"


@pytest.mark.parametrize("most", [8, 24, 25, 64, 100])
def test_batches_together_are_one_gradient_of_all_samples(most):
    scene = box()
    scene.sensor.film.rfilter = "box"  # others normalise what is traced together
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    found = sample_to_tolerance(scene, weight, tolerance=1e-9, spp=8, max_spp=most, seed=4)
    assert found.spp == most or found.error <= RELIABLE_ERROR
    single = prb.render_backward(scene, weight, spp=found.spp, seed=4, stderr=True)
    scale = np.abs(flat(single, "value")).max()
    np.testing.assert_allclose(
        flat(found.gradients, "value"), flat(single, "value"), rtol=1e-5, atol=1e-6 * scale
    )
    np.testing.assert_allclose(flat(found.gradients, "stderr"), flat(single, "stderr"), rtol=0.35)
    image = prb.render(scene, spp=found.spp, seed=4)
    np.testing.assert_allclose(found.image, image, rtol=1e-5)


def test_why_a_gradient_will_not_be_that_certain():
    scene = box()
    found = sample_to_tolerance(scene, uniform(scene), ["light*"], tolerance=1e-4, spp=64, max_spp=128)
    error = 100 * found.error
    assert found.why_not.startswith("light.emitter.radiance.value[") and "\n" not in found.why_not
    assert f"{error:.3g} % after {found.spp} samples" in found.why_not
    needed = math.ceil(found.spp * (found.error / 1e-4) ** 2)
    assert f"0.01 % would take about {needed} samples per pixel and the limit is 128" in found.why_not


def test_small_components_are_judged_against_the_largest():
    def error(value, stderr):
        return relative_error(prb.Estimate(np.array(value), np.array(stderr))).tolist()

    assert error([2.0, 0.0, 1e-9, -1.0], [0.02, 0.0, 1e-5, 0.1]) == pytest.approx([0.01, 0, 0.005, 0.1])
    assert error([0.0, 0.0], [0.0, 1.0]) == [0, math.inf]
    assert error([math.nan], [math.nan]) == [math.inf]


def test_a_parameter_that_nothing_reaches_is_certain():
    """The green channel of a lamp without green."""
    scene = furnace([0.5, 0.5, 0.5], [1.0, 0.0, 1.0], max_depth=3, size=4)
    found = sample_to_tolerance(scene, uniform(scene), [NAME], tolerance=0.05, spp=8)
    assert found.why_not is None and found.gradients[NAME].value[1] == 0 == found.gradients[NAME].stderr[1]


@pytest.mark.parametrize(
    "options, part",
    [
        (dict(tolerance=0), "tolerance: 0 is out of range"),
        (dict(tolerance=-0.1), "tolerance: -0.1 is out of range"),
        (dict(tolerance=math.nan), "tolerance: nan is out of range"),
        (dict(tolerance=math.inf), "tolerance: inf is out of range"),
        (dict(tolerance="2 %"), "tolerance: '2 %' is out of range"),
        (dict(tolerance=True), "tolerance: True is out of range"),
        (dict(spp=1), "spp: 1 sample has no standard error"),
        (dict(spp=16, max_spp=8), "max_spp: 8 is out of range; it goes from spp, 16, to"),
        (dict(max_spp=1e6), "max_spp: expected a whole number"),
        (dict(params="red"), "matches no parameter"),
    ],
)
def test_bad_input(options, part):
    scene = box()
    with pytest.raises(prb.ParameterError) as error:
        sample_to_tolerance(scene, uniform(scene), **options)
    assert part in str(error.value) and "\n" not in str(error.value)


def command(capsys, *arguments):
    status = main(["grad", "--size", "8x8", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_the_table_shows_standard_errors(capsys):
    status, out, err = command(capsys, "--spp", "8", "--param", "red*")
    assert (status, err) == (0, "") and "standard error" in out
    report = json.loads(command(capsys, "--spp", "8", "--param", "red*", "--json")[1])
    (row,) = (line.split() for line in out.splitlines() if line.startswith("red."))
    np.testing.assert_allclose(
        [float(x) for x in row[7:]], report["stderr"]["red.reflectance.value"], rtol=6e-2
    )
    assert "stderr" not in json.loads(command(capsys, "--spp", "1", "--json")[1])
    assert "stderr" not in json.loads(command(capsys, "--spp", "8", "--method", "tape", "--json")[1])


def test_tolerance_of_the_command(capsys, tmp_path):
    np.save(tmp_path / "target.npy", np.zeros((8, 8, 3), np.float32))
    target = ["--target", str(tmp_path / "target.npy")]
    for objective in ([], target):
        status, out, err = command(
            capsys, "--spp", "8", "--param", "albedo", "--tolerance", "0.05", "--json", *objective
        )
        report = json.loads(out)
        assert (status, err) == (0, "") and report["error"] <= 0.05 and report["why_not"] is None
        assert report["spp"] > 8
        for name, gradient in report["gradients"].items():
            assert np.all(np.array(report["stderr"][name]) <= 0.05 * np.abs(gradient))
    status, out, err = command(capsys, "--tolerance", "0.001", "--max-spp", "64", "--json")
    assert status == 0 and json.loads(out)["why_not"] in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, part",
    [
        (["--tolerance", "0"], "tolerance: 0.0 is out of range"),
        (["--tolerance", "nan"], "tolerance: nan is out of range"),
        (
            ["--tolerance", "0.1", "--method", "tape"],
            "--tolerance: goes with --method replay or attached, not w",
        ),
        (["--tolerance", "0.1", "--passes", "2"], "--passes: does not go with --tolerance"),
        (["--tolerance", "0.1", "--max-spp", "0"], "max_spp: 0 is out of range"),
        (["--max-spp", "100"], "--max-spp: goes with --tolerance"),
        (
            ["--deterministic", "--method", "fd"],
            "--deterministic: goes with --method replay or attached, not w",
        ),
    ],
)
def test_mistakes_in_the_command(capsys, arguments, part):
    status, out, err = command(capsys, *arguments)
    assert status == 2 and out == "" and err.count("\n") == 1 and part in err
