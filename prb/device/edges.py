"""The edges of a scene's shapes, along which visibility may jump. NumPy only.

An edge is a straight side of triangles and parallelograms, the rim of a disk or of a cylinder's end, or a
whole smooth surface (sphere, cylinder), whose silhouette is wherever a line touches it. Sides are welded by
their positions over all shapes, so that texture seams, repeated vertices and a box made of six rectangles
are no borders. A side then has one face (a border), two, or more.
"""

import weakref
from dataclasses import dataclass

import numpy as np

from prb.kernels.estimators.edge import (
    CIRCLE,
    COLUMNS,
    CYLINDRICAL,
    LINE,
    MULTIPLE,
    REVERSED,
    SILHOUETTE,
    SPHERICAL,
)
from prb.kernels.view import CYLINDER, DISK, PARALLELOGRAM, SPHERE, TRIANGLE

WELD = 4e-7  # of the scene's largest coordinate: corners nearer than that along each axis are one
COPLANAR = 1e-4  # radians between two faces, up to which the side between them is no edge
NEAR = 0.1  # of a shape's diagonal: surfaces up to there are near its edges
QUANTA = 2**24  # cumulative probabilities are multiples of 1 / QUANTA, as random numbers are
_topologies = weakref.WeakKeyDictionary()


@dataclass
class Edges:
    """The edges of a scene as it is now.

    records: (n, COLUMNS) int32, as kernels/estimators/edge.py reads them. lengths: of each edge. measures:
    the integral of sin(theta) over its points and over the directions of lines that may graze it there, theta
    the angle between line and edge. a, b: (n, 3) end points of straight sides; for others, bounds of the
    shape. shapes: (n, 2) the numbers of the shapes on both sides, the first one twice where there is one.
    """

    records: np.ndarray
    lengths: np.ndarray
    measures: np.ndarray
    a: np.ndarray
    b: np.ndarray
    shapes: np.ndarray


def edges_of(layout):
    """The `Edges` of a `Layout`, for the primitives that its arrays have now."""
    arrays = layout.arrays
    known = _topologies.get(layout)
    if known is None or known[0] is not arrays["children"]:  # a hierarchy that is built anew has other slots
        known = _topologies[layout] = arrays["children"], _topology(arrays)
    return _with_geometry(known[1], arrays)


def corners(prims, kinds):
    """The corners (n, 4, 3) float64 of planar primitives, in the order of their sides; a triangle's last one
    is its first."""
    a, b, c = (prims[:, i : i + 3].astype(float) for i in (0, 3, 6))
    triangle = (kinds == TRIANGLE)[:, None]
    return np.stack([a, a + b, np.where(triangle, a + c, a + b + c), np.where(triangle, a, a + c)], axis=1)


def welded(points):
    """For each of the points (n, 3) the number of the place where it lies: those that are equal up to
    rounding have the same number."""
    numbers, tolerance = [], WELD * max(np.abs(points).max(initial=0), 1e-30)
    for axis in range(points.shape[1]):
        order = np.argsort(points[:, axis], kind="stable")
        steps = np.diff(points[order, axis], prepend=-np.inf) > tolerance
        number = np.empty(len(points), np.int64)
        number[order] = np.cumsum(steps) - 1
        numbers.append(number)
    _, found = np.unique(np.stack(numbers, axis=1), axis=0, return_inverse=True)
    return found.reshape(-1)


def quantised(weights):
    """Cumulative probabilities in proportion to the weights, float32 (n + 1,), as multiples of 1 / QUANTA.
    What has a weight keeps one multiple at least, so that nothing is left out."""
    weights = np.asarray(weights, float)
    total = weights.sum()
    if total <= 0 or len(weights) == 0:
        return np.zeros(len(weights) + 1, np.float32)
    some = weights > 0
    quanta = np.where(some, np.maximum(np.floor(weights / total * (QUANTA - some.sum())), 1), 0)
    largest = int(np.argmax(quanta))
    quanta[largest] += QUANTA - quanta.sum()
    return (np.concatenate([[0], np.cumsum(quanta)]) / QUANTA).astype(np.float32)


