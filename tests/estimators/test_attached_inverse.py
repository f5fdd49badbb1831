"""Attached replay by inversion against attached replay with kept states, on the same paths.

Without noise both are the same path by path, where no vertex is diffuse. The noise changes the derivative
of a path by a term that is linear in it and has mean zero: it cancels between noise and -noise up to second
order, and in the mean over many paths. The difference of both estimates on the same paths has little
variance; its mean must be zero within 4.5 standard errors (two-sided significance 7e-6).
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers.planted_faults import forget, planted

import prb
from prb.estimators.integrate import integrate
from prb.kernels.estimators import modes

SIGMAS = 4.5
ETA = "ball.bsdf.eta"
RNG = np.random.default_rng(7)
SKY = {"type": "envmap", "bitmap": RNG.uniform(0.5, 1.5, (4, 8, 3)).astype(np.float32)}
TEXELS = RNG.uniform(0.2, 0.8, (8, 8, 3)).astype(np.float32)
MIRROR = {
    "type": "conductor",
    "material": "none",
    "specular_reflectance": {"type": "rgb", "value": [0.9, 0.8, 0.7]},
}


def camera(origin, target, fov, size, rfilter="box"):
    film = {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": rfilter}}
    look_at = {"origin": origin, "target": target, "up": [0, 0, 1]}
    return {"type": "perspective", "fov": fov, "to_world": [{"look_at": look_at}], "film": film}


def ball(radius, z=0.0):
    bsdf = {"type": "dielectric", "int_ior": 1.5}
    return {"type": "sphere", "center": [0, 0, z], "radius": radius, "bsdf": bsdf}


def floor(scale, z=0.0, texels=TEXELS):
    reflectance = {"type": "bitmap", "data": texels, "raw": True}
    steps = [{"scale": scale}, {"translate": [0, 0, z]}]
    return {"type": "rectangle", "to_world": steps, "bsdf": {"type": "diffuse", "reflectance": reflectance}}


def mirror(x, tilt):
    steps = [{"scale": 2}, {"rotate": {"axis": [0, 1, 0], "angle": -90 * np.sign(x)}}]
    steps += [{"rotate": {"axis": [0, 0, 1], "angle": tilt}}, {"translate": [x, 0, 0]}]
    return {"type": "rectangle", "to_world": steps, "bsdf": MIRROR}


def load(shapes, sensor, max_depth=13):
    integrator = {"type": "path", "max_depth": max_depth, "rr_depth": 1000}
    scene = prb.load_dict({"type": "scene", "integrator": integrator, "sensor": sensor, "sky": SKY, **shapes})
    for name, record in scene.layout.parameters.items():
        if name.endswith("eta"):
            scene.layout.parameters[name] = replace(record, why_not="")
    return scene


def chain(size=1, rfilter="box"):
    """A glass ball between two mirrors: paths of up to 12 vertices, all of them specular. The floor is out of
    reach, so that one compiled kernel serves this scene and the next one."""
    shapes = {"ball": ball(0.45), "left": mirror(-1, 2), "right": mirror(1, 1), "far": floor(1, z=-400)}
    return load(shapes, camera([-0.8, -1.2, 0.15], [1, -0.75, 0], 40, size, rfilter))


def on_floor(size=8, texels=TEXELS):
    """A glass ball on a diffuse floor, which paths meet between refractions."""
    shapes = {"ball": ball(1, z=1.02), "floor": floor(4, texels=texels), "far": mirror(-400, 0)}
    return load(shapes, camera([0, -6, 4.2], [0, 0, 1], 14, size))


def gradient(scene, suffix, noise=0.0, *, name=ETA, spp=1, seed=0, **options):
    """The derivative of the image's mean by a parameter."""
    height, width, _ = scene.image_shape
    adjoint = np.full((height, width, 3), 1 / (3 * height * width))
    result = integrate(
        scene, modes.REVERSE, spp=spp, seed=seed, image_adjoint=adjoint, names=[name], attached=suffix,
        noise=noise, **options,
    )  # fmt: skip
    return scene.layout.parameters[name].of(result.gradient)


def gradients(scene, suffix, noise=0.0, *, count, **options):
    """The derivatives for seeds from 0 on: (count, numbers of the parameter)."""
    found = [gradient(scene, suffix, noise, seed=seed, **options) for seed in range(count)]
    return np.array(found).reshape(count, -1)


def deviation(found, right):
    """(mean, its standard error, root mean square) of the difference between estimates on the same paths."""
    d = (found - right).ravel()
    return d.mean(), d.std(ddof=1) / np.sqrt(d.size), np.sqrt(np.mean(d * d))


def rough_and_lamp(size=1):
    """Rough metal in glass below a lamp: densities and MIS weights move, and all steps are regular."""
    down = [{"rotate": {"axis": [1, 0, 0], "angle": 180}}, {"translate": [0.3, 0.2, 2]}]
    radiance = {"type": "bitmap", "data": 4 * TEXELS, "raw": True}
    metal = {"type": "roughconductor", "material": "Cu", "alpha": 0.4}
    shapes = {
        "ball": ball(1),
        "core": {"type": "sphere", "radius": 0.6, "bsdf": metal},
        "ground": {"type": "sphere", "center": [0, 0, -21.5], "radius": 20, "bsdf": metal | {"alpha": 0.3}},
        "lamp": {"type": "rectangle", "to_world": down, "emitter": {"type": "area", "radiance": radiance}},
    }
    return load(shapes, camera([0, -6, 2], [0, 0, -0.4], 30, size), max_depth=8)


