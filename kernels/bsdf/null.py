"""A surface without effect: light passes straight through.

wo = -wi, with coefficient 1        delta lobe, probability 1
"""

from prb.kernels.traced import Vec3, select

DELTA_LOBE = True
PARAMETERS = ()


def eval(p, wi, wo, delta):
    one = select(delta > 0.5, 1.0, 0.0)
    return Vec3(one, one, one)


def sample(p, wi, u):
    return -wi, 1.0, 1, 1.0, 1.0


def pdf(p, wi, wo):
    return 0.0


def straight(p, wi):
    return Vec3(1.0, 1.0, 1.0)
