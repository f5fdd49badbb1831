"""Launches: workers trace the samples of their work items, and sum them up."""

from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f, vec10f
from prb.kernels.backend import ti
from prb.kernels.camera import sample_ray
from prb.kernels.estimators import modes
from prb.kernels.estimators.kept_vertices import Row, pack_path, unpack_path
from prb.kernels.estimators.modes import Sums, is_usable, two_sum
from prb.kernels.estimators.path import Li
from prb.kernels.estimators.vertex import FIRST_RAY_DENSITY, Ray
from prb.kernels.frame import vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import CAMERA, Sampler, draw
from prb.kernels.view import SceneView, new_stack


@ti.dataclass
class Launch:
    """Which samples of which pixels one launch traces, and how far.

    A work item is `samples_per_item` consecutive samples of one pixel; `items_per_pixel` items share a pixel.
    Items [0, items) belong to the pixels from first_pixel on, in rows of the crop window. Worker w does the
    items [w * items_per_worker, (w + 1) * items_per_worker).
    """

    workers: ti.i32
    worker_stride: ti.i32  # from one thread's worker to the next thread's, modulo `workers`
    items: ti.i32
    items_per_worker: ti.i32
    items_per_pixel: ti.i32
    samples_per_item: ti.i32
    first_pixel: ti.i32
    first_sample: ti.i32
    seed: ti.i32
    crop_x: ti.i32
    crop_y: ti.i32
    width: ti.i32  # of the crop window
    film_width: ti.i32
    max_depth: ti.i32  # edges of a path at most
    max_vertices: ti.i32  # vertices of a path at most: max_depth, or one less if no ray can find a light
    rr_depth: ti.i32  # edges from which on roulette is played
    environment: ti.i32  # entry of `lights`, or -1
    min_selection: ti.f32  # smallest part of the samples of a leaf whose weight is being differentiated
    gradient_copies: ti.i32  # copies of the gradient in its buffer
    gradient_size: ti.i32  # numbers of a copy; parameters at or beyond this offset are skipped
    fixed_point_scale: ti.f32  # fixed-point steps per unit of gradient
    first_sweep: ti.i32  # the sweeps [first_sweep, end_sweep) of reverse mode; where that is one of them,
    end_sweep: ti.i32  # `kept_paths` holds the paths
    second_half_from: ti.i32  # samples from there on have an image and an image adjoint of their own
    pixels: ti.i32  # of each of the two image adjoints


@ti.func
def film_place(launch, pixel):
    """A pixel's column and row in the crop window, and its number in the film, which random numbers go by."""
    column = pixel % launch.width
    row = pixel // launch.width
    return column, row, (launch.crop_y + row) * launch.film_width + launch.crop_x + column


@ti.func
def camera_ray(sensor: ti.template(), launch, column, row, sampler):
    """The ray with which a sample of a pixel begins."""
    u = draw(sampler, 0, CAMERA)
    o, d, t_max = sample_ray(sensor, launch, column, row, u)
    return Ray(o=o, d=d, t_max=t_max, previous=o, pdf=FIRST_RAY_DENSITY)


