"""From a SceneModel to the flat arrays that `kernels.view.SceneView` describes. NumPy only."""

from dataclasses import dataclass

import numpy as np

from prb import bvh
from prb.errors import SceneError
from prb.kernels import bsdf as bsdf_kernels
from prb.kernels import emitter as emitter_kernels
from prb.kernels import texture as texture_kernels
from prb.kernels.view import (
    DISK,
    DISK_LIMIT,
    PACKET_ROWS,
    PARALLELOGRAM,
    SPHERE,
    SUM_LIMIT,
    TRIANGLE,
    U_ROW,
    V_ROW,
    W_ROW,
    WIDTH,
    Features,
)

ROUNDING = 4e-7  # of a hit's position, over the size of the coordinates it is computed from
LUMINANCE = np.array([0.212671, 0.715160, 0.072169])
CUBE_FACES = np.array(  # corner, two edges, with the normal e1 x e2 outwards
    [
        [[-1, -1, 1], [2, 0, 0], [0, 2, 0]],
        [[1, -1, -1], [-2, 0, 0], [0, 2, 0]],
        [[1, -1, 1], [0, 0, -2], [0, 2, 0]],
        [[-1, -1, -1], [0, 0, 2], [0, 2, 0]],
        [[-1, 1, 1], [2, 0, 0], [0, 0, -2]],
        [[-1, -1, -1], [2, 0, 0], [0, 0, 2]],
    ],
    float,
)


@dataclass(eq=False)
class Layout:
    """arrays: name -> NumPy array, as SceneView names them, without `params`.

    params: float32, every texture's numbers; slices: texture name -> (offset, shape).
    environment: entry of `lights` of the environment, or -1.
    """

    arrays: dict[str, np.ndarray]
    params: np.ndarray
    textures: list
    offsets: list[int]
    features: Features
    environment: int


def lay_out(model, *, progress=False):
    """The arrays of a SceneModel."""
    tables = _Tables()
    for shape in model.shapes:
        tables.shape(shape)
    for light in model.emitters:
        tables.emitter(light)
    prims = [_primitives(shape) for shape in model.shapes]
    kinds = np.concatenate([p.kind for p in prims] or [np.zeros(0, np.int32)])
    corners = np.concatenate([p.corners for p in prims] or [np.zeros((0, 3, 3))])
    owner = np.repeat(np.arange(len(prims), dtype=np.int32), [len(p.kind) for p in prims])
    normals, first_normal = _vertex_normals(prims)

    lower, upper = _boxes(kinds, corners)
    tree = bvh.build(lower, upper, width=WIDTH, progress=progress)
    children, slots = _packets_of(tree)
    flat = slots.reshape(-1)
    used = flat >= 0
    prim = np.where(used, flat, 0)

    def by_slot(values, fill):
        out = np.full((len(flat), *values.shape[1:]), fill, values.dtype)
        out[used] = values[prim[used]]
        return out

    info = np.stack([kinds, owner, first_normal, np.zeros_like(kinds)], axis=1).astype(np.int32)
    lights, light_pdf, prim_light, environment = _lights(model, tables, kinds, corners, owner)
    slot_of = np.full(len(kinds), -1, np.int32)
    slot_of[prim[used]] = np.flatnonzero(used)
    surface = lights[:, 0] >= 0
    lights[surface, 0] = slot_of[lights[surface, 0]]

    stack = 64
    while stack < tree.stack_size + WIDTH:
        stack *= 2
    features = Features(
        bsdfs=tuple(sorted(tables.bsdf_kinds)),
        emitters=tuple(sorted(tables.emitter_kinds)),
        twosided=tables.twosided,
        spheres=bool((kinds == SPHERE).any()),
        disks=bool((kinds == DISK).any()),
        normals=len(normals) > 0,
        hide_emitters=model.integrator.hide_emitters,
        stack=stack,
        exclusive=False,
        block=0,
        stride=1,
        cached=1,
    )
    arrays = {
        "nodes": tree.bounds,
        "children": children,
        "packets": _packets(slots, kinds, corners),
        "prims": by_slot(_records(kinds, corners), 0),
        "prim_info": by_slot(info, 0),
        "prim_light": by_slot(prim_light, -1),
        "normals": normals,
        "shapes": np.array(tables.shapes, np.int32).reshape(-1, 4),
        "bsdfs": tables.bsdf_table(),
        "textures": np.array(tables.texture_rows, np.int32).reshape(-1, 4),
        "emitters": np.array(tables.emitter_rows, np.int32).reshape(-1, 4),
        "emitter_data": np.array(tables.emitter_data, np.float32).reshape(-1, 4),
        "lights": lights,
        "light_pdf": light_pdf,
    }
    params = np.concatenate([np.ravel(t.value) for t in tables.textures] or [np.zeros(0)]).astype(np.float32)
    return Layout(arrays, params, tables.textures, tables.offsets, features, environment)


