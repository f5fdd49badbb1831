"""Branches and stated derivatives: values, both modes against differences, and what a branch leaves out."""

import numpy as np
import pytest

from prb.kernels import traced
from prb.kernels.backend import ti
from prb.kernels.traced import Vec3, branch, custom, dot, kernel_callable, select

Rows = ti.types.ndarray(ti.f64, 2)


def _polar(a, b, v):
    """Both sides differ in what they use; one is a constant in part."""
    w, c = branch(a > 0, lambda: (v * traced.log(a), 2.0), lambda: (Vec3(b, b * b, 1.0) + v, b))
    return w * c


def _nested(a, b, v):
    outer = b * a

    def inner():
        scaled = outer * v.x
        return branch(scaled > 0.1, lambda: traced.exp(scaled) * outer, lambda: scaled * a)

    x = branch(b > 0, inner, lambda: outer + v.y)
    return v * x + Vec3(x, outer, a)


def _chained(a, b, v):
    """The outcome of one decides the next, as a number and as a condition."""
    x, large = branch(a < b, lambda: (a * a, a < 0.5), lambda: (b * v.z, True))
    y = branch(large & (v.x > 0), lambda: v * x, lambda: Vec3(x, 0.0, v.y * 2.0))
    return select(large, y, y * 3.0) + y


def _shared(a, b, v):
    """An operand comes out as it is, and is used around the branch too."""
    s = a * b
    x, y = branch(v.x > v.y, lambda: (s, s), lambda: (a, s * s))
    return Vec3(x * s, y, s)


@ti.func
def _cube_root(x, scale):
    return scale * ti.pow(x, ti.cast(1.0, ti.f64) / 3.0)


@ti.func
def _cube_root_slopes(y, x, scale):
    return [y / (3.0 * x), y / scale]


_root = custom(_cube_root, _cube_root_slopes)


def _stated(a, b, v):
    return v * _root(2.5 + a, b) + Vec3(_root(1.5 + b * b, 2.0), 0.0, a)


FUNCTIONS = {f.__name__[1:]: f for f in (_polar, _nested, _chained, _shared, _stated)}


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.kernel
def _value(f: ti.template(), x: Rows, y: Rows):
    for i in range(x.shape[0]):
        value = traced.value(f, x[i, 0], x[i, 1], _vector(x, i, 2))
        for k in ti.static(range(3)):
            y[i, k] = value[k]


@ti.kernel
def _derive(f: ti.template(), x: Rows, dx: Rows, grad: Rows, y: Rows, dy: Rows, out: Rows):
    for i in range(x.shape[0]):
        arguments = (x[i, 0], x[i, 1], _vector(x, i, 2))
        value, c = traced.vjp(f, arguments, _vector(grad, i, 0))
        _value, tangent = traced.jvp(f, arguments, (dx[i, 0], dx[i, 1], _vector(dx, i, 2)))
        out[i, 0] = c[0]
        out[i, 1] = c[1]
        for k in ti.static(range(3)):
            y[i, k] = value[k]
            dy[i, k] = tangent[k]
            out[i, 2 + k] = c[2][k]


def values(f, x):
    y = np.zeros((len(x), 3))
    _value(f, np.ascontiguousarray(x), y)
    return y


def derivatives(f, x, dx, grad):
    """Value, tangent, cotangents."""
    y, dy, out = np.zeros((len(x), 3)), np.zeros((len(x), 3)), np.zeros((len(x), 5))
    _derive(f, x, dx, grad, y, dy, out)
    return y, dy, out


def inputs(n=400):
    rng = np.random.default_rng(2)
    return rng.uniform(-2, 2, (n, 5)), rng.standard_normal((n, 5)), rng.standard_normal((n, 3))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_both_modes_against_differences(name):
    f = FUNCTIONS[name]
    x, dx, grad = inputs()
    y, dy, back = derivatives(f, x, dx, grad)
    np.testing.assert_array_equal(y, values(f, x))
    np.testing.assert_allclose((dy * grad).sum(1), (dx * back).sum(1), rtol=1e-10, atol=1e-10)
    h = 1e-6
    for k in range(5):
        e = h * np.eye(5)[k]
        slope = ((values(f, x + e) - values(f, x - e)) * grad).sum(1) / (2 * h)
        jump = ((values(f, x + 2 * e) - values(f, x - 2 * e)) * grad).sum(1) / (4 * h)
        smooth = np.abs(slope - jump) < 1e-4 * (1 + np.abs(slope))
        assert smooth.mean() > 0.98
        np.testing.assert_allclose(back[smooth, k], slope[smooth], rtol=1e-6, atol=1e-6)


