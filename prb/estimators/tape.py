"""The tape's host side: what it allocates, and the order in which its kernels run."""

import math
from dataclasses import replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import clear, empty, upload, zeros
from prb.errors import MemoryLimitError, ParameterError
from prb.estimators.integrate import (
    CPU,
    GPU,
    Result,
    check_passes,
    check_samples,
    least_share,
    prepare_launch,
    share_out,
    turns,
)
from prb.io.progress import bar as progress_bar
from prb.kernels.arrays import vec3f, vec4i, vec8f, vec12f, vec16f
from prb.kernels.backend import ti
from prb.kernels.estimators import tape
from prb.kernels.view import Execution

SHARE_OF_FREE = 0.8  # of the device's free memory, unless the caller sets a limit
PATH_BYTES = 64 + 12 + 12 + 12 + 12 + 12  # state, L and its adjoint, beta_0, two slices of beta's adjoint
BOUNCE_BYTES = 16 + 48 + 12  # of a path: vertex_i, vertex_f, beta
TEXTURE_BYTES = 32  # vertex_t, where the scene has textures
REPLICAS = 1024


def device_bytes(scene, *, spp, max_depth, passes=1, names=None):
    """Bytes that the tape allocates on the device for one pass, the scene's own arrays not counted."""
    paths = _paths(scene) * math.ceil(spp / passes)
    copies = 2 * 4 * max(scene.values.size, 1) * _replicas(scene)
    return paths * (PATH_BYTES + bounce_bytes(scene, names) * max_depth) + copies


def bounce_bytes(scene, names=None):
    """Bytes of one bounce of one path."""
    return BOUNCE_BYTES + (TEXTURE_BYTES if _located(scene, names) else 0)


def _located(scene, names):
    return scene.layout.features.textured or turns(scene, names)


def backward(scene, image_adjoint, *, spp, seed, max_depth, passes=1, memory_limit=None, names=None,
             progress=False):  # fmt: skip
    """J^T image_adjoint by the tape, as a `Result`; see `prb.TapeAdjoint`."""
    spp = scene.sensor.sample_count if spp is None else spp
    max_depth = scene.model.integrator.max_depth if max_depth is None else max_depth
    check_samples(spp, seed, max_depth)
    if max_depth < 0:
        raise ParameterError("max_depth: -1 has no end, and a tape needs one; set max_depth, to 16 say")
    check_passes(passes, spp)
    _check_memory(scene, spp, max_depth, passes, memory_limit, names)

    arrays = scene.device_arrays()
    scene_arrays, sensor = arrays
    plan = CPU if runtime.on_cpu() else GPU
    shading = turns(scene, names)
    features = scene.layout.features
    execution = Execution(block=plan.block, stride=plan.stride, orientations=shading)
    unrolled = replace(execution, unrolled=True)
    located = features.textured or shading
    height, width, _ = scene.image_shape
    pixels = height * width
    chunk = math.ceil(spp / passes)
    size, replicas = max(scene.values.size, 1), _replicas(scene)
    paths = pixels * chunk

    copies = np.zeros(size, np.float32)
    copies[: scene.values.size] = scene.values
    params = _with_adjoint(upload(np.tile(copies, replicas)), zeros(replicas * size))
    tape_memory = Buffers.of(scene, paths, located)
    L, state, slices = tape_memory.L, tape_memory.state, tape_memory.slices
    betas, vertices = tape_memory.betas, tape_memory.vertices
    alive = zeros(1, ti.i32)
    adjoint = np.repeat(np.asarray(image_adjoint, np.float64).reshape(-1, 3) / spp, chunk, axis=0)

    result = Result(np.zeros((pixels, 3)), gradient=np.zeros(size))
    launch = prepare_launch(scene, seed, max_depth)
    launch.min_selection = least_share(scene, names)
    with progress_bar(progress, total=2 * max_depth * passes, desc="tape", unit="bounce", delay=0.5) as bar:
        for first in range(0, spp, chunk):
            samples = min(chunk, spp - first)
            launch.samples_per_item, launch.first_sample = samples, first
            share_out(launch, pixels * samples, plan.workers, plan)

            def shade(kernel, k, paths=launch.items):
                kernel(features, unrolled, paths, replicas, size, scene_arrays, *vertices[k],
                       params, betas[k], betas[k + 1], L)  # fmt: skip

            tape.begin(launch, sensor, state)
            clear(L)
            bounces = 0
            for k in range(max_depth):
                tape_memory.reserve(k)
                clear(alive)
                tape.record(features, execution, launch, k, scene_arrays, state, *vertices[k], alive)
                shade(tape.shade_bounce, k)
                bounces = k + 1
                bar.update()
                if alive.to_numpy()[0] == 0:
                    break
            if samples < chunk:  # the last pass may be smaller
                adjoint = adjoint.reshape(pixels, chunk, 3)[:, :samples].reshape(-1, 3)
            radiance = L.to_numpy()[: launch.items].astype(np.float64)
            usable = np.isfinite(radiance).all(axis=1)
            result.rejected += int((~usable).sum())
            L.grad.from_numpy(_padded(adjoint * usable[:, None], paths))
            clear(params.grad)
            clear(slices[bounces % 2])
            for k in reversed(range(bounces)):
                betas[k + 1]._set_grad(slices[(k + 1) % 2])
                betas[k]._set_grad(slices[k % 2])
                clear(slices[k % 2])
                shade(tape.shade_bounce.grad, k)
                bar.update()
            radiance[~usable] = 0
            result.image += radiance.reshape(pixels, samples, 3).sum(axis=1)
            result.gradient += params.grad.to_numpy().reshape(replicas, size).sum(axis=0, dtype=np.float64)
    result.image = (result.image / spp).reshape(height, width, 3)
    result.gradient = result.gradient[: scene.values.size]
    return result


