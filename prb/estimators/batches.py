"""Estimation as a generator of batches: a stopping rule is a loop over it.

    draws = doubling_draws(spp=16, seed=0, max_spp=1024)
    for result in running_results(batch_results(estimate, draws)):
        if result is good enough: break

`estimate` is any function of spp, seed and first_sample that returns a `Result`: an adjoint method's
`backward` or `integrate` with its other arguments bound.
"""

from typing import NamedTuple


class Draw(NamedTuple):
    """Which samples of each pixel a batch takes."""

    spp: int
    seed: int
    first_sample: int = 0


def doubling_draws(*, spp, seed, max_spp):
    """Consecutive samples: spp first, then as many as all before, until there are max_spp."""
    done = 0
    while done < max_spp:
        batch = min(done or spp, max_spp - done)
        batch += max_spp - done - batch == 1  # one sample alone has no standard error
        yield Draw(batch, seed, done)
        done += batch


def seed_draws(*, spp, seeds):
    """Batches of spp samples for each of the seeds."""
    for seed in seeds:
        yield Draw(spp, seed)


def batch_results(estimate, draws):
    """The `Result` of each draw, one after the other. A first_sample of 0 is not passed on, as a method
    need not take it."""
    for draw in draws:
        more = {"first_sample": draw.first_sample} if draw.first_sample else {}
        yield estimate(spp=draw.spp, seed=draw.seed, **more)


def running_results(results):
    """The `Result` of all batches so far, after each of them."""
    total = None
    for result in results:
        total = result if total is None else total.merge(result)
        yield total
