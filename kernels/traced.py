"""Traced functions: automatic differentiation while Taichi traces a kernel.

A BSDF, warp, frame or hit states its value once, as a plain Python function over `Scalar`, `Vec2` and `Vec3`
that reads no memory. While Taichi traces a kernel, the function is called. Every operation emits one Taichi
expression, bound to a local variable, and records the linear map from tangents of its operands to that of its
result. From this record follow

    value(f, *args)                     f(*args)
    vjp(f, args, cotangent, wrt)        f(*args) and the cotangents of args[wrt]: reverse mode
    jvp(f, args, tangents)              f(*args) and its tangent: forward mode

as code that needs no memory at run time. What memory holds enters through `read`. Arguments and results are
Taichi scalars, 2- and 3-vectors, or tuples of them; a longer vector becomes a tuple. The derivative of a
scalar by a scalar is its own transpose, so one link (operand, linear map) for each operand serves both modes.

A choice between numbers is a `select`, which computes both. A choice between computations is a `branch`,
which computes and differentiates only the one that is taken. An iteration is a device function with stated
derivatives, made by `custom`. Integers and conditions have no derivative.

Griewank & Walther, Evaluating Derivatives (2008), chapter 3, is the textbook for both modes.
"""

from functools import wraps

from prb.kernels.backend import impl, ti
from prb.kernels.held import differentiated_by_taichi, held, traced
from prb.kernels.traced_numbers import (
    Condition,
    Scalar,
    Vec2,
    Vec3,
    Vector,
    absolute,
    acos,
    asin,
    atan2,
    bit,
    clamp,
    cos,
    cross,
    detach,
    dot,
    exp,
    length,
    let,
    linear,
    log,
    maximum,
    minimum,
    next_serial,
    normalize,
    power,
    raw,
    select,
    sin,
    sqrt,
    tan,
    tanh,
    truncate,
)
from prb.kernels.traced_record import (
    Node,
    constant,
    is_active,
    items_of,
    leaves_of,
    pull_cotangents,
    push_tangents,
    rebuild,
    recorded,
    scalars_of,
    unwrap,
    wrap,
)

__all__ = [
    "Condition", "Scalar", "Vec2", "Vec3", "absolute", "acos", "asin", "atan2", "bit", "branch", "clamp",
    "constant", "cos", "cross", "custom", "detach", "dot", "exp", "jvp", "kernel_callable", "length", "log",
    "maximum", "minimum", "normalize", "power", "raw", "read", "select", "sin", "sqrt", "tan", "tanh",
    "traced", "truncate", "value", "vjp",
]  # fmt: skip

MAX_OUTPUTS = 20  # largest number of numbers that a branch returns


def kernel_callable(function):
    """A traced function that kernels may call directly: for Taichi's values it is `value(function, ...)`."""

    @wraps(function)
    def call(*args):
        inside = any(isinstance(x, (Scalar, Vector)) for x in items_of(args))
        return function(*args) if inside else value(function, *args)

    return traced(call)


@traced
def value(f, *args):
    """f(*args), without a record."""
    return unwrap(f(*(wrap(a, None) for a in args)))


@traced
def vjp(f, args, cotangent, wrt=None):
    """f(*args) and the cotangents of its arguments, from the cotangent of its result.

    args: tuple of Taichi values. wrt: the indices of the arguments whose cotangents are wanted, all by
    default. Returns (value, tuple of the cotangents of args[i] for i in wrt).
    """
    wrt = tuple(range(len(args))) if wrt is None else tuple(wrt)
    inputs = [wrap(a, () if i in wrt else None) for i, a in enumerate(args)]
    result = f(*inputs)
    cotangents = pull_cotangents(zip(leaves_of(result), scalars_of(cotangent), strict=True))
    return unwrap(result), tuple(unwrap(inputs[i], lambda s: cotangents.get(s, 0.0)) for i in wrt)


