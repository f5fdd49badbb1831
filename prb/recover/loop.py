"""Parameters from pictures: `optimize`, the loop of `prb optimize`.

Iteration k takes its random numbers from (seed, k, sensor), so a run that resumes from a checkpoint is the
same as the uninterrupted run, bit for bit.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prb import losses
from prb.api import render, render_backward, value_and_grad
from prb.device.camera import camera_buffer
from prb.device.params import numbers, traverse
from prb.device.scene import Scene
from prb.errors import ImageError, NotFiniteError, ParameterError
from prb.estimators import seeds
from prb.estimators.checked import checked_image, viewed
from prb.estimators.cross_folds import KEPT_BUDGET, check_picture
from prb.estimators.methods import Adjoint
from prb.estimators.recursive_picture import RecursivePicture
from prb.estimators.registry import method_of, selected
from prb.estimators.settings import resolved
from prb.io.progress import bar as progress_bar
from prb.losses import derivative_of, value_of
from prb.recover.optimizers import Adam, Optimizer, read_arrays, write_arrays

HASHED_KEYS = ("scene", "sensors", "targets", "initial values")
REMEDY = "the values before that are kept; take a smaller learning rate"


@dataclass
class Recovery:
    """The outcome of `optimize`.

    params: name -> array, the recovered values, which the scene has as well. initial: those of the start.
    losses: of each iteration, before its step. stopped: None, or the reason for an early end: a
    KeyboardInterrupt, or the NotFiniteError that names iteration and parameter; the values are then the last
    good ones.
    """

    params: dict[str, NDArray[np.float64]]
    initial: dict[str, NDArray[np.float64]]
    losses: list[float]
    stopped: BaseException | None = None


def optimize(
    scene: Scene,
    params: str | Iterable[str] | None,
    targets: ArrayLike | Sequence[ArrayLike],
    *,
    sensors: Iterable[int | str] | None = None,
    loss: str | losses.LossOfTarget = "l2",
    optimizer: Optimizer | None = None,
    iterations: int = 100,
    spp: int | None = None,
    spp_grad: int | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    views_per_iteration: int | None = None,
    adjoint: Adjoint | None = None,
    hit_budget: float = KEPT_BUDGET,
    recursive: bool = False,
    checkpoint: str | Path | None = None,
    every: int = 10,
    resume: bool = False,
    on_iteration: Callable[[int], object] | None = None,
    progress: bool = False,
) -> Recovery:
    """Change a scene's parameters until its pictures are those of the targets. Returns a `Recovery`.

    params: names, globs or aliases, as for `prb.render_backward`; they start from the scene's values, or from
        those that `optimizer` has. targets: one picture (height, width, 3) for each sensor, in their order.
    sensors: numbers or names of those that are used; None: all.
    loss: a name of `prb.losses`, or a function target -> loss. optimizer: by default ``prb.Adam(0.05)``.
    spp: samples per pixel of an iteration, which serve picture and gradient, see `prb.value_and_grad`; by
        default the scene's. spp_grad: the gradient has paths of its own, so many for each pixel.
    views_per_iteration: how many of the sensors an iteration takes, at random; None: all of them.
    adjoint, hit_budget: as for `prb.value_and_grad`.
    recursive: each view has a `prb.RecursivePicture`, so that samples of earlier iterations count in the loss
        gradient. It pays where few samples meet a constant rate; one that falls to zero averages the same
        noise out. Not with spp_grad.
    checkpoint: an .npz file that is written every `every` iterations and at the end, and is whole at any
        moment. resume: go on from it, if it is there.
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
    for view in views:
        for samples in (spp, spp_grad):
            resolved(view, spp=samples, seed=seed, max_depth=max_depth)
    if not isinstance(recursive, bool):
        raise ParameterError(f"recursive: expected True or False, got {recursive!r}")
    kept = [RecursivePicture() if recursive else None for _ in views]
    check_picture(kept[0], method)
    if recursive and spp_grad is not None:
        raise ParameterError("recursive: with spp_grad the picture has no folds; leave one of them out")
    batch = len(views) if views_per_iteration is None else views_per_iteration
    make = losses.made(loss)
    losses_of = [make(picture) for picture in pictures]

    values = traverse(scene)
    opt = Adam(0.05) if optimizer is None else optimizer
    settings = dict(params=names, loss=_name_of(loss), spp=spp, spp_grad=spp_grad, seed=seed)
    settings |= dict(max_depth=max_depth, views_per_iteration=batch, recursive=bool(recursive))
    if adjoint is not None:
        settings["adjoint"] = repr(adjoint) if is_dataclass(adjoint) else adjoint.name
    for name in names:
        if name not in opt:
            opt[name] = values[name]
    values.update(opt)
    initial = {name: opt[name] for name in names}
    fingerprint = checkpoint and _fingerprint(views, pictures, opt, settings)
    run = _Run(opt, kept if recursive else [], checkpoint, fingerprint)
    if checkpoint is not None and resume:
        run.load()
        values.update(opt)

    options = dict(max_depth=max_depth, adjoint=method)

    def evaluate(k):
        """(loss, name -> gradient) of iteration k, means over its views."""
        chosen = seeds.views(seed, k).choice(len(views), batch, replace=False)
        total, gradients = 0.0, dict.fromkeys(names, 0.0)
        for number in sorted(chosen):
            view, of_view = views[number], losses_of[number]
            first = seeds.picture(seed, k, number)
            if spp_grad is None:
                value, grads, _ = value_and_grad(
                    view, names, of_view, spp=spp, seed=first, hit_budget=hit_budget, picture=kept[number],
                    **options,
                )  # fmt: skip
            else:
                image = render(view, spp=spp, seed=first, max_depth=max_depth).astype(np.float64)
                value, by_image = value_of(of_view, image), derivative_of(of_view, image)
                second = seeds.paths(seed, k, number)
                grads = render_backward(view, by_image, names, spp=spp_grad, seed=second, **options)
            total += value / batch
            gradients = {name: gradients[name] + grads[name] / batch for name in names}
        return total, gradients

    stopped, warned = None, False
    before = good = run.state()  # as the iteration before this one began, and as this one did
    with progress_bar(progress, total=iterations, initial=len(run.losses), desc="optimize") as bar:
        try:
            while len(run.losses) < iterations:
                k = len(run.losses)
                before, good = good, run.state()
                try:
                    with warnings.catch_warnings(record=True) as caught:
                        warnings.simplefilter("always")
                        if on_iteration is not None:
                            on_iteration(k)
                        value, gradients = evaluate(k)
                except NotFiniteError as error:
                    what, where = str(error).partition(";")[0], _moved(before, good, names)
                    good = before
                    raise NotFiniteError(f"iteration {k}: {what}, {where}; {REMEDY}") from None
                try:
                    opt.step(gradients)
                    values.update(opt)
                except NotFiniteError as error:
                    raise NotFiniteError(f"iteration {k}: {str(error).partition(';')[0]}; {REMEDY}") from None
                run.losses.append(value)
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
            values.update(opt)
    run.save()
    return Recovery({name: opt[name] for name in names}, initial, run.losses, stopped)


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


