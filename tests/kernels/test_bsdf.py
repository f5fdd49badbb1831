"""Every scattering model of the registry: samples follow the density, energy and reciprocity hold, the
density is positive wherever the value or one of its derivatives is not zero, derivatives are right.

A model needs nothing but its line in the registry; bsdf_cases.py has what is special about some. Statistical
tests use fixed seeds and ask for a p-value above 1e-5.
"""

import numpy as np
import pytest
from helpers.bsdf_cases import CASES, case, sets_of
from helpers.bsdfs import (
    charts,
    direction,
    evaluate,
    jvp,
    limits,
    pdf,
    random_directions,
    row,
    sample,
    tape,
    vjp,
)

from prb.kernels import bsdf

P_MIN = 1e-5
N = 2**15
MODELS = list(bsdf.REGISTRY)
INCIDENT = [0, 30, 60, 85, 110, 155]  # degrees from the normal


every_set = pytest.mark.parametrize(
    ("name", "values"), [(name, values) for name in MODELS for values in sets_of(name)]
)


def index_of(name, p):
    """Index of refraction of the inside over that of the outside, as samples have it; else 1."""
    wi = np.repeat([direction(20), direction(160)], 4096, axis=0)
    s = sample(name, p, wi, len(wi))
    through = (s.density > 0) & (s.wo[:, 2] * wi[:, 2] < 0)
    eta = np.where(wi[:, 2] > 0, s.eta, 1 / s.eta)[through]
    assert np.all(s.eta[(s.density > 0) & ~through] == 1)
    if not len(eta):
        return 1.0
    np.testing.assert_allclose(eta, eta[0], rtol=1e-5)
    return eta[0]


def pairs(name, p, n, seed):
    """Directions wi and wo (n, 3), and which are a delta lobe's: at random, from `sample`, and near these."""
    rng = np.random.default_rng(seed)
    wi = random_directions(rng, n)
    wi[::2, 2] = np.abs(wi[::2, 2])
    s = sample(name, p, wi, n, seed)
    use = s.density > 0
    near = s.wo + 0.3 * rng.random((n, 1)) ** 2 * rng.standard_normal((n, 3))
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    wo = np.where(use[:, None], np.where(s.delta[:, None], s.wo, near), random_directions(rng, n))
    wo[::3] = random_directions(rng, len(wo[::3]))
    delta = use & s.delta
    delta[::3] = False
    return wi, wo, delta.astype(float)


def test_keys_and_ranges():
    for name, model in bsdf.REGISTRY.items():
        assert bsdf.of(name) is model and list(bsdf.REGISTRY)[bsdf.KINDS[name]] == name
        keys = [q.key for q in model.PARAMETERS] + list(bsdf.constants_of(name))
        assert len(set(keys)) == len(keys)
        assert all(q.low <= q.default <= q.high for q in model.PARAMETERS)
    assert set(CASES) <= set(MODELS), "a case without a model"


