"""Warps: maps from two uniform numbers on [0, 1) to a density. pbrt-v4, appendix A, has derivations.

They are traced functions (kernels/traced.py), which kernels may call directly. Each is differentiable by its
random numbers; the determinant of its Jacobian is the inverse of the density.
"""

from prb.kernels.backend import pi
from prb.kernels.traced import (
    Vec2,
    Vec3,
    absolute,
    bit,
    kernel_callable,
    maximum,
    minimum,
    select,
    sqrt,
    truncate,
)

BELOW_1 = 0.99999994  # the largest float32 below 1


@kernel_callable
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


@kernel_callable
def circle(fraction):
    """(cos, sin) of an angle that is given as a fraction of 2 pi, in [0, 1]."""
    k = truncate(4.0 * fraction + 0.5)
    sine, cosine = sin_cos_octant((4.0 * fraction - k) * (0.5 * pi))
    odd = bit(k, 0)
    x, y = select(odd, -sine, cosine), select(odd, cosine, sine)
    sign = select(bit(k, 1), -1.0, 1.0)
    return Vec2(sign * x, sign * y)


@kernel_callable
def azimuth_fraction(x, y):
    """The azimuth of (x, y) as a fraction of 2 pi, in [0, 1); 1/4 for (0, 0).

    The arc tangent's polynomial is 4.4.49 of Abramowitz and Stegun, Handbook of Mathematical Functions; its
    error is 2e-8.
    """
    a, b = absolute(x), absolute(y)
    q = minimum(a, b) / maximum(maximum(a, b), 1e-30)
    z = q * q
    z2 = z * z
    near = (1.0 - 0.3333314528 * z) + (0.1999355085 - 0.1420889944 * z) * z2
    far = (0.1065626393 - 0.0752896400 * z) + (0.0429096138 - 0.0161657367 * z) * z2
    z4 = z2 * z2
    fraction = q * (near + (far + 0.0028662257 * z4) * z4) * (0.5 / pi)
    fraction = select(a > b, fraction, 0.25 - fraction)
    fraction = select(x < 0, 0.5 - fraction, fraction)
    fraction = select(y < 0, 1.0 - fraction, fraction)
    return minimum(fraction, BELOW_1)


@kernel_callable
def polar_fraction(cosine, one_minus_abs_cosine):
    """The angle with that cosine as a fraction of pi, in [0, 1].

    one_minus_abs_cosine: 1 - |cosine|, computed without cancellation. The polynomial is 4.4.46 of Abramowitz
    and Stegun; its error is 2e-8.
    """
    a = absolute(cosine)
    a2 = a * a
    near = (1.5707963050 - 0.2145988016 * a) + (0.0889789874 - 0.0501743046 * a) * a2
    far = (0.0308918810 - 0.0170881256 * a) + (0.0066700901 - 0.0012624911 * a) * a2
    fraction = sqrt(one_minus_abs_cosine) * (near + far * (a2 * a2)) * (1.0 / pi)
    return select(cosine < 0, 1.0 - fraction, fraction)


@kernel_callable
def square_to_disk(u1, u2):
    """Concentric map (Shirley and Chiu 1997): uniform on the unit disk, density 1 / pi."""
    x = 2.0 * u1 - 1.0
    y = 2.0 * u2 - 1.0
    wide = absolute(x) > absolute(y)
    r = select(wide, x, y)
    ratio = select(wide, y, x) / select(absolute(r) > 0, r, 1.0)
    sine, cosine = sin_cos_octant(0.25 * pi * ratio)
    return r * Vec2(select(wide, cosine, sine), select(wide, sine, cosine))


@kernel_callable
def square_to_cosine_hemisphere(u1, u2):
    """Malley's method: unit directions around +z, density cos(theta) / pi in solid angle."""
    d = square_to_disk(u1, u2)
    return Vec3(d.x, d.y, sqrt(maximum(1.0 - d.x * d.x - d.y * d.y, 0.0)))


@kernel_callable
def square_to_sphere(u1, u2):
    """Unit directions, uniform on the sphere: density 1 / (4 pi) in solid angle."""
    z = 1.0 - 2.0 * u1
    r = sqrt(maximum(1.0 - z * z, 0.0))
    c = circle(u2)
    return Vec3(r * c.x, r * c.y, z)


@kernel_callable
def square_to_triangle(u1, u2):
    """Barycentric coordinates, uniform over a triangle: density 2. Square-root parametrisation."""
    r = sqrt(1.0 - u1)
    return Vec2(1.0 - r, u2 * r)


@kernel_callable
def square_to_cone(u1, u2, one_minus_cos_max):
    """Unit directions, uniform in a cone around +z: density 1 / (2 pi (1 - cos_max)) in solid angle.

    It takes 1 - cos_max, as cos_max of a narrow cone has lost its digits.
    """
    one_minus_cos = u1 * one_minus_cos_max
    cos_theta = 1.0 - one_minus_cos
    r = sqrt(maximum(one_minus_cos * (1.0 + cos_theta), 0.0))
    c = circle(u2)
    return Vec3(r * c.x, r * c.y, cos_theta)
