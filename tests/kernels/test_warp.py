"""Sampling routines against the densities they claim, and frames.

A warp from the square has a density where its Jacobian is the density's inverse; histograms are tested
too. Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

import numpy as np
import pytest

from prb.kernels import frame, traced, warp
from prb.kernels.backend import ti
from prb.kernels.estimators import modes

pytestmark = pytest.mark.quick

P_MIN = 1e-4
Rows = ti.types.ndarray(ti.f32, 2)
Rows64 = ti.types.ndarray(ti.f64, 2)
CONE = 0.3  # 1 - cos of its half angle
WARPS = ("disk", "hemisphere", "sphere", "triangle", "cone", "narrow cone")


@ti.kernel
def _warp(u: Rows, out: Rows):
    for i in range(u.shape[0]):
        a, b = u[i, 0], u[i, 1]
        disk, triangle = warp.square_to_disk(a, b), warp.square_to_triangle(a, b)
        hemisphere, sphere = warp.square_to_cosine_hemisphere(a, b), warp.square_to_sphere(a, b)
        cone, narrow = warp.square_to_cone(a, b, CONE), warp.square_to_cone(a, b, 1e-8)
        for k in ti.static(range(2)):
            out[i, k] = disk[k]
            out[i, 9 + k] = triangle[k]
        for k in ti.static(range(3)):
            out[i, 3 + k] = hemisphere[k]
            out[i, 6 + k] = sphere[k]
            out[i, 12 + k] = cone[k]
            out[i, 15 + k] = narrow[k]


def warped(u):
    """Name -> where each routine sends the points u (n, 2): float64 (n, 3)."""
    out = np.zeros((len(u), 18), np.float32)
    _warp(np.ascontiguousarray(u, np.float32), out)
    return dict(zip(WARPS, np.moveaxis(out.reshape(-1, 6, 3).astype(float), 1, 0), strict=True))


@pytest.fixture(scope="module")
def samples():
    """2^18 jittered points of the square and their images; half of the numbers have float32's 24 bits."""
    u = np.random.default_rng(1).integers(0, 2**24, (2**18, 2)) / 2**24
    return warped(u)


# The area-preserving map of each domain back to the square: uniform there means the right density.


def _angle(p):
    return np.arctan2(p[:, 1], p[:, 0]) / (2 * np.pi) % 1


FLAT = {
    "disk": lambda p: (p[:, 0] ** 2 + p[:, 1] ** 2, _angle(p)),
    "hemisphere": lambda p: (1 - p[:, 2] ** 2, _angle(p)),
    "sphere": lambda p: (0.5 * (1 - p[:, 2]), _angle(p)),
    "triangle": lambda p: ((1 - p[:, 0]) ** 2, p[:, 1] / (1 - p[:, 0])),
    "cone": lambda p: ((1 - p[:, 2]) / CONE, _angle(p)),
    "narrow cone": lambda p: ((p[:, 0] ** 2 + p[:, 1] ** 2) / 2e-8, _angle(p)),
}


@pytest.mark.parametrize("name", WARPS)
def test_samples_have_the_density(chi_squared, samples, name):
    x, y = FLAT[name](samples[name])
    assert -1e-6 <= x.min() and x.max() <= 1 + 1e-6
    bins = 40
    counts, _, _ = np.histogram2d(np.clip(x, 0, 1), np.clip(y, 0, 1), bins, ((0, 1), (0, 1)))
    assert counts.sum() == len(x)
    assert chi_squared(counts, np.full(bins**2, len(x) / bins**2)) > P_MIN


@pytest.mark.parametrize("name", WARPS)
def test_the_jacobian_is_constant(name):
    """Of the warp followed by the area-preserving map back; by differences, so to a per cent."""
    u = np.random.default_rng(2).uniform(0.02, 0.98, (4000, 2))
    u = u[np.abs(np.abs(2 * u[:, 0] - 1) - np.abs(2 * u[:, 1] - 1)) > 0.02]  # creases of the disk's map
    u = u[np.abs(2 * u - 1).max(axis=1) > 0.1]
    h = 2.0**-9
    columns = []
    for step in ([h, 0], [0, h]):
        plus, minus = (np.stack(FLAT[name](warped(u + s)[name])) for s in (np.array(step), -np.array(step)))
        difference = plus - minus
        difference[1] -= np.round(difference[1])  # the angle wraps around
        columns.append(difference / (2 * h))
    (a, c), (b, d) = columns
    np.testing.assert_allclose(np.abs(a * d - b * c), 1, rtol=0.01)


