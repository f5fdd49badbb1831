"""Parameters from pictures: the loop, its checkpoints, and what ends it early."""

import json
import math
import os
import resource

import numpy as np
import pytest

import prb
from prb import losses, schedules
from prb.device.params import records
from prb.recover.bounds import bounds_with_derivative
from prb.recover.loop import optimize

WALL = "wall.bsdf.reflectance.value"
RADIANCE = "light.emitter.radiance.value"


def scene_dict(texels=None, sensors=3, size=6):
    """A wall by an area light, seen from several sides."""
    bitmap = {"type": "bitmap", "data": np.full((4, 4, 3), 0.5) if texels is None else texels, "raw": True}
    colour = {"type": "rgb", "value": [0.6, 0.3, 0.1]}
    views = {
        f"view-{x}": {
            "type": "perspective", "fov": 50, "sampler": {"type": "independent", "sample_count": 4},
            "to_world": [{"look_at": {"origin": [x, 0.3 * x, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}],
            "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
        }
        for x in range(sensors)
    }  # fmt: skip
    return {
        "type": "scene", "integrator": {"type": "path", "max_depth": 2}, **views,
        "wall": {"type": "rectangle", "to_world": [{"scale": 2}],
                 "bsdf": {"type": "diffuse", "reflectance": colour if texels is None else bitmap}},
        "light": {"type": "rectangle",
                  "to_world": [{"scale": 0.8}, {"rotate": {"axis": [-1, 1, 0], "angle": -137}},
                               {"translate": [2, 2, 3]}],
                  "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [6, 6, 6]}}},
    }  # fmt: skip


@pytest.fixture(scope="module")
def targets():
    return pictures(prb.load_dict(scene_dict()))


def pictures(scene, spp=64):
    return [prb.render(scene, sensor=i, spp=spp, seed=77) for i in range(len(scene.model.sensors))]


def forgetful(value=(0.2, 0.2, 0.2)):
    """The scene with another colour of the wall."""
    scene = prb.load_dict(scene_dict())
    prb.traverse(scene).update({WALL: value})
    return scene


def test_recovers_a_colour_from_three_views(targets):
    scene = forgetful()
    found = optimize(scene, WALL, targets, iterations=60, spp=8)
    np.testing.assert_allclose(found.params[WALL], [0.6, 0.3, 0.1], atol=0.03)
    np.testing.assert_allclose(prb.traverse(scene)[WALL], found.params[WALL], rtol=1e-6)
    np.testing.assert_allclose(found.initial[WALL], 0.2, rtol=1e-6)
    assert len(found.losses) == 60 and found.losses[-1] < 0.2 * found.losses[0] and found.stopped is None


@pytest.mark.parametrize("options", [
    {"spp_grad": 4}, {"views_per_iteration": 1}, {"loss": "log"}, {"sensors": [1]},
    {"loss": lambda target: losses.multiscale("l2", target, 2)},
    {"optimizer": lambda: prb.SGD(1.0, momentum=0.8)},
    {"optimizer": lambda: prb.Adam({WALL: schedules.Cosine(0.08, 60)}, amsgrad=True)},
], ids=", ".join)  # fmt: skip
def test_recovers_a_colour_in_other_ways(targets, options):
    options = {**options}
    if "optimizer" in options:
        options["optimizer"] = options["optimizer"]()
    if "sensors" in options:
        targets = targets[1:2]
    found = optimize(forgetful(), [WALL], targets, iterations=60, spp=8, **options)
    np.testing.assert_allclose(found.params[WALL], [0.6, 0.3, 0.1], atol=0.05)


def test_recovers_texels_from_three_views():
    texels = np.random.default_rng(1).uniform(0.1, 0.9, (4, 4, 3))
    name = "wall.bsdf.reflectance.data"
    scene = prb.load_dict(scene_dict(texels, size=24))
    goal = pictures(scene, 256)
    prb.traverse(scene).update({name: np.full((4, 4, 3), 0.5)})
    found = optimize(scene, name, goal, iterations=60, spp=8)
    assert np.square(found.params[name] - texels).mean() < 1e-3


def test_recursive_pictures_leave_less_noise(targets):
    """At a constant rate that is large for so few samples, in as many iterations."""
    errors = {}
    for recursive in (False, True):
        options = dict(iterations=60, spp=2, optimizer=prb.Adam(0.1), recursive=recursive)
        runs = [optimize(forgetful(), WALL, targets, seed=seed, **options).params[WALL] for seed in range(5)]
        errors[recursive] = np.square(np.array(runs) - [0.6, 0.3, 0.1]).mean()
    assert errors[True] < 0.5 * errors[False]


def test_same_seed_same_run(targets):
    first, second, other = (
        optimize(forgetful(), WALL, targets, iterations=4, spp=2, seed=seed, views_per_iteration=2)
        for seed in (5, 5, 6)
    )
    assert first.losses == second.losses != other.losses
    assert first.params[WALL].tobytes() == second.params[WALL].tobytes() != other.params[WALL].tobytes()


@pytest.mark.parametrize("rate, recursive", [
    (0.05, False), (schedules.Exponential(0.05, 0.9), False), (0.05, True)
], ids=str)  # fmt: skip
def test_resumed_run_is_the_one_never_interrupted(targets, tmp_path, rate, recursive):
    """Bit for bit, wherever the interrupt came."""
    file = tmp_path / "checkpoint.npz"
    options = dict(spp=2, seed=3, views_per_iteration=2, every=2, recursive=recursive)
    whole = optimize(forgetful(), WALL, targets, iterations=7, optimizer=prb.Adam(rate), **options)

    def interrupt(k):
        if k == 5:
            raise KeyboardInterrupt

    options |= dict(checkpoint=file)
    begun = optimize(
        forgetful(), WALL, targets, iterations=7, on_iteration=interrupt, optimizer=prb.Adam(rate), **options
    )
    assert isinstance(begun.stopped, KeyboardInterrupt) and begun.losses == whole.losses[:5]
    again = optimize(
        forgetful(), WALL, targets, iterations=7, resume=True, optimizer=prb.Adam(rate), **options
    )
    assert again.losses == whole.losses
    assert again.params[WALL].tobytes() == whole.params[WALL].tobytes()
    assert os.listdir(tmp_path) == ["checkpoint.npz"]
    plain = {**options, "recursive": False, "checkpoint": None}
    plain = optimize(forgetful(), WALL, targets, iterations=7, optimizer=prb.Adam(rate), **plain)
    assert (plain.losses == whole.losses) == (not recursive)


def test_interrupt_within_an_iteration_leaves_a_whole_one(targets, tmp_path, monkeypatch):
    """The values, the losses and the checkpoint are those before the iteration that was cut."""
    whole = optimize(forgetful(), WALL, targets, iterations=3, spp=2)
    steps, step = [], prb.Adam.step

    def cut(self, grads):
        step(self, grads)
        steps.append(1)
        if len(steps) == 4:  # the values have moved, the loss is not noted yet
            raise KeyboardInterrupt

    monkeypatch.setattr(prb.Adam, "step", cut)
    scene, file = forgetful(), tmp_path / "c.npz"
    found = optimize(scene, WALL, targets, iterations=9, spp=2, checkpoint=file)
    assert found.losses == whole.losses
    assert found.params[WALL].tobytes() == whole.params[WALL].tobytes()
    assert prb.traverse(scene)[WALL].tobytes() == whole.params[WALL].astype(np.float32).tobytes()
    with np.load(file) as arrays:
        assert arrays["losses"].tolist() == whole.losses


@pytest.mark.parametrize("rate, iteration", [(1e12, 3), (1e45, 2)], ids=["the loss", "the step"])
def test_what_is_not_finite_is_named_with_its_iteration(targets, rate, iteration):
    """The last good values are kept."""

    def easily_infinite(target):
        loss = losses.l2(target)
        return lambda image: loss(image) if image.max() < 1e6 else (np.inf, image)

    scene = forgetful()
    opt = prb.SGD(lambda k: rate if k == 2 else 0.1)
    options = dict(loss=easily_infinite, spp=2)
    found = optimize(scene, RADIANCE, targets, iterations=9, optimizer=opt, **options)
    message = str(found.stopped)
    assert isinstance(found.stopped, prb.NotFiniteError) and "\n" not in message
    assert message.startswith(f"iteration {iteration}: ") and RADIANCE in message, message
    good = optimize(forgetful(), RADIANCE, targets, iterations=2, optimizer=prb.SGD(0.1), **options)
    assert found.losses == good.losses and found.params[RADIANCE].tolist() == good.params[RADIANCE].tolist()
    np.testing.assert_array_equal(prb.traverse(scene)[RADIANCE], good.params[RADIANCE].astype(np.float32))


def test_checkpoint_of_another_run_is_refused(targets, tmp_path):
    file = tmp_path / "checkpoint.npz"
    options = dict(iterations=1, spp=2, checkpoint=file)
    optimize(forgetful(), WALL, targets, **options)
    other = prb.load_dict({**scene_dict(), "ball": {"type": "sphere", "radius": 0.1}})
    prb.traverse(other).update({WALL: (0.2, 0.2, 0.2)})
    for scene, goal, more, what in (
        (other, targets, {}, "another scene"),
        (forgetful((0.2, 0.2, 0.3)), targets, {}, "another scene"),
        (forgetful(), targets[::-1], {}, "another targets"),
        (forgetful(), targets, {"loss": "l1"}, "loss l2, now l1"),
        (forgetful(), targets, {"seed": 1}, "seed 0, now 1"),
        (forgetful(), targets, {"optimizer": prb.Adam(0.1)}, "now Adam(lr=0.1"),
    ):
        with pytest.raises(prb.ParameterError, match="is of another run") as caught:
            optimize(scene, WALL, goal, resume=True, **options, **more)
        assert what in str(caught.value) and "\n" not in str(caught.value)
    found = optimize(forgetful(), WALL, targets, resume=True, **{**options, "iterations": 2})
    assert len(found.losses) == 2  # more iterations are the same run
    file.write_bytes(b"PK")
    with pytest.raises(prb.ParameterError, match="cannot be read"):
        optimize(forgetful(), WALL, targets, resume=True, **options)
    prb.Adam(0.1, {WALL: [1, 1, 1]}).save(file)
    with pytest.raises(prb.ParameterError, match="is no checkpoint"):
        optimize(forgetful(), WALL, targets, resume=True, **options)


def test_full_disk_keeps_the_last_checkpoint(targets, tmp_path):
    """A file that may not grow stands for a disk that is full."""
    file = tmp_path / "checkpoint.npz"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(k):
        if k == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (512, hard))

    options = dict(spp=2, checkpoint=file, every=2)
    try:
        with pytest.raises(prb.ParameterError, match="checkpoint.npz: cannot be written: File too large"):
            optimize(forgetful(), WALL, targets, iterations=9, on_iteration=fill, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["checkpoint.npz"]
    again = optimize(forgetful(), WALL, targets, iterations=4, resume=True, **options)
    assert len(again.losses) == 4


def test_nothing_is_compiled_for_another_view(targets):
    from prb.kernels.estimators import launch

    kernel = launch.trace_paths._primal
    optimize(forgetful(), WALL, targets[:1], iterations=1, spp=2, sensors=[0])
    compiled = len(kernel.compiled_kernels)
    optimize(forgetful(), WALL, targets, iterations=3, spp=2, views_per_iteration=2)
    assert compiled > 0 and len(kernel.compiled_kernels) == compiled


def test_memory_is_flat(targets):
    """The resident size of the process after 40 iterations and after 200."""
    sizes = {}

    def note(k):
        if k in (40, 199):
            with open("/proc/self/statm") as file:
                sizes[k] = int(file.read().split()[1]) * resource.getpagesize()

    if not os.path.exists("/proc/self/statm"):
        pytest.skip("no /proc here")
    optimize(forgetful(), WALL, targets[:1], sensors=[0], iterations=200, spp=2, on_iteration=note)
    assert (sizes[199] - sizes[40]) / 159 < 4096  # bytes for each iteration


def test_mistakes_are_one_line(targets):
    scene = forgetful()
    hole = [t.copy() for t in targets]
    hole[1][2, 3] = math.nan
    for params, goal, options, message in (
        ([], targets, {}, "params: no parameter is left to optimise"),
        ("nothing", targets, {}, "'nothing': matches no parameter"),
        (WALL, targets[:2], {}, "targets: got 2 for 3 sensors (view-0, view-1, view-2)"),
        (WALL, targets[0], {}, "targets: got 1 for 3 sensors"),
        (WALL, [*targets[:2], np.zeros((5, 6, 3))], {}, "view-2: expected the film's shape (6, 6, 3)"),
        (WALL, hole, {}, "target of sensor view-1: has numbers that are not finite"),
        (WALL, targets, {"iterations": -1}, "iterations: -1 is out of range"),
        (WALL, targets, {"every": 0}, "every: 0 is out of range"),
        (WALL, targets, {"views_per_iteration": 4}, "views_per_iteration: 4 is out of range"),
        (WALL, targets, {"loss": "l7"}, "loss: 'l7' is unknown"),
        (WALL, targets, {"spp": 1}, "spp: 1 sample cannot be split"),
        (WALL, targets, {"spp": 4, "folds": 5}, "folds: 5 is out of range; it goes from 2 to spp, 4"),
        (WALL, targets, {"spp_grad": 0}, "spp: 0 is out of range"),
        (WALL, targets, {"recursive": True, "spp_grad": 2}, "recursive: with spp_grad the picture has no"),
        (WALL, targets, {"recursive": True, "adjoint": prb.TapeAdjoint()}, "picture: tape does not take"),
        (WALL, targets, {"recursive": 1}, "recursive: expected True or False, got 1"),
        (WALL, targets, {"sensors": [9]}, "sensor: there is no 9"),
    ):  # fmt: skip
        with pytest.raises(prb.PrbError) as caught:
            optimize(scene, params, goal, **options)
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_fingerprint_is_the_same_in_another_process(targets, tmp_path):
    """What a checkpoint holds does not depend on addresses or the order of sets."""
    file = tmp_path / "c.npz"
    opt = prb.Adam(lambda step: 0.1)
    optimize(forgetful(), WALL, targets, iterations=1, spp=2, checkpoint=file, optimizer=opt)
    with np.load(file) as arrays:
        kept = json.loads(str(arrays["fingerprint"]))
    assert " at 0x" not in " ".join(kept.values())


def test_weights_choose_what_counts(targets):
    """Half of each target is wrong, and weighs nothing; a constant factor changes nothing."""
    wrong = [target.copy() for target in targets]
    weights = np.ones((6, 6))
    weights[:, 3:] = 0
    for target in wrong:
        target[:, 3:] = 5
    options = dict(iterations=60, spp=8)
    found = optimize(forgetful(), WALL, wrong, weights=weights, **options)
    np.testing.assert_allclose(found.params[WALL], [0.6, 0.3, 0.1], atol=0.04)
    twice = optimize(forgetful(), WALL, wrong, weights=[2 * weights] * 3, **options)
    assert twice.losses == found.losses
    with_none = optimize(forgetful(), WALL, targets, weights=[weights, None, None], iterations=1, spp=2)
    assert len(with_none.losses) == 1
    assert np.abs(optimize(forgetful(), WALL, wrong, **options).params[WALL] - [0.6, 0.3, 0.1]).max() > 0.2


def test_mistakes_in_weights_are_one_line(targets):
    ones = np.ones((6, 6))
    for weights, options, message in (
        (np.ones((5, 6)), {}, "weights of sensor view-0: expected shape (6, 6) or (6, 6, 3), got (5, 6)"),
        (-ones, {}, "weights of sensor view-0: has the negative number -1"),
        ([ones, 0 * ones, None], {}, "weights of sensor view-1: is 0 everywhere"),
        (ones * np.nan, {}, "weights of sensor view-0: has numbers that are not finite"),
        ([ones, ones], {}, "weights: got 2 for 3 sensors"),
        (3, {}, "weights: expected"),
        (ones, {"loss": lambda target: losses.l2(target)}, "loss: the function takes no weights"),
    ):
        with pytest.raises(prb.PrbError) as caught:
            optimize(forgetful(), WALL, targets, weights=weights, **options)
        assert message in str(caught.value) and "\n" not in str(caught.value)


# Ranges of recovery.


def shiny(bsdf):
    """A rough ball under two lights."""
    data = scene_dict(sensors=1, size=8)
    data["wall"] = {"type": "sphere", "radius": 1.0, "bsdf": bsdf}
    return prb.load_dict(data)


ROUGH = {
    "wall.bsdf.roughness.value": {"type": "principled", "roughness": 0.3, "metallic": 0.8},
    "wall.bsdf.alpha.value": {"type": "roughconductor", "material": "Au", "alpha": 0.3},
    "wall.bsdf.alpha": {"type": "roughplastic", "alpha": 0.3},
}


@pytest.mark.parametrize("name", ROUGH)
def test_a_roughness_comes_back_from_a_step_that_was_too_long(name):
    """It ends where its derivative does, and without that bound it stays at 0."""
    scene = shiny(ROUGH[name])
    assert name in records(scene)
    goal = pictures(scene, 256)
    prb.traverse(scene).update({name: 0.8})
    pushed = lambda k: 0.9 if k == 0 else 0.05  # noqa: E731
    options = dict(iterations=60, spp=16, loss="relative_l2")
    found = optimize(scene, name, goal, optimizer=prb.Adam(pushed), **options)
    assert found.params[name] == pytest.approx(0.3, abs=0.1) and found.at_limit == {}
    assert found.ranges[name][0] in (0.035, 0.002) and found.ranges[name][0] > records(scene)[name].low
    prb.traverse(scene).update({name: 0.8})
    free = {"*.alpha*": (0, 1)} if "alpha" in name else {name: (0, 1)}
    lost = optimize(scene, name, goal, optimizer=prb.Adam(pushed), bounds=free, **options)
    if "roughness" in name:
        assert lost.params[name] < 0.035
    assert lost.ranges[name] == (records(scene)[name].low, 1)


def test_bounds_hold_and_are_marked(targets):
    found = optimize(forgetful(), WALL, targets, iterations=30, spp=4, bounds={"wall.*": (0.15, 0.4)})
    assert found.params[WALL].min() >= 0.15 and found.params[WALL][[0, 2]].tolist() == [0.4, 0.15]
    assert found.at_limit == {WALL: (1, 1)} and found.ranges == {WALL: (0.15, 0.4)}
    opt = prb.Adam(0.05, bounds={WALL: (0.25, 0.5)})
    found = optimize(forgetful(), WALL, targets, iterations=1, spp=4, optimizer=opt)
    assert found.initial[WALL].tolist() == [0.25] * 3  # the start is clipped, too
    assert optimize(forgetful(), WALL, targets, iterations=0).at_limit == {}


def test_mistakes_in_bounds_are_one_line(targets):
    for bounds, message in (
        ({"sky*": (0, 1)}, "bounds: sky* is not optimised; those are wall.bsdf"),
        ({WALL: (0.5, 0.2)}, f"bounds: {WALL}: 0.5 is above 0.2"),
        ({WALL: (2, 3)}, f"bounds: {WALL}: 2 to 3 lies outside [0, 1]"),
        ({WALL: 0.5}, f"bounds: {WALL}: 0.5 is no range"),
        ({WALL: (0, math.nan)}, f"bounds: {WALL}: 0.0 is above nan"),
        ([WALL], "bounds: expected patterns with (low, high), got list"),
    ):
        with pytest.raises(prb.ParameterError) as caught:
            optimize(forgetful(), WALL, targets, bounds=bounds)
        assert message in str(caught.value) and "\n" not in str(caught.value)


def test_only_names_of_roughnesses_have_a_least_value():
    names = ["a.alpha", "a.alpha_u.value", "b.roughness.data", "c.roughness.color0.value", "alpha.value"]
    assert set(bounds_with_derivative(names)) == set(names)
    others = ["alpha.reflectance.value", "roughness.eta", "a.base_color.value", "a.alpha.x", "alphas.value"]
    assert bounds_with_derivative(others) == {}
