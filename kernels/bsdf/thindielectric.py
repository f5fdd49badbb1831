"""A thin plate of a dielectric, both its boundaries at once: light is reflected, or goes straight through.

eta: index of the plate over that of its surroundings. With all internal reflections the plate reflects
R = F + (1 - F)^2 F (1 + F^2 + F^4 + ...) = 2 F / (1 + F). Both lobes are deltas. pbrt-v4, 9.5.
"""

from prb.kernels.fresnel import dielectric
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, absolute, select

PARAMETERS = (
    Parameter("eta", default=1.5, low=1e-3, number=True, plain=True),
    Parameter("specular_reflectance", default=1.0, high=1.0),
    Parameter("specular_transmittance", default=1.0, high=1.0),
)


def plate(cos_i, eta):
    """What the plate reflects."""
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
    return wo, select(reflects, r, 1.0 - r), 1, 1.0


def pdf(p, wi, wo):
    return 0.0
