"""What the host tells a light's module about one light of a scene."""

from typing import Any, NamedTuple


class Description(NamedTuple):
    """Where a light is placed, by its PLACEMENT, and its constants.

    position: (3,), world space. direction: (3,), unit, in which the light travels. to_local: the three rows
    of the rotation from world to local space. constants: name -> number, as in the scene file, angles in
    degrees. resolution: (width, height) of the picture in its first texture, (1, 1) without one.
    """

    position: Any
    direction: Any
    to_local: Any
    constants: dict
    resolution: tuple[int, int]
