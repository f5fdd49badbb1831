"""A rough conductor: microfacets that are mirrors, on the side of the normal.

    f = specular_reflectance F D G / (4 cos_i cos_o)

There are variants for each distribution of the microfacets' normals, and for one roughness (`alpha`) or two,
along the tangents (`alpha_u`, `alpha_v`). Samples are wi mirrored at normals that are visible from wi.

Directions are local (normal along +z, x along dp/du), unit, and point away from the surface. `eval` includes
the cosine of wo; densities are by solid angle.

Cook & Torrance, A Reflectance Model for Computer Graphics (1982); kernels/microfacet.py has D, G and the
sampling.
"""

from types import SimpleNamespace

from prb.kernels.bsdf import conductor
from prb.kernels.fresnel import conductor as fresnel
from prb.kernels.microfacet import (
    MIN_COSINE,
    half_vector,
    ndf,
    reflect,
    roughness,
    sample_visible,
    smith_g,
    visible_ndf,
)
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, dot, maximum, select

ISOTROPIC = (Parameter("alpha", default=0.1, number=True),)
ANISOTROPIC = (Parameter("alpha_u", default=0.1, number=True), Parameter("alpha_v", default=0.1, number=True))


def functions(distribution, anisotropic):
    """The functions of the model for a distribution ("ggx" or "beckmann")."""
    PARAMETERS = (ANISOTROPIC if anisotropic else ISOTROPIC) + conductor.PARAMETERS
    V = 1 if anisotropic else 0  # index in p of the roughness along the second tangent

    def eval(p, wi, wo, delta):
        alpha, (eta, k, reflectance) = (roughness(p[0]), roughness(p[V])), p[V + 1 :]
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _norm = half_vector(wi, wo)
        dg = ndf(distribution, m, *alpha) * smith_g(distribution, wi, wo, m, *alpha)
        gloss = select(valid, dg / (4.0 * select(valid, wi.z, 1.0)), 0.0)
        return gloss * reflectance * fresnel(dot(wi, m), eta, k)

    def pdf(p, wi, wo):
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _norm = half_vector(wi, wo)
        d = visible_ndf(distribution, wi, m, roughness(p[0]), roughness(p[V]))
        return select(valid, d / (4.0 * select(valid, dot(wo, m), 1.0)), 0.0)

    def sample(p, wi, u):
        upper_wi = Vec3(wi.x, wi.y, maximum(wi.z, MIN_COSINE))
        wo = reflect(wi, sample_visible(distribution, upper_wi, roughness(p[0]), roughness(p[V]), u[0], u[1]))
        return wo, pdf(p, wi, wo), 0, 1.0, 1.0

    return SimpleNamespace(PARAMETERS=PARAMETERS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {
    "roughconductor": functions("ggx", False),
    "roughconductor_anisotropic": functions("ggx", True),
    "roughconductor_beckmann": functions("beckmann", False),
    "roughconductor_beckmann_anisotropic": functions("beckmann", True),
}
