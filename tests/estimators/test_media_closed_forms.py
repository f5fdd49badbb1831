"""Participating media whose radiance, and its derivatives, are known in closed form.

A comparison allows 4.5 standard errors (two-sided significance 7e-6), and asserts that this is less than a
tenth of what the quantity would change by if a term of it were missing. Seeds are fixed.
"""

import numpy as np
import pytest
from helpers.media_scenes import box, camera, fog, grid, load, rgb, samples

import prb

SIGMAS = 4.5
LENGTH = 2.0  # of a ray through the box
SEEDS = range(16)
METHODS = prb.SampleMatching(), prb.DifferentialRatioTracking(), prb.FreeFlight()
DENSITY = "box.interior_medium.sigma_t.value.value"


def slab(interior, **options):
    """A slab of fog between z = -1 and 1, seen along the z axis."""
    options = {"max_depth": -1, "rr_depth": 10000, **options}
    return load(sensor=camera(fov=0.001), box=box(interior), **options)


def assert_is(mean_and_error, expected, term):
    """term: the size of the smallest term that could be missing."""
    mean, error = mean_and_error
    assert np.all(SIGMAS * error <= 0.1 * np.abs(term) + 1e-12), ("too noisy", error, term)
    assert np.all(np.abs(mean - expected) <= SIGMAS * error + 1e-4 * np.abs(term)), (mean, error, expected)


def picture(scene, spp=1024):
    return samples(lambda seed: prb.render(scene, spp=spp, seed=seed).mean((0, 1)), SEEDS)


def slope(scene, name, method=None, spp=1024):
    """The derivative of the mean of the picture's numbers, number by number."""
    cotangent = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    adjoint = prb.ReplayAdjoint(density=method) if method else None

    def at(seed):
        return prb.render_backward(scene, cotangent, [name], spp=spp, seed=seed, adjoint=adjoint)[name]

    return samples(at, SEEDS)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_absorbing_slab(method):
    sigma, scale = 0.4, 1.5
    scene = slab(fog(sigma, 0.0, scale=scale))
    through = np.exp(-sigma * scale * LENGTH)
    assert_is(picture(scene), through, through)
    expected = -LENGTH * scale * through
    assert_is(slope(scene, DENSITY, method), expected, expected)
    expected = -LENGTH * sigma * through
    assert_is(slope(scene, "box.interior_medium.scale", method), expected, expected)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_absorbing_slab_of_density_zero(method):
    scene = slab(fog(0.0, 0.0))
    np.testing.assert_allclose(prb.render(scene, spp=4), 1, rtol=1e-6)
    assert_is(slope(scene, DENSITY, method), -LENGTH, LENGTH)


@pytest.mark.parametrize("values", [[0.2, 0.5, 0.8, 1.1], [0.0, 0.0, 1.5, 1.0]], ids=["ramp", "half empty"])
def test_absorbing_grid(values):
    """Trilinear between voxel centres at (i + 1/2) / n, constant beyond the outer ones: each of the four
    voxels has a quarter of the ray's length, by symmetry of the hat functions and the clamped ends."""
    scene = slab(fog(grid(np.reshape(values, (4, 1, 1))), 0.0))
    through = np.exp(-LENGTH * np.mean(values))
    assert_is(picture(scene), through, through)
    expected = np.full((4, 1, 1, 1), -LENGTH / 4 * through)
    mean, error = slope(scene, "box.interior_medium.sigma_t.data", spp=4096)
    assert_is((mean.reshape(4), error.reshape(4)), expected.reshape(4), expected.reshape(4))


def test_ramp_that_the_ray_crosses_askew():
    """Density linear in x as well: the exact integral along a ray askew, by many points of the grid's law."""
    values = np.array([0.1, 0.9, 0.3])
    scene = load(
        sensor=camera(origin=(1.5, 0, 4), fov=0.001),
        max_depth=-1,
        box=box(fog(grid(values.reshape(1, 1, 3)), 0.0)),
    )
    z = (np.arange(20000) + 0.5) / 10000 - 1
    x = (1.5 / 4 * z + 1) / 2
    density = np.interp(x, (np.arange(3) + 0.5) / 3, values)
    through = np.exp(-LENGTH * np.hypot(1, 1.5 / 4) * density.mean())
    assert_is(picture(scene), through, through)


