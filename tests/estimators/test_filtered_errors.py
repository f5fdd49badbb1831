"""Standard errors where neighbouring pixels share samples, and bits that do not depend on the threads."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.filters import FILTERS
from scipy import stats

import prb
from prb.device import runtime

SIZE, SEEDS = 12, 60
GREY, SKY = "ball.bsdf.reflectance.value", "sky.radiance.value"
SIGNIFICANCE = 1e-3


def ball(filter_name, size=SIZE, **options):
    """A ball under a sky, which is seen directly, without noise, in half of the picture."""
    view = [{"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": FILTERS[filter_name][0], **options}
    grey = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.5, 0.3, 0.7]}}
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3},
        "sensor": {"type": "perspective", "fov": 40, "to_world": view, "film": film},
        "ball": {"type": "sphere", "radius": 0.8, "bsdf": grey},
        "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [1.0, 1.0, 1.0]}},
    })  # fmt: skip


def weight_of(kind, shape):
    y, x = np.mgrid[: shape[0], : shape[1]] / shape[0]
    return {
        "ones": np.ones(shape),
        "smooth": np.repeat((1 + np.sin(3 * x) * np.cos(2 * y))[..., None], 3, axis=2),
        "signs": np.random.default_rng(0).choice([-1.0, 1.0], size=shape),
    }[kind]


@pytest.mark.parametrize("spp", [8, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["ones", "smooth", "signs"])
@pytest.mark.parametrize("filter_name", ["box", "gaussian"])
def test_standard_errors_of_gradients_are_their_spread(filter_name, kind, spp):
    """The mean claimed variance over that of 60 seeds: a chi-squared test of each number, at 1e-3 in all."""
    scene = ball(filter_name)
    weight = weight_of(kind, scene.image_shape)
    runs = [prb.render_backward(scene, weight, spp=spp, seed=seed, stderr=True) for seed in range(SEEDS)]
    ratios = []
    for name in (GREY, SKY):
        found = np.array([run[name].value for run in runs]).var(axis=0, ddof=1)
        ratios.append(np.mean([run[name].stderr ** 2 for run in runs], axis=0) / found)
    tail, dof = SIGNIFICANCE / (2 * 6), SEEDS - 1  # numbers of the two parameters
    low, high = dof / stats.chi2.isf(tail, dof), dof / stats.chi2.ppf(tail, dof)
    assert np.all((low < np.array(ratios)) & (np.array(ratios) < high)), (np.round(ratios, 2), low, high)


@pytest.mark.parametrize("spp", [2, 8, pytest.param(32, marks=pytest.mark.slow)])
@pytest.mark.parametrize("filter_name", ["box", "tent", "gaussian", "mitchell"])
def test_standard_errors_of_derivative_images_are_their_spread(filter_name, spp):
    """The mean variance over pixels: claimed, over that of 60 seeds. The ratio of means has a standard error
    of about 3 %."""
    scene = ball(filter_name)
    for name in (GREY, SKY):
        runs = [prb.render_forward(scene, {name: 1.0}, spp=spp, seed=s, stderr=True) for s in range(SEEDS)]
        values = np.array([run.value for run in runs], float)
        claimed = np.array([run.stderr for run in runs], float) ** 2
        ratio = claimed.mean() / values.var(axis=0, ddof=1).mean()
        assert 0.88 < ratio < 1.12, (name, ratio)


def test_squared_deviations_are_as_large_as_claimed():
    """Of pixels inside the ball, where no run is without noise: the mean of z^2 is that of Student's
    distribution with the samples' degrees of freedom, nearly 1."""
    for filter_name in ("box", "gaussian"):
        scene = ball(filter_name)
        runs = [prb.render_forward(scene, {GREY: 1.0}, spp=32, seed=s, stderr=True) for s in range(SEEDS)]
        inner = (slice(4, 8), slice(4, 8))
        values = np.array([run.value[inner] for run in runs], float)
        errors = np.array([run.stderr[inner] for run in runs], float)
        z2 = ((values - values.mean(axis=0)) / errors) ** 2 * SEEDS / (SEEDS - 1)
        assert 0.85 < z2.mean() < 1.2, (filter_name, z2.mean())


def test_standard_errors_under_negative_weights_are_finite():
    scene = ball("lanczos")
    for seed in range(4):
        found = prb.render_forward(scene, {GREY: 1.0}, spp=2, seed=seed, stderr=True)
        assert np.isfinite(found.stderr).all()


SCRIPT = """
import sys
import prb
sys.path[:0] = sys.argv[1:3]
from test_filtered_errors import digest
for threads in (1, 2):
    prb.init("cpu", threads=threads)
    print("digest", *(digest(name) for name in ("gaussian", "lanczos")))
"""


def digest(filter_name):
    """Of a picture, gradients, derivative and a loss gradient, with a texture whose buffer workers share."""
    import hashlib

    from test_determinism import papered

    scene = papered(size=13)
    small = ball(filter_name, 13, sample_border=True)
    weight = np.random.default_rng(1).normal(size=small.image_shape)
    gradients = prb.render_backward(small, weight, spp=5, seed=3, stderr=True, deterministic=True)
    forward = prb.render_forward(small, {GREY: 1.0}, spp=5, seed=3, stderr=True)

    def loss(image):
        return float((image**2).mean()), 2 * image / image.size

    folded = prb.value_and_grad(small, None, loss, spp=5, seed=1, folds=3)
    shared = prb.render_backward(scene, weight, spp=4, seed=2, deterministic=True)
    parts = [prb.render(small, spp=5, seed=3), *forward, folded.image, *folded.grads.values()]
    parts += [x for g in gradients.values() for x in g] + list(shared.values())
    return hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in parts)).hexdigest()


@pytest.mark.skipif(runtime.arch() not in (None, "cpu"), reason="counts the CPU's threads")
def test_same_bits_for_any_number_of_threads():
    here = Path(__file__).parent
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(here), str(here.parent)],
        env={**os.environ, "PRB_ARCH": "cpu"}, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = [line for line in run.stdout.split("\n") if line.startswith("digest")]
    assert len(lines) == 2 and len(set(lines)) == 1, run.stdout
