"""Participating media and their phase functions as tables. NumPy only.

Their volumes are in `prb.device.volumes`, the bounds of their extinction in `prb.device.majorants`.
"""

import numpy as np

from prb.device.dependents import Dependent
from prb.device.majorants import Majorants, cells_of, flakes_of
from prb.device.volumes import channels_of
from prb.errors import ParameterError, SceneError
from prb.kernels import scattering
from prb.kernels.medium import (
    ALBEDO,
    BOUNDARY,
    CELLS,
    CELLS_X,
    CELLS_Y,
    CELLS_Z,
    EMISSION,
    FLAKES,
    HETEROGENEOUS,
    MEDIUM_COLUMNS,
    PHASE,
    PHASES,
    SAMPLE_EMITTERS,
    SCALE,
    SIDES,
    SIGMA_T,
)
from prb.kernels.phase import KINDS
from prb.scene.leaves import flatten
from prb.scene.phase_leaves import flatten_phase

PARAMETER_OF = {"hg": "g", "tabphase": "values", "sggx": "S"}  # phase functions that have one


class MediaTables:
    """Collects the rows of `media` and `phases`, and the volumes that these name.

    volumetric: whether the integrator sees media; if not, no medium gets a number and no volume is a
    parameter. weight_names: names of the volumes that are weights of blends, and of the values of tabulated
    phase functions: where one of these is zero, its derivative, too, needs samples that it gives no chance.
    extinction_names: of those that extinction is made of.
    """

    def __init__(self, volumes, *, volumetric):
        """volumes: the `VolumeTable`."""
        self._volumetric = volumetric
        self._volumes = volumes
        self._media, self._numbers = [], {}
        self._rows, self._phases = [], []
        self._kinds, self._leaves, self._weights = set(), 1, 0
        self._tabulated = []  # (volume, its first number in `phase_tables`)
        self._cells = self._table_size = 0
        self.weight_names, self.extinction_names = set(), set()

    def number(self, medium):
        """The number of a medium, the same one each time; -1 for vacuum."""
        if medium is None or not self._volumetric:
            return -1
        if id(medium) not in self._numbers:
            if len(self._media) == SIDES - 2:
                raise SceneError(f"{medium.name}: prb takes at most {SIDES - 2} media; share some of them")
            self._numbers[id(medium)] = len(self._media)
            self._media.append(medium)
            self._rows.append(self._row(medium))
        return self._numbers[id(medium)]

    @property
    def present(self):
        """True if the integrator sees some medium."""
        return bool(self._media)

    def code(self, shape):
        """What `shapes` has for the media on both sides of a shape: see kernels/medium.py."""
        if shape.interior is shape.exterior is None or not self._volumetric:
            return 0
        return BOUNDARY + self.number(shape.interior) + 1 + (self.number(shape.exterior) + 1) * SIDES

    def _row(self, medium):
        row = [0] * MEDIUM_COLUMNS
        volumes = medium.volumes
        row[HETEROGENEOUS] = int(medium.kind == "heterogeneous")
        row[SAMPLE_EMITTERS] = int(medium.sample_emitters)
        for column, key in ((SIGMA_T, "sigma_t"), (SCALE, "scale"), (ALBEDO, "albedo")):
            row[column] = self._volumes.number(volumes[key])
        self.extinction_names |= {volumes[key].name for key in ("sigma_t", "scale")}
        row[EMISSION] = self._volumes.number(volumes["emission"]) if "emission" in volumes else -1
        leaves = flatten_phase(medium.phase)
        row[PHASE], row[PHASES] = len(self._phases), len(leaves)
        self._leaves = max(self._leaves, len(leaves))
        for leaf in leaves:
            self._add(leaf)
        flakes = flakes_of(medium)
        row[FLAKES] = -1 if flakes is None else self._volumes.number(flakes)
        if flakes is not None:
            self.extinction_names.add(flakes.name)
        row[CELLS] = self._cells
        row[CELLS_Z], row[CELLS_Y], row[CELLS_X] = cells = cells_of(medium)
        self._cells += int(np.prod(cells))
        return row

    def _add(self, leaf):
        """Add a leaf of a phase function to `phases`."""
        row = [-1] * scattering.PHASE_COLUMNS
        kind = leaf.phase.kind
        row[scattering.KIND], row[scattering.TABLE] = KINDS[kind], 0
        for i, (volume, complement) in enumerate(leaf.weights):
            row[scattering.WEIGHTS + i] = 2 * self._volumes.number(volume) + complement
            self.weight_names.add(volume.name)
        if kind in PARAMETER_OF:
            volume = leaf.phase.volumes[PARAMETER_OF[kind]]
            check = {"check": _has_sum} if kind == "tabphase" else {}
            row[scattering.VOLUME] = self._volumes.number(volume, **check)
            if kind == "tabphase":
                row[scattering.TABLE] = self._table_size
                self._tabulated.append((volume, self._table_size))
                self.weight_names.add(volume.name)
                self._table_size += volume.value.size
        self._kinds.add(kind)
        self._weights = max(self._weights, len(leaf.weights))
        self._phases.append(row)

    def features(self, shapes):
        """The entries of the kernels' `Features` that media determine."""
        if not self._volumetric:
            return {}
        straight, dims = _straight_through(shapes)
        if not self._media and not straight:
            return {}
        volumes = [medium.volumes for medium in self._media]
        return dict(
            media=True,
            heterogeneous=any(m.kind == "heterogeneous" for m in self._media),
            spectral=any(channels_of(v[key]) == 3 for v in volumes for key in ("sigma_t", "scale")),
            emissive=any("emission" in v for v in volumes),
            phases=tuple(sorted(self._kinds)),
            phase_leaves=self._leaves,
            phase_weights=self._weights,
            phase_values=_power_of_two(max([volume.value.size for volume, _ in self._tabulated], default=0)),
            crossings=dims,
            microflakes=any(flakes_of(m) is not None for m in self._media),
        )

    def arrays(self, records):
        """The arrays of kernels/arrays.py that media have, those of dependents as placeholders. records: the
        parameters', by their numbers."""
        return {
            "media": _table(self._rows, MEDIUM_COLUMNS),
            "majorants": np.zeros((max(self._cells, 1), 2), np.float32),
            "phases": _table(self._phases, scattering.PHASE_COLUMNS),
            "phase_tables": np.zeros(max(self._table_size, 1), np.float32),
        }

    def dependents(self, records):
        """The bounds of all media, and the tables of their phase functions."""
        found = []
        for medium, row in zip(self._media, self._rows, strict=True):
            flakes = flakes_of(medium)
            made_of = (
                medium.volumes["sigma_t"],
                medium.volumes["scale"],
                *([] if flakes is None else [flakes]),
            )
            found.append(Majorants(medium, [self._volumes.record(v, records) for v in made_of], row[CELLS]))
        tables = [PhaseTable(self._volumes.record(v, records), at) for v, at in self._tabulated]
        return found + tables


