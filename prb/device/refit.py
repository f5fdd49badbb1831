"""A hierarchy whose primitives have moved: the same tree with new bounds, and what it costs.

Refitting keeps the tree's topology (Wald, Boulos, Shirley, "Ray Tracing Deformable Scenes Using Dynamic
Bounding Volume Hierarchies", 2007). Where shapes have moved far its boxes overlap, and a new tree pays.
"""

import numpy as np

from prb.device import runtime
from prb.device.bvh import COST_INTERSECTION, COST_TRAVERSAL, MAX_LEAF_SIZE
from prb.kernels import placing

REBUILT_AT = 1.8  # times the cost of the tree as it was built: from here on it is built again


class Refit:
    """The topology of a `WideBvh`, as refitting goes through it: leaves, then inner nodes from below."""

    def __init__(self, tree):
        self._tree = tree
        leaf = tree.children < 0
        code = ~tree.children[leaf]
        self._first, self._count = code // MAX_LEAF_SIZE, code % MAX_LEAF_SIZE + 1
        self._places = np.flatnonzero(leaf.reshape(-1)).astype(np.int32)
        levels, nodes = [], np.zeros(1, np.int32)
        while len(nodes):
            below = tree.children[nodes]
            inner = below > 0
            levels.append(np.ascontiguousarray(nodes[inner.any(axis=1)]))
            nodes = below[inner]
        self._levels = levels[::-1]
        self.cost = self.cost_of(tree.bounds)

    def update(self, lower, upper, bounds):
        """Write the children's boxes, as `WideBvh.bounds`, for primitives with these boxes, float32
        (primitives, 3)."""
        if len(self._tree.order) == 0:
            return
        runtime.ensure()
        placing.leaf_bounds(self._first, self._count, self._places, self._tree.order, lower, upper, bounds)
        for nodes in self._levels:
            if len(nodes):
                placing.inner_bounds(nodes, self._tree.children, bounds)

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
