"""The scenes of loop_against_mitsuba.py: small, unlike one another, and of bundled files only.

A `Problem` is a scene whose own parameters are the truth, with those that are differentiated. Textures are
arrays, and transforms lists of steps, which `workers.with_matrices` turns into matrices that Mitsuba takes.
"""

from dataclasses import dataclass, field

import numpy as np

import scenes

NEAR = 0.05  # the largest relative distance from the truth near the optimum
DIM = 0.5  # of the radiance of lights at a start, where everything else is START
START = 0.5
LIGHTS = ("radiance.value", "intensity.value")  # how their parameters end


@dataclass(frozen=True)
class Problem:
    """scene: a dictionary. parameters: names, the same in both programs. initial: what a name starts from
    where it is not `START`, or for a light `DIM` times the truth."""

    scene: dict
    parameters: tuple
    initial: dict = field(default_factory=dict)

    def values(self, place, truth):
        """name -> array, the parameters at a place. truth: name -> array.

        start: far from the truth. optimum: each number is off by up to `NEAR` times its size, uniformly
        distributed; the same in each run.
        """
        if place == "start":
            return {name: np.full(x.shape, self._start(name, x)) for name, x in truth.items()}
        generator = np.random.default_rng(1)
        return {name: x * (1 + generator.uniform(-NEAR, NEAR, x.shape)) for name, x in truth.items()}

    def _start(self, name, true):
        return self.initial.get(name, DIM * true if name.endswith(LIGHTS) else START)


def with_film(scene, *, size, rfilter):
    """The scene with a film of size x size pixels and a reconstruction filter for each of its sensors."""
    film = {"type": "hdrfilm", "width": size, "height": size, "pixel_format": "rgb"}
    film |= {"component_format": "float32", "rfilter": {"type": rfilter}}
    sensors = ("perspective", "thinlens", "orthographic")
    return {
        key: {**value, "film": film} if isinstance(value, dict) and value.get("type") in sensors else value
        for key, value in scene.items()
    }


def _rgb(*value):
    return {"type": "rgb", "value": list(value)}


def _texture(texels, **options):
    return {"type": "bitmap", "data": texels.astype(np.float32), "raw": True, "format": "variant", **options}


def _camera(origin, target, fov):
    up = [0, 1, 0]
    return {
        "type": "perspective",
        "fov": fov,
        "to_world": [{"look_at": {"origin": list(origin), "target": list(target), "up": up}}],
        "sampler": {"type": "independent", "sample_count": 16},
    }


def _standing(at, scale, angle=0.0):
    turn = {"rotate": {"axis": [0, 1, 0], "angle": angle}}
    return [{"scale": scale}, turn, {"translate": [at[0], scale, at[1]]}]


def _floor(scale, bsdf, height=0.0):
    flat = {"rotate": {"axis": [1, 0, 0], "angle": -90}}
    steps = [{"scale": scale}, flat, {"translate": [0, height, 0]}]
    return {"type": "rectangle", "to_world": steps, "bsdf": bsdf}


def _lamp(at, scale, radiance):
    down = {"rotate": {"axis": [1, 0, 0], "angle": 90}}
    steps = [{"scale": scale}, down, {"translate": list(at)}]
    return {"type": "rectangle", "to_world": steps, "emitter": {"type": "area", "radiance": _rgb(*radiance)}}


