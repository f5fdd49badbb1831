"""Correlated multi-jittered points: each pair is stratified on a grid, and each number alone in as many
intervals as there are samples. Kensler, Correlated Multi-Jittered Sampling, Pixar 2013."""

from prb.kernels.backend import ti
from prb.kernels.frame import vec2
from prb.kernels.hashing import mixed, permuted, unit
from prb.kernels.points.stratified import BELOW_1, grid, pairs


@ti.func
def pair(sampler, key, jitter):
    """A point of one pair."""
    columns, rows = grid(sampler.count)
    cell = permuted(sampler.sample, columns * rows, key)
    column, row = cell % columns, cell // columns
    # in each column the rows have places of their own, and the other way round
    across, up = permuted(row, rows, mixed(key, 1)), permuted(column, columns, mixed(key, 2))
    x = (ti.f32(column) + (ti.f32(across) + unit(jitter)) / ti.f32(rows)) / ti.f32(columns)
    y = (ti.f32(row) + (ti.f32(up) + unit(mixed(jitter, 1))) / ti.f32(columns)) / ti.f32(rows)
    return ti.min(vec2(x, y), BELOW_1)


@ti.func
def points(sampler, a, b, c, d):
    """See `prb.kernels.points`."""
    return pairs(pair, sampler, a, b, c, d)
