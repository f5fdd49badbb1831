"""What `sample` of every scattering model returns, differentiated by parameters, wi and random numbers: both
modes against central differences in double precision, and the Jacobian against the density."""

import numpy as np
import pytest
from helpers.bsdf_cases import sets_of
from helpers.bsdfs import limits, random_directions, sample_double, sample_jvp, sample_vjp

from prb.kernels import bsdf

MODELS = list(bsdf.REGISTRY)
N = 300


def arguments(name, seed=1):
    """A row inside the parameters' ranges, directions on both sides, random numbers."""
    rng = np.random.default_rng(seed)
    wi = random_directions(rng, N)
    wi[::2, 2] = np.abs(wi[::2, 2])
    return sets_of(name)["between"], wi, rng.uniform(0.02, 0.98, (N, 4)), rng


@pytest.mark.parametrize("name", MODELS)
def test_both_modes_against_differences(name):
    p, wi, u, rng = arguments(name)
    width = len(next(iter(limits(name))))  # beyond are constants
    grad = rng.standard_normal((N, 6))
    back = sample_vjp(name, p, wi, u, grad)
    dp, dwi, du = rng.standard_normal((N, len(p))), rng.standard_normal((N, 3)), rng.standard_normal((N, 4))
    dp[:, width:] = 0
    there = sample_jvp(name, p, wi, u, dp, dwi, du)
    terms = back * np.concatenate([dp, dwi, du[:, :3]], axis=1)
    assert np.isfinite(back).all() and np.isfinite(there).all()
    difference = np.abs(terms.sum(axis=1) - (there * grad).sum(axis=1))
    assert np.all(difference <= 1e-10 * np.abs(terms).sum(axis=1) + 1e-12)

    # Two central differences that agree are the derivative; where they do not, another lobe is taken or a
    # direction crosses the horizon.
    loose = 30 if "beckmann" in name else 1  # its inversion ends with an error
    size = np.abs(grad * sample_double(name, p, wi, u)[0]).sum(axis=1)
    for k in [*range(width), *range(len(p), len(p) + 6)]:
        e = np.zeros(len(p) + 7)
        e[k] = 1

        def slope(h, e=e):
            f = {}
            for i in (-2, -1, 1, 2):
                x = np.concatenate([np.tile(p, (N, 1)), wi, u], axis=1) + i * h * e
                f[i] = sample_double(name, x[:, : len(p)], x[:, len(p) : len(p) + 3], x[:, len(p) + 3 :])[0]
            return (grad * (8 * (f[1] - f[-1]) - (f[2] - f[-2]))).sum(axis=1) / (12 * h)

        smooth = np.zeros(N, bool)
        for h in (3e-4, 2e-5):
            fine, coarse = slope(h / 2), slope(h)
            tolerance = loose * (1e-5 * np.abs(fine) + 1e-9 * size / h + 1e-8)
            agree = np.abs(fine - coarse) <= tolerance
            assert np.all(np.abs(back[:, k] - fine)[agree] <= 2 * tolerance[agree]), f"by number {k}"
            smooth |= agree
        assert smooth.mean() > 0.9, f"no derivative by number {k}"


@pytest.mark.parametrize("name", ["diffuse", "roughconductor", "roughconductor_anisotropic"])
def test_the_jacobian_is_one_over_the_density(name):
    """Of models with one lobe: the area that the unit square of random numbers becomes."""
    p, wi, u, _rng = arguments(name)
    wi[:, 2] = np.abs(wi[:, 2])
    still = np.zeros((N, len(p))), np.zeros((N, 3))
    a, b = (sample_jvp(name, p, wi, u, *still, np.eye(4)[k])[:, :3] for k in (0, 1))
    s, _delta = sample_double(name, p, wi, u)
    used = s[:, 3] > 0
    assert used.mean() > 0.4
    np.testing.assert_allclose((np.linalg.norm(np.cross(a, b), axis=1) * s[:, 3])[used], 1, rtol=2e-5)
