"""Seeds for the random numbers of one program run: for each purpose another stream, whatever its use.

Paths take their random numbers from a seed (kernels/sampler.py). Where a program needs several kinds of them
from the one seed that its user gives, they come from here. The recipes differ because what they gave is
printed in the README and kept in checkpoints: their values stay, and new purposes take a new word of `Word`.

`Word` streams hash (seed, ..., word, ...) by NumPy's SeedSequence, so they are independent up to collisions
of 32-bit seeds. SeedSequence takes missing numbers for zeros: (seed, 1) of `torch_paths` is (seed, 1, 0, 0)
of `picture` for iteration 1 of sensor 0. No program uses both.
"""

import zlib
from enum import IntEnum

import numpy as np

SEEDS = 2**32
PATHS_OFFSET = 0x9E3779B9  # the golden ratio's bits, far from the seeds that people choose
TARGETS_OFFSET = 2**16


class Word(IntEnum):
    """What the random numbers of an iteration are for."""

    PICTURE = 0
    PATHS = 1
    VIEWS = 2


def picture(seed, iteration, sensor):
    """Of the picture of an iteration of `prb.optimize`, by one of its sensors."""
    return hashed(seed, iteration, Word.PICTURE, sensor)


def paths(seed, iteration, sensor):
    """Of the paths of its gradient, where these are others."""
    return hashed(seed, iteration, Word.PATHS, sensor)


def views(seed, iteration):
    """A generator that chooses the sensors of an iteration."""
    return np.random.default_rng([seed, iteration, Word.VIEWS])


def torch_paths(seed):
    """Of the paths that carry the derivative of a picture of `prb.torch.render` or `prb.jax.render`."""
    return hashed(seed, Word.PATHS)


def objective_paths(seed):
    """Of the paths of `prb grad --target`, whose objective is not linear in the picture."""
    return (seed + PATHS_OFFSET) % SEEDS


def targets(seed):
    """Of the targets that `prb optimize --reference` renders."""
    return (seed + TARGETS_OFFSET) % SEEDS


def initial_values(seed, name):
    """A generator of the values that a parameter of that name starts from, for `--init random`."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def hashed(seed, *key):
    """A seed that is another one for each key of small whole numbers."""
    return int(np.random.SeedSequence([seed, *key]).generate_state(1)[0])
