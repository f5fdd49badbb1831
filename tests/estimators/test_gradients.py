"""Replay gradients of the shipped scenes against central differences, and against Mitsuba's numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import bundled

import prb
from prb.device.params import records, select
from prb.estimators import work

STEP = 0.05  # of a parameter's size
SCENES = {name: prb.load_file(name) for name in bundled.SCENES}


def prepared(name, size=24):
    """A bundled scene, small and without roulette, whose decisions a changed parameter would change."""
    scene = prb.load_file(name)
    scene.resize(size, size)
    scene.model.integrator.rr_depth = 10000
    if scene.model.integrator.max_depth < 0:
        scene.model.integrator.max_depth = 12
    return scene


def central_difference(scene, weight, name, index, fraction=STEP, **options):
    """d(weight . image)/d(parameter) with common random numbers, Richardson's two steps: error O(step^4)."""
    record = records(scene)[name]
    at = record.offset + index
    value = scene.values[at]

    def objective(x):
        scene.values[at] = x
        scene.update(tables=False)
        return (weight * prb.render(scene, **options).astype(float)).sum()

    def difference(h):
        high, low = np.float32(value + h), np.float32(value - h)
        return (objective(high) - objective(low)) / (float(high) - float(low))

    h = fraction * max(abs(float(value)), 0.2)
    result = (4 * difference(h / 2) - difference(h)) / 3
    scene.values[at] = value
    scene.update(tables=False)
    return result


CASES = [(scene, name) for scene in SCENES for name in select(SCENES[scene], None)]


@pytest.mark.parametrize("scene_name, parameter", CASES, ids=[f"{s}:{p}" for s, p in CASES])
def test_every_parameter_of_every_scene_against_central_differences(scene_name, parameter):
    scene = prepared(scene_name)
    weight = np.random.default_rng(3).uniform(0.5, 1.5, scene.image_shape) / np.prod(scene.image_shape)
    options = dict(spp=4, seed=11)
    gradient = prb.render_backward(scene, weight, [parameter], **options)[parameter].ravel()
    expected = [central_difference(scene, weight, parameter, i, **options) for i in range(gradient.size)]
    # The objective's float32 samples carry 1e-7 of it, which a difference divides by the step.
    noise = 2e-7 * (weight * prb.render(scene, **options)).sum() / (STEP * max(0.2, scene.values.min()))
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=noise)


@pytest.mark.parametrize("zero", [[0], [0, 1, 2]])
def test_reflectance_of_exactly_zero_has_the_gradient_of_the_limit(zero):
    """Black in one wall, or in both, or with a black third factor: f = 0 is not dropped."""
    scene = prepared("cornell-box")
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    names = ["red.reflectance.value", "green.reflectance.value", "white.reflectance.value"]

    def gradient(x):
        params = prb.traverse(scene)
        for k in zero:
            value = params[names[k]]
            value[0] = x
            params[names[k]] = value
        params.update()
        return prb.render_backward(scene, weight, names, spp=16, seed=5)

    limit = gradient(np.float32(1e-4))
    exact = gradient(0)
    for name in names:
        np.testing.assert_allclose(exact[name], limit[name], rtol=2e-3, atol=1e-7)
    assert all(exact[names[k]][0] > 0 for k in zero)


def test_zero_factor_behind_a_deep_path_is_exact():
    """Central differences at a reflectance of zero, on channels where every other path meets it twice."""
    scene = prepared("cornell-box")
    params = prb.traverse(scene)
    params.update({"white.reflectance.value": [0.0, 0.5, 0.7], "red.reflectance.value": [0.0, 0.0, 0.3]})
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    options = dict(spp=16, seed=2)
    for name in ("white.reflectance.value", "red.reflectance.value"):
        gradient = prb.render_backward(scene, weight, [name], **options)[name]
        expected = [central_difference(scene, weight, name, i, **options) for i in range(3)]
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=1e-7)


def test_a_nearly_black_wall_keeps_its_digits():
    """R / f for a tiny f: the remainder R must not be what rounding left of L."""
    scene = prepared("cornell-box")
    name = "red.reflectance.value"
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    params = prb.traverse(scene)
    gradients = []
    for tiny in (0.0, 1e-7):
        params.update({name: [tiny] * 3})
        gradients.append(prb.render_backward(scene, weight, [name], spp=64, seed=5)[name])
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-5)


