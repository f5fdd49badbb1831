"""`integrate`: the path tracer, in launches small enough for constant memory, a progress bar and Ctrl-C;
their outputs are summed in float64 on the host."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import fetch, output, passed, scratch, unused
from prb.device.film import largest_weight, reach
from prb.device.lock import locked
from prb.errors import ParameterError
from prb.estimators import work
from prb.estimators.density import DEFAULT, kernel_name
from prb.estimators.kept_vertices import vertex_size
from prb.estimators.reconstruction import Reconstruction, divided, sample_weights
from prb.estimators.settings import check_passes, fold_bounds, resolved
from prb.estimators.sums import Result, Sums
from prb.estimators.values import device_values
from prb.io.progress import bar as progress_bar
from prb.kernels.arrays import vec3f, vec10f
from prb.kernels.backend import ti
from prb.kernels.estimators import launch as kernel
from prb.kernels.estimators import modes
from prb.kernels.estimators.attached import SIZE as STATE_SIZE
from prb.kernels.estimators.density import SUFFIXED
from prb.kernels.points import INDEPENDENT

BATCHES = 8  # for a variance, where there are as many samples
FILTERED_BATCHES = 16  # the same where samples count in several pixels
HEADROOM = 36  # bits of a fixed-point gradient for the largest derivative of one sample


@locked
def integrate(
    scene,
    mode,
    *,
    spp=None,
    seed=0,
    max_depth=None,
    rr_depth=None,
    sensor=None,
    values=None,
    image_adjoint=None,
    param_tangents=None,
    names=None,
    passes=1,
    first_sample=0,
    variance=False,
    deterministic=False,
    folds=None,
    weights=None,
    normalised_alone=False,
    kept=None,
    density=DEFAULT,
    attached="",
    noise=0.0,
    progress=False,
    label="render",
) -> Result:
    """Trace spp samples of every pixel in a mode of kernels/estimators/modes.py. Returns a `Result`.

    spp, max_depth, rr_depth, sensor, values: None: the scene's. rr_depth: vertices before Russian roulette.
    values: the whole parameter buffer, float32; the scene's own values stay as they are.
    image_adjoint: (height, width, 3), derivative of the objective with respect to the image; or one for each
        fold, (folds, height, width, 3), for the samples of that fold.
    param_tangents: float32, one number for each parameter.
    names: the parameters that are differentiated; None: all but vertex normals and directions.
    passes: the least number of parts of about equal size into which the samples are split.
    first_sample: number of the first sample, so that a render can be continued.
    variance: of the gradient or the tangent as well; needs two samples.
    deterministic: the same bits however many threads there are. A picture always has them; a gradient that
        many workers add to is then summed in fixed point.
    folds: parts of about equal size that the samples are split into, whose sums the `Result` has.
    weights: (height, width), the sums of the samples' weights, by which the image_adjoint is divided (reverse
        mode); None: those of the samples that are traced.
    normalised_alone: there is a second gradient, of these samples divided by their own weights.
    kept: `KeptVertices`, where each of the two sweeps of reverse mode is a call of its own: the first returns
        only the image, the second only the gradient.
    density: how derivatives by the extinction of media are found: a method of prb/estimators/density.py.
    attached: how an attached replay finds its cotangents, "kept" (kernels/estimators/attached.py) or
        "inverse" (kernels/estimators/inverse.py); "" for detached sampling.
    noise: that "inverse" adds to the Jacobians of rays.
    progress: a bar on standard error, if that is a terminal.
    """
    scene = scene.view(sensor)
    settings = resolved(
        scene, spp=spp, seed=seed, max_depth=max_depth, rr_depth=rr_depth, first_sample=first_sample
    )
    spp = settings.spp
    settings = replace(settings, parts=folds or 1)
    check_passes(passes, spp)
    if variance:
        if spp < 2:
            raise ParameterError("spp: 1 sample has no standard error; take 2 at least")
        shared = settings.sampler != INDEPENDENT  # points, so that samples are not independent
        if shared or (mode == modes.REVERSE and reach(scene.film)):
            return _by_batches(
                scene, mode, settings, values=values, image_adjoint=image_adjoint,
                param_tangents=param_tangents, names=names, deterministic=deterministic, density=density,
                attached=attached, noise=noise, progress=progress, label=label,
            )  # fmt: skip
        passes = max(passes, min(spp, BATCHES)) if mode == modes.REVERSE else passes
    pixels = work.sampled_pixels(scene)
    with device_values(scene, values):
        arrays = scene.device_arrays()
        plan = work.device_plan()
        plan = replace(plan, paths=min(plan.paths, pixels * math.ceil(spp / passes)))
        if variance:  # each worker's sums are compared between batches
            plan = replace(plan, gradient_copies=plan.workers)
        size = work.gradient_size(scene, names)
        cut = work.cut(plan, scene, mode, spp, size, folds)
        copies = cut.gradient_copies
        exclusive = mode == modes.REVERSE and runtime.on_cpu() and copies == cut.workers
        integers = deterministic and mode == modes.REVERSE and not exclusive
        if integers and not runtime.adds_integers():
            why = f"{runtime.arch()} cannot add 64-bit integers"
            raise ParameterError(f"deterministic: {why}; leave it out, or use the CPU")
        derives = mode not in (modes.PRIMAL, modes.RESHADED)
        orientations = derives and work.has_orientations(scene, names)
        moves = work.moving(scene, names) if derives and kept is None else {}
        if moves:
            attached = moves["attached"]
            if moves["camera"]:
                scene.differentiate_camera()
            if moves["vertices"]:
                scene.number_vertices()
                arrays = scene.device_arrays()
        by_density = work.density(scene, names, kernel_name(density)) if derives else ""
        flags = dict(
            exclusive=exclusive, integers=integers, orientations=orientations, density=by_density,
            attached=attached, placements=bool(attached) and work.has_placements(scene, names),
        ) | moves  # fmt: skip
        execution = work.execution(plan, sampler=settings.sampler, **flags)

        sweeps = (0, 2) if kept is None else kept.sweeps
        differentiates = mode == modes.REVERSE and sweeps[1] == 2
        forward = mode == modes.FORWARD
        rows = differentiates and kept is None and attached != "inverse"  # both sweeps in one launch
        size_of_vertex = STATE_SIZE if attached else vertex_size(scene)
        items = cut.pixels * cut.items_per_pixel
        picture = tangents = None
        if work.takes_samples(scene, mode, folds):
            picture = Reconstruction(scene, settings, folds=folds or 1)
            tangents = Reconstruction(scene, settings) if forward else None
        adjoints = []
        if differentiates:
            own = sample_weights(scene, settings) if weights is None or normalised_alone else None
            adjoints = [divided(image_adjoint, scene.film, own if weights is None else weights)]
            if normalised_alone:
                adjoints.append(divided(image_adjoint, scene.film, own))
                sweeps = 0, 3
        element = ti.i64 if integers else ti.f32
        length = (
            max(len(adjoints), 1) * copies * size + integers
        )  # integers: one more counts the contributions that do not fit
        outputs = Outputs(
            image=_of_items("image", items, picture is not None),
            sample_adjoint=unused(1, vec3f),
            image_tangent=(
                _of_items("image tangent", items, picture is not None) if forward else unused(1, vec3f)
            ),
            image_moment=_of_items("image moment", items, picture is not None)
            if forward
            else unused(1, vec3f),
            gradient=output(length, element) if differentiates else unused(1, element),
            param_tangents=passed(np.asarray(param_tangents, np.float32)) if forward else unused(1),
            kept_vertices=(
                scratch("kept vertices", (cut.workers, size_of_vertex * plan.kept_vertices), ti.f32)
                if rows
                else unused((1, 1))
            ),
            kept_paths=unused(1, vec10f),
            kept_probes=unused((1, 1)),
            rejected=output(1, ti.i32),
        )
        scale = min(_fixed_point_scale(adjoint, scene) for adjoint in adjoints) if integers else 1.0
        sums = Sums(pixels, spp, outputs, picture, tangents, forward=forward, variance=variance)
        if differentiates:
            sums.start_gradient(max(scene.values.size, 1), len(adjoints), copies, size, scale, integers)

        selection = 0.0 if mode == modes.PRIMAL else work.min_selection(scene, names)
        launch = work.new_launch(scene, settings, min_selection=selection, noise=noise)
        work.set_gradient(launch, copies=copies, size=size, fixed_point_scale=scale)
        work.set_sweeps(launch, sweeps)
        bar = dict(total=pixels * spp, desc=label, unit="path", unit_scale=True, delay=0.5)
        with progress_bar(progress, **bar) as bar:
            for piece in work.pieces(cut, pixels, spp):
                first = settings.first_sample + piece.first_sample
                work.set_samples(
                    launch, first_pixel=piece.first_pixel, first_sample=first,
                    items_per_pixel=piece.items_per_pixel, samples_per_item=piece.samples_per_item,
                )  # fmt: skip
                workers = work.distribute_items(launch, piece.items, cut.workers, plan)
                if kept is not None:
                    probes = by_density in SUFFIXED
                    own = kept.of_launch(piece.first_pixel, first, workers, piece.paths, probes=probes)
                    outputs.kept_vertices, outputs.kept_paths, outputs.kept_probes = own
                for reconstruction in (picture, tangents):
                    if reconstruction is not None:
                        reconstruction.begin(launch, piece)
                if differentiates:
                    outputs.sample_adjoint = picture.pull_back(*adjoints)
                sums.clear_gradient()
                kernel.trace_paths(
                    scene.layout.features, execution, mode, launch, *arrays, *vars(outputs).values()
                )
                whole = (piece.items_per_pixel, piece.samples_per_item) == cut[1:3]
                sums.add(piece, is_batch=whole, with_image=sweeps[0] == 0)
                bar.update(piece.paths)
        return sums.result(scene)


def _by_batches(scene, mode, settings, *, progress, label, **options):
    """A derivative and its variance from the scatter of batches: a gradient where samples count in several
    pixels, and both where the samples of a pixel share points, of which each batch has its own.

    For the variance each batch is normalised by the weights of its own samples: batches are independent
    then, and what normalising takes from the noise is seen. A worker's sums are no batches (see
    `BatchVariance`), as neighbouring workers share pixels. The gradient is that of all samples, as without a
    variance; both are found along the same paths.
    """
    spp, reverse = settings.spp, mode == modes.REVERSE
    bounds = fold_bounds(spp, min(spp, FILTERED_BATCHES))
    counts, found = np.diff(bounds), []
    common = dict(seed=settings.seed, max_depth=settings.max_depth, rr_depth=settings.rr_depth, **options)
    if reverse:
        weights = sample_weights(scene, replace(settings, parts=len(counts)))
        common |= dict(weights=weights, normalised_alone=True)
    with progress_bar(progress, total=len(counts), desc=label, unit="batch", delay=0.5) as bar:
        for first, count in zip(bounds, counts, strict=False):
            first_sample = settings.first_sample + first
            found.append(integrate(scene, mode, spp=int(count), first_sample=first_sample, **common))
            bar.update()
    result = functools.reduce(Result.merge, found)
    if reverse:
        result.gradient = sum(batch.gradient for batch in found)
    alone = np.stack([batch.gradient_alone if reverse else batch.tangent for batch in found])
    mean = np.average(alone, axis=0, weights=counts)
    scatter = sum(n * (each - mean) ** 2 for n, each in zip(counts, alone, strict=True))
    result.variance = scatter / ((len(counts) - 1) * spp)
    return result


@dataclass
class Outputs:
    """The arrays that `kernels.estimators.launch.trace_paths` takes beside the scene's, in its order."""

    image: object
    sample_adjoint: object
    image_tangent: object
    image_moment: object
    gradient: object
    param_tangents: object
    kept_vertices: object
    kept_paths: object
    kept_probes: object
    rejected: object


def _of_items(name, items, are_samples):
    """One RGB for each work item of a launch. Samples go on to the filter on the device."""
    return scratch(name, items, vec3f) if are_samples else output(items, vec3f)


def _fixed_point_scale(adjoint, scene):
    """Fixed-point steps per unit of gradient: a power of two, 2^36 for the largest derivative of a sample."""
    largest = float(np.abs(fetch(adjoint)).max()) * largest_weight(scene.film)
    return float(2.0 ** (HEADROOM - math.ceil(math.log2(largest)))) if largest > 0 else 1.0
