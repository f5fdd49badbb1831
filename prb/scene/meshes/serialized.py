"""Mitsuba's `.serialized` files: several triangle meshes, each compressed by zlib. Versions 3 and 4.

A mesh is a header of two 16-bit numbers, 0x041C and the version, then a zlib stream of: 32 bits of flags; in
version 4 the mesh's name, ending in 0; the numbers of vertices and triangles, 64 bits each; positions,
normals, texture coordinates and colours of the vertices, those of them that the flags name, in single or
double precision; and the triangles' vertices, 32 bits each. The file ends with the meshes' offsets (64 bits
each, 32 in version 3) and their number (32 bits). All numbers are little-endian.
"""

import struct
import zlib

import numpy as np

from prb.scene.meshes.mesh import MeshFileError, RawMesh

_NORMALS, _TEXCOORDS, _COLORS, _FACE_NORMALS, _DOUBLE = 0x1, 0x2, 0x8, 0x10, 0x2000
_IDENTIFIER = 0x041C
_MAX_RATIO = 1100  # zlib compresses 1032 to 1 at best
_MAX_HEAD = 1 << 16  # flags, name and counts lie within


def read_serialized(data: bytes, index: int = 0) -> RawMesh:
    """Mesh number `index`, from 0, of a file's bytes; raises `MeshFileError`."""
    version = _version(data, 0, "the file")
    start = 0 if index == 0 else _offset(data, version, index)
    version = _version(data, start, f"mesh {index}")
    stream = zlib.decompressobj()
    try:
        head = stream.decompress(data[start + 4 :], _MAX_HEAD)
        flags, at, vertices, faces = _counts(head, version)
        real = np.dtype("<f8" if flags & _DOUBLE else "<f4")
        widths = [("vertices", 3)] + [
            (name, width)
            for name, flag, width in (
                ("normals", _NORMALS, 3), ("texcoords", _TEXCOORDS, 2), ("colors", _COLORS, 3),
            )
            if flags & flag
        ]  # fmt: skip
        size = at + vertices * real.itemsize * sum(width for _, width in widths) + faces * 12
        if size > _MAX_HEAD + _MAX_RATIO * len(data):
            raise _ends_early(vertices, faces)
        more = size - len(head)
        body = head + stream.decompress(stream.unconsumed_tail, more) if more > 0 else head
    except zlib.error as error:
        raise MeshFileError(f"mesh {index} cannot be decompressed: {error}") from None
    if len(body) < size:
        raise _ends_early(vertices, faces)
    arrays = {}
    for name, width in widths:
        arrays[name] = np.frombuffer(body, real, vertices * width, at).reshape(-1, width).astype(np.float64)
        at += vertices * width * real.itemsize
    triangles = np.frombuffer(body, "<u4", faces * 3, at).reshape(-1, 3).astype(np.int64)
    attributes = {"vertex_color": arrays["colors"]} if "colors" in arrays else {}
    asks = "the file asks for face normals, which are only used, as in Mitsuba, with face_normals set to true"
    return RawMesh(
        arrays["vertices"],
        triangles,
        arrays.get("normals"),
        arrays.get("texcoords"),
        attributes,
        (asks,) if flags & _FACE_NORMALS else (),
    )


def _version(data: bytes, start: int, what: str) -> int:
    if not data:
        raise MeshFileError("the file is empty")
    if not 0 <= start <= len(data) - 4:
        raise MeshFileError(f"{what} begins at byte {start}, but the file has {len(data)}")
    identifier, version = struct.unpack_from("<HH", data, start)
    if identifier != _IDENTIFIER:
        raise MeshFileError(f"{what} does not begin as a .serialized mesh does")
    if version not in (3, 4):
        raise MeshFileError(f"{what} has the format version {version}; only 3 and 4 are known")
    return version


def _offset(data: bytes, version: int, index: int) -> int:
    (count,) = struct.unpack_from("<I", data, len(data) - 4)
    width = 8 if version == 4 else 4
    table = len(data) - 4 - width * count
    if count == 0 or table < 4:
        raise MeshFileError("the table of meshes at the end of the file is damaged")
    if index >= count:
        raise MeshFileError(f"there is no mesh {index}; the file holds {count}, counted from 0")
    return struct.unpack_from("<Q" if version == 4 else "<I", data, table + width * index)[0]


def _counts(head: bytes, version: int) -> tuple[int, int, int, int]:
    """Flags, where the arrays begin, and the numbers of vertices and faces."""
    at = 4
    if version == 4:
        at = head.find(b"\0", 4) + 1
    if at <= 0 or len(head) < at + 16:
        raise MeshFileError("the mesh ends before the numbers of its vertices and faces")
    vertices, faces = struct.unpack_from("<QQ", head, at)
    return struct.unpack_from("<I", head)[0], at + 16, vertices, faces


def _ends_early(vertices: int, faces: int) -> MeshFileError:
    return MeshFileError(f"the mesh ends before its {vertices} vertices and {faces} faces")
