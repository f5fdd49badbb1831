"""Fresnel equations and microfacet distributions: closed forms, Mitsuba's values, sampling."""

import numpy as np
import pytest
from scipy import special

from prb.kernels import fresnel, microfacet, traced
from prb.kernels.backend import ti

Rows = ti.types.ndarray(ti.f32, 2)
Rows64 = ti.types.ndarray(ti.f64, 2)
every_distribution = pytest.mark.parametrize("distribution", microfacet.DISTRIBUTIONS)
ROUGHNESS = [(0.01, 0.01), (0.1, 0.4), (0.7, 0.7), (1e-4, 1e-4)]
every_roughness = pytest.mark.parametrize("alpha", ROUGHNESS)


@ti.func
def _vector(x: ti.template(), i):
    return ti.Vector([x[i, 0], x[i, 1], x[i, 2]])


@ti.kernel
def _dielectric(cos_i: Rows64, eta: Rows64, out: Rows64):
    for i in range(cos_i.shape[0]):
        value = traced.value(fresnel.dielectric, cos_i[i, 0], eta[i, 0])
        df, slope = traced.jvp(fresnel.dielectric, (cos_i[i, 0], eta[i, 0]), (1.0, None))
        dg, turn = traced.jvp(fresnel.dielectric, (cos_i[i, 0], eta[i, 0]), (None, 1.0))
        for k in ti.static(range(4)):
            out[i, k] = value[k]
            out[i, 4 + k] = slope[k]
            out[i, 8 + k] = turn[k]


@ti.kernel
def _conductor(cos_i: Rows, eta: Rows, k: Rows, out: Rows):
    for i in range(cos_i.shape[0]):
        arguments = (cos_i[i, 0], _vector(eta, i), _vector(k, i))
        f, cotangents = traced.vjp(fresnel.conductor, arguments, ti.Vector([1.0, 1.0, 1.0]), (1, 2))
        for j in ti.static(range(3)):
            out[i, j] = f[j]
            out[i, 3 + j] = cotangents[0][j]
            out[i, 6 + j] = cotangents[1][j]


@ti.kernel
def _values(distribution: ti.template(), w: Rows, m: Rows, alpha: Rows, out: Rows):
    for i in range(w.shape[0]):
        wi, normal = _vector(w, i), _vector(m, i)
        au, av = alpha[i, 0], alpha[i, 1]
        out[i, 0] = traced.value(microfacet.bind(microfacet.ndf, distribution), normal, au, av)
        out[i, 1] = traced.value(microfacet.bind(microfacet.smith_g1, distribution), wi, normal, au, av)
        out[i, 2] = traced.value(microfacet.bind(microfacet.visible_ndf, distribution), wi, normal, au, av)


@traced.traced
def sampler(distribution):
    return microfacet.bind(microfacet.sample_visible, distribution)


@ti.kernel
def _sample(distribution: ti.template(), w: Rows, alpha: Rows, u: Rows, out: Rows):
    for i in range(u.shape[0]):
        au, av = alpha[0, 0], alpha[0, 1]
        m = traced.value(sampler(distribution), _vector(w, 0), au, av, u[i, 0], u[i, 1])
        for k in ti.static(range(3)):
            out[i, k] = m[k]


@ti.kernel
def _errors(x: Rows, out: Rows):
    for i in range(x.shape[0]):
        out[i, 0] = microfacet.erf(x[i, 0])
        out[i, 1] = microfacet.erfinv(x[i, 1])


def _f32(x):
    return np.ascontiguousarray(x, np.float32)


def sample(distribution, wi, alpha, n, seed=1):
    u = np.random.default_rng(seed).integers(0, 2**24, (n, 2)) / 2**24
    m = np.zeros((n, 3), np.float32)
    _sample(distribution, _f32([wi]), _f32([alpha]), _f32(u), m)
    return m.astype(float)


