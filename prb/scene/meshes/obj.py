"""Wavefront OBJ files: v, vt, vn and f. Objects and groups become one mesh; materials are skipped.

Polygons are split into fans. Corners that differ in position, texture coordinate or normal index
become vertices of their own, as in Mitsuba. Negative indices count back from the line they stand in.
A corner without a texture coordinate, in a file that has some, gets (0, 0).

Read by hand because trimesh 5.2 counts negative indices from the end of the file, takes index 0 for 1,
and drops all normals or texture coordinates without a word where one face has none; and tinyobjloader
has no wheels for Python 3.12.
"""

import itertools
import math
import warnings

import numpy as np

from prb.scene.meshes.mesh import MeshFileError, RawMesh, triangulate

_NAMES = ("vertex", "texture coordinate", "normal")
_WIDTHS = (3, 2, 3)
_WITHOUT_DIGITS = str.maketrans("", "", "0123456789-")
_SKIPPED = frozenset(
    (
        "g",
        "o",
        "s",
        "l",
        "p",
        "mtllib",
        "usemtl",
        "usemap",
        "maplib",
        "mg",
        "lod",
        "bevel",
        "c_interp",
        "d_interp",
        "shadow_obj",
        "trace_obj",
    )
)


def read_obj(data: bytes) -> RawMesh:
    """The mesh in a file's bytes; raises `MeshFileError`."""
    pools, faces, sizes = _statements(data)
    values = [_numbers(pool, name, width) for pool, name, width in zip(pools, _NAMES, _WIDTHS, strict=True)]
    counts = np.fromiter(map(len, faces), np.int64, len(faces))
    corners = _corner_indices(list(itertools.chain.from_iterable(faces)))
    _resolve(corners, np.repeat(np.arange(len(faces)), counts), sizes, [len(v) for v in values])
    used = [values[i] if (corners[:, i] >= 0).any() else None for i in range(3)]
    if used[1] is None and used[2] is None:  # positions alone: the file's vertices as they are
        return RawMesh(values[0], triangulate(counts, corners[:, 0]), None, None)
    base = [len(v) + 1 for v in values]
    if math.prod(base) < 2**63:
        key = ((corners[:, 0] + 1) * base[1] + corners[:, 1] + 1) * base[2] + corners[:, 2] + 1
        _, first, index = np.unique(key, return_index=True, return_inverse=True)
    else:
        _, first, index = np.unique(corners, axis=0, return_index=True, return_inverse=True)
    unique = corners[first]
    texcoords = None if used[1] is None else _pick(used[1], unique[:, 1], 0.0)
    normals = None if used[2] is None else _pick(used[2], unique[:, 2], np.nan)
    return RawMesh(values[0][unique[:, 0]], triangulate(counts, index.reshape(-1)), normals, texcoords)


def _pick(values: np.ndarray, index: np.ndarray, missing: float) -> np.ndarray:
    picked = values[index]
    picked[index < 0] = missing
    return picked


def _statements(data: bytes) -> tuple[list[list[str]], list[list[str]], list[tuple[int, int, int]]]:
    """The rows of v, vt and vn; the corners of each face; how many v, vt, vn stand before it."""
    text = data.decode("latin-1").replace("\r\n", "\n").replace("\t", " ").replace("\\\n", " ")
    vertices, texcoords, normals = pools = [], [], []
    faces, sizes = [], []
    for line in text.split("\n"):
        if "#" in line:
            line = line.split("#")[0]
        kind, _, rest = line.partition(" ")
        if not kind:  # an empty line, or one that begins with spaces
            kind, _, rest = line.strip().partition(" ")
        if kind == "v":
            vertices.append(rest)
        elif kind == "f":
            faces.append(rest.split())
            sizes.append((len(vertices), len(texcoords), len(normals)))
        elif kind == "vt":
            texcoords.append(rest)
        elif kind == "vn":
            normals.append(rest)
        elif kind and kind not in _SKIPPED:
            raise MeshFileError(f"cannot understand the line '{line.strip()[:60]}'")
    if not vertices:
        raise MeshFileError("there are no vertices; is it an OBJ file?" if data else "the file is empty")
    return list(pools), faces, sizes


def _parse(text: str, dtype: type) -> np.ndarray | None:
    """Numbers between spaces, fast; None where the text holds anything else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.fromstring(text, dtype, sep=" ")
    except (ValueError, DeprecationWarning):
        return None


def _numbers(rows: list[str], name: str, width: int) -> np.ndarray:
    """The first `width` numbers of each row; more may follow (w, colours)."""
    if set(map(len, map(str.split, rows))) <= {width}:
        flat = _parse(" ".join(rows), np.float64)
        if flat is not None and flat.size == width * len(rows):
            return flat.reshape(-1, width)
    values = np.empty((len(rows), width))
    for i, row in enumerate(rows):
        try:
            values[i] = [float(x) for x in row.split()[:width]]
        except ValueError:
            raise MeshFileError(
                f"{name} {i + 1}: expected {width} numbers, got '{row.strip()[:60]}'"
            ) from None
    return values


def _corner_indices(words: list[str]) -> np.ndarray:
    """Corners such as 3, 3/1, 3//2 or 3/1/2 as (n, 3) indices in the file's counting; 0 is absent."""
    count = len(words)
    corners = np.zeros((count, 3), np.int64)
    if count == 0:
        return corners
    text = " ".join(words)
    slashes = words[0].count("/")
    signs_lead = text.count("-") == text.count(" -") + text.count("/-") + text.startswith("-")
    if signs_lead and text.translate(_WITHOUT_DIGITS) == " ".join(["/" * slashes] * count):  # all alike
        columns = {0: [0], 1: [0, 1], 2: [0, 2] if text.count("//") == count else [0, 1, 2]}.get(slashes, [])
        flat = _parse(text.replace("/", " "), np.int64)
        if flat is not None and columns and flat.size == len(columns) * count:
            corners[:, columns] = flat.reshape(count, -1)
            return corners
    for i, word in enumerate(words):
        parts = word.split("/")
        try:
            corners[i, : len(parts)] = [int(x) if x else 0 for x in parts]
        except (ValueError, OverflowError):
            raise MeshFileError(f"cannot understand the corner '{word[:60]}'") from None
    return corners


def _resolve(corners: np.ndarray, face: np.ndarray, sizes: list, totals: list[int]) -> None:
    """Turn the file's indices into ones from 0, in place; -1 is absent."""
    for i, name in enumerate(_NAMES):
        index = corners[:, i]
        negative = index < 0
        if negative.any():
            before = np.array(sizes, np.int64)[face[negative], i]
            index[negative] += before + 1
            bad = np.flatnonzero(negative)[index[negative] < 1]
        else:
            bad = np.zeros(0, np.int64)
        if i == 0 and not len(bad):
            bad = np.flatnonzero(index == 0)
        if not len(bad):
            bad = np.flatnonzero(index > totals[i])
        if len(bad):
            raise MeshFileError(
                f"face {face[bad[0]] + 1} refers to {name} {index[bad[0]]}, but the file has 1 to {totals[i]}"
            )
        index -= 1
