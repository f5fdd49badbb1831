"""The media of a whole scene: which there are, their volumes, and what may look wrong about them."""

from collections.abc import Iterator

import numpy as np

from prb.scene.leaves import inside, textures_of
from prb.scene.model import Medium, Phase, SceneModel, Shape, Volume
from prb.scene.reading.values import warning

_OPEN = ("rectangle", "disk", "cylinder")


def media_of(model: SceneModel) -> list[Medium]:
    """The media that the scene's shapes and sensors name, each once."""
    named = [medium for shape in model.shapes for medium in (shape.interior, shape.exterior)]
    named += [sensor.medium for sensor in model.sensors]
    return list({id(medium): medium for medium in named if medium is not None}.values())


def volumes_of(model: SceneModel) -> dict[str, Volume]:
    """All volumes of a scene, those of its media first, by the names of their parameters."""
    found = [v for medium in media_of(model) for v in (*medium.volumes.values(), *_of_phase(medium.phase))]
    textures = [t for shape in model.shapes for t in textures_of(shape)]
    textures += [inner for e in model.emitters for t in e.textures.values() for inner in inside(t)]
    return {v.name: v for v in (*found, *(t.volume for t in textures)) if v is not None}


def _of_phase(phase: Phase) -> Iterator[Volume]:
    yield from phase.volumes.values()
    for child in phase.children:
        yield from _of_phase(child)


def check_media(model: SceneModel) -> None:
    """Add warnings for media that nothing sees, and for those inside a surface that encloses nothing."""
    media = media_of(model)
    if media and not model.integrator.volumetric:
        more = f" and {len(media) - 1} more" if len(media) > 1 else ""
        _warn(
            model,
            media[0].name,
            f"the medium{more} is not seen by the integrator {model.integrator.kind}; use volpath or"
            " prbvolpath",
        )
        return
    warned: set[str] = set()
    for shape in model.shapes:
        if shape.interior is None or shape.interior is shape.exterior or shape.name in warned:
            continue
        why = _why_open(shape)
        if why:
            warned.add(shape.name)
            _warn(
                model,
                shape.name,
                f"has an interior, but {why}, so that light may leave '{shape.interior.name}' without passing"
                " it; close the surface",
            )


def _warn(model: SceneModel, place: str, message: str) -> None:
    model.warnings.append(warning(place, message))


def _why_open(shape: Shape) -> str:
    """Why a surface encloses nothing, "" if it does."""
    if shape.kind in _OPEN:
        return f"a {shape.kind} is open"
    borders = border_edges(shape.vertices, shape.faces) if shape.kind == "mesh" else 0
    return f"the mesh has {borders} border edges" if borders else ""


def border_edges(vertices: np.ndarray, faces: np.ndarray) -> int:
    """Edges of a mesh that an odd number of its triangles share. Vertices at one place count as one.

    Triangles that have two corners at one place do not count.
    """
    _, place = np.unique(vertices, axis=0, return_inverse=True)
    corners = place.reshape(-1)[faces].astype(np.int64)
    a, b, c = corners.T
    corners = corners[(a != b) & (b != c) & (c != a)]
    following = np.roll(corners, -1, axis=1)
    edges = np.minimum(corners, following) * len(vertices) + np.maximum(corners, following)
    _, counts = np.unique(edges, return_counts=True)
    return int((counts % 2).sum())
