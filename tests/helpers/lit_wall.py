"""A noisy picture that is linear in one parameter: a wall by a light."""

import prb

RADIANCE = "light.emitter.radiance.value"


def lit_scene(size=4, texels=None, rfilter="box"):
    """A grey or papered wall by an area light: the picture is noisy, and linear in the radiance."""
    grey = {"type": "rgb", "value": [0.5, 0.5, 0.5]}
    paper = {"type": "bitmap", "data": texels, "raw": True}
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3},
        "sensor": {
            "type": "perspective", "fov": 60,
            "to_world": [{"look_at": {"origin": [0, 0, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}],
            "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": rfilter}},
        },
        "wall": {"type": "rectangle", "to_world": [{"scale": 3}],
                 "bsdf": {"type": "diffuse", "reflectance": grey if texels is None else paper}},
        "light": {"type": "rectangle",
                  "to_world": [{"scale": 0.7}, {"rotate": {"axis": [0, 1, 0], "angle": 180}},
                               {"translate": [0.5, 0, 0.6]}],
                  "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [4, 4, 4]}}},
    })  # fmt: skip
