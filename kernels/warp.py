"""Sampling routines: two uniform numbers on [0, 1) to a density. pbrt-v4, chapter A, has derivations."""

from prb.kernels.backend import pi, ti
from prb.kernels.frame import larger, smaller

BELOW_1 = 0.99999994  # the largest float32 below 1


@ti.func
def sin_cos_octant(x):
    """sin x and cos x for |x| <= pi / 4, to float32's rounding: Cephes' minimax polynomials (sinf.c)."""
    z = x * x
    sine = x + x * z * (-1.6666654611e-1 + z * (8.3321608736e-3 - z * 1.9515295891e-4))
    cosine = (
        1.0
        - 0.5 * z
        + z * z * (4.166664568298827e-2 + z * (-1.388731625493765e-3 + z * 2.443315711809948e-5))
    )
    return sine, cosine


@ti.func
def circle(turn):
    """(cos, sin) of an angle given as a part of the full turn, in [0, 1]."""
    k = ti.i32(4.0 * turn + 0.5)
    sine, cosine = sin_cos_octant((4.0 * turn - ti.f32(k)) * (0.5 * pi))
    odd = (k & 1) == 1
    x, y = ti.select(odd, -sine, cosine), ti.select(odd, cosine, sine)
    sign = ti.select((k & 2) == 2, -1.0, 1.0)
    return ti.Vector([sign * x, sign * y])


@ti.func
def turn_of(x, y):
    """The azimuth of (x, y) as a part of the full turn, in [0, 1); 1/4 for (0, 0).

    The arc tangent's polynomial is 4.4.49 of Abramowitz and Stegun, Handbook of Mathematical Functions; its
    error is 2e-8.
    """
    a, b = ti.abs(x), ti.abs(y)
    q = smaller(a, b) / larger(larger(a, b), 1e-30)
    z = q * q
    z2 = z * z
    near = (1.0 - 0.3333314528 * z) + (0.1999355085 - 0.1420889944 * z) * z2
    far = (0.1065626393 - 0.0752896400 * z) + (0.0429096138 - 0.0161657367 * z) * z2
    z4 = z2 * z2
    turn = q * (near + (far + 0.0028662257 * z4) * z4) * (0.5 / pi)
    turn = ti.select(a > b, turn, 0.25 - turn)
    turn = ti.select(x < 0, 0.5 - turn, turn)
    turn = ti.select(y < 0, 1.0 - turn, turn)
    return smaller(turn, BELOW_1)


@ti.func
def polar_of(cosine, beside):
    """The angle with that cosine as a part of the half turn, in [0, 1].

    beside: 1 - |cosine|, from something that does not cancel. The polynomial is 4.4.46 of Abramowitz and
    Stegun; its error is 2e-8.
    """
    a = ti.abs(cosine)
    a2 = a * a
    near = (1.5707963050 - 0.2145988016 * a) + (0.0889789874 - 0.0501743046 * a) * a2
    far = (0.0308918810 - 0.0170881256 * a) + (0.0066700901 - 0.0012624911 * a) * a2
    part = ti.sqrt(beside) * (near + far * (a2 * a2)) * (1.0 / pi)
    return ti.select(cosine < 0, 1.0 - part, part)


@ti.func
def square_to_disk(u1, u2):
    """Concentric map (Shirley and Chiu 1997): uniform on the unit disk, density 1 / pi."""
    x = 2.0 * u1 - 1.0
    y = 2.0 * u2 - 1.0
    wide = ti.abs(x) > ti.abs(y)
    r = ti.select(wide, x, y)
    ratio = ti.select(wide, y, x) / ti.select(r == 0, 1.0, r)
    sine, cosine = sin_cos_octant(0.25 * pi * ratio)
    return r * ti.Vector([ti.select(wide, cosine, sine), ti.select(wide, sine, cosine)])


@ti.func
def square_to_cosine_hemisphere(u1, u2):
    """Malley's method: density cos(theta) / pi around +z."""
    d = square_to_disk(u1, u2)
    return ti.Vector([d.x, d.y, ti.sqrt(ti.max(1.0 - d.x * d.x - d.y * d.y, 0.0))])


@ti.func
def square_to_sphere(u1, u2):
    """Uniform on the unit sphere, density 1 / (4 pi)."""
    z = 1.0 - 2.0 * u1
    r = ti.sqrt(ti.max(1.0 - z * z, 0.0))
    c = circle(u2)
    return ti.Vector([r * c.x, r * c.y, z])


@ti.func
def square_to_triangle(u1, u2):
    """Barycentric coordinates, uniform over a triangle (square-root parametrisation)."""
    r = ti.sqrt(1.0 - u1)
    return ti.Vector([1.0 - r, u2 * r])


@ti.func
def square_to_cone(u1, u2, one_minus_cos_max):
    """Uniform in a cone around +z; density 1 / (2 pi (1 - cos_max)). Takes 1 - cos_max for accuracy."""
    one_minus_cos = u1 * one_minus_cos_max
    cos_theta = 1.0 - one_minus_cos
    r = ti.sqrt(ti.max(one_minus_cos * (1.0 + cos_theta), 0.0))
    c = circle(u2)
    return ti.Vector([r * c.x, r * c.y, cos_theta])
