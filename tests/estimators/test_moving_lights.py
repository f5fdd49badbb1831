"""Where lights are, by attached sampling: differences with common random numbers in a corner of two planes,
where no light is hidden."""

import numpy as np
import pytest

import prb

MARBLE = np.random.default_rng(3).uniform(0.1, 0.9, (4, 4, 3)).astype(np.float32)
LIGHTS = {
    "point": {"type": "point", "position": [0.3, 0.5, 1.2], "intensity": {"type": "rgb", "value": [9, 7, 5]}},
    "sun": {
        "type": "directional",
        "direction": [0.3, 0.5, -1.0],
        "irradiance": {"type": "rgb", "value": 5.0},
    },
}


def corner(*lights):
    """A textured floor and a wall of rough metal, under some of LIGHTS."""
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 3},
        "sensor": {
            "type": "perspective", "fov": 50, "film": {"type": "hdrfilm", "width": 6, "height": 6},
            "to_world": [{"look_at": {"origin": [0, -4, 2.5], "target": [0, 0.5, 0.3], "up": [0, 0, 1]}}],
        },
        "floor": {
            "type": "rectangle", "to_world": [{"scale": 5}],
            "bsdf": {"type": "diffuse", "reflectance": {"type": "bitmap", "raw": True, "data": MARBLE}},
        },
        "wall": {
            "type": "rectangle",
            "to_world": [{"scale": 5}, {"rotate": {"axis": [1, 0, 0], "angle": 90}},
                         {"translate": [0, 2, 0]}],
            "bsdf": {"type": "roughconductor", "alpha": 0.4, "material": "Cu"},
        },
        **{name: LIGHTS[name] for name in lights},
    })  # fmt: skip


CASES = [("point.position", step) for step in np.eye(3)] + [("sun.direction", [0.2, -0.3, 0.1])]


@pytest.fixture(scope="module")
def lit():
    """The scene with all lights."""
    return corner(*LIGHTS)


def differences(scene, name, tangent, h=2e-3, **options):
    """The picture's derivative along a tangent, from pictures with the same random numbers."""
    params = prb.traverse(scene)
    start, pictures = params[name], []
    for sign in (1, -1):
        params.update({name: start + sign * h * np.float32(tangent)})
        pictures.append(prb.render(scene, **options).astype(float))
    params.update({name: start})
    return (pictures[0] - pictures[1]) / (2 * h)


@pytest.mark.parametrize("name, tangent", CASES)
def test_against_differences(lit, name, tangent):
    options = dict(spp=64, seed=2)
    found = prb.render_forward(lit, {name: tangent}, adjoint=prb.AttachedReplay(), **options)
    expected = differences(lit, name, tangent, **options)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


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


def test_direction_is_that_of_detached_replay(lit):
    """Only the light's direction moves, so both derive the same."""
    weight = np.random.default_rng(0).uniform(0.5, 1.5, lit.image_shape)
    options = dict(params="sun.direction", spp=64, seed=2)
    attached = prb.render_backward(lit, weight, adjoint=prb.AttachedReplay(), **options)["sun.direction"]
    detached = prb.render_backward(lit, weight, adjoint=prb.ReplayAdjoint(), **options)["sun.direction"]
    np.testing.assert_allclose(attached, detached, rtol=1e-4, atol=1e-5 * np.abs(detached).max())
