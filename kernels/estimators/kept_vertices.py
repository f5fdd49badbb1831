"""Vertices that the first sweep of a replay keeps for the second, so that rays are traced once.

Each worker has a row of numbers. A vertex is written as the parts that it has, one behind the other, as
replaying them is memory-bound: `PARTS` lists their columns, from which storing and loading follow. The first
column also holds the length of the vertex before it on the path, so a path can be walked in both directions.
"""

from collections.abc import Callable
from typing import NamedTuple

from prb.kernels.arrays import vec10f
from prb.kernels.backend import ti
from prb.kernels.estimators.shading import black
from prb.kernels.estimators.vertex import no_vertex
from prb.kernels.frame import vec2, vec3
from prb.kernels.traced import traced

LENGTH_BIT = 24  # of the first column: the length of the vertex before, above the number of an emitter


class Column(NamedTuple):
    """A field of the `Vertex` or the `Shading`: `size` numbers, or an integer kept bit for bit."""

    name: str
    size: int = 1
    integer: bool = False


class Place(NamedTuple):
    """A column that begins at a place of its part."""

    at: int
    name: str
    size: int
    integer: bool


class Part(NamedTuple):
    """Columns that a vertex has if `present`, a function of the `Vertex`; they follow one another."""

    present: Callable
    columns: tuple[Column, ...]

    @property
    def size(self):
        """Numbers of the part."""
        return sum(column.size for column in self.columns)

    @traced
    def places(self):
        """Where each of the columns begins."""
        return [Place(sum(c.size for c in self.columns[:i]), *c) for i, c in enumerate(self.columns)]


@traced
def always(vertex):
    """The part that every vertex has."""
    return True


@ti.func
def emits(vertex: ti.template()):
    """The ray met an emitter."""
    return vertex.emitter >= 0


@ti.func
def scatters(vertex: ti.template()):
    """There is a surface, and the path samples it."""
    return vertex.material >= 0


@ti.func
def is_lit(vertex: ti.template()):
    """Next-event estimation found a light."""
    return vertex.light_emitter >= 0


COMMON = Part(
    always,
    (
        Column("emitter", integer=True),
        Column("material", integer=True),
        Column("light_emitter", integer=True),
        Column("uv", 2),
        Column("slot", integer=True),
        Column("u"),
        Column("v"),
    ),
)
OPTIONAL = (
    Part(emits, (Column("emission_weight"), Column("emitted", 3))),
    Part(
        scatters,
        (
            Column("wi", 3),
            Column("wo", 3),
            Column("pdf"),
            Column("u_roulette"),
            Column("lobe", integer=True),
            Column("eta"),
            Column("f", 3),
        ),
    ),
    Part(
        is_lit,
        (
            Column("light_weight"),
            Column("wo_light", 3),
            Column("uv_light", 2),
            Column("direct", 3),
            Column("f_light", 3),
        ),
    ),
)
VERTEX_SIZE = COMMON.size + sum(part.size for part in OPTIONAL)  # numbers of a kept vertex at most


@ti.dataclass
class Row:
    """Where a path's vertices lie in its worker's row.

    first: where they begin, -1 if they are not kept. at: the place behind the current vertex.
    length: numbers of the current vertex, 0 before the first.
    """

    worker: ti.i32
    first: ti.i32
    at: ti.i32
    length: ti.i32


@traced
def _field(vertex, shading, name):
    """The vertex's or the shading's field of that name."""
    return getattr(vertex if name in vertex.keys else shading, name)


@ti.func
def _assign(target: ti.template(), x):
    target = x  # noqa: F841  the argument is a reference


@ti.func
def _store_part(
    rows: ti.template(), worker, at, vertex: ti.template(), shading: ti.template(), part: ti.template()
):
    for c in ti.static(part.places()):
        if ti.static(c.integer):
            rows[worker, at + c.at] = ti.bit_cast(_field(vertex, shading, c.name), ti.f32)
        elif ti.static(c.size == 1):
            rows[worker, at + c.at] = _field(vertex, shading, c.name)
        else:
            for k in ti.static(range(c.size)):
                rows[worker, at + c.at + k] = _field(vertex, shading, c.name)[k]


@ti.func
def _load_part(
    rows: ti.template(), worker, at, vertex: ti.template(), shading: ti.template(), part: ti.template()
):
    for c in ti.static(part.places()):
        if ti.static(c.integer):
            _assign(_field(vertex, shading, c.name), ti.bit_cast(rows[worker, at + c.at], ti.i32))
        elif ti.static(c.size == 1):
            _assign(_field(vertex, shading, c.name), rows[worker, at + c.at])
        elif ti.static(c.size == 2):
            pair = vec2(rows[worker, at + c.at], rows[worker, at + c.at + 1])
            _assign(_field(vertex, shading, c.name), pair)
        else:
            triple = vec3(rows[worker, at + c.at], rows[worker, at + c.at + 1], rows[worker, at + c.at + 2])
            _assign(_field(vertex, shading, c.name), triple)


@ti.func
def store(rows: ti.template(), row: ti.template(), vertex: ti.template(), shading: ti.template()):
    """Append a vertex to the row, or give the path up (row.first = -1) where the row may be too short."""
    if row.at + VERTEX_SIZE > rows.shape[1]:
        row.first = -1
    else:
        begin = row.at
        _store_part(rows, row.worker, begin, vertex, shading, COMMON)
        code = (vertex.emitter + 1) + (row.length << LENGTH_BIT)
        rows[row.worker, begin] = ti.bit_cast(code, ti.f32)
        row.at += COMMON.size
        for part in ti.static(OPTIONAL):
            if part.present(vertex):
                _store_part(rows, row.worker, row.at, vertex, shading, part)
                row.at += part.size
        row.length = row.at - begin


@ti.func
def load(rows: ti.template(), row: ti.template()):
    """The vertex that begins at row.at: (vertex, shading, length of the one before).

    row.at is then behind it.
    """
    vertex, shading = no_vertex(), black()
    begin = row.at
    _load_part(rows, row.worker, begin, vertex, shading, COMMON)
    code = vertex.emitter
    vertex.emitter = (code & ((1 << LENGTH_BIT) - 1)) - 1
    row.at += COMMON.size
    for part in ti.static(OPTIONAL):
        if part.present(vertex):
            _load_part(rows, row.worker, row.at, vertex, shading, part)
            row.at += part.size
    row.length = row.at - begin
    return vertex, shading, code >> LENGTH_BIT


@ti.func
def load_backwards(rows: ti.template(), row: ti.template()):
    """The vertex that ends at row.at and has row.length numbers; row is then that of the vertex before it."""
    begin = row.at - row.length
    row.at = begin
    vertex, shading, before = load(rows, row)
    row.at = begin
    row.length = before
    return vertex, shading


@ti.func
def pack_path(L, L_low, Z, first):
    """What the second sweep needs of a path: its sums, and where its vertices begin (-1: not kept)."""
    return vec10f(L.x, L.y, L.z, L_low.x, L_low.y, L_low.z, Z.x, Z.y, Z.z, ti.bit_cast(first, ti.f32))


@ti.func
def unpack_path(r):
    """The (L, L_low, Z, first) that `pack_path` made a vector of."""
    L, L_low, Z = vec3(r[0], r[1], r[2]), vec3(r[3], r[4], r[5]), vec3(r[6], r[7], r[8])
    return L, L_low, Z, ti.bit_cast(r[9], ti.i32)
