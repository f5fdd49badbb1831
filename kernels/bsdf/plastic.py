"""Smooth plastic: a diffuse base under a smooth dielectric coat.

    f |cos wo| = base (1 - F(wi)) (1 - F(wo)) |cos wo| / (pi eta^2)
    base       = diffuse / (1 - R diffuse')
    F(wi) specular_reflectance                                delta lobe of the mirror direction

R is the fraction of diffuse light that the coat reflects back to the base. diffuse' is 1, or with `nonlinear`
the reflectance of the base, which makes its colour more saturated. eta: index of the inside over that of the
outside. Light is reflected on the side of the normal only.

Directions are local (normal along +z), unit, and point away from the surface. `eval` includes the cosine of
wo; densities are by solid angle.

Jakob, Mitsuba 0.5 manual (2014), section 8.2.6. Lobes are sampled by the reflectances at the point, not by
their means over the surface.
"""

from prb.kernels.backend import pi
from prb.kernels.fresnel import dielectric
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, clamp, maximum, minimum, select
from prb.kernels.warp import square_to_cosine_hemisphere

MIN_LOBE_CHANCE = 0.05  # smallest weight of a lobe in sampling, as a black one has a derivative, too
MAX_MIRROR_CHANCE = 0.999  # largest probability of the specular lobe, at grazing incidence
DIFFUSE = Parameter("diffuse_reflectance", default=0.5, high=1.0)
SPECULAR = Parameter("specular_reflectance", default=1.0, high=1.0)

# Beyond an eta of 2.5 the approximation of R makes the surface gain more and more energy; at 4, R exceeds 1.
PARAMETERS = (
    DIFFUSE,
    SPECULAR,
    Parameter("eta", default=1.49 / 1.000277, low=1.0, high=2.5, number=True, plain=True),
)
DELTA_LOBE = True
CONSTANTS = ("nonlinear",)  # 0 or 1


def internal_reflectance(eta):
    """R, the reflectance for diffuse light from inside. Egan & Hilgeman, Applied Optics 12 (1973).

    For 1 <= eta <= 2 the base is within 0.2 % of what the exact R gives; at 2.5 it is 4 % too bright.
    """
    r = 1.0 / eta
    return 0.0636 * eta + 0.6681 + r * (0.7099 - 1.4399 * r)


def base(diffuse, reflected, nonlinear):
    """The reflectance of the base, with all internal reflections. reflected: R."""
    return diffuse / (1.0 - reflected * (1.0 + nonlinear * (diffuse - 1.0)))


def mirror_probability(diffuse, specular, reflected):
    """The probability of the specular lobe. reflected: the fraction of light that the coat reflects."""
    d, s = diffuse.x + diffuse.y + diffuse.z, specular.x + specular.y + specular.z
    weight = clamp(s / maximum(d + s, 1e-6), MIN_LOBE_CHANCE, 1.0 - MIN_LOBE_CHANCE)
    mirrored = reflected * weight
    total = mirrored + (1.0 - reflected) * (1.0 - weight)
    return minimum(mirrored / maximum(total, 1e-6), MAX_MIRROR_CHANCE)


def eval(p, wi, wo, delta):
    diffuse, specular, eta, nonlinear = p
    f_i, f_o = dielectric(wi.z, eta)[0], dielectric(wo.z, eta)[0]
    body = base(diffuse, internal_reflectance(eta), nonlinear)
    body = body * ((1.0 - f_i) * (1.0 - f_o) * wo.z / (pi * eta * eta))
    return select((wi.z > 0) & (wo.z > 0), select(delta > 0.5, specular * f_i, body), 0.0)


def mirror_chance(p, wi):
    """The probability of the mirror direction."""
    return mirror_probability(p[0], p[1], dielectric(wi.z, p[2])[0])


def sample(p, wi, u):
    """The mirror direction, or a direction in proportion to its cosine. u[2] selects the lobe."""
    mirror = mirror_chance(p, wi)
    specular = u[2] < mirror
    wo = square_to_cosine_hemisphere(u[0], u[1])
    chance = select(specular, mirror, 1.0 - mirror)
    density = chance * select(specular, 1.0, wo.z / pi)
    wo = select(specular, Vec3(-wi.x, -wi.y, wi.z), wo)
    return wo, select(wi.z > 0, density, 0.0), select(specular, 1, 0), 1.0, chance


def pdf(p, wi, wo):
    mirror = mirror_chance(p, wi)
    return select((wi.z > 0) & (wo.z > 0), (1.0 - mirror) * wo.z / pi, 0.0)
