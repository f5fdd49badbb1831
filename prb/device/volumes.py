"""Volumes as rows of `volumes` and `to_unit`, and the parameters that they are. NumPy only."""

import numpy as np

from prb.device.parameters import COLOUR, NUMBER, VALUES, VOXELS
from prb.errors import SceneError
from prb.kernels import volume as kernels
from prb.kernels.interpolation import CLAMP, MIRROR, REPEAT

WHY_NOT = "it moves directions of rays, which are held fixed"


class VolumeTable:
    """Gives numbers to volumes, the same one each time; each is a parameter.

    grids: some of them is a grid.
    """

    def __init__(self, builder):
        self.grids = False
        self._builder = builder
        self._rows, self._to_unit = [], []
        self._numbers = {}  # id of a volume -> its number
        self._parameters = []  # of each volume, as the builder numbers them

    def number(self, volume, **fields):
        """The number of a volume. fields: others of its `ParameterRecord`."""
        if id(volume) not in self._numbers:
            self._numbers[id(volume)] = len(self._rows)
            self._rows.append(_row(volume))
            self._to_unit.append(_to_unit(volume))
            self.grids |= volume.kind == "grid"
            why_not = "" if volume.differentiable else WHY_NOT
            limits = dict(low=volume.low, high=volume.high, why_not=why_not)
            value = np.asarray(volume.value, np.float32)
            self._parameters.append(self._builder.add(volume.name, _kind(volume), value, **limits, **fields))
        return self._numbers[id(volume)]

    def record(self, volume, records):
        """The record of a volume that has a number. records: the parameters', by their numbers."""
        return records[self._parameters[self._numbers[id(volume)]]]

    def arrays(self, records):
        """`volumes` and `to_unit`. records: the parameters', by their numbers."""
        rows = np.zeros((max(len(self._rows), 1), kernels.ROW), np.int32)
        to_unit = np.zeros((len(rows), 12), np.float32)
        for number, parameter in enumerate(self._parameters):
            rows[number], to_unit[number] = self._rows[number], self._to_unit[number]
            rows[number, kernels.OFFSET] = records[parameter].offset
        return {"volumes": rows, "to_unit": to_unit}


def channels_of(volume):
    """How many numbers a volume has at a point."""
    return np.shape(volume.value)[-1] if np.ndim(volume.value) else 1


def _kind(volume):
    """The kind of a volume's parameter."""
    if volume.kind == "grid":
        return VOXELS
    return {(): NUMBER, (3,): COLOUR}.get(np.shape(volume.value), VALUES)


def _row(volume):
    """A row as kernels/volume.py describes it, without the offset."""
    row = [0] * kernels.ROW
    size = np.shape(volume.value)
    if volume.kind == "grid":
        row[kernels.KIND] = kernels.GRID
        row[kernels.NZ], row[kernels.NY], row[kernels.NX], row[kernels.CHANNELS] = size
        row[kernels.NEAREST] = int(volume.filter == "nearest")
        row[kernels.WRAP] = {"repeat": REPEAT, "mirror": MIRROR, "clamp": CLAMP}[volume.wrap]
    else:
        row[kernels.KIND] = kernels.CONSTANT
        row[kernels.NX] = row[kernels.NY] = row[kernels.NZ] = 1
        row[kernels.CHANNELS] = size[0] if size else 1
    return row


def _to_unit(volume):
    """The rows of the affine map from world space to the volume's unit cube."""
    matrix = np.asarray(volume.to_world, float)
    scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
    if not np.isfinite(matrix).all() or scales[2] <= 1e-12 * scales[0]:
        raise SceneError(f"{volume.name}: its to_world flattens the volume; give it an invertible transform")
    return np.linalg.inv(matrix)[:3].ravel()
