"""Pictures and their derivatives: `render`, `render_backward`, `render_forward`."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from prb.device import runtime
from prb.device.params import select, slots
from prb.device.scene import Scene
from prb.errors import ImageError, ParameterError
from prb.estimators.integrate import integrate
from prb.estimators.methods import ReplayAdjoint
from prb.kernels.estimators import modes
from prb.scene.files import scene_file
from prb.scene.load import load_model_dict, load_model_file

# Of the host at the peak, where a CPU traces and the picture is then written: sums, buffers, copies.
BYTES_PER_PIXEL = {modes.PRIMAL: 72, modes.REVERSE: 100, modes.FORWARD: 100}


class Estimate(NamedTuple):
    """A Monte Carlo estimate and its standard error, two arrays of the same shape: were the estimate made
    again with other random numbers, `value` would vary by about `stderr`."""

    value: np.ndarray
    stderr: np.ndarray


def load_dict(scene_dict, *, base_dir=None):
    """A scene from a Mitsuba 3 dictionary, as `mi.load_dict` takes it, its transform objects included.

    base_dir: the folder that relative file names start from, by default the current one.
    Raises SceneError, which names the place in the dictionary.
    """
    return Scene(load_model_dict(scene_dict, base_dir=base_dir))


def load_file(path, /, **parameters):
    """A scene from a JSON file, from Mitsuba's XML (versions 2 and 3), or a bundled scene by its name.

    File names inside are relative to the file's folder. parameters: values for the $names of an XML file,
    over its defaults, as in ``load_file("room.xml", spp=64)``. Raises SceneError.
    """
    path = scene_file(path)
    return Scene(load_model_file(path, parameters), name=Path(path).stem)


def render(scene, *, sensor=None, spp=None, seed=0, max_depth=None, progress=False):
    """Render a scene: linear RGB radiance, float32 (height, width, 3).

    sensor: number or name of the sensor, by default the first. spp: samples per pixel, by default its
    sampler's sample_count. seed: the same seed gives the same picture, bit for bit on the same device,
    however many threads there are. max_depth: path edges at most, -1
    for no limit, by default the integrator's.
    Raises ParameterError for numbers that make no sense. Warns where paths had to be left out because a
    contribution was not finite.
    """
    scene = viewed(scene, sensor)
    check_memory(scene, modes.PRIMAL)
    result = integrate(scene, modes.PRIMAL, spp=spp, seed=seed, max_depth=max_depth, progress=progress)
    report_rejected(result)
    return result.image.astype(np.float32)


def render_backward(
    scene,
    grad_image,
    params=None,
    *,
    sensor=None,
    spp=None,
    seed=0,
    max_depth=None,
    adjoint=None,
    stderr=False,
    deterministic=False,
    progress=False,
):
    """Reverse mode: J^T grad_image, where J is the derivative of the image by the parameters.

    grad_image: derivative of the objective with respect to the image, (height, width, 3).
    params: names, globs or aliases, as `prb.traverse` lists them; None: every differentiable parameter.
    sensor: number or name of the image's sensor, by default the first.
    spp, seed, max_depth: of the paths that carry the gradient; for an objective that is not linear in the
        image, give them another seed than the picture's, or the gradient is biased.
    adjoint: the method: `ReplayAdjoint()` by default, `TapeAdjoint()` or `FiniteDifference()`.

    stderr: also say how certain each number is, at no further rays: the values of the result are `Estimate`s.
    deterministic: the same seed gives the same bits on the same device, however many threads there are; on a
        CPU it always does unless there are thousands of parameters, and else costs little.

    Returns a dict name -> float64 array in the parameter's shape, or `Estimate` of two of them.
    Raises ParameterError, and ImageError for a grad_image of another size or with numbers that are not
    finite. Interior derivatives only: silhouettes and shadow edges that move are not in the gradient.
    """
    scene = viewed(scene, sensor)
    names = select(scene, params)
    result = backward(
        scene, grad_image, adjoint, spp=spp, seed=seed, max_depth=max_depth, names=names, stderr=stderr,
        deterministic=deterministic, progress=progress,
    )  # fmt: skip
    return estimates(scene, result, names) if stderr else split(scene, result.gradient, names)


def estimates(scene, result, names):
    """A `Result`'s gradient by name, with its standard errors: name -> `Estimate`."""
    values, errors = (split(scene, flat, names) for flat in (result.gradient, np.sqrt(result.variance)))
    return {name: Estimate(values[name], errors[name]) for name in names}


