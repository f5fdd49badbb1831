"""The lights that are placed by a transform: environment maps, spots, projectors, directional light.

What is sampled, its density and its radiance, against closed forms, numerical integrals and Mitsuba.
"""

import numpy as np
import pytest
from helpers.light_scenes import Lights, emitter, shape

from prb.device.lights import EVEN_PART, environment_tables
from prb.kernels.texture import LUMINANCE
from prb.scene.model import Emitter, Texture

P_MIN = 1e-4
FAR_AWAY = shape("sphere", light=False, shift=(90, 0, 0))
EYE = np.eye(4)
RGB = {"type": "rgb", "value": [1, 2, 3]}


def look_at(origin, target, up):
    """Mitsuba's: local +z towards the target, +x to the left of it."""
    z = np.subtract(target, origin).astype(float)
    z /= np.linalg.norm(z)
    x = np.cross(up, z)
    x /= np.linalg.norm(x)
    m = np.eye(4)
    m[:3] = np.stack([x, np.cross(z, x), z, origin], axis=1)
    return m


POSE = look_at([0.4, -0.2, 0.3], [1, 0.7, -0.5], [0.2, 1, 0.1])
MIRRORED = POSE @ np.diag([-1, 1, 1, 1])


def constant(name, value):
    return Texture(name, "rgb", np.broadcast_to(np.float32(value), 3))


def number(name, value):
    return Texture(name, "uniform", np.array(value, np.float32))


def bitmap(name, value, wrap="clamp"):
    return Texture(name, "bitmap", np.asarray(value, np.float32), wrap=(wrap, wrap))


def envmap(image, to_world=EYE, scale=1.0):
    data = Texture("e.data", "bitmap", np.asarray(image, np.float32), wrap=("repeat", "clamp"))
    return Emitter("e", "envmap", {"data": data, "scale": number("e.scale", scale)}, to_world=to_world)


def spot(to_world=EYE, cutoff=20.0, beam=15.0, texture=None):
    textures = {"intensity": constant("i", [1, 2, 3]), "texture": texture or number("t", 1.0)}
    return Emitter("s", "spot", textures, to_world=np.asarray(to_world),
                   constants={"cutoff_angle": cutoff, "beam_width": beam})  # fmt: skip


def projector(irradiance, to_world=EYE, x_fov=50.0, scale=1.0):
    textures = {"irradiance": irradiance, "scale": number("s", scale)}
    return Emitter("p", "projector", textures, to_world=to_world, constants={"x_fov": x_fov})


def directional(direction):
    direction = np.asarray(direction) / np.linalg.norm(direction)
    return Emitter("d", "directional", {"irradiance": constant("i", [1, 2, 3])}, direction=direction)


def picture(height, width, seed=0):
    """Texels over four orders of magnitude, some of them zero."""
    rng = np.random.default_rng(seed)
    image = 10 ** rng.uniform(-2, 2, (height, width, 3))
    image[rng.random((height, width)) < 0.3] = 0
    return image.astype(np.float32)


