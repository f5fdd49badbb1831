"""Microflakes that are mirrors, with the distribution of normals SGGX: anisotropic scattering.

    f = D(h) / (4 sigma(wi)),    D(h) = 1 / (pi sqrt|S| (h . S^-1 h)^2),    sigma(w) = sqrt(w . S w)

h is the half vector of wi and wo. S is a symmetric positive matrix in world space, given by xx, yy, zz and
xy, xz, yz; sigma(w) is the projected area of the flakes for a direction (`projected_area`). It multiplies the
extinction of a medium whose own phase function this is (kernels/medium.py); inside a blend it does not, as in
Mitsuba. It is sigma(wi) f that is reciprocal, not f.

With h unnormalised and the adjugate of S nothing is divided by |S|. f does not change with the size of S, so
S is divided by its trace first. Where wo is opposite to wi, h is not defined: the value is 0 there, and also
if S is not a positive matrix but flat (a determinant up to MIN_DETERMINANT) or 0, as in empty voxels.

Directions are unit vectors in world space that point away from the scattering point. Heitz, Dupuy, Crassin,
Dachsbacher, The SGGX Microflake Distribution (SIGGRAPH 2015); its supplemental material has the sampling of
visible normals.
"""

from prb.kernels.backend import pi
from prb.kernels.frame import tangents
from prb.kernels.microfacet import reflect
from prb.kernels.parameter import Parameter
from prb.kernels.phase.reads import PAIR
from prb.kernels.traced import Vec3, dot, maximum, normalize, select, sqrt
from prb.kernels.warp import circle

PARAMETER = Parameter("S", default=1.0, low=-1.0, high=1.0)
READS = PAIR
FLOOR = 1e-20  # smaller squares count as this
MIN_DETERMINANT = 1e-10  # of S over its trace; at most 1 / 27


def times(p, w):
    """S w."""
    a, b = p
    return Vec3(
        a.x * w.x + b.x * w.y + b.y * w.z,
        b.x * w.x + a.y * w.y + b.z * w.z,
        b.y * w.x + b.z * w.y + a.z * w.z,
    )


def adjugate(p):
    """The adjugate |S| S^-1, as S is given."""
    a, b = p
    diagonal = Vec3(a.y * a.z - b.z * b.z, a.x * a.z - b.y * b.y, a.x * a.y - b.x * b.x)
    return diagonal, Vec3(b.y * b.z - a.z * b.x, b.x * b.z - a.y * b.y, b.x * b.y - a.x * b.z)


def projected_area(p, w):
    """sigma(w): the area of the flakes, seen from a direction. Where it is 0 it counts as constant."""
    squared = dot(w, times(p, w))
    positive = squared > FLOOR
    return select(positive, sqrt(select(positive, squared, 1.0)), 0.0)


def by_trace(p):
    """S over its trace."""
    a, b = p
    scale = 1.0 / maximum(a.x + a.y + a.z, FLOOR)
    return scale * a, scale * b


def inverse(p):
    """(adjugate, determinant, True if the matrix counts as positive; the determinant is 1 if not)."""
    a, b = p
    diagonal, mixed = adjugate(p)
    determinant = a.x * diagonal.x + b.x * mixed.x + b.y * mixed.y
    positive = determinant > MIN_DETERMINANT
    return (diagonal, mixed), select(positive, determinant, 1.0), positive


def eval(p, wi, wo):
    p = by_trace(p)
    adjoint, determinant, positive = inverse(p)
    h = wi + wo
    squared, spread, seen = dot(h, h), dot(h, times(adjoint, h)), dot(wi, times(p, wi))
    defined = positive & (squared > 1e-12) & (spread > 0) & (seen > 0)
    ratio = squared / select(defined, spread, 1.0)
    d = determinant * sqrt(determinant) * ratio * ratio / pi
    return select(defined, d / (4.0 * sqrt(select(defined, seen, 1.0))), 0.0)


def sample(p, wi, u):
    """Mirror wi at a flake's normal that is visible from it."""
    p = by_trace(p)
    _adjoint, determinant, _positive = inverse(p)
    k, j = tangents(wi)
    s_j, s_i = times(p, j), times(p, wi)
    jj, ii = dot(j, s_j), maximum(dot(wi, s_i), FLOOR)
    ki, ji, kj = dot(k, s_i), dot(j, s_i), dot(k, s_j)
    root = sqrt(maximum(jj * ii - ji * ji, FLOOR))
    scale = 1.0 / sqrt(ii)
    r, c = sqrt(u[0]), circle(u[1])
    x, y, z = r * c.x, r * c.y, sqrt(maximum(1.0 - u[0], 0.0))
    m_k = x * sqrt(determinant) / root - y * scale * (ki * ji - kj * ii) / root + z * scale * ki
    m = normalize(m_k * k + (scale * (y * root + z * ji)) * j + (z * scale * ii) * wi)
    wo = reflect(wi, m)
    return wo, pdf(p, wi, wo)


pdf = eval
