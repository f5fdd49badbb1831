"""Every phase function of the registry, and the weighted sum of them that a medium has: samples follow the
density, the integral is 1, values are Mitsuba's, derivatives are right.

Statistical tests use fixed seeds and ask for a p-value above 1e-5.
"""

import numpy as np
import pytest
from helpers.phases import (
    Sphere,
    directions,
    evaluate,
    jvp,
    pdf,
    sample,
    uniform,
    vjp,
    width,
)

from prb.kernels import phase

P_MIN = 1e-5
N = 2**15
HG = [0.0, 1e-4, -1e-3, 0.3, -0.6, 0.8, 0.97, -0.999]
CASES = [("isotropic", ()), ("rayleigh", ()), *(("hg", (g,)) for g in HG)]
AXES = np.array([[0, 0, 1.0], [0, 0, -1.0], [0.6, -0.48, 0.64], [-1.0, 0, 0]])
every_case = pytest.mark.parametrize(("name", "p"), CASES)


def test_the_registry():
    for name, model in phase.REGISTRY.items():
        assert phase.of(name) is model and list(phase.REGISTRY)[phase.KINDS[name]] == name
        assert (model.PARAMETER is None) == (phase.reads(name) == phase.NOTHING)


@every_case
def test_the_integral_is_1(name, p):
    for axis in AXES[1:3]:
        cells = Sphere(axis)
        total = cells.expected(evaluate(name, p, axis, cells.points)).sum()
        assert total == pytest.approx(1, abs=1e-5)


@every_case
def test_samples_follow_the_density(chi_squared, name, p):
    for axis in AXES:
        wo, density = sample(name, p, axis, uniform(N))
        assert np.isfinite(wo).all() and (density > 0).all()
        np.testing.assert_allclose(np.linalg.norm(wo, axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(density, pdf(name, p, axis, wo), rtol=1e-6)
        cells = Sphere(axis)
        expected = cells.expected(evaluate(name, p, axis, cells.points))
        assert chi_squared(cells.counts(wo), N * expected) > P_MIN


def pairs(n, seed):
    """Directions wi and wo (n, 3), a third of them close to deflections of 0 and of 180 degrees."""
    wi, wo = directions(n, seed), directions(n, seed + 1)
    near = 0.05 * np.random.default_rng(seed + 2).random((n, 1)) * wo
    wo[::3] = (near - wi)[::3]
    wo[1::3] = (near + wi)[1::3]
    return wi, wo / np.linalg.norm(wo, axis=1, keepdims=True)


@every_case
def test_derivatives(name, p):
    """By the numbers and the directions: vjp and jvp agree, and both with central differences."""
    n, w = 200, width(name)
    rng = np.random.default_rng(4)
    wi, wo = pairs(n, 5)
    df, dp, dwi, dwo = (rng.standard_normal((n, k)) for k in (1, w, 3, 3))
    dwi, dwo = dwi - wi * (wi * dwi).sum(1)[:, None], dwo - wo * (wo * dwo).sum(1)[:, None]
    back = vjp(name, p, wi, wo, df)
    there = jvp(name, p, wi, wo, dp, dwi, dwo)
    terms = np.concatenate([g * d for g, d in zip(back, (dp, dwi, dwo), strict=True)], axis=1)
    difference = np.abs(terms.sum(axis=1) - there * df[:, 0])
    assert np.all(difference <= 1e-10 * np.abs(terms).sum(axis=1) + 1e-12)

    def slope(h):
        f = {
            k: evaluate(name, np.array(p) + k * h * dp, wi + k * h * dwi, wo + k * h * dwo)
            for k in (-2, -1, 1, 2)
        }
        return (8 * (f[1] - f[-1]) - (f[2] - f[-2])) / (12 * h)

    h = 1e-4 * min([1.0, *(1 - np.abs(p))]) if name == "hg" else 1e-4
    fine = slope(h / 2)
    np.testing.assert_allclose(there, fine, rtol=1e-6, atol=1e-9 + 1e-12 / h)
