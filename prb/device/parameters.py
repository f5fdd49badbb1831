"""One record for each parameter of a scene, whatever its kind, and the flat buffer of their values.

The layout makes the records when it lays the scene out. Names, ranges, tables, selection and updates are
read from them; see `prb.device.params` for the mapping that users work with.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

COLOUR, NUMBER, TEXELS, ATTRIBUTE = "colour", "number", "texels", "attribute"
VOXELS, VALUES = "voxels", "values"  # of volumes: a grid (Z, Y, X, channels); some numbers (n,)
NORMALS, DIRECTION = "normals", "direction"
POSITION, TRANSFORM, ANGLE = "position", "transform", "angle"  # of lights
CAMERA_NUMBER, CAMERA_TRANSFORM = "camera number", "camera transform"
ORIENTATIONS = (NORMALS, DIRECTION)
PLACEMENTS = (DIRECTION, POSITION, TRANSFORM, ANGLE)
OF_CAMERAS = (CAMERA_NUMBER, CAMERA_TRANSFORM)

SMALL_SIZE = 64  # numbers; larger parameters come last in the buffer, so that a gradient may omit them


@dataclass(frozen=True)
class ParameterRecord:
    """What is known of a parameter besides its value.

    name: as Mitsuba's `traverse` has it. kind: one of the constants above. offset: its first number's place
    in the flat buffer. low, high: the range of each number. why_not: a clause that says why no method of
    path replay has its derivative; empty where one has.
    bends_rays: sampled directions depend on it, so that only attached sampling has its derivative.
    padded: an array with one more column on each side is taken, too, as Mitsuba's environment maps have them.
    check: function (name, array) that raises ParameterError for values that make no sense together.
    below: name of the parameter that this one must be smaller than, or ""; an angle may be as large.
    """

    name: str
    kind: str
    offset: int
    shape: tuple[int, ...]
    low: float = -np.inf
    high: float = np.inf
    why_not: str = ""
    bends_rays: bool = False
    padded: bool = False
    check: Callable | None = None
    below: str = ""

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=int))

    @property
    def dtype(self):
        return np.float32 if self.traced else np.float64

    @property
    def differentiable(self):
        """True if a gradient with respect to the parameter can be had, by detached or attached sampling."""
        return not self.why_not

    @property
    def by_default(self):
        """True if it is differentiated where no names are given: detached sampling is enough, and it is no
        orientation."""
        return self.differentiable and not self.orientation and not self.bends_rays

    @property
    def orientation(self):
        """True for vertex normals and the directions of lights."""
        return self.kind in ORIENTATIONS

    @property
    def placement(self):
        """True for what says where a light is and where it shines."""
        return self.kind in PLACEMENTS

    @property
    def by_ending(self):
        """True for what only patterns that end like its name select."""
        return self.orientation or self.placement

    @property
    def traced(self):
        """True if kernels read the parameter, so that it lies in the part of the buffer that they get."""
        return self.kind not in OF_CAMERAS

    def of(self, flat):
        """This parameter's part of an array over the traced parameters, such as a gradient, in its shape."""
        return flat[self.offset : self.offset + self.size].reshape(self.shape)


class ParameterValues:
    """The flat buffer: the values of all parameters, one after the other. Its keys are records.

    The traced part comes first and is float32, which is what kernels read; a gradient has as many numbers.
    The cameras' numbers lie behind it, in float64: the host computes the rays' affine form from them, so
    rounding them first would change pictures, and they are shown as they were given. Both parts are arrays
    that stay in place, as all views of a scene use the same ones.
    """

    def __init__(self, traced, of_cameras):
        self.traced = np.array(traced, np.float32)
        self.of_cameras = np.array(of_cameras, np.float64)

    def __getitem__(self, record):
        """The values in the parameter's shape, not copied."""
        if record.traced:
            return record.of(self.traced)
        first = record.offset - self.traced.size
        return self.of_cameras[first : first + record.size].reshape(record.shape)

    def __setitem__(self, record, value):
        self[record][...] = value

    def copy(self):
        return ParameterValues(self.traced, self.of_cameras)


class ParameterBuilder:
    """Collects parameters while a scene is laid out; `place` gives them their offsets."""

    def __init__(self):
        self._records, self._values = [], []

    def add(self, name, kind, value, **fields):
        """The number of a new parameter. fields: others of `ParameterRecord`."""
        self._records.append(ParameterRecord(name, kind, -1, np.shape(value), **fields))
        self._values.append(np.ravel(value))
        return len(self._records) - 1

    def change(self, number, **fields):
        """Set fields of a parameter that has been added."""
        self._records[number] = replace(self._records[number], **fields)

    def names(self):
        return {record.name for record in self._records}

    def place(self):
        """(records in the order of their numbers, `ParameterValues`). Traced ones come first, among them
        the small ones."""
        order = sorted(range(len(self._records)), key=self._rank)
        parts, offset = {True: [np.zeros(0)], False: [np.zeros(0)]}, 0
        for number in order:
            record = self._records[number] = replace(self._records[number], offset=offset)
            parts[record.traced].append(self._values[number])
            offset += record.size
        traced, of_cameras = np.concatenate(parts[True], dtype=np.float32), np.concatenate(parts[False])
        return self._records, ParameterValues(traced, of_cameras)

    def _rank(self, number):
        record = self._records[number]
        return not record.traced, record.size > SMALL_SIZE
