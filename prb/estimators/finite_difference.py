"""Central differences as an adjoint method."""

from dataclasses import dataclass

import numpy as np

from prb.errors import ParameterError
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.sums import Result
from prb.estimators.work import device_bytes, differentiated
from prb.io.progress import bar as progress_bar
from prb.kernels.estimators import modes

MIN_STEP_FRACTION = 0.1  # of a step: what the valid range has to allow on one side at least


@dataclass(frozen=True)
class FiniteDifference(Adjoint):
    """Central differences with common random numbers: two renders for each number of each parameter, and in
    forward mode two for a direction.

    step: of a number x, as a part of max(|x|, 1). The error is of order step^2, plus the rounding error
        divided by step. A step ends where the valid range does, and there the error is of order step.

    The slowest method, and the only one that also sees silhouettes and shadows move: prefer it to check the
    derivatives by few parameters. Roulette's decisions, and the choice of a blend's model, depend on the
    parameters; a difference across such a decision is noise, so set rr_depth high to compare. Neither
    standard errors nor deterministic sums. Raises ParameterError for a step that is not above 0.
    """

    step: float = 1e-2
    name = "fd"
    has_forward = True
    is_difference = True

    def backward(
        self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, values=None,
        progress=False, **options,
    ) -> Result:  # fmt: skip
        """J^T image_adjoint over the named parameters (None: all; others stay zero), and the image.

        options: `rr_depth` and `first_sample`, as for `integrate`.
        """
        self._check()
        options = dict(spp=spp, seed=seed, max_depth=max_depth, **options)
        result = integrate(scene, modes.PRIMAL, values=values, **options)
        result.gradient = np.zeros(scene.values.size)
        values = (scene.values if values is None else values).copy()
        weight = np.asarray(image_adjoint, np.float64)
        total = self.renders(scene, names)
        with progress_bar(progress, total=total, desc="differences", unit="render") as bar:
            for i, low, high in self._numbers(scene, names):
                x = values[i]
                step = self.step * max(abs(float(x)), 1.0)
                objective, at = [], []
                for moved in (min(x + step, high), max(x - step, low)):
                    values[i] = moved
                    at.append(float(values[i]))
                    image = integrate(scene, modes.PRIMAL, values=values, **options).image
                    objective.append((weight * image).sum())
                    bar.update()
                values[i] = x
                result.gradient[i] = (objective[0] - objective[1]) / (at[0] - at[1])
        return result

    def forward(
        self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, values=None,
        progress=False, **options,
    ) -> Result:  # fmt: skip
        """J tangents by one central difference along the direction, and the image.

        The step is the largest one that moves no number further than `backward` would. Where different
        numbers are at their bounds on both sides, the direction is split and each part has its own
        difference.
        """
        self._check()
        options = dict(spp=spp, seed=seed, max_depth=max_depth, **options)
        values = scene.values if values is None else values
        numbers = self._numbers(scene, names)
        with progress_bar(progress, total=3, desc="differences", unit="render") as bar:
            result = integrate(scene, modes.PRIMAL, values=values, **options)
            bar.update()
            result.tangent = np.zeros(result.image.shape)
            for direction in self._directions(values, np.asarray(tangents, np.float64), numbers):
                step, pictures, at = self._step(values, direction), [], []
                for sign in (1.0, -1.0):
                    t = sign * min(step, _distance(values, sign * direction, numbers))
                    moved = (values + t * direction).astype(np.float32)
                    for i, low, high in numbers:
                        moved[i] = min(max(moved[i], np.float32(low)), np.float32(high))  # rounding
                    pictures.append(integrate(scene, modes.PRIMAL, values=moved, **options).image)
                    at.append(t)
                    bar.update()
                result.tangent += (pictures[0] - pictures[1]) / (at[0] - at[1])
        return result

    def renders(self, scene, names=None):
        """How many renders the gradient by the named parameters takes."""
        return 2 * len(self._numbers(scene, names))

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        return device_bytes(scene, modes.PRIMAL, spp)

    def _check(self):
        if not (isinstance(self.step, (int, float)) and 0 < self.step < np.inf):
            raise ParameterError(f"step: {self.step!r} is out of range; it is a number above 0")

    def _step(self, values, direction):
        """The multiple of the direction at which the first number has moved by its step."""
        moves = direction != 0
        sizes = np.maximum(np.abs(values[moves].astype(float)), 1.0)
        return float((self.step * sizes / np.abs(direction[moves])).min())

    def _directions(self, values, tangents, numbers):
        """The direction, in up to two parts that add up to it, such that a step along each is possible."""
        direction = np.zeros(len(values))
        for i, _, _ in numbers:
            direction[i] = tangents[i]
        if not direction.any():
            return []
        least = MIN_STEP_FRACTION * self._step(values, direction)
        if max(_distance(values, direction, numbers), _distance(values, -direction, numbers)) >= least:
            return [direction]
        at_bound = np.zeros(len(values), bool)  # numbers that can only move the other way
        for number in numbers:
            at_bound[number[0]] = _distance(values, direction, [number]) < least
        parts = np.where(at_bound, direction, 0.0), np.where(at_bound, 0.0, direction)
        return [part for part in parts if part.any()]

    @staticmethod
    def _numbers(scene, names):
        """(its place in the buffer, lowest and highest valid value) of each number to differentiate."""
        return [
            (record.offset + i, record.low, record.high)
            for record in differentiated(scene, names)
            for i in range(record.size)
        ]


def _distance(values, direction, numbers):
    """The multiple of the direction up to which all numbers stay in their valid ranges."""
    distance = np.inf
    for i, low, high in numbers:
        if direction[i] != 0:
            margin = high - float(values[i]) if direction[i] > 0 else float(values[i]) - low
            distance = min(distance, max(margin, 0.0) / abs(direction[i]))
    return distance
