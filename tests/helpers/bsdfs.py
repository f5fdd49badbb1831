"""Scattering models as NumPy functions, for tests: values, samples, densities, derivatives, directions.

The parameters of a model are one row of numbers here: three for a colour, one for a number, in the order
of its PARAMETERS, and then its CONSTANTS. `row` makes it from names.
"""

from typing import NamedTuple

import numpy as np

from prb.kernels import bsdf, traced
from prb.kernels.backend import ti

Rows = ti.types.ndarray(ndim=2)  # of float32 or float64


@traced.traced
def _offset(name, index):
    """Where parameter or constant `index` begins in a row."""
    declared = bsdf.of(name).PARAMETERS
    return sum(1 if q.number else 3 for q in declared[:index]) + max(index - len(declared), 0)


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@traced.traced
def _count(name):
    """How many entries the p of a model has."""
    return len(bsdf.of(name).PARAMETERS) + len(bsdf.constants_of(name))


@traced.traced
def _width(name):
    """How many numbers a row has."""
    return _offset(name, _count(name))


@traced.traced
def _is_number(name, index):
    declared = bsdf.of(name).PARAMETERS
    return index >= len(declared) or declared[index].number


@ti.func
def _entry(name: ti.template(), p: ti.template(), i, k: ti.template()):
    # Not a conditional expression: that would make two vectors of a vector and a number.
    if ti.static(_is_number(name, k)):
        return p[i, _offset(name, k)]
    else:
        return _vector(p, i, _offset(name, k))


@ti.func
def _parameters(name: ti.template(), p: ti.template(), i):
    return [_entry(name, p, i, k) for k in ti.static(range(_count(name)))]


@ti.func
def _random(u: ti.template(), i):
    return ti.Vector([u[i, 0], u[i, 1], u[i, 2], u[i, 3]])


@ti.kernel
def _sample(name: ti.template(), p: Rows, wi: Rows, u: Rows, out: Rows):
    for i in range(wi.shape[0]):
        wo, density, delta, eta, chance = traced.value(
            bsdf.of(name).sample, _parameters(name, p, i), _vector(wi, i, 0), _random(u, i)
        )
        for k in ti.static(range(3)):
            out[i, k] = wo[k]
        out[i, 3] = density
        out[i, 4] = delta
        out[i, 5] = eta
        out[i, 6] = chance


@ti.kernel
def _pdf(name: ti.template(), p: Rows, wi: Rows, wo: Rows, pdf: Rows):
    for i in range(wi.shape[0]):
        pdf[i, 0] = traced.value(
            bsdf.of(name).pdf, _parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0)
        )


@ti.kernel
def _eval(name: ti.template(), p: Rows, wi: Rows, wo: Rows, delta: Rows, f: Rows):
    for i in range(wi.shape[0]):
        value = traced.value(
            bsdf.of(name).eval, _parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), delta[i, 0]
        )
        for k in ti.static(range(3)):
            f[i, k] = value[k]


@ti.kernel
def _vjp(name: ti.template(), p: Rows, df: Rows, wi: Rows, wo: Rows, delta: Rows, dp: Rows):
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), delta[i, 0])
        _f, cotangents = traced.vjp(bsdf.of(name).eval, arguments, _vector(df, i, 0), (0,))
        for k in ti.static(range(len(bsdf.of(name).PARAMETERS))):
            if ti.static(bsdf.of(name).PARAMETERS[k].number):
                dp[i, _offset(name, k)] = cotangents[0][k]
            else:
                for j in ti.static(range(3)):
                    dp[i, _offset(name, k) + j] = cotangents[0][k][j]


@ti.kernel
def _jvp(name: ti.template(), p: Rows, dp: Rows, wi: Rows, wo: Rows, delta: Rows, df: Rows):
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0), delta[i, 0])
        _f, tangent = traced.jvp(bsdf.of(name).eval, arguments, (_parameters(name, dp, i), None, None, None))
        for k in ti.static(range(3)):
            df[i, k] = tangent[k]


@ti.kernel
def _sample_vjp(name: ti.template(), p: Rows, wi: Rows, u: Rows, grad: Rows, out: Rows):
    """grad: cotangents of wo, density, eta, chance. out: of p, then of wi and of the first three of u."""
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _random(u, i))
        cotangent = (_vector(grad, i, 0), grad[i, 3], 0, grad[i, 4], grad[i, 5])
        _s, cotangents = traced.vjp(bsdf.of(name).sample, arguments, cotangent)
        for k in ti.static(range(len(bsdf.of(name).PARAMETERS))):
            if ti.static(bsdf.of(name).PARAMETERS[k].number):
                out[i, _offset(name, k)] = cotangents[0][k]
            else:
                for j in ti.static(range(3)):
                    out[i, _offset(name, k) + j] = cotangents[0][k][j]
        for j in ti.static(range(3)):
            out[i, _width(name) + j] = cotangents[1][j]
            out[i, _width(name) + 3 + j] = cotangents[2][j]


