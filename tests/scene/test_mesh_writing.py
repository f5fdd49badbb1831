"""Meshes that are written and read again, and shapes and sensors that a scene's dictionary takes back."""

import numpy as np
import pytest

from prb.errors import ImageError
from prb.scene import load_model_dict
from prb.scene.meshes.mesh import RawMesh
from prb.scene.meshes.ply import read_ply
from prb.scene.meshes.writing import ply_bytes, write_ply
from prb.scene.parameter_values import with_values

pytestmark = pytest.mark.quick

FIELDS = ("vertices", "normals", "texcoords", "faces")
RNG = np.random.default_rng(3)
ATTRIBUTES = {
    "vertex_color": RNG.random((5, 3), np.float32), "vertex_wear": RNG.random((5, 1), np.float32),
    "vertex_wear_color": RNG.random((5, 3), np.float32), "face_two_words": RNG.random((4, 3), np.float32),
    "face_id": RNG.random((4, 1), np.float32),
}  # fmt: skip
FACES = np.array([[0, 1, 2], [2, 1, 3], [3, 1, 4], [4, 0, 2]], np.int32)


def raw(**more):
    """A mesh with all that a file may hold. more: other fields of it."""
    return RawMesh(
        **dict(
            vertices=RNG.normal(size=(5, 3)).astype(np.float32),
            normals=RNG.normal(size=(5, 3)).astype(np.float32),
            texcoords=RNG.random((5, 2), np.float32), faces=FACES, attributes=ATTRIBUTES,
        ) | more
    )  # fmt: skip


@pytest.mark.parametrize("more", [
    {}, {"normals": None}, {"texcoords": None}, {"attributes": {}},
    {"normals": None, "texcoords": None, "attributes": {"face_id": ATTRIBUTES["face_id"]}},
], ids=str)  # fmt: skip
def test_what_is_written_is_read(more):
    mesh = raw(**more)
    found = read_ply(ply_bytes(mesh))
    for field in FIELDS:
        assert (getattr(mesh, field) is None) == (getattr(found, field) is None)
        if getattr(mesh, field) is not None:
            np.testing.assert_array_equal(getattr(found, field), getattr(mesh, field))
    assert found.warnings == () and found.attributes.keys() == mesh.attributes.keys()
    for name, values in mesh.attributes.items():
        np.testing.assert_array_equal(found.attributes[name], values)


def test_an_older_file_stays_whole(tmp_path):
    write_ply(tmp_path / "a.ply", raw())
    assert (tmp_path / "a.ply").read_bytes().startswith(b"ply\nformat binary_little_endian 1.0\n")
    with pytest.raises(ImageError, match="none/a.ply: cannot be written"):
        write_ply(tmp_path / "none" / "a.ply", raw())


OBJ = "v 0 0 0\nv 1 0 0\nv 1 1 0.5\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3\nf 1/1 3/3 4/4\n"
PLACED = [{"scale": [1, 2, 3]}, {"rotate": {"axis": [1, 2, 0], "angle": 40}}, {"translate": [1, 0, 2]}]
MIRRORED = [{"scale": [-1, 2, 3]}]


def scene(**shapes):
    camera = {"type": "perspective", "focal_length": "60mm", "film": {"type": "hdrfilm", "width": 12}}
    return {"type": "scene", "integrator": {"type": "path"}, "sensor": camera, "light": {"type": "constant"},
            **shapes}  # fmt: skip


@pytest.fixture
def files(tmp_path):
    write_ply(tmp_path / "all.ply", raw())
    (tmp_path / "quad.obj").write_text(OBJ)
    return tmp_path


def changed(folder, data, params, names=None):
    """The models before and after the values went into the dictionary, and the names that were left out."""
    before = load_model_dict(data, base_dir=folder)

    def write_mesh(name, mesh):
        write_ply(folder / f"new-{name}.ply", mesh)
        return f"new-{name}.ply"

    new, left_out = with_values(
        data, list(names or params), params, None, write_mesh=write_mesh, shapes=before.shapes
    )
    return before, load_model_dict(new, base_dir=folder), left_out, new


