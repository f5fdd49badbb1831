"""The lobes of the Disney BSDF, for `principled` and `principledthin`.

Vectors are local (normal along +z) and unit; cosines are positive. Burley, Physically Based Shading at
Disney (SIGGRAPH 2012 course), and Extending the Disney BRDF to a BSDF with Integrated Subsurface
Scattering (SIGGRAPH 2015 course), with the constants of Mitsuba 3.
"""

from prb.kernels.backend import pi
from prb.kernels.parameter import Parameter
from prb.kernels.texture import LUMINANCE
from prb.kernels.traced import Vec3, log, maximum, power, select, sqrt
from prb.kernels.warp import circle

MIN_ALPHA = 1e-3
MIN_LUMINANCE = 1e-9  # smallest luminance of a colour that has a tint
MIN_LOBE_CHANCE = 0.06  # smallest weight of a lobe in sampling, relative to the sum of the others

BASE_COLOR = Parameter("base_color", default=0.5, low=0.0, high=1.0)


def number(key, default=0.0, low=0.0, high=1.0, plain=False):
    """A parameter that is one number."""
    return Parameter(key, default, low, high, number=True, plain=plain)


def alphas(roughness, anisotropic):
    """GGX roughnesses along x and y (Burley 2012, section 5.4)."""
    square = roughness * roughness
    aspect = sqrt(1.0 - 0.9 * anisotropic)
    return maximum(square / aspect, MIN_ALPHA), maximum(square * aspect, MIN_ALPHA)


def tint(color):
    """(t, w), so that color * t + w is the colour scaled to luminance 1; white for black."""
    luminance = LUMINANCE[0] * color.x + LUMINANCE[1] * color.y + LUMINANCE[2] * color.z
    colored = luminance > MIN_LUMINANCE
    return select(colored, 1.0 / select(colored, luminance, 1.0), 0.0), select(colored, 0.0, 1.0)


def normal_reflectance(eta):
    """The reflectance of a dielectric at normal incidence."""
    r = (eta - 1.0) / (eta + 1.0)
    return r * r


def schlick_cosine(cos_i, cos_t, eta):
    """The cosine in the medium of lower index, for Schlick's weight. cos_t <= 0, as `dielectric` has it."""
    return select(eta >= 1.0, cos_i, -cos_t)


def diffuse(roughness, flatness, cos_i, cos_o, cos_d, weight_i, weight_o):
    """Diffuse and retro-reflection, blended with approximate subsurface scattering, times cos_o; for white.

    cos_d: cosine between the half vector and a direction. weight_i, weight_o: Schlick's weights of cos_i,
    cos_o. Burley 2012, section 5.3, with the retro-reflection of 2015.
    """
    retro = 2.0 * roughness * cos_d * cos_d
    smooth = (1.0 - 0.5 * weight_i) * (1.0 - 0.5 * weight_o)
    full = smooth + retro * (weight_o + weight_i + weight_o * weight_i * (retro - 1.0))
    flattened = 0.5 * retro - 1.0
    scattered = (1.0 + flattened * weight_i) * (1.0 + flattened * weight_o)
    scattered = 1.25 * (scattered * (1.0 / maximum(cos_i + cos_o, 1e-7) - 0.5) + 0.5)
    return (cos_o / pi) * (full + flatness * (scattered - full))


def clearcoat_alpha(gloss):
    """The roughness of the clearcoat."""
    return 0.1 - 0.099 * gloss


def gtr1(alpha, m):
    """The density D(m) of the clearcoat's normals; D(m) m.z has integral 1 (Burley 2012, appendix B)."""
    a2 = alpha * alpha
    denominator = maximum(m.x * m.x + m.y * m.y + a2 * (m.z * m.z), 1e-12)  # 1 + (a2 - 1) m.z^2
    return (a2 - 1.0) / (pi * log(a2) * denominator)


def _clearcoat_g1(cos_v):
    """Smith's masking function of an isotropic GGX surface of roughness 1/4."""
    return 2.0 * cos_v / (cos_v + sqrt(0.0625 + 0.9375 * cos_v * cos_v))


def clearcoat(strength, gloss, m, cos_i, cos_o, weight):
    """The clearcoat times cos_o. weight: Schlick's. As in Mitsuba it is not divided by 4 cos_i cos_o."""
    masking = _clearcoat_g1(cos_i) * _clearcoat_g1(cos_o)
    return 0.25 * strength * (0.04 + 0.96 * weight) * gtr1(clearcoat_alpha(gloss), m) * masking * cos_o


def sample_gtr1(alpha, u1, u2):
    """Sample a normal of the clearcoat, with density D(m) m.z by solid angle (Burley 2012, appendix B)."""
    a2 = alpha * alpha
    sin2 = maximum((power(a2, 1.0 - u2) - a2) / (1.0 - a2), 0.0)
    xy = sqrt(sin2) * circle(u1)
    return Vec3(xy.x, xy.y, sqrt(maximum(1.0 - sin2, 0.0)))
