"""Arrays on the device: made, filled, read back, freed, and reused by launches."""

import functools
import weakref

import numpy as np

from prb.device import runtime
from prb.kernels.backend import ScalarNdarray, VectorType, impl, ti, to_numpy_type

_scratch = {}  # name -> ((generation, element), array)


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


def uploaded(table, host):
    """The arrays of a table of kernels/arrays.py on the device, from NumPy arrays by name."""
    return {name: upload(host[name], array.vector) for name, array in table.items()}


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
    clear(device)
    return device


def output(length, element=ti.f32):
    """Zeros for a kernel to add to and `fetch` to read: a NumPy array where kernels take those as they are,
    since Taichi needs a tenth of a millisecond to make an array of its own and another one to copy it."""
    if not runtime.on_cpu():
        return zeros(length, element)
    if isinstance(element, VectorType):
        return np.zeros((length, element.n), to_numpy_type(element.dtype))
    return np.zeros(length, to_numpy_type(element))


def fetch(array):
    """What a kernel left in an `output`, as a NumPy array; the next launch may change it."""
    return array if isinstance(array, np.ndarray) else array.to_numpy()


def passed(array, element=None):
    """A NumPy array for one launch to read; as `upload`, but not copied where it need not be."""
    return np.ascontiguousarray(array) if runtime.on_cpu() and np.size(array) else upload(array, element)


def unused(shape, element=ti.f32):
    """For an argument that a kernel does not read: always the same array, as making one takes time."""
    return _unused(runtime.ensure(), shape, element)


@functools.cache
def _unused(generation, shape, element):
    return zeros(shape, element)


def scratch(name, shape, element):
    """An array with undefined contents, for one launch: the last one of that name if it fits, as making one
    takes time. If the shape is one number, it may be longer."""
    key = runtime.ensure(), element
    kept = _scratch.get(name)
    if kept is not None and kept[0] == key:
        found = kept[1]
        if found.shape == shape or (
            isinstance(shape, int) and len(found.shape) == 1 and found.shape[0] >= shape
        ):
            return found
    _scratch.pop(name, None)  # free the old one first
    _scratch[name] = key, empty(shape, element)
    return _scratch[name][1]


def clear(device):
    """Fill an array with zeros; Taichi 1.7.4 compiles a kernel for each `fill` of vectors."""
    if isinstance(device, np.ndarray):
        device[...] = 0
    elif impl.current_cfg().arch in (ti.x64, ti.cuda):
        impl.get_runtime().prog.fill_float(device.arr, 0.0)  # all bits zero
    else:
        device.fill(0)
