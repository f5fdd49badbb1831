"""An environment given by a picture of all directions: longitude along its rows, latitude down them.

A texel's centre lies, for column i of w and row j of h, at the azimuth 2 pi (i + 1/2) / w, measured from
local -z towards +x, and the polar angle pi j / (h - 1) from local +y; radiance is interpolated bilinearly,
as in Mitsuba 3.9.1. So the texture is looked up at u = azimuth / 2 pi and v = (polar (h - 1) / pi + 1/2) / h.

Sampling. The four texels around a cell of this grid are the corners of a bilinear function of azimuth and
of the cosine of the polar angle, whose integral over a cell is its solid angle times the corners' mean, so
there is nothing special at the poles. A row of cells, a cell in it, and a point in the cell are drawn from
that function. Its corners are the texels' luminance plus a constant; prb/device/lights.py makes the tables.

    env_marginal        distribution function over the h - 1 rows of cells, h numbers; a guide to it; sin^2
                        and cos^2 of half the polar angle of each row of texels, h numbers each
    env_conditional     distribution functions over the w cells of each row, w + 1 numbers each; a guide to
                        each; the corners (h, w), scaled so that the function is the density in solid angle

A guide (Chen and Asau 1974) to a distribution function over n intervals has 1 + guides(n) numbers: in which
interval k / guides(n) lies. It is short, so that it stays in the cache.

    emitter_data        three rows: the world-to-local matrix, its rows followed by w, by h and by 0
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import local
from prb.kernels.emitter.sample import INFINITY, LightSample
from prb.kernels.frame import larger, smaller, vec2, vec3
from prb.kernels.parameter import Parameter
from prb.kernels.warp import BELOW_1, azimuth_fraction, circle, polar_fraction

PARAMETER = Parameter("data", default=1.0)
PLACEMENT = "frame"
SPAN = 8  # intervals for each number of a guide


def data(light):
    width, height = light.resolution
    x, y, z = light.to_local
    return [[*x, width], [*y, height], [*z, 0.0]]


def power(light, radius):
    return 4 * pi**2 * radius**2


@ti.func
def guides(n):
    """Parts of [0, 1] that a guide to n intervals has."""
    return (n + SPAN - 1) // SPAN


@ti.func
def search(table: ti.template(), first, guide, count, u):
    """The interval i of a distribution function with cdf[i] <= u < cdf[i + 1].

    Its count + 1 numbers begin at `first`, its guide at `guide`.
    """
    parts = guides(count)
    k = ti.min(ti.i32(u * ti.f32(parts)), parts - 1)
    low = ti.i32(table[guide + k])
    high = ti.i32(table[guide + k + 1]) + 1
    while high - low > 1:
        middle = (low + high) >> 1
        below = table[first + middle] <= u
        low = ti.select(below, middle, low)
        high = ti.select(below, high, middle)
    return low


@ti.func
def linear(u, a, b):
    """u to a density on [0, 1] that goes from a to b > 0 (pbrt-v4, section 2.3.2)."""
    return smaller(u * (a + b) / (a + ti.sqrt((1.0 - u) * a * a + u * b * b)), 1.0)


@ti.func
def part(u, low, high):
    """Where in the interval from low to high u lies, in [0, 1)."""
    return larger(0.0, smaller((u - low) / ti.select(high > low, high - low, 1.0), BELOW_1))


@ti.func
def corners(scene: ti.template(), i, j, w, h):
    """The four numbers around cell i of row j: top left, top right, bottom left, bottom right."""
    at = (h - 1) * (w + 2 + guides(w)) + j * w
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
def sample(scene: ti.template(), entry, ref, u1, u2):
    row = scene.emitters[scene.lights[entry][1]][3]
    w, h = ti.i32(scene.emitter_data[row][3]), ti.i32(scene.emitter_data[row + 1][3])
    j = search(scene.env_marginal, 0, h, h - 1, u1)
    v = part(u1, scene.env_marginal[j], scene.env_marginal[j + 1])
    first = j * (w + 1)
    i = search(scene.env_conditional, first, (h - 1) * (w + 1) + j * (1 + guides(w)), w, u2)
    u = part(u2, scene.env_conditional[first + i], scene.env_conditional[first + i + 1])
    c = corners(scene, i, j, w, h)
    y = linear(v, c[0] + c[1], c[2] + c[3])
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    x = linear(u, left, right)
    # 1 - cos and 1 + cos of the polar angle, halved, are linear in y and do not cancel
    halves = h + 1 + guides(h - 1) + j
    s0, s1 = scene.env_marginal[halves], scene.env_marginal[halves + 1]
    c0, c1 = scene.env_marginal[halves + h], scene.env_marginal[halves + h + 1]
    sin2 = s0 + y * (s1 - s0)
    cos2 = c0 + y * (c1 - c0)
    rows = polar_fraction(cos2 - sin2, 2.0 * smaller(cos2, sin2)) * ti.f32(h - 1)
    turn = (ti.f32(i) + x + 0.5) / ti.f32(w)
    turn = turn - ti.floor(turn)
    r = 2.0 * ti.sqrt(sin2 * cos2)
    along = circle(turn)
    d = vec3(r * along.y, cos2 - sin2, -r * along.x)
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
        uv=vec2(turn, (rows + 0.5) / ti.f32(h)),
    )


@ti.func
def environment(scene: ti.template(), index, d, weighed):
    row = scene.emitters[index][3]
    w, h = ti.i32(scene.emitter_data[row][3]), ti.i32(scene.emitter_data[row + 1][3])
    v = local(scene, row, d)
    beside = (v.x * v.x + v.z * v.z) / (1.0 + ti.abs(v.y))
    rows = polar_fraction(v.y, beside) * ti.f32(h - 1)
    turn = azimuth_fraction(-v.z, v.x)
    pdf = 0.0
    if weighed:
        pdf = density(scene, v.y > 0, 0.5 * beside, turn, rows, w, h)
    return pdf, vec2(turn, (rows + 0.5) / ti.f32(h))


@ti.func
def density(scene: ti.template(), upper, near2, turn, rows, w, h):
    """Of `sample` in solid angle, at a direction with that azimuth, in rows from the upper pole.

    near2: sin^2 of half the angle to the nearer pole, which is the upper one or not.
    """
    j = ti.max(0, ti.min(ti.i32(rows), h - 2))
    # how far the cosine is from the row's first to its second: by sin^2 or cos^2 of half the angle, of which
    # the smaller one does not cancel
    row2 = h + 1 + guides(h - 1) + ti.select(upper, 0, h) + j
    x0, x1 = scene.env_marginal[row2], scene.env_marginal[row2 + 1]
    y = larger(0.0, smaller((near2 - x0) / (x1 - x0), 1.0))
    columns = turn * ti.f32(w) - 0.5
    x = columns - ti.floor(columns)
    i = ti.i32(ti.floor(columns))
    i = ti.select(i < 0, i + w, ti.select(i >= w, i - w, i))
    c = corners(scene, i, j, w, h)
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    return left + x * (right - left)
