"""Rough plastic: a diffuse base under a rough dielectric coat.

    f |cos wo| = F D G / (4 cos wi) specular_reflectance + base T(wi) T(wo) |cos wo| / (pi eta^2)

F, D, G: reflection by the coat's facets (kernels/microfacet.py). T: the part of light from a direction that
passes the coat; R, inside `base` (kernels/bsdf/plastic.py): the part of diffuse light that the coat sends
back to the base. Both depend on alpha. They are integrals without a closed form, so the constants of a scene
hold their Chebyshev expansions for its eta, which follow alpha and its derivative (`alpha_coordinate`,
`cosine_coordinate`). prb/scene/plugins/rough_coat.py computes them.

There is a variant for each distribution of the facets' normals. Directions are local and point away from the
surface; only the side of the normal reflects. Jakob, Mitsuba 0.5 manual (2014), section 8.2.7.
"""

import math
from types import SimpleNamespace

from prb.kernels.backend import pi
from prb.kernels.bsdf.plastic import DIFFUSE, SPECULAR, base, chance
from prb.kernels.fresnel import dielectric
from prb.kernels.microfacet import MIN_COSINE, half_vector, ndf, reflect, sample_visible, smith_g, smith_g1
from prb.kernels.parameter import Parameter
from prb.kernels.traced import Vec3, branch, clamp, detach, dot, maximum, select, sqrt
from prb.kernels.warp import square_to_cosine_hemisphere

ALPHA = (1e-3, 1.0)  # where the expansions hold
ORDER = 9
TERMS = tuple((i, j) for i in range(ORDER) for j in range(ORDER) if i * i + j * j < ORDER * ORDER)

PARAMETERS = (
    DIFFUSE,
    SPECULAR,
    Parameter("alpha", default=0.1, low=ALPHA[0], high=ALPHA[1], number=True, plain=True),
    # T and R are expanded for one eta, so it cannot be differentiated, nor changed once a scene is loaded.
    Parameter("eta", 1.49 / 1.000277, low=1.0, high=2.5, number=True, plain=True, differentiable=False),
)
INTERNAL = tuple(f"internal_{i}" for i in range(ORDER))
TRANSMITTANCE = tuple(f"transmittance_{i}_{j}" for i, j in TERMS)  # orders in alpha's coordinate, in mu's
CONSTANTS = ("nonlinear", *INTERNAL, *TRANSMITTANCE)  # nonlinear: 0 or 1


def alpha_coordinate(alpha, sqrt=sqrt):
    """alpha in ALPHA to [0, 1]. sqrt: of the numbers that are given."""
    low, high = map(math.sqrt, ALPHA)
    return (sqrt(alpha) - low) / (high - low)


def cosine_coordinate(mu, alpha, sqrt=sqrt):
    """A cosine in [0, 1] to [0, 1]; stretches grazing directions, where T changes over about alpha."""

    def root(x):
        return sqrt(sqrt(x))

    s = 1.1 * alpha * root(alpha)
    start = root(s)
    return (root(mu + s) - start) / (root(1.0 + s) - start)


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
    """(alpha, R, T as a function of the cosine)."""
    alpha = clamp(p[2], *ALPHA)
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
    """The model for a distribution of the facets' normals ("ggx" or "beckmann")."""

    def eval(p, wi, wo, delta):
        diffuse, specular, eta, nonlinear = p[0], p[1], p[3], p[4]
        alpha, internal, transmittance = coat(p)
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _size = half_vector(wi, wo)
        f = dielectric(dot(wi, m), eta)[0]
        dg = ndf(distribution, m, alpha, alpha) * smith_g(distribution, wi, wo, m, alpha, alpha)
        gloss = f * dg / (4.0 * select(valid, wi.z, 1.0))
        body = transmittance(wi.z) * transmittance(wo.z) * (wo.z / (pi * eta * eta))
        return select(valid, specular * gloss + base(diffuse, internal, nonlinear) * body, 0.0)

    def gloss_chance(p, wi):
        alpha, _internal, transmittance = coat(p)
        return chance(p[0], p[1], 1.0 - transmittance(wi.z)), alpha

    def mixture(gloss, alpha, wi, wo):
        valid = (wi.z > MIN_COSINE) & (wo.z > 0)
        m, _size = half_vector(wi, wo)
        visible = ndf(distribution, m, alpha, alpha) * smith_g1(distribution, wi, m, alpha, alpha)
        mirrored = visible / (4.0 * select(valid, wi.z, 1.0))
        return select(valid, gloss * mirrored + (1.0 - gloss) * (wo.z / pi), 0.0)

    def sample(p, wi, u):
        """wo mirrored at a visible facet, or in proportion to the cosine; picks by u[2]."""
        gloss, alpha = gloss_chance(p, wi)

        def mirrored():
            seen = Vec3(wi.x, wi.y, maximum(wi.z, MIN_COSINE))
            return reflect(wi, sample_visible(distribution, seen, alpha, alpha, u[0], u[1]))

        wo = branch(u[2] < gloss, mirrored, lambda: square_to_cosine_hemisphere(u[0], u[1]))
        return wo, mixture(gloss, alpha, wi, wo), 0, 1.0

    def pdf(p, wi, wo):
        gloss, alpha = gloss_chance(p, wi)
        return mixture(gloss, alpha, wi, wo)

    return SimpleNamespace(PARAMETERS=PARAMETERS, CONSTANTS=CONSTANTS, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {"roughplastic": functions("ggx"), "roughplastic_beckmann": functions("beckmann")}
