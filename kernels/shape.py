"""From a hit primitive to the surface there: position, normals, texture coordinates, tangents."""

from prb.kernels.backend import pi, ti
from prb.kernels.frame import max_abs, tangents, vec2, vec3
from prb.kernels.view import CYLINDER, DISK, SPHERE
from prb.kernels.warp import azimuth_fraction, polar_fraction

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
def angle_uv(x, y):
    """The azimuth of (x, y) as a part of the full turn, in [0, 1); 0 for (0, 0)."""
    return ti.select((x == 0) & (y == 0), 0.0, azimuth_fraction(x, y))


@ti.func
def sphere_uv(scene: ti.template(), slot, outward):
    """Texture coordinates of a sphere at its outward normal: azimuth and polar angle in the local frame."""
    g = scene.prims[slot]
    z, x = row3(g, 4), row3(g, 7)
    local = vec3(outward.dot(x), outward.dot(z.cross(x) * g[11]), outward.dot(z))
    beside = (local.x * local.x + local.y * local.y) / (1.0 + ti.abs(local.z))
    return vec2(angle_uv(local.x, local.y), polar_fraction(local.z, beside))


@ti.func
def uv_at(scene: ti.template(), slot, u, v):
    """Texture coordinates of a planar primitive at its own coordinates u, v."""
    c = scene.uvs[slot]
    w = 1.0 - u - v
    uv = vec2(c[0] * w + c[2] * u + c[4] * v, c[1] * w + c[3] * u + c[5] * v)
    if ti.static(scene.features.disks):
        if scene.prim_info[slot][0] == DISK:
            x, y = 2.0 * uv.x - 1.0, 2.0 * uv.y - 1.0  # e1 and e2 change places where the disk is flipped
            uv = vec2(ti.sqrt(x * x + y * y), angle_uv(x, y))
    return uv


@ti.func
def cylinder_uv(g, p):
    """Texture coordinates of a cylinder at a point on it: azimuth, and height over the axis' length."""
    axis, x, r = row3(g, 3), row3(g, 7), p - row3(g, 0)
    y = axis.cross(x) * (g[11] / axis.norm())
    return vec2(angle_uv(r.dot(x), r.dot(y)), r.dot(axis) / axis.dot(axis))


@ti.func
def partials(scene: ti.template(), slot, u, v, uv):
    """dp/du and dp/dv by the texture coordinates; 0 where they are not defined.

    u, v: the primitive's own coordinates; spheres and cylinders go by uv alone.
    """
    g = scene.prims[slot]
    kind = scene.prim_info[slot][0]
    e1, e2 = row3(g, 3), row3(g, 6)
    dp_du, dp_dv = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.textured):
        c = scene.uvs[slot]
        a, b = vec2(c[2] - c[0], c[3] - c[1]), vec2(c[4] - c[0], c[5] - c[1])
        det = a.x * b.y - a.y * b.x
        scale = ti.select(ti.abs(det) > 0, 1.0 / ti.select(det == 0, 1.0, det), 0.0)
        dp_du = (b.y * e1 - a.y * e2) * scale
        dp_dv = (a.x * e2 - b.x * e1) * scale
        if ti.static(scene.features.disks):
            if kind == DISK:  # so far by the square around it
                x = 2.0 * (c[0] + a.x * u + b.x * v) - 1.0
                y = 2.0 * (c[1] + a.y * u + b.y * v) - 1.0
                r = ti.sqrt(x * x + y * y)
                inverse = ti.select(r > 0, 1.0 / ti.max(r, 1e-20), 0.0)
                along_x, along_y = dp_du, dp_dv
                dp_du = ti.select(r > 0, 0.5 * (along_x * x + along_y * y) * inverse, 0.5 * along_x)
                dp_dv = pi * (along_y * x - along_x * y)
    turn = 2.0 * pi * uv.x
    if ti.static(scene.features.spheres):
        if kind == SPHERE:
            z, x = row3(g, 4), row3(g, 7)
            y = z.cross(x) * g[11]
            polar = pi * uv.y
            dp_du = (y * ti.cos(turn) - x * ti.sin(turn)) * (2.0 * pi * g[3] * ti.sin(polar))
            ring = x * ti.cos(turn) + y * ti.sin(turn)
            dp_dv = (ring * ti.cos(polar) - z * ti.sin(polar)) * (pi * g[3])
    if ti.static(scene.features.cylinders):
        if kind == CYLINDER:
            axis, x = row3(g, 3), row3(g, 7)
            y = axis.cross(x) * (g[11] / axis.norm())
            dp_du = (y * ti.cos(turn) - x * ti.sin(turn)) * (2.0 * pi * g[6])
            dp_dv = axis
    return dp_du, dp_dv


@ti.func
def shading_normal(scene: ti.template(), slot, u, v, ng):
    """The interpolated vertex normal, where the primitive has them, else ng."""
    n = ng
    if ti.static(scene.features.normals):
        k = scene.prim_info[slot][2]
        if k >= 0:
            n = scene.normals[k] * (1.0 - u - v) + scene.normals[k + 1] * u + scene.normals[k + 2] * v
            n = ti.select(n.dot(n) > 0, n.normalized(), ng)
    return n


@ti.func
def interact(scene: ti.template(), slot, t, u, v, o, d):
    """The interaction at a hit that `trace` returned."""
    g = scene.prims[slot]
    info = scene.prim_info[slot]
    a, e1, e2 = row3(g, 0), row3(g, 3), row3(g, 6)
    p = a + u * e1 + v * e2
    margin = EPSILON * (max_abs(a) + max_abs(e1) + max_abs(e2))
    ng = row3(g, 9)
    uv = vec2(0.0, 0.0)
    if ti.static(scene.features.textured):
        uv = uv_at(scene, slot, u, v)
    if ti.static(scene.features.spheres):
        if info[0] == SPHERE:
            ng = (o + t * d - a).normalized()
            p = a + g[3] * ng
            margin = EPSILON * (max_abs(a) + g[3])
            if ti.static(scene.located):
                uv = sphere_uv(scene, slot, ng)
            ng *= g[10]
    if ti.static(scene.features.cylinders):
        if info[0] == CYLINDER:
            hit = o + t * d
            foot = a + e1 * ((hit - a).dot(e1) / e1.dot(e1))
            ng = (hit - foot).normalized()
            p = foot + g[6] * ng
            margin = EPSILON * (max_abs(a) + max_abs(e1) + g[6])
            if ti.static(scene.located):
                uv = cylinder_uv(g, p)
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
    s, t = tangents(n)
    if ti.static(scene.features.tangents):
        along = dp_du - n * n.dot(dp_du)
        if along.dot(along) > 1e-12 * dp_du.dot(dp_du):
            s = along.normalized()
            t = n.cross(s)
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
