"""A hierarchy whose primitives have moved: the same tree with new bounds, and what it costs. NumPy only.

Refitting keeps the tree's topology (Wald, Boulos, Shirley, "Ray Tracing Deformable Scenes Using Dynamic
Bounding Volume Hierarchies", 2007). Where shapes have moved far its boxes overlap, and a new tree pays.
"""

import numpy as np

from prb.device.bvh import COST_INTERSECTION, COST_TRAVERSAL, MAX_LEAF_SIZE

REBUILT_AT = 1.8  # times the cost of the tree as it was built: from here on it is built again


class Refit:
    """The topology of a `WideBvh`, as refitting goes through it: leaves, then inner nodes from below."""

    def __init__(self, tree):
        self._tree = tree
        leaf = tree.children < 0
        code = ~tree.children[leaf]
        first = code // MAX_LEAF_SIZE
        by_first = np.argsort(first, kind="stable")
        self._leaf_at = np.flatnonzero(leaf.reshape(-1))[by_first]
        self._starts = first[by_first]
        levels, nodes = [], np.zeros(1, np.int64)
        while len(nodes):
            levels.append(nodes)
            below = tree.children[nodes]
            nodes = below[below > 0]
        self._levels = levels[::-1]
        self.cost = self.cost_of(tree.bounds)

    def bounds(self, lower, upper):
        """The children's boxes for primitives with these boxes, float32 (primitives, 3): as
        `WideBvh.bounds`."""
        tree = self._tree
        found = tree.bounds.copy()
        if len(tree.order) == 0:
            return found
        nodes, _, width = found.shape
        planes = np.ascontiguousarray(np.moveaxis(found, 1, 0)).reshape(6, -1)  # (6, nodes * width)
        for axis in range(3):
            ordered = lower[tree.order, axis], upper[tree.order, axis]
            planes[2 * axis, self._leaf_at] = np.minimum.reduceat(ordered[0], self._starts)
            planes[2 * axis + 1, self._leaf_at] = np.maximum.reduceat(ordered[1], self._starts)
        children = tree.children.reshape(-1)
        by_node = planes.reshape(6, nodes, width)
        for level in self._levels:
            places = (level[:, None] * width + np.arange(width)).reshape(-1)
            places = places[children[places] > 0]
            below = children[places]
            planes[0::2, places] = by_node[0::2, below].min(axis=2)
            planes[1::2, places] = by_node[1::2, below].max(axis=2)
        return np.ascontiguousarray(np.moveaxis(by_node, 0, 1))

    def cost_of(self, bounds):
        """The cost of a ray by the surface area heuristic, for the tree with these boxes."""
        used = np.isfinite(bounds[:, 0]) & (bounds[:, 1] >= bounds[:, 0])
        if not used.any():
            return 0.0
        size = np.where(used[:, None], bounds[:, 1::2] - bounds[:, 0::2], 0).astype(float)
        x, y, z = np.moveaxis(size, 1, 0)
        area = x * y + y * z + z * x
        root = bounds[0][:, used[0]]
        x, y, z = (root[1::2].max(axis=1) - root[0::2].min(axis=1)).astype(float)
        whole = x * y + y * z + z * x
        leaf = self._tree.children < 0
        inner = self._tree.children > 0
        total = COST_INTERSECTION * area[leaf].sum() + COST_TRAVERSAL * area[inner].sum()
        return float(total / whole) if whole > 0 else 0.0
