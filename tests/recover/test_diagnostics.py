"""What a recovery says of itself: losses of the views, the noise floor, standard errors, its log."""

import csv
import itertools
import math

import numpy as np
import pytest

import prb
from prb import losses, schedules
from prb.estimators.settings import fold_bounds
from prb.recover.evaluation import noise_of_mean
from prb.recover.floor import WINDOW, Excess
from prb.recover.history import Log
from prb.recover.loop import optimize
from prb.recover.uncertainty import standard_errors

WALL = "wall.bsdf.reflectance.value"
TEXELS = "wall.bsdf.reflectance.data"
TRUTH = [0.6, 0.3, 0.1]


def lit_wall(views=1, texels=None):
    """A wall by an area light. texels: of its texture; None: one colour."""
    colour = {"type": "rgb", "value": TRUTH}
    bitmap = {"type": "bitmap", "data": np.full((5, 5, 3), 0.5), "raw": True}
    sensors = {
        f"view-{x}": {
            "type": "perspective", "fov": 50, "sampler": {"type": "independent", "sample_count": 8},
            "to_world": [{"look_at": {"origin": [x, 0.3 * x, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}],
            "film": {"type": "hdrfilm", "width": 6, "height": 6, "rfilter": {"type": "box"}},
        }
        for x in range(views)
    }  # fmt: skip
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2}, **sensors,
        "wall": {"type": "rectangle", "to_world": [{"scale": 2}],
                 "bsdf": {"type": "diffuse", "reflectance": bitmap if texels else colour}},
        "light": {"type": "rectangle",
                  "to_world": [{"scale": 0.8}, {"rotate": {"axis": [-1, 1, 0], "angle": -137}},
                               {"translate": [2, 2, 3]}],
                  "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [6, 6, 6]}}},
    })  # fmt: skip


def pictures(scene, spp=4096, seed=77):
    return [prb.render(scene, sensor=k, spp=spp, seed=seed) for k in range(len(scene.model.sensors))]


def forgotten(views=1, value=0.2):
    """The scene with another colour of the wall, and pictures of the one before."""
    scene = lit_wall(views)
    goal = pictures(scene)
    prb.traverse(scene).update({WALL: [value] * 3})
    return scene, goal


def resting(iterations, **options):
    """A run at the true values that does not move. Returns its `Recovery`."""
    scene = lit_wall()
    if "targets" not in options:
        options["targets"] = pictures(scene)
    return optimize(scene, WALL, iterations=iterations, optimizer=prb.SGD(0.0), **options)


# The noise floor.


@pytest.mark.parametrize("folds, spp", [(2, 8), (2, 3), (3, 7), (5, 5), (8, 16)])
def test_noise_of_folds_has_the_variance_of_the_mean(folds, spp):
    """In 40000 pixels whose samples have variance 1, and a mean that must not be in it."""
    samples = np.random.default_rng(folds).standard_normal((spp, 40000)) + 5
    parts = np.array_split(np.arange(spp), folds)
    others = [np.delete(samples, part, axis=0).mean(axis=0) for part in parts]
    noise = noise_of_mean(others, samples.mean(axis=0), spp)
    assert abs(noise.mean()) < 4 / math.sqrt(spp * 40000)
    assert noise.var() * spp == pytest.approx(1, abs=4 * math.sqrt(2 / 40000))


def test_loss_over_the_floor_is_the_product_of_the_halves_residuals():
    rng = np.random.default_rng(3)
    one, other, target = rng.uniform(size=(3, 4, 5, 3))
    image = (one + other) / 2
    loss = losses.l2(target)
    floor = loss(target + noise_of_mean([other, one], image, 8))[0]
    assert loss(image)[0] - floor == pytest.approx(((one - target) * (other - target)).mean(), rel=1e-12)


@pytest.mark.parametrize("spp, folds", [(7, 2), (8, 8), (13, 8), (10, 4)])
def test_noise_of_mean_has_the_variance_of_the_mean(spp, folds):
    """Exactly: the pictures hold the coefficients of independent samples. Folds may differ in size."""
    samples, bounds = np.eye(spp), fold_bounds(spp, folds)
    parts = [np.delete(samples, range(*pair), axis=0).mean(axis=0) for pair in itertools.pairwise(bounds)]
    found = noise_of_mean(parts, samples.mean(axis=0), spp)
    assert found.sum() == pytest.approx(0, abs=1e-12) and (found**2).sum() == pytest.approx(1 / spp)


