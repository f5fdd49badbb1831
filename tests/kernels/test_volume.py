"""Lookups in volumes: Mitsuba's values, tangents, transposes, Taichi's own reverse mode."""

from functools import partial

import numpy as np
import pytest
from helpers.media import constant, grid, medium, scene_of

from prb.device.arrays import upload, zeros
from prb.kernels import volume
from prb.kernels.arrays import SceneArrays, vec3f, vec6f
from prb.kernels.backend import ti
from prb.kernels.gradient import GradientBlock
from prb.kernels.interpolation import LUMINANCE
from prb.kernels.view import Execution, SceneView
from prb.scene.model import Phase

EXECUTION = Execution()
TURNED = np.array([[1.2, -0.5, 0.1, 0.3], [0.4, 0.9, 0.3, -0.2], [0.1, 0.2, 2.1, 0.5], [0, 0, 0, 1]])
COLOUR, NUMBER, PAIR = range(3)
Points = ti.types.ndarray(vec3f, 1)
Numbers = ti.types.ndarray(ti.f32, 1)


@ti.kernel
def _fetch(
    features: ti.template(), what: ti.template(), index: ti.i32, arrays: SceneArrays, buffer: Numbers,
    points: Points, out: ti.types.ndarray(vec6f, 1),
):  # fmt: skip
    for i in range(points.shape[0]):
        scene = SceneView(features, EXECUTION, arrays)
        a, b = ti.Vector([0.0, 0.0, 0.0]), ti.Vector([0.0, 0.0, 0.0])
        if ti.static(what == COLOUR):
            a = volume.fetch(scene, buffer, index, points[i])
        elif ti.static(what == NUMBER):
            a.x = volume.fetch_number(scene, buffer, index, points[i])
        else:
            a, b = volume.fetch_pair(scene, buffer, index, points[i])
        out[i] = vec6f(a.x, a.y, a.z, b.x, b.y, b.z)


@ti.kernel
def _scatter(
    features: ti.template(), what: ti.template(), index: ti.i32, size: ti.i32, arrays: SceneArrays,
    gradient: Numbers, points: Points, grads: ti.types.ndarray(vec6f, 1),
):  # fmt: skip
    for i in range(points.shape[0]):
        scene = SceneView(features, EXECUTION, arrays)
        block = GradientBlock(EXECUTION, gradient, 0, size, 1.0)
        g = grads[i]
        a, b = ti.Vector([g[0], g[1], g[2]]), ti.Vector([g[3], g[4], g[5]])
        if ti.static(what == COLOUR):
            volume.scatter(scene, block, index, points[i], a)
        elif ti.static(what == NUMBER):
            volume.scatter_number(scene, block, index, points[i], a.x)
        else:
            volume.scatter_pair(scene, block, index, points[i], a, b)


@ti.kernel
def _loss(
    features: ti.template(), what: ti.template(), index: ti.i32, arrays: SceneArrays, buffer: Numbers,
    points: Points, grads: ti.types.ndarray(vec6f, 1), loss: Numbers,
):  # fmt: skip
    for i in range(points.shape[0]):
        found = 0.0
        if index >= 0:  # outside of conditions Taichi 1.7.4 does not set cotangents of local vectors to zero
            scene = SceneView(features, EXECUTION, arrays, 0.0, None, buffer, 0)
            g = grads[i]
            a, b = ti.Vector([0.0, 0.0, 0.0]), ti.Vector([0.0, 0.0, 0.0])
            if ti.static(what == COLOUR):
                a = volume.fetch(scene, scene.params, index, points[i])
            elif ti.static(what == NUMBER):
                a.x = volume.fetch_number(scene, scene.params, index, points[i])
            else:
                a, b = volume.fetch_pair(scene, scene.params, index, points[i])
            found = g[0] * a.x + g[1] * a.y + g[2] * a.z + g[3] * b.x + g[4] * b.y + g[5] * b.z
        loss[0] += found


