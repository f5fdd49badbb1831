"""Points of orthogonal arrays of strength two: each two of the four numbers are stratified on a grid of s x s
cells, and each number alone in s^2 intervals. s is the largest prime whose square is no more than the number
of samples (at least 3); what is left over belongs to a further array.

The array is Bose's (1938): with the sample's digits i and j to the base s, a prime, its columns are i, j,
i + j and i + 2 j modulo s. Points in it: Jarosz, Enayet, Kensler, Kilpatrick and Christensen, Orthogonal
Array Sampling for Monte Carlo Rendering, EGSR 2019.
"""

from prb.kernels.backend import ti
from prb.kernels.hashing import mixed, permuted, unit
from prb.kernels.points.stratified import BELOW_1


@ti.func
def is_prime(n):
    found = n > 1
    divisor = 2
    while found and divisor * divisor <= n:
        if n % divisor == 0:
            found = False
        divisor += 1
    return found


@ti.func
def base(count):
    """The largest prime whose square is at most `count`, but at least 3, for which four columns exist."""
    s = ti.max(ti.i32(ti.sqrt(ti.f32(count) + 0.5)), 3)
    while s > 3 and not is_prime(s):
        s -= 1
    return s


@ti.func
def coordinate(s, own, other, key, jitter):
    """A number in the interval of its own digit, at the place in it that another column's digit has."""
    stratum, part = permuted(own, s, key), permuted(other, s, mixed(key, own + 1))
    return ti.min((ti.f32(stratum) + (ti.f32(part) + unit(jitter)) / ti.f32(s)) / ti.f32(s), BELOW_1)


@ti.func
def points(sampler, key_a, key_b, key_c, key_d):
    """See `prb.kernels.points`."""
    s = base(sampler.count)
    array = sampler.sample // (s * s)
    a, b = mixed(key_a, array), mixed(key_b, array)
    c, d = mixed(key_c, array), mixed(key_d, array)
    n = permuted(sampler.sample % (s * s), s * s, mixed(a, 1))
    i, j = n // s, n % s
    k, m = (i + j) % s, (i + 2 * j) % s
    jitter = mixed(b, sampler.sample)
    return ti.Vector(
        [
            coordinate(s, i, j, a, jitter), coordinate(s, j, i, b, mixed(jitter, 1)),
            coordinate(s, k, m, c, mixed(jitter, 2)), coordinate(s, m, k, d, mixed(jitter, 3)),
        ]
    )  # fmt: skip
