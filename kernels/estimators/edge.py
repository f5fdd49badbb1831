"""Edges of shapes on the device: points on them, their tangents, and which lines graze a shape there.

A record of an edge (prb/device/edges.py makes it) is eight integers: kind, slot, side, second slot or -1, its
side, flags, the bits of a distance (`near`), 0. Kinds:

    LINE         a straight side of one or two planar primitives, from corner `side` to the next one
    CIRCLE       the rim of a disk, or of the end of a cylinder (side 0: at its base point, 1: at the other
                 one)
    SPHERICAL    all of a sphere;  CYLINDRICAL: all of a cylinder's side: a line grazes it wherever it is
                 tangent

Positions are read from the scene's primitives, so that records stay as they are when shapes move.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.frame import max_abs, tangents, vec3
from prb.kernels.moving import corners_of
from prb.kernels.shape import row3
from prb.kernels.view import CYLINDER, DISK, TRIANGLE

COLUMNS = 8
LINE, CIRCLE, SPHERICAL, CYLINDRICAL = 0, 1, 2, 3
REVERSED, SILHOUETTE, MULTIPLE = 1, 2, 4  # flags
# REVERSED: the second face runs through the side from its other end. SILHOUETTE: only lines for which both
# faces lie on one side count, as shading goes on smoothly. MULTIPLE: it has more than two faces.

INSET = 5e-3  # how far inside a face its radiance is looked up, as a part of the way to its middle
FRINGE = 1e-2  # cosine between an interpolated normal and the ray from which on a face is no longer black
BESIDE = 1e-5  # how far beside an edge a ray passes it, as a part of the size of coordinates
BEFORE = 4e-5  # how far before an edge a ray starts, alike
LEAN, MIN_LEAN = 2e-2, 5e-4  # cosine between face and ray below which the ray starts farther away
DEPTH = 1e-4  # how far below a smooth surface's tangent its radiance is looked up, in radii


@ti.dataclass
class Grazing:
    """A line that grazes a shape.

    p: the point of the edge. t: the edge's unit tangent. omega: the line's direction, away from the sensor.
    n: unit, perpendicular to t and omega, out of the shape in front. valid: 0 if nothing jumps there.
    crease: 1 if the second face lies on the other side, so that one sees both.
    slot, u, v: the face in front, and the place of p on it. start: where rays to both ends of the line start.
    front, behind: where the rays start that look up the radiance on both sides; before_front, before: by how
    much these lie before the edge.
    """

    p: vec3
    t: vec3
    omega: vec3
    n: vec3
    valid: ti.i32
    crease: ti.i32
    slot: ti.i32
    u: ti.f32
    v: ti.f32
    start: vec3
    front: vec3
    behind: vec3
    before: ti.f32
    before_front: ti.f32


@ti.func
def side_uv(kind, side, tau):
    """The coordinates (u, v) of the point of a side at the part tau of its length, on a planar primitive."""
    u, v = tau, 0.0
    if kind == TRIANGLE:
        u = ti.select(side == 0, tau, ti.select(side == 1, 1.0 - tau, 0.0))
        v = ti.select(side == 0, 0.0, ti.select(side == 1, tau, 1.0 - tau))
    else:
        u = ti.select(side == 0, tau, ti.select(side == 1, 1.0, ti.select(side == 2, 1.0 - tau, 0.0)))
        v = ti.select(side == 0, 0.0, ti.select(side == 1, tau, ti.select(side == 2, 1.0, 1.0 - tau)))
    return u, v


@ti.func
def _middle(kind, a, b, c):
    """A point inside a planar primitive."""
    m = a + 0.5 * (b + c)
    if kind == TRIANGLE:
        m = a + (b + c) / 3.0
    return m


@ti.func
def line_point(scene: ti.template(), record, tau):
    """(p, dp/dtau) of a straight edge or a circle at tau, in [0, 1)."""
    slot, side = record[1], record[2]
    kind = scene.prim_info[slot][0]
    a, b, c = corners_of(scene, slot)
    p, along = a, b
    if record[0] == LINE:
        u, v = side_uv(kind, side, tau)
        u0, v0 = side_uv(kind, side, 0.0)
        u1, v1 = side_uv(kind, side, 1.0)
        p = a + u * b + v * c
        along = (u1 - u0) * b + (v1 - v0) * c
    else:
        middle, x, y = a + 0.5 * (b + c), 0.5 * b, 0.5 * c
        if kind == CYLINDER:
            middle, x = a + ti.f32(side) * b, c
            y = b.cross(c) / b.norm()
        cosine, sine = ti.cos(2.0 * pi * tau), ti.sin(2.0 * pi * tau)
        p = middle + cosine * x + sine * y
        along = 2.0 * pi * (cosine * y - sine * x)
    return p, along


@ti.func
def near(record):
    """The distance up to which surfaces are near an edge: float32, a part of its shape's size."""
    return ti.bit_cast(record[6], ti.f32)


