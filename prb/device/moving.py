"""Shapes that move: their parameters, and primitives, normals, areas and hierarchy that follow.

`<mesh>.vertex_positions` are in world space, or for what instances copy in the space of their group;
`<shape>.to_world` is the matrix of the scene file. A mesh whose `to_world` is M lies at M M_0^-1 X, where M_0
is the one for which its positions X are; assigning a `to_world` by `prb.traverse` takes the positions along,
so that they are in world space again. Normals that were computed from the positions follow them; all normals
turn by the inverse transpose.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from prb.device import runtime
from prb.device.dependents import Dependent
from prb.device.geometry import Geometry
from prb.device.parameters import SHAPE_TRANSFORM, VERTICES
from prb.errors import ParameterError
from prb.kernels import placing
from prb.kernels.moving import FRAME_ROWS, OUTER_B, OWN_A, OWN_B, VERTEX_A
from prb.scene.plugins.shapes import keeps_round

FOLLOWING = "the normals of its instances follow the positions, which has no derivative"


@dataclass(frozen=True)
class _Check:
    """Raises ParameterError for a matrix that cannot place the shape. kind: the shape's. sign: that of the
    determinant that it has to have."""

    kind: str
    sign: float

    def __call__(self, name, matrix):
        scales = np.linalg.svd(matrix[:3, :3], compute_uv=False)
        if not np.allclose(matrix[3], [0, 0, 0, 1]):
            raise ParameterError(f"{name}: the last row of a transform is 0, 0, 0, 1")
        if scales[2] <= 1e-9 * scales[0]:
            raise ParameterError(f"{name}: the matrix flattens the shape; give it an invertible one")
        if np.sign(np.linalg.det(matrix[:3, :3])) != self.sign:
            raise ParameterError(f"{name}: the matrix mirrors the shape; turn or scale it instead")
        if self.kind in ("sphere", "cylinder") and not keeps_round(self.kind, matrix):
            raise ParameterError(f"{name}: the matrix does not keep a {self.kind} round; scale it evenly")


@dataclass(eq=False)
class _Shape:
    """A shape of the model, and the records that move it or None.

    own, outer: its `to_world` and that of the instance around it. rows: of its normals in `normals`.
    base: the `to_world` for which the positions are as they stand. start: the matrix that `matrix` gave at
    first. positions_of_normals: those that the normals were computed from, where they follow.
    outer_of_normals: the instance's transform that the values of the normals, which are in world space,
    contain. local: of a copy without such values, its normals in the space of the positions, if they are no
    longer those of the file. corners: as of `placing.smooth_normals`.
    """

    number: int
    shape: object
    own: object
    outer: object = None
    positions: object = None
    normals: object = None
    rows: slice | None = None
    base: np.ndarray = field(default_factory=lambda: np.eye(4))
    start: np.ndarray = field(default_factory=lambda: np.eye(4))
    positions_of_normals: np.ndarray | None = None
    outer_of_normals: np.ndarray = field(default_factory=lambda: np.eye(4))
    local: np.ndarray | None = None
    corners: tuple | None = None

    @property
    def records(self):
        return [r for r in (self.own, self.outer, self.positions, self.normals) if r is not None]

    @property
    def follows(self):
        """True if its vertex normals are computed from its positions."""
        return self.shape.smooth and self.positions is not None and self.shape.normals is not None

    def begin(self, values):
        """Take the values that the model has."""
        self.base, self.start = np.array(values[self.own]), np.eye(4)
        self.start = self.matrix(values)
        self.outer_of_normals = self.around(values)
        if self.follows:
            self.positions_of_normals = np.array(values[self.positions])

    def around(self, values):
        """The transform of the instance around it."""
        return np.eye(4) if self.outer is None else np.array(values[self.outer])

    def matrix(self, values):
        """The transform from the space of the positions, or of the unit shape, to world space."""
        outer, own = self.around(values), np.array(values[self.own])
        return outer @ (self._step(own) if self.shape.kind == "mesh" else own)

    def _step(self, own):
        """What takes the positions from where they stand to where they belong for another `to_world`."""
        return np.eye(4) if np.array_equal(own, self.base) else own @ np.linalg.inv(self.base)

    def placed(self, values):
        """The shape as the values have it."""
        matrix = self.matrix(values)
        if self.shape.kind != "mesh":
            return replace(self.shape, to_world=matrix)
        source = self.shape.original or self.shape
        vertices = source.vertices if self.positions is None else values[self.positions]
        if np.array_equal(matrix, self.start) and self.shape.original is not None:
            if np.array_equal(vertices, source.vertices):
                normals = self.shape.normals if self.normals is None else values[self.normals]
                return replace(self.shape, normals=normals)
        normals = _turned(self.normal_values(values), matrix)
        return replace(self.shape, vertices=_moved(vertices, matrix), normals=normals)

    def normal_values(self, values):
        """Its vertex normals in the space of the positions, or None."""
        if self.follows and not np.array_equal(values[self.positions], self.positions_of_normals):
            return self._smooth(values[self.positions])
        if self.normals is not None:
            return _turned(values[self.normals], np.linalg.inv(self.outer_of_normals))
        return (self.shape.original or self.shape).normals if self.local is None else self.local

    def _smooth(self, positions):
        """The vertex normals that the positions give, as `smooth_normals` of prb/scene/meshes/mesh.py."""
        faces = np.ascontiguousarray((self.shape.original or self.shape).faces, np.int32)
        if self.corners is None:
            of_vertex = faces.reshape(-1)
            counts = np.bincount(of_vertex, minlength=len(positions))
            starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
            self.corners = starts, np.argsort(of_vertex, kind="stable").astype(np.int32)
        found = np.empty((len(positions), 3), np.float32)
        runtime.ensure()
        weighted = np.empty((len(faces), 6), np.float32)
        placing.weighted_normals(np.ascontiguousarray(positions), faces, weighted)
        placing.smooth_normals(weighted, *self.corners, found)
        return found

    def frames(self, values):
        """Its rows of `frames`, (FRAME_ROWS, 12)."""
        outer = self.around(values)
        rows = np.zeros((FRAME_ROWS, 4, 4))
        rows[OUTER_B], rows[OWN_A] = np.linalg.pinv(outer), outer
        rows[OWN_B], rows[VERTEX_A] = np.linalg.pinv(outer @ values[self.own]), self.matrix(values)
        return rows[:, :3].reshape(FRAME_ROWS, 12)

    def settled(self, values, assigned):
        """After an assignment: (positions, normals in their space) that belong to the new `to_world`."""
        step = np.eye(4) if self.positions.name in assigned else self._step(np.array(values[self.own]))
        return _moved(values[self.positions], step), _turned(self.normal_values(values), step)

    def settle(self, values, assigned, positions, normals):
        """Take what `settled` found. Copies of a mesh have the positions in common."""
        values[self.positions] = positions
        outer = self.around(values)
        if self.normals is None:
            self.local = normals
        elif self.normals.name not in assigned:
            values[self.normals] = _turned(normals, outer)
        self.base, self.outer_of_normals = np.array(values[self.own]), outer
        if self.follows:
            self.positions_of_normals = np.array(positions)


def _moved(points, matrix):
    """Points (n, 3) under a transform, float32."""
    if np.array_equal(matrix, np.eye(4)):
        return points
    return (points.astype(float) @ matrix[:3, :3].T + matrix[:3, 3]).astype(np.float32)


def _turned(normals, matrix):
    """Unit normals (n, 3) under a transform, float32; None stays None."""
    if normals is None or np.array_equal(matrix, np.eye(4)):
        return normals
    normals = normals @ np.linalg.inv(matrix[:3, :3])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return (normals / np.where(length > 0, length, 1)).astype(np.float32)


def add_moving(model, builder, normals_of, why_not=""):
    """Add the parameters that say where shapes are. Returns for each shape: field of `_Shape` -> number of
    the parameter. normals_of: id of a shape -> number of its vertex normals. why_not: as of the records."""
    numbers, found = {}, []

    def add(name, kind, value, **fields):
        if name not in numbers:
            numbers[name] = builder.add(name, kind, value, **{"why_not": why_not, **fields})
        return numbers[name]

    for shape in model.shapes:
        source = shape.original or shape
        if shape.original is None and f"{shape.name}.to_world" in numbers:  # two shapes of one name
            found.append({})
            continue
        check = _Check(shape.kind, np.sign(np.linalg.det(source.to_world[:3, :3])))
        own = {"own": add(f"{shape.name}.to_world", SHAPE_TRANSFORM, source.to_world, check=check)}
        if shape.original is not None:
            matrix = shape.instance_to_world
            check = _Check("instance", np.sign(np.linalg.det(matrix[:3, :3])))
            own["outer"] = add(f"{shape.instance}.to_world", SHAPE_TRANSFORM, matrix, check=check)
        if shape.kind == "mesh":
            follows = shape.smooth and shape.original is not None
            reason = why_not or (FOLLOWING if follows else "")
            name = f"{shape.name}.vertex_positions"
            own["positions"] = add(name, VERTICES, source.vertices, why_not=reason)
        if id(shape) in normals_of:
            own["normals"] = normals_of[id(shape)]
        found.append(own)
    return found


class Moving(Dependent):
    """All arrays that depend on where shapes are, and on their vertex normals."""

    def __init__(self, model, numbers, records, geometry, entries, options):
        """numbers: as `add_moving` returns them. records: the parameters', by their numbers. entries: the
        `LightEntries`. options: of `Geometry.arrays`."""
        self._shapes = [
            _Shape(i, shape, **{key: records[number] for key, number in own.items()})
            for i, (shape, own) in enumerate(zip(model.shapes, numbers, strict=True))
            if own
        ]
        for shape in self._shapes:
            if shape.normals is not None:
                shape.rows = geometry.rows_of_normals(shape.number)
        super().__init__(dict.fromkeys(record for shape in self._shapes for record in shape.records))
        self._model, self._entries, self._options = model, entries, options
        self._tree = geometry.tree
        self._geometry, self.stack = None, 0
        self._exact = [record for record in self.parameters if record.exact]
        self._others = [record for record in self.parameters if not record.exact]
        self._last, self._complete = None, True

    def rows(self):
        """`moves`: a row for each shape of the model."""
        rows = np.full((max(len(self._model.shapes), 1), 4), -1, np.int32)
        for i, shape in enumerate(self._shapes):
            own = (shape.positions, shape.outer, shape.own)
            rows[shape.number, :3] = [-1 if record is None else record.offset for record in own]
            rows[shape.number, 3] = FRAME_ROWS * i
        return rows

    def followers(self, names):
        """(positions, normals, faces) of the meshes whose normals follow positions that are among the names:
        two records and (m, 3)."""
        return [
            (shape.positions, shape.normals, shape.shape.faces)
            for shape in self._shapes
            if shape.positions is not None and shape.positions.name in names and shape.follows
        ]

    def vertex_numbers(self):
        """`corners` of the kernels, where they were left out."""
        return self._made().vertex_numbers()

    def _made(self):
        """The `Geometry`, which is made when something moves for the first time."""
        self._geometry = self._geometry or Geometry(self._model.shapes, tree=self._tree)
        return self._geometry

    def update(self, values, arrays):
        """As of `Dependent`; `arrays` of this object are then those that have changed."""
        if self._last is None:
            self._start(values, arrays)
            self._remember(values, ())
        changed = self._changed(values) if self._complete else {record.name for record in self.parameters}
        self.arrays = ()
        if changed:
            self._complete = False  # until all is computed, as an interrupt may come in between
            self._move(values, arrays, changed)
        self._remember(values, changed)
        self._complete = True
        return bool(changed)

    def _changed(self, values):
        """Names of the parameters that are not as at the last update. Scenes may have very many shapes."""
        exact, others = self._last
        found = {r.name for r in self._others if not np.array_equal(values[r], others[r.name])}
        if not np.array_equal(values.exact, exact):
            first = np.array([record.offset for record in self._exact], int) - values.first_exact
            numbers = first[:, None] + np.arange(16)
            differs = (values.exact[numbers] != exact[numbers]).any(axis=1)
            found.update(self._exact[i].name for i in np.flatnonzero(differs))
        return found

    def _remember(self, values, changed):
        """Keep what the next update is compared with."""
        others = self._last[1] if self._last else {}
        for record in self._others:
            if record.name in changed or record.name not in others:
                others[record.name] = np.array(values[record])
        self._last = values.exact.copy(), others

    def _start(self, values, arrays):
        """The first update, where only the frames are missing."""
        frames = arrays["frames"] = np.zeros((max(FRAME_ROWS * len(self._shapes), 1), 12), np.float32)
        for i, shape in enumerate(self._shapes):
            shape.begin(values)
            frames[FRAME_ROWS * i : FRAME_ROWS * (i + 1)] = shape.frames(values)

    def _move(self, values, arrays, changed):
        moved, self.arrays = {}, ()
        for i, shape in enumerate(self._shapes):
            own = [record for record in shape.records if record.name in changed]
            if not own:
                continue
            if own == [shape.normals]:
                self._turn(shape, values, arrays)
                continue
            moved[shape.number] = shape.placed(values)
            arrays["frames"][FRAME_ROWS * i : FRAME_ROWS * (i + 1)] = shape.frames(values)
        if not moved:
            return
        geometry = self._made()
        found = geometry.moved(moved)
        if found is None:
            numbered = len(arrays["corners"]) > 0
            found = geometry.arrays(**{**self._options, "numbered": numbered})
            found["prim_light"] = geometry.by_slot(self._entries.prim_light, -1)
            self.stack = max(self.stack, geometry.stack_size)
        self._entries.measure(geometry)
        self._entries.write(arrays)
        arrays.update(found)
        self.arrays = (*self.arrays, *found, "frames", "lights", "light_pdf")

    def _turn(self, shape, values, arrays):
        """Other vertex normals of a shape that has not moved."""
        normals = shape.placed(values).normals[shape.shape.faces].reshape(-1, 3)
        arrays["normals"][shape.rows] = normals
        if self._geometry is not None:
            self._geometry.normals[shape.rows] = normals
        self.arrays = (*self.arrays, "normals")

    def settle(self, values, assigned):
        """After parameters were assigned: what lies in world space does so again. assigned: their names."""
        shapes = [
            shape
            for shape in self._shapes
            if shape.positions is not None and any(record.name in assigned for record in shape.records)
        ]
        found = [shape.settled(values, assigned) for shape in shapes]
        for shape, (positions, normals) in zip(shapes, found, strict=True):
            shape.settle(values, assigned, positions, normals)
