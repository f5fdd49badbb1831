"""Ray casting: traversal of the wide BVH for the closest hit or for any hit.

On a CPU one operation tests all children of a node, or all primitives of a packet. This is vector arithmetic
whose results go to a small local array that is later read at a variable index, which makes LLVM's vectoriser
keep the lanes together. The nearest child is visited next. The others are pushed, unsorted, with their
distance, so that they can be dropped when a nearer hit has been found.

Primitives are planar (triangle, parallelogram, disk) or round (sphere, cylinder). A planar primitive is
stored as the affine map from world space to its (u, v, w) coordinates: Baldwin and Weber, Fast Ray-Triangle
Intersections by Coordinate Transformation, JCGT 5(3), 2016. A degenerate one has the map w = 1, which no
ray intersects. Spheres are solved as in Haines et al., Precision Improvements for Ray/Sphere Intersection
(Ray Tracing Gems, 2019, chapter 7); a cylinder is a circle, solved likewise, in the plane perpendicular to
its axis. A leaf's code says which of the two tests its packet needs. The packet of a round primitive has its
centre in rows 0 to 2, its radius in row 3, its unit axis in the three rows from AXIS_ROW on (0 for a sphere),
then half of its length.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import larger, smaller
from prb.kernels.view import DISK_LIMIT, SUM_LIMIT, U_ROW, V_ROW, W_ROW, WIDTH

MISS = 1e30  # a distance beyond every hit
NO_NODE = -2147483647
PLANAR_BIT, ROUND_BIT = (
    1,
    2,
)  # kinds of primitives in a leaf's packet; its code is ~(packet << KIND_BITS | bits)
KIND_BITS = 2
AXIS_ROW = 4
MIN_SIN2 = 1e-12  # squared sine of the angle between ray and axis up to which they count as parallel
ROUNDING = 1.0000004  # 1 + 2 gamma(3): slabs are tested conservatively (Ize, JCGT 2(2), 2013)


@ti.func
def linear_part(scene: ti.template(), packet, row: ti.template(), x, y, z):
    """The linear part of one affine coordinate, for all primitives of a packet."""
    return (
        scene.packets[packet, row] * x
        + scene.packets[packet, row + 1] * y
        + scene.packets[packet, row + 2] * z
    )


@ti.func
def intersect_planar(scene: ti.template(), packet, o, d, t_max):
    """Distance to each planar primitive of a packet, MISS if there is no hit.

    Distances and coordinates are also written to the lanes of the stack.
    """
    w_o = linear_part(scene, packet, W_ROW, o.x, o.y, o.z) + scene.packets[packet, W_ROW + 3]
    t = -w_o / linear_part(scene, packet, W_ROW, d.x, d.y, d.z)
    x = t * d.x + o.x
    y = t * d.y + o.y
    z = t * d.z + o.z
    u = linear_part(scene, packet, U_ROW, x, y, z) + scene.packets[packet, U_ROW + 3]
    v = linear_part(scene, packet, V_ROW, x, y, z) + scene.packets[packet, V_ROW + 3]
    inside = (smaller(u, v) >= 0) & (larger(u, v) <= 1) & (u + v <= scene.packets[packet, SUM_LIMIT])
    if ti.static(scene.features.disks):
        limit = ti.abs(scene.packets[packet, DISK_LIMIT])
        inside = inside & ((u - 0.5) * (u - 0.5) + (v - 0.5) * (v - 0.5) <= limit)
    t = ti.select(inside & (t > 0) & (t < t_max), t, MISS)
    if ti.static(scene.features.round):  # the lanes of round primitives hold no NaN
        u = ti.select(t < MISS, u, 0.0)
        v = ti.select(t < MISS, v, 0.0)
    for k in ti.static(range(WIDTH)):
        scene.stack.t[k] = t[k]
        scene.stack.u[k] = u[k]
        scene.stack.v[k] = v[k]
    return t


@ti.func
def circle_distances(radius, fx, fy, fz, dx, dy, dz, inverse):
    """Both distances t at which |f + t d| = radius, and whether they exist. inverse: 1 / |d|^2.

    Haines et al. (2019): the discriminant comes from the point nearest to the centre, so that it keeps its
    digits.
    """
    b = -(fx * dx + fy * dy + fz * dz) * inverse
    lx = fx + b * dx
    ly = fy + b * dy
    lz = fz + b * dz
    discriminant = radius * radius - (lx * lx + ly * ly + lz * lz)
    root = ti.sqrt(larger(discriminant, 0.0) * inverse)
    q = b + ti.select(b < 0, -root, root)
    other = (fx * fx + fy * fy + fz * fz - radius * radius) * inverse / q
    return smaller(other, q), larger(other, q), discriminant >= 0


@ti.func
def sphere_distance(scene: ti.template(), packet, o, d):
    """Distance to each sphere of a packet along the unit direction d; MISS if there is no hit."""
    fx = o.x - scene.packets[packet, 0]
    fy = o.y - scene.packets[packet, 1]
    fz = o.z - scene.packets[packet, 2]
    near, far, hit = circle_distances(scene.packets[packet, 3], fx, fy, fz, d.x, d.y, d.z, 1.0)
    return ti.select(hit, ti.select(near > 0, near, far), MISS)


@ti.func
def round_distance(scene: ti.template(), packet, o, d):
    """Distance to each sphere or cylinder of a packet along the unit direction d; MISS if there is no hit.

    A ray hits a cylinder where its projection along the axis intersects a circle, if that is between the
    ends. A sphere's axis is stored as 0, so that its projection changes nothing.
    """
    ax = scene.packets[packet, AXIS_ROW]
    ay = scene.packets[packet, AXIS_ROW + 1]
    az = scene.packets[packet, AXIS_ROW + 2]
    half = scene.packets[packet, AXIS_ROW + 3]
    fx = o.x - scene.packets[packet, 0]
    fy = o.y - scene.packets[packet, 1]
    fz = o.z - scene.packets[packet, 2]
    f_a = fx * ax + fy * ay + fz * az
    d_a = d.x * ax + d.y * ay + d.z * az
    dx = d.x - d_a * ax
    dy = d.y - d_a * ay
    dz = d.z - d_a * az
    d2 = dx * dx + dy * dy + dz * dz
    near, far, hit = circle_distances(
        scene.packets[packet, 3], fx - f_a * ax, fy - f_a * ay, fz - f_a * az, dx, dy, dz,
        1.0 / larger(d2, MIN_SIN2),
    )  # fmt: skip
    far = ti.select(ti.abs(f_a + far * d_a) <= half, far, MISS)
    near = ti.select((near > 0) & (ti.abs(f_a + near * d_a) <= half), near, far)
    return ti.select(hit & (d2 > MIN_SIN2), near, MISS)


@ti.func
def intersect_round(scene: ti.template(), packet, o, d, t_max):
    """Distance to each primitive of a packet, after its round ones have been added to the stack's lanes."""
    t = ti.Vector([MISS] * WIDTH)
    if ti.static(scene.features.cylinders):
        t = round_distance(scene, packet, o, d)
    else:
        t = sphere_distance(scene, packet, o, d)
    t = ti.select((scene.packets[packet, DISK_LIMIT] < 0) & (t > 0) & (t < t_max), t, MISS)
    t = smaller(t, scene.stack.t)
    for k in ti.static(range(WIDTH)):
        scene.stack.t[k] = t[k]
    return t


