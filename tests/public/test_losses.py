"""Losses: their values in closed form, and their derivatives against central differences."""

import numpy as np
import pytest
import scipy.ndimage
from helpers.lit_wall import RADIANCE, lit_scene

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
    "weighted multi-scale l2": lambda target: losses.multiscale("l2", target, levels=3, weights=WEIGHTS),
    "blurred l2": lambda target: losses.blurred("l2", target, 1.3),
    "weighted blurred log": lambda target: losses.blurred("log", target, 3.0, weights=WEIGHTS[..., 0]),
    "differences l1": lambda target: losses.differences("l1", target),
    "weighted differences": lambda target: losses.differences("l2", target, weights=WEIGHTS),
    "srgb l2": lambda target: losses.encoded("l2", target),
    "weighted log-encoded l2": lambda target: losses.encoded("l2", target, "log", weights=WEIGHTS),
    "reinhard l1": lambda target: losses.encoded("l1", target, "reinhard"),
    "own curve": lambda target: losses.encoded("l2", target, lambda x: (x**3, 3 * x**2)),
    "masked and weighted": lambda target: losses.masked("l2", target, MASK, weights=WEIGHTS),
    "masked multi-scale": lambda target: losses.masked(losses.multiscale("l1", levels=2), target, MASK),
    "sum": lambda target: 0.5 * losses.l2(target) + losses.multiscale("l1", target, 2, weights=WEIGHTS) / 10,
    "sum of any": 0.5 * losses.l2() + 0.1 * losses.differences("relative_l2"),
    "text": losses.made("l2+0.1*differences:(encoded=log:l2 + 2*blurred=1.5:l1)"),
}
LINEAR = [  # their derivative is linear in the picture
    "l2", "weighted l2", "relative_l2", "weighted relative l2", "masked l2", "multi-scale relative l2",
    "weighted multi-scale l2", "blurred l2", "weighted differences", "masked and weighted", "sum of any",
]  # fmt: skip


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


@pytest.mark.parametrize("name", LINEAR)
def test_derivative_of_what_has_no_bias_is_linear(pictures, name):
    """So its mean over noisy pictures is that at their mean."""
    loss, one = MADE[name](pictures[1]), pictures[0]
    other = one[::-1] * 3
    between = loss(0.3 * one + 0.7 * other)[1]
    np.testing.assert_allclose(0.3 * loss(one)[1] + 0.7 * loss(other)[1], between, rtol=1e-9, atol=1e-15)


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
    rows, columns = (np.diff(d, axis=k) for k in (0, 1))
    expected = ((columns**2).mean() + (rows**2).mean()) / 2
    assert losses.differences("l2", target)(image)[0] == pytest.approx(expected)
    assert losses.differences("l2", target)(target + 0.5)[0] == pytest.approx(0, abs=1e-25)
    padding, inside = ((40, 40), (40, 40), (0, 0)), (slice(40, 49), slice(40, 46))
    above, below = (scipy.ndimage.gaussian_filter(np.pad(x, padding), (1.5, 1.5, 0))[inside]
                    for x in (d, np.ones(SHAPE)))  # fmt: skip
    assert losses.blurred("l2", target, 1.5)(image)[0] == pytest.approx(((above / below) ** 2).mean())
    codes = [np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055) for x in pictures]
    expected = ((codes[0] - codes[1]) ** 2).mean()
    assert losses.encoded("l2", target)(image)[0] == pytest.approx(expected)


@pytest.mark.parametrize("curve", losses.CURVES)
def test_curves_have_their_derivatives_everywhere(curve):
    x = np.array([-3, -0.01, -1e-5, 0, 1e-5, 0.003, 0.0032, 0.5, 1, 40.0])
    function, step = losses.CURVES[curve], 1e-7
    expected = (function(x + step)[0] - function(x - step)[0]) / (2 * step)
    np.testing.assert_allclose(function(x)[1], expected, rtol=1e-4)
    assert (np.diff(function(x)[0]) > 0).all()


@pytest.mark.parametrize("make", [losses.multiscale, losses.blurred, losses.differences, losses.encoded])
def test_what_does_not_count_does_not_leak_through_a_filter(pictures, make):
    image, target = pictures
    options = {"levels": 2} if make is losses.multiscale else {}
    loss = make("l2", target, weights=MASK, **options)
    other = np.where(MASK[..., None], image, 1e6)
    value, derivative = loss(other)
    assert value == pytest.approx(loss(image)[0], rel=1e-9) and not derivative[~MASK].any()
    if make is not losses.blurred:  # where weights make the rim count less
        alike = make("l2", target, weights=np.full(SHAPE[:2], 7.0), **options)(image)
        plain = make("l2", target, **options)(image)
        assert alike[0] == pytest.approx(plain[0])
        np.testing.assert_allclose(alike[1], plain[1], rtol=1e-9, atol=1e-15)


