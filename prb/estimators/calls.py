"""Pictures that another library differentiates: what one call of its `render` has to remember."""

import contextlib
from collections.abc import Mapping

import numpy as np

from prb.device.lock import device_lock
from prb.device.params import records, traverse
from prb.errors import ParameterError
from prb.estimators.checked import (
    backward,
    check_memory,
    check_name,
    forward,
    report_rejected,
    viewed,
)
from prb.estimators.gradients import split
from prb.estimators.integrate import integrate
from prb.estimators.registry import method_of
from prb.estimators.settings import resolved
from prb.estimators.values import device_tables
from prb.kernels.estimators import modes


class Call:
    """One call: the scene's view, the names of the parameters that are given, the method, and numbers of
    samples.

    Random numbers and values are arguments of the methods: `values` is the whole parameter buffer, cameras
    among them. The scene keeps its own ones. The film has to be as it was.
    """

    def __init__(self, scene, params, what, *, sensor, spp, max_depth, spp_grad, adjoint):
        """params: name -> array; what: the thing that an array is called in messages. Raises
        ParameterError."""
        self.scene, self.method = viewed(scene, sensor), method_of(adjoint)
        if not isinstance(params, Mapping):
            raise ParameterError(f"params: expected a dict name -> {what}, got {type(params).__name__}")
        self.names, self.what = list(params), what
        own = resolved(self.scene, spp=spp, max_depth=max_depth)
        self.spp, self.max_depth = own.spp, own.max_depth
        self.spp_grad = own.spp if spp_grad is None else spp_grad
        resolved(self.scene, spp=self.spp_grad, suffix="_grad")
        for name in self.names:
            check_name(self.scene, name, self.method, what)
        self._film = _film(self.scene)

    def check_seed(self, seed, suffix=""):
        """Raise ParameterError unless that is a seed. suffix: of its name."""
        resolved(self.scene, spp=1, seed=seed, suffix=suffix)

    def check_array(self, name, array, is_floating, remedy):
        """Raise ParameterError unless an array can stand for a parameter."""
        shape = records(self.scene)[name].shape
        if not is_floating:
            raise ParameterError(f"{name}: expected floating-point numbers, got {array.dtype}; use {remedy}")
        if tuple(array.shape) != shape:
            raise ParameterError(f"{name}: expected shape {shape}, got {tuple(array.shape)}")

    def values_with(self, arrays, values):
        """A copy of a parameter buffer with these arrays, one for each name. Raises ParameterError."""
        known, found = records(self.scene), values.copy()
        checked = traverse(self.scene).checked(dict(zip(self.names, arrays, strict=True)))
        for name in self.names:
            known[name].of(found)[...] = checked[name]
        return found

    def picture(self, values, seed):
        """float32 (height, width, 3)."""
        with self._scene_of_picture(values) as state:
            check_memory(self.scene, modes.PRIMAL)
            options = dict(spp=self.spp, seed=seed, max_depth=self.max_depth)
            result = integrate(self.scene, modes.PRIMAL, **state, **options)
        report_rejected(result)
        return result.image.astype(np.float32)

    def derivatives(self, values, seed, grad_picture, wanted):
        """name -> float64 derivative, by the parameters that are wanted."""
        with self._scene_of_picture(values) as state:
            result = backward(
                self.scene, grad_picture, self.method, names=wanted, **state, **self._paths(seed)
            )
        return split(self.scene, result.gradient, wanted)

    def derivative_picture(self, values, seed, tangents):
        """The derivative of the picture, float32. tangents: name -> array."""
        with self._scene_of_picture(values) as state:
            result = forward(self.scene, tangents, self.method, **state, **self._paths(seed))
        return result.tangent.astype(np.float32)

    def _paths(self, seed):
        return dict(spp=self.spp_grad, seed=seed, max_depth=self.max_depth)

    @contextlib.contextmanager
    def _scene_of_picture(self, values):
        """While the block runs, the scene is as for the picture; yields the options for that."""
        with device_lock:
            if _film(self.scene) != self._film:
                what = f"the film of {self.scene.sensor.name}"
                raise ParameterError(
                    f"{what} has changed since its picture was rendered; differentiate first"
                )
            same = np.array_equal(values, self.scene.values)
            with device_tables(self.scene, values):
                yield {} if same else {"values": values}


def _film(scene):
    return tuple(vars(scene.film).values())
