"""The readable specification (kernels/estimators/path_basic.py) and the full estimator find the same."""

import numpy as np
import pytest

import prb
from prb.device.arrays import upload
from prb.kernels.arrays import vec3f
from prb.kernels.estimators import path_basic
from prb.kernels.estimators.launch import Launch
from prb.kernels.view import Execution

DEPTH = 4


def basic(scene, weight, spp, seed):
    """(picture, flat gradient) by the specification, which knows only the box filter."""
    scene.sensor.film.rfilter = "box"
    height, width, _ = scene.image_shape
    film = scene.film
    launch = Launch(
        crop_x=film.crop_offset[0], crop_y=film.crop_offset[1], width=width, film_width=film.width,
        items=height * width, samples_per_item=spp, seed=seed, max_depth=DEPTH,
        environment=scene.layout.environment, gradient_size=scene.values.size,
    )  # fmt: skip
    image = upload(np.zeros((height * width, 3), np.float32), vec3f)
    adjoint = upload((weight / spp).reshape(-1, 3).astype(np.float32), vec3f)
    gradient = upload(np.zeros(scene.values.size, np.float32))
    path_basic.trace_basic(
        scene.layout.features, Execution(), launch, *scene.device_arrays(), image, adjoint, gradient
    )
    return image.to_numpy().reshape(scene.image_shape) / spp, gradient.to_numpy().astype(float)


def full(scene, weight, spp, seed):
    scene.model.integrator.rr_depth = 10**6
    options = dict(spp=spp, seed=seed, max_depth=DEPTH)
    gradient = np.zeros(scene.values.size)
    for name, g in prb.render_backward(scene, weight, **options).items():
        prb.device.params.records(scene)[name].of(gradient)[...] = g
    return prb.render(scene, **options).astype(float), gradient


@pytest.fixture
def weight():
    return lambda scene: np.random.default_rng(3).uniform(0.5, 1.5, scene.image_shape)


def test_the_same_bits_where_next_event_estimation_finds_nothing(weight):
    """Mirrors and glass under a constant sky: only the sampled ray finds light."""
    film = {"type": "hdrfilm", "width": 12, "height": 9}
    look = [{"look_at": {"origin": [0, 1, 5], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    turn = {"rotate": {"axis": [1, 0, 0], "angle": -90}}
    brown = {"type": "rgb", "value": [0.9, 0.5, 0.3]}
    scene = prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path"},
            "sensor": {"type": "perspective", "to_world": look, "film": film},
            "ball": {"type": "sphere", "bsdf": {"type": "dielectric"}},
            "floor": {
                "type": "rectangle",
                "to_world": [{"scale": 4}, turn, {"translate": [0, -1, 0]}],
                "bsdf": {"type": "conductor", "specular_reflectance": brown},
            },
            "sky": {"type": "constant"},
        }
    )
    w = weight(scene)
    image, gradient = basic(scene, w, 16, 5)
    expected, expected_gradient = full(scene, w, 16, 5)
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=2e-5, atol=1e-7 * np.abs(gradient).max())


def test_the_same_mean_in_the_box(weight):
    """Over independent seeds; |z| < 4.5 for each number has a chance below 1e-5 of failing by accident."""
    scene = prb.load_file("cornell-box")
    scene.resize(16, 16)
    w = weight(scene)
    found = [basic(scene, w, 64, seed) for seed in range(24)]
    expected = [full(scene, w, 16, 1000 + seed) for seed in range(24)]
    for mine, other in (
        ([i.mean() for i, _ in found], [i.mean() for i, _ in expected]),
        ([g for _, g in found], [g for _, g in expected]),
    ):
        mine, other = np.array(mine), np.array(other)
        error = np.sqrt((mine.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / len(mine))
        used = error > 0
        z = ((mine.mean(axis=0) - other.mean(axis=0)) / np.where(used, error, 1))[used]
        assert used.any() and np.abs(z).max() < 4.5
