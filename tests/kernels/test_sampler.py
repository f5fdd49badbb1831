"""Random numbers: they replay, every part of their key matters, and they look uniform and independent.

Seeds are fixed. A statistical test asks for a p-value above 1e-4.
"""

import numpy as np
import pytest
from scipy import stats

from prb.kernels.backend import ti
from prb.kernels.sampler import uniform4

pytestmark = pytest.mark.quick

KEYS = ("pixel", "sample", "counter", "seed")
P_MIN = 1e-4


@ti.kernel
def _draw(keys: ti.types.ndarray(ti.i32, 2), out: ti.types.ndarray(ti.f32, 2)):
    for i in range(keys.shape[0]):
        u = uniform4(keys[i, 0], keys[i, 1], keys[i, 2], keys[i, 3])
        for k in ti.static(range(4)):
            out[i, k] = u[k]


def draw(pixel, sample, counter, seed):
    """Four numbers for each key, float32 (n, 4); the parts of the key broadcast."""
    keys = np.stack(np.broadcast_arrays(pixel, sample, counter, seed), axis=-1).reshape(-1, 4)
    out = np.zeros(keys.shape, np.float32)
    _draw(np.ascontiguousarray(keys, np.int32), out)
    return out


def along(part, n, **fixed):
    """Numbers whose key differs in one part only."""
    key = {"pixel": 1234, "sample": 5, "counter": 3, "seed": 7, **fixed, part: np.arange(n)}
    return draw(**key).astype(float)


def pcg4d(x, y, z, w):
    """Jarzynski and Olano 2020, as printed there."""
    v = [(int(a) * 1664525 + 1013904223) % 2**32 for a in (x, y, z, w)]
    for mixed in (True, False):
        v[0] = (v[0] + v[1] * v[3]) % 2**32
        v[1] = (v[1] + v[2] * v[0]) % 2**32
        v[2] = (v[2] + v[0] * v[1]) % 2**32
        v[3] = (v[3] + v[1] * v[2]) % 2**32
        if mixed:
            v = [a ^ (a >> 16) for a in v]
    return v


def test_is_pcg4d():
    keys = [(0, 0, 0, 0), (1, 2, 3, 4), (65535, 12, 17, 2**31 - 1), (2**31 - 1, 2**31 - 1, 2**31 - 1, -1)]
    want = [[(a >> 8) * 2.0**-24 for a in pcg4d(*key)] for key in keys]
    assert np.array_equal(draw(*np.array(keys).T), want)


def test_the_same_key_gives_the_same_numbers_in_any_order():
    order = np.random.default_rng(1).permutation(5000)
    keys = np.arange(5000)
    one = draw(keys, keys // 3, keys % 7, 11)
    assert np.array_equal(one, draw(keys, keys // 3, keys % 7, 11))
    assert np.array_equal(one[order], draw(keys[order], keys[order] // 3, keys[order] % 7, 11))


@pytest.mark.parametrize("part", KEYS)
def test_every_bit_of_the_key_changes_every_number(part):
    """Of the counter, twice a path's depth, the lower 25 bits: pcg4d's first number mixes the rest poorly."""
    for bit in range(25 if part == "counter" else 32):
        rng = np.random.default_rng(2)
        key = {name: rng.integers(0, 2**31 - 1, 1000) for name in KEYS}
        one = draw(**key)
        key[part] = (key[part] ^ (1 << bit)).astype(np.uint32).view(np.int32)
        assert np.mean(one == draw(**key), axis=0).max() <= 0.002


def test_numbers_are_in_range_and_use_all_bits():
    u = draw(np.arange(2**18), 0, 0, 0)
    bits = np.bitwise_or.reduce((u.astype(float) * 2**24).astype(np.int64), axis=0)
    assert u.min() >= 0 and u.max() < 1
    assert bits.tolist() == [2**24 - 1] * 4
    assert np.array_equal(u, np.floor(u.astype(float) * 2**24) / 2**24)


@pytest.mark.parametrize("part", KEYS)
def test_each_number_is_uniform(chi_squared, part):
    n, bins = 2**17, 256
    for column in along(part, n).T:
        counts = np.bincount((column * bins).astype(int), minlength=bins)
        assert chi_squared(counts, np.full(bins, n / bins)) > P_MIN / 4


@pytest.mark.parametrize("part", KEYS)
def test_pairs_are_uniform(chi_squared, part):
    """Numbers of one key, and one number at neighbouring keys, in 32 x 32 cells."""
    n, bins = 2**17, 32
    u = along(part, 2 * n)
    pairs = [(u[:n, i], u[:n, j]) for i in range(4) for j in range(i)] + [(c[::2], c[1::2]) for c in u.T]
    for x, y in pairs:
        counts = np.bincount((x * bins).astype(int) * bins + (y * bins).astype(int), minlength=bins * bins)
        assert chi_squared(counts, np.full(bins * bins, n / bins**2)) > P_MIN / len(pairs)


@pytest.mark.parametrize("part", KEYS)
def test_neighbouring_keys_are_not_correlated(part):
    """All columns against all, at several lags: normal with variance 1 / n, over 80 correlations."""
    n = 2**17
    u = along(part, n + 64)
    u = (u - 0.5) * np.sqrt(12)
    bound = stats.norm.isf(P_MIN / 2 / 80) / np.sqrt(n)
    for lag in (1, 2, 7, 32, 64):
        assert np.abs(u[:n].T @ u[lag : n + lag] / n).max() < bound


def test_a_film_of_samples_is_uniform(chi_squared):
    """Few samples of many pixels with the counters of a few bounces: how a render asks for numbers."""
    key = (np.arange(64 * 64)[:, None, None], np.arange(8)[:, None], np.arange(5), 0)
    u = draw(*key).astype(float)
    n, bins = len(u), 64
    counts, _, _ = np.histogram2d(u[:, 0], u[:, 1], bins, ((0, 1), (0, 1)))
    assert chi_squared(counts, np.full(bins**2, n / bins**2)) > P_MIN


def test_means_and_variances_of_a_million():
    n = 2**20
    u = draw(np.arange(n), 0, 1, 2).astype(float)
    z = stats.norm.isf(P_MIN / 2 / 8)
    assert np.abs(u.mean(axis=0) - 0.5).max() < z / np.sqrt(12 * n)
    assert np.abs(((u - 0.5) ** 2).mean(axis=0) - 1 / 12).max() < z / np.sqrt(180 * n)
