"""Bounding volume hierarchy over axis-aligned boxes, built on the host with NumPy.

`build` goes in three steps, each vectorised over all nodes of a tree level:

1. A binary tree, top-down by the surface area heuristic (J. D. MacDonald and K. S. Booth, "Heuristics
   for Ray Tracing Using Space Subdivision", 1990). Large nodes put their centroids into bins: I. Wald,
   "On fast Construction of SAH-based Bounding Volume Hierarchies", 2007. Small nodes try every split of
   the sorted centroids: I. Wald, S. Boulos and P. Shirley, "Ray Tracing Deformable Scenes Using Dynamic
   Bounding Volume Hierarchies", 2007.
2. The cheapest wide tree within it, bottom-up by dynamic programming, which chooses the binary nodes that
   become leaves or wide nodes: H. Ylitie, T. Karras and S. Laine, "Efficient Incoherent Ray Traversal on
   GPUs Through Compressed Wide BVHs", 2017, section 3.1. (Wide trees collapsed from binary ones go back
   to I. Wald, C. Benthin and S. Boulos, "Getting Rid of Packets", 2008. Opening the child of largest
   area until a node is full is simpler, but leaves many nodes near the bottom half empty.)
3. The wide nodes, top-down in breadth-first order.
"""

from dataclasses import dataclass

import numpy as np

from prb.io.progress import bar as progress_bar

MAX_LEAF_SIZE = 8  # a leaf's count takes three bits
BINS = 32
SWEEP_MAX = 64  # nodes up to this many primitives try every split
SAH_LEVELS = 40  # below this depth nodes are halved, so depth <= SAH_LEVELS + log2(n) + 1
COST_TRAVERSAL = 1.0
COST_INTERSECTION = 1.0  # of a leaf, however many primitives it holds


@dataclass(frozen=True)
class WideBvh:
    """A hierarchy whose nodes hold up to `width` children. Node 0 is the root, nodes lie breadth-first
    (so the inner children of a node are neighbours).

    bounds: float32 (nodes, 6, width), each child's x_min, x_max, y_min, y_max, z_min, z_max; an empty
        slot has min = +inf and max = -inf. Boxes are exact unions, without padding.
    children: int32 (nodes, width). Inner child: its node, > 0. Leaf: ~(first * 8 + count - 1), with
        1 <= count <= 8. Empty slot: 0; empty slots come last.
    order: int32 (primitives,). A leaf holds the primitives order[first : first + count].
    stack_size: the most stack entries that a traversal needs that keeps the nearest hit child in a
        register and pushes the other hit children (leaves too): the largest sum of (children - 1) over
        the nodes of a path from the root. At least 1, for a traversal that pushes the root.
    """

    bounds: np.ndarray
    children: np.ndarray
    order: np.ndarray
    stack_size: int


def build(lower, upper, *, width=8, leaf_size=None, progress=False):
    """Build a `WideBvh` over n primitives.

    lower, upper: float32 (n, 3), corners of each primitive's box; n may be 0.
    width: most children of a node, 2 to 64.
    leaf_size: most primitives in a leaf, 1 to 8; None: `width`, at most 8. The kernels test all
        primitives of a leaf in one operation, so a full leaf costs what one primitive costs.
    progress: a bar on standard error, if that is a terminal and the build takes longer than a second.

    Raises ValueError for boxes of the wrong shape, not finite or inverted, and options out of range.
    It does not split primitives (Stich et al. 2009), so long slanted ones keep their large boxes.
    """
    lower, upper = _checked(lower, upper)
    n = len(lower)
    if not 2 <= width <= 64:
        raise ValueError(f"width is {width}; it goes from 2 to 64")
    if leaf_size is None:
        leaf_size = min(width, MAX_LEAF_SIZE)
    if not 1 <= leaf_size <= MAX_LEAF_SIZE:
        raise ValueError(f"leaf_size is {leaf_size}; it goes from 1 to {MAX_LEAF_SIZE}")
    if n == 0:
        bounds = np.full((1, 6, width), np.inf, np.float32)
        bounds[:, 1::2] = -np.inf
        return WideBvh(bounds, np.zeros((1, width), np.int32), np.zeros(0, np.int32), 1)

    # Boxes as (6, n), lower then upper; for areas scaled by a power of two, so that nothing overflows.
    boxes = np.ascontiguousarray(np.concatenate([lower, upper], axis=1).T)
    exponent = -int(np.frexp(np.abs(boxes).max())[1])
    with progress_bar(progress, total=100, desc="BVH", delay=1, unit="%") as bar:
        order, levels = _binary_tree(np.ldexp(boxes, exponent), bar)
    first, count, left = (np.concatenate(column) for column in zip(*levels, strict=True))
    node_boxes = _node_boxes(boxes[:, order], first, left, levels)
    area = _area(np.ldexp(node_boxes[:3], exponent), np.ldexp(node_boxes[3:], exponent))
    deal, is_leaf = _plan(area, count, left, levels, width, leaf_size)
    bounds, children, stack_size = _collapse(node_boxes, first, count, left, deal, is_leaf)
    return WideBvh(bounds, children, order, stack_size)


