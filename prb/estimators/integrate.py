"""`integrate`: the path tracer, in launches small enough for constant memory, a progress bar and Ctrl-C;
their outputs are summed in float64 on the host."""

import math
from dataclasses import dataclass, replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import output, passed, scratch, unused
from prb.device.lock import locked
from prb.errors import ParameterError
from prb.estimators import work
from prb.estimators.settings import UNLIMITED, check_passes, resolved
from prb.estimators.sums import Result, Sums, first_half, per_sample
from prb.estimators.values import device_values
from prb.io.progress import bar as progress_bar
from prb.kernels.arrays import vec3f, vec10f
from prb.kernels.backend import ti
from prb.kernels.estimators import launch as kernel
from prb.kernels.estimators import modes
from prb.kernels.estimators.kept_vertices import VERTEX_SIZE

BATCHES = 8  # for a variance, where there are as many samples
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
    kept=None,
    progress=False,
    label="render",
) -> Result:
    """Trace spp samples of every pixel in a mode of kernels/estimators/modes.py. Returns a `Result`.

    spp, max_depth, rr_depth, sensor, values: None: the scene's. rr_depth: vertices before Russian roulette.
    values: the whole parameter buffer, float32; the scene's own values stay as they are.
    image_adjoint: (height, width, 3), derivative of the objective with respect to the image.
    param_tangents: float32, one number for each parameter.
    names: the parameters that are differentiated; None: all but vertex normals and directions.
    passes: the least number of parts of about equal size into which the samples are split.
    first_sample: number of the first sample, so that a render can be continued.
    variance: of the gradient or the tangent as well; needs two samples.
    deterministic: the same bits however many threads there are. A picture always has them; a gradient that
        many workers add to is then summed in fixed point.
    kept: `KeptVertices`, where each of the two sweeps of reverse mode is a call of its own: the first returns
        only the image and those of the two halves of the samples, the second only the gradient; its
        image_adjoint is (2, height, width, 3), one image for the samples of each half.
    progress: a bar on standard error, if that is a terminal.
    """
    scene = scene.view(sensor)
    settings = resolved(
        scene, spp=spp, seed=seed, max_depth=max_depth, rr_depth=rr_depth, first_sample=first_sample
    )
    spp = settings.spp
    check_passes(passes, spp)
    if variance:
        if spp < 2:
            raise ParameterError("spp: 1 sample has no standard error; take 2 at least")
        passes = max(passes, min(spp, BATCHES))
    height, width, _ = scene.image_shape
    pixels = height * width
    with device_values(scene, values):
        arrays = scene.device_arrays()
        plan = work.device_plan()
        plan = replace(plan, paths=min(plan.paths, pixels * math.ceil(spp / passes)))
        if variance:  # each worker's sums are compared between batches
            plan = replace(plan, gradient_copies=plan.workers)
        size = work.gradient_size(scene, names)
        cut = work.cut(plan, scene, mode, spp, size)
        copies = cut.gradient_copies
        exclusive = mode == modes.REVERSE and runtime.on_cpu() and copies == cut.workers
        integers = deterministic and mode == modes.REVERSE and not exclusive
        if integers and not runtime.adds_integers():
            why = f"{runtime.arch()} cannot add 64-bit integers"
            raise ParameterError(f"deterministic: {why}; leave it out, or use the CPU")
        orientations = mode != modes.PRIMAL and work.has_orientations(scene, names)
        flags = dict(exclusive=exclusive, integers=integers, orientations=orientations)
        execution = work.execution(plan, **flags)

        sweeps = (0, 2) if kept is None else kept.sweeps
        differentiates = mode == modes.REVERSE and sweeps[1] == 2
        forward, halves = mode == modes.FORWARD, mode == modes.REVERSE and not differentiates
        rows = differentiates and kept is None  # both sweeps in one launch
        element = ti.i64 if integers else ti.f32
        length = copies * size + integers  # integers: one more counts the contributions that do not fit
        outputs = Outputs(
            image=output(cut.pixels * cut.items_per_pixel, vec3f),
            image_adjoint=(
                passed(per_sample(image_adjoint, spp), vec3f) if differentiates else unused(1, vec3f)
            ),
            image_tangent=_images(cut, forward or halves),
            image_moment=_images(cut, forward),
            gradient=output(length, element) if differentiates else unused(1, element),
            param_tangents=passed(np.asarray(param_tangents, np.float32)) if forward else unused(1),
            kept_vertices=(
                scratch((cut.workers, VERTEX_SIZE * plan.kept_vertices), ti.f32) if rows else unused((1, 1))
            ),
            kept_paths=unused(1, vec10f),
            rejected=output(1, ti.i32),
        )
        scale = _fixed_point_scale(image_adjoint, spp) if integers else 1.0
        sums = Sums(pixels, spp, outputs, forward=forward, halves=halves, variance=variance)
        if differentiates:
            sums.start_gradient(max(scene.values.size, 1), copies, size, scale, integers)

        selection = 0.0 if mode == modes.PRIMAL else work.min_selection(scene, names)
        launch = work.new_launch(scene, settings, min_selection=selection)
        work.set_gradient(launch, copies=copies, size=size, fixed_point_scale=scale)
        work.set_sweeps(launch, sweeps, UNLIMITED if kept is None else first_half(spp), pixels)
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
                    own = kept.of_launch(piece.first_pixel, first, workers, piece.paths)
                    outputs.kept_vertices, outputs.kept_paths = own
                sums.clear_gradient()
                kernel.trace_paths(
                    scene.layout.features, execution, mode, launch, *arrays, *vars(outputs).values()
                )
                whole = (piece.items_per_pixel, piece.samples_per_item) == cut[1:3]
                sums.add(piece, is_batch=whole)
                bar.update(piece.paths)
        return sums.result(scene)


@dataclass
class Outputs:
    """The arrays that `kernels.estimators.launch.trace_paths` takes beside the scene's, in its order."""

    image: object
    image_adjoint: object
    image_tangent: object
    image_moment: object
    gradient: object
    param_tangents: object
    kept_vertices: object
    kept_paths: object
    rejected: object


def _images(cut, wanted):
    """One RGB for each work item of a launch, if any are wanted."""
    return output(cut.pixels * cut.items_per_pixel, vec3f) if wanted else unused(1, vec3f)


def _fixed_point_scale(image_adjoint, spp):
    """Fixed-point steps per unit of gradient: a power of two, 2^36 for the largest derivative of a sample."""
    largest = np.abs(image_adjoint).max() / spp
    return float(2.0 ** (HEADROOM - math.ceil(math.log2(largest)))) if largest > 0 else 1.0
