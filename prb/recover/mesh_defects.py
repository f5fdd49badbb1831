"""What is wrong with a mesh after its vertices have moved: triangles without area, triangles that cross.

A triangle has no area here where its height is lost in the rounding of 32-bit positions. Two triangles cross
where an edge of one passes through the inside of the other; those that only touch, or lie in one plane, do
not count. Vertices at the same place are one vertex, and triangles that share two of them never cross.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.recover.large_steps import welded

Array = NDArray[np.float64]
THIN = 1e-6  # height over the longest side, below which a triangle has no area
MAX_ENTRIES = 2 * 10**7  # of triangles in cells, before cells are made larger
_BATCH = 2**18  # pairs that are tested at once


class Defects(NamedTuple):
    """Of a mesh with so many faces: how many have no area, and how many cross another one."""

    faces: int
    degenerate: int
    crossing: int

    def line(self, name: str) -> str:
        """What to say of a mesh; empty where nothing is wrong."""
        parts = [(self.degenerate, "have no area"), (self.crossing, "cross another one")]
        found = ", ".join(f"{count} {what}" for count, what in parts if count)
        return f"{name}: of its {self.faces} triangles {found}" if found else ""


def defects(positions: ArrayLike, faces: NDArray[np.integer]) -> Defects:
    """Those of a mesh: positions (n, 3), faces (m, 3)."""
    places, of_vertex = welded(positions)
    corners = of_vertex[faces]
    flat = degenerate(places, corners)
    crossing = np.zeros(len(faces), bool)
    for i, j in _near(places[corners]):
        cross = _cross(places, corners[i], corners[j])
        crossing[i[cross]] = crossing[j[cross]] = True
    return Defects(len(faces), int(flat.sum()), int(crossing.sum()))


def degenerate(positions: Array, faces: NDArray[np.integer]) -> NDArray[np.bool_]:
    """For each triangle whether it has no area."""
    corners = positions[faces]
    edges = np.roll(corners, -1, axis=1) - corners
    longest = (edges**2).sum(axis=2).max(axis=1)
    return np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1) <= THIN * longest


def _near(triangles: Array) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Batches of pairs (i, j) of triangles (m, 3, 3) whose boxes overlap, each pair once.

    The boxes are sorted into the cells of a grid. A pair is found in the cell of the low corner of what the
    two have in common.
    """
    low, high = triangles.min(axis=1), triangles.max(axis=1)
    origin, size = low.min(axis=0), 2 * (high - low).max(axis=1).mean() or 1.0
    while True:
        first, last = (np.floor((ends - origin) / size).astype(np.int64) for ends in (low, high))
        spans = last - first + 1
        counts = spans.prod(axis=1)
        if counts.sum() <= max(MAX_ENTRIES, 8 * len(low)):
            break
        size *= 2
    triangle = np.repeat(np.arange(len(low)), counts)
    within = np.arange(len(triangle)) - np.repeat(np.cumsum(counts) - counts, counts)
    x, rest = within % spans[triangle, 0], within // spans[triangle, 0]
    offset = np.stack([x, rest % spans[triangle, 1], rest // spans[triangle, 1]], axis=1)
    shape = last.max(axis=0) + 1
    cell = _number(first[triangle] + offset, shape)
    order = np.argsort(cell, kind="stable")
    cell, triangle = cell[order], triangle[order]
    for distance in range(1, len(cell)):
        at = np.flatnonzero(cell[distance:] == cell[:-distance])
        if not len(at):
            return
        for part in np.array_split(at, -(-len(at) // _BATCH)):
            i, j, here = triangle[part], triangle[part + distance], cell[part]
            begins = np.maximum(low[i], low[j])
            both = (begins <= np.minimum(high[i], high[j])).all(axis=1)
            both &= _number(np.floor((begins - origin) / size).astype(np.int64), shape) == here
            yield i[both], j[both]


def _number(cells: NDArray[np.int64], shape: NDArray[np.int64]) -> NDArray[np.int64]:
    return (cells[:, 2] * shape[1] + cells[:, 1]) * shape[0] + cells[:, 0]


def _cross(places: Array, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    """For pairs of triangles, (k, 3) each, whether they cross."""
    found, shared = np.zeros(len(first), bool), (first[:, :, None] == second[:, None, :]).sum(axis=(1, 2))
    for a, b in ((first, second), (second, first)):
        held = (a[:, :, None] == b[:, None, :]).any(axis=2)  # corners of a that are b's
        triangle = [places[b[:, k]] for k in range(3)]
        for k in range(3):
            end = (k + 1) % 3
            free = (shared < 2) & ~held[:, k] & ~held[:, end]
            found |= free & _passes(places[a[:, k]], places[a[:, end]], *triangle)
    return found


def _passes(p: Array, q: Array, a: Array, b: Array, c: Array) -> NDArray[np.bool_]:
    """Whether segments pq pass through the inside of triangles abc, by the signs of volumes."""
    normal = np.cross(b - a, c - a)
    sides = np.einsum("ij,ij->i", normal, p - a) * np.einsum("ij,ij->i", normal, q - a)
    around = [np.cross(u - p, v - p) for u, v in ((a, b), (b, c), (c, a))]
    ab, bc, ca = (np.einsum("ij,ij->i", q - p, each) for each in around)
    inside = ((ab > 0) & (bc > 0) & (ca > 0)) | ((ab < 0) & (bc < 0) & (ca < 0))
    return (sides < 0) & inside
