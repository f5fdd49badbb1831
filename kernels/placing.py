"""Where triangles are, as rays and shading read it: computed again, on the host's arrays, as they have moved.

The formulas are those of prb/device/primitives.py, in float64, for one triangle after the other; vertex
normals are those of prb/scene/meshes/mesh.py.
"""

from prb.kernels.backend import pi, ti
from prb.kernels.view import DISK_LIMIT, PACKET_ROWS, SUM_LIMIT, U_ROW, V_ROW, W_ROW, WIDTH

vec3d = ti.types.vector(3, ti.f64)
LARGEST = 3.0e38  # of float32, about


@ti.func
def _point(vertices: ti.template(), i):
    return vec3d(vertices[i, 0], vertices[i, 1], vertices[i, 2])


@ti.func
def _max_abs(v):
    return ti.max(ti.abs(v[0]), ti.abs(v[1]), ti.abs(v[2]))


@ti.func
def _put(packets: ti.template(), slot, row, v, offset):
    packet, lane = slot // WIDTH, slot % WIDTH
    for i in ti.static(range(3)):
        packets[packet, row + i, lane] = ti.cast(v[i], ti.f32)
    packets[packet, row + 3, lane] = ti.cast(offset, ti.f32)


@ti.kernel
def place_triangles(
    rounding: ti.f64,
    first: ti.i32,
    vertices: ti.types.ndarray(ti.f32, ndim=2),
    faces: ti.types.ndarray(ti.i32, ndim=2),
    slots: ti.types.ndarray(ti.i32, ndim=1),
    corners: ti.types.ndarray(ti.f64, ndim=3),
    lower: ti.types.ndarray(ti.f32, ndim=2),
    upper: ti.types.ndarray(ti.f32, ndim=2),
    prims: ti.types.ndarray(ti.f32, ndim=2),
    packets: ti.types.ndarray(ti.f32, ndim=3),
):
    """Write the rows of a mesh's triangles: corners and boxes from primitive `first` on, prims and packets at
    their slots. rounding: `primitives.ROUNDING`."""
    for i in range(faces.shape[0]):
        v0 = _point(vertices, faces[i, 0])
        e1, e2 = _point(vertices, faces[i, 1]) - v0, _point(vertices, faces[i, 2]) - v0
        n = e1.cross(e2)
        n2 = n.dot(n)
        size = ti.sqrt(n2)
        unit = n / ti.select(size > 0, size, 1.0)
        slot, at = slots[i], first + i
        for k in ti.static(range(3)):
            corners[at, 0, k] = v0[k]
            corners[at, 1, k] = e1[k]
            corners[at, 2, k] = e2[k]
            prims[slot, k] = ti.cast(v0[k], ti.f32)
            prims[slot, 3 + k] = ti.cast(e1[k], ti.f32)
            prims[slot, 6 + k] = ti.cast(e2[k], ti.f32)
            prims[slot, 9 + k] = ti.cast(unit[k], ti.f32)
            low = ti.min(v0[k], v0[k] + e1[k], v0[k] + e2[k])
            high = ti.max(v0[k], v0[k] + e1[k], v0[k] + e2[k])
            margin = 2e-7 * ti.max(ti.abs(low), ti.abs(high))
            lower[at, k] = ti.cast(low - margin, ti.f32)
            upper[at, k] = ti.cast(high + margin, ti.f32)
        along_u, along_v = e2.cross(n) / n2, n.cross(e1) / n2
        error = rounding * (_max_abs(v0) + _max_abs(e1) + _max_abs(e2))
        slack_u, slack_v = error * along_u.norm(), error * along_v.norm()
        grown_u, grown_v = 1.0 + 2.0 * slack_u, 1.0 + 2.0 * slack_v
        end_u = (1.0 + slack_u) / grown_u + slack_v / grown_v
        end_v = (1.0 + slack_v) / grown_v + slack_u / grown_u
        limit = ti.max(end_u, end_v) + error * (along_u + along_v).norm()
        largest = ti.max(_max_abs(along_u), _max_abs(along_v), limit)
        _put(packets, slot, U_ROW, along_u / grown_u, (slack_u - along_u.dot(v0)) / grown_u)
        _put(packets, slot, V_ROW, along_v / grown_v, (slack_v - along_v.dot(v0)) / grown_v)
        _put(packets, slot, W_ROW, unit, -unit.dot(v0))
        packet, lane = slot // WIDTH, slot % WIDTH
        packets[packet, SUM_LIMIT, lane] = ti.cast(limit, ti.f32)
        if not ((n2 > 0) & (largest < LARGEST)):  # degenerate: no ray meets it
            for row in range(PACKET_ROWS - 1):
                packets[packet, row, lane] = 0.0
            packets[packet, W_ROW + 3, lane] = 1.0
        packets[packet, DISK_LIMIT, lane] = 1.0


