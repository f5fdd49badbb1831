"""A polished conductor: a mirror with the reflectance of Fresnel's equations, on the side of the normal.

    wo = (-wi.x, -wi.y, wi.z), with coefficient specular_reflectance F(wi)        delta lobe, probability 1

eta, k: real and imaginary part of the index of refraction, relative to that of the outside. Directions are
local (normal along +z), unit, and point away from the surface. Born & Wolf, Principles of Optics, 14.2.
"""

from prb.kernels.fresnel import conductor
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, select

DELTA_LOBE = True
PARAMETERS = (
    Parameter("eta", default=0.0),
    Parameter("k", default=1.0),
    Parameter("specular_reflectance", default=1.0, high=1.0),
)


def eval(p, wi, wo, delta):
    eta, k, reflectance = p
    valid = (delta > 0.5) & (wi.z > 0) & (wo.z > 0)
    return select(valid, reflectance * conductor(wi.z, eta, k), 0.0)


def sample(p, wi, u):
    return Vec3(-wi.x, -wi.y, wi.z), select(wi.z > 0, 1.0, 0.0), 1, 1.0, 1.0


def pdf(p, wi, wo):
    return 0.0
