"""Mesh files become the arrays that Mitsuba makes of them; broken ones are refused."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.mesh_files import (
    QUAD,
    assert_is_mitsubas,
    mesh_of,
    model_of,
    packed,
    parameters_of,
    ply,
    theirs_of,
)

from prb.errors import SceneError
from prb.scene.meshes.mesh import MeshFileError, check_mesh
from prb.scene.meshes.obj import read_obj
from prb.scene.meshes.ply import read_ply

pytestmark = pytest.mark.quick

SCENES = Path(__file__).parents[2] / "scenes"
DATA = Path(__file__).parents[3] / "shared/data/mitsuba/common/meshes"


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


@pytest.mark.parametrize("name", ["bunny.ply", "teapot.ply", "sphere.obj", "rectangle.obj"])
def test_files_of_mitsuba(mi, name):
    if not (DATA / name).exists():
        pytest.skip(f"needs {DATA / name}")
    assert_is_mitsubas(mesh_of(DATA, name), theirs_of(mi, DATA / name))


TRIANGLES = """\
# a comment
mtllib none.mtl
o first
v 0 0 0
v 1 0 0
  v\t0 1 0.5
vt 0.1 0.2
vt .9 .1
vt .2 .8
vn 0 0 2
vn 0.1 0 1
vn 0 .2 1
g one two
s off
usemtl grey
f 1/1/1 2/2/2 3/3/3
o second
v 1 1 0 0.5 0.5 0.5
f 2/2/1 4/1/2 3/3/1  # the corners 2 and 3 have other normals here
"""
PLAIN = "v 0 0 0\nv 1 0 0\nv 0 1 0.5\nv 1 1 0\nf 1 2 3\nf 2 4 3\n"


@pytest.mark.parametrize("text", [TRIANGLES, PLAIN], ids=["normals", "plain"])
@pytest.mark.parametrize("scale", [(1, 1, 1), (-1, 1, 2), (1, 1, -1)])
@pytest.mark.parametrize("keys", [{}, {"face_normals": True}, {"flip_tex_coords": False}], ids=str)
def test_obj_is_mitsubas(mi, tmp_path, text, scale, keys):
    (tmp_path / "t.obj").write_text(text.replace("#", "\n#") if "#" in text else text)
    to_world = mi.ScalarTransform4f().translate([1, 2, 3]).rotate([0, 1, 0], 30).scale(scale)
    mesh = mesh_of(tmp_path, "t.obj", to_world=to_world, **keys)
    theirs = theirs_of(mi, tmp_path / "t.obj", to_world=to_world, **keys)
    assert_is_mitsubas(mesh, theirs)
    assert not mesh.flip_normals


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("face_normals", [False, True])
@pytest.mark.parametrize("text", [TRIANGLES, PLAIN], ids=["normals", "plain"])
def test_flip_normals_turns_both_normals_as_in_mitsuba(mi, tmp_path, mirror, face_normals, text):
    (tmp_path / "t.obj").write_text(text.replace("  # the corners 2 and 3 have other normals here", ""))
    keys = {
        "to_world": mi.ScalarTransform4f().scale([mirror, 1, 1]),
        "flip_normals": True,
        "face_normals": face_normals,
    }
    mesh = mesh_of(tmp_path, "t.obj", **keys)
    a, b, c = mesh.vertices[mesh.faces[0]]
    geometric = np.cross(b - a, c - a)
    geometric /= np.linalg.norm(geometric)
    shape = mi.load_dict({"type": "obj", "filename": str(tmp_path / "t.obj"), **keys})
    hit = mi.load_dict({"type": "scene", "s": shape}).ray_intersect(
        mi.Ray3f([mirror * 0.25, 0.25, 5], [0, 0, -1])
    )
    np.testing.assert_allclose(geometric, np.array(hit.n), atol=1e-6)
    if not face_normals:
        weights = np.array([0.25, 0.25, 0.5])[[1, 0, 2]]  # of the corners in reversed order
        shading = weights @ mesh.normals[mesh.faces[0]]
        assert shading @ np.array(hit.sh_frame.n) > 0.9
    assert not mesh.flip_normals


def test_obj_corners():
    mesh = read_obj(TRIANGLES.encode())
    assert len(mesh.faces) == 2
    assert len(mesh.vertices) == 6  # 1/1/1 2/2/2 3/3/3 2/2/1 4/1/2 3/3/1
    np.testing.assert_array_equal(mesh.vertices[mesh.faces[1]], [[1, 0, 0], [1, 1, 0], [0, 1, 0.5]])
    np.testing.assert_array_equal(mesh.normals[mesh.faces[1]], [[0, 0, 2], [0.1, 0, 1], [0, 0, 2]])
    np.testing.assert_array_equal(mesh.texcoords[mesh.faces[1]], [[0.9, 0.1], [0.1, 0.2], [0.2, 0.8]])


SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvn 0 0 1\n"
FORMS = {
    "v": ("f 1 2 3 4", None, None),
    "v/vt": ("f 1/1 2/2 3/1 4/2", 1, None),
    "v//vn": ("f 1//1 2//1 3//1 4//1", None, 1),
    "v/vt/vn": ("f 1/1/1 2/2/1 3/1/1 4/2/1", 1, 1),
    "negative": ("f -4/-2/-1 -3/-1/-1 -2/-2/-1 -1/-1/-1", 1, 1),
    "mixed": ("f 1/1/1 2/2 3//1 4", 1, 1),
    "continued": ("f 1 2 \\\n3 4", None, None),
    "windows": ("f 1 2 3 4\r\n", None, None),
    "with fewer": ("f 1 2 3\nf 1 3 4", None, None),
}


@pytest.mark.parametrize("faces, texcoords, normals", FORMS.values(), ids=FORMS)
def test_obj_forms(faces, texcoords, normals):
    mesh = read_obj((SQUARE + faces).encode())
    corners = mesh.vertices[mesh.faces]
    np.testing.assert_array_equal(corners[0], [[0, 0, 0], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_array_equal(corners[1], [[0, 0, 0], [1, 1, 0], [0, 1, 0]])
    assert (mesh.texcoords is None, mesh.normals is None) == (texcoords is None, normals is None)
    if texcoords:
        np.testing.assert_array_equal(mesh.texcoords[mesh.faces[0, :2]], [[0, 0], [1, 0]])


def test_negative_obj_indices_count_from_their_line():
    first = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -3 -2 -1\n"
    mesh = read_obj((first + first.replace("0 0 0", "5 5 5")).encode())
    assert mesh.faces.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_missing_obj_normals_are_computed(tmp_path):
    (tmp_path / "t.obj").write_text(SQUARE + "f 1//1 2//1 3\n")
    model = model_of(tmp_path, "t.obj")
    np.testing.assert_array_equal(model.shapes[0].normals, [[0, 0, 1]] * 3)
    assert model.warnings == [
        "mesh.filename: t.obj: 1 vertices have no usable normal in the file; computed them"
    ]


PLIES = {
    "little endian": ply(packed("<")),
    "big endian": ply(packed(">"), form="binary_big_endian"),
    "double": ply(packed("<", "d", "H"), scalar="double", index="ushort"),
    "ascii": ply(b"0 0 0\n1 0 0\n1 1 0.5\n0 1 0\n4 0 1 2 3\n", form="ascii"),
    "mixed polygons": ply(packed("<", polygons=((0, 1, 2, 3), (0, 1, 2))), faces=2),
    "mixed ascii": ply(b"0 0 0 1 0 0 1 1 .5 0 1 0 4 0 1 2 3 3 0 1 2", form="ascii", faces=2),
    "two triangles": ply(packed("<", polygons=((0, 1, 2), (0, 2, 3))), faces=2),
    "more elements": ply(
        packed("<") + struct.pack("<if", 3, 1.5), after="element edge 1\nproperty int a\nproperty float b\n"
    ),
}


@pytest.mark.parametrize("data", PLIES.values(), ids=PLIES)
def test_ply_forms(data):
    mesh = read_ply(data)
    np.testing.assert_array_equal(mesh.vertices, QUAD)
    assert mesh.faces[:2].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert mesh.normals is None and mesh.texcoords is None


@pytest.mark.parametrize("u, v", [("u", "v"), ("s", "t"), ("texture_u", "texture_v")])
@pytest.mark.parametrize("form", ["ascii", "binary_little_endian"])
@pytest.mark.parametrize("keys", [{}, {"flip_tex_coords": True}, {"face_normals": True}], ids=str)
def test_ply_attributes_are_mitsubas(mi, tmp_path, u, v, form, keys):
    columns = np.random.default_rng(1).random((4, 9)).astype(np.float32)
    extra = "".join(f"property float {n}\n" for n in ("nx", "ny", "nz", "red", u, v))
    polygons = ((0, 1, 2), (2, 1, 3))
    if form == "ascii":
        body = " ".join(map(str, columns.ravel())) + " 3 0 1 2 3 2 1 3\n"
        body = body.encode()
    else:
        body = packed("<", polygons=polygons, columns=columns)
    path = tmp_path / "t.ply"
    path.write_bytes(ply(body, form=form, faces=2, extra=extra))
    keys = {**keys, "to_world": mi.ScalarTransform4f().rotate([0, 1, 0], 40).scale([1, -2, 3])}
    theirs = theirs_of(mi, path, **{k: v for k, v in keys.items()})
    assert_is_mitsubas(mesh_of(tmp_path, "t.ply", **keys), theirs)


# Attributes: columns of vertices and of faces; whether Mitsuba makes an attribute of them, or warns

ATTRIBUTES = {
    "rgb": (("r", "g", "b"), (), True),
    "red": (("red", "green", "blue"), (), True),
    "named": (("foo_x", "foo_y", "foo_z", "bar_0"), (), True),
    "rgb with a name": (("foo_r", "foo_g", "foo_b"), (), True),
    "full name": (("vertex_foo_1", "vertex_foo_2", "vertex_foo_3"), (), True),
    "faces": ((), ("r", "g", "b", "k_x"), True),
    "both": (("c_r", "c_g", "c_b"), ("c_r", "c_g", "c_b", "d_0", "d_1", "d_2"), True),
    "beside coordinates": (("u", "v", "r", "g", "b", "w_r"), (), True),
    "no suffix": (("quality", "vertex_foo"), ("bar",), True),
    "two": (("foo_x", "foo_y"), (), False),
    "out of order": (("foo_x", "foo_z", "foo_y"), (), False),
    "four": (("foo_r", "foo_g", "foo_b", "foo_a"), (), False),
}


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize("case", ATTRIBUTES)
def test_ply_attributes_have_mitsubas_names_and_values(mi, tmp_path, case, form):
    of_vertices, of_faces, quiet = ATTRIBUTES[case]
    random = np.random.default_rng(2)
    columns = np.concatenate([QUAD, random.random((4, len(of_vertices)))], axis=1).astype(np.float32)
    values = random.random((2, len(of_faces))).astype(np.float32)
    faces = [(0, 1, 2), (2, 1, 3)]
    order = ">" if "big" in form else "<"
    if form == "ascii":
        lines = [" ".join(map(str, row)) for row in columns.tolist()]
        lines += [" ".join(map(str, (3, *f, *v))) for f, v in zip(faces, values.tolist(), strict=True)]
        body = "\n".join(lines).encode()
    else:
        body = columns.astype(order + "f4").tobytes()
        for face, row in zip(faces, values, strict=True):
            body += struct.pack(order + "B3i", 3, *face) + row.astype(order + "f4").tobytes()
    extra, after = ("".join(f"property float {n}\n" for n in names) for names in (of_vertices, of_faces))
    path = tmp_path / "t.ply"
    path.write_bytes(ply(body, form=form, faces=2, extra=extra, after=after))
    model = model_of(tmp_path, "t.ply")
    mine = model.shapes[0].attributes
    theirs = parameters_of(mi, path)
    known = ("vertex_positions", "vertex_normals", "vertex_texcoords")
    names = {k for k in theirs.keys() if k.startswith(("vertex_", "face_")) and k not in known}
    assert set(mine) == names and quiet == (model.warnings == [])
    assert not quiet or case == "no suffix" or names
    for name in names:
        assert mine[name].dtype == np.float32 and mine[name].shape[1] in (1, 3)
        rows = 4 if name.startswith("vertex_") else 2
        np.testing.assert_allclose(mine[name], np.array(theirs[name]).reshape(rows, -1), atol=1e-7)


def test_whole_numbers_of_colours_are_taken_as_they_stand(mi, tmp_path):
    body = b"".join(struct.pack("<3f3B", *row, 0, 128, 255) for row in QUAD)
    data = ply(
        body + struct.pack("<B3i", 3, 0, 1, 2),
        extra="".join(f"property uchar {n}\n" for n in ("red", "green", "blue")),
    )
    (tmp_path / "t.ply").write_bytes(data)
    model = model_of(tmp_path, "t.ply")
    theirs = np.array(parameters_of(mi, tmp_path / "t.ply")["vertex_color"])
    np.testing.assert_array_equal(model.shapes[0].attributes["vertex_color"].ravel(), theirs)
    assert "the attribute 'vertex_color' holds whole numbers up to 255" in model.warnings[0]


def test_a_polygons_attribute_goes_to_all_its_triangles():
    body = packed("<") + b""
    body = body[:-17] + struct.pack("<B4if", 4, 0, 1, 2, 3, 0.5) + struct.pack("<B3if", 3, 0, 1, 2, 0.25)
    mesh = read_ply(ply(body, faces=2, after="property float k_x\n"))
    assert mesh.attributes["face_k"].tolist() == [[0.5], [0.5], [0.25]]
    assert len(mesh.faces) == 3


def test_attributes_that_do_not_fit():
    raw = read_ply(PLIES["two triangles"])
    for name, shape, problem in (
        ("vertex_a", (5, 1), "has the shape (5, 1); expected (4, 1) or (4, 3), for the mesh has 4 vertices"),
        ("vertex_a", (4, 2), "has the shape (4, 2)"),
        ("face_a", (4, 1), "has the shape (4, 1); expected (2, 1) or (2, 3), for the mesh has 2 faces"),
        ("face_a", (2,), "has the shape (2,)"),
        ("corner_a", (4, 1), "is named neither vertex_... nor face_..."),
        ("vertex_", (4, 1), "is named neither vertex_... nor face_..."),
    ):
        with pytest.raises(MeshFileError) as caught:
            check_mesh(raw._replace(attributes={name: np.zeros(shape)}))
        assert problem in str(caught.value) and name in str(caught.value)
    check_mesh(raw._replace(attributes={"vertex_a": np.zeros((4, 3)), "face_b": np.zeros((2, 1))}))
    with pytest.raises(MeshFileError, match="of vertex 2 .counted from 0. is not finite"):
        check_mesh(raw._replace(attributes={"vertex_a": np.array([[0], [0], [np.nan], [0]])}))


V = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
BROKEN = {
    "no faces.obj": (V.encode(), "the mesh has no faces"),
    "empty.obj": (b"", "the file is empty"),
    "text.obj": (b"hello world\n", "cannot understand the line 'hello world'"),
    "binary.obj": (bytes(range(256)), "cannot understand the line"),
    "comment.obj": (b"# nothing\n", "there are no vertices"),
    "index 0.obj": (V.encode() + b"f 0 1 2\n", "face 1 refers to vertex 0, but the file has 1 to 3"),
    "index 4.obj": (V.encode() + b"f 1 2 3\nf 1 2 4\n", "face 2 refers to vertex 4"),
    "index -4.obj": (V.encode() + b"f 1 -4 2\n", "face 1 refers to vertex 0"),
    "normal.obj": (V.encode() + b"vn 0 0 1\nf 1//1 2//1 3//2\n", "face 1 refers to normal 2"),
    "texcoord.obj": (V.encode() + b"f 1/1 2/1 3/1\n", "face 1 refers to texture coordinate 1"),
    "two corners.obj": (V.encode() + b"f 1 2 3\nf 1 2\n", "face 1 (counted from 0) has 2 corners"),
    "corner.obj": (V.encode() + b"f 1 2 x\n", "cannot understand the corner 'x'"),
    "four parts.obj": (V.encode() + b"f 1/1/1/1 2 3\n", "cannot understand the corner '1/1/1/1'"),
    "sign.obj": (V.encode() + b"f 1-2 3 2\n", "cannot understand the corner '1-2'"),
    "two numbers.obj": (b"v 0 0\n" + V.encode() + b"f 1 2 3\n", "vertex 1: expected 3 numbers, got '0 0'"),
    "uneven.obj": (b"v 0 0\nv 1 0 0 0\n" + V.encode() + b"f 1 2 3\n", "vertex 1: expected 3 numbers"),
    "word.obj": (V.encode() + b"v 0 a 0\nf 1 2 3\n", "vertex 4: expected 3 numbers, got '0 a 0'"),
    "nan.obj": (V.encode() + b"v 0 nan 0\nf 1 2 3\n", "vertex 3 (counted from 0) is not finite: 0, nan, 0"),
    "inf.obj": (V.encode() + b"v 0 1e999 0\nf 1 2 3\n", "vertex 3 (counted from 0) is not finite"),
    "empty.ply": (b"", "the file is empty"),
    "other.ply": (b"PNG....", "not a PLY file"),
    "header.ply": (b"ply\nformat ascii 1.0\n", "the header has no end_header"),
    "format.ply": (ply(b"", form="xml"), "unknown format 'xml'"),
    "line.ply": (ply(b"", extra="property floot w\n"), "cannot understand the header line 'property floo"),
    "fraction.ply": (ply(b"0 0 0 1 0 0 1 1 1 0 1 0 3 0 1.5 2", form="ascii"), "refers to vertex 1.5"),
    "nan index.ply": (ply(b"0 0 0 1 0 0 1 1 1 0 1 0 3 0 nan 2", form="ascii"), "refers to vertex nan"),
    "empty element.ply": (ply(packed("<"), after="element x 3\n"), "the element 'x' has"),
    "twice.ply": (ply(b"1" * 999, extra="property float x\n"), "the header of element 'vertex' is wrong"),
    "short.ply": (ply(packed("<")[:-3]), "the file ends before the 1 records of element 'face'"),
    "short vertices.ply": (ply(packed("<")[:20]), "the file ends before the 4 records of element 'vertex'"),
    "long.ply": (ply(packed("<") + b"xx"), "2 bytes follow"),
    "short ascii.ply": (ply(b"0 0 0 1 0 0 1 1 1 0 1 0 4 0 1", form="ascii"), "the file ends before"),
    "long ascii.ply": (ply(b"0 0 0 1 0 0 1 1 1 0 1 0 3 0 1 2 7", form="ascii"), "1 numbers follow"),
    "word.ply": (ply(b"0 0 0 1 0 0 1 1 1 0 a 0 3 0 1 2", form="ascii"), "not a number"),
    "no faces.ply": (ply(packed("<", polygons=()), faces=0), "the mesh has no faces"),
    "no z.ply": (ply(packed("<")).replace(b"float z", b"float w"), "the vertices lack x, y or z"),
    "no list.ply": (ply(packed("<")).replace(b"vertex_indices", b"vertex_colours"), "have no list"),
    "point cloud.ply": (ply(packed("<")).replace(b"element face", b"element edge"), "no element 'face'"),
    "index 4.ply": (
        ply(packed("<", polygons=((0, 1, 4),))),
        "face 0 (counted from 0) refers to vertex 4, but there are 4 vertices",
    ),
    "index -1.ply": (
        ply(packed("<", polygons=((0, 1, 2), (0, -1, 2))), faces=2),
        "face 1 (counted from 0) refers to vertex -1",
    ),
    "two corners.ply": (ply(packed("<", polygons=((0, 1),))), "has 2 corners, fewer than 3"),
    "nan.ply": (
        ply(packed("<", columns=np.where(QUAD == 0.5, np.nan, QUAD))),
        "vertex 2 (counted from 0) is not finite: 1, 1, nan",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    data, problem = BROKEN[name]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SceneError) as caught:
        model_of(tmp_path, name)
    message = str(caught.value)
    assert message.startswith(f"mesh.filename: {name}: ")
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "reader, data",
    [(read_ply, ply(packed("<"))), (read_obj, TRIANGLES.encode()), (read_ply, PLIES["mixed ascii"])],
)
def test_damaged_files_raise_nothing_else(reader, data):
    """Some are refused, with the one error there is for that, and some are read nevertheless."""
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data[: random.integers(len(data) + 1)] if random.random() < 0.3 else data)
        for _ in range(random.integers(1, 4)):
            if damaged:
                damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            reader(bytes(damaged))
        except MeshFileError:
            refused += 1
    assert 100 < refused < 395


def test_vertices_beyond_32_bits(tmp_path):
    (tmp_path / "t.obj").write_text(V + "f 1 2 3\n")
    with pytest.raises(SceneError, match="beyond the range of 32-bit"):
        model_of(tmp_path, "t.obj", to_world=[{"scale": 1e38}, {"scale": 1}, {"translate": [3.3e38, 0, 0]}])


@pytest.mark.parametrize("name", ["bear", "knot"])
def test_the_script_makes_the_bundled_meshes(name):
    spec = importlib.util.spec_from_file_location("make_meshes", SCENES / "make_meshes.py")
    make_meshes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_meshes)
    vertices, faces = getattr(make_meshes, name)()
    data = (SCENES / f"meshes/{name}.ply").read_bytes()
    assert len(data) < 1_000_000
    bundled = read_ply(data)
    np.testing.assert_allclose(bundled.vertices, vertices, atol=1e-6)
    np.testing.assert_array_equal(bundled.faces, faces)
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    assert np.einsum("ij,ij->i", a, np.cross(b, c)).sum() > 0  # counter-clockwise from outside
    edges = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # closed
