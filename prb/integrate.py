"""Launches of the path tracer: a render in chunks small enough that memory stays constant, a progress
bar moves and Ctrl-C works, summed in float64 on the host."""

import math
from dataclasses import dataclass, replace

import numpy as np
import taichi as ti
from tqdm import tqdm

from prb import runtime
from prb.device import upload, zeros
from prb.errors import ParameterError
from prb.kernels import path
from prb.kernels.view import vec3f, vec16f

UNLIMITED = 2**30
MAX_SPP = 2**30


@dataclass(frozen=True)
class Plan:
    """How launches are cut on one kind of device.

    paths: of one launch, about. workers: concurrent threads' worth of state. items: work items wanted at
    least, so that a small image still fills the device. block: workers of a thread block. stride, cached:
    see `kernels.view.Features`. sums: floats in the replicated gradient buffers, about.
    """

    paths: int
    workers: int
    items: int
    block: int
    stride: int
    cached: int
    sums: int


CPU = Plan(paths=2**19, workers=512, items=64, block=1, stride=512, cached=256, sums=2**20)
GPU = Plan(paths=2**22, workers=2**18, items=2**18, block=128, stride=1, cached=16, sums=2**22)


@dataclass
class Result:
    """image: mean radiance (height, width, 3) float64. gradient: J^T image_adjoint as one float64 vector
    over all parameters, in reverse mode. tangent: J t (height, width, 3), in forward mode.
    rejected: paths left out because a contribution was not finite."""

    image: np.ndarray
    gradient: np.ndarray | None = None
    tangent: np.ndarray | None = None
    rejected: int = 0


def check_samples(spp, seed, max_depth):
    """Raise ParameterError unless all three are usable."""
    for name, x, low, high in (
        ("spp", spp, 1, MAX_SPP),
        ("seed", seed, 0, 2**32 - 1),
        ("max_depth", max_depth, -1, UNLIMITED),
    ):
        if isinstance(x, bool) or not isinstance(x, (int, np.integer)):
            raise ParameterError(f"{name}: expected a whole number, got {x!r}")
        if not low <= x <= high:
            raise ParameterError(f"{name}: {x} is out of range; it goes from {low} to {high}")


def check_passes(passes, spp):
    """Raise ParameterError unless the samples can be split that way."""
    if isinstance(passes, bool) or not isinstance(passes, int) or not 1 <= passes <= spp:
        raise ParameterError(f"passes: {passes!r} is out of range; it goes from 1 to spp, {spp}")