def test_sums(pictures):
    image, target = pictures
    l1, l2 = losses.l1(target), losses.l2(target)
    expected = 0.5 * l2(image)[0] + 3 * l1(image)[0], 0.5 * l2(image)[1] + 3 * l1(image)[1]

    def own(picture):
        return l1(picture)

    of_any = 0.5 * losses.l2() + losses.l1() * np.float32(3)
    for loss in (
        0.5 * l2 + 3 * l1,
        sum([np.float64(0.5) * l2, l1, l1, l1]),
        (l2 + 6 * l1) / 2,
        0.5 * l2 + 3 * losses.Part(own),
        0.5 * l2 + own + own + own,
        own + 2 * l1 + 0.5 * l2,
        of_any(target),
        losses.made("0.5*l2+3.0e+0*l1")(target),
        losses.made("0.5*(l2 + 6*l1)")(target),
        (0.5 * losses.PartOfTarget(losses.l2) + 3 * losses.PartOfTarget(losses.l1))(target),
        (0.5 * losses.l2() + (lambda target: 3 * losses.l1(target)))(target),
    ):
        value, derivative = loss(image)
        assert value == pytest.approx(expected[0])
        np.testing.assert_allclose(derivative, expected[1], rtol=1e-12)
    both = 0.5 * losses.l2(target, WEIGHTS)(image)[0] + 3 * losses.l1(target, WEIGHTS)(image)[0]
    assert of_any(target, weights=WEIGHTS)(image)[0] == pytest.approx(both)
    twice = losses.l2(weights=WEIGHTS)(target, weights=MASK)(image)[0]
    assert twice == pytest.approx(losses.l2(target, WEIGHTS * MASK[..., None])(image)[0])
    masked = losses.masked("l2", target, MASK, weights=WEIGHTS)
    assert masked(image)[0] == pytest.approx(twice)
    nothing = 0 * losses.Part(lambda image: (np.nan, image)) + l2
    assert nothing(image)[0] == l2(image)[0] and (0 * l2)(image)[0] == 0


def test_descriptions():
    """They tell runs apart, and those without images can be read again."""
    for text in (
        "0.5*l2 + l1", "relative_l2=0.1", "multiscale=3:l1", "l2 + 0.1*blurred=1.5:(l1 + 2*log)",
        "differences:encoded=reinhard:l2",
    ):  # fmt: skip
        assert repr(losses.made(text)) == text
    assert repr(losses.l2()) == "l2"
    assert len({repr(losses.l2(weights=w)) for w in (MASK, ~MASK, None)}) == 3
    assert len({repr(losses.masked("l1", mask=m)) for m in (MASK, ~MASK)}) == 2


def test_value_and_grad_and_optimize_take_sums():
    scene = lit_scene()
    target = prb.render(scene, spp=64, seed=1)
    options = dict(spp=4, max_depth=3, seed=3)
    l2, edges = losses.l2(target), losses.differences("l2", target)
    found = prb.value_and_grad(scene, RADIANCE, 2 * l2 + 0.5 * edges, **options)
    parts = [prb.value_and_grad(scene, RADIANCE, loss, **options) for loss in (l2, edges)]
    assert found.value == pytest.approx(2 * parts[0].value + 0.5 * parts[1].value)
    expected = 2 * parts[0].grads[RADIANCE] + 0.5 * parts[1].grads[RADIANCE]
    np.testing.assert_allclose(found.grads[RADIANCE], expected, rtol=1e-4)
    start, values = prb.traverse(scene)[RADIANCE] / 2, []
    for loss in ("2*l2+0.5*differences:l2", 2 * losses.l2() + 0.5 * losses.differences("l2")):
        prb.traverse(scene).update({RADIANCE: start})
        weights = np.ones(target.shape)
        run = prb.optimize(scene, RADIANCE, target, loss=loss, weights=weights, iterations=2, spp=4)
        values.append(run.losses)
    assert values[0] == values[1] and 0 < values[0][0] != values[0][1]


