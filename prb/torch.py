"""PyTorch: pictures that autograd differentiates (`render`), and losses that are PyTorch functions (`loss`,
`loss_of_target`).

    texels = torch.full((64, 64, 3), 0.5, requires_grad=True)
    picture = prb.torch.render(scene, {"painting.reflectance.data": texels}, spp=8)
    picture.square().mean().backward()

`import prb` does not import this module, nor PyTorch: the first use of `prb.torch` does.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.device.lock import device_lock
from prb.device.params import traverse
from prb.device.scene import Scene
from prb.errors import MissingPackageError, ParameterError
from prb.estimators import seeds
from prb.estimators.calls import Call
from prb.estimators.methods import Adjoint
from prb.losses import Part, PartOfTarget
from prb.losses.parts import name_of, of_two_pictures

try:
    import torch
except ImportError:
    raise MissingPackageError("prb.torch: PyTorch is not installed; pip install torch") from None


def render(
    scene: Scene,
    params: Mapping[str, torch.Tensor],
    *,
    sensor: int | str | None = None,
    spp: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    spp_grad: int | None = None,
    seed_grad: int | None = None,
    adjoint: Adjoint | None = None,
) -> torch.Tensor:
    """Render a scene with tensors for parameters: linear RGB radiance, a float32 tensor (height, width, 3).

    params: dict name -> tensor of floating-point numbers in the parameter's shape, all on one device, where
        the picture will be. The scene has their values afterwards, as after `Params.update`; its other
        parameters do not change.
    sensor, spp, seed, max_depth: as for `prb.render`.
    spp_grad, seed_grad: of the paths that carry the derivative: by default as many as the picture's, and
        others. Were they the same, the gradient of a loss that is not linear in the picture would be biased;
        ``seed_grad=seed`` is for comparing with finite differences.
    adjoint: the method of the derivative, a `prb.Adjoint`; by default as for `prb.render_backward`.

    The result is differentiated in reverse mode and, where the method has one, in forward mode (torch.
    autograd.forward_ad), once: a second derivative is a RuntimeError. The derivative is taken at the values
    of its own picture, even if the scene's have changed since, cameras among them, but the film must
    not have changed.
    The scene is traced where `prb.init` says. A float32 tensor on the CPU is read where it is, and the
    picture is returned without a copy; tensors on a GPU go through the host's memory, also where it traces.
    Raises ParameterError, also for values out of a parameter's range, as `Params.update` does.
    """
    call = _Call(
        scene, params, "tensor",
        sensor=sensor, spp=spp, max_depth=max_depth, spp_grad=spp_grad, adjoint=adjoint,
    )  # fmt: skip
    call.check_seed(seed)
    call.seed, call.seed_grad = seed, seeds.torch_paths(seed) if seed_grad is None else seed_grad
    call.check_seed(call.seed_grad, "_grad")
    _check_tensors(call, params)
    return _Render.apply(call, *params.values())


def loss(function: Callable[[torch.Tensor], torch.Tensor], *, device: str | torch.device = "cpu") -> Part:
    """A PyTorch function as a loss for `prb.value_and_grad`, and a part of sums as in `prb.losses`.

    function: picture -> a tensor of one number; it gets a float32 tensor (height, width, 3) on `device`.
    Returns a function image -> (value, derivative by the image), both NumPy's. It raises ParameterError where
    the number does not come from the picture. Its gradients have no bias if the function is quadratic.
    """

    def of_picture(image: ArrayLike) -> tuple[float, NDArray[Any]]:
        picture = torch.tensor(image, dtype=torch.float32, device=device, requires_grad=True)
        with torch.enable_grad():
            value = function(picture)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise ParameterError(f"loss: expected a tensor of one number, got {got}; take its mean")
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), picture, allow_unused=True)
        if gradient is None:
            raise ParameterError("loss: its value does not follow from the picture; use PyTorch throughout")
        return value.item(), gradient.cpu().numpy()

    return Part(of_picture, name_of(function))


def loss_of_target(
    function: Callable[..., torch.Tensor], *, device: str | torch.device = "cpu"
) -> PartOfTarget:
    """A PyTorch function of picture and target as a loss for `prb.optimize`, and a part of sums.

    function: (picture, target) -> a tensor of one number, as for `loss`; or (picture, target, weights=None),
        if it is to be used with weights. Target and weights are float32 tensors, too.
    """

    def tensor(image: NDArray[np.float64]) -> torch.Tensor:
        return torch.tensor(image, dtype=torch.float32, device=device)

    return of_two_pictures(function, lambda of_picture: loss(of_picture, device=device), tensor)


class _Call(Call):
    """One call of `render`, with what its derivative needs.

    seed, seed_grad: of the paths of picture and derivative. values: the scene's whole parameter buffer as the
    picture was rendered.
    """

    seed: int
    seed_grad: int
    values: NDArray[np.float32]

    def render(self, tensors: Iterable[torch.Tensor]) -> NDArray[np.float32]:
        """The picture at the tensors' values, which the scene takes: float32 (height, width, 3)."""
        arrays = [_array(tensor) for tensor in tensors]
        with device_lock:
            traverse(self.scene).update(dict(zip(self.names, arrays, strict=True)))
            self.values = self.scene.values.copy()
            return self.picture(self.values, self.seed)

    def backward(self, grad_picture: torch.Tensor, wanted: list[str]) -> list[torch.Tensor | None]:
        """The derivatives by the tensors, as one for each name; None for those that are not wanted."""
        grads = self.derivatives(self.values, self.seed_grad, _array(grad_picture), wanted)
        return [torch.from_numpy(grads[name]) if name in grads else None for name in self.names]

    def forward(self, tangents: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The derivative of the picture. tangents: name -> tensor."""
        arrays = {name: _array(tangent) for name, tangent in tangents.items()}
        return torch.from_numpy(self.derivative_picture(self.values, self.seed_grad, arrays))


class _Render(torch.autograd.Function):
    """(call, tensors in the order of its names) -> picture."""

    @staticmethod
    def forward(call: _Call, *tensors: torch.Tensor) -> torch.Tensor:
        picture = torch.from_numpy(call.render(tensors))
        return picture.to(tensors[0].device) if tensors else picture

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        ctx.call, *tensors = inputs
        ctx.kinds = [dict(dtype=t.dtype, device=t.device) for t in tensors]
        ctx.device = output.device
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad_picture: torch.Tensor) -> Any:
        call, needed = ctx.call, ctx.needs_input_grad[1:]
        wanted = [name for name, need in zip(call.names, needed, strict=True) if need]

        def pulled_back(grad_picture: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
            grads = zip(call.backward(grad_picture, wanted), ctx.kinds, strict=True)
            return tuple(None if g is None else g.to(**kind) for g, kind in grads)

        # Tensors are needed only for a second derivative; they may have changed in place since.
        tensors = ctx.saved_tensors if torch.is_grad_enabled() else ()
        return None, *_Once.apply(pulled_back, grad_picture, *tensors)

    @staticmethod
    def jvp(ctx: Any, _: None, *tangents: torch.Tensor | None) -> Any:
        call = ctx.call
        given = {n: t for n, t in zip(call.names, tangents, strict=True) if t is not None}

        def pushed_forward(*tangents: torch.Tensor) -> torch.Tensor:
            return call.forward(dict(zip(given, tangents, strict=True))).to(ctx.device)

        return _Once.apply(pushed_forward, *given.values())


class _Once(torch.autograd.Function):
    """(function, tensors) -> function(tensors), whose derivative is a RuntimeError."""

    @staticmethod
    def forward(function: Callable[..., Any], *tensors: torch.Tensor) -> Any:
        return function(*tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *_: Any) -> Any:
        raise RuntimeError("prb.torch.render: has no second derivative; differentiate it once")


def _array(tensor: torch.Tensor) -> NDArray[np.float32]:
    """A tensor's numbers as float32, in its own memory where possible."""
    return tensor.detach().to("cpu", torch.float32).numpy()


def _check_tensors(call: Call, params: Mapping[str, torch.Tensor]) -> None:
    """Raise ParameterError unless each is a tensor for its parameter, and all lie on one device."""
    for name, tensor in params.items():
        if not isinstance(tensor, torch.Tensor):
            got = type(tensor).__name__
            raise ParameterError(f"{name}: expected a tensor, got {got}; torch.as_tensor makes one")
        call.check_array(name, tensor, tensor.is_floating_point(), ".float()")
    devices = {str(tensor.device): name for name, tensor in params.items()}
    if len(devices) > 1:
        places = ", ".join(f"{name} on {device}" for device, name in devices.items())
        raise ParameterError(f"params: {places}; move them to one device")
