"""Scenes of Mitsuba's own test data, judged as Mitsuba judges them, and by their mean.

The data (`mitsuba-renderer/mitsuba-data`) is looked for at ../shared/data/mitsuba; without it, nothing runs.
A picture passes if 99.75 % of its pixels' XYZ channels lie within what the reference's variance allows at
a significance of 1 %, Sidak-corrected for the number of pixels; and if the mean of each channel lies
within 0.5 % + 5 standard errors of the reference's.
"""

import numpy as np
import pytest
from helpers.mitsuba_data import SCENES
from scipy import stats

import prb
from prb.io.images import read_image

SAMPLES = 2_000_000
SIGNIFICANCE, SHARE = 0.01, 0.9975
RGB_TO_XYZ = np.array(  # sRGB's primaries and white point, IEC 61966-2-1
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)


def judge(image, reference, variance, spp):
    """The part of pixel channels that pass, and the means' distance over what is allowed, per channel."""
    a, b = image @ RGB_TO_XYZ.T, reference @ RGB_TO_XYZ.T
    spread = np.maximum(variance @ RGB_TO_XYZ.T, 1e-4)  # as Mitsuba takes it
    p = 2 * stats.norm.sf(np.abs(a - b) * np.sqrt(spp / spread))
    pixels = image.shape[0] * image.shape[1]
    share = (p > 1 - (1 - SIGNIFICANCE) ** (1 / pixels)).mean()
    mean = reference.mean(axis=(0, 1))
    error = np.sqrt(np.maximum(variance, 0).mean(axis=(0, 1)) / (pixels * spp))
    allowed = 0.005 * np.abs(mean) + 5 * error
    return share, np.abs(image.mean(axis=(0, 1)) - mean) / allowed


def test_the_judge_sees_a_bias():
    rng = np.random.default_rng(1)
    reference = rng.uniform(0.2, 1, (32, 32, 3))
    variance = np.full_like(reference, 0.1)
    noise = rng.standard_normal(reference.shape) * np.sqrt(variance / 2000)
    share, distance = judge(reference + noise, reference, variance, 2000)
    assert share >= SHARE and (distance <= 1).all()
    share, distance = judge(reference * 1.02 + noise, reference, variance, 2000)
    assert (distance > 1).any()
    share, _ = judge(reference + noise + 0.05, reference, variance, 2000)
    assert share < SHARE


@pytest.mark.parametrize("file", SCENES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_scene(file):
    name = file.stem.rpartition("_")[0]
    reference = read_image(file.parent / "refs" / f"{name}_ref_rgb.exr")
    variance = read_image(file.parent / "refs" / f"{name}_ref_rgb_var.exr")
    spp = round(SAMPLES / (reference.shape[0] * reference.shape[1]))
    scene = prb.load_file(file)
    image = prb.render(scene, spp=spp, seed=1)
    share, distance = judge(image.astype(float), reference, variance, spp)
    assert share >= SHARE and (distance <= 1).all()