@ti.kernel
def trace_paths(
    features: ti.template(),
    execution: ti.template(),
    mode: ti.template(),
    launch: Launch,
    arrays: SceneArrays,
    sensor: SensorArrays,
    image: ti.types.ndarray(vec3f, ndim=1),
    image_adjoint: ti.types.ndarray(vec3f, ndim=1),
    image_tangent: ti.types.ndarray(vec3f, ndim=1),
    image_moment: ti.types.ndarray(vec3f, ndim=1),
    gradient_buffer: ti.types.ndarray(ndim=1),
    tangents: ti.types.ndarray(ti.f32, ndim=1),
    kept_rows: ti.types.ndarray(ti.f32, ndim=2),
    kept_paths: ti.types.ndarray(vec10f, ndim=1),
    rejected: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace one launch. Writes image, the sum of each work item's samples, and by mode adds to
    gradient_buffer or writes image_tangent.

    image, image_tangent, image_moment (squares of the samples' tangents): one RGB per work item; where
    reverse mode's first sweep is a launch of its own, image_tangent is that of the second half's samples.
    image_adjoint: one per pixel of the crop window, dL, the derivative of the objective with respect to one
    sample's radiance; then those of the second half. gradient_buffer: `gradient_copies` copies of the
    parameters' adjoint, floats, or fixed-point integers. tangents: of the parameters. kept_rows: a row for
    each worker, see kernels/estimators/kept_vertices.py. kept_paths: one for each path, where sweeps are
    launches of their own. rejected: [0] counts paths left out as a contribution is not finite.
    """
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride) * launch.worker_stride % launch.workers
        stack = new_stack(features.stack)
        scene = SceneView(features, execution, arrays, launch.min_selection, stack)
        block = (worker % launch.gradient_copies) * launch.gradient_size
        gradient = GradientBlock(
            execution, gradient_buffer, block, launch.gradient_size, launch.fixed_point_scale
        )
        free = 0  # where this worker's row of kept vertices is free
        first_item = worker * launch.items_per_worker
        for item in range(first_item, ti.min(first_item + launch.items_per_worker, launch.items)):
            pixel = launch.first_pixel + item // launch.items_per_pixel
            column, row_of_pixel, film_pixel = film_place(launch, pixel)
            radiance = vec3(0.0, 0.0, 0.0)  # sum over the item's samples
            radiance_low = vec3(0.0, 0.0, 0.0)
            radiance_second = vec3(0.0, 0.0, 0.0)
            radiance_tangent = vec3(0.0, 0.0, 0.0)
            moment = vec3(0.0, 0.0, 0.0)
            for s in range(launch.samples_per_item):
                sample = launch.first_sample + (item % launch.items_per_pixel) * launch.samples_per_item + s
                sampler = Sampler(pixel=film_pixel, sample=sample, seed=launch.seed)
                zero = vec3(0.0, 0.0, 0.0)
                sums = Sums(L=zero, L_low=zero, Z=zero, tangent=zero, dL=zero)
                first = free  # where the path's vertices begin in the row; -1: they are not kept
                first_sweep, end_sweep = 0, 1
                if ti.static(mode == modes.REVERSE):
                    first_sweep, end_sweep = launch.first_sweep, launch.end_sweep
                    if end_sweep == 2:
                        half = ti.select(sample >= launch.second_half_from, launch.pixels, 0)
                        sums.dL = image_adjoint[pixel + half]  # fault: another-pixels-derivative
                    if first_sweep == 1:
                        L, L_low, Z, kept_first = unpack_path(kept_paths[item * launch.samples_per_item + s])
                        sums.L = L
                        sums.L_low = L_low
                        sums.Z = Z
                        first = kept_first
                primary = Ray(t_max=0.0, pdf=FIRST_RAY_DENSITY)
                if first_sweep == 0 or first < 0:
                    primary = camera_ray(sensor, launch, column, row_of_pixel, sampler)
                row = Row(worker=worker, first=first, at=first, length=0)
                for sweep in range(first_sweep, end_sweep):
                    row.at = row.first
                    row.length = 0
                    active = launch.max_vertices > 0
                    if sweep == 1:
                        usable = is_usable(sums.L) & is_usable(sums.Z)  # fault: last-vertex-forgotten
                        active = active & usable
                    Li(
                        mode, scene, launch, sampler, primary, sweep, active, sums, kept_rows, row,
                        gradient, tangents,
                    )  # fmt: skip
                    if sweep == 0:
                        if is_usable(sums.L) & is_usable(sums.Z) & is_usable(sums.tangent):
                            if sample >= launch.second_half_from:
                                radiance_second += sums.L + sums.L_low
                            else:
                                radiance, radiance_low = two_sum(radiance, radiance_low, sums.L + sums.L_low)
                            radiance_tangent += sums.tangent
                            moment += sums.tangent * sums.tangent
                        else:
                            rejected[0] += 1
                        if ti.static(mode == modes.REVERSE):
                            if end_sweep == 1:
                                path = pack_path(sums.L, sums.L_low, sums.Z, row.first)
                                kept_paths[item * launch.samples_per_item + s] = path
                                free = ti.select(row.first >= 0, row.at, free)
            image[item] = radiance + radiance_low
            if launch.end_sweep == 1:
                image_tangent[item] = radiance_second
            if ti.static(mode == modes.FORWARD):
                image_tangent[item] = radiance_tangent
                image_moment[item] = moment
