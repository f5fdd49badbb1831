"""Adjoint methods: objects that one passes to `prb.render_backward` to say how the gradient is found."""

from dataclasses import dataclass

import numpy as np

from prb.device.params import slots
from prb.errors import ParameterError
from prb.estimators import tape
from prb.estimators.integrate import Result, device_bytes, integrate
from prb.io.progress import bar as progress_bar
from prb.kernels.estimators import modes


@dataclass(frozen=True)
class ReplayAdjoint:
    """Path replay backpropagation (Vicini, Speierer, Jakob, SIGGRAPH 2021), with detached sampling.

    Each path is traced, then traced again with the same random numbers while its product terms are
    rebuilt. Time is linear in the number of vertices and about 1.4 times that of a render; device memory
    depends on the image, the scene and the parameters, never on depth or samples. Prefer it always; the
    other methods exist to check it.

    passes: as of TapeAdjoint, for symmetry; memory does not depend on it.

    Interior derivatives only: a parameter that moves a silhouette or a shadow's edge would need a
    boundary term.
    """

    passes: int = 1
    name = "replay"

    def backward(
        self, scene, image_adjoint, *, spp, seed, max_depth, names=None, progress=False, **options
    ) -> Result:
        """J^T image_adjoint over the named parameters (None: all), and the image of the same paths.

        options: `first_sample`, `variance` and `deterministic` of `prb.estimators.integrate.integrate`.
        """
        return integrate(
            scene, modes.REVERSE, spp=spp, seed=seed, max_depth=max_depth, image_adjoint=image_adjoint,
            names=names, passes=self.passes, progress=progress, label="gradient", **options,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        return device_bytes(scene, modes.REVERSE, spp)


@dataclass(frozen=True)
class TapeAdjoint:
    """Conventional reverse mode: every vertex of every path is kept, and differentiated by Taichi.

    The same paths, shading code and random numbers as the replay, so the two agree up to rounding. Memory
    grows with pixels x samples x depth. Prefer it to check the replay, or to see what replay saves.

    passes: parts that the samples are split into, one after the other, to need less memory.
    memory_limit: bytes that it may allocate; None: 80 % of what the device has free.

    Raises MemoryLimitError, before it allocates, where a pass does not fit, and ParameterError for an
    unlimited depth. Interior derivatives only.
    """

    passes: int = 1
    memory_limit: int | None = None
    name = "tape"

    def backward(self, scene, image_adjoint, *, spp, seed, max_depth, names=None, progress=False) -> Result:
        """J^T image_adjoint over all parameters, and the image of the same paths."""
        return tape.backward(
            scene, image_adjoint, spp=spp, seed=seed, max_depth=max_depth, passes=self.passes,
            memory_limit=self.memory_limit, names=names, progress=progress,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that one pass allocates on the device."""
        return tape.device_bytes(scene, spp=spp, max_depth=max_depth, passes=self.passes)


@dataclass(frozen=True)
class FiniteDifference:
    """Central differences with common random numbers: two renders for each number of each parameter.

    step: of a number x, as a part of max(|x|, 1); the error is of order step^2, and rounding divided by
        step. A step ends where the valid range does, and there the error is of order step. Roulette's
        decisions, and which model of a blend is sampled, depend on the parameters: a difference across one is
        noise, so set rr_depth high to compare.

    The slowest method and the only one that also sees silhouettes and shadows move. Prefer it as a check
    of few parameters.
    """

    step: float = 1e-2
    name = "fd"

    def backward(self, scene, image_adjoint, *, spp, seed, max_depth, names=None, progress=False) -> Result:
        """J^T image_adjoint over the named parameters (None: all; others stay zero), and the image."""
        if not (isinstance(self.step, (int, float)) and 0 < self.step < np.inf):
            raise ParameterError(f"step: {self.step!r} is out of range; it is a number above 0")
        options = dict(spp=spp, seed=seed, max_depth=max_depth)
        result = integrate(scene, modes.PRIMAL, **options)
        result.gradient = np.zeros(scene.values.size)
        original = scene.values.copy()
        weight = np.asarray(image_adjoint, np.float64)
        numbers = self._numbers(scene, names)
        total = self.renders(scene, names)
        try:
            with progress_bar(progress, total=total, desc="differences", unit="render") as bar:
                for i, low, high in numbers:
                    x = original[i]
                    step = self.step * max(abs(float(x)), 1.0)
                    objective, at = [], []
                    for moved in (min(x + step, high), max(x - step, low)):
                        scene.values[i] = moved
                        scene.refresh()
                        at.append(float(scene.values[i]))
                        objective.append((weight * integrate(scene, modes.PRIMAL, **options).image).sum())
                        bar.update()
                    scene.values[i] = x
                    result.gradient[i] = (objective[0] - objective[1]) / (at[0] - at[1])
        finally:
            scene.values[:] = original
            scene.refresh()
        return result

    def renders(self, scene, names=None):
        """How many renders the named parameters take."""
        return 2 * len(self._numbers(scene, names))

    @staticmethod
    def _numbers(scene, names):
        """(its place in the buffer, lowest and highest valid value) of each number to differentiate."""
        return [
            (slot.offset + i, slot.low, slot.high)
            for name, slot in slots(scene).items()
            if (name in names if names is not None else name not in scene.layout.orientations)
            for i in range(slot.size)
        ]

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        return device_bytes(scene, modes.PRIMAL, spp)


METHODS = {method.name: method for method in (ReplayAdjoint, TapeAdjoint, FiniteDifference)}
