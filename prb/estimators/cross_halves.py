"""A picture and its gradient from the same samples, without bias: each half of the samples carries the loss
gradient of the other.

The derivative of a loss that is not linear depends on the picture. Taken at the picture of the very paths
along which it is pulled back, it is correlated with them, and the gradient is biased. The two halves are
independent, and the derivative of a squared error is linear in the picture, so what crosses over has no bias.

Picture and gradient have the same paths: `with_kept_vertices` keeps their vertices in between, as many as the
budget allows; `with_traced_halves` keeps none and works for any adjoint method.
"""

from numbers import Real

import numpy as np

from prb.device import runtime
from prb.device.lock import device_lock
from prb.errors import ParameterError
from prb.estimators.integrate import integrate
from prb.estimators.kept_vertices import KeptVertices
from prb.estimators.settings import resolved
from prb.estimators.sums import Result, first_half
from prb.kernels.estimators import modes

KEPT_BUDGET = 256 * 2**20  # bytes


def with_kept_vertices(
    scene, derivative_of, *, names, spp, seed, max_depth, kept_budget, passes=1, **options
) -> Result | None:
    """The picture of spp samples and the gradient of a loss, by path replay with kept vertices.

    derivative_of: picture -> derivative of the loss by it, both (height, width, 3); called with that of each
        half. names: the parameters that are differentiated.
    spp: at least 2; if it is odd, the first half has one sample more.
    kept_budget: bytes that kept vertices may take.
    options: rr_depth, values and progress, as for `integrate`.
    Returns a `Result` with the image of all samples, or None where not even one vertex of each path can be
    kept. Raises ParameterError.
    """
    settings = _checked(scene, spp, seed, max_depth)
    common = dict(spp=settings.spp, seed=seed, max_depth=settings.max_depth, names=names, passes=passes)
    common |= options
    with KeptVertices.borrowed(scene, settings.spp, settings.max_depth, kept_budget) as vertices:
        if vertices is None:
            return None
        with device_lock:
            if common.get("values") is None:
                common["values"] = scene.values.copy()  # those of the picture, whatever happens meanwhile
            result = integrate(scene, modes.REVERSE, kept=vertices, label="picture", **common)
            state = runtime.generation(), scene.film.crop_size
        vertices.second_sweep()
        adjoint = np.stack([derivative_of(picture) for picture in result.halves[::-1]])
        with device_lock:
            if state != (runtime.generation(), scene.film.crop_size):
                raise ParameterError(
                    "loss: the device or the film's size was changed while it was evaluated; "
                    "do that between calls"
                )
            reverse = integrate(
                scene, modes.REVERSE, kept=vertices, image_adjoint=adjoint, label="gradient", **common
            )
        return Result(result.image, reverse.gradient, rejected=result.rejected, spp=settings.spp)


def with_traced_halves(backward, scene, derivative_of, *, names, spp, seed, max_depth, **options):
    """As `with_kept_vertices`, but each half is traced once for its picture and again by `backward` of any
    adjoint method."""
    settings = _checked(scene, spp, seed, max_depth)
    spp, first = settings.spp, first_half(settings.spp)
    halves = [dict(spp=first), dict(spp=spp - first, first_sample=first)]
    common = dict(seed=seed, max_depth=settings.max_depth, **options)
    pictures = [integrate(scene, modes.PRIMAL, label="picture", **common, **half) for half in halves]
    image, gradient = 0.0, 0.0
    for half, own, other in zip(halves, pictures, pictures[::-1], strict=True):
        weight = half["spp"] / spp
        image = image + weight * own.image
        adjoint = derivative_of(other.image)
        with device_lock:
            reverse = backward(scene, adjoint, names=names, **common, **half)
        gradient = gradient + weight * reverse.gradient
    rejected = sum(picture.rejected for picture in pictures)
    return Result(image, gradient, rejected=rejected, spp=spp)


def _checked(scene, spp, seed, max_depth):
    settings = resolved(scene, spp=spp, seed=seed, max_depth=max_depth)
    if settings.spp < 2:
        raise ParameterError("spp: 1 sample cannot be halved for picture and gradient; take 2 at least")
    return settings


def check_budget(budget):
    """Raise ParameterError unless that is a number of bytes."""
    if isinstance(budget, bool) or not isinstance(budget, Real) or not budget >= 0:
        raise ParameterError(f"hit_budget: {budget!r} is not a number of bytes; 0 keeps nothing")
