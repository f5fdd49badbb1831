"""Derivatives that are derived, not written twice.

A BSDF, texture or emitter states its value once, as a plain Python function over `Scalar` and `Vec3`,
without branches (`select`) and without reading memory. While Taichi traces a kernel, such a function
is called; every operation emits one Taichi expression, bound to a local variable, and remembers how a
small change of its operands changes it. From that record follow

    value(f, *args)                     f(*args)
    vjp(f, args, cotangent, wrt)        f(*args) and the cotangents of args[wrt]: reverse mode
    jvp(f, args, tangents)              f(*args) and its tangent: forward mode

as straight-line code that needs no memory at run time. Arguments and results are Taichi scalars,
3-vectors, or tuples of them. A function of one scalar has a derivative that is its own transpose, so
one link (`operand, linear map`) for each operand serves both modes.

Griewank & Walther, Evaluating Derivatives (2008), chapter 3, is the textbook for both modes.
"""

from prb.kernels.backend import Expr, impl, ti


def traced(function):
    """Mark a plain Python function as one that a kernel may call while it is traced."""
    function._is_wrapped_kernel = True  # else Taichi warns about a call to a non-Taichi function
    return function


@ti.func
def _component(vector, index: ti.template()):
    return vector[index]


@ti.func
def _pack(x, y, z):
    return ti.Vector([x, y, z])


def _let(expression):
    """Bind an expression to a local variable; used twice it would otherwise be computed twice."""
    return impl.expr_init(expression)


def _raw(x):
    return x.expr if isinstance(x, Scalar) else x


class Scalar:
    """A real number while a kernel is traced: a Taichi expression and its links to active operands.

    links: pairs (operand, map); `map` takes a tangent of the operand to the tangent of this scalar, and
    a cotangent of this scalar to that of the operand. None for a constant under differentiation.
    """

    __slots__ = ("expr", "links")
    __array_ufunc__ = None

    def __init__(self, expr, links=None):
        self.expr = expr
        self.links = links

    @property
    def active(self):
        return self.links is not None

    def __add__(self, other):
        if isinstance(other, Vec3):
            return NotImplemented
        return _linear(_raw(self) + _raw(other), (self, lambda d: d), (other, lambda d: d))

    __radd__ = __add__

    def __sub__(self, other):
        if isinstance(other, Vec3):
            return NotImplemented
        return _linear(_raw(self) - _raw(other), (self, lambda d: d), (other, lambda d: -d))

    def __rsub__(self, other):
        return _linear(_raw(other) - _raw(self), (other, lambda d: d), (self, lambda d: -d))

    def __mul__(self, other):
        if isinstance(other, Vec3):
            return NotImplemented
        a, b = _raw(self), _raw(other)
        return _linear(a * b, (self, lambda d: d * b), (other, lambda d: d * a))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, Vec3):
            return NotImplemented
        return _divide(self, other)

    def __rtruediv__(self, other):
        return _divide(other, self)

    def __neg__(self):
        return _linear(-self.expr, (self, lambda d: -d))

    def __pow__(self, exponent):
        return power(self, exponent)

    def __lt__(self, other):
        return Condition(self.expr < _raw(other))

    def __le__(self, other):
        return Condition(self.expr <= _raw(other))

    def __gt__(self, other):
        return Condition(self.expr > _raw(other))

    def __ge__(self, other):
        return Condition(self.expr >= _raw(other))

    # A comparison of two traced numbers is a run-time condition: use `select`, not `if` or `==`.
    __eq__ = None
    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("a traced number has no truth value: use select(condition, a, b)")


class Condition:
    """The outcome of a comparison of traced numbers, for `select`; combined with &, | and ~."""

    __slots__ = ("expr",)

    def __init__(self, expr):
        self.expr = _let(expr)

    def __and__(self, other):
        return Condition(self.expr & other.expr)

    def __or__(self, other):
        return Condition(self.expr | other.expr)

    def __invert__(self):
        return Condition(ti.select(self.expr, False, True))

    def __bool__(self):
        raise TypeError("a comparison of traced numbers has no truth value: use select, &, | and ~")


def _linear(value, *links):
    active = tuple((s, m) for s, m in links if isinstance(s, Scalar) and s.active)
    return Scalar(_let(value), active or None)


def _divide(a, b):
    x, y = _raw(a), _raw(b)
    quotient = _let(x / y)
    return _linear(quotient, (a, lambda d: d / y), (b, lambda d: -d * quotient / y))


