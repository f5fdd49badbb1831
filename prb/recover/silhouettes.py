"""Outlines of shapes that were recovered, as a sensor sees them: lines over the pictures of a comparison.

The outline is that of the shape alone, whatever stands in front of it: its triangles are projected and
filled, and what borders on the rest is the silhouette.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prb.device.camera import camera_numbers
from prb.device.params import traverse
from prb.kernels.camera import DIRECTION, NEAR, START
from prb.recover.coordinates import POSITIONS, TRANSFORM
from prb.recover.extents import followers
from prb.scene.model import Sensor, Shape

Array = NDArray[np.float64]
SIDES = 64  # of what stands for a circle
FINE = 4  # points of a mask along the side of a pixel


def moved_shapes(view: Any, names: Mapping[str, Any]) -> list[Shape]:
    """The scene's shapes whose place or positions are among the names."""
    found = []
    for shape in view.model.shapes:
        places = f"{shape.name}.{POSITIONS}", f"{shape.name}.{TRANSFORM}", f"{shape.instance}.{TRANSFORM}"
        if any(name in names for name in places):
            found.append(shape)
    return found


def mask(
    view: Any, shapes: list[Shape], values: Mapping[str, Any], first: Mapping[str, Shape]
) -> NDArray[np.bool_]:
    """What the shapes cover of a view's picture, FINE points to a pixel along each side.

    values: name -> values that take the place of the scene's. first: name -> the mesh that they are for,
    where the scene has another by now.
    """
    from PIL import Image, ImageDraw

    film = view.film
    image = Image.new("1", (FINE * film.crop_size[0], FINE * film.crop_size[1]))
    draw, params = ImageDraw.Draw(image), traverse(view)
    for shape in shapes:
        points, faces = _surface(view, params, shape, values, first)
        place, seen = projected(_sensor(view, values), points)
        place = FINE * (place - film.crop_offset) - 0.5  # where PIL has the centres of its pixels
        for corners in faces[seen[faces].all(axis=1)]:
            draw.polygon([tuple(point) for point in place[corners]], fill=1)
    return np.array(image)


def projected(sensor: Sensor, points: Array) -> tuple[Array, NDArray[np.bool_]]:
    """(film positions in pixels (n, 2), x to the right and y down; whether the point is in front)."""
    numbers = camera_numbers(sensor)
    start, direction = numbers[START:DIRECTION].reshape(5, 3), numbers[DIRECTION:NEAR].reshape(5, 3)
    if sensor.kind == "orthographic":  # p = start + x start_x + y start_y + t direction
        axes = np.stack([start[1], start[2], direction[0]], axis=1)
        x, y, depth = np.linalg.solve(axes, (points - start[0]).T)
        return np.stack([x, y], axis=1), depth > 0
    depth, x, y = np.linalg.solve(direction[:3].T, (points - start[0]).T)  # of p - start, times depth
    seen = depth > 1e-9
    return np.stack([x, y], axis=1) / np.where(seen, depth, 1)[:, None], seen


def draw_outline(axes: Any, covered: NDArray[np.bool_], picture: Any, **options: Any) -> None:
    """Draw the border of a mask over a picture of any size. options: of `contour`."""
    if covered.any() and not covered.all():
        sizes = zip(covered.shape, picture.shape[:2], strict=True)
        y, x = ((np.arange(n) + 0.5) * size / n - 0.5 for n, size in sizes)
        axes.contour(x, y, covered.astype(float), levels=[0.5], linewidths=1, **options)


def _sensor(view: Any, values: Mapping[str, Any]) -> Sensor:
    """The view's, with the values that are its own."""
    head = f"{view.sensor.name}."
    own = {name.removeprefix(head): value for name, value in values.items() if name.startswith(head)}
    return replace(view.sensor, **{k: v if np.ndim(v) else float(v) for k, v in own.items()})


def _surface(
    view: Any, params: Mapping[str, Any], shape: Shape, values: Mapping[str, Any], first: Mapping[str, Shape]
) -> tuple[Array, NDArray[np.integer]]:
    """(points in world space, triangles) of a shape."""
    own, positions = f"{shape.name}.{TRANSFORM}", f"{shape.name}.{POSITIONS}"
    matrix = np.eye(4)
    if shape.kind != "mesh":
        points, faces = _unit(shape.kind)
        matrix = values.get(own, params[own])
    elif positions in values:
        points, faces = np.asarray(values[positions], float), first.get(shape.name, shape).faces
    else:
        points, faces = np.asarray(params[positions], float), shape.faces
        if own in values:
            points = followers(view, shape.name, params[own])[positions](values[own])
    if shape.original is not None:
        outer = f"{shape.instance}.{TRANSFORM}"
        matrix = values.get(outer, params[outer]) @ matrix
    return points @ matrix[:3, :3].T + matrix[:3, 3], faces


def _unit(kind: str) -> tuple[Array, NDArray[np.integer]]:
    """A unit shape of Mitsuba's as triangles."""
    if kind == "rectangle":
        return np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0.0]]), np.array([[0, 1, 2], [0, 2, 3]])
    if kind == "cube":
        corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1.0, 1)])
        quads = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
        return corners, np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    angle = np.linspace(0, 2 * np.pi, SIDES)
    polar = np.linspace(0, np.pi, SIDES // 2 + 1)
    radii, heights = {
        "disk": ([0, 1], [0, 0]), "cylinder": ([1, 1], [0, 1]), "sphere": (np.sin(polar), np.cos(polar))
    }[kind]  # fmt: skip
    rows = [
        np.stack([r * np.cos(angle), r * np.sin(angle), np.full(SIDES, float(z))], axis=1)
        for r, z in zip(radii, heights, strict=True)
    ]
    return np.concatenate(rows), _quads(len(rows), SIDES)


def _quads(rows: int, columns: int) -> NDArray[np.integer]:
    """The triangles of a grid of points."""
    a = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    b, c, d = a + 1, a + columns, a + columns + 1
    return np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