class _Tables:
    """Numbers textures, BSDFs, emitters and shapes; an object that is met twice keeps its number."""

    def __init__(self):
        self.textures, self.offsets, self.texture_rows = [], [], []
        self.bsdf_rows, self.emitter_rows, self.emitter_data, self.shapes = [], [], [], []
        self.bsdf_kinds, self.emitter_kinds, self.twosided = set(), set(), False
        self._numbers = {}
        self._size = 0

    def texture(self, texture):
        if id(texture) not in self._numbers:
            self._numbers[id(texture)] = len(self.textures)
            self.textures.append(texture)
            self.offsets.append(self._size)
            self.texture_rows.append([texture_kernels.KINDS[texture.kind], self._size, 1, 1])
            self._size += np.size(texture.value)
        return self._numbers[id(texture)]

    def bsdf(self, model):
        if id(model) in self._numbers:
            return self._numbers[id(model)]
        number = self._numbers[id(model)] = len(self.bsdf_rows)
        self.bsdf_rows.append(None)
        if model.kind == "twosided":
            self.twosided = True
            sides = [self.bsdf(child) for child in model.children]
            self.bsdf_rows[number] = [bsdf_kernels.TWOSIDED, sides[0], sides[-1]]
        else:
            self.bsdf_kinds.add(model.kind)
            keys = [p.key for p in bsdf_kernels.REGISTRY[model.kind].PARAMETERS]
            row = [bsdf_kernels.KINDS[model.kind]] + [self.texture(model.textures[key]) for key in keys]
            self.bsdf_rows[number] = row
        return number

    def emitter(self, light):
        if light is None:
            return -1
        if id(light) not in self._numbers:
            self._numbers[id(light)] = len(self.emitter_rows)
            self.emitter_kinds.add(light.kind)
            (texture,) = light.textures.values()
            self.emitter_rows.append([emitter_kernels.KINDS[light.kind], self.texture(texture), 0, 0])
            position = (0, 0, 0) if light.position is None else light.position
            self.emitter_data.append([*position, 0])
        return self._numbers[id(light)]

    def shape(self, shape):
        self.shapes.append([self.bsdf(shape.bsdf), self.emitter(shape.emitter), 0, 0])

    def bsdf_table(self):
        width = max((len(row) for row in self.bsdf_rows), default=1)
        return np.array([row + [0] * (width - len(row)) for row in self.bsdf_rows], np.int32).reshape(
            -1, width
        )


@dataclass
class _Primitives:
    kind: np.ndarray  # (n,) int32
    corners: np.ndarray  # (n, 3, 3) float64: v0, e1, e2; a sphere's as SceneView.prims says
    normals: np.ndarray | None = None  # (n, 3, 3) float32, of the three vertices


def _primitives(shape):
    m = np.asarray(shape.to_world, float)
    linear, origin = m[:3, :3], m[:3, 3]
    if shape.kind == "mesh":
        v = shape.vertices.astype(float)[shape.faces]
        corners = np.stack([v[:, 0], v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]], axis=1)
        normals = None if shape.normals is None else shape.normals[shape.faces].astype(np.float32)
        return _Primitives(np.full(len(v), TRIANGLE, np.int32), corners, normals)
    if shape.kind == "sphere":
        radius = np.cbrt(abs(np.linalg.det(linear)))
        sign = -1.0 if shape.flip_normals else 1.0
        return _Primitives(np.array([SPHERE], np.int32), np.array([[origin, [radius, 0, 0], [sign, 0, 0]]]))
    local = CUBE_FACES if shape.kind == "cube" else CUBE_FACES[:1] - [[[0, 0, 1], [0, 0, 0], [0, 0, 0]]]
    corners = local @ linear.T
    corners[:, 0] += origin
    if shape.flip_normals != (np.linalg.det(linear) < 0):
        corners[:, [1, 2]] = corners[:, [2, 1]]
    kind = DISK if shape.kind == "disk" else PARALLELOGRAM
    return _Primitives(np.full(len(corners), kind, np.int32), corners)