def test_paths_longer_than_the_vertex_cache(monkeypatch):
    """Vertices past the cache are traced again, from where it ended: a closed, bright box, depth 40."""
    cached = 16
    monkeypatch.setattr(work, "CPU", replace(work.CPU, kept_vertices=cached))
    d = json.loads(prb.bundled_scenes()["cornell-box"].read_text())
    d["integrator"] = {"type": "path", "max_depth": 2 * cached + 8, "rr_depth": 10000}
    d["front"] = {
        "type": "rectangle",
        "to_world": [{"rotate": {"axis": [0, 1, 0], "angle": 180}}, {"translate": [0, 0, 1]}],
        "bsdf": {"type": "ref", "id": "white"},
    }
    inside = {"origin": [0, 0, 0.9], "target": [0, -0.2, 0], "up": [0, 1, 0]}
    d["sensor"].update(fov=80, to_world=[{"look_at": inside}])
    d["sensor"]["film"].update(width=12, height=12)
    d["white"]["reflectance"]["value"] = [0.95, 0.9, 0.95]
    d["red"]["reflectance"]["value"] = d["green"]["reflectance"]["value"] = [0.8, 0.9, 0.9]
    scene = prb.load_dict(d)
    weight = np.random.default_rng(3).uniform(0, 1, scene.image_shape)
    options = dict(spp=8, seed=2)
    beyond = prb.render(scene, **options) - prb.render(scene, **options, max_depth=cached)
    assert beyond.mean() > 0.01 * prb.render(scene, **options).mean(), "too few long paths to tell"
    for name in ("white.reflectance.value", "red.reflectance.value"):
        gradient = prb.render_backward(scene, weight, [name], **options)[name]
        expected = [central_difference(scene, weight, name, i, **options, fraction=0.01) for i in range(3)]
        np.testing.assert_allclose(gradient, expected, rtol=1e-3)


def test_forward_mode_is_the_derivative_image():
    scene = prepared("cornell-box", 16)
    name, h = "white.reflectance.value", 0.01
    options = dict(spp=8, seed=4)
    derivative = prb.render_forward(scene, {name: [1, 0.5, 0]}, **options)
    params = prb.traverse(scene)
    value = params[name]
    images = []
    for sign in (1, -1):
        params.update({name: value + sign * h * np.array([1, 0.5, 0])})
        images.append(prb.render(scene, **options).astype(float))
    difference = (images[0] - images[1]) / (2 * h)
    np.testing.assert_allclose(derivative, difference, rtol=5e-3, atol=2e-4 * np.abs(difference).max())
    assert np.all(derivative[..., 2] == 0)


def test_roulette_leaves_the_gradient_unbiased():
    """Two estimates, with and without roulette, agree within 4.5 standard errors (significance 7e-6)."""
    estimates = []
    for rr_depth in (3, 10000):
        scene = prepared("cornell-box", 32)
        scene.model.integrator.rr_depth = rr_depth
        weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
        runs = [
            prb.render_backward(scene, weight, ["red.reflectance.value"], spp=16, seed=seed)[
                "red.reflectance.value"
            ]
            for seed in range(16)
        ]
        estimates.append((np.mean(runs, axis=0), np.var(runs, axis=0, ddof=1) / len(runs)))
    (a, var_a), (b, var_b) = estimates
    assert np.all(np.abs(a - b) <= 4.5 * np.sqrt(var_a + var_b))
    assert np.all(np.sqrt(var_a) < 0.03 * a)


# Mitsuba 3.9.1, llvm_ad_rgb, integrator `prb`, 256 x 256, depth 8, no roulette: image mean, and the gradient
# of the mean of all pixel values. benchmarks/against_mitsuba.py prints them anew.
MITSUBA_MEAN = [0.240110, 0.141097, 0.059965]
MITSUBA_GRADIENT = {
    "red.reflectance.value": [0.029351, 0.014062, 0.005708],
    "green.reflectance.value": [0.032408, 0.016064, 0.006532],
    "white.reflectance.value": [0.089141, 0.041754, 0.015511],
}


def test_cornell_box_has_the_numbers_of_mitsuba():
    scene = prb.load_file("cornell-box")
    scene.model.integrator.rr_depth = 10000
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    image = prb.render(scene, spp=256, seed=1)
    np.testing.assert_allclose(image.mean(axis=(0, 1), dtype=float), MITSUBA_MEAN, rtol=2e-3)
    gradient = prb.render_backward(scene, weight, list(MITSUBA_GRADIENT), spp=256, seed=2)
    for name, expected in MITSUBA_GRADIENT.items():
        np.testing.assert_allclose(gradient[name], expected, rtol=1e-2)