class PhaseTable(Dependent):
    """The distribution function of a tabulated phase function over the cosine, at its nodes from -1 to 1."""

    arrays = ("phase_tables",)
    tables = True

    def __init__(self, record, first):
        super().__init__([record])
        self._first = first

    def compute(self, inputs, arrays):
        table = distribution(inputs[0])
        arrays["phase_tables"][self._first : self._first + len(table)] = table


def distribution(values):
    """The distribution function, at the nodes, of what is linear between values (n,) at regular nodes."""
    parts = np.maximum(values[1:], 0) + np.maximum(values[:-1], 0).astype(float)
    if parts.sum() == 0:
        parts[:] = 1
    cdf = np.concatenate([[0.0], np.cumsum(parts)])
    return (cdf / cdf[-1]).astype(np.float32)


def _has_sum(name, values):
    if not values.max() > 0:
        raise ParameterError(f"{name}: a phase function has a value above zero somewhere; raise one")


def _straight_through(shapes):
    """(True if rays pass straight through some surface, True if one of those dims them)."""
    straight = dims = False
    for bsdf in {id(shape.bsdf): shape.bsdf for shape in shapes}.values():
        leaves = flatten(bsdf)
        kinds = {leaf.model.kind for leaf in leaves}
        straight |= not kinds.isdisjoint({"null", "thindielectric"})
        dims |= "thindielectric" in kinds or ("null" in kinds and len(leaves) > 1)
    return straight, dims


def _power_of_two(n):
    """The next power of two, which more scenes have in common; 0 for 0."""
    return 1 << (n - 1).bit_length() if n else 0


def _table(rows, columns):
    """Rows as an array; one of zeros if there are none."""
    return np.array(rows or [[0] * columns], np.int32)
