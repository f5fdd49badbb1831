"""Parameters from pictures: `optimize`, the loop of `prb optimize`.

Iteration k takes its random numbers from (seed, k, sensor), so a run that resumes from a checkpoint is the
same as the uninterrupted run, bit for bit.
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb import losses
from prb.device.params import numbers, records, traverse
from prb.device.scene import Scene
from prb.errors import ImageError, NotFiniteError, ParameterError
from prb.estimators import cross_folds, seeds
from prb.estimators.checked import checked_image, viewed
from prb.estimators.cross_folds import KEPT_BUDGET, check_picture
from prb.estimators.methods import Adjoint
from prb.estimators.recursive_picture import RecursivePicture
from prb.estimators.registry import method_of, selected
from prb.estimators.settings import resolved
from prb.io.progress import bar as progress_bar
from prb.recover.bounds import at_limit, bounds_with_derivative, given_bounds, ranges
from prb.recover.coarse_to_fine import Schedules
from prb.recover.coordinates import Choice, check_unbounded, coordinates_of
from prb.recover.evaluation import evaluated
from prb.recover.floor import STOPS, Level
from prb.recover.history import History, Log
from prb.recover.mesh_defects import Defects
from prb.recover.meshes import Remesh
from prb.recover.optimizers import Adam, Optimizer
from prb.recover.priors import Priors
from prb.recover.run import Run, fingerprint, name_of
from prb.recover.texels import Texels
from prb.recover.uncertainty import of_history
from prb.scene.model import Shape

REMEDY = "the values before that are kept; take a smaller learning rate"


@dataclass
class Recovery:
    """The outcome of `optimize`.

    params: name -> array, the recovered values, which the scene has as well. initial: those of the start.
    losses: of each iteration, before its step. stopped: None, or the reason for an early end: a
    KeyboardInterrupt, or the NotFiniteError that names iteration and parameter; the values are then the last
    good ones. ranges: name -> (low, high), where the values could go. at_limit: name -> (how many of its
    numbers ended at the low end, how many at the high end), of those parameters that have any. seen: name ->
    (height, width) of the textures, (Z, Y, X) of the volumes, the sum over the iterations of each texel's
    squared derivatives of the loss; 0: never seen. prior: the sum of the priors' terms at the end, which
    `losses` leave out; None without.

    view_losses: name of a sensor -> its loss in each iteration, nan where it was not taken. floors: the noise
    floor of each iteration's loss, what the Monte Carlo noise of the pictures alone would leave of it
    (prb/recover/evaluation.py); nan where it is unknown. level: the floor, the loss above it and the standard
    error of that, means over the last iterations (prb/recover/floor.py); None where unknown. at_floor: after
    how many iterations the loss could first not be told from its noise floor; None: never. ended: "floor" or
    "plateau", where `stop` ended the run; else None.
    stderr: name -> standard errors of the values, for parameters of up to 16 numbers, nan where they cannot
    be estimated: Monte Carlo noise alone, not errors of the model, and each number for itself
    (prb/recover/uncertainty.py). traces: the columns of the parameters in loss.csv (prb/recover/history.py).
    defects: name of positions -> how many triangles of the mesh have no area or cross another one.
    initial_shapes: name -> the `Shape` of the start, of meshes that were remeshed: their positions have other
    shapes in `initial` and `params`.
    """

    params: dict[str, NDArray[np.float64]]
    initial: dict[str, NDArray[np.float64]]
    losses: list[float]
    stopped: BaseException | None = None
    ranges: dict = field(default_factory=dict)
    at_limit: dict = field(default_factory=dict)
    seen: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    prior: float | None = None
    view_losses: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    floors: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    level: Level | None = None
    at_floor: int | None = None
    ended: str | None = None
    stderr: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    traces: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    defects: dict[str, Defects] = field(default_factory=dict)
    initial_shapes: dict[str, Shape] = field(default_factory=dict)


def optimize(
    scene: Scene,
    params: str | Iterable[str] | None,
    targets: ArrayLike | Sequence[ArrayLike],
    *,
    sensors: Iterable[int | str] | None = None,
    weights: ArrayLike | Sequence[ArrayLike | None] | None = None,
    target_spp: int | None = None,
    loss: str | losses.LossOfTarget = "l2",
    optimizer: Optimizer | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    priors: Priors | None = None,
    coarse_to_fine: Schedules | None = None,
    coordinates: Choice | None = None,
    remesh: Remesh | None = None,
    iterations: int = 100,
    spp: int | None = None,
    spp_grad: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    views_per_iteration: int | None = None,
    adjoint: Adjoint | None = None,
    folds: int | None = None,
    hit_budget: float = KEPT_BUDGET,
    recursive: bool = False,
    checkpoint: str | Path | None = None,
    every: int = 10,
    resume: bool = False,
    log: str | Path | None = None,
    noise_floor: bool = True,
    stop: Literal["floor", "plateau"] | None = None,
    on_iteration: Callable[[int], object] | None = None,
    progress: bool = False,
) -> Recovery:
    """Change a scene's parameters until its pictures are those of the targets. Returns a `Recovery`.

    params: names, globs or aliases, as for `prb.render_backward`; they start from the scene's values, or from
        those that `optimizer` has. targets: one picture (height, width, 3) for each sensor, in their order.
    sensors: numbers or names of those that are used; None: all.
    weights: how much each pixel counts, (height, width), or each of its channels, (height, width, 3); not
        negative. One such image for all sensors, or a list with one for each, where None lets all count
        alike. The loss of each picture is divided by the sum of its weights (`prb.losses`).
    target_spp: samples per pixel of targets that are pictures of a renderer, whose noise then counts in noise
        floor and standard errors; None: they have no noise.
    loss: a function target -> loss, such as ``prb.losses.l2() + 0.1 * prb.losses.multiscale("l1")``, or the
        same as text, ``"l2 + 0.1*multiscale:l1"``; with weights a function (target, weights=).
    optimizer: by default ``prb.Adam(0.05)``.
    bounds: pattern -> (low, high): ranges that the optimiser takes over, and clips the start to. Roughnesses
        that have none, there or in the optimiser, end where their derivative does, at a `roughness` of 0.035
        or an `alpha` of 0.002: a step below that would never be taken back.
    priors: pattern -> one of `prb.priors`, or a list of them: terms that are added to the loss. All that
        patterns give a parameter are added.
    coarse_to_fine: pattern -> resolutions of a texture or a gridvolume, texels or voxels along its longest
        side: [16, 64, 128] shares the iterations out evenly, [(0, 16), (50, 64)] says at which iteration each
        begins. The scene's grid keeps its size, and is interpolated from one that the optimiser has.
    coordinates: pattern -> one of `prb.coordinates`, in which the optimiser steps, or None for the values
        themselves. By default vertex positions take `LargeSteps()`, which Adam's default steps for with one
        size for each mesh, and transforms of shapes and sensors are moved by `Rigid()`.
    remesh: pattern -> iterations before which meshes whose positions are optimised get other triangles:
        [50, 100] makes their edges half as long each time, [(50, 0.02)] says how long.
    spp: samples per pixel of an iteration, which serve picture and gradient, see `prb.value_and_grad`; by
        default the scene's. spp_grad: the gradient has paths of its own, so many for each pixel.
    views_per_iteration: how many of the sensors an iteration takes, at random; None: all of them.
    adjoint, folds, hit_budget: as for `prb.value_and_grad`.
    recursive: each view has a `prb.RecursivePicture`, so that samples of earlier iterations count in the loss
        gradient. It pays where few samples meet a constant rate; one that falls to zero averages the same
        noise out. Not with spp_grad.
    checkpoint: an .npz file that is written every `every` iterations and at the end, and is whole at any
        moment. resume: go on from it, if it is there.
    log: a .csv file that gets a row in each iteration: loss, noise floor, the loss of each view, the values.
    noise_floor: estimate it, which takes one more evaluation of the loss for each view, of the target with
        noise. It needs two samples per pixel at least.
    stop: "floor" ends the run before `iterations` once the loss cannot be told from its noise floor,
        "plateau" also once it does not fall any more; means over the last quarter of the iterations, 20 at
        least, at a significance of 5 %, and not before the finest grids of coarse_to_fine.
    on_iteration: a function that is called with k before iteration k, when the scene has its values.
    progress: a bar on standard error, if that is a terminal, with the loss and the rate.

    Ctrl-C, and a loss or a gradient that is not finite, end the loop with the last good values.
    Raises ParameterError for options out of their ranges and for a checkpoint of another run, ImageError for
    targets that do not fit the sensors. Gradients are interior derivatives, as for `prb.render_backward`: a
    parameter that moves a silhouette is not recovered by them.
    """
    scene = viewed(scene, None)
    method = method_of(adjoint)
    names = selected(scene, params, method)
    if not names:
        raise ParameterError("params: no parameter is left to optimise; name one that repr(params) lists")
    chosen = range(len(scene.model.sensors)) if sensors is None else sensors
    views = [scene.view(number) for number in chosen]
    pictures = checked_targets(targets, views)
    _check_counts(iterations, every, views_per_iteration, len(views))
    _check_floor(target_spp, stop, noise_floor and (spp_grad is None or resolved(views[0], spp=spp).spp > 1))
    for view in views:
        for samples in (spp, spp_grad):
            resolved(view, spp=samples, seed=seed, max_depth=max_depth)
        if folds is not None:
            cross_folds.checked(view, spp, seed, max_depth, folds)
    if not isinstance(recursive, bool):
        raise ParameterError(f"recursive: expected True or False, got {recursive!r}")
    kept = [RecursivePicture() if recursive else None for _ in views]
    check_picture(kept[0], method, scene, names)
    if recursive and spp_grad is not None:
        raise ParameterError("recursive: with spp_grad the picture has no folds; leave one of them out")
    batch = len(views) if views_per_iteration is None else views_per_iteration
    weight_images = checked_weights(weights, views)
    losses_of = [losses.of_weighted(loss, *pair) for pair in zip(pictures, weight_images, strict=True)]

    values = traverse(scene)
    charted = coordinates_of(scene, names, coordinates)
    smooth = [name for name, each in charted.items() if each.uniform]
    opt = Adam(0.05, uniform=smooth) if optimizer is None else optimizer
    limits = given_bounds(bounds, names, records(scene))
    check_unbounded(charted, {**opt.bounds, **limits}, opt)
    settings = dict(params=names, loss=name_of(loss), spp=spp, spp_grad=spp_grad, seed=seed)
    settings |= dict(max_depth=max_depth, views_per_iteration=batch, recursive=bool(recursive))
    if folds is not None:
        settings["folds"] = folds
    if adjoint is not None:
        settings["adjoint"] = repr(adjoint) if is_dataclass(adjoint) else adjoint.name
    for name in names:
        if name not in opt:
            opt[name] = values[name]
    of_models = bounds_with_derivative([name for name in names if name not in charted])
    opt.set_bounds({**of_models, **opt.bounds, **limits})
    opt.project(opt.bounds)
    texels = Texels(
        scene, names, opt, priors=priors, coarse_to_fine=coarse_to_fine, coordinates=charted,
        remesh=remesh, iterations=iterations,
    )  # fmt: skip
    for remark in texels.remarks:
        warnings.warn(remark, stacklevel=2)
    settings |= texels.settings()
    values.update(texels.full)
    initial = {name: texels.full[name] for name in names}
    identity = checkpoint and fingerprint(views, pictures, weight_images, opt, settings)
    shapes = {name: value.shape for name, value in initial.items()}
    history = History([view.sensor.name for view in views], shapes, texels.first_full)
    carried = kept if recursive else []
    run = Run(opt, texels, history, carried, checkpoint, identity)
    log_file = Log(log, history)
    if checkpoint is not None and resume:
        run.load()
        values = traverse(scene)
        values.update(texels.full)
    log_file.write()

    options: dict[str, Any] = dict(spp=spp, spp_grad=spp_grad, max_depth=max_depth, adjoint=method)
    options |= dict(folds=folds, hit_budget=hit_budget)
    options |= dict(target_spp=target_spp)

    def evaluate(k):
        """(number of a view -> its loss, noise floor, name -> gradient) of iteration k; the latter two are
        means over its views."""
        chosen = sorted(seeds.views(seed, k).choice(len(views), batch, replace=False))
        of_views, floor, gradients = {}, 0.0, dict.fromkeys(names, 0.0)
        for number in chosen:
            found = evaluated(
                views[number], names, losses_of[number],
                (seeds.picture(seed, k, number), seeds.paths(seed, k, number)),
                target=pictures[number] if noise_floor else None, picture=kept[number], **options,
            )  # fmt: skip
            of_views[number] = found.value
            floor += found.floor / batch
            gradients = {name: gradients[name] + found.grads[name] / batch for name in names}
        return of_views, floor, gradients

    stopped, ended, warned = None, None, False
    before = good = run.state()  # as the iteration before this one began, and as this one did
    with progress_bar(progress, total=iterations, initial=len(run.losses), desc="optimize") as bar:
        try:
            while len(run.losses) < iterations:
                k = len(run.losses)
                ended = history.excess.stops(stop)
                if ended is not None:
                    break
                if texels.remesh(k):
                    values, good = traverse(scene), run.state()  # there is no way back to the former mesh
                if texels.refine(k):
                    values.update(texels.full)
                before, good = good, run.state()
                try:
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        if on_iteration is not None:
                            on_iteration(k)
                        of_views, floor, gradients = evaluate(k)
                except NotFiniteError as error:
                    what, where = str(error).partition(";")[0], _moved(before, good, names, texels.full)
                    good = before
                    raise NotFiniteError(f"iteration {k}: {what}, {where}; {REMEDY}") from None
                noted = history.values(texels.full)
                try:
                    gradients = texels.gradients(gradients)
                    opt.step(gradients)
                    values.update(texels.full)
                except NotFiniteError as error:
                    raise NotFiniteError(f"iteration {k}: {str(error).partition(';')[0]}; {REMEDY}") from None
                value = sum(x / batch for x in of_views.values())
                run.losses.append(value)
                history.append(value, of_views, floor, noted, texels.by_values(gradients))
                log_file.append()
                if caught and not warned:  # once, not in every iteration
                    warned = True
                    warnings.warn(f"iteration {k}: {caught[0].message}", stacklevel=2)
                bar.set_postfix_str(f"loss {value:.4g}, rate {opt.rate(names[0]):.3g}", refresh=False)
                bar.update()
                if len(run.losses) % every == 0:
                    run.save()
        except (NotFiniteError, KeyboardInterrupt) as error:
            stopped = error
            run.restore(good)
            values.update(texels.full)
    run.save()
    log_file.write()
    found = {name: texels.full[name] for name in names}
    limits = ranges(names, records(scene), opt.bounds)
    counts, seen = at_limit(found, limits), dict(texels.seen.sums)
    share = 0.0
    if target_spp is not None:
        share = resolved(views[0], spp=spp).spp * batch / (target_spp * len(views))
    return Recovery(
        found, initial, run.losses, stopped, limits, counts, seen, texels.prior(),
        view_losses=history.view_losses, floors=history.floors, level=history.excess.level(),
        at_floor=history.excess.at_floor, ended=ended, traces=history.traces,
        stderr=of_history(history, found, limits, target_share=share), defects=texels.meshes.defects(),
        initial_shapes=texels.meshes.first,
    )  # fmt: skip


def checked_targets(targets, views):
    """The targets as float64 images of their views' sizes. Raises ImageError."""
    if isinstance(targets, np.ndarray) and targets.ndim == 3:
        targets = [targets]
    targets = list(targets)
    check_number_of_targets(len(targets), views)
    return [
        checked_image(target, view.image_shape, f"target of sensor {view.sensor.name}")
        for target, view in zip(targets, views, strict=True)
    ]


