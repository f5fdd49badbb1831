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
WEIGHTS = np.random.default_rng(8).uniform(0, 2, SHAPE) * (np.arange(6) > 0)[:, None]
MADE = {
    "weighted l1": lambda target: losses.l1(target, WEIGHTS),
    "weighted l2": lambda target: losses.l2(target, WEIGHTS[..., 1]),
    "weighted relative l2": lambda target: losses.relative_l2(target, weights=WEIGHTS),
    "weighted log": lambda target: losses.log(target, WEIGHTS),
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


@pytest.mark.parametrize("name", losses.LOSSES)
def test_weighted_means(pictures, name):
    """Over the sum of the weights; 0 and 1 are a mask, and ones are no weights at all."""
    image, target = pictures
    make = losses.LOSSES[name]
    plain, of_mask = make(target)(image), losses.masked(name, target, MASK)(image)
    for weights, (value, derivative) in ((np.full(SHAPE, 7e300), plain), (3.0 * MASK, of_mask)):
        found = make(target, weights=weights)(image)
        assert found[0] == pytest.approx(value)
        np.testing.assert_allclose(found[1], derivative, rtol=1e-12, atol=0)
    channels = np.zeros(SHAPE)
    channels[2, 3, 1] = 0.5
    alone = make(target[2:3, 3:4, 1:2])(image[2:3, 3:4, 1:2])[0]
    assert losses.of_weighted(name, target, channels)(image)[0] == pytest.approx(alone)


def test_log_of_what_is_dark_or_below():
    value, derivative = losses.log(np.zeros((1, 2, 3)))(np.full((1, 2, 3), -0.5))
    assert value == 0 and not derivative.any()


def test_mistakes_are_one_line(pictures):
    image, target = pictures
    with np.errstate(all="ignore"):
        infinite = WEIGHTS / 0
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
        (lambda: losses.l2(target, MASK[:4]), prb.ImageError, "weights: expected shape (9, 6) or (9, 6, 3)"),
        (lambda: losses.l1(target, "a"), prb.ImageError, "weights: expected an array of numbers, got str"),
        (lambda: losses.log(target, -WEIGHTS), prb.ImageError, "weights: has the negative number -"),
        (lambda: losses.l2(target, 0 * WEIGHTS), prb.ImageError, "weights: is 0 everywhere"),
        (lambda: losses.l2(target, infinite), prb.ImageError, "weights: has numbers that are not finite"),
        (lambda: losses.of_weighted(lambda t: 0, target, MASK), prb.ParameterError, "takes no weights"),
        (lambda: losses.multiscale("l2", target, 4), prb.ParameterError, "cannot be halved 3 times"),
        (lambda: losses.multiscale("l2", target, 0), prb.ParameterError, "levels: 0 is out of range"),
    ):
        with pytest.raises(error) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)
