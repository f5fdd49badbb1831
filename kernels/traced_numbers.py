"""Traced numbers, with which traced functions compute, and their elementary functions.

kernels/traced.py, from which they are imported, has the overview.
"""

from itertools import count

from prb.kernels.backend import impl, ti
from prb.kernels.held import differentiated_by_taichi, held


def let(expression):
    """Bind an expression to a local variable, so that it is computed once however often it is used."""
    return impl.expr_init(expression)


def raw(x):
    """The Taichi expression of a traced number or condition; anything else unchanged."""
    return x.expr if isinstance(x, (Scalar, Condition)) else x


_serials = count()


def next_serial():
    """The next serial: scalars that are made from here on have greater ones."""
    return next(_serials)


class Scalar:
    """A real number while a kernel is traced: a Taichi expression and its links to active operands.

    links: pairs (operand, map). `map` maps the tangent of the operand to that of this scalar, and the
    cotangent of this scalar to that of the operand. None for a constant under differentiation.
    serial: distinguishes a scalar that is made inside a branch from one that the branch uses.
    """

    __slots__ = ("expr", "links", "serial")
    __array_ufunc__ = None

    def __init__(self, expr, links=None):
        self.expr = expr
        self.links = links
        self.serial = next(_serials)

    @property
    def active(self):
        """True unless it is a constant under differentiation."""
        return self.links is not None

    def __add__(self, other):
        if isinstance(other, Vector):
            return NotImplemented
        return linear(raw(self) + raw(other), (self, lambda d: d), (other, lambda d: d))

    __radd__ = __add__

    def __sub__(self, other):
        if isinstance(other, Vector):
            return NotImplemented
        return linear(raw(self) - raw(other), (self, lambda d: d), (other, lambda d: -d))

    def __rsub__(self, other):
        return linear(raw(other) - raw(self), (other, lambda d: d), (self, lambda d: -d))

    def __mul__(self, other):
        if isinstance(other, Vector):
            return NotImplemented
        a, b = raw(self), raw(other)
        return linear(a * b, (self, lambda d: d * b), (other, lambda d: d * a))

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, Vector):
            return NotImplemented
        return _divide(self, other)

    def __rtruediv__(self, other):
        return _divide(other, self)

    def __neg__(self):
        return linear(-self.expr, (self, lambda d: -d))

    def __pow__(self, exponent):
        return power(self, exponent)

    def __lt__(self, other):
        return Condition(self.expr < raw(other))

    def __le__(self, other):
        return Condition(self.expr <= raw(other))

    def __gt__(self, other):
        return Condition(self.expr > raw(other))

    def __ge__(self, other):
        return Condition(self.expr >= raw(other))

    # A comparison of two traced numbers is a run-time condition: use `select`, not `if` or `==`.
    __eq__ = None
    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("a traced number has no truth value: use select(condition, a, b)")


class Condition:
    """The outcome of a comparison of traced numbers, for `select`; combined with &, | and ~."""

    __slots__ = ("expr",)

    def __init__(self, expr):
        self.expr = let(expr)

    def __and__(self, other):
        return Condition(self.expr & other.expr)

    def __or__(self, other):
        return Condition(self.expr | other.expr)

    def __invert__(self):
        return Condition(ti.select(self.expr, False, True))

    def __eq__(self, other):
        """The condition that both hold or neither."""
        return Condition(self.expr == other.expr)

    __hash__ = object.__hash__

    def __bool__(self):
        raise TypeError("a comparison of traced numbers has no truth value: use select, &, | and ~")


def linear(value, *links):
    """A scalar with the links to those operands that are active."""
    active = tuple((s, m) for s, m in links if isinstance(s, Scalar) and s.active)
    return Scalar(let(value), active or None)


def _divide(a, b):
    x, y = raw(a), raw(b)
    quotient = let(x / y)
    return linear(quotient, (a, lambda d: d / y), (b, lambda d: -d * quotient / y))


class Vector:
    """Traced scalars; arithmetic is component by component, with scalars broadcast."""

    __slots__ = ()
    __eq__ = None  # compare components
    __hash__ = object.__hash__

    def __getitem__(self, index):
        return tuple(self)[index]

    def map(self, function, *others):
        """Apply a function component by component, with the other operands broadcast."""
        columns = [tuple(broadcast(o, self)) for o in others]
        return type(self)(*(function(c, *row) for c, *row in zip(self, *columns, strict=True)))

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


class Vec2(Vector):
    """Two traced scalars."""

    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __iter__(self):
        return iter((self.x, self.y))


