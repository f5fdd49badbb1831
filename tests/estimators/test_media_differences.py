"""Derivatives in scenes with participating media against differences with common random numbers.

A difference has the noise of decisions that flip, and a gradient that of its own samples: independent seeds
give a standard error for each, and both must agree within 4.5 of the two together (two-sided significance
7e-6), plus 2 % for the step. Where a number is zero, differences are one-sided.
"""

import numpy as np
import pytest
from helpers.media_scenes import (
    box,
    camera,
    derivative,
    differences,
    fog,
    grid,
    load,
    objective,
    rgb,
    samples,
)

import prb

SIGMAS, STEP_ERROR = 4.5, 0.02
SEEDS, OTHER_SEEDS = range(24), range(100, 124)
MATCHING, RATIO, FREE = prb.SampleMatching(), prb.DifferentialRatioTracking(), prb.FreeFlight()

rng = np.random.default_rng(0)
HALF = rng.uniform(0.5, 3, (4, 4, 4))
HALF[:, :, :2] = 0
COLOURS = rng.uniform(0.05, 1, (2, 2, 2, 3)) * [1, 0.3, 0.1]
FLOOR = {
    "type": "rectangle",
    "to_world": [{"scale": 3}, {"translate": [0, 0, -1.5]}],
    "bsdf": {"type": "diffuse", "reflectance": rgb(0.7, 0.4, 0.2)},
}
SUN = {"type": "directional", "direction": [0.3, -0.2, -1], "irradiance": rgb(3, 3, 3)}
SIX = np.float32([0.3, 0.6, 1, 0.1, -0.1, 0.05]).reshape(1, 1, 1, 6)

FLAKES = {
    "type": "sggx",
    "S": grid(SIX * np.random.default_rng(4).uniform(0.3, 1, (2, 2, 3, 1)), low=-0.8, high=1.1),
}


def ball(radius, center=(0, 0, 0), **options):
    return {"type": "sphere", "to_world": [{"scale": radius}, {"translate": list(center)}], **options}


LAMP = ball(0.3, (0.3, 0.2, 0), emitter={"type": "area", "radiance": rgb(5, 4, 3)})
REF = {"type": "ref", "id": "fog"}
TABLE = {"type": "tabphase", "values": "0.2,0.4,1.5"}
BACKWARD = {"type": "hg", "g": -0.4}
SCENES = {
    "half empty": dict(
        box=box(fog(grid(HALF), rgb(0.9, 0.5, 0.3), scale=1.5, phase={"type": "rayleigh"})), light=SUN
    ),
    "empty": dict(box=box(fog(0.0, 0.8)), light=SUN),
    "lamp in fog": dict(fog=fog(1.0, 0.7), lamp={**LAMP, "exterior": REF}, box=box(REF), light=None),
    "point in fog": dict(
        box=box(fog(1.2, 0.8, phase={"type": "hg", "g": 0.3})),
        light={"type": "point", "position": [0.2, 0.3, 1.5], "intensity": rgb(1, 2, 3)},
    ),
    "rough glass": dict(
        ball=ball(1, bsdf={"type": "roughdielectric", "alpha": 0.3}, interior=fog(2.0, rgb(0.9, 0.6, 0.3)))
    ),
    "glass": dict(ball=ball(1, bsdf={"type": "dielectric"}, interior=fog(grid(HALF), 0.8))),
    "camera inside": dict(sensor=camera((0, 0, 0.8), 60, medium=REF), fog=fog(1.2, 0.8), box=box(REF)),
    "nested": dict(
        around=fog(0.8, 0.9),
        box=box({"type": "ref", "id": "around"}),
        ball=ball(
            0.5,
            bsdf={"type": "null"},
            interior=fog(4.0, rgb(0.2, 0.5, 0.9)),
            exterior={"type": "ref", "id": "around"},
        ),
    ),
    "colours": dict(box=box(fog(rgb(0.8, 0.3, 0.05), rgb(0.9, 0.8, 0.6), scale=2))),
    "grid of colours": dict(box=box(fog(grid(COLOURS), 0.8, scale=3)), light=SUN),
    "emissive": dict(box=box(fog(grid(HALF), 0.8, emission=grid(HALF[::-1, ::-1, ::-1]))), light=SUN),
    "thin pane": dict(
        pane={
            "type": "rectangle",
            "to_world": [{"scale": 2}, {"translate": [0, 0, 1.4]}],
            "bsdf": {"type": "thindielectric"},
        },
        box=box(fog(1.0, 0.8)),
        light={"type": "point", "position": [0.2, 0.3, 3], "intensity": rgb(10, 20, 30)},
    ),
    "mask": dict(
        box=box(fog(1.0, 0.8), bsdf={"type": "mask", "opacity": 0.3, "nested": {"type": "diffuse"}})
    ),
    "blend": dict(
        box=box(fog(1.5, 0.9, phase={"type": "blendphase", "weight": 0.3, "a": BACKWARD, "b": TABLE})),
        light=SUN,
    ),
    "blend of weight 0": dict(
        box=box(fog(1.5, 0.9, phase={"type": "blendphase", "weight": 0.0, "a": BACKWARD, "b": TABLE})),
        light=SUN,
    ),
    "blend of weight 1": dict(
        box=box(fog(1.5, 0.9, phase={"type": "blendphase", "weight": 1.0, "a": BACKWARD, "b": TABLE})),
        light=SUN,
    ),
    "sggx": dict(box=box(fog(1.5, 0.9, phase={"type": "sggx", "S": grid(SIX)})), light=SUN),
    "sggx in a blend": dict(
        box=box(fog(1.5, 0.9, phase={"type": "blendphase", "weight": 0.6, "a": BACKWARD, "b": FLAKES})),
        light=SUN,
    ),
    "grid of sggx": dict(box=box(fog(grid(HALF), 0.9, scale=1.5, phase=FLAKES)), light=SUN),
    "colours of sggx": dict(
        box=box(fog(grid(COLOURS), 0.8, scale=3, emission=0.1, phase=FLAKES)),
        lamp={**LAMP, "exterior": REF},
        fog=fog(0.5, 0.7, phase={"type": "sggx", "S": grid(SIX)}),
        around=ball(0.6, bsdf={"type": "null"}, interior=REF),
    ),
    "no light samples": dict(box=box(fog(1.2, 0.8, sample_emitters=False))),
}
WORDS = "medium", "fog.", "around.", "opacity", "reflectance", "radiance", "irradiance", "intensity"
QUICK = "half empty"


