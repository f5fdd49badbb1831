"""Vertex positions that are optimised in smooth coordinates, so that large steps leave the mesh untangled.

After Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering of Geometry", ACM TOG 40(6), 2021: the
optimiser has u = (I + lambda L) x in place of the positions x, where L is the combinatorial Laplacian of the
mesh's graph, L_ii the number of neighbours of i and L_ij = -1 for each of them. A step along the derivative
by u is then one along (I + lambda L)^-2 times that by x: what few vertices see moves their surroundings, too.
Here u counts from the start and in radii r of the mesh,

    x(u) = x_0 + r (I + lambda L)^-1 u,    dloss/du = r (I + lambda L)^-1 dloss/dx,

which makes the same steps as the paper's u, begins at x_0 exactly, and lets one rate serve meshes of any
size. Vertices at the same place are one vertex of the graph, and stay together: a seam of texture coordinates
or of normals does not open. `cholespy` factorises the matrix once.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import MissingPackageError, ParameterError

Array = NDArray[np.float64]
Faces = NDArray[np.integer]
LAMBDA = 19.0  # 0.95 / (1 - 0.95), the default of Mitsuba's `mi.ad.LargeSteps`
SOUP = 0.5  # share of the edges with one triangle, from which on a mesh is called loose triangles


class SmoothPositions:
    """The smooth coordinates u of one mesh, (number of its places, 3); zero at the start.

    positions: x_0, (n, 3). faces: (m, 3). lambda_: from 0 on, the larger the smoother; 0: the positions
    themselves. Raises ParameterError, and MissingPackageError without cholespy.
    remarks: clauses on what of the mesh is not linked.
    """

    def __init__(self, positions: ArrayLike, faces: ArrayLike, lambda_: float = LAMBDA) -> None:
        self._first = np.array(positions, np.float64)
        self.places, self.of_vertex = welded(self._first)
        self._radius = half_diagonal(self._first) or 1.0
        edges, triangles = edges_of(self.of_vertex[np.asarray(faces)])
        self.remarks = _remarks(len(self.places), edges, triangles, np.unique(self.of_vertex[faces]))
        self._solve = _solver(len(self.places), edges, lambda_)
        self.start = np.zeros(self.places.shape)

    def to_value(self, u: Array) -> Array:
        """The positions (n, 3) at the coordinates."""
        return self._first + self._radius * self._solve(u)[self.of_vertex]

    def pull_back(self, u: Array, gradient: ArrayLike) -> Array:
        """The derivative by the coordinates, from that by the positions (n, 3)."""
        return self._radius * self._solve(summed(gradient, self.of_vertex, len(self.places)))


def welded(positions: ArrayLike) -> tuple[Array, NDArray[np.intp]]:
    """(the places where vertices are, (k, 3); for each vertex the number of its place)."""
    places, of_vertex = np.unique(np.asarray(positions, np.float64), axis=0, return_inverse=True)
    return places, of_vertex.reshape(-1)


def edges_of(faces: Faces) -> tuple[Faces, NDArray[np.intp]]:
    """(the edges of triangles, (e, 2), each once; how many triangles have each). Triangles with a corner
    twice have no edge there."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1)
    edges, counts = np.unique(ends[ends[:, 0] != ends[:, 1]], axis=0, return_counts=True)
    return edges, counts


def half_diagonal(points: ArrayLike) -> float:
    """The radius of points: half the diagonal of the box around them; 0 without extent."""
    points = np.asarray(points, np.float64)
    return float(np.linalg.norm(np.ptp(points, axis=0)) / 2) if len(points) else 0.0


def summed(values: ArrayLike, rows: NDArray[np.intp], count: int) -> Array:
    """The sums (count, 3) of values (n, 3) that belong to the same row."""
    values = np.asarray(values, np.float64)
    return np.stack([np.bincount(rows, values[:, k], count) for k in range(3)], axis=1)


def parts(count: int, edges: Faces) -> NDArray[np.intp]:
    """For each of `count` vertices the least number of a vertex that edges link it to, itself among them."""
    label = np.arange(count)
    while True:
        low = label[edges].min(axis=1)
        lower = label.copy()
        np.minimum.at(lower, label[edges].ravel(), np.repeat(low, 2))
        lower = lower[lower]
        if np.array_equal(lower, label):
            return label
        label = lower


def _remarks(count: int, edges: Faces, triangles: NDArray[np.intp], used: Faces) -> tuple[str, ...]:
    found = []
    share = float((triangles == 1).mean()) if len(edges) else 1.0
    if share > SOUP:
        found.append(
            f"{share:.0%} of its edges belong to one triangle, so little is linked and smoothed; merge its"
            " vertices"
        )
    number = len(np.unique(parts(count, edges)[used]))
    if number > 1:
        found.append(f"it has {number} parts that share no vertex, each of which moves by itself")
    return tuple(found)


def _solver(count: int, edges: Faces, lambda_: float) -> Any:
    """The function that multiplies by (I + lambda L)^-1. Raises as `SmoothPositions` does."""
    if isinstance(lambda_, bool) or not 0 <= float(lambda_) < np.inf:
        raise ParameterError(f"lambda: {lambda_!r} is out of range; it is a finite number from 0 on")
    if lambda_ == 0:
        return np.array
    cholespy, (i, j), number = _cholespy(), edges.T, np.arange(count)
    degree = np.bincount(edges.ravel(), minlength=count)
    rows, columns = np.concatenate([number, i, j]), np.concatenate([number, j, i])
    entries = np.concatenate([1 + lambda_ * degree, np.full(2 * len(edges), -float(lambda_))])
    factors = cholespy.CholeskySolverD(
        count, rows.astype(np.int32), columns.astype(np.int32), entries, cholespy.MatrixType.COO
    )

    def solve(right: Array) -> Array:
        right = np.ascontiguousarray(right, np.float64)
        found = np.empty_like(right)
        factors.solve(right, found)
        return found

    return solve


def _cholespy() -> Any:
    try:
        import cholespy
    except ImportError:
        raise MissingPackageError(
            "large steps: prb solves for smooth vertex positions with cholespy, which is not installed: pip"
            " install 'prb[shapes]', or take a lambda of 0"
        ) from None
    return cholespy
