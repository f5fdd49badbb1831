"""What the host tells an emitter's module of one emitter of the scene."""

from typing import Any, NamedTuple


class Description(NamedTuple):
    """The place of an emitter, as its PLACEMENT says, and its constants.

    position: (3,), in world space. direction: (3,), unit vector in which the light travels. to_local: (3, 3),
    the rotation from world space to the local frame. constants: name -> number, as in the scene file, angles
    in degrees. resolution: (width, height) of the image that is its first texture, (1, 1) for a constant one.
    offset: in `params`, of the parameters that say where it is.
    """

    position: Any
    direction: Any
    to_local: Any
    constants: dict
    resolution: tuple[int, int]
    offset: int = 0
