"""Scenes whose radiance, and its derivatives, are known in closed form."""

import math

import numpy as np
import pytest

import prb

SIGMAS = 4.5  # two-sided significance 7e-6 for each comparison


def furnace(albedo, emission, *, max_depth=-1, rr_depth=10000, size=16, shape="sphere"):
    """The inside of a closed shape that emits and reflects: L = emission / (1 - albedo) everywhere."""
    return prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": max_depth, "rr_depth": rr_depth},
            "sensor": {
                "type": "perspective",
                "fov": 60,
                "to_world": [{"look_at": {"origin": [0.1, 0.2, 0.3], "target": [1, 0, 0], "up": [0, 1, 0]}}],
                "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
            },
            "ball": {
                "type": shape,
                "flip_normals": True,
                "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": albedo}},
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": emission}},
            },
        }
    )


def assert_mean(image, expected, rounding=1e-4):
    """Every channel's mean over independent pixels is the expected one, within SIGMAS standard errors.

    rounding: relative, what rays that start a little above their surface may be off.
    """
    flat = np.asarray(image, float).reshape(-1, 3)
    error = flat.std(axis=0, ddof=1) / math.sqrt(len(flat))
    assert np.all(np.abs(flat.mean(axis=0) - expected) <= SIGMAS * error + rounding * np.abs(expected)), (
        flat.mean(axis=0), error, expected,
    )  # fmt: skip
    assert np.all(error <= 0.02 * np.abs(expected) + 1e-6), "too noisy to say anything"


ALBEDO = np.array([0.5, 0.8, 0.0])
EMISSION = np.array([0.5, 0.2, 2.0])


def geometric(a, n):
    """sum_{k<n} a^k and its derivative; n = -1 is the whole series."""
    if n < 0:
        return 1 / (1 - a), 1 / (1 - a) ** 2
    return (
        np.array([sum(x**k for k in range(n)) for x in a]),
        np.array([sum(k * x ** (k - 1) for k in range(1, n)) for x in a]),
    )


@pytest.mark.quick
@pytest.mark.parametrize("max_depth, rr_depth", [(1, 99), (2, 99), (3, 99), (6, 3), (-1, 30), (-1, 4)])
def test_furnace(max_depth, rr_depth):
    scene = furnace(ALBEDO.tolist(), EMISSION.tolist(), max_depth=max_depth, rr_depth=rr_depth)
    series, slope = geometric(ALBEDO, max_depth)
    assert_mean(prb.render(scene, spp=256, seed=1), EMISSION * series)
    by_albedo = prb.render_forward(scene, {"ball.bsdf.reflectance.value": 1.0}, spp=256, seed=2)
    by_emission = prb.render_forward(scene, {"ball.emitter.radiance.value": 1.0}, spp=256, seed=3)
    if max_depth != 1:
        assert_mean(by_albedo, EMISSION * slope)
    assert_mean(by_emission, series)


@pytest.mark.quick
def test_furnace_of_several_lights():
    """Six faces, each chosen with its probability, which both densities of the weights must hold."""
    scene = furnace(ALBEDO.tolist(), EMISSION.tolist(), max_depth=4, shape="cube")
    series, slope = geometric(ALBEDO, 4)
    assert_mean(prb.render(scene, spp=256, seed=1), EMISSION * series)
    by_albedo = prb.render_forward(scene, {"ball.bsdf.reflectance.value": 1.0}, spp=256, seed=2)
    assert_mean(by_albedo, EMISSION * slope)


@pytest.mark.quick
def test_deep_furnace():
    albedo = np.array([0.9, 0.95, 0.99])
    scene = furnace(albedo.tolist(), [0.1, 0.1, 0.1], max_depth=40)
    series, slope = geometric(albedo, 40)
    assert_mean(prb.render(scene, spp=256, seed=1), 0.1 * series)
    assert_mean(prb.render_forward(scene, {"ball.bsdf.reflectance.value": 1.0}, spp=256, seed=2), 0.1 * slope)


@pytest.mark.quick
def test_reverse_mode_is_the_transpose_of_forward_mode():
    scene = furnace([0.5, 0.8, 0.0], [0.5, 0.2, 2.0], max_depth=24, rr_depth=5)
    rng = np.random.default_rng(1)
    weight = rng.normal(size=scene.image_shape)
    for name in ("ball.bsdf.reflectance.value", "ball.emitter.radiance.value"):
        tangent = rng.normal(size=3)
        forward = (weight * prb.render_forward(scene, {name: tangent}, spp=32, seed=7)).sum()
        gradient = prb.render_backward(scene, weight, [name], spp=32, seed=7)[name]
        scale = (np.abs(weight) * np.abs(prb.render_forward(scene, {name: tangent}, spp=32, seed=7))).sum()
        assert abs(forward - gradient @ tangent) <= 1e-6 * scale


def lit_plane(reflectance, intensity, **integrator):
    """A plane under a point light, seen at one point through a tiny field of view."""
    return prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 2, **integrator},
            "sensor": {
                "type": "perspective",
                "fov": 0.0001,
                "to_world": [{"look_at": {"origin": [1, 2, 5], "target": [1, 0, 0], "up": [0, 1, 0]}}],
                "film": {"type": "hdrfilm", "width": 2, "height": 2, "rfilter": {"type": "box"}},
            },
            "plane": {
                "type": "rectangle",
                "to_world": [{"scale": 10}],
                "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": reflectance}},
            },
            "lamp": {
                "type": "point",
                "position": [0, 0, 2],
                "intensity": {"type": "rgb", "value": intensity},
            },
        }
    )


