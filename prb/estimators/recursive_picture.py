"""A picture that gains from those of earlier iterations: recursive control variates (Nicolet, Rousselle,
Novak, Keller, Jakob, Mueller, Recursive Control Variates for Inverse Rendering, SIGGRAPH 2023).

In an optimisation the picture changes little from one iteration to the next. With x_k the picture at the
values of iteration k, x'_k that at the values before, from the same random numbers, and y_{k-1} the estimate
before,

    y_k = x_k + alpha (y_{k-1} - x'_k)          alpha = cov(x, x') / (v_{k-1} + var(x'))
    v_k = var(x) - 2 alpha cov(x, x') + alpha^2 (v_{k-1} + var(x'))

where v is the variance of y. If x and x' were perfectly correlated, 1/v_k would be 1/v_{k-1} + 1/var(x): all
samples so far count. Variances and covariances are found by the jackknife over the folds of the samples, for
each pixel and channel, and averaged over pixels around it, but not those whose samples may be its own. So
alpha is independent of what it multiplies, and of the samples of the pixel that carry the loss gradient: for
values that are given, y has no bias beyond that of x, nor has the gradient of a squared error.
"""

import hashlib
import weakref
from dataclasses import dataclass

import numpy as np

from prb.device.camera import camera_buffer
from prb.device.film import reach
from prb.errors import ParameterError
from prb.estimators.reconstruction import normalised

WINDOW = 8  # pixels on each side over which variances are averaged
LARGEST = 1 - 1e-3  # of alpha: nothing is remembered for ever


@dataclass(frozen=True)
class _State:
    """What is known after an iteration. estimate, variance: (height, width, 3) float64. values: the scene's.
    subject: a hash of all else that the picture depends on. seed: of the last samples."""

    estimate: np.ndarray
    variance: np.ndarray
    values: np.ndarray
    subject: str
    seed: int


class RecursivePicture:
    """The estimate of one view's picture that `prb.value_and_grad(..., picture=)` carries from call to call.

    Make one for each view of an optimisation and give it to each of its calls, with another seed each time.
    It starts anew by itself if camera, film, `max_depth` or scene are others than before, and forgets what
    it knows as far as the picture has changed; a change of the loss does not matter to it. It holds two
    images.
    """

    def __init__(self):
        self._state = None
        self._layout = None

    @property
    def image(self):
        """The estimate of the last call, (height, width, 3) float64; None before the first."""
        return None if self._state is None else self._state.estimate

    @property
    def stderr(self):
        """Its standard errors, averaged over pixels nearby; None before the first call."""
        return None if self._state is None else np.sqrt(self._state.variance)

    def restart(self):
        """Forget all earlier pictures."""
        self._state = None

    def state_dict(self):
        """The state as arrays by name, for a checkpoint, which are not to be changed; empty before the first
        call."""
        return {} if self._state is None else {key: np.asarray(x) for key, x in vars(self._state).items()}

    def load_state_dict(self, arrays):
        """Go on from a state that `state_dict` returned. Raises ParameterError for anything else."""
        try:
            self._layout = None
            self._state = None
            if arrays:
                fields = {key: np.array(arrays[key]) for key in _State.__dataclass_fields__}
                fields |= {"subject": str(fields["subject"]), "seed": int(fields["seed"])}
                self._state = _State(**fields)
        except (KeyError, TypeError, ValueError):
            raise ParameterError("picture: is no state of a prb.RecursivePicture; restart it") from None

    def next(self, scene, settings, values, sums, sums_at):
        """The better picture of one iteration: (`Advance`). Nothing changes until it is kept.

        settings: of the samples. values: the scene's parameters, at which their folds have the sums `sums`,
        (folds, height, width, 4). sums_at: values -> the sums of the same samples there.
        """
        subject = _subject(scene, settings)
        state = self._state
        if state is not None:
            same = self._layout is None or self._layout() is scene.layout
            if not same or subject != state.subject or values.shape != state.values.shape:
                state = None
            elif settings.seed == state.seed:
                raise ParameterError(
                    f"seed: {settings.seed} is that of the last call with this picture, too; give each "
                    "call another one"
                )
        hole = 2 * reach(scene.film)  # pixels farther apart than that share no sample
        if state is None:
            image, others = normalised(sums.sum(axis=0)), leave_one_out(sums)
            variance = np.maximum(around(covariances(others, others)[0], hole), 0)
        else:
            image, others, variance = combined(
                state.estimate, state.variance, sums, sums_at(state.values), hole
            )
        return Advance(
            self, scene.layout, _State(image, variance, values.copy(), subject, settings.seed), others
        )


