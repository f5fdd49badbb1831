"""A smooth boundary between two dielectrics: reflects F, transmits 1 - F by Snell's law; both are deltas.

eta: index of the inside (where -z points) over that of the outside. Radiance is transported, so
transmission carries (eta_i / eta_t)^2. `eval` has no derivative by eta, for its
directions depend on it; `sample` has.

Born & Wolf, Principles of Optics, 1.5; Veach's thesis (1997), 5.2, for the factor.
"""

from prb.kernels.fresnel import dielectric
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, select

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
    return wo, select(reflects, f, 1.0 - f), 1, select(reflects, 1.0, eta_it)


def pdf(p, wi, wo):
    return 0.0
