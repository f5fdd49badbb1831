"""Microfacet distributions, "ggx" and "beckmann": density of normals, masking and shadowing, sampling.

Directions are local (normal along +z), unit, and point away from the surface. `alpha_u`, `alpha_v` are the
roughnesses along x and y, at least `MIN_ALPHA`. The distribution is a Python string, fixed when a kernel is
compiled. Walter, Marschner, Li, Torrance, Microfacet Models for Refraction through Rough Surfaces
(EGSR 2007); Heitz, Understanding the Masking-Shadowing Function (JCGT 2014).

All are traced functions. Sampling Beckmann's distribution inverts a distribution function by iteration, in a
device function whose derivative is stated (`traced.custom`).
"""

from functools import partial

from prb.kernels import traced
from prb.kernels.backend import pi, ti
from prb.kernels.held import differentiated_by_taichi
from prb.kernels.traced import (
    Vec3,
    absolute,
    clamp,
    custom,
    dot,
    exp,
    maximum,
    normalize,
    select,
    sqrt,
)
from prb.kernels.warp import circle

DISTRIBUTIONS = ("ggx", "beckmann")
MIN_ALPHA = 1e-4
MIN_COSINE = 1e-8  # cosines up to this count as zero if a value is divided by them
NEWTON_STEPS = 5  # of the inversion for Beckmann's distribution
FLOOR = 1e-20  # smaller densities and squares count as zero


def roughness(alpha):
    """A roughness, limited to MIN_ALPHA from below as the functions here need it."""
    return maximum(alpha, MIN_ALPHA)


def ndf(distribution, m, alpha_u, alpha_v):
    """The density D(m) of microfacet normals; D(m) m.z has integral 1 over the hemisphere. 0 if m.z <= 0."""
    x, y = m.x / alpha_u, m.y / alpha_v
    slope2, z2 = x * x + y * y, m.z * m.z
    scale = 1.0 / (pi * alpha_u * alpha_v)
    if distribution == "ggx":
        t = slope2 + z2
        density = scale / (t * t)
    else:
        near = (slope2 < 80.0 * z2) & (m.z > 0)
        z2 = select(near, z2, 1.0)
        density = select(near, scale * exp(select(near, -slope2 / z2, 0.0)) / (z2 * z2), 0.0)
    return select(density * m.z > FLOOR, density, 0.0)


def smith_g1(distribution, v, m, alpha_u, alpha_v):
    """Smith's masking function: the fraction of the microfacets with normal m that is visible from v.

    It is 0 if v sees the back of m. Beckmann's is the rational approximation of Walter et al., section 5.2,
    within 0.35 % of the exact function.
    """
    x, y, z = v.x * alpha_u, v.y * alpha_v, absolute(v.z)
    lateral2 = x * x + y * y
    if distribution == "ggx":
        g = 2.0 * z / (z + sqrt(maximum(lateral2 + z * z, FLOOR)))
    else:
        lateral = sqrt(maximum(lateral2, FLOOR))
        steep = z < 1.6 * lateral
        a = select(steep, z / lateral, 1.6)
        g = select(steep, a * (3.535 + 2.181 * a) / (1.0 + a * (2.276 + 2.577 * a)), 1.0)
    return select(dot(v, m) * v.z > 0, g, 0.0)


def smith_g(distribution, wi, wo, m, alpha_u, alpha_v):
    """Masking and shadowing, taken as independent: the product of smith_g1 for both directions."""
    return smith_g1(distribution, wi, m, alpha_u, alpha_v) * smith_g1(distribution, wo, m, alpha_u, alpha_v)


def visible_ndf(distribution, w, m, alpha_u, alpha_v):
    """The density of visible normals, by the solid angle of m: D(m) G1(w, m) |w . m| / |w.z|.

    For Beckmann it is as exact as `smith_g1`. It is 0 at grazing incidence.
    """
    d = ndf(distribution, m, alpha_u, alpha_v) * smith_g1(distribution, w, m, alpha_u, alpha_v)
    z = absolute(w.z)
    valid = z > MIN_COSINE
    return select(valid, d * absolute(dot(w, m)) / select(valid, z, 1.0), 0.0)


