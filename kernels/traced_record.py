"""The record of a traced function: traced values from Taichi's, and derivatives backwards and forwards.

kernels/traced.py has the overview.
"""

from prb.kernels.backend import Expr, impl, ti
from prb.kernels.traced_numbers import Scalar, Vec2, Vec3, Vector, let, raw


class Node:
    """Several numbers of the record that are computed together: a link between them and their operands.

    links: pairs (operand, None). serial: as of a scalar. `pull(cotangents)` gives pairs (operand, cotangent),
    and `push(tangents)` a dictionary output -> tangent.
    """


def wrap(x, links):
    """A Taichi scalar, vector, Python number, or tuple of these, as traced values."""
    if isinstance(x, (tuple, list)):
        return tuple(wrap(item, links) for item in x)
    if isinstance(x, ti.Matrix):
        components = x.to_list()
    elif isinstance(x, Expr) and x.is_tensor():
        x = let(x)
        components = [impl.subscript(None, x, i) for i in range(x.n)]
    else:
        return Scalar(let(x), links)
    kind = {2: Vec2, 3: Vec3}.get(len(components), lambda *c: c)
    return kind(*(Scalar(let(c), links) for c in components))


def items_of(x):
    """The items of nested tuples, in order."""
    if isinstance(x, (tuple, list)):
        return [item for part in x for item in items_of(part)]
    return [x]


def leaves_of(x):
    """The scalars of a traced value."""
    return [leaf for item in items_of(x) for leaf in (item if isinstance(item, Vector) else (item,))]


def rebuild(x, leaves):
    """The structure of x, filled from an iterator over leaves."""
    if isinstance(x, (tuple, list)):
        return tuple(rebuild(item, leaves) for item in x)
    return type(x)(*(next(leaves) for _ in x)) if isinstance(x, Vector) else next(leaves)


def unwrap(x, of=raw):
    """Traced values as Taichi values. of: maps a traced scalar to its Taichi expression."""
    if isinstance(x, (tuple, list)):
        return tuple(unwrap(item, of) for item in x)
    if isinstance(x, Vector):
        return Expr([of(c) for c in x])
    return let(of(x))


def scalars_of(x):
    """The Taichi scalars of a Taichi value, in the order of `leaves_of`."""
    return [leaf.expr for leaf in leaves_of(wrap(x, None))]


def constant(x):
    """A Taichi value as a traced value without derivative."""
    return wrap(x, None)


def is_active(x):
    """True for a scalar that depends on the arguments that are differentiated."""
    return isinstance(x, Scalar) and x.active


def recorded(leaves, since=0):
    """All scalars and nodes that `leaves` depend on, each before those that depend on it.

    The record ends at scalars with a serial before `since`.
    """
    order, seen = [], set()
    stack = [(s, False) for s in leaves if is_active(s)]
    while stack:
        s, done = stack.pop()
        if done:
            order.append(s)
        elif s not in seen:
            seen.add(s)
            stack.append((s, True))
            if s.serial >= since:
                stack.extend((operand, False) for operand, _ in s.links if operand not in seen)
    return order


def pull_cotangents(seeds, since=0):
    """Cotangents of all that the seeds, pairs (scalar, cotangent), depend on: scalar -> cotangent."""
    cotangents, leaves = {}, []

    def add(s, d):
        cotangents[s] = let(cotangents[s] + d) if s in cotangents else let(d)

    for s, d in seeds:
        if is_active(s):
            leaves.append(s)
            add(s, d)
    for s in reversed(recorded(leaves, since)):
        if isinstance(s, Node):
            for operand, d in s.pull(cotangents):
                add(operand, d)
        elif s.serial >= since:
            for operand, linear_map in s.links:
                if linear_map is not None:
                    add(operand, linear_map(cotangents[s]))
    return cotangents


def push_tangents(leaves, known, since=0):
    """Add to `known` (scalar -> tangent) the tangents of all that the leaves depend on."""
    for s in recorded(leaves, since):
        if isinstance(s, Node):
            known.update(s.push(known))
        elif s not in known:
            total = None
            for operand, linear_map in s.links:
                d = linear_map(known[operand])
                total = d if total is None else total + d
            known[s] = let(total)