def _checked(lower, upper):
    """Both as float32 (n, 3)."""
    with np.errstate(over="ignore"):  # what overflows float32 is reported as not finite
        lower, upper = np.asarray(lower, np.float32), np.asarray(upper, np.float32)
    if lower.ndim != 2 or lower.shape[1] != 3 or lower.shape != upper.shape:
        raise ValueError(f"lower and upper have shapes {lower.shape} and {upper.shape}; both must be (n, 3)")
    if len(lower) > 2**28:
        raise ValueError(f"{len(lower)} primitives; a leaf can address 2**28")
    wrong = ~(np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)).all(axis=1)
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"{int(wrong.sum())} boxes are not finite or have lower > upper; "
            f"the first is box {i}, from {lower[i].tolist()} to {upper[i].tolist()}"
        )
    return lower, upper


# 1. The binary tree


def _binary_tree(boxes, bar):
    """Split down to single primitives. Returns the order of primitives and, per level, the arrays
    (first, count, left) of its nodes: the range in the order and the left child's number among all
    nodes (-1: none). The right child follows the left one."""
    n = boxes.shape[1]
    order = np.arange(n, dtype=np.int32)
    first, count = np.zeros(1, np.int32), np.full(1, n, np.int32)
    levels, nodes = [], 1
    while True:
        inner = np.flatnonzero(count > 1)
        left = np.full(len(first), -1, np.int32)
        left[inner] = nodes + 2 * np.arange(len(inner), dtype=np.int32)
        levels.append((first, count, left))
        if len(inner) == 0:
            return order, levels
        first, count = first[inner], count[inner]
        source, n_left = _split(boxes, first, count, use_sah=len(levels) <= SAH_LEVELS)
        boxes, order = boxes[:, source], order[source]
        first = np.stack([first, first + n_left], axis=1).ravel()
        count = np.stack([n_left, count - n_left], axis=1).ravel()
        nodes += len(first)
        todo = float(np.sum(count * np.log2(count))) / (n * np.log2(n))
        bar.update(round(100 * (1 - todo)) - bar.n)


