"""Optimisers against their recurrences written out by hand, schedules, ranges, and states in files."""

import math
import os
import resource

import numpy as np
import pytest

import prb
from prb import schedules

pytestmark = pytest.mark.quick

GRADIENTS = [np.array([0.3, -2.0]), np.array([0.1, 0.5]), np.array([-0.4, 0.01])]
START = np.array([1.0, -1.0])


def run(opt, gradients=GRADIENTS):
    opt["x"] = START
    for g in gradients:
        opt.step({"x": g})
    return opt["x"]


def adam_by_hand(gradients, lr, b1=0.9, b2=0.999, epsilon=1e-8, amsgrad=False, uniform=False):
    x, m, v, largest = START.copy(), 0.0, 0.0, 0.0
    for t, g in enumerate(gradients, 1):
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        largest = np.maximum(largest, v)
        size = largest if amsgrad else v
        size = size.max() if uniform else size
        x = x - lr * (m / (1 - b1**t)) / (np.sqrt(size / (1 - b2**t)) + epsilon)
    return x


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_is_its_recurrence(uniform, amsgrad):
    options = dict(uniform=uniform, amsgrad=amsgrad)
    gradients = GRADIENTS * 3
    found = run(prb.Adam(0.1, beta_2=0.5, **options), gradients)
    np.testing.assert_allclose(found, adam_by_hand(gradients, 0.1, b2=0.5, **options), rtol=1e-13)


def test_first_step_of_adam_is_the_rate():
    found = run(prb.Adam(0.05), GRADIENTS[:1])
    np.testing.assert_allclose(found, START - 0.05 * np.sign(GRADIENTS[0]), rtol=1e-6)
    uniform = run(prb.Adam(0.05, uniform=True), GRADIENTS[:1])  # the direction of the gradient is kept
    np.testing.assert_allclose(uniform, START - 0.05 * GRADIENTS[0] / 2.0, rtol=1e-6)


def test_variants_of_adam_differ():
    found = [tuple(run(prb.Adam(0.1, beta_2=0.5, **o))) for o in ({}, {"uniform": True}, {"amsgrad": True})]
    assert len(set(found)) == 3


def test_sgd_with_momentum():
    a, b, c = GRADIENTS
    np.testing.assert_allclose(run(prb.SGD(0.1)), START - 0.1 * (a + b + c), rtol=1e-14)
    velocity = [a, 0.5 * a + b, 0.25 * a + 0.5 * b + c]
    np.testing.assert_allclose(run(prb.SGD(0.1, momentum=0.5)), START - 0.1 * sum(velocity), rtol=1e-14)


