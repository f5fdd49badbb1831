"""PyTorch: pictures that autograd differentiates (`render`), and losses that are PyTorch functions (`loss`).

    texels = torch.full((64, 64, 3), 0.5, requires_grad=True)
    picture = prb.torch.render(scene, {"painting.reflectance.data": texels}, spp=8)
    picture.square().mean().backward()

`import prb` does not import this module, nor PyTorch: the first use of `prb.torch` does.
"""

import contextlib
from collections.abc import Mapping

import numpy as np

from prb.api import render as render_picture
from prb.device.camera import camera_buffer
from prb.device.lock import device_lock
from prb.device.params import records, traverse
from prb.errors import MissingPackageError, ParameterError
from prb.estimators import seeds
from prb.estimators.checked import backward, check_name, forward, viewed
from prb.estimators.gradients import split
from prb.estimators.registry import method_of
from prb.estimators.settings import resolved
from prb.estimators.values import device_tables

try:
    import torch
except ImportError:
    raise MissingPackageError("prb.torch: PyTorch is not installed; pip install torch") from None


def render(
    scene, params, *, sensor=None, spp=None, seed=0, max_depth=None, spp_grad=None, seed_grad=None,
    adjoint=None,
):  # fmt: skip
    """Render a scene with tensors for parameters: linear RGB radiance, a float32 tensor (height, width, 3).

    params: dict name -> tensor of floating-point numbers in the parameter's shape, all on one device, where
        the picture will be. The scene has their values afterwards, as after `Params.update`; its other
        parameters do not change.
    sensor, spp, seed, max_depth: as for `prb.render`.
    spp_grad, seed_grad: of the paths that carry the derivative: by default as many as the picture's, and
        others. Were they the same, the gradient of a loss that is not linear in the picture would be biased;
        ``seed_grad=seed`` is for comparing with finite differences.
    adjoint: the method of the derivative, a `prb.Adjoint`; by default `prb.ReplayAdjoint()`.

    The result is differentiated in reverse mode and, where the method has one, in forward mode (torch.
    autograd.forward_ad), once: a second derivative is a RuntimeError. The derivative is taken at the values
    of its own picture, even if the scene's have changed since, but a camera must not have changed. Interior
    derivatives only, as for `prb.render_backward`.
    The scene is traced where `prb.init` says. A float32 tensor on the CPU is read where it is, and the
    picture is returned without a copy; tensors on a GPU go through the host's memory, also where it traces.
    Raises ParameterError, also for values out of a parameter's range, as `Params.update` does.
    """
    scene = viewed(scene, sensor)
    if not isinstance(params, Mapping):
        raise ParameterError(f"params: expected a dict name -> tensor, got {type(params).__name__}")
    method = method_of(adjoint)
    own = resolved(scene, spp=spp, seed=seed, max_depth=max_depth)
    spp_grad = own.spp if spp_grad is None else spp_grad
    seed_grad = seeds.torch_paths(seed) if seed_grad is None else seed_grad
    resolved(scene, spp=spp_grad, seed=seed_grad, max_depth=max_depth, suffix="_grad")
    _check_tensors(scene, params, method)
    picture = dict(spp=own.spp, seed=seed, max_depth=own.max_depth)
    paths = dict(spp=spp_grad, seed=seed_grad, max_depth=own.max_depth)
    return _Render.apply(_Call(scene, list(params), method, picture, paths), *params.values())


def loss(function, *, device="cpu"):
    """A PyTorch function as a loss for `prb.value_and_grad`; `prb.optimize` takes a function target -> this.

    function: picture -> a tensor of one number; it gets a float32 tensor (height, width, 3) on `device`.
    Returns a function image -> (value, derivative by the image), both NumPy's. It raises ParameterError where
    the number does not come from the picture.
    """

    def of_picture(image):
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

    return of_picture


