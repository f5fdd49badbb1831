"""Vertices that the first sweep of a replay keeps for the second, so that rays are traced once.

Each worker has a row of numbers. A vertex is stored as groups of columns, of which it has only those that it
needs: the second sweep is memory-bound, so records are packed. `groups` lists the groups, from which storing
and loading follow. The first column also holds the length of the vertex before it on the path, so that a path
can be walked in both directions.
"""

from collections.abc import Callable
from typing import NamedTuple

from prb.kernels.arrays import vec10f
from prb.kernels.backend import ti
from prb.kernels.estimators.shading import black
from prb.kernels.estimators.vertex import no_vertex
from prb.kernels.frame import vec2, vec3
from prb.kernels.traced import traced

LENGTH_BIT = 24  # in the first column, the length of the previous vertex lies above the emitter's number


class Column(NamedTuple):
    """A field of the `Vertex` or the `Shading`: `size` numbers, an integer that is stored bit for bit, or if
    it is grey three equal numbers, stored as one."""

    name: str
    size: int = 1
    integer: bool = False
    grey: bool = False


class PlacedColumn(NamedTuple):
    """A column with its offset in the group."""

    offset: int
    name: str
    size: int
    integer: bool
    grey: bool


class Group(NamedTuple):
    """Consecutive columns that a vertex has if `present`, a function of the `Vertex`, says so."""

    present: Callable
    columns: tuple[Column, ...]

    @property
    def size(self):
        """How many numbers the columns have."""
        return sum(column.size for column in self.columns)

    @traced
    def placed(self):
        """The columns with their offsets."""
        return [PlacedColumn(sum(c.size for c in self.columns[:i]), *c) for i, c in enumerate(self.columns)]


@traced
def always(vertex):
    """True for every vertex."""
    return True


@ti.func
def emits(vertex: ti.template()):
    """True if the ray met an emitter."""
    return vertex.emitter >= 0


@ti.func
def scatters(vertex: ti.template()):
    """True if there is a surface from which the path may go on."""
    return vertex.material >= 0


@ti.func
def is_lit(vertex: ti.template()):
    """True if next-event estimation found an unoccluded light."""
    return vertex.light_emitter >= 0


@ti.func
def is_placed(vertex: ti.template()):
    """True if the vertex has a place whose textures are looked up."""
    return (vertex.emitter >= 0) | (vertex.material >= 0)


@ti.func
def is_lit_surface(vertex: ti.template()):
    """True if that is so at a surface."""
    return (vertex.light_emitter >= 0) & (vertex.material >= 0)


@ti.func
def flies(vertex: ti.template()):
    """True if there is a medium on the way to the vertex."""
    return vertex.segment_length > 0


@ti.func
def is_in_medium(vertex: ti.template()):
    """True if the path is scattered in a medium."""
    return vertex.medium >= 0


@ti.func
def scatters_anywhere(vertex: ti.template()):
    """True if there is a surface or a medium from which the path may go on."""
    return (vertex.material >= 0) | (vertex.medium >= 0)


@ti.func
def is_lit_through_media(vertex: ti.template()):
    """True if next-event estimation looked through a medium."""
    return (vertex.light_emitter >= 0) & (vertex.shadow_length > 0)


@ti.func
def crosses(vertex: ti.template()):
    """True if next-event estimation looked through a surface that dims it."""
    return (vertex.light_emitter >= 0) & (vertex.crossing_material >= 0)


