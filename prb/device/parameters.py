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
VERTICES, SHAPE_TRANSFORM = "vertices", "shape transform"  # of shapes
ORIENTATIONS = (NORMALS, DIRECTION)
PLACEMENTS = (DIRECTION, POSITION, TRANSFORM, ANGLE)
OF_CAMERAS = (CAMERA_NUMBER, CAMERA_TRANSFORM)
MOVES = (VERTICES, SHAPE_TRANSFORM, *OF_CAMERAS)
EXACT = (SHAPE_TRANSFORM, *OF_CAMERAS)

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
    moves_shadows: it moves a light without a surface, and the edges of shadows with it.
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
    moves_shadows: bool = False

    @property
    def size(self):
        return int(np.prod(self.shape, dtype=int))

    @property
    def exact(self):
        """True for what the host computes with in float64: transforms of shapes, and cameras."""
        return self.kind in EXACT

    @property
    def dtype(self):
        return np.float64 if self.exact else np.float32

    @property
    def differentiable(self):
        """True if a gradient with respect to the parameter can be had, by detached or attached sampling."""
        return not self.why_not

    @property
    def by_default(self):
        """True if it is differentiated where no names are given: detached sampling is enough, and it is no
        orientation and moves nothing."""
        return self.differentiable and not (self.orientation or self.bends_rays or self.moves)

    @property
    def orientation(self):
        """True for vertex normals and the directions of lights."""
        return self.kind in ORIENTATIONS

    @property
    def placement(self):
        """True for what says where a light is and where it shines."""
        return self.kind in PLACEMENTS

    @property
    def moves(self):
        """True for what moves shapes or the camera."""
        return self.kind in MOVES

    @property
    def moves_edges(self):
        """True if silhouettes or edges of shadows move with it."""
        return self.moves or self.moves_shadows

    @property
    def by_ending(self):
        """True for what only patterns that end like its name select."""
        return self.orientation or self.placement or self.moves

    def of(self, flat):
        """This parameter's part of an array over all parameters, such as a gradient, in its shape."""
        return flat[self.offset : self.offset + self.size].reshape(self.shape)


class ParameterValues:
    """The flat buffer: the values of all parameters, one after the other. Its keys are records.

    numbers: all of them in float32, which is what kernels read; a gradient has as many. exact: transforms of
    shapes and what belongs to cameras in float64 as well, from index first_exact of the buffer on: the host
    computes primitives and rays from them, so rounding them first would change pictures, and they are shown
    as they were given. Both arrays stay in place, as all views of a scene use the same ones.
    """

    def __init__(self, numbers, exact, first_exact):
        self.numbers = np.array(numbers, np.float32)
        self.exact = np.array(exact, np.float64)
        self.first_exact = first_exact

    def __getitem__(self, record):
        """The values in the parameter's shape, not copied; those of an exact one may only be read."""
        if not record.exact:
            return record.of(self.numbers)
        first = record.offset - self.first_exact
        found = self.exact[first : first + record.size].reshape(record.shape)
        found.flags.writeable = False
        return found

    def __setitem__(self, record, value):
        record.of(self.numbers)[...] = value
        if record.exact:
            first = record.offset - self.first_exact
            self.exact[first : first + record.size] = np.ravel(np.asarray(value, np.float64))

    def take(self, numbers):
        """Set all values from a float32 buffer. An exact one that is not rounded differently stays exact."""
        self.numbers[...] = numbers
        own = self.numbers[self.first_exact : self.first_exact + self.exact.size]
        with np.errstate(over="ignore"):
            same = self.exact.astype(np.float32) == own
        self.exact[...] = np.where(same, self.exact, own)

    def copy(self):
        return ParameterValues(self.numbers, self.exact, self.first_exact)


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
        """(records in the order of their numbers, `ParameterValues`). A gradient may end early, so that small
        ones come first, then the exact ones, those that are large, and positions of vertices."""
        order, offset = sorted(range(len(self._records)), key=self._rank), 0
        for number in order:
            self._records[number] = replace(self._records[number], offset=offset)
            offset += self._records[number].size
        exact = [number for number in order if self._records[number].exact]
        first = self._records[exact[0]].offset if exact else offset
        parts = [[self._values[number] for number in numbers] for numbers in (order, exact)]
        with np.errstate(over="ignore"):
            numbers = np.concatenate([np.zeros(0), *parts[0]]).astype(np.float32)
        return self._records, ParameterValues(numbers, np.concatenate([np.zeros(0), *parts[1]]), first)

    def _rank(self, number):
        record = self._records[number]
        if record.kind == VERTICES:
            return 3
        return 1 if record.exact else 2 * (record.size > SMALL_SIZE)
