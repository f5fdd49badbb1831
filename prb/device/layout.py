"""From a SceneModel to the flat arrays that `kernels.view.SceneView` describes. NumPy only."""

from dataclasses import dataclass, field

import numpy as np

from prb.device import bvh, lights, primitives
from prb.device.material_tables import MaterialTables
from prb.errors import SceneError
from prb.kernels import emitter as emitter_kernels
from prb.kernels import texture as kernels
from prb.kernels.view import CYLINDER, DISK, SPHERE, WIDTH, Features
from prb.scene.leaves import has_frame, is_attribute, varies
from prb.scene.model import Texture

SMALL = 64  # numbers; larger parameters come last in the buffer, so that a gradient may leave them out


@dataclass(eq=False)
class Layout:
    """arrays: name -> NumPy array, as SceneView names them, without `params`.

    params: float32, every texture's numbers; offsets: where those of each of the textures begin.
    environment: entry of `lights` of the environment, or -1. lights: makes the light tables anew.
    weights: names of the textures that are weights of blends and masks; turning: names of the vertex normals
    and the directions of lights.
    normals: for each mesh with vertex normals (slice of params, faces, first row of `normals`), directions:
    for each distant light (offset in params, row of `emitter_data`): arrays that follow the parameters.
    followed: first row -> the vertex normals that are in `normals` from there on.
    """

    arrays: dict[str, np.ndarray]
    params: np.ndarray
    textures: list
    offsets: list[int]
    features: Features
    environment: int
    lights: lights.LightTable
    weights: frozenset[str]
    turning: frozenset[str]
    normals: list
    directions: list
    followed: dict = field(default_factory=dict)

    def derive(self, values):
        """Let `normals` and `emitter_data` follow the parameters. Returns the names of what has changed."""
        changed = set()
        for place, faces, first in self.normals:
            own = values[place]
            if np.array_equal(own, self.followed.get(first)):
                continue
            self.followed[first] = own.copy()
            n = own.reshape(-1, 3)[faces].reshape(-1, 3)
            self.arrays["normals"][first : first + len(n)] = n
            changed.add("normals")
        for offset, row in self.directions:
            v = values[offset : offset + 3].astype(float)
            direction = (v / np.linalg.norm(v)).astype(np.float32)
            if not np.array_equal(self.arrays["emitter_data"][row, :3], direction):
                self.arrays["emitter_data"][row, :3] = direction
                changed.add("emitter_data")
        return changed


