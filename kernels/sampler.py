"""Random numbers that can be replayed: a hash of (pixel, sample, counter, seed), with no state.

The counter numbers the blocks of four numbers that a path draws. A step of a path that needs random numbers
is an event: event 0 is the start at the camera, events 1, 2, ... are the vertices. A vertex draws two blocks,
the camera draws one:

    event 0           block CAMERA     position on the film (2), on the aperture (2)
    event 1, 2, ...   block LIGHT      emitter entry (1), point on it (2), roulette (1)
                      block BSDF       direction (2), lobe and leaf (1), alias of the emitter entry (1)

The same four integers give the same four numbers on every device, in every launch order.

Other samplers than `independent` (kernels/points) give the blocks of the camera and of the first vertices
points that the samples of a pixel share among themselves; those of different pixels, and of the parts that a
call's samples are split into, are independent. Streams are always independent numbers.
"""

from prb.kernels import points
from prb.kernels.backend import ti
from prb.kernels.hashing import hash4, unit

LIGHT, BSDF, CAMERA = 0, 1, 1  # blocks of an event; event 0 has CAMERA alone
FLIGHT, SHADOW, CHOICE, RATIO = 0, 1, 2, 3  # streams of an event, of as many blocks as tracking needs
NOISE = 4  # a stream for the noise of kernels/estimators/inverse.py
EDGE = 5  # a stream for what kernels/estimators/boundary.py samples
STREAMS = (-1640531527, 1013904243, -626627284, 2027808486, 387276959, -1253254568)
# STREAMS are added to the seed: k 2^32 / golden ratio
BLOCKS = 2**16  # of a stream
SHARED = -1  # in place of a sample's number: what all samples of a pixel share
PART = 1640531527  # of the seed's numbers for parts of the samples
WELL_PLACED = 3  # events with points of the sampler; later ones have independent numbers


@ti.dataclass
class Sampler:
    """The random numbers of one path. pixel: counted on the whole film, so that crops have the same paths.

    sample: its number among the samples of its pixel; but for `independent`, among the `count` samples that
    share a set of points.
    """

    pixel: ti.i32
    sample: ti.i32
    seed: ti.i32
    count: ti.i32


@ti.func
def new_sampler(kind: ti.template(), launch, pixel, sample):
    """The `Sampler` of a path. sample: its number. kind: of `points.NAMES`."""
    found = Sampler(pixel=pixel, sample=sample, seed=launch.seed, count=1)
    if ti.static(kind != points.INDEPENDENT):
        own = sample - launch.call_sample
        part = ti.i32((ti.i64(own + 1) * launch.parts - 1) // launch.call_spp)
        first = ti.i32(ti.i64(part) * launch.call_spp // launch.parts)
        end = ti.i32(ti.i64(part + 1) * launch.call_spp // launch.parts)
        found.sample = own - first
        found.count = end - first
        found.seed += (launch.call_sample + first) * PART
    return found


@ti.func
def draw(kind: ti.template(), sampler, event, block: ti.template()):
    """Four numbers, uniform on [0, 1), for a block of an event. kind: of `points.NAMES`."""
    counter = 2 * event - 1 + block
    u = uniform4(sampler.pixel, sampler.sample, counter, sampler.seed)
    if ti.static(kind != points.INDEPENDENT):
        if event < WELL_PLACED:
            a, b, c, d = hash4(sampler.pixel, SHARED, counter, sampler.seed)
            p = points.POINTS[kind].points(sampler, a, b, c, d)
            if ti.static(block == LIGHT):  # the point on the light has the best two
                u = ti.Vector([p[2], p[0], p[1], p[3]])
            else:
                u = p
    return u


@ti.func
def draw_vertex(kind: ti.template(), sampler, event):
    """The numbers of both blocks of a vertex: (LIGHT, BSDF)."""
    return draw(kind, sampler, event, LIGHT), draw(kind, sampler, event, BSDF)


@ti.func
def track(sampler, event, stream: ti.template(), k):
    """Block k of a stream of an event: four independent numbers, uniform on [0, 1)."""
    seed = sampler.seed + ti.static(STREAMS[stream])
    return uniform4(sampler.pixel, sampler.sample, event * BLOCKS + k, seed)


@ti.func
def uniform4(pixel, sample, counter, seed):
    """Four independent numbers, uniform on [0, 1)."""
    x, y, z, w = hash4(pixel, sample, counter, seed)
    return ti.Vector([unit(x), unit(y), unit(z), unit(w)])
