"""Has a recovery reached the noise floor of its loss? Tests over the last iterations.

An iteration's excess is its loss less its estimate of the noise floor. Iterations have independent random
numbers, so means over many of them have standard errors. The window is the last quarter of the iterations,
WINDOW at least.
"""

from typing import NamedTuple

import numpy as np

WINDOW = 20
T = 1.73  # Student's t, one-sided at 5 % with WINDOW - 1 degrees of freedom
RESOLUTION = 0.1  # of the floor: an excess so large has to be visible
STOPS = ("floor", "plateau")


class Level(NamedTuple):
    """Means over the last iterations: the noise floor, the loss above it, and the latter's standard error."""

    floor: float
    excess: float
    stderr: float


class Excess:
    """The excess of each iteration of a run so far, and what the tests say of it.

    at_floor: after how many iterations the loss was at its noise floor for the first time; None: never.
    first: iterations before that are not tested, such as those of textures that are refined later.
    """

    def __init__(self, first=0):
        self._excess, self._floors, self._first = [], [], first
        self.at_floor = None

    def __len__(self):
        return len(self._excess)

    def append(self, excess, floor):
        self._excess.append(excess)
        self._floors.append(floor)
        if self.at_floor is None and self._is_at_floor():
            self.at_floor = len(self)

    def truncate(self, count):
        """Forget all but the first iterations."""
        del self._excess[count:], self._floors[count:]
        if self.at_floor is not None and self.at_floor > count:
            self.at_floor = None

    def level(self):
        """The `Level` at the end; None without two iterations, or where a floor is missing."""
        window = self._window()
        floors, last = (np.array(x[-window:]) for x in (self._floors, self._excess))
        if window < 2 or not np.isfinite(floors).all():
            return None
        return Level(float(floors.mean()), float(last.mean()), float(_variance(last) ** 0.5))

    def stops(self, stop):
        """Which of STOPS ends a run here, that asked for `stop`; None: none does."""
        if stop is not None and self._is_at_floor():
            return "floor"
        if stop == "plateau" and self._has_levelled_off():
            return "plateau"
        return None

    def _window(self):
        return min(len(self), max(WINDOW, (len(self) - self._first) // 4))

    def _has_levelled_off(self):
        """Whether the excess does not fall any more: its mean over the window is not significantly (5 %)
        below that over the window before. Never before 2 WINDOW iterations."""
        if len(self) - self._first < 2 * WINDOW:
            return False
        before, last = np.split(np.array(self._excess[-2 * self._window() :]), 2)
        return bool(before.mean() - last.mean() <= T * (_variance(last) + _variance(before)) ** 0.5)

    def _is_at_floor(self):
        """Whether the loss is at its noise floor: the excess does not fall any more, its mean over the window
        is not significantly (5 %) above zero, and that says something: RESOLUTION of the floor would be."""
        if not self._has_levelled_off():
            return False
        found = self.level()
        return found is not None and found.excess <= T * found.stderr <= RESOLUTION * found.floor


def _variance(values):
    """Of the mean."""
    return values.var(ddof=1) / len(values)
