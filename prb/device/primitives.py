"""What shapes are made of: triangles, parallelograms, disks, spheres and cylinders. NumPy only.

A primitive of kind `kind` has `corners` (3, 3) float64, world space:

    triangle, parallelogram    v0, e1, e2; the normal is that of e1 x e2
    disk                       as the parallelogram around it
    sphere                     centre, radius times the unit local z axis, radius times the unit local x axis
    cylinder                   base point, axis from there to the other end, radius times unit local x axis
"""

from dataclasses import dataclass

import numpy as np

from prb.kernels.bvh import AXIS_ROW, KIND_BITS, PLANAR_BIT, ROUND_BIT
from prb.kernels.view import (
    CYLINDER,
    DISK,
    DISK_LIMIT,
    PACKET_ROWS,
    PARALLELOGRAM,
    SPHERE,
    SUM_LIMIT,
    TRIANGLE,
    U_ROW,
    V_ROW,
    W_ROW,
    WIDTH,
)

ROUND = (SPHERE, CYLINDER)
ROUNDING = 4e-7  # of an intersection's position, relative to the coordinates that it is computed from
MARKS = {DISK: 0.25, SPHERE: -1, CYLINDER: -2}  # row DISK_LIMIT of a packet; 1 for the others
SQUARE = np.array([[[-1, -1, 0], [2, 0, 0], [0, 2, 0]]], float)
CUBE_FACES = np.array(  # corner, two edges, with the normal e1 x e2 outwards; v runs along e1, u along e2
    [
        [[-1, -1, -1], [2, 0, 0], [0, 0, 2]],
        [[1, 1, 1], [0, 0, -2], [-2, 0, 0]],
        [[1, -1, 1], [0, 0, -2], [0, 2, 0]],
        [[-1, -1, 1], [2, 0, 0], [0, 2, 0]],
        [[-1, -1, -1], [0, 0, 2], [0, 2, 0]],
        [[-1, 1, -1], [2, 0, 0], [0, -2, 0]],
    ],
    float,
)
UV = np.array([[0, 0], [1, 0], [0, 1]], np.float32)  # texture coordinates of v0, v0 + e1, v0 + e2


@dataclass
class Primitives:
    """The primitives of one shape.

    kind: (n,) int32. corners: (n, 3, 3) float64.
    normals: (n, 3, 3) float32, of the three vertices, or None.
    uvs: (n, 3, 2) float32, texture coordinates of v0, v0 + e1, v0 + e2; for a disk those of the square around
        it; None for spheres and cylinders.
    vertices: (n, 3) int32, numbers of the three vertices in the mesh, where it has attributes; else None.
    signs: (n, 2) float64 for spheres and cylinders: 1 or -1 for normals that point outwards or inwards, and
        for a right-handed or left-handed local frame; else None.
    """

    kind: np.ndarray
    corners: np.ndarray
    normals: np.ndarray | None = None
    uvs: np.ndarray | None = None
    vertices: np.ndarray | None = None
    signs: np.ndarray | None = None


def of_shape(shape):
    """The primitives of a `prb.scene.model.Shape`."""
    if shape.kind == "mesh":
        return _of_mesh(shape)
    m = np.asarray(shape.to_world, float)
    linear, origin = m[:3, :3], m[:3, 3]
    mirrored = np.linalg.det(linear) < 0
    if shape.kind in ("sphere", "cylinder"):
        corners = np.array([[origin, linear[:, 2], linear[:, 0]]])
        signs = np.array([[-1.0 if shape.flip_normals else 1.0, -1.0 if mirrored else 1.0]])
        kind = SPHERE if shape.kind == "sphere" else CYLINDER
        return Primitives(np.array([kind], np.int32), corners, signs=signs)
    corners = (CUBE_FACES if shape.kind == "cube" else SQUARE) @ linear.T
    corners[:, 0] += origin
    uv = UV[[0, 2, 1]] if shape.kind == "cube" else UV
    if shape.flip_normals != mirrored:
        corners[:, [1, 2]] = corners[:, [2, 1]]
        uv = uv[[0, 2, 1]]
    kind = DISK if shape.kind == "disk" else PARALLELOGRAM
    count = len(corners)
    return Primitives(np.full(count, kind, np.int32), corners, uvs=np.tile(uv, (count, 1, 1)))


