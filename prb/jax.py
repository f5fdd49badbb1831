"""JAX: pictures that jax.grad differentiates (`render`), and losses that are JAX functions (`loss`,
`loss_of_target`).

    def objective(texels):
        picture = prb.jax.render(scene, {"painting.reflectance.data": texels}, spp=8)
        return jax.numpy.square(picture - target).mean()

    value, gradient = jax.value_and_grad(objective)(texels)

`import prb` does not import this module, nor JAX: the first use of `prb.jax` does.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.device.scene import Scene
from prb.errors import MissingPackageError, ParameterError
from prb.estimators import seeds
from prb.estimators.calls import Call
from prb.estimators.methods import Adjoint
from prb.losses import Part, PartOfTarget
from prb.losses.parts import name_of, of_two_pictures

try:
    import jax
    import jax.numpy as jnp
except ImportError:
    raise MissingPackageError("prb.jax: JAX is not installed; pip install jax") from None

Seeds: TypeAlias = tuple[Any, Any]  # of the picture and of its derivative; None: what follows from the first


def render(
    scene: Scene,
    params: Mapping[str, ArrayLike],
    *,
    sensor: int | str | None = None,
    spp: int | None = None,
    seed: Any = 0,
    max_depth: int | None = None,
    spp_grad: int | None = None,
    seed_grad: Any = None,
    adjoint: Adjoint | None = None,
    mode: Literal["reverse", "forward"] = "reverse",
) -> jax.Array:
    """Render a scene with JAX arrays for parameters: linear RGB radiance, a float32 array (height, width, 3).

    params: dict name -> array of floating-point numbers in the parameter's shape. Unlike `prb.torch.render`
        this leaves the scene as it is, as JAX's functions are pure: its other parameters have the values that
        the scene has at the call, and under jax.jit at the time of tracing, like all that a function closes
        over. `prb.traverse(scene).update` gives the scene values that were found.
    sensor, spp, max_depth: as for `prb.render`.
    seed: as for `prb.render`; also a whole number of JAX, so that a jitted function takes other paths in each
        step without being compiled again.
    spp_grad, seed_grad: of the paths that carry the derivative: by default as many as the picture's, and
        others. Were they the same, the gradient of a loss that is not linear in the picture would be biased;
        ``seed_grad=seed`` is for comparing with finite differences.
    adjoint: the method of the derivative, a `prb.Adjoint`; by default as for `prb.render_backward`.
    mode: JAX lets a function have a rule of its own for one mode only. "reverse": jax.grad, jax.vjp,
        jax.jacrev; a method that has a forward mode may be asked for "forward": jax.jvp, jax.jacfwd.

    The result is differentiated once: a second derivative is a TypeError. Only what is asked for is
    differentiated. Works under jax.jit, and under jax.vmap one after the other. The derivative is taken at
    the values of its own picture, cameras among them, but the film must not have changed. The scene is
    traced where `prb.init` says; arrays on a GPU go through the host's memory.
    Raises ParameterError, also for values out of a parameter's range; under jax.jit these are found when the
    compiled function runs, where JAX wraps the message in an error of its own.
    """
    call = _Call(
        scene, params, "array",
        sensor=sensor, spp=spp, max_depth=max_depth, spp_grad=spp_grad, adjoint=adjoint,
    )  # fmt: skip
    if mode not in _RENDER:
        raise ParameterError(f"mode: {mode!r} is unknown; the modes are {', '.join(_RENDER)}")
    if mode == "forward" and not call.method.has_forward:
        what = f"{call.method.name} has no forward mode"
        raise ParameterError(f"adjoint: {what}; prb.ReplayAdjoint() and prb.FiniteDifference() have one")
    seeds_of_call = _seed(call, seed), None if seed_grad is None else _seed(call, seed_grad, "_grad")
    arrays = [_checked(call, name, array) for name, array in params.items()]
    return _RENDER[mode](call, seeds_of_call, arrays)


def loss(function: Callable[[jax.Array], jax.Array]) -> Part:
    """A JAX function as a loss for `prb.value_and_grad`, and a part of sums as in `prb.losses`.

    function: picture -> an array of one number; it gets an array (height, width, 3), float32 unless
        jax_enable_x64 is set. Where time matters, give ``jax.jit(function)``.
    Returns a function image -> (value, derivative by the image), both NumPy's. It raises ParameterError where
    the number does not come from the picture. Its gradients have no bias if the function is quadratic.
    """

    def traced(picture: jax.Array) -> jax.Array:
        value: Any = function(picture)
        if isinstance(value, jax.Array) and value.size != 1:
            what = f"expected an array of one number, got shape {tuple(value.shape)}"
            raise ParameterError(f"loss: {what}; take its mean")
        if not isinstance(value, jax.core.Tracer):
            raise ParameterError("loss: its value does not follow from the picture; use JAX throughout")
        return value.reshape(())

    def of_picture(image: ArrayLike) -> tuple[float, NDArray[Any]]:
        try:
            value, gradient = jax.value_and_grad(traced)(jnp.asarray(image, float))
        except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
            what = f"JAX cannot trace it ({type(error).__name__})"
            raise ParameterError(f"loss: {what}; use jax.numpy throughout, no float() and no if") from None
        return float(value), np.asarray(gradient)

    return Part(of_picture, name_of(function))


def loss_of_target(function: Callable[..., jax.Array]) -> PartOfTarget:
    """A JAX function of picture and target as a loss for `prb.optimize`, and a part of sums.

    function: (picture, target) -> an array of one number, as for `loss`; or (picture, target, weights=None),
        if it is to be used with weights. Target and weights are arrays like the picture.
    """
    return of_two_pictures(function, loss, lambda image: jnp.asarray(image, float))


class _Call(Call):
    """One call of `render`. Its methods get and return NumPy's arrays, and run when the values are known."""

    def __init__(self, scene: Scene, params: Mapping[str, ArrayLike], what: str, **options: Any) -> None:
        super().__init__(scene, params, what, **options)
        self.others = self.scene.values.copy()  # the values of what is not given

    def render(self, numbers: Seeds, arrays: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        return self.picture(self.values_with(arrays, self.others), int(numbers[0]))

    def backward(
        self,
        wanted: list[str],
        numbers: Seeds,
        arrays: Sequence[NDArray[Any]],
        grad_picture: NDArray[Any],
    ) -> list[NDArray[Any]]:
        values = self.values_with(arrays, self.others)
        found = self.derivatives(values, _paths(numbers), grad_picture, wanted)
        kinds = dict(zip(self.names, (array.dtype for array in arrays), strict=True))
        return [found[name].astype(kinds[name]) for name in wanted]

    def forward(
        self, numbers: Seeds, arrays: Sequence[NDArray[Any]], tangents: Sequence[NDArray[Any]]
    ) -> NDArray[np.float32]:
        values = self.values_with(arrays, self.others)
        by_name = dict(zip(self.names, tangents, strict=True))
        return self.derivative_picture(values, _paths(numbers), by_name)

    @property
    def result(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(self.scene.image_shape, jnp.float32)


def _on_host(function: Callable[..., Any], shapes: Any, *arguments: Any) -> Any:
    """What a function of NumPy's arrays returns: at once where all numbers are known, so that its errors are
    the user's to see, else when JAX knows them."""

    def numpys(*given: Any) -> Any:
        return function(*jax.tree.map(np.asarray, given))  # before the lock on the device is taken

    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arguments)):
        return jax.pure_callback(numpys, shapes, *arguments, vmap_method="sequential")
    return jax.tree.map(jnp.asarray, numpys(*arguments))


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _once(function: Callable[..., Any], shapes: Any, *arguments: Any) -> Any:
    return _on_host(function, shapes, *arguments)


