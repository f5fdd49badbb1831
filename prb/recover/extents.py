"""Where shapes are at the moment, and how large: what motions turn about, and what their steps go by."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prb.device.params import traverse
from prb.recover.large_steps import half_diagonal
from prb.scene.model import Shape

Array = NDArray[np.float64]
_BOXES = {  # of the unit shapes: the ends along x, y and z
    "rectangle": ((-1, 1), (-1, 1), (0, 0)),
    "disk": ((-1, 1), (-1, 1), (0, 0)),
    "cube": ((-1, 1), (-1, 1), (-1, 1)),
    "sphere": ((-1, 1), (-1, 1), (-1, 1)),
    "cylinder": ((-1, 1), (-1, 1), (0, 1)),
}


def centre_and_radius(scene: Any, owner: str, matrix: Array) -> tuple[Array, float]:
    """What a transform moves: its middle (3,), and half the diagonal of the box around it, both in the space
    that the transform maps to.

    owner: the name of a shape, an instance, a sensor or a light. matrix: its transform now. What has no
    extent has as its radius the distance from its place to the middle of the scene, the median of the shapes'
    middles, or the median of their radii where that is larger: by about so much a radian moves what it sees
    or shines on. A light turns about its place. A sensor turns about the point so far ahead of it: about its
    place, a turn and a shift would move the picture by nearly the same, and steps would creep along the
    valley between the two.
    """
    params, shapes = traverse(scene), scene.model.shapes
    own = [_points(params, shape, world=False) for shape in shapes if shape.name == owner][:1]
    own += [_points(params, shape) for shape in shapes if shape.instance == owner]
    if own:
        points = np.concatenate(own)
        return _middle(points), half_diagonal(points) or 1.0
    place, every = matrix[:3, 3], [_points(params, shape) for shape in shapes]
    if not every:
        return place, 1.0
    middle = np.median([_middle(points) for points in every], axis=0)
    typical = np.median([half_diagonal(points) for points in every])
    radius = float(max(np.linalg.norm(middle - place), typical)) or 1.0
    if any(sensor.name == owner for sensor in scene.model.sensors):
        place = place + radius * matrix[:3, 2] / np.linalg.norm(matrix[:3, 2])
    return place, radius


def followers(scene: Any, owner: str, matrix: Array) -> dict[str, Callable[[Array], Array]]:
    """Positions and normals of a mesh as functions of its transform, which is `matrix` now: name -> function.

    A scene takes them along by itself, but from where they are, so that rounding adds up over many steps, and
    a run that resumes would not have that of the steps before.
    """
    params, found = traverse(scene), {}
    back = np.linalg.inv(matrix)
    positions, normals = f"{owner}.vertex_positions", f"{owner}.vertex_normals"
    if positions not in params:
        return {}
    first = np.asarray(params[positions], np.float64)

    def moved(now: Array) -> Array:
        motion = now @ back
        return first @ motion[:3, :3].T + motion[:3, 3]

    found[positions] = moved
    if normals in params:
        of_first = np.asarray(params[normals], np.float64)

        def turned(now: Array) -> Array:
            directions = of_first @ np.linalg.inv((now @ back)[:3, :3])
            lengths = np.linalg.norm(directions, axis=1, keepdims=True)
            return directions / np.where(lengths > 0, lengths, 1)

        found[normals] = turned
    return found


def _middle(points: Array) -> Array:
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _points(params: Mapping[str, Array], shape: Shape, *, world: bool = True) -> Array:
    """Points (n, 3) whose box is around a shape, as it is now: in world space, or in that of its group."""
    source = shape.original or shape
    matrix = np.eye(4)
    if source.kind == "mesh":
        points = np.asarray(params.get(f"{shape.name}.vertex_positions", source.vertices), np.float64)
    else:
        points = np.stack(np.meshgrid(*_BOXES[source.kind]), axis=-1).reshape(-1, 3)
        matrix = params.get(f"{shape.name}.to_world", source.to_world)
    if world and shape.original is not None:
        matrix = params.get(f"{shape.instance}.to_world", shape.instance_to_world) @ matrix
    return points @ matrix[:3, :3].T + matrix[:3, 3]