def _vertex_normals(prims):
    """All vertex normals (n, 3), and for each primitive the first of its three, or -1."""
    first, parts, total = [], [], 0
    for p in prims:
        n = len(p.kind)
        if p.normals is None:
            first.append(np.full(n, -1, np.int32))
        else:
            first.append((total + 3 * np.arange(n)).astype(np.int32))
            parts.append(p.normals.reshape(-1, 3))
            total += 3 * n
    normals = np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)
    return normals, np.concatenate(first) if first else np.zeros(0, np.int32)


def _boxes(kinds, corners):
    """Bounds of each primitive, rounded outwards: float32 (n, 3) twice."""
    v0, e1, e2 = corners[:, 0], corners[:, 1], corners[:, 2]
    fourth = np.where((kinds == TRIANGLE)[:, None], v0, v0 + e1 + e2)
    points = np.stack([v0, v0 + e1, v0 + e2, fourth])
    lower, upper = points.min(axis=0), points.max(axis=0)
    sphere = kinds == SPHERE
    radius = corners[sphere, 1, :1]
    lower[sphere], upper[sphere] = v0[sphere] - radius, v0[sphere] + radius
    margin = 2e-7 * np.maximum(np.abs(lower), np.abs(upper))
    return (lower - margin).astype(np.float32), (upper + margin).astype(np.float32)


def _packets_of(tree):
    """The tree's children with leaves as ~packet, and each packet's primitives: (packets, WIDTH) or -1."""
    children = tree.children.copy()
    leaf = children < 0
    code = ~children[leaf]
    first, count = code >> 3, (code & 7) + 1
    lanes = np.arange(WIDTH)
    if len(tree.order) == 0:
        return children, np.full((1, WIDTH), -1, np.int64)
    at = np.minimum(first[:, None] + lanes, len(tree.order) - 1)
    slots = np.where(lanes < count[:, None], tree.order[at], -1)
    children[leaf] = ~np.arange(len(code), dtype=np.int32)
    return children, slots


def _packets(slots, kinds, corners):
    """The affine maps of each packet: float32 (packets, PACKET_ROWS, WIDTH)."""
    v0, e1, e2 = (corners[:, i] for i in range(3))
    n = np.cross(e1, e2)
    n2 = np.einsum("ij,ij->i", n, n)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rows = np.zeros((len(kinds) + 1, PACKET_ROWS))  # the last one is the empty lane
        for row, direction in (
            (U_ROW, np.cross(e2, n) / n2[:, None]),
            (V_ROW, np.cross(n, e1) / n2[:, None]),
            (W_ROW, n / np.sqrt(n2)[:, None]),
        ):
            rows[:-1, row : row + 3] = direction
            rows[:-1, row + 3] = -np.einsum("ij,ij->i", direction, v0)
        # Edges move out by what rounding may move a hit, or rays would slip between neighbours.
        reach = ROUNDING * np.abs(corners).max(axis=2).sum(axis=1)
        steep = rows[:-1, U_ROW : U_ROW + 3] + rows[:-1, V_ROW : V_ROW + 3]
        ends = []  # of u + v along a triangle's third edge
        slack = [reach * np.linalg.norm(rows[:-1, row : row + 3], axis=1) for row in (U_ROW, V_ROW)]
        for row, own, other in ((U_ROW, *slack), (V_ROW, *slack[::-1])):
            rows[:-1, row + 3] += own
            rows[:-1, row : row + 4] /= (1 + 2 * own)[:, None]
            ends.append((1 + own) / (1 + 2 * own) + other / (1 + 2 * other))
        limit = np.maximum(*ends) + reach * np.linalg.norm(steep, axis=1)
        rows[:-1, SUM_LIMIT] = np.where(kinds == TRIANGLE, limit, 2)
        planar = rows.astype(np.float32)
    planar[:-1, DISK_LIMIT] = np.where(kinds == DISK, 0.25, 1)
    degenerate = ~np.isfinite(planar).all(axis=1)
    degenerate[-1] = True
    planar[degenerate] = 0
    planar[degenerate, W_ROW + 3] = 1
    sphere = np.flatnonzero(kinds == SPHERE)
    planar[sphere] = 0
    planar[sphere, 0:3] = v0[sphere]
    planar[sphere, 3] = corners[sphere, 1, 0]
    planar[sphere, DISK_LIMIT] = -1
    return np.ascontiguousarray(np.moveaxis(planar[slots], 1, 2))


