"""Constants under Taichi's own autodiff: `detach`, and functions with loops, whose derivatives are stated."""

import numpy as np
import pytest

from prb.kernels import microfacet, traced
from prb.kernels.backend import ti
from prb.kernels.traced import constant, detach

pytestmark = pytest.mark.quick

Numbers = ti.types.ndarray(ti.f32, 1)
X = np.concatenate([2.0 ** np.arange(-60, 60), [0.1, 1 / 3, 0.99999994, 1e-20, 3e4]]).astype(np.float32)
X = np.concatenate([X, -X])


def _held(x):
    return detach(x)


def _relative(x):
    return 3.0 * x / detach(x)


def _half_held(x):
    return branch_on(x, lambda: x * detach(x * x), lambda: constant(0.0))


def branch_on(x, if_true, if_false):
    return traced.branch(x * x > 0, if_true, if_false)


def _slope(x):
    """Through a loop, at a cosine that moves."""
    cosine = 0.5 + 0.25 * x * x / (1.0 + x * x)
    return microfacet.beckmann_slope(cosine, traced.sqrt(1.0 - cosine * cosine), 0.3 + 0.0 * x)


@ti.kernel
def _evaluate(function: ti.template(), x: Numbers, y: Numbers):
    for i in x:
        if i >= 0:  # outside of an `if`, Taichi 1.7.4 loses derivatives
            y[i] = traced.value(function, x[i])


@ti.kernel
def _tangent(function: ti.template(), x: Numbers, dy: Numbers):
    for i in x:
        _y, slope = traced.jvp(function, (x[i],), (1.0,))
        dy[i] = slope


def differentiated(function, x):
    """(values, derivatives by Taichi, derivatives by forward mode)."""
    arrays = [ti.ndarray(ti.f32, len(x), needs_grad=True) for _ in range(2)]
    arrays[0].from_numpy(x)
    _evaluate(function, *arrays)
    values = arrays[1].to_numpy()
    arrays[1].grad.fill(1.0)
    _evaluate.grad(function, *arrays)
    dy = np.zeros_like(x)
    _tangent(function, x, dy)
    return values, arrays[0].grad.to_numpy(), dy


def test_detached_numbers_have_their_value_and_no_derivative():
    values, by_taichi, forward = differentiated(_held, X)
    np.testing.assert_array_equal(values, X)
    assert not by_taichi.any() and not forward.any()


def test_factors_of_value_1():
    """The values that the derivative is divided by are those of the numbers themselves."""
    values, by_taichi, forward = differentiated(_relative, X)
    np.testing.assert_allclose(values, 3.0, rtol=1e-6)
    np.testing.assert_allclose(by_taichi * X, 3.0, rtol=1e-6)
    np.testing.assert_allclose(forward * X, 3.0, rtol=1e-6)


def test_detached_within_a_branch():
    x = X[np.abs(X) < 1e9]
    _values, by_taichi, _forward = differentiated(_half_held, x[np.abs(x) > 1e-9])
    np.testing.assert_allclose(by_taichi, x[np.abs(x) > 1e-9] ** 2, rtol=1e-6)


def test_stated_derivatives_are_taken():
    x = np.linspace(-2, 2, 41, dtype=np.float32)
    _values, by_taichi, forward = differentiated(_slope, x)
    assert np.abs(forward).max() > 0.02
    np.testing.assert_allclose(by_taichi, forward, rtol=1e-5, atol=1e-6)
