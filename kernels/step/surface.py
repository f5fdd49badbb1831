"""The surface where a ray meets a primitive, as a traced function of the ray: what of it moves with the ray.

The primitive is known. A ray meets a plane at the distance that makes their difference zero; on spheres and
cylinders the distance that the traversal found is corrected by one step of Newton's method, whose value is
zero up to rounding and whose derivative is that of the distance.
"""

from types import SimpleNamespace

from prb.kernels import hit
from prb.kernels.backend import ti
from prb.kernels.frame import tangents, to_world
from prb.kernels.shape import corner_uv, row3
from prb.kernels.step.reader import Place
from prb.kernels.traced import (
    Condition,
    Vec2,
    Vec3,
    branch,
    constant,
    cross,
    detach,
    dot,
    length,
    normalize,
)
from prb.kernels.view import CYLINDER, DISK, SPHERE


@ti.func
def _normal(scene: ti.template(), slot):
    return row3(scene.prims[slot], 9)


@ti.func
def _signs(scene: ti.template(), slot):
    prim = scene.prims[slot]
    return prim[10], prim[11]


@ti.func
def _kind(scene: ti.template(), slot):
    return scene.prim_info[slot][0]


@ti.func
def _corner_uvs(scene: ti.template(), slot):
    uvs = scene.uvs[slot]
    return corner_uv(uvs, 0), corner_uv(uvs, 1), corner_uv(uvs, 2)


@ti.func
def _first_normal(scene: ti.template(), slot):
    return scene.prim_info[slot][2]


def newton(distance, error, slope):
    """The distance with the derivative of the root: `error`, about zero there, has the derivative `slope`."""
    return distance - error / detach(slope)


def _planar(features, kind, uvs, corner, e1, e2, n, o, d):
    """(p, ng, uv, u, v, dp/du, dp/dv) on a triangle, parallelogram or disk."""
    t = dot(corner - o, n) / dot(d, n)
    q = o + t * d - corner
    a, b, c = dot(e1, e1), dot(e1, e2), dot(e2, e2)
    along, across, scale = dot(q, e1), dot(q, e2), 1.0 / (a * c - b * b)
    u, v = (along * c - across * b) * scale, (across * a - along * b) * scale
    p = hit.planar_point(corner, e1, e2, u, v)
    zero = Vec3(constant(0.0), constant(0.0), constant(0.0))
    if not features.textured:
        return p, n, Vec2(constant(0.0), constant(0.0)), u, v, zero, zero
    uv = hit.planar_uv(*uvs, u, v)
    partials = hit.planar_partials(e1, e2, *uvs)
    if not features.disks:
        return p, n, uv, u, v, *partials

    def of_disk():
        return hit.disk_uv(uv), *hit.disk_partials(*partials, uv)

    own_uv, *own_partials = branch(Condition(kind == DISK), of_disk, lambda: (uv, *partials))
    return p, n, own_uv, u, v, *own_partials


def _sphere(features, center, b, c, signs, o, d, distance):
    """As `_planar`. b, c: the local axes z and x, times the radius. signs: of normals and of the frame."""
    radius, (sign, handedness) = length(b), signs
    z, x = b / radius, normalize(c)
    r = o + distance * d - center
    t = newton(distance, 0.5 * (dot(r, r) - radius * radius), dot(r, d))
    p, outward = hit.sphere_point(center, radius, o, d, t)
    uv, partials = _round_uv(features, lambda: hit.sphere_uv(outward, z, x, handedness))
    if features.tangents:
        partials = hit.sphere_partials(uv, z, x, handedness, radius)
    return p, outward * sign, uv, constant(0.0), constant(0.0), *partials


def _cylinder(features, base, axis, c, signs, o, d, distance):
    """As `_planar`. c: the local x axis, times the radius. signs: of normals and of the frame."""
    radius, x, (sign, handedness) = length(c), normalize(c), signs
    r = o + distance * d - base
    r = r - axis * (dot(r, axis) / dot(axis, axis))
    t = newton(distance, 0.5 * (dot(r, r) - radius * radius), dot(r, d))
    p, outward = hit.cylinder_point(base, axis, radius, o, d, t)
    uv, partials = _round_uv(features, lambda: hit.cylinder_uv(p, base, axis, x, handedness))
    if features.tangents:
        partials = hit.cylinder_partials(uv, axis, x, handedness, radius)
    return p, outward * sign, uv, constant(0.0), constant(0.0), *partials


def _round_uv(features, compute):
    """(texture coordinates if the scene needs them, partial derivatives of zero)."""
    zero = Vec3(constant(0.0), constant(0.0), constant(0.0))
    return compute() if features.textured else Vec2(constant(0.0), constant(0.0)), (zero, zero)


def at_hit(reader, slot, o, d, distance):
    """The surface at the hit of the ray o + t d on the primitive in `slot`, at about that distance.

    p: the point. ng, n: geometric and shading normal. s, t: tangents of the shading frame. place: where its
    textures are looked up. dp_du, dp_dv: partial derivatives, if the scene's frames need them.
    """
    scene, features = reader.scene, reader.scene.features
    kind, first, distance = _kind(scene, slot), _first_normal(scene, slot), constant(distance)
    numbers, moves = reader.corners(slot), scene.execution.shapes
    uvs = constant(tuple(_corner_uvs(scene, slot))) if features.textured else None

    def planar():
        n = normalize(cross(*numbers[1:])) if moves else constant(_normal(scene, slot))
        return _planar(features, kind, uvs, *numbers, n, o, d)

    def signs():
        return tuple(constant(x) for x in _signs(scene, slot))

    def cylinder_or_planar():
        if not features.cylinders:
            return planar()
        is_cylinder = Condition(kind == CYLINDER)
        return branch(is_cylinder, lambda: _cylinder(features, *numbers, signs(), o, d, distance), planar)

    found = (
        branch(
            Condition(kind == SPHERE),
            lambda: _sphere(features, *numbers, signs(), o, d, distance),
            cylinder_or_planar,
        )
        if features.spheres
        else cylinder_or_planar()
    )
    p, ng, uv, u, v, dp_du, dp_dv = found
    n = ng
    if features.normals:

        def interpolated():
            return hit.interpolated_normal(*reader.normals(slot, first), u, v, ng)

        n = branch(Condition(first >= 0), interpolated, lambda: ng)
    s, t = hit.frame_along(n, dp_du) if features.tangents else tangents(n)
    return SimpleNamespace(
        p=p, ng=ng, n=n, s=s, t=t, place=Place(uv, slot, u, v), dp_du=dp_du, dp_dv=dp_dv
    )  # fmt: skip


def local(surface, w):
    """A world-space direction in the shading frame."""
    return Vec3(dot(w, surface.s), dot(w, surface.t), dot(w, surface.n))


def world(surface, w):
    """A direction of the shading frame in world space."""
    return to_world(w, surface.s, surface.t, surface.n)  # fault: frame-held-constant
