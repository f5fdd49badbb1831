"""Shapes: `rectangle`, `cube`, `sphere`, `disk`, `cylinder`, the meshes `ply`, `obj` and `serialized`, and
copies of them by `shapegroup` and `instance`.

Normals, as Mitsuba 3.9.1 has them. A flat shape's shading normal is its local +z under the inverse
transpose of `to_world`, a cube's are its local outward ones, likewise; they survive a mirroring
transform. A sphere's point outward, and inward under a mirroring transform; a cylinder's always point
outward. A mesh's geometric normal follows the winding of the transformed triangle. `flip_normals` reverses
all of them. An instance transforms the normals of its shapes by the inverse transpose.

The media under `interior` and `exterior` fill the side that the geometric normal points away from, and the
other one. In prb a shapegroup and an instance may name them, too, for those of their shapes that name none; a
medium stays where it is in world space, whatever an instance does to its shape.

Instances become copies in world space when the scene is loaded: a copy of a mesh takes as much memory as the
mesh, about 0.3 kB of device memory for each triangle. The copies share surface models and attributes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from prb.scene.meshes.mesh import read_mesh
from prb.scene.meshes.obj import read_obj
from prb.scene.meshes.ply import read_ply
from prb.scene.meshes.serialized import read_serialized
from prb.scene.model import Bsdf, Emitter, Medium, Shape
from prb.scene.plugins.media import SIDES, sides_of
from prb.scene.reading.reader import Node, Reader
from prb.scene.reading.transforms import check_invertible


@dataclass(eq=False)
class ShapeGroup:
    """Shapes that are visible through instances only."""

    shapes: list[Shape]


def in_world(made: Iterable) -> list[Shape]:
    """The visible shapes among what the readers of `SHAPES` return: those outside groups, and instances."""
    shapes: list[Shape] = []
    for item in made:
        if isinstance(item, Shape):
            shapes.append(item)
        elif isinstance(item, list):  # an instance
            shapes += item
    return shapes


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
    if not keeps_round("sphere", to_world):
        reader.fail(
            "a sphere can only be scaled by the same factor along all axes; use a mesh for an ellipsoid",
            "to_world",
        )
    if np.linalg.det(to_world[:3, :3]) < 0:  # a mirrored sphere is inside out, as in Mitsuba
        flip_normals = not flip_normals
    return _shape(reader, "sphere", to_world, flip_normals)


def _cylinder(reader: Reader) -> Shape:
    """From p0 to p1 with the given radius, open at both ends, under to_world, which keeps it circular.

    Its local frame, which texture coordinates go by, is Mitsuba's: z from p0 to p1, and x after Duff et al.,
    "Building an Orthonormal Basis, Revisited", JCGT 6(1), 2017.
    """
    flip_normals = reader.boolean("flip_normals", False)
    p0, p1 = reader.vector("p0", [0.0, 0.0, 0.0]), reader.vector("p1", [0.0, 0.0, 1.0])
    radius = reader.number("radius", 1.0, above=0.0)
    length = np.linalg.norm(p1 - p0)
    if length == 0:
        reader.fail("p0 and p1 are the same point, which gives the cylinder no axis; move one of them", "p1")
    x, y, z = (p1 - p0) / length
    sign = np.copysign(1.0, z)
    a, b = -1 / (sign + z), -x * y / (sign + z)
    local = np.eye(4)
    local[:3, 0] = radius * np.array([1 + sign * x * x * a, sign * b, -sign * x])
    local[:3, 1] = radius * np.array([b, sign + y * y * a, -y])
    local[:3, 2] = p1 - p0
    local[:3, 3] = p0
    to_world = check_invertible(reader.transform() @ local, reader.place("to_world"))
    if not keeps_round("cylinder", to_world):
        reader.fail(
            "a cylinder can only be scaled by the same factor across its axis, and not sheared; use a"
            " mesh for an elliptic one",
            "to_world",
        )
    return _shape(reader, "cylinder", to_world, flip_normals)


def keeps_round(kind: str, to_world: np.ndarray) -> bool:
    """True if the matrix maps the unit sphere to a sphere, or the unit cylinder to a circular cylinder."""
    axes = to_world[:3, :3].copy()
    if kind == "cylinder":  # its length is free
        axes[:, 2] *= np.linalg.norm(axes[:, 0]) / np.linalg.norm(axes[:, 2])
    gram = axes.T @ axes
    scale = np.trace(gram) / 3
    return np.abs(gram - scale * np.eye(3)).max() <= 1e-3 * scale


def _mesh(reader: Reader) -> Shape:
    read = {"ply": read_ply, "obj": read_obj}.get(reader.type)
    if read is None:
        read = partial(read_serialized, index=reader.integer("shape_index", 0, low=0))
    flip_normals = reader.boolean("flip_normals", False)
    to_world = reader.transform()
    mesh = read_mesh(
        reader.file(),
        read,
        to_world,
        face_normals=reader.boolean("face_normals", False),
        flip_normals=flip_normals,
        flip_tex_coords=reader.boolean("flip_tex_coords", reader.type == "obj"),
        fail=lambda problem: reader.fail(problem, "filename"),
        warn=lambda problem: reader.warn(problem, "filename"),
    )
    shape = _shape(reader, "mesh", to_world, False)
    shape.vertices, shape.normals, shape.texcoords, shape.faces, shape.attributes, shape.smooth = mesh
    shape.reversed = flip_normals
    return shape


def _shapegroup(reader: Reader) -> ShapeGroup:
    """The shapes that instances copy; they may not emit."""
    shapes, media = [], sides_of(reader)
    for child in reader.children("shape"):
        if child.type in ("shapegroup", "instance"):
            child.fail(f"a shapegroup holds no {child.type}; write the shapes themselves into it")
        if child.category != "shape":
            child.misplaced(reader)
        shape = child.make()
        if shape.emitter is not None:
            child.fail(
                "a shape in a shapegroup cannot emit; remove the emitter, or write the shape at the top level"
            )
        shapes.append(shape)
    if not shapes:
        reader.fail("the shapegroup is empty; write the shapes to be instanced into it")
    return ShapeGroup([_filled(shape, media) for shape in shapes])


def _instance(reader: Reader) -> list[Shape]:
    """Copies of the shapes of one shapegroup."""
    to_world, media = reader.transform(), sides_of(reader)
    group = None
    for child in reader.children("shapegroup"):
        if child.type != "shapegroup":
            child.fail(
                f"an instance holds one shapegroup and nothing else, got {child.type} ({child.category})"
            )
        if group is not None:
            child.fail("an instance holds one shapegroup; remove one of the two")
        group = child.make()
    if group is None:
        reader.fail('there is no shapegroup; refer to one, as {"type": "ref", "id": "..."}')
    return [_copy(reader, _filled(shape, media), to_world) for shape in group.shapes]


def _filled(shape: Shape, media: dict[str, Medium]) -> Shape:
    """The shape with the media of what it stands in, if it bounds none itself."""
    return replace(shape, **media) if media and shape.interior is shape.exterior is None else shape


def _copy(reader: Reader, shape: Shape, to_world: np.ndarray) -> Shape:
    """The shape under a further transform."""
    placed = dict(instance=reader.name, instance_to_world=to_world, original=shape)
    matrix = to_world @ shape.to_world
    if shape.kind != "mesh":
        if shape.kind in ("sphere", "cylinder") and not keeps_round(shape.kind, matrix):
            reader.fail(
                f"this transform makes an ellipsoid or the like of the {shape.kind} '{shape.name}';"
                " scale it by the same factor along all axes, or use a mesh",
                "to_world",
            )
        return replace(shape, to_world=matrix, **placed)
    linear = to_world[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        vertices = (shape.vertices @ linear.T + to_world[:3, 3]).astype(np.float32)
    if not np.isfinite(vertices).all():
        reader.fail(f"'{shape.name}' moves beyond the range of 32-bit numbers", "to_world")
    normals = shape.normals
    if normals is not None:
        normals = normals @ np.linalg.inv(linear)
        normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    faces, reversed_faces = shape.faces, shape.reversed
    if np.linalg.det(linear) < 0:  # the geometric normals follow the vertex normals, not the winding
        faces, reversed_faces = np.ascontiguousarray(faces[:, ::-1]), not reversed_faces
    arrays = dict(vertices=vertices, normals=normals, faces=faces, reversed=reversed_faces)
    return replace(shape, to_world=matrix, **arrays, **placed)


def _shape(reader: Reader, kind: str, to_world: np.ndarray, flip_normals: bool) -> Shape:
    """What all shapes have: a bsdf, an emitter and media, nested or by reference."""
    reader.without_effect("silhouette_sampling_weight")
    media = sides_of(reader)
    bsdf: Bsdf | None = None
    emitter: Emitter | None = None
    for child in reader.children("bsdf", "emitter", *SIDES):
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
        elif child.category == "medium":
            child.fail("a medium stands under the key interior or exterior of a shape; call it so")
        else:
            child.misplaced(reader)
    if bsdf is None:
        bsdf = _default_bsdf(reader, emitter)
    return Shape(reader.name, kind, bsdf, emitter, to_world, flip_normals, **media)


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
    "cylinder": _cylinder,
    "ply": _mesh,
    "obj": _mesh,
    "serialized": _mesh,
    "shapegroup": _shapegroup,
    "instance": _instance,
}