@pytest.mark.parametrize("options", [
    {}, {"loss": "relative_l2"}, {"loss": "log"}, {"spp_grad": 2}, {"spp": 7},
    {"loss": lambda target: losses.multiscale("l2", target, 2)}, {"adjoint": prb.TapeAdjoint()},
], ids=["l2", "relative_l2", "log", "spp_grad", "spp", "multiscale", "tape"])  # fmt: skip
def test_at_the_true_values_the_loss_is_its_floor(options):
    """Within 4 standard errors, which are less than a tenth of the floor."""
    found = resting(120, **options)
    excess = np.array(found.losses) - found.floors
    error = excess.std(ddof=1) / math.sqrt(len(excess))
    assert abs(excess.mean()) < 4 * error and 4 * error < 0.4 * found.floors.mean()
    assert found.level.floor == pytest.approx(found.floors[-30:].mean())
    assert found.level.excess == pytest.approx(excess[-30:].mean())


def test_noise_of_the_target_counts_where_it_is_known():
    """Targets with as many samples as the pictures double the loss, and the floor with target_spp."""
    scene, excess, known = lit_wall(), [], []
    for seed in range(60):
        options = dict(targets=pictures(scene, spp=8, seed=1000 + seed), iterations=2, seed=seed)
        one, other = resting(**options), resting(**options, target_spp=8)
        assert one.losses == other.losses
        excess.append(np.mean(one.losses - one.floors) / one.floors.mean())
        known.append(np.mean(other.losses - other.floors) / one.floors.mean())
    error = np.std(known, ddof=1) / math.sqrt(60)
    assert abs(np.mean(known)) < 4 * error and error < 0.1
    assert np.mean(excess) == pytest.approx(1, abs=4 * error)


def test_what_has_no_floor():
    """One sample has no noise that could be seen; and whoever does not want it does not pay for it."""
    found = resting(3, spp=1, spp_grad=1)
    assert np.isnan(found.floors).all() and found.level is None and found.at_floor is None
    calls = []

    def counted(target):
        loss = losses.l2(target)
        return lambda image: calls.append(1) or loss(image)

    for options, expected in (({"noise_floor": False}, 9), ({}, 10)):
        calls.clear()
        found = resting(2, loss=counted, **options)
        assert len(calls) == 2 * expected and np.isnan(found.floors).all() == ("noise_floor" in options)
    for options, message in (
        ({"spp": 1, "spp_grad": 1, "stop": "floor"}, "stop: floor needs the noise floor"),
        ({"noise_floor": False, "stop": "plateau"}, "stop: plateau needs the noise floor"),
        ({"stop": "soon"}, "stop: 'soon' is unknown; it is floor or plateau"),
        ({"target_spp": 0}, "target_spp: 0 is out of range"),
        ({"target_spp": 2.5}, "target_spp: 2.5 is out of range"),
    ):
        with pytest.raises(prb.ParameterError) as caught:
            resting(3, **options)
        assert message in str(caught.value) and "\n" not in str(caught.value)


# The end at the floor.


def test_ends_at_the_floor_as_the_whole_run_had_been_there(tmp_path):
    scene, goal = forgotten()
    options = dict(iterations=400, spp=16, every=7)
    stopped = optimize(scene, WALL, goal, stop="floor", checkpoint=tmp_path / "c.npz", **options)
    done = len(stopped.losses)
    assert 2 * WINDOW <= done < 400 and stopped.ended == "floor" and stopped.at_floor == done
    assert stopped.stopped is None
    np.testing.assert_allclose(stopped.params[WALL], TRUTH, atol=0.03)
    scene, _ = forgotten()
    whole = optimize(scene, WALL, goal, **{**options, "iterations": done + 20})
    assert whole.losses[:done] == stopped.losses and whole.at_floor == done and whole.ended is None
    scene, _ = forgotten()
    again = optimize(scene, WALL, goal, stop="floor", checkpoint=tmp_path / "c.npz", resume=True, **options)
    assert again.losses == stopped.losses and again.ended == "floor"
    assert again.stderr[WALL].tolist() == stopped.stderr[WALL].tolist()


def test_a_target_that_cannot_be_met_is_no_floor_but_a_plateau():
    scene, goal = forgotten()
    goal[0][:, :3] *= 1.5
    options = dict(iterations=150, optimizer=prb.Adam(schedules.Cosine(0.05, 150)))
    found = optimize(scene, WALL, goal, stop="floor", **options)
    assert len(found.losses) == 150 and found.at_floor is None and found.ended is None
    assert found.level.excess > found.level.floor > 0
    scene, _ = forgotten()
    found = optimize(scene, WALL, goal, stop="plateau", **options)
    assert 2 * WINDOW <= len(found.losses) < 150 and found.ended == "plateau" and found.at_floor is None