class Buffers:
    """The tape's arrays for a number of paths. A scene keeps its last ones, as allocating takes longer than
    filling them: a loop of gradients pays for it once. They go with the scene."""

    def __init__(self, generation, paths, located):
        self.generation, self.paths, self.located = generation, paths, located
        self.L = _with_adjoint(empty(paths, vec3f), empty(paths, vec3f))
        self.state = empty(paths, vec16f)
        self.slices = empty(paths, vec3f), empty(paths, vec3f)  # adjoints of beta_k and beta_{k+1}
        self.betas = [empty(paths, vec3f)]
        self.vertices = []
        self.betas[0].fill(1.0)

    @classmethod
    def of(cls, scene, paths, located):
        """The scene's buffers if they are of that size and on the device in use, else new ones."""
        kept = scene.state.tape_buffers
        if kept is None or (
            (kept.generation, kept.paths, kept.located) != (runtime.ensure(), paths, located)
        ):
            scene.state.tape_buffers = None  # let go of the old ones first
            scene.state.tape_buffers = cls(runtime.ensure(), paths, located)
        return scene.state.tape_buffers

    def reserve(self, bounce):
        """Make sure that there is room for a bounce."""
        if bounce == len(self.vertices):
            places = empty(self.paths if self.located else 1, vec8f)
            self.vertices.append((empty(self.paths, vec4i), empty(self.paths, vec12f), places))
            self.betas.append(empty(self.paths, vec3f))

    def nbytes(self):
        """Bytes that are allocated already."""
        bounce = BOUNCE_BYTES + (TEXTURE_BYTES if self.located else 0)
        return self.paths * (PATH_BYTES + bounce * len(self.vertices))


def _paths(scene):
    height, width, _ = scene.image_shape
    return height * width


def _replicas(scene):
    return max(1, min(REPLICAS, CPU.sums // max(scene.values.size, 1)))


def _with_adjoint(array, adjoint):
    array._set_grad(adjoint)
    return array


def _padded(adjoint, paths):
    out = np.zeros((paths, 3), np.float32)
    out[: len(adjoint)] = adjoint
    return out


def _check_memory(scene, spp, max_depth, passes, memory_limit, names):
    """Raise MemoryLimitError, before anything is allocated, if one pass does not fit."""
    runtime.ensure()
    asked = dict(max_depth=max_depth, names=names)
    needed = device_bytes(scene, spp=spp, passes=passes, **asked)
    limit = memory_limit
    free = runtime.free_memory()
    if limit is None and free is not None:
        limit = SHARE_OF_FREE * (
            free + (scene.state.tape_buffers.nbytes() if scene.state.tape_buffers else 0)
        )
    if limit is not None and needed > limit:
        fixed = device_bytes(scene, spp=0, **asked)
        fitting = int((limit - fixed) // (device_bytes(scene, spp=1, **asked) - fixed))  # samples
        split = f"passes={math.ceil(spp / fitting)}" if fitting > 0 else "a smaller film or depth"
        raise MemoryLimitError(
            f"the tape needs {needed / 2**20:.0f} MiB for {spp} spp at depth {max_depth}, its limit is "
            f"{limit / 2**20:.0f} MiB; take fewer samples, {split}, or ReplayAdjoint()",
            needed=needed,
            limit=int(limit),
        )
