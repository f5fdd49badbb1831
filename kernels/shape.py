"""From a hit primitive to the surface there: position, normals, texture coordinates, tangents."""

from prb.kernels import hit
from prb.kernels.backend import ti
from prb.kernels.frame import max_abs, tangents, vec2, vec3
from prb.kernels.view import CYLINDER, DISK, SPHERE

# A computed position is off its surface by a few roundings of the coordinates it is made from, so a ray
# leaves from EPSILON times their size above it; larger steps bias what happens at grazing angles.
EPSILON = 2e-6
SHADOW_EPSILON = 1e-4  # part of a shadow ray's length that is left out at the light


@ti.dataclass
class Interaction:
    """A point on a surface. ng: geometric unit normal, n: unit shading normal, both world space.

    margin: how far off the surface a ray has to start. uv: texture coordinates. dp_du: world space, where
    the scene needs it, else 0. u, v: the primitive's own coordinates.
    """

    p: vec3
    margin: ti.f32
    ng: vec3
    n: vec3
    uv: vec2
    dp_du: vec3
    material: ti.i32
    emitter: ti.i32
    u: ti.f32
    v: ti.f32


@ti.func
def row3(g, at: ti.template()):
    return vec3(g[at], g[at + 1], g[at + 2])


@ti.func
def corner_uv(c, k: ti.template()):
    return vec2(c[2 * k], c[2 * k + 1])


@ti.func
def uv_of_sphere(g, outward):
    """Texture coordinates of a sphere, a row of `prims`, at its outward normal."""
    return hit.sphere_uv(outward, row3(g, 4), row3(g, 7), g[11])


@ti.func
def uv_of_cylinder(g, p):
    """Texture coordinates of a cylinder, a row of `prims`, at a point on it."""
    return hit.cylinder_uv(p, row3(g, 0), row3(g, 3), row3(g, 7), g[11])


@ti.func
def uv_at(scene: ti.template(), slot, u, v):
    """Texture coordinates of a planar primitive at its own coordinates u, v."""
    c = scene.uvs[slot]
    uv = hit.planar_uv(corner_uv(c, 0), corner_uv(c, 1), corner_uv(c, 2), u, v)
    if ti.static(scene.features.disks):
        if scene.prim_info[slot][0] == DISK:  # e1 and e2 change places where the disk is flipped
            uv = hit.disk_uv(uv)
    return uv


@ti.func
def partials(scene: ti.template(), slot, u, v, uv):
    """dp/du and dp/dv by the texture coordinates; 0 where they are not defined.

    u, v: the primitive's own coordinates; spheres and cylinders go by uv alone.
    """
    g = scene.prims[slot]
    kind = scene.prim_info[slot][0]
    dp_du, dp_dv = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.textured):
        c = scene.uvs[slot]
        uv0, uv1, uv2 = corner_uv(c, 0), corner_uv(c, 1), corner_uv(c, 2)
        along_x, along_y = hit.planar_partials(row3(g, 3), row3(g, 6), uv0, uv1, uv2)
        dp_du, dp_dv = along_x, along_y
        if ti.static(scene.features.disks):
            if kind == DISK:
                square = uv0 + (uv1 - uv0) * u + (uv2 - uv0) * v
                dp_du, dp_dv = hit.disk_partials(along_x, along_y, square)
    if ti.static(scene.features.spheres):
        if kind == SPHERE:
            dp_du, dp_dv = hit.sphere_partials(uv, row3(g, 4), row3(g, 7), g[11], g[3])
    if ti.static(scene.features.cylinders):
        if kind == CYLINDER:
            dp_du, dp_dv = hit.cylinder_partials(uv, row3(g, 3), row3(g, 7), g[11], g[6])
    return dp_du, dp_dv


@ti.func
def shading_normal(scene: ti.template(), slot, u, v, ng):
    """The interpolated vertex normal, where the primitive has them, else ng."""
    n = ng
    if ti.static(scene.features.normals):
        k = scene.prim_info[slot][2]
        if k >= 0:
            n = hit.interpolated_normal(
                scene.normals[k], scene.normals[k + 1], scene.normals[k + 2], u, v, ng
            )
    return n


@ti.func
def interact(scene: ti.template(), slot, t, u, v, o, d):
    """The interaction at a hit that `trace` returned."""
    g = scene.prims[slot]
    info = scene.prim_info[slot]
    a, e1, e2 = row3(g, 0), row3(g, 3), row3(g, 6)
    p = hit.planar_point(a, e1, e2, u, v)
    margin = EPSILON * (max_abs(a) + max_abs(e1) + max_abs(e2))
    ng = row3(g, 9)
    uv = vec2(0.0, 0.0)
    if ti.static(scene.features.textured):
        uv = uv_at(scene, slot, u, v)
    if ti.static(scene.features.spheres):
        if info[0] == SPHERE:
            p, ng = hit.sphere_point(a, g[3], o, d, t)
            margin = EPSILON * (max_abs(a) + g[3])
            if ti.static(scene.located):
                uv = uv_of_sphere(g, ng)
            ng *= g[10]
    if ti.static(scene.features.cylinders):
        if info[0] == CYLINDER:
            p, ng = hit.cylinder_point(a, e1, g[6], o, d, t)
            margin = EPSILON * (max_abs(a) + max_abs(e1) + g[6])
            if ti.static(scene.located):
                uv = uv_of_cylinder(g, p)
            ng *= g[10]
    n = shading_normal(scene, slot, u, v, ng)
    dp_du = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.tangents):
        dp_du, _dp_dv = partials(scene, slot, u, v, uv)
    shape = scene.shapes[info[1]]
    return Interaction(
        p=p, margin=margin, ng=ng, n=n, uv=uv, dp_du=dp_du, material=shape[0], emitter=shape[1], u=u, v=v
    )


@ti.func
def frame(scene: ti.template(), n, dp_du):
    """The tangents of the shading frame around n: along dp/du where the scene needs that."""
    s, t = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.tangents):
        s, t = hit.frame_along(n, dp_du)
    else:
        s, t = tangents(n)
    return s, t


@ti.func
def shading_frame(scene: ti.template(), slot, u, v, uv):
    """The tangents and the normal of the frame, and dp/du and dp/dv, of a point that was met before."""
    dp_du, dp_dv = partials(scene, slot, u, v, uv)
    g = scene.prims[slot]
    ng = row3(g, 9)
    kind = scene.prim_info[slot][0]
    if ti.static(scene.features.round):
        if (kind == SPHERE) | (kind == CYLINDER):
            inwards = ti.select(kind == SPHERE, -1.0, 1.0)
            ng = dp_du.cross(dp_dv).normalized() * (inwards * g[10] * g[11])
    n = shading_normal(scene, slot, u, v, ng)
    s, t = frame(scene, n, dp_du)
    return s, t, n, dp_du, dp_dv


@ti.func
def leave(si, d):
    """The interaction's point, moved off the surface to the side that d points to."""
    return si.p + si.ng * ti.select(si.ng.dot(d) < 0, -si.margin, si.margin)
