"""A surface that emits the same radiance in all directions on the side of its normal.

Planar primitives and cylinders are sampled uniformly in area; spheres uniformly in the cone of directions
that they fill (pbrt-v4, section 6.2.4), or in area from inside.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import LightSample
from prb.kernels.frame import tangents, to_world, vec2
from prb.kernels.parameter import Parameter
from prb.kernels.shape import uv_at, uv_of_cylinder, uv_of_sphere
from prb.kernels.view import CYLINDER, DISK, PARALLELOGRAM, SPHERE
from prb.kernels.warp import square_to_cone, square_to_disk, square_to_sphere, square_to_triangle

PARAMETER = Parameter("radiance", default=1.0)
PLACEMENT = None


@ti.func
def cone(center, radius, ref):
    """1 - cos of the half angle under which a sphere is seen from outside; negative from inside."""
    to_center = center - ref
    d2 = to_center.dot(to_center)
    sin2 = radius * radius / d2
    outside = d2 > radius * radius * 1.0001
    return ti.select(outside, sin2 / (1.0 + ti.sqrt(ti.max(1.0 - sin2, 0.0))), -1.0)


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    slot = scene.lights[entry][0]
    g = scene.prims[slot]
    kind = scene.prim_info[slot][0]
    a = ti.Vector([g[0], g[1], g[2]])
    p = a
    n = ti.Vector([0.0, 0.0, 0.0])
    density = 0.0  # in area; a cone's, in solid angle, is put in below
    solid_angle = 0.0
    where = vec2(0.0, 0.0)
    if kind != SPHERE and kind != CYLINDER:
        e1 = ti.Vector([g[3], g[4], g[5]])
        e2 = ti.Vector([g[6], g[7], g[8]])
        uv = square_to_triangle(u1, u2)
        if kind == PARALLELOGRAM:
            uv = ti.Vector([u1, u2])
        if ti.static(scene.features.disks):
            if kind == DISK:
                uv = 0.5 + 0.5 * square_to_disk(u1, u2)
        p = a + uv.x * e1 + uv.y * e2
        n = ti.Vector([g[9], g[10], g[11]])
        density = 1.0 / scene.light_pdf[entry][2]
        if ti.static(scene.features.textured):
            where = uv_at(scene, slot, uv.x, uv.y)
    if ti.static(scene.features.cylinders):
        if kind == CYLINDER:
            axis, x = ti.Vector([g[3], g[4], g[5]]), ti.Vector([g[7], g[8], g[9]])
            y = axis.cross(x) / axis.norm()
            outward = ti.cos(2.0 * pi * u1) * x + ti.sin(2.0 * pi * u1) * y
            p = a + u2 * axis + g[6] * outward
            n = g[10] * outward
            density = 1.0 / scene.light_pdf[entry][2]
            if ti.static(scene.features.textured):
                where = uv_of_cylinder(g, p)
    if ti.static(scene.features.spheres):
        if kind == SPHERE:
            one_minus_cos = cone(a, g[3], ref)
            if one_minus_cos > 0:
                axis = (a - ref).normalized()
                s, t = tangents(axis)
                d = to_world(square_to_cone(u1, u2, one_minus_cos), s, t, axis)
                # nearest intersection of the sampled ray, clamped to the tangent point
                b = (a - ref).dot(d)
                away = a - ref - b * d
                h2 = g[3] * g[3] - away.dot(away)
                n = (ref + (b - ti.sqrt(ti.max(h2, 0.0))) * d - a).normalized()
                solid_angle = 1.0 / (2.0 * pi * one_minus_cos)
            else:
                n = square_to_sphere(u1, u2)
                density = 1.0 / scene.light_pdf[entry][2]
            p = a + g[3] * n
            if ti.static(scene.features.textured):
                where = uv_of_sphere(g, n)
            n *= g[10]
    r = p - ref
    distance2 = r.dot(r)
    distance = ti.sqrt(distance2)
    d = r / distance
    cos_light = -n.dot(d)
    pdf = ti.select(solid_angle > 0, solid_angle, density * distance2 / cos_light)
    pdf = ti.select((cos_light > 0) & (distance2 > 0), pdf, 0.0)
    return LightSample(d=d, distance=distance, pdf=pdf, scale=1.0, delta=0, uv=where)


@ti.func
def pdf(scene: ti.template(), slot, ref, p, n):
    """p, n: the point on the primitive that a ray from ref met, and its geometric normal."""
    entry = scene.prim_light[slot]
    r = p - ref
    distance2 = r.dot(r)
    density = distance2 * ti.sqrt(distance2) / (scene.light_pdf[entry][2] * ti.abs(n.dot(r)))
    if ti.static(scene.features.spheres):
        if scene.prim_info[slot][0] == SPHERE:
            g = scene.prims[slot]
            one_minus_cos = cone(ti.Vector([g[0], g[1], g[2]]), g[3], ref)
            if one_minus_cos > 0:
                density = 1.0 / (2.0 * pi * one_minus_cos)
    return density
