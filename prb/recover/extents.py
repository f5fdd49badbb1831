"""Where shapes are at the moment, and how large: what motions turn about, and what their steps go by."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prb.device.params import traverse
from prb.recover.large_steps import half_diagonal

Array = NDArray[np.float64]
_BOXES = {  # of the unit shapes: the ends along x, y and z
    "rectangle": ((-1, 1), (-1, 1), (0, 0)),
    "disk": ((-1, 1), (-1, 1), (0, 0)),
    "cube": ((-1, 1), (-1, 1), (-1, 1)),
    "sphere": ((-1, 1), (-1, 1), (-1, 1)),
    "cylinder": ((-1, 1), (-1, 1), (0, 1)),
}


def centre_and_radius(scene: Any, owner: str, matrix: Array) -> tuple[Array, float]:
    """What a transform moves: its middle (3,), and half the diagonal of the box around it.

    owner: the name of a shape, a sensor or a light. matrix: its transform now. What has no extent turns about
    its own place, and its radius is the distance from there to the middle of the scene's shapes, or their
    radius where that is larger: by so much a radian moves what it sees or shines on.
    """
    own = [points for name, points in _shapes(scene) if name == owner]
    if own:
        points = np.concatenate(own)
        return _middle(points), half_diagonal(points) or 1.0
    place, every = matrix[:3, 3], [points for _, points in _shapes(scene)]
    if not every:
        return place, 1.0
    points = np.concatenate(every)
    return place, max(float(np.linalg.norm(_middle(points) - place)), half_diagonal(points)) or 1.0


def _middle(points: Array) -> Array:
    return (points.min(axis=0) + points.max(axis=0)) / 2


def _shapes(scene: Any) -> Iterator[tuple[str, Array]]:
    """(name, points (n, 3) whose box is around it) of each shape, as it is now."""
    params = traverse(scene)
    for shape in scene.model.shapes:
        positions = f"{shape.name}.vertex_positions"
        now = params.get(f"{shape.name}.to_world", shape.to_world)
        if positions in params:
            yield shape.name, np.asarray(params[positions], np.float64)
        elif shape.kind == "mesh":
            motion = now @ np.linalg.inv(shape.to_world)
            yield shape.name, shape.vertices @ motion[:3, :3].T + motion[:3, 3]
        else:
            corners = np.stack(np.meshgrid(*_BOXES[shape.kind]), axis=-1).reshape(-1, 3)
            yield shape.name, corners @ now[:3, :3].T + now[:3, 3]
