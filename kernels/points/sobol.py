"""Sobol points in four dimensions, scrambled after Owen by hashing.

The first 2^k points have one point in each elementary interval, or nearly so, of volume 2^-k, and scrambling
makes each of them uniform, so that the mean over smooth integrands converges faster than with independent
numbers and never much slower (Owen, Scrambling Sobol' and Niederreiter-Xing Points, 1998). The order of the
points is scrambled, too, so that blocks of four numbers can stand beside one another (Burley, Practical
Hash-based Owen Scrambling, JCGT 9(4), 2020).

Direction numbers are those of Joe and Kuo, Constructing Sobol Sequences with Better Two-Dimensional
Projections, 2008, found by their recurrences: dimensions 2, 3 and 4 belong to the primitive polynomials
x + 1, x^2 + x + 1 and x^3 + x + 1. All is in reversed digits, as scrambling wants it.
"""

from prb.kernels.backend import ti
from prb.kernels.hashing import mixed, reversed_bits, scrambled, unit


@ti.func
def place(index, count, key):
    """The scrambled place of a number below `count`: numbers below a power of two stay together."""
    mask = ti.u32(count - 1)
    for shift in ti.static((1, 2, 4, 8, 16)):
        mask |= mask >> shift
    return reversed_bits(scrambled(reversed_bits(ti.u32(index)), key)) & mask


@ti.func
def digits(index):
    """The four coordinates of a point before scrambling, reversed 32-bit numbers."""
    x, y, z, w = index, ti.u32(0), ti.u32(0), ti.u32(0)
    one, rest = ti.u32(1), index
    b0 = one  # direction numbers: of this digit; for recurrences of several terms also of the next ones
    c0, c1 = one, ti.u32(3)
    d0, d1, d2 = one, ti.u32(3), ti.u32(4)
    while rest > 0:
        if rest & one != 0:
            y ^= b0
            z ^= c0
            w ^= d0
        b0 ^= b0 << 1
        c2 = c1 ^ c0 ^ (c0 << 2)
        c0 = c1
        c1 = c2
        d3 = d1 ^ d0 ^ (d0 << 3)
        d0 = d1
        d1 = d2
        d2 = d3
        rest >>= 1
    return x, y, z, w


@ti.func
def points(sampler, a, b, c, d):
    """See `prb.kernels.points`."""
    x, y, z, w = digits(place(sampler.sample, sampler.count, mixed(a, 1)))
    return ti.Vector(
        [
            unit(reversed_bits(scrambled(x, a))), unit(reversed_bits(scrambled(y, b))),
            unit(reversed_bits(scrambled(z, c))), unit(reversed_bits(scrambled(w, d))),
        ]
    )  # fmt: skip
