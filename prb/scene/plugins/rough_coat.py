"""What a rough coat lets pass, integrated numerically for the expansions of `kernels.bsdf.roughplastic`.

The transmittance T(alpha, mu) of a rough boundary from a direction of cosine mu, and its reflectance R(alpha)
for diffuse light from inside, are integrals over the microfacet normals m visible from there:

    T = E[(1 - F(w . m)) G1(refracted)]        R = 2 E over mu of mu E[F(w . m) G1(mirrored)]

Walter, Marschner, Li, Torrance, Microfacet Models for Refraction through Rough Surfaces (EGSR 2007).
"""

from functools import lru_cache

import numpy as np

from prb.kernels.bsdf import roughplastic

TABLE = 64  # cosines; Mitsuba's table has as many, and its R is their mean, 1.5 % below the integral
COSINES = np.linspace(0, 1, TABLE)
NODES, NODES_INSIDE = 32, 48  # of the two quadratures, along each axis
FULL_ACCURACY_ALPHA = 0.009  # for smaller alphas the fit has five times the tolerance


def _fresnel(c, eta):
    """(F, cosine of the transmitted direction) at a cosine c >= 0; eta: transmitted over incident side."""
    t = np.sqrt(np.maximum(1 - (1 - c * c) / eta**2, 0))
    with np.errstate(invalid="ignore"):
        s, p = (c - eta * t) / (c + eta * t), (t - eta * c) / (t + eta * c)
    return np.where(t > 0, 0.5 * (s * s + p * p), 1.0), t


def _masking(distribution, c, alpha):
    """Smith's G1 at a cosine c >= 0; Beckmann's as in kernels/microfacet.py."""
    t = alpha * np.sqrt(np.maximum(1 - c * c, 0)) / np.maximum(c, 1e-20)
    if distribution == "ggx":
        return 2 / (1 + np.sqrt(1 + t * t))
    a = 1 / np.maximum(t, 1e-20)
    with np.errstate(over="ignore", invalid="ignore"):
        g = a * (3.535 + 2.181 * a) / (1 + a * (2.276 + 2.577 * a))
    return np.where(a >= 1.6, 1.0, g)


def _alphas(count):
    """Chebyshev nodes of roughplastic.alpha_coordinate."""
    low, high = np.sqrt(roughplastic.ALPHA_RANGE)
    return (low + (high - low) * np.sin(0.25 * np.pi * (2 * np.arange(count) + 1) / count) ** 2) ** 2


@lru_cache(maxsize=4)
def _normals(distribution, n):
    """Nodes and weights over the normals: slope / alpha (n, 1), their weights, cosines of azimuths (n,)."""
    x, w = np.polynomial.legendre.leggauss(n)
    x, w = 0.5 * x + 0.5, 0.5 * w
    if distribution == "ggx":  # slope^2 / alpha^2 is u / (1 - u), u uniform; tan spreads its tail
        slope, weight = np.tan(0.5 * np.pi * x), w * np.sin(np.pi * x)
    else:  # ... is -log(1 - u); beyond 4.2 there is less than 1e-7
        slope, weight = 4.2 * x, w * 2 * 4.2**2 * x * np.exp(-((4.2 * x) ** 2))
    return slope[:, None], weight[:, None], np.cos(np.pi * x), w


def _visible_normals(distribution, alpha, mu, n):
    """The microfacet normals that are visible from directions of cosines mu (m,), as nodes of a quadrature:
    mu, the normals' cosines with +z and with the direction, and their weights, (m, n, n) where they vary."""
    slope, weight, azimuth, width = _normals(distribution, n)
    mu = np.maximum(mu, 1e-6)[:, None, None]
    t = alpha * slope
    z = 1 / np.sqrt(1 + t * t)
    d = np.maximum((mu + np.sqrt(1 - mu * mu) * t * azimuth) * z, 0)
    weight = weight * width * d / z
    return mu, z, d, weight / weight.sum(axis=(1, 2), keepdims=True)


def transmittance(distribution, alpha, mu, eta):
    """T for an alpha and cosines mu (m,), light from outside: (m,)."""
    mu, z, d, weight = _visible_normals(distribution, alpha, mu, NODES)
    f, t = _fresnel(d, eta)
    out = (d / eta - t) * z - mu / eta  # cosine of the refracted direction, below the surface
    passed = np.where((t > 0) & (out < 0), (1 - f) * _masking(distribution, -np.minimum(out, 0), alpha), 0)
    return (weight * passed).sum(axis=(1, 2))


def internal_reflectance(distribution, alpha, eta):
    """R for an alpha, light from inside."""
    mu, z, d, weight = _visible_normals(distribution, alpha, COSINES, NODES_INSIDE)
    out = 2 * d * z - mu
    f = _fresnel(d, 1 / eta)[0] * np.where(out > 0, _masking(distribution, np.maximum(out, 0), alpha), 0)
    return 2 * np.mean(COSINES * (weight * f).sum(axis=(1, 2)))


def _expand(rows, values, tolerance):
    """Coefficients of the columns of `rows` that fit the values, by iteratively reweighted least squares.

    The largest error / tolerance is nearly minimal.
    """
    weight = 1 / tolerance
    for _ in range(12):
        weight = weight / weight.max()
        weighted = rows.T * weight**2
        c = np.linalg.solve(weighted @ rows, weighted @ values)
        error = np.abs(rows @ c - values) / tolerance
        weight = weight * (error / error.max() + 1e-3) ** 0.35
    return c


@lru_cache(maxsize=64)
def expansions(distribution, eta):
    """The constants of `roughplastic` for a distribution of microfacet normals and an eta: name -> number."""
    alphas = _alphas(roughplastic.ORDER + 5)
    y = roughplastic.chebyshev(roughplastic.alpha_coordinate(alphas, np.sqrt))
    rows = np.stack(np.broadcast_arrays(*y), axis=1)
    internal = np.array([internal_reflectance(distribution, a, eta) for a in alphas])
    constants = dict(zip(roughplastic.INTERNAL, np.linalg.lstsq(rows, internal, rcond=None)[0], strict=True))

    alphas = _alphas(3 * roughplastic.ORDER)
    passed = np.concatenate([transmittance(distribution, a, COSINES, eta) for a in alphas])
    alpha, mu = (a.ravel() for a in np.meshgrid(alphas, COSINES, indexing="ij"))
    x = roughplastic.chebyshev(roughplastic.cosine_coordinate(mu, alpha, np.sqrt))
    y = roughplastic.chebyshev(roughplastic.alpha_coordinate(alpha, np.sqrt))
    rows = np.stack([np.broadcast_to(y[i] * x[j], mu.shape) for i, j in roughplastic.TERMS], axis=1)
    tolerance = np.where(mu > 0, 1.0, 2.0) * np.where(alpha < FULL_ACCURACY_ALPHA, 5.0, 1.0)
    tolerance = tolerance * np.clip(5 * (1 - passed), 0.3, 1.0)  # the lobe is sampled by 1 - T
    constants.update(zip(roughplastic.TRANSMITTANCE, _expand(rows, passed, tolerance), strict=True))
    return {name: float(c) for name, c in constants.items()}
