"""The meshes whose vertices a run optimises: when they get other triangles, and what is wrong with them.

A remeshed mesh lies where the one before lay and has smooth normals if that had normals. `Scene.exchange`
lays the scene out anew, and the optimiser begins anew with the positions.
"""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prb.device.params import traverse
from prb.errors import ParameterError
from prb.recover.bounds import named
from prb.recover.coordinates import POSITIONS, TRANSFORM
from prb.recover.history import MAX_COMPONENTS
from prb.recover.mesh_defects import Defects, defects
from prb.recover.remeshing import remeshed
from prb.scene.meshes.mesh import smooth_normals

Remesh: TypeAlias = Mapping[str, Iterable[int | tuple[int, float | None]]]
_KEY = "mesh:"  # of the arrays in a checkpoint


class Meshes:
    """Those of one run.

    given: pattern -> iterations at which meshes are remeshed, each a number or (iteration, length of the
    edges); without a length edges become half as long. scene, names: of the run. unfit: names that have
    priors. Raises ParameterError.
    """

    def __init__(
        self, given: Remesh | None, scene: Any, names: Iterable[str], unfit: Iterable[str] = ()
    ) -> None:  # fmt: skip
        self._scene, unfit = scene, set(unfit)
        self._names = [name for name in names if name.endswith(f".{POSITIONS}")]
        self._changed: dict[str, NDArray[np.int32]] = {}  # name -> faces of those that were remeshed
        self.first: dict[str, Any] = {}  # name of a shape -> that of the start, of those that were exchanged
        self._last = -1  # iteration with which a mesh was remeshed
        self.schedule: dict[str, list[tuple[int, float | None]]] = {}
        if given is not None and not isinstance(given, Mapping):
            raise ParameterError(f"remesh: expected patterns with iterations, got {type(given).__name__}")
        for pattern, times in (given or {}).items():
            for name in named("remesh", pattern, self._names or ["no positions"]):
                self._check(name, unfit)
                self.schedule[name] = _times(pattern, times)

    def settings(self) -> dict[str, str]:
        """What has to be the same for a run to be resumed."""
        return {"remesh": repr(self.schedule)} if self.schedule else {}

    def remesh(self, iteration: int) -> list[str]:
        """Exchange the meshes whose time has come. Returns the names of their positions."""
        if iteration <= self._last:
            return []
        due = {}
        for name, times in self.schedule.items():
            lengths = [length for time, length in times if time == iteration]
            if lengths:
                faces = self._shape(name).faces
                due[name] = remeshed(traverse(self._scene)[name], faces, lengths[0], place=f"remesh: {name}")
        if due:
            self._last = iteration
            self._exchange(due)
        return list(due)

    def arrays(self) -> dict[str, Any]:
        """For a checkpoint: the meshes that came in place of the scene's."""
        found = {f"{_KEY}faces:{name}": faces for name, faces in self._changed.items()}
        found |= {f"{_KEY}positions:{name}": self._shape(name).vertices for name in self._changed}
        return found | ({f"{_KEY}last": np.array(self._last)} if self._changed else {})

    def take(self, arrays: MutableMapping[str, Any]) -> list[str]:
        """Exchange the meshes for those of a checkpoint, and take them out of its arrays. Returns names."""
        found = {key: arrays.pop(key) for key in list(arrays) if key.startswith(_KEY)}
        head = f"{_KEY}faces:"
        names = [key.removeprefix(head) for key in found if key.startswith(head)]
        if names:
            self._last = int(found[f"{_KEY}last"])
            self._exchange({n: (found[f"{_KEY}positions:{n}"], found[head + n]) for n in names})
        return names

    def defects(self) -> dict[str, Defects]:
        """name of the positions -> what is wrong with the mesh now."""
        params = traverse(self._scene)
        return {name: defects(params[name], self._shape(name).faces) for name in self._names}

    def _exchange(self, meshes: Mapping[str, tuple[NDArray[np.float32], NDArray[np.int32]]]) -> None:
        """meshes: name -> (positions, faces)."""
        params, shapes = traverse(self._scene), {}
        for name, (positions, faces) in meshes.items():
            shape = self._shape(name)
            normals = None if shape.normals is None else smooth_normals(positions, faces)[0]
            shapes[shape.name] = replace(
                shape, vertices=positions, faces=faces, normals=normals, smooth=normals is not None,
                to_world=params[f"{shape.name}.{TRANSFORM}"],
            )  # fmt: skip
            self._changed[name] = faces
            self.first.setdefault(shape.name, shape)
        self._scene.exchange(shapes)

    def _shape(self, name: str) -> Any:
        owner = name.rpartition(".")[0]
        return next(shape for shape in self._scene.model.shapes if shape.name == owner)

    def _check(self, name: str, unfit: set[str]) -> None:
        shape, what = self._shape(name), ""
        if shape.original is not None:
            what = "is copied by an instance"
        elif shape.texcoords is not None or shape.attributes:
            what = "has texture coordinates or attributes, which other triangles would not have"
        elif shape.vertices.size <= MAX_COMPONENTS:
            what = f"has only {len(shape.vertices)} vertices"
        elif name in unfit:
            what = "has a prior, which knows its vertices"
        if what:
            raise ParameterError(f"remesh: {name}: the mesh {what}; leave it out")


def _times(pattern: str, given: Any) -> list[tuple[int, float | None]]:
    try:
        pairs = [tuple(item) if isinstance(item, tuple | list) else (item, None) for item in given]
        times = [(time, None if length is None else float(length)) for time, length in pairs]
        whole = all(type(time) is int and time >= 0 for time, _ in times)
    except (TypeError, ValueError):
        times, whole = [], False
    if not times or not whole or len({time for time, _ in times}) < len(times):
        form = "[50, 100] or [(50, 0.02)], pairs of iteration and edge length"
        raise ParameterError(f"remesh: {pattern}: {given!r} is no list of iterations; give {form}")
    return sorted(times, key=lambda pair: pair[0])
