"""Primitives and their hierarchy as arrays: `nodes`, `children`, `packets`, and what is known of the
primitive in each slot of a packet."""

import numpy as np

from prb.device import bvh, primitives, runtime
from prb.device.refit import REBUILT_AT, Refit
from prb.kernels import placing
from prb.kernels.view import CYLINDER, DISK, SPHERE, WIDTH


class Geometry:
    """All shapes' primitives, numbered one shape after the other, and their places in packets.

    kinds, corners: of each primitive, see `prb.device.primitives`. owner: its shape's number. lower, upper:
    its bounds. slot_of: its slot among those of all packets, where kernels look it up, or -1. normals: those
    of each primitive's three vertices; first_normal: row of its first one, or -1. starts: number of the first
    primitive of each shape, and at the end how many there are.
    """

    def __init__(self, shapes, *, tree=None, progress=False):
        """tree: the hierarchy over these shapes' primitives, if it has been built before."""
        self._shapes = list(shapes)
        self._prims = prims = [primitives.of_shape(shape) for shape in shapes]
        self.starts = np.cumsum([0] + [len(p.kind) for p in prims])
        self.kinds = np.concatenate([p.kind for p in prims] or [np.zeros(0, np.int32)])
        self.corners = np.concatenate([p.corners for p in prims] or [np.zeros((0, 3, 3))])
        self.owner = np.repeat(np.arange(len(prims), dtype=np.int32), np.diff(self.starts))
        self.normals, self.first_normal = primitives.vertex_normals(prims)
        self.lower, self.upper = primitives.boxes(self.kinds, self.corners)
        self._build(tree, progress)

    def _build(self, tree=None, progress=False):
        """Build the hierarchy, which gives each primitive its slot."""
        self._refit = self._moving = None
        self.tree = tree or bvh.build(self.lower, self.upper, width=WIDTH, progress=progress)
        self._children, self._slots = primitives.packets_of(self.tree, self.kinds)
        flat = self._slots.reshape(-1)
        self._used = flat >= 0
        self._prim = np.where(self._used, flat, 0)
        self.slot_of = np.full(len(self.kinds), -1, np.int32)
        self.slot_of[self._prim[self._used]] = np.flatnonzero(self._used)

    def by_slot(self, values, fill):
        """Values of primitives as values of slots; `fill` for slots without a primitive."""
        out = np.full((len(self._used), *values.shape[1:]), fill, values.dtype)
        out[self._used] = values[self._prim[self._used]]
        return out

    def arrays(self, *, textured, numbered):
        """The arrays by name. textured: with texture coordinates; numbered: with the numbers of vertices and
        faces."""
        info = np.stack([self.kinds, self.owner, self.first_normal], axis=1).astype(np.int32)
        uvs = np.zeros((0, 6), np.float32)
        return {
            **self._moving_arrays(),
            "children": self._children,
            "prim_info": self.by_slot(info, 0),
            "uvs": self.by_slot(_texture_coordinates(self._prims), 0) if textured else uvs,
            "corners": self.vertex_numbers() if numbered else np.zeros((0, 4), np.int32),
        }

    def vertex_numbers(self):
        """`corners`: each slot's three vertices and its face, as its mesh counts them."""
        return self.by_slot(_vertex_numbers(self._shapes, self._prims), 0)

    def _moving_arrays(self):
        """The arrays that change where primitives move and the hierarchy stays."""
        if self._moving is None:
            self._moving = {
                "nodes": self.tree.bounds.copy(),
                "packets": primitives.packets(self._slots, self.kinds, self.corners),
                "prims": self.by_slot(primitives.records(self._prims), 0),
                "normals": self.normals,
            }
        return self._moving

    def moved(self, shapes):
        """Take other places of some shapes, number -> `prb.scene.model.Shape`. Returns the arrays that have
        changed, or None where the hierarchy had to be built again: then all have."""
        arrays = self._moving_arrays()
        for number, shape in shapes.items():
            self._shapes[number] = shape
            (self._move_mesh if shape.kind == "mesh" else self._move_analytic)(number, shape, arrays)
        self._refit = self._refit or Refit(self.tree)
        self._refit.update(self.lower, self.upper, arrays["nodes"])
        if self._refit.cost_of(arrays["nodes"]) > REBUILT_AT * self._refit.cost:
            for number in shapes:
                self._prims[number] = primitives.of_shape(self._shapes[number])
            self._build()
            return None
        return arrays

    def _move_mesh(self, number, shape, arrays):
        first, end = self.starts[number], self.starts[number + 1]
        runtime.ensure()
        faces = np.ascontiguousarray(shape.faces, np.int32)
        vertices = np.ascontiguousarray(shape.vertices, np.float32)
        placing.place_triangles(
            primitives.ROUNDING, first, vertices, faces, self.slot_of[first:end], self.corners, self.lower,
            self.upper, arrays["prims"], arrays["packets"],
        )  # fmt: skip
        if shape.normals is not None:
            normals = np.ascontiguousarray(shape.normals, np.float32)
            rows = self.rows_of_normals(number)
            placing.corner_normals(rows.start, faces, normals, self.normals)

    def _move_analytic(self, number, shape, arrays):
        own = slice(self.starts[number], self.starts[number + 1])
        self._prims[number] = prims = primitives.of_shape(shape)
        self.corners[own] = prims.corners
        self.lower[own], self.upper[own] = primitives.boxes(prims.kind, prims.corners)
        slots = self.slot_of[own]
        arrays["prims"][slots] = primitives.records([prims])
        lanes = np.full((-(-len(slots) // WIDTH), WIDTH), -1)
        lanes.reshape(-1)[: len(slots)] = np.arange(len(slots))
        rows = np.moveaxis(primitives.packets(lanes, prims.kind, prims.corners), 1, 2)
        arrays["packets"][slots // WIDTH, :, slots % WIDTH] = rows.reshape(-1, rows.shape[2])[: len(slots)]

    def rows_of_normals(self, number):
        """The rows of `normals` of a shape that has some."""
        first = int(self.first_normal[self.starts[number]])
        return slice(first, first + 3 * int(self.starts[number + 1] - self.starts[number]))

    def size(self):
        """The diagonal of the box around everything, 2 for an empty scene."""
        root = self._moving_arrays()["nodes"][0]
        used = root[0] <= root[1]
        if not used.any():
            return 2.0
        return float(np.linalg.norm(root[1::2, used].max(axis=1) - root[0::2, used].min(axis=1)))

    @property
    def stack_size(self):
        """Entries that a traversal's stack needs, a power of two."""
        stack = 64
        while stack < self.tree.stack_size + WIDTH:
            stack *= 2
        return stack

    def features(self):
        """The entries of the kernels' `Features` that the primitives determine."""
        return dict(
            spheres=bool((self.kinds == SPHERE).any()),
            cylinders=bool((self.kinds == CYLINDER).any()),
            disks=bool((self.kinds == DISK).any()),
            normals=len(self.normals) > 0,
            stack=self.stack_size,
        )


def _texture_coordinates(prims):
    """Those of each primitive's three corners, float32 (primitives, 6); 0 for primitives that have none."""
    parts = [
        np.zeros((len(p.kind), 6), np.float32) if p.uvs is None else p.uvs.reshape(-1, 6).astype(np.float32)
        for p in prims
    ]
    return np.concatenate(parts or [np.zeros((0, 6), np.float32)])


def _vertex_numbers(shapes, prims):
    """Each primitive's three vertices and its face, as its mesh counts them: int32 (primitives, 4)."""
    parts = []
    for shape, p in zip(shapes, prims, strict=True):
        ids = np.zeros((len(p.kind), 4), np.int32)
        if shape.faces is not None:
            ids[:, :3], ids[:, 3] = shape.faces, np.arange(len(ids))
        parts.append(ids)
    return np.concatenate(parts or [np.zeros((0, 4), np.int32)])
