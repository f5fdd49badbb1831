"""Lights as rows of `emitters` and `emitter_data`. NumPy only."""

import numpy as np

from prb.kernels import emitter as kernels
from prb.scene.leaves import varies


class EmitterTable:
    """Numbers emitters; one that is met twice keeps its number.

    kinds: of the emitters. varying: the places of their textures, as kernels name them, that hold one that is
    not constant.
    """

    def __init__(self, texture_number):
        """texture_number: gives a texture its number."""
        self.kinds, self.varying = set(), set()
        self._texture_number = texture_number
        self._rows, self._data, self._numbers = [], [], {}

    def number(self, light):
        """The number of an emitter, -1 for None."""
        if light is None:
            return -1
        if id(light) not in self._numbers:
            self._numbers[id(light)] = len(self._rows)
            self.kinds.add(light.kind)
            places = zip(("light", "factor"), light.textures.values(), strict=False)
            self.varying |= {place for place, texture in places if varies(texture)}
            numbers = [
                self._texture_number(texture, padded=light.kind == "envmap" and key == "data")
                for key, texture in light.textures.items()
            ]
            first = len(self._data)
            self._rows.append([kernels.KINDS[light.kind], *[*numbers, -1][:2], first])
            self._data += data_rows(light)
        return self._numbers[id(light)]

    def data_row(self, light):
        """The first row of `emitter_data` that belongs to a light."""
        return self._rows[self.number(light)][3]

    @property
    def factors(self):
        """True if the radiance of some light is the product of two textures."""
        return any(row[2] >= 0 for row in self._rows)

    def arrays(self):
        return {
            "emitters": np.array(self._rows, np.int32).reshape(-1, 4),
            "emitter_data": np.array(self._data, np.float32).reshape(-1, 4),
        }


def data_rows(light):
    """What the kernels must know of a light besides its textures: rows of `emitter_data`, four numbers each.

    kernels/emitter says in each light's file what they are.
    """
    if light.kind == "point":
        return [[*light.position, 0.0]]
    if light.kind == "directional":
        return [[*light.direction, 0.0]]
    if light.kind not in ("spot", "projector", "envmap"):
        return []
    if light.kind == "envmap":
        height, width = light.textures["data"].value.shape[:2]
        extra = [width, height, 0.0]
    elif light.kind == "spot":
        cutoff, beam = np.radians([light.constants["cutoff_angle"], light.constants["beam_width"]])
        cot = 1 / np.tan(cutoff) if cutoff < 0.5 * np.pi else 0.0
        extra = [cutoff, 1 / max(cutoff - beam, 1e-6), cot]
    else:
        tan_x, tan_y = projector_tangents(light)
        extra = [1 / tan_x, 1 / tan_y, 0.0]
    to_local = np.linalg.inv(light.to_world[:3, :3])
    position = [] if light.kind == "envmap" else [[*light.to_world[:3, 3], 0.0]]
    return position + [[*row, number] for row, number in zip(to_local, extra, strict=True)]


def projector_tangents(light):
    """Tangents of half the horizontal and of half the vertical field of view."""
    picture = light.textures["irradiance"]
    height, width = picture.value.shape[:2] if picture.kind == "bitmap" else (1, 1)
    tan_x = np.tan(np.radians(0.5 * light.constants["x_fov"]))
    return tan_x, tan_x * height / width
