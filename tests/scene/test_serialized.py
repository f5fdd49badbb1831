"""Mitsuba's .serialized files: written here as its documentation describes them, and read as Mitsuba does."""

import struct
import zlib

import numpy as np
import pytest
from helpers.mesh_files import QUAD, assert_is_mitsubas, mesh_of, model_of, theirs_of

from prb.errors import SceneError
from prb.scene.meshes.mesh import MeshFileError
from prb.scene.meshes.serialized import read_serialized

pytestmark = pytest.mark.quick


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def mesh_stream(version=4, *, flags=0, double=False, normals=None, texcoords=None, colors=None,
                vertices=QUAD, faces=((0, 1, 2), (0, 2, 3)), name=b"a thing"):  # fmt: skip
    arrays = ((0, vertices), (1, normals), (2, texcoords), (8, colors))
    flags |= (0x2000 if double else 0x1000) | sum(f for f, a in arrays if a is not None)
    body = struct.pack("<I", flags) + (name + b"\0" if version == 4 else b"")
    body += struct.pack("<QQ", len(vertices), len(faces))
    for _, array in arrays:
        body += b"" if array is None else np.asarray(array, "<f8" if double else "<f4").tobytes()
    return struct.pack("<HH", 0x041C, version) + zlib.compress(body + np.asarray(faces, "<u4").tobytes())


def serialized(*meshes, version=4):
    offsets = np.cumsum([0, *map(len, meshes)])[:-1]
    table = np.asarray(offsets, "<u8" if version == 4 else "<u4").tobytes()
    return b"".join(meshes) + table + struct.pack("<I", len(meshes))


NORMALS, TEXCOORDS = QUAD + [0, 0, 1], QUAD[:, :2] * 0.5


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("arrays", [{}, {"normals": NORMALS}, {"texcoords": TEXCOORDS},
                                    {"normals": NORMALS, "texcoords": TEXCOORDS, "colors": QUAD}],
                         ids=lambda a: "+".join(a) or "plain")  # fmt: skip
@pytest.mark.parametrize("keys", [{}, {"face_normals": True}], ids=str)
def test_serialized_is_mitsubas(mi, tmp_path, version, double, arrays, keys):
    shifted = {**arrays, "vertices": QUAD + 5}
    streams = (mesh_stream(version, double=double, **each) for each in (arrays, shifted))
    data = serialized(*streams, version=version)
    path = tmp_path / "t.serialized"
    path.write_bytes(data)
    keys = {**keys, "to_world": mi.ScalarTransform4f().rotate([0, 1, 0], 40).scale([1, -2, 3])}
    for index in (0, 1):
        mesh = mesh_of(tmp_path, path.name, shape_index=index, **keys)
        assert_is_mitsubas(mesh, theirs_of(mi, path, shape_index=index, **keys))
        assert set(mesh.attributes) == ({"vertex_color"} if "colors" in arrays else set())


def test_serialized_colours_and_flags(tmp_path):
    mesh = read_serialized(mesh_stream(colors=QUAD * 0.5, flags=0x10))  # no table is needed for mesh 0
    np.testing.assert_allclose(mesh.attributes["vertex_color"], QUAD * 0.5)
    assert "face_normals" in mesh.warnings[0]


STREAM = mesh_stream()
BROKEN_SERIALIZED = {
    "empty": (b"", 0, "the file is empty"),
    "tiny": (b"\x1c", 0, "the file begins at byte 0, but the file has 1"),
    "other": (b"PNG..........", 0, "the file does not begin as a .serialized mesh does"),
    "version": (mesh_stream(2), 0, "has the format version 2; only 3 and 4 are known"),
    "index": (serialized(STREAM, STREAM), 2, "there is no mesh 2; the file holds 2, counted from 0"),
    "table": (STREAM, 1, "the table of meshes at the end of the file is damaged"),
    "offset": (STREAM + struct.pack("<QQI", 0, 10**9, 2), 1, "mesh 1 begins at byte 1000000000"),
    "offset inside": (STREAM + struct.pack("<QQI", 0, 6, 2), 1, "mesh 1 does not begin as"),
    "zlib": (STREAM[:10] + b"xxxx" + STREAM[14:], 0, "cannot be decompressed"),
    "short": (STREAM[:-20], 0, "the mesh ends before"),
    "no counts": (struct.pack("<HH", 0x041C, 4) + zlib.compress(b"12345678"), 0, "ends before the numbers"),
    "huge": (struct.pack("<HH", 0x041C, 3) + zlib.compress(struct.pack("<IQQ", 0x1000, 2**60, 2**60)), 0,
             "the mesh ends before its 1152921504606846976 vertices"),
    "face": (mesh_stream(faces=[(0, 1, 9)]), 0, "face 0 (counted from 0) refers to vertex 9"),
    "faceless": (mesh_stream(faces=np.zeros((0, 3))), 0, "the mesh has no faces"),
    "nan": (mesh_stream(vertices=QUAD * [1, np.nan, 1]), 0, "vertex 0 (counted from 0) is not finite"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_SERIALIZED)
def test_broken_serialized_files(tmp_path, case):
    data, index, problem = BROKEN_SERIALIZED[case]
    (tmp_path / "t.serialized").write_bytes(data)
    with pytest.raises(SceneError) as caught:
        model_of(tmp_path, "t.serialized", shape_index=index)
    message = str(caught.value)
    assert message.startswith("mesh.filename: t.serialized: ") and problem in message


def test_a_shape_index_is_a_whole_number(tmp_path):
    (tmp_path / "t.serialized").write_bytes(serialized(STREAM))
    for index in (-1, 0.5, "0"):
        with pytest.raises(SceneError, match="mesh.shape_index: "):
            model_of(tmp_path, "t.serialized", shape_index=index)


def test_damaged_files_raise_nothing_else():
    """Some are refused, with the one error there is for that, and some are read nevertheless."""
    random = np.random.default_rng(0)
    refused = 0
    data = serialized(STREAM, STREAM)
    for _ in range(400):
        damaged = bytearray(data[: random.integers(len(data) + 1)] if random.random() < 0.3 else data)
        for _ in range(random.integers(1, 4)):
            if damaged:
                damaged[random.integers(len(damaged))] = random.integers(256)
        try:
            read_serialized(bytes(damaged), int(random.integers(3)))
        except MeshFileError:
            refused += 1
    assert 100 < refused < 395
