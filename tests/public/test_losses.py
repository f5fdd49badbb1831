"""Losses: their values in closed form, and their derivatives against central differences."""

import numpy as np
import pytest

import prb
from prb import losses

pytestmark = pytest.mark.quick

SHAPE = (9, 6, 3)


@pytest.fixture
def pictures():
    """(image, target), positive, and nowhere equal."""
    rng = np.random.default_rng(3)
    return rng.uniform(0.1, 2, SHAPE), rng.uniform(0.1, 2, SHAPE)


MASK = np.arange(54).reshape(9, 6) % 3 > 0
MADE = {
    "l1": losses.l1,
    "l2": losses.l2,
    "relative_l2": losses.relative_l2,
    "log": losses.log,
    "masked l2": lambda target: losses.masked("l2", target, MASK),
    "masked log": lambda target: losses.masked(losses.log, target, MASK),
    "multi-scale l1": lambda target: losses.multiscale("l1", target, levels=3),
    "multi-scale relative l2": lambda target: losses.multiscale("relative_l2", target, levels=2),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_derivative_is_that_of_central_differences(pictures, make):
    image, target = pictures
    loss = make(target)
    derivative = loss(image)[1]
    assert derivative.shape == image.shape and derivative.any()
    step = 1e-5
    for index in np.ndindex(SHAPE):
        up, down = image.copy(), image.copy()
        up[index] += step
        down[index] -= step
        expected = (loss(up)[0] - loss(down)[0]) / (2 * step)
        assert derivative[index] == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_loss_of_the_target_itself_is_zero(pictures, make):
    value, derivative = make(pictures[1])(pictures[1])
    assert value == 0 and not derivative.any()


def test_values(pictures):
    image, target = pictures
    d = image - target
    assert losses.l1(target)(image)[0] == pytest.approx(np.abs(d).mean())
    assert losses.l2(target)(image)[0] == pytest.approx((d**2).mean())
    assert losses.relative_l2(target, 0.1)(image)[0] == pytest.approx((d**2 / (target**2 + 0.1)).mean())
    log = np.log((1 + image) / (1 + target))
    assert losses.log(target)(image)[0] == pytest.approx((log**2).mean())
    assert losses.masked("l2", target, MASK)(image)[0] == pytest.approx((d[MASK] ** 2).mean())
    half = d[:8].reshape(4, 2, 3, 2, 3).mean(axis=(1, 3))
    expected = ((d**2).mean() + (half**2).mean()) / 2
    assert losses.multiscale("l2", target, 2)(image)[0] == pytest.approx(expected)


def test_log_of_what_is_dark_or_below():
    value, derivative = losses.log(np.zeros((1, 2, 3)))(np.full((1, 2, 3), -0.5))
    assert value == 0 and not derivative.any()


def test_mistakes_are_one_line(pictures):
    image, target = pictures
    hole = target.copy()
    hole[2, 3, 1] = np.nan
    for make, error, message in (
        (lambda: losses.l2(hole), prb.ImageError, "target: has numbers that are not finite"),
        (lambda: losses.l1("a"), prb.ImageError, "target: expected an array of numbers, got str"),
        (lambda: losses.l1(0.5), prb.ImageError, "target: expected (height, width, channels), got ()"),
        (lambda: losses.l2(target)(image[:4]), prb.ImageError, "resize one of them"),
        (lambda: losses.masked("l2", target, MASK[:4]), prb.ImageError, "mask: expected shape (9, 6)"),
        (lambda: losses.masked("l2", target, MASK & False), prb.ImageError, "mask: no pixel is left"),
        (lambda: losses.masked("l3", target, MASK), prb.ParameterError, "the losses are l1, l2"),
        (lambda: losses.multiscale("l2", target, 4), prb.ParameterError, "cannot be halved 3 times"),
        (lambda: losses.multiscale("l2", target, 0), prb.ParameterError, "levels: 0 is out of range"),
    ):
        with pytest.raises(error) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)
