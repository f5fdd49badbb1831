"""Rows of kept vertices: what is stored is loaded, forwards and backwards; a row that is full is given up."""

import numpy as np
import pytest

from prb.device.arrays import upload
from prb.kernels.backend import ti
from prb.kernels.estimators import kept_vertices as kept
from prb.kernels.estimators.shading import black
from prb.kernels.estimators.vertex import no_vertex
from prb.kernels.sampler import uniform4
from prb.kernels.traced import traced

COUNT = 12  # vertices of the path
COLUMNS = [column for part in kept.OF_SURFACES for column in part.columns]


@ti.func
def made(i):
    """Vertex i of the path: all its numbers differ, and its parts are there or not."""
    vertex, shading = no_vertex(), black()
    u, v, w = uniform4(i, 1, 0, 0), uniform4(i, 2, 0, 0), uniform4(i, 3, 0, 0)
    vertex.uv = ti.Vector([u[0], u[1]])
    vertex.slot, vertex.u, vertex.v = 1000 * i - 1, u[2], u[3]
    if i % 2 == 0:
        vertex.emitter = i + (1 << 20)
        vertex.emission_weight = v[0]
        shading.emitted = ti.Vector([v[1], v[2], v[3]])
    if i % 3 != 0:
        vertex.material, vertex.lobe = 7 * i, i - 2
        vertex.wi, vertex.wo = ti.Vector([w[0], w[1], -w[2]]), ti.Vector([-w[1], w[3], w[0]])
        vertex.pdf, vertex.u_roulette, vertex.eta = w[1], v[2], 1.0 + u[1]
        shading.f = ti.Vector([u[3], v[3], w[3]])
    if i % 3 == 1:
        vertex.light_emitter = 3 * i
        vertex.light_weight, vertex.wo_light = u[1], ti.Vector([v[0], u[0], w[0]])
        vertex.uv_light = ti.Vector([w[2], w[3]])
        shading.direct, shading.f_light = ti.Vector([u[0], v[0], w[0]]), ti.Vector([u[2], v[2], w[2]])
    return vertex, shading


@traced
def field(vertex, shading, name):
    return getattr(vertex if name in vertex.keys else shading, name)


@ti.func
def wrong(rows: ti.template(), row: ti.template(), i, backwards: ti.template()):
    """How many columns of the next vertex of a walk are not those of vertex i."""
    vertex, shading = no_vertex(), black()
    if ti.static(backwards):
        v, s = kept.load_backwards(rows, row, ti.static(kept.OF_SURFACES))
        vertex, shading = v, s
    else:
        v, s, _before = kept.load(rows, row, ti.static(kept.OF_SURFACES))
        vertex, shading = v, s
    expected, expected_shading = made(i)
    n = 0
    for c in ti.static(COLUMNS):
        if ti.static(c.size == 1):
            n += ti.select(field(vertex, shading, c.name) == field(expected, expected_shading, c.name), 0, 1)
        else:
            for k in ti.static(range(c.size)):
                a, b = field(vertex, shading, c.name)[k], field(expected, expected_shading, c.name)[k]
                n += ti.select(a == b, 0, 1)
    return n


@ti.kernel
def walk(rows: ti.types.ndarray(ti.f32, 2), out: ti.types.ndarray(ti.i32, 1)):
    """out: wrong columns forwards and backwards; where the row begins and where each walk ends."""
    for _ in range(1):
        row = kept.Row(worker=1, first=5, end=5, length=0)
        for i in range(COUNT):
            vertex, shading = made(i)
            kept.store(rows, row, vertex, shading, ti.static(kept.OF_SURFACES))
        out[2], out[3] = row.first, row.end
        if row.first >= 0:
            last = kept.Row(worker=1, first=5, end=row.end, length=row.length)
            row.end = 5
            for i in range(COUNT):
                out[0] += wrong(rows, row, i, False)
            for i in range(COUNT):
                out[1] += wrong(rows, last, COUNT - 1 - i, True)
            out[4], out[5], out[6] = row.end, last.end, last.length


def run(size):
    rows, out = upload(np.zeros((2, size), np.float32)), upload(np.zeros(8, np.int32))
    walk(rows, out)
    return rows.to_numpy(), out.to_numpy().tolist()


def test_what_is_stored_is_loaded_in_both_directions():
    rows, (forwards, backwards, first, at, end, begin, before, _) = run(512)
    assert first == 5 and at == end > 5 + COUNT * kept.OF_SURFACES[0].size
    assert forwards == 0 and backwards == 0
    assert begin == 5 and before == 0
    assert not rows[0].any() and not rows[1, :5].any() and not rows[1, at:].any()


@pytest.mark.parametrize("size", [5, 5 + kept.size_of(kept.OF_SURFACES), 200])
def test_a_row_that_is_too_short_is_given_up(size):
    rows, out = run(size)
    assert out[2] == -1 and not rows[0].any()


def test_sizes():
    assert kept.size_of(kept.OF_SURFACES) == 37 and kept.OF_SURFACES[0].size == 8
