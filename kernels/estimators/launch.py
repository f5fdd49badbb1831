"""Launches: workers trace the paths of their work items and sum what these contribute."""

from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f, vec10f
from prb.kernels.backend import ti
from prb.kernels.camera import sample_ray
from prb.kernels.estimators import attached, density, inverse, modes
from prb.kernels.estimators.kept_vertices import Row, pack_path, unpack_path
from prb.kernels.estimators.modes import Sums, is_usable, two_sum
from prb.kernels.estimators.path import Li
from prb.kernels.estimators.vertex import FIRST_RAY_DENSITY, Ray
from prb.kernels.frame import vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import CAMERA, draw, new_sampler
from prb.kernels.step import camera
from prb.kernels.view import SceneView, new_stack

MAX_MARGIN = 64  # pixels around the film that can be sampled on each side
OUTSIDE = -(2**31)  # numbers of the pixels to its left and right begin here


@ti.dataclass
class Launch:
    """Which samples of which pixels one launch traces, and how long paths may become.

    A work item is `samples_per_item` consecutive samples of one pixel, and `items_per_pixel` items make up a
    pixel. The items [0, items) belong to the pixels from first_pixel on, counted row by row in the window
    that is sampled. Worker w processes the items [w * items_per_worker, (w + 1) * items_per_worker).
    """

    workers: ti.i32
    worker_stride: ti.i32  # step between the workers of consecutive threads, modulo `workers`
    items: ti.i32
    items_per_worker: ti.i32
    items_per_pixel: ti.i32
    samples_per_item: ti.i32
    first_pixel: ti.i32
    first_sample: ti.i32
    call_sample: ti.i32  # number of the call's first sample, whose call_spp samples are split into parts with
    call_spp: ti.i32  # points of their own (kernels/points)
    parts: ti.i32
    seed: ti.i32
    crop_x: ti.i32  # first column and row of the sampled window on the film; may be negative
    crop_y: ti.i32
    width: ti.i32  # of the sampled window
    film_width: ti.i32
    max_depth: ti.i32  # largest number of edges of a path
    max_vertices: ti.i32  # largest number of vertices: max_depth, or one less if no ray can hit a light
    rr_depth: ti.i32  # number of edges from which on Russian roulette is played
    medium: ti.i32  # the one that the camera is in, or -1
    environment: ti.i32  # the environment's entry of `lights`, or -1
    min_selection: ti.f32  # smallest selection weight of a leaf; 0 unless weights are differentiated
    gradient_copies: ti.i32  # copies of the gradient in its buffer
    gradient_size: ti.i32  # numbers in a copy; parameters at or beyond this offset are skipped
    fixed_point_scale: ti.f32  # fixed-point steps per unit of gradient
    noise: ti.f32  # that is added to Jacobians of rays (kernels/estimators/inverse.py)
    first_sweep: ti.i32  # reverse mode makes the sweeps [first_sweep, end_sweep); if that is one sweep,
    end_sweep: ti.i32  # `kept_paths` passes the paths from launch to launch


@ti.func
def film_place(launch, pixel):
    """A pixel's column and row in the sampled window, and its number on the film, as the `Sampler` takes it.

    Pixels left and right of the film, which `sample_border` samples, have numbers of their own.
    """
    column = pixel % launch.width
    row = pixel // launch.width
    x, y = launch.crop_x + column, launch.crop_y + row
    number = y * launch.film_width + x
    if (x < 0) | (x >= launch.film_width):
        beyond = ti.select(x < 0, x, x - launch.film_width) + MAX_MARGIN
        number = OUTSIDE + (y + MAX_MARGIN) * (2 * MAX_MARGIN) + beyond
    return column, row, number


@ti.func
def camera_ray(kind: ti.template(), sensor: ti.template(), launch, column, row, sampler):
    """The `Ray` with which a path through a pixel begins."""
    u = draw(kind, sampler, 0, CAMERA)
    o, d, t_max = sample_ray(sensor, launch, column, row, u)
    one = vec3(1.0, 1.0, 1.0)
    return Ray(
        o=o, d=d, t_max=t_max, previous=o, pdf=FIRST_RAY_DENSITY, medium=launch.medium, balance=one
    )  # fmt: skip


