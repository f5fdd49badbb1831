"""Random numbers that can be replayed: a hash of (pixel, sample, counter, seed), with no state.

The counter numbers the blocks of four numbers that a path draws. A step of a path that needs random numbers
is an event: event 0 is the start at the camera, events 1, 2, ... are the vertices. A vertex draws two blocks,
the camera draws one:

    event 0           block CAMERA     position on the film (2), on the aperture (2)
    event 1, 2, ...   block LIGHT      emitter entry (1), point on it (2), roulette (1)
                      block BSDF       direction (2), lobe and leaf (1), alias of the emitter entry (1)

The hash is pcg4d of Jarzynski and Olano, Hash Functions for GPU Rendering, JCGT 9(3), 2020. The same four
integers give the same four numbers on every device, in every launch order.
"""

from prb.kernels.backend import ti

MULTIPLIER = 1664525
INCREMENT = 1013904223
TO_UNIT = 2.0**-24  # 24 bits, so that a float32 holds the number exactly and never reaches 1
LIGHT, BSDF, CAMERA = 0, 1, 1  # blocks of an event; event 0 has CAMERA alone
FLIGHT, SHADOW, CHOICE, RATIO = 0, 1, 2, 3  # streams of an event, of as many blocks as tracking needs
NOISE = 4  # a stream for the noise of kernels/estimators/inverse.py
EDGE = 5  # a stream for what kernels/estimators/boundary.py samples
STREAMS = (-1640531527, 1013904243, -626627284, 2027808486, 387276959, -1253254568)
# STREAMS are added to the seed: k 2^32 / golden ratio
BLOCKS = 2**16  # of a stream


@ti.dataclass
class Sampler:
    """The random numbers of one path. pixel: counted on the whole film, so that crops have the same paths."""

    pixel: ti.i32
    sample: ti.i32
    seed: ti.i32


@ti.func
def draw(sampler, event, block: ti.template()):
    """Four independent numbers, uniform on [0, 1), for a block of an event."""
    return uniform4(sampler.pixel, sampler.sample, 2 * event - 1 + block, sampler.seed)


@ti.func
def draw_vertex(sampler, event):
    """The numbers of both blocks of a vertex: (LIGHT, BSDF)."""
    return draw(sampler, event, LIGHT), draw(sampler, event, BSDF)


@ti.func
def track(sampler, event, stream: ti.template(), k):
    """Block k of a stream of an event: four independent numbers, uniform on [0, 1)."""
    seed = sampler.seed + ti.static(STREAMS[stream])
    return uniform4(sampler.pixel, sampler.sample, event * BLOCKS + k, seed)


@ti.func
def uniform4(pixel, sample, counter, seed):
    """Four independent numbers, uniform on [0, 1), by pcg4d."""
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
