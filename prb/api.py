"""Scenes from files, pictures and their derivatives: the functions that most programs use.

Pictures are linear RGB radiance in W sr^-1 m^-2, up to the scale of the scene's lights: arrays (height,
width, 3) whose first row is the top one. What is wrong in the input raises one of the `prb.PrbError`s.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb.device.scene import Scene
from prb.estimators import cross_folds
from prb.estimators.checked import backward, check_memory, forward, report_rejected, viewed
from prb.estimators.gradients import Estimate, estimates, split
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.recursive_picture import RecursivePicture
from prb.estimators.registry import method_of, selected
from prb.kernels.estimators import modes
from prb.losses import Loss, derivative_of, value_of
from prb.scene.files import scene_file
from prb.scene.load import load_model_dict, load_model_file

Image: TypeAlias = NDArray[np.float32]
Gradients: TypeAlias = dict[str, NDArray[np.float64]]
Sensor: TypeAlias = int | str | None  # number or name; None: the first, or that of the view
Patterns: TypeAlias = str | Iterable[str] | None  # names, globs or aliases


class ValueAndGrad(NamedTuple):
    """value: the loss of the picture. grads: name -> its derivative, float64 in the parameter's shape.
    image: the picture, float64 (height, width, 3), or the better one of a `RecursivePicture`."""

    value: float
    grads: Gradients
    image: NDArray[np.float64]


def load_dict(scene_dict: Mapping[str, Any], *, base_dir: str | Path | None = None) -> Scene:
    """A scene from a Mitsuba 3 dictionary, as `mi.load_dict` takes it, its transform objects included.

    base_dir: the folder that relative file names start from, by default the current one.
    Raises SceneError, which names the place in the dictionary.
    """
    return Scene(load_model_dict(scene_dict, base_dir=base_dir))


def load_file(path: str | Path, /, **parameters: object) -> Scene:
    """A scene from a JSON file, from Mitsuba's XML (versions 2 and 3), or a bundled scene by its name.

    File names inside are relative to the file's folder. parameters: values for the $names of an XML file,
    over its defaults, as in ``load_file("room.xml", spp=64)``. Raises SceneError.
    """
    path = scene_file(path)
    return Scene(load_model_file(path, parameters), name=Path(path).stem)


def render(
    scene: Scene,
    *,
    sensor: Sensor = None,
    spp: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    sampler: str | None = None,
    progress: bool = False,
) -> Image:
    """Render a scene: linear RGB radiance, float32 (height, width, 3).

    sensor: number or name of the sensor, by default the first.
    spp: samples per pixel, by default the sample_count of the sensor's sampler.
    seed: the same seed gives the same picture, bit for bit on the same device, however many threads there
        are.
    max_depth: edges of a path at most, -1 for no limit, by default the integrator's.
    sampler: how random numbers are found, by default as the scene has it: "independent", "sobol",
        "stratified", "multijitter" or "orthogonal". But for the first one, the samples of a pixel share
        points that fill the unit cube evenly, so that a picture has less noise.
    progress: a bar on standard error, if that is a terminal.

    The method is path tracing with next-event estimation and multiple importance sampling by the power
    heuristic (Veach 1997). It does not find light without an area (a point, a distant light) through smooth
    glass or a mirror. Raises ParameterError for options out of their ranges and for a film that is too large
    for this machine. Warns of paths that were left out because a contribution was not finite.
    """
    scene = viewed(scene, sensor, sampler)
    check_memory(scene, modes.PRIMAL)
    result = integrate(scene, modes.PRIMAL, spp=spp, seed=seed, max_depth=max_depth, progress=progress)
    report_rejected(result)
    return result.image.astype(np.float32)


# fmt: off
@overload
def render_backward(
    scene: Scene, grad_image: ArrayLike, params: Patterns = None, *, sensor: Sensor = None,
    spp: int | None = None, seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: Literal[False] = False, deterministic: bool = False,
    progress: bool = False,
) -> Gradients: ...
@overload
def render_backward(
    scene: Scene, grad_image: ArrayLike, params: Patterns = None, *, sensor: Sensor = None,
    spp: int | None = None, seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: Literal[True], deterministic: bool = False,
    progress: bool = False,
) -> dict[str, Estimate]: ...
@overload
def render_backward(
    scene: Scene, grad_image: ArrayLike, params: Patterns = None, *, sensor: Sensor = None,
    spp: int | None = None, seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: bool, deterministic: bool = False,
    progress: bool = False,
) -> Gradients | dict[str, Estimate]: ...
# fmt: on
def render_backward(
    scene: Scene,
    grad_image: ArrayLike,
    params: Patterns = None,
    *,
    sensor: Sensor = None,
    spp: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    sampler: str | None = None,
    adjoint: Adjoint | None = None,
    stderr: bool = False,
    deterministic: bool = False,
    progress: bool = False,
) -> Gradients | dict[str, Estimate]:
    """Reverse mode: J^T grad_image, where J is the derivative of the image by the parameters.

    grad_image: derivative of the objective with respect to the image, (height, width, 3).
    params: names, globs or aliases, as `prb.traverse` lists them; a glob stands for what the method can
        differentiate. None: all of that, except vertex normals and directions, and except what only attached
        sampling differentiates or what moves shapes or the camera, which takes time of its own: name it.
    sensor: number or name of the image's sensor, by default the first.
    spp, seed, max_depth, sampler: of the paths that carry the gradient, as for `prb.render`. For an objective
        that is not linear in the image, give them another seed than the picture's, or the gradient is biased.
    adjoint: the method, a `prb.Adjoint`; by default `prb.ReplayAdjoint()`, path replay backpropagation
        (Vicini, Speierer and Jakob, SIGGRAPH 2021), and `prb.AttachedReplay()` for parameters that only that
        can differentiate, along the same paths. Where a parameter moves shapes, the camera or a light
        without a surface, `prb.Boundary()` is added, which has samples of its own.
    stderr: also estimate the standard error of each number, without further rays: the values of the result
        are `Estimate`s. With a sampler other than "independent" it comes from up to 16 batches of the samples
        that have points of their own each, and the gradient is their mean.
    deterministic: the same seed gives the same bits on the same device, however many threads there are; on a
        CPU it always does unless there are tens of thousands of numbers, and otherwise the cost is small.
    progress: a bar on standard error, if that is a terminal.

    Returns a dict name -> float64 array in the parameter's shape, or `Estimate` of two of them; the unit is
    that of the objective per unit of the parameter.
    Raises ParameterError, also where the method cannot differentiate a parameter that was named or does not
    offer an option, and ImageError for a grad_image of another size or with numbers that are not finite.
    What is left out: see `prb.Boundary` of edges that shapes and cameras move, and `prb.AttachedReplay` of
    those that bent rays sweep over.
    """
    scene, method = viewed(scene, sensor, sampler), method_of(adjoint)
    names = selected(scene, params, method)
    result = backward(
        scene, grad_image, method, spp=spp, seed=seed, max_depth=max_depth, names=names, stderr=stderr,
        deterministic=deterministic, progress=progress,
    )  # fmt: skip
    return estimates(scene, result, names) if stderr else split(scene, result.gradient, names)


# fmt: off
@overload
def render_forward(
    scene: Scene, tangents: Mapping[str, ArrayLike], *, sensor: Sensor = None, spp: int | None = None,
    seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: Literal[False] = False, progress: bool = False,
) -> Image: ...
@overload
def render_forward(
    scene: Scene, tangents: Mapping[str, ArrayLike], *, sensor: Sensor = None, spp: int | None = None,
    seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: Literal[True], progress: bool = False,
) -> Estimate: ...
@overload
def render_forward(
    scene: Scene, tangents: Mapping[str, ArrayLike], *, sensor: Sensor = None, spp: int | None = None,
    seed: int = 0, max_depth: int | None = None, sampler: str | None = None,
    adjoint: Adjoint | None = None, stderr: bool, progress: bool = False,
) -> Image | Estimate: ...
# fmt: on
def render_forward(
    scene: Scene,
    tangents: Mapping[str, ArrayLike],
    *,
    sensor: Sensor = None,
    spp: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    sampler: str | None = None,
    adjoint: Adjoint | None = None,
    stderr: bool = False,
    progress: bool = False,
) -> Image | Estimate:
    """Forward mode: J t, the derivative of the image along a direction t in parameter space.

    tangents: dict name -> array or number that broadcasts to the parameter's shape; each parameter by its
        exact name, and those that are not named have tangent zero.
    sensor, spp, seed, max_depth, sampler, progress: as for `prb.render`.
    adjoint: a method that has a forward mode; by default as for `prb.render_backward`: one pass for each of
        the two methods that is needed, in which tangents go along with the path.
    stderr: the result is an `Estimate` with the standard error of each pixel; where both methods are needed,
        an upper bound of it.

    Returns float32 (height, width, 3), the same bits for the same seed. Raises ParameterError, also for a
    method without a forward mode. What is left out: as for `prb.render_backward`.
    """
    result = forward(
        scene, tangents, adjoint, sensor=sensor, sampler=sampler, spp=spp, seed=seed, max_depth=max_depth,
        stderr=stderr, progress=progress,
    )  # fmt: skip
    tangent = result.tangent.astype(np.float32)
    return Estimate(tangent, np.sqrt(result.variance).astype(np.float32)) if stderr else tangent


def value_and_grad(
    scene: Scene,
    params: Patterns,
    loss: Loss,
    *,
    sensor: Sensor = None,
    spp: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    sampler: str | None = None,
    adjoint: Adjoint | None = None,
    folds: int | None = None,
    hit_budget: float = cross_folds.KEPT_BUDGET,
    picture: RecursivePicture | None = None,
) -> ValueAndGrad:
    """The loss of a picture and its derivative by the scene's parameters, from one set of samples.

    params: names, globs or aliases, as for `prb.render_backward`; an optimiser stands for its names.
    loss: a function image -> (value, derivative by the image), such as those of `prb.losses`. It is called
        with float64 (height, width, 3): for each fold with the picture of all others, as each fold of the
        samples carries the derivative that the others give, and with that of all samples. It may render, and
        wait for other threads that do.
        `prb.torch.loss` and `prb.jax.loss` make such a function of one of PyTorch's or JAX's.
    folds: parts of about equal size that the samples are split into, from 2 to spp: the more, the less noise
        a loss gradient has, and the more often the loss is evaluated. By default 8, or spp if that is less;
        4 for a sampler other than "independent", as each has points of its own.
    spp: at least 2. sensor, seed, max_depth, sampler, adjoint: as for `prb.render_backward`.
    hit_budget: bytes that vertices may take which path replay keeps from the picture for the gradient, 40 for
        each path and 32 to 148 for each of its vertices; beyond that, rays are traced again.
    picture: a `prb.RecursivePicture` that goes from iteration to iteration: value, gradient and image are
        then those of its estimate, which has less noise as it corrects that of the last call. Give each call
        another seed. By path replay only.

    The gradient has no bias for a loss that is quadratic in the picture, as `l2` is; for others the bias
    shrinks as the samples grow (docs/architecture.md, section 1.7). The value is the loss of the picture with
    its noise: that of a squared error contains the picture's variance.

    Returns a `ValueAndGrad`. Raises ParameterError and ImageError, also for a loss that is not finite or
    whose derivative has another shape. What is left out: as for `prb.render_backward`.
    """
    scene, method = viewed(scene, sensor, sampler), method_of(adjoint)
    check_memory(scene, modes.REVERSE, folds if isinstance(folds, int) else cross_folds.FOLDS)
    if params is not None and not isinstance(params, str):
        params = list(params)
    names = selected(scene, params, method)
    cross_folds.check_budget(hit_budget)
    cross_folds.check_picture(picture, method, scene, names)
    asked: dict[str, Any] = {} if folds is None else {"folds": folds}
    if picture is not None:
        asked["picture"] = picture
    result = method.value_and_grad(
        scene, lambda image: derivative_of(loss, image), names=names, spp=spp, seed=seed,
        max_depth=max_depth, kept_budget=hit_budget, **asked,
    )  # fmt: skip
    report_rejected(result)
    return ValueAndGrad(value_of(loss, result.image), split(scene, result.gradient, names), result.image)
