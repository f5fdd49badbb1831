"""Rough plastic: a diffuse base under a rough dielectric coat.

    f |cos wo| = F D G / (4 cos wi) specular_reflectance + base T(wi) T(wo) |cos wo| / (pi eta^2)

F, D, G: reflection by the microfacets of the coat (kernels/microfacet.py). T: the fraction of the light from
a direction that passes the coat. R, in `base` (kernels/bsdf/plastic.py): the fraction of diffuse light that
the coat reflects back to the base. T and R are functions of alpha without a closed form, so the scene has
their Chebyshev expansions for its eta as constants; these can be differentiated by alpha (`alpha_coordinate`,
`cosine_coordinate`). prb/scene/plugins/rough_coat.py computes them.

There is a variant for each distribution of the microfacets' normals. Light is reflected on the side of the
normal only.

Directions are local (normal along +z), unit, and point away from the surface. `eval` includes the cosine of
wo; densities are by solid angle.

Jakob, Mitsuba 0.5 manual (2014), section 8.2.7.
"""

import math
from types import SimpleNamespace

from prb.kernels.backend import pi
from prb.kernels.bsdf.plastic import DIFFUSE, SPECULAR, base, mirror_probability
from prb.kernels.fresnel import dielectric
from prb.kernels.microfacet import MIN_COSINE, half_vector, ndf, reflect, sample_visible, smith_g, smith_g1
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, branch, clamp, detach, dot, maximum, select, sqrt
from prb.kernels.warp import square_to_cosine_hemisphere

ALPHA_RANGE = (1e-3, 1.0)  # in which the expansions are valid
ORDER = 9
TERMS = tuple((i, j) for i in range(ORDER) for j in range(ORDER) if i * i + j * j < ORDER * ORDER)

PARAMETERS = (
    DIFFUSE,
    SPECULAR,
    Parameter("alpha", default=0.1, low=ALPHA_RANGE[0], high=ALPHA_RANGE[1], number=True, plain=True),
    # T and R are expanded for one eta, so it cannot be differentiated, nor changed once a scene is loaded.
    Parameter("eta", 1.49 / 1.000277, low=1.0, high=2.5, number=True, plain=True, differentiable=False),
)
INTERNAL = tuple(f"internal_{i}" for i in range(ORDER))
TRANSMITTANCE = tuple(
    f"transmittance_{i}_{j}" for i, j in TERMS
)  # orders in the coordinates of alpha and of mu
CONSTANTS = ("nonlinear", *INTERNAL, *TRANSMITTANCE)  # nonlinear: 0 or 1


def alpha_coordinate(alpha, sqrt=sqrt):
    """Map alpha from ALPHA_RANGE to [0, 1]. sqrt: the square root for the type of alpha."""
    low, high = map(math.sqrt, ALPHA_RANGE)
    return (sqrt(alpha) - low) / (high - low)


def cosine_coordinate(mu, alpha, sqrt=sqrt):
    """Map a cosine from [0, 1] to [0, 1]; grazing directions, where T depends on alpha, are stretched."""

    def root(x):
        return sqrt(sqrt(x))

    shift = 1.1 * alpha * root(alpha)
    start = root(shift)
    return (root(mu + shift) - start) / (root(1.0 + shift) - start)


def chebyshev(x):
    """The first ORDER Chebyshev polynomials on [0, 1]."""
    t = 2.0 * x - 1.0
    values = [1.0, t]
    while len(values) < ORDER:
        values.append(2.0 * t * values[-1] - values[-2])
    return values


def _sum(terms):
    first, *others = terms
    for term in others:
        first = first + term
    return first


def coat(p):
    """(alpha, R, T), T a function of the cosine."""
    alpha = clamp(p[2], *ALPHA_RANGE)
    constants = [detach(c) for c in p[len(PARAMETERS) + 1 :]]
    powers = chebyshev(alpha_coordinate(alpha))
    internal = _sum(c * q for c, q in zip(constants[:ORDER], powers, strict=True))
    terms = list(zip(TERMS, constants[ORDER:], strict=True))
    columns = [_sum(c * powers[i] for (i, k), c in terms if k == j) for j in range(ORDER)]

    def transmittance(mu):
        mu = clamp(mu, 0.0, 1.0)
        terms = zip(columns, chebyshev(cosine_coordinate(mu, alpha)), strict=True)
        return clamp(_sum(c * x for c, x in terms), 0.0, 1.0)

    return alpha, internal, transmittance


def functions(distribution):
    """The functions of the model for a distribution ("ggx" or "beckmann")."""

    def eval(p, wi, wo, delta):
        diffuse, specular, eta, nonlinear = p[0], p[1], p[3], p[4]
        alpha, internal, transmittance = coat(p)
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _norm = half_vector(wi, wo)
        f = dielectric(dot(wi, m), eta)[0]
        dg = ndf(distribution, m, alpha, alpha) * smith_g(distribution, wi, wo, m, alpha, alpha)
        gloss = f * dg / (4.0 * select(valid, wi.z, 1.0))
        body = transmittance(wi.z) * transmittance(wo.z) * (wo.z / (pi * eta * eta))
        return select(valid, specular * gloss + base(diffuse, internal, nonlinear) * body, 0.0)

    def gloss_chance(p, wi):
        """(probability of the glossy lobe, alpha)."""
        alpha, _internal, transmittance = coat(p)
        return mirror_probability(p[0], p[1], 1.0 - transmittance(wi.z)), alpha

    def mixture(chance, alpha, wi, wo):
        """The density of both lobes together. chance: the probability of the glossy one."""
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _norm = half_vector(wi, wo)
        visible = ndf(distribution, m, alpha, alpha) * smith_g1(distribution, wi, m, alpha, alpha)
        mirrored = visible / (4.0 * select(valid, wi.z, 1.0))
        return select(valid, chance * mirrored + (1.0 - chance) * (wo.z / pi), 0.0)

    def sample(p, wi, u):
        """Mirror wi at a visible normal, or sample wo by its cosine. u[2] selects the lobe."""
        chance, alpha = gloss_chance(p, wi)

        def mirrored():
            upper_wi = Vec3(wi.x, wi.y, maximum(wi.z, MIN_COSINE))
            return reflect(wi, sample_visible(distribution, upper_wi, alpha, alpha, u[0], u[1]))

        glossy = u[2] < chance
        wo = branch(glossy, mirrored, lambda: square_to_cosine_hemisphere(u[0], u[1]))
        return wo, mixture(chance, alpha, wi, wo), 0, 1.0, select(glossy, chance, 1.0 - chance)

    def pdf(p, wi, wo):
        chance, alpha = gloss_chance(p, wi)
        return mixture(chance, alpha, wi, wo)

    return SimpleNamespace(PARAMETERS=PARAMETERS, CONSTANTS=CONSTANTS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {"roughplastic": functions("ggx"), "roughplastic_beckmann": functions("beckmann")}
