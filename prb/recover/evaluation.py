"""One view's part of an iteration: its loss, the gradient, and the noise floor of the loss.

The noise floor is what would be left of the loss if the parameters were the true ones: the expected loss of a
picture that differs from the target by the Monte Carlo noise of both alone. Let e be a picture with mean zero
and the variance of the iteration's picture; the floor is then estimated as

    loss(target + e sqrt(1 + spp / target_spp)),

where the root stands for the noise of a target that was itself rendered, with `target_spp` samples. e is half
the difference of the pictures of two halves of the samples. For losses that are quadratic in the picture the
estimate has no bias, and loss - floor without the target's share is the product of the two halves' residuals,

    ((A + B) / 2 - T)^2 - ((A - B) / 2)^2 = (A - T) (B - T).

e is symmetric, so for other losses the estimate is as good as the noise is symmetric.
"""

from typing import NamedTuple

import numpy as np

from prb.api import render, render_backward, value_and_grad
from prb.estimators.checked import check_memory, report_rejected
from prb.estimators.integrate import integrate
from prb.estimators.settings import fold_bounds, resolved
from prb.kernels.estimators import modes
from prb.losses import derivative_of, value_of


class Evaluation(NamedTuple):
    """value: the loss of a picture. grads: name -> its derivative. floor: an estimate of what noise alone
    leaves of the loss; nan where there is none."""

    value: float
    grads: dict
    floor: float


def evaluated(
    view, names, loss, seeds, *, spp, spp_grad, max_depth, adjoint, hit_budget, folds=None, target=None,
    target_spp=None, picture=None,
):  # fmt: skip
    """The `Evaluation` of a view's loss.

    seeds: of the picture, and of the gradient's own paths where spp_grad is given. target: the picture to
        which noise is added for the floor; None: the floor is left out. target_spp: its samples per pixel;
        None: it has no noise. picture: the view's `RecursivePicture`, or None.
    The others: as of `prb.optimize`. Raises the errors of `prb.value_and_grad`.
    """
    of_picture, of_paths = seeds
    samples = resolved(view, spp=spp).spp
    options = dict(max_depth=max_depth, adjoint=adjoint)
    if spp_grad is None:
        seen = _Recorded(loss)
        value, grads, image = value_and_grad(
            view, names, loss if target is None else seen, spp=spp, seed=of_picture, hit_budget=hit_budget,
            folds=folds, picture=picture, **options,
        )  # fmt: skip
        parts = [part for part in seen.pictures if part is not image]
    else:
        halved = target is not None and samples > 1
        parts, image = _halves(view, samples, of_picture, max_depth) if halved else ([], None)
        if image is None:
            image = render(view, spp=spp, seed=of_picture, max_depth=max_depth).astype(np.float64)
        value, by_image = value_of(loss, image), derivative_of(loss, image)
        grads = render_backward(view, by_image, names, spp=spp_grad, seed=of_paths, **options)
    if target is None or len(parts) < 2:
        return Evaluation(value, grads, np.nan)
    scale = 1.0 if target_spp is None else np.sqrt(1 + samples / target_spp)
    if picture is None:
        noise = noise_of_mean(parts, image, samples)
    else:
        noise = _signed(picture.stderr)
    noise = scale * noise
    return Evaluation(value, grads, float(loss(target + noise)[0]))


def noise_of_mean(parts, image, spp):
    """A picture of mean zero that has, at each pixel, the variance of the mean of all samples.

    parts: K >= 2 pictures, each of all samples but those of one of the K folds of `fold_bounds`; for K = 2
        those are the two halves. image: the mean of all spp samples.

    It is the sum of parts - image with alternating signs, over the root v of its variance in units of that of
    the mean. With w_j the share of fold j in the samples, m the mean of all and f_j that of the fold,
    parts_j - m = a_j (m - f_j) for a_j = w_j / (1 - w_j); and the covariance of f_j - m and f_k - m is
    delta_jk / w_j - 1 in that unit.
    """
    folds = len(parts)
    signs = np.where(np.arange(folds) % 2 == 0, 1.0, -1.0)
    shares = np.diff(fold_bounds(spp, folds)) / spp
    a = signs * shares / (1 - shares)
    variance = (a**2 / shares).sum() - a.sum() ** 2
    found = -signs.sum() * image
    for sign, part in zip(signs, parts, strict=True):
        found += sign * part
    return found / np.sqrt(variance)


def _signed(stderr):
    """A picture of mean zero with these standard errors, always the same signs. A recursive picture has noise
    from earlier iterations, which the folds of this one do not show."""
    return stderr * np.random.default_rng(0).choice([-1.0, 1.0], stderr.shape)


class _Recorded:
    """A loss that keeps the pictures it is called with: those of the folds, and that of all samples."""

    def __init__(self, loss):
        self._loss = loss
        self.pictures = []

    def __call__(self, image):
        self.pictures.append(image)
        return self._loss(image)


def _halves(view, spp, seed, max_depth):
    """The pictures of two halves of the samples, and that of all."""
    check_memory(view, modes.PRIMAL)
    first = spp - spp // 2
    common = dict(seed=seed, max_depth=max_depth)
    one = integrate(view, modes.PRIMAL, spp=first, **common)
    other = integrate(view, modes.PRIMAL, spp=spp - first, first_sample=first, **common)
    both = one.merge(other)
    report_rejected(both)
    return [one.image, other.image], both.image
