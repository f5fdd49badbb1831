"""Stanford PLY files: ASCII and binary, either byte order, polygons of any size.

Vertex normals (nx, ny, nz), texture coordinates (u, v; s, t; texture_u, texture_v) and attributes are read
as Mitsuba reads them. Neighbouring properties of vertices or faces with the same name before a last "_" make
an attribute, if what follows is x, y, z or 0, 1, 2 or 1, 2, 3 ("vertex_<name>", "face_<name>") or r, g, b
("vertex_<name>_color"), or only the first of these; r, g, b or red, green, blue make "vertex_color". Other
properties are skipped.

Read by hand because trimesh renumbers vertices but not their normals where a file has texture coordinates
and refuses binary files that mix polygons, and plyfile's licence, the GPL, would bind prb's users.
"""

from typing import NamedTuple

import numpy as np

from prb.scene.meshes.mesh import MeshFileError, RawMesh, of_triangles, triangulate

_TYPES = {
    "char": "i1",
    "int8": "i1",
    "uchar": "u1",
    "uint8": "u1",
    "short": "i2",
    "int16": "i2",
    "ushort": "u2",
    "uint16": "u2",
    "int": "i4",
    "int32": "i4",
    "uint": "u4",
    "uint32": "u4",
    "float": "f4",
    "float32": "f4",
    "double": "f8",
    "float64": "f8",
    "long": "i8",
    "int64": "i8",
    "ulong": "u8",
    "uint64": "u8",
    "half": "f2",
    "float16": "f2",
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_TEXCOORDS = (("u", "v"), ("texture_u", "texture_v"), ("s", "t"))
_COLORS = (("r", "g", "b"), ("red", "green", "blue"))
_SUFFIXES = ("xyz", "rgb", "012", "123")
_MAX_HEADER = 1 << 20


class _Property(NamedTuple):
    name: str
    dtype: str
    count: str | None  # the type of a list's length


class _Element(NamedTuple):
    name: str
    count: int
    properties: list[_Property]


def read_ply(data: bytes) -> RawMesh:
    """The mesh in a file's bytes; raises `MeshFileError`."""
    order, elements, body = _header(data)
    source = _Ascii(data[body:]) if order == "ascii" else _Binary(data, body, _ORDERS[order])
    columns = {element.name: source.read(element) for element in elements}
    source.finish()
    for needed in ("vertex", "face"):
        if needed not in columns:
            raise MeshFileError(f"there is no element '{needed}'; is it a mesh?")
    vertex, face = columns["vertex"], columns["face"]

    def stack(names: tuple[str, ...]) -> np.ndarray | None:
        if not all(n in vertex for n in names):
            return None
        if any(isinstance(vertex[n], tuple) for n in names):
            raise MeshFileError(f"a vertex property of {', '.join(names)} is a list")
        return np.stack([vertex[n] for n in names], axis=1).astype(np.float64)

    vertices = stack(("x", "y", "z"))
    if vertices is None:
        raise MeshFileError("the vertices lack x, y or z")
    texcoords = next((t for t in map(stack, _TEXCOORDS) if t is not None), None)
    polygons = face.get("vertex_indices", face.get("vertex_index"))
    if not isinstance(polygons, tuple):
        raise MeshFileError("the faces have no list vertex_indices or vertex_index")
    counts, corners = polygons
    if corners.dtype.kind == "f":
        odd = np.flatnonzero((corners != np.round(corners)) | (np.abs(corners) > 2**53))
        if len(odd):
            raise MeshFileError(f"a face refers to vertex {corners[odd[0]]:g}, not a whole number")
    faces = triangulate(counts, corners.astype(np.int64))
    attributes, warnings = {}, []
    for element in elements:
        if element.name in ("vertex", "face"):
            found = _attributes(element, columns[element.name], warnings)
            for name, values in found.items():
                attributes[name] = values if element.name == "vertex" else of_triangles(counts, values)
    return RawMesh(vertices, faces, stack(("nx", "ny", "nz")), texcoords, attributes, tuple(warnings))


def _attributes(element: _Element, columns: dict, warnings: list[str]) -> dict[str, np.ndarray]:
    """The attributes of vertices or faces by their names in Mitsuba: float64 (n, 1 or 3)."""
    kinds = {p.name: np.dtype(p.dtype).kind for p in element.properties if not p.count}
    groups: list[tuple[str, list[str]]] = []  # name, properties
    for names in _COLORS:
        if all(n in kinds for n in names):
            groups.append((f"{element.name}_color", list(names)))
            break
    prefix, series = None, ""
    for name in kinds:
        before, _, last = name.rpartition("_")
        if before and before == prefix:
            groups[-1][1].append(name)
            series += last
            continue
        prefix = None
        if before and last and any(s.startswith(last) for s in _SUFFIXES):
            color = "_color" if last == "r" else ""
            groups.append((f"{element.name}_{before}{color}", [name]))
            prefix, series = before, last
    found: dict[str, np.ndarray] = {}
    for name, names in groups:
        series = "".join(n.rpartition("_")[2] for n in names)
        if names not in map(list, _COLORS) and series not in (*_SUFFIXES, *(s[0] for s in _SUFFIXES)):
            warnings.append(
                f"the properties {', '.join(names)} are not 1 or 3 numbers named in order"
                f" ({', '.join(_SUFFIXES)}) and make no attribute '{name}'"
            )
        elif name not in found:
            found[name] = np.stack([columns[n] for n in names], axis=1).astype(np.float64)
            if len(names) == 3 and any(kinds[n] in "iu" for n in names) and found[name].max(initial=0) > 1:
                warnings.append(
                    f"the attribute '{name}' holds whole numbers up to {found[name].max():g}, and"
                    " is taken as it stands, as in Mitsuba; colours go from 0 to 1"
                )
    return found


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    """The format, the elements, and where the body begins."""
    if not data.startswith(b"ply"):
        raise MeshFileError("not a PLY file" if data else "the file is empty")
    end = data.find(b"end_header", 0, _MAX_HEADER)
    newline = data.find(b"\n", end)
    if end < 0 or newline < 0:
        raise MeshFileError("the header has no end_header")
    order, elements = None, []
    for line in data[:end].decode("latin-1").splitlines()[1:]:
        words = line.split()
        try:
            if not words or words[0] in ("comment", "obj_info"):
                continue
            elif words[0] == "format":
                order = words[1]
            elif words[0] == "element":
                elements.append(_Element(words[1], int(words[2]), []))
            elif words[0] == "property" and words[1] == "list":
                count = _TYPES[words[2]]
                if count[0] == "f":
                    raise ValueError
                elements[-1].properties.append(_Property(words[4], _TYPES[words[3]], count))
            elif words[0] == "property":
                elements[-1].properties.append(_Property(words[2], _TYPES[words[1]], None))
            else:
                raise KeyError
        except (KeyError, IndexError, ValueError):
            raise MeshFileError(f"cannot understand the header line '{line.strip()[:60]}'") from None
    if order not in _ORDERS:
        raise MeshFileError(f"unknown format '{order}'; expected one of {', '.join(_ORDERS)}")
    for element in elements:
        if element.count < 0 or not element.properties:
            raise MeshFileError(f"the element '{element.name}' has a negative count or no properties")
    return order, elements, newline + 1


# Both sources return a column per property: an array, or for a list (lengths, all items in a row).


class _Binary:
    def __init__(self, data: bytes, position: int, order: str):
        self.data, self.position, self.order = data, position, order

    def read(self, element: _Element) -> dict:
        if element.count == 0:
            return _empty(element)
        lengths = self._lengths_of_first(element)
        dtype = self._dtype(element, lengths)
        end = self.position + dtype.itemsize * element.count
        if end <= len(self.data):
            rows = np.frombuffer(self.data, dtype, element.count, self.position)
            if all((rows[f"#{name}"] == n).all() for name, n in lengths.items()):
                self.position = end
                return {
                    p.name: (rows[f"#{p.name}"].astype(np.int64), rows[p.name].reshape(-1))
                    if p.count
                    else rows[p.name]
                    for p in element.properties
                }
        if not lengths:
            raise _ends_early(element)
        return self._ragged(element)

    def _dtype(self, element: _Element, lengths: dict[str, int]) -> np.dtype:
        fields: list = []
        for p in element.properties:
            if p.count:
                fields += [(f"#{p.name}", self.order + p.count)]
                fields += [(p.name, self.order + p.dtype, (lengths[p.name],))]
            else:
                fields.append((p.name, self.order + p.dtype))
        try:
            return np.dtype(fields)
        except ValueError as error:
            raise MeshFileError(f"the header of element '{element.name}' is wrong: {error}") from None

    def _scalars(self, position: int, dtype: str, count: int, element: _Element) -> np.ndarray:
        dtype = np.dtype(self.order + dtype)
        if count < 0 or position + count * dtype.itemsize > len(self.data):
            raise _ends_early(element)
        return np.frombuffer(self.data, dtype, count, position)

    def _lengths_of_first(self, element: _Element) -> dict[str, int]:
        lengths, position = {}, self.position
        for p in element.properties:
            count = 1
            if p.count:
                count = lengths[p.name] = int(self._scalars(position, p.count, 1, element)[0])
                position += np.dtype(p.count).itemsize
            position += count * np.dtype(p.dtype).itemsize
        return lengths

    def _ragged(self, element: _Element) -> dict:
        """Records of different sizes, one after the other."""
        columns: dict = {p.name: ([], []) for p in element.properties}
        for _ in range(element.count):
            for p in element.properties:
                count = 1
                if p.count:
                    count = int(self._scalars(self.position, p.count, 1, element)[0])
                    self.position += np.dtype(p.count).itemsize
                items = self._scalars(self.position, p.dtype, count, element)
                self.position += items.nbytes
                columns[p.name][0].append(count)
                columns[p.name][1].append(items)
        return _joined(element, columns)

    def finish(self) -> None:
        if self.position != len(self.data):
            raise MeshFileError(
                f"{len(self.data) - self.position} bytes follow after the last element;"
                " the header does not fit the file"
            )


class _Ascii:
    def __init__(self, body: bytes):
        try:
            self.values = np.array(body.split(), dtype=np.float64)
        except ValueError as error:
            raise MeshFileError(f"the body holds something that is not a number: {error}") from None
        self.position = 0

    def read(self, element: _Element) -> dict:
        if element.count == 0:
            return _empty(element)
        width, lengths = 0, {}
        for p in element.properties:
            if p.count:
                lengths[width] = self._length(self.position + width, element)
                width += lengths[width]
            width += 1
        end = self.position + width * element.count
        if end <= len(self.values):
            rows = self.values[self.position : end].reshape(element.count, width)
            if all((rows[:, i] == n).all() for i, n in lengths.items()):
                self.position = end
                return self._columns(element, rows, lengths)
        if not lengths:
            raise _ends_early(element)
        return self._ragged(element)

    def _columns(self, element: _Element, rows: np.ndarray, lengths: dict[int, int]) -> dict:
        columns, i = {}, 0
        for p in element.properties:
            if p.count:
                columns[p.name] = rows[:, i].astype(np.int64), rows[:, i + 1 : i + 1 + lengths[i]].reshape(-1)
                i += lengths[i]
            else:
                columns[p.name] = rows[:, i]
            i += 1
        return columns

    def _length(self, position: int, element: _Element) -> int:
        if position >= len(self.values):
            raise _ends_early(element)
        length = self.values[position]
        if not 0 <= length <= len(self.values) or length != int(length):
            raise MeshFileError(f"a list in element '{element.name}' has the length {length:g}")
        return int(length)

    def _ragged(self, element: _Element) -> dict:
        columns: dict = {p.name: ([], []) for p in element.properties}
        for _ in range(element.count):
            for p in element.properties:
                count = 1
                if p.count:
                    count = self._length(self.position, element)
                    self.position += 1
                items = self.values[self.position : self.position + count]
                if len(items) < count:
                    raise _ends_early(element)
                self.position += count
                columns[p.name][0].append(count)
                columns[p.name][1].append(items)
        return _joined(element, columns)

    def finish(self) -> None:
        if self.position != len(self.values):
            raise MeshFileError(
                f"{len(self.values) - self.position} numbers follow after the last element;"
                " the header does not fit the file"
            )


def _empty(element: _Element) -> dict:
    none = np.zeros(0)
    return {p.name: (none.astype(np.int64), none) if p.count else none for p in element.properties}


def _joined(element: _Element, columns: dict) -> dict:
    return {
        p.name: (np.array(columns[p.name][0], np.int64), np.concatenate(columns[p.name][1]))
        if p.count
        else np.concatenate(columns[p.name][1])
        for p in element.properties
    }


def _ends_early(element: _Element) -> MeshFileError:
    return MeshFileError(f"the file ends before the {element.count} records of element '{element.name}'")