@pytest.mark.parametrize("keys", [
    {}, {"flip_normals": True}, {"face_normals": True}, {"flip_tex_coords": True}, {"flip_tex_coords": False},
    {"to_world": MIRRORED}, {"to_world": MIRRORED, "flip_normals": True},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("file", ["all.ply", "quad.obj"])
def test_positions_come_back(files, file, keys):
    mesh = {"type": file[-3:], "filename": file, "to_world": PLACED, **keys}
    positions = load_model_dict(scene(mesh=mesh), base_dir=files).shapes[0].vertices
    positions = positions + RNG.normal(size=positions.shape).astype(np.float32)
    before, after, left_out, new = changed(files, scene(mesh=mesh), {"mesh.vertex_positions": positions})
    old, shape = before.shapes[0], after.shapes[0]
    assert left_out == [] and new["mesh"]["type"] == "ply" and "to_world" not in new["mesh"]
    np.testing.assert_array_equal(shape.vertices, positions)
    np.testing.assert_array_equal(shape.faces, old.faces)
    assert shape.reversed == old.reversed and (shape.normals is None) == (old.normals is None)
    if old.normals is not None:
        np.testing.assert_allclose(shape.normals, old.normals, atol=1e-6)
    np.testing.assert_array_equal(shape.texcoords, old.texcoords)
    for name, values in old.attributes.items():
        np.testing.assert_array_equal(shape.attributes[name], values)


def test_normals_and_attributes_come_back(files):
    mesh = {"type": "ply", "filename": "all.ply", "flip_normals": True}
    normals = np.float32([[0, 0, 1]] * 4 + [[0.6, 0, 0.8]])
    params = {"mesh.vertex_normals": normals, "mesh.face_id": np.full((4, 1), 0.25, np.float32)}
    _, after, left_out, _ = changed(files, scene(mesh=mesh), params)
    np.testing.assert_allclose(after.shapes[0].normals, normals, atol=1e-7)
    assert left_out == [] and (after.shapes[0].attributes["face_id"] == 0.25).all()


def test_meshes_without_a_writer_are_left_out():
    mesh, params = {"type": "ply", "filename": "all.ply"}, {"mesh.vertex_positions": np.zeros((5, 3))}
    assert with_values(scene(mesh=mesh), list(params), params, None)[1] == list(params)


def test_meshes_of_a_group_and_its_instances_come_back(files):
    """The group's in its own space; each instance where it was moved to."""
    mesh = {"type": "ply", "filename": "all.ply", "to_world": PLACED}
    group = {"type": "shapegroup", "id": "group", "mesh": mesh}
    instance = {"type": "instance", "group": {"type": "ref", "id": "group"}}
    positions = RNG.normal(size=(5, 3)).astype(np.float32)
    params = {"group.mesh.vertex_positions": positions, "b.to_world": POSE}
    _, after, left_out, _ = changed(files, scene(group=group, a=instance, b={**instance}), params)
    assert left_out == []
    np.testing.assert_array_equal(after.shapes[0].vertices, positions)
    np.testing.assert_allclose(after.shapes[1].vertices, positions @ POSE[:3, :3].T + POSE[:3, 3], rtol=1e-5)


POSE = np.array([[0, -2, 0, 1], [2, 0, 0, -3], [0, 0, 2, 0.5], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("shape", [
    {"type": "sphere", "center": [1, 2, 3], "radius": 0.3, "to_world": [{"translate": [1, 1, 1]}]},
    {"type": "sphere", "center": [1, 2, 3], "to_world": [{"scale": [-1, 1, 1]}], "flip_normals": True},
    {"type": "cylinder", "p0": [1, 0, 0], "p1": [1, 2, 3], "radius": 0.2},
    {"type": "rectangle"}, {"type": "disk", "to_world": PLACED}, {"type": "cube", "to_world": PLACED},
], ids=lambda shape: shape["type"])  # fmt: skip
@pytest.mark.parametrize("mirror", [False, True])
def test_analytic_shapes_stand_where_the_matrix_says(tmp_path, shape, mirror):
    matrix = POSE @ np.diag([-1, 1, 1, 1]) if mirror else POSE
    before, after, left_out, _ = changed(tmp_path, scene(thing=shape), {"thing.to_world": matrix})
    np.testing.assert_allclose(after.shapes[0].to_world, matrix, atol=1e-15)
    assert left_out == [] and before.shapes[0].kind == after.shapes[0].kind


def test_a_sphere_is_as_inside_out_as_it_was(tmp_path):
    """Moved rigidly, so that its matrix is mirrored as before."""
    shape = {"type": "sphere", "radius": 2, "to_world": [{"scale": [-1, 1, 1]}], "flip_normals": True}
    matrix = load_model_dict(scene(thing=shape)).shapes[0].to_world.copy()
    matrix[:3, 3] += 1
    before, after, _, _ = changed(tmp_path, scene(thing=shape), {"thing.to_world": matrix})
    assert before.shapes[0].flip_normals == after.shapes[0].flip_normals


@pytest.mark.parametrize("both", [False, True])
def test_a_mesh_is_moved(files, both):
    """By another matrix; where positions are written, they have it already."""
    mesh = {"type": "obj", "filename": "quad.obj", "to_world": PLACED}
    first = load_model_dict(scene(mesh=mesh), base_dir=files).shapes[0].vertices
    moved = (first @ POSE[:3, :3].T + POSE[:3, 3]).astype(np.float32)
    start = load_model_dict(scene(mesh=mesh), base_dir=files).shapes[0].to_world
    params = {"mesh.to_world": POSE @ start, "mesh.vertex_positions": moved}
    names = list(params) if both else ["mesh.to_world"]
    _, after, left_out, new = changed(files, scene(mesh=mesh), params, names)
    np.testing.assert_allclose(after.shapes[0].vertices, moved, atol=2e-6)
    assert left_out == [] and new["mesh"]["type"] == ("ply" if both else "obj")


def test_sensors_take_a_field_of_view_and_a_place(tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = 1, 2, 3
    params = {"sensor.x_fov": np.float64(33.5), "sensor.to_world": matrix}
    _, after, left_out, _ = changed(tmp_path, scene(), params)
    sensor = after.sensors[0]
    assert sensor.x_fov == 33.5 and left_out == []
    np.testing.assert_array_equal(sensor.to_world, matrix)