def directions(n, seed=0):
    d = np.random.default_rng(seed).normal(size=(n, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


# Environment maps

IMAGES = {
    "two by one": (np.array([[[1.0, 2, 3]], [[0.1, 0, 0]]]), EYE),
    "small": (picture(5, 7), POSE),
    "small, mirrored": (picture(6, 4), MIRRORED),
    "bright texel": (np.where(np.arange(33 * 64).reshape(33, 64, 1) == 700, 1e4, 1e-3) * np.ones(3), POSE),
    "bright pole": (np.where(np.arange(16 * 8).reshape(16, 8, 1) < 8, 1e4, 1e-3) * np.ones(3), EYE),
    "black": (np.zeros((4, 4, 3)), EYE),
    "large": (picture(301, 512), POSE),
}


@pytest.fixture(scope="module", params=IMAGES)
def sky(request):
    image, to_world = IMAGES[request.param]
    lights = Lights([FAR_AWAY], [envmap(image, to_world)])
    return request.param, image, lights, lights.sample((0, 0, 0), 2**17)


def test_environment_samples_have_the_density_and_radiance_that_a_ray_finds(sky):
    name, image, lights, s = sky
    assert np.all(s.delta == 0) and np.all(s.scale == 1) and s.distance.min() > 1e15 and s.pdf.min() > 0
    np.testing.assert_allclose(np.linalg.norm(s.d, axis=1), 1, atol=1e-6)
    away = s.cosine == 0  # it meets no surface
    tolerance = 2e-2 if name == "large" else 2e-3  # rounding of the direction, in texels
    np.testing.assert_allclose(s.environment_pdf, s.pdf, rtol=tolerance, atol=tolerance * 0.1)
    scale = np.maximum(s.radiance, max(image.mean(), 1e-30))
    assert np.abs((s.radiance - s.hit_radiance)[away] / scale[away]).max() < 10 * tolerance
    turn = (s.uv - s.hit_uv)[away]
    assert np.abs(turn[:, 1]).max() < 1e-5
    off_pole = (np.abs(s.uv[away, 1] - 0.5) < 0.49)[:, None] * (turn - np.rint(turn))
    assert np.abs(off_pole).max() < 2e-5


def test_environment_directions_follow_the_density(chi_squared, sky):
    name, image, lights, s = sky
    rows, columns, fine = 16, 32, 30
    z = 1 - 2 * (np.arange(rows * fine) + 0.5) / (rows * fine)
    phi = 2 * np.pi * (np.arange(columns * fine) + 0.5) / (columns * fine)
    z, phi = (a.ravel() for a in np.meshgrid(z, phi, indexing="ij"))
    r = np.sqrt(1 - z * z)
    to_world = IMAGES[name][1][:3, :3]
    density = lights.along((0, 0, 0), np.stack([r * np.cos(phi), z, r * np.sin(phi)], axis=1) @ to_world.T)
    share = density.environment_pdf.reshape(rows, fine, columns, fine).mean(axis=(1, 3)) * 4 * np.pi
    assert share.sum() / share.size == pytest.approx(1, abs=0.003)  # by a quadrature
    local = s.d @ to_world
    row = np.clip((1 - local[:, 1]) / 2 * rows, 0, rows - 1).astype(int)
    column = (np.arctan2(local[:, 2], local[:, 0]) / (2 * np.pi) % 1 * columns).astype(int) % columns
    counts = np.zeros(share.shape)
    np.add.at(counts, (row, column), 1)
    assert chi_squared(counts, share / share.sum() * counts.sum()) > P_MIN


def test_environment_estimate_of_the_irradiance_is_unbiased(sky):
    """The mean of radiance / density is the integral over the sphere; far less noisy than uniform samples."""
    name, image, lights, s = sky
    height, width = image.shape[:2]
    polar = np.pi * (np.arange(height * 200 - 199) + 0.5) / (height * 200 - 200)
    polar = polar[polar < np.pi]
    at = polar / np.pi * (height - 1)
    low = np.minimum(at.astype(int), height - 2)
    ring = image.mean(axis=1)
    value = ring[low] * (1 - at + low)[:, None] + ring[low + 1] * (at - low)[:, None]
    expected = (value * np.sin(polar)[:, None]).sum(axis=0) * (polar[1] - polar[0]) * 2 * np.pi
    estimate = s.radiance / s.pdf[:, None]
    error = estimate.std(axis=0) / np.sqrt(len(estimate))
    assert np.all(np.abs(estimate.mean(axis=0) - expected) <= 5 * error + 1e-3 * expected)
    grey = estimate @ LUMINANCE
    assert grey.std() <= 0.3 * grey.mean()


def test_a_black_texel_is_sampled():
    lights = Lights([FAR_AWAY], [envmap(IMAGES["bright texel"][0])])
    density = lights.along((0, 0, 0), directions(4096)).environment_pdf
    assert density.min() >= 0.0199 / (4 * np.pi)
    lights = Lights([FAR_AWAY], [envmap(np.full((5, 9, 3), 0.7))])
    poles = [[0, 1, 0], [0, -1, 0], [1e-4, 1, 1e-5], [1e-3, -1, 1e-3]]
    d = np.concatenate([directions(4096), poles / np.linalg.norm(poles, axis=1, keepdims=True)])
    np.testing.assert_allclose(lights.along((0, 0, 0), d).environment_pdf, 0.25 / np.pi, rtol=1e-5)


def test_environment_tables_are_distribution_functions():
    image = picture(50, 80)
    marginal, conditional = environment_tables(image)
    assert marginal.shape == (50 + 8 + 2 * 50,) and conditional.shape == (49 * (81 + 11) + 50 * 80,)
    rows = conditional[: 49 * 81].reshape(49, 81), conditional[49 * 81 : 49 * 92].reshape(49, 11)
    for cdf, guide in [(marginal[:50], marginal[50:58]), *zip(*rows, strict=True)]:
        assert cdf[0] == 0 and cdf[-1] == 1 and np.all(np.diff(cdf) >= 0)
        first = guide[:-1].astype(int)  # the interval in which a part of [0, 1] begins
        edges = np.arange(len(first), dtype=np.float32) / np.float32(len(first))
        assert np.all(cdf[first] <= edges) and np.all(edges < cdf[first + 1])
        assert guide[-1] == len(cdf) - 2
    half = 0.5 * np.pi * np.arange(50) / 49
    halves = [*np.sin(half) ** 2, *np.cos(half) ** 2]
    np.testing.assert_allclose(marginal[58:], halves, rtol=1e-6, atol=1e-16)
    np.testing.assert_array_equal(environment_tables(np.repeat(image[..., :1], 3, axis=2))[0],
                                  environment_tables(image[..., :1])[0])  # fmt: skip


# Points that shine one way


def test_spot_is_full_in_the_beam_and_falls_off_linearly():
    angle = np.radians([0, 10, 14.9, 17.5, 19.9, 20.1, 90, 180])
    refs = 2 * np.stack([np.sin(angle), 0 * angle, np.cos(angle)], axis=1)
    s = Lights([], [spot()])._run(1, refs, np.full((len(refs), 4), 0.5))
    falloff = np.array([1, 1, 1, 0.5, 0.02, 0, 0, 0])
    np.testing.assert_allclose(s.scale, falloff / 4, atol=1e-5)
    assert np.array_equal(s.pdf, (falloff > 0).astype(float)) and np.all(s.delta == 1)
    np.testing.assert_allclose(s.distance, 2, rtol=1e-6)
    np.testing.assert_allclose(s.d, -refs / 2, atol=1e-6)
    hard = Lights([], [spot(cutoff=20, beam=20)])._run(1, refs, np.full((len(refs), 4), 0.5))
    np.testing.assert_allclose(hard.scale, (angle < np.radians(20)) / 4, atol=1e-6)


def test_projected_pixels():
    """A 2 x 1 picture at 90 degrees: its left half is where local +x is; irradiance at z = 1 is pi E."""
    image = np.array([[[1.0, 0, 0], [0, 1, 0]]])
    texture = bitmap("i", image)
    texture.filter = "nearest"
    lights = Lights([], [projector(texture, x_fov=90.0, scale=2.0)])
    refs = np.array([[0.5, 0.2, 1], [-0.5, 0, 1], [-1, 0.3, 2], [0, 0.6, 1], [1.1, 0, 1], [0.2, 0, -1]])
    s = lights._run(1, refs, np.full((len(refs), 4), 0.5))
    np.testing.assert_array_equal(s.pdf, [1, 1, 1, 0, 0, 0])
    irradiance = s.radiance * (-s.d[:, 2:])  # of a surface that faces the projector
    expected = 2 * np.pi * np.array([[1, 0, 0], [0, 1, 0], [0, 0.25, 0]])
    np.testing.assert_allclose(irradiance[:3], expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(s.uv[:3], [[0.25, 0.3], [0.75, 0.5], [0.75, 0.35]], atol=1e-6)


def test_directional_light_is_one_direction_from_outside():
    s = Lights([FAR_AWAY], [directional([1, -2, 0.5])]).sample((0.3, 0.1, 0), 100)
    np.testing.assert_allclose(s.d, np.tile(-np.array([1, -2, 0.5]) / np.sqrt(5.25), (100, 1)), atol=1e-6)
    assert np.all(s.pdf == 1) and np.all(s.delta == 1) and np.all(s.scale == 1) and s.distance.min() > 1e15
    np.testing.assert_allclose(s.radiance, np.tile([1, 2, 3], (100, 1)))


# Which light


@pytest.mark.parametrize(
    "light",
    [spot(POSE), spot(EYE, 120, 30), spot(EYE, 40, 40), projector(bitmap("i", picture(2, 4)), POSE),
     projector(constant("i", 1.0), EYE, 100.0)],
    ids=["spot", "wide spot", "hard spot", "picture", "projector"],
)  # fmt: skip
def test_a_lights_share_follows_its_power(light):
    """Power by integrating intensity over directions; the other light is a point of intensity 1."""
    n = 400_000
    d = directions(n)
    s = Lights([], [light])._run(1, light.to_world[:3, 3] + d, np.full((n, 4), 0.5))
    power = 4 * np.pi * (s.radiance @ LUMINANCE).mean()
    point = 4 * np.pi
    share = Lights([], [light, emitter("point", 1.0, np.zeros(3))]).pdf[0, 1]
    if light.textures.get("irradiance") and light.textures["irradiance"].kind == "bitmap":
        power *= 1 / _interpolation_gain(light)
    assert share == pytest.approx(0.5 * EVEN_PART + (1 - EVEN_PART) * power / (power + point), rel=5e-3)


def _interpolation_gain(light):
    """A clamped picture's mean under bilinear interpolation, over the mean of its texels."""
    image = light.textures["irradiance"].value @ LUMINANCE
    x = (np.arange(100) + 0.5) / 100

    def axis(n):
        at = np.clip(x * n - 0.5, 0, n - 1)
        low = np.minimum(at.astype(int), n - 2)
        weights = np.zeros((100, n))
        weights[np.arange(100), low], weights[np.arange(100), low + 1] = 1 - at + low, at - low
        return weights

    return (axis(image.shape[0]) @ image @ axis(image.shape[1]).T).mean() / image.mean()


def test_shares_of_lights_around_the_scene():
    ball = shape("sphere", light=False)  # its bounding box has a diagonal of 2 sqrt(3)
    sky, sun = envmap(np.full((3, 4, 3), 0.5), scale=2.0), directional([0, 1, 0])
    lights = Lights([ball], [sky, sun])
    power = np.array([4 * np.pi**2 * 3, np.pi * 3 * np.dot([1, 2, 3], LUMINANCE)])
    np.testing.assert_allclose(
        lights.pdf[:, 1], 0.5 * EVEN_PART + (1 - EVEN_PART) * power / power.sum(), rtol=1e-5
    )
    assert lights.layout.environment == 0


def test_tables_follow_the_parameters():
    image = picture(8, 9)
    sky = envmap(image)
    lights = Lights([FAR_AWAY], [sky, emitter("point", 1.0, np.zeros(3))])
    layout = lights.layout
    values = layout.start.copy()
    names = ("lights", "light_pdf", "env_marginal", "env_conditional")
    before = {name: layout.arrays[name].copy() for name in names}
    assert layout.update(values) == set()
    values.numbers *= np.float32(1.01)
    values[layout.parameters["e.to_world"]] = np.eye(4)
    assert layout.update(values) == set()

    values[layout.parameters["e.data"]] = image[::-1]
    assert layout.update(values, tables=False) == set()
    assert layout.update(values) >= {"env_marginal", "env_conditional"}
    np.testing.assert_array_equal(layout.arrays["env_conditional"], environment_tables(image[::-1])[1])

    values[layout.parameters["intensity"]] *= 1e4
    assert layout.update(values) == {"lights", "light_pdf"}
    assert layout.arrays["light_pdf"][1, 1] > before["light_pdf"][1, 1] + 0.1

    assert layout.update(layout.start) == set(names)
    for name, array in before.items():
        np.testing.assert_array_equal(layout.arrays[name], array)


# Mitsuba


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def _mitsuba_emitter(mi, d, to_world=None):
    if to_world is not None:
        d["to_world"] = mi.ScalarTransform4f(to_world)
    return mi.load_dict({"type": "scene", "light": d, "ball": {"type": "sphere"}}).emitters()[0]


@pytest.mark.parametrize("size, to_world", [((5, 8), EYE), ((6, 3), POSE), ((20, 41), MIRRORED)])
def test_environment_is_mitsubas(mi, size, to_world):
    image = np.random.default_rng(1).random((*size, 3), np.float32)
    d = directions(500, seed=3)
    found = Lights([FAR_AWAY], [envmap(image, to_world, 1.5)]).along((0, 0, 0), d)
    reference = _mitsuba_emitter(mi, {"type": "envmap", "bitmap": mi.Bitmap(image), "scale": 1.5}, to_world)
    si = mi.SurfaceInteraction3f()
    expected = []
    for x in d:
        si.wi = mi.Vector3f(-x)
        expected.append(np.array(reference.eval(si)))
    away = found.cosine == 0  # it meets no surface
    np.testing.assert_allclose(found.hit_radiance[away], np.array(expected)[away], rtol=1e-4, atol=2e-5)


def _compare_samples(mi, light, reference, refs, rtol=2e-4):
    s = Lights([FAR_AWAY], [light])._run(1, refs, np.full((len(refs), 4), 0.5))
    si = mi.SurfaceInteraction3f()
    expected, to_light = [], []
    for p in refs:
        si.p = mi.Point3f(p)
        sample, value = reference.sample_direction(si, mi.Point2f(0.5))
        expected.append(np.array(value))
        to_light.append(np.array(sample.d))
    expected = np.array(expected)
    lit = s.pdf > 0
    assert 0.05 < lit.mean()
    np.testing.assert_allclose(s.d[lit], np.array(to_light)[lit], atol=2e-6)
    np.testing.assert_allclose(s.radiance * s.pdf[:, None], expected, rtol=rtol, atol=rtol * expected.max())


def _around(to_world, n=500, width=0.5):
    """Points in front of a light, and some behind."""
    rng = np.random.default_rng(5)
    local = np.stack([rng.normal(0, width, n), rng.normal(0, width, n), np.ones(n)], axis=1)
    local *= rng.uniform(0.3, 4, (n, 1)) * rng.choice([1, 1, 1, -1], (n, 1))
    return local @ to_world[:3, :3].T + to_world[:3, 3]


def _bitmap(mi, image):
    return {"type": "bitmap", "bitmap": mi.Bitmap(image), "raw": True, "wrap_mode": "clamp"}


@pytest.mark.parametrize("to_world", [EYE, POSE, MIRRORED, POSE @ np.diag([2, 3, 0.5, 1])])
@pytest.mark.parametrize("textured", [False, True])
def test_spot_is_mitsubas(mi, to_world, textured):
    image = np.random.default_rng(1).random((5, 8, 3), np.float32)
    d = {"type": "spot", "intensity": dict(RGB), "cutoff_angle": 35.0, "beam_width": 20.0}
    if textured:
        d["texture"] = _bitmap(mi, image)
    light = spot(to_world, 35.0, 20.0, bitmap("t", image) if textured else None)
    _compare_samples(mi, light, _mitsuba_emitter(mi, d, to_world), _around(to_world))


@pytest.mark.parametrize("to_world", [EYE, POSE, MIRRORED])
def test_projector_is_mitsubas(mi, to_world):
    image = np.random.default_rng(1).random((5, 8, 3), np.float32)
    d = {"type": "projector", "irradiance": _bitmap(mi, image), "fov": 60.0, "scale": 2.0}
    light = projector(bitmap("i", image), to_world, 60.0, 2.0)
    _compare_samples(mi, light, _mitsuba_emitter(mi, d, to_world), _around(to_world))


def test_directional_light_is_mitsubas(mi):
    d = {"type": "directional", "irradiance": dict(RGB), "direction": [1.0, -2, 0.5]}
    _compare_samples(mi, directional([1, -2, 0.5]), _mitsuba_emitter(mi, d), _around(EYE, 50))