PLACE = (Column("uv", 2), Column("slot", integer=True), Column("u"), Column("v"))
NUMBERS = (  # the first column of the first group has to be the emitter
    Column("emitter", integer=True),
    Column("material", integer=True),
    Column("light_emitter", integer=True),
)
EMITS = Group(emits, (Column("emission_weight"), Column("emitted", 3)))
DIRECTIONS = (Column("wi", 3), Column("wo", 3))
LOBE = (Column("lobe", integer=True), Column("eta"))
FACTOR = (Column("pdf"), Column("u_roulette"), Column("f", 3))
WO_LIGHT = (Column("wo_light", 3),)
LIGHT = (Column("light_weight"), Column("direct", 3), Column("f_light", 3))
UV_LIGHT = (Column("uv_light", 2),)
POINT = (Column("p", 3),)
OF_SURFACES = (
    Group(always, NUMBERS + PLACE),
    EMITS,
    Group(scatters, DIRECTIONS + FACTOR + LOBE),
    Group(is_lit, LIGHT + WO_LIGHT + UV_LIGHT),
)
OF_CROSSINGS = (
    Group(is_lit, (Column("crossing_material", integer=True),)),
    Group(crosses, (Column("crossings"), Column("crossing_wi", 3), Column("crossing_slot", integer=True),
     Column("crossing_u"), Column("crossing_v"), Column("crossing_uv", 2), Column("crossing_p", 3),
     Column("crossing", 3))),
)  # fmt: skip
OF_DIRECTIONS = (
    Group(flies, (Column("segment_d", 3),)),
    Group(is_lit_through_media, (Column("shadow_d", 3),)),
)


@traced
def groups(features):
    """The groups of a scene's vertices; the first is that of every vertex."""
    points = (Group(always, POINT),) if "volume" in features.textures else ()
    return in_media(features, points) if features.media else OF_SURFACES + points


def in_media(features, points):
    """As `groups`, where there are media. Collisions are most of the vertices, so that they have only what
    the scene's media can read: directions unless all scattering is isotropic, points if some volume is a
    grid, weights if extinction has three channels."""
    spectral, grids = features.spectral, features.grids
    turning = tuple(features.phases) not in ((), ("isotropic",))
    through = Column("through", 3) if spectral or features.crossings else Column("through", grey=True)
    flight, shadow, glow = (
        (Column("segment_medium", integer=True),),
        (Column("shadow_medium", integer=True),),
        (),
    )
    if grids:
        flight += (Column("probe", 3),)
        shadow += (Column("shadow_p", 3),)
        glow += (Column("glow_p", 3),)
    found = (
        Group(always, (*NUMBERS, Column("medium", integer=True), Column("straight", integer=True),
                       Column("segment_length"), *((Column("weight", 3),) if spectral else ()))),
        Group(is_placed, PLACE),
        EMITS,
        Group(scatters, LOBE if turning else LOBE + DIRECTIONS),
        Group(scatters_anywhere, FACTOR + DIRECTIONS if turning else FACTOR),
        Group(is_lit, (*LIGHT, *(UV_LIGHT if features.textures else ()), through, Column("shadow_length"))),
        Group(is_lit if turning else is_lit_surface, WO_LIGHT),
        Group(flies, flight),
        Group(is_lit_through_media, shadow),
    )  # fmt: skip
    if grids and not points:
        points = (Group(is_in_medium, POINT),)
    found += points
    if features.crossings:
        found += OF_CROSSINGS
    if features.microflakes:
        found += OF_DIRECTIONS
    if features.emissive:
        glow += (Column("glow_weight", 3),) if spectral else ()
        found += (Group(flies, (*glow, Column("beyond", integer=True), Column("glow", 3))),)
    return found


@traced
def size_of(groups):
    """How many numbers a kept vertex with these groups has at most."""
    return sum(group.size for group in groups)


@ti.dataclass
class Row:
    """Where a path's vertices lie in the row of its worker.

    first: index of the first number; -1 if the vertices are not kept. end: index after the current vertex.
    length: how many numbers the current vertex has; 0 before the first vertex.
    """

    worker: ti.i32
    first: ti.i32
    end: ti.i32
    length: ti.i32


@traced
def _field(vertex, shading, name):
    """The field of that name, which is the vertex's or the shading's."""
    return getattr(vertex if name in vertex.keys else shading, name)


@ti.func
def assign(target: ti.template(), x):
    target = x  # noqa: F841  the argument is passed by reference


