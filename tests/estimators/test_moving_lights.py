"""Where lights are, by attached sampling: differences with common random numbers in a corner of two planes,
where no light is hidden; and a closed form. The kernels of the differences take long to compile."""

import numpy as np
import pytest

import prb

RNG = np.random.default_rng(3)
MARBLE = RNG.uniform(0.1, 0.9, (4, 4, 3)).astype(np.float32)
SKY = RNG.uniform(0.2, 2.0, (8, 16, 3)).astype(np.float32)
SKY[[0, -1]] = 1.0  # a pole has one colour, else it is an edge
PICTURE = {"type": "bitmap", "raw": True, "data": MARBLE, "wrap_mode": "clamp"}
COPPER = {"type": "roughconductor", "alpha": 0.4, "material": "Cu"}
DOWN = [{"look_at": {"origin": [0.3, -1, 3], "target": [0, 0.8, 0], "up": [0, 1, 0.2]}}]
LIGHTS = {
    "point": {"type": "point", "position": [0.3, 0.5, 1.2], "intensity": {"type": "rgb", "value": [9, 7, 5]}},
    "sun": {
        "type": "directional",
        "direction": [0.3, 0.5, -1.0],
        "irradiance": {"type": "rgb", "value": 5.0},
    },
    "spot": {
        "type": "spot", "to_world": DOWN, "intensity": {"type": "rgb", "value": [90, 70, 50]},
        "cutoff_angle": 60, "beam_width": 20, "texture": PICTURE,
    },
    "projector": {"type": "projector", "to_world": DOWN, "fov": 160, "irradiance": PICTURE, "scale": 2.0},
    "sky": {"type": "envmap", "bitmap": SKY, "to_world": [{"rotate": {"axis": [1, 0.2, 0], "angle": 70}}]},
}  # fmt: skip


def corner(*lights, wall=True):
    """A textured floor and a wall of rough metal, under some of LIGHTS; or only a floor of metal."""
    d = {
        "type": "scene", "integrator": {"type": "path", "max_depth": 3},
        "sensor": {
            "type": "perspective", "fov": 50, "film": {"type": "hdrfilm", "width": 6, "height": 6},
            "to_world": [{"look_at": {"origin": [0, -4, 2.5], "target": [0, 0.5, 0.3], "up": [0, 0, 1]}}],
        },
        "floor": {
            "type": "rectangle", "to_world": [{"scale": 5}],
            "bsdf": {"type": "diffuse", "reflectance": PICTURE} if wall else COPPER,
        },
        **{name: LIGHTS[name] for name in lights},
    }  # fmt: skip
    upright = [{"scale": 5}, {"rotate": {"axis": [1, 0, 0], "angle": 90}}, {"translate": [0, 2, 0]}]
    if wall:
        d["wall"] = {"type": "rectangle", "to_world": upright, "bsdf": COPPER}
    return prb.load_dict(d)


def moved(name, scene, axis):
    """The tangent of a transform that turns a light about an axis through it, or (axis None) shifts it."""
    to_world, tangent = prb.traverse(scene)[name], np.zeros((4, 4))
    if axis is None:
        tangent[:3, 3] = [0.5, 1.0, -0.3]
    else:
        tangent[:3, :3] = np.cross(np.eye(3)[axis], to_world[:3, :3], axisb=0, axisc=0)
    return tangent


def test_the_irradiance_of_a_point():
    """Of a floor right below the camera: I cos / (pi r^2) and its derivative by the light's place."""
    albedo, intensity, place = 0.5, 9.0, np.array([0.3, 0.5, 1.2])
    above = {"look_at": {"origin": [0, 0, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}
    scene = prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2},
        "sensor": {
            "type": "orthographic", "to_world": [{"scale": 1e-3}, above],
            "film": {"type": "hdrfilm", "width": 4, "height": 4, "rfilter": {"type": "box"}},
        },
        "floor": {"type": "rectangle", "bsdf": {"type": "diffuse", "reflectance": albedo}},
        "point": {"type": "point", "position": place.tolist(), "intensity": intensity},
    })  # fmt: skip
    weight, name = np.full(scene.image_shape, 1 / 48), "point.position"
    picture = (weight * prb.render(scene, spp=64)).sum()
    found = prb.render_backward(scene, weight, name, spp=64)[name]
    r, z = np.linalg.norm(place), place[2]
    expected = -3 * z * place / r**5 + np.array([0, 0, 1 / r**3])
    assert picture == pytest.approx(albedo * intensity / np.pi * z / r**3, rel=1e-3)
    np.testing.assert_allclose(found, albedo * intensity / np.pi * expected, rtol=2e-3)


CASES = [("point.position", step) for step in np.eye(3)] + [("sun.direction", [0.2, -0.3, 0.1])]
FRAMES = [("spot", 0), ("spot", 2), ("spot", None), ("projector", 1), ("projector", None)]


@pytest.fixture(scope="module")
def lit():
    """A corner with a point and a sun."""
    return corner("point", "sun")


@pytest.fixture(scope="module")
def framed():
    """A corner with the lights that have a frame."""
    return corner("spot", "projector")