@pytest.mark.slow
def test_specular_paths_one_by_one():
    scene = chain()
    right = gradients(scene, "kept", count=400)
    size = np.sqrt(np.mean(right**2))
    assert (right != 0).sum() > 50
    exact = gradients(scene, "inverse", 0.0, count=400)
    np.testing.assert_allclose(exact, right, rtol=1e-3, atol=2e-3 * size)
    plus, minus = (gradients(scene, "inverse", noise, count=400) for noise in (0.01, -0.01))
    assert np.abs(plus - right).max() > 0.02 * size  # the noise is there
    np.testing.assert_allclose((plus + minus) / 2, right, rtol=2e-3, atol=4e-3 * size)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: chain(8), on_floor], ids=["chain", "floor"])
def test_the_mean_is_that_of_kept_states(make):
    scene = make()
    right = gradients(scene, "kept", count=250, spp=16)
    mean, error, rms = deviation(gradients(scene, "inverse", 0.01, count=250, spp=16), right)
    assert rms > 0
    assert error < 0.2 * right.std() / np.sqrt(250)  # it says something
    assert abs(mean) < SIGMAS * error


@pytest.mark.slow
def test_without_noise_it_fails_behind_a_diffuse_vertex():
    scene = on_floor()
    right = gradients(scene, "kept", count=60, spp=16)
    _, _, with_noise = deviation(gradients(scene, "inverse", 0.01, count=60, spp=16), right)
    _, _, without = deviation(gradients(scene, "inverse", 0.0, count=60, spp=16), right)
    assert without > 10 * with_noise


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [ETA, "core.bsdf.alpha.value", "ground.bsdf.alpha.value", "lamp.emitter.radiance.data"]
)
def test_densities_and_mis_weights_move(name):
    """Path by path but for a few, where the Jacobian is badly conditioned."""
    scene = rough_and_lamp()
    right = gradients(scene, "kept", name=name, count=300)
    size = np.sqrt(np.mean(right**2))
    assert (np.abs(right).max(axis=1) > 0).sum() > 10
    found = gradients(scene, "inverse", 0.0, name=name, count=300)
    error = np.abs(found - right) / (np.abs(right) + size)
    assert np.quantile(error.max(axis=1), 0.98) < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["floor.bsdf.reflectance.data", "sky.data"])
def test_factors_of_zero(name):
    texels = TEXELS.copy()
    texels[..., 1] = 0
    texels[:4] = 0
    scene = on_floor(texels=texels)
    right = gradient(scene, "kept", name=name, spp=64)
    assert (right != 0).sum() > 10
    found = gradient(scene, "inverse", 0.01, name=name, spp=64)
    np.testing.assert_allclose(found, right, rtol=1e-3, atol=1e-4 * np.abs(right).max())


@pytest.mark.slow
def test_standard_errors_through_a_filter():
    """Two objectives: the third sweep starts from the J_L that the first one found."""
    scene, options = chain(8, "gaussian"), dict(spp=64, names=[ETA], variance=True)
    adjoint = np.full((8, 8, 3), 1 / 192)
    right, found = (
        prb.AttachedReplay(suffix, noise=0).backward(scene, adjoint, **options)
        for suffix in ("kept", "inverse")
    )
    at = scene.layout.parameters[ETA].offset
    assert right.variance[at] > 0
    np.testing.assert_allclose(found.gradient[at], right.gradient[at], rtol=5e-3)
    np.testing.assert_allclose(found.variance[at], right.variance[at], rtol=5e-3)


def test_no_vertex_is_kept():
    scene, size = chain(8), dict(spp=16, max_depth=8)
    kept, inverse = (prb.AttachedReplay(x).device_bytes(scene, **size) for x in ("kept", "inverse"))
    assert inverse < kept


@pytest.mark.parametrize("noise", [-0.01, np.inf, np.nan])
def test_bad_noise(noise):
    with pytest.raises(prb.ParameterError, match="noise: expected a finite number of at least 0, got"):
        prb.AttachedReplay("inverse", noise=noise)


def test_bad_suffix():
    with pytest.raises(prb.ParameterError, match="suffix: expected one of kept, inverse, got 'inverted'"):
        prb.AttachedReplay("inverted")


@pytest.mark.slow
def test_noise_that_is_drawn_anew_is_noticed(tmp_path, monkeypatch):
    scene = chain(8)
    right = gradients(scene, "kept", count=60, spp=16)
    _, _, same = deviation(gradients(scene, "inverse", 0.01, count=60, spp=16), right)
    planted("noise drawn anew", tmp_path, monkeypatch)
    try:
        _, _, anew = deviation(gradients(scene, "inverse", 0.01, count=60, spp=16), right)
    finally:
        forget()
    assert anew > 3 * same
