"""Meshes to files: binary little-endian Stanford PLY, as `ply` and Mitsuba read it.

Vertices are x, y, z, then nx, ny, nz and u, v where the mesh has them, then attributes; all float32. The
numbers of an attribute `vertex_NAME` or `face_NAME` are the properties NAME_x, NAME_y and NAME_z, or NAME_x
alone.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prb.errors import ImageError
from prb.io.images import atomic
from prb.scene.meshes.mesh import RawMesh
from prb.scene.model import Shape

_KEYS = {"vertices": "vertex_positions", "normals": "vertex_normals", "texcoords": "vertex_texcoords"}


def write_ply(path: str | Path, mesh: RawMesh) -> None:
    """Write a mesh, which replaces an older file once complete. Raises ImageError."""
    try:
        with atomic(path) as temporary:
            Path(temporary).write_bytes(ply_bytes(mesh))
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def ply_bytes(mesh: RawMesh) -> bytes:
    """A mesh as the bytes of a file."""
    of_vertices = [("xyz", mesh.vertices)]
    if mesh.normals is not None:
        of_vertices.append((("nx", "ny", "nz"), mesh.normals))
    if mesh.texcoords is not None:
        of_vertices.append(("uv", mesh.texcoords))
    columns = {"vertex": of_vertices, "face": []}
    for name, values in mesh.attributes.items():
        kind, _, rest = name.partition("_")
        columns[kind].append(([f"{rest}_{end}" for end in "xyz"[: values.shape[1]]], values))
    heads, bodies = ["ply", "format binary_little_endian 1.0"], []
    for element, count in (("vertex", len(mesh.vertices)), ("face", len(mesh.faces))):
        heads.append(f"element {element} {count}")
        fields: list = []
        if element == "face":
            heads.append("property list uchar int vertex_indices")
            fields = [("#", "u1"), ("corners", "<i4", (3,))]
        names = [name for group, _ in columns[element] for name in group]
        heads += [f"property float {name}" for name in names]
        rows = np.zeros(count, [*fields, *((name, "<f4") for name in names)])
        if element == "face":
            rows["#"], rows["corners"] = 3, mesh.faces
        for group, values in columns[element]:
            for k, name in enumerate(group):
                rows[name] = values[:, k]
        bodies.append(rows.tobytes())
    return "\n".join([*heads, "end_header\n"]).encode() + b"".join(bodies)


def written_mesh(shape: Shape, params: Mapping[str, np.ndarray]) -> RawMesh:
    """A scene's mesh as it is now, in world space, for a file that is read with the shape's `flip_normals`.

    params: name -> array, the scene's parameters; what is none of them stands in the shape.
    """

    def now(array: np.ndarray | None, key: str) -> np.ndarray | None:
        return None if array is None else params.get(f"{shape.name}.{key}", array)

    vertices, normals, texcoords = (now(getattr(shape, field), key) for field, key in _KEYS.items())
    faces, attributes = shape.faces, {key: now(value, key) for key, value in shape.attributes.items()}
    if shape.reversed:  # reading it will reverse it again
        faces, normals = faces[:, ::-1], None if normals is None else -normals
    return RawMesh(vertices, faces, normals, texcoords, attributes)
