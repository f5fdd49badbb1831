"""Lights: what `light.sample` draws, against the density it claims and the density that a ray's find gets.

Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

import numpy as np
import pytest
from helpers.light_scenes import Lights, emitter, mesh, shape

from prb.device.lights import EVEN_PART, alias_table
from prb.scene.model import Emitter, Texture

P_MIN = 1e-4

TRIANGLE = mesh([[-1, -1, 0], [1.5, -0.5, 0.2], [0, 1, -0.3]], [[0, 1, 2]])
FAN = mesh([[0, 0, 0], [1, 0, 0.2], [0.7, 1, 0], [-0.5, 1.2, 0.4], [-1, 0, 0], [-1, -0.3, 0.1]],
            [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]])  # fmt: skip

# name -> shape, point from which its bright side is seen
SURFACES = {
    "triangle": (TRIANGLE, (0.3, 0.2, 1.5)),
    "triangle, grazing": (TRIANGLE, (3, 0.2, 1)),
    "mesh": (FAN, (0.2, -0.1, 2)),
    "parallelogram": (shape("rectangle", scale=(1, 0.5, 1)), (0.5, 0, 1)),
    "parallelogram, close": (shape("rectangle"), (0.3, -0.2, 0.2)),
    "parallelogram, flipped": (shape("rectangle", flip=True), (0.3, -0.2, -1)),
    "disk": (shape("disk", scale=(1, 0.4, 1)), (1, 0, 1)),
    "sphere": (shape("sphere"), (0.5, -2, 1)),
    "sphere, close": (shape("sphere", scale=2), (0, 0, 2.1)),
    "sphere, far": (shape("sphere", scale=0.1, shift=(5, 0, 0)), (0, 1, 0)),
    "sphere, at its surface": (shape("sphere"), (0, 0.6 * 1.0002, 0.8 * 1.0002)),
    "sphere, from inside": (shape("sphere", flip=True), (0.3, -0.5, 0.1)),
    "sphere, from its centre": (shape("sphere", flip=True, scale=3), (0, 0, 0)),
    "cube": (shape("cube", scale=0.5), (1.5, 0.2, 0.1)),
    "cylinder": (shape("cylinder", scale=(0.5, 0.5, 2)), (1.5, 0.2, 0.1)),
    "cylinder, from inside": (shape("cylinder", flip=True), (0.2, 0.1, 0.6)),
}


@pytest.fixture(scope="module", params=SURFACES)
def surface(request):
    shape, ref = SURFACES[request.param]
    lights = Lights([shape])
    return request.param, lights, ref, lights.sample(ref, 2**16)


def test_samples_lie_on_the_light_and_have_its_density(surface):
    name, lights, ref, s = surface
    used = s.pdf > 0
    assert used.mean() > (0.15 if name in ("cube", "cylinder") else 0.999)
    np.testing.assert_allclose(np.linalg.norm(s.d, axis=1), 1, atol=1e-6)
    assert np.all(s.delta == 0) and np.all(s.scale == 1) and np.all(s.emitter == 0)
    hit = used & (s.entry >= 0)
    assert hit.sum() > 0.999 * used.sum()  # the others pass by an edge within rounding
    same = np.abs(s.t - s.distance) < 1e-3 * s.distance
    near = "surface" in name or "close" in name or "cylinder" in name  # a ray may graze it
    tolerance = 0.02 if near else 2e-3
    assert np.mean(same[hit]) > (0.97 if "surface" in name else 0.999)
    agree = np.abs(s.pdf - s.hit_pdf) < tolerance * s.pdf
    assert np.mean(agree[hit & same]) > 0.999
    assert np.all(s.cosine[hit & same & agree] > 0)


def _cap(axis, cos_min, rows, columns):
    """Directions in the middle of equal cells of a cap, (rows * columns, 3), and a cell's solid angle."""
    z = 1 - (1 - cos_min) * (np.arange(rows) + 0.5) / rows
    phi = 2 * np.pi * (np.arange(columns) + 0.5) / columns
    z, phi = (a.ravel() for a in np.meshgrid(z, phi, indexing="ij"))
    r = np.sqrt(1 - z * z)
    return np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1) @ axis, 2 * np.pi * (1 - cos_min) / len(z)


