"""What moves with the parameters that say where shapes are: numbers of primitives, points on them, normals.

A shape's points are p = A M q, where M is a `to_world` and A the transform of the instance around it (the
identity without one). With B = (A M)^-1 the derivative by M is

    of a point     dp = A dM B p
    of a vector    dv = A dM B v, without the translation of B
    of a normal    dn = -B^T dM^T A^T n, for n = (A M)^-T n_q, before it is normalised

and a vertex that is a parameter moves by A dv. The rows of these maps are in `frames`, the offsets of the
parameters in `moves` (kernels/arrays.py). A primitive is a point a and two vectors b, c: see `corners_of`.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import read3, vec3
from prb.kernels.gradient import add
from prb.kernels.shape import row3
from prb.kernels.view import CYLINDER, SPHERE

POSITIONS, OUTER, OWN, FRAMES = 0, 1, 2, 3  # columns of `moves`
OUTER_B, OWN_A, OWN_B, VERTEX_A, FRAME_ROWS = 0, 1, 2, 3, 4  # rows of a shape in `frames`; A of OUTER is 1


@ti.func
def corners_of(scene: ti.template(), slot):
    """The point a and the vectors b, c that a primitive is made of.

    Planar: v0, e1, e2. Sphere: centre, radius times the local z axis, radius times the local x axis.
    Cylinder: base point, axis, radius times the local x axis.
    """
    prim, kind = scene.prims[slot], scene.prim_info[slot][0]
    a, b, c = row3(prim, 0), row3(prim, 3), row3(prim, 6)
    if ti.static(scene.features.round):
        if kind == SPHERE:
            b, c = prim[3] * row3(prim, 4), prim[3] * row3(prim, 7)
        if kind == CYLINDER:
            b, c = row3(prim, 3), prim[6] * row3(prim, 7)
    return a, b, c


@ti.func
def moves_of(scene: ti.template(), slot):
    """The row of `moves` of a primitive's shape."""
    return scene.moves[scene.prim_info[slot][1]]


@ti.func
def linear(rows, v):
    """The linear part of an affine map, applied to a vector."""
    return vec3(row3(rows, 0).dot(v), row3(rows, 4).dot(v), row3(rows, 8).dot(v))


@ti.func
def affine(rows, p):
    """An affine map, applied to a point."""
    return linear(rows, p) + vec3(rows[3], rows[7], rows[11])


@ti.func
def transposed(rows, v):
    """The transpose of the linear part, applied to a vector."""
    return row3(rows, 0) * v.x + row3(rows, 4) * v.y + row3(rows, 8) * v.z


@ti.func
def _add(gradient: ti.template(), offset, x: ti.template()):
    if offset < gradient.size:
        add(gradient, offset, x)


@ti.func
def _add3(gradient: ti.template(), offset, x):
    for i in ti.static(range(3)):
        _add(gradient, offset + i, x[i])


@ti.func
def _add_map(gradient: ti.template(), offset, left, right, w: ti.template()):
    """Add the cotangent of a matrix M in left . M (right, w) to that of the transform at an offset."""
    if offset < gradient.size:
        for r in ti.static(range(3)):
            for c in ti.static(range(3)):
                add(gradient, offset + 4 * r + c, left[r] * right[c])
            if ti.static(w == 1):
                add(gradient, offset + 4 * r + 3, left[r])


@ti.func
def _map(buffer: ti.template(), offset, x, w: ti.template()):
    """dM (x, w), for the tangent of the transform at an offset."""
    rows = vec3(0.0, 0.0, 0.0)
    for r in ti.static(range(3)):
        rows[r] = read3(buffer, offset + 4 * r).dot(x) + ti.static(float(w)) * buffer[offset + 4 * r + 3]
    return rows


# ------------------------------------------------------------------------------- reverse mode


@ti.func
def add_affine(scene: ti.template(), gradient: ti.template(), moves, x, w: ti.template(), grad):
    """Add the cotangent of a point (w = 1) or a vector (w = 0) that the shape's transforms carry."""
    if moves[OUTER] >= 0:
        inverse = scene.frames[moves[FRAMES] + OUTER_B]
        local = affine(inverse, x) if ti.static(w == 1) else linear(inverse, x)
        _add_map(gradient, moves[OUTER], grad, local, w)
    if moves[OWN] >= 0:
        inverse = scene.frames[moves[FRAMES] + OWN_B]
        local = affine(inverse, x) if ti.static(w == 1) else linear(inverse, x)
        _add_map(gradient, moves[OWN], transposed(scene.frames[moves[FRAMES] + OWN_A], grad), local, w)


@ti.func
def add_vertices(scene: ti.template(), gradient: ti.template(), moves, slot, grad0, grad1, grad2):
    """Add the cotangents of a triangle's three vertices to the vertex positions, if they are parameters."""
    if ti.static(scene.execution.vertices):
        if moves[POSITIONS] >= 0:
            vertices, frame = scene.corners[slot], scene.frames[moves[FRAMES] + VERTEX_A]
            _add3(gradient, moves[POSITIONS] + 3 * vertices[0], transposed(frame, grad0))
            _add3(gradient, moves[POSITIONS] + 3 * vertices[1], transposed(frame, grad1))
            _add3(gradient, moves[POSITIONS] + 3 * vertices[2], transposed(frame, grad2))


