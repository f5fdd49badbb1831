"""Where boundary samples go: densities on the unit cube of their random numbers, learned from a pilot.

A pilot's samples are uniform in the cube; each says how large a term it found. A guide cuts the cube into
boxes and samples a box in proportion to its volume times the root of the mean square of the terms in it,
which is the best density that is constant on the boxes. A part stays in proportion to volume (defensive
sampling: Hesterberg 1995), so that no weight exceeds 1 / DEFENSIVE.

grid      boxes of equal size
octree    boxes cut into eight wherever their share is large and samples are left to tell where, as Mitsuba's
          projective integrators do
"""

import numpy as np

NAMES = "none", "grid", "octree"
DEFENSIVE = 0.5
# Cells of a grid for edges that the camera sees, and for others.
CELLS = {True: (256, 1, 1), False: (64, 1, 1)}
DEPTH = 7  # of an octree, at most
LINE_DEPTH = 10  # where only the first number matters
MAX_BOXES = 4096
MIN_SAMPLES = 32  # of a box that is cut
MAX_SHARE = 1 / 2048  # of the whole, above which a box is cut
BOX = 8  # numbers of a box: its lowest corner, a zero, its size, a zero


def uniform():
    """The guide that changes nothing: see `made`."""
    return np.array([1.0]), _boxes(np.zeros((1, 3)), np.ones((1, 3)))


def made(name, samples, primary):
    """A guide: (weights (n,), boxes (n, BOX) float32), in proportion to which boxes are chosen.

    name: of `NAMES`. samples: (m, 4), of a pilot: the point of the unit cube and the size of the term there.
    primary: True for edges that the camera sees.
    """
    samples = np.asarray(samples, float)
    points, squares = samples[:, :3], samples[:, 3] ** 2
    if name == "none" or not squares.sum() > 0:
        return uniform()
    if name == "grid":
        corners, sizes, weights = _grid(points, squares, CELLS[primary])
    else:
        corners, sizes, weights = _octree(points, squares, primary)
    volumes = sizes.prod(axis=1)
    weights = (1 - DEFENSIVE) * weights / weights.sum() + DEFENSIVE * volumes
    return weights, _boxes(corners, sizes)


def _boxes(corners, sizes):
    found = np.zeros((len(corners), BOX), np.float32)
    found[:, :3], found[:, 4:7] = corners, sizes
    return found


def _grid(points, squares, shape):
    """(corners, sizes, weights) of equal boxes."""
    shape = np.array(shape)
    cells = np.minimum((points * shape).astype(int), shape - 1)
    number = np.ravel_multi_index(cells.T, shape)
    sums = np.bincount(number, squares, minlength=shape.prod())
    corners = np.stack(np.unravel_index(np.arange(shape.prod()), shape), axis=1) / shape
    return corners, np.tile(1 / shape, (len(corners), 1)), np.sqrt(sums)


def _octree(points, squares, line):
    """(corners, sizes, weights) of the leaves of an octree, found level by level. line: only the first of the
    three numbers is cut, in halves."""
    steps = np.array([[0, 0, 0], [1, 0, 0]]) if line else np.stack(np.indices((2, 2, 2)), -1).reshape(8, 3)
    parts, deepest, room = len(steps), LINE_DEPTH if line else DEPTH, MAX_BOXES - 1
    cut_axes = steps.max(axis=0)
    nodes, kept, node_of = np.zeros((1, 3), int), np.arange(len(points)), np.zeros(len(points), int)
    leaves, total = [], 0.0
    for depth in range(deepest + 1):
        size = np.where(cut_axes, 0.5**depth, 1.0)
        numbers = np.bincount(node_of, minlength=len(nodes))
        sums = np.bincount(node_of, squares[kept], minlength=len(nodes))
        weights = size.prod() * np.sqrt(sums / np.maximum(numbers, 1))
        total = total or weights.sum()
        cut = (weights > MAX_SHARE * total) & (numbers >= MIN_SAMPLES) & (depth < deepest)
        heaviest = np.argsort(np.where(cut, -weights, np.inf), kind="stable")
        cut[heaviest[room // (parts - 1) :]] = False
        room -= (parts - 1) * cut.sum()
        rest = nodes[~cut]
        leaves.append((rest * size, np.tile(size, (len(rest), 1)), weights[~cut]))
        if not cut.any():
            break
        inside = cut[node_of]
        kept, parent = kept[inside], (np.cumsum(cut) - 1)[node_of[inside]]
        nodes = (2 * nodes[cut][:, None] * cut_axes + steps).reshape(-1, 3)
        first = nodes[parts * parent] * np.where(cut_axes, 0.5 ** (depth + 1), 1.0)
        upper = (points[kept] >= first + np.where(cut_axes, 0.5 ** (depth + 1), np.inf)).astype(int)
        node_of = parts * parent + upper @ np.where(cut_axes, parts // 2 ** np.arange(1, 4), 0)
    return tuple(np.concatenate(part) for part in zip(*leaves, strict=True))
