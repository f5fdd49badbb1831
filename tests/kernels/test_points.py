"""Point sets: how evenly they fill the unit cube, and that each point alone is uniform."""

import numpy as np
import pytest
from scipy.stats import kstest, qmc

from prb.device import runtime
from prb.kernels import points
from prb.kernels.backend import ti
from prb.kernels.hashing import hash4, permuted, scrambled
from prb.kernels.points import sobol
from prb.kernels.sampler import Sampler

runtime.ensure()


@ti.kernel
def fill(kind: ti.template(), count: ti.i32, seed: ti.i32, out: ti.types.ndarray(ti.f32, ndim=2)):
    for i in range(count):
        a, b, c, d = hash4(seed, -1, 7, 0)
        sampler = Sampler(pixel=0, sample=i, seed=seed, count=count)
        p = points.POINTS[kind].points(sampler, a, b, c, d)
        for k in ti.static(range(4)):
            out[i, k] = p[k]


@ti.kernel
def unscrambled(count: ti.i32, out: ti.types.ndarray(ti.u32, ndim=2)):
    for i in range(count):
        x, y, z, w = sobol.digits(ti.u32(i))
        out[i, 0] = x
        out[i, 1] = y
        out[i, 2] = z
        out[i, 3] = w


@ti.kernel
def permutation(count: ti.i32, seed: ti.i32, out: ti.types.ndarray(ti.i32, ndim=1)):
    for i in range(count):
        out[i] = permuted(i, count, ti.u32(seed))


@ti.kernel
def scramble(key: ti.u32, out: ti.types.ndarray(ti.u32, ndim=1)):
    for i in out:
        out[i] = scrambled(ti.u32(i), key)


def made(kind, count, seed=1):
    out = np.zeros((count, 4), np.float32)
    fill(kind, count, seed, out)
    return out.astype(float)


def reversed_digits(x):
    return np.array([int(f"{int(v):032b}"[::-1], 2) for v in x]) / 2**32


def test_before_scrambling_they_are_sobol_points():
    out = np.zeros((64, 4), np.uint32)
    unscrambled(64, out)
    expected = qmc.Sobol(4, scramble=False).random_base2(6)
    found = np.stack([reversed_digits(column) for column in out.T], axis=1)
    np.testing.assert_array_equal(np.sort(found, axis=0), np.sort(expected, axis=0))
    assert {tuple(p) for p in found} == {tuple(p) for p in expected}


@pytest.mark.parametrize("count", [16, 64, 256])
@pytest.mark.parametrize("seed", range(4))
def test_sobol_points_are_a_net(count, seed):
    """Each elementary interval of the first two numbers has one point; each number alone is stratified, and
    so are the first 2^k points by themselves."""
    p = made("sobol", count, seed)
    bits = count.bit_length() - 1
    for own in range(bits + 1):
        cells = (p[:, 0] * 2**own).astype(int) * 2 ** (bits - own) + (p[:, 1] * 2 ** (bits - own)).astype(int)
        assert len(set(cells)) == count
    for k in range(4):
        assert len(set((p[:, k] * count).astype(int))) == count
        assert len(set((p[: count // 4, k] * (count // 4)).astype(int))) == count // 4


@pytest.mark.parametrize("kind", ["stratified", "multijitter"])
@pytest.mark.parametrize("count", [16, 64, 100])
def test_pairs_are_stratified_on_a_grid(kind, count):
    p, side = made(kind, count), int(count**0.5)
    for first in (0, 2):
        cells = (p[:, first] * side).astype(int) * side + (p[:, first + 1] * side).astype(int)
        assert len(set(cells)) == count
    if kind == "multijitter":
        for k in range(4):
            assert len(set((p[:, k] * count).astype(int))) == count


@pytest.mark.parametrize("side", [3, 5, 7, 11])
def test_orthogonal_arrays_stratify_all_pairs(side):
    count = side * side
    p = made("orthogonal", count)
    for i in range(4):
        assert len(set((p[:, i] * count).astype(int))) == count
        for j in range(i):
            cells = (p[:, i] * side).astype(int) * side + (p[:, j] * side).astype(int)
            assert len(set(cells)) == count


@pytest.mark.parametrize("kind", sorted(points.POINTS))
@pytest.mark.parametrize("count", [1, 2, 7, 16])
def test_each_point_alone_is_uniform(kind, count):
    """Over seeds; 16 tests of each kind and count at a significance of 1e-4."""
    found = np.stack([made(kind, count, seed) for seed in range(400)])
    assert (found >= 0).all() and (found < 1).all()
    for sample in {0, count - 1}:
        for k in range(4):
            assert kstest(found[:, sample, k], "uniform").pvalue > 1e-4
    means = found.mean(axis=0)
    assert np.abs(means - 0.5).max() < 5 / np.sqrt(12 * 400)
    products = (found[:, :, 0] * found[:, :, 1]).mean(axis=0)
    assert np.abs(products - 0.25).max() < 0.06


@pytest.mark.parametrize("kind", sorted(points.POINTS))
def test_smooth_integrals_have_less_variance(kind):
    """Of a function of four numbers, by 64 points: independent ones have 100 %."""
    means = []
    for seed in range(60):
        p = made(kind, 64, seed)
        means.append(np.prod(1 + 0.5 * (p - 0.5), axis=1).mean())
    independent = (1 + 0.25 / 12) ** 4 - 1
    assert np.mean(means) == pytest.approx(1, abs=5 * np.sqrt(independent / 64 / 60))
    assert np.var(means) < {"sobol": 0.01, "orthogonal": 0.3}.get(kind, 0.15) * independent / 64


@pytest.mark.parametrize("count", [1, 2, 3, 10, 16, 100])
def test_permutations(count):
    found = np.zeros((300, count), np.int32)
    for seed in range(300):
        permutation(count, seed * 2654435 + 1, found[seed])
    assert (np.sort(found, axis=1) == np.arange(count)).all()
    if count > 2:
        places = np.bincount(found[:, 1], minlength=count)
        assert places.min() > 0 or count > 40
        assert places.max() < 6 * 300 / count + 10


def test_scrambling_changes_a_digit_by_those_before_it_alone():
    out = np.zeros(256, np.uint32)
    scramble(np.uint32(12345), out)
    assert len(set(out)) == 256
    for bit in range(8):
        low = out & np.uint32(2 ** (bit + 1) - 1)
        assert len(set(low[: 2 ** (bit + 1)])) == 2 ** (bit + 1)
        assert (low == low[np.arange(256) % 2 ** (bit + 1)]).all()