def test_directions_follow_the_density(chi_squared, surface):
    """The density of hits integrates to one, and to each bin's share of the samples."""
    name, lights, ref, s = surface
    used = s.pdf > 0
    middle = s.d[used].mean(axis=0)
    middle /= np.linalg.norm(middle)
    axis = np.linalg.svd(middle[None])[2]  # rows: a frame with the middle last
    axis = np.stack([axis[1], axis[2], middle])
    local = s.d[used] @ axis.T
    cos_min = -1.0 if "inside" in name or "centre" in name else max(-1, 2 * local[:, 2].min() - 1)
    rows, columns, fine = 12, 24, 40
    directions, solid_angle = _cap(axis, cos_min, rows * fine, columns * fine)
    found = lights.along(ref, directions)
    density = np.where((found.entry >= 0) & (found.cosine > 0), found.hit_pdf, 0)
    share = (density * solid_angle).reshape(rows, fine, columns, fine).sum(axis=(1, 3))
    visible = used.mean()  # the rest of the samples is on the dark side
    assert share.sum() == pytest.approx(visible, abs=0.01)
    row = np.clip((1 - local[:, 2]) / (1 - cos_min) * rows, 0, rows - 1).astype(int)
    column = (np.arctan2(local[:, 1], local[:, 0]) / (2 * np.pi) % 1 * columns).astype(int) % columns
    counts = np.zeros(share.shape)
    np.add.at(counts, (row, column), 1)
    expected = share / share.sum() * counts.sum()
    counts[expected == 0] = 0  # an edge within a cell
    assert counts.sum() > 0.999 * used.sum()
    assert chi_squared(counts, expected) > P_MIN


@pytest.mark.parametrize(
    "name, ref",
    [("parallelogram", (0, 0, -1)), ("parallelogram", (3, 0, 0)), ("disk", (0.2, 0, -1)),
     ("triangle", (0, 0, -2)), ("sphere", (0.3, 0, 0)), ("sphere, from inside", (0, 0, 2))],
)  # fmt: skip
def test_the_dark_side_is_not_sampled(name, ref):
    assert np.all(Lights([SURFACES[name][0]]).sample(ref, 1000).pdf == 0)


@pytest.mark.parametrize(
    "kind, scale, ref",
    [("rectangle", (1, 0.5, 1), (0.5, 0, 1)), ("disk", (1, 0.4, 1), (1, 0, 1)), ("sphere", 1, (0.5, -2, 1)),
     ("cube", 0.5, (1.5, 0.2, 0.1)), ("cylinder", 1, (0.3, -2, 0.5)), ("mesh", 1, (0.2, -0.1, 2))],
)  # fmt: skip
def test_a_textured_light_emits_what_a_ray_sees(kind, scale, ref):
    """Texture coordinates, and so the radiance, are those of the hit; and they cover the texture."""
    texels = np.arange(1, 7, dtype=np.float32).reshape(2, 3, 1)
    texture = Texture("r", "bitmap", texels, wrap=("clamp", "clamp"))
    extra = {}
    if kind == "mesh":
        corners = np.array([[0.1, 0.2], [0.9, 0.2], [0.9, 0.8], [0.4, 0.9], [0.1, 0.5], [0, 0]], np.float32)
        extra = {"vertices": FAN.vertices, "faces": FAN.faces, "texcoords": corners}
    lights = Lights([shape(kind, scale=scale, light=Emitter("a", "area", {"radiance": texture}), **extra)])
    s = lights.sample(ref, 2**15)
    hit = (s.pdf > 0) & (s.entry >= 0) & (np.abs(s.t - s.distance) < 1e-3 * s.distance)
    assert hit.sum() > 0.98 * (s.pdf > 0).sum() > 2000
    apart = np.abs(s.uv - s.hit_uv)[hit]
    apart[:, 0] = np.minimum(apart[:, 0], 1 - apart[:, 0])
    assert np.mean(apart.max(axis=1) < 2e-3) > 0.999
    np.testing.assert_allclose(np.median(np.abs(s.radiance - s.hit_radiance)[hit]), 0, atol=1e-4)
    assert np.ptp(s.uv[hit], axis=0).min() > 0.3