@traced
def jvp(f, args, tangents):
    """f(*args) and its tangent, from the tangents of its arguments (None for a constant).

    Returns (value, tangent), both of the structure of the result.
    """
    inputs = [wrap(a, None if t is None else ()) for a, t in zip(args, tangents, strict=True)]
    known = {}
    for x, t in zip(inputs, tangents, strict=True):
        if t is not None:
            known.update(zip(leaves_of(x), scalars_of(t), strict=True))
    result = f(*inputs)
    push_tangents(leaves_of(result), known)
    return unwrap(result), unwrap(result, lambda s: known.get(s, 0.0))


# ---------------------------------------------------------------------------------------------------
# Branches, reads, and device functions with stated derivatives
# ---------------------------------------------------------------------------------------------------


class _Read(Node):
    """What is read from memory, see `read`."""

    def __init__(self, value, operands, pull, push):
        self.serial = next_serial()
        self.operands = leaves_of(operands)
        self.links = tuple((operand, None) for operand in self.operands if is_active(operand))
        self.result = wrap(value, ((self, None),))
        self.outputs = leaves_of(self.result)
        self._pull, self._push = pull, push

    def pull(self, cotangents):
        """Pairs (operand, cotangent), from the cotangents of the numbers; adds to those of the memory."""
        found = self._pull(unwrap(self.result, lambda s: cotangents.get(s, 0.0)))
        pairs = zip(self.operands, scalars_of(found), strict=True)
        return [(operand, d) for operand, d in pairs if is_active(operand)]

    def push(self, tangents):
        """output -> tangent, from the tangents of the operands and of the memory."""
        found = self._push([tangents.get(o, 0.0) for o in self.operands])
        return dict(zip(self.outputs, scalars_of(found), strict=True))


def read(value, operands, pull, push):
    """Numbers that were read from memory, as traced numbers that depend on the memory and on the operands.

    value: what was read, a Taichi value. operands: traced values that say where.
    pull(cotangent) adds the cotangent of `value` to that of the memory, and returns the cotangents of the
    operands' numbers, a tuple. push(tangents), of the operands' numbers, returns the tangent of `value`.
    """
    return _Read(value, operands, pull, push).result


@traced
def branch(condition, if_true, if_false):
    """if_true() where the condition (a comparison of traced numbers) holds, else if_false().

    Both are functions without arguments that return the same structure of scalars, vectors, conditions
    and numbers; they are called more than once, and use traced values of the enclosing function. At
    run time one of them is computed: this is an `if`. Its derivative is an `if`, too, in which the side that
    is taken is computed again. The other side does not affect the result, even if its value is infinite; a
    `select` would multiply it by a cotangent of 0.
    """
    return _Branch(condition, if_true, if_false).result


