"""Standard errors of recovered numbers, from the last iterations' values and gradients.

Near a minimum theta* of a loss, the gradient that an iteration finds for a number theta is

    g_k = h (theta_k - theta*) + xi_k,

with the curvature h and noise xi_k that is independent from one iteration to the next. The regression of g on
theta gives h, over the last half of the iterations or, where the slope is not significant there, over more of
them; theta* is where the line through the means of the last half crosses zero, and the variance of xi that
about the line. A recovered value is one of the last iterates, which the optimiser's steps keep moving about
theta*, so its squared standard error is the sum of

- the mean squared distance of the last quarter of the iterates from theta*,
- the variance of theta* so found (inverse prediction, to first order),
- where the target was rendered, too, the variance by which its noise shifts theta*: that of xi / h times the
  ratio of the samples. It is an upper estimate, as xi contains noise of the derivative as well.

What it is not: it knows nothing of the error of the model (geometry, lights, a photograph's own noise and
response), of other minima, or of other parameters that move along: the curvature is that along one number
alone, so for numbers that can stand in for each other it says too little. Where the gradient does not
significantly rise with the value (t below MIN_T), where there were too few iterations, and at the end of a
range, it is nan.
"""

import numpy as np

MIN_ITERATIONS = 20
MIN_T = 4.0  # standard errors of the slope that it has to be above zero


def of_history(history, values, ranges, *, target_share=0.0):
    """name -> the standard errors of the values, for the parameters whose numbers the history has one by one.

    values: name -> array, as recovered. ranges: name -> (low, high). target_share: as for `standard_errors`.
    """
    found = {}
    for name, trace, gradients in history.single():
        errors = standard_errors(trace, gradients, target_share=target_share).reshape(values[name].shape)
        low, high = ranges[name]
        found[name] = np.where((values[name] > low) & (values[name] < high), errors, np.nan)
    return found


def standard_errors(values, gradients, *, target_share=0.0):
    """The standard error of each number, nan where it cannot be estimated.

    values, gradients: (iterations, numbers), of all iterations. target_share: the variance of the target's
    noise over that of an iteration's pictures, both averaged over the views.
    """
    values, gradients = np.asarray(values, float), np.asarray(gradients, float)
    iterations, numbers = values.shape
    if iterations < MIN_ITERATIONS:
        return np.full(numbers, np.nan)
    last = max(MIN_ITERATIONS, iterations // 2)
    x, y = values[-last:], gradients[-last:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        slope, of_slope = _slopes(values, gradients, last)
        of_newton = (y - slope * x).var(axis=0, ddof=1) / slope**2
        distance = y.mean(axis=0) / slope
        root = x.mean(axis=0) - distance
        of_root = of_newton / last + distance**2 * of_slope / slope**2
        wander = ((x[-(last // 2) :] - root) ** 2).mean(axis=0)
        found = np.sqrt(wander + of_root + target_share * of_newton)
    return np.where(np.isfinite(found), found, np.nan)


def _slopes(values, gradients, last):
    """The slope of gradient over value of each number, from the last half of the iterations, or from so many
    more of them that it is significant; and its variance. nan where it never is."""
    iterations, numbers = values.shape
    found, variance = np.full((2, numbers), np.nan)
    for window in (last, (last + iterations) // 2, iterations):
        x, y = (a[-window:] - a[-window:].mean(axis=0) for a in (values, gradients))
        spread = (x**2).sum(axis=0)
        slope = (x * y).sum(axis=0) / spread
        of_slope = ((y - slope * x) ** 2).sum(axis=0) / (window - 2) / spread
        take = np.isnan(found) & (slope > 0) & (slope >= MIN_T * np.sqrt(of_slope))
        found[take], variance[take] = slope[take], of_slope[take]
    return found, variance