def reflect(w, m):
    """The direction w, mirrored at the normal m."""
    return 2.0 * dot(w, m) * m - w


def refract(w, m, cos_t, eta_ti):
    """The direction w, refracted. cos_t, eta_ti: as `fresnel.dielectric` returns them for cos_i = w . m."""
    return (dot(w, m) * eta_ti + cos_t) * m - eta_ti * w


def half_vector(wi, wo, eta=1.0):
    """(m, norm): the normal m, with m.z >= 0, at which wi is reflected (eta = 1) or refracted to wo.

    eta: index on the side of wo over that of wi. norm: |wi + eta wo|, at least 1e-6; below that m is +z.
    """
    h = wi + eta * wo
    squared = dot(h, h)
    defined = squared > 1e-12
    norm = sqrt(select(defined, squared, 1e-12))
    m = h * (select(h.z < 0, -1.0, 1.0) / norm)
    return Vec3(m.x, m.y, select(defined, m.z, 1.0)), norm


@traced.traced
def bind(function, distribution):
    """`function` with its distribution bound, for `traced.value` and the like inside a kernel."""
    return partial(function, distribution)


# ---------------------------------------------------------------------------------------------------
# Sampling
# ---------------------------------------------------------------------------------------------------


@ti.func
def erf(x):
    """The error function, to 2e-7. Abramowitz & Stegun 7.1.26."""
    a = ti.abs(x)
    t = 1.0 / (1.0 + 0.3275911 * a)
    p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    y = 1.0 - p * ti.exp(-a * a)
    return ti.select(x < 0, -y, y)


@ti.func
def erfinv(x):
    """The inverse of the error function, |x| < 1. Giles, Approximating the erfinv function (2011)."""
    w = -ti.log(ti.max((1.0 - x) * (1.0 + x), 1e-30))
    p = w  # declares p with the type of w
    if w < 5.0:
        w -= 2.5
        p = 2.81022636e-08
        p = 3.43273939e-07 + p * w
        p = -3.5233877e-06 + p * w
        p = -4.39150654e-06 + p * w
        p = 0.00021858087 + p * w
        p = -0.00125372503 + p * w
        p = -0.00417768164 + p * w
        p = 0.246640727 + p * w
        p = 1.50140941 + p * w
    else:
        w = ti.sqrt(w) - 3.0
        p = -0.000200214257
        p = 0.000100950558 + p * w
        p = 0.00134934322 + p * w
        p = -0.00367342844 + p * w
        p = 0.00573950773 + p * w
        p = -0.0076224613 + p * w
        p = 0.00943887047 + p * w
        p = 1.00167406 + p * w
        p = 2.83297682 + p * w
    return p * x


@ti.func
def _erfinv_derivative(y, x):
    return [0.5 * ti.sqrt(pi) * ti.exp(y * y)]


@ti.func
def _newton_step(y, low, high, cos_i, sin_i, s, target):
    """A better (y, low, high) of the inversion in `_beckmann_slope`."""
    if not (y > low and y < high):
        y = 0.5 * (low + high)
    x = erfinv(y)
    excess = cos_i * (1.0 + y) + s * ti.exp(-x * x) - target
    if excess > 0:
        high = y
    else:
        low = y
    return y - excess / ti.max(cos_i - x * sin_i, 1e-6), low, high


