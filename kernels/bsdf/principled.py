"""The principled (Disney) BSDF: diffuse with retro-reflection, sheen, rough metal or dielectric, clearcoat.

    f |cos wo| = base_color P + sqrt(base_color) T + W

with numbers P, T and W. T is transmission, and W is reflection that base_color does not tint. Reflection and
refraction by the main lobe have the same distribution D, masking G and Fresnel term F. From inside there is
this lobe only.

VARIANTS: `principled` and `principled_eta` give the index of refraction as `specular` or as `eta`; the
`_opaque` ones have no spec_trans, and reflect on the outside only.

Directions are local (normal along +z, x along dp/du), unit, and point away from the surface. `eval` includes
the cosine of wo and, for transmission, the change of radiance by 1 / eta^2. Densities are by solid angle.
Sources: see kernels/bsdf/principled_lobes.py.
"""

from types import SimpleNamespace

from prb.kernels import microfacet
from prb.kernels.backend import pi
from prb.kernels.bsdf import principled_lobes as lobes
from prb.kernels.bsdf.principled_lobes import MIN_LOBE_CHANCE, number
from prb.kernels.fresnel import dielectric, schlick_weight
from prb.kernels.traced import absolute, branch, clamp, dot, maximum, select, sqrt
from prb.kernels.warp import square_to_cosine_hemisphere

RATES = ("main_specular_sampling_rate", "clearcoat_sampling_rate", "diffuse_reflectance_sampling_rate")
MATCHED = "matched"  # constant; 1 if the scene file has equal indices, and so no main lobe
MAX_REFRACTION_CHANCE = 0.95  # largest probability of refraction by the main lobe, without its factor 1 - F
MIN_CHANGE = 1e-3  # smallest change of the index, or smallest `specular`, of a surface that transmits
SPECULAR_OFFSET = 1e-7  # added to `specular`, so that the root's derivative is finite
FLOOR = 1e-9  # smallest divisor