@traced.traced
def routine(name):
    cones = {"cone": CONE, "narrow cone": 1e-8}
    if name in cones:
        return lambda a, b: warp.square_to_cone(a, b, cones[name])
    return {
        "disk": warp.square_to_disk,
        "hemisphere": warp.square_to_cosine_hemisphere,
        "sphere": warp.square_to_sphere,
        "triangle": warp.square_to_triangle,
        "circle": lambda a, b: warp.circle(a) * b,
        "azimuth": lambda a, b: traced.Vec2(warp.azimuth_fraction(2.0 * a - 1.0, b - 0.5), b),
        "polar": lambda a, b: traced.Vec2(
            warp.polar_fraction(2.0 * a - 1.0, 1.0 - traced.absolute(2.0 * a - 1.0)), b
        ),
    }[name]


@ti.kernel
def _partials(name: ti.template(), size: ti.template(), u: Rows64, out: Rows64):
    """The point, then its derivatives by both numbers: those of one mode, then those of the other."""
    for i in range(u.shape[0]):
        p, d1 = traced.jvp(routine(name), (u[i, 0], u[i, 1]), (1.0, None))
        _p, d2 = traced.jvp(routine(name), (u[i, 0], u[i, 1]), (None, 1.0))
        for k in ti.static(range(size)):
            out[i, k] = p[k]
            out[i, 3 + k] = d1[k]
            out[i, 6 + k] = d2[k]
            unit = ti.Vector([1.0 if k == j else 0.0 for j in ti.static(range(size))])
            _q, c = traced.vjp(routine(name), (u[i, 0], u[i, 1]), unit)
            out[i, 9 + k] = c[0]
            out[i, 12 + k] = c[1]


def partials(name, size, u):
    """Points and their derivatives by u1 and by u2, each (n, 3), the same in both modes."""
    out = np.zeros((len(u), 15))
    _partials(name, size, np.ascontiguousarray(u), out)
    np.testing.assert_allclose(out[:, 3:9], out[:, 9:], rtol=1e-12, atol=1e-12)
    return out[:, :3], out[:, 3:6], out[:, 6:9]


DENSITY = {
    "disk": lambda p: 1 / np.pi,
    "hemisphere": lambda p: p[:, 2] / np.pi,
    "sphere": lambda p: 1 / (4 * np.pi),
    "triangle": lambda p: 2.0,
    "cone": lambda p: 1 / (2 * np.pi * CONE),
    "narrow cone": lambda p: 1 / (2 * np.pi * 1e-8),
    "circle": lambda p: 1 / (2 * np.pi * np.hypot(p[:, 0], p[:, 1])),  # scaled by the second number
}


@pytest.mark.parametrize("name", DENSITY)
def test_the_derivative_by_the_random_numbers_is_one_over_the_density(name):
    u = np.random.default_rng(5).uniform(0.01, 0.99, (4000, 2))
    p, a, b = partials(name, 2 if name in ("disk", "triangle", "circle") else 3, u)
    area = np.linalg.norm(np.cross(a, b), axis=1)
    np.testing.assert_allclose(area * DENSITY[name](p), 1, rtol=2e-5)


@pytest.mark.parametrize("name", ["azimuth", "polar"])
def test_derivatives_of_angles(name):
    u = np.random.default_rng(6).uniform(0.01, 0.99, (4000, 2))
    _p, a, b = partials(name, 2, u)
    x, y = 2 * u[:, 0] - 1, u[:, 1] - 0.5
    if name == "azimuth":
        wanted = np.stack([-2 * y, x]) / (2 * np.pi * (x * x + y * y))
    else:
        wanted = np.stack([-2 / (np.pi * np.sqrt(1 - x * x)), 0 * x])
    np.testing.assert_allclose([a[:, 0], b[:, 0]], wanted, rtol=2e-5, atol=2e-5)


def test_points_lie_where_they_should(samples):
    corners = np.array([[a, b] for a in (0, 0.5, 1 - 2**-24) for b in (0, 0.5, 1 - 2**-24)])
    for points in (samples, warped(corners)):
        for name in ("hemisphere", "sphere", "cone", "narrow cone"):
            np.testing.assert_allclose(np.linalg.norm(points[name], axis=1), 1, atol=4e-7)
        assert points["hemisphere"][:, 2].min() >= 0
        assert points["cone"][:, 2].min() >= 1 - CONE - 1e-6
        assert np.linalg.norm(points["narrow cone"][:, :2], axis=1).max() <= np.sqrt(2e-8) * (1 + 1e-5)
        assert np.linalg.norm(points["disk"], axis=1).max() <= 1 + 2e-7
        u, v = points["triangle"][:, 0], points["triangle"][:, 1]
        assert u.min() >= 0 and v.min() >= 0 and (u + v).max() <= 1 + 1e-7


@ti.kernel
def _sin_cos(x: Rows, out: Rows):
    for i in range(x.shape[0]):
        s, c = warp.sin_cos_octant(x[i, 0])
        out[i, 0] = s
        out[i, 1] = c