def _of_mesh(shape):
    v = shape.vertices.astype(float)[shape.faces]
    corners = np.stack([v[:, 0], v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]], axis=1)
    count = len(v)
    normals = None if shape.normals is None else shape.normals[shape.faces].astype(np.float32)
    if shape.texcoords is not None:
        uvs = shape.texcoords[shape.faces].astype(np.float32)
    else:
        uvs = np.broadcast_to(UV[::-1] if shape.reversed else UV, (count, 3, 2))
    vertices = shape.faces.astype(np.int32) if shape.attributes else None
    return Primitives(np.full(count, TRIANGLE, np.int32), corners, normals, uvs, vertices)


def vertex_normals(prims):
    """All vertex normals (n, 3), and for each primitive the first of its three, or -1."""
    first, parts, total = [], [], 0
    for p in prims:
        n = len(p.kind)
        if p.normals is None:
            first.append(np.full(n, -1, np.int32))
        else:
            first.append((total + 3 * np.arange(n)).astype(np.int32))
            parts.append(p.normals.reshape(-1, 3))
            total += 3 * n
    normals = np.concatenate(parts) if parts else np.zeros((0, 3), np.float32)
    return normals, np.concatenate(first) if first else np.zeros(0, np.int32)


def boxes(kinds, corners):
    """Bounds of each primitive, rounded outwards: float32 (n, 3) twice."""
    v0, e1, e2 = corners[:, 0], corners[:, 1], corners[:, 2]
    fourth = np.where((kinds == TRIANGLE)[:, None], v0, v0 + e1 + e2)
    points = np.stack([v0, v0 + e1, v0 + e2, fourth])
    lower, upper = points.min(axis=0), points.max(axis=0)
    for kind in ROUND:
        some = kinds == kind
        start, axis, radius = v0[some], e1[some], np.linalg.norm(e2[some], axis=1, keepdims=True)
        if kind == CYLINDER:  # a circle around each end
            with np.errstate(invalid="ignore", divide="ignore"):
                along = axis / np.linalg.norm(axis, axis=1, keepdims=True)
            extent = radius * np.sqrt(np.maximum(1 - np.nan_to_num(along) ** 2, 0))
            ends = np.stack([start, start + axis])
        else:
            extent, ends = radius, start[None]
        lower[some], upper[some] = ends.min(axis=0) - extent, ends.max(axis=0) + extent
    margin = 2e-7 * np.maximum(np.abs(lower), np.abs(upper))
    return (lower - margin).astype(np.float32), (upper + margin).astype(np.float32)


def packets_of(tree, kinds):
    """The tree's children with leaves as the kernels read them, ~(packet << KIND_BITS | kinds of its
    primitives), and each packet's primitives: (packets, WIDTH), -1 for none."""
    children = tree.children.copy()
    leaf = children < 0
    code = ~children[leaf]
    first, count = code >> 3, (code & 7) + 1
    lanes = np.arange(WIDTH)
    if len(tree.order) == 0:
        return children, np.full((1, WIDTH), -1, np.int64)
    at = np.minimum(first[:, None] + lanes, len(tree.order) - 1)
    slots = np.where(lanes < count[:, None], tree.order[at], -1)
    is_round = np.isin(kinds, ROUND)[slots]
    some_round = (is_round & (slots >= 0)).any(axis=1)
    some_planar = (~is_round & (slots >= 0)).any(axis=1)
    packet_kinds = ROUND_BIT * some_round + PLANAR_BIT * some_planar
    children[leaf] = ~(np.arange(len(code), dtype=np.int32) << KIND_BITS | packet_kinds.astype(np.int32))
    return children, slots