def _records(kinds, corners):
    """Each primitive as SceneView.prims describes it: float32 (n, 12)."""
    normal = np.cross(corners[:, 1], corners[:, 2])
    size = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.divide(normal, size, out=np.zeros_like(normal), where=size > 0)
    records = np.concatenate([corners.reshape(-1, 9), normal], axis=1)
    sphere = kinds == SPHERE
    records[sphere, 9], records[sphere, 6] = records[sphere, 6], 0
    return records.astype(np.float32)


def _areas(kinds, corners):
    double = np.linalg.norm(np.cross(corners[:, 1], corners[:, 2]), axis=1)
    factor = np.select([kinds == PARALLELOGRAM, kinds == DISK], [1.0, 0.25 * np.pi], 0.5)
    return np.where(kinds == SPHERE, 4 * np.pi * corners[:, 1, 0] ** 2, double * factor)


def _lights(model, tables, kinds, corners, owner):
    """The table that next-event estimation chooses from, with each primitive's entry.

    Half of the probability is shared out evenly over the lights, so that one whose radiance is zero but
    differentiated is still sampled, half in proportion to power; within a surface, to area.
    Returns lights int32 (n, 4) with primitives in place of slots, light_pdf float32 (n, 4), prim_light
    int32 (primitives,), and the environment's entry or -1.
    """
    area = _areas(kinds, corners)
    radius = (
        0.5 * np.linalg.norm(np.ptp(np.concatenate(_boxes(kinds, corners)), axis=0)) if len(kinds) else 1.0
    )
    entries = []  # (primitives or None, emitter, power, weight)
    for i, shape in enumerate(model.shapes):
        if shape.emitter is not None:
            own = np.flatnonzero((owner == i) & (area > 0))
            if len(own) == 0:
                raise SceneError(
                    f"{shape.emitter.name}: its shape has no area and cannot emit; remove the emitter"
                )
            entries.append((own, shape.emitter, np.pi * area[own].sum()))
    factor = {"constant": 4 * np.pi**2 * radius**2, "point": 4 * np.pi}
    entries += [(None, light, factor[light.kind]) for light in model.emitters]
    prim_light = np.full(len(kinds), -1, np.int32)
    if not entries:
        return np.array([[-1, 0, 0, 0]], np.int32), np.zeros((1, 4), np.float32), prim_light, -1
    weight = np.array([e[1].sampling_weight for e in entries], float)
    if weight.sum() == 0:
        raise SceneError(f"{entries[0][1].name}.sampling_weight: no light has a weight above 0; raise one")
    power = np.array(
        [e[2] * (np.broadcast_to(next(iter(e[1].textures.values())).value, 3) @ LUMINANCE) for e in entries]
    )
    chance = weight / weight.sum()
    if (weight * power).sum() > 0:
        chance = 0.5 * chance + 0.5 * weight * power / (weight * power).sum()
    prims, emitters, probability, areas = [], [], [], []
    environment, total = -1, 0
    for (own, light, _), p in zip(entries, chance, strict=True):
        n = 1 if own is None else len(own)
        prims.append(np.array([-1]) if own is None else own)
        emitters.append(np.full(n, tables.emitter(light)))
        probability.append(np.array([p]) if own is None else p * area[own] / area[own].sum())
        areas.append(np.zeros(1) if own is None else area[own])
        if own is not None:
            prim_light[own] = total + np.arange(n)
        elif light.kind == "constant":
            environment = total
        total += n
    probability = np.concatenate(probability)
    threshold, alias = alias_table(probability)
    lights = np.stack([np.concatenate(prims), np.concatenate(emitters), alias, np.zeros(total)], axis=1)
    pdf = np.stack([threshold, probability, np.concatenate(areas), np.zeros(total)], axis=1)
    return lights.astype(np.int32), pdf.astype(np.float32), prim_light, environment


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