def test_environment_is_uniform(chi_squared):
    lights = Lights([shape("sphere", light=False, shift=(9, 0, 0))], [emitter("constant")])
    s = lights.sample((0, 0, 0), 2**16)
    np.testing.assert_allclose(s.pdf, 0.25 / np.pi, rtol=1e-6)
    np.testing.assert_allclose(s.environment_pdf, s.pdf, rtol=1e-6)
    assert np.all(s.delta == 0) and np.all(s.scale == 1) and s.distance.min() > 1e15
    phi = np.arctan2(s.d[:, 1], s.d[:, 0])
    counts, _, _ = np.histogram2d(s.d[:, 2], phi, 24, ((-1, 1), (-np.pi, np.pi)))
    assert chi_squared(counts, np.full(counts.shape, len(phi) / counts.size)) > P_MIN


def test_a_point_is_one_direction():
    position, ref = np.array([1.0, 2, 3]), np.array([-1.0, 0.5, 2])
    s = Lights([], [emitter("point", position=position)]).sample(ref, 100)
    distance = np.linalg.norm(position - ref)
    np.testing.assert_allclose(s.d, np.tile((position - ref) / distance, (100, 1)), atol=1e-6)
    np.testing.assert_allclose(s.distance, distance, rtol=1e-6)
    np.testing.assert_allclose(s.scale, distance**-2, rtol=1e-6)
    assert np.all(s.pdf == 1) and np.all(s.delta == 1)
    at_it = Lights([], [emitter("point", position=position)]).sample(position, 100)
    assert np.all(at_it.pdf == 0)


# Which light


def _many():
    return Lights(
        [shape("rectangle", light=emitter(radiance=3.0)), shape("sphere", light=False, shift=(0, 0, 9)),
         mesh(FAN.vertices + [0, 0, 3.0], FAN.faces, light=emitter(radiance=0.5), flip=True),
         shape("sphere", scale=0.3, shift=(3, 0, 0), light=emitter(radiance=2.0)),
         shape("cube", scale=0.1, shift=(0, -3, 1), light=emitter(radiance=0.0))],
        [emitter("constant", 0.1), emitter("point", 5.0, np.array([0, 3.0, 1]))],
    )  # fmt: skip


def test_lights_are_chosen_as_the_table_says(chi_squared):
    lights = _many()
    n = 2**17
    s = lights.sample((0.2, 0.1, 1.5), n)
    rows = lights.layout.arrays["lights"]
    kinds = lights.layout.arrays["emitters"][:, 0]
    share = np.bincount(rows[:, 1], lights.pdf[:, 1], len(kinds))
    assert share.sum() == pytest.approx(1, abs=1e-6)
    assert chi_squared(np.bincount(s.emitter.astype(int), minlength=len(kinds)), n * share) > P_MIN
    single = np.array([np.sum(rows[:, 1] == i) == 1 for i in range(len(kinds))])[s.emitter.astype(int)]
    point = s.delta == 1
    assert single.any() and point.any()
    np.testing.assert_allclose(s.pdf[point], share[s.emitter[point].astype(int)], rtol=1e-5)
    # where the ray meets the primitive that was sampled, its find has the same density
    direct = (s.entry >= 0) & (s.pdf > 0) & (np.abs(s.t - s.distance) < 1e-3 * s.distance)
    assert direct.mean() > 0.2
    assert np.mean(np.abs(s.pdf - s.hit_pdf)[direct] < 2e-3 * s.pdf[direct]) > 0.999