class _Call:
    """One call of `render`, with what its derivative needs.

    picture, paths: options of the picture and of the derivative. values: the scene's whole parameter buffer
    as the picture was rendered; camera: the numbers of camera and film.
    """

    def __init__(self, scene, names, method, picture, paths):
        self.scene, self.names, self.method = scene, names, method
        self.picture, self.paths = picture, paths

    def render(self, tensors):
        """The picture at the tensors' values, which the scene takes: float32 (height, width, 3)."""
        with device_lock:
            traverse(self.scene).update(dict(zip(self.names, map(_array, tensors), strict=True)))
            self.values, self.camera = self.scene.values.copy(), _camera(self.scene)
            return render_picture(self.scene, **self.picture)

    def backward(self, grad_picture, wanted):
        """The derivatives by the tensors, as one for each name; None for those that are not wanted."""
        with self._scene_of_picture() as state:
            weight = _array(grad_picture)
            result = backward(self.scene, weight, self.method, names=wanted, **state, **self.paths)
        grads = split(self.scene, result.gradient, wanted)
        return [torch.from_numpy(grads[name]) if name in grads else None for name in self.names]

    def forward(self, tangents):
        """The derivative of the picture. tangents: name -> tensor."""
        arrays = {name: _array(tangent) for name, tangent in tangents.items()}
        with self._scene_of_picture() as state:
            result = forward(self.scene, arrays, self.method, **state, **self.paths)
        return torch.from_numpy(result.tangent.astype(np.float32))

    @contextlib.contextmanager
    def _scene_of_picture(self):
        """While the block runs, the scene is as for the picture; yields the options for that."""
        with device_lock:
            if _camera(self.scene) != self.camera:
                name = self.scene.sensor.name
                raise ParameterError(
                    f"{name}: has changed since its picture was rendered; differentiate first"
                )
            same = np.array_equal(self.values, self.scene.values)
            with device_tables(self.scene, self.values):
                yield {} if same else {"values": self.values}


class _Render(torch.autograd.Function):
    """(call, tensors in the order of its names) -> picture."""

    @staticmethod
    def forward(call, *tensors):
        picture = torch.from_numpy(call.render(tensors))
        return picture.to(tensors[0].device) if tensors else picture

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.call, *tensors = inputs
        ctx.kinds = [dict(dtype=t.dtype, device=t.device) for t in tensors]
        ctx.device = output.device
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx, grad_picture):
        call, needed = ctx.call, ctx.needs_input_grad[1:]
        wanted = [name for name, need in zip(call.names, needed, strict=True) if need]

        def pulled_back(grad_picture, *_):
            grads = zip(call.backward(grad_picture, wanted), ctx.kinds, strict=True)
            return tuple(None if g is None else g.to(**kind) for g, kind in grads)

        # Tensors are needed only for a second derivative; they may have changed in place since.
        tensors = ctx.saved_tensors if torch.is_grad_enabled() else ()
        return None, *_Once.apply(pulled_back, grad_picture, *tensors)

    @staticmethod
    def jvp(ctx, _, *tangents):
        call = ctx.call
        given = {n: t for n, t in zip(call.names, tangents, strict=True) if t is not None}

        def pushed_forward(*tangents):
            return call.forward(dict(zip(given, tangents, strict=True))).to(ctx.device)

        return _Once.apply(pushed_forward, *given.values())


class _Once(torch.autograd.Function):
    """(function, tensors) -> function(tensors), whose derivative is a RuntimeError."""

    @staticmethod
    def forward(function, *tensors):
        return function(*tensors)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, *_):
        raise RuntimeError("prb.torch.render: has no second derivative; differentiate it once")


def _array(tensor):
    """A tensor's numbers as float32, in its own memory where possible."""
    return tensor.detach().to("cpu", torch.float32).numpy()


def _camera(scene):
    return camera_buffer(scene.sensor).tobytes(), *vars(scene.film).values()


def _check_tensors(scene, params, method):
    """Raise ParameterError unless each is a tensor for a parameter that the method can differentiate."""
    known = records(scene)
    for name, tensor in params.items():
        check_name(scene, name, method, "tensor")
        if not isinstance(tensor, torch.Tensor):
            got = type(tensor).__name__
            raise ParameterError(f"{name}: expected a tensor, got {got}; torch.as_tensor makes one")
        if not tensor.is_floating_point():
            raise ParameterError(f"{name}: expected floating-point numbers, got {tensor.dtype}; use .float()")
        if tuple(tensor.shape) != known[name].shape:
            raise ParameterError(f"{name}: expected shape {known[name].shape}, got {tuple(tensor.shape)}")
    devices = {str(tensor.device): name for name, tensor in params.items()}
    if len(devices) > 1:
        places = ", ".join(f"{name} on {device}" for device, name in devices.items())
        raise ParameterError(f"params: {places}; move them to one device")
