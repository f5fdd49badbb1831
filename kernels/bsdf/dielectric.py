"""A smooth boundary between two dielectrics, which reflects F and transmits 1 - F by Snell's law.

    F specular_reflectance                                  delta lobe of reflection, probability F
    (1 - F) (eta_i / eta_t)^2 specular_transmittance        delta lobe of transmission, probability 1 - F

eta: index of the inside (the side of -z) over that of the outside; eta_i, eta_t: indices on the sides of wi
and of the transmitted direction, whose ratio enters because radiance is transported. Directions are local
(normal along +z), unit, and point away from the surface. The directions depend on eta, so `eval` has no
derivative by it; `sample` has.

Born & Wolf, Principles of Optics, 1.5; Veach's thesis (1997), 5.2, for the factor.
"""

from prb.kernels.fresnel import dielectric
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, select

DELTA_LOBE = True
PARAMETERS = (
    Parameter("eta", default=1.5, low=1e-3, number=True, plain=True, differentiable=False),
    Parameter("specular_reflectance", default=1.0, high=1.0),
    Parameter("specular_transmittance", default=1.0, high=1.0),
)


def eval(p, wi, wo, delta):
    eta, reflectance, transmittance = p
    f, _cos_t, _eta_it, eta_ti = dielectric(wi.z, eta)
    same_side = ((wi.z >= 0) & (wo.z >= 0)) | ((wi.z < 0) & (wo.z < 0))
    coefficient = select(same_side, f * reflectance, (1.0 - f) * (eta_ti * eta_ti) * transmittance)
    return select(delta > 0.5, coefficient, 0.0)


def sample(p, wi, u):
    f, cos_t, eta_it, eta_ti = dielectric(wi.z, p[0])
    reflects = u[2] < f
    wo = select(reflects, Vec3(-wi.x, -wi.y, wi.z), Vec3(-wi.x * eta_ti, -wi.y * eta_ti, cos_t))
    chance = select(reflects, f, 1.0 - f)
    return wo, chance, 1, select(reflects, 1.0, eta_it), chance


def pdf(p, wi, wo):
    return 0.0