def test_another_sum_is_another_run(tmp_path):
    target = prb.render(lit_scene(), spp=4, seed=1)

    def run(factor):
        options = dict(iterations=1, spp=2, checkpoint=tmp_path / "run.npz", resume=True)
        return prb.optimize(lit_scene(), RADIANCE, target, loss=losses.l2() + factor * losses.l1(), **options)

    assert run(0.5).losses == run(0.5).losses
    message = r"another run \(loss l2 \+ 0.5\*l1, now l2 \+ 0.1\*l1\)"
    with pytest.raises(prb.ParameterError, match=message):
        run(0.1)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "loss: '': expected a loss or a filter, got the end; write it as in"),
        ("l3", "loss: 'l3' is unknown; the losses are l1, l2, relative_l2, log, filters in front"),
        ("l2-l1", "loss: 'l2-l1': expected '+' or the end, got '-'"),
        ("l2+", "expected a loss or a filter, got the end"),
        ("-1*l2", "expected a loss or a filter, got '-'"),
        ("0.5 l2", "expected '*' behind the factor, got 'l2'"),
        ("1e999*l2", "loss: the factor inf is out of range"),
        ("(l2+l1", "expected ')', got the end"),
        ("l2)", "expected '+' or the end, got ')'"),
        ("multiscale", "loss: multiscale is a filter; name a loss behind it, as in 'multiscale:l1'"),
        ("l1:l2", "loss: l1 is no filter of pictures; those are multiscale, blurred"),
        ("l2=3", "loss: l2 has no option, got 3; leave '=3' out"),
        ("blurred=:l2", "expected a value behind '=', got ':'"),
        ("blurred=a:l2", "sigma: 'a' is out of range"),
        ("multiscale=2.5:l2", "levels: 2.5 is out of range"),
        ("encoded=pq:l2", "curve: 'pq' is unknown; the curves are srgb, log, reinhard"),
        ("relative_l2=0", "epsilon: 0 is out of range"),
        ("__import__('os')", "expected '+' or the end, got '('"),
        ("(" * 150 + "l2", "expected ')', got the end"),
        ("(" * 400, "loss: a text of 400 characters is too long"),
        (3, "loss: 3 is unknown; the losses are l1, l2"),
    ],
)
def test_texts_that_are_no_loss(text, message):
    with pytest.raises(prb.ParameterError) as caught:
        losses.made(text)
    assert message in str(caught.value) and "\n" not in str(caught.value)


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
    last_row, one = (np.arange(9) == 8)[:, None] & np.ones(SHAPE[:2], bool), np.zeros(SHAPE)
    one[4, 4] = 1

    def infinity(image):
        return 0.0, np.full(image.shape, np.inf)

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
        (lambda: losses.multiscale("l2", target, 2, weights=last_row), prb.ImageError, "take fewer levels"),
        (lambda: losses.multiscale("l2", target, 2, weights=MASK[:4]), prb.ImageError, "weights: expected"),
        (lambda: losses.blurred("l2", target, -1), prb.ParameterError, "sigma: -1 is out of range"),
        (lambda: losses.blurred("l2", target, weights=-WEIGHTS), prb.ImageError, "has the negative number -"),
        (lambda: losses.differences("l2", target[:1, :1]), prb.ImageError, "one pixel has no neighbours"),
        (lambda: losses.differences("l2", target, weights=one), prb.ImageError, "no two neighbours"),
        (lambda: losses.encoded("l2", target, "pq"), prb.ParameterError, "the curves are srgb, log"),
        (lambda: losses.encoded("l2", target, lambda x: (x, 1.0)), prb.ImageError, "its derivative has"),
        (lambda: losses.masked("l2", target), prb.ParameterError, "mask: is missing"),
        (lambda: losses.l2(weights=last_row)(target, weights=one), prb.ImageError, "leave nothing that"),
        (lambda: losses.relative_l2(target, -1), prb.ParameterError, "epsilon: -1 is out of range"),
        (lambda: -1 * losses.l2(target), prb.ParameterError, "loss: the factor -1 is out of range"),
        (lambda: losses.l2() * np.nan, prb.ParameterError, "loss: the factor nan is out of range"),
        (lambda: WEIGHTS * losses.l2(target), prb.ParameterError, "is an option: l2(target, weights=image)"),
        (lambda: losses.l2() / 0, prb.ParameterError, "loss: 0 is no divisor"),
        (lambda: losses.l2() + losses.l1(target), prb.ParameterError, "give both a target, or none"),
        (lambda: losses.l2(target) + 1, prb.ParameterError, "a sum has losses for parts, got int"),
        (lambda: losses.Part(1), prb.ParameterError, "loss: expected a function, got int"),
        (lambda: (losses.l2(target) + infinity)(image), prb.NotFiniteError,
         "loss: the derivative of infinity is not finite everywhere"),
        (lambda: (losses.l2(target) + (lambda x: (np.inf, x)))(image), prb.NotFiniteError, "<lambda> is inf"),
        (lambda: (losses.l2(target) + (lambda x: (0, 0)))(image), prb.ImageError,
         "loss: the derivative of <lambda> has shape ()"),
        (lambda: losses.blurred(lambda t: lambda x: (0, 0), target)(image), prb.ImageError,
         "loss: the derivative of <lambda> has shape ()"),
        (lambda: losses.masked(lambda t: infinity, target, MASK)(image), prb.NotFiniteError, "is not finite"),
        (lambda: (losses.l2(target) + (lambda x: 0))(image), prb.ParameterError, "of <lambda> (value, deriv"),
    ):  # fmt: skip
        with pytest.raises(error) as caught:
            make()
        assert message in str(caught.value) and "\n" not in str(caught.value)
