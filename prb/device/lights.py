"""What next-event estimation samples from: the probability of each light, and the tables of an environment
map. NumPy only."""

import numpy as np

from prb.device import primitives
from prb.device.dependents import Dependent
from prb.device.emitters import unit_power
from prb.errors import SceneError
from prb.kernels.emitter import ENVIRONMENTS
from prb.kernels.emitter.envmap import SPAN
from prb.kernels.texture import LUMINANCE

UNIFORM_PART = 0.02  # of an environment map's samples: those drawn regardless of its texels
TOLERANCE = 0.05  # total variation by which a distribution may change before its tables are updated

MIN_AREA = 1e-30  # of a triangle that has lost its area: it is still an entry, and its density is finite
EVEN_PART = 2 / 3  # of the probability, divided equally: power says little about who sees which light


def environment_tables(image):
    """`env_marginal` and `env_conditional`, as kernels/emitter/envmap.py describes them.

    image: radiance, (height, width, 3 or 1), height at least 2; its negative texels count as zero.
    """
    image = np.asarray(image, float)
    height, width = image.shape[:2]
    corners = np.maximum(image @ LUMINANCE if image.shape[2] == 3 else image[..., 0], 0)
    cosines = np.cos(np.pi * np.arange(height) / (height - 1))
    solid_angle = (2 * np.pi / width * (cosines[:-1] - cosines[1:]))[:, None]  # of a cell in each row

    def cells(corners):
        rows = 0.5 * (corners[:-1] + corners[1:])
        return solid_angle * 0.5 * (rows + np.roll(rows, -1, axis=1))

    mean = cells(corners).sum() / (4 * np.pi)
    corners = corners + UNIFORM_PART / (1 - UNIFORM_PART) * mean if mean > 0 else np.ones_like(corners)
    corners /= cells(corners).sum()
    corners = corners.astype(np.float32)
    chance = cells(corners.astype(float))
    marginal, conditional = _searchable(chance.sum(axis=1)[None]), _searchable(chance)
    half = 0.5 * np.pi * np.arange(height) / (height - 1)
    marginal = np.concatenate([marginal, np.sin(half) ** 2, np.sin(half[::-1]) ** 2])
    return marginal.astype(np.float32), np.concatenate([conditional, corners.ravel()])


