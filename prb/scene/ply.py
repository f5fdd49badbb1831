"""Stanford PLY files: ASCII and binary, either byte order, polygons of any size; plyfile reads them.

Vertex normals (nx, ny, nz) and texture coordinates (u, v; s, t; texture_u, texture_v) are read as
Mitsuba reads them; other properties are skipped. plyfile wants a plain header, and one record per
line in ASCII, so files get these first; and counts are checked before it allocates memory for them.
"""

import io
import re
import tempfile
import warnings

import numpy as np
from plyfile import PlyData, PlyElement, PlyElementParseError, PlyHeaderParseError, PlyListProperty

from prb.scene.meshes import MeshFileError, RawMesh, triangulate

_TEXCOORDS = (("u", "v"), ("texture_u", "texture_v"), ("s", "t"))
_FORMATS = ("ascii", "binary_little_endian", "binary_big_endian")
_END = re.compile(rb"[\r\n][ \t]*end_header[ \t]*(\r\n|\n|\r)")
_MAX_HEADER = 1 << 20
_UNSIGNED = {b"char": b"uchar", b"int8": b"uint8", b"short": b"ushort", b"int16": b"uint16",
             b"int": b"uint", b"int32": b"uint32"}


def read_ply(data: bytes) -> RawMesh:
    """The mesh in a file's bytes; raises `MeshFileError`."""
    header, counts, body = _header(data)
    schema = _schema(header, counts)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)  # NumPy: a fraction where an int belongs
            warnings.simplefilter("ignore", UserWarning)  # NumPy: a list without items
            if schema.text:
                body = _one_record_per_line(schema, counts, body)
                ply = PlyData.read(io.BytesIO(header + body))
            else:
                _check_size(schema, counts, len(body))
                ply = _binary(schema, header + body)
    except PlyElementParseError as error:
        if error.message == "early end-of-file":
            raise _ends_early(error.element, error.element.count) from None
        problem = str(error).replace("malformed input", "not a number of the type in the header")
        raise MeshFileError(f"{problem}; does the header fit the file?") from None
    except UnicodeDecodeError as error:
        raise MeshFileError(f"the body holds something that is not a number: {error}") from None
    except (OverflowError, DeprecationWarning) as error:
        raise MeshFileError(f"a number does not fit the type in the header: {error}") from None
    return _mesh(ply)


def _schema(header: bytes, counts: list[int]) -> PlyData:
    """The elements without their records, after a look at the counts and names."""
    empty = re.sub(rb"(?m)^(element \S+) -?\d+$", rb"\1 0", header)
    try:
        schema = PlyData.read(io.BytesIO(empty))
    except PlyHeaderParseError as error:
        raise _bad_line(header.split(b"\n")[error.line - 1]) from None
    except ValueError as error:
        raise MeshFileError(f"the header is wrong: {error}") from None
    for element, count in zip(schema, counts, strict=True):
        if count < 0 or not element.properties:
            raise MeshFileError(f"the element '{element.name}' has a negative count or no properties")
    for needed in ("vertex", "face"):
        if needed not in schema:
            raise MeshFileError(f"there is no element '{needed}'; is it a mesh?")
    return schema


def _check_size(schema: PlyData, counts: list[int], size: int) -> None:
    """Refuse counts for which `size` bytes are too few even if all lists are empty."""
    for element, count in zip(schema, counts, strict=True):
        size -= count * sum(
            np.dtype(p.len_dtype if isinstance(p, PlyListProperty) else p.val_dtype).itemsize
            for p in element.properties
        )
        if size < 0:
            raise _ends_early(element, count)


def _binary(schema: PlyData, data: bytes) -> PlyData:
    """plyfile is fast where it can map the file and knows how long lists are, so lists of 3 and of 4
    are tried before it reads record by record."""
    with tempfile.TemporaryFile() as file:
        file.write(data)
        for length in (3, 4, None):
            known = {} if length is None else {
                e.name: {p.name: length for p in e.properties if isinstance(p, PlyListProperty)}
                for e in schema
            }
            file.seek(0)
            try:
                ply = PlyData.read(file, known_list_len=known)
                break
            except PlyElementParseError:
                if length is None:
                    raise
        if (rest := len(data) - file.tell()):
            raise MeshFileError(f"{rest} bytes follow after the last element;"
                                " the header does not fit the file")
        return ply


