"""The lights of a scene as tables: their numbers, how likely each is chosen, and how an environment map is
sampled. NumPy only."""

import numpy as np

from prb.device import primitives
from prb.errors import SceneError
from prb.kernels.emitter import ENVIRONMENTS
from prb.kernels.emitter.envmap import SPAN
from prb.kernels.texture import LUMINANCE

UNIFORM = 0.02  # part of an environment map's samples that ignores its texels
TOLERANCE = 0.05  # change of a distribution, in total variation, that its tables follow

EVEN = 2 / 3  # of the probability, what is shared out evenly: power says little of who sees which light


def data_rows(light):
    """What the kernels must know of a light besides its textures: rows of `emitter_data`, four numbers each.

    kernels/emitter says in each light's file what they are.
    """
    if light.kind == "point":
        return [[*light.position, 0.0]]
    if light.kind == "directional":
        return [[*light.direction, 0.0]]
    if light.kind not in ("spot", "projector", "envmap"):
        return []
    if light.kind == "envmap":
        height, width = light.textures["data"].value.shape[:2]
        extra = [width, height, 0.0]
    elif light.kind == "spot":
        cutoff, beam = np.radians([light.constants["cutoff_angle"], light.constants["beam_width"]])
        cot = 1 / np.tan(cutoff) if cutoff < 0.5 * np.pi else 0.0
        extra = [cutoff, 1 / max(cutoff - beam, 1e-6), cot]
    else:
        tan_x, tan_y = _projector_tangents(light)
        extra = [1 / tan_x, 1 / tan_y, 0.0]
    to_local = np.linalg.inv(light.to_world[:3, :3])
    position = [] if light.kind == "envmap" else [[*light.to_world[:3, 3], 0.0]]
    return position + [[*row, number] for row, number in zip(to_local, extra, strict=True)]


def _projector_tangents(light):
    """Tangents of half the horizontal and of half the vertical field of view."""
    picture = light.textures["irradiance"]
    height, width = picture.value.shape[:2] if picture.kind == "bitmap" else (1, 1)
    tan_x = np.tan(np.radians(0.5 * light.constants["x_fov"]))
    return tan_x, tan_x * height / width


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
    corners = corners + UNIFORM / (1 - UNIFORM) * mean if mean > 0 else np.ones_like(corners)
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


