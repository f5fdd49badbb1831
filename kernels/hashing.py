"""Hashes of integers: random numbers without a state, scrambled digits, permutations."""

from prb.kernels.backend import ti

MULTIPLIER = 1664525
INCREMENT = 1013904223
TO_UNIT = 2.0**-24  # 24 bits, so that a float32 holds the number exactly and never reaches 1


@ti.func
def hash4(a, b, c, d):
    """Four independent 32-bit numbers from four integers, by pcg4d of Jarzynski and Olano, Hash Functions for
    GPU Rendering, JCGT 9(3), 2020."""
    m = ti.u32(MULTIPLIER)
    n = ti.u32(INCREMENT)
    x = ti.u32(a) * m + n
    y = ti.u32(b) * m + n
    z = ti.u32(c) * m + n
    w = ti.u32(d) * m + n
    x += y * w
    y += z * x
    z += x * y
    w += y * z
    x ^= x >> 16
    y ^= y >> 16
    z ^= z >> 16
    w ^= w >> 16
    x += y * w
    y += z * x
    z += x * y
    w += y * z
    return x, y, z, w


@ti.func
def unit(x):
    """The number in [0, 1) that the upper 24 bits of a 32-bit number stand for."""
    return ti.f32(x >> 8) * TO_UNIT


@ti.func
def mixed(key, k):
    """Another key for each number k."""
    x = key + ti.u32(k) * ti.u32(0x3779B97B) + ti.u32(INCREMENT)
    x ^= x >> 16
    x *= ti.u32(0x7FEB352D)
    x ^= x >> 15
    return x


@ti.func
def reversed_bits(x):
    """The bits of a 32-bit number from last to first."""
    x = ((x >> 1) & ti.u32(0x55555555)) | ((x & ti.u32(0x55555555)) << 1)
    x = ((x >> 2) & ti.u32(0x33333333)) | ((x & ti.u32(0x33333333)) << 2)
    x = ((x >> 4) & ti.u32(0x0F0F0F0F)) | ((x & ti.u32(0x0F0F0F0F)) << 4)
    x = ((x >> 8) & ti.u32(0x00FF00FF)) | ((x & ti.u32(0x00FF00FF)) << 8)
    return (x >> 16) | (x << 16)


@ti.func
def scrambled(x, key):
    """A permutation of 32-bit numbers in which a bit depends on the bits below it alone: Owen's scrambling of
    the number whose digits x has in reversed order.

    Laine and Karras, Stratified Sampling for Stochastic Transparency, EGSR 2011, found such hashes; Burley,
    Practical Hash-based Owen Scrambling, JCGT 9(4), 2020, uses them for Sobol points; the constants are those
    of N. Vegdahl, Building a Better LK Hash, 2021.
    """
    x ^= x * ti.u32(0x3D20ADEA)
    x += key
    x *= (key >> 16) | ti.u32(1)
    x ^= x * ti.u32(0x05526C56)
    x ^= x * ti.u32(0x53A22864)
    return x


@ti.func
def permuted(i, count, key):
    """The place of i in a permutation of the numbers below `count` that the key chooses.

    A hash that can be undone in as many bits as `count` needs is applied until the number lies below it
    (cycle walking: Black and Rogaway 2002; as in Kensler, Correlated Multi-Jittered Sampling, 2013).
    """
    mask = ti.u32(count - 1)
    for shift in ti.static((1, 2, 4, 8, 16)):
        mask |= mask >> shift
    x = ti.u32(i)
    done = False
    while not done:
        for k in ti.static(range(3)):
            own = mixed(key, k)
            x = (x + own) & mask
            x = (x * ((own >> 7) * 2 + 1)) & mask
            x ^= x >> (k + 1)
        done = x < ti.u32(count)
    return ti.i32(x)
