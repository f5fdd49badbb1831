"""Random numbers that can be replayed: a hash of (pixel, sample, counter, seed), with no state.

The hash is pcg4d of Jarzynski and Olano, Hash Functions for GPU Rendering, JCGT 9(3), 2020. The same
four integers give the same four numbers on every device, in every launch order.
"""

from prb.kernels.backend import ti

MULTIPLIER = 1664525
INCREMENT = 1013904223
TO_UNIT = 2.0**-24  # the upper 24 bits, so that a float32 holds the number exactly and never reaches 1


@ti.func
def uniform4(pixel, sample, counter, seed):
    """Four independent numbers, uniform on [0, 1)."""
    m = ti.u32(MULTIPLIER)
    c = ti.u32(INCREMENT)
    x = ti.u32(pixel) * m + c
    y = ti.u32(sample) * m + c
    z = ti.u32(counter) * m + c
    w = ti.u32(seed) * m + c
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
    return ti.Vector([ti.f32(x >> 8), ti.f32(y >> 8), ti.f32(z >> 8), ti.f32(w >> 8)]) * TO_UNIT