def functions(transmits, by_eta):
    """The functions of one variant."""
    index_key = number("eta", 1.5, 0.1, 10.0, plain=True) if by_eta else number("specular", 0.5, plain=True)
    parameters = (
        lobes.BASE_COLOR,
        number("roughness", 0.5),
        number("anisotropic"),
        number("metallic"),
        index_key,
        number("spec_tint"),
        number("sheen"),
        number("sheen_tint"),
        number("flatness"),
        number("clearcoat"),
        number("clearcoat_gloss"),
        *([number("spec_trans")] if transmits else []),
    )
    constants = RATES if transmits else (*RATES, MATCHED)
    names = [q.key for q in parameters] + list(constants)

    def named(p):
        return SimpleNamespace(**dict(zip(names, p, strict=True)))

    def index(p):
        """The relative index of refraction, which as in Mitsuba is not 1 for a surface that transmits."""
        q = named(p)
        if by_eta and transmits:
            change = q.eta - 1.0
            more, less = (
                maximum(change, MIN_CHANGE + 0.5 * change),
                maximum(-change, MIN_CHANGE - 0.5 * change),
            )
            return select(change < 0, 1.0 - less, 1.0 + more)
        if by_eta:
            return q.eta
        specular = (
            maximum(q.specular, MIN_CHANGE + 0.5 * q.specular) if transmits else q.specular + SPECULAR_OFFSET
        )
        return 2.0 / (1.0 - sqrt(0.08 * specular)) - 1.0

    def geometry(p, wi, wo):
        """The quantities that value and density share."""
        eta = index(p)
        up = wi.z > 0
        same = wi.z * wo.z > 0
        across = select(up, eta, 1.0 / eta) if transmits else 1.0
        m, norm = microfacet.half_vector(wi, wo, select(same, 1.0, across) if transmits else 1.0)
        fresnel, cos_t, _eta_it, _eta_ti = dielectric(dot(wi, m), eta)
        return SimpleNamespace(
            eta=eta, up=up, same=same, across=across, m=m, fresnel=fresnel, cos_t=cos_t,
            reflects=same & up, crosses=wi.z * wo.z < 0,
            d_i=dot(wi, m), d_o=dot(wo, m), norm2=maximum(norm * norm, 1e-7),
            cos_i=maximum(absolute(wi.z), FLOOR), cos_o=absolute(wo.z),
        )  # fmt: skip

    def main_alphas(p):
        q = named(p)
        return lobes.alphas(q.roughness, q.anisotropic)

    def eval(p, wi, wo, delta):
        q, g = named(p), geometry(p, wi, wo)
        dielectric_weight = 1.0 - q.metallic
        body_weight = dielectric_weight * (1.0 - q.spec_trans) if transmits else dielectric_weight
        to_color, to_white = lobes.tint(q.base_color)

        # Main lobe: a dielectric, of which a part is tinted, and a metal (Schlick's approximation)
        ax, ay = main_alphas(p)
        main = microfacet.ndf("ggx", g.m, ax, ay) * microfacet.smith_g("ggx", wi, wo, g.m, ax, ay) / g.cos_i
        weight = schlick_weight(lobes.schlick_cosine(g.d_i, g.cos_t, g.eta) if by_eta else g.d_i)
        metal, tinted = q.metallic, dielectric_weight * q.spec_tint
        if not transmits:
            no_change = absolute(g.eta - 1.0) <= 0 if by_eta else q.specular <= 0
            on = select(no_change & (q.matched > 0.5), 0.0, 1.0)
            metal, tinted = on * metal, on * tinted
        tint_r0 = (1.0 - weight) * tinted * (lobes.normal_reflectance(g.eta) if by_eta else 0.08 * q.specular)
        colored = (1.0 - weight) * metal + tint_r0 * to_color
        white = (dielectric_weight - tinted) * g.fresnel + (metal + tinted) * weight + tint_r0 * to_white

        # Diffuse reflection, sheen, clearcoat
        weight_d = schlick_weight(g.d_o) if by_eta else weight
        body = lobes.diffuse(
            q.roughness, q.flatness, g.cos_i, g.cos_o, g.d_o, schlick_weight(g.cos_i), schlick_weight(g.cos_o)
        )
        sheen = q.sheen * dielectric_weight * weight_d * g.cos_o
        coat = lobes.clearcoat(q.clearcoat, q.clearcoat_gloss, g.m, g.cos_i, g.cos_o, weight)

        in_color = 0.25 * main * colored + body_weight * body + sheen * q.sheen_tint * to_color
        in_white = 0.25 * main * white + sheen * (1.0 - q.sheen_tint + q.sheen_tint * to_white) + coat
        in_color = select(g.reflects, in_color, 0.0)
        if not transmits:
            return q.base_color * in_color + select(g.reflects, in_white, 0.0)

        glass = main * dielectric_weight * q.spec_trans
        in_white = select(g.same, select(g.up, in_white, 0.25 * glass * g.fresnel), 0.0)
        refracted = glass * (1.0 - g.fresnel) * absolute(g.d_i * g.d_o) / g.norm2
        root_color = q.base_color.map(lambda c: select(c > FLOOR, sqrt(select(c > FLOOR, c, 1.0)), 0.0))
        return q.base_color * in_color + root_color * select(g.crosses, refracted, 0.0) + in_white

    def chances(p):
        """The probabilities of the main lobe, the clearcoat and the diffuse lobe, from outside.

        The fourth number is the probability with which the main lobe refracts, without its factor 1 - F.
        """
        q = named(p)
        main, coat = q.main_specular_sampling_rate, 0.25 * q.clearcoat * q.clearcoat_sampling_rate
        dielectric_weight = 1.0 - q.metallic
        body = q.diffuse_reflectance_sampling_rate * dielectric_weight
        if transmits:
            body = body * (1.0 - q.spec_trans)
        body = maximum(body, MIN_LOBE_CHANCE * (main + coat) + FLOOR)
        main = maximum(main, MIN_LOBE_CHANCE * (body + coat))
        total = main + coat + body
        refracts = (
            clamp(dielectric_weight * q.spec_trans, MIN_LOBE_CHANCE * total / main, MAX_REFRACTION_CHANCE)
            if transmits
            else 0.0
        )
        return main / total, coat / total, body / total, refracts

    def pdf(p, wi, wo):
        q, g = named(p), geometry(p, wi, wo)
        main, coat, body, refracts = chances(p)
        ax, ay = main_alphas(p)
        masking = microfacet.smith_g1("ggx", wi, g.m, ax, ay)
        visible = microfacet.ndf("ggx", g.m, ax, ay) * masking * absolute(g.d_i) / g.cos_i
        d_o = absolute(g.d_o)
        coat_ndf = coat * lobes.gtr1(lobes.clearcoat_alpha(q.clearcoat_gloss), g.m) * g.m.z
        jacobian = 0.25 / maximum(d_o, FLOOR)
        if not transmits:
            return select(g.reflects, (main * visible + coat_ndf) * jacobian + body * g.cos_o / pi, 0.0)
        through = refracts * (1.0 - g.fresnel)
        outside = (main * (1.0 - through) * visible + coat_ndf) * jacobian + body * g.cos_o / pi
        reflected = select(g.up, outside, g.fresnel * visible * jacobian)
        refracted = select(g.up, main * through, 1.0 - g.fresnel) * visible
        refracted = refracted * d_o * g.across * g.across / g.norm2
        crosses = g.crosses & (g.d_o * wo.z > 0)
        return select(g.same, reflected, select(crosses, refracted, 0.0))

    def sample(p, wi, u):
        """Sample wo. u[2] selects the lobe."""
        main, coat, body, refracts = chances(p)
        ax, ay = main_alphas(p)
        m = microfacet.sample_visible("ggx", wi * select(wi.z > 0, 1.0, -1.0), ax, ay, u[0], u[1])
        through = 0.0
        if transmits:
            fresnel, cos_t, eta_it, eta_ti = dielectric(dot(wi, m), index(p))
            inside = wi.z < 0
            coat, body = select(inside, 0.0, coat), select(inside, 0.0, body)
            through = select(inside, 1.0 - fresnel, main * refracts * (1.0 - fresnel))

        def coated():
            return lobes.sample_gtr1(lobes.clearcoat_alpha(named(p).clearcoat_gloss), u[0], u[1])

        def mirrored():
            return microfacet.reflect(wi, branch(u[2] < through + body + coat, coated, lambda: m))

        def reflected():
            return branch(u[2] < through + body, lambda: square_to_cosine_hemisphere(u[0], u[1]), mirrored)

        crosses = u[2] < through
        is_body, is_coat = u[2] < through + body, u[2] < through + body + coat
        chance = select(is_body, body, select(is_coat, coat, 1.0 - through - body - coat))
        if not transmits:
            wo = reflected()
            return wo, select(wo.z * wi.z < 0, 0.0, pdf(p, wi, wo)), 0, 1.0, chance
        chance = select(crosses, through, chance)
        wo = branch(crosses, lambda: microfacet.refract(wi, m, cos_t, eta_ti), reflected)
        valid = (wo.z * wi.z < 0) == crosses
        return wo, select(valid, pdf(p, wi, wo), 0.0), 0, select(crosses, eta_it, 1.0), chance

    return SimpleNamespace(PARAMETERS=parameters, CONSTANTS=constants, eval=eval, sample=sample, pdf=pdf)


VARIANTS = {
    "principled": functions(transmits=True, by_eta=False),
    "principled_eta": functions(transmits=True, by_eta=True),
    "principled_opaque": functions(transmits=False, by_eta=False),
    "principled_opaque_eta": functions(transmits=False, by_eta=True),
}
