"""Phong's model in Blinn's form: a diffuse and a glossy lobe, with the half vector h of wi and wo.

    f = diffuse / pi + specular (n + 8) / (8 pi) (h . normal)^n          n: the exponent

with the normalisation of Akenine-Moeller, Haines, Hoffman, Real-Time Rendering (3rd ed. 2008), 7.6. The
variant `phong_unnormalized` omits the factor (n + 8) / (8 pi), as teaching material does:

    f = diffuse / pi + specular (h . normal)^n

Light is reflected on the side of the normal only. At normal incidence the normalised lobe reflects between 1
and 1 + 2 / (n + 6) times its colour; the scene has to choose both colours so that energy is conserved.

Directions are local (normal along +z), unit, and point away from the surface. `eval` includes the cosine of
wo; densities are by solid angle.

Blinn, Models of Light Reflection for Computer Synthesized Pictures (SIGGRAPH 1977).
"""

from types import SimpleNamespace

from prb.kernels.backend import pi
from prb.kernels.microfacet import half_vector, reflect
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, branch, clamp, cos, dot, exp, log, maximum, power, select, sin, sqrt
from prb.kernels.warp import square_to_cosine_hemisphere

MIN_LOBE_CHANCE = 0.05  # smallest probability of a lobe, as a black one has a derivative, too
PARAMETERS = (
    Parameter("diffuse_reflectance", default=0.5, high=1.0),
    Parameter("specular_reflectance", default=0.2, high=1.0),
    Parameter("exponent", default=30.0, high=1e5, number=True),
)


def functions(normalized):
    """The functions of the model, with the glossy lobe normalised or not."""

    def eval(p, wi, wo, delta):
        diffuse, specular, n = p
        h, _norm = half_vector(wi, wo)
        scale = (n + 8.0) / (8.0 * pi) if normalized else 1.0
        gloss = scale * power(clamp(h.z, 0.0, 1.0), n)
        return select((wi.z > 0) & (wo.z > 0), (diffuse / pi + specular * gloss) * wo.z, 0.0)

    def gloss_chance(p):
        """The probability of the glossy lobe, in proportion to about what each lobe reflects."""
        diffuse, specular, n = p
        d, s = diffuse.x + diffuse.y + diffuse.z, specular.x + specular.y + specular.z
        if not normalized:
            s = s * (8.0 * pi / (n + 8.0))
        return clamp(s / maximum(d + s, 1e-6), MIN_LOBE_CHANCE, 1.0 - MIN_LOBE_CHANCE)

    def pdf(p, wi, wo):
        chance = gloss_chance(p)
        h, _norm = half_vector(wi, wo)
        lobe = (p[2] + 1.0) / (2.0 * pi) * power(clamp(h.z, 0.0, 1.0), p[2])
        lobe = lobe / (4.0 * maximum(dot(wo, h), 1e-6))
        return select((wi.z > 0) & (wo.z > 0), chance * lobe + (1.0 - chance) * (wo.z / pi), 0.0)

    def sample(p, wi, u):
        """Sample wo by its cosine, or mirror wi at h of density (n + 1) / (2 pi) h.z^n; u[2] selects."""

        def mirrored():
            log_z = log(maximum(u[0], 1e-10)) / (p[2] + 1.0)
            z = exp(log_z)
            # 1 - z^2 = -expm1(2 log z), without cancellation near z = 1
            r2 = select(log_z > -1e-3, -2.0 * log_z * (1.0 + log_z), 1.0 - z * z)
            r, azimuth = sqrt(r2), 2.0 * pi * u[1]
            return reflect(wi, Vec3(r * cos(azimuth), r * sin(azimuth), z))

        chance = gloss_chance(p)
        glossy = u[2] < chance
        wo = branch(glossy, mirrored, lambda: square_to_cosine_hemisphere(u[0], u[1]))
        return wo, pdf(p, wi, wo), 0, 1.0, select(glossy, chance, 1.0 - chance)

    return SimpleNamespace(PARAMETERS=PARAMETERS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {"phong": functions(True), "phong_unnormalized": functions(False)}
