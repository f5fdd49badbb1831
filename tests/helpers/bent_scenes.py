"""Scenes in which parameters bend rays, without edges that anything sees: large planes, smooth images."""

import tempfile
from pathlib import Path

import numpy as np

import prb

DEPTH = 3.0  # of the wall behind the glass
SIZE = 8.0  # half its width
TILT = 35.0  # degrees between the view and the normal of the glass
ETA, WALL = "glass.bsdf.eta", "wall.bsdf.reflectance.value"
OVER = {"rotate": {"axis": [0, 1, 0], "angle": 180}}
PLY = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property float nx
property float ny
property float nz
element face 2
property list uchar int vertex_indices
end_header
-1 -1 0  0.02 0 1
1 -1 0  -0.02 0.01 1
1 1 0  0 0.03 1
-1 1 0  0 -0.01 1
3 0 1 2
3 0 2 3
"""


def wall(image, depth=DEPTH, size=SIZE, turned=(), nearest=False):
    """A wall that shines with an image, and reflects. turned: further steps of its transform."""
    radiance = {"type": "bitmap", "raw": True, "data": image, "wrap_mode": "clamp"}
    if nearest:
        radiance["filter_type"] = "nearest"
    return {
        "type": "rectangle",
        "to_world": [{"scale": size}, *turned, {"translate": [0, 0, -depth]}],
        "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.4, 0.5, 0.6]}},
        "emitter": {"type": "area", "radiance": radiance},
    }


def gradient(rows=2, columns=2):
    """An image that rises from 0.2 to 1 along u; linear between the outer texels' centres."""
    ramp = np.linspace(0.2, 1.0, columns)[None, :, None] * [1.0, 0.8, 0.6]
    return np.repeat(ramp, rows, axis=0).astype(np.float32)


def parallel_camera(tilt, size=4):
    """A camera whose rays all arrive at the origin's plane at an angle to z, turned about y."""
    angle = np.radians(tilt)
    origin = [10 * np.sin(angle), 0, 10 * np.cos(angle)]
    return {
        "type": "orthographic",
        "to_world": [{"scale": 0.5},
                     {"look_at": {"origin": origin, "target": [0, 0, 0], "up": [0, 1, 0]}}],
        "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
    }  # fmt: skip


def glass_dict(image=None, max_depth=2, nearest=False):
    """A plane of glass, its inside filled up to a wall. nearest: the image is not interpolated."""
    bsdf = {"type": "dielectric", "int_ior": 1.5, "ext_ior": 1.0}
    return {
        "type": "scene", "integrator": {"type": "path", "max_depth": max_depth},
        "sensor": parallel_camera(TILT),
        "wall": wall(gradient() if image is None else image, nearest=nearest),
        "glass": {"type": "rectangle", "to_world": [{"scale": 50.0}], "bsdf": bsdf},
    }  # fmt: skip


def glass(*args, **options):
    """The scene of `glass_dict`."""
    return prb.load_dict(glass_dict(*args, **options))


def mirror(kind="conductor", frame="normalmap"):
    """A plane that reflects a wall behind the camera, its normals turned by a map of 4 x 4 texels.

    frame: "normalmap", "bumpmap", or None: a mesh with normals of its own.
    """
    rng = np.random.default_rng(5)
    slopes = np.concatenate([rng.uniform(0.47, 0.53, (4, 4, 2)), np.ones((4, 4, 1))], axis=2)
    texels = rng.uniform(0.0, 0.05, (4, 4, 1)) if frame == "bumpmap" else slopes
    image = {"type": "bitmap", "raw": True, "data": texels.astype(np.float32)}
    bsdf = {"type": kind}
    if frame is not None:
        bsdf = {"type": frame, frame: image, "nested": bsdf}
    waves = gradient(8, 8) * (1 + 0.3 * np.sin(np.arange(8))[:, None, None])
    plane = {"type": "rectangle"} if frame is not None else {"type": "ply", "filename": "bent.ply"}
    d = {
        "type": "scene", "integrator": {"type": "path", "max_depth": 2}, "sensor": parallel_camera(20.0),
        "wall": wall(waves.astype(np.float32), depth=-15.0, size=20.0, turned=[OVER]),
        "mirror": {**plane, "bsdf": bsdf},
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bent.ply").write_text(PLY)
        return prb.load_dict(d, base_dir=folder)