@ti.kernel
def _sample_jvp(
    name: ti.template(), p: Rows, wi: Rows, u: Rows, dp: Rows, dwi: Rows, du: Rows, out: Rows
):  # fmt: skip
    """out: tangents of wo, density, eta and chance."""
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _random(u, i))
        tangents = (_parameters(name, dp, i), _vector(dwi, i, 0), _random(du, i))
        _s, tangent = traced.jvp(bsdf.of(name).sample, arguments, tangents)
        for j in ti.static(range(3)):
            out[i, j] = tangent[0][j]
        out[i, 3] = tangent[1]
        out[i, 4] = tangent[3]
        out[i, 5] = tangent[4]


def _rows(x, n, dtype):
    x = np.asarray(x, dtype)
    x = x[:, None] if x.ndim == 1 and len(x) == n and n > 3 else x
    return np.ascontiguousarray(np.broadcast_to(x, (n, x.shape[-1])))


class Samples(NamedTuple):
    """wo (n, 3), density (n,), delta (n,) of bool, eta (n,); a direction counts where density > 0."""

    wo: np.ndarray
    density: np.ndarray
    delta: np.ndarray
    eta: np.ndarray


def sample(name, p, wi, n, seed=1, u=None):
    """n samples, for one wi or for n; from the random numbers u (n, 4) where given."""
    u = np.random.default_rng(seed).integers(0, 2**24, (n, 4)) / 2**24 if u is None else u
    out = np.zeros((n, 7), np.float32)
    _sample(name, *(_rows(x, n, np.float32) for x in (padded(p), wi, u)), out)
    return Samples(out[:, :3], out[:, 3].astype(float), out[:, 4] == 1, out[:, 5].astype(float))


def sample_double(name, p, wi, u):
    """wo, density, eta and chance in double precision, (n, 6); delta (n,) of bool."""
    out = np.zeros((len(wi), 7))
    _sample(name, *(_rows(x, len(wi), float) for x in (padded(p), wi, u)), out)
    return out[:, [0, 1, 2, 3, 5, 6]], out[:, 4] == 1


def sample_vjp(name, p, wi, u, grad):
    """Cotangents (n, row + 6) of the row, of wi, of the first three of u; grad (n, 6): of `sample_double`."""
    out = np.zeros((len(wi), np.shape(p)[-1] + 6))
    _sample_vjp(name, *(_rows(x, len(wi), float) for x in (padded(p), wi, u, grad)), out)
    return out


def sample_jvp(name, p, wi, u, dp, dwi, du):
    """Tangents (n, 6) of what `sample_double` gives."""
    out = np.zeros((len(wi), 6))
    _sample_jvp(name, *(_rows(x, len(wi), float) for x in (padded(p), wi, u, padded(dp), dwi, du)), out)
    return out


def padded(p):
    """A row that is never empty: Taichi has no arrays without columns."""
    return p if np.shape(p)[-1] else np.zeros((*np.shape(p)[:-1], 1))


def pdf(name, p, wi, wo):
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    density = np.zeros((n, 1), np.float32)
    _pdf(name, *(_rows(x, n, np.float32) for x in (padded(p), wi, wo)), density)
    return density[:, 0].astype(float)


def evaluate(name, p, wi, wo, delta=(0.0,), dtype=float):
    """f(wi, wo) |cos wo|, or a delta lobe's coefficient, (n, 3); in double precision."""
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    f = np.zeros((n, 3), dtype)
    _eval(name, *(_rows(x, n, dtype) for x in (padded(p), wi, wo, delta)), f)
    return f


def vjp(name, p, df, wi, wo, delta=(0.0,), dtype=float):
    """Cotangents of the parameters (n, row), those of constants 0."""
    n = len(wo)
    dp = np.zeros((n, padded(p).shape[-1]), dtype)
    _vjp(name, *(_rows(x, n, dtype) for x in (padded(p), df, wi, wo, delta)), dp)
    return dp[:, : np.shape(p)[-1]]


def jvp(name, p, dp, wi, wo, delta=(0.0,)):
    """Tangents of f (n, 3)."""
    n = len(wo)
    df = np.zeros((n, 3))
    _jvp(name, *(_rows(x, n, float) for x in (padded(p), padded(dp), wi, wo, delta)), df)
    return df


def tape(name, p, df, wi, wo, delta):
    """What Taichi's own autodiff makes of `eval`: cotangents of the parameters."""
    n = len(wo)

    def array(x):
        x = _rows(x, n, float)
        device = ti.ndarray(ti.f64, x.shape, needs_grad=True)
        device.from_numpy(x)
        return device

    parameters, f = array(padded(p)), array(np.zeros(3))
    f.grad.from_numpy(_rows(df, n, float))
    _eval.grad(name, parameters, array(wi), array(wo), array(delta), f)
    return parameters.grad.to_numpy()[:, : np.shape(p)[-1]]