@_once.defjvp
def _no_second(function: Callable[..., Any], shapes: Any, primals: Any, tangents: Any) -> Any:
    raise TypeError("prb.jax.render: has no second derivative; differentiate it once")


def _picture(call: _Call, numbers: Seeds, arrays: list[jax.Array]) -> jax.Array:
    found: jax.Array = _on_host(call.render, call.result, numbers, arrays)
    return found


def _picture_and_arrays(call: _Call, numbers: Any, arrays: Any) -> tuple[jax.Array, Any]:
    """The picture, and what the derivative needs; of the arrays also which are differentiated."""
    marks = [() if array.perturbed else None for array in arrays]  # no numbers: they are there when tracing
    numbers, arrays = jax.tree.map(
        lambda x: x.value, (numbers, arrays), is_leaf=lambda x: hasattr(x, "value")
    )
    picture = _RENDER["reverse"](call, numbers, arrays)  # not `_picture`: a derivative of this may be taken
    return picture, (numbers, arrays, marks)


def _pulled_back(call: _Call, kept: Any, grad_picture: Any) -> tuple[None, list[Any]]:
    numbers, arrays, marks = kept
    wanted = [name for name, mark in zip(call.names, marks, strict=True) if mark is not None]
    if not wanted or isinstance(grad_picture, jax.custom_derivatives.SymbolicZero):
        return None, [None] * len(arrays)
    shapes = [
        jax.ShapeDtypeStruct(array.shape, array.dtype)
        for array, mark in zip(arrays, marks, strict=True)
        if mark is not None
    ]
    found = iter(_once(partial(call.backward, wanted), shapes, numbers, arrays, grad_picture))
    return None, [None if mark is None else next(found) for mark in marks]


