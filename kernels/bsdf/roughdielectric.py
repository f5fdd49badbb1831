"""A rough boundary between two dielectrics: smooth boundaries of microscopic size, turned at random.

With F, D, G for the normal m = +-(wi + eta wo) / |wi + eta wo|, where eta is 1 for reflection and else
the index on the side of wo over that on the side of wi,

    f cos_o = F D G / (4 cos_i)                                           reflection
    f cos_o = (1 - F) D G |wi . m| |wo . m| / (cos_i |wi + eta wo|^2)     transmission of radiance

Samples are reflected or refracted at normals that wi sees. The derivative by eta is that at fixed
directions. Variants as for roughconductor. Walter, Marschner, Li, Torrance, Microfacet Models for
Refraction through Rough Surfaces (EGSR 2007), eqs. 20 and 21, the second times (eta_i / eta_t)^2.
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
    visible,
)
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, absolute, dot, maximum, select

OPTICS = (
    Parameter("eta", default=1.5, low=1e-3, number=True, plain=True),
    Parameter("specular_reflectance", default=1.0, high=1.0),
    Parameter("specular_transmittance", default=1.0, high=1.0),
)


def geometry(eta, wi, wo):
    """Whether wo is reflected; eta on its side over that of wi; the normal; |wi + eta wo|."""
    reflects = wi.z * wo.z > 0
    eta_it = select(wi.z > 0, eta, 1.0 / eta)
    return reflects, eta_it, *half_vector(wi, wo, select(reflects, 1.0, eta_it))


def functions(distribution, anisotropic):
    """The model for a distribution ("ggx" or "beckmann")."""
    PARAMETERS = (ANISOTROPIC if anisotropic else ISOTROPIC) + OPTICS
    V = 1 if anisotropic else 0  # where p has the roughness along the second tangent

    def eval(p, wi, wo, delta):
        alpha, (eta, reflectance, transmittance) = (roughness(p[0]), roughness(p[V])), p[V + 1 :]
        reflects, _eta_it, m, size = geometry(eta, wi, wo)
        valid = absolute(wi.z) > MIN_COSINE
        cos_i = select(valid, absolute(wi.z), 1.0)
        f = dielectric(dot(wi, m), eta)[0]
        dg = ndf(distribution, m, *alpha) * smith_g(distribution, wi, wo, m, *alpha)
        dg = select(valid, dg / cos_i, 0.0)
        through = (1.0 - f) * absolute(dot(wi, m) * dot(wo, m)) / (size * size)
        return dg * select(reflects, 0.25 * f * reflectance, through * transmittance)

    def pdf(p, wi, wo):
        eta = p[V + 1]
        reflects, eta_it, m, size = geometry(eta, wi, wo)
        f = dielectric(dot(wi, m), eta)[0]
        d = visible(distribution, wi, m, roughness(p[0]), roughness(p[V]))
        cos_o = absolute(dot(wo, m))
        seen = dot(wo, m) * wo.z > 0
        bent = (1.0 - f) * eta_it * eta_it * cos_o / (size * size)
        return select(seen, d * select(reflects, 0.25 * f / select(seen, cos_o, 1.0), bent), 0.0)

    def sample(p, wi, u):
        side = select(wi.z < 0, -1.0, 1.0)
        seen = Vec3(side * wi.x, side * wi.y, maximum(side * wi.z, MIN_COSINE))
        m = sample_visible(distribution, seen, roughness(p[0]), roughness(p[V]), u[0], u[1])
        f, cos_t, eta_it, eta_ti = dielectric(dot(wi, m), p[V + 1])
        reflects = u[2] < f
        wo = select(reflects, reflect(wi, m), refract(wi, m, cos_t, eta_ti))
        right_side = (wi.z * wo.z > 0) == reflects
        return wo, select(right_side, pdf(p, wi, wo), 0.0), 0, select(reflects, 1.0, eta_it)

    return SimpleNamespace(PARAMETERS=PARAMETERS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {
    "roughdielectric": functions("ggx", False),
    "roughdielectric_anisotropic": functions("ggx", True),
    "roughdielectric_beckmann": functions("beckmann", False),
    "roughdielectric_beckmann_anisotropic": functions("beckmann", True),
}
