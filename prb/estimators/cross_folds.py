"""A picture and its gradient from the same samples, without bias: the samples are split into K folds, and
each fold carries the loss gradient at the picture of all others.

The derivative of a loss that is not linear depends on the picture. Taken at the picture of the very paths
along which it is pulled back, it is correlated with them, and the gradient is biased. With x_j the mean of
fold j, x_{-j} that of all others and J_j the derivative of x_j,

    g = sum_j n_j / n  J_j^T loss'(x_{-j})

has no such bias for a squared error, whose derivative is linear in the picture, as folds are independent.
Two folds leave each loss gradient half of the samples, K folds (K - 1) / K of them.

`by_replay` traces each path once for the picture and keeps its vertices for the gradient, as many as the
budget allows; `by_any_method` traces each fold twice, and serves every adjoint method.
"""

from numbers import Real

import numpy as np

from prb.device import runtime
from prb.device.lock import device_lock
from prb.errors import NotFiniteError, ParameterError
from prb.estimators.density import DEFAULT
from prb.estimators.integrate import integrate
from prb.estimators.kept_vertices import KeptVertices
from prb.estimators.recursive_picture import RecursivePicture, leave_one_out
from prb.estimators.settings import fold_bounds, resolved
from prb.estimators.sums import Result, normalised
from prb.kernels.estimators import modes
from prb.kernels.points import INDEPENDENT

KEPT_BUDGET = 256 * 2**20  # bytes
FOLDS = 8  # where there are as many samples
FOLDS_OF_POINTS = 4  # the same where the samples of a fold share points: the more, the better they are


def by_replay(
    scene,
    derivative_of,
    *,
    names,
    spp,
    seed,
    max_depth,
    folds=None,
    kept_budget=KEPT_BUDGET,
    passes=1,
    density=DEFAULT,
    picture=None,
    **options,
) -> Result:
    """The picture of spp samples and the gradient of a loss, by path replay.

    derivative_of: picture -> derivative of the loss by it, both (height, width, 3); called for each fold.
    names: the parameters that are differentiated.
    spp: at least 2. folds: from 2 to spp; None: FOLDS, or spp if that is less.
    kept_budget: bytes that kept vertices may take; where that is not one vertex of each path, none is kept.
    density: as of `integrate`.
    picture: a `RecursivePicture`, which gives the loss gradient a better picture and takes this one up.
    options: rr_depth, values and progress, as for `integrate`.
    Returns a `Result` with the image of all samples, or that better picture. Raises ParameterError.
    """
    settings, folds = checked(scene, spp, seed, max_depth, folds)
    common = dict(spp=settings.spp, seed=seed, max_depth=settings.max_depth, folds=folds, **options)
    with KeptVertices.borrowed(scene, settings.spp, settings.max_depth, kept_budget) as vertices:
        reverse = dict(names=names, passes=passes, density=density, kept=vertices)
        with device_lock:
            if common.get("values") is None:
                common["values"] = scene.values.copy()  # those of the picture, whatever happens meanwhile
            if vertices is None:
                result = integrate(scene, modes.PRIMAL, label="picture", **common)
            else:
                result = integrate(scene, modes.REVERSE, label="picture", **reverse, **common)
            state = runtime.generation(), scene.film.crop_size
            sums = result.folds
            if picture is None:
                image, others = result.image, leave_one_out(sums)
            else:

                def sums_at(before):
                    return _sums_at(before, scene, sums, vertices, reverse, common)

                better = picture.next(scene, settings, common["values"], sums, sums_at)
                image, others = better.image, better.others
        adjoint = np.stack([_derivative(derivative_of, other, j) for j, other in enumerate(others)])
        with device_lock:
            if state != (runtime.generation(), scene.film.crop_size):
                raise ParameterError(
                    "loss: the device or the film's size was changed while it was evaluated; "
                    "do that between calls"
                )
            if vertices is not None:
                vertices.second_sweep()
            found = integrate(
                scene, modes.REVERSE, image_adjoint=adjoint, weights=sums[..., 3].sum(axis=0),
                label="gradient", **reverse, **common,
            )  # fmt: skip
        if picture is not None:
            better.keep()
        return Result(image, found.gradient, rejected=result.rejected, spp=settings.spp)