def _with_reverse_mode() -> Callable[..., jax.Array]:
    function = jax.custom_vjp(_picture, nondiff_argnums=(0,))
    function.defvjp(_picture_and_arrays, _pulled_back, symbolic_zeros=True)
    return function


_forward = jax.custom_jvp(_picture, nondiff_argnums=(0,))


@_forward.defjvp
def _pushed_forward(call: _Call, primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    numbers, arrays = primals
    picture = _RENDER["forward"](call, numbers, arrays)
    return picture, _once(call.forward, call.result, numbers, arrays, tangents[1])


_RENDER: dict[str, Callable[[_Call, Seeds, list[jax.Array]], jax.Array]] = {
    "reverse": _with_reverse_mode(),
    "forward": _forward,
}


def _paths(numbers: Seeds) -> int:
    """The seed of the derivative's paths."""
    seed, seed_grad = numbers
    return seeds.torch_paths(int(seed)) if seed_grad is None else int(seed_grad)


def _seed(call: _Call, seed: Any, suffix: str = "") -> Any:
    """A seed as an unsigned number of 32 bits, which JAX may not know yet."""
    if not isinstance(seed, jax.core.Tracer):
        if isinstance(seed, jax.Array) and seed.ndim == 0:
            seed = np.asarray(seed)[()]
        call.check_seed(seed, suffix)
        return np.uint32(seed)
    if seed.shape or not jnp.issubdtype(seed.dtype, jnp.integer):
        what = f"expected a whole number, got {seed.dtype} of shape {tuple(seed.shape)}"
        raise ParameterError(f"seed{suffix}: {what}")
    return seed.astype(jnp.uint32)


def _checked(call: _Call, name: str, array: Any) -> jax.Array:
    """A parameter's array. Raises ParameterError."""
    if not isinstance(array, (jax.Array, np.ndarray, np.generic, float)):
        got = type(array).__name__
        raise ParameterError(f"{name}: expected an array, got {got}; jax.numpy.asarray makes one")
    found = jnp.asarray(array)
    call.check_array(name, found, jnp.issubdtype(found.dtype, jnp.floating), ".astype(float)")
    return found
