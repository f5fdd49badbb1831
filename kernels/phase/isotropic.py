"""Isotropic scattering: 1 / (4 pi) in every direction.

Directions are unit vectors in world space that point away from the scattering point.
"""

from prb.kernels.backend import pi
from prb.kernels.phase.reads import NOTHING
from prb.kernels.warp import square_to_sphere

PARAMETER = None
READS = NOTHING
UNIFORM = 0.25 / pi


def eval(p, wi, wo):
    return 0.0 * wo.x + UNIFORM  # with the type of a direction's component


def sample(p, wi, u):
    wo = square_to_sphere(u[0], u[1])
    return wo, pdf(p, wi, wo)


pdf = eval
