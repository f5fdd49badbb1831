"""Pictures and derivatives by every reconstruction filter: normalised, Mitsuba's, and true.

Statistical tests have fixed seeds; each states its significance.
"""

import json

import numpy as np
import pytest
from helpers.filters import FILTERS, SIX, film, plan_of, small_film
from helpers.make_gradient_references import for_mitsuba
from scipy import stats

import prb
from prb.scene.files import scene_file

GREY, LAMP, SKY = "ball.bsdf.reflectance.value", "lamp.emitter.radiance.value", "sky.radiance.value"
NARROW = ("tent-0.4", "gaussian-0.1")  # of few samples, all may lie where these are zero
WINDOWS = {  # width, height, options
    "whole": (9, 7, {}),
    "crop": (9, 7, {"crop": (2, 1, 6, 5)}),
    "border": (7, 5, {"sample_border": True}),
    "crop border": (9, 7, {"crop": (2, 1, 6, 5), "sample_border": True}),
}


def placed(x=0.0, y=0.0, z=0.0, *, scale=1.0, tilt=0.0):
    """The matrix that scales, turns by an angle about the x axis, and moves."""
    matrix = np.eye(4)
    c, s = np.cos(tilt), np.sin(tilt)
    matrix[:3, :3] = scale * np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    matrix[:3, 3] = x, y, z
    return matrix