def test_sine_and_cosine_to_two_units_in_the_last_place():
    edge = np.float32(np.pi / 4)
    x = np.concatenate([np.linspace(-edge, edge, 200001), np.logspace(-38, -1, 2000), [0.0]])
    x = x.astype(np.float32)[:, None]
    out = np.zeros((len(x), 2), np.float32)
    _sin_cos(x, out)
    for got, want in zip(out.T, (np.sin(x[:, 0].astype(float)), np.cos(x[:, 0].astype(float))), strict=True):
        assert np.all(np.abs(got - want) <= 2 * np.spacing(np.abs(want).astype(np.float32)))


# Frames and vector helpers


@ti.kernel
def _frames(v: Rows, w: Rows, out: Rows):
    for i in range(v.shape[0]):
        n = ti.Vector([v[i, 0], v[i, 1], v[i, 2]])
        x = ti.Vector([w[i, 0], w[i, 1], w[i, 2]])
        s, t = frame.tangents(n)
        local = frame.to_local(x, s, t, n)
        world = frame.to_world(local, s, t, n)
        for k in ti.static(range(3)):
            out[i, k] = s[k]
            out[i, 3 + k] = t[k]
            out[i, 6 + k] = local[k]
            out[i, 9 + k] = world[k]
        out[i, 12] = ti.select(modes.is_usable(x), 1.0, 0.0)
        out[i, 13] = frame.max_abs(x)


def framed(n, w):
    out = np.zeros((len(n), 14), np.float32)
    _frames(np.ascontiguousarray(n, np.float32), np.ascontiguousarray(w, np.float32), out)
    return out


def _frame(n, w):
    s, t = frame.tangents(n)
    return s, t, frame.to_local(w, s, t, n), frame.to_world(w, s, t, n)


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.kernel
def _frame_derivative(x: Rows64, dx: Rows64, value: Rows64, tangent: Rows64):
    for i in range(x.shape[0]):
        f, df = traced.jvp(
            _frame, (_vector(x, i, 0), _vector(x, i, 3)), (_vector(dx, i, 0), _vector(dx, i, 3))
        )
        for k in ti.static(range(4)):
            for j in ti.static(range(3)):
                value[i, 3 * k + j] = f[k][j]
                tangent[i, 3 * k + j] = df[k][j]


def test_derivatives_of_frames():
    rng = np.random.default_rng(7)
    x, dx = rng.standard_normal((2, 1000, 6))
    x[:, :3] /= np.linalg.norm(x[:, :3], axis=1, keepdims=True)
    use = np.abs(x[:, 2]) > 0.05  # the frame jumps at the equator
    x, dx, h = x[use], dx[use], 1e-6
    value, tangent = np.zeros((2, len(x), 12))
    higher, lower = np.zeros((2, len(x), 12))
    _frame_derivative(x + h * dx, dx, higher, tangent)
    _frame_derivative(x - h * dx, dx, lower, tangent)
    _frame_derivative(x, dx, value, tangent)
    np.testing.assert_allclose(tangent, (higher - lower) / (2 * h), rtol=1e-6, atol=1e-6)


def test_tangents_make_a_right_handed_orthonormal_frame():
    rng = np.random.default_rng(3)
    n = rng.standard_normal((20000, 3))
    n[:200, :2] *= 1e-4  # near both poles
    n[200:400, 2] *= 1e-6  # near the equator, where the sign changes
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    n = np.concatenate([n, np.eye(3), -np.eye(3), [[0, 0.6, -0.8], [0.6, 0.8, 0.0], [0.6, 0.8, -0.0]]])
    n = n.astype(np.float32).astype(float)
    w = rng.standard_normal(n.shape).astype(np.float32)
    out = framed(n, w).astype(float)
    s, t, local, world = (out[:, i : i + 3] for i in (0, 3, 6, 9))
    frames = np.stack([s, t, n], axis=1)
    np.testing.assert_allclose(frames @ frames.transpose(0, 2, 1), [np.eye(3)] * len(n), atol=1e-6)
    np.testing.assert_allclose(np.cross(s, t), n, atol=1e-6)
    np.testing.assert_allclose(local, np.einsum("nij,nj->ni", frames, w), atol=1e-5)
    np.testing.assert_allclose(world, w, atol=1e-5)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "x, usable",
    [(0, True), (-0.0, True), (1e-45, True), (modes.OVERFLOW, True), (-modes.OVERFLOW, True),
     (1.001 * modes.OVERFLOW, False), (-1.001 * modes.OVERFLOW, False), (np.inf, False), (-np.inf, False),
     (np.nan, False), (-np.nan, False)],
)  # fmt: skip
def test_usable_numbers_are_told_from_others(place, x, usable):
    v = np.ones((1, 3), np.float32)
    v[0, place] = x
    assert framed(np.array([[0, 0, 1]]), v)[0, 12] == usable


def test_largest_components():
    v = np.array([[1, -5, 3], [-1, -2, -0.5], [7, 2, -6], [0, -9, -8]], np.float32)
    out = framed(np.tile([0, 0, 1], (4, 1)), v)
    assert out[:, 13].tolist() == [5, 2, 7, 9]
