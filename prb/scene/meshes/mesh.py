"""From a mesh file to checked world-space arrays: transform, normals, orientation, attributes.

`ply`, `obj` and `serialized` read the files; here lives what they share, so that all meshes obey Mitsuba's
conventions in the same way.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np


class MeshFileError(ValueError):
    """A mesh file that cannot be used; the message says why."""


class RawMesh(NamedTuple):
    """A mesh as the file has it: vertices (n, 3), faces (m, 3), normals (n, 3) or None, texcoords
    (n, 2) or None. A normal of NaN stands for one that the file leaves out.

    attributes: name -> (n, c) for vertex_..., (m, c) for face_.... warnings: what the user should know.
    """

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None
    texcoords: np.ndarray | None
    attributes: dict[str, np.ndarray] = {}
    warnings: tuple[str, ...] = ()


class WorldMesh(NamedTuple):
    """The arrays of `prb.scene.model.Shape`, and whether its normals were computed from the vertices."""

    vertices: np.ndarray
    normals: np.ndarray | None
    texcoords: np.ndarray | None
    faces: np.ndarray
    attributes: dict[str, np.ndarray]
    smooth: bool


def read_mesh(
    path: Path,
    read: Callable[[bytes], RawMesh],
    to_world: np.ndarray,
    *,
    face_normals: bool,
    flip_normals: bool,
    flip_tex_coords: bool,
    fail: Callable[[str], None],
    warn: Callable[[str], None],
) -> WorldMesh:
    """The mesh that `read` makes of a file's bytes, in world space; `fail` and `warn` take a message.

    Vertex normals are the file's, or else smooth ones; None with `face_normals`. `flip_normals`
    reverses the winding and the normals. `flip_tex_coords` replaces v by 1 - v.
    """
    try:
        raw = read(path.read_bytes())
        check_mesh(raw)
    except OSError as error:
        fail(f"cannot read {path}: {error.strerror}")
    except MeshFileError as error:
        fail(f"{path.name}: {error}")
    for message in raw.warnings:
        warn(f"{path.name}: {message}")
    linear = to_world[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        vertices = (raw.vertices @ linear.T + to_world[:3, 3]).astype(np.float32)
    if not np.isfinite(vertices).all():
        fail(f"{path.name}: to_world moves vertices beyond the range of 32-bit numbers")
    faces = raw.faces.astype(np.int32)
    normals = None
    if not face_normals:
        normals = _world_normals(raw, vertices, faces, np.linalg.inv(linear).T, path.name, warn)
    if flip_normals:
        faces = np.ascontiguousarray(faces[:, ::-1])
        normals = None if normals is None else -normals
    texcoords = raw.texcoords
    if texcoords is not None:
        texcoords = texcoords.astype(np.float32)
        if flip_tex_coords:
            texcoords[:, 1] = 1 - texcoords[:, 1]
    attributes = {name: values.astype(np.float32) for name, values in raw.attributes.items()}
    smooth = normals is not None and raw.normals is None
    return WorldMesh(vertices, normals, texcoords, faces, attributes, smooth)


def check_mesh(raw: RawMesh) -> None:
    """Raise `MeshFileError` for a mesh without faces, indices out of range, numbers not finite, and
    attributes of the wrong length."""
    count = len(raw.vertices)
    if len(raw.faces) == 0:
        raise MeshFileError("the mesh has no faces")
    for what, array in (("vertex", raw.vertices), ("texture coordinate of vertex", raw.texcoords)):
        if array is not None:
            bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
            if len(bad):
                raise MeshFileError(
                    f"{what} {bad[0]} (counted from 0) is not finite: "
                    f"{', '.join(f'{x:g}' for x in array[bad[0]])}"
                )
    bad = np.flatnonzero(((raw.faces < 0) | (raw.faces >= count)).any(axis=1))
    if len(bad):
        corners = raw.faces[bad[0]]
        index = corners[(corners < 0) | (corners >= count)][0]
        raise MeshFileError(
            f"face {bad[0]} (counted from 0) refers to vertex {index}, but there are {count} vertices"
        )
    if count > np.iinfo(np.int32).max:
        raise MeshFileError(f"{count} vertices are too many")
    for name, values in raw.attributes.items():
        check_attribute(name, values, count, len(raw.faces))


def check_attribute(name: str, values: np.ndarray, vertices: int, faces: int) -> None:
    """Raise `MeshFileError` for values (n, c) that do not fit the mesh: n is its number of vertices
    (vertex_...) or faces (face_...), c is 1 or 3, all numbers are finite."""
    kind, _, rest = name.partition("_")
    if kind not in ("vertex", "face") or not rest:
        raise MeshFileError(f"the attribute '{name}' is named neither vertex_... nor face_...")
    expected = vertices if kind == "vertex" else faces
    if values.ndim != 2 or len(values) != expected or values.shape[1] not in (1, 3):
        of = "vertices" if kind == "vertex" else "faces"
        raise MeshFileError(
            f"the attribute '{name}' has the shape {values.shape}; expected ({expected}, 1)"
            f" or ({expected}, 3), for the mesh has {expected} {of}"
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise MeshFileError(f"the attribute '{name}' of {kind} {bad[0]} (counted from 0) is not finite")


def _world_normals(
    raw: RawMesh,
    vertices: np.ndarray,
    faces: np.ndarray,
    inverse_transpose: np.ndarray,
    name: str,
    warn: Callable[[str], None],
) -> np.ndarray:
    """The file's normals in world space; smooth ones for the vertices without a usable normal."""
    if raw.normals is None:
        return _smooth(vertices, faces, np.ones(len(vertices), bool), name, warn)
    normals = raw.normals @ inverse_transpose.T
    length = np.linalg.norm(normals, axis=1)
    usable = np.isfinite(length) & (length > 0)
    normals[usable] /= length[usable, None]
    if not usable.all():
        absent = ~usable & np.isin(np.arange(len(vertices)), faces)
        if absent.any():
            warn(f"{name}: {absent.sum()} vertices have no usable normal in the file; computed them")
        normals[~usable] = _smooth(vertices, faces, absent, name, warn)[~usable]
    return normals.astype(np.float32)


