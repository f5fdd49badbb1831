"""What loop_against_mitsuba.py computes of its samples, with NumPy and SciPy only.

A parameter of several numbers (a colour, texels) counts as one: its variance is the sum of the variances of
its numbers, the trace of their covariance. Of n samples only their Gram matrix (n, n) is kept, from which the
variance of any resample follows: texels would be too many to resample.
"""

import numpy as np
from scipy import stats

RESAMPLES = 2000
LEVEL = 0.95  # of the confidence intervals
BLOCKS = 4  # of each side of an image, whose means are compared as sums over blocks


class Samples:
    """Independent samples of one parameter's gradient, or of a picture. samples: (n, ...), n at least 2."""

    def __init__(self, samples):
        samples = np.asarray(samples, float)
        flat = samples.reshape(len(samples), -1)
        self.count = len(flat)
        self.mean = samples.mean(axis=0)
        centred = flat - flat.mean(axis=0)
        self.gram = centred @ centred.T
        self.groups = groups(samples)

    def variance(self, resample=None):
        """The sum of the variances of the numbers. resample: how often each sample is taken, (..., n)."""
        counts = np.ones(self.count) if resample is None else np.asarray(resample, float)
        total = counts.sum(axis=-1)
        squares = counts @ np.diag(self.gram)
        of_mean = np.einsum("...i,ij,...j->...", counts, self.gram, counts) / total
        return (squares - of_mean) / (total - 1)


def groups(samples):
    """The numbers of each sample whose means are compared: all of a few; of an image (n, height, width,
    channels), the sums over its blocks. Returns (n, numbers)."""
    samples = np.asarray(samples, float)
    if samples.ndim < 4:
        return samples.reshape(len(samples), -1)
    rows = np.array_split(samples, BLOCKS, axis=1)
    blocks = [block.sum(axis=(1, 2)) for row in rows for block in np.array_split(row, BLOCKS, axis=2)]
    return np.concatenate(blocks, axis=1)


def z_values(a, b):
    """How far the means of two `Samples` are apart, for each group of numbers: the normal deviate, without
    its sign, that is as unlikely as Welch's t. 0 where none varies."""
    varies = np.ptp(np.concatenate([a.groups, b.groups]), axis=0) > 0
    z = np.zeros(varies.shape)
    p = stats.ttest_ind(a.groups[:, varies], b.groups[:, varies], equal_var=False).pvalue
    z[varies] = stats.norm.isf(p / 2)
    return z


def largest_z(count, level=0.01):
    """A limit that the largest of `count` normal deviates exceeds with probability `level`."""
    return float(stats.norm.isf(level / (2 * count)))


def geometric_mean(ratios):
    """Of an array over its first axis."""
    return np.exp(np.mean(np.log(ratios), axis=0))


def interval(values):
    """The central interval of bootstrapped values that has probability `LEVEL`: [low, high]."""
    tail = 50 * (1 - LEVEL)
    return np.percentile(values, [tail, 100 - tail]).tolist()


def resamples(count, generator):
    """Numbers of samples drawn with replacement, (`RESAMPLES`, count); in no row are all the same, as a
    variance needs two."""
    drawn = generator.integers(0, count, (RESAMPLES, count))
    while (same := (drawn == drawn[:, :1]).all(axis=1)).any():
        drawn[same] = generator.integers(0, count, (same.sum(), count))
    return drawn


class Efficiency:
    """Mitsuba's variance x time over prb's, for each parameter of one case: above 1, prb is ahead.

    samples: side -> name -> `Samples`, of the sides `mitsuba` and `prb`. seconds: side -> of each sample.
    Times are medians, which other work on the machine hardly changes. A resample takes the same samples for
    all parameters and for the time, as they belong together.
    """

    def __init__(self, samples, seconds, *, seed=0):
        generator = np.random.default_rng(seed)
        counts, times = {}, {}
        for side, of_side in seconds.items():
            of_side = np.asarray(of_side, float)
            drawn = resamples(len(of_side), generator)
            times[side] = np.median(of_side), np.median(of_side[drawn], axis=1)
            counts[side] = np.stack([np.bincount(row, minlength=len(of_side)) for row in drawn])
        self.time = times["mitsuba"][0] / times["prb"][0]
        resampled_time = times["mitsuba"][1] / times["prb"][1]
        self.variance, self.ratio, self.resampled = {}, {}, {}
        for name, own in samples["prb"].items():
            other = samples["mitsuba"][name]
            self.variance[name] = other.variance() / own.variance()
            self.ratio[name] = self.variance[name] * self.time
            resampled = other.variance(counts["mitsuba"]) / own.variance(counts["prb"])
            self.resampled[name] = resampled * resampled_time

    def geometric_mean(self):
        """(of the parameters, of those of each resample)"""
        return tuple(geometric_mean(np.array(list(r.values()))) for r in (self.ratio, self.resampled))


def medians_at(curves, times):
    """The medians over runs of errors at given times.

    curves: runs, each [(seconds, name -> error)] in the order of time. The error at a time is that of the
    last iteration that was complete. Returns name -> array, one number for each time.
    """
    found = {}
    for name in curves[0][0][1]:
        errors = [
            [[e[name] for seconds, e in curve if seconds <= time][-1] for time in times] for curve in curves
        ]
        found[name] = np.median(errors, axis=0)
    return found
