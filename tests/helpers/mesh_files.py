"""Mesh files for tests: written, read by prb and by Mitsuba, and compared."""

import struct
from pathlib import Path

import numpy as np

from prb.scene import load_model_dict

QUAD = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0.5], [0, 1, 0]])


def model_of(folder, filename, **keys):
    return load_model_dict(
        {
            "type": "scene",
            "integrator": {"type": "path"},
            "sensor": {"type": "perspective"},
            "light": {"type": "constant"},
            "mesh": {"type": Path(filename).suffix[1:], "filename": str(filename), **keys},
        },
        base_dir=folder,
    )


def mesh_of(folder, filename, **keys):
    model = model_of(folder, filename, **keys)
    assert model.warnings == []
    return model.shapes[0]


def theirs_of(mi, path, **keys):
    parameters = parameters_of(mi, path, **keys)
    widths = {"vertex_positions": 3, "vertex_normals": 3, "vertex_texcoords": 2, "faces": 3}
    return {k: np.array(parameters[k]).reshape(-1, n) for k, n in widths.items()}


def parameters_of(mi, path, **keys):
    return mi.traverse(mi.load_dict({"type": path.suffix[1:], "filename": str(path), **keys}))


def assert_is_mitsubas(mesh, theirs):
    """Compared corner by corner, as the two may number the vertices differently."""
    for mine, name in (
        (mesh.vertices, "vertex_positions"),
        (mesh.normals, "vertex_normals"),
        (mesh.texcoords, "vertex_texcoords"),
    ):
        if len(theirs[name]) == 0:
            assert mine is None, name
        else:
            assert mine.dtype == np.float32
            np.testing.assert_allclose(
                mine[mesh.faces], theirs[name][theirs["faces"]], atol=2e-6, err_msg=name
            )


def ply(
    body: bytes,
    *,
    form="binary_little_endian",
    vertices=4,
    faces=1,
    extra="",
    scalar="float",
    index="int",
    after="",
):
    header = (
        f"ply\nformat {form} 1.0\ncomment made here\nelement vertex {vertices}\n"
        f"property {scalar} x\nproperty {scalar} y\nproperty {scalar} z\n{extra}"
        f"element face {faces}\nproperty list uchar {index} vertex_indices\n{after}end_header\n"
    )
    return header.encode() + body


def packed(order, scalar="f", index="i", polygons=((0, 1, 2, 3),), columns=QUAD):
    body = b"".join(struct.pack(f"{order}{len(row)}{scalar}", *row) for row in columns)
    return body + b"".join(struct.pack(f"{order}B{len(p)}{index}", len(p), *p) for p in polygons)
