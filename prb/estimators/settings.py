"""The numbers that every estimator takes: checked, and where they are left out taken from the scene."""

from dataclasses import dataclass

import numpy as np

from prb.errors import ParameterError
from prb.kernels.points import INDEPENDENT

UNLIMITED = 2**30  # of depths: no path is that long
MAX_SPP = 2**30
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class Settings:
    """Which paths are traced, and how far.

    spp: samples of each pixel, from number `first_sample` on. seed: of their random numbers. max_depth: path
    edges at most, -1 for no limit. rr_depth: vertices before Russian roulette begins. sampler: the kind of
    random numbers, of kernels/points. parts: of the samples, each with points of its own.
    """

    spp: int
    seed: int
    max_depth: int
    rr_depth: int
    first_sample: int = 0
    sampler: str = INDEPENDENT
    parts: int = 1


def resolved(
    scene, *, spp=None, seed=0, max_depth=None, rr_depth=None, first_sample=0, suffix=""
) -> Settings:
    """The settings of a call: what is None comes from the scene's sampler and integrator.

    suffix: of the names of spp and seed in messages. Raises ParameterError unless all are usable.
    """
    integrator = scene.model.integrator
    spp = scene.sensor.sample_count if spp is None else spp
    max_depth = integrator.max_depth if max_depth is None else max_depth
    rr_depth = integrator.rr_depth if rr_depth is None else rr_depth
    check_samples(spp, seed, max_depth, suffix)
    return Settings(spp, seed, max_depth, rr_depth, first_sample, scene.sampler)


def check_samples(spp, seed, max_depth, suffix=""):
    """Raise ParameterError unless all three are usable. suffix: of the first two's names in the message."""
    for name, x, low, high in (
        (f"spp{suffix}", spp, 1, MAX_SPP),
        (f"seed{suffix}", seed, 0, MAX_SEED),
        ("max_depth", max_depth, -1, UNLIMITED),
    ):
        if isinstance(x, bool) or not isinstance(x, (int, np.integer)):
            raise ParameterError(f"{name}: expected a whole number, got {x!r}")
        if not low <= x <= high:
            raise ParameterError(f"{name}: {x} is out of range; it goes from {low} to {high}")


def fold_bounds(spp, folds):
    """Where each part of the samples begins, and where the last one ends, as kernels/estimators/film.py has
    it: folds + 1 numbers."""
    return [fold * spp // folds for fold in range(folds + 1)]


def check_passes(passes, spp):
    """Raise ParameterError unless the samples can be split that way."""
    if isinstance(passes, bool) or not isinstance(passes, int) or not 1 <= passes <= spp:
        raise ParameterError(f"passes: {passes!r} is out of range; it goes from 1 to spp, {spp}")