@every_set
def test_samples_and_energy(chi_squared, name, values):
    """Samples follow the density, estimate what the value integrates to, and no energy is gained.

    What crosses the surface is counted as power, radiance times the square of the index of refraction.
    """
    p = sets_of(name)[values]
    eta, inexact = index_of(name, p), case(name).inexact
    for degrees in INCIDENT:
        wi = direction(degrees)
        s = sample(name, p, wi, N)
        used = s.density > 0
        assert np.isfinite(s.wo).all() and np.isfinite(s.density).all() and np.all(s.density >= 0)
        np.testing.assert_allclose(np.linalg.norm(s.wo[used], axis=1), 1, atol=1e-5)
        plain, ideal = used & ~s.delta, used & s.delta
        np.testing.assert_allclose(s.density[plain], pdf(name, p, wi, s.wo)[plain], rtol=1e-4)
        weight = evaluate(name, p, wi, s.wo, s.delta) / np.where(used, s.density, np.inf)[:, None]
        power = np.zeros(3)

        counts, shares = [], []
        for chart in charts(wi, eta):
            factor = (eta if wi[2] > 0 else 1 / eta) ** 2 if chart.side * wi[2] < 0 else 1.0
            albedo = chart.sums(evaluate(name, p, wi, chart.points)).sum(axis=(0, 1))
            here = np.where((plain & (s.wo[:, 2] * chart.side > 0))[:, None], weight, 0.0)
            error = 5 * here.std(axis=0) / np.sqrt(N)
            assert np.all(np.abs(here.mean(axis=0) - albedo) <= error + (5e-3 + inexact) * albedo + 1e-6)
            power += factor * albedo
            counts.append(chart.counts(s.wo[plain]))
            shares.append(chart.sums(pdf(name, p, wi, chart.points)))
            lobes = ideal & (s.wo[:, 2] * chart.side >= 0)
            if lobes.any():  # one direction, met as often as its probability says
                np.testing.assert_allclose(s.wo[lobes], s.wo[lobes][:1].repeat(lobes.sum(), 0), atol=1e-6)
                probability = s.density[lobes][0]
                error = 5 * np.sqrt(probability * (1 - probability) / N)
                assert abs(lobes.mean() - probability) <= error + 1e-6
                power += factor * probability * weight[lobes][0]
        counts, shares = np.concatenate(counts), np.concatenate(shares)
        assert shares.sum() == pytest.approx(plain.mean(), abs=0.012)
        if plain.any():
            assert chi_squared(counts, shares * (plain.sum() / shares.sum())) > P_MIN
        assert np.all(power >= -1e-9) and np.all(power <= case(name).albedo * 1.003)


@every_set
def test_reciprocity(name, values):
    """f(a, b) = f(b, a) but for the square of the index of refraction in transmission."""
    if not case(name).reciprocal:
        pytest.skip("not reciprocal")
    p = sets_of(name)[values]
    a, b, _ = pairs(name, p, 2000, 2)
    inside = index_of(name, p)
    index_a, index_b = (np.where(w[:, 2:] > 0, 1.0, inside) for w in (a, b))
    there = evaluate(name, p, a, b) / np.abs(b[:, 2:]) * (index_b / index_a) ** 2
    back = evaluate(name, p, b, a) / np.abs(a[:, 2:])
    np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-9 * max(back.max(), 1e-12))


@every_set
def test_support(name, values):
    """Where the value, or its derivative by some parameter, is not zero, samples can fall."""
    p = sets_of(name)[values]
    wi, wo, delta = pairs(name, p, 4000, 3)
    plain = delta == 0
    wi, wo = wi[plain], wo[plain]
    needed = evaluate(name, p, wi, wo).max(axis=1)
    for tangent in np.eye(len(limits_row(name))):
        change = jvp(name, p, np.pad(tangent, (0, len(p) - len(tangent))), wi, wo)
        needed = np.maximum(needed, np.abs(change).max(axis=1))
    assert np.all(pdf(name, p, wi, wo)[needed > 1e-12] > 0)


def limits_row(name):
    return next(iter(limits(name)))


