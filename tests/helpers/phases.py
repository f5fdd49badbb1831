"""Phase functions as NumPy functions, for tests: single models, and the dispatcher over small arrays."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from prb.kernels import gradient, phase, scattering, traced, volume
from prb.kernels.arrays import vec8i, vec12f
from prb.kernels.backend import ti
from prb.kernels.medium import MEDIUM_COLUMNS, PHASE, PHASES
from prb.kernels.view import Execution, Features

Rows = ti.types.ndarray(ndim=2)  # of float32 or float64
Numbers = ti.types.ndarray(ti.f32, ndim=1)
Columns = ti.types.ndarray(ti.i32, ndim=2)
Volumes = ti.types.ndarray(vec8i, ndim=1)
ToUnit = ti.types.ndarray(vec12f, ndim=1)
WIDTHS = {phase.NOTHING: 0, phase.NUMBER: 1, phase.PAIR: 6}

# ---------------------------------------------------------------------------------------------------
# Models, in the precision of the arrays
# ---------------------------------------------------------------------------------------------------


@ti.func
def _vector(x: ti.template(), i, at: ti.template()):
    return ti.Vector([x[i, at], x[i, at + 1], x[i, at + 2]])


@ti.func
def _numbers(name: ti.template(), p: ti.template(), i):
    if ti.static(phase.reads(name) == phase.NUMBER):
        return [p[i, 0]]
    elif ti.static(phase.reads(name) == phase.PAIR):
        return [_vector(p, i, 0), _vector(p, i, 3)]
    else:
        return []


@ti.kernel
def _eval(name: ti.template(), p: Rows, wi: Rows, wo: Rows, out: Rows):
    for i in range(wi.shape[0]):
        function = ti.static(phase.of(name).eval)
        out[i, 0] = traced.value(function, _numbers(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))


@ti.kernel
def _pdf(name: ti.template(), p: Rows, wi: Rows, wo: Rows, out: Rows):
    for i in range(wi.shape[0]):
        function = ti.static(phase.of(name).pdf)
        out[i, 0] = traced.value(function, _numbers(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))


@ti.kernel
def _sample(name: ti.template(), p: Rows, wi: Rows, u: Rows, out: Rows):
    for i in range(wi.shape[0]):
        random = ti.Vector([u[i, 0], u[i, 1]])
        wo, density = traced.value(phase.of(name).sample, _numbers(name, p, i), _vector(wi, i, 0), random)
        for k in ti.static(range(3)):
            out[i, k] = wo[k]
        out[i, 3] = density


@ti.kernel
def _vjp(name: ti.template(), p: Rows, wi: Rows, wo: Rows, df: Rows, out: Rows):
    """out: cotangents of the model's numbers, of wi and of wo."""
    for i in range(wi.shape[0]):
        arguments = (_numbers(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))
        _value, grads = traced.vjp(phase.of(name).eval, arguments, df[i, 0])
        if ti.static(phase.reads(name) == phase.NUMBER):
            out[i, 0] = grads[0][0]
        if ti.static(phase.reads(name) == phase.PAIR):
            for k in ti.static(range(6)):
                out[i, k] = grads[0][k // 3][k % 3]
        at = ti.static(width(name))
        for k in ti.static(range(3)):
            out[i, at + k] = grads[1][k]
            out[i, at + 3 + k] = grads[2][k]


@ti.kernel
def _jvp(name: ti.template(), p: Rows, wi: Rows, wo: Rows, dp: Rows, dwi: Rows, dwo: Rows, out: Rows):
    for i in range(wi.shape[0]):
        arguments = (_numbers(name, p, i), _vector(wi, i, 0), _vector(wo, i, 0))
        tangents = (_numbers(name, dp, i), _vector(dwi, i, 0), _vector(dwo, i, 0))
        _value, tangent = traced.jvp(phase.of(name).eval, arguments, tangents)
        out[i, 0] = tangent


@traced.traced
def width(name):
    """How many numbers the parameter of a model has."""
    return WIDTHS[phase.reads(name)]


def _rows(x, n, dtype):
    x = np.asarray(x, dtype)
    x = np.zeros((1, 1), dtype) if x.size == 0 else np.atleast_2d(x)  # Taichi has no arrays without columns
    return np.ascontiguousarray(np.broadcast_to(x, (n, x.shape[-1])))


def _count(*arrays):
    return max(len(np.atleast_2d(x)) for x in arrays)


def evaluate(name, p, wi, wo, dtype=float):
    """Values (n,) for one or n rows of numbers and of directions."""
    n = _count(p, wi, wo)
    out = np.zeros((n, 1), dtype)
    _eval(name, *(_rows(x, n, dtype) for x in (p, wi, wo)), out)
    return out[:, 0].astype(float)


def pdf(name, p, wi, wo, dtype=np.float32):
    n = _count(p, wi, wo)
    out = np.zeros((n, 1), dtype)
    _pdf(name, *(_rows(x, n, dtype) for x in (p, wi, wo)), out)
    return out[:, 0].astype(float)


def uniform(n, seed=1):
    """Random numbers as the kernels have them, (n, 4)."""
    return np.random.default_rng(seed).integers(0, 2**24, (n, 4)) / 2**24


def sample(name, p, wi, u, dtype=np.float32):
    """(wo, density) for each row of random numbers u."""
    out = np.zeros((len(u), 4), dtype)
    _sample(name, *(_rows(x, len(u), dtype) for x in (p, wi, u)), out)
    return out[:, :3].astype(float), out[:, 3].astype(float)


def vjp(name, p, wi, wo, df, dtype=float):
    """Cotangents of the numbers (n, width), of wi and of wo (n, 3)."""
    n, w = len(wo), width(name)
    out = np.zeros((n, w + 6), dtype)
    _vjp(name, *(_rows(x, n, dtype) for x in (p, wi, wo, np.reshape(df, (-1, 1)))), out)
    return out[:, :w], out[:, w : w + 3], out[:, w + 3 :]


def jvp(name, p, wi, wo, dp, dwi, dwo):
    """The tangents of the values (n,)."""
    n = len(wo)
    out = np.zeros((n, 1))
    _jvp(name, *(_rows(x, n, float) for x in (p, wi, wo, dp, dwi, dwo)), out)
    return out[:, 0]


def directions(n, seed):
    w = np.random.default_rng(seed).standard_normal((n, 3))
    return w / np.linalg.norm(w, axis=1, keepdims=True)


ROWS, COLUMNS, FINE = 24, 16, 12


class Sphere:
    """The sphere in cells that shrink towards the poles of an axis, for peaks there.

    points: directions in each cell, (n, 3), and solid_angle (n,): what they stand for.
    """

    def __init__(self, axis):
        x = np.geomspace(1e-7, 1, ROWS // 2 * FINE + 1)  # the distance of the cosine from 1 or -1
        x = (x - x[0]) / (1 - x[0])
        self.edges = np.concatenate([x - 1, 1 - x[-2::-1]])  # of the cosine
        self.z = np.asarray(axis, float)
        self.x = np.cross(self.z, [0.3, 0.5, 0.81])
        self.x /= np.linalg.norm(self.x)
        self.y = np.cross(self.z, self.x)
        nodes, weights = np.polynomial.legendre.leggauss(3)
        half, middle = np.diff(self.edges) / 2, (self.edges[1:] + self.edges[:-1]) / 2
        cosine = (middle[:, None] + half[:, None] * nodes).ravel()
        azimuth = 2 * np.pi * (np.arange(COLUMNS * FINE) + 0.5) / (COLUMNS * FINE)
        c, a = np.meshgrid(cosine, azimuth, indexing="ij")
        r = np.sqrt((1 - c) * (1 + c))
        local = np.stack([r * np.cos(a), r * np.sin(a), c], axis=-1).reshape(-1, 3)
        self.points = local @ np.stack([self.x, self.y, self.z])
        self.solid_angle = (
            np.repeat((half[:, None] * weights).ravel(), len(azimuth)) * 2 * np.pi / len(azimuth)
        )

    def expected(self, f):
        """The integrals over cells of a function that is given at the points."""
        return (f * self.solid_angle).reshape(ROWS, 3 * FINE, COLUMNS, FINE).sum(axis=(1, 3))

    def counts(self, w):
        """How many of the directions w, rounded as they may be, fall into each cell."""
        x, y, z = w @ self.x, w @ self.y, w @ self.z
        angle = np.arctan2(np.hypot(x, y), -z)  # from -1, growing with the cosine
        cells = np.pi - np.arccos(self.edges[::FINE]), np.linspace(0, 2 * np.pi, COLUMNS + 1)
        return np.histogram2d(angle, np.arctan2(y, x) % (2 * np.pi), cells)[0]


# ---------------------------------------------------------------------------------------------------
# The dispatcher, over arrays of one medium
# ---------------------------------------------------------------------------------------------------


class _Scene:
    """The part of a `SceneView` that phase functions read."""

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, features, execution, volumes, to_unit, media, phases, tables, params, min_selection):
        self.features, self.execution, self.min_selection = features, execution, min_selection
        self.volumes, self.to_unit, self.media = volumes, to_unit, media
        self.phases, self.phase_tables = phases, tables
        self.params = self.constant_params = params
        self.base = 0


@ti.kernel
def _scattering_sample(
    features: ti.template(), execution: ti.template(), volumes: Volumes, to_unit: ToUnit, media: Columns,
    phases: Columns, tables: Numbers, params: Numbers, min_selection: ti.f32,
    wi: Rows, wo_light: Rows, u: Rows, out: Rows,
):  # fmt: skip
    for i in range(wi.shape[0]):
        scene = _Scene(features, execution, volumes, to_unit, media, phases, tables, params, min_selection)
        random = ti.Vector([u[i, 0], u[i, 1], u[i, 2], u[i, 3]])
        p = ti.Vector([0.0, 0.0, 0.0])
        pdf_light, wo, density = scattering.sample(
            scene, 0, p, _vector(wi, i, 0), _vector(wo_light, i, 0), random
        )
        for k in ti.static(range(3)):
            out[i, k] = wo[k]
        out[i, 3] = density
        out[i, 4] = pdf_light


@ti.kernel
def _scattering_eval(
    features: ti.template(), execution: ti.template(), volumes: Volumes, to_unit: ToUnit, media: Columns,
    phases: Columns, tables: Numbers, params: Numbers, min_selection: ti.f32,
    wi: Rows, wo_light: Rows, wo: Rows, out: Rows,
):  # fmt: skip
    for i in range(wi.shape[0]):
        scene = _Scene(features, execution, volumes, to_unit, media, phases, tables, params, min_selection)
        p = ti.Vector([0.0, 0.0, 0.0])
        light, value = scattering.eval(
            scene, 0, p, _vector(wi, i, 0), _vector(wo_light, i, 0), _vector(wo, i, 0)
        )
        out[i, 0] = light
        out[i, 1] = value


@ti.kernel
def _scattering_pull_back(
    features: ti.template(), execution: ti.template(), volumes: Volumes, to_unit: ToUnit, media: Columns,
    phases: Columns, tables: Numbers, params: Numbers, min_selection: ti.f32,
    wi: Rows, wo_light: Rows, wo: Rows, grads: Rows, buffer: Numbers,
):  # fmt: skip
    for i in range(wi.shape[0]):
        scene = _Scene(features, execution, volumes, to_unit, media, phases, tables, params, min_selection)
        size = params.shape[0]
        block = gradient.GradientBlock(execution, buffer, i * size, size, 1.0)
        p = ti.Vector([0.0, 0.0, 0.0])
        scattering.pull_back(
            scene, block, 0, p, _vector(wi, i, 0), _vector(wo_light, i, 0), _vector(wo, i, 0),
            grads[i, 0], grads[i, 1],
        )  # fmt: skip


@ti.kernel
def _scattering_push_forward(
    features: ti.template(), execution: ti.template(), volumes: Volumes, to_unit: ToUnit, media: Columns,
    phases: Columns, tables: Numbers, params: Numbers, min_selection: ti.f32,
    wi: Rows, wo_light: Rows, wo: Rows, tangents: Numbers, out: Rows,
):  # fmt: skip
    for i in range(wi.shape[0]):
        scene = _Scene(features, execution, volumes, to_unit, media, phases, tables, params, min_selection)
        p = ti.Vector([0.0, 0.0, 0.0])
        dlight, dvalue = scattering.push_forward(
            scene, tangents, 0, p, _vector(wi, i, 0), _vector(wo_light, i, 0), _vector(wo, i, 0)
        )
        out[i, 0] = dlight
        out[i, 1] = dvalue


class Leaf(NamedTuple):
    """A leaf of a phase function: a model, its numbers, and pairs (number of a weight, it is 1 - t)."""

    name: str
    numbers: tuple = ()
    weights: tuple = ()


class Arrays(NamedTuple):
    """The arrays of a medium, and `params`: first the weights, then the numbers of each leaf."""

    features: Features
    volumes: np.ndarray
    to_unit: np.ndarray
    media: np.ndarray
    phases: np.ndarray
    tables: np.ndarray
    params: np.ndarray
    min_selection: float

    def call(self, kernel, *arguments, execution=None):
        volumes = ti.ndarray(vec8i, len(self.volumes))
        volumes.from_numpy(self.volumes)
        to_unit = ti.ndarray(vec12f, len(self.to_unit))
        to_unit.from_numpy(self.to_unit)
        kernel(
            self.features, execution or Execution(), volumes, to_unit, self.media, self.phases, self.tables,
            self.params, self.min_selection, *arguments,
        )  # fmt: skip


def arrays(leaves, weights=(), min_selection=0.0, *, names=None):
    """The arrays of one medium whose phase function has these leaves and weights (numbers)."""
    rows, params = [], []

    def number(values):
        values = np.atleast_1d(np.asarray(values, np.float32))
        row = np.zeros(volume.ROW, np.int32)
        row[[volume.KIND, volume.OFFSET, volume.CHANNELS]] = volume.CONSTANT, len(params), len(values)
        rows.append(row)
        params.extend(values)
        return len(rows) - 1

    for w in weights:
        number(w)
    table = np.full((len(leaves), scattering.PHASE_COLUMNS), -1, np.int32)
    nodes = []
    for row, leaf in zip(table, leaves, strict=True):
        row[scattering.KIND] = phase.KINDS[leaf.name]
        for i, (t, inverted) in enumerate(leaf.weights):
            row[scattering.WEIGHTS + i] = 2 * t + inverted
        if len(leaf.numbers):
            row[scattering.VOLUME] = number(leaf.numbers)
        if phase.reads(leaf.name) == phase.TABLE:
            row[scattering.TABLE] = len(nodes)
            nodes.extend(distribution(leaf.numbers))
    medium = np.full((1, MEDIUM_COLUMNS), -1, np.int32)
    medium[0, [PHASE, PHASES]] = 0, len(leaves)
    features = Features(
        bsdfs=(), emitters=(), textures=(), varying=(), factors=False, leaves=1, weights=0, frames=(),
        tangents=False, twosided=False, spheres=False, cylinders=False, disks=False, normals=False,
        hide_emitters=False, stack=2, media=True,
        phases=tuple(sorted(names or {leaf.name for leaf in leaves})), phase_leaves=len(leaves),
        phase_weights=max(len(leaf.weights) for leaf in leaves),
        phase_values=max(len(leaf.numbers) if leaf.name == "tabphase" else 0 for leaf in leaves),
    )  # fmt: skip
    return Arrays(
        features, np.array(rows or [np.zeros(volume.ROW)], np.int32),
        np.zeros((max(len(rows), 1), 12), np.float32),
        medium, table, np.array(nodes or [0], np.float32), np.array(params or [0], np.float32), min_selection,
    )  # fmt: skip


def distribution(values):
    """The normalised distribution function of a tabulated phase function at its nodes."""
    cells = np.convolve(np.asarray(values, float), [0.5, 0.5], "valid")
    return np.concatenate([[0.0], np.cumsum(cells) / cells.sum()])


def scattering_sample(a, wi, wo_light, u):
    """(density of wo_light, wo, its density)."""
    out = np.zeros((len(u), 5), np.float32)
    a.call(_scattering_sample, *(_rows(x, len(u), np.float32) for x in (wi, wo_light, u)), out)
    return out[:, 4].astype(float), out[:, :3].astype(float), out[:, 3].astype(float)


def scattering_eval(a, wi, wo_light, wo, execution=None):
    n = _count(wi, wo_light, wo)
    out = np.zeros((n, 2), np.float32)
    w = (_rows(x, n, np.float32) for x in (wi, wo_light, wo))
    a.call(_scattering_eval, *w, out, execution=execution)
    return out.astype(float).T


def scattering_pull_back(a, wi, wo_light, wo, grads):
    """The gradient for each row, (n, params)."""
    n = len(grads)
    out = np.zeros(n * len(a.params), np.float32)
    a.call(_scattering_pull_back, *(_rows(x, n, np.float32) for x in (wi, wo_light, wo, grads)), out)
    return out.reshape(n, -1).astype(float)


def scattering_push_forward(a, wi, wo_light, wo, tangents):
    n = _count(wi, wo_light, wo)
    out = np.zeros((n, 2), np.float32)
    w = (_rows(x, n, np.float32) for x in (wi, wo_light, wo))
    a.call(_scattering_push_forward, *w, np.asarray(tangents, np.float32), out)
    return out.astype(float)


def scattering_tape(a, wi, wo_light, wo, grads):
    """What Taichi's own reverse mode makes of `eval` with unrolled loops: the gradient of all rows."""
    n = len(grads)

    def array(x):
        device = ti.ndarray(ti.f32, x.shape, needs_grad=True)
        device.from_numpy(np.ascontiguousarray(x, np.float32))
        return device

    params, out = array(a.params), array(np.zeros((n, 2)))
    out.grad.from_numpy(np.ascontiguousarray(grads, np.float32))
    w = [array(_rows(x, n, np.float32)) for x in (wi, wo_light, wo)]
    tables = array(a.tables)
    b = a._replace(params=params, tables=tables)
    b.call(_scattering_eval.grad, *w, out, execution=replace(Execution(), unrolled=True))
    return params.grad.to_numpy().astype(float)
