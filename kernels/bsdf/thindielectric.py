"""A thin dielectric plate with both its boundaries: light is reflected or passes straight through.

    R specular_reflectance                delta lobe of reflection, probability R
    (1 - R) specular_transmittance        delta lobe of transmission, probability 1 - R

eta: index of the plate over that of its surroundings. With all internal reflections
R = F + (1 - F)^2 F (1 + F^2 + F^4 + ...) = 2 F / (1 + F). Directions are local (normal along +z), unit, and
point away from the surface. pbrt-v4, section 9.5.
"""

from prb.kernels.fresnel import dielectric
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, absolute, select

DELTA_LOBE = True
PARAMETERS = (
    Parameter("eta", default=1.5, low=1e-3, number=True, plain=True),
    Parameter("specular_reflectance", default=1.0, high=1.0),
    Parameter("specular_transmittance", default=1.0, high=1.0),
)


def plate(cos_i, eta):
    """R, the reflectance of the plate."""
    f = dielectric(absolute(cos_i), eta)[0]
    return 2.0 * f / (1.0 + f)


def eval(p, wi, wo, delta):
    eta, reflectance, transmittance = p
    r = plate(wi.z, eta)
    same_side = ((wi.z >= 0) & (wo.z >= 0)) | ((wi.z < 0) & (wo.z < 0))
    return select(delta > 0.5, select(same_side, r * reflectance, (1.0 - r) * transmittance), 0.0)


def sample(p, wi, u):
    r = plate(wi.z, p[0])
    reflects = u[2] < r
    wo = Vec3(-wi.x, -wi.y, select(reflects, wi.z, -wi.z))
    chance = select(reflects, r, 1.0 - r)
    return wo, chance, 1, 1.0, chance


def pdf(p, wi, wo):
    return 0.0


def straight(p, wi):
    eta, _, transmittance = p
    return (1.0 - plate(wi.z, eta)) * transmittance
