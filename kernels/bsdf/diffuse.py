"""Ideal diffuse (Lambertian) reflection on the side of the normal: f = reflectance / pi.

Directions are local (normal along +z), unit, and point away from the surface. `eval` includes the cosine of
wo. Samples have the density cos(wo) / pi by solid angle.
"""

from prb.kernels.backend import pi
from prb.kernels.parameter import Parameter
from prb.kernels.traced import select
from prb.kernels.warp import square_to_cosine_hemisphere

PARAMETERS = (Parameter("reflectance", default=0.5, low=0.0, high=1.0),)


def eval(p, wi, wo, delta):
    (reflectance,) = p
    return select((wi.z > 0) & (wo.z > 0), reflectance * (wo.z / pi), 0.0)


def sample(p, wi, u):
    """Sample wo in proportion to its cosine."""
    wo = square_to_cosine_hemisphere(u[0], u[1])  # fault: number-used-twice
    return wo, pdf(p, wi, wo), 0, 1.0, 1.0


def pdf(p, wi, wo):
    return select((wi.z > 0) & (wo.z > 0), wo.z / pi, 0.0)