@ti.func
def _beckmann_slope(cos_i, sin_i, u):
    """Sample the slope, along the direction of incidence, of a surface of roughness 1 seen from there.

    Its distribution function is proportional to C(x) = cos_i (1 + erf x) + sin_i / sqrt(pi) exp(-x^2) for
    x <= cot_i. It is inverted in y = erf x by Newton's method, kept inside a bracket by bisection.
    Heitz & d'Eon, Importance Sampling Microfacet-Based BSDFs using the Distribution of Visible Normals
    (EGSR 2014); Jakob, An Improved Visible Normal Sampling Routine for the Beckmann Distribution (2014).
    """
    s = sin_i / ti.sqrt(pi)
    cot = cos_i / ti.max(sin_i, 1e-6)
    high = erf(cot)
    low = high  # declares low with the type of high
    low = -1.0
    target = u * (cos_i * (1.0 + high) + s * ti.exp(-ti.min(cot * cot, 80.0)))
    y = high - (high + 1.0) * erf(ti.sqrt(-ti.log(ti.max(u, 1e-7))))
    if ti.static(differentiated_by_taichi()):  # Taichi 1.7.4 crashes on the loop in a derivative
        for _ in ti.static(range(NEWTON_STEPS)):
            y, low, high = _newton_step(y, low, high, cos_i, sin_i, s, target)
    else:
        for _ in range(NEWTON_STEPS):
            y, low, high = _newton_step(y, low, high, cos_i, sin_i, s, target)
    return erfinv(ti.min(ti.max(y, low), high))


@ti.func
def _beckmann_slope_derivatives(x, cos_i, sin_i, u):
    """The derivatives of x = `_beckmann_slope` by cos_i, sin_i and u.

    C(x) = u C(cot_i) is differentiated implicitly. The derivative of C by x is
    2 / sqrt(pi) exp(-x^2) (cos_i - x sin_i), and that by cot_i is 0.
    """
    cot = cos_i / ti.max(sin_i, 1e-6)
    near, far = ti.exp(-ti.min(x * x, 80.0)), ti.exp(-ti.min(cot * cot, 80.0))
    by_x = 2.0 * near * ti.max(cos_i - x * sin_i, 1e-6)
    by_cos = ti.sqrt(pi) * (u * (1.0 + erf(cot)) - (1.0 + erf(x)))
    by_sin = u * far - near
    by_u = ti.sqrt(pi) * cos_i * (1.0 + erf(cot)) + sin_i * far
    return [by_cos / by_x, by_sin / by_x, by_u / by_x]


inverse_erf = custom(erfinv, _erfinv_derivative)
beckmann_slope = custom(_beckmann_slope, _beckmann_slope_derivatives)


def sample_visible(distribution, wi, alpha_u, alpha_v, u1, u2):
    """Sample a microfacet normal that is visible from wi, wi.z > 0, with the density `visible_ndf`.

    GGX: Dupuy & Benyoub, Sampling Visible GGX Normals with Spherical Caps (HPG 2023).
    """
    v = normalize(Vec3(alpha_u * wi.x, alpha_v * wi.y, wi.z))  # wi for a surface of roughness 1
    if distribution == "ggx":
        one_minus_cos = u2 * (1.0 + v.z)  # of a point on the spherical cap
        r = sqrt(maximum(one_minus_cos * (2.0 - one_minus_cos), 0.0))
        xy = circle(u1)
        h = Vec3(r * xy.x + v.x, r * xy.y + v.y, 1.0 - one_minus_cos + v.z)
    else:
        sin_i = sqrt(v.x * v.x + v.y * v.y)
        tilted = sin_i > 0
        divisor = select(tilted, sin_i, 1.0)
        along_x, along_y = select(tilted, v.x / divisor, 1.0), select(tilted, v.y / divisor, 0.0)
        x = beckmann_slope(v.z, sin_i, u1)
        y = inverse_erf(2.0 * clamp(u2, 1e-7, 1.0 - 1e-7) - 1.0)
        h = Vec3(y * along_y - x * along_x, -x * along_y - y * along_x, 1.0)
    return normalize(Vec3(alpha_u * h.x, alpha_v * h.y, maximum(h.z, 1e-7)))