def test_entries_of_the_table_belong_to_each_other():
    arrays = _many().layout.arrays
    for entry, (slot, index, _, _) in enumerate(arrays["lights"]):
        if slot >= 0:
            assert arrays["prim_light"][slot] == entry
            assert arrays["shapes"][arrays["prim_info"][slot, 1], 1] == index
    emitting = arrays["shapes"][arrays["prim_info"][:, 1], 1] >= 0
    assert np.all(arrays["prim_light"][~emitting] == -1)
    assert (arrays["lights"][:, 0] >= 0).sum() == 1 + len(FAN.faces) + 1 + 6


def test_probability_follows_area_within_a_light_and_power_between_lights():
    lights = Lights([FAN, shape("rectangle", scale=(2, 1, 1), light=emitter(radiance=3.0))])
    v = FAN.vertices[FAN.faces].astype(float)
    area = 0.5 * np.linalg.norm(np.cross(v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]), axis=1)
    fan, rectangle = lights.pdf[:-1], lights.pdf[-1]
    np.testing.assert_allclose(fan[:, 2], area, rtol=1e-6)
    np.testing.assert_allclose(fan[:, 1] / fan[:, 1].sum(), area / area.sum(), rtol=1e-6)
    assert rectangle[2] == pytest.approx(8)
    power = np.array([area.sum(), 3 * 8])
    expected = 0.5 * EVEN_PART + (1 - EVEN_PART) * power / power.sum()
    np.testing.assert_allclose([fan[:, 1].sum(), rectangle[1]], expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["area", "constant", "point"])
@pytest.mark.parametrize("others", [0, 1, 4])
def test_a_light_of_zero_radiance_is_sampled(kind, others):
    shapes = [shape("rectangle", shift=(0, 0, i), light=emitter(radiance=100.0)) for i in range(others)]
    dark = emitter(kind, 0.0, np.array([0, 0, -1.0]))
    if kind == "area":
        shapes.append(shape("sphere", light=dark, shift=(0, 0, -5)))
    lights = Lights(shapes, [] if kind == "area" else [dark])
    chance = lights.pdf[-1, 1]
    assert 1 >= chance >= EVEN_PART / (others + 1) * (1 - 1e-6)
    s = lights.sample((0.1, 0.2, -2.0), 2**14)
    chosen = s.emitter == lights.layout.arrays["lights"][-1, 1]
    assert np.mean(chosen & (s.pdf > 0)) == pytest.approx(chance, abs=4 * np.sqrt(0.25 / 2**14))


def test_sampling_weights():
    lights = Lights([], [emitter("point", 0.0, np.zeros(3), weight=w) for w in (1.0, 3.0, 0.0)])
    np.testing.assert_allclose(lights.pdf[:, 1], [0.25, 0.75, 0])
    assert set(lights.sample((1, 0, 0), 4096).emitter) == {0, 1}
    lights = Lights([], [emitter("point", 2.0, np.zeros(3), weight=w) for w in (1.0, 3.0)])
    np.testing.assert_allclose(lights.pdf[:, 1], [0.25, 0.75])


@pytest.mark.parametrize(
    "weights",
    [[1], [1, 1], [1, 2, 3, 4], [0, 1], [1, 0, 0, 5], [1e-12, 1], np.arange(1000) % 7,
     np.logspace(-9, 9, 100), np.random.default_rng(2).random(997), np.full(10, 0.1)],
)  # fmt: skip
def test_alias_table_is_exact(weights):
    probability = np.asarray(weights, float) / np.sum(weights)
    threshold, alias = alias_table(probability)
    assert threshold.min() >= 0 and threshold.max() <= 1
    n = len(probability)
    got = (threshold + np.bincount(alias, 1 - threshold, n)) / n
    np.testing.assert_allclose(got, probability, rtol=1e-12, atol=1e-14)
    assert not np.any(got[probability == 0])