def test_does_not_end_before_the_finest_grid():
    """A grey wall is met by its coarse grid at once."""
    scene = lit_wall(texels=True)
    options = dict(iterations=200, spp=2, stop="plateau", optimizer=prb.SGD(0.0))
    found = optimize(scene, TEXELS, pictures(scene), coarse_to_fine={TEXELS: [(0, 2), (60, 5)]}, **options)
    assert 60 + 2 * WINDOW <= len(found.losses) < 200
    found = optimize(scene, TEXELS, pictures(scene), **options)
    assert 2 * WINDOW <= len(found.losses) < 60 + 2 * WINDOW


def test_how_often_the_tests_of_the_floor_are_wrong():
    """Noise about zero is the floor, a tenth of the floor above it is not, and what falls goes on."""
    rng = np.random.default_rng(5)

    def run(mean, sd=0.05, iterations=160):
        excess = Excess()
        for k in range(iterations):
            excess.append(mean(k) + sd * rng.standard_normal(), 1.0)
            if excess.at_floor:
                break
        return excess.at_floor

    assert sum(run(lambda k: 0.0) is not None for _ in range(20)) >= 19
    assert sum(run(lambda k: 0.1) is not None for _ in range(20)) <= 1
    assert all((run(lambda k: math.exp(-k / 15)) or 999) > 50 for _ in range(20))
    assert not any(run(lambda k: 0.0, sd=2.0) for _ in range(20))  # too noisy to say so


# Standard errors.


@pytest.mark.parametrize("optimizer", [
    lambda: prb.Adam(0.05), lambda: prb.Adam(schedules.Cosine(0.05, 100)), lambda: prb.SGD(0.2),
    lambda: prb.SGD(0.05, momentum=0.9),
], ids=["adam", "cosine", "sgd", "momentum"])  # fmt: skip
@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_standard_errors_of_a_parabola(optimizer, noise):
    """400 numbers with curvature 1: the errors' size within 20 %, 2 of them hold 88 % and more."""
    rng = np.random.default_rng(7)
    opt, values, gradients = optimizer(), [], []
    opt["x"] = np.full(400, 0.4)
    for _ in range(100):
        values.append(opt["x"])
        gradients.append(opt["x"] + noise * rng.standard_normal(400))
        opt.step({"x": gradients[-1]})
    errors = standard_errors(values, gradients)
    known = np.isfinite(errors)
    assert known.mean() > 0.9
    size = np.sqrt(np.square(opt["x"][known]).mean())
    assert np.sqrt(np.square(errors[known]).mean()) == pytest.approx(size, rel=0.2)
    assert (np.abs(opt["x"][known]) < 2 * errors[known]).mean() > 0.88


def test_where_there_is_no_standard_error():
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((60, 30))
    assert np.isnan(standard_errors(np.zeros((60, 30)), noise)).all()  # it did not move
    steps = np.cumsum(rng.standard_normal((60, 30)), axis=0)
    assert np.isnan(standard_errors(steps, noise)).mean() > 0.9  # nothing depends on it
    assert np.isnan(standard_errors(steps, -steps)).all()  # no minimum
    assert np.isnan(standard_errors(steps[:19], steps[:19])).all()  # too short
    assert standard_errors(steps, steps)[0] > 0
    scene, goal = forgotten()
    found = optimize(scene, WALL, goal, iterations=40, bounds={WALL: (0, 0.5)})
    assert np.isnan(found.stderr[WALL]).tolist() == [True, False, False]  # the first ends at its limit


@pytest.mark.parametrize("target_spp, seeds", [(None, 40), (1, 20)])
def test_standard_errors_are_the_scatter_over_seeds(target_spp, seeds):
    """The root mean squares of error and statement agree within a factor of 1.5. With a noisy target, each
    recovery has one of its own."""
    scene, goal = forgotten()
    truth, errors, stated = lit_wall(), [], []
    for seed in range(seeds):
        prb.traverse(scene).update({WALL: [0.2] * 3})
        if target_spp is not None:
            goal = pictures(truth, spp=target_spp, seed=1000 + seed)
        found = optimize(scene, WALL, goal, iterations=60, spp=8, seed=seed, target_spp=target_spp,
                         optimizer=prb.Adam(schedules.Cosine(0.05, 60)))  # fmt: skip
        errors.append(found.params[WALL] - TRUTH)
        stated.append(found.stderr[WALL])
    assert np.isfinite(stated).mean() > 0.95
    ratio = np.sqrt(np.nanmean(np.square(stated), axis=0) / np.square(errors).mean(axis=0))
    assert (ratio > 1 / 1.5).all() and (ratio < 1.5).all(), ratio