def scene_of(name):
    return load(floor=FLOOR, **SCENES[name])


def direction_and_step(name, value, kind):
    """Ones, or random numbers that do not make a zero negative; a step that keeps all numbers in range."""
    rng = np.random.default_rng(7)
    direction = np.ones(value.shape)
    if kind == "random":
        direction = np.where(value == 0, rng.uniform(0, 1, value.shape), rng.uniform(-1, 1, value.shape))
    step = 0.1 * max(np.abs(value).mean(), 0.3)
    if name.endswith("S.data"):
        step = 0.02
    elif (value == 0).any():
        step = min(step, 0.3 * np.abs(value[value != 0]).min()) if value.any() else step
    else:
        step = min(step, 0.9 * np.abs(value).min())
    if any(word in name for word in ("albedo", "weight", "opacity", "reflectance")):
        step = min(step, 0.05)
    return direction, step


def agree(scene, name, *, methods=(None,), spp=1024):
    value = np.array(prb.traverse(scene)[name], float)
    weight = np.random.default_rng(5).uniform(0.5, 1.5, scene.image_shape)
    for kind in ("ones", "random") if value.size > 1 else ("ones",):
        direction, step = direction_and_step(name, value, kind)
        sided = int((value == 0).any())
        if "weight" in name and (value == 1).all():
            direction, sided = -direction, 1
        options = dict(weight=weight, spp=spp)
        expected, error = differences(scene, name, direction, step, seeds=SEEDS, sided=sided, **options)
        for method in methods:
            found, own = derivative(scene, name, direction, seeds=OTHER_SEEDS, density=method, **options)
            allowed = SIGMAS * np.hypot(error, own) + STEP_ERROR * abs(expected)
            assert abs(found - expected) <= allowed, (name, kind, method, found, own, expected, error)


def test_density_of_empty_voxels():
    agree(scene_of(QUICK), "box.interior_medium.sigma_t.data", methods=(MATCHING,))


