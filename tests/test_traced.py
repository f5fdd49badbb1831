"""Derived derivatives: every operation's value against NumPy, its derivatives in both modes against central
differences and against Taichi's own autodiff, all in double precision; and the conventions at edges."""

import operator
from typing import NamedTuple

import numpy as np
import pytest
import taichi as ti
from taichi.lang import impl

from prb.kernels import traced
from prb.kernels.traced import Vec3

# ti.init makes Python's floats single, so constants in the table are ones that a single holds exactly.


class Case(NamedTuple):
    """function: over traced numbers; reference: over NumPy arrays, a vector having its components first.
    kinds: one letter for each argument, scalar or vector; low, high: where arguments are drawn from."""

    name: str
    kinds: str
    function: object
    reference: object
    low: float = -2.0
    high: float = 2.0


def _same(name, kinds, function, low=-2.0, high=2.0):
    """A case whose function works on NumPy arrays too."""
    return Case(name, kinds, function, function, low, high)


def _norm(v):
    return np.sqrt((v * v).sum(axis=0))


def _cross(a, b):
    return np.cross(a, b, axis=0)


def _fresnel(cosine, eta, k):
    """Reflectance of a conductor: many uses of few operands."""
    c2 = cosine * cosine
    s2 = 1.0 - c2
    e2k2 = eta * eta - k * k - s2
    a2b2 = traced.sqrt(e2k2 * e2k2 + 4.0 * eta * eta * k * k)
    a = traced.sqrt(0.5 * (a2b2 + e2k2))
    rs = (a2b2 + c2 - 2.0 * a * cosine) / (a2b2 + c2 + 2.0 * a * cosine)
    rp = rs * (a2b2 * c2 + s2 * s2 - 2.0 * a * cosine * s2) / (a2b2 * c2 + s2 * s2 + 2.0 * a * cosine * s2)
    return 0.5 * (rs + rp)


def _numpy_fresnel(cosine, eta, k):
    """The same from complex amplitudes."""
    n = eta + 1j * k
    root = np.sqrt(n * n - (1 - cosine * cosine))
    rs, rp = (cosine - root) / (cosine + root), (n * n * cosine - root) / (n * n * cosine + root)
    return 0.5 * (abs(rs) ** 2 + abs(rp) ** 2)


OPERATORS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
ELEMENTARY = {
    "sqrt": (traced.sqrt, np.sqrt, 0.1, 4.0),
    "exp": (traced.exp, np.exp, -2.0, 2.0),
    "log": (traced.log, np.log, 0.1, 4.0),
    "sin": (traced.sin, np.sin, -4.0, 4.0),
    "cos": (traced.cos, np.cos, -4.0, 4.0),
    "tan": (traced.tan, np.tan, -1.2, 1.2),
    "asin": (traced.asin, np.arcsin, -0.9, 0.9),
    "acos": (traced.acos, np.arccos, -0.9, 0.9),
    "tanh": (traced.tanh, np.tanh, -2.0, 2.0),
    "absolute": (traced.absolute, np.abs, -2.0, 2.0),
}
BINARY = {
    "atan2": (traced.atan2, np.arctan2, -2.0, 2.0),
    "power": (traced.power, np.power, 0.2, 3.0),
    "minimum": (traced.minimum, np.minimum, -2.0, 2.0),
    "maximum": (traced.maximum, np.maximum, -2.0, 2.0),
}

CASES = [
    case
    for sign, op in OPERATORS.items()
    for case in (
        _same(f"a {sign} b", "ss", op, 0.5, 2.0),
        _same(f"a {sign} const", "s", lambda a, op=op: op(a, 0.75), 0.5, 2.0),
        _same(f"const {sign} a", "s", lambda a, op=op: op(0.75, a), 0.5, 2.0),
        _same(f"v {sign} w", "vv", op, 0.5, 2.0),
        _same(f"v {sign} a", "vs", op, 0.5, 2.0),
        _same(f"a {sign} v", "sv", op, 0.5, 2.0),
        _same(f"v {sign} const", "v", lambda v, op=op: op(v, 0.75), 0.5, 2.0),
        _same(f"const {sign} v", "v", lambda v, op=op: op(0.75, v), 0.5, 2.0),
    )
]
CASES += [_same("-a", "s", operator.neg), _same("-v", "v", operator.neg)]
for name, (ours, numpy, low, high) in ELEMENTARY.items():
    CASES += [Case(f"{name}(a)", "s", ours, numpy, low, high), Case(f"{name}(v)", "v", ours, numpy, low, high)]