def _topology(arrays):
    """Which sides of which primitives make up an edge: records (n, COLUMNS) without what geometry decides."""
    prims, kinds = arrays["prims"], arrays["prim_info"][:, 0]
    used = np.abs(prims[:, 3:9]).max(axis=1) > 0
    rows = [np.zeros((0, COLUMNS), np.int32)]
    planar = np.flatnonzero(used & np.isin(kinds, (TRIANGLE, PARALLELOGRAM)))
    if len(planar):
        rows.append(_sides(prims[planar], kinds[planar], planar))
    for primitive, kind, sides in ((DISK, CIRCLE, 1), (CYLINDER, CIRCLE, 2), (SPHERE, SPHERICAL, 1),
                                   (CYLINDER, CYLINDRICAL, 1)):  # fmt: skip
        slots = np.flatnonzero(used & (kinds == primitive))
        for side in range(sides):
            rows.append(_record(kind, slots, np.full(len(slots), side)))
    return np.concatenate(rows).astype(np.int32)


def _record(kind, slots, sides, other=-1, other_side=0, flags=0):
    parts = (np.full(len(slots), kind), slots, sides, other, other_side, flags)
    found = np.zeros((len(slots), COLUMNS), np.int32)
    for column, part in enumerate(parts):
        found[:, column] = part
    return found


def _sides(prims, kinds, slots):
    """The records of straight sides."""
    points = corners(prims, kinds)
    place = welded(points.reshape(-1, 3)).reshape(-1, 4)
    begin, end = place, np.roll(place, -1, axis=1)
    side = np.broadcast_to(np.arange(4), begin.shape)
    valid = begin != end  # a triangle's fourth side is a point
    primitive = np.broadcast_to(np.arange(len(prims))[:, None], begin.shape)[valid]
    begin, end, side = begin[valid], end[valid], side[valid]
    key = np.stack([np.minimum(begin, end), np.maximum(begin, end)], axis=1)
    _, group = np.unique(key, axis=0, return_inverse=True)
    group = group.reshape(-1)
    order = np.argsort(group, kind="stable")
    _, first, count = np.unique(group[order], return_index=True, return_counts=True)
    one = order[first]
    two = np.where(count > 1, order[np.minimum(first + 1, len(order) - 1)], -1)
    flags = np.where((count > 1) & (begin[one] != begin[two]), REVERSED, 0)
    flags |= np.where(count > 2, MULTIPLE, 0)
    other = np.where(count > 1, slots[primitive[two]], -1)
    return _record(LINE, slots[primitive[one]], side[one], other, side[two], flags)


