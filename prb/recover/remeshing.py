"""Meshes with other triangles: `gpytoolbox` remeshes to a length of the edges.

After Botsch, Kobbelt, "A Remeshing Approach to Multiresolution Modeling", SGP 2004: edges that are too long
are split, those that are too short collapsed, then edges flipped and vertices moved within the surface. What
prb uses of the library is under the MIT licence; pymeshlab and CGAL are under the GPL, and trimesh only
subdivides.
"""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import MissingPackageError, ParameterError
from prb.recover.large_steps import edges_of, welded
from prb.recover.mesh_defects import degenerate

ROUNDS = 10  # of splits, collapses, flips and moves
FINER = 0.5  # the new length over the mean of the old ones, where none is given
MAX_FACES = 10**7


def remeshed(
    positions: ArrayLike, faces: NDArray[np.integer], edge_length: float | None = None, *, place: str = "mesh"
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """(positions float32 (n, 3), faces int32 (m, 3)) of the same surface with edges of about this length.

    edge_length: None: half the mean length of those that it has. Vertices at the same place become one, and
    triangles without area are left out before. Borders stay; creases become somewhat rounder, and what
    belongs to vertices and faces is not carried over. place: what a message begins with.
    Raises ParameterError for a surface on whose edges more than two triangles meet, for one that is all
    border, and for lengths out of range; MissingPackageError without gpytoolbox.
    """
    places, of_vertex = welded(positions)
    corners = of_vertex[faces]
    corners = corners[~degenerate(places, corners)]
    if not len(corners):
        raise ParameterError(f"{place}: no triangle with an area is left to remesh; take smaller steps")
    used, corners = np.unique(corners, return_inverse=True)
    places, corners = places[used], corners.reshape(-1, 3)
    edges, counts = edges_of(corners)
    if counts.max() > 2:
        what = f"more than two triangles meet on {(counts > 2).sum()} of its edges"
        raise ParameterError(f"{place}: {what}, so it cannot be remeshed; mend the mesh or leave it out")
    if len(np.unique(edges[counts == 1])) == len(places):
        what = "every vertex lies on a border, which stays as it is"
        raise ParameterError(f"{place}: {what}, so it cannot be remeshed; merge vertices or leave it out")
    lengths = np.linalg.norm(places[edges[:, 0]] - places[edges[:, 1]], axis=1)
    length = FINER * lengths.mean() if edge_length is None else edge_length
    _check_length(place, length, places, corners)
    library, corners = _gpytoolbox(), corners.astype(np.int32)
    try:
        found, triangles = library.remesh_botsch(places, corners, ROUNDS, float(length))
    except ValueError as error:
        what = str(error).rstrip(".").lower()
        raise ParameterError(f"{place}: cannot be remeshed: {what}; mend the mesh or leave it out") from None
    if not len(triangles) or not np.isfinite(found).all():
        raise ParameterError(f"{place}: nothing is left with edges of {length:g}; take a smaller length")
    return found.astype(np.float32), np.ascontiguousarray(triangles, np.int32)


def _check_length(place: str, length: Any, places: NDArray[np.float64], corners: NDArray[np.intp]) -> None:
    if isinstance(length, bool) or not 0 < float(length) < np.inf:
        raise ParameterError(f"{place}: the edge length {length!r} is out of range; it is above 0")
    a, b, c = np.moveaxis(places[corners], 1, 0)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    count = area / (np.sqrt(3) / 4 * float(length) ** 2)
    if count > MAX_FACES:
        what = f"edges of {length:g} make about {count:.2g} triangles, more than {MAX_FACES:.0e}"
        raise ParameterError(f"{place}: {what}; take a larger length")


def _gpytoolbox() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own imports
            import gpytoolbox
    except ImportError:
        raise MissingPackageError(
            "remesh: prb remeshes with gpytoolbox, which is not installed: pip install 'prb[shapes]'"
        ) from None
    return gpytoolbox
