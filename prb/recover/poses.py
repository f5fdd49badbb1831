"""Transforms that are optimised as motions: coordinates in which every step is a proper transform.

The coordinates x are zero at the start, where the matrix is M_0. With the centre c and the radius r of what
moves, and its columns as the kind has them,

    M(x) = T(c + r v) S R(w) T(-c) M_0,    x = (w, v) or (w, v, s),

where R(w) = exp([w]_x) is the rotation about the axis w by |w| radians (Rodrigues' formula) and S = exp(s)
a scale. The matrix is found anew from M_0 each time, so that nothing drifts: a rotation stays one. A unit of
w is a radian, one of v a radius and one of s a factor of e: at the distance r from the centre all of them
move points by about as much, which is what one rate of Adam for all of them needs, and the rate does not
depend on the scene's unit of length.

The derivative is exact at every x: dR = [J(w) dw]_x R with the left Jacobian J of SO(3) (Sola, Deray,
Atchuthan, "A micro Lie theory for state estimation in robotics", 2018, equation 145). J is singular at
|w| = 2 pi, a full turn from the start.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import ParameterError

Array = NDArray[np.float64]
KINDS = {"rigid": 6, "similarity": 7, "translation": 3, "affine": 12}  # and how many coordinates they have
_SMALL = 1e-2  # radians, below which series take the place of quotients


class Pose:
    """The coordinates of one transform.

    kind: one of `KINDS`. "affine" has the nine numbers of a matrix in place of R(w) S, I + x, and v.
    matrix: M_0, (4, 4), affine. centre: (3,), in the space that the matrix maps to. radius: above zero.
    Raises ParameterError.
    followers: name -> function of the matrix, of what else of the scene goes with it.
    """

    def __init__(self, kind: str, matrix: ArrayLike, centre: ArrayLike, radius: float) -> None:
        if kind not in KINDS:
            raise ParameterError(f"{kind!r} is no kind of motion; it is one of {', '.join(KINDS)}")
        self.kind, self.matrix = kind, np.array(matrix, np.float64)
        self.centre, self.radius = np.array(centre, np.float64), float(radius)
        if not (
            0 < self.radius < np.inf and np.isfinite(self.matrix).all() and np.isfinite(self.centre).all()
        ):
            raise ParameterError(f"{kind}: the radius {radius:g}, the centre or the matrix is out of range")
        self.start = np.zeros(KINDS[kind])
        self.followers: dict[str, Callable[[Array], Array]] = {}

    def to_value(self, x: Array) -> Array:
        """The matrix (4, 4) at the coordinates."""
        linear, shift = self._parts(np.asarray(x, np.float64))
        motion = np.eye(4)
        motion[:3, :3] = linear
        motion[:3, 3] = shift + (self.centre - linear @ self.centre)
        return motion @ self.matrix

    def pull_back(self, x: Array, gradient: ArrayLike) -> Array:
        """The derivative by the coordinates, from that by the entries of the matrix (4, 4)."""
        x = np.asarray(x, np.float64)
        of_motion = np.asarray(gradient, np.float64)[:3] @ self.matrix.T
        by_shift = self.radius * of_motion[:, 3]
        if self.kind == "translation":
            return by_shift
        of_linear = of_motion[:, :3] - np.outer(of_motion[:, 3], self.centre)
        if self.kind == "affine":
            return np.concatenate([of_linear.ravel(), by_shift])
        linear, _ = self._parts(x)
        a = of_linear @ linear.T  # of a rotation by dw and a scale by ds after the present ones
        by_rotation = left_jacobian(x[:3]).T @ [a[2, 1] - a[1, 2], a[0, 2] - a[2, 0], a[1, 0] - a[0, 1]]
        by_scale = [np.trace(a)] if self.kind == "similarity" else []
        return np.concatenate([by_rotation, by_shift, by_scale])

    def _parts(self, x: Array) -> tuple[Array, Array]:
        """The linear part about the centre, and how the centre moves."""
        if self.kind == "translation":
            return np.eye(3), self.radius * x
        if self.kind == "affine":
            return np.eye(3) + x[:9].reshape(3, 3), self.radius * x[9:]
        scale = np.exp(x[6]) if self.kind == "similarity" else 1.0
        return scale * rotation(x[:3]), self.radius * x[3:6]


def rotation(w: ArrayLike) -> Array:
    """exp([w]_x), the rotation about the axis w by |w| radians, (3, 3)."""
    w = np.asarray(w, np.float64)
    a, b, _ = _factors(float(np.linalg.norm(w)))
    cross = _cross(w)
    return np.eye(3) + a * cross + b * cross @ cross


def left_jacobian(w: ArrayLike) -> Array:
    """J with exp([w + dw]_x) = exp([J dw]_x) exp([w]_x) to first order, (3, 3)."""
    w = np.asarray(w, np.float64)
    _, b, c = _factors(float(np.linalg.norm(w)))
    cross = _cross(w)
    return np.eye(3) + b * cross + c * cross @ cross


def _factors(angle: float) -> tuple[float, float, float]:
    """sin t / t, (1 - cos t) / t^2 and (t - sin t) / t^3."""
    t2 = angle * angle
    if angle < _SMALL:  # the next terms are below 1e-16
        return (
            1 - t2 / 6 * (1 - t2 / 20 * (1 - t2 / 42)),
            (1 - t2 / 12 * (1 - t2 / 30 * (1 - t2 / 56))) / 2,
            (1 - t2 / 20 * (1 - t2 / 42 * (1 - t2 / 72))) / 6,
        )
    half = np.sin(angle / 2) / angle
    return np.sin(angle) / angle, 2 * half * half, (angle - np.sin(angle)) / (angle * t2)


def _cross(w: Array) -> Array:
    """[w]_x, with [w]_x y = w x y."""
    x, y, z = w
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
