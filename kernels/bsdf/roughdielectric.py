"""A rough boundary between two dielectrics: microfacets that are smooth boundaries.

With F, D, G for the normal m = +-(wi + eta wo) / |wi + eta wo|, where eta is 1 for reflection and otherwise
the index on the side of wo over that on the side of wi,

    f cos_o = F D G / (4 cos_i)                                           reflection
    f cos_o = (1 - F) D G |wi . m| |wo . m| / (cos_i |wi + eta wo|^2)     transmission of radiance

Both are multiplied by specular_reflectance or specular_transmittance. Samples are wi reflected or refracted
at normals that are visible from wi. The derivative of `eval` by eta is that at fixed directions. There are
variants as for roughconductor.

Directions are local (normal along +z, x along dp/du), unit, and point away from the surface. `eval` includes
the cosine of wo; densities are by solid angle.

Walter, Marschner, Li, Torrance, Microfacet Models for
Refraction through Rough Surfaces (EGSR 2007), eqs. 20 and 21, the latter times (eta_i / eta_t)^2.
"""

from types import SimpleNamespace

from prb.kernels.bsdf.roughconductor import ANISOTROPIC, ISOTROPIC
from prb.kernels.fresnel import dielectric
from prb.kernels.microfacet import (
    MIN_COSINE,
    half_vector,
    ndf,
    reflect,
    refract,
    roughness,
    sample_visible,
    smith_g,
    visible_ndf,
)
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, absolute, dot, maximum, select

OPTICS = (
    Parameter("eta", default=1.5, low=1e-3, number=True, plain=True),
    Parameter("specular_reflectance", default=1.0, high=1.0),
    Parameter("specular_transmittance", default=1.0, high=1.0),
)


def geometry(eta, wi, wo):
    """(True if wo is reflected, index of the other side over that of wi, normal m, |wi + eta wo|)."""
    reflects = wi.z * wo.z > 0
    eta_it = select(wi.z > 0, eta, 1.0 / eta)
    return reflects, eta_it, *half_vector(wi, wo, select(reflects, 1.0, eta_it))


def functions(distribution, anisotropic):
    """The functions of the model for a distribution ("ggx" or "beckmann")."""
    PARAMETERS = (ANISOTROPIC if anisotropic else ISOTROPIC) + OPTICS
    V = 1 if anisotropic else 0  # index in p of the roughness along the second tangent

    def eval(p, wi, wo, delta):
        alpha, (eta, reflectance, transmittance) = (roughness(p[0]), roughness(p[V])), p[V + 1 :]
        reflects, _eta_it, m, norm = geometry(eta, wi, wo)
        valid = absolute(wi.z) > MIN_COSINE
        cos_i = select(valid, absolute(wi.z), 1.0)
        f = dielectric(dot(wi, m), eta)[0]
        dg = ndf(distribution, m, *alpha) * smith_g(distribution, wi, wo, m, *alpha)
        dg = select(valid, dg / cos_i, 0.0)
        through = (1.0 - f) * absolute(dot(wi, m) * dot(wo, m)) / (norm * norm)
        return dg * select(reflects, 0.25 * f * reflectance, through * transmittance)

    def pdf(p, wi, wo):
        eta = p[V + 1]
        reflects, eta_it, m, norm = geometry(eta, wi, wo)
        f = dielectric(dot(wi, m), eta)[0]
        d = visible_ndf(distribution, wi, m, roughness(p[0]), roughness(p[V]))
        cos_o = absolute(dot(wo, m))
        valid = dot(wo, m) * wo.z > 0
        refracted = (1.0 - f) * eta_it * eta_it * cos_o / (norm * norm)
        return select(valid, d * select(reflects, 0.25 * f / select(valid, cos_o, 1.0), refracted), 0.0)

    def sample(p, wi, u):
        side = select(wi.z < 0, -1.0, 1.0)
        upper_wi = Vec3(side * wi.x, side * wi.y, maximum(side * wi.z, MIN_COSINE))
        m = sample_visible(distribution, upper_wi, roughness(p[0]), roughness(p[V]), u[0], u[1])
        f, cos_t, eta_it, eta_ti = dielectric(dot(wi, m), p[V + 1])
        reflects = u[2] < f
        wo = select(reflects, reflect(wi, m), refract(wi, m, cos_t, eta_ti))
        valid = (wi.z * wo.z > 0) == reflects
        chance = select(reflects, f, 1.0 - f)
        return wo, select(valid, pdf(p, wi, wo), 0.0), 0, select(reflects, 1.0, eta_it), chance

    return SimpleNamespace(PARAMETERS=PARAMETERS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {
    "roughdielectric": functions("ggx", False),
    "roughdielectric_anisotropic": functions("ggx", True),
    "roughdielectric_beckmann": functions("beckmann", False),
    "roughdielectric_beckmann_anisotropic": functions("beckmann", True),
}