class Lookups:
    """Lookups of the volume of one key of a medium, or of its phase function's S."""

    def __init__(self, made, key="albedo"):
        self.what = {"albedo": COLOUR, "sigma_t": NUMBER, "S": PAIR}[key]
        sggx = Phase("fog.phase_function", "sggx", {"S": made})
        fog = medium(phase=sggx) if key == "S" else medium(**{key: made})
        self.scene = scene_of(fog)
        self.record = self.scene.layout.parameters[made.name]
        rows = self.scene.layout.arrays["volumes"]
        (self.index,) = np.flatnonzero(rows[:, volume.OFFSET] == self.record.offset)
        self.arguments = self.scene.device_arrays()[0]
        self.channels = {COLOUR: 3, NUMBER: 1, PAIR: 6}[self.what]

    def fetch(self, points, buffer=None):
        buffer = self.scene.values if buffer is None else np.float32(buffer)
        out = zeros(len(points), vec6f)
        features = self.scene.layout.features
        _fetch(features, self.what, self.index, self.arguments, upload(buffer), upload(points, vec3f), out)
        return out.to_numpy()[:, : self.channels]

    def _grads(self, grads):
        return upload(np.pad(grads, ((0, 0), (0, 6 - self.channels))).astype(np.float32), vec6f)

    def scatter(self, points, grads, size=None):
        size = self.scene.values.size if size is None else size
        gradient, features = zeros(self.scene.values.size), self.scene.layout.features
        grads, points = self._grads(grads), upload(points, vec3f)
        _scatter(features, self.what, self.index, size, self.arguments, gradient, points, grads)
        return gradient.to_numpy()

    def tape(self, points, grads):
        buffer = ti.ndarray(ti.f32, self.scene.values.size, needs_grad=True)
        loss = ti.ndarray(ti.f32, 1, needs_grad=True)
        buffer.from_numpy(self.scene.values)
        loss.fill(0)
        loss.grad.fill(1)
        buffer.grad.fill(0)
        grads, points = self._grads(grads), upload(points, vec3f)
        arguments = (self.scene.layout.features, self.what, self.index, self.arguments, buffer, points, grads)
        _loss.grad(*arguments, loss)
        return buffer.grad.to_numpy()


