"""A scene ready to be traced: its model, the current parameter values, and its arrays on the device."""

import copy
import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import upload, uploaded
from prb.device.camera import camera_buffer
from prb.device.film import filter_table
from prb.device.layout import Layout, lay_out
from prb.device.lock import locked
from prb.device.parameters import ParameterValues
from prb.errors import ParameterError
from prb.kernels import arrays
from prb.kernels.camera import CAMERA_SIZE
from prb.kernels.points import NAMES as SAMPLERS
from prb.scene.meshes.cube import mesh_of
from prb.scene.model import Film, SceneModel, Sensor, Shape


@dataclass
class DeviceState:
    """What a scene has on the device; all views of it have the same one.

    arrays: by name. sensors: (a sensor's number, size of the crop window) -> its arrays by name. argument,
    sensor_arguments: the same as kernel arguments. generation: the `prb.init` that they belong to.
    tape_buffers, kept_vertices: arrays that the tape and the replay use again in the next call
    (prb/estimators).
    """

    arrays: dict = field(default_factory=dict)
    sensors: dict = field(default_factory=dict)
    argument: object = None
    sensor_arguments: dict = field(default_factory=dict)
    generation: int | None = None
    tape_buffers: object = None
    kept_vertices: object = None


@dataclass
class Contents:
    """What a scene consists of; all views of it have the same object."""

    model: SceneModel
    layout: Layout
    parameter_values: ParameterValues

    @classmethod
    def of(cls, model: SceneModel) -> "Contents":
        layout = lay_out(model, progress=True)
        return cls(model, layout, layout.start.copy())


