"""Fresnel reflectance of unpolarised light at dielectrics and conductors, as traced functions.

`cos_i` is the cosine between the direction of incidence, which points away from the surface, and the normal,
which points to the outside. Values and derivatives are finite for every argument, also at total internal
reflection and at grazing incidence.
"""

from prb.kernels.traced import Vec3, absolute, maximum, select, sqrt

FLOOR = 1e-20  # smallest radicand, so that derivatives are finite


def dielectric(cos_i, eta):
    """Reflectance F, the cosine of the transmitted direction, and the ratios of the indices.

    eta: index of the inside over that of the outside. cos_i < 0: incidence from the inside.
    Returns (F, cos_t, eta_it, eta_ti): cos_t has the sign opposite to cos_i; eta_it is the index of
    the side of transmission over that of incidence, eta_ti its reciprocal. At total internal
    reflection F = 1 and cos_t = 0. Born & Wolf, Principles of Optics, 1.5.2.
    """
    outside = cos_i >= 0
    inverse = 1.0 / eta
    eta_it, eta_ti = select(outside, eta, inverse), select(outside, inverse, eta)
    c = absolute(cos_i)
    squared = 1.0 - eta_ti * eta_ti * (1.0 - c * c)
    transmits = squared > 0
    t = select(transmits, sqrt(select(transmits, squared, 1.0)), 0.0)
    denominator_s, denominator_p = eta_it * t + c, eta_it * c + t
    defined = (denominator_s > 0) & (denominator_p > 0)  # false for grazing incidence on equal indices
    s = (c - eta_it * t) / select(defined, denominator_s, 1.0)
    p = (eta_it * c - t) / select(defined, denominator_p, 1.0)
    total_reflectance = select(absolute(eta - 1.0) > 0, 1.0, 0.0)
    reflectance = select(transmits, select(defined, 0.5 * (s * s + p * p), 0.0), total_reflectance)
    return reflectance, select(outside, -t, t), eta_it, eta_ti


def _conductor(cos_i, eta, k):
    """Reflectance at one wavelength. a + ib = sqrt((eta - ik)^2 - sin^2), without cancellation in a."""
    c2 = cos_i * cos_i
    s2 = 1.0 - c2
    real = eta * eta - k * k - s2
    modulus = sqrt(maximum(real * real + 4.0 * eta * eta * k * k, FLOOR))
    larger = sqrt(0.5 * (modulus + absolute(real)))
    a = select(real >= 0, larger, eta * k / larger)
    cross = 2.0 * a * cos_i
    s = (modulus + c2 - cross) / (modulus + c2 + cross)
    q = modulus * c2 + s2 * s2
    p = s * ((q - cross * s2) / (q + cross * s2))
    return 0.5 * (s + p)


def conductor(cos_i, eta, k):
    """Reflectance (Vec3) of a conductor of relative index eta - i k (two Vec3); cos_i >= 0.

    Born & Wolf, Principles of Optics, 14.2, in the form of Lagarde, Memo on Fresnel equations (2013).
    """
    cos_i = maximum(cos_i, 0.0)
    return Vec3(*(_conductor(cos_i, n, x) for n, x in zip(eta, k, strict=True)))


def schlick_weight(cos_i):
    """(1 - cos_i)^5, with cos_i limited to [0, 1]."""
    m = maximum(1.0 - maximum(cos_i, 0.0), 0.0)
    m2 = m * m
    return m2 * m2 * m


def schlick(r0, cos_i):
    """Schlick's approximation: r0 (Scalar or Vec3) at normal incidence, 1 at grazing incidence."""
    return r0 + (1.0 - r0) * schlick_weight(cos_i)
