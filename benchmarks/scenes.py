"""Scenes that the benchmarks render, as dictionaries that both prb and Mitsuba can be given."""

import colorsys
import json
from pathlib import Path

from prb.load import bundled_scenes

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "mitsuba"
BUNNY = DATA / "common" / "meshes" / "bunny.ply"


def cornell_box(*, max_depth=8, rr_depth=1000):
    """The bundled Cornell box, by default without Russian roulette."""
    scene = json.loads(bundled_scenes()["cornell-box"].read_text())
    scene["integrator"] = {"type": "path", "max_depth": max_depth, "rr_depth": rr_depth}
    return scene


def bunny_box(*, mesh=BUNNY, **options):
    """The Cornell box with a mesh of about the bunny's size in place of the two boxes."""
    scene = cornell_box(**options)
    del scene["large-box"], scene["small-box"]
    scene["bunny"] = {
        "type": "ply",
        "filename": str(mesh),
        "to_world": [{"translate": [0.017, -0.033, 0.0]}, {"scale": 7.0}, {"translate": [0.0, -1.0, 0.0]}],
        "bsdf": {"type": "ref", "id": "white"},
    }
    return scene


def furnace(*, max_depth=8, rr_depth=1000, albedo=0.95):
    """The bundled furnace, of high albedo: no path leaves it."""
    scene = json.loads(bundled_scenes()["furnace"].read_text())
    scene["integrator"] = {"type": "path", "max_depth": max_depth, "rr_depth": rr_depth}
    scene["wall"]["reflectance"]["value"] = [albedo] * 3
    scene["shell"]["emitter"]["radiance"]["value"] = [1 - albedo] * 3
    return scene


def tiles(*, side=16, **options):
    """The Cornell box with side x side tiles, each of a material of its own, for its back wall."""
    scene = cornell_box(**options)
    del scene["back"]
    for i in range(side):
        for j in range(side):
            name = f"paint-{i:02}-{j:02}"
            colour = colorsys.hsv_to_rgb((i + 0.5) / side, 0.6, 0.3 + 0.6 * j / side)
            scene[name] = {"type": "diffuse", "reflectance": {"type": "rgb", "value": list(colour)}}
            scene[f"tile-{i:02}-{j:02}"] = {
                "type": "rectangle",
                "to_world": [
                    {"scale": 1 / side},
                    {"translate": [(2 * i + 1) / side - 1, (2 * j + 1) / side - 1, -1]},
                ],
                "bsdf": {"type": "ref", "id": name},
            }
    return scene


SCENES = {"cornell-box": cornell_box, "bunny-box": bunny_box, "furnace": furnace, "tiles": tiles}
