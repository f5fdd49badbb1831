"""Derived derivatives: every operation's value against NumPy, its derivatives in both modes against central
differences and against Taichi's own autodiff, all in double precision; and the conventions at edges."""

import operator
from typing import NamedTuple

import numpy as np
import pytest
from taichi.lang import ops

from prb.kernels import traced, traced_numbers
from prb.kernels.backend import Expr, ti
from prb.kernels.traced import Vec3, select

pytestmark = pytest.mark.quick

# ti.init makes Python's floats single, so constants in the table are ones that a single holds exactly.


class Case(NamedTuple):
    """function: over traced numbers; reference: over NumPy arrays, a vector having its components first.
    kinds: one letter for each argument, scalar or vector; low, high: where arguments are drawn from.
    rtol: of derivatives."""

    name: str
    kinds: str
    function: object
    reference: object
    low: float = -2.0
    high: float = 2.0
    rtol: float = 1e-12


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
    CASES += [Case(f"{name}({k})", k, ours, numpy, low, high) for k in "sv"]
for name, (ours, numpy, low, high) in BINARY.items():
    CASES += [Case(f"{name}({', '.join(k)})", k, ours, numpy, low, high) for k in ("ss", "vv", "vs", "sv")]
    CASES += [
        Case(f"{name}(a, const)", "s", lambda a, f=ours: f(a, 1.5), lambda a, f=numpy: f(a, 1.5), low, high),
        Case(f"{name}(const, a)", "s", lambda a, f=ours: f(1.5, a), lambda a, f=numpy: f(1.5, a), low, high,
             rtol=1e-7 if name == "power" else 1e-12),  # the constant's logarithm is a single too
    ]  # fmt: skip
