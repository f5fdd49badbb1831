"""Which edges a camera may see, and where: how often boundary terms of the film sample each. NumPy only."""

import numpy as np

from prb.device.camera import camera_numbers
from prb.device.edges import corners
from prb.device.film import margin, sampled_size
from prb.kernels.camera import DIRECTION, FAR, LENS, NEAR, START
from prb.kernels.estimators.edge import LINE, SILHOUETTE

FEWEST = 1e-3  # pixels: what an edge that may be seen counts as at least


def seen(edges, sensor, film, arrays):
    """(weights, ranges): for each edge about how long its picture is, in pixels, zero if it cannot be seen;
    and the part of its parameter that may be, float32 (n, 2).

    A pinhole camera's straight edges are cut off at the film's window and at the clip distances. A camera
    with an aperture sees them from many points, so that nothing is cut off.
    """
    camera = camera_numbers(sensor)
    to_film = _to_film(camera)
    ends = to_film(edges.a), to_film(edges.b)
    line = edges.records[:, 0] == LINE
    n = len(line)
    low, high = np.zeros(n), np.ones(n)
    window = _window(film)
    if not camera[LENS]:
        for limit in _limits(camera, window):
            f, g = (limit(*end) for end in ends)  # the edge can be seen where a value between them is >= 0
            with np.errstate(divide="ignore", invalid="ignore"):
                crossing = f / (f - g)
            low = np.where(line & (f < 0) & (g >= 0), np.maximum(low, crossing), low)
            high = np.where(line & (f >= 0) & (g < 0), np.minimum(high, crossing), high)
            high = np.where(line & (f < 0) & (g < 0), -1.0, high)
    length = np.hypot(window[1] - window[0], window[3] - window[2])
    cut = [edges.a + part[:, None] * (edges.b - edges.a) for part in (low, high)]
    with np.errstate(divide="ignore", invalid="ignore"):
        pictures = [_picture(camera, *to_film(point)) for point in cut]
        weights = np.linalg.norm(pictures[0] - pictures[1], axis=1)
    weights = np.where(line, weights, np.pi * weights)
    behind = np.maximum(ends[0][2], ends[1][2]) <= camera[NEAR]
    near = np.minimum(cut_t(to_film, cut[0]), cut_t(to_film, cut[1])) <= 0.999 * camera[NEAR]
    weights = np.where(near | ~np.isfinite(weights), 4 * length, np.minimum(weights, 4 * length))
    weights = np.maximum(weights, FEWEST)
    if not camera[LENS]:
        weights[behind & line] = 0.0
        weights[high <= low] = 0.0
        weights[_hidden(edges, camera, arrays)] = 0.0
    weights[edges.measures <= 0] = 0.0
    ranges = np.stack([low, np.maximum(high, low)], axis=1).astype(np.float32)
    return weights, ranges


def cut_t(to_film, points):
    """How far along the camera's direction points lie."""
    return to_film(points)[2]


def _central(camera):
    return bool(np.any(camera[DIRECTION + 3 : DIRECTION + 6]))


def _to_film(camera):
    """A function of points (n, 3): the solution of the system of kernels/estimators/edge_film.py for a = b =
    0, three arrays: x t, y t, t of a central camera; x, y, t of another."""
    start = camera[START : START + 9].reshape(3, 3)
    direction = camera[DIRECTION : DIRECTION + 9].reshape(3, 3)
    columns = np.stack([start[1] + direction[1], start[2] + direction[2], direction[0]], axis=1)
    inverse = np.linalg.inv(columns)
    return lambda points: tuple(((points - start[0]) @ inverse.T).T)


def _picture(camera, x, y, t):
    w = t if _central(camera) else 1.0
    return np.stack([x / w, y / w], axis=1)


def _window(film):
    """(left, right, top, bottom) of the sampled window, in pixels of the film."""
    width, height = sampled_size(film)
    left, top = (offset - margin(film) for offset in film.crop_offset)
    return left, left + width, top, top + height


def _limits(camera, window):
    """Functions of a point's `_to_film` that are linear along a straight edge, >= 0 where it can be seen."""
    central, (left, right, top, bottom) = _central(camera), window
    near, far = camera[NEAR], camera[FAR]

    def scale(t):
        return t if central else 1.0

    return (
        lambda x, y, t: t - near,
        lambda x, y, t: far - t,
        lambda x, y, t: x - left * scale(t),
        lambda x, y, t: right * scale(t) - x,
        lambda x, y, t: y - top * scale(t),
        lambda x, y, t: bottom * scale(t) - y,
    )


def _hidden(edges, camera, arrays):
    """Edges with smooth shading that are no silhouettes: the camera sees both faces from the same side."""
    found = np.zeros(len(edges.records), bool)
    at = np.flatnonzero((edges.records[:, 0] == LINE) & (edges.records[:, 5] & SILHOUETTE > 0))
    if len(at) == 0:
        return found
    a, b = edges.a[at], edges.b[at]
    toward = camera[DIRECTION : DIRECTION + 3] if not _central(camera) else a - camera[START : START + 3]
    n = np.cross(b - a, np.broadcast_to(toward, a.shape))
    sides = []
    for slot in edges.records[at, 1], edges.records[at, 3]:
        points = corners(arrays["prims"][slot], arrays["prim_info"][slot, 0])
        sides.append(np.einsum("ij,ij->i", n, points[:, :3].mean(axis=1) - a))
    found[at] = sides[0] * sides[1] < 0
    return found