def test_schedules():
    assert schedules.Exponential(2.0, 0.5)(3) == 0.25
    assert [schedules.Step(1.0, 0.1, 2)(k) for k in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    cosine = schedules.Cosine(1.0, 10, 0.2)
    assert [cosine(k) for k in (0, 5, 10, 11)] == pytest.approx([1, 0.6, 0.2, 0.2])


def test_rate_follows_the_schedule_and_the_parameter():
    opt = prb.SGD({"x": schedules.Step(1.0, 0.1, 1), "y": 0.5}, {"x": [0.0], "y": [0.0]})
    for _ in range(3):
        opt.step({"x": [1.0], "y": [1.0]})
    assert opt["x"] == pytest.approx([-1.11]) and opt["y"] == pytest.approx([-1.5])
    assert opt.rate("x") == pytest.approx(1e-3) and opt.rate("y") == 0.5
    opt.set_learning_rate(2.0)
    opt.step({"y": [1.0]})  # a parameter without a gradient stays where it is
    assert opt["x"] == pytest.approx([-1.11]) and opt["y"] == pytest.approx([-3.5])


def test_bounds_clip_after_each_step():
    opt = prb.SGD(1.0, {"x": [0.5, 0.5]}, bounds={"x": (0.2, 0.8)})
    opt.step({"x": [1.0, -1.0]})
    assert opt["x"].tolist() == [0.2, 0.8]


@pytest.mark.parametrize("kind, options", [(prb.Adam, {}), (prb.SGD, {"momentum": 0.9})])
def test_what_was_clipped_leaves_the_limit_at_once(kind, options):
    """Momentum into the limit is gone when the gradient turns; without the limit it goes on."""
    free, held = kind(0.1, **options), kind(0.1, bounds={"x": (0.0, 1.0)}, **options)
    for opt in (free, held):
        opt["x"] = [0.15]
        for _ in range(5):
            opt.step({"x": [1.0]})
    assert held["x"] == 0
    before = free["x"]
    for opt in (free, held):
        opt.step({"x": [-0.5]})
    assert free["x"] < before and held["x"] > 0


def test_update_clips_to_what_the_scene_allows():
    scene = prb.load_file("cornell-box")
    params = prb.traverse(scene)
    red = "red.reflectance.value"
    opt = prb.SGD(1.0, {red: params[red]})
    opt.step({red: [5.0, -5.0, 0.0]})
    params.update(opt)
    assert params[red][:2].tolist() == [0, 1] and opt[red][:2].tolist() == [0, 1]


def test_values_are_copies():
    start = np.array([1.0])
    opt = prb.SGD(1.0, {"x": start})
    opt["x"][...] = 7
    start[...] = 8
    assert opt["x"] == [1] and list(opt) == ["x"] and len(opt) == 1
    del opt["x"]
    assert "x" not in opt


@pytest.mark.parametrize("make", [
    lambda: prb.Adam(schedules.Exponential(0.1, 0.9)), lambda: prb.Adam(0.1, amsgrad=True),
    lambda: prb.SGD(0.1, momentum=0.9),
])  # fmt: skip
def test_state_goes_on_where_it_was(tmp_path, make):
    whole, first = make(), make()
    expected = run(whole, GRADIENTS * 2)
    run(first)
    first.save(tmp_path / "state.npz")
    second = make()
    second["gone"] = 1.0
    second.load(tmp_path / "state.npz")
    assert list(second) == ["x"]
    for g in GRADIENTS:
        second.step({"x": g})
    assert second["x"].tobytes() == expected.tobytes()
    assert os.listdir(tmp_path) == ["state.npz"]


def test_a_full_disk_leaves_the_old_state(tmp_path):
    """A file that may not grow stands for a disk that is full."""
    opt = prb.Adam(0.1, {"x": np.zeros(10)})
    opt.save(tmp_path / "state.npz")
    before = (tmp_path / "state.npz").read_bytes()
    opt["x"] = np.zeros(100_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(prb.ParameterError, match="state.npz: cannot be written: File too large"):
            opt.save(tmp_path / "state.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "state.npz").read_bytes() == before and os.listdir(tmp_path) == ["state.npz"]


def test_mistakes_are_one_line(tmp_path):
    opt = prb.Adam(0.1, {"x": START})
    prb.SGD(0.1, {"x": START}).save(tmp_path / "sgd.npz")
    (tmp_path / "noise.npz").write_bytes(b"noise")
    for call, message in (
        (lambda: prb.Adam(-1), "lr: -1 is out of range"),
        (lambda: prb.Adam("fast"), "lr: 'fast' is out of range"),
        (lambda: prb.Adam(math.nan), "lr: nan is out of range"),
        (lambda: prb.Adam(1, beta_1=1.0), "beta_1: 1.0 is out of range"),
        (lambda: prb.Adam(1, epsilon=0), "epsilon: 0 is out of range"),
        (lambda: prb.SGD(1, momentum=-0.1), "momentum: -0.1 is out of range"),
        (lambda: prb.SGD(1, bounds={"x": (2, 1)}), "bounds: x: 2 is above 1"),
        (lambda: prb.SGD(1, {"x": "red"}), "x: expected numbers, got str"),
        (lambda: prb.SGD(1, {"x": [math.inf]}), "x: has a number that is not finite"),
        (lambda: opt.step({"y": [1.0]}), "y: the optimiser does not have it"),
        (lambda: opt.step({"x": [1.0]}), "x: expected a gradient of shape (2,), got (1,)"),
        (lambda: opt.step({"x": [1.0, math.nan]}), "x: its gradient is not finite"),
        (lambda: prb.SGD({"y": 1.0}, {"x": START}).step({"x": START}), "lr: there is no rate for x"),
        (lambda: prb.SGD(lambda k: -1.0, {"x": START}).step({"x": START}), "lr of x: -1.0 is out of range"),
        (lambda: opt.load(tmp_path / "none.npz"), "none.npz: no such file"),
        (lambda: opt.load(tmp_path / "noise.npz"), "noise.npz: cannot be read"),
        (lambda: opt.load(tmp_path / "sgd.npz"), "does not fit Adam"),
        (lambda: opt.save(tmp_path / "state.txt"), "a state is written as .npz"),
        (lambda: opt.save(tmp_path / "none" / "state.npz"), "cannot be written: No such file"),
    ):
        with pytest.raises(prb.ParameterError) as caught:
            call()
        assert message in str(caught.value) and "\n" not in str(caught.value)
    assert opt["x"].tolist() == START.tolist()  # nothing has moved
