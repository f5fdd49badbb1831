"""Samples until the standard errors of a gradient are small enough: `sample_to_tolerance`, which `prb grad
--tolerance` calls."""

import functools
import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

from prb.errors import ParameterError
from prb.estimators.batches import batch_results, doubling_draws, running_results
from prb.estimators.checked import backward, viewed
from prb.estimators.gradients import estimates
from prb.estimators.registry import method_of, selected
from prb.estimators.settings import MAX_SPP, resolved
from prb.io.progress import bar as progress_bar

FLOOR = 1e-3  # of a parameter's largest component: the size that smaller ones are given
MAX_SAMPLES = 65536
RELIABLE_ERROR = 0.25  # relative error of a component up to which its forecast is used
FORECAST_LIMIT = 4.0  # times max_spp: a larger forecast ends the loop


@dataclass(frozen=True)
class ToleranceResult:
    """What `sample_to_tolerance` found.

    gradients: name -> `Estimate`. gradient, variance: the same of all parameters, flat. image: (height,
    width, 3), the mean of the same paths. spp: samples taken.
    error: the largest relative standard error of a component. why_not: None where that is at most the
    tolerance, else one line that names the component and what it would take.
    """

    gradients: dict
    gradient: np.ndarray
    variance: np.ndarray
    image: np.ndarray
    spp: int
    error: float
    why_not: str | None = None

    @property
    def finite_error(self):
        """The error, or None where it is infinite, as JSON takes it."""
        return self.error if math.isfinite(self.error) else None


def sample_to_tolerance(
    scene,
    grad_image,
    params=None,
    *,
    tolerance=0.02,
    max_spp=MAX_SAMPLES,
    spp=None,
    seed=0,
    sensor=None,
    max_depth=None,
    adjoint=None,
    deterministic=False,
    progress=False,
):
    """J^T grad_image, as `prb.render_backward` finds it, with samples until all standard errors are small.

    tolerance: the standard error of each component over its size, at most. Components smaller than FLOOR
        times the largest of their parameter count as that large; texels that no path met have error zero.
    max_spp: samples per pixel at most. spp: of the first batch, by default the scene's; each further batch
        takes as many as all before it, so the number doubles. It ends early where the forecast is several
        times max_spp.
    adjoint: a method that has standard errors, by default `ReplayAdjoint()`.
    grad_image, params, seed, sensor, max_depth, deterministic: as for `prb.render_backward`.
    progress: a bar on standard error, if that is a terminal, with the error so far.

    Returns a `ToleranceResult`. Its gradients equal those of one call with as many samples, up to rounding
    and, unless the filter is a box, up to how samples are normalised; memory depends neither on the tolerance
    nor on the samples. A standard error is itself an estimate: where rare paths carry much of the gradient,
    one from few samples is too small.
    Raises ParameterError and ImageError.
    """
    scene, method = viewed(scene, sensor), method_of(adjoint)
    check_tolerance(tolerance)
    spp = resolved(scene, spp=spp, seed=seed, max_depth=max_depth).spp
    check_budget(max_spp, spp)
    names = selected(scene, params, method)
    estimate = functools.partial(
        backward, scene, grad_image, method, max_depth=max_depth, names=names, stderr=True,
        deterministic=deterministic,
    )  # fmt: skip
    done = 0
    with progress_bar(progress, total=max_spp, desc="gradient", unit="spp") as bar:
        for total in running_results(
            batch_results(estimate, doubling_draws(spp=spp, seed=seed, max_spp=max_spp))
        ):
            gradients = estimates(scene, total, names)
            error, worst = largest_error(gradients)
            needed = _needed(error, tolerance, total.spp)
            bar.total = max(min(needed, max_spp), total.spp)
            bar.set_postfix_str(f"error {100 * error:.2g} %", refresh=False)
            bar.update(total.spp - done)
            done = total.spp
            hopeless = error <= RELIABLE_ERROR and needed > FORECAST_LIMIT * max_spp
            if error <= tolerance or hopeless or not math.isfinite(error):
                break
    why_not = None
    if not error <= tolerance:
        sized = f"{100 * error:.3g} % after {total.spp} samples" if error < math.inf else "not known"
        about = f"about {needed}" if needed < MAX_SPP else f"more than {MAX_SPP}"
        why_not = (
            f"{worst}: its standard error is {sized}; {100 * tolerance:.3g} % would take {about} samples per "
            f"pixel and the limit is {max_spp}"
        )
    return ToleranceResult(gradients, total.gradient, total.variance, total.image, total.spp, error, why_not)


def check_tolerance(tolerance):
    """Raise ParameterError unless it is a finite number above zero."""
    number = isinstance(tolerance, Real) and not isinstance(tolerance, bool)
    if not (number and 0 < tolerance < math.inf):
        raise ParameterError(
            f"tolerance: {tolerance!r} is out of range; it is a number above 0, such as 0.02 for 2 %"
        )


def check_budget(max_spp, spp):
    """Raise ParameterError unless the first batch has two samples at least and fits."""
    if spp < 2:
        raise ParameterError(f"spp: {spp} sample has no standard error; take 2 at least")
    if isinstance(max_spp, bool) or not isinstance(max_spp, (int, np.integer)):
        raise ParameterError(f"max_spp: expected a whole number, got {max_spp!r}")
    if not spp <= max_spp <= MAX_SPP:
        raise ParameterError(f"max_spp: {max_spp} is out of range; it goes from spp, {spp}, to {MAX_SPP}")


def relative_error(estimate):
    """The standard error of each component over its size, or over FLOOR times the largest component's."""
    size = np.abs(estimate.value)
    size = np.maximum(size, FLOOR * size.max(initial=0))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(estimate.stderr == 0, 0.0, estimate.stderr / size)
    return np.where(np.isnan(found), np.inf, found)


def largest_error(gradients):
    """(the largest relative standard error, the component's name) of a dict name -> `Estimate`."""
    worst = (-1.0, "")
    for name, estimate in gradients.items():
        errors = relative_error(estimate)
        if errors.size:
            index = np.unravel_index(np.argmax(errors), errors.shape)
            place = f"[{', '.join(map(str, index))}]" if index else ""
            worst = max(worst, (float(errors[index]), f"{name}{place}"), key=lambda entry: entry[0])
    return max(worst[0], 0.0), worst[1]


def _needed(error, tolerance, spp):
    """Samples that would bring the error down to the tolerance: it falls with their square root."""
    needed = spp * (error / tolerance) ** 2
    return math.ceil(needed) if needed < MAX_SPP else MAX_SPP