@ti.kernel
def trace_paths(
    features: ti.template(),
    execution: ti.template(),
    mode: ti.template(),
    launch: Launch,
    arrays: SceneArrays,
    sensor: SensorArrays,
    image: ti.types.ndarray(vec3f, ndim=1),
    sample_adjoint: ti.types.ndarray(vec3f, ndim=1),
    image_tangent: ti.types.ndarray(vec3f, ndim=1),
    image_moment: ti.types.ndarray(vec3f, ndim=1),
    gradient_buffer: ti.types.ndarray(ndim=1),
    tangents: ti.types.ndarray(ti.f32, ndim=1),
    kept_rows: ti.types.ndarray(ti.f32, ndim=2),
    kept_paths: ti.types.ndarray(vec10f, ndim=1),
    kept_probes: ti.types.ndarray(ti.f32, ndim=2),
    rejected: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace one launch: write the image, and depending on the mode add to the gradient or write the tangent.

    image: RGB sum of the samples of each work item. image_tangent, image_moment: in forward mode, sums of the
    samples' tangents and of their squares, alike. sample_adjoint: grad_L of each work item, the derivative of
    the objective by the radiance of its samples; in reverse mode an item is one sample. If there is a third
    sweep, it repeats the second with the adjoints of a second objective, which follow those of the first.
    gradient_buffer: `gradient_copies` copies of the parameters' gradient, floats or fixed-point integers;
    those of a second objective follow.
    tangents: of the parameters. kept_rows: a row for each worker, see kernels/estimators/kept_vertices.py.
    kept_paths: one for each path, if sweeps are launches of their own; kept_probes: the same of where their
    suffixes begin, if they have any (kernels/estimators/density.py). rejected: [0] counts the paths that
    are skipped because a contribution is not finite, and those of which an attached derivative is not.
    """
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride) * launch.worker_stride % launch.workers
        stack = new_stack(features.stack)
        scene = SceneView(features, execution, arrays, launch.min_selection, stack)
        block = (worker % launch.gradient_copies) * launch.gradient_size
        free = 0  # index from which on this worker's row of kept vertices is free
        first_item = worker * launch.items_per_worker
        for item in range(first_item, ti.min(first_item + launch.items_per_worker, launch.items)):
            pixel = launch.first_pixel + item // launch.items_per_pixel
            column, row_of_pixel, film_pixel = film_place(launch, pixel)
            radiance = vec3(0.0, 0.0, 0.0)  # sums over the item's samples
            radiance_low = vec3(0.0, 0.0, 0.0)
            tangent = vec3(0.0, 0.0, 0.0)
            second_moment = vec3(0.0, 0.0, 0.0)
            for s in range(launch.samples_per_item):
                sample = launch.first_sample + (item % launch.items_per_pixel) * launch.samples_per_item + s
                sampler = new_sampler(execution.sampler, launch, film_pixel, sample)
                zero = vec3(0.0, 0.0, 0.0)
                sums = Sums(L=zero, L_low=zero, Z=zero, dL=zero, grad_L=zero)
                first = free  # index in the row of the path's vertices; -1 if they are not kept
                first_sweep, end_sweep = 0, 1
                if ti.static(mode == modes.REVERSE):
                    first_sweep, end_sweep = launch.first_sweep, launch.end_sweep
                if ti.static(mode == modes.FORWARD and execution.density != ""):
                    end_sweep = 2
                if ti.static(mode == modes.RESHADED):
                    first_sweep, end_sweep = 1, 2
                if ti.static(mode in modes.REPLAYS):
                    if first_sweep == 1:
                        L, L_low, Z, kept_first = unpack_path(kept_paths[item * launch.samples_per_item + s])
                        sums.L = L
                        sums.L_low = L_low
                        sums.Z = Z
                        first = kept_first
                probe = density.new_probe()
                begin, end = first_sweep, end_sweep
                if ti.static(density.has_suffix(scene)):  # the suffix comes before sweep 1
                    begin, end = ti.min(first_sweep, 1), ti.select(end_sweep == 1, 1, end_sweep + 1)
                    if first_sweep == 1:
                        density.unpack(probe, kept_probes, item * launch.samples_per_item + s)
                primary = Ray(t_max=0.0, pdf=FIRST_RAY_DENSITY)
                if first_sweep == 0 or first < 0:
                    primary = camera_ray(execution.sampler, sensor, launch, column, row_of_pixel, sampler)
                row = Row(worker=worker, first=first, end=first, length=0)
                by_ray = inverse.no_derivative()
                lost = 0  # 1 if an attached derivative of the path is not finite
                for part in range(begin, end):
                    sweep = part
                    if ti.static(density.has_suffix(scene)):
                        sweep = ti.select(part <= 1, -part, part - 1)
                    if ti.static(execution.attached == ""):
                        row.end = row.first
                        row.length = 0
                    active = launch.max_vertices > 0
                    which = ti.max(sweep - 1, 0)  # of the adjoints, each of which has a gradient
                    gradient = GradientBlock(
                        execution, gradient_buffer,
                        block + which * launch.gradient_copies * launch.gradient_size,
                        launch.gradient_size, launch.fixed_point_scale, lost,
                    )  # fmt: skip
                    if ti.static(mode == modes.REVERSE):
                        if sweep >= 1:
                            at = which * launch.items
                            sums.grad_L = sample_adjoint[item + at]  # fault: another-pixels-derivative
                    if sweep != 0:
                        usable = is_usable(sums.L) & is_usable(sums.Z)  # fault: last-vertex-forgotten
                        active = active & usable
                    whole = sums
                    if ti.static(density.has_suffix(scene)):
                        if sweep == density.SUFFIX:
                            active = active & (probe.total > 0)
                            sums = Sums(L=zero, L_low=zero, Z=zero, dL=zero, grad_L=zero)
                    if ti.static(execution.attached == "inverse"):
                        inverse.Li(scene, launch, sampler, primary, sweep, active, sums, gradient, by_ray)
                    elif ti.static(execution.attached != ""):
                        first_ray = attached.no_state()
                        if ti.static(mode == modes.FORWARD and execution.camera):
                            u = draw(execution.sampler, sampler, 0, CAMERA)
                            do, dd = camera.push_forward(sensor, launch, tangents, column, row_of_pixel, u)
                            first_ray.o = do
                            first_ray.d = dd
                        attached.Li(
                            mode, scene, launch, sampler, primary, sweep, active, sums, kept_rows, row,
                            gradient, tangents, first_ray,
                        )  # fmt: skip
                        if ti.static(mode == modes.REVERSE and execution.camera):
                            if (sweep >= 1) & active:
                                u = draw(execution.sampler, sampler, 0, CAMERA)
                                camera.pull_back(
                                    sensor, launch, gradient, column, row_of_pixel, u, first_ray.o,
                                    first_ray.d,
                                )  # fmt: skip
                    else:
                        Li(
                            mode, scene, launch, sampler, primary, ti.min(sweep, 1), active, sums, kept_rows,
                            row, gradient, tangents, probe,
                        )  # fmt: skip
                    if ti.static(density.has_suffix(scene)):
                        if sweep == density.SUFFIX:
                            probe.rest = ti.select(is_usable(sums.L), sums.L + sums.L_low, zero)
                            sums = whole
                    if ti.static(execution.attached != "" and mode == modes.REVERSE):
                        if (sweep == 1) & (lost == 1):
                            rejected[0] += 1
                    if ti.static(mode == modes.RESHADED):
                        sums.L_low = vec3(0.0, 0.0, 0.0)
                        sums.Z = vec3(0.0, 0.0, 0.0)
                    counts = sweep == 0 or ti.static(mode == modes.RESHADED)
                    if ti.static(mode == modes.FORWARD):
                        counts = part == end - 1
                    if counts:
                        if is_usable(sums.L) & is_usable(sums.Z) & is_usable(sums.dL):
                            radiance, radiance_low = two_sum(radiance, radiance_low, sums.L + sums.L_low)
                            tangent += sums.dL
                            second_moment += sums.dL * sums.dL
                        else:
                            rejected[0] += 1
                        if ti.static(mode == modes.REVERSE):
                            if end_sweep == 1:
                                path = pack_path(sums.L, sums.L_low, sums.Z, row.first)
                                kept_paths[item * launch.samples_per_item + s] = path
                                if ti.static(density.has_suffix(scene)):
                                    density.pack(probe, kept_probes, item * launch.samples_per_item + s)
                                free = ti.select(row.first >= 0, row.end, free)
            image[item] = radiance + radiance_low
            if ti.static(mode == modes.FORWARD):
                image_tangent[item] = tangent
                image_moment[item] = second_moment
