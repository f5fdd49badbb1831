"""A picture and its gradient from the same samples, without bias: each half of the samples carries the loss
gradient of the other.

The derivative of a loss that is not linear depends on the picture. Taken at the picture of the very paths
that it is pulled back along, it is correlated with them, and the gradient is biased. The two halves are
independent, and the derivative of a squared error is linear in the picture, so what crosses over has no bias.

Picture and gradient have the same paths, so their vertices are kept in between, as many as there is room for.
"""

from numbers import Real

import numpy as np

from prb.errors import ParameterError
from prb.estimators.integrate import Hits, Result, check_samples, first_half, integrate
from prb.kernels.estimators import modes

HIT_BUDGET = 256 * 2**20  # bytes


def estimate(scene, adjoint_of, names, *, spp=None, seed=0, max_depth=None, hit_budget=HIT_BUDGET):
    """The picture of spp samples and the gradient of a loss, from one set of samples. Returns a `Result`.

    adjoint_of: picture -> derivative of the loss by it, both (height, width, 3); called with that of each
        half. names: the parameters that are differentiated.
    spp: 2 at least; of an odd number one half has one more. hit_budget: bytes that kept hits may take.
    The result's image is that of all samples, its gradient one number for each of the scene's parameters.
    Raises ParameterError.
    """
    spp = scene.sensor.sample_count if spp is None else spp
    max_depth = scene.model.integrator.max_depth if max_depth is None else max_depth
    check_samples(spp, seed, max_depth)
    if spp < 2:
        raise ParameterError("spp: 1 sample cannot be halved for picture and gradient; take 2 at least")
    if isinstance(hit_budget, bool) or not isinstance(hit_budget, Real) or not hit_budget >= 0:
        raise ParameterError(f"hit_budget: {hit_budget!r} is not a number of bytes; 0 keeps nothing")
    common = dict(seed=seed, max_depth=max_depth, names=names)
    hits = Hits.of(scene, spp, max_depth, hit_budget)
    if hits is not None:
        result = integrate(scene, modes.REVERSE, spp=spp, hits=hits, **common)
        hits.second_sweep()
        adjoint = np.stack([adjoint_of(picture) for picture in result.halves[::-1]])
        reverse = integrate(scene, modes.REVERSE, spp=spp, hits=hits, image_adjoint=adjoint, **common)
        return Result(result.image, reverse.gradient, rejected=result.rejected)
    first = first_half(spp)
    halves = [dict(spp=first, first_sample=0), dict(spp=spp - first, first_sample=first)]
    pictures = [integrate(scene, modes.PRIMAL, **common, **half) for half in halves]
    image, gradient = 0.0, 0.0
    for half, own, other in zip(halves, pictures, pictures[::-1], strict=True):
        share = half["spp"] / spp
        image = image + share * own.image
        adjoint = adjoint_of(other.image)
        reverse = integrate(scene, modes.REVERSE, image_adjoint=adjoint, **common, **half)
        gradient = gradient + share * reverse.gradient
    return Result(image, gradient, rejected=sum(picture.rejected for picture in pictures))