for name, (ours, numpy, low, high) in BINARY.items():
    CASES += [Case(f"{name}({', '.join(k)})", k, ours, numpy, low, high) for k in ("ss", "vv", "vs", "sv")]
    CASES += [
        Case(f"{name}(a, const)", "s", lambda a, f=ours: f(a, 1.5), lambda a, f=numpy: f(a, 1.5), low, high),
        Case(f"{name}(const, a)", "s", lambda a, f=ours: f(1.5, a), lambda a, f=numpy: f(1.5, a), low, high),
    ]
CASES += [
    _same("a ** const", "s", lambda a: a**2.5, 0.2, 3.0),
    _same("a ** b", "ss", operator.pow, 0.2, 3.0),
    Case("clamp(a)", "s", lambda a: traced.clamp(a, -0.5, 0.75), lambda a: np.clip(a, -0.5, 0.75)),
    Case("clamp(v, a, b)", "vss", lambda v, a, b: traced.clamp(v, -a, b), lambda v, a, b: np.clip(v, -a, b), 0, 2),
    Case("select <", "sss", lambda a, b, c: traced.select(a < b, b * c, a), lambda a, b, c: np.where(a < b, b * c, a)),
    Case("select <=", "ss", lambda a, b: traced.select(a <= b, a, 2.0), lambda a, b: np.where(a <= b, a, 2.0)),
    Case("select >", "ss", lambda a, b: traced.select(a > 0.5, 2.0, b), lambda a, b: np.where(a > 0.5, 2.0, b)),
    Case("select >=", "ss", lambda a, b: traced.select(a >= b, a, b), lambda a, b: np.where(a >= b, a, b)),
    Case("select v, w", "svv", lambda a, v, w: traced.select(a > 0, v, w), lambda a, v, w: np.where(a > 0, v, w)),
    Case("select v, a", "sv", lambda a, v: traced.select(a > 0, v, a), lambda a, v: np.where(a > 0, v, a)),
    Case("select const, v", "sv", lambda a, v: traced.select(a > 0, 0.5, v), lambda a, v: np.where(a > 0, 0.5, v)),
    Case("dot", "vv", traced.dot, lambda v, w: (v * w).sum(axis=0)),
    Case("cross", "vv", traced.cross, _cross),
    Case("length", "v", traced.length, _norm, 0.2, 2.0),
    Case("normalize", "v", traced.normalize, lambda v: v / _norm(v), 0.2, 2.0),
    Case("components", "v", lambda v: Vec3(v.z * v.x, v.y, v.x), lambda v: np.stack([v[2] * v[0], v[1], v[0]])),
    Case("iteration", "v", lambda v: sum(v), lambda v: v.sum(axis=0)),
    _same("one operand, many uses", "s", lambda a: (a * a + a) * (a - a * a) / (a + 3.0), 0.2, 2.0),
    _same("argument itself", "s", lambda a: a),
    _same("argument does not matter", "ss", lambda a, b: b * 2.0),
    Case("fresnel", "sss", _fresnel, _numpy_fresnel, 0.2, 0.95),
]
CASES = {case.name: case for case in CASES}
POINTS = 7


# Kernels: row i of x holds the arguments, three columns for each, a scalar in the first of them.


@ti.func
def _read(x: ti.template(), i, at: ti.template(), kind: ti.template()):
    if ti.static(kind == "s"):
        return x[i, at]
    else:
        return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.func
def _arguments(x: ti.template(), i, kinds: ti.template()):
    return [_read(x, i, 3 * k, kinds[k]) for k in ti.static(range(len(kinds)))]


@ti.func
def _write(x: ti.template(), i, at: ti.template(), kind: ti.template(), a):
    if ti.static(kind == "s"):
        x[i, at] = a
    else:
        for j in ti.static(range(3)):
            x[i, at + j] = a[j]


Rows = ti.types.ndarray(ti.f64, 2)


@ti.kernel
def _derive(
    f: ti.template(), kinds: ti.template(), kind: ti.template(),
    x: Rows, dy: Rows, dx: Rows, y: Rows, vjp_y: Rows, vjp: Rows, jvp_y: Rows, jvp: Rows,
):  # fmt: skip
    for i in range(x.shape[0]):
        arguments = _arguments(x, i, kinds)
        tangents = _arguments(dx, i, kinds)
        _write(y, i, 0, kind, traced.value(f, *arguments))
        value, cotangents = traced.vjp(f, arguments, _read(dy, i, 0, kind))
        _write(vjp_y, i, 0, kind, value)
        for k in ti.static(range(len(kinds))):
            _write(vjp, i, 3 * k, kinds[k], cotangents[k])
        value_, tangent = traced.jvp(f, arguments, tangents)
        _write(jvp_y, i, 0, kind, value_)
        _write(jvp, i, 0, kind, tangent)