def check_number_of_targets(number, views):
    """Raise ImageError unless there is one target for each view."""
    if number != len(views):
        sensors = ", ".join(view.sensor.name for view in views)
        raise ImageError(f"targets: got {number} for {len(views)} sensors ({sensors}); give one for each")


class _Run:
    """The state of a run: the optimiser's, the recursive pictures of the views, if there are any, and the
    losses so far. fingerprint: what identifies the run."""

    def __init__(self, opt, pictures, path, fingerprint):
        self.opt, self.losses = opt, []
        self._pictures = pictures
        self._path, self._fingerprint = path, fingerprint

    def state(self):
        return len(self.losses), self.opt.state_dict(), [p.state_dict() for p in self._pictures]

    def restore(self, state):
        count, of_optimizer, of_pictures = state
        del self.losses[count:]
        self.opt.load_state_dict(of_optimizer)
        for picture, arrays in zip(self._pictures, of_pictures, strict=True):
            picture.load_state_dict(arrays)

    def save(self):
        """Write the checkpoint, if one is wanted."""
        if self._path is not None:
            more = {"losses": np.array(self.losses), "fingerprint": np.array(json.dumps(self._fingerprint))}
            for number, picture in enumerate(self._pictures):
                more |= {f"picture:{number}:{key}": array for key, array in picture.state_dict().items()}
            write_arrays(self._path, {**self.opt.state_dict(), **more})

    def load(self):
        """Resume from the checkpoint, if there is one. Raises ParameterError for that of another run."""
        if not Path(self._path).exists():
            return
        arrays = read_arrays(self._path)
        try:
            of_file = json.loads(str(arrays.pop("fingerprint")))
            kept = [float(x) for x in arrays.pop("losses")]
        except (KeyError, ValueError, TypeError):
            raise ParameterError(f"{self._path}: is no checkpoint of prb optimize; name another") from None
        changed = [key for key, value in self._fingerprint.items() if of_file.get(key) != value]
        if changed:
            key = changed[0]
            values = f"{key} {of_file.get(key)}, now {self._fingerprint[key]}"
            what = f"another {key}" if key in HASHED_KEYS else values
            raise ParameterError(f"{self._path}: is of another run ({what}); start anew or resume that one")
        for number, picture in enumerate(self._pictures):
            head = f"picture:{number}:"
            of_picture = [key for key in arrays if key.startswith(head)]
            picture.load_state_dict({key.removeprefix(head): arrays.pop(key) for key in of_picture})
        self.opt.load_state_dict(arrays)
        self.losses[:] = kept


def _fingerprint(views, targets, opt, settings):
    """What has to be the same for a run to be resumed: name -> text."""
    scene = views[0]
    parts = {
        "scene": [scene.values, *(a for _, a in sorted(scene.layout.arrays.items())), scene.layout.features],
        "sensors": [part for view in views for part in (camera_buffer(view.sensor), view.sensor.film)],
        "targets": targets,
        "initial values": [opt[name] for name in opt],
    }
    hashes = {}
    for key, values in parts.items():
        digest = hashlib.sha256()
        for value in values:
            digest.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
        hashes[key] = digest.hexdigest()
    integrator = scene.model.integrator
    settings = {**settings, "optimizer": repr(opt), "integrator": integrator}
    return hashes | {key: str(value) for key, value in settings.items()}


def _name_of(loss):
    return loss if isinstance(loss, str) else getattr(loss, "__qualname__", type(loss).__name__)


def _moved(before, after, names):
    """The parameter with the largest relative change in the last step, and its value, for a message."""
    before, after = before[1], after[1]

    def change(name):
        old, new = before[f"value:{name}"], after[f"value:{name}"]
        return np.max(np.abs(new - old) / (np.abs(old) + 1e-9), initial=0)

    name = max(names, key=change)
    return f"{name} is {numbers(after[f'value:{name}'])}"


def _check_counts(iterations, every, views_per_iteration, views):
    for name, x, low, high in (
        ("iterations", iterations, 0, 10**9),
        ("every", every, 1, 10**9),
        ("views_per_iteration", views if views_per_iteration is None else views_per_iteration, 1, views),
    ):
        if isinstance(x, bool) or not isinstance(x, (int, np.integer)) or not low <= x <= high:
            raise ParameterError(f"{name}: {x!r} is out of range; it goes from {low} to {high}")