def differences(scene, name, tangent, h=2e-3, **options):
    """The picture's derivative along a tangent, from pictures with the same random numbers."""
    params = prb.traverse(scene)
    start, pictures = params[name], []
    for sign in (1, -1):
        params.update({name: start + sign * h * np.float32(tangent)})
        pictures.append(prb.render(scene, **options).astype(float))
    params.update({name: start})
    return (pictures[0] - pictures[1]) / (2 * h)


@pytest.mark.slow
@pytest.mark.parametrize("name, tangent", CASES)
def test_against_differences(lit, name, tangent):
    options = dict(spp=64, seed=2)
    found = prb.render_forward(lit, {name: tangent}, adjoint=prb.AttachedReplay(), **options)
    expected = differences(lit, name, tangent, **options)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("light, axis", FRAMES)
def test_a_frame_against_differences(framed, light, axis):
    """The texture and the cone turn along; no point is outside of the projector's picture."""
    name, options = f"{light}.to_world", dict(spp=64, seed=2, max_depth=2)
    tangent = moved(name, framed, axis)
    found = prb.render_forward(framed, {name: tangent}, adjoint=prb.AttachedReplay(), **options)
    expected = differences(framed, name, tangent, **options)
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())
    assert abs((found - expected).mean()) < 2e-3 * np.abs(expected).mean()


@pytest.mark.slow
@pytest.mark.parametrize("angle", ["cutoff_angle", "beam_width"])
def test_the_angles_of_a_cone(framed, angle):
    name, options = f"spot.{angle}", dict(spp=64, seed=2)
    found = prb.render_forward(framed, {name: 1.0}, adjoint=prb.AttachedReplay(), **options)
    expected = differences(framed, name, 1.0, h=0.05, **options)
    np.testing.assert_allclose(found, expected, atol=1e-2 * np.abs(expected).max())
    assert abs((found - expected).mean()) < 2e-3 * np.abs(expected).mean()


@pytest.mark.slow
def test_an_environment_that_turns():
    """The samples of its tables turn along, and what directions of the BSDF see of it turns below them."""
    scene, name, options = corner("sky", wall=False), "sky.to_world", dict(spp=1024, seed=2)
    weight = np.random.default_rng(0).uniform(0.5, 1.5, scene.image_shape)
    gradient = prb.render_backward(scene, weight, [name], adjoint=prb.AttachedReplay(), **options)[name]
    for axis in range(3):
        tangent = moved(name, scene, axis)
        found = prb.render_forward(scene, {name: tangent}, adjoint=prb.AttachedReplay(), **options)
        expected = differences(scene, name, tangent, **options)
        np.testing.assert_allclose(found, expected, atol=0.04 * np.abs(expected).max())
        assert (gradient * tangent).sum() == pytest.approx((weight * found).sum(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    "name, value, line",
    [
        ("spot.to_world", 2 * np.eye(4), "a light's transform may only rotate and translate"),
        ("projector.to_world", np.ones((4, 4)), "a light's transform may only rotate and translate"),
        ("spot.beam_width", 70.0, "70 must not be larger than cutoff_angle 60"),
        ("spot.cutoff_angle", 90.0, "90 is outside"),
    ],
)
def test_what_makes_no_light_is_refused(framed, name, value, line):
    with pytest.raises(prb.ParameterError, match=f"^{name}: {line}"):
        prb.traverse(framed).update({name: value})


def test_a_cone_without_falloff_is_taken(framed):
    params = prb.traverse(framed)
    params.update({"spot.beam_width": 60.0})
    params.update({"spot.beam_width": 20.0})


@pytest.mark.slow
@pytest.mark.parametrize("name, tangent", CASES[2:])
def test_forward_is_reverse(lit, name, tangent):
    weight = np.random.default_rng(0).uniform(0.5, 1.5, lit.image_shape)
    options = dict(spp=64, seed=2)
    along = prb.render_forward(lit, {name: tangent}, adjoint=prb.AttachedReplay(), **options)
    kept, taped = (
        prb.render_backward(lit, weight, [name], adjoint=method, **options)[name]
        for method in (prb.AttachedReplay(), prb.TapeAdjoint(sampling="attached"))
    )
    assert (kept * tangent).sum() == pytest.approx((weight * along).sum(), rel=1e-5)
    np.testing.assert_allclose(kept, taped, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("light", ["spot", "projector"])
def test_forward_is_reverse_for_a_frame(framed, light):
    weight, name = np.random.default_rng(0).uniform(0.5, 1.5, framed.image_shape), f"{light}.to_world"
    tangent, options = moved(name, framed, 0), dict(spp=64, seed=2, adjoint=prb.AttachedReplay())
    along = prb.render_forward(framed, {name: tangent}, **options)
    gradient = prb.render_backward(framed, weight, [name], **options)[name]
    assert (gradient * tangent).sum() == pytest.approx((weight * along).sum(), rel=1e-5)


@pytest.mark.slow
def test_direction_is_that_of_detached_replay(lit):
    """Only the light's direction moves, so both derive the same."""
    weight = np.random.default_rng(0).uniform(0.5, 1.5, lit.image_shape)
    options = dict(params="sun.direction", spp=64, seed=2)
    attached = prb.render_backward(lit, weight, adjoint=prb.AttachedReplay(), **options)["sun.direction"]
    detached = prb.render_backward(lit, weight, adjoint=prb.ReplayAdjoint(), **options)["sun.direction"]
    np.testing.assert_allclose(attached, detached, rtol=1e-4, atol=1e-5 * np.abs(detached).max())
