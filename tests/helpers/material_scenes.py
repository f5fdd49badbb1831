"""Small scenes that together hold every surface model, texture, emitter and wrapper, for tests of gradients.

Spheres and rectangles of the materials to test stand in rows in front of a camera, over a grey floor, so
that light comes to them from a lamp, from each other and from behind.
"""

import numpy as np

import prb

DIFFUSE = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.6, 0.4, 0.2]}}
RNG = np.random.default_rng(20)
PICTURE = RNG.uniform(0.1, 0.9, (3, 4, 3)).astype(np.float32)
GREYS = RNG.uniform(0.1, 0.9, (4, 3, 1)).astype(np.float32)
PRINCIPLED = (
    "metallic",
    "anisotropic",
    "spec_trans",
    "spec_tint",
    "sheen",
    "sheen_tint",
    "clearcoat",
    "clearcoat_gloss",
    "flatness",
)  # from 0 to 1


def rgb(*value):
    return {"type": "rgb", "value": list(value)}


def image(data=PICTURE, **keys):
    return {"type": "bitmap", "data": data, "raw": True, **keys}


def to_uv(x, y, angle=0.0):
    return [{"scale": [x, y, 1]}, {"rotate": {"axis": [0, 0, 1], "angle": angle}}]


def scene_of(materials, lights=None, depth=4, shapes=None):
    """A loaded scene of 16 x 16 pixels. materials: name -> bsdf, each on a sphere or as `shapes` says."""
    d = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": depth, "rr_depth": 1000},
        "sensor": {
            "type": "perspective", "fov": 44,
            "to_world": [{"look_at": {"origin": [0, -3, 3.2], "target": [0, 0, 0.2], "up": [0, 0, 1]}}],
            "film": {"type": "hdrfilm", "width": 16, "height": 16, "rfilter": {"type": "box"}},
        },
        "floor": {"type": "rectangle", "to_world": [{"scale": 3}], "bsdf": DIFFUSE},
    }  # fmt: skip
    columns = int(np.ceil(np.sqrt(len(materials))))
    for i, (name, bsdf) in enumerate(materials.items()):
        x, y = (np.array([i % columns, i // columns]) + 0.5) / columns * 2.2 - 1.1
        size = 1.0 / columns
        shape = (shapes or {}).get(name, {"type": "sphere"})
        steps = [{"rotate": {"axis": [1, 0, 0], "angle": 25}}] if shape["type"] != "sphere" else []
        steps += [{"scale": 0.9 * size}, {"translate": [x, y, 1.05 * size]}]
        d[name] = {**shape, "to_world": steps, "bsdf": bsdf}
    if lights is None:
        lamp = [{"rotate": {"axis": [1, 0, 0], "angle": 180}}, {"translate": [0.3, 0.2, 3]}]
        lights = {
            "lamp": {"type": "rectangle", "to_world": lamp,
                     "emitter": {"type": "area", "radiance": rgb(3, 2.5, 2)}},
            "sky": {"type": "constant", "radiance": rgb(0.4, 0.5, 0.6)},
        }  # fmt: skip
    return prb.load_dict({**d, **lights})


def rough(kind, **keys):
    return {"type": f"rough{kind}", **keys}


def materials():
    """Name of a group -> its materials by name. What a kernel holds decides how long it compiles, above all
    the tape's, so that a group is small, and images come with few models."""
    ggx, stretched = {"distribution": "ggx"}, {"alpha_u": 0.2, "alpha_v": 0.4}
    gold = {"material": "Au"}
    painted = {
        "type": "principled",
        "base_color": rgb(0.9, 0.5, 0.4),
        "metallic": 0.3,
        "roughness": 0.4,
        "spec_tint": 0.3,
        "anisotropic": 0.5,
        "sheen": 0.4,
        "sheen_tint": 0.5,
        "clearcoat": 0.7,
        "clearcoat_gloss": 0.4,
        "flatness": 0.3,
    }
    leaf = {
        "type": "principledthin",
        "roughness": 0.4,
        "diff_trans": 0.7,
        "spec_trans": 0.4,
        "sheen": 0.3,
        "anisotropic": 0.3,
        "sheen_tint": 0.4,
        "spec_tint": 0.2,
        "flatness": 0.4,
        "eta": 1.4,
    }
    return {
        "smooth": {
            "metal": {"type": "conductor", **gold},
            "glass": {"type": "dielectric", "specular_transmittance": rgb(0.9, 0.8, 0.7)},
            "pane": {"type": "thindielectric"},
            "varnish": {"type": "plastic", "diffuse_reflectance": rgb(0.2, 0.5, 0.4), "nonlinear": True},
            "no glass": {"type": "dielectric", "specular_reflectance": 0.0, "int_ior": 1, "ext_ior": 1},
            "black varnish": {"type": "plastic", "diffuse_reflectance": 0.0, "specular_reflectance": 0.0},
        },
        "rough": {
            "metal": rough("conductor", alpha=0.2, **ggx, **gold),
            "glass": rough("dielectric", alpha=0.3),
            "phong": {"type": "phong", "exponent": 20.0, "diffuse_reflectance": rgb(0.1, 0.5, 0.2)},
            "sharp metal": rough("conductor", alpha=0.01, **ggx, **gold),
            "dull glass": rough("dielectric", alpha=1.0, specular_transmittance=0.0),
            "flat phong": {"type": "phong", "exponent": 0.0, "diffuse_reflectance": 0.0},
        },
        "principled": {
            "glass": {**painted, "spec_trans": 0.4},
            "metal": {**painted, "metallic": 1.0, "spec_trans": 0.0, "clearcoat": 0.0},
            "zeros": {"type": "principled", "roughness": 0.3, **dict.fromkeys(PRINCIPLED, 0.0)},
            "ones": {"type": "principled", "roughness": 0.3, **dict.fromkeys(PRINCIPLED, 1.0)},
            "ones but": {"type": "principled", **dict.fromkeys(PRINCIPLED, 1.0), "metallic": 0.0},
        },
        "rough metals": {
            "beckmann": rough("conductor", alpha=0.2, eta=1.2, k=rgb(2, 3, 4)),
            "ggx_u": rough("conductor", **ggx, **stretched, **gold),
            "beckmann_u": rough("conductor", **stretched, **gold),
        },
        "rough glasses": {
            "ggx": rough("dielectric", alpha=0.3, **ggx),
            "ggx_u": rough("dielectric", **ggx, **stretched),
            "beckmann_u": rough("dielectric", **stretched, int_ior=1.3),
        },
        "coats": {
            "ggx": rough("plastic", alpha=0.15, nonlinear=True, **ggx),
            "beckmann": rough("plastic", alpha=0.3, diffuse_reflectance=rgb(0.2, 0.5, 0.4)),
            "bare": {"type": "phong", "normalized": False},
        },
        "opaque": {"specular": {**painted, "specular": 0.6}, "eta": {**painted, "eta": 1.7}},
        "glass by eta": {"eta": {**painted, "eta": 1.7, "spec_trans": 0.8}, "leaf": leaf},
        "image of alpha": {"metal": rough("conductor", alpha=image(GREYS), **ggx, **gold)},
        "images": {"car": {**painted, "base_color": image(), "metallic": image(GREYS)}},
        "image of exponent": {"phong": {"type": "phong", "exponent": image(20 * GREYS),
                                        "specular_reflectance": image()}},
    }  # fmt: skip


def wrappers():
    """Blends with weights 0, 1, between and textured, nested; masks; two sides; turned normals."""
    red = {"type": "diffuse", "reflectance": rgb(0.8, 0.1, 0.1)}
    metal = {"type": "conductor", "material": "Cu"}
    normals = RNG.uniform(0.3, 0.7, (3, 3, 3)).astype(np.float32)
    normals[..., 2] = 1
    turned = {"type": "normalmap", "normalmap": image(normals), "a": red}

    def blend(weight, a=DIFFUSE, b=metal):
        return {"type": "blendbsdf", "weight": weight, "a": a, "b": b}

    def mask(opacity):
        return {"type": "mask", "opacity": opacity, "a": red}

    def two_sided(a, b):
        return {"type": "twosided", "a": a, "b": b}

    return {
        "blends": {
            "none": blend(0.0), "half": blend(0.5), "all": blend(1.0),
            "nested": blend(0.3, blend(0.0, red, metal), DIFFUSE), "sides": two_sided(blend(0.6), red),
        },
        "masks": {"half": mask(0.5), "closed": mask(1.0), "open": mask(0.0)},
        "mask in a blend": {"inner": blend(0.4, mask(0.7))},
        "frames": {
            "normals": turned, "bumps": {"type": "bumpmap", "t": image(GREYS), "scale": 0.2, "a": DIFFUSE},
        },
        "sides of frames": {"sides": two_sided(DIFFUSE, turned), "blend": blend(0.3, turned, DIFFUSE)},
        "images of weights": {"blend": blend(image(GREYS))},
        "images of opacity": {"mask": mask(image(GREYS, filter_type="nearest"))},
    }  # fmt: skip


RECTANGLE = {"type": "rectangle"}


def textures():
    """Every kind of texture and wrap mode on diffuse rectangles."""

    def surface(texture):
        return {"type": "twosided", "a": {"type": "diffuse", "reflectance": texture}}

    board = {"type": "checkerboard", "color0": rgb(0.8, 0.2, 0.1), "color1": 0.0}
    found = {"board": surface({**board, "to_uv": to_uv(3, 2, 20)}),
             "nested": surface({"type": "checkerboard", "color0": board, "color1": image(),
                                "to_uv": to_uv(2, 2)}),
             "grey": surface(image(GREYS))}  # fmt: skip
    for wrap in ("repeat", "mirror", "clamp"):
        for kind in ("nearest", "bilinear"):
            found[f"{wrap}_{kind}"] = surface(
                image(wrap_mode=wrap, filter_type=kind, to_uv=to_uv(2.3, -1.7, 15))
            )
    return found


def lights():
    """Every light but `constant`, which cannot be beside an environment map; they shine from above."""
    down = [{"rotate": {"axis": [1, 0, 0], "angle": 180}}]

    def above(x, y):
        return [*down, {"translate": [x, y, 3]}]

    return {
        "sky": {"type": "envmap", "bitmap": RNG.uniform(0, 1, (3, 5, 3)).astype(np.float32), "scale": 0.7,
                "to_world": [{"rotate": {"axis": [1, 0, 0], "angle": 80}}]},
        "panel": {"type": "rectangle", "to_world": above(0.8, 0.3),
                  "emitter": {"type": "area", "radiance": image()}},
        "tiles": {"type": "disk", "to_world": [{"scale": 0.5}, *above(-0.8, 0.3)], "emitter": {
            "type": "area", "radiance": {"type": "checkerboard", "color0": rgb(5, 4, 3), "color1": 0.5,
                                         "to_uv": to_uv(3, 3)}}},
        "spot": {"type": "spot", "intensity": rgb(3, 4, 5), "cutoff_angle": 50, "texture": image(),
                 "to_world": above(0.2, 0.1)},
        "beamer": {"type": "projector", "irradiance": image(), "fov": 60, "scale": 2.0,
                   "to_world": above(-0.2, -0.1)},
        "sun": {"type": "directional", "irradiance": rgb(0.5, 0.4, 0.3), "direction": [0.3, 0.2, -1]},
        "bulb": {"type": "point", "intensity": rgb(1, 2, 3), "position": [0, -1, 2]},
    }  # fmt: skip


MESH = """ply
format ascii 1.0
element vertex 4
property float x
property float y
property float z
property float u
property float v
property float r
property float g
property float b
element face 2
property list uchar int vertex_indices
property float r
property float g
property float b
end_header
-1 -1 0 0 0 0.1 0.7 0.3
1 -1 0 1 0 0.9 0.2 0.1
1 1 0.4 1 1 0.4 0.4 0.8
-1 1 0 0 1 0.5 0.3 0.6
3 0 1 2 0.3 0.5 0.2
3 0 2 3 0.7 0.1 0.4
"""


def attributes(folder):
    """Materials that take attributes of vertices and faces, and their meshes, for `scene_of`."""
    (folder / "mesh.ply").write_text(MESH)

    def two_sided(model):
        return {"type": "twosided", "a": model}

    def colour(name):
        return two_sided({"type": "diffuse", "reflectance": {"type": "mesh_attribute", "name": name}})

    board = {"type": "checkerboard", "color0": {"type": "mesh_attribute", "name": "vertex_color"},
             "to_uv": to_uv(3, 3)}  # fmt: skip
    surfaces = {"vertices": colour("vertex_color"), "faces": colour("face_color"),
                "board": two_sided({"type": "diffuse", "reflectance": board})}  # fmt: skip
    return surfaces, dict.fromkeys(surfaces, {"type": "ply", "filename": str(folder / "mesh.ply")})