def _sums_at(before, scene, sums, vertices, reverse, common):
    """The sums of the folds that the same samples have at other values of the parameters.

    The vertices that are kept are shaded again, without tracing rays, where the values only change what
    detached derivatives differentiate, and none has become zero, so that no path ends that went on before.
    Sampling densities are then those of now, in the rest of the cases those of `before`, but for the tables
    of the lights.
    """
    now = common["values"]
    changed = before != now
    if not changed.any():
        return sums
    extinctions = scene.layout.extinctions  # transmittance is kept with the vertices, not shaded again
    fixed = [
        r for name, r in scene.layout.parameters.items()
        if r.orientation or r.moves or r.bends_rays or r.why_not or name in extinctions
    ]  # fmt: skip
    moved = any(record.of(changed).any() for record in fixed)
    common = {**common, "values": before, "label": "picture before"}
    if vertices is None or moved or (changed & (now == 0)).any():
        return integrate(scene, modes.PRIMAL, **common).folds
    return integrate(scene, modes.RESHADED, **reverse, **common).folds


def by_any_method(
    backward, scene, derivative_of, *, names, spp, seed, max_depth, folds=None, **options
) -> Result:
    """As `by_replay`; each fold is traced for its picture and again by `backward` of an adjoint method."""
    settings, folds = checked(scene, spp, seed, max_depth, folds)
    spp, common = settings.spp, dict(seed=seed, max_depth=max_depth, **options)
    picture = integrate(scene, modes.PRIMAL, spp=spp, folds=folds, label="picture", **common)
    total, gradient, rejected = picture.folds.sum(axis=0), 0.0, 0
    weights = np.where(total[..., 3] == 0, np.inf, total[..., 3])
    bounds = fold_bounds(spp, folds)
    for j, own in enumerate(picture.folds):
        first, end = bounds[j], bounds[j + 1]
        adjoint = _derivative(derivative_of, normalised(total - own), j)
        adjoint = adjoint * (own[..., 3] / weights)[..., None]  # `backward` divides by own weights
        with device_lock:
            more = {"first_sample": first} if first else {}
            found = backward(scene, adjoint, names=names, spp=end - first, **common, **more)
        gradient, rejected = gradient + found.gradient, rejected + found.rejected
    return Result(picture.image, gradient, rejected=max(picture.rejected, rejected), spp=spp)


def _derivative(derivative_of, picture, fold):
    try:
        return derivative_of(picture)
    except NotFiniteError as error:
        raise NotFiniteError(f"fold {fold}: {error}") from None


def checked(scene, spp, seed, max_depth, folds):
    """(the settings of a call, its number of folds). Raises ParameterError."""
    settings = resolved(scene, spp=spp, seed=seed, max_depth=max_depth)
    if settings.spp < 2:
        raise ParameterError("spp: 1 sample cannot be split for picture and gradient; take 2 at least")
    if folds is None:
        shared = settings.sampler != INDEPENDENT
        return settings, min(FOLDS_OF_POINTS if shared else FOLDS, settings.spp)
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= settings.spp:
        raise ParameterError(f"folds: {folds!r} is out of range; it goes from 2 to spp, {settings.spp}")
    return settings, int(folds)


def check_picture(picture, method, scene, names):
    """Raise ParameterError unless that is None, or a `RecursivePicture` and the method takes one for these
    parameters."""
    if picture is None:
        return
    if not isinstance(picture, RecursivePicture):
        raise ParameterError(f"picture: expected a prb.RecursivePicture, got {type(picture).__name__}")
    if not method.takes_picture(scene, names):
        used = ", ".join(dict.fromkeys(method.methods(scene, names).values()))
        raise ParameterError(f"picture: {used} does not take one; only ReplayAdjoint() does")


def check_budget(budget):
    """Raise ParameterError unless that is a number of bytes."""
    if isinstance(budget, bool) or not isinstance(budget, Real) or not budget >= 0:
        raise ParameterError(f"hit_budget: {budget!r} is not a number of bytes; 0 keeps nothing")