# The log.


def rows_of(path):
    """The header of a log and its rows, nan where a cell is empty."""
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return header, np.array([[float(x) if x else math.nan for x in row] for row in rows])


def test_log_has_losses_of_the_views_and_values(tmp_path):
    scene, goal = forgotten(views=3)
    seen = []

    def note(k):  # the file has all iterations before this one, at any moment
        seen.append(prb.traverse(scene)[WALL])
        assert len(rows_of(tmp_path / "a.csv")[1]) == k

    found = optimize(
        scene, WALL, goal, iterations=5, views_per_iteration=2, log=tmp_path / "a.csv", on_iteration=note
    )
    header, rows = rows_of(tmp_path / "a.csv")
    views = [f"loss:view-{k}" for k in range(3)]
    assert header == ["iteration", "loss", "floor", *views, *(f"{WALL}.{k}" for k in range(3))]
    assert rows[:, 0].tolist() == list(range(5)) and rows[:, 1].tolist() == found.losses
    assert rows[:, 2].tolist() == found.floors.tolist()
    assert (np.isfinite(rows[:, 3:6]).sum(axis=1) == 2).all()
    np.testing.assert_allclose(np.nanmean(rows[:, 3:6], axis=1), found.losses, rtol=1e-12)
    np.testing.assert_allclose(rows[:, 6:], seen, rtol=1e-6)
    for k, (view, of_view) in enumerate(found.view_losses.items()):
        assert header[3 + k] == f"loss:{view}"
        np.testing.assert_array_equal(of_view, rows[:, 3 + k])
    np.testing.assert_array_equal(found.traces[f"{WALL}.1"], rows[:, 7])


def test_log_of_a_texture_has_its_mean_and_its_rms(tmp_path):
    scene = lit_wall(texels=True)
    goal = [0.5 * picture for picture in pictures(scene, spp=64)]
    found = optimize(scene, TEXELS, goal, iterations=3, log=tmp_path / "a.csv")
    header, rows = rows_of(tmp_path / "a.csv")
    assert header[4:] == [f"{TEXELS}:mean", f"{TEXELS}:rms"] and found.stderr == {}
    np.testing.assert_allclose(rows[0, 4:], 0.5)
    assert rows[2, 4] < rows[2, 5] < 0.5


def test_log_of_an_interrupted_run_has_whole_iterations(tmp_path, monkeypatch):
    """The interrupt comes when the third row is written, and the step is taken back."""
    append = Log.append

    def cut(self):
        append(self)
        if len(rows_of(tmp_path / "a.csv")[1]) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Log, "append", cut)
    scene, goal = forgotten()
    found = optimize(scene, WALL, goal, iterations=9, log=tmp_path / "a.csv")
    assert isinstance(found.stopped, KeyboardInterrupt) and len(found.losses) == 2
    assert rows_of(tmp_path / "a.csv")[1][:, 1].tolist() == found.losses
    assert len(found.floors) == len(found.view_losses["view-0"]) == 2


def test_log_of_a_run_that_goes_on_is_that_of_the_whole(tmp_path):
    """Also after rows that came later than the last checkpoint."""
    options = dict(views_per_iteration=2, every=3, iterations=8)
    scene, goal = forgotten(views=3)
    whole = optimize(scene, WALL, goal, log=tmp_path / "whole.csv", **options)

    class Killed(BaseException):
        pass

    def kill(k):
        if k == 5:
            raise Killed

    options |= dict(checkpoint=tmp_path / "c.npz", log=tmp_path / "a.csv")
    scene, _ = forgotten(views=3)
    with pytest.raises(Killed):
        optimize(scene, WALL, goal, on_iteration=kill, **options)
    assert len(rows_of(tmp_path / "a.csv")[1]) == 5
    scene, _ = forgotten(views=3)
    again = optimize(scene, WALL, goal, resume=True, **options)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    for name in whole.view_losses:
        np.testing.assert_array_equal(again.view_losses[name], whole.view_losses[name])
    assert again.floors.tolist() == whole.floors.tolist()
    with pytest.raises(prb.ParameterError, match="none/a.csv: cannot be written: No such file"):
        optimize(scene, WALL, goal, iterations=1, log=tmp_path / "none" / "a.csv")