def packets(slots, kinds, corners):
    """The affine maps of each packet: float32 (packets, PACKET_ROWS, WIDTH)."""
    v0, e1, e2 = (corners[:, i] for i in range(3))
    n = np.cross(e1, e2)
    n2 = np.einsum("ij,ij->i", n, n)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rows = np.zeros((len(kinds) + 1, PACKET_ROWS))  # the last one is the empty lane
        for row, direction in (
            (U_ROW, np.cross(e2, n) / n2[:, None]),
            (V_ROW, np.cross(n, e1) / n2[:, None]),
            (W_ROW, n / np.sqrt(n2)[:, None]),
        ):
            rows[:-1, row : row + 3] = direction
            rows[:-1, row + 3] = -np.einsum("ij,ij->i", direction, v0)
        # Edges move out by the rounding error of an intersection, or rays would pass between neighbours.
        error = ROUNDING * np.abs(corners).max(axis=2).sum(axis=1)
        steep = rows[:-1, U_ROW : U_ROW + 3] + rows[:-1, V_ROW : V_ROW + 3]
        ends = []  # of u + v along a triangle's third edge
        slack = [error * np.linalg.norm(rows[:-1, row : row + 3], axis=1) for row in (U_ROW, V_ROW)]
        for row, own, other in ((U_ROW, *slack), (V_ROW, *slack[::-1])):
            rows[:-1, row + 3] += own
            rows[:-1, row : row + 4] /= (1 + 2 * own)[:, None]
            ends.append((1 + own) / (1 + 2 * own) + other / (1 + 2 * other))
        limit = np.maximum(*ends) + error * np.linalg.norm(steep, axis=1)
        rows[:-1, SUM_LIMIT] = np.where(kinds == TRIANGLE, limit, 2)
        planar = rows.astype(np.float32)
    planar[:-1, DISK_LIMIT] = 1
    for kind, mark in MARKS.items():
        planar[:-1][kinds == kind, DISK_LIMIT] = mark
    degenerate = ~np.isfinite(planar).all(axis=1)
    degenerate[:-1] |= np.isin(kinds, ROUND)
    degenerate[-1] = True
    planar[degenerate, :DISK_LIMIT] = 0
    planar[degenerate, W_ROW + 3] = 1
    planar[-1, DISK_LIMIT] = 1
    for kind in ROUND:
        some = np.flatnonzero(kinds == kind)
        axis = e1[some] if kind == CYLINDER else np.zeros((len(some), 3))
        length = np.linalg.norm(axis, axis=1, keepdims=True)
        planar[some, 0:3] = v0[some] + 0.5 * axis
        planar[some, 3] = np.linalg.norm(e2[some], axis=1)
        planar[some, AXIS_ROW : AXIS_ROW + 3] = axis / np.where(length > 0, length, 1)
        slack = ROUNDING * np.abs(corners[some, :2]).sum(axis=(1, 2))
        planar[some, AXIS_ROW + 3] = 0.5 * length[:, 0] + slack
    return np.ascontiguousarray(np.moveaxis(planar[slots], 1, 2))


def records(prims):
    """Each primitive as SceneView.prims describes it: float32 (n, 12)."""
    parts = [np.zeros((0, 12))]
    for p in prims:
        if p.signs is None:
            normal = np.cross(p.corners[:, 1], p.corners[:, 2])
            size = np.linalg.norm(normal, axis=1, keepdims=True)
            normal = np.divide(normal, size, out=np.zeros_like(normal), where=size > 0)
            parts.append(np.concatenate([p.corners.reshape(-1, 9), normal], axis=1))
        else:
            start, axis, x = np.moveaxis(p.corners, 1, 0)
            radius = np.linalg.norm(x, axis=1, keepdims=True)
            about = [radius, axis / radius] if p.kind[0] == SPHERE else [axis, radius]
            parts.append(np.concatenate([start, *about, x / radius, p.signs], axis=1))
    return np.concatenate(parts).astype(np.float32)


def areas(kinds, corners):
    """The primitives' areas, float64 (n,)."""
    double = np.linalg.norm(np.cross(corners[:, 1], corners[:, 2]), axis=1)
    factor = np.select([kinds == PARALLELOGRAM, kinds == DISK], [1.0, 0.25 * np.pi], 0.5)
    length, radius = (np.linalg.norm(corners[:, i], axis=1) for i in (1, 2))
    return np.select(
        [kinds == SPHERE, kinds == CYLINDER],
        [4 * np.pi * radius**2, 2 * np.pi * radius * length],
        double * factor,
    )