# ---------------------------------------------------------------------------------------------------
# Parameters
# ---------------------------------------------------------------------------------------------------


def row(name, values=(), **numbers):
    """The row of parameters where `values` (a mapping) and keywords say so, else of defaults."""
    given = {**dict(values), **numbers}
    model = bsdf.REGISTRY[name]
    parts = []
    for q in model.PARAMETERS:
        value = np.asarray(given.pop(q.key, q.default), float)
        parts.append(np.full(1, value) if q.number else np.broadcast_to(value, 3))
    parts += [np.full(1, float(given.pop(key))) for key in bsdf.constants_of(name)]
    assert not given, f"{name} does not take {', '.join(given)}"
    return np.concatenate(parts) if parts else np.zeros(0)


def limits(name):
    """Lowest and highest valid row of a model's parameters, constants left out."""
    declared = bsdf.REGISTRY[name].PARAMETERS
    repeats = [1 if q.number else 3 for q in declared]
    return (np.repeat([getattr(q, end) for q in declared], repeats).astype(float) for end in ("low", "high"))


# ---------------------------------------------------------------------------------------------------
# Directions
# ---------------------------------------------------------------------------------------------------


def direction(degrees, azimuth=40.0):
    t, a = np.radians([degrees, azimuth])
    return np.array([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)])


def random_directions(rng, n):
    w = rng.standard_normal((n, 3))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


class Chart(NamedTuple):
    """A hemisphere in cells that are small around one direction, for lobes that are narrow there.

    side: 1 for z > 0, -1 for z < 0. theta, phi: edges of the cells, with phi from the plane of that
    direction, -pi to pi. points: FINE * FINE directions in each cell, and their solid angles.
    """

    side: float
    azimuth: float
    theta: np.ndarray
    phi: np.ndarray
    points: np.ndarray
    solid_angle: np.ndarray

    def sums(self, x):
        """Integrals of x, given at the points, over the cells."""
        rows, columns = len(self.theta) - 1, len(self.phi) - 1
        weighted = x * self.solid_angle.reshape(-1, *[1] * (np.ndim(x) - 1))
        return weighted.reshape(rows, FINE, columns, FINE, *np.shape(x)[1:]).sum(axis=(1, 3))

    def counts(self, w):
        """How many of the directions w fall into each cell."""
        w = w[w[:, 2] * self.side > 0].astype(float)
        theta = np.arctan2(np.hypot(w[:, 0], w[:, 1]), np.abs(w[:, 2]))
        phi = (np.arctan2(w[:, 1], w[:, 0]) - self.azimuth + np.pi) % (2 * np.pi) - np.pi
        return np.histogram2d(theta, phi, (self.theta, self.phi))[0]


ROWS, COLUMNS, FINE = 12, 24, 12


def chart(center):
    """The chart of the hemisphere that holds `center`."""

    def edges(n, t0):
        t = np.linspace(-1, 1, n + 1) if t0 > 0.01 else np.linspace(0, 1, n + 1)
        return np.where(t < 0, t0 + t0 * t**3, t0 + (np.pi / 2 - t0) * t**3)

    side = np.sign(center[2])
    azimuth = np.arctan2(center[1], center[0])
    t0 = np.arctan2(np.hypot(center[0], center[1]), np.abs(center[2]))
    theta, phi = edges(ROWS * FINE, t0), np.pi * np.linspace(-1, 1, COLUMNS * FINE + 1) ** 3
    rng = np.random.default_rng(8)  # a random point in each: edges of a lobe run along the rows
    z, width = np.cos(theta[:-1, None]), np.diff(np.cos(theta))[:, None]
    z = (z + width * rng.random((len(width), len(phi) - 1))).ravel()
    a = (azimuth + phi[:-1] + np.diff(phi) * rng.random((len(width), len(phi) - 1))).ravel()
    r = np.sqrt(1 - z * z)
    points = np.stack([r * np.cos(a), r * np.sin(a), side * z], axis=1)
    solid_angle = np.outer(-np.diff(np.cos(theta)), np.diff(phi)).ravel()
    return Chart(side, azimuth, theta[::FINE], phi[::FINE], points, solid_angle)


def charts(wi, eta=1.0):
    """Charts of the side of wi, around its mirror image, and of the other side, around its refraction.

    eta: index of refraction of the side of -z over that of +z.
    """
    mirrored = wi * np.array([-1, -1, 1])
    ratio = 1 / eta if wi[2] > 0 else eta
    lateral = -wi[:2] * ratio
    cos2 = 1 - lateral @ lateral
    bent = np.array([*lateral, -np.sign(wi[2]) * np.sqrt(cos2)]) if cos2 > 0 else -wi
    return chart(mirrored), chart(bent)