@ti.func
def add_corners(scene: ti.template(), gradient: ti.template(), slot, grad_a, grad_b, grad_c):
    """Add the cotangents of a primitive's `corners_of` to the gradient."""
    moves = moves_of(scene, slot)
    a, b, c = corners_of(scene, slot)
    add_affine(scene, gradient, moves, a, 1, grad_a)
    add_affine(scene, gradient, moves, b, 0, grad_b)
    add_affine(scene, gradient, moves, c, 0, grad_c)
    add_vertices(scene, gradient, moves, slot, grad_a - grad_b - grad_c, grad_b, grad_c)


@ti.func
def add_point(scene: ti.template(), gradient: ti.template(), slot, u, v, p, grad_p):
    """Add the cotangent of a point of the shape, which moves with it. u, v: its place on a planar primitive.
    p: the point."""
    moves = moves_of(scene, slot)
    add_affine(scene, gradient, moves, p, 1, grad_p)
    add_vertices(scene, gradient, moves, slot, (1.0 - u - v) * grad_p, u * grad_p, v * grad_p)


@ti.func
def add_normal(scene: ti.template(), gradient: ti.template(), moves, n, grad_n):
    """Add the cotangent of a unit normal that the shape's transforms turn."""
    grad = grad_n - n * n.dot(grad_n)
    if moves[OUTER] >= 0:
        _add_map(gradient, moves[OUTER], -n, linear(scene.frames[moves[FRAMES] + OUTER_B], grad), 0)
    if moves[OWN] >= 0:
        left = transposed(scene.frames[moves[FRAMES] + OWN_A], n)
        _add_map(gradient, moves[OWN], -left, linear(scene.frames[moves[FRAMES] + OWN_B], grad), 0)


# ------------------------------------------------------------------------------- forward mode


@ti.func
def tangent_of_affine(scene: ti.template(), buffer: ti.template(), moves, x, w: ti.template()):
    """The tangent of a point (w = 1) or a vector (w = 0) by the shape's transforms."""
    total = vec3(0.0, 0.0, 0.0)
    if moves[OUTER] >= 0:
        inverse = scene.frames[moves[FRAMES] + OUTER_B]
        local = affine(inverse, x) if ti.static(w == 1) else linear(inverse, x)
        total += _map(buffer, moves[OUTER], local, w)
    if moves[OWN] >= 0:
        inverse = scene.frames[moves[FRAMES] + OWN_B]
        local = affine(inverse, x) if ti.static(w == 1) else linear(inverse, x)
        total += linear(scene.frames[moves[FRAMES] + OWN_A], _map(buffer, moves[OWN], local, w))
    return total


@ti.func
def tangent_of_vertex(scene: ti.template(), buffer: ti.template(), moves, slot, k: ti.template()):
    """The tangent of vertex k of a triangle by the vertex positions."""
    total = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.execution.vertices):
        if moves[POSITIONS] >= 0:
            step = read3(buffer, moves[POSITIONS] + 3 * scene.corners[slot][k])
            total = linear(scene.frames[moves[FRAMES] + VERTEX_A], step)
    return total


@ti.func
def tangents_of_corners(scene: ti.template(), buffer: ti.template(), slot):
    """The tangents of a primitive's `corners_of`."""
    moves = moves_of(scene, slot)
    a, b, c = corners_of(scene, slot)
    v0 = tangent_of_vertex(scene, buffer, moves, slot, 0)
    v1 = tangent_of_vertex(scene, buffer, moves, slot, 1)
    v2 = tangent_of_vertex(scene, buffer, moves, slot, 2)
    da = tangent_of_affine(scene, buffer, moves, a, 1) + v0
    db = tangent_of_affine(scene, buffer, moves, b, 0) + v1 - v0
    dc = tangent_of_affine(scene, buffer, moves, c, 0) + v2 - v0
    return da, db, dc


@ti.func
def tangent_of_point(scene: ti.template(), buffer: ti.template(), slot, u, v, p):
    """The tangent of a point of the shape, which moves with it; as `add_point`."""
    moves = moves_of(scene, slot)
    v0 = tangent_of_vertex(scene, buffer, moves, slot, 0)
    v1 = tangent_of_vertex(scene, buffer, moves, slot, 1)
    v2 = tangent_of_vertex(scene, buffer, moves, slot, 2)
    return tangent_of_affine(scene, buffer, moves, p, 1) + (1.0 - u - v) * v0 + u * v1 + v * v2


@ti.func
def tangent_of_normal(scene: ti.template(), buffer: ti.template(), moves, n):
    """The tangent of a unit normal by the shape's transforms."""
    total = vec3(0.0, 0.0, 0.0)
    if moves[OUTER] >= 0:
        turned = _transposed_map(buffer, moves[OUTER], n)
        total -= transposed(scene.frames[moves[FRAMES] + OUTER_B], turned)
    if moves[OWN] >= 0:
        left = transposed(scene.frames[moves[FRAMES] + OWN_A], n)
        turned = _transposed_map(buffer, moves[OWN], left)
        total -= transposed(scene.frames[moves[FRAMES] + OWN_B], turned)
    return total - n * n.dot(total)


@ti.func
def _transposed_map(buffer: ti.template(), offset, x):
    """dM^T x without the translation, for the tangent of the transform at an offset."""
    total = vec3(0.0, 0.0, 0.0)
    for r in ti.static(range(3)):
        total += read3(buffer, offset + 4 * r) * x[r]
    return total
