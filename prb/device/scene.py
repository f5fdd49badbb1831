"""A scene ready to be traced: its model, the current parameter values, and its arrays on the device."""

import copy
import operator
from dataclasses import dataclass, field

import numpy as np

from prb.device import runtime
from prb.device.arrays import upload
from prb.device.camera import camera_buffer, filter_tables
from prb.device.layout import lay_out
from prb.errors import ParameterError
from prb.kernels import view

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
    belong to. tape_buffers: see `prb.estimators.tape.Buffers`. hits: see `prb.estimators.integrate.Hits`.
    """

    arrays: dict = field(default_factory=dict)
    sensors: dict = field(default_factory=dict)
    generation: int | None = None
    tape_buffers: object = None
    hits: object = None


class Scene:
    """A loaded scene. Make one with `prb.load_file` or `prb.load_dict`, change it through `prb.traverse`.

    model: the `SceneModel` it came from, which stays as it is. name: for output files and reports.
    parameter_values: the current values of all parameters, which `layout.parameters` lists; values: the part
    of them that kernels read, float32. Whoever changes one calls `update`.
    """

    def __init__(self, model, name="scene"):
        self.model = model
        self.name = name
        self.layout = lay_out(model, progress=True)
        self.parameter_values = self.layout.start.copy()
        self.values = self.parameter_values.traced
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
        """The camera that is rendered, as it is now: the first one, or that of the view. Change it through
        `prb.traverse` and `resize`."""
        return self.layout.cameras[self._number].sensor

    @property
    def film(self):
        return self.sensor.film

    @property
    def image_shape(self):
        """(height, width, 3) of the rendered image: the film's crop window."""
        width, height = self.film.crop_size
        return height, width, 3

    def device_arrays(self):
        """The arrays that a kernel takes for this scene, in order; laid out anew after `prb.init`."""
        held, generation = self.state, runtime.ensure()
        if held.generation != generation:
            self.layout.update(self.parameter_values, tables=False)  # parameters may have been set before
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

    def set_values(self, values, *, tables=True):
        """Take values for all that kernels read, in the order of `values`; nothing is done if the scene has
        them already. tables: as for `update`."""
        if not np.array_equal(self.values, values):
            self.values[...] = values
            self.update(tables=tables)

    def update(self, *, tables=True):
        """Let all that depends on parameters follow their current values, here and on the device.

        tables: whether those by which lights and directions are sampled follow, too. False for finite
        differences: the renders on both sides must turn the same random numbers into the same paths.
        """
        changed = self.layout.update(self.parameter_values, tables=tables)
        state = self.state
        if state.generation is None or state.generation != runtime.ensure():
            return  # the next render sends everything
        for name in changed & state.arrays.keys():
            state.arrays[name].from_numpy(self.layout.arrays[name])
        if self.values.size:
            state.arrays["params"].from_numpy(self.values)
        if "camera" in changed:
            for number, arrays in state.sensors.items():
                arrays["camera"].from_numpy(camera_buffer(self.layout.cameras[number].sensor))

    def follow(self):
        """As `update`."""
        self.update()

    def refresh(self):
        """As `update`, but tables for sampling stay."""
        self.update(tables=False)

    def resize(self, width, height):
        """Give the film another size in pixels. Raises SceneError for an impossible one."""
        self.layout.cameras[self._number].resize(width, height, self.parameter_values)
        self.state.sensors.pop(self._number, None)

    def device_bytes(self):
        """Bytes of the scene's arrays on the device, this sensor's among them."""
        return sum(_nbytes(a) for a in self.device_arrays())

    def __repr__(self):
        height, width, _ = self.image_shape
        return f"Scene({self.name!r}, {len(self.model.shapes)} shapes, {width} x {height})"


def _nbytes(array):
    return int(np.prod(array.shape) * np.prod(getattr(array, "element_shape", ()) or (1,)) * 4)
