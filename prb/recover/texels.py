"""What the loop does with parameters beside gradients: priors, coarse grids, coordinates, what was seen."""

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any

from prb.device.params import traverse
from prb.errors import ParameterError
from prb.recover.coarse_to_fine import CoarseToFine, Schedules
from prb.recover.coordinates import Chart, Coordinates
from prb.recover.grids import Array, grids, is_bitmap, is_volume
from prb.recover.meshes import Meshes, Remesh
from prb.recover.optimizers import Bounds, Optimizer
from prb.recover.priors import Priors, by_name
from prb.recover.seen import Seen


class Texels:
    """The textures and volumes of one run of `optimize`, and all else that a prior or coordinates are for.

    names: of what is optimised. optimizer: has their values, and gets the coarse grids of the start, and the
    coordinates. priors, coarse_to_fine, iterations: as for `optimize`. coordinates: name -> of those that
    have some. Raises ParameterError.
    remarks: lines on the coordinates that the user should know.
    """

    def __init__(
        self, scene: Any, names: Iterable[str], optimizer: Optimizer, *, priors: Priors | None,
        coarse_to_fine: Schedules | None, coordinates: Mapping[str, Coordinates], iterations: int,
        remesh: Remesh | None = None,
    ) -> None:  # fmt: skip
        self._scene, self._optimizer = scene, optimizer
        self._grids = grids(scene, {name: optimizer[name] for name in names})
        self._priors = by_name(priors, self._grids, self._grids)
        self._levels = CoarseToFine(coarse_to_fine, self._grids, iterations)
        for name in self._levels.levels.keys() & coordinates.keys():
            raise ParameterError(f"coarse_to_fine: {name} is optimised in coordinates; leave one of them out")
        self._coordinates = dict(coordinates)
        self.meshes = Meshes(remesh, scene, self._grids, self._priors)
        self._charts = {name: c.chart(scene, name, optimizer[name]) for name, c in coordinates.items()}
        self.remarks = [
            f"{name}: {remark}"
            for name, chart in self._charts.items()
            for remark in getattr(chart, "remarks", ())
        ]
        self._levels.start(optimizer)
        for name, chart in self._charts.items():
            optimizer.replace(name, chart.start)
        to_values = self._levels.to_values()
        self.full = SceneValues(optimizer, to_values, self._charts)  # name -> array, as the scene has it
        for name, chart in self._charts.items():
            for follower, function in getattr(chart, "followers", {}).items():
                if follower not in optimizer:
                    self.full.follow(follower, name, function)
        mapped = [name for name in self._grids if is_bitmap(scene, name) or is_volume(scene, name)]
        self.seen = Seen({name: self._grids[name].shape for name in mapped})

    def settings(self) -> dict[str, str]:
        """What has to be the same for a run to be resumed; nothing where nothing was asked for."""
        found = {
            "priors": self._priors, "coarse_to_fine": self._levels.levels, "coordinates": self._coordinates
        }  # fmt: skip
        return {key: repr(value) for key, value in found.items() if value} | self.meshes.settings()

    @property
    def first_full(self) -> int:
        """The iteration with which the last of the finest grids begins."""
        return max((levels[-1][0] for levels in self._levels.levels.values()), default=0)

    def remesh(self, iteration: int) -> bool:
        """Give the scene the meshes of an iteration, and the optimiser their positions. True if they are
        others than before: parameters have other shapes then."""
        return self._begin_anew(self.meshes.remesh(iteration))

    def _begin_anew(self, names: list[str]) -> bool:
        """Take what the scene has of these parameters."""
        values = traverse(self._scene)
        for name in names:
            value = values[name].astype(float)
            if name in self._coordinates:
                self._charts[name] = self._coordinates[name].chart(self._scene, name, value)
                value = self._charts[name].start
            self._optimizer.replace(name, value)
        return bool(names)

    def state(self) -> Any:
        """How much was seen. What belongs to meshes does not go back."""
        return self.seen.state()

    def restore(self, state: Any) -> None:
        """Go back to what `state` returned."""
        self.seen.restore(state)

    def arrays(self) -> dict[str, Any]:
        """For a checkpoint."""
        return self.seen.arrays() | self.meshes.arrays()

    def take(self, arrays: MutableMapping[str, Any]) -> None:
        """Take over what a checkpoint has, and take it out of its arrays; before the optimiser does."""
        self.seen.take(arrays)
        self._begin_anew(self.meshes.take(arrays))

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
        for name, chart in self._charts.items():
            found[name] = chart.pull_back(self._optimizer[name], found[name])
        return self._levels.by_values(found, self._optimizer)

    def by_values(self, gradients: Mapping[str, Array]) -> dict[str, Array]:
        """Those of the optimiser's gradients that are by numbers of the parameters themselves."""
        return {name: gradient for name, gradient in gradients.items() if name not in self._charts}

    def prior(self) -> float | None:
        """The sum of the priors' terms at the present values; None without priors."""
        if not self._priors:
            return None
        pairs = [(name, prior) for name, priors in self._priors.items() for prior in priors]
        return float(sum(prior(self.full[name], self._grids[name])[0] for name, prior in pairs))


class SceneValues:
    """An optimiser's values as the scene has them: name -> array, as they are at the moment.

    to_values: name -> function from the optimiser's array, of grids that differ. charts: name -> `Chart`, of
    those in coordinates.
    """

    def __init__(
        self, optimizer: Optimizer, to_values: Mapping[str, Callable[[Array], Array]],
        charts: Mapping[str, Chart],
    ) -> None:  # fmt: skip
        self._optimizer, self._to_values, self._charts = optimizer, to_values, charts
        self._followers: dict[str, tuple[str, Callable[[Array], Array]]] = {}

    def follow(self, name: str, leader: str, function: Callable[[Array], Array]) -> None:
        """Have the values of one more parameter, as a function of those of another."""
        self._followers[name] = leader, function

    def keys(self) -> Iterable[str]:
        return [*self._optimizer, *self._followers]

    def __getitem__(self, name: str) -> Array:
        if name in self._followers:
            leader, function = self._followers[name]
            return function(self[leader])
        return self.of(name, self._optimizer[name])

    def of(self, name: str, array: Array) -> Array:
        """The values of a parameter where the optimiser has this array."""
        if name in self._charts:
            return self._charts[name].to_value(array)
        return self._to_values[name](array) if name in self._to_values else array

    def project(self, bounds: Bounds) -> None:
        """Clip the optimiser's values; what is interpolated from them is within the same range."""
        self._optimizer.project({name: ends for name, ends in bounds.items() if name not in self._charts})