@pytest.mark.quick
def test_plane_under_a_point_light():
    reflectance, intensity = np.array([0.5, 0.0, 1.0]), np.array([3.0, 5.0, 0.0])
    scene = lit_plane(reflectance.tolist(), intensity.tolist())
    irradiance = 2 / math.sqrt(5) / 5  # cos / r^2 at (1, 0, 0) from (0, 0, 2), of unit intensity
    expected = reflectance / math.pi * intensity * irradiance
    image = prb.render(scene, spp=4)
    np.testing.assert_allclose(image, np.broadcast_to(expected, image.shape), rtol=2e-5)
    by_reflectance = prb.render_forward(scene, {"plane.bsdf.reflectance.value": 1}, spp=4)
    np.testing.assert_allclose(by_reflectance[0, 0], intensity * irradiance / math.pi, rtol=2e-5)
    by_intensity = prb.render_forward(scene, {"lamp.intensity.value": 1}, spp=4)
    np.testing.assert_allclose(by_intensity[0, 0], reflectance * irradiance / math.pi, rtol=2e-5)


def test_a_plane_is_dark_from_behind_unless_twosided():
    behind = [{"look_at": {"origin": [1, 2, -5], "target": [1, 0, 0], "up": [0, 1, 0]}}]
    scene = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 2},
        "sensor": {
            "type": "perspective",
            "fov": 0.0001,
            "to_world": behind,
            "film": {"type": "hdrfilm", "width": 1, "height": 1, "rfilter": {"type": "box"}},
        },
        "plane": {"type": "rectangle", "to_world": [{"scale": 10}], "bsdf": {"type": "diffuse"}},
        "lamp": {"type": "point", "position": [0, 0, -2], "intensity": {"type": "rgb", "value": [1, 1, 1]}},
    }
    assert np.all(prb.render(prb.load_dict(scene), spp=2) == 0)
    front = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.1, 0.1, 0.1]}}
    back = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.6, 0.4, 0.2]}}
    scene["plane"]["bsdf"] = {"type": "twosided", "a": front, "b": back}
    expected = np.array([0.6, 0.4, 0.2]) / math.pi * 2 / math.sqrt(5) / 5
    twosided = prb.load_dict(scene)
    np.testing.assert_allclose(prb.render(twosided, spp=2)[0, 0], expected, rtol=2e-5)
    gradients = prb.render_backward(twosided, np.ones((1, 1, 3)), spp=2)
    np.testing.assert_allclose(
        gradients["plane.bsdf.brdf_1.reflectance.value"], expected / [0.6, 0.4, 0.2], rtol=2e-5
    )
    assert np.all(gradients["plane.bsdf.brdf_0.reflectance.value"] == 0)


@pytest.mark.parametrize("shape", ["rectangle", "disk", "sphere", "cube"])
def test_direct_light_of_area_emitters(shape):
    """The irradiance under a small lamp is that of a point with the same radiant intensity."""
    size = 0.005
    lamp = {
        "type": shape,
        "to_world": [
            {"scale": size},
            {"rotate": {"axis": [1, 0, 0], "angle": 180}},
            {"translate": [0, 0, 2]},
        ],
        "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [1000, 500, 0]}},
    }
    scene = prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 2},
            "sensor": {
                "type": "perspective",
                "fov": 0.0001,
                "to_world": [{"look_at": {"origin": [0, 3, 5], "target": [0, 0, 0], "up": [0, 1, 0]}}],
                "film": {"type": "hdrfilm", "width": 16, "height": 16, "rfilter": {"type": "box"}},
            },
            "plane": {
                "type": "rectangle",
                "to_world": [{"scale": 10}],
                "bsdf": {"type": "diffuse", "reflectance": 0.5},
            },
            "lamp": lamp,
        }
    )
    projected = {"rectangle": 4, "disk": math.pi, "sphere": math.pi, "cube": 4}[shape] * size**2
    distance = 2 - (size if shape == "cube" else 0)
    expected = 0.5 / math.pi * projected / distance**2 * np.array([1000, 500, 0])
    spp = 4096 if shape == "cube" else 64  # five of the cube's faces are sampled in vain
    assert_mean(prb.render(scene, spp=spp), expected)
    slope = 0.5 / math.pi * projected / distance**2
    assert_mean(prb.render_forward(scene, {"lamp.emitter.radiance.value": 1}, spp=spp), slope)


def test_constant_environment_lights_an_unoccluded_plane():
    scene = prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 3},
            "sensor": {
                "type": "perspective",
                "to_world": [{"look_at": {"origin": [0, 1, 5], "target": [0, 0, 0], "up": [0, 1, 0]}}],
                "fov": 1,
                "film": {"type": "hdrfilm", "width": 16, "height": 16, "rfilter": {"type": "box"}},
            },
            "plane": {
                "type": "rectangle",
                "to_world": [{"scale": 10}],
                "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.9, 0.5, 0.0]}},
            },
            "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [1, 2, 3]}},
        }
    )
    assert_mean(prb.render(scene, spp=256), np.array([0.9, 1.0, 0.0]))
    assert_mean(
        prb.render_forward(scene, {"plane.bsdf.reflectance.value": 1}, spp=256), np.array([1.0, 2.0, 3.0])
    )
    assert_mean(prb.render_forward(scene, {"sky.radiance.value": 1}, spp=256), np.array([0.9, 0.5, 0.0]))