@ti.func
def trace(scene: ti.template(), o, d, t_max, any_hit):
    """The closest hit along o + t d for 0 < t < t_max, d a unit vector; if any_hit is not 0, any hit.

    Returns (slot, t, u, v): the primitive (-1 for none), the distance, and for planar primitives the
    coordinates of the hit.
    """
    inverse = ti.Vector([0.0, 0.0, 0.0])
    for i in ti.static(range(3)):
        inverse[i] = 1.0 / ti.select(ti.abs(d[i]) < 1e-18, 1e-18, d[i])
    o_over_d = o * inverse
    near_x = ti.select(inverse.x < 0, 1, 0)
    near_y = ti.select(inverse.y < 0, 3, 2)
    near_z = ti.select(inverse.z < 0, 5, 4)
    hit_t, hit_u, hit_v = t_max, 0.0, 0.0
    hit = -1
    size = 0
    node = 0
    while node != NO_NODE:
        if node >= 0:
            enter = larger(
                larger(
                    scene.nodes[node, near_x] * inverse.x - o_over_d.x,
                    scene.nodes[node, near_y] * inverse.y - o_over_d.y,
                ),
                larger(0.0, scene.nodes[node, near_z] * inverse.z - o_over_d.z),
            )
            leave = smaller(
                smaller(
                    scene.nodes[node, near_x ^ 1] * inverse.x - o_over_d.x,
                    scene.nodes[node, near_y ^ 1] * inverse.y - o_over_d.y,
                ),
                smaller(hit_t, scene.nodes[node, near_z ^ 1] * inverse.z - o_over_d.z),
            )
            entry = ti.select(enter <= leave * ROUNDING, enter, MISS)
            children = scene.children[node]
            for k in ti.static(range(WIDTH)):
                scene.stack.t[k] = entry[k]
            nearest = MISS
            node = NO_NODE
            for k in ti.static(range(WIDTH)):
                if entry[k] < MISS:
                    far_node, far_t = children[k], entry[k]
                    if entry[k] < nearest:
                        far_node, far_t = node, nearest
                        node, nearest = children[k], entry[k]
                    if far_node != NO_NODE:
                        scene.stack.node[size] = far_node
                        scene.stack.near[size] = far_t
                        size += 1
            # This is never true; reading at a variable index keeps the lanes together.
            if scene.stack.t[size & (WIDTH - 1)] < 0:
                node = NO_NODE
        else:
            packet = (~node) >> KIND_BITS
            t = ti.Vector([MISS] * WIDTH)
            if ti.static(scene.features.round):
                for k in ti.static(range(WIDTH)):
                    scene.stack.t[k] = MISS
                    scene.stack.u[k] = 0.0
                    scene.stack.v[k] = 0.0
                if (~node) & PLANAR_BIT != 0:
                    t = intersect_planar(scene, packet, o, d, hit_t)
                if (~node) & ROUND_BIT != 0:
                    t = intersect_round(scene, packet, o, d, hit_t)
            else:
                t = intersect_planar(scene, packet, o, d, hit_t)
            # The smallest of eight by a tournament: three rounds of comparisons instead of a chain of seven.
            first = ti.select(t[1] < t[0], 1, 0)
            t01 = smaller(t[1], t[0])
            second = ti.select(t[3] < t[2], 3, 2)
            t23 = smaller(t[3], t[2])
            third = ti.select(t[5] < t[4], 5, 4)
            t45 = smaller(t[5], t[4])
            fourth = ti.select(t[7] < t[6], 7, 6)
            t67 = smaller(t[7], t[6])
            low = ti.select(t23 < t01, second, first)
            high = ti.select(t67 < t45, fourth, third)
            t03 = smaller(t23, t01)
            t47 = smaller(t67, t45)
            lane = ti.select(t47 < t03, high, low)
            if smaller(t47, t03) < hit_t:
                hit_t = scene.stack.t[lane]
                hit_u = scene.stack.u[lane]
                hit_v = scene.stack.v[lane]
                hit = packet * WIDTH + lane
            node = NO_NODE
            if any_hit != 0 and hit >= 0:
                size = 0
        while node == NO_NODE and size > 0:
            size -= 1
            if scene.stack.near[size] < hit_t:
                node = scene.stack.node[size]
    return hit, hit_t, hit_u, hit_v
