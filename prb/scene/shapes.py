"""Shapes: `rectangle`, `cube`, `sphere`, `disk`, and the meshes `ply` and `obj`.

Normals, as Mitsuba 3.9.1 has them. A flat shape's shading normal is its local +z under the inverse
transpose of `to_world`, a cube's are its local outward ones, likewise; they survive a mirroring
transform. A sphere's point outward, and inward under a mirroring transform. A mesh's geometric
normal follows the winding of the transformed triangle. `flip_normals` turns all of them around.
"""

import numpy as np

from prb.scene.meshes import read_mesh
from prb.scene.model import Bsdf, Emitter, Shape
from prb.scene.reader import Node, Reader
from prb.scene.transforms import check_invertible


def _flat_or_cube(reader: Reader) -> Shape:
    return _shape(reader, reader.type, reader.transform(), reader.boolean("flip_normals", False))


def _sphere(reader: Reader) -> Shape:
    """The unit sphere under to_world * translate(center) * scale(radius), a similarity."""
    flip_normals = reader.boolean("flip_normals", False)
    center = reader.vector("center", [0.0, 0.0, 0.0])
    radius = reader.number("radius", 1.0, above=0.0)
    local = np.diag([radius, radius, radius, 1.0])
    local[:3, 3] = center
    to_world = check_invertible(reader.transform() @ local, reader.place("to_world"))
    gram = to_world[:3, :3].T @ to_world[:3, :3]
    scale = np.trace(gram) / 3
    if np.abs(gram - scale * np.eye(3)).max() > 1e-3 * scale:
        reader.fail("a sphere can only be scaled by the same factor along all axes; use a mesh for an"
                    " ellipsoid", "to_world")
    if np.linalg.det(to_world[:3, :3]) < 0:  # a mirrored sphere is inside out, as in Mitsuba
        flip_normals = not flip_normals
    return _shape(reader, "sphere", to_world, flip_normals)


def _mesh(reader: Reader) -> Shape:
    to_world = reader.transform()
    mesh = read_mesh(
        reader.file(),
        reader.type,
        to_world,
        face_normals=reader.boolean("face_normals", False),
        flip_normals=reader.boolean("flip_normals", False),
        flip_tex_coords=reader.boolean("flip_tex_coords", reader.type == "obj"),
        fail=lambda problem: reader.fail(problem, "filename"),
        warn=lambda problem: reader.warn(problem, "filename"),
    )
    shape = _shape(reader, "mesh", np.eye(4), False)
    shape.vertices, shape.normals, shape.texcoords, shape.faces = mesh
    return shape


def _shape(reader: Reader, kind: str, to_world: np.ndarray, flip_normals: bool) -> Shape:
    """What all shapes have: a bsdf and an emitter, nested or by reference."""
    reader.without_effect("silhouette_sampling_weight")
    bsdf: Bsdf | None = None
    emitter: Emitter | None = None
    for child in reader.children("bsdf", "emitter"):
        if child.category == "bsdf":
            if bsdf is not None:
                child.fail("a shape holds one bsdf; remove one of the two")
            bsdf = child.make()
        elif child.type == "area":
            if emitter is not None:
                child.fail("a shape holds one emitter; remove one of the two")
            other = reader.context.attached.setdefault(child.path, reader.path)
            if other != reader.path:
                child.fail(f"the light belongs to '{other}' already; give '{reader.path}' one of its own")
            emitter = child.make()
        elif child.category == "emitter":
            child.fail(f"{child.type} (emitter) does not belong to a shape; move it to the top level")
        else:
            child.misplaced(reader)
    if bsdf is None:
        bsdf = _default_bsdf(reader, emitter)
    return Shape(reader.name, kind, bsdf, emitter, to_world, flip_normals)


def _default_bsdf(reader: Reader, emitter: Emitter | None) -> Bsdf:
    """Mitsuba's choice: grey, and black on a shape that emits."""
    data = {"type": "diffuse"} if emitter is None else {"type": "diffuse", "reflectance": 0.0}
    node = Node(data, reader.place("(default bsdf)"), f"{reader.name}.bsdf")
    return Reader(node, reader.context).make()


SHAPES = {
    "rectangle": _flat_or_cube,
    "cube": _flat_or_cube,
    "disk": _flat_or_cube,
    "sphere": _sphere,
    "ply": _mesh,
    "obj": _mesh,
}
