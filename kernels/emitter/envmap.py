"""An environment given by a picture of all directions: longitude along its rows, latitude down them.

A texel's centre lies, for column i of w and row j of h, at the azimuth 2 pi (i + 1/2) / w, measured from
local -z towards +x, and the polar angle pi j / (h - 1) from local +y; radiance is interpolated bilinearly,
as in Mitsuba 3.9.1. So the texture is looked up at u = azimuth / 2 pi and v = (polar (h - 1) / pi + 1/2) / h.

Sampling. The four texels around a cell of this grid are the corners of a bilinear function of azimuth and
of the cosine of the polar angle, whose integral over a cell is its solid angle times the corners' mean, so
there is nothing special at the poles. A row of cells, a cell in it, and a point in the cell are drawn from
that function. Its corners are the texels' luminance plus a constant; prb/lights.py makes the tables.

    env_marginal        (h)                       distribution function over the h - 1 rows of cells
    env_conditional     ((h - 1) (w + 1) + h w)   the same in each row, then the corners, row by row, scaled
                                                  so that the function is the density in solid angle
    emitter_data        three rows: the world-to-local matrix, its rows followed by w, by h and by 0
"""

import taichi as ti
from taichi.math import pi

from prb.kernels.emitter.point import local
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.frame import vec2, vec3
from prb.kernels.parameter import Parameter

PARAMETER = Parameter("data", default=1.0)


@ti.func
def search(cdf: ti.template(), first, count, u):
    """The interval i of a distribution function, count + 1 numbers from `first`, with cdf[i] <= u."""
    low = 0
    high = count
    while high - low > 1:
        middle = (low + high) // 2
        if cdf[first + middle] <= u:
            low = middle
        else:
            high = middle
    return low


@ti.func
def linear(u, a, b):
    """u to a density on [0, 1] that goes from a to b > 0 (pbrt-v4, section 2.3.2)."""
    return ti.min(u * (a + b) / (a + ti.sqrt((1.0 - u) * a * a + u * b * b)), 1.0)


@ti.func
def part(u, low, high):
    """Where in the interval from low to high u lies, in [0, 1)."""
    return ti.max(0.0, ti.min((u - low) / ti.select(high > low, high - low, 1.0), 0.99999994))


@ti.func
def corners(scene: ti.template(), i, j, w, h):
    """The four numbers around cell i of row j: top left, top right, bottom left, bottom right."""
    at = (h - 1) * (w + 1) + j * w
    right = ti.select(i + 1 < w, i + 1, 0)
    return ti.Vector(
        [
            scene.env_conditional[at + i],
            scene.env_conditional[at + right],
            scene.env_conditional[at + w + i],
            scene.env_conditional[at + w + right],
        ]
    )


@ti.func
def sample(features: ti.template(), scene: ti.template(), entry, ref, u1, u2):
    row = scene.emitters[scene.lights[entry][1]][3]
    w, h = ti.i32(scene.emitter_data[row][3]), ti.i32(scene.emitter_data[row + 1][3])
    j = search(scene.env_marginal, 0, h - 1, u1)
    v = part(u1, scene.env_marginal[j], scene.env_marginal[j + 1])
    first = j * (w + 1)
    i = search(scene.env_conditional, first, w, u2)
    u = part(u2, scene.env_conditional[first + i], scene.env_conditional[first + i + 1])
    c = corners(scene, i, j, w, h)
    y = linear(v, c[0] + c[1], c[2] + c[3])
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    x = linear(u, left, right)
    # 1 - cos and 1 + cos of the polar angle, halved, are linear in y and do not cancel
    a0, a1 = 0.5 * pi * ti.f32(j) / ti.f32(h - 1), 0.5 * pi * ti.f32(j + 1) / ti.f32(h - 1)
    s0, s1, c0, c1 = ti.sin(a0), ti.sin(a1), ti.cos(a0), ti.cos(a1)
    sin2 = s0 * s0 + y * (s1 * s1 - s0 * s0)
    cos2 = c0 * c0 + y * (c1 * c1 - c0 * c0)
    polar = 2.0 * ti.atan2(ti.sqrt(sin2), ti.sqrt(cos2))
    turn = (ti.f32(i) + x + 0.5) / ti.f32(w)
    r = 2.0 * ti.sqrt(sin2 * cos2)
    d = vec3(r * ti.sin(2.0 * pi * turn), cos2 - sin2, -r * ti.cos(2.0 * pi * turn))
    m0, m1, m2 = scene.emitter_data[row], scene.emitter_data[row + 1], scene.emitter_data[row + 2]
    world = vec3(
        m0[0] * d.x + m1[0] * d.y + m2[0] * d.z,
        m0[1] * d.x + m1[1] * d.y + m2[1] * d.z,
        m0[2] * d.x + m1[2] * d.y + m2[2] * d.z,
    )
    return LightSample(
        d=world.normalized(),
        distance=INFINITY,
        pdf=left + x * (right - left),
        scale=1.0,
        delta=0,
        uv=vec2(turn, (polar / pi * ti.f32(h - 1) + 0.5) / ti.f32(h)),
    )


@ti.func
def environment(features: ti.template(), scene: ti.template(), index, d):
    row = scene.emitters[index][3]
    w, h = ti.i32(scene.emitter_data[row][3]), ti.i32(scene.emitter_data[row + 1][3])
    v = local(scene, row, d)
    polar = ti.atan2(ti.sqrt(v.x * v.x + v.z * v.z), v.y)
    turn = ti.atan2(v.x, -v.z) / (2.0 * pi)
    turn = ti.select(turn < 0, turn + 1.0, turn)
    rows = polar / pi * ti.f32(h - 1)
    j = ti.max(0, ti.min(ti.i32(rows), h - 2))
    # how far the cosine is from the row's first to its second, as a ratio of products that do not cancel
    half = 0.5 * pi / ti.f32(h - 1)
    low = half * 2.0 * ti.f32(j)
    y = ti.sin(0.5 * (polar + low)) * ti.sin(0.5 * (polar - low)) / (ti.sin(low + half) * ti.sin(half))
    y = ti.max(0.0, ti.min(y, 1.0))
    columns = turn * ti.f32(w) - 0.5
    x = columns - ti.floor(columns)
    i = ti.i32(ti.floor(columns))
    i = ti.select(i < 0, i + w, ti.select(i >= w, i - w, i))
    c = corners(scene, i, j, w, h)
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    return left + x * (right - left), vec2(turn, (rows + 0.5) / ti.f32(h))
