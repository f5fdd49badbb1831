"""An environment given by an image of all directions: azimuth along its rows, polar angle along its columns.

The centre of the texel in column i of w and row j of h lies at the azimuth 2 pi (i + 1/2) / w, measured from
local -z towards +x, and at the polar angle pi j / (h - 1) from local +y. Radiance is interpolated bilinearly,
as in Mitsuba 3.9.1: the texture is looked up at u = azimuth / 2 pi and v = (polar (h - 1) / pi + 1/2) / h.

Sampling. The four texels around a cell of this grid are the corners of a bilinear function of azimuth and
of the cosine of the polar angle, whose integral over a cell is its solid angle times the mean of the corners;
the poles need no special treatment. A row of cells, a cell in it and a point in the cell are sampled in
proportion to that function. Its corners are the texels' luminance plus a constant. prb/device/lights.py makes
the tables.

    env_marginal        distribution function over the h - 1 rows of cells, h numbers; its guide table; sin^2
                        and cos^2 of half the polar angle of each row of texels, h numbers each
    env_conditional     distribution functions over the w cells of each row, w + 1 numbers each; their guide
                        tables; the corners (h, w), scaled so that the function is the density by solid angle

The guide table (Chen and Asau 1974) of a distribution function over n intervals has 1 + guide_size(n)
numbers, the intervals in which k / guide_size(n) lies. It is short, so that it stays in the cache.

    emitter_data        three rows: the world-to-local matrix, its rows followed by the offset of `to_world`
                        in `params`, by w and by h
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.point import in_frame, inverted
from prb.kernels.emitter.sample import INFINITY, LightSample, rows_of
from prb.kernels.frame import larger, smaller, vec2, vec3
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, absolute, kernel_callable, maximum, minimum
from prb.kernels.warp import BELOW_1, azimuth_fraction, circle, polar_fraction

PARAMETER = Parameter("data", default=1.0)
PLACEMENT = "frame"
SPAN = 8  # intervals for each number of a guide table


def data(light):
    width, height = light.resolution
    x, y, z = light.to_local
    return [[*x, light.offset], [*y, width], [*z, height]]


ROWS, NUMBERS = 3, 16


def from_parameters(rows, to_world):
    _position, matrix = inverted(to_world)
    return tuple((*v, row[3]) for v, row in zip(matrix, rows, strict=True))


def power(light, radius):
    return 4 * pi**2 * radius**2


@ti.func
def guide_size(n):
    """How many equal intervals of [0, 1] the guide table of n intervals divides it into."""
    return (n + SPAN - 1) // SPAN


@ti.func
def search(table: ti.template(), first, guide, count, u):
    """The interval i of a distribution function with cdf[i] <= u < cdf[i + 1], by bisection.

    Its count + 1 numbers begin at index `first` of the table, its guide table at index `guide`.
    """
    size = guide_size(count)
    k = ti.min(ti.i32(u * ti.f32(size)), size - 1)
    low = ti.i32(table[guide + k])
    high = ti.i32(table[guide + k + 1]) + 1
    while high - low > 1:
        middle = (low + high) >> 1
        below = table[first + middle] <= u
        low = ti.select(below, middle, low)
        high = ti.select(below, high, middle)
    return low


@ti.func
def sample_linear(u, a, b):
    """Sample a density on [0, 1] that is linear from a to b > 0 (pbrt-v4, section 2.3.2)."""
    return smaller(u * (a + b) / (a + ti.sqrt((1.0 - u) * a * a + u * b * b)), 1.0)


@ti.func
def relative_position(u, low, high):
    """The position of u in the interval from low to high, in [0, 1)."""
    return larger(0.0, smaller((u - low) / ti.select(high > low, high - low, 1.0), BELOW_1))


@ti.func
def corners(scene: ti.template(), i, j, w, h):
    """The four corners of cell i of row j: top left, top right, bottom left, bottom right."""
    first = (h - 1) * (w + 2 + guide_size(w)) + j * w
    right = ti.select(i + 1 < w, i + 1, 0)
    return ti.Vector(
        [
            scene.env_conditional[first + i],
            scene.env_conditional[first + right],
            scene.env_conditional[first + w + i],
            scene.env_conditional[first + w + right],
        ]
    )


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    rows = rows_of(scene, scene.lights[entry][1], ROWS)
    w, h = ti.i32(rows[1][3]), ti.i32(rows[2][3])
    j = search(scene.env_marginal, 0, h, h - 1, u1)
    v = relative_position(u1, scene.env_marginal[j], scene.env_marginal[j + 1])
    first = j * (w + 1)
    i = search(scene.env_conditional, first, (h - 1) * (w + 1) + j * (1 + guide_size(w)), w, u2)
    u = relative_position(u2, scene.env_conditional[first + i], scene.env_conditional[first + i + 1])
    c = corners(scene, i, j, w, h)
    y = sample_linear(v, c[0] + c[1], c[2] + c[3])
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    x = sample_linear(u, left, right)
    # sin^2 and cos^2 of half the polar angle are linear in its cosine, hence in y, and do not cancel
    half_angles = h + 1 + guide_size(h - 1) + j
    s0, s1 = scene.env_marginal[half_angles], scene.env_marginal[half_angles + 1]
    c0, c1 = scene.env_marginal[half_angles + h], scene.env_marginal[half_angles + h + 1]
    sin2 = s0 + y * (s1 - s0)
    cos2 = c0 + y * (c1 - c0)
    image_row = polar_fraction(cos2 - sin2, 2.0 * smaller(cos2, sin2)) * ti.f32(h - 1)
    azimuth = (ti.f32(i) + x + 0.5) / ti.f32(w)
    azimuth = azimuth - ti.floor(azimuth)
    r = 2.0 * ti.sqrt(sin2 * cos2)
    xy = circle(azimuth)
    world = in_world(rows, vec3(r * xy.y, cos2 - sin2, -r * xy.x))
    return LightSample(
        d=world.normalized(),
        distance=INFINITY,
        pdf=left + x * (right - left),
        scale=1.0,
        delta=0,
        uv=vec2(azimuth, (image_row + 0.5) / ti.f32(h)),
    )


@kernel_callable
def in_world(rows, d):
    """A direction of the emitter's frame in world space. rows: of the world-to-local matrix, a rotation."""
    x, y, z = rows
    return Vec3(*(x[i] * d.x + y[i] * d.y + z[i] * d.z for i in range(3)))