@ti.func
def center(scene: ti.template(), slot):
    """The middle of a sphere or cylinder."""
    a, b, _c = corners_of(scene, slot)
    if scene.prim_info[slot][0] == CYLINDER:
        a += 0.5 * b
    return a


@ti.func
def contour_point(scene: ti.template(), record, infinite, eye, tau):
    """(exists, p, dp/dtau, unit normal) of the contour that a smooth surface has from a point, or from the
    direction `eye` if `infinite` is 1."""
    slot = record[1]
    prim = scene.prims[slot]
    a = row3(prim, 0)
    exists = 0
    p, along, n = a, vec3(0.0, 0.0, 1.0), vec3(1.0, 0.0, 0.0)
    if record[0] == SPHERICAL:
        radius = prim[3]
        v = ti.select(infinite == 1, eye, eye - a)
        distance = v.norm()
        if (infinite == 1) | (distance > radius * 1.00001):
            exists = 1
            axis = v / distance
            ratio = ti.select(infinite == 1, 0.0, radius / distance)
            across = ti.sqrt(1.0 - ratio * ratio)
            s, t = tangents(axis)
            cosine, sine = ti.cos(2.0 * pi * tau), ti.sin(2.0 * pi * tau)
            n = ratio * axis + across * (cosine * s + sine * t)
            p = a + radius * n
            along = (2.0 * pi * radius * across) * (cosine * t - sine * s)
    else:
        b, radius = row3(prim, 3), prim[6]
        axis = b.normalized()
        v = ti.select(infinite == 1, eye, eye - a)
        v -= axis * axis.dot(v)
        distance = v.norm()
        if (distance > 1e-6) & ((infinite == 1) | (distance > radius * 1.00001)):
            exists = 1
            ratio = ti.select(infinite == 1, 0.0, radius / distance)
            side = ti.select(tau < 0.5, 1.0, -1.0)
            n = ratio * v / distance + side * ti.sqrt(1.0 - ratio * ratio) * axis.cross(v / distance)
            height = ti.select(tau < 0.5, 2.0 * tau, 2.0 * tau - 1.0)
            p = a + height * b + radius * n
            along = 2.0 * b
    return exists, p, along, n


@ti.func
def free_tangency(scene: ti.template(), record, u1, u2, u3):
    """(p, unit normal, direction, weight): a uniform point of a smooth surface, a uniform tangent direction,
    and the normal curvature over the density: what replaces sin(theta) over the density of a straight
    edge."""
    prim = scene.prims[record[1]]
    a = row3(prim, 0)
    n, s, t = vec3(0.0, 0.0, 1.0), vec3(1.0, 0.0, 0.0), vec3(0.0, 1.0, 0.0)
    p, weight = a, 0.0
    cosine, sine = ti.cos(2.0 * pi * u3), ti.sin(2.0 * pi * u3)
    if record[0] == SPHERICAL:
        z = 1.0 - 2.0 * u1
        r = ti.sqrt(ti.max(1.0 - z * z, 0.0))
        n = vec3(r * ti.cos(2.0 * pi * u2), r * ti.sin(2.0 * pi * u2), z)
        p = a + prim[3] * n
        s, t = tangents(n)
        weight = 8.0 * pi * pi * prim[3]
    else:
        b, x = row3(prim, 3), row3(prim, 7)
        t = b.normalized()
        n = ti.cos(2.0 * pi * u2) * x + ti.sin(2.0 * pi * u2) * t.cross(x)
        p = a + u1 * b + prim[6] * n
        s = t.cross(n)
        weight = 4.0 * pi * pi * b.norm() * cosine * cosine
    return p, n, cosine * s + sine * t, weight


@ti.func
def inward(scene: ti.template(), record, slot, side, p):
    """A vector from the point p of an edge into a face: to a face's middle, along a cylinder's axis."""
    kind = scene.prim_info[slot][0]
    a, b, c = corners_of(scene, slot)
    found = _middle(kind, a, b, c) - p
    if kind == CYLINDER:
        found = 0.5 * ti.select(side == 0, b, -b)
    return found


@ti.func
def across_edge(scene: ti.template(), slot, t, inner):
    """The unit vector in a planar face, perpendicular to its side with tangent t, to the side of `inner`.

    It is made of the face's normal: `inner` is a difference of positions, which has lost digits that decide
    whether a small face is seen from its front.
    """
    h = row3(scene.prims[slot], 9).cross(t).normalized()
    return h * ti.select(h.dot(inner) < 0, -1.0, 1.0)


@ti.func
def size_of(scene: ti.template(), slot):
    """The size of the coordinates from which a primitive's points are computed."""
    a, b, c = corners_of(scene, slot)
    return max_abs(a) + max_abs(b) + max_abs(c)


