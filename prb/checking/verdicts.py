"""The statistics of `prb check`: is a gradient the limit of finite differences? NumPy only, no rendering.

For every component there are n independent seeds; seed s gives a gradient g_s and differences D_{k,s} for
steps h_k, all from the same random numbers. An estimate of the limit h -> 0 is a polynomial through some
consecutive steps, in h^2 for central and in h for one-sided differences (Richardson). Of all such estimates
the one is taken whose standard error, remaining bias and rounding are smallest together. Its paired
differences d_s = g_s - D_s are tested against a mean of at most that bias and rounding, by Student's t, and
the p-values of all components are corrected together (Holm 1979).
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

AGREES, REFUTED, UNDECIDED = "agrees", "refuted", "cannot tell"
ROUNDING = 1e-4  # of a gradient: float32 sums of many terms
CONFIDENCE = 0.95  # of the interval that has to lie within the tolerance
STDERRS_TO_AGREE = 3.6  # that have to fit into the tolerance, so that 19 in 20 right gradients agree
SIZE_FLOOR = 0.05  # of a parameter's largest component: the size that smaller ones are given


@cache
def _gauss_legendre():
    return np.polynomial.legendre.leggauss(96)


def student_tail(t, n):
    """P(T > t) of Student's t with n degrees of freedom, t >= 0.

    With t = sqrt(n) tan(phi) the density is cos(phi)^(n-1), which Gauss-Legendre integrates well.
    """
    if not math.isfinite(t):
        return 0.0
    low = math.atan(t / math.sqrt(n))
    x, w = _gauss_legendre()
    phi = low + (x + 1) / 2 * (math.pi / 2 - low)
    total = math.sqrt(math.pi) * math.exp(math.lgamma(n / 2) - math.lgamma((n + 1) / 2))
    return float((w * np.cos(phi) ** (n - 1)).sum() * (math.pi / 2 - low) / 2 / total)


@cache
def student_quantile(p, n):
    """The t that T exceeds with probability p < 1/2."""
    low, high = 0.0, 1.0
    while student_tail(high, n) > p:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if student_tail(middle, n) > p else (low, middle)
    return high


def holm(p):
    """p-values corrected for their number (Holm, A simple sequentially rejective test procedure, 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    factors = np.arange(len(p), 0, -1)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


@dataclass
class Evidence:
    """The statistics of one component over the seeds.

    gradient, difference: means over the seeds; deviation: gradient - difference, with its stderr.
    slack: how far bias and rounding may shift it. p: the p-value of the deviation, not corrected.
    seeds: how many. size: the number that the tolerance is relative to.
    jumps: the noise of the differences grows as the step shrinks, as it does where paths decide by the
    parameter; unsettled: so does their mean.
    """

    gradient: float
    difference: float
    deviation: float
    stderr: float
    slack: float
    p: float
    seeds: int
    size: float = 0.0
    jumps: bool = False
    unsettled: bool = False


def lagrange(z):
    """Weights of values at z for the polynomial's value at 0."""
    return np.array([np.prod([b / (b - a) for b in z if b != a]) for a in z])


def extrapolations(steps, central):
    """Estimates of the limit, as weights of the differences at the steps (decreasing): pairs (estimate,
    another one of a different order, whose distance from the first bounds the bias of the first)."""
    z = np.asarray(steps, float) ** (2 if central else 1)
    count = len(z)

    def through(i, j):
        weights = np.zeros(count)
        weights[i:j] = lagrange(z[i:j])
        return weights

    found = []
    for i in range(count):
        for j in range(i + 1, count + 1):
            if j - i > 1:
                other = through(i + 1, j)  # without the largest step
            else:
                other = through(i, i + 2) if i + 1 < count else through(i - 1, i + 1)
            found.append((through(i, j), other))
    return found


def weigh(gradients, differences, steps, *, central=True, rounding=0.0):
    """The `Evidence` of one component.

    gradients: (n,). differences: (n, k), of the steps (k,), which decrease. rounding: largest error of an
    objective, absolute.
    """
    gradients, differences = np.asarray(gradients, float), np.asarray(differences, float)
    steps = np.asarray(steps, float)
    n = len(gradients)
    per_step = rounding / steps * (1 if central else 2)
    best = None
    for weights, other in extrapolations(steps, central):
        estimate = differences @ weights
        bias = abs((estimate - differences @ other).mean())
        slack = bias + (np.abs(weights) * per_step).sum()
        stderr = (gradients - estimate).std(ddof=1) / math.sqrt(n)
        if best is None or math.hypot(stderr, slack) < math.hypot(*best[:2]):
            best = stderr, slack, estimate
    stderr, slack, estimate = best
    deviation = float((gradients - estimate).mean())
    slack = float(slack + ROUNDING * abs(gradients.mean()))
    excess = abs(deviation) - slack
    p = 1.0
    if excess > 0:
        p = 2 * student_tail(excess / stderr, n - 1) if stderr > 0 else 0.0
    jumps, unsettled = _shape(gradients, differences, steps, per_step, n)
    return Evidence(float(gradients.mean()), float(estimate.mean()), deviation, float(stderr), slack, p, n,
                    jumps=jumps, unsettled=unsettled)  # fmt: skip


def _shape(gradients, differences, steps, per_step, n):
    """(noise grows as the step shrinks, the mean does not settle)."""
    noise = (gradients[:, None] - differences).std(axis=0, ddof=1)
    size = np.abs(differences.mean(axis=0)).max()
    growth = 1 + 0.5 * (steps[0] / steps[-1] - 1)  # of the variance: half of what a jump would give
    noticeable = noise[-1] > max(4 * per_step[-1], 1e-3 * size)
    jumps = noticeable and noise[-1] ** 2 > growth * noise[0] ** 2
    unsettled = False
    if len(steps) > 2:
        moves = differences[:, :-1] - differences[:, 1:]
        moves *= np.where(moves.mean(axis=0) < 0, -1, 1)
        more = moves[:, -1] - moves[:, 0]  # where the difference settles, the last move is the smallest
        stderr = more.std(ddof=1) / math.sqrt(n)
        limit = student_quantile(1e-4, n - 1) * stderr + 4 * per_step[-1] + 1e-2 * size
        unsettled = more.mean() > limit
    return bool(jumps), bool(unsettled)


def judge(evidences, *, significance, tolerance, refutable=None):
    """Verdicts on all components together: [(verdict, corrected p)].

    refutable: for each, whether it may be refuted at all (None: all).
    """
    if not evidences:
        return []
    corrected = holm([e.p for e in evidences])
    verdicts = []
    for i, (e, p) in enumerate(zip(evidences, corrected, strict=True)):
        if p < significance and (refutable is None or refutable[i]):
            verdicts.append((REFUTED, float(p)))
            continue
        bound = abs(e.deviation) + student_quantile((1 - CONFIDENCE) / 2, e.seeds - 1) * e.stderr
        within = bound <= tolerance * e.size
        verdicts.append((AGREES if within else UNDECIDED, float(p)))
    return verdicts


def seeds_needed(e, tolerance):
    """Seeds with which a right gradient would be found to agree, or None: no number of them would."""
    margin = tolerance * e.size - min(e.slack, abs(e.deviation))
    if margin <= 0 or e.stderr <= 0:
        return None
    return max(e.seeds + 1, math.ceil(e.seeds * (STDERRS_TO_AGREE * e.stderr / margin) ** 2))
