"""Orthonormal frames and small vector helpers. Local directions have the normal along +z."""

from prb.kernels.backend import ti

vec2 = ti.types.vector(2, ti.f32)
vec3 = ti.types.vector(3, ti.f32)


@ti.func
def larger(a, b):
    # A select is one instruction; ti.max is three, for it also looks for NaN. Here NaN survives as b.
    return ti.select(a > b, a, b)


@ti.func
def smaller(a, b):
    return ti.select(a < b, a, b)


@ti.func
def tangents(n):
    """Two unit vectors that with the unit vector n make a right-handed orthonormal frame.

    Duff et al., Building an Orthonormal Basis, Revisited, JCGT 6(1), 2017, listing 3.
    """
    sign = ti.select(n.z >= 0, 1.0, -1.0)
    a = -1.0 / (sign + n.z)
    b = n.x * n.y * a
    s = ti.Vector([1.0 + sign * n.x * n.x * a, sign * b, -sign * n.x])
    t = ti.Vector([b, sign + n.y * n.y * a, -n.y])
    return s, t


@ti.func
def to_world(v, s, t, n):
    return s * v.x + t * v.y + n * v.z


@ti.func
def to_local(v, s, t, n):
    return ti.Vector([v.dot(s), v.dot(t), v.dot(n)])


@ti.func
def read3(buffer: ti.template(), at):
    """Three consecutive numbers of a buffer, as a vector."""
    return ti.Vector([buffer[at], buffer[at + 1], buffer[at + 2]])


@ti.func
def max_abs(v):
    return ti.max(ti.abs(v.x), ti.abs(v.y), ti.abs(v.z))