def _split(boxes, first, count, *, use_sah):
    """Split the given nodes (ranges of boxes, two primitives or more) in two. Returns where the
    primitive at each new position comes from, and the count of each left child."""
    source = np.arange(boxes.shape[1], dtype=np.int32)
    n_left = np.zeros(len(first), np.int32)
    halve = np.arange(len(first))
    if use_sah:
        small = count <= SWEEP_MAX
        size = _size_class(count)
        for k in np.unique(size[small]):
            of_size = np.flatnonzero(small & (size == k))
            for some in np.array_split(of_size, 1 + len(of_size) * k // 2**17):  # fit into the CPU's cache
                n_left[some] = _sweep(boxes, first[some], count[some], k, source)
        halve = np.flatnonzero(~small)
        if len(halve):
            n_left[halve] = _bin(boxes, first[halve], count[halve], source)
            halve = halve[n_left[halve] == 0]
    if len(halve):
        n_left[halve] = _halve(boxes, first[halve], count[halve], source)
    return source, n_left


def _size_class(count):
    """Round up to 2^k or 3 * 2^(k-1), the sizes to which _sweep pads its nodes."""
    power = 1 << np.ceil(np.log2(count)).astype(np.int32)
    return np.where(count <= power * 3 // 4, power * 3 // 4, power)


def _sweep(boxes, first, count, size, source):
    """Try every split of the primitives sorted by centroid, for nodes of at most `size` primitives."""
    slot = np.arange(size, dtype=np.int32)[:, None]
    used = slot < count
    position = first + np.minimum(slot, count - 1)
    lower, upper = boxes[:3, position], boxes[3:, position]
    centroid = np.where(used, lower + upper, np.inf)
    lower[:, ~used], upper[:, ~used] = np.inf, -np.inf
    rank = np.argsort(centroid, axis=1, kind="stable")  # padding stays last
    costs = []
    for by_axis in rank[:, None]:
        sorted_boxes = (np.take_along_axis(corner, by_axis, axis=1) for corner in (lower, upper))
        costs.append(_split_costs(*sorted_boxes, used))
    axis, split, _ = _cheapest(np.stack(costs))
    best = np.take_along_axis(rank, axis[None, None], axis=0)[0]
    source[(first + slot)[used]] = (first + best)[used]
    return split + 1


def _bin(boxes, first, count, source):
    """Try the splits between BINS equal slabs of the centroids' bounds. Returns 0 as the left count of
    nodes whose centroids all coincide."""
    nodes = len(first)
    position, node, start = _ranges(first, count)
    box = boxes[:, position]
    centroid = box[:3] + box[3:]
    low = np.minimum.reduceat(centroid, start, axis=1)
    extent = np.maximum.reduceat(centroid, start, axis=1) - low
    extent[extent == 0] = 1
    keys, costs = [], []
    for axis in range(3):
        where = (centroid[axis] - low[axis, node]) / extent[axis, node]  # in [0, 1]
        key = np.minimum((where * BINS).astype(np.int64), BINS - 1) * nodes + node
        lower = np.full((3, BINS * nodes), np.inf, np.float32)
        upper = np.full((3, BINS * nodes), -np.inf, np.float32)
        for i in range(3):
            np.minimum.at(lower[i], key, box[i])
            np.maximum.at(upper[i], key, box[3 + i])
        in_bin = np.bincount(key, minlength=BINS * nodes)
        shape = (BINS, nodes)
        costs.append(_split_costs(lower.reshape(3, *shape), upper.reshape(3, *shape), in_bin.reshape(shape)))
        keys.append(key)
    axis, split, cost = _cheapest(np.stack(costs))
    to_right = np.choose(axis[node], keys) // nodes > split[node]
    to_right[np.isinf(cost)[node]] = True  # nothing to split: all stay where they are
    # Stable partition of each range: left ones first.
    n_left = np.add.reduceat(~to_right, start, dtype=np.int32)
    lefts_before = np.cumsum(~to_right) - ~to_right
    lefts_before -= lefts_before[start][node]
    index = position - first[node]
    target = first[node] + np.where(to_right, n_left[node] + index - lefts_before, lefts_before)
    source[target] = position
    return n_left


def _halve(boxes, first, count, source):
    """Split at the median centroid of the widest axis; where all centroids coincide, anywhere."""
    position, node, start = _ranges(first, count)
    centroid = boxes[:3, position] + boxes[3:, position]
    extent = np.maximum.reduceat(centroid, start, axis=1) - np.minimum.reduceat(centroid, start, axis=1)
    distinct = np.flatnonzero((extent.max(axis=0) > 0)[node])  # the others need no sorting
    along = np.choose(np.argmax(extent, axis=0)[node[distinct]], centroid[:, distinct])
    source[position[distinct]] = position[distinct[np.lexsort((along, node[distinct]))]]
    return count // 2


def _ranges(first, count):
    """The positions in the ranges, one after the other; the range of each; where each range starts."""
    start = np.cumsum(count) - count
    node = np.repeat(np.arange(len(first)), count)
    return np.arange(len(node)) + (first - start)[node], node, start


def _split_costs(lower, upper, count):
    """SAH costs (bins - 1, nodes) of splitting behind each bin; boxes (3, bins, nodes), count (bins,
    nodes). Infinite where a side is empty. Of two equal splits the less balanced one costs slightly more."""
    n_left = np.cumsum(count, axis=0, dtype=np.float32)
    total = n_left[-1]
    n_left = n_left[:-1]
    n_right = total - n_left
    left = _area(np.minimum.accumulate(lower, axis=1)[:, :-1], np.maximum.accumulate(upper, axis=1)[:, :-1])
    lower, upper = lower[:, :0:-1], upper[:, :0:-1]  # without the first bin, from the last one
    right = _area(np.minimum.accumulate(lower, axis=1), np.maximum.accumulate(upper, axis=1))[::-1]
    cost = (left * n_left + right * n_right) * (1 + np.float32(1e-5) * np.abs(n_left - n_right) / total)
    cost[(n_left == 0) | (n_right == 0)] = np.inf
    return cost


def _cheapest(costs):
    """The axis, the split and its cost per node, of costs (axes, splits, nodes)."""
    flat = costs.reshape(-1, costs.shape[-1])
    best = np.argmin(flat, axis=0)
    return best // costs.shape[1], (best % costs.shape[1]).astype(np.int32), flat[best, np.arange(len(best))]


def _area(lower, upper):
    """Half the surface area of boxes (3, ...); empty ones have none. Terms far below it let length decide
    where areas vanish, and count where lengths do."""
    x, y, z = np.maximum(upper - lower, 0)
    return x * y + y * z + z * x + np.float32(1e-16) * (x + y + z) + np.float32(1e-30)


# 2. Boxes, and the cheapest wide tree


def _inner_from_below(left, levels):
    """The inner nodes of each level, from the last level to the first."""
    end = len(left)
    for level in reversed(levels):
        nodes = np.arange(end - len(level[0]), end)
        end = nodes[0]
        yield nodes[left[nodes] >= 0]


def _node_boxes(boxes, first, left, levels):
    """Boxes (6, nodes): each the exact union of its primitives' boxes, which come in their order."""
    node_boxes = boxes[:, first]  # correct for single primitives; inner nodes are next
    for nodes in _inner_from_below(left, levels):
        a, b = node_boxes[:, left[nodes]], node_boxes[:, left[nodes] + 1]
        node_boxes[:3, nodes] = np.minimum(a[:3], b[:3])
        node_boxes[3:, nodes] = np.maximum(a[3:], b[3:])
    return node_boxes


def _plan(area, count, left, levels, width, leaf_size):
    """The cheapest wide tree below each binary node. Returns deal (width, nodes) and is_leaf (nodes).

    With j free places in a wide node, a binary node gives deal[j - 1] of them to its left and the rest to its
    right child; where that is 0 it becomes one child itself, a leaf or a wide node.
    """
    cost = np.tile(COST_INTERSECTION * area, (width, 1))  # row j - 1: with j places or fewer
    deal = np.zeros((width, len(left)), np.int8)
    is_leaf = left < 0
    for nodes in _inner_from_below(left, levels):
        a, b = cost[:, left[nodes]], cost[:, left[nodes] + 1]
        dealt = np.empty((width - 1, len(nodes)), np.float32)
        to_left = np.ones((width - 1, len(nodes)), np.int8)
        for j in range(2, width + 1):
            best = a[0] + b[j - 2]
            for k in range(2, j):
                option = a[k - 1] + b[j - k - 1]
                to_left[j - 2, option < best] = k
                best = np.minimum(best, option)
            dealt[j - 2] = best
        as_wide = COST_TRAVERSAL * area[nodes] + dealt[-1]
        is_leaf[nodes] = (count[nodes] <= leaf_size) & (cost[0, nodes] <= as_wide)
        cost[0, nodes] = np.where(is_leaf[nodes], cost[0, nodes], as_wide)
        deal[1:, nodes] = np.where(dealt < cost[0, nodes], to_left, 0)
        deal[-1, nodes] = to_left[-1]
        cost[1:, nodes] = np.minimum(dealt, cost[0, nodes])
    return deal, is_leaf


# 3. Wide nodes


def _collapse(node_boxes, first, count, left, deal, is_leaf):
    """Gather the binary tree into wide nodes, level by level. Returns bounds, children, stack_size."""
    width = len(deal)
    leaf_code = ~(first * MAX_LEAF_SIZE + count - 1)
    empty = np.tile(np.array([[np.inf], [-np.inf]], np.float32), (3, 1))
    planes = np.concatenate([node_boxes[[0, 3, 1, 4, 2, 5]], empty], axis=1)  # -1 is the empty box
    binary = np.zeros(1, np.int32)  # binary node of each wide node of the level
    pushed = np.zeros(1, np.int32)  # the most stack entries when the traversal gets there
    bounds, children, nodes, stack_size = [], [], 1, 1
    while len(binary):
        slot = np.full((len(binary), width), -1, np.int32)
        slot[:, 0] = binary
        places = np.full(slot.shape, width, np.int32)
        used = np.ones(len(binary), np.int32)
        for _ in range(width - 1):
            to_give = np.where(slot >= 0, deal[places - 1, slot], 0)
            column = np.argmax(to_give > 0, axis=1)
            row = np.flatnonzero(to_give.any(axis=1))
            column, new = column[row], used[row]
            left_child, to_left = left[slot[row, column]], to_give[row, column]
            slot[row, column], slot[row, new] = left_child, left_child + 1
            places[row, new] = places[row, column] - to_left
            places[row, column] = to_left
            used[row] += 1
        inner = (slot >= 0) & ~is_leaf[slot]
        child = np.where(slot >= 0, leaf_code[slot], 0)
        child[inner] = nodes + np.arange(np.count_nonzero(inner))
        children.append(child.astype(np.int32))
        bounds.append(np.ascontiguousarray(np.moveaxis(planes[:, slot], 0, 1)))
        nodes += np.count_nonzero(inner)
        pushed = pushed + used - 1
        stack_size = max(stack_size, int(pushed.max()))
        binary, pushed = slot[inner], np.repeat(pushed, inner.sum(axis=1))
    return np.concatenate(bounds), np.concatenate(children), stack_size
