"""A surface that emits the same radiance in all directions on the side of its normal.

Planar primitives and cylinders are sampled uniformly by area. Spheres are sampled uniformly in the cone of
directions under which they are seen (pbrt-v4, section 6.2.4), from inside by area. Densities are by solid
angle at the reference point: a density by area times distance^2 / |cos|, where cos is that at the emitter.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.emitter.sample import LightSample
from prb.kernels.frame import tangents, to_world, vec2
from prb.kernels.parameter import Parameter
from prb.kernels.shape import uv_at, uv_of_cylinder, uv_of_sphere
from prb.kernels.traced import absolute, dot, kernel_callable, maximum, normalize, select, sqrt
from prb.kernels.view import CYLINDER, DISK, PARALLELOGRAM, SPHERE
from prb.kernels.warp import square_to_cone, square_to_disk, square_to_sphere, square_to_triangle

PARAMETER = Parameter("radiance", default=1.0)
PLACEMENT = None


@kernel_callable
def cone(center, radius, ref):
    """1 - cos of the half angle of the cone under which a sphere is seen; negative from inside."""
    to_center = center - ref
    distance2 = dot(to_center, to_center)
    sin2 = radius * radius / distance2
    outside = distance2 > radius * radius * 1.0001
    cos2 = select(outside, 1.0 - sin2, 0.0)
    return select(outside, sin2 / (1.0 + sqrt(maximum(cos2, 0.0))), -1.0)


@kernel_callable
def normal_in_cone(center, radius, ref, u1, u2, one_minus_cos):
    """The outward normal where a direction of that cone meets the sphere first, clamped to the tangent
    point."""
    to_center = center - ref
    axis = normalize(to_center)
    s, t = tangents(axis)
    d = to_world(square_to_cone(u1, u2, one_minus_cos), s, t, axis)
    b = dot(to_center, d)
    offset = to_center - b * d
    h2 = radius * radius - dot(offset, offset)
    meets = h2 > 0
    h = select(meets, sqrt(select(meets, h2, 1.0)), 0.0)
    return normalize(ref + (b - h) * d - center)


@kernel_callable
def to_point(p, n, ref, area_density, cone_density):
    """(d, distance, density by solid angle) from ref to the point p of a light, whose normal there is n.

    area_density: by area. cone_density: by solid angle; 0 if points were sampled by area.
    """
    r = p - ref
    distance2 = dot(r, r)
    distance = sqrt(distance2)
    d = r / distance
    cos_light = -dot(n, d)
    density = select(cone_density > 0, cone_density, area_density * distance2 / cos_light)
    return d, distance, select((cos_light > 0) & (distance2 > 0), density, 0.0)


@kernel_callable
def by_solid_angle(ref, p, n, area_density):
    """The density by solid angle at ref of points p that have a density by area."""
    r = p - ref
    distance2 = dot(r, r)
    return area_density * distance2 * sqrt(distance2) / absolute(dot(n, r))


@ti.func
def sample_point(scene: ti.template(), entry, ref, u1, u2):
    """(point, normal, texture coordinates, density by area, density by solid angle) of a sampled point.

    One of the densities is 0: the second unless a sphere's cone is sampled, else the first.
    """
    slot = scene.lights[entry][0]
    prim = scene.prims[slot]
    kind = scene.prim_info[slot][0]
    a = ti.Vector([prim[0], prim[1], prim[2]])
    p = a
    n = ti.Vector([0.0, 0.0, 0.0])
    area_density = 0.0  # by area; 0 if the cone is sampled
    cone_density = 0.0  # by solid angle; 0 unless the cone is sampled
    light_uv = vec2(0.0, 0.0)
    if kind != SPHERE and kind != CYLINDER:
        e1 = ti.Vector([prim[3], prim[4], prim[5]])
        e2 = ti.Vector([prim[6], prim[7], prim[8]])
        uv = square_to_triangle(u1, u2)
        if kind == PARALLELOGRAM:
            uv = ti.Vector([u1, u2])
        if ti.static(scene.features.disks):
            if kind == DISK:
                uv = 0.5 + 0.5 * square_to_disk(u1, u2)
        p = a + uv.x * e1 + uv.y * e2
        n = ti.Vector([prim[9], prim[10], prim[11]])
        area_density = 1.0 / scene.light_pdf[entry][2]
        if ti.static(scene.features.textured):
            light_uv = uv_at(scene, slot, uv.x, uv.y)
    if ti.static(scene.features.cylinders):
        if kind == CYLINDER:
            axis, x = ti.Vector([prim[3], prim[4], prim[5]]), ti.Vector([prim[7], prim[8], prim[9]])
            y = axis.cross(x) / axis.norm()
            outward = ti.cos(2.0 * pi * u1) * x + ti.sin(2.0 * pi * u1) * y
            p = a + u2 * axis + prim[6] * outward
            n = prim[10] * outward
            area_density = 1.0 / scene.light_pdf[entry][2]
            if ti.static(scene.features.textured):
                light_uv = uv_of_cylinder(prim, p)
    if ti.static(scene.features.spheres):
        if kind == SPHERE:
            one_minus_cos = cone(a, prim[3], ref)
            if one_minus_cos > 0:
                n = normal_in_cone(a, prim[3], ref, u1, u2, one_minus_cos)
                cone_density = 1.0 / (2.0 * pi * one_minus_cos)
            else:
                n = square_to_sphere(u1, u2)
                area_density = 1.0 / scene.light_pdf[entry][2]
            p = a + prim[3] * n
            if ti.static(scene.features.textured):
                light_uv = uv_of_sphere(prim, n)
            n *= prim[10]
    return p, n, light_uv, area_density, cone_density


@ti.func
def sample(scene: ti.template(), entry, ref, u1, u2):
    p, n, uv, area_density, cone_density = sample_point(scene, entry, ref, u1, u2)
    d, distance, pdf = to_point(p, n, ref, area_density, cone_density)
    return LightSample(d=d, distance=distance, pdf=pdf, scale=1.0, delta=0, uv=uv)


@ti.func
def pdf(scene: ti.template(), slot, ref, p, n):
    """Density of `sample` for a ray from ref that hit a primitive at p, where its geometric normal is n."""
    entry = scene.prim_light[slot]
    density = by_solid_angle(ref, p, n, 1.0 / scene.light_pdf[entry][2])
    if ti.static(scene.features.spheres):
        if scene.prim_info[slot][0] == SPHERE:
            prim = scene.prims[slot]
            one_minus_cos = cone(ti.Vector([prim[0], prim[1], prim[2]]), prim[3], ref)
            if one_minus_cos > 0:
                density = 1.0 / (2.0 * pi * one_minus_cos)
    return density
