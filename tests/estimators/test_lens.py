"""A ball of glass as a lens: a closed form; kept states beside the attached tape and beside the inversion,
path by path; and derivatives that are not finite. The short checks of what test_attached_tape.py and
test_attached_inverse.py check at length."""

import warnings

import numpy as np
import pytest
from helpers.lens_scenes import ETA, MIDDLE, RADIUS, SKY, N, beside, lens, within

import prb

HEIGHT = 0.1
FOCAL_SLOPE = -RADIUS / (2 * (N - 1) ** 2)  # of f = n R / (2 (n - 1)), by n
KEPT = prb.AttachedReplay()


def deviation(n):
    """The angle by which the ball turns a ray: twice that of one refraction."""
    sin_i = HEIGHT / RADIUS
    return 2 * (np.arcsin(sin_i) - np.arcsin(sin_i / n))


def transmitted(n):
    """What both surfaces let through, by the Fresnel equations."""
    sin_i = HEIGHT / RADIUS
    cos_i, cos_t = np.sqrt(1 - sin_i**2), np.sqrt(1 - (sin_i / n) ** 2)
    s, p = (cos_i - n * cos_t) / (cos_i + n * cos_t), (n * cos_i - cos_t) / (n * cos_i + cos_t)
    return (1 - 0.5 * (s**2 + p**2)) ** 2


def radiance(azimuth):
    """The red part of the sky there."""
    return 0.5 + (azimuth / (2 * np.pi) * 8 - 2.5)


def test_the_focal_length_of_a_ball():
    """The ray that arrives in parallel to the axis turns by h / f: f and its derivative by the index."""
    scene = lens(HEIGHT)
    weight = np.zeros(scene.image_shape)
    weight[..., 0] = 1 / weight[..., 0].size
    found = prb.render_backward(scene, weight, ETA, spp=8192, stderr=True)[ETA]
    picture = (weight * prb.render(scene, spp=8192)).sum()

    def seen(n):
        return transmitted(n) * radiance(MIDDLE - deviation(n))

    slope = (seen(N + 1e-5) - seen(N - 1e-5)) / 2e-5
    assert picture == pytest.approx(seen(N), rel=3e-3)
    assert abs(found.value - slope) < 4.5 * found.stderr
    # what is left without the change of transmittance is that of the angle, h / f
    level = (transmitted(N + 1e-5) - transmitted(N - 1e-5)) / 2e-5 * radiance(MIDDLE - deviation(N))
    by_angle = -transmitted(N) * 8 / (2 * np.pi)
    f = N * RADIUS / (2 * (N - 1))
    focal_slope = -(f**2) / HEIGHT * (found.value - level) / by_angle
    assert focal_slope == pytest.approx(FOCAL_SLOPE, rel=0.02)


def gradients(scene, method, names, count=40):
    """Of single paths: for each a derivative of its pixel. (count, numbers)."""
    rows = []
    for seed in range(count):
        weight = np.zeros(scene.image_shape)
        weight.reshape(-1, 3)[seed % 16] = 1.0, 2.0, -0.5
        rows.append(method.backward(scene, weight, names=names, spp=1, seed=seed).gradient)
    return np.array(rows)


@pytest.mark.parametrize(
    "method", [prb.TapeAdjoint(sampling="attached"), prb.AttachedReplay("inverse", noise=0.0)],
    ids=["tape", "inverse"],
)  # fmt: skip
def test_kept_states_path_by_path(method):
    """No vertex is diffuse, so the inversion needs no noise."""
    scene = beside()
    names = [ETA, SKY]
    right, found = (gradients(scene, m, names) for m in (KEPT, method))
    at = scene.layout.parameters[ETA].offset
    assert (right[:, at] != 0).sum() > 20
    size = np.abs(right).max(axis=0)
    np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-3 * size.max())
    assert np.abs(found - right).sum(axis=0)[at] < 1e-3 * np.abs(right).sum(axis=0)[at]


@pytest.mark.parametrize("suffix", ["kept", "inverse"])
def test_total_reflection(suffix):
    """About the critical angle derivatives grow beyond bounds, but each is finite; one that exceeds the range
    of float32 is counted, and reported."""
    scene, options = within(), dict(params=ETA, spp=4096, adjoint=prb.AttachedReplay(suffix))
    weight = np.ones(scene.image_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = prb.render_backward(scene, weight, **options)[ETA]
    assert np.isfinite(found) and found != 0
    bright = within(scale=1e30)
    with pytest.warns(UserWarning, match=r"^\d+ paths had a contribution or a derivative that is not finite"):
        found = prb.render_backward(bright, weight, **options)[ETA]
    assert np.isfinite(found)
    result = options["adjoint"].backward(bright, weight, names=[ETA], spp=64)
    assert 0 < result.rejected < 64 * 16
    assert np.isfinite(prb.render(bright, spp=64)).all()  # without a warning