def _searchable(chance):
    """The distribution function of each row of chances (rows, n), then the guide to each: flat float32."""
    rows, n = chance.shape
    parts = -(-n // SPAN)
    cdf, guide = np.zeros((rows, n + 1), np.float32), np.full((rows, parts + 1), n - 1, np.float32)
    np.cumsum(chance, axis=1, out=cdf[:, 1:])
    cdf /= cdf[:, -1:]
    edges = np.arange(parts, dtype=np.float32) / np.float32(parts)
    for i in range(rows):
        guide[i, :-1] = np.searchsorted(cdf[i, 1:n], edges, side="right")
    return np.concatenate([cdf.ravel(), guide.ravel()])


class LightEntries:
    """What next-event estimation chooses from: for each light that is no surface one entry, and one for each
    primitive of a surface that emits.

    count: of the entries. prim_light: each primitive's entry, or -1, int32 (primitives,). environment: the
    entry of the environment, or -1. lights: the emitters, in the order of their first entries. unit_power:
    each light's power where its radiometric quantity is 1. light_of: number of each entry's light. slots,
    areas: of each entry's primitive, -1 and 0 without one. power_fraction: each entry's part of its light's
    power.
    """

    def __init__(self, model, emitters, geometry):
        """emitters: the `EmitterTable`. geometry: the `Geometry`."""
        self._owned, self._placed = [], model.emitters
        self.lights = []
        for i, shape in enumerate(model.shapes):
            if shape.emitter is not None:
                own = np.arange(geometry.starts[i], geometry.starts[i + 1])
                if not _areas(geometry, own).any():
                    raise SceneError(
                        f"{shape.emitter.name}: its shape has no area and cannot emit; remove the emitter"
                    )
                self._owned.append(own)
                self.lights.append(shape.emitter)
        self.lights += model.emitters
        self.prim_light = np.full(len(geometry.kinds), -1, np.int32)
        self.environment = -1
        numbers, light_of = [], []
        self.count = 0
        for number, light in enumerate(self.lights):
            own = self._owned[number] if number < len(self._owned) else None
            n = 1 if own is None else len(own)
            numbers.append(np.full(n, emitters.number(light)))
            light_of.append(np.full(n, number))
            if own is not None:
                self.prim_light[own] = self.count + np.arange(n)
            elif light.kind in ENVIRONMENTS:
                self.environment = self.count
            self.count += n
        if self.count:
            self._emitters, self.light_of = np.concatenate(numbers), np.concatenate(light_of)
        self.measure(geometry)

    def measure(self, geometry):
        """Take the primitives' areas and slots, and the size of the scene, as they are now."""
        radius = 0.5 * geometry.size()
        columns, power = [], []
        for own in self._owned:
            area = _areas(geometry, own)
            columns.append((geometry.slot_of[own], area, _parts(area)))
            power.append(np.pi * area.sum())
        columns += [(np.array([-1]), np.zeros(1), np.ones(1))] * len(self._placed)
        self.unit_power = np.array([*power, *(unit_power(light, radius) for light in self._placed)], float)
        if columns:
            self.slots, self.areas, self.power_fraction = map(np.concatenate, zip(*columns, strict=True))

    def arrays(self):
        """`lights` and `light_pdf` without the columns that `LightTable` computes, and placeholders for the
        tables of an environment map."""
        rows = np.zeros((max(self.count, 1), 4), np.int32)
        pdf = np.zeros((max(self.count, 1), 4), np.float32)
        rows[:, 0] = -1
        if self.count:
            rows[:, 1] = self._emitters
        none = np.zeros(1, np.float32)
        arrays = {"lights": rows, "light_pdf": pdf, "env_marginal": none, "env_conditional": none.copy()}
        self.write(arrays)
        return arrays

    def write(self, arrays):
        """Write slots and areas to their columns."""
        if self.count:
            arrays["lights"][:, 0] = self.slots
            tiny = np.where(self.slots < 0, 0, MIN_AREA)
            arrays["light_pdf"][:, 2] = np.maximum(self.areas, tiny)

    def dependents(self, record_of):
        """The tables that depend on the parameters. record_of: a texture's record."""
        if not self.lights:
            return []
        maps = [record_of(light.textures["data"]) for light in self.lights if light.kind == "envmap"]
        return [LightTable(self, record_of), *map(EnvironmentTable, maps)]


class _Table(Dependent):
    """Tables only decide where samples go, so they are updated only when their inputs have changed by more
    than TOLERANCE in total variation: nearly equal scenes have the same random numbers until then."""

    tables = True

    def has_changed(self, new, old):
        return _variation(new[0], old[0]) > TOLERANCE


class LightTable(_Table):
    """The probability of each entry, as an alias table.

    EVEN_PART of the probability is divided equally among the lights, so that one whose radiance is zero but
    differentiated is still sampled, the rest in proportion to power; within a surface, to area.
    """

    arrays = ("lights", "light_pdf")

    def __init__(self, entries, record_of):
        self._entries = entries
        self._factors = [
            [_records(texture, record_of) for texture in light.textures.values()] for light in entries.lights
        ]
        super().__init__(dict.fromkeys(_flat(self._factors)))
        self._weights = np.array([light.sampling_weight for light in entries.lights], float)
        if self._weights.sum() == 0:
            name = entries.lights[0].name
            raise SceneError(f"{name}.sampling_weight: no light has a weight above 0; raise one")

    def inputs(self, values):
        """The probability of each light, and each entry's part of it."""
        means = [np.prod([_mean(factor, values) for factor in factors]) for factors in self._factors]
        power = self._entries.unit_power * means
        chance = self._weights / self._weights.sum()
        weighted = self._weights * power
        if weighted.sum() > 0:
            chance = EVEN_PART * chance + (1 - EVEN_PART) * self._weights * power / weighted.sum()
        return [chance, self._entries.power_fraction]

    def has_changed(self, new, old):
        if new[1] is old[1] and np.array_equal(new[0], old[0]):
            return False
        return 0.5 * np.abs(self._probability(new) - self._probability(old)).sum() > TOLERANCE

    def _probability(self, inputs):
        """Of each entry."""
        return inputs[0][self._entries.light_of] * inputs[1]

    def compute(self, inputs, arrays):
        probability = self._probability(inputs)
        threshold, alias = alias_table(probability)
        arrays["lights"][:, 2] = alias
        arrays["light_pdf"][:, :2] = np.stack([threshold, probability], axis=1)


class EnvironmentTable(_Table):
    """The distribution that an environment map is sampled from, made from its texels."""

    arrays = ("env_marginal", "env_conditional")

    def __init__(self, texels):
        super().__init__([texels])

    def compute(self, inputs, arrays):
        arrays.update(zip(self.arrays, environment_tables(inputs[0]), strict=True))


def _areas(geometry, own):
    """Those of some primitives."""
    return primitives.areas(geometry.kinds[own], geometry.corners[own])


def _parts(areas):
    """Each area's part of their sum; equal parts where that is zero."""
    total = areas.sum()
    return areas / total if total > 0 else np.full(len(areas), 1 / len(areas))


def _records(texture, record_of):
    """A texture's record; for one with children, a list of theirs."""
    return [_records(child, record_of) for child in texture.children] or record_of(texture)


def _flat(nested):
    return [record for x in nested for record in _flat(x)] if isinstance(nested, list) else [nested]


def _mean(records, values):
    """Mean luminance of a texture. records: its own, or a list of its children's."""
    if isinstance(records, list):
        return np.mean([_mean(child, values) for child in records])
    value = values[records]
    grey = value @ np.asarray(LUMINANCE, value.dtype) if value.ndim and value.shape[-1] == 3 else value
    return float(np.mean(grey, dtype=float))


def _variation(a, b):
    """Total variation between two arrays of non-negative numbers, taken as distributions."""
    a, b = np.asarray(a, np.float32), np.asarray(b, np.float32)
    total_a, total_b = a.sum(dtype=float), b.sum(dtype=float)
    if total_a <= 0 or total_b <= 0:
        return float(total_a != total_b)
    return 0.5 * np.abs(a / np.float32(total_a) - b / np.float32(total_b)).sum(dtype=float)


def alias_table(probability):
    """Walker's alias table by Vose's method (1991): thresholds in [0, 1] and aliases, both (n,)."""
    n = len(probability)
    scaled = np.asarray(probability, float) * n / np.sum(probability)
    threshold, alias = np.ones(n), np.arange(n)
    small = list(np.flatnonzero(scaled < 1))
    large = list(np.flatnonzero(scaled >= 1))
    while small and large:
        s, g = small.pop(), large[-1]
        threshold[s], alias[s] = scaled[s], g
        scaled[g] -= 1 - scaled[s]
        if scaled[g] < 1:
            small.append(large.pop())
    return threshold, alias