def test_values_are_those_of_the_side_that_is_taken():
    x, *_ = inputs()
    a, b, v = x[:, :1], x[:, 1:2], x[:, 2:]
    with np.errstate(invalid="ignore"):
        wanted = np.where(a > 0, v * np.log(a) * 2, (np.hstack([b, b * b, 1 + 0 * b]) + v) * b)
    np.testing.assert_allclose(values(_polar, x), wanted, rtol=1e-6)


def _pole(a, b, v):
    return branch(a > 0, lambda: v / a + traced.log(a), lambda: v * b)


def test_the_side_that_is_not_taken_has_no_part_in_the_derivative():
    """Its derivative is infinite, and a select would make a NaN of that."""
    x = np.array([[0.0, 2.0, 1.0, 3.0, 4.0]])
    y, dy, back = derivatives(_pole, x, np.ones((1, 5)), np.ones((1, 3)))
    assert y.tolist() == [[2, 6, 8]] and dy.tolist() == [[3, 5, 6]] and back.tolist() == [[0, 8, 2, 2, 2]]


@ti.func
def _count_up(x, counter: ti.template()):
    ti.atomic_add(counter[0, 0], 1.0)
    return x


@ti.kernel
def _counting(x: Rows, counter: Rows, y: Rows):
    for i in range(x.shape[0]):
        y[i, 0] = traced.value(_observed(counter), x[i, 0])


@traced.traced
def _observed(counter):
    dear = custom(lambda x: _count_up(x, counter), None)
    return lambda a: branch(a > 1.0, lambda: dear(a) * 2.0, lambda: a)


def test_only_one_side_runs():
    x, counter, y = np.arange(5.0)[:, None], np.zeros((1, 1)), np.zeros((5, 1))
    _counting(x, counter, y)
    assert counter[0, 0] == 3 and y[:, 0].tolist() == [0, 1, 4, 6, 8]


@pytest.mark.parametrize(
    "f, message",
    [
        (lambda a, b, v: branch(a > 0, lambda: v, lambda: (v, v)), "different structures"),
        (lambda a, b, v: branch(a > 0, lambda: v, lambda: a), "different structures"),
        (lambda a, b, v: branch(a > 0, lambda: (v,) * 7, lambda: (v,) * 7)[0], "more than 20 numbers"),
    ],
)
def test_sides_that_do_not_fit_are_refused(f, message):
    with pytest.raises(Exception, match=message):
        values(f, np.ones((1, 5)))


@kernel_callable
def _halfway(v, w, t):
    return v + (w - v) * t


def _inside(p):
    return dot(_halfway(p, p * 3.0, 0.5), p)


@ti.kernel
def _from_kernel(x: Rows, y: Rows):
    for i in range(x.shape[0]):
        v = _vector(x, i, 2)
        middle = _halfway(v, ti.Vector([1.0, 2.0, 3.0]), 0.25)
        inside = traced.value(_inside, v)
        for k in ti.static(range(3)):
            y[i, k] = middle[k] + inside


def test_a_traced_function_in_a_kernel():
    x, *_ = inputs(20)
    y, v = np.zeros((20, 3)), x[:, 2:]
    _from_kernel(x, y)
    np.testing.assert_allclose(y, v + (np.array([1, 2, 3]) - v) / 4 + 2 * (v * v).sum(1, keepdims=True))


@ti.kernel
def _lengths(x: Rows, y: Rows):
    """Vectors of two numbers stay vectors, longer ones become tuples; both can be indexed."""
    for i in range(x.shape[0]):
        two, five = ti.Vector([x[i, 0], x[i, 1]]), ti.Vector([x[i, k] for k in ti.static(range(5))])
        swapped = traced.value(_swap, two)
        y[i, 0] = swapped.x + 10.0 * swapped.y
        y[i, 1] = traced.value(_ends, five)
        _e, c = traced.vjp(_ends, (five,), 1.0)
        y[i, 2] = c[0][4]


def _swap(v):
    return traced.Vec2(v[1], v[0])


def _ends(v):
    return v[0] * v[4]


def test_vectors_of_other_lengths():
    x, *_ = inputs(20)
    y = np.zeros((20, 3))
    _lengths(x, y)
    np.testing.assert_allclose(y, np.stack([x[:, 1] + 10 * x[:, 0], x[:, 0] * x[:, 4], x[:, 0]], axis=1))