@ti.kernel
def _straight(f: ti.template(), kinds: ti.template(), kind: ti.template(), x: Rows, y: Rows):
    for i in range(x.shape[0]):
        _write(y, i, 0, kind, traced.value(f, *_arguments(x, i, kinds)))


def _array(rows, needs_grad=False):
    rows = np.ascontiguousarray(rows, float)
    array = ti.ndarray(ti.f64, rows.shape, needs_grad=needs_grad)
    array.from_numpy(rows)
    return array


def _derivatives(f, kinds, kind, x, dy, dx):
    """Value, the values that vjp and jvp give, the cotangents, and the tangents."""
    outputs = {name: _array(np.zeros((len(x), 3))) for name in ("y", "vjp_y", "jvp_y", "jvp")}
    outputs["vjp"] = _array(np.zeros(x.shape))
    _derive(f, kinds, kind, _array(x), _array(dy), _array(dx), outputs["y"], outputs["vjp_y"], outputs["vjp"],
            outputs["jvp_y"], outputs["jvp"])  # fmt: skip
    return {name: array.to_numpy() for name, array in outputs.items()}


def _by_taichi(f, kinds, kind, x, dy):
    """Cotangents of x by Taichi's own reverse mode."""
    a, y = _array(x, needs_grad=True), _array(np.zeros((len(x), 3)), needs_grad=True)
    y.grad.from_numpy(np.ascontiguousarray(dy))
    _straight.grad(f, kinds, kind, a, y)
    return a.grad.to_numpy()


def _reference(case, x):
    """The case's function by NumPy: rows to rows of three."""
    columns = [x[:, 3 * k] if kind == "s" else x[:, 3 * k : 3 * k + 3].T for k, kind in enumerate(case.kinds)]
    y = np.asarray(case.reference(*columns))
    return np.pad(y[:, None], ((0, 0), (0, 2))) if y.ndim == 1 else y.T


def _inputs(case):
    """Arguments, a cotangent of the result, tangents of the arguments; and the result's kind."""
    rng = np.random.default_rng(sum(map(ord, case.name)))
    x = rng.uniform(case.low, case.high, (POINTS, 3 * len(case.kinds)))
    used = np.array([k == "v" or j == 0 for k in case.kinds for j in range(3)])
    columns = [x[0, 3 * k] if kind == "s" else x[0, 3 * k : 3 * k + 3] for k, kind in enumerate(case.kinds)]
    kind = "v" if np.ndim(case.reference(*columns)) else "s"
    dy = rng.standard_normal((POINTS, 3)) * (1 if kind == "v" else [1, 0, 0])
    dx = rng.standard_normal(x.shape) * used
    return x * used, dy, dx, kind


def _difference(case, x, column, h=3e-4):
    """Derivative of the reference along one column of x, to fourth order in h."""
    step = np.zeros(x.shape[1])
    step[column] = h
    near = _reference(case, x + step) - _reference(case, x - step)
    far = _reference(case, x + 2 * step) - _reference(case, x - 2 * step)
    return (8 * near - far) / (12 * h)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_value_and_derivatives(case):
    x, dy, dx, kind = _inputs(case)
    got = _derivatives(case.function, tuple(case.kinds), kind, x, dy, dx)
    value = _reference(case, x)
    for name in ("y", "vjp_y", "jvp_y"):
        np.testing.assert_allclose(got[name], value, rtol=1e-13, atol=1e-14, err_msg=name)

    jacobian = np.stack([_difference(case, x, column) for column in range(x.shape[1])], axis=2)
    np.testing.assert_allclose(got["jvp"], np.einsum("nyx,nx->ny", jacobian, dx), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(got["vjp"], np.einsum("nyx,ny->nx", jacobian, dy), rtol=1e-8, atol=1e-8)
    by_taichi = _by_taichi(case.function, tuple(case.kinds), kind, x, dy)
    np.testing.assert_allclose(got["vjp"], by_taichi, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose((got["vjp"] * dx).sum(1), (got["jvp"] * dy).sum(1), rtol=1e-12, atol=1e-12)
