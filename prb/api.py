"""Scenes from files, pictures and their derivatives: the functions that most programs use."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from prb.device.lock import device_lock
from prb.device.scene import Scene
from prb.estimators import cross_halves
from prb.estimators.checked import backward, check_memory, forward, report_rejected, viewed
from prb.estimators.gradients import Estimate, estimates, split
from prb.estimators.integrate import integrate
from prb.estimators.registry import method_of, selected
from prb.kernels.estimators import modes
from prb.losses import derivative_of, value_of
from prb.scene.files import scene_file
from prb.scene.load import load_model_dict, load_model_file


class ValueAndGrad(NamedTuple):
    """value: the loss of the picture. grads: name -> its derivative, float64 in the parameter's shape.
    image: the picture, float64 (height, width, 3)."""

    value: float
    grads: dict
    image: np.ndarray


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
    params: names, globs or aliases, as `prb.traverse` lists them; None: every parameter that the method can
        differentiate, but vertex normals and directions.
    sensor: number or name of the image's sensor, by default the first.
    spp, seed, max_depth: of the paths that carry the gradient; for an objective that is not linear in the
        image, give them another seed than the picture's, or the gradient is biased.
    adjoint: the method, a `prb.Adjoint`; by default the cheapest that can, which is `ReplayAdjoint()`.

    stderr: also say how certain each number is, at no further rays: the values of the result are `Estimate`s.
    deterministic: the same seed gives the same bits on the same device, however many threads there are; on a
        CPU it always does unless there are thousands of parameters, and else costs little.

    Returns a dict name -> float64 array in the parameter's shape, or `Estimate` of two of them.
    Raises ParameterError, and ImageError for a grad_image of another size or with numbers that are not
    finite. Interior derivatives only: silhouettes and shadow edges that move are not in the gradient.
    """
    scene, method = viewed(scene, sensor), method_of(adjoint)
    names = selected(scene, params, method)
    result = backward(
        scene, grad_image, method, spp=spp, seed=seed, max_depth=max_depth, names=names, stderr=stderr,
        deterministic=deterministic, progress=progress,
    )  # fmt: skip
    return estimates(scene, result, names) if stderr else split(scene, result.gradient, names)


def render_forward(
    scene,
    tangents,
    *,
    sensor=None,
    spp=None,
    seed=0,
    max_depth=None,
    adjoint=None,
    stderr=False,
    progress=False,
):
    """Forward mode: J t, the derivative image along a direction in parameter space.

    tangents: dict name -> array or number that broadcasts to the parameter's shape.
    sensor: number or name of the sensor, by default the first.
    adjoint: a method that has a forward mode; by default `ReplayAdjoint()`, which takes one pass.
    stderr: the result is an `Estimate` with the standard error of each pixel.
    Returns float32 (height, width, 3), the same bits for the same seed. Raises ParameterError. Interior
    derivatives only.
    """
    result = forward(
        scene, tangents, adjoint, sensor=sensor, spp=spp, seed=seed, max_depth=max_depth, stderr=stderr,
        progress=progress,
    )  # fmt: skip
    tangent = result.tangent.astype(np.float32)
    return Estimate(tangent, np.sqrt(result.variance).astype(np.float32)) if stderr else tangent


def value_and_grad(
    scene,
    params,
    loss,
    *,
    sensor=None,
    spp=None,
    seed=0,
    max_depth=None,
    adjoint=None,
    hit_budget=cross_halves.KEPT_BUDGET,
):
    """The loss of a picture and its derivative by the scene's parameters, from one set of samples.

    params: names, globs or aliases, as for `prb.render_backward`; an optimiser stands for its names.
    loss: a function image -> (value, derivative by the image), such as those of `prb.losses`. It is called
        with float64 (height, width, 3), three times: with the picture, and with that of each half of the
        samples, as each half carries the derivative that the other one gives. So the gradient has no bias
        for a loss that is quadratic in the picture, as `l2` is; the value has that of its picture's noise.
        `prb.torch.loss` makes such a function of one of PyTorch's.
    spp: 2 at least. sensor, seed, max_depth, adjoint: as for `prb.render_backward`.
    hit_budget: bytes that vertices may take which path replay keeps from the picture for the gradient, 40 for
        each path and 32 to 148 for each of its vertices; past it, rays are traced again.

    Returns a `ValueAndGrad`. Raises ParameterError and ImageError, also for a loss that is not finite or
    whose derivative has another shape. Interior derivatives only, as for `prb.render_backward`.
    """
    scene, method = viewed(scene, sensor), method_of(adjoint)
    check_memory(scene, modes.REVERSE)
    if params is not None and not isinstance(params, str):
        params = list(params)
    names = selected(scene, params, method)
    cross_halves.check_budget(hit_budget)
    with device_lock:
        result = method.value_and_grad(
            scene, lambda image: derivative_of(loss, image), names=names, spp=spp, seed=seed,
            max_depth=max_depth, kept_budget=hit_budget,
        )  # fmt: skip
    report_rejected(result)
    return ValueAndGrad(value_of(loss, result.image), split(scene, result.gradient, names), result.image)