CASES += [
    _same("a ** const", "s", lambda a: a**2.5, 0.2, 3.0),
    _same("a ** b", "ss", operator.pow, 0.2, 3.0),
    Case("clamp(a)", "s", lambda a: traced.clamp(a, -0.5, 0.75), lambda a: np.clip(a, -0.5, 0.75)),
    Case(
        "clamp(v, a, b)",
        "vss",
        lambda v, a, b: traced.clamp(v, -a, b),
        lambda v, a, b: np.clip(v, -a, b),
        0,
        2,
    ),
    Case(
        "select <", "sss", lambda a, b, c: select(a < b, b * c, a), lambda a, b, c: np.where(a < b, b * c, a)
    ),
    Case("select <=", "ss", lambda a, b: select(a <= b, a, 2.0), lambda a, b: np.where(a <= b, a, 2.0)),
    Case("select >", "ss", lambda a, b: select(a > 0.5, 2.0, b), lambda a, b: np.where(a > 0.5, 2.0, b)),
    Case("select >=", "ss", lambda a, b: select(a >= b, a, b), lambda a, b: np.where(a >= b, a, b)),
    Case(
        "select &",
        "ss",
        lambda a, b: select((a < 1.0) & (-1.0 < b), a * b, b),
        lambda a, b: np.where((a < 1) & (b > -1), a * b, b),
    ),
    Case(
        "select |",
        "ss",
        lambda a, b: select((a < -1.0) | (b > 1.0), a * b, b),
        lambda a, b: np.where((a < -1) | (b > 1), a * b, b),
    ),
    Case("select ~", "ss", lambda a, b: select(~(a < b), a * b, b), lambda a, b: np.where(a < b, b, a * b)),
    Case("select v, w", "svv", lambda a, v, w: select(a > 0, v, w), lambda a, v, w: np.where(a > 0, v, w)),
    Case("select v, a", "sv", lambda a, v: select(a > 0, v, a), lambda a, v: np.where(a > 0, v, a)),
    Case("select const, v", "sv", lambda a, v: select(a > 0, 0.5, v), lambda a, v: np.where(a > 0, 0.5, v)),
    Case("dot", "vv", traced.dot, lambda v, w: (v * w).sum(axis=0)),
    Case("cross", "vv", traced.cross, _cross),
    Case("length", "v", traced.length, _norm, 0.2, 2.0),
    Case("normalize", "v", traced.normalize, lambda v: v / _norm(v), 0.2, 2.0),
    Case(
        "components", "v", lambda v: Vec3(v.z * v.x, v.y, v.x), lambda v: np.stack([v[2] * v[0], v[1], v[0]])
    ),
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
    rtol = max(case.rtol, 1e-8)
    np.testing.assert_allclose(got["jvp"], np.einsum("nyx,nx->ny", jacobian, dx), rtol=rtol, atol=1e-8)
    np.testing.assert_allclose(got["vjp"], np.einsum("nyx,ny->nx", jacobian, dy), rtol=rtol, atol=1e-8)
    by_taichi = _by_taichi(case.function, tuple(case.kinds), kind, x, dy)
    np.testing.assert_allclose(got["vjp"], by_taichi, rtol=case.rtol, atol=1e-13)
    np.testing.assert_allclose((got["vjp"] * dx).sum(1), (got["jvp"] * dy).sum(1), rtol=1e-12, atol=1e-12)


# Tuples, subsets, constants


def _nested(p, x):
    """Arguments and result are tuples; the result also holds a constant and an argument as it is."""
    (a, (v, b)) = p
    return (v * a + x, (traced.dot(v, v) * b, 2.0, b))


@ti.kernel
def _nested_kernel(wrt: ti.template(), x: Rows, out: Rows):
    for i in range(x.shape[0]):
        a, b = x[i, 0], x[i, 1]
        v = ti.Vector([x[i, 2], x[i, 3], x[i, 4]])
        c = ti.Vector([x[i, 5], x[i, 6], x[i, 7]])
        result, cotangents = traced.vjp(_nested, ((a, (v, b)), x[i, 8]), (c, (a, b, a)), wrt)
        for j in ti.static(range(3)):
            out[i, j] = result[0][j]
            out[i, 3 + j] = result[1][j]
        for k in ti.static(range(len(wrt))):
            if ti.static(wrt[k] == 0):
                out[i, 6] = cotangents[k][0]
                out[i, 7] = cotangents[k][1][1]
                for j in ti.static(range(3)):
                    out[i, 8 + j] = cotangents[k][1][0][j]
            else:
                out[i, 11] = cotangents[k]
        _result, tangent = traced.jvp(_nested, ((a, (v, b)), x[i, 8]), ((c.x, (c, c.y)), None))
        for j in ti.static(range(3)):
            out[i, 12 + j] = tangent[0][j]
            out[i, 15 + j] = tangent[1][j]


@pytest.mark.parametrize("wrt", [(0, 1), (1, 0), (0,), (1,), ()])
def test_tuples_and_subsets_of_arguments(wrt):
    x = np.random.default_rng(1).uniform(0.5, 2, (3, 9))
    out = _array(np.zeros((3, 18)))
    _nested_kernel(wrt, _array(x), out)
    a, b, v, c, y = x[:, :1], x[:, 1:2], x[:, 2:5], x[:, 5:8], x[:, 8:]
    vv = (v * v).sum(axis=1, keepdims=True)
    vc = (v * c).sum(axis=1, keepdims=True)
    want = np.hstack([v * a + y, vv * b, 2 + 0 * a, b])
    dp = np.hstack([vc, vv * a + a, c * a + 2 * v * b * a])
    tangent = np.hstack([c * a + v * c[:, :1], 2 * vc * b + vv * c[:, 1:2], 0 * a, c[:, 1:2]])
    want = np.hstack([want, dp * (0 in wrt), c.sum(axis=1, keepdims=True) * (1 in wrt), tangent])
    np.testing.assert_allclose(out.to_numpy(), want, rtol=1e-13)


def _detached(a, b):
    return traced.detach(a * a) * b + Vec3(1.0 * b, b, b) * traced.detach(Vec3(a, b, 2.0 * a))


def test_detached_values_are_constants():
    x = np.array([[2.0, 0, 0, 3.0, 0, 0]])
    ones = np.ones((1, 3))
    got = _derivatives(_detached, ("s", "s"), "v", x, ones, np.array([[1.0, 0, 0, 10.0, 0, 0]]))
    assert got["y"].tolist() == [[12 + 6, 12 + 9, 12 + 12]]
    assert got["vjp"].tolist() == [[0, 0, 0, 3 * 4 + 2 + 3 + 4, 0, 0]]
    assert got["jvp"].tolist() == [[60, 70, 80]]


# Conventions at edges: (name, function, arguments, derivatives with respect to them)

EDGES = [
    ("sqrt at 0", traced.sqrt, (0,), (0,)),
    ("length at 0", lambda a: traced.length(Vec3(a, a, a)), (0,), (0,)),
    ("absolute at 0", traced.absolute, (0,), (1,)),
    ("absolute at -0", traced.absolute, (-0.0,), (1,)),
    ("minimum, equal", traced.minimum, (1, 1), (1, 0)),
    ("maximum, equal", traced.maximum, (1, 1), (1, 0)),
    ("clamp at its lower end", lambda a: traced.clamp(a, 0.0, 1.0), (0,), (1,)),
    ("clamp at its upper end", lambda a: traced.clamp(a, 0.0, 1.0), (1,), (1,)),
    ("clamp outside", lambda a: traced.clamp(a, 0.0, 1.0), (2,), (0,)),
    ("0 to the power 2", traced.power, (0, 2), (0, 0)),
    ("0 to the power 1", traced.power, (0, 1), (1, 0)),
    ("0 to the power 0.5", traced.power, (0, 0.5), (0, 0)),
    ("0 to the power 0", traced.power, (0, 0), (0, 0)),
    ("1 to the power 0", traced.power, (1, 0), (0, 0)),
    ("0 times a", lambda a, b: a * b, (0, 5), (5, 0)),
    ("the branch not taken", lambda a: select(a > 0, traced.log(a), a), (-1,), (1,)),
    ("a guarded branch", lambda a: select(a > 0, 1.0 / select(a > 0, a, 1.0), 3.0 * a), (0,), (3,)),
]


@pytest.mark.parametrize("f, at, derivatives", [e[1:] for e in EDGES], ids=[e[0] for e in EDGES])
def test_conventions_at_edges(f, at, derivatives):
    n = len(at)
    x = np.zeros((1, 3 * n))
    x[0, ::3] = at
    for i in range(n):
        got = _derivatives(f, ("s",) * n, "s", x, np.array([[1.0, 0, 0]]), np.eye(3 * n)[3 * i : 3 * i + 1])
        assert got["vjp"][0, ::3].tolist() == list(derivatives)
        assert got["jvp"][0, 0] == derivatives[i]


# Branches, and the amount of code


@pytest.mark.parametrize(
    "f",
    [
        lambda a: a if a > 0 else -a,
        lambda a: a if a else -a,
        lambda a: a and 2.0,
        lambda a: min(a, -a),
        lambda a: select(0.0 < a and a < 1.0, a, -a),
        lambda a: select(not a < 1.0, a, -a),
        lambda a: 2.0 if a == 1.0 else a,
        lambda a: 2.0 if a != 1.0 else a,
    ],
)
def test_a_branch_on_a_traced_number_is_refused(f):
    x = _array(np.ones((1, 3)))
    with pytest.raises(Exception, match="select|NoneType"):
        _straight(f, ("s",), "s", x, x)


def _polynomial(a):
    return 0.5 * (a * a + a)


def _direction(a):
    return traced.normalize(Vec3(a, 1.0, a) * a).x


@pytest.mark.parametrize("f", [_polynomial, _direction])
def test_code_grows_with_the_number_of_operations(monkeypatch, f):
    """Every expression is bound to a local where it stands, so that its code is not repeated at each use."""

    def sized(operation):
        def call(taichi_op, python_op, *operands):
            result = operation(taichi_op, python_op, *operands)
            if isinstance(result, Expr):
                result.size = 1 + sum(getattr(o, "size", 0) for o in operands)
            return result

        return call

    for name in ("_unary_operation", "_binary_operation", "_ternary_operation"):
        monkeypatch.setattr(ops, name, sized(getattr(ops, name)))
    bound, let = [], traced.let
    for module in (traced, traced_numbers):
        monkeypatch.setattr(module, "let", lambda e: bound.append(getattr(e, "size", 0)) or let(e))

    def size(levels):
        def repeated(a):
            for _ in range(levels):
                a = f(a)
            return a

        bound.clear()
        got = _derivatives(repeated, ("s",), "s", *np.ones((3, 1, 3)))
        assert np.isfinite(got["vjp"]).all()
        return sum(bound)

    growth = size(2) - size(1)
    assert growth > 0
    assert size(3) == size(2) + growth
    assert size(40) == size(2) + 38 * growth  # only now: with repeated code this one would not end