class _Branch(Node):
    """A branch in the record: a link between its active outputs and the active scalars that its sides use."""

    def __init__(self, condition, *sides):
        self.condition, self.sides, self.serial = condition, sides, next_serial()
        # Declared before the `if`, where their number is not known yet. Unused ones compile to nothing.
        variables = [impl.expr_init(None) for _ in range(MAX_OUTPUTS)]
        results, operands = [], {}

        def compute(side):
            result = side()
            leaves = leaves_of(result)
            for variable, leaf in zip(variables, leaves, strict=False):
                if isinstance(leaf, (Scalar, Condition)):
                    variable._assign(leaf.expr)
            operands.update((s, None) for s in recorded(leaves, self.serial) if s.serial < self.serial)
            results.append(result)

        self._emit(compute)
        if _shape(results[0]) != _shape(results[1]):
            raise TypeError("branch: the sides return different structures")
        self.operands = tuple(operands)
        self.links = tuple((s, None) for s in operands)
        pairs = zip(variables, *map(leaves_of, results), strict=False)
        self.outputs = [self._output(*entry) for entry in pairs]
        if len(self.outputs) < len(leaves_of(results[0])):
            raise TypeError(f"branch: a side returns more than {MAX_OUTPUTS} numbers")
        self.result = rebuild(results[0], iter(self.outputs))

    def _emit(self, make):
        """Emit an `if` with make(side) on each side."""
        runtime = impl.get_runtime()
        builder = runtime.compiling_callable.ast_builder()
        where = impl._ti_core.DebugInfo(runtime.get_current_src_info())
        impl.begin_frontend_if(builder, self.condition.expr, where)
        for begin, side in zip(
            (builder.begin_frontend_if_true, builder.begin_frontend_if_false), self.sides, strict=True
        ):
            begin()
            make(side)
            builder.pop_scope()

    def _output(self, variable, *leaves):
        """A number that the branch returns, from its leaves on both sides. Untyped constants are selected."""
        expr = variable
        if not all(isinstance(x, (Scalar, Condition)) for x in leaves):
            a, b = (variable if isinstance(x, (Scalar, Condition)) else x for x in leaves)
            expr = let(ti.select(self.condition.expr, a, b))
        if any(isinstance(x, Condition) for x in leaves):
            return Condition(expr)
        return Scalar(expr, ((self, None),) if any(map(is_active, leaves)) else None)

    def _check(self, leaves, since):
        """Raise TypeError if a side that is computed again (since a serial) takes what was made after it."""
        if any(self.serial <= s.serial < since for s in recorded(leaves, since)):
            raise TypeError("branch: a side uses a name that was bound again after the branch was made")

    def pull(self, cotangents):
        """Pairs (operand, cotangent), from the cotangents of the outputs."""
        sums = {s: _zero(s) for s in self.operands}

        def reverse(side):
            since = next_serial()
            pairs = zip(leaves_of(side()), self.outputs, strict=True)
            seeds = [(leaf, cotangents[o]) for leaf, o in pairs if is_active(o) and o in cotangents]
            self._check([leaf for leaf, _ in seeds], since)
            found = pull_cotangents(seeds, since)
            for s in self.operands:
                if s in found:
                    sums[s]._assign(found[s])

        self._emit(reverse)
        return sums.items()

    def push(self, tangents):
        """output -> tangent, from the tangents of the operands."""
        results = {o: _zero(o) for o in self.outputs if is_active(o)}

        def forward(side):
            since = next_serial()
            leaves, known = leaves_of(side()), dict(tangents)
            self._check(leaves, since)
            push_tangents(leaves, known, since)
            for leaf, o in zip(leaves, self.outputs, strict=True):
                if is_active(leaf):
                    results[o]._assign(known[leaf])

        self._emit(forward)
        return results


def _zero(s):
    """A variable of the type of s, initially 0."""
    return let(ti.cast(0.0, s.expr.ptr.get_rvalue_type()))


def _shape(x):
    """The nesting of a traced value, for comparison."""
    if isinstance(x, (tuple, list)):
        return tuple(_shape(item) for item in x)
    return type(x) if isinstance(x, Vector) else None


def custom(function, derivatives):
    """A traced function of scalars, from two device functions.

    function(*x) is its value y, a scalar; derivatives(y, *x) is the list of its derivatives by each of x.
    """

    def apply(*operands):
        if differentiated_by_taichi():  # then a linear function, with the stated derivatives
            x = [let(held(raw(o))) for o in operands]
            y = let(function(*x))
            slopes = [held(let(slope)) for slope in derivatives(y, *x)]
            terms = (slope * (raw(o) - a) for slope, o, a in zip(slopes, operands, x, strict=True))
            return Scalar(let(sum(terms, held(y))))
        x = [raw(operand) for operand in operands]
        y = let(function(*x))
        if not any(map(is_active, operands)):
            return Scalar(y)
        slopes = [let(slope) for slope in derivatives(y, *x)]
        return linear(y, *((o, lambda d, slope=s: d * slope) for o, s in zip(operands, slopes, strict=True)))

    return apply