def _smooth(
    vertices: np.ndarray, faces: np.ndarray, wanted: np.ndarray, name: str, warn: Callable[[str], None]
) -> np.ndarray:
    normals, undefined = smooth_normals(vertices, faces)
    if count := np.count_nonzero(undefined & wanted):
        warn(f"{name}: the faces around {count} vertices cancel out and define no normal there")
    return normals


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vertex normals (n, 3) float32: face normals weighted by the angle of the face at the vertex.

    The weights are Mitsuba's, after Thuermer and Wuethrich, "Computing Vertex Normals from Polygonal
    Facets", JGT 3(1), 1998. Faces without area do not count. A vertex without a normal gets (1, 0, 0);
    the second array (n,) marks those that have a face with area and yet no normal.
    """
    corners = vertices.astype(np.float64)[faces]
    edges = np.roll(corners, -1, axis=1) - corners  # edge i leads from corner i to the next
    normal = np.cross(edges[:, 0], -edges[:, 2])
    area = np.linalg.norm(normal, axis=1)
    solid = area > 0
    edges, faces = edges[solid], faces[solid]
    normal = normal[solid] / area[solid, None]
    directions = edges / np.linalg.norm(edges, axis=2, keepdims=True)
    count = len(vertices)
    total = np.zeros((count, 3))
    for i in range(3):
        cosine = -np.einsum("ij,ij->i", directions[:, i], directions[:, i - 1])
        weighted = normal * np.arccos(np.clip(cosine, -1, 1))[:, None]
        for axis in range(3):
            total[:, axis] += np.bincount(faces[:, i], weighted[:, axis], count)
    length = np.linalg.norm(total, axis=1)
    touched = np.zeros(count, bool)
    touched[faces] = True
    defined = length > 1e-9  # the sum of the angles is the largest possible length
    total[defined] /= length[defined, None]
    total[~defined] = (1, 0, 0)
    return total.astype(np.float32), touched & ~defined


def triangulate(counts: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Fans over polygons: `corners` (sum of counts) one after the other, to triangles (m, 3)."""
    if len(counts) and counts.min() < 3:
        face = int(np.argmin(counts))
        raise MeshFileError(f"face {face} (counted from 0) has {counts[face]} corners, fewer than 3")
    starts = np.cumsum(counts) - counts
    triangles = counts - 2
    first = np.repeat(starts, triangles)
    step = np.arange(len(first)) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    return corners[np.stack([first, first + step + 1, first + step + 2], axis=1)]


def of_triangles(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """One row of `values` for each polygon, to one for each of the triangles of `triangulate`."""
    return np.repeat(values, counts - 2, axis=0)
