"""Bounds of a medium's extinction in the cells of a coarse grid, which random walks go through. NumPy only.

They are part of what a picture's expected value depends on: a random walk is right only while the extinction
lies within them. So they follow every change of the parameters, unlike tables for sampling.
"""

import numpy as np

from prb.device.dependents import Dependent

VOXELS_PER_CELL = 4  # along an axis
MOST_CELLS = 32  # along an axis
REACH = 0.25  # voxels by which a point may lie outside its cell, as it does by rounding
HEADROOM = 0.02  # relative, by which new bounds lie outside the extinction
LOOSE = 0.1  # relative, by which old bounds may lie outside it before they are replaced
ROUNDING = 1e-5  # relative, of an interpolated value


def cells_of(medium):
    """Cells along z, y and x of a `Medium`."""
    volume = medium.volumes["sigma_t"]
    if medium.kind == "homogeneous" or volume.kind != "grid":
        return 1, 1, 1
    return tuple(min(-(-n // VOXELS_PER_CELL), MOST_CELLS) for n in volume.value.shape[:3])


def flakes_of(medium):
    """The volume S by which a medium's extinction depends on the direction; None if it does not."""
    return medium.phase.volumes["S"] if medium.phase.kind == "sggx" else None


class Majorants(Dependent):
    """A medium's rows of `majorants`: the least and the largest extinction in each cell, over all channels
    and, where it depends on the direction, over all of them; S counts as a whole, not cell by cell.

    A cell keeps its bounds while they hold and are not loose, so that nearly equal media have the same random
    walks. New ones have a headroom; where there is no extinction the bound is exactly zero.
    """

    arrays = ("majorants",)

    def __init__(self, medium, records, first):
        """medium: the `Medium`. records: of sigma_t, scale and, if there is one, S. first: its first cell's
        row."""
        super().__init__(records)
        self._volume = medium.volumes["sigma_t"]
        cells = cells_of(medium)
        self._rows = slice(first, first + int(np.prod(cells)))
        if self._volume.kind == "grid":
            grid = self._volume
            self._windows = [
                window(n, count, filter=grid.filter, wrap=grid.wrap)
                for n, count in zip(grid.value.shape[:3], cells, strict=True)
            ]

    def update(self, values, arrays):
        low, high = self.bounds(values)
        old_low, old_high = arrays["majorants"][self._rows].astype(float).T
        wrong = (old_low > low - ROUNDING * np.abs(low)) | (old_high < high + ROUNDING * np.abs(high))
        loose = (old_low < low - LOOSE * np.abs(low)) | (old_high > high + LOOSE * np.abs(high))
        renewed = wrong | loose
        if not renewed.any():
            return False
        new = np.stack([low - HEADROOM * np.abs(low), high + HEADROOM * np.abs(high)], axis=1)
        arrays["majorants"][self._rows][renewed] = new[renewed]
        return True

    def bounds(self, values):
        """The smallest and the largest extinction in each cell, x fastest: two arrays."""
        sigma_t, scale, *flakes = self.inputs(values)
        if self._volume.kind == "grid":
            low, high = (reduced(sigma_t, self._windows, f) for f in (np.minimum, np.maximum))
        else:
            low = high = sigma_t
        low, high = (x.reshape(self._rows.stop - self._rows.start, -1).astype(float) for x in (low, high))
        factor = scale.reshape(-1, scale.shape[-1] if scale.ndim else 1).astype(float)
        areas = projected_areas(flakes[0]) if flakes else (1.0,)
        factors = [area * end for area in areas for end in (factor.min(axis=0), factor.max(axis=0))]
        ends = [x * end for x in (low, high) for end in factors]
        return np.min(ends, axis=0).min(axis=1), np.max(ends, axis=0).max(axis=1)


def projected_areas(S):
    """The smallest and the largest area of flakes, over all directions and matrices (..., 6): the roots of
    the extreme eigenvalues, which bound those of what is interpolated. They follow from the trigonometric
    solution of the cubic equation (Smith, Communications of the ACM 4, 1961)."""
    xx, yy, zz, xy, xz, yz = np.moveaxis(S.reshape(-1, 6).astype(float), 1, 0)
    centre = (xx + yy + zz) / 3
    x, y, z = xx - centre, yy - centre, zz - centre
    radius = np.sqrt((x * x + y * y + z * z + 2 * (xy * xy + xz * xz + yz * yz)) / 6)
    det = x * (y * z - yz * yz) - xy * (xy * z - yz * xz) + xz * (xy * yz - y * xz)
    angle = np.arccos(np.clip(det / (2 * np.maximum(radius, 1e-30) ** 3), -1, 1)) / 3
    largest = (centre + 2 * radius * np.cos(angle)).max()
    smallest = (centre + 2 * radius * np.cos(angle + 2 * np.pi / 3)).min()
    smallest -= ROUNDING * largest  # where these are close to 0, single precision does not tell
    return np.sqrt(max(smallest, 0.0)), np.sqrt(max(largest, 0.0))


def window(n, count, *, filter, wrap):
    """For each of `count` cells along an axis of n voxels, the voxels that count somewhere in it: their
    numbers, (count, most), the last one repeated."""
    edges = np.arange(count + 1) * (n / count)
    half = 0.0 if filter == "nearest" else 0.5
    first = np.floor(edges[:-1] - half - REACH).astype(int)
    last = np.floor(edges[1:] - half + REACH).astype(int) + (filter != "nearest")
    steps = np.arange((last - first).max() + 1)
    found = np.minimum(first[:, None] + steps, last[:, None])
    if wrap == "clamp":
        return np.clip(found, 0, n - 1)
    if wrap == "repeat":
        return found % n
    period = found % (2 * n)
    return np.where(period < n, period, 2 * n - 1 - period)


def reduced(grid, windows, f):
    """A grid (Z, Y, X, channels) reduced to its cells by np.minimum or np.maximum, axis by axis."""
    for axis, numbers in enumerate(windows):
        grid = np.moveaxis(grid, axis, 0)
        part = grid[numbers[:, 0]]
        for column in numbers.T[1:]:
            f(part, grid[column], out=part)
        grid = np.moveaxis(part, 0, axis)
    return grid