class LightTable:
    """What next-event estimation chooses from, as SceneView describes it, with each primitive's entry.

    EVEN of the probability is shared out evenly over the lights, so that one whose radiance is zero but
    differentiated is still sampled, the rest in proportion to power; within a surface, to area.

    prim_light: each primitive's entry, or -1, int32 (primitives,). environment: the entry of the
    environment, or -1.
    """

    def __init__(self, model, tables, kinds, corners, owner, lower, upper, slot_of):
        """tables: numbers the emitters. The rest: kind, corners, shape, bounds and slot of each primitive."""
        area = primitives.areas(kinds, corners)
        radius = 0.5 * np.linalg.norm(np.ptp(np.concatenate([lower, upper]), axis=0)) if len(kinds) else 1.0
        entries = []  # (primitives or None, emitter, power for a radiometric quantity of 1)
        for i, shape in enumerate(model.shapes):
            if shape.emitter is not None:
                own = np.flatnonzero((owner == i) & (area > 0))
                if len(own) == 0:
                    raise SceneError(
                        f"{shape.emitter.name}: its shape has no area and cannot emit; remove the emitter"
                    )
                entries.append((own, shape.emitter, np.pi * area[own].sum()))
        entries += [(None, light, _power(light, radius)) for light in model.emitters]
        self.prim_light = np.full(len(kinds), -1, np.int32)
        self.environment = -1
        self._lights = [e[1] for e in entries]
        self._factors = np.array([e[2] for e in entries], float)
        self._weights = np.array([e[1].sampling_weight for e in entries], float)
        if entries and self._weights.sum() == 0:
            name = entries[0][1].name
            raise SceneError(f"{name}.sampling_weight: no light has a weight above 0; raise one")
        slots, numbers, areas, share, light_of = [], [], [], [], []
        first = 0
        for number, (own, light, _) in enumerate(entries):
            n = 1 if own is None else len(own)
            slots.append(np.array([-1]) if own is None else slot_of[own])
            numbers.append(np.full(n, tables.emitter(light)))
            areas.append(np.zeros(1) if own is None else area[own])
            share.append(np.ones(1) if own is None else area[own] / area[own].sum())
            light_of.append(np.full(n, number))
            if own is not None:
                self.prim_light[own] = first + np.arange(n)
            elif light.kind in ENVIRONMENTS:
                self.environment = first
            first += n
        self._arrays = {
            "lights": np.zeros((max(first, 1), 4), np.int32),
            "light_pdf": np.zeros((max(first, 1), 4), np.float32),
            "env_marginal": np.zeros(1, np.float32),
            "env_conditional": np.zeros(1, np.float32),
        }
        self._arrays["lights"][:, 0] = np.concatenate(slots) if entries else -1
        self._chance = self._texels = None  # what the tables were made from
        if entries:
            self._arrays["lights"][:, 1] = np.concatenate(numbers)
            self._arrays["light_pdf"][:, 2] = np.concatenate(areas)
            self._share, self._light_of = np.concatenate(share), np.concatenate(light_of)
            self._make(lambda texture: texture.value, 0.0)

    def arrays(self):
        """`lights`, `light_pdf`, `env_marginal` and `env_conditional`. `refresh` changes them in place."""
        return self._arrays

    def refresh(self, layout, values, tolerance=TOLERANCE):
        """Let the tables follow the parameters. Returns the names of the arrays that have changed.

        layout, values: the scene's layout and its flat parameter buffer. The tables only decide where samples
        go, so they stay as they are, with the same random numbers for nearly equal scenes, until what they
        are made from has changed by more than `tolerance` in total variation.
        """
        if not self._lights:
            return set()
        offset = {id(t): at for t, at in zip(layout.textures, layout.offsets, strict=True)}

        def value_of(texture):
            at = offset.get(id(texture))
            size = np.size(texture.value)
            return texture.value if at is None else values[at : at + size].reshape(np.shape(texture.value))

        return self._make(value_of, tolerance)

    def _make(self, value_of, tolerance):
        changed = set()
        means = [np.prod([_mean(t, value_of) for t in e.textures.values()]) for e in self._lights]
        power = self._factors * means
        chance = self._weights / self._weights.sum()
        if (self._weights * power).sum() > 0:
            chance = EVEN * chance + (1 - EVEN) * self._weights * power / (self._weights * power).sum()
        if self._chance is None or 0.5 * np.abs(chance - self._chance).sum() > tolerance:
            self._chance = chance
            probability = chance[self._light_of] * self._share
            threshold, alias = alias_table(probability)
            self._arrays["lights"][:, 2] = alias
            self._arrays["light_pdf"][:, :2] = np.stack([threshold, probability], axis=1)
            changed |= {"lights", "light_pdf"}
        changing = ("env_marginal", "env_conditional")
        for light in self._lights:
            if light.kind == "envmap":
                texels = value_of(light.textures["data"])
                if self._texels is None or _variation(texels, self._texels) > tolerance:
                    self._texels = np.array(texels)
                    for name, table in zip(changing, environment_tables(texels), strict=True):
                        if self._arrays[name].shape == table.shape:
                            self._arrays[name][...] = table  # others hold it, too
                        else:
                            self._arrays[name] = table
                    changed.update(changing)
        return changed


def _power(light, radius):
    """Power of a light whose textures are 1. radius: of the scene's bounding sphere."""
    if light.kind in ENVIRONMENTS:
        return 4 * np.pi**2 * radius**2
    if light.kind == "directional":
        return np.pi * radius**2
    if light.kind == "spot":
        cutoff, beam = np.radians([light.constants["cutoff_angle"], light.constants["beam_width"]])
        slope = (np.sin(cutoff) - np.sin(beam)) / (cutoff - beam) if cutoff > beam else np.cos(cutoff)
        return 2 * np.pi * (1 - slope)
    if light.kind == "projector":
        tan_x, tan_y = _projector_tangents(light)
        return 4 * np.pi * tan_x * tan_y
    return 4 * np.pi


def _mean(texture, value_of):
    """Mean luminance of a texture."""
    children = getattr(texture, "children", ())
    if children:
        return np.mean([_mean(child, value_of) for child in children])
    value = np.asarray(value_of(texture))
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