def lay_out(model, *, progress=False):
    """The arrays of a SceneModel."""
    tables = _Tables()
    for shape in model.shapes:
        tables.shape(shape)
    for light in model.emitters:
        tables.emitter(light)
    prims = [primitives.of_shape(shape) for shape in model.shapes]
    turning = tables.turning(model)
    offsets, params = tables.place()
    offset_of = dict(zip(map(id, tables.textures), offsets, strict=True))
    normals_at = [offset_of.get(id(turning.get(id(shape))), -1) for shape in model.shapes]
    distant = [e for e in model.emitters if id(e) in turning]
    directions = [(offset_of[id(turning[id(e)])], tables.data_row(e)) for e in distant]
    for offset, row in directions:
        tables.emitter_data[row][3] = offset
    kinds = np.concatenate([p.kind for p in prims] or [np.zeros(0, np.int32)])
    corners = np.concatenate([p.corners for p in prims] or [np.zeros((0, 3, 3))])
    owner = np.repeat(np.arange(len(prims), dtype=np.int32), [len(p.kind) for p in prims])
    normals, first_normal = primitives.vertex_normals(prims)

    lower, upper = primitives.boxes(kinds, corners)
    tree = bvh.build(lower, upper, width=WIDTH, progress=progress)
    children, slots = primitives.packets_of(tree, kinds)
    flat = slots.reshape(-1)
    used = flat >= 0
    prim = np.where(used, flat, 0)

    def by_slot(values, fill):
        out = np.full((len(flat), *values.shape[1:]), fill, values.dtype)
        out[used] = values[prim[used]]
        return out

    info = np.stack([kinds, owner, first_normal], axis=1).astype(np.int32)
    shapes = np.array(tables.shapes, np.int32).reshape(-1, 4)
    shapes[:, 2] = normals_at
    slot_of = np.full(len(kinds), -1, np.int32)
    slot_of[prim[used]] = np.flatnonzero(used)
    table = lights.LightTable(model, tables, kinds, corners, owner, lower, upper, slot_of)

    stack = 64
    while stack < tree.stack_size + WIDTH:
        stack *= 2
    features = Features(
        bsdfs=tuple(sorted(tables.materials.kinds)),
        emitters=tuple(sorted(tables.emitter_kinds)),
        textures=tuple(sorted(tables.texture_kinds)),
        varying=tuple(sorted(tables.materials.varying | tables.varying)),
        factors=any(row[2] >= 0 for row in tables.emitter_rows),
        leaves=tables.materials.leaves,
        unrolled=False,
        weights=tables.materials.weights if tables.materials.leaves > 1 else 0,
        frames=tuple(sorted(tables.materials.frames)),
        tangents=tables.materials.tangents,
        twosided=tables.materials.twosided,
        spheres=bool((kinds == SPHERE).any()),
        cylinders=bool((kinds == CYLINDER).any()),
        disks=bool((kinds == DISK).any()),
        normals=len(normals) > 0,
        hide_emitters=model.integrator.hide_emitters,
        stack=stack,
        exclusive=False,
        integers=False,
        shading=False,
        block=0,
        stride=1,
    )
    none = np.zeros((0, 1), np.float32)
    uvs = by_slot(_texture_coordinates(prims), 0) if features.textured else none.repeat(6, 1)
    numbered = "mesh_attribute" in features.textures or max(normals_at, default=-1) >= 0
    ids = _vertex_numbers(model, prims) if numbered else None
    starts = np.cumsum([0] + [len(p.kind) for p in prims])
    normals_of = [
        (slice(offset, offset + 3 * (shape.faces.max() + 1)), shape.faces, int(first_normal[start]))
        for shape, offset, start in zip(model.shapes, normals_at, starts[:-1], strict=True)
        if offset >= 0
    ]
    arrays = {
        "nodes": tree.bounds,
        "children": children,
        "packets": primitives.packets(slots, kinds, corners),
        "prims": by_slot(primitives.records(prims), 0),
        "prim_info": by_slot(info, 0),
        "prim_light": by_slot(table.prim_light, -1),
        "normals": normals,
        "uvs": uvs,
        "corners": np.zeros((0, 4), np.int32) if ids is None else by_slot(ids, 0),
        "shapes": shapes,
        **tables.materials.arrays(),
        "textures": tables.texture_table(),
        "to_uv": np.array(tables.to_uv, np.float32).reshape(-1, 6),
        "emitters": np.array(tables.emitter_rows, np.int32).reshape(-1, 4),
        "emitter_data": np.array(tables.emitter_data, np.float32).reshape(-1, 4),
        **table.arrays(),
    }
    return Layout(
        arrays, params, tables.textures, offsets, features, table.environment, table,
        frozenset(tables.materials.weight_names), frozenset(t.name for t in turning.values()),
        normals_of, directions,
    )  # fmt: skip


