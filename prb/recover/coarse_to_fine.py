"""Textures and volumes that are optimised with few texels first: schedules of their resolution.

The optimiser has a coarse grid, the scene the grid in its own resolution, interpolated from it: nothing
is compiled again, and the gradient by the grid is the transpose of the interpolation. Far from the target
one texel of the coarse grid collects what many of the scene's would have to find alone, and texels that no
path reaches follow their neighbours. A voxel is a texel here.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from prb.errors import ParameterError
from prb.recover.bounds import named
from prb.recover.grids import Array, Grid, coarsened, pulled_back, refined
from prb.recover.optimizers import Optimizer

Schedules: TypeAlias = Mapping[str, Iterable[int | tuple[int, int]]]


class CoarseToFine:
    """The resolutions of some textures and volumes over the iterations.

    schedules: pattern -> resolutions, texels along the longest side, each larger than the one before:
        [16, 64] shares the iterations out evenly; [(0, 16), (50, 64)] says where each begins. A grid has its
        own resolution where that is not larger. A later pattern replaces an earlier one.
    known: name -> `Grid` of all that is optimised. iterations: of the run.
    Raises ParameterError.
    """

    def __init__(self, schedules: Schedules | None, known: Mapping[str, Grid], iterations: int) -> None:
        self._grids = known
        self.levels: dict[str, list[tuple[int, int]]] = {}  # name -> (first iteration, resolution)
        if schedules is not None and not isinstance(schedules, Mapping):
            what = f"expected patterns with resolutions, got {type(schedules).__name__}"
            raise ParameterError(f"coarse_to_fine: {what}")
        for pattern, given in (schedules or {}).items():
            levels = _levels(pattern, given, iterations)
            for name in named("coarse_to_fine", pattern, list(known)):
                if not known[name].wraps:
                    what = f"{name} is no grid of texels, its shape is {known[name].shape}"
                    raise ParameterError(f"coarse_to_fine: {what}; name a texture or a gridvolume")
                self.levels[name] = levels

    def start(self, optimizer: Optimizer) -> None:
        """Give the optimiser the coarse grids of iteration 0, means of its values."""
        for name in self.levels:
            shape = self._shape(name, 0)
            optimizer.replace(name, coarsened(optimizer[name], shape, self._grids[name].wraps))

    def refine(self, iteration: int, optimizer: Optimizer) -> bool:
        """Give the optimiser finer grids, if some begin with this iteration. The moments of its gradients
        begin anew, as derivatives by other texels have another size; the rate goes on."""
        changed = False
        for name in self.levels:
            shape = self._shape(name, iteration)
            if optimizer[name].shape != shape:
                optimizer.replace(name, refined(optimizer[name], shape, self._grids[name].wraps))
                changed = True
        return changed

    def by_values(self, gradients: Mapping[str, Array], optimizer: Optimizer) -> dict[str, Array]:
        """The gradients by the textures as those by the optimiser's values."""
        found = dict(gradients)
        for name in self.levels:
            found[name] = pulled_back(found[name], optimizer[name].shape, self._grids[name].wraps)
        return found

    def to_values(self) -> dict[str, Callable[[Array], Array]]:
        """name -> the function from a coarse grid to that in the scene's resolution."""
        return {
            name: partial(refined, shape=self._grids[name].shape, wraps=self._grids[name].wraps)
            for name in self.levels
        }

    def _shape(self, name: str, iteration: int) -> tuple[int, ...]:
        """The grid's shape in an iteration."""
        grid = self._grids[name]
        resolution = [r for first, r in self.levels[name] if first <= iteration][-1]
        sizes = grid.shape[: len(grid.wraps)]
        longest = max(sizes)
        if resolution >= longest:
            return grid.shape
        coarse = (max(1, round(size * resolution / longest)) for size in sizes)
        return (*coarse, *grid.shape[len(grid.wraps) :])


def _levels(pattern: str, given: Any, iterations: int) -> list[tuple[int, int]]:
    """(first iteration, resolution) of each level."""
    try:
        items = [tuple(item) if isinstance(item, tuple | list) else item for item in given]
        if not any(isinstance(item, tuple) for item in items):
            items = [(k * iterations // len(items), item) for k, item in enumerate(items)]
        levels = [(_whole(first), _whole(resolution)) for first, resolution in items]
        even = len({type(item) for item in items}) == 1
    except (TypeError, ValueError):
        even, levels = False, []
    if not even or not levels:
        form = "[16, 64] or [(0, 16), (50, 64)], pairs of iteration and resolution"
        raise ParameterError(f"coarse_to_fine: {pattern}: {given!r} is no list of resolutions; give {form}")
    starts, resolutions = zip(*levels, strict=True)
    if starts[0] != 0 or list(starts) != sorted(starts):
        what = f"the levels begin at iterations {', '.join(map(str, starts))}"
        raise ParameterError(f"coarse_to_fine: {pattern}: {what}; begin at 0, each after the one before")
    if resolutions[0] < 1 or any(a >= b for a, b in zip(resolutions, resolutions[1:], strict=False)):
        what = f"the resolutions are {', '.join(map(str, resolutions))}"
        raise ParameterError(f"coarse_to_fine: {pattern}: {what}; let them grow, from 1 on")
    return levels


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError
    return int(value)