def ball(filter_name, window="whole"):
    """A ball before a wall under a sky, and a lamp that is in the picture."""
    width, height, options = WINDOWS[window]
    camera = placed(z=4.0) @ np.diag([-1.0, 1.0, -1.0, 1.0])
    return {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3, "rr_depth": 50},
        "sensor": {"type": "perspective", "fov": 40, "to_world": camera,
                   "film": film(filter_name, width, height, **options)},
        "ball": {"type": "sphere", "radius": 0.7, "center": [0.3, 0, 0],
                 "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.5, 0.3, 0.7]}}},
        "wall": {"type": "rectangle", "to_world": placed(z=-1.0),
                 "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.6, 0.8, 0.2]}}},
        "lamp": {"type": "rectangle", "to_world": placed(-0.4, 0.9, 0.3, scale=0.4, tilt=0.8),
                 "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [6.0, 5.0, 4.0]}}},
        "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [1.0, 0.5, 0.7]}},
    }  # fmt: skip


def sky_scene(filter_name, width, height, **options):
    return prb.load_dict(
        {
            "type": "scene",
            "camera": {"type": "perspective", "film": small_film(filter_name, width, height, **options)},
            "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [0.3, 1.0, 7.0]}},
        }
    )


# Pictures


@pytest.mark.parametrize("name", [n for n in FILTERS if n not in ("tent-12", *NARROW)])
def test_a_constant_is_a_constant(name):
    """The weights of each pixel are divided by their sum, whatever the number of samples."""
    for width, height, options in (
        (6, 4, {}),
        (3, 1, {"sample_border": True}),
        (9, 5, {"crop": (1, 2, 3, 2)}),
    ):
        scene = sky_scene(name, width, height, **options)
        for spp in (1, 7):
            image = prb.render(scene, spp=spp, seed=4)
            expected = np.broadcast_to(np.float32([0.3, 1.0, 7.0]), image.shape)
            np.testing.assert_allclose(image, expected, rtol=2e-5)


def test_picture_is_the_weighted_mean_of_samples_whatever_the_launches(monkeypatch):
    """Of one launch, and of launches that begin in the middle of a row and of a pixel's samples."""
    for name in ("gaussian", "lanczos"):
        for window in ("crop", "crop border"):
            scene = prb.load_dict(ball(name, window))
            whole = prb.render(scene, spp=5, seed=2)
            with monkeypatch.context() as patched:
                plan_of(patched, paths=50)
                in_parts = prb.render(scene, spp=5, seed=2)
            np.testing.assert_allclose(in_parts, whole, rtol=3e-5, atol=1e-6)


def test_a_crop_is_a_part_of_the_picture():
    """Away from the crop window's own border, or everywhere with `sample_border` where the film goes on."""
    whole = prb.load_dict(ball("gaussian"))
    crop = prb.load_dict(ball("gaussian", "crop"))
    border = prb.load_dict(ball("gaussian", "crop border"))
    picture = prb.render(whole, spp=4, seed=1)[1:6, 2:8]
    inner = (slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(prb.render(crop, spp=4, seed=1)[inner], picture[inner], rtol=1e-5)
    assert np.abs(prb.render(crop, spp=4, seed=1) - picture).max() > 1e-3
    around = prb.render(border, spp=4, seed=1)
    np.testing.assert_allclose(around[1:-1, 1:-1], picture[1:-1, 1:-1], rtol=1e-5)


@pytest.fixture(scope="module")
def mi():
    """Mitsuba with LLVM: without it, filters are rounded to 31 steps."""
    mitsuba = pytest.importorskip("mitsuba")
    try:
        mitsuba.set_variant("llvm_ad_rgb")
        mitsuba.load_dict({"type": "sphere"})
    except Exception as error:
        pytest.skip(f"no LLVM: {error}")
    return mitsuba


def seeds_of(render, count):
    images = np.array([render(seed) for seed in range(count)], float)
    return images.mean(axis=0), images.var(axis=0, ddof=1) / count


@pytest.mark.parametrize(
    ("name", "window"),
    [(name, "whole") for name in (*SIX, "tent-1.7", "tent-0.4", "gaussian-0.7")]
    + [(name, window) for name in ("gaussian", "mitchell") for window in WINDOWS if window != "whole"],
)
def test_pictures_have_mitsubas_mean(mi, name, window):
    """A z-test of every number at 1e-4 in all, over 24 seeds of 64 samples each; Student's distribution."""
    scene, count = ball(name, window), 24
    mine, theirs = prb.load_dict(scene), mi.load_dict(for_mitsuba(scene, mi))
    a, a_error = seeds_of(lambda seed: prb.render(mine, spp=64, seed=seed), count)
    b, b_error = seeds_of(lambda seed: np.array(mi.render(theirs, spp=64, seed=seed)), count)
    z = (a - b) / np.sqrt(a_error + b_error + 1e-14)
    limit = stats.t.isf(0.5e-4 / z.size, 2 * count - 2)
    assert np.abs(z).max() < limit, (np.abs(z).max(), limit)
    assert stats.norm.isf(0.5e-4) > abs(z.sum() / np.sqrt(z.size)) / 4  # neighbours share samples


@pytest.mark.parametrize("name", ["box", "tent", "gaussian"])
def test_pictures_are_no_noisier_than_mitsubas(mi, name):
    """Cornell box, 32 x 32, 4 spp: the mean variance over 48 seeds is at most 1.1 of Mitsuba's, or cannot be
    told from that at three standard errors, which are found by leaving out one seed at a time."""
    scene = json.loads(scene_file("cornell-box").read_text())
    scene["sensor"]["film"].update(width=32, height=32, rfilter=FILTERS[name][0])
    mine = prb.load_dict(scene)
    for part in scene.values():
        if isinstance(part, dict) and "to_world" in part:
            part["to_world"] = to_world(part["to_world"], mi)
    theirs = mi.load_dict(scene)
    found = []
    for render in (
        lambda seed: prb.render(mine, spp=4, seed=seed),
        lambda seed: np.array(mi.render(theirs, spp=4, seed=seed)),
    ):
        images = np.array([render(seed) for seed in range(48)], float)
        assert images.std() > 0
        every = np.array([np.delete(images, i, axis=0).var(axis=0, ddof=1).mean() for i in range(48)])
        mean = images.var(axis=0, ddof=1).mean()
        found.append((mean, np.sqrt(47 / 48 * ((every - every.mean()) ** 2).sum()) / mean))
    (a, a_error), (b, b_error) = found
    ratio, error = a / b, np.hypot(a_error, b_error)
    assert error < 0.15
    print(f"{name}: variance over Mitsuba's {ratio:.3f} +- {ratio * error:.3f}")
    assert ratio * (1 - 3 * error) < 1.1, (ratio, error)


def to_world(steps, mi):
    found = mi.ScalarTransform4f()
    for step in steps:
        ((kind, value),) = step.items()
        make = getattr(mi.ScalarTransform4f(), kind)
        found = (make(**value) if isinstance(value, dict) else make(value)) @ found
    return found


# Derivatives


CASES = [(name, "whole") for name in ("box", "tent", "gaussian", "mitchell", "lanczos", "tent-1.7")] + [
    ("gaussian", "crop"), ("gaussian", "border"), ("mitchell", "crop border"), ("lanczos-5", "border"),
]  # fmt: skip
OPTIONS = dict(spp=6, seed=5)


@pytest.fixture(scope="module", params=CASES, ids=[" ".join(case) for case in CASES])
def scene(request):
    return prb.load_dict(ball(*request.param))


def a_weight(scene):
    return np.random.default_rng(2).normal(size=scene.image_shape)


def flat(gradients):
    return np.concatenate([g.ravel() for g in gradients.values()])


def test_reverse_mode_is_the_central_difference_of_the_filtered_picture(scene):
    """With common random numbers; exact where the picture is linear in the parameter."""
    weight = a_weight(scene)
    found = prb.render_backward(scene, weight, [LAMP, SKY, GREY], **OPTIONS)
    for step, names, tolerance in ((0.5, [LAMP, SKY], 1e-4), (1e-2, [GREY], 2e-3)):
        method = prb.FiniteDifference(step=step)
        expected = prb.render_backward(scene, weight, names, adjoint=method, **OPTIONS)
        for name in names:
            scale = np.abs(expected[name]).max()
            np.testing.assert_allclose(found[name], expected[name], atol=tolerance * scale, err_msg=name)
            assert scale > 1e-2


def test_replay_is_the_tape(scene):
    """Also where the tape takes the samples in parts."""
    weight = a_weight(scene)
    replay = flat(prb.render_backward(scene, weight, **OPTIONS))
    for passes in (1, 4):
        tape = flat(prb.render_backward(scene, weight, adjoint=prb.TapeAdjoint(passes=passes), **OPTIONS))
        np.testing.assert_allclose(tape, replay, rtol=1e-4, atol=1e-5 * np.abs(replay).max())


def test_forward_mode_is_the_transpose_of_reverse_mode(scene):
    """<w, J t> = <J^T w, t>, to rounding."""
    weight, random = a_weight(scene), np.random.default_rng(3)
    found = prb.render_backward(scene, weight, **OPTIONS)
    tangents = {name: random.normal(size=g.shape).astype(np.float32) for name, g in found.items()}
    image = prb.render_forward(scene, tangents, **OPTIONS).astype(float)
    reverse = sum((g * tangents[name]).sum() for name, g in found.items())
    size = np.abs(weight * image).sum()
    assert size > 1 and abs((weight * image).sum() - reverse) <= 2e-6 * size


def test_forward_mode_is_the_central_difference(scene):
    for tangents, step, tolerance in (
        ({LAMP: [1, 2, 3], SKY: 1.0}, 0.5, 1e-4),
        ({GREY: [1, -1, 2]}, 1e-2, 2e-3),
    ):
        found = prb.render_forward(scene, tangents, **OPTIONS)
        expected = prb.render_forward(scene, tangents, adjoint=prb.FiniteDifference(step=step), **OPTIONS)
        np.testing.assert_allclose(found, expected, atol=tolerance * np.abs(expected).max())


def test_launches_in_parts_do_not_change_the_gradient(scene, monkeypatch):
    """Launches that begin in the middle of a row and of a pixel's samples, and of batches for a variance."""
    weight = a_weight(scene)
    whole = flat(prb.render_backward(scene, weight, **OPTIONS))
    forward = prb.render_forward(scene, {GREY: 1.0, SKY: 2.0}, stderr=True, **OPTIONS)
    batches = prb.render_backward(scene, weight, stderr=True, **OPTIONS)
    np.testing.assert_allclose(flat({k: x.value for k, x in batches.items()}), whole, rtol=1e-4, atol=1e-6)
    for paths in (17, 100):
        plan_of(monkeypatch, paths=paths, workers=5)
        parts = flat(prb.render_backward(scene, weight, **OPTIONS))
        np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5 * np.abs(whole).max())
        forward_parts = prb.render_forward(scene, {GREY: 1.0, SKY: 2.0}, stderr=True, **OPTIONS)
        largest = np.abs(forward.value).max()
        np.testing.assert_allclose(forward_parts.value, forward.value, rtol=1e-4, atol=1e-5 * largest)
        ratio = np.mean(forward_parts.stderr**2) / np.mean(forward.stderr**2)
        assert 0.9 < ratio < 3, "a launch with one sample of a pixel takes it for noise where that lies"