class _Tables:
    """Numbers textures, emitters, materials and shapes; an object that is met twice keeps its number.

    textures: those with numbers of their own, as parameters.
    """

    def __init__(self):
        self.textures, self.texture_rows, self.to_uv, self._rows_of = [], [], [], []
        self.texture_kinds = set()
        self.materials = MaterialTables(self.texture)
        self.emitter_rows, self.emitter_data, self.shapes = [], [], []
        self.emitter_kinds = set()
        self.varying = set()
        self._numbers = {}
        self._attributes = {}

    def texture(self, texture, mesh=None):
        """The number of a texture; one that is an attribute is looked up on the mesh."""
        if texture.kind == "mesh_attribute":
            texture = self._attribute(texture, mesh)
        key = (id(texture), id(mesh) if is_attribute(texture) else None)
        if key not in self._numbers:
            children = [self.texture(child, mesh) for child in texture.children]
            number = self._numbers[key] = len(self.texture_rows)
            self.texture_rows.append(_texture_row(texture, children))
            self.to_uv.append(np.ravel(texture.to_uv))
            if texture.kind not in ("rgb", "uniform"):
                self.texture_kinds.add("mesh_attribute" if "attribute" in texture.kind else texture.kind)
            if texture.kind != "checkerboard":
                self.textures.append(texture)
                self._rows_of.append(number)
            return number
        return self._numbers[key]

    def _attribute(self, texture, mesh):
        """The values of a mesh's attribute, as a texture that all who name it share."""
        values = None if mesh is None else mesh.attributes.get(texture.attribute)
        if values is None:
            has = "on a light" if mesh is None else f"on '{mesh.name}', which has "
            has += "" if mesh is None else ", ".join(mesh.attributes) or "no attributes"
            raise SceneError(f"{texture.name}: there is no attribute '{texture.attribute}' {has}")
        key = (id(values), texture.attribute)  # instances share theirs
        if key not in self._attributes:
            kind = "face_attribute" if texture.attribute.startswith("face_") else "vertex_attribute"
            name = f"{mesh.name}.{texture.attribute}"
            self._attributes[key] = Texture(name, kind, values, texture.low, texture.high)
        return self._attributes[key]

    def emitter(self, light):
        if light is None:
            return -1
        if id(light) not in self._numbers:
            self._numbers[id(light)] = len(self.emitter_rows)
            self.emitter_kinds.add(light.kind)
            slots = zip(("light", "factor"), light.textures.values(), strict=False)
            self.varying |= {place for place, texture in slots if varies(texture)}
            numbers = [self.texture(t) for t in light.textures.values()] + [-1]
            first = len(self.emitter_data)
            self.emitter_rows.append([emitter_kernels.KINDS[light.kind], *numbers[:2], first])
            self.emitter_data += lights.data_rows(light)
        return self._numbers[id(light)]

    def shape(self, shape):
        self.shapes.append([self.materials.number(shape.bsdf, shape), self.emitter(shape.emitter), 0, 0])

    def turning(self, model):
        """The parameters that turn directions: id of a shape or emitter -> Texture."""
        found, names = {}, {t.name for t in self.textures}
        for shape in model.shapes:
            name = f"{shape.name}.vertex_normals"
            if shape.normals is not None and name not in names:
                fixed = has_frame(shape.bsdf)
                found[id(shape)] = Texture(
                    name, "vertex_normals", shape.normals, low=-np.inf, differentiable=not fixed
                )
                names.add(name)
        for light in model.emitters:
            if light.kind == "directional":
                value = np.asarray(light.direction, np.float32)
                found[id(light)] = Texture(f"{light.name}.direction", "direction", value, low=-np.inf)
        for texture in found.values():
            self.textures.append(texture)
            self._rows_of.append(None)
        return found

    def data_row(self, light):
        """The first row of `emitter_data` that belongs to a light."""
        return self.emitter_rows[self._numbers[id(light)]][3]

    def place(self):
        """Where each texture's numbers begin in the parameter buffer, and the buffer, float32."""
        sizes = np.array([np.size(t.value) for t in self.textures], int)
        order = np.argsort(sizes > SMALL, kind="stable")
        offsets = np.zeros(len(sizes), int)
        offsets[order] = np.cumsum(sizes[order]) - sizes[order]
        params = np.zeros(sizes.sum(), np.float32)
        for texture, row, first in zip(self.textures, self._rows_of, offsets, strict=True):
            params[first : first + np.size(texture.value)] = np.ravel(texture.value)
            if row is not None:
                self.texture_rows[row][kernels.OFFSET] = int(first)
        return [int(x) for x in offsets], params

    def texture_table(self):
        return np.array(self.texture_rows, np.int32).reshape(-1, kernels.ROW)


def _texture_coordinates(prims):
    """Those of each primitive's three corners, float32 (primitives, 6); 0 for primitives that have none."""
    parts = [
        np.zeros((len(p.kind), 6), np.float32) if p.uvs is None else p.uvs.reshape(-1, 6).astype(np.float32)
        for p in prims
    ]
    return np.concatenate(parts or [np.zeros((0, 6), np.float32)])


def _vertex_numbers(model, prims):
    """Each primitive's three vertices and its face, as its mesh counts them: int32 (primitives, 4)."""
    parts = []
    for shape, p in zip(model.shapes, prims, strict=True):
        ids = np.zeros((len(p.kind), 4), np.int32)
        if shape.faces is not None:
            ids[:, :3], ids[:, 3] = shape.faces, np.arange(len(ids))
        parts.append(ids)
    return np.concatenate(parts or [np.zeros((0, 4), np.int32)])


def _texture_row(texture, children):
    """A row as kernels/texture.py describes it, without the offset."""
    row = [0] * kernels.ROW
    row[kernels.KIND] = {
        "bitmap": kernels.BITMAP,
        "checkerboard": kernels.CHECKERBOARD,
        "vertex_attribute": kernels.VERTEX_ATTRIBUTE,
        "face_attribute": kernels.FACE_ATTRIBUTE,
    }.get(texture.kind, kernels.CONSTANT)
    if texture.kind == "checkerboard":
        row[kernels.CHILDREN : kernels.CHILDREN + 2] = children
        return row
    shape = np.shape(texture.value)
    row[kernels.CHANNELS] = shape[-1] if shape else 1
    if texture.kind == "bitmap":
        row[kernels.ROWS], row[kernels.COLUMNS] = shape[:2]
        row[kernels.NEAREST] = int(texture.filter == "nearest")
        wrap = {"repeat": kernels.REPEAT, "mirror": kernels.MIRROR, "clamp": kernels.CLAMP}
        row[kernels.WRAP_U], row[kernels.WRAP_V] = (wrap[w] for w in texture.wrap)
    return row
