"""OpenVDB's files: one grid of numbers, made dense within the box of its active voxels.

`tinyvdb` reads them; it needs no OpenVDB, and prb only needs it for such files. What it does not hand out are
active tiles, which stand for a block of equal voxels: a grid that has some is refused, not read with holes.
"""

import math
from pathlib import Path

import numpy as np

from prb.errors import MissingPackageError, VolumeError
from prb.io.volumes import VolumeFile, check_size, size_of

GRID = "density"
_REMEDY = "; voxelise the active tiles (voxelizeActiveTiles) and write the file again"


def read_vdb(path, name=None):
    """The grid of that name in a .vdb file, a `VolumeFile`. Raises VolumeError and MissingPackageError.

    name: without it the grid called density, or the only one. Voxels that are not active have the grid's
    background, 0 in a density. to_world maps the unit cube to the box of the active voxels; the file's
    transform takes whole numbers to their centres.
    """
    path = Path(path)
    tinyvdb = _tinyvdb(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        with tinyvdb.from_bytes(data) as file:
            file.read_grids()
            grid = _named(path, [file.grid(i) for i in range(file.grid_count)], name)
            sparse, transform, stored = grid.to_sparse(), grid.transform, grid.metadata
            found, background = grid.name, grid.float_background()
    except tinyvdb.VDBError as error:
        raise VolumeError(
            f"{path}: cannot be read as OpenVDB ({str(error).strip()}); the file is truncated or damaged, or"
            " has a transform that is not linear"
        ) from None
    place = f"{path.name}: the grid '{found}'"
    index = np.frombuffer(sparse["coords"], "<i4").reshape(-1, 3)
    numbers = np.frombuffer(sparse["values"], "<f4")
    claimed = stored.get("file_voxel_count")
    if isinstance(claimed, int) and claimed != len(index):
        raise VolumeError(
            f"{place} claims {claimed} active voxels, of which {len(index)} can be read: the others are"
            f" tiles{_REMEDY}"
        )
    if not len(index):
        raise VolumeError(f"{place} has no active voxel; name another with grid_name")
    low, high = index.min(axis=0).astype(np.int64), index.max(axis=0).astype(np.int64)
    shape = (*(int(n) for n in (high - low + 1)[::-1]), 1)
    check_size(path, shape)
    values = np.full(shape, background, np.float32)
    x, y, z = (index - low).T
    values[z, y, x, 0] = numbers
    to_unit = np.eye(4)  # the unit cube reaches half a voxel beyond the outermost centres
    to_unit[:3, :3], to_unit[:3, 3] = np.diag(high - low + 1), low - 0.5
    kib = 4 * math.prod(shape) / 2**10
    size = f"{size_of(shape)}, {f'{kib:.1f} KiB' if kib < 1024 else f'{kib / 1024:.1f} MiB'}"
    line = f"{place} is made dense: {size}; {len(index)} voxels of it are active"
    return VolumeFile(values, _matrix(transform) @ to_unit, (line,))


def _tinyvdb(path):
    try:
        import tinyvdb
    except ImportError:
        raise MissingPackageError(
            f"{path}: prb reads .vdb files with tinyvdb, which is not installed: pip install 'prb[vdb]', or"
            " convert the file to .vol"
        ) from None
    return tinyvdb


def _named(path, grids, name):
    """The grid that is asked for."""
    numbers = {grid.name: grid for grid in grids if grid.type_name.startswith("Tree_float")}
    listed = ", ".join(f"'{grid.name}' ({grid.type_name})" for grid in grids) or "none"
    wanted = GRID if name is None and (GRID in numbers or len(numbers) != 1) else name
    if wanted is None:
        return next(iter(numbers.values()))
    if wanted not in numbers:
        raise VolumeError(f"{path}: has no grid of floats '{wanted}'; grid_name may name one of {listed}")
    return numbers[wanted]


def _matrix(transform):
    """The 4x4 matrix from voxel indices to world space; OpenVDB multiplies rows from the left."""
    if transform["type"] == "affine":
        return np.array(transform["matrix"], float).T
    matrix = np.diag([*transform["scale"], 1.0])
    matrix[:3, 3] = transform["translation"]
    return matrix