def values(distribution, wi, m, alpha):
    """Columns D, G1, density of visible normals."""
    n = max(len(np.atleast_2d(wi)), len(np.atleast_2d(m)))
    out = np.zeros((n, 3), np.float32)
    spread = (np.broadcast_to(x, (n, np.shape(x)[-1])) for x in (wi, m, alpha))
    _values(distribution, *(_f32(x) for x in spread), out)
    return out.astype(float).T


def direction(degrees, azimuth=25.0):
    t, a = np.radians([degrees, azimuth])
    return np.array([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), np.cos(t)])


def normals(alpha, n, seed=7):
    """Normals whose slopes are spread over several times the roughness."""
    rng = np.random.default_rng(seed)
    r, phi = 5 * rng.random(n) ** 2, 2 * np.pi * rng.random(n)
    m = np.stack([alpha[0] * r * np.cos(phi), alpha[1] * r * np.sin(phi), np.ones(n)], axis=1)
    return m / np.linalg.norm(m, axis=1, keepdims=True)


# Fresnel


def dielectric(cos_i, eta):
    cos_i, eta = np.broadcast_arrays(np.asarray(cos_i, float), np.asarray(eta, float))
    out = np.zeros((cos_i.size, 12))
    _dielectric(np.ascontiguousarray(cos_i.reshape(-1, 1)), np.ascontiguousarray(eta.reshape(-1, 1)), out)
    return out


def test_dielectric_at_known_angles():
    f, cos_t, eta_it, eta_ti = dielectric([1, -1, 0, np.cos(np.arctan(1.5))], 1.5).T[:4]
    brewster = 0.5 * ((1.5**2 - 1) / (1.5**2 + 1)) ** 2
    np.testing.assert_allclose(f, [0.04, 0.04, 1, brewster])
    np.testing.assert_allclose(cos_t[:2], [-1, 1])
    np.testing.assert_allclose(eta_it, [1.5, 1 / 1.5, 1.5, 1.5])
    np.testing.assert_allclose(eta_it * eta_ti, 1)
    critical = np.sqrt(1 - 1 / 1.5**2)
    np.testing.assert_array_equal(dielectric([-0.999 * critical, -0.1, -1e-9], 1.5)[:, :2], [[1, 0]] * 3)
    assert np.all(dielectric([-1.001 * critical], 1.5)[:, 0] < 0.95)
    np.testing.assert_allclose(dielectric([0, 0.3, 1, -0.3], 1.0)[:, 0], 0, atol=1e-30)


