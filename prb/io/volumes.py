"""Volumes in and out of files: Mitsuba's .vol, and what all formats share. `prb.io.vdb` reads OpenVDB's.

A .vol is the letters VOL, the byte 3, and in little-endian order: int32 1 (numbers are float32), int32 nx, ny
and nz, int32 channels, six float32 (the corners of a box), and the numbers as float32, x fastest but for the
channels, which are innermost.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prb.errors import VolumeError
from prb.io.images import atomic, check_output

UNIT = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
CHANNELS = (1, 3, 6)  # a number, a colour, a symmetric matrix
MEMORY_FRACTION = 0.25  # of the machine's memory, for the numbers of one grid; a gradient is as large
MAX_NUMBERS = 2**31 - 1  # the kernels count them with 32 bits

_MAGIC = b"VOL\x03"
_HEADER = np.dtype(
    [("magic", "S4"), ("type", "<i4"), ("size", "<i4", 3), ("channels", "<i4"), ("box", "<f4", (2, 3))]
)


class VolumeFile(NamedTuple):
    """A grid from a file: float32 (Z, Y, X, channels); to_world: 4x4, from the unit cube to where the file
    says that the grid lies. warnings: what the user should know."""

    values: np.ndarray
    to_world: np.ndarray
    warnings: tuple[str, ...] = ()


def read_vol(path):
    """The grid of a .vol file, a `VolumeFile`. Raises VolumeError.

    The size that it claims is checked before anything is allocated.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            shape, box = _read_header(path, file.read(_HEADER.itemsize))
            count = math.prod(shape)
            held = (length - _HEADER.itemsize) // 4
            if held < count:
                raise VolumeError(
                    f"{path}: claims {size_of(shape)}, {count} numbers, but holds {held}; the file is"
                    " truncated, write it again"
                )
            check_size(path, shape)
            values = np.fromfile(file, "<f4", count)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be read: {error.strerror}") from None
    spare = length - _HEADER.itemsize - 4 * count
    warnings = (f"{path.name}: {spare} bytes after the last voxel are not read",) if spare else ()
    return VolumeFile(values.astype(np.float32, copy=False).reshape(shape), _box_to_world(box), warnings)


def _read_header(path, data):
    """(the shape, the box) that a .vol file claims."""
    if not data.startswith(_MAGIC[:3]):
        raise VolumeError(f"{path}: is not a volume; a .vol begins with VOL, and OpenVDB's files end in .vdb")
    if len(data) < _HEADER.itemsize:
        raise VolumeError(
            f"{path}: ends within its header, after {len(data)} of {_HEADER.itemsize} bytes; write it again"
        )
    header = np.frombuffer(data, _HEADER)[0]
    if data[3] != _MAGIC[3]:
        raise VolumeError(f"{path}: is a .vol of version {data[3]}; prb reads version 3")
    if header["type"] != 1:
        raise VolumeError(f"{path}: its numbers are of type {header['type']}; prb reads 1, which is float32")
    shape = (*(int(n) for n in header["size"][::-1]), int(header["channels"]))
    if min(shape) < 1:
        raise VolumeError(f"{path}: claims {size_of(shape)}; every side is at least 1")
    if shape[3] not in CHANNELS:
        raise VolumeError(f"{path}: has {shape[3]} channels; prb reads volumes of 1, 3 or 6")
    return shape, header["box"].astype(np.float64)


def _box_to_world(box):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.diag(box[1] - box[0]), box[0]
    return matrix


def size_of(shape):
    """The shape (Z, Y, X, channels) in words."""
    z, y, x, channels = shape
    return f"{x} x {y} x {z} voxels of {channels} channel{'s' if channels > 1 else ''}"


def check_size(path, shape):
    """Raise VolumeError for a grid that is too large for this machine."""
    numbers, memory = math.prod(shape), _memory()
    limit = math.inf if memory is None else MEMORY_FRACTION * memory
    if 4 * numbers > limit or numbers > MAX_NUMBERS:
        raise VolumeError(
            f"{path}: {size_of(shape)} take {4 * numbers / 2**30:.3g} GiB, more than the"
            f" {min(limit, 4 * MAX_NUMBERS) / 2**30:.3g} GiB that prb gives one grid on this machine; reduce"
            " its resolution"
        )


def _memory():
    """Bytes of memory of the machine, None where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def write_vol(path, values, *, box=UNIT):
    """Write a grid, (Z, Y, X) or (Z, Y, X, channels), as .vol, just what `read_vol` reads again.

    box: the two corners that the file names, which `use_grid_bbox` asks for. The file is whole at any moment.
    Raises VolumeError, and ImageError for a name that cannot be written.
    """
    path = check_output(path, (".vol",))
    values = np.asarray(values, "<f4")
    values = values[..., None] if values.ndim == 3 else values
    if values.ndim != 4 or 0 in values.shape or values.shape[3] not in CHANNELS:
        raise VolumeError(
            f"{path}: expected a grid (Z, Y, X, 1, 3 or 6), got an array of shape {values.shape}"
        )
    header = np.zeros((), _HEADER)
    header["magic"], header["type"], header["size"] = _MAGIC, 1, values.shape[2::-1]
    header["channels"], header["box"] = values.shape[3], box
    try:
        with atomic(path) as temporary, open(temporary, "wb") as file:
            file.write(header.tobytes())
            np.ascontiguousarray(values).tofile(file)
    except OSError as error:
        raise VolumeError(f"{path}: cannot be written: {error.strerror}; choose another place") from None
