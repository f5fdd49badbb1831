"""Media whose own phase function is `sggx`: extinction depends on the direction. Closed forms of a slab along
two directions, replay against tape, standard errors, pictures against Mitsuba's.

With one matrix S everywhere, a ray along d sees the extinction sigma_t scale sqrt(d . S d).
"""

import numpy as np
import pytest
from helpers.media_scenes import box, camera, fog, grid, load, rgb, samples, scene_dict, to_mitsuba

import prb

SIGMAS = 4.5  # allowed standard errors: two-sided significance 7e-6
METHODS = prb.SampleMatching(), prb.DifferentialRatioTracking(), prb.FreeFlight()
every_method = pytest.mark.parametrize(
    "method",
    [METHODS[0], *(pytest.param(m, marks=pytest.mark.slow) for m in METHODS[1:])],
    ids=lambda m: m.name,
)
SIX = np.float32([0.5, 0.3, 0.8, 0.1, -0.25, 0.05])
ONE = {"type": "sggx", "S": grid(SIX.reshape(1, 1, 1, 6))}
MANY = {
    "type": "sggx",
    "S": grid(SIX * np.random.default_rng(1).uniform(0.2, 1, (2, 3, 2, 1)), low=-0.7, high=1.2),
}
RAMP = np.reshape([0.2, 0.5, 0.8, 1.1], (4, 1, 1))
SUN = {"type": "directional", "direction": [0.3, -0.2, -1], "irradiance": rgb(3, 3, 3)}
DIRECTIONS = {"straight": (0, 0, 4), "askew": (1.5, 0.5, 4)}  # where the camera is that looks at the origin


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "sigma_t",
    [pytest.param(0.7, id="homogeneous"), pytest.param(grid(RAMP), id="grid", marks=pytest.mark.slow)],
)
@every_method
def test_absorbing_slab(sigma_t, direction, method):
    """Between z = -1 and 1. Each hat function of the ramp has a quarter of the ray, by symmetry."""
    origin, scale = np.array(DIRECTIONS[direction]), 1.5
    sensor = camera(origin=origin.tolist(), fov=0.001)
    scene = load(sensor=sensor, box=box(fog(sigma_t, 0.0, scale=scale, phase=ONE)), max_depth=-1)
    x, y, z = d = origin / np.linalg.norm(origin)
    area = np.sqrt((d * d) @ SIX[:3] + 2 * (x * y * SIX[3] + x * z * SIX[4] + y * z * SIX[5]))
    density = np.mean(RAMP) if isinstance(sigma_t, dict) else sigma_t
    depth = density * scale * area * 2 / z
    through = np.exp(-depth)
    mean, error = samples(lambda seed: prb.render(scene, spp=1024, seed=seed).mean(), range(16))
    assert SIGMAS * error < 0.05 * through and abs(mean - through) <= SIGMAS * error

    by_area = -through * depth / area
    by_S = by_area / (2 * area) * np.array([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z])
    expected = {
        "scale": -through * depth / scale,
        "sigma_t.data" if isinstance(sigma_t, dict) else "sigma_t.value.value": -through * depth / density,
        "phase_function.S.data": by_S,
    }
    names = {f"box.interior_medium.{key}": value for key, value in expected.items()}
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    adjoint = prb.ReplayAdjoint(density=method)

    def total(seed):
        grads = prb.render_backward(scene, weight, list(names), spp=1024, seed=seed, adjoint=adjoint)
        return np.concatenate([grads[n].sum() if "S" not in n else grads[n] for n in names], axis=None)

    mean, error = samples(total, range(16))
    wanted = np.concatenate(list(names.values()), axis=None)
    assert np.all(SIGMAS * error <= 0.1 * np.abs(wanted) + 1e-4 * np.abs(by_S).max())
    assert np.all(np.abs(mean - wanted) <= SIGMAS * error + 1e-4 * np.abs(by_S).max())