class Vec3:
    """Three traced scalars; arithmetic is component by component, with scalars broadcast."""

    __slots__ = ("x", "y", "z")
    __eq__ = None  # compare components
    __hash__ = object.__hash__

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z

    def __iter__(self):
        return iter((self.x, self.y, self.z))

    def map(self, function, *others):
        """function applied to each component, with those of the others where they are vectors."""
        columns = [tuple(o) if isinstance(o, Vec3) else (o, o, o) for o in others]
        return Vec3(*(function(c, *row) for c, *row in zip(self, *columns, strict=True)))

    def __add__(self, other):
        return self.map(lambda a, b: a + b, other)

    __radd__ = __add__

    def __sub__(self, other):
        return self.map(lambda a, b: a - b, other)

    def __rsub__(self, other):
        return self.map(lambda a, b: b - a, other)

    def __mul__(self, other):
        return self.map(lambda a, b: a * b, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self.map(lambda a, b: a / b, other)

    def __rtruediv__(self, other):
        return self.map(lambda a, b: b / a, other)

    def __neg__(self):
        return self.map(lambda a: -a)


# ---------------------------------------------------------------------------------------------------
# Elementary functions. Each takes a Scalar (or a number), or a Vec3, component by component.
# ---------------------------------------------------------------------------------------------------


def _elementwise(function):
    def apply(x, *others):
        vector = next((v for v in (x, *others) if isinstance(v, Vec3)), None)
        if vector is None:
            return function(x, *others)
        if vector is not x:
            x = Vec3(x, x, x)
        return x.map(function, *others)

    apply.__doc__ = function.__doc__
    apply.__name__ = function.__name__
    return apply


@_elementwise
def sqrt(x):
    """Square root; the derivative at 0, which is infinite, is taken as 0."""
    root = _let(ti.sqrt(_raw(x)))
    return _linear(root, (x, lambda d: ti.select(root > 0, 0.5 * d / root, 0.0)))


@_elementwise
def exp(x):
    e = _let(ti.exp(_raw(x)))
    return _linear(e, (x, lambda d: d * e))


@_elementwise
def log(x):
    a = _raw(x)
    return _linear(ti.log(a), (x, lambda d: d / a))


@_elementwise
def sin(x):
    a = _raw(x)
    return _linear(ti.sin(a), (x, lambda d: d * ti.cos(a)))


@_elementwise
def cos(x):
    a = _raw(x)
    return _linear(ti.cos(a), (x, lambda d: -d * ti.sin(a)))


@_elementwise
def tan(x):
    a = _raw(x)
    t = _let(ti.sin(a) / ti.cos(a))  # Taichi's own autodiff, hence the tape, has no derivative of ti.tan
    return _linear(t, (x, lambda d: d * (1.0 + t * t)))


@_elementwise
def asin(x):
    a = _raw(x)
    return _linear(ti.asin(a), (x, lambda d: d / ti.sqrt(1.0 - a * a)))


@_elementwise
def acos(x):
    a = _raw(x)
    return _linear(ti.acos(a), (x, lambda d: -d / ti.sqrt(1.0 - a * a)))


@_elementwise
def tanh(x):
    t = _let(ti.tanh(_raw(x)))
    return _linear(t, (x, lambda d: d * (1.0 - t * t)))


@_elementwise
def atan2(y, x):
    a, b = _raw(y), _raw(x)
    return _linear(
        ti.atan2(a, b), (y, lambda d: d * b / (a * a + b * b)), (x, lambda d: -d * a / (a * a + b * b))
    )


@_elementwise
def power(x, exponent):
    """x ** exponent for x >= 0; at x = 0 the derivatives are taken as 0 where they are not finite."""
    a, b = _raw(x), _raw(exponent)
    p = _let(ti.pow(a, b))

    def by_exponent(d):
        return ti.select(a > 0, d * p * ti.log(ti.select(a > 0, a, 1.0)), 0.0)

    def by_base(d):
        slope = b * ti.pow(ti.select(a > 0, a, 1.0), b - 1.0)
        return d * ti.select(a > 0, slope, ti.select(b == 1.0, 1.0, 0.0))

    return _linear(p, (x, by_base), (exponent, by_exponent))


@_elementwise
def absolute(x):
    """|x|; the derivative at 0 is that from the right."""
    a = _raw(x)
    return _linear(ti.abs(a), (x, lambda d: ti.select(a < 0, -d, d)))


@_elementwise
def minimum(a, b):
    """The smaller of two; where they are equal the derivative is that of the first."""
    return select(Condition(_raw(a) <= _raw(b)), a, b)


@_elementwise
def maximum(a, b):
    """The larger of two; where they are equal the derivative is that of the first."""
    return select(Condition(_raw(a) >= _raw(b)), a, b)


def clamp(x, low, high):
    """x limited to [low, high]; a derivative passes where x is inside, the ends included."""
    return minimum(maximum(x, low), high)


def select(condition, a, b):
    """a where the condition (a comparison of traced numbers) holds, else b.

    Both are evaluated, and the other one gets the cotangent 0; so where that one's derivative is infinite,
    the result's is not a number. Guard its operand: select(x > 0, 1 / select(x > 0, x, 1), 0).
    """
    if isinstance(a, Vec3) or isinstance(b, Vec3):
        a = a if isinstance(a, Vec3) else Vec3(a, a, a)
        return a.map(lambda p, q: select(condition, p, q), b)
    c = condition.expr
    return _linear(
        ti.select(c, _raw(a), _raw(b)),
        (a, lambda d: ti.select(c, d, 0.0)),
        (b, lambda d: ti.select(c, 0.0, d)),
    )


def detach(x):
    """x as a constant under differentiation."""
    return x.map(detach) if isinstance(x, Vec3) else Scalar(_raw(x))


def dot(a, b):
    return a.x * b.x + a.y * b.y + a.z * b.z


def cross(a, b):
    return Vec3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)