@ti.kernel
def leaf_bounds(
    first: ti.types.ndarray(ti.i32, ndim=1),
    count: ti.types.ndarray(ti.i32, ndim=1),
    places: ti.types.ndarray(ti.i32, ndim=1),
    order: ti.types.ndarray(ti.i32, ndim=1),
    lower: ti.types.ndarray(ti.f32, ndim=2),
    upper: ti.types.ndarray(ti.f32, ndim=2),
    bounds: ti.types.ndarray(ti.f32, ndim=3),
):
    """Write the box of each leaf, at its place node * width + lane of `bounds`."""
    width = bounds.shape[2]
    for leaf in range(first.shape[0]):
        node, lane = places[leaf] // width, places[leaf] % width
        for k in ti.static(range(3)):
            low, high = lower[order[first[leaf]], k], upper[order[first[leaf]], k]
            for i in range(1, count[leaf]):
                primitive = order[first[leaf] + i]
                low = ti.min(low, lower[primitive, k])
                high = ti.max(high, upper[primitive, k])
            bounds[node, 2 * k, lane] = low
            bounds[node, 2 * k + 1, lane] = high


@ti.kernel
def inner_bounds(
    nodes: ti.types.ndarray(ti.i32, ndim=1),
    children: ti.types.ndarray(ti.i32, ndim=2),
    bounds: ti.types.ndarray(ti.f32, ndim=3),
):
    """Write the boxes of the inner children of these nodes, from those of the children's own children."""
    width = bounds.shape[2]
    for i in range(nodes.shape[0]):
        for lane in range(width):
            child = children[nodes[i], lane]
            if child > 0:
                for k in range(3):
                    low, high = bounds[child, 2 * k, 0], bounds[child, 2 * k + 1, 0]
                    for j in range(1, width):
                        low = ti.min(low, bounds[child, 2 * k, j])
                        high = ti.max(high, bounds[child, 2 * k + 1, j])
                    bounds[nodes[i], 2 * k, lane] = low
                    bounds[nodes[i], 2 * k + 1, lane] = high


@ti.kernel
def weighted_normals(
    vertices: ti.types.ndarray(ti.f32, ndim=2),
    faces: ti.types.ndarray(ti.i32, ndim=2),
    weighted: ti.types.ndarray(ti.f32, ndim=2),
):
    """Write the unit normal of each face and its angles at its vertices; all 0 for one without area."""
    for i in range(faces.shape[0]):
        p = _point(vertices, faces[i, 0])
        a, b = _point(vertices, faces[i, 1]) - p, _point(vertices, faces[i, 2]) - p
        n = a.cross(b)
        size = n.norm()
        unit, first, second, third = vec3d(0.0, 0.0, 0.0), 0.0, 0.0, 0.0
        if size > 0:
            unit = n / size
            first, second = ti.atan2(size, a.dot(b)), ti.atan2(size, a.dot(a - b))
            third = pi - first - second
        for k in ti.static(range(3)):
            weighted[i, k] = ti.cast(unit[k], ti.f32)
        weighted[i, 3] = ti.cast(first, ti.f32)
        weighted[i, 4] = ti.cast(second, ti.f32)
        weighted[i, 5] = ti.cast(third, ti.f32)


@ti.kernel
def smooth_normals(
    weighted: ti.types.ndarray(ti.f32, ndim=2),
    starts: ti.types.ndarray(ti.i32, ndim=1),
    corners: ti.types.ndarray(ti.i32, ndim=1),
    normals: ti.types.ndarray(ti.f32, ndim=2),
):
    """Vertex normals, from those of the faces around each vertex weighted by their angles. weighted: as of
    `weighted_normals`. corners: 3 face + k of all corners, those of vertex i from starts[i] on."""
    for i in range(normals.shape[0]):
        total = vec3d(0.0, 0.0, 0.0)
        for j in range(starts[i], starts[i + 1]):
            face, k = corners[j] // 3, corners[j] % 3
            n = vec3d(weighted[face, 0], weighted[face, 1], weighted[face, 2])
            total += n * ti.cast(weighted[face, 3 + k], ti.f64)
        size = total.norm()
        n = ti.select(size > 1e-9, total / ti.max(size, 1e-30), vec3d(1.0, 0.0, 0.0))
        for k in ti.static(range(3)):
            normals[i, k] = ti.cast(n[k], ti.f32)


@ti.kernel
def corner_normals(
    first: ti.i32,
    faces: ti.types.ndarray(ti.i32, ndim=2),
    of_vertices: ti.types.ndarray(ti.f32, ndim=2),
    normals: ti.types.ndarray(ti.f32, ndim=2),
):
    """Write the normals of each face's three vertices, from row `first` on."""
    for i in range(faces.shape[0]):
        for j in range(3):
            for k in ti.static(range(3)):
                normals[first + 3 * i + j, k] = of_vertices[faces[i, j], k]
