"""Volumes in files: Mitsuba's .vol both ways, OpenVDB's files, and files that are damaged."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

import prb
from prb.io import volumes
from prb.io.vdb import read_vdb
from prb.io.volumes import read_vol, write_vol

pytestmark = pytest.mark.quick
# Four grids that OpenVDB 7.2 wrote. "density": voxels (-2, 1, 3) to (1, 3, 4) hold 1 + i + 10 j + 100 k, i, j
# and k counted from the first, but one at (1, 1, 1) is not active; a voxel is 0.5 x 1 x 1.5 large, and number
# 0 lies at (10, 20, 30). "half": 8 of them in float16 under an affine map; "tiled": a tile and a voxel;
# "mask": booleans.
VDB = Path(__file__).parents[1] / "data" / "grids.vdb.gz"


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_vol_round_trip(tmp_path, channels):
    values = np.random.default_rng(1).normal(size=(2, 3, 4, channels)).astype(np.float32)
    write_vol(tmp_path / "a.vol", values, box=[[1, 2, 3], [3, 5, 7]])
    grid = read_vol(tmp_path / "a.vol")
    np.testing.assert_array_equal(grid.values, values)
    np.testing.assert_array_equal(grid.to_world @ [1, 0.5, 0, 1], [3, 3.5, 3, 1])
    assert not grid.warnings and [*tmp_path.iterdir()] == [tmp_path / "a.vol"]


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_vol_is_mitsubas(tmp_path, channels):
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    values = np.random.default_rng(1).uniform(size=(2, 3, 4, channels)).astype(np.float32)
    mi.VolumeGrid(values).write(str(tmp_path / "theirs.vol"))
    np.testing.assert_array_equal(read_vol(tmp_path / "theirs.vol").values, values)
    write_vol(tmp_path / "ours.vol", values)
    assert (tmp_path / "ours.vol").read_bytes() == (tmp_path / "theirs.vol").read_bytes()
    np.testing.assert_array_equal(
        np.array(mi.VolumeGrid(str(tmp_path / "ours.vol"))).reshape(values.shape), values
    )


def damaged(data, at, value):
    return data[:at] + np.array(value, "<i4").tobytes() + data[at + 4 :]


DAMAGE = {
    "empty": (lambda d: b"", "is not a volume; a .vol begins with VOL"),
    "no magic": (lambda d: b"PNG" + d, "is not a volume"),
    "header": (lambda d: d[:47], "ends within its header, after 47 of 48 bytes"),
    "version": (lambda d: b"VOL\x02" + d[4:], "is a .vol of version 2; prb reads version 3"),
    "type": (lambda d: damaged(d, 4, 2), "its numbers are of type 2; prb reads 1"),
    "zero": (lambda d: damaged(d, 8, 0), "claims 0 x 3 x 2 voxels of 1 channel; every side"),
    "negative": (lambda d: damaged(d, 8, -4), "claims -4 x 3 x 2"),
    "channels": (lambda d: damaged(d, 20, 2), "has 2 channels; prb reads volumes of 1, 3 or 6"),
    "truncated": (lambda d: d[:-4], "4 x 3 x 2 voxels of 1 channel, 24 numbers, but holds 23; the file is"),
    "huge": (lambda d: damaged(damaged(d, 8, 2**31 - 1), 12, 2**31 - 1), "but holds 24"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_vol(tmp_path, case):
    damage, message = DAMAGE[case]
    path = tmp_path / "a.vol"
    write_vol(path, np.ones((2, 3, 4)))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(prb.VolumeError) as caught:
        read_vol(path)
    assert str(caught.value).startswith(f"{path}: ") and message in str(caught.value)


def test_a_vol_with_more_than_it_says(tmp_path):
    write_vol(tmp_path / "a.vol", np.ones((2, 3, 4)))
    with open(tmp_path / "a.vol", "ab") as file:
        file.write(b"more")
    assert read_vol(tmp_path / "a.vol").warnings == ("a.vol: 4 bytes after the last voxel are not read",)


def test_too_large_for_the_machine(tmp_path, monkeypatch):
    write_vol(tmp_path / "a.vol", np.ones((2, 3, 4)))
    monkeypatch.setattr(volumes, "_memory", lambda: 4 * 24 * 4)
    read_vol(tmp_path / "a.vol")
    monkeypatch.setattr(volumes, "_memory", lambda: 4 * 24 * 4 - 4)
    with pytest.raises(prb.VolumeError, match="4 x 3 x 2 voxels of 1 channel take .* reduce its resolution"):
        read_vol(tmp_path / "a.vol")


def test_what_cannot_be_written(tmp_path):
    for shape in ((2, 3), (2, 3, 4, 2), (2, 0, 4)):
        with pytest.raises(prb.VolumeError, match="expected a grid"):
            write_vol(tmp_path / "a.vol", np.ones(shape))
    with pytest.raises(prb.ImageError, match="is not known; use one of .vol"):
        write_vol(tmp_path / "a.vdb", np.ones((2, 3, 4)))
    assert not [*tmp_path.iterdir()]


@pytest.fixture
def vdb(tmp_path):
    pytest.importorskip("tinyvdb")
    path = tmp_path / "grids.vdb"
    path.write_bytes(gzip.decompress(VDB.read_bytes()))
    return path


def test_vdb(vdb):
    grid = read_vdb(vdb)
    k, j, i = np.mgrid[:2, :3, :4]
    expected = (1 + i + 10 * j + 100 * k).astype(np.float32)
    expected[1, 1, 1] = 0
    np.testing.assert_array_equal(grid.values, expected[..., None])
    centre = grid.to_world @ [0.5 / 4, 0.5 / 3, 0.5 / 2, 1]  # of the first voxel
    np.testing.assert_allclose(centre[:3], [10 - 2 * 0.5, 20 + 1, 30 + 3 * 1.5])
    last = grid.to_world @ [3.5 / 4, 2.5 / 3, 1.5 / 2, 1]
    np.testing.assert_allclose(last[:3], [10 + 0.5, 20 + 3, 30 + 4 * 1.5])
    assert grid.warnings == (
        "grids.vdb: the grid 'density' is made dense: 4 x 3 x 2 voxels of 1 channel, 0.1 KiB; 23 voxels of it"
        " are active",
    )


def test_vdb_of_half_floats_under_an_affine_map(vdb):
    grid = read_vdb(vdb, "half")
    np.testing.assert_array_equal(grid.values[:, :, 0, 0], [[1, 11], [101, 111]])
    # OpenVDB's indexToWorld: (i, j, k) -> (1 - 2 j, 2 + 2 i, 3 + 2 k)
    np.testing.assert_allclose(grid.to_world @ [0.75, 0.25, 0.75, 1], [1, 4, 5, 1])


def test_vdb_mistakes(vdb, monkeypatch):
    def message(name=None, data=None):
        if data is not None:
            vdb.write_bytes(data)
        with pytest.raises(prb.PrbError) as caught:
            read_vdb(vdb, name)
        return str(caught.value)

    assert "claims 513 active voxels, of which 1 can be read: the others are tiles; voxelise" in message(
        "tiled"
    )
    assert "has no grid of floats 'smoke'; grid_name may name one of 'density' (Tree_float" in message(
        "smoke"
    )
    assert "has no grid of floats 'mask'" in message("mask")
    monkeypatch.setattr(volumes, "_memory", lambda: 100)
    assert "reduce its resolution" in message()
    monkeypatch.undo()
    whole = vdb.read_bytes()
    for data in (b"", b"VOL", whole[:1000], whole[: len(whole) // 2], whole[:-200]):
        assert f"{vdb}: cannot be read as OpenVDB (" in message(data=data)


def test_vdb_without_tinyvdb(tmp_path, monkeypatch):
    (tmp_path / "a.vdb").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tinyvdb", None)
    with pytest.raises(prb.MissingPackageError, match=r"a.vdb: prb reads .vdb .* pip install 'prb\[vdb\]'"):
        read_vdb(tmp_path / "a.vdb")