HG = {"type": "hg", "g": 0.7}
TABLE = {"type": "tabphase", "values": "0.5, 0.2, 1.5"}
BLEND = {"type": "blendphase", "weight": 0.3, "a": HG, "b": {"type": "rayleigh"}}
HALF = np.concatenate([np.zeros((2, 2, 1)), np.full((2, 2, 1), 1.5)], axis=2)
COLOURS = HALF[..., None] * np.array([1.0, 0.3, 0.05])
FURNACES = {
    "homogeneous": fog(1.0, 1.0),
    "grid": fog(grid(HALF), 1.0, phase=BLEND),
    "chromatic": fog(rgb(1.0, 0.3, 0.05), 1.0, phase=HG),
    "chromatic grid": fog(grid(COLOURS), 1.0, phase=TABLE),
}


@pytest.mark.parametrize(
    "name",
    ["homogeneous", *(pytest.param(k, marks=pytest.mark.slow) for k in FURNACES if k != "homogeneous")],
)
def test_furnace(name):
    """What scatters everything and stands in light that is the same everywhere cannot be seen. The derivative
    by density is a gain less a loss of about LENGTH / 2 each, that by albedo is positive."""
    scene = slab(FURNACES[name])
    assert_is(picture(scene), 1.0, 1.0)
    density = next(n for n in prb.traverse(scene) if ".sigma_t." in n)
    mean, error = slope(scene, density, spp=4096)
    assert np.all(np.abs(mean) <= SIGMAS * error + 1e-6)
    assert SIGMAS * np.sqrt((error**2).sum()) <= 0.2
    mean, error = slope(scene, "box.interior_medium.albedo.value.value")
    assert np.all(mean > SIGMAS * error)


@pytest.mark.parametrize("sigma", [0.0, 0.7])
def test_emissive_slab(sigma):
    scene = slab(fog(sigma, 0.0, emission=rgb(1.0, 0.5, 0.2)), light=None)
    emission = np.array([1.0, 0.5, 0.2])
    if sigma > 0:
        length = (1 - np.exp(-sigma * LENGTH)) / sigma  # that one sees
        by_sigma = (LENGTH * np.exp(-sigma * LENGTH) - length) / sigma
    else:
        length, by_sigma = LENGTH, -(LENGTH**2) / 2
    assert_is(picture(scene), emission * length, emission * length)
    expected = np.full(3, length / 3)
    assert_is(slope(scene, "box.interior_medium.emission.value.value"), expected, expected)
    expected = emission.mean() * by_sigma
    assert_is(slope(scene, DENSITY, spp=4096), expected, expected)


@pytest.mark.parametrize("sigma", [0.0, 0.8])
def test_single_scattering_of_a_directional_light(sigma):
    """Light along -z meets the camera's ray backwards: it enters at z = 1 and leaves there again."""
    albedo, irradiance = 0.6, 3.0
    light = {"type": "directional", "direction": [0, 0, -1], "irradiance": rgb(*[irradiance] * 3)}
    scene = slab(fog(sigma, albedo), max_depth=2, light=light)
    factor = albedo * irradiance / (4 * np.pi)
    # integral of sigma exp(-2 sigma s) over the length
    radiance = factor * (1 - np.exp(-2 * sigma * LENGTH)) / 2
    assert_is(picture(scene), radiance, radiance)
    expected = factor * LENGTH * np.exp(-2 * sigma * LENGTH)
    gain = factor * LENGTH if sigma == 0 else factor * (1 - np.exp(-2 * sigma * LENGTH)) / (2 * sigma)
    for method in METHODS[:1] if sigma == 0 else METHODS:
        assert_is(slope(scene, DENSITY, method, spp=8192), expected, gain)


def test_one_cell_and_many_are_one_medium():
    """A grid that is constant, one majorant cell or many, is the homogeneous medium of the same numbers."""
    light = {"type": "directional", "direction": [0.3, 0, -1], "irradiance": rgb(3, 3, 3)}
    made = [
        fog(0.8, 0.7),
        fog(grid(np.full((1, 1, 1), 0.8)), 0.7),
        fog(grid(np.full((16, 16, 16), 0.8)), 0.7),
    ]
    results = []
    for medium in made:
        scene = slab(medium, light=light, max_depth=6)
        density = next(n for n in prb.traverse(scene) if ".sigma_t." in n)
        cotangent = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))

        def total(seed, scene=scene, name=density, cotangent=cotangent):
            return prb.render_backward(scene, cotangent, [name], spp=2048, seed=seed)[name].sum()

        results.append((picture(scene, 2048), samples(total, SEEDS)))
    for image, gradient in results[1:]:
        for (a, da), (b, db) in zip((image, gradient), results[0], strict=True):
            assert np.all(np.abs(a - b) <= SIGMAS * np.hypot(da, db))
