"""The scenes of media_against_mitsuba.py: the bundled smoke, a cube of fog, and cameras around them."""

import numpy as np
import workers
from loop_scenes import with_film

import scenes
from prb.scene.files import bundled_scenes

SENSORS = ("perspective", "thinlens", "orthographic")
TRAINING = 4  # cameras, where the scene has fewer
TURN = 45.0  # degrees about the vertical axis from the camera of a training picture to a held-out one
VOXELS = 64  # of a side of the cloud
UNIT_TO_CUBE = [{"scale": 2.0}, {"translate": [-1.0, -1.0, -1.0]}]


def cloud(voxels=VOXELS, seed=7):
    """Density (Z, Y, X) from 0 to 1: a ball of fractal noise; most of the grid around it is empty."""
    generator = np.random.default_rng(seed)
    axis = (np.arange(voxels) + 0.5) / voxels * 2 - 1
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    noise = np.zeros((voxels,) * 3)
    for octave in range(4):
        for _ in range(6):
            wave = generator.normal(size=3) * 2.0**octave * 1.7
            phase = generator.uniform(0, 2 * np.pi)
            noise += np.cos(wave[0] * x + wave[1] * y + wave[2] * z + phase) / 2.0**octave
    density = 0.75 - np.sqrt(x * x + 1.3 * y * y + z * z) + 0.08 * noise
    density = np.clip(2.5 * density, 0, None)
    return (density / density.max()).astype(np.float32)


def smoke():
    """The bundled scene `smoke`; where there is none, a procedural cloud in a cube."""
    if "smoke" in bundled_scenes():
        return scenes.bundled("smoke")
    medium = {
        "type": "heterogeneous",
        "sigma_t": {"type": "gridvolume", "data": cloud(), "to_world": UNIT_TO_CUBE, "raw": True},
        "albedo": {"type": "constvolume", "value": 0.9},
        "scale": 12.0,
        "phase": {"type": "isotropic"},
    }
    return _in_a_cube(medium)


def fog():
    """A cube of homogeneous fog, five mean free paths wide."""
    return _in_a_cube({"type": "homogeneous", "sigma_t": 2.5, "albedo": 0.9, "phase": {"type": "isotropic"}})


def _in_a_cube(medium):
    scene = {"type": "scene", "integrator": {"type": "prbvolpath", "max_depth": 64, "rr_depth": 1000}}
    angles = np.deg2rad(20 + 90 * np.arange(TRAINING))
    for number, angle in enumerate(angles):
        origin = [4.6 * np.sin(angle), 1.2, 4.6 * np.cos(angle)]
        look = {"origin": list(map(float, origin)), "target": [0.0, 0.0, 0.0], "up": [0, 1, 0]}
        scene[f"view-{number}"] = {
            "type": "perspective",
            "fov": 36,
            "to_world": [{"look_at": look}],
            "sampler": {"type": "independent", "sample_count": 16},
            "film": {"type": "hdrfilm"},
        }
    lamp = [{"scale": 0.8}, {"rotate": {"axis": [1, 0, 0], "angle": 90}}, {"translate": [0.7, 3.0, 0.4]}]
    radiance = {"type": "rgb", "value": [14.0, 13.0, 11.0]}
    return scene | {
        "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [0.25, 0.32, 0.45]}},
        "lamp": {"type": "rectangle", "to_world": lamp, "emitter": {"type": "area", "radiance": radiance}},
        "smoke": medium,
        "cube": {"type": "cube", "bsdf": {"type": "null"}, "interior": {"type": "ref", "id": "smoke"}},
    }


def prepared(scene, *, size, depth=None):
    """A scene that both programs take: matrices, a small film with a box filter, no roulette."""
    scene = with_film(workers.with_matrices(scene), size=size, rfilter="box")
    integrator = {"type": "prbvolpath", "rr_depth": 10**6}
    integrator["max_depth"] = depth or scene.get("integrator", {}).get("max_depth", 64)
    return {**scene, "integrator": integrator}


def sensors_of(scene):
    """Names of the sensors, in order."""
    return [k for k, v in scene.items() if isinstance(v, dict) and v.get("type") in SENSORS]


def with_held_out(scene):
    """(scene, numbers of training sensors, numbers of held-out ones). scene: has matrices.

    Training has the first four sensors; held out are the others. Where there are no others each training
    camera is also turned about the vertical axis through the middle of the medium's shape.
    """
    names = sensors_of(scene)
    others = {k: v for k, v in scene.items() if k not in names}
    cameras = {name: scene[name] for name in names}
    if len(names) <= TRAINING:
        centre = _middle(scene)
        for name in names:
            matrix = _turned(np.array(cameras[name]["to_world"], float), centre)
            cameras[f"held-out-{name}"] = {**cameras[name], "to_world": matrix.tolist()}
    count = min(len(names), TRAINING)
    return {**others, **cameras}, list(range(count)), list(range(count, len(cameras)))


def _middle(scene):
    """The origin of the shape that has an interior, in the world."""
    for value in scene.values():
        if isinstance(value, dict) and "interior" in value:
            return np.array(value.get("to_world", np.eye(4)), float)[:3, 3]
    return np.zeros(3)


def _turned(matrix, centre):
    c, s = np.cos(np.deg2rad(TURN)), np.sin(np.deg2rad(TURN))
    turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    found = matrix.copy()
    found[:3, :3] = turn @ matrix[:3, :3]
    found[:3, 3] = centre + turn @ (matrix[:3, 3] - centre)
    return found
