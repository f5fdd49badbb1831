"""A scene ready to be traced: its model, the current parameter values, and its arrays on the device."""

import copy
import operator
from dataclasses import dataclass, field

import numpy as np

from prb.device import runtime
from prb.device.arrays import upload
from prb.device.camera import camera_buffer, filter_tables
from prb.device.layout import lay_out
from prb.device.lock import locked
from prb.errors import ParameterError
from prb.kernels import view
from prb.scene.plugins.sensors import resize

_ELEMENTS = {  # arrays whose elements are vectors
    "nodes": view.wide_f32,
    "children": view.wide_i32,
    "packets": view.wide_f32,
    "prims": view.vec12f,
    "prim_info": view.vec3i,
    "normals": view.vec3f,
    "uvs": view.vec6f,
    "corners": view.vec4i,
    "shapes": view.vec4i,
    "materials": view.vec4i,
    "textures": view.vec8i,
    "to_uv": view.vec6f,
    "emitters": view.vec4i,
    "emitter_data": view.vec4f,
    "lights": view.vec4i,
    "light_pdf": view.vec4f,
    "quantiles": view.vec2f,
}
_SCENE_ARRAYS = (
    "nodes", "children", "packets", "prims", "prim_info", "prim_light", "normals", "uvs", "corners",
    "shapes", "materials", "bsdfs", "bsdf_data", "textures", "to_uv", "emitters", "emitter_data", "lights",
    "light_pdf", "env_marginal", "env_conditional", "params",
)  # fmt: skip
_SENSOR_ARRAYS = ("camera", "inverse_cdf", "quantiles")


@dataclass
class DeviceState:
    """What a scene has on the device; all views of it share this.

    arrays: by name. sensors: a sensor's number -> its arrays by name. generation: the `prb.init` that they
    belong to. tape_buffers: see `prb.estimators.tape.Buffers`. kept_vertices: see
    `prb.estimators.kept_vertices.KeptVertices`.
    """

    arrays: dict = field(default_factory=dict)
    sensors: dict = field(default_factory=dict)
    generation: int | None = None
    tape_buffers: object = None
    kept_vertices: object = None


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
        self.state = DeviceState()

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

    @locked
    def device_arrays(self):
        """The arrays that a kernel takes for this scene, in order; laid out anew after `prb.init`."""
        held, generation = self.state, runtime.ensure()
        if held.generation != generation:
            self.layout.derive(self.values)  # parameters may have been set before
            host = {**self.layout.arrays, "params": self.values}
            held.arrays = {name: upload(host[name], _ELEMENTS.get(name)) for name in _SCENE_ARRAYS}
            held.sensors = {}
            held.generation = generation
        if self._number not in held.sensors:
            inverse_cdf, quantiles = filter_tables(self.film)
            host = {"camera": camera_buffer(self.sensor), "inverse_cdf": inverse_cdf, "quantiles": quantiles}
            held.sensors[self._number] = {n: upload(host[n], _ELEMENTS.get(n)) for n in _SENSOR_ARRAYS}
        sensor = held.sensors[self._number]
        return [held.arrays[name] for name in _SCENE_ARRAYS] + [sensor[name] for name in _SENSOR_ARRAYS]

    def device_array(self, name):
        """One of the arrays that do not belong to a sensor, by its name in `SceneView`."""
        self.device_arrays()
        return self.state.arrays[name]

    @locked
    def set_values(self, values):
        """Take a whole parameter buffer, float32, and send it to the device if it is another one."""
        if not np.array_equal(self.values, values):
            self.values[...] = values
            self.follow()
            self.refresh()

    @locked
    def follow(self, values=None):
        """Let the sampling tables of the lights follow the parameters, the scene's own or those given."""
        held = self.state
        for name in self.layout.lights.refresh(self.layout, self.values if values is None else values):
            if held.generation is not None and held.generation == runtime.ensure():
                held.arrays[name].from_numpy(self.layout.arrays[name])

    @locked
    def refresh(self):
        """Send the current parameter values and cameras to the device."""
        held = self.state
        if held.generation is not None and held.generation == runtime.ensure():
            self.send(self.values)
            for number, arrays in held.sensors.items():
                arrays["camera"].from_numpy(camera_buffer(self.model.sensors[number]))

    @locked
    def send(self, values):
        """Send these parameter values, float32, to the device, which has the scene's arrays; the scene's own
        values stay as they are, and so do the sampling tables of the lights."""
        for name in self.layout.derive(values):
            self.state.arrays[name].from_numpy(self.layout.arrays[name])
        if values.size:
            self.state.arrays["params"].from_numpy(values)

    @locked
    def resize(self, width, height):
        """Give the film another size in pixels. Raises SceneError for an impossible one."""
        resize(self.sensor, width, height)
        self.state.sensors.pop(self._number, None)

    def device_bytes(self):
        """Bytes of the scene's arrays on the device, this sensor's among them."""
        return sum(_nbytes(a) for a in self.device_arrays())

    def __repr__(self):
        height, width, _ = self.image_shape
        return f"Scene({self.name!r}, {len(self.model.shapes)} shapes, {width} x {height})"


def _nbytes(array):
    return int(np.prod(array.shape) * np.prod(getattr(array, "element_shape", ()) or (1,)) * 4)
