"""What a recovery notes in each iteration, and loss.csv, the file of it.

loss.csv has one row for each iteration k, as that began, before its step:

iteration, loss: k, and what is minimised.
floor: the noise floor of the loss (prb/recover/evaluation.py), for the views that the iteration took.
loss:SENSOR: the loss of that view; empty where the iteration did not take it.
PARAMETER, or PARAMETER.0, PARAMETER.1, ... for more than one number: the value. Of more than MAX_COMPONENTS
numbers there are PARAMETER:mean and PARAMETER:rms instead, the mean and the root of the mean square.

The rows are appended while the run goes on; what a checkpoint holds is written anew when it is gone on from.
"""

import csv
import io
import math

import numpy as np

from prb.errors import ParameterError
from prb.io.images import atomic
from prb.recover.floor import Excess

MAX_COMPONENTS = 16  # numbers of a parameter that are noted one by one


class History:
    """The rows of all iterations so far.

    views: names of the sensors. shapes: parameter -> shape of its array. first: of the iterations in which
    textures have all their texels, before which the loss is not tested for its noise floor.
    """

    KEYS = ("history", "gradients")  # of the arrays in a checkpoint

    def __init__(self, views, shapes, first=0):
        self.views, self._shapes = list(views), dict(shapes)
        self._rows, self._gradients = [], []
        self.excess = Excess(
            first
        )  # of each iteration's loss over the noise floor, means over the views it took

    def __len__(self):
        return len(self._rows)

    def values(self, values):
        """What a row has of the parameters' values. values: parameter -> array."""
        return np.concatenate([_noted(values[name], shape) for name, shape in self._shapes.items()])

    def append(self, loss, of_views, floor, values, gradients):
        """Note an iteration. of_views: number of a view -> its loss, of those that were taken. values: of
        `values`, as it began. gradients: parameter -> array, along which the optimiser stepped; of those
        that step in other coordinates there is none."""
        row = np.full(2 + len(self.views), np.nan)
        row[0], row[1] = loss, floor
        for number, value in of_views.items():
            row[2 + number] = value
        parts = [np.zeros(0)]
        for name in self._single():
            size, gradient = math.prod(self._shapes[name]), np.ravel(gradients.get(name, ()))
            known = gradient.size == size  # not so of a coarse texture
            parts.append(gradient if known else np.full(size, np.nan))
        self._note(np.concatenate([row, values]), np.concatenate(parts))

    def _note(self, row, gradients):
        self._rows.append(row)
        self._gradients.append(gradients)
        of_views = row[2 : 2 + len(self.views)]
        self.excess.append(float(of_views[np.isfinite(of_views)].mean() - row[1]), float(row[1]))

    def truncate(self, count):
        """Forget all but the first iterations."""
        del self._rows[count:], self._gradients[count:]
        self.excess.truncate(count)

    def arrays(self):
        """All of it as name -> array, for a checkpoint."""
        return dict(zip(self.KEYS, (self._table(), self._gradient_table()), strict=True))

    def take(self, arrays):
        """Take over what `arrays` returned, of the same views and parameters."""
        self.truncate(0)
        for row, gradients in zip(*(arrays[key] for key in self.KEYS), strict=True):
            self._note(row, gradients)

    @property
    def columns(self):
        """Names of the columns of loss.csv after the iteration's number."""
        found = ["loss", "floor", *(f"loss:{view}" for view in self.views)]
        for name, shape in self._shapes.items():
            if not _is_single(shape):
                found += [f"{name}:mean", f"{name}:rms"]
            elif shape == ():
                found.append(name)
            else:
                found += [".".join([name, *map(str, index)]) for index in np.ndindex(shape)]
        return found

    @property
    def floors(self):
        return self._table()[:, 1]

    @property
    def view_losses(self):
        """sensor -> its losses, nan where an iteration did not take it."""
        return {view: self._table()[:, 2 + k] for k, view in enumerate(self.views)}

    @property
    def traces(self):
        """Column of loss.csv -> its numbers, of the columns that are of parameters."""
        first = 2 + len(self.views)
        return dict(zip(self.columns[first:], self._table()[:, first:].T, strict=True))

    def single(self):
        """(name, values, gradients) of each parameter whose numbers are noted one by one; the latter two are
        (iterations, numbers)."""
        columns, gradients = np.array(list(self.traces.values())), self._gradient_table()
        first = of_gradient = 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            if _is_single(shape):
                part = slice(of_gradient, of_gradient + size)
                yield name, columns[first : first + size].T, gradients[:, part]
                of_gradient += size
            first += size if _is_single(shape) else 2

    def _single(self):
        return [name for name, shape in self._shapes.items() if _is_single(shape)]

    def _sizes(self):
        return np.array([math.prod(self._shapes[name]) for name in self._single()], int)

    def _table(self):
        return np.array(self._rows).reshape(len(self), len(self.columns))

    def _gradient_table(self):
        return np.array(self._gradients).reshape(len(self), self._sizes().sum())

    def header(self):
        """The first line of loss.csv."""
        return _line(["iteration", *self.columns])

    def text(self, k):
        """The line of an iteration."""
        return _line([k, *("" if math.isnan(x) else repr(float(x)) for x in self._rows[k])])


class Log:
    """loss.csv as it grows. path: of the file; None: there is none."""

    def __init__(self, path, history):
        self._path, self._history = path, history

    def write(self):
        """Write all of it. Raises ParameterError."""
        if self._path is None:
            return
        try:
            with atomic(self._path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
                file.write(self._history.header())
                file.writelines(map(self._history.text, range(len(self._history))))
        except OSError as error:
            raise self._failure(error) from None

    def append(self):
        """Write the last iteration's row behind the others."""
        if self._path is None:
            return
        try:
            with open(self._path, "ab", buffering=0) as file:
                file.write(self._history.text(len(self._history) - 1).encode())
        except OSError as error:
            raise self._failure(error) from None

    def _failure(self, error):
        reason = f"cannot be written: {error.strerror or error}"
        return ParameterError(f"{self._path}: {reason}; make room or choose another place")


def _line(cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _is_single(shape):
    return math.prod(shape) <= MAX_COMPONENTS


def _noted(value, shape):
    """What a row has of a parameter."""
    value = np.asarray(value, float)
    if _is_single(shape):
        return value.ravel()
    return np.array([value.mean(), np.sqrt(np.square(value).mean())])