def backward(
    scene,
    grad_image,
    adjoint=None,
    *,
    sensor=None,
    spp=None,
    seed=0,
    max_depth=None,
    names=None,
    stderr=False,
    deterministic=False,
    first_sample=0,
    progress=False,
):
    """As `render_backward`: a `Result` with the flat gradient, and the image of the same paths as well."""
    scene = viewed(scene, sensor)
    check_memory(scene, modes.REVERSE)
    weight = checked_image(grad_image, scene.image_shape, "grad_image")
    method = ReplayAdjoint() if adjoint is None else adjoint
    options = dict(spp=spp, seed=seed, max_depth=max_depth, names=names, progress=progress)
    special = dict(variance=stderr, deterministic=deterministic, first_sample=first_sample)
    if isinstance(method, ReplayAdjoint):
        options |= special
    elif any(special.values()):
        raise ParameterError("adjoint: only ReplayAdjoint() takes stderr, deterministic and first_sample")
    result = method.backward(scene, weight, **options)
    report_rejected(result)
    return result


def render_forward(
    scene, tangents, *, sensor=None, spp=None, seed=0, max_depth=None, stderr=False, progress=False
):
    """Forward mode: J t, the derivative image along a direction in parameter space, in one replay pass.

    tangents: dict name -> array or number that broadcasts to the parameter's shape.
    sensor: number or name of the sensor, by default the first.
    stderr: the result is an `Estimate` with the standard error of each pixel.
    Returns float32 (height, width, 3), the same bits for the same seed. Raises ParameterError. Interior
    derivatives only.
    """
    scene = viewed(scene, sensor)
    check_memory(scene, modes.FORWARD)
    if not isinstance(tangents, Mapping):
        raise ParameterError(f"tangents: expected a dict name -> tangent, got {type(tangents).__name__}")
    known = slots(scene)
    flat = np.zeros(max(scene.values.size, 1), np.float32)
    for name, value in tangents.items():
        select(scene, [name])
        if name not in known:
            raise ParameterError(f"{name}: a tangent needs one parameter's exact name, not a pattern")
        try:
            with np.errstate(over="ignore"):  # what overflows is reported as not finite
                value = np.broadcast_to(np.asarray(value, np.float32), known[name].shape)
        except (TypeError, ValueError):
            shape = known[name].shape
            got = " ".join(repr(value).split())[:60]
            raise ParameterError(f"{name}: expected a tangent of shape {shape}, got {got}") from None
        if not np.isfinite(value).all():
            raise ParameterError(f"{name}: the tangent has a number that is not finite")
        known[name].of(flat)[...] = value
    result = integrate(
        scene, modes.FORWARD, spp=spp, seed=seed, max_depth=max_depth, param_tangents=flat, progress=progress,
        names=list(tangents), variance=stderr, label="derivative",
    )  # fmt: skip
    report_rejected(result)
    tangent = result.tangent.astype(np.float32)
    return Estimate(tangent, np.sqrt(result.variance).astype(np.float32)) if stderr else tangent


def split(scene, flat, names):
    """A flat gradient as a dict name -> array."""
    known = slots(scene)
    return {name: known[name].of(flat).copy() for name in names}


def checked_image(image, shape, place):
    """An image as float64 of the given shape. Raises ImageError."""
    try:
        image = np.asarray(image, np.float64)
    except (TypeError, ValueError):
        raise ImageError(f"{place}: expected an array of numbers, got {type(image).__name__}") from None
    if image.shape != shape:
        sizes = f"the film's shape {shape} (height, width, channels), got {image.shape}"
        raise ImageError(f"{place}: expected {sizes}; resize one of them")
    if not np.isfinite(image).all():
        raise ImageError(f"{place}: has numbers that are not finite; replace them")
    return image


def viewed(scene, sensor):
    """The scene as that sensor sees it."""
    if not isinstance(scene, Scene):
        what = type(scene).__name__
        raise ParameterError(f"scene: expected what prb.load_file or prb.load_dict returns, got {what}")
    return scene.view(sensor)


def check_memory(scene, mode):
    """Refuse a film that this machine cannot hold, rather than be killed while it renders."""
    height, width, _ = scene.image_shape
    needed = height * width * BYTES_PER_PIXEL[mode]
    there = runtime.host_memory()
    if there is not None and needed > there:
        film = f"{width} x {height} pixels need about {needed / 2**30:.1f} GiB of memory"
        raise ParameterError(f"film: {film}, this machine has {there / 2**30:.1f}; choose a smaller size")


def report_rejected(result):
    if result.rejected:
        warnings.warn(
            f"{result.rejected} paths had a contribution that is not finite and were left out", stacklevel=3
        )
