"""Every scattering model of the registry: samples follow the density, energy and reciprocity hold, the
density is positive wherever the value or one of its derivatives is not zero, derivatives are right.

Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

import numpy as np
import pytest
import taichi as ti

from prb.kernels import bsdf, traced

P_MIN = 1e-4
MODELS = list(bsdf.REGISTRY)
Rows = ti.types.ndarray(ti.f32, 2)
Rows64 = ti.types.ndarray(ti.f64, 2)


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.func
def _parameters(name: ti.template(), p: ti.template(), i):
    return [_vector(p, i, 3 * k) for k in ti.static(range(len(bsdf.of(name).PARAMETERS)))]


@ti.kernel
def _sample(name: ti.template(), p: Rows, wi: Rows, u: Rows, wo: Rows, pdf: Rows):
    for i in range(wi.shape[0]):
        random = ti.Vector([u[i, 0], u[i, 1], u[i, 2], u[i, 3]])
        direction, density = bsdf.of(name).sample(_parameters(name, p, i), _vector(wi, i, 0), random)
        for k in ti.static(range(3)):
            wo[i, k] = direction[k]
        pdf[i, 0] = density


@ti.kernel
def _pdf(name: ti.template(), p: Rows, wi: Rows, wo: Rows, pdf: Rows):
    for i in range(wi.shape[0]):
        pdf[i, 0] = bsdf.of(name).pdf(_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))


@ti.kernel
def _eval(name: ti.template(), p: Rows64, wi: Rows64, wo: Rows64, f: Rows64):
    for i in range(wi.shape[0]):
        value = traced.value(
            bsdf.of(name).eval, _parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0)
        )
        for k in ti.static(range(3)):
            f[i, k] = value[k]


@ti.kernel
def _derive(
    name: ti.template(), p: Rows64, dp: Rows64, df: Rows64, wi: Rows64, wo: Rows64, vjp: Rows64, jvp: Rows64
):  # fmt: skip
    for i in range(wi.shape[0]):
        arguments = (_parameters(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))
        _f, cotangents = traced.vjp(bsdf.of(name).eval, arguments, _vector(df, i, 0), (0,))
        _g, tangent = traced.jvp(bsdf.of(name).eval, arguments, (_parameters(name, dp, i), None, None))
        for k in ti.static(range(len(bsdf.of(name).PARAMETERS))):
            for j in ti.static(range(3)):
                vjp[i, 3 * k + j] = cotangents[0][k][j]
        for k in ti.static(range(3)):
            jvp[i, k] = tangent[k]


def _rows(x, n, dtype=np.float32):
    return np.ascontiguousarray(np.broadcast_to(x, (n, np.shape(x)[-1])), dtype)


def sample(name, p, wi, n, seed=1):
    """n sampled directions (n, 3) and their densities (n,)."""
    u = np.random.default_rng(seed).integers(0, 2**24, (n, 4)) / 2**24
    wo, density = np.zeros((n, 3), np.float32), np.zeros((n, 1), np.float32)
    _sample(name, _rows(p, n), _rows(wi, n), _rows(u, n), wo, density)
    return wo, density[:, 0].astype(float)


def pdf(name, p, wi, wo):
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    density = np.zeros((n, 1), np.float32)
    _pdf(name, _rows(p, n), _rows(wi, n), _rows(wo, n), density)
    return density[:, 0].astype(float)


def evaluate(name, p, wi, wo):
    """f(wi, wo) |cos wo|, (n, 3) in double precision."""
    n = max(len(np.atleast_2d(x)) for x in (p, wi, wo))
    f = np.zeros((n, 3))
    _eval(name, _rows(p, n, float), _rows(wi, n, float), _rows(wo, n, float), f)
    return f


def derive(name, p, dp, df, wi, wo):
    """Cotangents of the parameters, tangents of f."""
    n = len(wo)
    vjp, jvp = np.zeros((n, p.shape[-1])), np.zeros((n, 3))
    _derive(name, *(_rows(x, n, float) for x in (p, dp, df, wi, wo)), vjp, jvp)
    return vjp, jvp


def parameter_sets(name):
    """Name -> values (1, 3 for each parameter): defaults, both ends of the ranges, something between."""
    rng = np.random.default_rng(len(name))
    declared = bsdf.REGISTRY[name].PARAMETERS
    low = np.repeat([q.low for q in declared], 3).astype(float)
    high = np.repeat([min(q.high, q.low + 2) for q in declared], 3).astype(float)
    default = np.repeat([q.default for q in declared], 3).astype(float)
    between = rng.uniform(0.8 * low + 0.2 * high, 0.1 * low + 0.9 * high)
    return {"default": default, "low": low, "high": high, "between": between}


def direction(degrees, azimuth=40.0):
    t, a = np.radians([degrees, azimuth])
    return np.array([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)])


def sphere(rows, columns):
    """Directions in the middle of equal cells of the sphere (rows * columns, 3), from z = 1 to -1."""
    z = 1 - 2 * (np.arange(rows) + 0.5) / rows
    phi = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    z, phi = (a.ravel() for a in np.meshgrid(z, phi, indexing="ij"))
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)


def random_directions(rng, n):
    w = rng.standard_normal((n, 3))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


ROWS, COLUMNS, FINE = 16, 32, 16
GRID = sphere(ROWS * FINE, COLUMNS * FINE)
SOLID_ANGLE = 4 * np.pi / len(GRID)
INCIDENT = [0, 30, 60, 85, 110]  # degrees from the normal

every_model = pytest.mark.parametrize("name", MODELS)
every_angle = pytest.mark.parametrize("degrees", INCIDENT)
every_set = pytest.mark.parametrize("values", ["default", "low", "high", "between"])


def test_keys_and_ranges():
    for name, model in bsdf.REGISTRY.items():
        assert bsdf.of(name) is model and MODELS[bsdf.KINDS[name]] == name
        assert len({q.key for q in model.PARAMETERS}) == len(model.PARAMETERS)
        assert all(q.low <= q.default <= q.high for q in model.PARAMETERS)
    assert bsdf.TWOSIDED not in bsdf.KINDS.values()


@every_model
@every_angle
@every_set
def test_samples_follow_the_density(chi_squared, name, degrees, values):
    p, wi, n = parameter_sets(name)[values], direction(degrees), 2**15
    wo, density = sample(name, p, wi, n)
    used = density > 0
    np.testing.assert_allclose(density, np.where(used, pdf(name, p, wi, wo), 0), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(wo[used], axis=1), 1, atol=1e-5)
    share = (pdf(name, p, wi, GRID) * SOLID_ANGLE).reshape(ROWS, FINE, COLUMNS, FINE).sum(axis=(1, 3))
    assert share.sum() == pytest.approx(used.mean(), abs=0.01)
    phi = np.arctan2(wo[used, 1], wo[used, 0]) % (2 * np.pi)
    counts, _, _ = np.histogram2d(-wo[used, 2], phi, (ROWS, COLUMNS), ((-1, 1), (0, 2 * np.pi)))
    if used.any():
        assert chi_squared(counts, n * share) > P_MIN


@every_model
@every_angle
@every_set
def test_energy(name, degrees, values):
    """No channel reflects more than it gets, and sampling estimates what the value integrates to."""
    p, wi, n = parameter_sets(name)[values], direction(degrees), 2**15
    albedo = evaluate(name, p, wi, GRID).sum(axis=0) * SOLID_ANGLE
    assert np.all(albedo >= 0) and np.all(albedo <= 1 + 1e-3)
    wo, density = sample(name, p, wi, n)
    weight = evaluate(name, p, wi, wo) / np.where(density > 0, density, np.inf)[:, None]
    error = 4.5 * weight.std(axis=0) / np.sqrt(n)  # 1e-5 for three channels
    assert np.all(np.abs(weight.mean(axis=0) - albedo) <= error + 2e-3 * albedo)


@every_model
@every_set
def test_reciprocity(name, values):
    rng = np.random.default_rng(2)
    a, b = random_directions(rng, 2000), random_directions(rng, 2000)
    p = parameter_sets(name)[values]
    there = evaluate(name, p, a, b) / np.abs(b[:, 2:])
    back = evaluate(name, p, b, a) / np.abs(a[:, 2:])
    np.testing.assert_allclose(there, back, rtol=1e-6, atol=1e-12)
    assert there.any() or not p.any()


@every_model
@every_set
def test_support(name, values):
    """Where the value, or its derivative by some parameter, is not zero, samples can fall."""
    rng = np.random.default_rng(3)
    wi, wo = random_directions(rng, 4000), random_directions(rng, 4000)
    p = parameter_sets(name)[values]
    needed = evaluate(name, p, wi, wo).any(axis=1)
    for tangent in np.eye(len(p)):
        needed |= derive(name, p, tangent, np.ones(3), wi, wo)[1].any(axis=1)
    assert needed.any()
    assert np.all(pdf(name, p, wi, wo)[needed] > 0)


@every_model
@every_set
def test_derivatives(name, values):
    """vjp and jvp against Taichi's autodiff and, inside the parameters' ranges, central differences."""
    rng = np.random.default_rng(4)
    n = 300
    p0 = parameter_sets(name)[values]
    wi, wo = random_directions(rng, n), random_directions(rng, n)
    wi[::2, 2], wo[::2, 2] = np.abs(wi[::2, 2]), np.abs(wo[::2, 2])
    dp, df = rng.standard_normal((n, len(p0))), rng.standard_normal((n, 3))
    vjp, jvp = derive(name, p0, dp, df, wi, wo)
    assert np.isfinite(vjp).all() and np.isfinite(jvp).all() and vjp.any() and jvp.any()
    np.testing.assert_allclose((vjp * dp).sum(axis=1), (jvp * df).sum(axis=1), rtol=1e-10, atol=1e-12)

    def array(x):
        device = ti.ndarray(ti.f64, (n, x.shape[-1]), needs_grad=True)
        device.from_numpy(_rows(x, n, float))
        return device

    p, f = array(p0), array(np.zeros(3))
    f.grad.from_numpy(df)
    _eval.grad(name, p, array(wi), array(wo), f)
    np.testing.assert_allclose(vjp, p.grad.to_numpy(), rtol=1e-10, atol=1e-12)

    if values in ("default", "between"):
        h = 1e-3
        for k, tangent in enumerate(np.eye(len(p0))):
            near = evaluate(name, p0 + h * tangent, wi, wo) - evaluate(name, p0 - h * tangent, wi, wo)
            far = evaluate(name, p0 + 2 * h * tangent, wi, wo) - evaluate(name, p0 - 2 * h * tangent, wi, wo)
            difference = (8 * near - far) / (12 * h)
            np.testing.assert_allclose(vjp[:, k], (df * difference).sum(axis=1), rtol=1e-6, atol=1e-9)


# Diffuse


@pytest.mark.parametrize("degrees", [0, 45, 80])
def test_diffuse_reflects_its_reflectance(degrees):
    reflectance = np.array([0.0, 0.3, 1.0])
    albedo = evaluate("diffuse", reflectance, direction(degrees), GRID).sum(axis=0) * SOLID_ANGLE
    np.testing.assert_allclose(albedo, reflectance, rtol=1e-6, atol=1e-12)
    assert not evaluate("diffuse", reflectance, -direction(degrees), GRID).any()
    assert not evaluate("diffuse", reflectance, direction(degrees), GRID[GRID[:, 2] < 0]).any()


def test_diffuse_weights_are_the_reflectance():
    """Cosine sampling leaves no variance."""
    wi, p = direction(50), np.array([0.2, 0.5, 0.9])
    wo, density = sample("diffuse", p, wi, 1000)
    inside = wo[:, 2] > 1e-3
    weight = evaluate("diffuse", p, wi, wo[inside]) / density[inside, None]
    np.testing.assert_allclose(weight, np.tile(p, (inside.sum(), 1)), rtol=1e-5)
