"""Phase functions: `isotropic`, `rayleigh`, `hg`, `tabphase`, `sggx`, `blendphase`.

Their angle is the one between the directions in which light travels before and after: a cosine of 1 is
forward. `hg` with g above 0 scatters forward.
"""

from collections.abc import Mapping

import numpy as np

from prb.kernels.scattering import MAX_WEIGHTS
from prb.scene.model import Phase, Volume
from prb.scene.plugins.volumes import volume_of
from prb.scene.reading.reader import Reader
from prb.scene.reading.texts import parse_numbers
from prb.scene.reading.values import describe, numeric_array

# How far an optimiser may move `g`: where it is nearer to 1 the peak is hardly wider than float32 resolves.
LARGEST_G = 0.999
_ROUNDING = 1e-5  # of a matrix of float32 that should have no negative eigenvalue


def _without_parameters(reader: Reader) -> Phase:
    return Phase(reader.name, reader.type)


def _hg(reader: Reader) -> Phase:
    g = reader.number("g", 0.8, above=-1.0, below=1.0)
    value = np.float32(g)
    if abs(value) >= 1:
        reader.fail(f"{g:.9g} is {value:g} as a 32-bit number; expected a value in (-1, 1)", "g")
    high = max(LARGEST_G, float(abs(value)))
    volume = Volume(f"{reader.name}.g", "constant", np.array(value), -high, high)
    return Phase(reader.name, "hg", {"g": volume})


def _tabphase(reader: Reader) -> Phase:
    """Numbers at cosines that are regular from -1 to 1, linear in between; prb also takes a list of them."""
    if "values" not in reader:
        reader.fail("missing; expected two numbers or more, from backward to forward", "values")
    value = reader.data["values"]
    array = numeric_array(parse_numbers(value) if isinstance(value, str) else value)
    if array is None or array.ndim != 1:
        reader.fail(f"expected numbers such as '0.5, 1, 2', got {describe(value)}", "values")
    if len(array) < 2:
        reader.fail(f"expected two numbers or more, from backward to forward, got {len(array)}", "values")
    reader.check_range(array, 0.0, np.inf, "values")
    array = array.astype(np.float32)
    if not array.sum() > 0:
        reader.fail("all numbers are 0, so that nothing is scattered; at least one is positive", "values")
    return Phase(reader.name, "tabphase", {"values": Volume(f"{reader.name}.values", "constant", array)})


def _sggx(reader: Reader) -> Phase:
    volume = volume_of(reader, "S", None, low=-np.inf, channels=(6,))
    _check_definite(reader, volume)
    return Phase(reader.name, "sggx", {"S": volume})


def _check_definite(reader: Reader, volume: Volume) -> None:
    """Fail unless each matrix has no negative eigenvalue: all its principal minors are at least 0."""
    xx, yy, zz, xy, xz, yz = np.moveaxis(volume.value.reshape(-1, 6).astype(np.float64), 1, 0)
    size = np.abs(volume.value).max() or 1.0
    pairs = np.minimum(np.minimum(xx * yy - xy**2, xx * zz - xz**2), yy * zz - yz**2)
    det = xx * (yy * zz - yz**2) - xy * (xy * zz - yz * xz) + xz * (xy * yz - yy * xz)
    limit = -_ROUNDING * size
    bad = np.minimum(np.minimum(xx, yy), zz) < limit
    bad |= (pairs < limit * size) | (det < limit * size**2)
    if bad.any():
        at = int(np.argmax(bad))
        where = ""
        if volume.kind == "grid":
            z, y, x = np.unravel_index(at, volume.value.shape[:3])
            where = f"in the voxel z {z}, y {y}, x {x} "
        reader.fail(
            f"the matrix {where}has a negative eigenvalue; the six numbers are xx, yy, zz, xy, xz, yz of"
            " squared projected areas",
            "S",
        )


def _blendphase(reader: Reader) -> Phase:
    """(1 - weight) times the first nested phase function plus weight times the second."""
    volumes = {"weight": volume_of(reader, "weight", None, high=1.0, channels=(1,))}
    children = []
    for child in reader.children("phase"):
        if child.category != "phase":
            child.misplaced(reader)
        children.append(child.make())
    if len(children) != 2:
        reader.fail(f"blendphase holds two nested phase functions, got {len(children)}")
    made = Phase(reader.name, "blendphase", volumes, tuple(children))
    if _depth(made) > MAX_WEIGHTS:
        reader.fail(f"blends are nested more than {MAX_WEIGHTS} deep; flatten them")
    return made


def _depth(phase: Phase) -> int:
    return 1 + max(map(_depth, phase.children)) if phase.children else 0


PHASES: Mapping = {
    "isotropic": _without_parameters,
    "rayleigh": _without_parameters,
    "hg": _hg,
    "tabphase": _tabphase,
    "sggx": _sggx,
    "blendphase": _blendphase,
}
