"""The surface at a hit, read from the scene's arrays: position, normals, texture coordinates, tangents."""

from prb.kernels import hit
from prb.kernels.backend import ti
from prb.kernels.frame import max_abs, tangents, vec2, vec3
from prb.kernels.view import CYLINDER, DISK, SPHERE

# A computed position is off its surface by a few rounding errors of the coordinates it is made from, so a ray
# starts EPSILON times their size above it. Larger offsets bias what is seen at grazing angles.
EPSILON = 2e-6
SHADOW_EPSILON = 1e-4  # fraction of its length by which a shadow ray ends before the light


@ti.dataclass
class Interaction:
    """A point p on a surface. ng: geometric unit normal, n: unit shading normal, both in world space.

    margin: distance from the surface at which a ray starts. uv: texture coordinates. dp_du: in world space; 0
    if the scene does not need it. u, v: the primitive's own coordinates. boundary: code of the media on both
    sides (kernels/medium.py).
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
    boundary: ti.i32


@ti.func
def row3(prim, first: ti.template()):
    """Three consecutive numbers of a primitive's row of `prims`."""
    return vec3(prim[first], prim[first + 1], prim[first + 2])


@ti.func
def corner_uv(uvs, k: ti.template()):
    """The texture coordinates of corner k, from a primitive's row of `uvs`."""
    return vec2(uvs[2 * k], uvs[2 * k + 1])


@ti.func
def uv_of_sphere(prim, outward):
    """Texture coordinates of a sphere at its outward normal. prim: its row of `prims`."""
    return hit.sphere_uv(outward, row3(prim, 4), row3(prim, 7), prim[11])


@ti.func
def uv_of_cylinder(prim, p):
    """Texture coordinates of a cylinder at a point on it. prim: its row of `prims`."""
    return hit.cylinder_uv(p, row3(prim, 0), row3(prim, 3), row3(prim, 7), prim[11])


@ti.func
def uv_at(scene: ti.template(), slot, u, v):
    """Texture coordinates of a planar primitive at its own coordinates u, v."""
    uvs = scene.uvs[slot]
    uv = hit.planar_uv(corner_uv(uvs, 0), corner_uv(uvs, 1), corner_uv(uvs, 2), u, v)
    if ti.static(scene.features.disks):
        if scene.prim_info[slot][0] == DISK:  # if the disk is flipped, its row of `uvs` allows for it
            uv = hit.disk_uv(uv)
    return uv


@ti.func
def partials(scene: ti.template(), slot, u, v, uv):
    """The derivatives dp/du and dp/dv by the texture coordinates; 0 if they are not defined.

    u, v: coordinates on a planar primitive. uv: texture coordinates, for spheres and cylinders.
    """
    prim = scene.prims[slot]
    kind = scene.prim_info[slot][0]
    dp_du, dp_dv = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.textured):
        uvs = scene.uvs[slot]
        uv0, uv1, uv2 = corner_uv(uvs, 0), corner_uv(uvs, 1), corner_uv(uvs, 2)
        along_x, along_y = hit.planar_partials(row3(prim, 3), row3(prim, 6), uv0, uv1, uv2)
        dp_du, dp_dv = along_x, along_y
        if ti.static(scene.features.disks):
            if kind == DISK:
                square = uv0 + (uv1 - uv0) * u + (uv2 - uv0) * v
                dp_du, dp_dv = hit.disk_partials(along_x, along_y, square)
    if ti.static(scene.features.spheres):
        if kind == SPHERE:
            dp_du, dp_dv = hit.sphere_partials(uv, row3(prim, 4), row3(prim, 7), prim[11], prim[3])
    if ti.static(scene.features.cylinders):
        if kind == CYLINDER:
            dp_du, dp_dv = hit.cylinder_partials(uv, row3(prim, 3), row3(prim, 7), prim[11], prim[6])
    return dp_du, dp_dv


@ti.func
def shading_normal(scene: ti.template(), slot, u, v, ng):
    """The interpolated vertex normal; ng if the primitive has no vertex normals."""
    n = ng
    if ti.static(scene.features.normals):
        first = scene.prim_info[slot][2]
        if first >= 0:
            n = hit.interpolated_normal(
                scene.normals[first], scene.normals[first + 1], scene.normals[first + 2], u, v, ng
            )
    return n


@ti.func
def interact(scene: ti.template(), slot, t, u, v, o, d):
    """The `Interaction` at a hit that `trace` returned, of the ray o + t d."""
    prim = scene.prims[slot]
    info = scene.prim_info[slot]
    v0, e1, e2 = row3(prim, 0), row3(prim, 3), row3(prim, 6)
    p = hit.planar_point(v0, e1, e2, u, v)
    margin = EPSILON * (max_abs(v0) + max_abs(e1) + max_abs(e2))
    ng = row3(prim, 9)
    uv = vec2(0.0, 0.0)
    if ti.static(scene.features.textured):
        uv = uv_at(scene, slot, u, v)
    if ti.static(scene.features.spheres):
        if info[0] == SPHERE:
            p, ng = hit.sphere_point(v0, prim[3], o, d, t)
            margin = EPSILON * (max_abs(v0) + prim[3])
            if ti.static(scene.located):
                uv = uv_of_sphere(prim, ng)
            ng *= prim[10]
    if ti.static(scene.features.cylinders):
        if info[0] == CYLINDER:
            p, ng = hit.cylinder_point(v0, e1, prim[6], o, d, t)
            margin = EPSILON * (max_abs(v0) + max_abs(e1) + prim[6])
            if ti.static(scene.located):
                uv = uv_of_cylinder(prim, p)
            ng *= prim[10]
    n = shading_normal(scene, slot, u, v, ng)
    dp_du = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.tangents):
        dp_du, _dp_dv = partials(scene, slot, u, v, uv)
    shape = scene.shapes[info[1]]
    return Interaction(
        p=p, margin=margin, ng=ng, n=n, uv=uv, dp_du=dp_du, material=shape[0], emitter=shape[1], u=u, v=v,
        boundary=shape[3],
    )  # fmt: skip


@ti.func
def frame(scene: ti.template(), n, dp_du):
    """The tangents of the shading frame around n; the first follows dp/du if the scene needs that."""
    s, t = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.tangents):
        s, t = hit.frame_along(n, dp_du)
    else:
        s, t = tangents(n)
    return s, t


@ti.func
def shading_frame(scene: ti.template(), slot, u, v, uv):
    """(s, t, n, dp/du, dp/dv): the shading frame and partial derivatives at a point that is hit already."""
    dp_du, dp_dv = partials(scene, slot, u, v, uv)
    prim = scene.prims[slot]
    ng = row3(prim, 9)
    kind = scene.prim_info[slot][0]
    if ti.static(scene.features.round):
        if (kind == SPHERE) | (kind == CYLINDER):
            # dp/du x dp/dv points inwards on a right-handed sphere, outwards on a right-handed cylinder
            sign = ti.select(kind == SPHERE, -1.0, 1.0)
            ng = dp_du.cross(dp_dv).normalized() * (sign * prim[10] * prim[11])
    n = shading_normal(scene, slot, u, v, ng)
    s, t = frame(scene, n, dp_du)
    return s, t, n, dp_du, dp_dv


@ti.func
def ray_origin(si, d):
    """Where a ray in direction d starts: the interaction's point, moved off the surface to the side of d."""
    return si.p + si.ng * ti.select(si.ng.dot(d) < 0, -si.margin, si.margin)
