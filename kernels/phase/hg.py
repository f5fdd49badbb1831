"""The phase function of Henyey and Greenstein, with the mean cosine g: forward scattering for g > 0.

    f = (1 - g^2) / (4 pi d^(3/2)),        d = 1 + g^2 - 2 g cos = (1 - a)^2 + 2 a (1 - s cos)

with a = |g|, s the sign of g, and 1 - s cos as half the squared distance from the direction of the peak: so
d keeps its digits there. The cosine's distribution function, inverted, is usually written with a difference
divided by g, which loses all digits for small g and near the peak. With u uniform and q = 1 - a + 2 a u it is

    1 - s cos = 2 (1 - a)^2 (1 - u) (1 + a u) / q^2
    1 + s cos = 2 (1 + a)^2 u (1 - a + a u) / q^2

where nothing cancels; cosine and sine follow from both. |g| counts as at most MAX_G, as directions in single
precision do not tell a narrower peak from a point.

Directions are unit vectors in world space that point away from the scattering point. Henyey & Greenstein,
Diffuse Radiation in the Galaxy, Astrophysical Journal 93 (1941).
"""

from prb.kernels.backend import pi
from prb.kernels.parameter import Parameter
from prb.kernels.phase.angles import around, half_squared_distance
from prb.kernels.phase.reads import NUMBER
from prb.kernels.traced import absolute, minimum, select, sqrt

MAX_G = 1.0 - 2.0**-20
PARAMETER = Parameter("g", default=0.8, low=-1.0, high=1.0, number=True)
READS = NUMBER


def eval(p, wi, wo):
    (g,) = p
    a = minimum(absolute(g), MAX_G)
    distance = half_squared_distance(wo, select(g < 0, wi, -wi))
    width = 1.0 - a
    d = width * width + 2.0 * a * distance
    return (0.25 / pi) * width * (1.0 + a) / (d * sqrt(d))


def sample(p, wi, u):
    (g,) = p
    a = minimum(absolute(g), MAX_G)
    width, rest = 1.0 - a, 1.0 - u[0]
    q = width + 2.0 * a * u[0]
    near = width / q
    far = (1.0 + a) / q
    away = 2.0 * near * near * rest * (1.0 + a * u[0])
    along = 2.0 * far * far * u[0] * (width + a * u[0])
    wo = around(select(g < 0, wi, -wi), 0.5 * (along - away), sqrt(away * along), u[1])
    return wo, pdf(p, wi, wo)


pdf = eval
