"""Stratified points: of each pair of numbers, each cell of a grid has one point (or none), anywhere in it.

The grid has as many cells as there are samples, or a few more. The order of the cells is another one for each
pair.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import vec2
from prb.kernels.hashing import mixed, permuted, unit

BELOW_1 = 0.99999994


@ti.func
def grid(count):
    """(columns, rows) of a grid of at least `count` cells, nearly square."""
    columns = ti.max(ti.i32(ti.sqrt(ti.f32(count))), 1)
    return columns, (count + columns - 1) // columns


@ti.func
def pair(sampler, key, jitter):
    """A point of one pair."""
    columns, rows = grid(sampler.count)
    cell = permuted(sampler.sample, columns * rows, key)
    x = (ti.f32(cell % columns) + unit(jitter)) / ti.f32(columns)
    y = (ti.f32(cell // columns) + unit(mixed(jitter, 1))) / ti.f32(rows)
    return ti.min(vec2(x, y), BELOW_1)


@ti.func
def pairs(pair_of: ti.template(), sampler, a, b, c, d):
    """Two pairs by `pair_of`, a function such as `pair`."""
    one = pair_of(sampler, a, mixed(b, sampler.sample))
    two = pair_of(sampler, c, mixed(d, sampler.sample))
    return ti.Vector([one.x, one.y, two.x, two.y])


@ti.func
def points(sampler, a, b, c, d):
    """See `prb.kernels.points`."""
    return pairs(pair, sampler, a, b, c, d)