@ti.func
def lit_point(scene: ti.template(), slot, u, v, omega):
    """Where the radiance of a triangle with vertex normals is looked up: at the point (u, v) of its side, or
    on the way to the corner whose normal faces the sensor most.

    Along a silhouette the interpolated normals turn away from where one looks before the face ends. That
    leaves a black fringe, whose inner border moves as the silhouette does, so that the jump is the one there.
    """
    first = scene.prim_info[slot][2]
    n0, n1, n2 = scene.normals[first], scene.normals[first + 1], scene.normals[first + 2]
    a, b, c = corners_of(scene, slot)
    sign = ti.select(row3(scene.prims[slot], 9).dot(omega) > 0, 1.0, -1.0)
    here = sign * ((1.0 - u - v) * n0 + u * n1 + v * n2).dot(omega)
    corner, there = a, sign * n0.dot(omega)
    if sign * n1.dot(omega) > there:
        corner, there = a + b, sign * n1.dot(omega)
    if sign * n2.dot(omega) > there:
        corner, there = a + c, sign * n2.dot(omega)
    p = a + u * b + v * c
    if (here < FRINGE) & (there > here):
        p += ti.min((FRINGE - here) / (there - here), 1.0) * (corner - p)
    return p


@ti.func
def graze_line(scene: ti.template(), record, tau, p, t, omega):
    """The `Grazing` of a line along omega through the point p of a straight edge or a circle."""
    found = Grazing(p=p, t=t, omega=omega, valid=1, crease=0, slot=record[1])
    n = t.cross(omega)
    sine = n.norm()
    if sine < 1e-5:
        found.valid = 0
    n /= ti.max(sine, 1e-5)
    slot, side, tau_front = record[1], record[2], tau
    second, second_side = record[3], record[4]
    size = size_of(scene, slot)
    one = inward(scene, record, slot, side, p)
    two = one
    across = n.dot(one)
    lean_one = one
    if record[0] == LINE:
        lean_one = across_edge(scene, slot, t, one)
        across = n.dot(lean_one)
    if (second >= 0) & (record[5] & MULTIPLE == 0):
        two = inward(scene, record, second, second_side, p)
        lean_two = across_edge(scene, second, t, two)
        other = n.dot(lean_two)
        same = across * other > 0
        # The face in front is the one that leans more towards the sensor.
        swap = same & (lean_two.dot(omega) * ti.abs(across) < lean_one.dot(omega) * ti.abs(other))
        if swap:
            slot, side = second, second_side
            tau_front = ti.select(record[5] & REVERSED != 0, 1.0 - tau, tau)
            one, two, across = two, one, other
        found.crease = ti.select(same, 0, 1)
        if (not same) & (record[5] & SILHOUETTE != 0):
            found.valid = 0
    n *= ti.select(across > 0, -1.0, 1.0)
    found.n = n
    found.slot = slot
    kind = scene.prim_info[slot][0]
    u, v = side_uv(kind, side, tau_front)
    if kind == DISK:
        u, v = 0.5 + 0.5 * ti.cos(2.0 * pi * tau), 0.5 + 0.5 * ti.sin(2.0 * pi * tau)
    found.u = u
    found.v = v
    before, beside = BEFORE * size, BESIDE * size
    found.before = before
    found.start = p + beside * n - before * omega
    found.behind = found.start
    # A face that is nearly parallel to omega is met far from where it should be, by rounding.
    lean = ti.abs(row3(scene.prims[slot], 9).dot(omega))
    if kind == CYLINDER:
        lean = 1.0
    found.before_front = before * ti.max(1.0, LEAN / ti.max(lean, MIN_LEAN))
    inside = p + INSET * one
    if ti.static(scene.features.normals):
        if (kind == TRIANGLE) & (scene.prim_info[slot][2] >= 0):
            lit = lit_point(scene, slot, u, v, omega)
            inside = lit + INSET * (p + one - lit)
    found.front = inside - found.before_front * omega
    if found.crease == 1:
        found.start = p - before * omega
        found.behind = p + INSET * two - before * omega
    if record[5] & MULTIPLE != 0:
        found.front = p - beside * n - before * omega
        found.before_front = before
    return found


@ti.func
def graze_smooth(scene: ti.template(), record, p, t, n, omega):
    """The `Grazing` of a line along omega that is tangent at p to a smooth surface with outward normal n."""
    slot = record[1]
    prim = scene.prims[slot]
    size = size_of(scene, slot)
    radius, steep = prim[3], 1.0
    if record[0] == CYLINDRICAL:
        radius = prim[6]
        steep = ti.max(row3(prim, 3).normalized().cross(omega).norm(), 0.05)
    below = DEPTH * radius
    before = 1.5 * ti.sqrt(2.0 * radius * below) / steep
    found = Grazing(p=p, t=t, omega=omega, n=n, valid=1, crease=0, slot=slot, u=0.0, v=0.0)
    found.before = BEFORE * size
    found.before_front = before
    found.start = p + BESIDE * size * n - BEFORE * size * omega
    found.behind = found.start
    found.front = p - below * n - before * omega
    return found
