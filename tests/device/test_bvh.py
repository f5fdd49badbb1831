"""The hierarchy as a data structure: what it holds, that a traversal finds what brute force finds, that
its stack bound is exact, and that its cost is what the surface area heuristic can give."""

import sys
from functools import cache

import numpy as np
import pytest

from prb.device import bvh
from prb.io import progress

# Inputs: corners (lower, upper) of n boxes


def _uniform(n, seed=0, size=0.05):
    rng = np.random.default_rng(seed)
    lower = rng.random((n, 3))
    return lower, lower + size * rng.random((n, 3))


def _slivers(n=700):
    """Boxes a million times longer than wide, along random axes."""
    lower, _ = _uniform(n, seed=1)
    extent = np.full((n, 3), 1e-6)
    extent[np.arange(n), np.random.default_rng(2).integers(3, size=n)] = 1.0
    return lower, lower + extent


def _duplicates(n=5000):
    return np.zeros((n, 3)), np.ones((n, 3))


def _some_duplicates(n=900):
    lower, upper = _uniform(9, seed=3)
    return np.repeat(lower, n // 9, axis=0), np.repeat(upper, n // 9, axis=0)


def _concentric(n=600):
    """Equal centroids, different boxes."""
    half = np.linspace(0.1, 1, n)[:, None] * [1, 2, 3]
    return -half, half


def _points(n=800):
    lower, _ = _uniform(n, seed=4)
    return lower, lower


def _line(n=800):
    """Segments on the x axis: no box of any subset has an area."""
    lower = np.random.default_rng(5).random((n, 3)) * [1, 0, 0]
    return lower, lower + [1e-3, 0, 0]


def _flat(n=900):
    lower, upper = _uniform(n, seed=6)
    return lower * [1, 1, 0], upper * [1, 1, 0]


def _geometric(n=2000):
    """Sizes and distances over 60 orders of magnitude: lopsided splits all the way."""
    at = np.logspace(-30, 30, n)[:, None] * [1, 1, 1]
    return at, at * 1.01


def _huge(n=300):
    lower, upper = _uniform(n, seed=7)
    return (lower - 0.5) * 6e38, (upper - 0.5) * 6e38


CASES = {
    "one": lambda: _uniform(1),
    "two": lambda: _uniform(2),
    "nine": lambda: _uniform(9),
    "uniform": lambda: _uniform(3000),
    "slivers": _slivers,
    "duplicates": _duplicates,
    "some_duplicates": _some_duplicates,
    "concentric": _concentric,
    "points": _points,
    "line": _line,
    "flat": _flat,
    "geometric": _geometric,
    "huge": _huge,
}


@pytest.fixture(params=CASES)
def boxes(request):
    return tuple(np.asarray(corner, np.float32) for corner in CASES[request.param]())


# What a tree holds


def _leaf(child):
    """First and count of a leaf."""
    return ~child >> 3, (~child & 7) + 1


def _check(tree, lower, upper, *, width=8, leaf_size):
    """Every primitive in one leaf, every node in one parent, every box the exact union of its content.
    Returns the depth."""
    n = len(lower)
    assert tree.bounds.dtype == np.float32 and tree.bounds.shape == (len(tree.children), 6, width)
    assert tree.children.dtype == np.int32 and tree.children.shape[1] == width
    assert tree.order.dtype == np.int32
    assert np.array_equal(np.sort(tree.order), np.arange(n))

    empty = tree.children == 0
    boxes = np.moveaxis(tree.bounds, 1, 2)
    assert np.all(boxes[empty] == [np.inf, -np.inf] * 3)
    inner, leaves = tree.children[tree.children > 0], tree.children[tree.children < 0]
    assert np.array_equal(np.sort(inner), np.arange(1, len(tree.children)))
    first, count = _leaf(leaves)
    assert count.max() <= leaf_size
    held = np.concatenate([np.arange(a, a + b) for a, b in zip(first, count, strict=True)])
    assert np.array_equal(np.sort(held), np.arange(n))

    depth = np.ones(len(tree.children), int)
    for node, children in enumerate(tree.children):
        for slot, child in enumerate(children):
            low, high = tree.bounds[node, 0::2, slot], tree.bounds[node, 1::2, slot]
            if child > 0:
                assert child > node
                depth[child] = depth[node] + 1
                assert np.array_equal(low, tree.bounds[child, 0::2].min(axis=1))
                assert np.array_equal(high, tree.bounds[child, 1::2].max(axis=1))
            elif child < 0:
                first, count = _leaf(child)
                inside = tree.order[first : first + count]
                assert np.array_equal(low, lower[inside].min(axis=0))
                assert np.array_equal(high, upper[inside].max(axis=0))
    return depth.max()


def test_holds_every_primitive_once_in_tight_boxes(boxes):
    lower, upper = boxes
    tree = bvh.build(lower, upper)
    depth = _check(tree, lower, upper, leaf_size=8)
    assert depth <= bvh.SAH_LEVELS + np.log2(len(lower)) + 1


@pytest.mark.parametrize("width", [2, 3, 4, 16])
@pytest.mark.parametrize("leaf_size", [1, 3, 8])
def test_widths_and_leaf_sizes(width, leaf_size):
    lower, upper = (corner.astype(np.float32) for corner in _uniform(700, seed=8, size=2.0))
    tree = bvh.build(lower, upper, width=width, leaf_size=leaf_size)
    _check(tree, lower, upper, width=width, leaf_size=leaf_size)


@pytest.mark.parametrize("leaf_size", [1, 2, 4, 8])
def test_leaves_are_full_where_splitting_gains_nothing(leaf_size):
    tree = bvh.build(*_duplicates(4096), leaf_size=leaf_size)
    assert np.all(_leaf(tree.children[tree.children < 0])[1] == leaf_size)


@pytest.mark.parametrize("width, leaf_size", [(2, 2), (4, 4), (8, 8), (16, 8)])
def test_leaves_hold_by_default_what_one_operation_tests(width, leaf_size):
    tree = bvh.build(*_duplicates(4096), width=width)
    assert np.all(_leaf(tree.children[tree.children < 0])[1] == leaf_size)


def test_halving_takes_over_where_sah_stops(monkeypatch, boxes):
    monkeypatch.setattr(bvh, "SAH_LEVELS", 2)
    lower, upper = boxes
    tree = bvh.build(lower, upper, width=2, leaf_size=1)
    assert _check(tree, lower, upper, width=2, leaf_size=1) <= 2 + np.ceil(np.log2(len(lower))) + 1


@pytest.mark.parametrize("extent", [0, 1])
@pytest.mark.parametrize("n", [60, 5000])
def test_coincident_boxes_are_halved(n, extent):
    lower = np.full((n, 3), 0.3, np.float32)
    tree = bvh.build(lower, lower + extent, width=2, leaf_size=1)
    assert _check(tree, lower, lower + extent, width=2, leaf_size=1) <= np.ceil(np.log2(n)) + 1


def test_boxes_without_area_are_split_by_length():
    lower, upper = (corner[:, [1, 0, 2]] for corner in _line())  # along y
    tree = bvh.build(lower, upper, width=2, leaf_size=1)
    lengths = (tree.bounds[:, 3] - tree.bounds[:, 2])[tree.children != 0]
    assert lengths.sum() < 2 * np.log2(len(lower))  # about 1 for each level; 200 for random halves


def test_empty_scene_has_one_empty_node():
    tree = bvh.build(np.zeros((0, 3)), np.zeros((0, 3)))
    assert tree.order.shape == (0,) and np.all(tree.children == 0) and tree.children.shape == (1, 8)
    assert np.all(tree.bounds[:, 0::2] == np.inf) and np.all(tree.bounds[:, 1::2] == -np.inf)


def test_same_input_same_tree():
    one, two = (bvh.build(*_uniform(2000, seed=9)) for _ in range(2))
    assert np.array_equal(one.children, two.children) and np.array_equal(one.order, two.order)
    assert np.array_equal(one.bounds, two.bounds) and one.stack_size == two.stack_size


# Traversal


def _entry(low, high, origin, direction):
    """Where a ray enters boxes (..., 3), inf where it misses; exactly monotone in the boxes."""
    near, far = (low - origin) / direction, (high - origin) / direction
    near, far = np.minimum(near, far).max(axis=-1), np.maximum(near, far).min(axis=-1)
    return np.where((near <= far) & (far >= 0), np.maximum(near, 0), np.inf)


def _traverse(tree, origin, direction, hit):
    """Closest hit and the primitives that attain it; hit(primitives) gives distances. And the most
    entries that were on the stack."""
    bounds = tree.bounds.astype(np.float64)
    closest, found, stack, most, current = np.inf, set(), [], 0, 0
    while current is not None:
        if current >= 0:
            low, high = bounds[current, 0::2].T, bounds[current, 1::2].T
            used = tree.children[current] != 0
            enter = np.full(len(used), np.inf)
            enter[used] = _entry(low[used], high[used], origin, direction)
            into = np.flatnonzero(np.isfinite(enter) & (enter <= closest))
            into = into[np.argsort(enter[into])]
            stack += [int(c) for c in tree.children[current, into[:0:-1]]]
            most = max(most, len(stack))
            current = int(tree.children[current, into[0]]) if len(into) else None
        else:
            first, count = _leaf(current)
            primitives = tree.order[first : first + count]
            for primitive, t in zip(primitives.tolist(), hit(primitives), strict=True):
                if t < closest:
                    closest, found = t, set()
                if t == closest < np.inf:
                    found.add(primitive)
            current = None
        if current is None and stack:
            current = stack.pop()
    return closest, found, most


def _rays(lower, upper, count, seed):
    """From around the boxes towards points within randomly chosen ones."""
    rng = np.random.default_rng(seed)
    low, high = lower.min(axis=0), upper.max(axis=0)
    origin = low + (high - low) * rng.uniform(-0.5, 1.5, (count, 3)) + rng.uniform(1e-3, 1, (count, 3))
    target = rng.integers(len(lower), size=count)
    direction = lower[target] + (upper - lower)[target] * rng.random((count, 3)) - origin
    return origin, np.where(direction == 0, 1e-9, direction)


def test_traversal_finds_the_closest_boxes(boxes):
    lower, upper = (corner.astype(np.float64) for corner in boxes)
    tree = bvh.build(*boxes)
    hits = 0
    for origin, direction in zip(*_rays(lower, upper, 24, seed=10), strict=True):
        every = _entry(lower, upper, origin, direction)
        t, found, most = _traverse(
            tree, origin, direction, lambda i, o=origin, d=direction: _entry(lower[i], upper[i], o, d)
        )
        assert t == every.min()
        assert found == set(np.flatnonzero((every == t) & np.isfinite(every)).tolist())
        assert most <= tree.stack_size
        hits += np.isfinite(t)
    assert hits > 0 or np.all(lower == upper) or np.any(np.all(lower[:, 1:] == upper[:, 1:], axis=1))


def _triangle_hits(corners, origin, direction):
    """Moeller and Trumbore 1997; inf where the ray misses."""
    edge1, edge2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(direction, edge2)
    det = np.sum(edge1 * normal, axis=1)
    inverse = 1 / np.where(det == 0, np.inf, det)
    s = origin - corners[:, 0]
    u = np.sum(s * normal, axis=1) * inverse
    q = np.cross(s, edge1)
    v, t = q @ direction * inverse, np.sum(q * edge2, axis=1) * inverse
    return np.where((det != 0) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)


@pytest.mark.parametrize("kind", ["soup", "slivers", "duplicates"])
def test_traversal_finds_the_closest_triangles(kind):
    rng = np.random.default_rng(11)
    corners = rng.random((1500, 1, 3)) + 0.1 * rng.standard_normal((1500, 3, 3))
    if kind == "slivers":
        corners[:, 2] = corners[:, 1] + 1e-5 * rng.standard_normal((1500, 3))
        corners[:300, 2] = corners[:300, 0]  # without area
    if kind == "duplicates":
        corners = np.repeat(corners[:50], 30, axis=0)
    corners = corners.astype(np.float32).astype(np.float64)
    lower, upper = corners.min(axis=1), corners.max(axis=1)
    tree = bvh.build(lower, upper)
    weights = rng.dirichlet([1, 1, 1], 40)
    origins = rng.uniform(-1, 2, (40, 3))
    targets = np.einsum("nk,nki->ni", weights, corners[rng.integers(300, 1500, 40)])
    hits = 0
    for origin, target in zip(origins, targets, strict=True):
        every = _triangle_hits(corners, origin, target - origin)
        t, found, _ = _traverse(
            tree, origin, target - origin, lambda i, o=origin, p=target: _triangle_hits(corners[i], o, p - o)
        )
        assert t == every.min()
        assert found == set(np.flatnonzero((every == t) & np.isfinite(every)).tolist())
        hits += np.isfinite(t)
    assert hits > 30


# The stack


def _simulate(tree, choose):
    """The most stack entries when a ray hits every child, and `choose` says which one is nearest."""
    stack, most, current = [], 0, 0
    while current is not None:
        hit = [int(c) for c in tree.children[current] if c != 0] if current >= 0 else []
        current = hit.pop(choose(hit)) if hit else None
        stack += hit
        most = max(most, len(stack))
        if current is None and stack:
            current = stack.pop()
    return most


def test_stack_size_is_attained_and_never_exceeded(boxes):
    tree = bvh.build(*boxes)

    need = np.zeros(len(tree.children), int)  # entries that a node can add to the stack
    for node in reversed(range(len(need))):
        children = tree.children[node]
        need[node] = np.count_nonzero(children) - 1 + max(need[c] if c > 0 else 0 for c in children)
    worst = _simulate(tree, lambda hit: int(np.argmax([need[c] if c > 0 else 0 for c in hit])))
    assert tree.stack_size == max(worst, 1)
    rng = np.random.default_rng(12)
    for _ in range(3):
        assert _simulate(tree, lambda hit: int(rng.integers(len(hit)))) <= tree.stack_size


def test_stack_stays_small():
    assert bvh.build(*_geometric()).stack_size < 192
    assert bvh.build(*_uniform(3000)).stack_size < 64


# Quality


def _half_area(low, high):
    x, y, z = high - low
    return x * y + y * z + z * x


def _inner_cost(lower, upper):
    """Sum of the inner nodes' areas when each node takes the best split of its sorted centroids."""
    if len(lower) == 1:
        return 0.0
    candidates = []
    for axis in range(3):
        rank = np.argsort((lower + upper)[:, axis])
        for k in range(1, len(rank)):
            sides = rank[:k], rank[k:]
            cost = sum(len(s) * _half_area(lower[s].min(axis=0), upper[s].max(axis=0)) for s in sides)
            candidates.append((cost, axis, k, sides))
    a, b = min(candidates, key=lambda c: c[0])[3]
    own = _half_area(lower.min(axis=0), upper.max(axis=0))
    return own + _inner_cost(lower[a], upper[a]) + _inner_cost(lower[b], upper[b])


def _costs(tree):
    """Areas of all nodes and of all leaves: the SAH's two terms, unnormalised. A leaf's primitives are
    tested in one operation, so their number does not count."""
    low, high = np.moveaxis(tree.bounds[:, 0::2], 1, 0), np.moveaxis(tree.bounds[:, 1::2], 1, 0)
    used = tree.children != 0
    area = np.zeros(tree.children.shape)
    area[used] = _half_area(low[:, used].astype(float), high[:, used].astype(float))
    inner, leaf = tree.children > 0, tree.children < 0
    root = _half_area(low[:, 0].min(axis=1).astype(float), high[:, 0].max(axis=1).astype(float))
    return root + area[inner].sum(), area[leaf].sum()


@pytest.mark.parametrize("n", [2, 7, 33, 64])
def test_small_nodes_get_the_best_split(n):
    lower, upper = (corner.astype(np.float32).astype(float) for corner in _uniform(n, seed=13, size=0.3))
    nodes, _ = _costs(bvh.build(lower, upper, width=2, leaf_size=1))
    assert nodes == pytest.approx(_inner_cost(lower, upper), rel=1e-4)


@pytest.mark.parametrize("bins", [16, 32])
def test_binned_splits_are_close_to_the_best_splits(monkeypatch, bins):
    rng = np.random.default_rng(14)
    lower = rng.random((2000, 3)) ** 3
    upper = lower + 0.1 * rng.random((2000, 1)) ** 8 * rng.random((2000, 3))
    monkeypatch.setattr(bvh, "BINS", bins)
    binned = sum(_costs(bvh.build(lower, upper)))
    monkeypatch.setattr(bvh, "SWEEP_MAX", 2000)
    swept = sum(_costs(bvh.build(lower, upper)))
    monkeypatch.setattr(bvh, "SAH_LEVELS", 0)
    halved = sum(_costs(bvh.build(lower, upper)))
    assert binned == pytest.approx(swept, rel=0.03)
    assert binned < 0.9 * halved < 1.8 * binned


@pytest.mark.parametrize("width, leaf_size, n", [(3, 2, 13), (4, 1, 60), (4, 3, 60), (6, 1, 60)])
def test_wide_nodes_are_the_cheapest_of_all_cuts(width, leaf_size, n):
    """Against every way to cut the binary tree (the tree of width 2) into wide nodes and leaves."""
    lower, upper = (corner.astype(np.float32).astype(float) for corner in _uniform(n, seed=15, size=0.5))
    binary = bvh.build(lower, upper, width=2, leaf_size=1)

    def content(code):
        if code < 0:
            return [int(binary.order[_leaf(code)[0]])]
        return [i for child in binary.children[code] for i in content(int(child))]

    def cuts(code, places):
        """Every set of at most `places` disjoint nodes that together hold what `code` holds."""
        yield [code]
        if code >= 0:
            a, b = (int(c) for c in binary.children[code])
            for k in range(1, places):
                for one in cuts(a, k):
                    if len(one) == k:
                        yield from (one + other for other in cuts(b, places - k))

    @cache
    def best(code, root=False):
        inside = content(code)
        area = _half_area(lower[inside].min(axis=0), upper[inside].max(axis=0))
        options = [area] if len(inside) <= leaf_size and not root else []
        if code >= 0:
            options += [area + sum(map(best, cut)) for cut in cuts(code, width) if len(cut) > 1]
        return min(options)

    assert sum(_costs(bvh.build(lower, upper, width=width, leaf_size=leaf_size))) == pytest.approx(
        best(0, True), rel=1e-5
    )


# Errors and the bar


@pytest.mark.parametrize(
    "lower, upper, message",
    [
        (np.zeros((4, 2)), np.ones((4, 2)), r"\(4, 2\)"),
        (np.zeros((4, 3)), np.ones((5, 3)), r"\(5, 3\)"),
        (np.zeros(3), np.ones(3), r"\(3,\)"),
        (np.zeros((2, 3)), [[1, 1, 1], [1, np.nan, 1]], "box 1"),
        ([[0, 0, -np.inf]], np.ones((1, 3)), "not finite"),
        (np.zeros((1, 3)), [[1, 1, 1e39]], "not finite"),
        (np.ones((2, 3)), [[1, 1, 1], [1, 0, 1]], "box 1"),
    ],
)
def test_bad_boxes(lower, upper, message):
    with pytest.raises(ValueError, match=message):
        bvh.build(lower, upper)


@pytest.mark.parametrize("option", [{"width": 1}, {"width": 65}, {"leaf_size": 0}, {"leaf_size": 9}])
def test_bad_options(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        bvh.build(*_uniform(5), **option)


def test_bar_stays_away_from_short_builds_and_completes(monkeypatch, capsys):
    bvh.build(*_uniform(500), progress=True)
    assert capsys.readouterr().err == ""
    bars = []

    def recording(**options):
        assert options["delay"] == 1
        shown = {"delay": 0, "file": sys.stderr, "mininterval": 0, "disable": options["disable"] is True}
        bars.append(tqdm(**{**options, **shown}))
        return bars[-1]

    tqdm = progress.tqdm
    monkeypatch.setattr(progress, "tqdm", recording)
    bvh.build(*_uniform(500), progress=True)
    assert bars[-1].n == 100 and "BVH" in capsys.readouterr().err
    bvh.build(*_uniform(500))
    assert capsys.readouterr().err == ""
