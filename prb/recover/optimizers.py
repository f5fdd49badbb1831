"""Optimisers: `Adam` and `SGD`. Each is a mapping name -> float64 array that `step(grads)` changes.

params = prb.traverse(scene)
opt = prb.Adam(lr=0.05, params={"red.reflectance.value": params["red.reflectance.value"]})
...
opt.step(grads)
params.update(opt)  # clips the values to what the scene allows, the optimiser's own too
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from numbers import Real
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.errors import NotFiniteError, ParameterError
from prb.io.images import atomic

Array: TypeAlias = NDArray[np.float64]
Rate: TypeAlias = float | Callable[[int], float]  # of the steps taken so far
Rates: TypeAlias = Rate | Mapping[str, Rate]
Values: TypeAlias = Mapping[str, ArrayLike]
Bounds: TypeAlias = Mapping[str, tuple[Any, Any]]


class Optimizer(MutableMapping[str, Array]):
    """The base of all optimisers: values, rates, ranges, and a state that can be saved and loaded.

    lr: the learning rate: a number, a function of the steps taken so far (`prb.schedules`), or a dict
        name -> one of these. params: name -> array, the values to start from; more can be assigned later, as
        in ``opt[name] = array``, which begins that parameter anew.
    bounds: name -> (low, high), ranges that the values are clipped to after each step.
    Raises ParameterError.
    """

    MOMENTUM = ""  # name of the array in the state that is the mean of past gradients

    def __init__(self, lr: Rates, params: Values | None = None, *, bounds: Bounds | None = None) -> None:
        self._values: dict[str, Array] = {}
        self._state: dict[str, dict[str, Array]] = {}
        self._steps: dict[str, int] = {}
        self._earlier: dict[str, int] = {}  # steps before the moments began anew
        self.set_learning_rate(lr)
        self._bounds: dict[str, tuple[Any, Any]] = {}
        self.set_bounds(bounds or {})
        for name, value in dict(params or {}).items():
            self[name] = value

    def set_learning_rate(self, lr: Rates) -> None:
        """Another rate from the next step on. lr: as for the class."""
        rates = lr.values() if isinstance(lr, Mapping) else [lr]
        for rate in rates:
            if not callable(rate):
                _check_rate("lr", rate)
        self._lr = dict(lr) if isinstance(lr, Mapping) else lr

    @property
    def bounds(self) -> Bounds:
        """name -> (low, high): the ranges that values are clipped to after each step."""
        return dict(self._bounds)

    def set_bounds(self, bounds: Bounds) -> None:
        """Ranges for more parameters, or other ones, from the next step on. bounds: as for the class."""
        for name, limits in dict(bounds).items():
            low, high = limits
            if not low <= high:
                raise ParameterError(f"bounds: {name}: {low} is above {high}; give (low, high)")
            self._bounds[name] = low, high

    def rate(self, name: str) -> float:
        """The learning rate of a parameter's next step."""
        lr = self._lr
        if isinstance(lr, Mapping):
            if name not in lr:
                raise ParameterError(f"lr: there is no rate for {name}; give one for each parameter")
            lr = lr[name]
        if callable(lr):
            lr = lr(self._steps[name] + self._earlier[name])
            _check_rate(f"lr of {name}", lr)
        return float(lr)

    def __getitem__(self, name: str) -> Array:
        return self._values[name].copy()

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        try:
            value = np.array(value, np.float64)
        except (TypeError, ValueError):
            raise ParameterError(f"{name}: expected numbers, got {type(value).__name__}") from None
        if not np.isfinite(value).all():
            raise ParameterError(f"{name}: has a number that is not finite")
        self._values[name] = value
        self._state[name] = {key: np.zeros(value.shape) for key in self._kept()}
        self._steps[name] = self._earlier[name] = 0

    def __delitem__(self, name: str) -> None:
        del self._values[name], self._state[name], self._steps[name], self._earlier[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def replace(self, name: str, value: ArrayLike) -> None:
        """Assign another value, which may have another shape: the means of past gradients begin anew, the
        schedule of the rate goes on."""
        taken = self._steps[name] + self._earlier[name]
        self[name] = value
        self._earlier[name] = taken

    def __repr__(self) -> str:
        """The kind and its settings."""
        given = {"lr": self._lr, **self._settings(), "bounds": self._bounds}
        return f"{type(self).__name__}({', '.join(f'{k}={_shown(v)}' for k, v in given.items())})"

    def step(self, grads: Values) -> None:
        """Move each parameter that has a gradient. grads: name -> array, as `prb.value_and_grad` returns it.

        Raises ParameterError, and then nothing has moved.
        """
        rates, checked = {}, {}
        for name, gradient in grads.items():
            if name not in self._values:
                raise ParameterError(f"{name}: the optimiser does not have it; assign opt[{name!r}] first")
            gradient = np.asarray(gradient, np.float64)
            if gradient.shape != self._values[name].shape:
                shape = self._values[name].shape
                raise ParameterError(f"{name}: expected a gradient of shape {shape}, got {gradient.shape}")
            if not np.isfinite(gradient).all():
                raise NotFiniteError(f"{name}: its gradient is not finite; take a smaller learning rate")
            checked[name], rates[name] = gradient, self.rate(name)
        for name, gradient in checked.items():
            self._steps[name] += 1
            direction = self._direction(name, gradient, self._steps[name], self._state[name])
            self._values[name] -= rates[name] * direction
        self.project(self._bounds)

    def project(self, bounds: Bounds) -> None:
        """Clip the values to their ranges. bounds: name -> (low, high); other names are ignored.

        The momentum of a clipped number is set to zero: it would keep the number at the limit for a while
        after the gradient has changed its sign.
        """
        for name in self._values.keys() & bounds.keys():
            value = self._values[name]
            clipped = np.array(np.clip(value, *bounds[name]))
            self._state[name][self.MOMENTUM][clipped != value] = 0
            self._values[name] = clipped

    def state_dict(self) -> dict[str, np.ndarray]:
        """All that changes from step to step, as a flat dict of arrays: values, moments, steps taken."""
        found = {}
        for name, value in self._values.items():
            found[f"value:{name}"] = value.copy()
            found[f"steps:{name}"] = np.array(self._steps[name])
            if self._earlier[name]:
                found[f"earlier:{name}"] = np.array(self._earlier[name])
            found |= {f"{key}:{name}": array.copy() for key, array in self._state[name].items()}
        return found

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what `state_dict` of an optimiser of the same kind returned. Raises ParameterError."""
        names = [key.partition(":")[2] for key in state if key.startswith("value:")]
        expected = {f"{key}:{name}" for name in names for key in ("value", "steps", *self._kept())}
        expected |= {f"earlier:{name}" for name in names} & set(state)
        if set(state) != expected:
            odd, kind = min(set(state) ^ expected), type(self).__name__
            raise ParameterError(f"state: {odd!r} does not fit {kind}; load it into an optimiser of its kind")
        for name in names:
            value = np.array(state[f"value:{name}"], np.float64)
            kept = {key: np.array(state[f"{key}:{name}"], np.float64) for key in self._kept()}
            if any(array.shape != value.shape for array in kept.values()):
                raise ParameterError(f"state: {name}: its arrays differ in shape; load one of prb's")
            self[name] = value
            self._state[name], self._steps[name] = kept, int(state[f"steps:{name}"])
            self._earlier[name] = int(state.get(f"earlier:{name}", 0))
        for name in set(self._values) - set(names):
            del self[name]

    def save(self, path: str | Path) -> None:
        """Write the state to an .npz file, which is complete at any moment. Raises ParameterError."""
        write_arrays(path, self.state_dict())

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote. Raises ParameterError."""
        self.load_state_dict(read_arrays(path))

    def _settings(self) -> dict[str, Any]:
        """The settings of a kind besides rates and bounds: name -> number."""
        raise NotImplementedError

    def _kept(self) -> tuple[str, ...]:
        """Names of the arrays that each parameter has beside its value."""
        raise NotImplementedError

    def _direction(self, name: str, gradient: Array, step: int, state: dict[str, Array]) -> Array:
        """The factor of the rate at the parameter's step, counted from 1. `state` changes in place."""
        raise NotImplementedError


class Adam(Optimizer):
    """Steps of about the rate whatever the gradient's size (Kingma and Ba, "Adam", ICLR 2015).

    beta_1, beta_2: how slowly the means of the gradient and of its square forget. epsilon: added to the root
        of the latter.
    uniform: one step size for all numbers of a parameter, by its largest second moment, so that the
        direction of the mean gradient is kept (Nicolet, Jacobson, Jakob, "Large Steps in Inverse Rendering
        of Geometry", SIGGRAPH Asia 2021). True, or the names of the parameters that have it.
    amsgrad: the second moment never shrinks (Reddi, Kale, Kumar, "On the Convergence of Adam and Beyond",
        ICLR 2018).
    lr, params, bounds: see `Optimizer`.
    """

    MOMENTUM = "mean"

    def __init__(
        self, lr: Rates, params: Values | None = None, *, beta_1: float = 0.9, beta_2: float = 0.999,
        epsilon: float = 1e-8, uniform: bool | Iterable[str] = False, amsgrad: bool = False,
        bounds: Bounds | None = None,
    ) -> None:  # fmt: skip
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ParameterError(f"{name}: {beta!r} is out of range; it goes from 0 to below 1")
        if not 0 < epsilon < math.inf:
            raise ParameterError(f"epsilon: {epsilon!r} is out of range; it is a number above 0")
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        if not isinstance(uniform, bool):
            uniform = tuple(sorted([uniform] if isinstance(uniform, str) else set(uniform)))
        self.uniform, self.amsgrad = uniform or False, amsgrad
        super().__init__(lr, params, bounds=bounds)

    def _settings(self) -> dict[str, Any]:
        names = ("beta_1", "beta_2", "epsilon", "uniform", "amsgrad")
        return {name: getattr(self, name) for name in names}

    def _kept(self) -> tuple[str, ...]:
        return ("mean", "square", "largest") if self.amsgrad else ("mean", "square")

    def _direction(self, name: str, gradient: Array, step: int, state: dict[str, Array]) -> Array:
        mean, square = state["mean"], state["square"]
        mean += (1 - self.beta_1) * (gradient - mean)
        square += (1 - self.beta_2) * (gradient**2 - square)
        if self.amsgrad:
            square = np.maximum(state["largest"], square, out=state["largest"])
        uniform = self.uniform if isinstance(self.uniform, bool) else name in self.uniform
        size = square.max(initial=0) if uniform else square
        size = np.sqrt(size / (1 - self.beta_2**step))
        return mean / (1 - self.beta_1**step) / (size + self.epsilon)


class SGD(Optimizer):
    """Steps along the gradient, or along v, where v becomes momentum * v + gradient with each step.

    momentum: from 0 to below 1. lr, params, bounds: see `Optimizer`.
    """

    MOMENTUM = "velocity"

    def __init__(
        self, lr: Rates, params: Values | None = None, *, momentum: float = 0.0, bounds: Bounds | None = None
    ) -> None:
        if not 0 <= momentum < 1:
            raise ParameterError(f"momentum: {momentum!r} is out of range; it goes from 0 to below 1")
        self.momentum = momentum
        super().__init__(lr, params, bounds=bounds)

    def _settings(self) -> dict[str, Any]:
        return {"momentum": self.momentum}

    def _kept(self) -> tuple[str, ...]:
        return ("velocity",)

    def _direction(self, name: str, gradient: Array, step: int, state: dict[str, Array]) -> Array:
        velocity = state["velocity"]
        velocity *= self.momentum
        velocity += gradient
        return velocity


def write_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write a dict of arrays as .npz, which replaces an older file once complete. Raises ParameterError."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ParameterError(f"{path}: a state is written as .npz; name such a file")
    try:
        with atomic(path) as temporary:
            np.savez(temporary, **arrays)
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        raise ParameterError(f"{path}: {reason}; make room or choose another place") from None


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name. Raises ParameterError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise ParameterError(f"{path}: no such file; name one that prb has saved") from None
    except Exception as error:  # zipfile and NumPy raise many kinds
        reason = getattr(error, "strerror", None) or "it is damaged or no .npz file"
        raise ParameterError(f"{path}: cannot be read: {reason}; name one that prb has saved") from None


def _shown(value: object) -> str:
    """A setting as text that is the same in another process, also for functions."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    return getattr(value, "__qualname__", None) or repr(value)


def _check_rate(place: str, rate: Any) -> None:
    if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= float(rate) < math.inf:
        raise ParameterError(f"{place}: {rate!r} is out of range; a rate is a finite number from 0 on")
