"""Lights: what `light.sample` draws, against the density it claims and the density that a ray's find gets.

Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import taichi as ti

from prb.device import _ELEMENTS, upload
from prb.kernels import bvh, light, view
from prb.kernels.shape import interact
from prb.kernels.view import WIDTH, SceneView, Stack, vec3f, vec4f, vec4i, vec12f, vec16f
from prb.layout import alias_table, lay_out
from prb.scene.model import Bsdf, Emitter, Integrator, SceneModel, Shape, Texture

P_MIN = 1e-4
ARRAYS = ("nodes", "children", "packets", "prims", "prim_info", "prim_light", "normals", "shapes", "bsdfs",
          "textures", "emitters", "emitter_data", "lights", "light_pdf")  # fmt: skip


@ti.kernel
def _sample(
    features: ti.template(), sampling: ti.i32, environment: ti.i32,
    nodes: ti.types.ndarray(view.wide_f32, 2), children: ti.types.ndarray(view.wide_i32, 1),
    packets: ti.types.ndarray(view.wide_f32, 2), prims: ti.types.ndarray(vec12f, 1),
    prim_info: ti.types.ndarray(vec4i, 1), prim_light: ti.types.ndarray(ti.i32, 1),
    normals: ti.types.ndarray(vec3f, 1), shapes: ti.types.ndarray(vec4i, 1),
    bsdfs: ti.types.ndarray(ti.i32, 2),
    textures: ti.types.ndarray(vec4i, 1), emitters: ti.types.ndarray(vec4i, 1),
    emitter_data: ti.types.ndarray(vec4f, 1), lights: ti.types.ndarray(vec4i, 1),
    light_pdf: ti.types.ndarray(vec4f, 1),
    refs: ti.types.ndarray(vec3f, 1), x: ti.types.ndarray(vec4f, 1), out: ti.types.ndarray(vec16f, 1),
):  # fmt: skip
    """x: four random numbers when sampling, else directions whose density is asked for."""
    for i in range(refs.shape[0]):
        scene = SceneView(
            nodes, children, packets, prims, prim_info, prim_light, normals,
            shapes, bsdfs, textures, emitters, emitter_data, lights, light_pdf, 0,
        )  # fmt: skip
        stack_node = ti.Vector([0] * features.stack, dt=ti.i32)
        stack_near = ti.Vector([0.0] * features.stack, dt=ti.f32)
        lane_t = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_u = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_v = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        stack = Stack(stack_node, stack_near, lane_t, lane_u, lane_v)
        ref = refs[i]
        index, s = light.sample(features, scene, ref, ti.select(sampling == 1, x[i], 0.0), x[i][3])
        if sampling == 0:
            s.d = ti.Vector([x[i][0], x[i][1], x[i][2]])
        slot, t, u, v = bvh.trace(features, scene, stack, ref, s.d, 1e30, 0)
        found = 0.0
        cosine = 0.0
        entry = -1
        if slot >= 0:
            si = interact(features, scene, slot, t, u, v, ref, s.d)
            cosine = -si.ng.dot(s.d)
            entry = prim_light[slot]
            if entry >= 0:
                found = light.hit_pdf(features, scene, slot, ref, si.p, si.ng)
        surroundings = 0.0
        if environment >= 0:
            surroundings = light.environment_pdf(features, scene, environment)
        out[i] = vec16f(
            s.d.x, s.d.y, s.d.z, s.distance, s.pdf, s.scale, ti.f32(s.delta), ti.f32(index),
            ti.f32(entry), t, found, cosine, surroundings, 0, 0, 0,
        )  # fmt: skip


@dataclass
class Found:
    """d, distance, pdf, scale, delta, emitter: what was sampled. entry, t, hit_pdf, cosine: of the light's
    primitive that a ray along d meets (entry -1: none). environment_pdf: density if it meets nothing."""

    d: np.ndarray
    distance: np.ndarray
    pdf: np.ndarray
    scale: np.ndarray
    delta: np.ndarray
    emitter: np.ndarray
    entry: np.ndarray
    t: np.ndarray
    hit_pdf: np.ndarray
    cosine: np.ndarray
    environment_pdf: np.ndarray


class Lights:
    """A scene of lights on the device. All scenes of this file share one kernel."""

    def __init__(self, shapes, emitters=()):
        self.layout = lay_out(SceneModel(shapes, list(emitters), [], Integrator()))
        self.pdf = self.layout.arrays["light_pdf"].astype(float)
        assert self.layout.features.stack <= 64
        self.features = replace(self.layout.features, bsdfs=(), twosided=False, stack=64,
                                emitters=("area", "constant", "point"), spheres=True, disks=True)  # fmt: skip

    def _run(self, sampling, ref, x):
        x = np.pad(x, ((0, 0), (0, 4 - x.shape[1]))).astype(np.float32)
        out = upload(np.zeros((len(x), 16), np.float32), vec16f)
        arrays = [upload(self.layout.arrays[name], _ELEMENTS.get(name)) for name in ARRAYS]
        refs = upload(np.broadcast_to(np.asarray(ref, np.float32), (len(x), 3)), vec3f)
        _sample(self.features, sampling, self.layout.environment, *arrays, refs, upload(x, vec4f), out)
        columns = out.to_numpy().astype(float).T
        return Found(columns[:3].T, *columns[3:13])

    def sample(self, ref, n, seed=1):
        return self._run(1, ref, np.random.default_rng(seed).integers(0, 2**24, (n, 4)) / 2**24)

    def along(self, ref, directions):
        return self._run(0, ref, directions)


def emitter(kind="area", radiance=1.0, position=None, weight=1.0):
    key = "intensity" if kind == "point" else "radiance"
    texture = Texture(key, "rgb", np.full(3, radiance, np.float32))
    return Emitter(kind, kind, {key: texture}, position, weight)


def shape(kind, *, scale=(1, 1, 1), shift=(0, 0, 0), light=True, flip=False, **mesh):
    m = np.diag([*np.broadcast_to(scale, 3), 1.0]).astype(float)
    m[:3, 3] = shift
    grey = Bsdf("grey", "diffuse", {"reflectance": Texture("r", "rgb", np.full(3, 0.5, np.float32))})
    return Shape(kind, kind, grey, emitter() if light is True else light or None, m, flip, **mesh)


def _mesh(vertices, faces, **options):
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    return shape("mesh", vertices=vertices, faces=faces, **options)


TRIANGLE = _mesh([[-1, -1, 0], [1.5, -0.5, 0.2], [0, 1, -0.3]], [[0, 1, 2]])
FAN = _mesh([[0, 0, 0], [1, 0, 0.2], [0.7, 1, 0], [-0.5, 1.2, 0.4], [-1, 0, 0], [-1, -0.3, 0.1]],
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
}


@pytest.fixture(scope="module", params=SURFACES)
def surface(request):
    shape, ref = SURFACES[request.param]
    lights = Lights([shape])
    return request.param, lights, ref, lights.sample(ref, 2**16)


def test_samples_lie_on_the_light_and_have_its_density(surface):
    name, lights, ref, s = surface
    used = s.pdf > 0
    assert used.mean() > (0.15 if name == "cube" else 0.999)
    np.testing.assert_allclose(np.linalg.norm(s.d, axis=1), 1, atol=1e-6)
    assert np.all(s.delta == 0) and np.all(s.scale == 1) and np.all(s.emitter == 0)
    hit = used & (s.entry >= 0)
    assert hit.sum() > 0.999 * used.sum()  # the others pass by an edge within rounding
    same = np.abs(s.t - s.distance) < 1e-3 * s.distance
    tolerance = 0.02 if "surface" in name or "close" in name else 2e-3
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
         _mesh(FAN.vertices + [0, 0, 3.0], FAN.faces, light=emitter(radiance=0.5), flip=True),
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
    np.testing.assert_allclose([fan[:, 1].sum(), rectangle[1]], 0.25 + 0.5 * power / power.sum(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["area", "constant", "point"])
@pytest.mark.parametrize("others", [0, 1, 4])
def test_a_light_of_zero_radiance_is_sampled(kind, others):
    shapes = [shape("rectangle", shift=(0, 0, i), light=emitter(radiance=100.0)) for i in range(others)]
    dark = emitter(kind, 0.0, np.array([0, 0, -1.0]))
    if kind == "area":
        shapes.append(shape("sphere", light=dark, shift=(0, 0, -5)))
    lights = Lights(shapes, [] if kind == "area" else [dark])
    chance = lights.pdf[-1, 1]
    assert 1 >= chance >= 0.5 / (others + 1) * (1 - 1e-6)
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
