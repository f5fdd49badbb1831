"""Directions by the angle of deflection, as traced functions (kernels/traced.py)."""

from prb.kernels.frame import tangents
from prb.kernels.traced import dot
from prb.kernels.warp import circle


def around(axis, cosine, sine, fraction):
    """The direction at an angle (cosine, sine) from a unit axis; azimuth as a fraction of 2 pi."""
    s, t = tangents(axis)
    c = circle(fraction)
    return (sine * c.x) * s + (sine * c.y) * t + cosine * axis


def half_squared_distance(a, b):
    """1 - a . b of unit vectors without cancellation: it keeps its digits where they are close."""
    d = a - b
    return 0.5 * dot(d, d)