class Vec3(Vector):
    """Three traced scalars."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x, y, z):
        self.x, self.y, self.z = x, y, z

    def __iter__(self):
        return iter((self.x, self.y, self.z))


def broadcast(x, like):
    """x as a vector of the size of `like`: x itself, or a vector with x in each component."""
    return x if isinstance(x, Vector) else type(like)(*(x for _ in like))


# ---------------------------------------------------------------------------------------------------
# Elementary functions of a Scalar (or a number) or, component by component, of a vector.
# ---------------------------------------------------------------------------------------------------


def _elementwise(function):
    def apply(x, *others):
        vector = next((v for v in (x, *others) if isinstance(v, Vector)), None)
        if vector is None:
            return function(x, *others)
        return broadcast(x, vector).map(function, *others)

    apply.__doc__ = function.__doc__
    apply.__name__ = function.__name__
    return apply


@_elementwise
def sqrt(x):
    """Square root; the derivative at 0, which is infinite, is taken as 0."""
    root = let(ti.sqrt(raw(x)))
    return linear(root, (x, lambda d: ti.select(root > 0, 0.5 * d / root, 0.0)))


@_elementwise
def exp(x):
    e = let(ti.exp(raw(x)))
    return linear(e, (x, lambda d: d * e))


@_elementwise
def log(x):
    a = raw(x)
    return linear(ti.log(a), (x, lambda d: d / a))


@_elementwise
def sin(x):
    a = raw(x)
    return linear(ti.sin(a), (x, lambda d: d * ti.cos(a)))


@_elementwise
def cos(x):
    a = raw(x)
    return linear(ti.cos(a), (x, lambda d: -d * ti.sin(a)))


@_elementwise
def tan(x):
    a = raw(x)
    t = let(ti.sin(a) / ti.cos(a))  # Taichi's own autodiff, hence the tape, has no derivative of ti.tan
    return linear(t, (x, lambda d: d * (1.0 + t * t)))


@_elementwise
def asin(x):
    a = raw(x)
    return linear(ti.asin(a), (x, lambda d: d / ti.sqrt(1.0 - a * a)))


@_elementwise
def acos(x):
    a = raw(x)
    return linear(ti.acos(a), (x, lambda d: -d / ti.sqrt(1.0 - a * a)))


@_elementwise
def tanh(x):
    t = let(ti.tanh(raw(x)))
    return linear(t, (x, lambda d: d * (1.0 - t * t)))


@_elementwise
def atan2(y, x):
    a, b = raw(y), raw(x)
    return linear(
        ti.atan2(a, b), (y, lambda d: d * b / (a * a + b * b)), (x, lambda d: -d * a / (a * a + b * b))
    )


@_elementwise
def power(x, exponent):
    """x ** exponent for x >= 0; at x = 0 the derivatives are taken as 0 where they are not finite."""
    a, b = raw(x), raw(exponent)
    p = let(ti.pow(a, b))

    def by_exponent(d):
        return ti.select(a > 0, d * p * ti.log(ti.select(a > 0, a, 1.0)), 0.0)

    def by_base(d):
        slope = b * ti.pow(ti.select(a > 0, a, 1.0), b - 1.0)
        return d * ti.select(a > 0, slope, ti.select(b == 1.0, 1.0, 0.0))

    return linear(p, (x, by_base), (exponent, by_exponent))


@_elementwise
def absolute(x):
    """|x|; the derivative at 0 is that from the right."""
    a = raw(x)
    return linear(ti.abs(a), (x, lambda d: ti.select(a < 0, -d, d)))


@_elementwise
def minimum(a, b):
    """The smaller of two numbers; if they are equal the derivative is that of the first."""
    return select(Condition(raw(a) <= raw(b)), a, b)


@_elementwise
def maximum(a, b):
    """The larger of two numbers; if they are equal the derivative is that of the first."""
    return select(Condition(raw(a) >= raw(b)), a, b)


def clamp(x, low, high):
    """x limited to [low, high]; the derivative by x is 1 inside, including the ends, else 0."""
    return minimum(maximum(x, low), high)


def select(condition, a, b):
    """a where the condition (a comparison of traced numbers) holds, else b.

    Both are evaluated, and the one that is not taken gets the cotangent 0. If its derivative is infinite the
    result is NaN, so guard its operand: select(x > 0, 1 / select(x > 0, x, 1), 0).
    """
    if isinstance(a, Vector) or isinstance(b, Vector):
        return broadcast(a, b).map(lambda p, q: select(condition, p, q), b)
    c = condition.expr
    return linear(
        ti.select(c, raw(a), raw(b)),
        (a, lambda d: ti.select(c, d, 0.0)),
        (b, lambda d: ti.select(c, 0.0, d)),
    )


def detach(x):
    """x as a constant under differentiation, also of Taichi's own."""
    if isinstance(x, Vector):
        return x.map(detach)
    return Scalar(let(held(raw(x))) if differentiated_by_taichi() else raw(x))


def truncate(x):
    """The integer part of x: a constant under differentiation."""
    return Scalar(let(ti.cast(raw(x), ti.i32)))


def bit(n, number):
    """The condition that bit number `number` of the integer n is set."""
    return Condition((raw(n) & (1 << number)) == (1 << number))


def dot(a, b):
    return a.x * b.x + a.y * b.y + a.z * b.z


def cross(a, b):
    return Vec3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x)


def length(v):
    return sqrt(dot(v, v))


def normalize(v):
    """v times 1 / |v|, rounded as Taichi's `normalized`."""
    return (1.0 / length(v)) * v
