"""Boundary terms against differences of pictures: every kind of camera, light and shape. Long."""

import pytest
from helpers.edge_scenes import (
    BLOCKERS,
    FLOOR,
    LIGHTS,
    MOTION,
    check_against_differences,
    scene_of,
    shaded,
    translation,
)

import prb

pytestmark = pytest.mark.slow
WHOLE = prb.ReplayAdjoint() + prb.Boundary()
SENSORS = {
    "perspective": {},
    "orthographic": {},
    "thinlens": dict(aperture_radius=0.3, focus_distance=2.5),
}


@pytest.mark.parametrize("sensor", SENSORS)
@pytest.mark.parametrize("kind", BLOCKERS)
def test_silhouettes(sensor, kind):
    """A light of that shape before black."""
    shape = {**BLOCKERS[kind], "emitter": LIGHTS["area"]["emitter"]}
    scene = scene_of({"shape": shape}, origin=(0.5, 1, 3), sensor=sensor, **SENSORS[sensor])
    boundary = prb.Boundary(shadow=False, indirect=False)
    check_against_differences(scene, {"shape.to_world": translation(**MOTION)}, boundary)


@pytest.mark.parametrize("name", ["sensor.to_world", "sensor.x_fov"])
def test_cameras_that_move(name):
    scene = shaded("area", "rectangle", reflectance=0.5)
    tangent = 1.0 if name.endswith("fov") else translation(**MOTION)
    check_against_differences(
        scene, {name: tangent}, WHOLE, step=0.3 if name.endswith("fov") else 5e-3, spp=256
    )


@pytest.mark.parametrize("light", LIGHTS)
@pytest.mark.parametrize("kind", BLOCKERS)
def test_shadows(light, kind):
    scene = shaded(light, kind)
    spp = 512 if light == "constant" else 128
    check_against_differences(scene, {"blocker.to_world": translation(**MOTION)}, prb.Boundary(), spp=spp)


@pytest.mark.parametrize("light", ["area", "point", "constant"])
def test_receivers_that_move(light):
    check_against_differences(
        shaded(light, "rectangle", reflectance=0.5), {"floor.to_world": translation(**MOTION)}, WHOLE, spp=512
    )


@pytest.mark.parametrize("kind", ["rectangle", "cube"])
def test_light_that_is_scattered_several_times(kind):
    scene = shaded("area", kind, reflectance=0.7, depth=5)
    for name in ("blocker", "floor"):
        check_against_differences(scene, {f"{name}.to_world": translation(**MOTION)}, WHOLE, spp=512, seeds=8)


def test_a_glossy_floor():
    own = {**FLOOR, "bsdf": {"type": "roughconductor", "alpha": 0.2}}
    cube = {**BLOCKERS["cube"], "bsdf": {"type": "diffuse", "reflectance": 0.7}}
    scene = scene_of({"floor": own, "blocker": cube, "lamp": LIGHTS["area"]}, depth=4)
    for name in ("blocker", "floor"):
        check_against_differences(scene, {f"{name}.to_world": translation(**MOTION)}, WHOLE, spp=256, seeds=8)
