"""Scenes in which something moves, and differences of their pictures to compare derivatives with.

A difference has the same random numbers on both sides; tiles of pixels are compared, as a pixel's difference
is noisy where an edge jumps over samples.
"""

import numpy as np

import prb
from prb.device.params import records
from prb.estimators.integrate import integrate
from prb.kernels.estimators import modes

FLOOR = {
    "type": "rectangle",
    "to_world": [{"scale": 2}, {"rotate": {"axis": [1, 0, 0], "angle": -90}}, {"translate": [0, -1, 0]}],
    "bsdf": {"type": "diffuse", "reflectance": 0.6},
}
LIGHTS = {
    "area": {
        "type": "rectangle",
        "to_world": [
            {"scale": 0.4},
            {"rotate": {"axis": [1, 0, 0], "angle": 90}},
            {"translate": [0, 1.2, 0]},
        ],
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [4, 6, 8]}},
    },
    "ball": {
        "type": "sphere",
        "to_world": [{"scale": 0.2}, {"translate": [0, 1.2, 0]}],
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [12, 16, 18]}},
    },
    "point": {"type": "point", "position": [0.3, 1.5, 0.2], "intensity": 8.0},
    "spot": {
        "type": "spot",
        "cutoff_angle": 35,
        "to_world": [{"look_at": {"origin": [0.3, 1.6, 0.2], "target": [0.1, 0, 0.1], "up": [1, 0, 0]}}],
        "intensity": 8.0,
    },
    "directional": {"type": "directional", "direction": [0.3, -1, 0.1], "irradiance": 3.0},
    "constant": {"type": "constant", "radiance": {"type": "rgb", "value": [1, 1.2, 0.8]}},
}
_TILTED = [{"scale": 0.4}, {"rotate": {"axis": [1, 0.3, 0], "angle": -70}}, {"translate": [0.1, 0, 0.1]}]
BLOCKERS = {
    "rectangle": {"type": "rectangle", "to_world": _TILTED},
    "disk": {"type": "disk", "to_world": _TILTED},
    "cube": {"type": "cube", "to_world": _TILTED},
    "sphere": {"type": "sphere", "to_world": [{"scale": 0.4}, {"translate": [0.1, 0.2, 0.1]}]},
    "cylinder": {"type": "cylinder", "radius": 0.3, "p0": [-0.3, 0, 0], "p1": [0.4, 0.3, 0.1]},
}
MOTION = {"x": 1.0, "y": 0.3, "z": 0.5}  # the translation that tests differentiate by


def scene_of(
    shapes, *, origin=(0, 2.5, 3.5), depth=2, sensor="perspective", size=16, rfilter="box", **numbers
):
    """A scene of shapes, by name, seen from a point that looks at the origin."""
    look = {"look_at": {"origin": list(origin), "target": [0, 0, 0], "up": [0, 1, 0]}}
    camera = {"type": sensor, "to_world": [look], **numbers}
    if sensor == "orthographic":
        camera["to_world"] = [{"scale": 1.3}, look]
    else:
        camera["fov"] = 40
    camera["film"] = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": rfilter}}
    integrator = {"type": "path", "max_depth": depth}
    return prb.load_dict({"type": "scene", "integrator": integrator, "sensor": camera, **shapes})


def shaded(light, blocker, *, reflectance=0.0, **options):
    """A shape between a light and a floor."""
    own = {**BLOCKERS[blocker], "bsdf": {"type": "diffuse", "reflectance": reflectance}}
    return scene_of({"floor": FLOOR, "blocker": own, "lamp": LIGHTS[light]}, **options)


def translation(x=0.0, y=0.0, z=0.0):
    """The tangent of a `to_world`."""
    found = np.zeros((4, 4))
    found[:3, 3] = x, y, z
    return found


def tiles(pictures, count=4):
    """Means over count x count tiles of pictures (..., height, width, 3)."""
    *more, height, width, _ = np.shape(pictures)
    shape = (*more, count, height // count, count, width // count, 3)
    return np.reshape(pictures, shape).mean(axis=(-4, -2))


def differences(scene, tangents, *, step=1e-2, spp=512, seeds=6):
    """Central differences of pictures along a direction, one for each seed."""
    direction = np.zeros(scene.values.size)
    for name, tangent in tangents.items():
        records(scene)[name].of(direction)[...] = tangent
    found = []
    for seed in range(seeds):
        ends = [
            integrate(
                scene, modes.PRIMAL, values=(scene.values + sign * step * direction).astype(np.float32),
                spp=spp, seed=1000 + seed,
            ).image
            for sign in (1, -1)
        ]  # fmt: skip
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found)


def check_against_differences(scene, tangents, adjoint, *, spp=128, seeds=6, limit=4.5, **options):
    """Assert that tiles of the derivative agree with differences, to their standard errors and by 15 percent
    of their sum at most."""
    found = tiles([
        prb.render_forward(scene, tangents, adjoint=adjoint, spp=spp, seed=seed) for seed in range(seeds)
    ])  # fmt: skip
    expected = tiles(differences(scene, tangents, seeds=seeds, **options))
    error = np.sqrt((found.var(axis=0, ddof=1) + expected.var(axis=0, ddof=1)) / seeds)
    difference = np.abs(found.mean(axis=0) - expected.mean(axis=0))
    size = np.abs(expected.mean(axis=0)).sum()
    assert size > 0
    assert difference.sum() < 0.15 * size
    # Few seeds say little of the error of one tile, so that all of them lend theirs.
    pooled = np.sqrt(0.5 * error**2 + 0.5 * (error**2).mean())
    assert (difference / pooled).max() < limit