def test_a_blend_has_the_density_of_its_medium():
    """As in Mitsuba: flakes inside a blend turn light, and block no more than others."""
    blend = {"type": "blendphase", "weight": 0.5, "a": ONE, "b": {"type": "isotropic"}}
    scene = load(sensor=camera(fov=0.001), box=box(fog(0.7, 0.0, phase=blend)))
    mean, error = samples(lambda seed: prb.render(scene, spp=1024, seed=seed).mean(), range(16))
    assert abs(mean - np.exp(-1.4)) <= SIGMAS * error < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("sigma_t", [1.5, grid(RAMP)], ids=["homogeneous", "grid"])
def test_furnace(sigma_t):
    """What scatters everything under light that is the same everywhere cannot be seen."""
    phase = MANY if isinstance(sigma_t, dict) else ONE
    scene = load(box=box(fog(sigma_t, 1.0, scale=2.0, phase=phase)), max_depth=-1, rr_depth=10000)
    mean, error = samples(lambda seed: prb.render(scene, spp=1024, seed=seed).mean(), range(16))
    assert SIGMAS * error <= 0.01 and abs(mean - 1) <= SIGMAS * error + 1e-5


def small(sigma_t, phase):
    medium = fog(sigma_t, rgb(0.9, 0.5, 0.7), emission=0.1, phase=phase)
    floor = {"type": "rectangle", "to_world": [{"scale": 2}, {"translate": [0, 0, -0.5]}]}
    return load(box=box(medium), floor=floor, light=SUN, max_depth=5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["homogeneous", "grid", "colours"])
@every_method
def test_replay_is_the_tape(kind, method):
    values = np.random.default_rng(3).uniform(0.1, 2, (3, 4, 4, 3))
    sigma_t = {"homogeneous": 0.8, "grid": grid(values[..., 0]), "colours": grid(values)}[kind]
    scene = small(sigma_t, ONE if kind == "homogeneous" else MANY)
    weight = np.random.default_rng(2).normal(size=scene.image_shape)
    names = [n for n in prb.traverse(scene) if n.startswith("box.interior_medium") or "reflectance" in n]
    assert len(names) == 6
    found, tape = (
        prb.render_backward(scene, weight, names, spp=32, adjoint=adjoint(density=method))
        for adjoint in (prb.ReplayAdjoint, prb.TapeAdjoint)
    )
    for name in names:
        np.testing.assert_allclose(found[name], tape[name], atol=2e-5 * np.abs(tape[name]).max())


@pytest.mark.slow
def test_standard_errors_are_honest():
    """The spread over 60 seeds is what the estimates say, within the two-sided 1e-6 of chi-squared."""
    scene = small(0.8, ONE)
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    name = "box.interior_medium.phase_function.S.data"
    made = [prb.render_backward(scene, weight, [name], spp=256, seed=s, stderr=True)[name] for s in range(60)]
    values = np.array([m.value.ravel() for m in made])
    said = np.mean([m.stderr.ravel() ** 2 for m in made], axis=0)
    ratio = values.var(axis=0, ddof=1) / said
    assert np.all((ratio >= 0.34) & (ratio <= 2.2)), ratio


@pytest.mark.parametrize("kind", ["homogeneous", "grid"])
def test_pictures_are_mitsubas(kind):
    """Single scattering of a directional light, which needs extinction along two directions and the phase
    function. More is not compared: Mitsuba 3.9.1 samples directions that do not follow its density."""
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    sigma_t, phase = (0.9, ONE) if kind == "homogeneous" else (grid(RAMP), MANY)
    things = scene_dict(box=box(fog(sigma_t, 0.9, scale=2.0, phase=phase)), light=SUN, max_depth=2)
    scene, theirs = prb.load_dict(things), mitsuba.load_dict(to_mitsuba(things))
    a, da = samples(lambda seed: prb.render(scene, spp=4096, seed=seed).mean(), range(8))
    b, db = samples(lambda seed: np.array(mitsuba.render(theirs, spp=512, seed=seed)).mean(), range(8))
    assert SIGMAS * np.hypot(da, db) <= 0.05 * b and abs(a - b) <= SIGMAS * np.hypot(da, db), (a, da, b, db)
