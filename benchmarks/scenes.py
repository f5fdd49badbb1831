"""Scenes that the benchmarks render, as dictionaries that both prb and Mitsuba can be given."""

import colorsys
import json
from pathlib import Path

from prb.scene.files import bundled_scenes

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "mitsuba"
BUNNY = DATA / "common" / "meshes" / "bunny.ply"
MUSEUM = DATA / "common" / "textures" / "museum.exr"  # 512 x 256
WOOD = DATA / "common" / "textures" / "wood.jpg"  # 2048 x 1571
GRADIENT = DATA / "common" / "textures" / "gradient.jpg"  # 16 x 16


def bundled(name):
    """A bundled scene: its files with their whole path, its bitmaps in 32 bits for Mitsuba too."""
    file = bundled_scenes()[name]

    def found(value):
        if not isinstance(value, dict):
            return value
        value = {key: found(item) for key, item in value.items()}
        if "filename" in value:
            value["filename"] = str(file.parent / value["filename"])
        return {**value, "format": "variant"} if value.get("type") == "bitmap" else value

    return found(json.loads(file.read_text()))


def cornell_box(*, max_depth=8, rr_depth=1000):
    """The bundled Cornell box, by default without Russian roulette."""
    scene = bundled("cornell-box")
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
    scene = bundled("furnace")
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


def _rgb(*value):
    return {"type": "rgb", "value": list(value)}


def _bitmap(file, **options):
    return {"type": "bitmap", "filename": str(file), "format": "variant", **options}


def _under_museum(reflectance, **options):
    """The Cornell box's camera over a ground plane, under an environment map."""
    box = cornell_box(**options)
    return {
        **{key: box[key] for key in ("type", "integrator", "sensor")},
        "sky": {"type": "envmap", "filename": str(MUSEUM)},
        "ground": {
            "type": "rectangle",
            "to_world": [
                {"scale": 3},
                {"rotate": {"axis": [1, 0, 0], "angle": -90}},
                {"translate": [0, -0.77, 0]},
            ],
            "bsdf": {"type": "diffuse", "reflectance": reflectance},
        },
    }


def principled_bunny(*, mesh=BUNNY, **options):
    """A painted bunny with a clear coat on a diffuse ground, lit by an environment map."""
    scene = _under_museum(_rgb(0.4, 0.4, 0.4), **options)
    scene["paint"] = {
        "type": "principled",
        "base_color": _rgb(0.7, 0.3, 0.1),
        "roughness": 0.3,
        "metallic": 0.3,
        "specular": 0.6,
        "sheen": 0.2,
        "clearcoat": 0.5,
        "clearcoat_gloss": 0.8,
    }
    scene["bunny"] = {
        "type": "ply",
        "filename": str(mesh),
        "to_world": [{"translate": [0.017, -0.033, 0.0]}, {"scale": 7.0}, {"translate": [0.0, -0.77, 0.0]}],
        "bsdf": {"type": "ref", "id": "paint"},
    }
    return scene


def textured_room(**options):
    """The Cornell box, its walls and floor papered with images, with a window, a shiny ball and a crate."""
    scene = cornell_box(**options)
    for key in ("white", "green", "red", "large-box", "small-box", "light"):
        del scene[key]
    papers = {
        "boards": {"type": "diffuse", "reflectance": _bitmap(WOOD)},
        "panels": {"type": "diffuse", "reflectance": _bitmap(WOOD, to_uv=[{"scale": [2, 2, 1]}])},
        "paper": {"type": "diffuse", "reflectance": _bitmap(GRADIENT)},
        "plaster": {"type": "diffuse", "reflectance": _rgb(0.8, 0.75, 0.7)},
        "steel": {"type": "roughconductor", "material": "Al", "distribution": "ggx", "alpha": 0.2},
    }
    shapes = {key: scene.pop(key) for key in ("floor", "ceiling", "back", "green-wall", "red-wall")}
    wall = {"floor": "boards", "ceiling": "plaster", "back": "panels"}
    for key, shape in shapes.items():
        shape["bsdf"] = {"type": "ref", "id": wall.get(key, "paper")}
    return {
        **scene,
        **papers,
        **shapes,
        "window": {
            "type": "rectangle",
            "to_world": [
                {"scale": [0.5, 0.5, 1]},
                {"rotate": {"axis": [1, 0, 0], "angle": 90}},
                {"translate": [0, 0.99, 0]},
            ],
            "bsdf": {"type": "ref", "id": "plaster"},
            "emitter": {"type": "area", "radiance": _bitmap(MUSEUM)},
        },
        "ball": {
            "type": "sphere",
            "center": [-0.4, -0.6, 0.1],
            "radius": 0.4,
            "bsdf": {"type": "ref", "id": "steel"},
        },
        "crate": {
            "type": "cube",
            "to_world": [
                {"scale": 0.3},
                {"rotate": {"axis": [0, 1, 0], "angle": -17}},
                {"translate": [0.45, -0.7, 0.2]},
            ],
            "bsdf": {"type": "diffuse", "reflectance": _bitmap(WOOD, filter_type="nearest")},
        },
    }


def rough_glass(**options):
    """A ball and a block of rough glass over a checkered ground, under a lamp and an environment map."""
    board = {
        "type": "checkerboard",
        "color0": _rgb(0.6, 0.6, 0.6),
        "color1": _rgb(0.15, 0.2, 0.3),
        "to_uv": [{"scale": [12, 12, 1]}],
    }
    scene = _under_museum(board, **options)
    glass = {"type": "roughdielectric", "distribution": "ggx", "int_ior": 1.5, "ext_ior": 1.0}
    return {
        **scene,
        "lamp": {
            "type": "rectangle",
            "to_world": [
                {"scale": [0.4, 0.4, 1]},
                {"rotate": {"axis": [1, 0, 0], "angle": 90}},
                {"translate": [0, 1.3, 0]},
            ],
            "emitter": {"type": "area", "radiance": _rgb(8, 8, 8)},
        },
        "ball": {
            "type": "sphere",
            "center": [-0.45, -0.25, 0.2],
            "radius": 0.5,
            "bsdf": {**glass, "alpha": 0.1},
        },
        "block": {
            "type": "cube",
            "to_world": [
                {"scale": [0.35, 0.45, 0.35]},
                {"rotate": {"axis": [0, 1, 0], "angle": 30}},
                {"translate": [0.55, -0.3, 0]},
            ],
            "bsdf": {**glass, "alpha": 0.3},
        },
    }


SCENES = {
    "cornell-box": cornell_box,
    "bunny-box": bunny_box,
    "furnace": furnace,
    "tiles": tiles,
    "principled-bunny": principled_bunny,
    "textured-room": textured_room,
    "rough-glass": rough_glass,
}

# What is differentiated where it is not every reflectance and radiance.
PARAMETERS = {
    "principled-bunny": ("paint.base_color.value", "paint.roughness.value", "ground.bsdf.reflectance.value"),
    "textured-room": ("boards.reflectance.data", "paper.reflectance.data", "plaster.reflectance.value"),
    "rough-glass": (
        "ball.bsdf.alpha.value",
        "block.bsdf.alpha.value",
        "ground.bsdf.reflectance.color0.value",
        "lamp.emitter.radiance.value",
    ),
}

FILES = {  # that a scene needs
    "bunny-box": (BUNNY,),
    "principled-bunny": (BUNNY, MUSEUM),
    "textured-room": (WOOD, GRADIENT, MUSEUM),
    "rough-glass": (MUSEUM,),
}


def missing(scene):
    """Names of the files that a scene needs and that are not here."""
    return [file.name for file in FILES.get(scene, ()) if not file.exists()]
