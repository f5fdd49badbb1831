"""What the loop does with textures and volumes beside gradients: priors, coarse grids, what was seen."""

from collections.abc import Iterable, Mapping
from typing import Any

from prb.recover.coarse_to_fine import CoarseToFine, Schedules
from prb.recover.grids import Array, grids, is_bitmap, is_volume
from prb.recover.optimizers import Optimizer
from prb.recover.priors import Priors, by_name
from prb.recover.seen import Seen


class Texels:
    """The textures and volumes of one run of `optimize`, and all else that a prior is for.

    names: of what is optimised. optimizer: has their values, and gets the coarse grids of the start.
    priors, coarse_to_fine, iterations: as for `optimize`. Raises ParameterError.
    """

    def __init__(
        self, scene: Any, names: Iterable[str], optimizer: Optimizer, *, priors: Priors | None,
        coarse_to_fine: Schedules | None, iterations: int,
    ) -> None:  # fmt: skip
        self._optimizer = optimizer
        self._grids = grids(scene, {name: optimizer[name] for name in names})
        self._priors = by_name(priors, self._grids, self._grids)
        self._levels = CoarseToFine(coarse_to_fine, self._grids, iterations)
        self._levels.start(optimizer)
        self.full = self._levels.full(optimizer)  # name -> array, as the scene has it
        mapped = [name for name in self._grids if is_bitmap(scene, name) or is_volume(scene, name)]
        self.seen = Seen({name: self._grids[name].shape for name in mapped})

    def settings(self) -> dict[str, str]:
        """What has to be the same for a run to be resumed; nothing where nothing was asked for."""
        found = {"priors": self._priors, "coarse_to_fine": self._levels.levels}
        return {key: repr(value) for key, value in found.items() if value}

    @property
    def first_full(self) -> int:
        """The iteration with which the last of the finest grids begins."""
        return max((levels[-1][0] for levels in self._levels.levels.values()), default=0)

    def refine(self, iteration: int) -> bool:
        """Give the optimiser the grids of an iteration. True if they are others than before."""
        return self._levels.refine(iteration, self._optimizer)

    def gradients(self, of_loss: Mapping[str, Array]) -> dict[str, Array]:
        """The derivatives by the optimiser's values of loss and priors. of_loss: by the scene's values."""
        self.seen.add(of_loss)
        found = dict(of_loss)
        for name, priors in self._priors.items():
            value = self.full[name]
            for prior in priors:
                found[name] = found[name] + prior(value, self._grids[name])[1]
        return self._levels.by_values(found, self._optimizer)

    def prior(self) -> float | None:
        """The sum of the priors' terms at the present values; None without priors."""
        if not self._priors:
            return None
        pairs = [(name, prior) for name, priors in self._priors.items() for prior in priors]
        return float(sum(prior(self.full[name], self._grids[name])[0] for name, prior in pairs))