def checked_weights(weights, views):
    """The weights of each view, float64 or None for those without. Raises ImageError."""
    if weights is None or (isinstance(weights, np.ndarray) and weights.ndim <= 3):
        weights = [weights] * len(views)
    if not isinstance(weights, Iterable):
        raise ImageError(f"weights: expected an image or one for each sensor, got {type(weights).__name__}")
    weights = list(weights)
    if len(weights) != len(views):
        raise ImageError(
            f"weights: got {len(weights)} for {len(views)} sensors; give one for each or for all"
        )
    return [
        None if of_view is None else losses.checked_weights(
            of_view, view.image_shape, f"weights of sensor {view.sensor.name}"
        )
        for of_view, view in zip(weights, views, strict=True)
    ]  # fmt: skip


def check_number_of_targets(number, views):
    """Raise ImageError unless there is one target for each view."""
    if number != len(views):
        sensors = ", ".join(view.sensor.name for view in views)
        raise ImageError(f"targets: got {number} for {len(views)} sensors ({sensors}); give one for each")


def _moved(before, after, names, full):
    """The parameter with the largest relative change in the last step, and its value, for a message."""
    before, after = before[1], after[1]

    def change(name):
        old, new = before[f"value:{name}"], after[f"value:{name}"]
        if old.shape != new.shape:  # the texture has just been refined
            return 0
        old, new = full.of(name, old), full.of(name, new)
        return np.max(np.abs(new - old) / (np.abs(old) + 1e-9), initial=0)

    name = max(names, key=change)
    return f"{name} is {numbers(full.of(name, after[f'value:{name}']))}"


def _check_floor(target_spp, stop, known):
    """known: whether there is a noise floor."""
    if target_spp is not None and (type(target_spp) is not int or target_spp < 1):
        raise ParameterError(f"target_spp: {target_spp!r} is out of range; it is a whole number from 1 on")
    if stop is not None and stop not in STOPS:
        raise ParameterError(f"stop: {stop!r} is unknown; it is {' or '.join(STOPS)}, or None")
    if stop is not None and not known:
        raise ParameterError(
            f"stop: {stop} needs the noise floor; leave noise_floor on, and take spp 2 at least"
        )


def _check_counts(iterations, every, views_per_iteration, views):
    for name, x, low, high in (
        ("iterations", iterations, 0, 10**9),
        ("every", every, 1, 10**9),
        ("views_per_iteration", views if views_per_iteration is None else views_per_iteration, 1, views),
    ):
        if isinstance(x, bool) or not isinstance(x, (int, np.integer)) or not low <= x <= high:
            raise ParameterError(f"{name}: {x!r} is out of range; it goes from {low} to {high}")
