"""A scene ready to be traced: its model, the current parameter values, and its arrays on the device."""

import weakref

import numpy as np
import taichi as ti
from taichi.lang import impl
from taichi.lang._ndarray import ScalarNdarray

from prb import runtime
from prb.film import camera_buffer, filter_tables
from prb.kernels import view
from prb.layout import lay_out
from prb.scene.sensors import resize

_ELEMENTS = {  # arrays whose elements are vectors
    "nodes": view.wide_f32,
    "children": view.wide_i32,
    "packets": view.wide_f32,
    "prims": view.vec12f,
    "prim_info": view.vec4i,
    "normals": view.vec3f,
    "shapes": view.vec4i,
    "textures": view.vec4i,
    "emitters": view.vec4i,
    "emitter_data": view.vec4f,
    "lights": view.vec4i,
    "light_pdf": view.vec4f,
    "quantiles": view.vec2f,
}
_SCENE_ARRAYS = (
    "nodes", "children", "packets", "prims", "prim_info", "prim_light", "normals", "shapes", "bsdfs",
    "textures", "emitters", "emitter_data", "lights", "light_pdf", "params",
    "camera", "inverse_cdf", "quantiles",
)  # fmt: skip


def upload(array, element=None):
    """A NumPy array as a Taichi ndarray; with an element type its last axis becomes the element."""
    array = np.ascontiguousarray(array)
    shape = array.shape if element is None else array.shape[:-1]
    if 0 in shape:  # Taichi has no empty arrays
        array = np.zeros([max(n, 1) for n in array.shape], array.dtype)
        shape = array.shape if element is None else array.shape[:-1]
    dtype = element or {np.dtype(np.float32): ti.f32, np.dtype(np.int32): ti.i32}[array.dtype]
    device = empty(shape, dtype)
    device.from_numpy(array)
    return device


def empty(shape, element=ti.f32):
    """An array on the device, with whatever was in its memory; freed with its last reference."""
    array = ti.ndarray(element, shape)
    if not isinstance(array, ScalarNdarray):  # Taichi 1.7.4 frees only these by itself
        weakref.finalize(array, _free, array.arr, runtime.generation()).atexit = False
    return array


def _free(memory, generation):
    if runtime.generation() == generation:  # a new `prb.init` has freed it already
        impl.get_runtime().prog.delete_ndarray(memory)


def zeros(shape, element=ti.f32):
    device = empty(shape, element)
    device.fill(0)
    return device


class Scene:
    """A loaded scene. Make one with `prb.load_file` or `prb.load_dict`, change it through `prb.traverse`.

    model: the `SceneModel` it came from. name: for output files and reports.
    """

    def __init__(self, model, name="scene"):
        self.model = model
        self.name = name
        self.layout = lay_out(model, progress=True)
        self.values = self.layout.params.copy()  # what the device's parameter buffer holds
        self._arrays = None
        self._generation = None
        self.tape_buffers = None  # see prb.tape.Buffers

    @property
    def sensor(self):
        return self.model.sensors[0]

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
        generation = runtime.ensure()
        if self._generation != generation:
            inverse_cdf, quantiles = filter_tables(self.film)
            host = {
                **self.layout.arrays,
                "params": self.values,
                "camera": camera_buffer(self.sensor),
                "inverse_cdf": inverse_cdf,
                "quantiles": quantiles,
            }
            self._arrays = {name: upload(host[name], _ELEMENTS.get(name)) for name in _SCENE_ARRAYS}
            self._generation = generation
        return [self._arrays[name] for name in _SCENE_ARRAYS]

    def refresh(self):
        """Send the current parameter values and camera to the device."""
        if self._arrays is not None and self._generation == runtime.ensure():
            if self.values.size:
                self._arrays["params"].from_numpy(self.values)
            self._arrays["camera"].from_numpy(camera_buffer(self.sensor))

    def resize(self, width, height):
        """Give the film another size in pixels. Raises SceneError for an impossible one."""
        resize(self.sensor, width, height)
        self._generation = None

    def device_bytes(self):
        """Bytes of the scene's arrays on the device."""
        self.device_arrays()
        return sum(_nbytes(a) for a in self._arrays.values())

    def __repr__(self):
        height, width, _ = self.image_shape
        return f"Scene({self.name!r}, {len(self.model.shapes)} shapes, {width} x {height})"


def _nbytes(array):
    return int(np.prod(array.shape) * np.prod(getattr(array, "element_shape", ()) or (1,)) * 4)