def integrate(
    scene,
    mode,
    *,
    spp=None,
    seed=0,
    max_depth=None,
    image_adjoint=None,
    param_tangents=None,
    passes=1,
    progress=False,
    label="render",
):
    """Trace spp samples of every pixel in one of the modes of kernels/path.py. Returns a `Result`.

    image_adjoint: (height, width, 3), derivative of the objective with respect to the image.
    param_tangents: float32, one number for each parameter.
    passes: parts of about equal size that the samples are split into, at least.
    progress: a bar on standard error, if that is a terminal.
    """
    spp = scene.sensor.sample_count if spp is None else spp
    max_depth = scene.model.integrator.max_depth if max_depth is None else max_depth
    check_samples(spp, seed, max_depth)
    check_passes(passes, spp)
    arrays = scene.device_arrays()
    plan = CPU if runtime.on_cpu() else GPU
    height, width, _ = scene.image_shape
    pixels = height * width
    plan = replace(plan, paths=min(plan.paths, pixels * math.ceil(spp / passes)))
    size = max(scene.values.size, 1)
    chunk, splits, samples, workers, replicas = cut(plan, scene, mode, spp)
    exclusive = mode == path.REVERSE and runtime.on_cpu() and replicas == workers
    kernel = dict(block=plan.block, stride=plan.stride, cached=plan.cached)
    features = replace(scene.layout.features, exclusive=exclusive, **kernel)

    image = zeros(pixels, vec3f)
    none = zeros(1, vec3f)
    adjoint = none if image_adjoint is None else upload(_per_sample(image_adjoint, spp), vec3f)
    tangent = zeros(pixels, vec3f) if mode == path.FORWARD else none
    gradient = zeros(replicas * size if mode == path.REVERSE else 1)
    tangents = zeros(1) if param_tangents is None else upload(np.asarray(param_tangents, np.float32))
    cache_shape = (workers, plan.cached) if mode != path.PRIMAL else (1, 1)
    cache = zeros(cache_shape, vec16f)
    rejected = zeros(1, ti.i32)

    result = Result(np.zeros((pixels, 3)))
    result.gradient = np.zeros(size) if mode == path.REVERSE else None
    result.tangent = np.zeros((pixels, 3)) if mode == path.FORWARD else None

    launch = prepare_launch(scene, seed, max_depth)
    launch.replicas = replicas
    hidden = None if progress else True  # None: shown on a terminal
    with tqdm(
        total=pixels * spp, desc=label, unit="path", unit_scale=True, delay=0.5, disable=hidden, leave=False
    ) as bar:
        for first_pixel in range(0, pixels, chunk):
            count = min(chunk, pixels - first_pixel)
            done = 0
            while done < spp:
                if spp - done < samples * splits:
                    samples_now, splits_now = (1, spp - done) if splits > 1 else (spp - done, 1)
                else:
                    samples_now, splits_now = samples, splits
                items = count * splits_now
                launch.workers = whole_blocks(min(workers, items), plan.block)
                launch.share = math.ceil(items / launch.workers)
                launch.items, launch.splits, launch.samples = items, splits_now, samples_now
                launch.first_pixel, launch.first_sample = first_pixel, done
                path.trace_paths(
                    features, mode, launch, *arrays,
                    image, adjoint, tangent, gradient, tangents, cache, rejected,
                )  # fmt: skip
                _drain(image, result.image)
                if mode == path.FORWARD:
                    _drain(tangent, result.tangent)
                if mode == path.REVERSE:
                    result.gradient += (
                        gradient.to_numpy().reshape(replicas, size).sum(axis=0, dtype=np.float64)
                    )
                    gradient.fill(0)
                done += samples_now * splits_now
                bar.update(count * samples_now * splits_now)
    result.image = (result.image / spp).reshape(height, width, 3)
    if mode == path.FORWARD:
        result.tangent = (result.tangent / spp).reshape(height, width, 3)
    if mode == path.REVERSE:
        result.gradient = result.gradient[: scene.values.size]
    result.rejected = int(rejected.to_numpy()[0])
    return result


def cut(plan, scene, mode, spp):
    """How a render is cut: (pixels of a launch, items of a pixel, samples of an item, workers, replicas)."""
    height, width, _ = scene.image_shape
    chunk = min(height * width, plan.paths)
    wanted = min(spp, max(1, plan.paths // chunk))
    splits = min(wanted, math.ceil(plan.items / chunk))
    workers = whole_blocks(min(plan.workers, chunk * splits), plan.block)
    replicas = max(1, min(workers, plan.sums // max(scene.values.size, 1))) if mode == path.REVERSE else 1
    return chunk, splits, wanted // splits, workers, replicas


def device_bytes(scene, mode, spp):
    """Bytes that `integrate` allocates on the device, the scene's own arrays not counted."""
    runtime.ensure()
    plan = CPU if runtime.on_cpu() else GPU
    workers, replicas = cut(plan, scene, mode, spp)[3:]
    height, width, _ = scene.image_shape
    images = 1 if mode == path.PRIMAL else 2  # and the adjoint's or the tangent's
    cache = 0 if mode == path.PRIMAL else 64 * plan.cached * workers
    return 12 * height * width * images + 4 * replicas * max(scene.values.size, 1) + cache


def prepare_launch(scene, seed, max_depth):
    """A `Launch` with what does not change from launch to launch."""
    film = scene.film
    return path.Launch(
        seed=int(np.uint32(seed).view(np.int32)),
        crop_x=film.crop_offset[0],
        crop_y=film.crop_offset[1],
        width=film.crop_size[0],
        film_width=film.width,
        max_depth=UNLIMITED if max_depth < 0 else max_depth,
        rr_depth=min(scene.model.integrator.rr_depth, UNLIMITED),
        environment=scene.layout.environment,
    )


def whole_blocks(workers, block):
    """At least that many workers, in whole thread blocks: Taichi's Vulkan backend drops a partial one."""
    return block * math.ceil(workers / block)


def _per_sample(image_adjoint, spp):
    """The objective's derivative with respect to one sample: (pixels, 3) float32."""
    return (np.asarray(image_adjoint, np.float64) / spp).astype(np.float32).reshape(-1, 3)


def _drain(device, total):
    """Move the sums of one launch to the host's float64, so that float32 never holds many samples."""
    total += device.to_numpy()
    device.fill(0)
