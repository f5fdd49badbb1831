"""The thin principled (Disney) BSDF: a sheet that reflects and transmits, alike from both sides.

    f |cos wo| = base_color P + W

with numbers P and W: W is reflection that base_color does not tint. Transmission does not refract: its value
is that of a reflection from wi to the mirror image of wo, with a roughness of its own.

Directions are local (normal along +z, x along dp/du), unit, and point away from the surface. `eval` includes
the cosine of wo. Densities are by solid angle. Burley, Extending the Disney BRDF to a
BSDF with Integrated Subsurface Scattering (SIGGRAPH 2015 course); see also kernels/bsdf/principled_lobes.py.
"""

from types import SimpleNamespace

from prb.kernels import microfacet
from prb.kernels.backend import pi
from prb.kernels.bsdf import principled_lobes as lobes
from prb.kernels.bsdf.principled_lobes import number
from prb.kernels.fresnel import dielectric, schlick_weight
from prb.kernels.traced import Vec3, absolute, branch, dot, maximum, select
from prb.kernels.warp import square_to_cosine_hemisphere

PARAMETERS = (
    lobes.BASE_COLOR,
    number("roughness", 0.5),
    number("anisotropic"),
    number("spec_trans"),
    number("eta", 1.5, 0.1, 10.0),
    number("spec_tint"),
    number("sheen"),
    number("sheen_tint"),
    number("flatness"),
    number("diff_trans", high=2.0),
)
CONSTANTS = (
    "specular_reflectance_sampling_rate",
    "specular_transmittance_sampling_rate",
    "diffuse_reflectance_sampling_rate",
    "diffuse_transmittance_sampling_rate",
)
MIN_LOBE_CHANCE = 0.05  # smallest probability of a lobe, before normalisation
FLOOR = 1e-9  # smallest divisor
NAMES = [q.key for q in PARAMETERS] + list(CONSTANTS)


def _named(p):
    return SimpleNamespace(**dict(zip(NAMES, p, strict=True)))


def _geometry(p, wi, wo):
    """The quantities that value and density share, with directions mirrored so that wi.z >= 0."""
    q = _named(p)
    side = select(wi.z < 0, -1.0, 1.0)
    wi, wo = wi * side, wo * side
    reflects, crosses = (wi.z > 0) & (wo.z > 0), (wi.z > 0) & (wo.z < 0)
    m, _norm = microfacet.half_vector(wi, Vec3(wo.x, wo.y, absolute(wo.z)), 1.0)
    ax, ay = _alphas(p, reflects)
    return q, SimpleNamespace(
        wi=wi, wo=wo, m=m, reflects=reflects, crosses=crosses, d_i=dot(wi, m),
        cos_i=maximum(wi.z, FLOOR), cos_o=absolute(wo.z), ax=ax, ay=ay,
        ndf=microfacet.ndf("ggx", m, ax, ay),
    )  # fmt: skip


def _alphas(p, reflects):
    """The roughnesses of the specular lobes; for transmission they depend on eta (Burley 2015, figure 15)."""
    q = _named(p)
    scale = select(reflects, 1.0, 0.65 * q.eta - 0.35)
    return lobes.alphas(scale * q.roughness, q.anisotropic)


def eval(p, wi, wo, delta):
    q, g = _geometry(p, wi, wo)
    specular = q.spec_trans * g.ndf * microfacet.smith_g("ggx", g.wi, g.wo, g.m, g.ax, g.ay)
    specular = 0.25 * specular / g.cos_i
    fresnel, cos_t, _eta_it, _eta_ti = dielectric(g.d_i, q.eta)
    weight = schlick_weight(lobes.schlick_cosine(g.d_i, cos_t, q.eta))
    to_color, to_white = lobes.tint(q.base_color)
    tint_r0 = (1.0 - weight) * q.spec_tint * lobes.normal_reflectance(q.eta)
    white = (1.0 - q.spec_tint) * fresnel + q.spec_tint * weight + tint_r0 * to_white

    through = 0.5 * q.diff_trans
    body = lobes.diffuse(
        q.roughness, q.flatness, g.cos_i, g.cos_o, g.d_i, schlick_weight(g.cos_i), schlick_weight(g.cos_o)
    )
    diffuse = 1.0 - q.spec_trans
    sheen = diffuse * (1.0 - through) * q.sheen * schlick_weight(g.d_i) * g.cos_o

    reflected = specular * tint_r0 * to_color + diffuse * (1.0 - through) * body
    reflected = reflected + sheen * q.sheen_tint * to_color
    transmitted = specular * (1.0 - fresnel) + diffuse * through * (g.cos_o / pi)
    in_color = select(g.reflects, reflected, select(g.crosses, transmitted, 0.0))
    in_white = specular * white + sheen * (1.0 - q.sheen_tint + q.sheen_tint * to_white)
    return q.base_color * in_color + select(g.reflects, in_white, 0.0)


def _chances(p):
    """The probabilities of specular reflection and transmission, diffuse reflection and transmission."""
    q = _named(p)
    through = 0.5 * q.diff_trans
    weights = (
        0.5 * q.spec_trans * q.specular_reflectance_sampling_rate,
        0.5 * q.spec_trans * q.specular_transmittance_sampling_rate,
        (1.0 - q.spec_trans) * (1.0 - through) * q.diffuse_reflectance_sampling_rate,
        (1.0 - q.spec_trans) * through * q.diffuse_transmittance_sampling_rate,
    )
    total = maximum(sum(weights[1:], weights[0]), FLOOR)
    weights = [maximum(w / total, MIN_LOBE_CHANCE) for w in weights]
    total = sum(weights[1:], weights[0])
    return tuple(w / total for w in weights)


def pdf(p, wi, wo):
    _q, g = _geometry(p, wi, wo)
    specular_r, specular_t, diffuse_r, diffuse_t = _chances(p)
    specular = select(g.reflects, specular_r, specular_t)
    diffuse = select(g.reflects, diffuse_r, diffuse_t)
    visible = g.ndf * microfacet.smith_g1("ggx", g.wi, g.m, g.ax, g.ay) / g.cos_i
    valid = dot(g.wo, g.m) * g.wo.z > 0
    total = select(valid, specular * 0.25 * visible, 0.0) + diffuse * (g.cos_o / pi)
    return select(g.reflects | g.crosses, total, 0.0)


def sample(p, wi, u):
    """Sample wo. u[2] selects the lobe."""
    specular_r, specular_t, diffuse_r, diffuse_t = _chances(p)
    side = select(wi.z < 0, -1.0, 1.0)
    upper_wi = wi * side
    mirrors = u[2] < specular_r

    def specular():
        ax, ay = _alphas(p, mirrors)
        m = microfacet.sample_visible("ggx", upper_wi, ax, ay, u[0], u[1])
        wo = microfacet.reflect(upper_wi, m)
        # A transmitted direction sees the back of m.
        return wo, (wo.z > 0) & (mirrors | (dot(wo, m) < 2.0 * wo.z * m.z))

    def diffuse():
        return square_to_cosine_hemisphere(u[0], u[1]), True

    is_specular = u[2] < specular_r + specular_t
    wo, valid = branch(is_specular, specular, diffuse)
    reflects = mirrors | (~is_specular & (u[2] < specular_r + specular_t + diffuse_r))
    wo = Vec3(wo.x, wo.y, select(reflects, wo.z, -wo.z)) * side
    chance = select(
        is_specular, select(mirrors, specular_r, specular_t), select(reflects, diffuse_r, diffuse_t)
    )
    return wo, select(valid, pdf(p, wi, wo), 0.0), 0, 1.0, chance
