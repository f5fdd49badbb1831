"""Lights as rows of `emitters` and `emitter_data`. NumPy only."""

from dataclasses import replace

import numpy as np

from prb.device.dependents import Dependent
from prb.device.parameters import ANGLE, DIRECTION, POSITION, TRANSFORM
from prb.errors import ParameterError, SceneError
from prb.kernels import emitter as kernels
from prb.scene.leaves import varies
from prb.scene.plugins.sensors import is_rigid


class EmitterTable:
    """Gives numbers to emitters, the same one each time.

    kinds: of the emitters. varying: the places, as kernels name them, whose texture is not constant for some
    emitter.
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
            for key, texture in light.textures.items():
                if texture.kind == "volume":
                    where = f"{light.name}.{key}"
                    raise SceneError(f"{where}: a light cannot have a volume as its texture; use a bitmap")
            places = zip(("light", "factor"), light.textures.values(), strict=False)
            self.varying |= {place for place, texture in places if varies(texture)}
            numbers = [
                self._texture_number(texture, padded=light.kind == "envmap" and key == "data")
                for key, texture in light.textures.items()
            ]
            first = len(self._data)
            self._rows.append([kernels.KINDS[light.kind], *[*numbers, -1][:2], first])
            module = kernels.of(light.kind)
            self._data += module.data(description(light)) if hasattr(module, "data") else []
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


class EmitterRows(Dependent):
    """The rows of `emitter_data` of a light, from the parameters that say where it is."""

    arrays = ("emitter_data",)

    def __init__(self, light, parameters, row):
        """light: the model's. parameters: attribute of the light -> record."""
        super().__init__(parameters.values())
        self._light, self._keys, self._row = light, tuple(parameters), row

    def compute(self, inputs, arrays):
        place = dict(zip(self._keys, (x.astype(float) for x in inputs), strict=True))
        angles = {key: float(place.pop(key)) for key in self._keys if key in self._light.constants}
        if "direction" in place:
            place["direction"] /= np.linalg.norm(place["direction"])
        light = replace(self._light, **place, constants={**self._light.constants, **angles})
        offset = self.parameters[0].offset
        rows = kernels.of(light.kind).data(description(light)._replace(offset=offset))
        arrays["emitter_data"][self._row : self._row + len(rows)] = rows


def add_placement(light, builder, *, with_media):
    """Add the parameters that say where a light is: attribute -> number of the parameter."""
    module = kernels.of(light.kind)
    if not hasattr(module, "from_parameters"):
        return {}
    key, kind = _PLACES[module.PLACEMENT]
    fields = {"bends_rays": True, "moves_shadows": hasattr(module, "connect")}
    if kind == DIRECTION:
        why_not = "media scatter its light by directions that are held fixed"
        fields |= {"bends_rays": False, "why_not": why_not if with_media else ""}
    elif kind == TRANSFORM:
        fields["check"] = _check_rigid
    found = {key: builder.add(f"{light.name}.{key}", kind, getattr(light, key), **fields)}
    pictures = any(varies(texture) for texture in light.textures.values())
    high = MAX_ANGLE_OF_PICTURES if pictures else 180.0
    for angle in getattr(module, "ANGLES", ()):
        below = "" if angle == module.ANGLES[0] else f"{light.name}.{module.ANGLES[0]}"
        fields = dict(low=0.0 if below else MIN_ANGLE, high=high, below=below, bends_rays=True)
        found[angle] = builder.add(f"{light.name}.{angle}", ANGLE, light.constants[angle], **fields)
    return found


_PLACES = {
    "position": ("position", POSITION),
    "direction": ("direction", DIRECTION),
    "frame": ("to_world", TRANSFORM),
}
MIN_ANGLE, MAX_ANGLE_OF_PICTURES = 1e-3, 89.999  # of a cone, in degrees


def _check_rigid(name, matrix):
    """Raise ParameterError for a matrix that cannot place a light."""
    if not np.allclose(matrix[3], [0, 0, 0, 1]) or not is_rigid(matrix):
        raise ParameterError(f"{name}: a light's transform may only rotate and translate")


def description(light):
    """A light of the model as its module in kernels/emitter takes it."""
    picture = next(iter(light.textures.values()))
    height, width = np.shape(picture.value)[:2] if picture.kind == "bitmap" else (1, 1)
    position, to_local = light.position, None
    if light.to_world is not None:
        position, to_local = light.to_world[:3, 3], np.linalg.inv(light.to_world[:3, :3])
    return kernels.Description(position, light.direction, to_local, light.constants, (width, height))


def unit_power(light, radius):
    """Power of a light without a surface whose textures are 1. radius: of the scene's bounding sphere."""
    return kernels.of(light.kind).power(description(light), radius)