def _one_record_per_line(schema: PlyData, counts: list[int], body: bytes) -> bytes:
    """plyfile wants ASCII files so; others, Mitsuba among them, take any white space for a separator."""
    words, position, records = body.split(), 0, []
    for element, count in zip(schema, counts, strict=True):
        lists = [isinstance(p, PlyListProperty) for p in element.properties]
        for _ in range(count):
            start = position
            try:
                for is_list in lists:
                    position += 1 + (int(words[position]) if is_list else 0)
            except ValueError:
                raise MeshFileError(f"a list in element '{element.name}' has the length"
                                    f" {words[position][:20].decode('latin-1')}") from None
            except IndexError:
                raise _ends_early(element, count) from None
            if not start < position <= len(words):
                raise _ends_early(element, count)
            records.append(b" ".join(words[start:position]))
    if position != len(words):
        raise MeshFileError(f"{len(words) - position} numbers follow after the last element;"
                            " the header does not fit the file")
    return b"\n".join(records)


def _mesh(ply: PlyData) -> RawMesh:
    vertex, face = ply["vertex"], ply["face"]

    def stack(names: tuple[str, ...]) -> np.ndarray | None:
        if not all(n in vertex for n in names):
            return None
        if any(isinstance(vertex.ply_property(n), PlyListProperty) for n in names):
            raise MeshFileError(f"a vertex property of {', '.join(names)} is a list")
        return np.stack([vertex[n] for n in names], axis=1).astype(np.float64)

    vertices = stack(("x", "y", "z"))
    if vertices is None:
        raise MeshFileError("the vertices lack x, y or z")
    name = "vertex_indices" if "vertex_indices" in face else "vertex_index"
    if name not in face or not isinstance(face.ply_property(name), PlyListProperty):
        raise MeshFileError("the faces have no list vertex_indices or vertex_index")
    polygons = face[name]
    if polygons.ndim == 2:  # all of one length
        counts, corners = np.full(len(polygons), polygons.shape[1]), polygons.reshape(-1)
    else:
        counts = np.fromiter(map(len, polygons), np.int64, len(polygons))
        corners = np.concatenate(polygons) if len(polygons) else np.zeros(0, np.int64)
    if corners.dtype.kind == "f":
        odd = np.flatnonzero((corners != np.round(corners)) | (np.abs(corners) > 2**53))
        if len(odd):
            raise MeshFileError(f"a face refers to vertex {corners[odd[0]]:g}, not a whole number")
    texcoords = next((t for t in map(stack, _TEXCOORDS) if t is not None), None)
    return RawMesh(vertices, triangulate(counts, corners.astype(np.int64)), stack(("nx", "ny", "nz")),
                   texcoords)


def _header(data: bytes) -> tuple[bytes, list[int], bytes]:
    """The header as plyfile takes it, the counts of the elements, and the body.

    Comments go, as plyfile refuses those that are not ASCII. The lengths of lists become unsigned, as
    plyfile takes a negative one for all that follows.
    """
    if not data.startswith(b"ply"):
        raise MeshFileError("not a PLY file" if data else "the file is empty")
    end = _END.search(data, 0, _MAX_HEADER)
    if not end:
        raise MeshFileError("the header has no end_header")
    lines, counts, form = [b"ply"], [], None
    for line in data[:end.start()].splitlines()[1:]:
        words = line.split()
        if not words or words[0] in (b"comment", b"obj_info"):
            continue
        try:
            if words[0] == b"format":
                form = words[1].decode("ascii")
            elif words[0] == b"element":
                counts.append(int(words[2]))
                words[2] = b"%d" % counts[-1]
            elif words[:2] == [b"property", b"list"]:
                words[2] = _UNSIGNED.get(words[2], words[2])
            lines.append(b" ".join(words).decode("ascii").encode())
        except (IndexError, ValueError):
            raise _bad_line(line) from None
    if form not in _FORMATS:
        raise MeshFileError(f"unknown format '{form}'; expected one of {', '.join(_FORMATS)}")
    return b"\n".join([*lines, b"end_header\n"]), counts, data[end.end():]


def _bad_line(line: bytes) -> MeshFileError:
    return MeshFileError(f"cannot understand the header line '{line.decode('latin-1').strip()[:60]}'")


def _ends_early(element: PlyElement, count: int) -> MeshFileError:
    return MeshFileError(f"the file ends before the {count} records of element '{element.name}'")
