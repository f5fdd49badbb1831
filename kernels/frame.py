"""Orthonormal frames and small helpers for vectors. In a local frame the normal is +z.

Frames are traced functions (kernels/traced.py), which kernels may call directly.
"""

from prb.kernels.backend import ti
from prb.kernels.traced import Vec3, dot, kernel_callable, select

vec2 = ti.types.vector(2, ti.f32)
vec3 = ti.types.vector(3, ti.f32)


@ti.func
def larger(a, b):
    """The larger number, component by component; b if either is NaN.

    It is one instruction, while ti.max, which tests for NaN, takes three.
    """
    return ti.select(a > b, a, b)


@ti.func
def smaller(a, b):
    """The smaller number, component by component; b if either is NaN."""
    return ti.select(a < b, a, b)


@kernel_callable
def tangents(n):
    """Tangents (s, t) that make a right-handed orthonormal frame (s, t, n) with the unit vector n.

    Duff et al., Building an Orthonormal Basis, Revisited, JCGT 6(1), 2017, listing 3.
    """
    sign = select(n.z >= 0, 1.0, -1.0)
    a = -1.0 / (sign + n.z)
    b = n.x * n.y * a
    s = Vec3(1.0 + sign * n.x * n.x * a, sign * b, -sign * n.x)
    t = Vec3(b, sign + n.y * n.y * a, -n.y)
    return s, t


@kernel_callable
def to_world(v, s, t, n):
    """The vector with coordinates v in the frame (s, t, n)."""
    return s * v.x + t * v.y + n * v.z


@kernel_callable
def to_local(v, s, t, n):
    """The coordinates of v in the frame (s, t, n)."""
    return Vec3(dot(v, s), dot(v, t), dot(v, n))


@ti.func
def read3(buffer: ti.template(), offset):
    """Three consecutive numbers of a buffer, as a vector."""
    return ti.Vector([buffer[offset], buffer[offset + 1], buffer[offset + 2]])


@ti.func
def max_abs(v):
    """The largest absolute value of the components."""
    return ti.max(ti.abs(v.x), ti.abs(v.y), ti.abs(v.z))
