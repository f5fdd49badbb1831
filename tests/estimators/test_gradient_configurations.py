"""Pictures, derivative images and gradients of eight basic configurations against kept central differences.

`make_gradient_references.py` describes the configurations and says where the references come from. The
full check (`pytest -m slow`) is that of Mitsuba's own test, with a tighter limit on the gradient: 1024
samples per pixel, mean relative error of the derivative image at most 5 % (of the picture likewise), the
gradient of the mean within 0.5 %, in forward mode too. Averages over tiles of 8 x 8 pixels, where most of
the noise is gone, have to be nearer. The quick check looks at these and at the gradient, with as many
samples as give it a standard error of 0.02 % to 0.15 %.
"""

from functools import cache

import numpy as np
import pytest
from helpers.make_gradient_references import CONFIGURATIONS, FILE

import prb
from prb.estimators.checked import backward
from prb.estimators.gradients import split

IMAGE_LIMIT, TILE_LIMIT, GRADIENT_LIMIT = 0.05, 0.015, 0.005
PICTURE_FLOOR, DERIVATIVE_FLOOR = 0.02, 0.2  # of the denominator of relative errors, as Mitsuba takes them
SPP, TILE = 1024, 8
QUICK_SPP = dict.fromkeys(CONFIGURATIONS, 64) | {"albedo_depth_3": 256, "crop_window": 1024}

everywhere = pytest.mark.parametrize("name", CONFIGURATIONS)


@cache
def references():
    with np.load(FILE) as kept:
        return {key: kept[key].astype(float) for key in kept}


def prepared(name, folder):
    """Scene, parameter's name and tangent."""
    configuration = CONFIGURATIONS[name]
    scene = prb.load_dict(configuration.scene(folder))
    parameter = configuration.parameter
    params = prb.traverse(scene)
    return scene, parameter, configuration.tangent(params[parameter])


def tiles(image):
    """Averages over TILE x TILE pixels."""
    height, width, channels = image.shape
    return image.reshape(height // TILE, TILE, width // TILE, TILE, channels).mean(axis=(1, 3))


def mean_error(image, name, which):
    """Mean relative error of a picture or a derivative image, of its pixels and of its tiles."""
    expected = np.broadcast_to(references()[f"{name}/{which}"], image.shape)
    floor = PICTURE_FLOOR if which == "picture" else DERIVATIVE_FLOOR
    errors = []
    for a, b in ((image.astype(float), expected), (tiles(image.astype(float)), tiles(expected))):
        errors.append((np.abs(a - b) / np.maximum(np.abs(b), floor)).mean())
    return errors


def check(name, folder, spp):
    """Compare derivatives in forward and reverse mode, and the picture; return the mean errors of pixels."""
    scene, parameter, tangent = prepared(name, folder)
    derivative = prb.render_forward(scene, {parameter: tangent}, spp=spp, seed=1)
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    result = backward(scene, weight, spp=spp, seed=2, names=[parameter])  # as render_backward; with picture
    gradient = (split(scene, result.gradient, [parameter])[parameter] * tangent).sum()
    expected = references()[f"{name}/means"][1]
    assert derivative.mean(dtype=float) == pytest.approx(expected, rel=GRADIENT_LIMIT)
    assert gradient == pytest.approx(expected, rel=GRADIENT_LIMIT)
    errors = [mean_error(result.image, name, "picture"), mean_error(derivative, name, "derivative")]
    assert all(of_tiles < TILE_LIMIT for _, of_tiles in errors)
    return [of_pixels for of_pixels, _ in errors]


@everywhere
def test_references_are_better_than_what_they_judge(name):
    means, errors = references()[f"{name}/means"], references()[f"{name}/errors"]
    assert (errors < GRADIENT_LIMIT / 10 * means).all()
    for mean, which in zip(means, ("picture", "derivative"), strict=True):
        assert references()[f"{name}/{which}"].mean() == pytest.approx(mean, rel=1e-4)


@everywhere
def test_tiles_and_gradient(name, tmp_path):
    check(name, tmp_path, QUICK_SPP[name])


@pytest.mark.slow
@everywhere
def test_every_pixel(name, tmp_path):
    assert max(check(name, tmp_path, SPP)) < IMAGE_LIMIT