def points_around(n, seed=0, matrix=TURNED):
    """Inside the unit cube under the matrix and around it."""
    unit = np.random.default_rng(seed).uniform(-1.3, 2.3, (n, 3))
    unit[: n // 2] = (unit[: n // 2] + 1.3) / 3.6
    return np.float32(unit @ matrix[:3, :3].T + matrix[:3, 3])


def random_grid(shape, name="fog.albedo.data", seed=1, **fields):
    value = np.random.default_rng(seed).uniform(0.1, 1, shape)
    return grid(name, value, to_world=TURNED, **fields)


KINDS = {  # key of the medium, volume
    "grey": ("albedo", partial(random_grid, (4, 3, 5, 1))),
    "colour": ("albedo", partial(random_grid, (4, 3, 5, 3))),
    "one voxel": ("albedo", partial(random_grid, (1, 1, 1, 3))),
    "nearest": ("albedo", partial(random_grid, (4, 3, 5, 3), filter="nearest")),
    "repeat": ("albedo", partial(random_grid, (4, 3, 5, 1), wrap="repeat")),
    "mirror": ("albedo", partial(random_grid, (4, 3, 5, 1), wrap="mirror")),
    "number": ("sigma_t", partial(random_grid, (4, 3, 5, 1))),
    "luminance": ("sigma_t", partial(random_grid, (4, 3, 5, 3))),
    "pair": ("S", partial(random_grid, (4, 3, 5, 6))),
    "constant grey": ("albedo", partial(constant, "a", 0.4)),
    "constant colour": ("albedo", partial(constant, "a", [0.4, 0.2, 0.7])),
    "constant luminance": ("sigma_t", partial(constant, "a", [0.4, 0.2, 0.7])),
    "constant pair": ("S", partial(constant, "a", [1, 2, 3, 0.1, 0.2, 0.3])),
}


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


@pytest.mark.parametrize("filter", ["trilinear", "nearest"])
@pytest.mark.parametrize("wrap", ["clamp", "repeat", "mirror"])
@pytest.mark.parametrize("channels", [1, 3, 6])
def test_values_are_those_of_mitsuba(mi, filter, wrap, channels):
    made = random_grid((4, 3, 5, channels), filter=filter, wrap=wrap)
    points = points_around(400)
    theirs = mi.load_dict(
        {"type": "gridvolume", "grid": mi.VolumeGrid(made.value), "filter_type": filter, "wrap_mode": wrap,
         "raw": True, "to_world": mi.ScalarTransform4f(TURNED)}
    )  # fmt: skip
    expected = []
    for p in points.tolist():
        it = mi.Interaction3f()
        it.p = p
        expected.append(
            list(theirs.eval_6(it)) if channels == 6 else
            [theirs.eval_1(it)] if channels == 1 else list(theirs.eval_3(it))
        )  # fmt: skip
    found = Lookups(made, "S" if channels == 6 else "albedo").fetch(points)[:, :channels]
    wrong = np.abs(found - expected).max(axis=1) > 2e-5
    assert wrong.mean() <= (0.005 if filter == "nearest" else 0)  # a point on the border of two voxels


def test_numbers_are_luminances():
    made = random_grid((4, 3, 5, 3), "fog.sigma_t.data")
    points = points_around(200)
    colours = Lookups(random_grid((4, 3, 5, 3))).fetch(points)
    found = Lookups(made, "sigma_t").fetch(points)[:, 0]
    np.testing.assert_allclose(found, colours @ np.array(LUMINANCE, np.float32), rtol=1e-5)


def test_constants():
    points = points_around(3)
    np.testing.assert_array_equal(Lookups(constant("a", 0.4)).fetch(points), np.full((3, 3), np.float32(0.4)))
    rgb = np.float32([0.4, 0.2, 0.7])
    np.testing.assert_array_equal(Lookups(constant("a", rgb)).fetch(points), [rgb] * 3)
    S = np.float32([1, 2, 3, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(Lookups(constant("S", S), "S").fetch(points), [S] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_scatter_is_the_transpose_of_fetch(kind):
    """<grad, fetch(tangents)> = <scatter(grad), tangents>, and so it is for Taichi's own reverse mode."""
    key, make = KINDS[kind]
    lookups = Lookups(make(), key)
    points = points_around(100, 2)
    rng = np.random.default_rng(3)
    tangents = rng.standard_normal(lookups.scene.values.size)
    grads = rng.standard_normal((len(points), lookups.channels))
    gradient = lookups.scatter(points, grads)
    one = (grads * lookups.fetch(points, tangents)).sum()
    scale = np.abs(gradient) @ np.abs(tangents)
    assert abs(one - gradient @ tangents) < 1e-5 * scale
    np.testing.assert_allclose(lookups.tape(points, grads), gradient, atol=1e-4)
    own = lookups.record.of(gradient)
    assert np.count_nonzero(gradient) == np.count_nonzero(own) > 0


@pytest.mark.parametrize("kind", ["grey", "pair", "constant grey", "constant pair"])
def test_a_gradient_may_omit_a_volume(kind):
    key, make = KINDS[kind]
    lookups = Lookups(make(), key)
    points = points_around(10)
    grads = np.ones((10, lookups.channels))
    assert not lookups.scatter(points, grads, lookups.record.offset).any()
    assert lookups.scatter(points, grads, lookups.record.offset + 1).any()


@pytest.mark.parametrize("wrap", ["clamp", "repeat", "mirror"])
def test_points_without_meaning_read_nothing_else(wrap):
    """Infinite coordinates, and those that are NaN, stay inside the grid."""
    points = np.float32([[np.nan] * 3, [np.inf, 0, 0], [-np.inf] * 3, [1e30, -1e30, 3e38]])
    lookups = Lookups(random_grid((4, 3, 5, 1), wrap=wrap))
    found = lookups.fetch(points)
    assert found.shape == (4, 3)
    lookups.scatter(points, np.ones((4, 3)))