def painting(size, seed):
    """Texels (size, size, 3) from 0.1 to 0.9: smooth blotches, stripes and a grain, so that all frequencies
    occur."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    texels = np.zeros((size, size, 3))
    for octave in (1, 2, 4, 8):
        for channel in range(3):
            a, b = generator.integers(-octave, octave + 1, 2)
            phase = generator.uniform(0, 2 * np.pi)
            texels[..., channel] += np.cos(2 * np.pi * (a * x + b * y) + phase) / octave
    texels += 0.4 * np.sign(np.sin(2 * np.pi * 6 * (x + y)))[..., None]
    texels += 0.3 * generator.standard_normal(texels.shape)
    return 0.5 + 0.4 * np.tanh(texels)


def sky(height=64):
    """Radiance (height, 2 height, 3) of an environment: blue sky, dim ground, a window and a small sun."""
    width = 2 * height
    y, x = np.mgrid[0:height, 0:width] + 0.5
    up = np.cos(np.pi * y / height)[..., None]
    image = np.where(up > 0, 0.35 + up * np.array([0.2, 0.4, 0.8]), np.array([0.15, 0.13, 0.1]))
    image += 4.0 * ((abs(y / height - 0.35) < 0.1) & (abs(x / width - 0.7) < 0.04))[..., None]
    sun = (y / height - 0.25) ** 2 + 4 * (x / width - 0.3) ** 2 < 0.035**2
    return (image + sun[..., None] * np.array([60.0, 52.0, 40.0])).astype(np.float32)


OBJECTS = (  # base colour, roughness, metallic
    ((0.8, 0.2, 0.15), 0.3, 0.0),
    ((0.2, 0.6, 0.25), 0.6, 0.0),
    ((0.9, 0.7, 0.3), 0.2, 1.0),
    ((0.25, 0.3, 0.8), 0.45, 0.3),
    ((0.7, 0.7, 0.7), 0.15, 0.0),
    ((0.6, 0.3, 0.6), 0.8, 0.0),
    ((0.3, 0.7, 0.75), 0.35, 0.7),
    ((0.85, 0.55, 0.4), 0.5, 0.0),
)
VIEWS = ((0.0, 3.2, 6.2), (5.4, 2.8, 3.4), (-5.2, 3.6, 3.0))  # cameras of the eight objects


def eight_objects(*, texels=128, views=1, sky_map=True):
    """Eight principled objects of different roughness on a floor with a texture, under an environment map."""
    scene = {"type": "scene", "integrator": {"type": "path", "max_depth": 6}}
    for number, origin in enumerate(VIEWS[:views]):
        scene[f"view-{number}"] = _camera(origin, (0.0, 0.2, 0.2), 36)
    scene["sky"] = {"type": "envmap", "bitmap": sky()} if sky_map else {"type": "constant"}
    scene["ground"] = {"type": "diffuse", "reflectance": _texture(painting(texels, 3), wrap_mode="clamp")}
    scene["floor"] = _floor(3.0, {"type": "ref", "id": "ground"})
    for number, (colour, roughness, metallic) in enumerate(OBJECTS):
        ring = 2 * np.pi * number / len(OBJECTS)
        at = [(1.0 + 0.8 * (number % 2)) * np.cos(ring), (1.0 + 0.8 * (number % 2)) * np.sin(ring)]
        shape = "cube" if number in (2, 5) else "sphere"
        scene[f"paint-{number}"] = {
            "type": "principled", "base_color": _rgb(*colour), "roughness": roughness, "metallic": metallic,
            "specular": 0.5,
        }  # fmt: skip
        scene[f"object-{number}"] = {
            "type": shape,
            "to_world": _standing(at, 0.32 if shape == "cube" else 0.42, 20.0 * number),
            "bsdf": {"type": "ref", "id": f"paint-{number}"},
        }
    names = [f"paint-{n}.{key}.value" for n in (0, 1, 3) for key in ("base_color", "roughness")]
    return Problem(scene, (*names, "ground.reflectance.data"))


def cornell_box():
    """The bundled Cornell box: interreflection, and a small lamp."""
    scene = scenes.bundled("cornell-box")
    scene["integrator"] = {"type": "path", "max_depth": 8}
    names = [f"{colour}.reflectance.value" for colour in ("white", "red", "green")]
    return Problem(scene, (*names, "light.emitter.radiance.value"))


def glossy_interior():
    """A room with a glossy floor, a ball and a block of rough conductors, and two lamps."""
    scene = {"type": "scene", "integrator": {"type": "path", "max_depth": 8}}
    scene["sensor"] = _camera((0.0, 1.1, 4.2), (0.0, 0.8, 0.0), 42)
    scene["plaster"] = {"type": "diffuse", "reflectance": _rgb(0.7, 0.65, 0.55)}
    scene["paint"] = {"type": "diffuse", "reflectance": _rgb(0.2, 0.35, 0.6)}
    scene["parquet"] = {
        "type": "principled", "base_color": _rgb(0.45, 0.3, 0.2), "roughness": 0.25, "specular": 0.7,
    }  # fmt: skip
    for name, material, alpha in (("copper", "Cu", 0.15), ("steel", "Al", 0.35)):
        scene[name] = {
            "type": "roughconductor", "material": material, "distribution": "ggx", "alpha": alpha,
            "specular_reflectance": _rgb(0.9, 0.85, 0.8),
        }  # fmt: skip
    scene["floor"] = _floor(2.0, {"type": "ref", "id": "parquet"})
    walls = {"back": ([0, 1, 0], 0, [0, 1, -2]), "left": ([0, 1, 0], 90, [-2, 1, 0])}
    walls["right"] = ([0, 1, 0], -90, [2, 1, 0])
    for name, (axis, angle, at) in walls.items():
        steps = [{"scale": 2}, {"rotate": {"axis": axis, "angle": angle}}, {"translate": at}]
        bsdf = {"type": "ref", "id": "paint" if name == "left" else "plaster"}
        scene[name] = {"type": "rectangle", "to_world": steps, "bsdf": bsdf}
    ball = {"type": "sphere", "center": [-0.7, 0.55, 0.2], "radius": 0.55}
    scene["ball"] = {**ball, "bsdf": {"type": "ref", "id": "copper"}}
    block = {"type": "cube", "to_world": _standing((0.75, -0.2), 0.5, 30)}
    scene["block"] = {**block, "bsdf": {"type": "ref", "id": "steel"}}
    scene["lamp"] = _lamp((0.0, 2.6, 0.0), [0.5, 0.3, 1.0], (14.0, 13.0, 11.0))
    scene["strip"] = _lamp((-1.2, 2.2, 0.8), [0.1, 0.6, 1.0], (10.0, 14.0, 20.0))
    names = ("plaster.reflectance.value", "paint.reflectance.value", "parquet.base_color.value")
    names += ("parquet.roughness.value", "copper.alpha.value", "copper.specular_reflectance.value")
    return Problem(scene, (*names, "steel.alpha.value", "lamp.emitter.radiance.value"))


def painted_gallery():
    """A wall and a floor with textures, a glass ball and a block of rough glass, under a spot light and a
    point light: every shadow is hard."""
    scene = {"type": "scene", "integrator": {"type": "path", "max_depth": 6}}
    scene["sensor"] = _camera((0.3, 1.3, 4.4), (0.0, 0.8, 0.0), 40)
    scene["canvas"] = {"type": "diffuse", "reflectance": _texture(painting(64, 5), wrap_mode="clamp")}
    scene["tiles"] = {
        "type": "diffuse",
        "reflectance": _texture(painting(16, 6), to_uv=[{"scale": [2, 2, 1]}]),
    }
    scene["clay"] = {"type": "diffuse", "reflectance": _rgb(0.6, 0.35, 0.25)}
    scene["frost"] = {
        "type": "roughdielectric", "distribution": "ggx", "int_ior": 1.5, "ext_ior": 1.0, "alpha": 0.35,
    }  # fmt: skip
    scene["wall"] = {
        "type": "rectangle",
        "to_world": [{"scale": 1.6}, {"translate": [0, 1.6, -1.4]}],
        "bsdf": {"type": "ref", "id": "canvas"},
    }
    scene["floor"] = _floor(2.2, {"type": "ref", "id": "tiles"})
    ball = {"type": "sphere", "center": [-0.6, 0.55, 0.6], "radius": 0.5}
    scene["glass-ball"] = {**ball, "bsdf": {"type": "dielectric", "int_ior": 1.5, "ext_ior": 1.0}}
    raised = {"translate": [0, 0.05, 0]}  # which of two coplanar faces a ray inside finds is up to rounding
    block = {"type": "cube", "to_world": [*_standing((0.7, 0.5), 0.35, 25), raised]}
    scene["frosted-block"] = {**block, "bsdf": {"type": "ref", "id": "frost"}}
    jar = {"type": "sphere", "center": [0.1, 0.3, -0.3], "radius": 0.3}
    scene["jar"] = {**jar, "bsdf": {"type": "ref", "id": "clay"}}
    aim = {"look_at": {"origin": [1.8, 3.2, 2.6], "target": [0, 0.8, -1], "up": [0, 1, 0]}}
    scene["spot"] = {
        "type": "spot", "to_world": [aim], "intensity": _rgb(45.0, 42.0, 36.0), "cutoff_angle": 32.0,
        "beam_width": 24.0,
    }  # fmt: skip
    scene["bulb"] = {"type": "point", "position": [-1.6, 2.4, 1.8], "intensity": _rgb(6.0, 7.0, 9.0)}
    scene["dusk"] = {"type": "constant", "radiance": _rgb(0.12, 0.14, 0.2)}
    names = ("canvas.reflectance.data", "tiles.reflectance.data", "clay.reflectance.value")
    names += ("frost.alpha.value", "spot.intensity.value", "bulb.intensity.value")
    return Problem(scene, names)


PROBLEMS = {
    "eight-objects": eight_objects,
    "cornell-box": cornell_box,
    "glossy-interior": glossy_interior,
    "painted-gallery": painted_gallery,
}
