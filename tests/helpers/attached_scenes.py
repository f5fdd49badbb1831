"""Small scenes in which sampled directions move with parameters, for tests of attached derivatives.

A ball of rough metal, whose roughness bends what it reflects, stands beside what is to be tested.
"""

from helpers.material_scenes import (
    DIFFUSE,
    GREYS,
    PICTURE,
    RECTANGLE,
    RNG,
    image,
    lights,
    rgb,
    scene_of,
    to_uv,
)

METAL = {"type": "roughconductor", "distribution": "ggx", "alpha": 0.3, "eta": rgb(0.2, 0.9, 1.2),
         "k": rgb(3.9, 2.4, 2.2)}  # fmt: skip
PAINTED = {
    "type": "principled", "base_color": rgb(0.9, 0.5, 0.4), "metallic": 0.3, "roughness": 0.4,
    "spec_tint": 0.3, "anisotropic": 0.5, "sheen": 0.4, "sheen_tint": 0.5, "clearcoat": 0.7,
    "clearcoat_gloss": 0.4, "flatness": 0.3, "spec_trans": 0.4,
}  # fmt: skip
LAMP = {"lamp": {"type": "rectangle", "emitter": {"type": "area", "radiance": rgb(9, 8, 7)},
                 "to_world": [{"rotate": {"axis": [1, 0, 0], "angle": 180}},
                              {"translate": [0.3, 0.2, 3]}]}}  # fmt: skip
NORMALS = RNG.uniform(0.35, 0.65, (3, 3, 3)).astype("float32")
NORMALS[..., 2] = 1


def _textured(**keys):
    return {"type": "twosided", "a": {"type": "diffuse", "reflectance": image(**keys)}}


def _map(kind, model):
    texture = {"normalmap": image(NORMALS)} if kind == "normalmap" else {"t": image(GREYS), "scale": 0.2}
    return {"type": kind, **texture, "a": model}


def rough_metal():
    return scene_of({"metal": METAL})


def beckmann():
    """Of a distribution that is sampled by iteration."""
    return scene_of({"metal": {**METAL, "distribution": "beckmann"}})


def glass():
    return scene_of({"glass": {"type": "dielectric"}, "pane": {"type": "thindielectric"}})


def rough_glass():
    return scene_of({"glass": {"type": "roughdielectric", "distribution": "ggx", "alpha": 0.3}})


def glass_and_picture():
    """Rough glass beside a ball that wears a picture, under one lamp."""
    glass = {"type": "roughdielectric", "distribution": "ggx", "alpha": 0.3}
    return scene_of({"glass": glass, "picture": {"type": "diffuse", "reflectance": image()}}, LAMP)


def plastics():
    coat = {"type": "roughplastic", "distribution": "ggx", "alpha": 0.2, "nonlinear": True}
    return scene_of({"varnish": {"type": "plastic", "nonlinear": True}, "coat": coat})


def principled():
    return scene_of({"paint": PAINTED})


def wrappers():
    blend = {"type": "blendbsdf", "weight": 0.4, "a": DIFFUSE, "b": METAL}
    return scene_of({
        "mask": {"type": "mask", "opacity": 0.6, "a": METAL}, "blend": blend,
        "sides": {"type": "twosided", "a": METAL, "b": DIFFUSE},
    }, shapes={"sides": RECTANGLE})  # fmt: skip


def shapes():
    seen = {"ball": {"type": "sphere"}, "wall": RECTANGLE, "disk": {"type": "disk"},
            "tube": {"type": "cylinder", "p0": [0, 0, -1], "p1": [0, 0.3, 1], "radius": 0.6}}  # fmt: skip
    surfaces = {name: _textured(to_uv=to_uv(2.3, -1.7, 15)) for name in seen}
    return scene_of({"metal": METAL, **surfaces}, shapes={**seen, "metal": {"type": "sphere"}})


def frames():
    return scene_of({
        "normals": _map("normalmap", METAL), "bumps": _map("bumpmap", METAL),
        "mirror": _map("normalmap", {"type": "conductor", "material": "Cu"}),
    })  # fmt: skip


def vertex_normals(folder):
    """A scene whose parameters include vertex normals."""
    (folder / "mesh.ply").write_text(MESH)
    return scene_of({"metal": METAL}, shapes={"metal": {"type": "ply", "filename": str(folder / "mesh.ply")}})


MESH = """ply
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
-1 -1 0 -0.2 -0.1 0.97
1 -1 0 0.2 -0.1 0.96
1 1 0.4 0.1 0.1 0.98
-1 1 0 -0.1 0.2 0.97
3 0 1 2
3 0 2 3
"""


def lit(name):
    """The metal under one light, or several."""
    every = lights()
    sphere = {"type": "sphere", "radius": 0.5, "center": [0.8, 0.3, 2.5],
              "emitter": {"type": "area", "radiance": image(PICTURE)}}  # fmt: skip
    chosen = {
        "panel": {"panel": every["panel"], "bulb": sphere},
        "points": {k: every[k] for k in ("spot", "beamer", "sun", "bulb")},
        "map": {"sky": every["sky"]},
    }[name]
    return scene_of({"metal": METAL}, chosen)
