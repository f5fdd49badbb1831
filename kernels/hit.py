"""The geometry at a hit, as traced functions of the ray and of the primitive's numbers.

They give position, normals, texture coordinates, tangents and the shading frame for every kind of primitive:
all that moves if a ray, a shape or a vertex moves. kernels/shape.py reads the numbers from the scene's
arrays.
"""

from prb.kernels.backend import pi
from prb.kernels.frame import tangents
from prb.kernels.traced import (
    Vec2,
    Vec3,
    absolute,
    branch,
    cos,
    cross,
    dot,
    kernel_callable,
    length,
    maximum,
    select,
    sin,
    sqrt,
)
from prb.kernels.warp import azimuth_fraction, polar_fraction

MIN_TANGENT = (
    1e-12  # squared sine of the angle between dp/du and the normal below which dp/du defines no frame
)


@kernel_callable
def unit(v):
    """v / |v|."""
    return (1.0 / length(v)) * v


@kernel_callable
def planar_point(v0, e1, e2, u, v):
    """The point with coordinates u, v of a triangle, parallelogram or disk."""
    return v0 + u * e1 + v * e2


@kernel_callable
def sphere_point(center, radius, o, d, t):
    """(point, outward unit normal) of a sphere where the ray o + t d meets it."""
    outward = unit(o + t * d - center)
    return center + radius * outward, outward


@kernel_callable
def cylinder_point(base, axis, radius, o, d, t):
    """(point, outward unit normal) of a cylinder where the ray o + t d meets it."""
    hit = o + t * d
    foot = base + axis * (dot(hit - base, axis) / dot(axis, axis))
    outward = unit(hit - foot)
    return foot + radius * outward, outward


@kernel_callable
def azimuth_uv(x, y):
    """The azimuth of (x, y) as a fraction of 2 pi, in [0, 1); 0 for (0, 0)."""
    undefined = (absolute(x) <= 0) & (absolute(y) <= 0)
    return select(undefined, 0.0, azimuth_fraction(x, y))


@kernel_callable
def sphere_uv(outward, z, x, handedness):
    """Texture coordinates of a sphere at its outward normal: azimuth and polar angle in the local frame.

    z, x: the frame's axes. handedness: 1 for a right-handed frame, -1 for a left-handed one.
    """
    local = Vec3(dot(outward, x), dot(outward, cross(z, x) * handedness), dot(outward, z))
    one_minus_cos = (local.x * local.x + local.y * local.y) / (1.0 + absolute(local.z))
    return Vec2(azimuth_uv(local.x, local.y), polar_fraction(local.z, one_minus_cos))


@kernel_callable
def cylinder_uv(p, base, axis, x, handedness):
    """Texture coordinates of a cylinder at a point on it: azimuth, and height over the axis' length."""
    r = p - base
    y = cross(axis, x) * (handedness / length(axis))
    return Vec2(azimuth_uv(dot(r, x), dot(r, y)), dot(r, axis) / dot(axis, axis))


@kernel_callable
def planar_uv(uv0, uv1, uv2, u, v):
    """Texture coordinates at the coordinates u, v of a primitive whose corners have uv0, uv1, uv2."""
    w = 1.0 - u - v
    return Vec2(uv0.x * w + uv1.x * u + uv2.x * v, uv0.y * w + uv1.y * u + uv2.y * v)


@kernel_callable
def disk_uv(square):
    """Texture coordinates of a disk, radius and azimuth, from those of the square around it."""
    x, y = 2.0 * square.x - 1.0, 2.0 * square.y - 1.0
    return Vec2(sqrt(x * x + y * y), azimuth_uv(x, y))


@kernel_callable
def planar_partials(e1, e2, uv0, uv1, uv2):
    """dp/du and dp/dv of a triangle or parallelogram; 0 if its texture coordinates do not define them."""
    a, b = Vec2(uv1.x - uv0.x, uv1.y - uv0.y), Vec2(uv2.x - uv0.x, uv2.y - uv0.y)
    det = a.x * b.y - a.y * b.x
    defined = absolute(det) > 0
    scale = select(defined, 1.0 / select(defined, det, 1.0), 0.0)
    return (b.y * e1 - a.y * e2) * scale, (a.x * e2 - b.x * e1) * scale


@kernel_callable
def disk_partials(along_x, along_y, square):
    """dp/du and dp/dv of a disk at a point of the square around it, from those of the square."""
    x, y = 2.0 * square.x - 1.0, 2.0 * square.y - 1.0
    r = sqrt(x * x + y * y)
    off_centre = r > 0
    inverse = select(off_centre, 1.0 / maximum(r, 1e-20), 0.0)
    dp_du = select(off_centre, 0.5 * (along_x * x + along_y * y) * inverse, 0.5 * along_x)
    return dp_du, pi * (along_y * x - along_x * y)


@kernel_callable
def sphere_partials(uv, z, x, handedness, radius):
    """dp/du and dp/dv of a sphere at its texture coordinates."""
    y = cross(z, x) * handedness
    azimuth, polar = 2.0 * pi * uv.x, pi * uv.y
    dp_du = (y * cos(azimuth) - x * sin(azimuth)) * (2.0 * pi * radius * sin(polar))
    radial = x * cos(azimuth) + y * sin(azimuth)
    return dp_du, (radial * cos(polar) - z * sin(polar)) * (pi * radius)


@kernel_callable
def cylinder_partials(uv, axis, x, handedness, radius):
    """dp/du and dp/dv of a cylinder at its texture coordinates."""
    y = cross(axis, x) * (handedness / length(axis))
    azimuth = 2.0 * pi * uv.x
    return (y * cos(azimuth) - x * sin(azimuth)) * (2.0 * pi * radius), axis


@kernel_callable
def interpolated_normal(n0, n1, n2, u, v, ng):
    """The unit normal interpolated from those of three vertices; ng if they cancel."""
    n = n0 * (1.0 - u - v) + n1 * u + n2 * v
    defined = dot(n, n) > 0
    return select(defined, unit(select(defined, n, ng)), ng)


@kernel_callable
def frame_along(n, dp_du):
    """The tangents of the frame around n, the first along dp/du; any tangents if dp/du is parallel to n."""
    projected = dp_du - n * dot(n, dp_du)

    def aligned():
        s = unit(projected)
        return s, cross(n, s)

    return branch(dot(projected, projected) > MIN_TANGENT * dot(dp_du, dp_du), aligned, lambda: tangents(n))
