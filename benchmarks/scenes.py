"""Scenes that the benchmarks render, as dictionaries that both prb and Mitsuba can be given."""

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