def _with_geometry(topology, arrays):
    records, prims, info = topology.copy(), arrays["prims"], arrays["prim_info"]
    kind, slot, side, other, other_side, flags = records[:, :6].T
    n = len(records)
    a, b, lengths, angle = np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n), np.full(n, 2 * np.pi)
    own = prims[slot].astype(float)
    line = kind == LINE
    if line.any():
        at = np.flatnonzero(line)
        points = corners(prims[slot[at]], info[slot[at], 0])
        a[at], b[at] = points[np.arange(len(at)), side[at]], points[np.arange(len(at)), (side[at] + 1) % 4]
        lengths[at] = np.linalg.norm(b[at] - a[at], axis=1)
        two = at[(other[at] >= 0) & (flags[at] & MULTIPLE == 0)]
        tangent = (b[two] - a[two]) / lengths[two, None]
        inward = [_inward(prims[s], info[s, 0], k, tangent) for s, k in (
            (slot[two], side[two]), (other[two], other_side[two]))]  # fmt: skip
        fold = 0.5 * np.linalg.norm(inward[0] + inward[1], axis=1)  # cosine of half the angle between faces
        exterior = 4 * np.arcsin(np.minimum(fold, 1.0))  # of directions from which both lie on one side
        smooth = _is_smooth(arrays, slot[two], side[two], other[two], other_side[two], flags[two])
        records[two[smooth], 5] |= SILHOUETTE
        angle[two[smooth]] = exterior[smooth]
        same = arrays["shapes"][info[slot[two], 1], 0] == arrays["shapes"][info[other[two], 1], 0]
        angle[two[(exterior < 2 * COPLANAR) & (same | smooth)]] = 0.0
    measures = lengths * angle * np.pi / 2
    for primitive, of_kind in ((DISK, CIRCLE), (CYLINDER, CIRCLE)):
        at = np.flatnonzero((kind == of_kind) & (info[slot, 0] == primitive))
        radius = own[at, 6] if primitive == CYLINDER else 0.25 * (
            np.linalg.norm(own[at, 3:6], axis=1) + np.linalg.norm(own[at, 6:9], axis=1)
        )  # fmt: skip
        middle = own[at, 0:3]
        if primitive == CYLINDER:
            middle = middle + side[at, None] * own[at, 3:6]
        else:
            middle = middle + 0.5 * (own[at, 3:6] + own[at, 6:9])
        lengths[at], a[at], b[at] = 2 * np.pi * radius, middle - radius[:, None], middle + radius[:, None]
        measures[at] = lengths[at] * np.pi**2
    at = np.flatnonzero(kind == SPHERICAL)
    radius = own[at, 3]
    lengths[at], measures[at] = 2 * np.pi * radius, 8 * np.pi**2 * radius
    a[at], b[at] = own[at, :3] - radius[:, None], own[at, :3] + radius[:, None]
    at = np.flatnonzero(kind == CYLINDRICAL)
    axis, radius = own[at, 3:6], own[at, 6]
    lengths[at] = 2 * np.linalg.norm(axis, axis=1)
    measures[at] = lengths[at] * np.pi**2
    a[at] = np.minimum(own[at, :3], own[at, :3] + axis) - radius[:, None]
    b[at] = np.maximum(own[at, :3], own[at, :3] + axis) + radius[:, None]
    shapes = np.stack([info[slot, 1], info[np.where(other >= 0, other, slot), 1]], axis=1)
    records[:, 6] = _nearness(shapes[:, 0], a, b).view(np.int32)
    return Edges(records, lengths, measures, a, b, shapes)


def _nearness(shapes, a, b):
    """For each edge the distance up to which surfaces are near: a part of its shape's diagonal. float32."""
    count = shapes.max(initial=-1) + 1
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    for points in (a, b):
        np.minimum.at(low, shapes, points)
        np.maximum.at(high, shapes, points)
    return (NEAR * np.linalg.norm(high - low, axis=1)[shapes]).astype(np.float32)


def _inward(prims, kinds, side, tangent):
    """The unit vector of each face that lies in it, perpendicular to its side, and points into it."""
    points = corners(prims, kinds)
    row = np.arange(len(points))
    inner = points[:, :3].mean(axis=1) - points[row, side]
    inner -= tangent * np.einsum("ij,ij->i", inner, tangent)[:, None]
    size = np.linalg.norm(inner, axis=1, keepdims=True)
    return inner / np.where(size > 0, size, 1.0)


def _is_smooth(arrays, slot, side, other, other_side, flags):
    """Which sides have the same shading on both faces: equal vertex normals and one material."""
    info, normals = arrays["prim_info"], arrays["normals"]
    material = arrays["shapes"][:, 0]
    first, second = info[slot, 2], info[other, 2]
    found = (first >= 0) & (second >= 0) & (material[info[slot, 1]] == material[info[other, 1]])
    at = np.flatnonzero(found)
    if len(at):
        swap = flags[at] & REVERSED > 0
        one = [normals[first[at] + (side[at] + k) % 3] for k in (0, 1)]
        two = [normals[second[at] + (other_side[at] + k) % 3] for k in (0, 1)]
        for k in (0, 1):
            partner = np.where(swap[:, None], two[1 - k], two[k])
            found[at] &= np.abs(one[k] - partner).max(axis=1) < 1e-4
    return found
