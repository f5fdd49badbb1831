"""Outlines against pictures: what a black shape covers of a bright sky."""

import numpy as np
import pytest
from helpers.triangle_meshes import octasphere

import prb
from prb.recover.silhouettes import FINE, mask, moved_shapes
from prb.scene.meshes.mesh import RawMesh
from prb.scene.meshes.writing import write_ply

PLACE = [{"scale": 0.6}, {"rotate": {"axis": [1, 2, 0.5], "angle": 40}}, {"translate": [0.3, -0.2, 0.4]}]
KINDS = ("rectangle", "disk", "cube", "sphere", "cylinder", "ply")
LOOK = {"look_at": {"origin": [1, 2, -4], "target": [0.1, 0, 0.3], "up": [0, 1, 0.2]}}
SENSORS = {
    "perspective": {"type": "perspective", "fov": 35, "principal_point_offset_x": 0.05, "to_world": [LOOK]},
    "cropped": {"type": "perspective", "fov": 35, "to_world": [LOOK]},
    "orthographic": {"type": "orthographic", "to_world": [{"scale": 1.4}, LOOK]},
}


def scene(folder, kind, sensor):
    positions, faces = octasphere(3)
    write_ply(folder / "a.ply", RawMesh(positions, faces, None, None))
    file = {"filename": str(folder / "a.ply")} if kind == "ply" else {}
    crop = dict(crop_offset_x=20, crop_offset_y=12, crop_width=30, crop_height=28)
    film = {"type": "hdrfilm", "width": 64, "height": 48, "rfilter": {"type": "box"}}
    black = {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": 0.0}}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 1}, "sky": {"type": "constant"},
        "sensor": {**SENSORS[sensor], "film": film | (crop if sensor == "cropped" else {})},
        "thing": {"type": kind, **file, "to_world": PLACE, "bsdf": black},
    })  # fmt: skip


@pytest.mark.parametrize("kind, sensor", [
    *((kind, "perspective") for kind in KINDS), ("sphere", "cropped"), ("cube", "orthographic")
])  # fmt: skip
def test_a_mask_is_what_a_picture_shows(tmp_path, kind, sensor):
    """The share of each pixel."""
    loaded = scene(tmp_path, kind, sensor)
    shapes = moved_shapes(loaded, {"thing.to_world": None})
    assert [shape.name for shape in shapes] == ["thing"]
    covered = mask(loaded, shapes, {}, {}).astype(float)
    height, width, _ = loaded.image_shape
    share = covered.reshape(height, FINE, width, FINE).mean(axis=(1, 3))
    seen = 1 - prb.render(loaded, spp=64)[..., 0]
    assert 0.03 < share.mean() < 0.9
    assert share.mean() == pytest.approx(seen.mean(), rel=0.05)
    assert np.abs(share - seen).mean() < 0.02


def test_other_values_move_it(tmp_path):
    loaded = scene(tmp_path, "ply", "perspective")
    params, shapes = prb.traverse(loaded), moved_shapes(loaded, {"thing.vertex_positions": None})
    matrix = params["thing.to_world"].copy()
    matrix[:3, 3] += 0.3
    moved = mask(loaded, shapes, {"thing.to_world": matrix}, {})
    positions = params["thing.vertex_positions"] + np.float32(0.3)
    np.testing.assert_array_equal(mask(loaded, shapes, {"thing.vertex_positions": positions}, {}), moved)
    before = mask(loaded, shapes, {}, {})
    assert (before != moved).any()
    params.update({"thing.to_world": matrix})
    assert (mask(loaded, shapes, {}, {}) != moved).mean() < 1e-3
    camera = params["sensor.to_world"].copy()
    camera[:3, 3] += 0.3
    assert (mask(loaded, shapes, {"sensor.to_world": camera}, {}) != before).mean() < 1e-3
