"""Parameters that are grids, textures and volumes: what their axes are, and the same in other sizes."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prb.device.parameters import TEXELS, VOXELS
from prb.device.params import records
from prb.kernels import interpolation, texture
from prb.scene.media import volumes_of

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Grid:
    """A parameter as priors see it.

    shape: of its values: the grid's axes, (height, width) or (z, y, x), then the channels. wraps: for
    each axis of the grid whether its first texel is the neighbour of its last one, as with `wrap_mode`
    repeat; empty for a parameter that is no grid. initial: the values at the start of the run.
    """

    name: str
    shape: tuple[int, ...]
    wraps: tuple[bool, ...]
    initial: Array

    @property
    def axes(self) -> range:
        """The axes of the values that are the grid's; none for a parameter that is no grid."""
        return range(len(self.wraps))


def grids(scene: Any, initial: dict[str, Array]) -> dict[str, Grid]:
    """name -> `Grid` of the parameters with these values at the start."""
    return {name: Grid(name, value.shape, _wraps(scene, name), value) for name, value in initial.items()}


def is_bitmap(scene: Any, name: str) -> bool:
    """True for the texels of an image: a parameter (height, width, channels)."""
    record = records(scene)[name]
    return record.kind == TEXELS and len(record.shape) == 3


def is_volume(scene: Any, name: str) -> bool:
    """True for the voxels of a gridvolume: a parameter (z, y, x, channels)."""
    return records(scene)[name].kind == VOXELS


def _wraps(scene: Any, name: str) -> tuple[bool, ...]:
    record = records(scene)[name]
    if record.kind == VOXELS:
        return (volumes_of(scene.model)[name].wrap == "repeat",) * 3
    if record.kind != TEXELS:
        return ()
    if not is_bitmap(scene, name):
        return (False,) * (len(record.shape) - 1)
    for row in scene.layout.arrays["textures"]:
        if row[texture.KIND] == texture.BITMAP and row[texture.OFFSET] == record.offset:
            return tuple(bool(row[k] == interpolation.REPEAT) for k in (texture.WRAP_V, texture.WRAP_U))
    return (False, False)


def refined(value: Array, shape: tuple[int, ...], wraps: tuple[bool, ...]) -> Array:
    """A coarse grid at the texel centres of a finer one, by linear interpolation along each axis, as bitmaps
    are looked up. Its values stay within those of the coarse grid."""
    for axis, wrap in enumerate(wraps):
        if value.shape[axis] != shape[axis]:
            low, high, part = _neighbours(shape[axis], value.shape[axis], wrap)
            rows = np.moveaxis(value, axis, 0)
            part = part.reshape(-1, *[1] * (rows.ndim - 1))
            between = rows[low] + part * (rows[high] - rows[low])
            value = np.moveaxis(np.clip(between, rows.min(), rows.max()), 0, axis)  # for its rounding
    return np.ascontiguousarray(value)


def pulled_back(gradient: Array, shape: tuple[int, ...], wraps: tuple[bool, ...]) -> Array:
    """The transpose of `refined`: from the derivative by a fine grid that by the coarse one of this shape."""
    for axis, wrap in enumerate(wraps):
        if gradient.shape[axis] != shape[axis]:
            low, high, part = _neighbours(gradient.shape[axis], shape[axis], wrap)
            weights = np.zeros((shape[axis], len(part)))
            np.add.at(weights, (low, np.arange(len(part))), 1 - part)
            np.add.at(weights, (high, np.arange(len(part))), part)
            gradient = np.moveaxis(np.tensordot(weights, gradient, (1, axis)), 0, axis)
    return np.ascontiguousarray(gradient)


def coarsened(value: Array, shape: tuple[int, ...], wraps: tuple[bool, ...]) -> Array:
    """The coarse grid whose texels are means of a finer one's, weighted as `refined` uses them."""
    weights = pulled_back(np.ones(value.shape), shape, wraps)
    return pulled_back(value, shape, wraps) / weights


def resized(value: Array, shape: tuple[int, ...]) -> Array:
    """A grid with another number of texels along each axis but the last: means where these are fewer, linear
    interpolation where they are more. The range of its values stays."""
    value, open_ends = np.asarray(value, np.float64), (False,) * (len(shape) - 1)
    fewer = tuple(map(min, value.shape, shape))
    less = coarsened(value, (*fewer[:-1], value.shape[-1]), open_ends)
    return np.clip(refined(less, (*shape[:-1], value.shape[-1]), open_ends), value.min(), value.max())


def _neighbours(fine: int, coarse: int, wrap: bool) -> tuple[Any, Any, Array]:
    """For each texel of the finer axis its two neighbours on the coarse one, and the part of the second."""
    position = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    low = np.floor(position).astype(int)
    part = position - low
    pair = np.stack([low, low + 1])
    low, high = pair % coarse if wrap else np.clip(pair, 0, coarse - 1)
    return low, high, part
