"""A scene ready to be traced: its model, the current parameter values, and its arrays on the device."""

import copy
import operator
from dataclasses import dataclass, field

import numpy as np

from prb.device import runtime
from prb.device.arrays import uploaded
from prb.device.camera import camera_buffer, filter_tables
from prb.device.layout import lay_out
from prb.errors import ParameterError
from prb.kernels import arrays
from prb.scene.plugins.sensors import resize


@dataclass
class _Held:
    """What a scene has on the device; all views of it share this.

    arrays: by name. sensors: a sensor's number -> its arrays by name. argument, sensor_arguments: the same as
    kernel arguments. generation: the `prb.init` that they
    belong to. tape_buffers: see `prb.estimators.tape.Buffers`. hits: see `prb.estimators.integrate.Hits`.
    """

    arrays: dict = field(default_factory=dict)
    sensors: dict = field(default_factory=dict)
    argument: object = None
    sensor_arguments: dict = field(default_factory=dict)
    generation: int | None = None
    tape_buffers: object = None
    hits: object = None


class Scene:
    """A loaded scene. Make one with `prb.load_file` or `prb.load_dict`, change it through `prb.traverse`.

    model: the `SceneModel` it came from. name: for output files and reports.
    """

    def __init__(self, model, name="scene"):
        self.model = model
        self.name = name
        self.layout = lay_out(model, progress=True)
        self.values = self.layout.params.copy()  # what the device's parameter buffer holds
        self._number = 0  # of the sensor
        self.held = _Held()

    def view(self, sensor=None):
        """This scene through another of its sensors; all else is shared, parameters too.

        sensor: its number or name; None: the one that this scene has already, which is the first one unless
        it is a view itself. Raises ParameterError.
        """
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

    @property
    def sensor(self):
        """The camera that is rendered: the first one, or that of the view."""
        return self.model.sensors[self._number]

    @property
    def film(self):
        return self.sensor.film

    @property
    def image_shape(self):
        """(height, width, 3) of the rendered image: the film's crop window."""
        width, height = self.film.crop_size
        return height, width, 3

    def device_arrays(self):
        """The two arguments of a kernel with this scene's and this sensor's arrays; anew after `prb.init`."""
        held, generation = self.held, runtime.ensure()
        if held.generation != generation:
            self.layout.derive(self.values)  # parameters may have been set before
            held.arrays = uploaded(arrays.SCENE, {**self.layout.arrays, "params": self.values})
            held.argument = arrays.SceneArrays(**held.arrays)
            held.sensors, held.sensor_arguments = {}, {}
            held.generation = generation
        if self._number not in held.sensors:
            inverse_cdf, quantiles = filter_tables(self.film)
            host = {"camera": camera_buffer(self.sensor), "inverse_cdf": inverse_cdf, "quantiles": quantiles}
            held.sensors[self._number] = uploaded(arrays.SENSOR, host)
            held.sensor_arguments[self._number] = arrays.SensorArrays(**held.sensors[self._number])
        return held.argument, held.sensor_arguments[self._number]

    def device_array(self, name):
        """One of the arrays that do not belong to a sensor, by its name in `SceneView`."""
        self.device_arrays()
        return self.held.arrays[name]

    def set_values(self, values):
        """Take a whole parameter buffer, float32, and send it to the device if it is another one."""
        if not np.array_equal(self.values, values):
            self.values[...] = values
            self.follow()
            self.refresh()

    def follow(self):
        """Let the sampling tables of the lights follow the parameters."""
        held = self.held
        for name in self.layout.lights.refresh(self.layout, self.values):
            if held.generation is not None and held.generation == runtime.ensure():
                held.arrays[name].from_numpy(self.layout.arrays[name])

    def refresh(self):
        """Send the current parameter values and cameras to the device."""
        held = self.held
        if held.generation is not None and held.generation == runtime.ensure():
            for name in self.layout.derive(self.values):
                held.arrays[name].from_numpy(self.layout.arrays[name])
            if self.values.size:
                held.arrays["params"].from_numpy(self.values)
            for number, arrays in held.sensors.items():
                arrays["camera"].from_numpy(camera_buffer(self.model.sensors[number]))

    def resize(self, width, height):
        """Give the film another size in pixels. Raises SceneError for an impossible one."""
        resize(self.sensor, width, height)
        self.held.sensors.pop(self._number, None)

    def device_bytes(self):
        """Bytes of the scene's arrays on the device, this sensor's among them."""
        self.device_arrays()
        held = self.held
        return sum(_nbytes(a) for a in (*held.arrays.values(), *held.sensors[self._number].values()))

    def __repr__(self):
        height, width, _ = self.image_shape
        return f"Scene({self.name!r}, {len(self.model.shapes)} shapes, {width} x {height})"


def _nbytes(array):
    return int(np.prod(array.shape) * np.prod(getattr(array, "element_shape", ()) or (1,)) * 4)
