"""Recursive pictures: no bias, less noise, and when they begin anew."""

import numpy as np
import pytest
from helpers.lit_wall import RADIANCE, lit_scene

import prb
from prb import losses
from prb.estimators import cross_folds, recursive_picture
from prb.estimators.integrate import integrate
from prb.estimators.kept_vertices import PATH_BYTES, KeptVertices, vertex_bytes
from prb.estimators.settings import resolved
from prb.kernels.estimators import modes

REFLECTANCE = "wall.bsdf.reflectance.value"
STEPS = (4.0, 3.6, 3.5, 3.5)  # radiances of an optimisation


@pytest.mark.parametrize("rfilter", ["box", "gaussian"])
def test_neither_picture_nor_gradient_has_a_bias(rfilter):
    """Against an independent picture, at 4 standard errors; the picture is linear in the radiance."""
    scene = lit_scene(12, rfilter=rfilter)
    target = np.full(scene.image_shape, 0.3)
    loss = losses.l2(target)
    params = prb.traverse(scene)
    exact = prb.render(scene, spp=2**12, seed=999).astype(float) * STEPS[-1] / STEPS[0]
    expected = (2 * (exact - target) * exact / STEPS[-1]).sum() / target.size
    pictures, gradients, plain = [], [], []
    for run in range(100):
        picture = prb.RecursivePicture()
        for k, radiance in enumerate(STEPS):
            params.update({RADIANCE: [radiance] * 3})
            options = dict(spp=2, seed=10 * run + k)
            found = prb.value_and_grad(scene, RADIANCE, loss, picture=picture, **options)
        pictures.append(found.image)
        gradients.append(found.grads[RADIANCE].sum())
        plain.append(prb.render(scene, **options))
    pictures, gradients = np.array(pictures), np.array(gradients)

    def standard_errors(found, expected):
        return abs(found.mean() - expected) / (found.std(ddof=1) / np.sqrt(len(found)))

    assert standard_errors(pictures.mean(axis=(1, 2, 3)), exact.mean()) < 4
    assert standard_errors(gradients, expected) < 4
    variance = pictures.var(axis=0).mean()
    assert variance < 0.6 * np.var(plain, axis=0).mean()
    assert (picture.stderr**2).mean() == pytest.approx(variance, rel=0.4)


def test_alpha_does_not_depend_on_the_pixel_s_own_samples():
    """Nor on those of pixels that share samples with it."""
    image = np.zeros((20, 20, 3))
    image[9, 9] = 1.0
    for hole in (0, 4):
        spread = recursive_picture.around(image, hole)[..., 0]
        near = np.abs(np.indices((20, 20)) - 9).max(axis=0)
        assert (spread[near <= hole] == 0).all() and (spread[(near > hole) & (near <= 8)] > 0).all()
        np.testing.assert_allclose(recursive_picture.around(np.ones((20, 20, 3)), hole), 1)
    assert (recursive_picture.around(np.ones((4, 4, 3)), 4) == 0).all()  # no pixel is far enough


def test_equal_pictures_are_averaged():
    """Where x and x' are the same, 1/v grows by 1/var(x), and the estimate is the mean of all samples."""
    rng = np.random.default_rng(3)
    pictures, estimate, variance = [], None, None
    for _ in range(6):
        sums = np.ones((8, 24, 24, 4))
        sums[..., :3] = rng.normal(5, 1, (8, 24, 24, 3))
        pictures.append(recursive_picture.normalised(sums.sum(axis=0)))
        if estimate is None:
            estimate, others = pictures[0], recursive_picture.leave_one_out(sums)
            variance = recursive_picture.around(recursive_picture.covariances(others, others)[0], 0)
        else:
            estimate, _, variance = recursive_picture.combined(estimate, variance, sums, sums, 0)
    np.testing.assert_allclose(variance, 1 / 48, rtol=0.2)
    np.testing.assert_allclose(estimate, np.mean(pictures, axis=0), atol=0.1)