@pytest.mark.slow
def test_free_flight_is_wrong_in_empty_voxels():
    """As its documentation says; and the differences are sharp enough to see what is missing."""
    with pytest.raises(AssertionError, match="FreeFlight"):
        agree(scene_of(QUICK), "box.interior_medium.sigma_t.data", methods=(FREE,))


@pytest.mark.slow
@pytest.mark.parametrize("scene_name", SCENES)
def test_every_parameter(scene_name):
    scene = scene_of(scene_name)
    names = [n for n in prb.traverse(scene) if any(word in n for word in WORDS)]
    names = [n for n in names if "specular" not in n]
    assert any("medium" in n or n.startswith(("fog.", "around.")) for n in names)
    for name in names:
        density = name in scene.layout.extinctions
        positive = (np.array(prb.traverse(scene)[name]) > 0).all() or ".S." in name
        methods = (MATCHING, RATIO) if density else (None,)
        if density and positive:
            methods += (FREE,)
        agree(scene, name, methods=methods)


CHOSEN = QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SCENES if n != QUICK)


@pytest.mark.parametrize("scene_name", CHOSEN)
def test_forward_mode_is_the_transpose_of_reverse_mode(scene_name):
    scene = scene_of(scene_name)
    weight = np.random.default_rng(5).uniform(-1, 1, scene.image_shape)
    names = [n for n in prb.traverse(scene) if ("medium" in n or n.startswith(("fog.", "around.")))]
    for name in names:  # one by one: what is differentiated decides how phase functions are sampled
        gradient = prb.render_backward(scene, weight, [name], spp=64, seed=3)
        tangent = np.random.default_rng(1).uniform(-1, 1, gradient[name].shape)
        image = weight * prb.render_forward(scene, {name: tangent}, spp=64, seed=3)
        assert abs(image.sum() - (gradient[name] * tangent).sum()) <= 1e-5 * np.abs(image).sum() + 1e-9, name


def test_standard_errors_are_honest():
    """The spread over 60 seeds is what the estimates say.

    Bounds: chi-squared of 59 degrees of freedom, two-sided at 1e-6, is 0.34 to 2.2 times its mean.
    """
    scene = scene_of("empty")
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    name = "box.interior_medium.sigma_t.value.value"
    made = [prb.render_backward(scene, weight, [name], spp=256, seed=s, stderr=True)[name] for s in range(60)]
    values = np.array([float(np.sum(m.value)) for m in made])
    said = np.mean([float(np.sum(m.stderr)) ** 2 for m in made])
    assert 0.34 <= values.var(ddof=1) / said <= 2.2


def test_lights_are_sampled_or_not():
    """`sample_emitters` changes the noise and not the mean, also for phase functions with a sampler of their
    own: next-event estimation uses their values, what is left without it their samples."""
    for phase in (BACKWARD, {"type": "sggx", "S": grid(SIX)}):
        lit = {"max_depth": 6, "light": LAMP | {"to_world": [{"scale": 1.0}, {"translate": [0, 2.5, 0]}]}}
        means = []
        for on in (True, False):
            scene = load(box=box(fog(1.0, 0.8, phase=phase, sample_emitters=on)), **lit)
            means.append(samples(lambda seed, scene=scene: objective(scene, seed, spp=4096), SEEDS))
        (a, da), (b, db) = means
        assert abs(a - b) <= SIGMAS * np.hypot(da, db) and np.hypot(da, db) < 0.02 * a


CHOSEN_TO_KEEP = (
    QUICK,
    *(
        pytest.param(n, marks=pytest.mark.slow)
        for n in ("grid of colours", "emissive", "glass", "colours of sggx")
    ),
)


@pytest.mark.parametrize("scene_name", CHOSEN_TO_KEEP)
def test_kept_vertices_of_media_are_those_that_are_traced_again(scene_name):
    scene = scene_of(scene_name)
    loss = prb.losses.l2(np.full(scene.image_shape, 0.3))
    names = [n for n in prb.traverse(scene) if "medium" in n]
    kept, traced = (
        prb.value_and_grad(scene, names, loss, spp=32, seed=1, **options)
        for options in ({}, {"hit_budget": 0})
    )
    np.testing.assert_allclose(kept.image, traced.image, rtol=1e-6)
    for name in names:
        size = np.abs(traced.grads[name]).max() + 1e-12
        np.testing.assert_allclose(kept.grads[name], traced.grads[name], rtol=1e-4, atol=1e-5 * size)