class Advance:
    """An iteration's picture. image: (height, width, 3). others: for each fold that of all others."""

    def __init__(self, picture, layout, state, others):
        self.image, self.others = state.estimate, others
        self._picture, self._layout, self._state = picture, layout, state

    def keep(self):
        """Let the next iteration begin from here."""
        self._picture._state, self._picture._layout = self._state, weakref.ref(self._layout)


def combined(estimate, variance, sums, before, hole):
    """One step of the recursion: (picture, that of all others for each fold, variance).

    estimate, variance: of the iteration before. sums, before: of the same samples at the values of now and
    at those before. hole: as of `around`.
    """
    others, then = leave_one_out(sums), normalised(before.sum(axis=0))
    of_now, of_then, covariance = (around(x, hole) for x in covariances(others, left_out(before)))
    of_now, of_then = np.maximum(of_now, 0), np.maximum(of_then, 0)  # differences of sums, see `around`
    total = variance + of_then
    alpha = np.clip(np.where(total > 0, covariance / np.where(total > 0, total, 1), 0), 0, LARGEST)
    image = normalised(sums.sum(axis=0)) + alpha * (estimate - then)
    for own, own_then in zip(others, left_out(before), strict=True):
        own += alpha * (estimate - own_then)
    return image, others, np.maximum(of_now - 2 * alpha * covariance + alpha**2 * total, 0)


def leave_one_out(sums):
    """For each fold the picture of all others: (folds, height, width, 3)."""
    return np.stack(list(left_out(sums)))


def left_out(sums):
    """The same, one after the other, as K pictures take much memory."""
    total = sums.sum(axis=0)
    return (normalised(total - own) for own in sums)


def covariances(a, b):
    """The variances of two pictures and their covariance, by the jackknife. a, b: of each picture those that
    leave out one fold, one after the other."""
    folds, sums = 0, None
    for x, y in zip(a, b, strict=True):
        if folds == 0:
            first_x, first_y, sums = x.copy(), y.copy(), [np.zeros_like(x) for _ in range(5)]
        x, y, folds = x - first_x, y - first_y, folds + 1
        for total, value in zip(sums, (x, y, x * x, y * y, x * y), strict=True):
            total += value
    x, y, xx, yy, xy = (total / folds for total in sums)
    moments = np.maximum(xx - x * x, 0), np.maximum(yy - y * y, 0), xy - x * y
    return [(folds - 1) * moment for moment in moments]


def around(image, hole):
    """For each pixel the mean of those around it that are farther away than `hole` in rows or columns."""
    radius = max(WINDOW, 2 * hole)
    count = np.ones((*image.shape[:2], 1))
    ring, pixels = (_window(x, radius) - _window(x, hole) for x in (image, count))
    return np.where(pixels > 0.5, ring / np.maximum(pixels, 1), 0.0)


def _window(image, radius):
    """The sum over the pixels at most `radius` rows and columns away."""
    for axis in (0, 1):
        n = image.shape[axis]
        sums = np.concatenate([np.zeros_like(image.take([0], axis)), np.cumsum(image, axis)], axis)
        at = np.arange(n)
        last, first = np.minimum(at + radius + 1, n), np.maximum(at - radius, 0)
        image = sums.take(last, axis) - sums.take(first, axis)
    return image


def _subject(scene, settings):
    parts = camera_buffer(scene.sensor).tobytes(), repr(scene.film), str(settings.max_depth)
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