class Scene:
    """A loaded scene. Make one with `prb.load_file` or `prb.load_dict`, change it through `prb.traverse`.

    model: the `SceneModel` it came from, which stays as it is; `exchange` takes another. name: for output
    files and reports. parameter_values: the current values of all parameters, which `layout.parameters`
    lists; values: the part of them that kernels read, float32. After a change of one, call `update`.
    """

    def __init__(self, model: SceneModel, name: str = "scene") -> None:
        self.name = name
        self._contents = Contents.of(model)
        self._number = 0  # of the sensor
        self._sampler: str | None = None  # None: the sensor's
        self._largest_window: tuple[int, int] | None = None  # of the film: all of it
        self.state = DeviceState()

    @property
    def model(self) -> SceneModel:
        return self._contents.model

    @property
    def layout(self) -> Layout:
        return self._contents.layout

    @property
    def parameter_values(self) -> ParameterValues:
        return self._contents.parameter_values

    @property
    def values(self) -> np.ndarray:
        return self._contents.parameter_values.numbers

    def view(self, sensor: int | str | None = None, sampler: str | None = None) -> "Scene":
        """This scene through another of its sensors; all else is shared, parameters too.

        sensor: its number or name; None: the one that this scene has already, which is the first one unless
        it is a view itself. sampler: how random numbers are found, a name of kernels/points; None: as the
        scene has it. Raises ParameterError.
        """
        if sampler is not None:
            if sampler not in SAMPLERS:
                known = ", ".join(SAMPLERS)
                raise ParameterError(f"sampler: {sampler!r} is unknown; take one of {known}")
            other = copy.copy(self)
            other._sampler = sampler
            return other.view(sensor)
        if sensor is None:
            return self
        names = [s.name for s in self.model.sensors]
        try:
            number = names.index(sensor) if isinstance(sensor, str) else operator.index(sensor)
        except (TypeError, ValueError):
            number = -1
        if isinstance(sensor, bool) or not 0 <= number < len(names):
            known = ", ".join(f"{i} ({name})" for i, name in enumerate(names))
            raise ParameterError(f"sensor: there is no {sensor!r}; the scene has {known}")
        other = copy.copy(self)
        other._number = number
        return other

    def cropped(self, width: int, height: int) -> "Scene":
        """This scene with a smaller crop window, which has the same first pixel; all else is shared.

        width, height: in pixels; where the film's own window is smaller, its size remains.
        """
        other = copy.copy(self)
        other._largest_window = width, height
        return other

    @property
    def sensor(self) -> Sensor:
        """The camera that is rendered, as it is now: the first one, or that of the view. Change it through
        `prb.traverse` and `resize`."""
        return self.layout.cameras[self._number].sensor

    @property
    def sampler(self) -> str:
        """How random numbers are found: a name of kernels/points."""
        return self._sampler or self.sensor.sampler

    @property
    def sensor_medium(self) -> int:
        """The number of the medium around the camera, -1 for vacuum."""
        return self.layout.sensor_media[self._number]

    @property
    def film(self) -> Film:
        """The sensor's film, with the crop window of this view."""
        film = self.sensor.film
        if self._largest_window is None:
            return film
        width, height = map(min, film.crop_size, self._largest_window)
        return replace(film, crop_size=(width, height))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, 3) of the rendered image: the film's crop window."""
        width, height = self.film.crop_size
        return height, width, 3

    @locked
    def device_arrays(self):
        """The two arguments of a kernel with this scene's and this sensor's arrays; anew after `prb.init`."""
        state, generation = self.state, runtime.ensure()
        if state.generation != generation:
            self.layout.update(self.parameter_values, tables=False)  # parameters may have been set before
            state.arrays = uploaded(arrays.SCENE, {**self.layout.arrays, "params": self.values})
            state.argument = arrays.SceneArrays(**state.arrays)
            state.sensors, state.sensor_arguments = {}, {}
            state.generation = generation
        key = self._number, self.film.crop_size
        if key not in state.sensors:
            rows = self.layout.cameras[self._number].differentiated
            host = {
                "camera": camera_buffer(self.sensor),
                "filter": filter_table(self.film),
                "by_parameters": np.zeros((rows, 1 + CAMERA_SIZE), np.float32),
            }
            state.sensors[key] = uploaded(arrays.SENSOR, host)
            state.sensor_arguments[key] = arrays.SensorArrays(**state.sensors[key])
        return state.argument, state.sensor_arguments[key]

    @locked
    def differentiate_camera(self):
        """Bring the derivatives of the camera's numbers by its parameters to the device, for the next
        launch."""
        self.device_arrays()
        array = self.state.sensors[self._number, self.film.crop_size]["by_parameters"]
        derivatives = self.layout.cameras[self._number].derivatives()
        if len(derivatives):
            array.from_numpy(derivatives)

    @locked
    def number_vertices(self):
        """Bring the numbers of faces' vertices to the device, which derivatives by positions need."""
        if len(self.layout.arrays["corners"]) == 0:
            self.layout.arrays["corners"] = self.layout.moving.vertex_numbers()
            if self.state.generation == runtime.ensure():
                self._replace({"corners"})

    def _replace(self, names):
        """Upload the named arrays anew, as they have other shapes."""
        state = self.state
        state.arrays.update(
            {name: upload(self.layout.arrays[name], arrays.SCENE[name].vector) for name in names}
        )
        state.argument = arrays.SceneArrays(**state.arrays)

    def device_array(self, name):
        """One of the arrays that do not belong to a sensor, by its name in `SceneView`."""
        self.device_arrays()
        return self.state.arrays[name]

    @locked
    def set_values(self, values, *, tables=True):
        """Set the values of all that kernels read, in the order of `values`; does nothing if the scene has
        them already. tables: as for `update`."""
        if not np.array_equal(self.values, values):
            self.parameter_values.take(values)
            self.update(tables=tables)

    @locked
    def update(self, values=None, *, tables=True):
        """Update all that depends on parameters to their current values, on the host and on the device.

        values: the values that the device has until the next update instead of the scene's own, which stay as
        they are: all that kernels read, float32, in the order of `values`.
        tables: whether those by which lights and directions are sampled are updated, too. False for finite
        differences: the renders on both sides must make the same paths from the same random numbers.
        """
        whole = self.parameter_values
        if values is not None:
            whole = whole.copy()
            whole.take(values)
        try:
            self._send(whole, tables)
        except BaseException:  # such as an interrupt: the next call uploads the scene again
            self.state.generation = None
            raise

    def _send(self, whole, tables):
        """Compute what depends on the parameters from these values, and upload what has changed."""
        changed = self.layout.update(whole, tables=tables)
        state = self.state
        if state.generation is None or state.generation != runtime.ensure():
            return  # the next render uploads everything
        shared = {name for name in changed if name in state.arrays}  # not those of one sensor
        other = {name for name in shared if not _fits(state.arrays[name], self.layout.arrays[name])}
        for name in shared - other:
            state.arrays[name].from_numpy(self.layout.arrays[name])
        if other:  # the hierarchy was built again
            self._replace(other)
        if whole.numbers.size:
            state.arrays["params"].from_numpy(whole.numbers)
        if "camera" in changed:
            for (number, _), of_sensor in state.sensors.items():
                of_sensor["camera"].from_numpy(camera_buffer(self.layout.cameras[number].sensor))

    @locked
    def resize(self, width: int, height: int) -> None:
        """Give the film another size in pixels, without a crop window. Raises SceneError if impossible."""
        self.layout.cameras[self._number].resize(width, height, self.parameter_values)
        for arrays_of in (self.state.sensors, self.state.sensor_arguments):
            for key in [key for key in arrays_of if key[0] == self._number]:
                del arrays_of[key]

    @locked
    def exchange(self, shapes: Mapping[str, Shape]) -> None:
        """Other shapes in place of some of the scene's, for all views of it; see `exchanged`. What waits in
        a `Params` for its `update` is not looked at again."""
        vars(self._contents).update(vars(self.exchanged(shapes)._contents))
        vars(self.state).update(vars(DeviceState()))

    def exchanged(self, shapes: Mapping[str, Shape]) -> "Scene":
        """A scene of its own, through the same sensor, with other shapes. shapes: name -> the new one.

        All parameters have the values that they have here, but those of the new shapes' vertices and faces.
        """
        before, model = self._contents, self.model
        after = Contents.of(replace(model, shapes=[shapes.get(s.name, s) for s in model.shapes]))
        for old, new in zip(before.layout.cameras, after.layout.cameras, strict=True):
            film = old.sensor.film
            if film != new.sensor.film:
                new.sensor = replace(new.sensor, film=replace(film))
        kept = []
        for name, record in after.layout.parameters.items():
            owner, _, key = name.rpartition(".")
            if not (owner in shapes and key.startswith(("vertex_", "face_"))):
                after.parameter_values[record] = before.parameter_values[before.layout.parameters[name]]
                kept.append(name)
        after.layout.moving.settle(after.parameter_values, kept)
        other = copy.copy(self)
        other._contents, other.state = after, DeviceState()
        return other

    @locked
    def free_corners(self, names: Iterable[str]) -> None:
        """Make meshes of the cubes whose ``vertex_positions`` are among the names, for all views of the
        scene. What stays a cube is cheaper to trace. Those in a shapegroup stay as they are."""
        cubes = {
            f"{shape.name}.vertex_positions": shape
            for shape in self.model.shapes
            if shape.kind == "cube" and shape.original is None
        }
        wanted = [cubes[name] for name in names if name in cubes]
        if not wanted:
            return
        placed = {}
        for shape in wanted:
            record = self.layout.parameters[f"{shape.name}.to_world"]
            placed[shape.name] = mesh_of(replace(shape, to_world=np.array(self.parameter_values[record])))
        self.exchange(placed)

    def device_bytes(self) -> int:
        """Bytes of the scene's arrays on the device, this sensor's among them."""
        self.device_arrays()
        state, key = self.state, (self._number, self.film.crop_size)
        return sum(_nbytes(a) for a in (*state.arrays.values(), *state.sensors[key].values()))

    def __repr__(self):
        height, width, _ = self.image_shape
        return f"Scene({self.name!r}, {len(self.model.shapes)} shapes, {width} x {height})"


def _fits(device, host):
    """True if the array on the device has the shape of the one on the host."""
    return tuple(device.shape) + tuple(getattr(device, "element_shape", ())) == host.shape


def _nbytes(array):
    return int(np.prod(array.shape) * np.prod(getattr(array, "element_shape", ()) or (1,)) * 4)
