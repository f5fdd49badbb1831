"""Rayleigh scattering of unpolarised light: 3 (1 + cos^2) / (16 pi), alike forward and backward.

Directions are unit vectors in world space that point away from the scattering point. The cosine's
distribution function is inverted in closed form: with v = 2 u - 1 it says c^3 + 3 c = 4 v, which
c = z - 1 / z, z^3 = 2 v + sqrt(4 v^2 + 1), solves (Frisvad, Importance Sampling the Rayleigh Phase Function,
JOSA A 28(12), 2011).
"""

from prb.kernels.backend import pi
from prb.kernels.phase.angles import around
from prb.kernels.phase.reads import NOTHING
from prb.kernels.traced import absolute, dot, maximum, minimum, power, select, sqrt

PARAMETER = None
READS = NOTHING
SCALE = 3.0 / (16.0 * pi)


def eval(p, wi, wo):
    cosine = dot(wi, wo)
    return SCALE * (1.0 + cosine * cosine)


def sample(p, wi, u):
    v = 2.0 * u[0] - 1.0
    w = 2.0 * absolute(v)
    # |v|, as for v < 0 the sum below cancels; z is at least 1
    z = power(w + sqrt(w * w + 1.0), 1.0 / 3.0)
    c = minimum(z - 1.0 / z, 1.0)
    sine = sqrt(maximum((1.0 - c) * (1.0 + c), 0.0))
    wo = around(wi, select(v < 0, -c, c), sine, u[1])
    return wo, pdf(p, wi, wo)


pdf = eval