@every_set
def test_derivatives(name, values):
    """vjp and jvp against Taichi's autodiff and, inside the parameters' ranges, central differences."""
    rng = np.random.default_rng(4)
    n = 300
    p0, low, high = sets_of(name)[values], *limits(name)
    width = len(low)  # beyond are constants
    if width == 0:
        return
    wi, wo, delta = pairs(name, p0, n, 5)
    dp, df = rng.standard_normal((n, len(p0))), rng.standard_normal((n, 3))
    dp[:, width:] = 0
    back, there = vjp(name, p0, df, wi, wo, delta), jvp(name, p0, dp, wi, wo, delta)
    assert np.isfinite(back).all() and np.isfinite(there).all() and back.any() and there.any()
    terms = np.abs(back * dp).sum(axis=1)
    assert np.all(np.abs((back * dp).sum(axis=1) - (there * df).sum(axis=1)) <= 1e-10 * terms + 1e-12)
    scale = np.abs(back).max(axis=1, keepdims=True)
    reference = tape(name, p0, df, wi, wo, delta)[:, :width]
    assert np.all(np.abs(back[:, :width] - reference) <= 1e-9 * scale + 1e-11)

    # Four-point differences at several steps: two that agree are the derivative. Where none do there is a
    # kink, and there are few of these.
    for k in range(width):
        room = min(1.0, p0[k] - low[k], high[k] - p0[k])
        if room == 0:
            continue
        e = np.eye(len(p0))[k]

        def slope(h, e=e):
            f = {i: evaluate(name, p0 + i * h * e, wi, wo, delta) for i in (-2, -1, 1, 2)}
            return (df * (8 * (f[1] - f[-1]) - (f[2] - f[-2]))).sum(axis=1) / (12 * h)

        size = np.abs(df * evaluate(name, p0, wi, wo, delta)).sum(axis=1)
        smooth = np.zeros(n, bool)
        for h in (1e-3 * room, 2e-5 * room):
            fine, coarse = slope(h / 2), slope(h)
            tolerance = 1e-5 * np.abs(fine) + 1e-10 * size / h + 1e-8
            agree = np.abs(fine - coarse) <= tolerance
            assert np.all(np.abs(back[:, k] - fine)[agree] <= 2 * tolerance[agree])
            smooth |= agree
        assert smooth.mean() > 0.95, f"no derivative by number {k} of the row"


@every_set
def test_finite_in_single_precision(name, values):
    """At the ends of every range and for directions that are grazing, equal, opposite, or the normal."""
    angles = [0, 1e-3, 45, -45, 89.99, -89.99, 90, 90.01, 135, 180]
    special = np.array([direction(angle) for angle in angles] + [direction(90, -140)])
    special[[6, -1], 2] = 0
    wi, wo = np.repeat(special, len(special), axis=0), np.tile(special, (len(special), 1))
    u = np.random.default_rng(6).choice([0, 0.5, 1 - 2**-24], (len(wi), 4))
    for p in (sets_of(name)[values], *extremes(name, values)):
        s = sample(name, p, wi, len(wi), u=u)
        assert np.isfinite(s.wo).all() and np.isfinite(s.density).all() and np.isfinite(s.eta).all()
        assert np.isfinite(pdf(name, p, wi, wo)).all()
        for delta in (0.0, 1.0):
            f = evaluate(name, p, wi, wo, (delta,), np.float32)
            assert np.isfinite(f).all() and np.all(f >= -1e-6 * np.abs(f).max())
            assert np.isfinite(vjp(name, p, np.ones(3), wi, wo, (delta,), np.float32)).all()


def extremes(name, values):
    """Once for a model: every parameter in turn at the ends of its range, the others at defaults."""
    if values != "default":
        return []
    rows = []
    for end in limits(name):
        for k in np.flatnonzero(np.isfinite(end)):
            p = row(name, case(name).constants)
            p[k] = end[k]
            rows.append(p)
    return rows


# Diffuse


@pytest.mark.parametrize("degrees", [0, 45, 80])
def test_diffuse_reflects_its_reflectance(degrees):
    reflectance = np.array([0.0, 0.3, 1.0])
    up, down = charts(direction(degrees))
    albedo = up.sums(evaluate("diffuse", reflectance, direction(degrees), up.points)).sum(axis=(0, 1))
    np.testing.assert_allclose(albedo, reflectance, rtol=1e-3, atol=1e-12)
    assert not evaluate("diffuse", reflectance, -direction(degrees), up.points).any()
    assert not evaluate("diffuse", reflectance, direction(degrees), down.points).any()


def test_diffuse_weights_are_the_reflectance():
    """Cosine sampling leaves no variance."""
    wi, p = direction(50), np.array([0.2, 0.5, 0.9])
    s = sample("diffuse", p, wi, 1000)
    inside = s.wo[:, 2] > 1e-3
    weight = evaluate("diffuse", p, wi, s.wo[inside]) / s.density[inside, None]
    np.testing.assert_allclose(weight, np.tile(p, (inside.sum(), 1)), rtol=1e-5)
