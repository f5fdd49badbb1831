"""What an optimiser has in place of a parameter's values: motions of a transform, smooth vertex positions.

found = prb.optimize(
    scene, ["bunny.to_world", "vase.vertex_positions"], targets,
    coordinates={"bunny.to_world": prb.coordinates.Similarity()},
)

The optimiser steps in the coordinates u, along the derivative by them, and the scene gets the values x(u).
What derives from `Coordinates` can be given as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prb.errors import ParameterError
from prb.recover import large_steps
from prb.recover.bounds import named
from prb.recover.extents import centre_and_radius, followers
from prb.recover.poses import Pose

Array: TypeAlias = NDArray[np.float64]
POSITIONS, TRANSFORM = "vertex_positions", "to_world"  # how names of parameters end


class Chart(Protocol):
    """The coordinates of one parameter in one run. start: those at first.

    A chart may also have remarks, clauses that the user should know, and followers, name -> function from the
    parameter's value to that of another parameter, which the scene gets with it.
    """

    start: Array

    def to_value(self, u: Array) -> Array:
        """The parameter's values at the coordinates; at `start` those that it has."""

    def pull_back(self, u: Array, gradient: Array) -> Array:
        """The derivative by the coordinates at u, from that by the values."""


class Coordinates:
    """The base of all. uniform: whether `Adam` should take one step size for all coordinates of a parameter.
    The `repr` says in a checkpoint what they are."""

    uniform: ClassVar[bool] = False

    def chart(self, scene: Any, name: str, value: Array) -> Chart:
        """The coordinates of a scene's parameter with this value. Raises ParameterError where they do not fit
        it."""
        raise NotImplementedError


class _Motion(Coordinates):
    """Motions of a shape, a sensor or a light, about the middle of a shape, what a sensor looks at and a
    light's place (prb/recover/extents.py, prb/recover/poses.py)."""

    kind: ClassVar[str] = ""
    of_sensors: ClassVar[bool] = False  # whether sensors can be moved so

    def chart(self, scene: Any, name: str, value: Array) -> Chart:
        owner, _, key = name.rpartition(".")
        if key != TRANSFORM or np.shape(value) != (4, 4):
            what = f"{name} with shape {np.shape(value)} is no transform"
            raise ParameterError(f"coordinates: {what}; name a parameter that ends in .{TRANSFORM}")
        shape = owner in _names_of_shapes(scene)
        if not (shape or self.of_sensors):
            what = f"{name} belongs to no shape, so it cannot be {self.kind}"
            raise ParameterError(f"coordinates: {what}; take rigid or translation")
        pose = Pose(self.kind, value, *centre_and_radius(scene, owner, value))
        pose.followers = followers(scene, owner, value)
        return pose


@dataclass(frozen=True)
class Rigid(_Motion):
    """Rotations and translations: rotation vector in radians, translation in radii of what moves."""

    kind = "rigid"
    of_sensors = True


@dataclass(frozen=True)
class Similarity(_Motion):
    """Those, and one scale, by its logarithm. Of shapes."""

    kind = "similarity"


@dataclass(frozen=True)
class Translation(_Motion):
    """Translations, in radii of what moves."""

    kind = "translation"
    of_sensors = True


@dataclass(frozen=True)
class Affine(_Motion):
    """All affine maps: the nine numbers of a matrix about the middle, and a translation. Of shapes whose kind
    may be sheared."""

    kind = "affine"


@dataclass(frozen=True)
class LargeSteps(Coordinates):
    """Vertex positions, smoothed along the mesh (prb/recover/large_steps.py). lambda_: from 0 on, the larger
    the smoother."""

    lambda_: float = large_steps.LAMBDA
    uniform = True

    def chart(self, scene: Any, name: str, value: Array) -> Chart:
        owner, _, key = name.rpartition(".")
        meshes = [s for s in scene.model.shapes if s.name == owner and s.kind == "mesh"]
        if key != POSITIONS or not meshes:
            what = f"{name} is no positions of a mesh's vertices"
            raise ParameterError(f"coordinates: {what}; name a parameter that ends in .{POSITIONS}")
        return large_steps.SmoothPositions(value, meshes[0].faces, self.lambda_)


MOTIONS = {found.kind: found for found in (Rigid, Similarity, Translation, Affine)}
Choice: TypeAlias = Mapping[str, Coordinates | None]


def coordinates_of(scene: Any, names: Iterable[str], given: Choice | None) -> dict[str, Coordinates]:
    """name -> its coordinates, of those names that are not optimised by their values.

    given: pattern -> coordinates, or None for the values themselves; later ones go before. By default vertex
    positions take large steps and transforms of shapes and sensors are moved rigidly, as neither their
    numbers for themselves nor steps along their derivatives make sense. Raises ParameterError.
    """
    names = list(names)
    movable = _names_of_shapes(scene) | {sensor.name for sensor in scene.model.sensors}
    found: dict[str, Coordinates | None] = {}
    for name in names:
        owner, _, key = name.rpartition(".")
        if key == POSITIONS:
            found[name] = LargeSteps()
        elif key == TRANSFORM and owner in movable:
            found[name] = Rigid()
    if given is not None and not isinstance(given, Mapping):
        raise ParameterError(f"coordinates: expected patterns with coordinates, got {type(given).__name__}")
    for pattern, each in (given or {}).items():
        if each is not None and not isinstance(each, Coordinates):
            what = f"{pattern}: {each!r} is no coordinates"
            raise ParameterError(f"coordinates: {what}; take one of prb.coordinates, as in Rigid()")
        found |= dict.fromkeys(named("coordinates", pattern, names), each)
    for name in found:
        owner, _, key = name.rpartition(".")
        if key == TRANSFORM and f"{owner}.{POSITIONS}" in found:
            what = f"{name} and {POSITIONS} both say where {owner} is"
            raise ParameterError(f"params: {what}; optimise one of them")
    return {name: each for name, each in found.items() if each is not None}


def _names_of_shapes(scene: Any) -> set[str]:
    """Of shapes and instances."""
    return {name for shape in scene.model.shapes for name in (shape.name, shape.instance) if name}


def check_unbounded(names: Iterable[str], bounds: Iterable[str], held: Iterable[str]) -> None:
    """Raise ParameterError for names with coordinates that have bounds, or that an optimiser has already.
    bounds, held: names that have them."""
    bounds, held = set(bounds), set(held)
    for name in names:
        if name in bounds:
            what = f"{name} is optimised in coordinates, which have no range"
            raise ParameterError(f"bounds: {what}; leave it out, or give it None as coordinates")
        if name in held:
            what = f"{name} is optimised in coordinates, which begin at the scene's values"
            raise ParameterError(f"optimizer: {what}; leave it out of the optimiser")