def test_dielectric_derivatives():
    rng = np.random.default_rng(1)
    c, eta, h = rng.uniform(-1, 1, 500), rng.uniform(0.6, 2.5, 500), 1e-6
    out = dielectric(c, eta)
    smooth = (np.abs(c) > 0.01) & (np.abs(out[:, 1]) > 0.1)
    by_c = (dielectric(c + h, eta) - dielectric(c - h, eta))[:, :4] / (2 * h)
    by_eta = (dielectric(c, eta + h) - dielectric(c, eta - h))[:, :4] / (2 * h)
    np.testing.assert_allclose(out[smooth, 4:8], by_c[smooth], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(out[smooth, 8:], by_eta[smooth], rtol=1e-6, atol=1e-7)
    edges = [0.0, 1.0, -1.0, np.sqrt(1 - 1 / 1.5**2), -np.sqrt(1 - 1 / 1.5**2), -1e-8, 1e-8]
    for eta in (1.0, 1.5, 1 / 1.5):
        assert np.isfinite(dielectric(edges, eta)).all()


def complex_fresnel(c, eta, k):
    """The textbook's equations in complex double precision."""
    index = eta - 1j * k
    t = np.sqrt(index**2 - (1 - c * c) + 0j)
    t = np.where(t.real < 0, -t, t)
    s, p = (c - t) / (c + t), (index**2 * c - t) / (index**2 * c + t)
    return 0.5 * (np.abs(s) ** 2 + np.abs(p) ** 2)


def test_conductor_against_complex_arithmetic():
    rng = np.random.default_rng(2)
    n, h = 3000, 1e-6
    c = rng.uniform(1e-3, 1, (n, 1))
    eta, k = rng.uniform(0, 4, (n, 3)), rng.uniform(0, 10, (n, 3))
    eta[::3], k[1::3] = eta[::3] * 0.02, k[1::3] * 0.05
    out = np.zeros((n, 9), np.float32)
    _conductor(_f32(c), _f32(eta), _f32(k), out)
    np.testing.assert_allclose(out[:, :3], complex_fresnel(c, eta, k), rtol=3e-6, atol=3e-6)
    by_eta = (complex_fresnel(c, eta + h, k) - complex_fresnel(c, eta - h, k)) / (2 * h)
    by_k = (complex_fresnel(c, eta, k + h) - complex_fresnel(c, eta, k - h)) / (2 * h)
    usual = eta > 2 * h
    sharp = np.abs(eta**2 - k**2 - (1 - c * c)) + eta * k > 0.05
    for derivative, reference in ((out[:, 3:6], by_eta), (out[:, 6:], by_k)):
        np.testing.assert_allclose(derivative[usual & sharp], reference[usual & sharp], rtol=2e-3, atol=2e-5)


def test_conductor_extremes():
    """A perfect mirror (eta 0, k 1), a dielectric (k 0), no change of medium; finite derivatives."""
    c = np.array([1, 0.5, 0.0, 1e-4])[:, None]
    for eta, k in ((0.0, 1.0), (1.5, 0.0), (1.0, 0.0), (0.0, 0.0), (0.5, 0.0), (40.0, 40.0)):
        out = np.zeros((4, 9), np.float32)
        _conductor(_f32(c), np.full((4, 3), eta, np.float32), np.full((4, 3), k, np.float32), out)
        assert np.isfinite(out).all()
        assert np.all(out[:, :3] >= -1e-6) and np.all(out[:, :3] <= 1 + 1e-6)
        if eta == 0 and k > 0:
            np.testing.assert_allclose(out[:, :3], 1, rtol=1e-6)
        if eta >= 1 and k == 0:
            expected = dielectric(c[:, 0], eta)[:, :1]
            np.testing.assert_allclose(out[:2, :3], np.repeat(expected[:2], 3, axis=1), atol=1e-6)


# Distributions


@every_distribution
@every_roughness
def test_projected_area_is_one(distribution, alpha):
    """The integral of D(m) m.z, in slopes: the Jacobian of the projection is m.z^3."""
    s = (np.arange(600) + 0.5) / 600 * 2 - 1
    x, y = (a.ravel() for a in np.meshgrid(s, s, indexing="ij"))
    stretch = (lambda t: t / (1 - t * t)) if distribution == "ggx" else (lambda t: 6 * t)
    slope = (lambda t: (1 + t * t) / (1 - t * t) ** 2) if distribution == "ggx" else (lambda t: 6.0 + 0 * t)
    m = np.stack([alpha[0] * stretch(x), alpha[1] * stretch(y), np.ones(x.size)], axis=1)
    z = 1 / np.linalg.norm(m, axis=1)
    d, _, _ = values(distribution, [0, 0, 1], m * z[:, None], alpha)
    area = (d * z**4 * alpha[0] * alpha[1] * slope(x) * slope(y)).sum() * (2 / 600) ** 2
    assert area == pytest.approx(1, rel=3e-3)


@every_distribution
@every_roughness
@pytest.mark.parametrize("degrees", [0, 40, 80, 89.5])
def test_samples_follow_the_density(chi_squared, distribution, alpha, degrees):
    """In slopes over roughness, where a lobe of any roughness has the size of one."""
    wi, n, edges = direction(degrees), 2**15, np.linspace(-3, 3, 19)
    m = sample(distribution, wi, alpha, n)
    np.testing.assert_allclose(np.linalg.norm(m, axis=1), 1, atol=1e-6)
    assert np.all(m[:, 2] > 0)
    slopes = m[:, :2] / m[:, 2:] / alpha
    fine = 12
    s = -3 + 6 * (np.arange(18 * fine) + 0.5) / (18 * fine)
    x, y = (a.ravel() for a in np.meshgrid(s, s, indexing="ij"))
    grid = np.stack([alpha[0] * x, alpha[1] * y, np.ones(x.size)], axis=1)
    z = 1 / np.linalg.norm(grid, axis=1)
    _, _, density = values(distribution, wi, grid * z[:, None], alpha)
    share = density * z**3 * alpha[0] * alpha[1] * (6 / (18 * fine)) ** 2
    share = share.reshape(18, fine, 18, fine).sum(axis=(1, 3))
    counts, _, _ = np.histogram2d(*slopes.T, (edges, edges))
    inside = counts.sum()
    assert share.sum() == pytest.approx(inside / n, abs=8e-3)
    assert chi_squared(counts, share * (inside / share.sum())) > 1e-4


@ti.kernel
def _jacobian(distribution: ti.template(), w: Rows64, alpha: Rows64, u: Rows64, out: Rows64):
    """Density of a normal times the area that the square's unit becomes."""
    for i in range(u.shape[0]):
        wi, au, av = _vector(w, i), alpha[0, 0], alpha[0, 1]
        x = (wi, au, av, u[i, 0], u[i, 1])
        m, a = traced.jvp(sampler(distribution), x, (None, None, None, 1.0, None))
        _m, b = traced.jvp(sampler(distribution), x, (None, None, None, None, 1.0))
        density = traced.value(microfacet.bind(microfacet.visible_ndf, distribution), wi, m, au, av)
        out[i, 0] = density * a.cross(b).norm()


@every_distribution
@pytest.mark.parametrize("alpha", [(0.01, 0.01), (0.1, 0.4), (0.7, 0.7)])
def test_the_derivative_by_the_random_numbers_is_one_over_the_density(distribution, alpha):
    rng = np.random.default_rng(9)
    n = 4000
    w = rng.standard_normal((n, 3))
    w[:, 2] = np.abs(w[:, 2]) + 0.05
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    out = np.zeros((n, 1))
    _jacobian(distribution, w, np.array([alpha]), rng.uniform(0.02, 0.98, (n, 2)), out)
    np.testing.assert_allclose(out, 1, rtol=2e-5 if distribution == "ggx" else 4e-3)  # G1 is approximate


@every_distribution
@every_roughness
def test_values_as_mitsuba(distribution, alpha):
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("llvm_ad_rgb")
    rng = np.random.default_rng(3)
    n = 4000
    m = _f32(normals(alpha, n))
    wi = rng.standard_normal((n, 3))
    wi[:, 2] = np.abs(wi[:, 2]) * rng.choice([1, 1e-3], n)
    wi = _f32(wi / np.linalg.norm(wi, axis=1, keepdims=True))
    kind = {"ggx": mi.MicrofacetType.GGX, "beckmann": mi.MicrofacetType.Beckmann}[distribution]
    theirs = mi.MicrofacetDistribution(kind, *alpha)
    v, normal = mi.Vector3f(wi.T), mi.Vector3f(m.T)
    d, g, p = values(distribution, wi, m, alpha)
    np.testing.assert_allclose(d, np.array(theirs.eval(normal)), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(g, np.array(theirs.smith_g1(v, normal)), rtol=1e-4, atol=1e-12)
    np.testing.assert_allclose(p, np.array(theirs.pdf(v, normal)), rtol=2e-4, atol=1e-12)


def test_error_functions():
    x = np.stack([np.linspace(-6, 6, 2001), np.linspace(-1, 1, 2003)[1:-1]], axis=1).astype(np.float32)
    out = np.zeros((2001, 2), np.float32)
    _errors(x, out)
    np.testing.assert_allclose(out[:, 0], special.erf(x[:, 0].astype(float)), atol=4e-7)
    np.testing.assert_allclose(out[:, 1], special.erfinv(x[:, 1].astype(float)), rtol=3e-6, atol=1e-7)