@kernel_callable
def place(rows, d):
    """(azimuth as a fraction of 2 pi, polar angle as a fraction of pi, local y, 1 - |y|) of a direction.

    rows: of the world-to-local matrix.
    """
    v = in_frame(rows, d)
    one_minus_abs_cos = (v.x * v.x + v.z * v.z) / (1.0 + absolute(v.y))
    return azimuth_fraction(-v.z, v.x), polar_fraction(v.y, one_minus_abs_cos), v.y, one_minus_abs_cos


@kernel_callable
def bilinear(c, x, y):
    """What lies at x, y in a cell with the corners c."""
    left, right = c[0] + y * (c[2] - c[0]), c[1] + y * (c[3] - c[1])
    return left + x * (right - left)


@ti.func
def environment(scene: ti.template(), index, d, with_pdf):
    rows = rows_of(scene, index, ROWS)
    w, h = ti.i32(rows[1][3]), ti.i32(rows[2][3])
    azimuth, polar, y, one_minus_abs_cos = place(rows, d)
    image_row = polar * ti.f32(h - 1)
    pdf = 0.0
    if with_pdf:
        c, column, x0, x1 = cell(scene, y > 0, azimuth, image_row, w, h)
        pdf = density(c, azimuth * ti.f32(w) - 0.5 - column, one_minus_abs_cos, x0, x1)
    return pdf, vec2(azimuth, (image_row + 0.5) / ti.f32(h))


@kernel_callable
def density(c, x, one_minus_abs_cos, x0, x1):
    """The density of `sample` by solid angle, from what `cell` returns and the position x between columns."""
    y = maximum(0.0, minimum((0.5 * one_minus_abs_cos - x0) / (x1 - x0), 1.0))
    return bilinear(c, x, y)


@ti.func
def cell(scene: ti.template(), upper, azimuth, image_row, w, h):
    """(corners, column, x0, x1) of the cell of the grid in which a direction lies.

    upper: True if local +y is the nearer pole. image_row: counted from local +y. x0, x1: the position of the
    cosine between the cell's two rows follows from sin^2 or cos^2 of half the polar angle, whichever is
    smaller and so does not cancel; these are its values there.
    """
    j = ti.max(0, ti.min(ti.i32(image_row), h - 2))
    half_angles = h + 1 + guide_size(h - 1) + ti.select(upper, 0, h) + j
    x0, x1 = scene.env_marginal[half_angles], scene.env_marginal[half_angles + 1]
    column = ti.floor(azimuth * ti.f32(w) - 0.5)
    i = ti.i32(column)
    i = ti.select(i < 0, i + w, ti.select(i >= w, i - w, i))
    return corners(scene, i, j, w, h), column, x0, x1