@ti.func
def _store_group(
    rows: ti.template(), worker, begin, vertex: ti.template(), shading: ti.template(), group: ti.template()
):
    for c in ti.static(group.placed()):
        if ti.static(c.integer):
            rows[worker, begin + c.offset] = ti.bit_cast(_field(vertex, shading, c.name), ti.f32)
        elif ti.static(c.grey):
            rows[worker, begin + c.offset] = _field(vertex, shading, c.name)[0]
        elif ti.static(c.size == 1):
            rows[worker, begin + c.offset] = _field(vertex, shading, c.name)
        else:
            for k in ti.static(range(c.size)):
                rows[worker, begin + c.offset + k] = _field(vertex, shading, c.name)[k]


@ti.func
def _load_group(
    rows: ti.template(), worker, begin, vertex: ti.template(), shading: ti.template(), group: ti.template()
):
    for c in ti.static(group.placed()):
        if ti.static(c.integer):
            assign(_field(vertex, shading, c.name), ti.bit_cast(rows[worker, begin + c.offset], ti.i32))
        elif ti.static(c.grey):
            number = rows[worker, begin + c.offset]
            assign(_field(vertex, shading, c.name), vec3(number, number, number))
        elif ti.static(c.size == 1):
            assign(_field(vertex, shading, c.name), rows[worker, begin + c.offset])
        elif ti.static(c.size == 2):
            pair = vec2(rows[worker, begin + c.offset], rows[worker, begin + c.offset + 1])
            assign(_field(vertex, shading, c.name), pair)
        else:
            triple = vec3(
                rows[worker, begin + c.offset],
                rows[worker, begin + c.offset + 1],
                rows[worker, begin + c.offset + 2],
            )
            assign(_field(vertex, shading, c.name), triple)


@ti.func
def store(
    rows: ti.template(),
    row: ti.template(),
    vertex: ti.template(),
    shading: ti.template(),
    groups: ti.template(),
):
    """Append a vertex to the row; if that may be too short, set row.first to -1: the path is not kept."""
    if row.end + ti.static(size_of(groups)) > rows.shape[1]:
        row.first = -1
    else:
        begin = row.end
        for group in ti.static(groups):
            if group.present(vertex):
                _store_group(rows, row.worker, row.end, vertex, shading, group)
                row.end += group.size
        code = (vertex.emitter + 1) + (row.length << LENGTH_BIT)
        rows[row.worker, begin] = ti.bit_cast(code, ti.f32)
        row.length = row.end - begin


@ti.func
def load(rows: ti.template(), row: ti.template(), groups: ti.template()):
    """Load the vertex that begins at row.end, and advance the row past it.

    Returns (vertex, shading, length of the previous vertex).
    """
    vertex, shading = no_vertex(), black()
    begin = row.end
    _load_group(rows, row.worker, begin, vertex, shading, ti.static(groups[0]))
    code = vertex.emitter
    vertex.emitter = (code & ((1 << LENGTH_BIT) - 1)) - 1
    row.end += ti.static(groups[0].size)
    for group in ti.static(groups[1:]):
        if group.present(vertex):
            _load_group(rows, row.worker, row.end, vertex, shading, group)
            row.end += group.size
    row.length = row.end - begin
    return vertex, shading, code >> LENGTH_BIT


@ti.func
def load_backwards(rows: ti.template(), row: ti.template(), groups: ti.template()):
    """Load the vertex that ends at row.end and has row.length numbers, and move the row back.

    Returns (vertex, shading).
    """
    begin = row.end - row.length
    row.end = begin
    vertex, shading, previous_length = load(rows, row, groups)
    row.end = begin
    row.length = previous_length
    return vertex, shading


@ti.func
def pack_path(L, L_low, Z, first):
    """What the second sweep needs of a path, as one vector: its sums, and `Row.first` of its vertices."""
    return vec10f(L.x, L.y, L.z, L_low.x, L_low.y, L_low.z, Z.x, Z.y, Z.z, ti.bit_cast(first, ti.f32))


@ti.func
def unpack_path(p):
    """The (L, L_low, Z, first) that `pack_path` packed."""
    L, L_low, Z = vec3(p[0], p[1], p[2]), vec3(p[3], p[4], p[5]), vec3(p[6], p[7], p[8])
    return L, L_low, Z, ti.bit_cast(p[9], ti.i32)