def length(v):
    return sqrt(dot(v, v))


def normalize(v):
    return v / length(v)


# ---------------------------------------------------------------------------------------------------
# Entry and exit
# ---------------------------------------------------------------------------------------------------


def _is_vector(x):
    return (isinstance(x, Expr) and x.is_tensor()) or isinstance(x, ti.Matrix)


def _wrap(x, links):
    """A Taichi scalar, 3-vector, Python number, or tuple of these, as traced values."""
    if isinstance(x, (tuple, list)):
        return tuple(_wrap(item, links) for item in x)
    if _is_vector(x):
        return Vec3(*(Scalar(_let(_component(x, i)), links) for i in range(3)))
    return Scalar(_let(x), links)


def _leaves(x):
    if isinstance(x, (tuple, list, Vec3)):
        return [leaf for item in x for leaf in _leaves(item)]
    return [x]


def _unwrap(x, of=_raw):
    """Back to Taichi values: `of` says what each traced scalar becomes."""
    if isinstance(x, (tuple, list)):
        return tuple(_unwrap(item, of) for item in x)
    if isinstance(x, Vec3):
        return _pack(*(of(c) for c in x))
    return _let(of(x))


def _scalars(x):
    """The Taichi scalars of a Taichi value, in the order of `_leaves`."""
    return [leaf.expr for leaf in _leaves(_wrap(x, None))]


def _record(result):
    """All scalars that `result` depends on, each before those that depend on it."""
    order, seen = [], set()
    stack = [(s, False) for s in _leaves(result) if isinstance(s, Scalar) and s.active]
    while stack:
        s, done = stack.pop()
        if done:
            order.append(s)
        elif s not in seen:
            seen.add(s)
            stack.append((s, True))
            stack.extend((operand, False) for operand, _ in s.links if operand not in seen)
    return order


@traced
def value(f, *args):
    """f(*args), with nothing recorded."""
    return _unwrap(f(*(_wrap(a, None) for a in args)))


@traced
def vjp(f, args, cotangent, wrt=None):
    """f(*args) and the cotangents of its arguments, from the cotangent of its result.

    args: tuple of Taichi values. wrt: the indices of the arguments that are wanted, all by default.
    Returns (value, (cotangent of args[i] for i in wrt)).
    """
    wrt = tuple(range(len(args))) if wrt is None else tuple(wrt)
    inputs = [_wrap(a, () if i in wrt else None) for i, a in enumerate(args)]
    result = f(*inputs)
    cotangents = {}

    def add(s, d):
        cotangents[s] = _let(cotangents[s] + d) if s in cotangents else _let(d)

    for leaf, ct in zip(_leaves(result), _scalars(cotangent), strict=True):
        if isinstance(leaf, Scalar) and leaf.active:
            add(leaf, ct)
    for s in reversed(_record(result)):
        for operand, linear_map in s.links:
            add(operand, linear_map(cotangents[s]))
    return _unwrap(result), tuple(_unwrap(inputs[i], lambda s: cotangents.get(s, 0.0)) for i in wrt)


@traced
def jvp(f, args, tangents):
    """f(*args) and its tangent, from the tangents of its arguments (None: a constant)."""
    inputs = [_wrap(a, None if t is None else ()) for a, t in zip(args, tangents, strict=True)]
    known = {}
    for x, t in zip(inputs, tangents, strict=True):
        if t is not None:
            known.update(zip(_leaves(x), _scalars(t), strict=True))
    result = f(*inputs)
    for s in _record(result):
        if s not in known:
            total = None
            for operand, linear_map in s.links:
                d = linear_map(known[operand])
                total = d if total is None else total + d
            known[s] = _let(total)
    return _unwrap(result), _unwrap(result, lambda s: known.get(s, 0.0))