def material_scene():
    """Two rough metal balls that see each other, under an even sky."""
    metal = {"type": "roughconductor", "distribution": "ggx", "alpha": 0.35,
             "specular_reflectance": {"type": "rgb", "value": [0.8, 0.5, 0.3]}}  # fmt: skip
    view = [{"look_at": {"origin": [0, 1, 5], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    film = {"type": "hdrfilm", "width": 12, "height": 12}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 4, "rr_depth": 2},
        "sensor": {"type": "perspective", "fov": 40, "to_world": view, "film": film},
        "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [1, 1, 1]}},
        "lamp": {"type": "sphere", "center": [0, 2, 0], "radius": 0.3,
                 "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [30, 30, 30]}}},
        "left": {"type": "sphere", "center": [-1, 0, 0], "radius": 0.9, "bsdf": metal},
        "right": {"type": "sphere", "center": [1, 0, 0], "radius": 0.9, "bsdf": metal},
    })  # fmt: skip


def test_kept_vertices_are_shaded_again_at_other_values():
    """The same bits at the same values; else the picture there, whatever part of the paths is kept."""
    scene = material_scene()
    now, params = scene.values.copy(), prb.traverse(scene)
    names = [name for name in params if name.startswith("left.bsdf") and "eta" not in name]
    for name in names:
        before = params[name]
        params.update({name: 0.7 * before if "alpha" in name else 0.9 * before})
    before = scene.values.copy()
    scene.set_values(now)
    options = dict(spp=2**13, seed=99)
    exact, other = (integrate(scene, modes.PRIMAL, values=v, **options).image.mean() for v in (before, now))
    for vertices in (1, 100):
        found, differences = [], []
        for seed in range(48):
            budget = 12 * 12 * 8 * (PATH_BYTES + vertices * vertex_bytes(scene))
            with KeptVertices.borrowed(scene, 8, 4, budget) as kept:
                options = dict(spp=8, seed=seed, folds=4, names=names, kept=kept)
                picture = integrate(scene, modes.REVERSE, **options)
                if seed == 0:
                    same = integrate(scene, modes.RESHADED, **options)
                    np.testing.assert_allclose(same.folds, picture.folds, rtol=1e-5, atol=1e-6)
                found.append(integrate(scene, modes.RESHADED, values=before, **options).image.mean())
                differences.append(found[-1] - picture.image.mean())
        for estimates, expected in ((found, exact), (differences, exact - other)):
            error = np.std(estimates, ddof=1) / np.sqrt(len(estimates))
            assert abs(np.mean(estimates) - expected) < 4 * error + 1e-3 * abs(exact - other)
        assert np.var(differences) < 0.1 * np.var(found)
    np.testing.assert_array_equal(scene.values, now)


@pytest.mark.parametrize("change, traced_again", [
    ({REFLECTANCE: [0.5, 0.5, 0.4]}, False),
    ({REFLECTANCE: [0.5, 0.5, 0.0]}, True),
    ({}, None),
], ids=["shaded", "zero", "equal"])  # fmt: skip
def test_rays_are_traced_again_only_where_paths_would_end(monkeypatch, change, traced_again):
    scene, picture, calls = lit_scene(6), prb.RecursivePicture(), []
    loss = losses.l2(np.zeros(scene.image_shape))
    prb.value_and_grad(scene, RADIANCE, loss, spp=2, seed=1, picture=picture)
    prb.traverse(scene).update(change)
    monkeypatch.setattr(
        cross_folds, "integrate", lambda scene, mode, **o: calls.append(mode) or integrate(scene, mode, **o)
    )
    prb.value_and_grad(scene, RADIANCE, loss, spp=2, seed=2, picture=picture)
    more = {True: [modes.PRIMAL], False: [modes.RESHADED], None: []}[traced_again]
    assert calls == [modes.REVERSE, *more, modes.REVERSE]
    calls.clear()
    prb.value_and_grad(scene, RADIANCE, loss, spp=2, seed=3, hit_budget=0)
    assert calls == [modes.PRIMAL, modes.REVERSE]  # who does not use it does not pay


def test_another_subject_begins_anew():
    """Another depth, camera, film or scene: the picture is that of the samples alone."""

    def moved(scene):
        params = prb.traverse(scene)
        params.update({"sensor.x_fov": 50.0})

    scene, other = lit_scene(6), lit_scene(6)
    loss = losses.l2(np.zeros(scene.image_shape))
    picture = prb.RecursivePicture()
    for k, (scene_k, depth, change) in enumerate(
        ((scene, 3, None), (scene, 2, None), (other, 2, None), (other, 2, moved))
    ):
        if change is not None:
            change(scene_k)
        options = dict(spp=4, max_depth=depth)
        found = prb.value_and_grad(scene_k, RADIANCE, loss, seed=2 * k, picture=picture, **options)
        alone = prb.value_and_grad(scene_k, RADIANCE, loss, seed=2 * k, **options)
        np.testing.assert_array_equal(found.image, alone.image)
        np.testing.assert_array_equal(found.grads[RADIANCE], alone.grads[RADIANCE])
        assert found.value == alone.value
        again = prb.value_and_grad(scene_k, RADIANCE, loss, seed=2 * k + 1, picture=picture, **options)
        assert np.abs(again.image - picture.image).max() == 0 and (picture.stderr >= 0).all()
        alone = prb.value_and_grad(scene_k, RADIANCE, loss, seed=2 * k + 1, **options)
        assert (again.image != alone.image).any()
    picture.restart()
    assert picture.image is picture.stderr is None and picture.state_dict() == {}


def test_a_loss_that_fails_leaves_the_picture_as_it_was():
    scene, picture = lit_scene(6), prb.RecursivePicture()
    good = losses.l2(np.zeros(scene.image_shape))
    prb.value_and_grad(scene, RADIANCE, good, spp=2, seed=1, picture=picture)
    before = picture.state_dict()
    with pytest.raises(prb.NotFiniteError):
        prb.value_and_grad(
            scene, RADIANCE, lambda image: (0.0, image * np.nan), spp=2, seed=2, picture=picture
        )
    assert all(picture.state_dict()[key] is array for key, array in before.items() if array.ndim)


def test_mistakes_are_one_line():
    scene, picture = lit_scene(6), prb.RecursivePicture()
    loss = losses.l2(np.zeros(scene.image_shape))
    prb.value_and_grad(scene, RADIANCE, loss, spp=2, seed=7, picture=picture)
    for options, message in (
        ({"picture": picture, "seed": 7}, "seed: 7 is that of the last call with this picture"),
        ({"picture": True}, "picture: expected a prb.RecursivePicture, got bool"),
        ({"picture": picture, "adjoint": prb.TapeAdjoint()}, "picture: tape does not take one"),
    ):
        with pytest.raises(prb.ParameterError) as caught:
            prb.value_and_grad(scene, RADIANCE, loss, spp=2, **options)
        assert message in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(prb.ParameterError, match="picture: is no state of a prb.RecursivePicture"):
        picture.load_state_dict({"estimate": np.zeros(3)})


def test_variances_are_not_negative_where_a_bright_place_is_near():
    """They are differences of running sums, whose rounding a bright pixel leaves behind."""
    rng = np.random.default_rng(0)
    sums = np.ones((4, 40, 40, 4))
    sums[:, :, :8, :3] = 1e6 * rng.uniform(size=(4, 40, 8, 3))
    sums[:, :6, :, :3] = 1e6 * rng.uniform(size=(4, 6, 40, 3))
    sums[:, 20:24, 26:30, :3] = rng.uniform(size=(4, 4, 4, 3))
    others = recursive_picture.leave_one_out(sums)
    around = recursive_picture.around(recursive_picture.covariances(others, others)[0], 4)
    assert around.min() < 0, "or this tests nothing"
    scene = lit_scene(40, rfilter="gaussian")
    picture = prb.RecursivePicture()
    for seed in (1, 2):
        settings = resolved(scene, spp=4, seed=seed)
        picture.next(scene, settings, scene.values, sums, lambda values: sums).keep()
        assert np.isfinite(picture.stderr).all() and (picture.stderr >= 0).all()
