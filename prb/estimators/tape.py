"""The tape as an adjoint method: what it allocates, and the order in which its kernels run."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from prb.device import runtime
from prb.device.arrays import clear, empty, fetch, passed, unused, upload, zeros
from prb.device.lock import locked
from prb.errors import MemoryLimitError, ParameterError
from prb.estimators import work
from prb.estimators.density import DEFAULT, kernel_name
from prb.estimators.methods import Adjoint
from prb.estimators.reconstruction import Reconstruction, divided, sample_weights
from prb.estimators.settings import check_passes, resolved
from prb.estimators.sums import Result
from prb.estimators.values import device_values
from prb.io.progress import bar as progress_bar
from prb.kernels.arrays import vec3f, vec4i, vec8f, vec12f, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import tape
from prb.kernels.estimators.density import PROBE_SIZE, SUFFIXED
from prb.kernels.estimators.tape import CHANGES, MEDIA_SIZE

FREE_MEMORY_FRACTION = 0.8  # of the device's free memory, unless the caller sets a limit
PATH_BYTES = 80 + 12 + 12 + 12 + 12 + 12  # state, L and its adjoint, beta_0, two slices of beta's adjoint
BOUNCE_BYTES = 16 + 48 + 12  # of a path: vertex_i, vertex_f, beta
TEXTURE_BYTES = 32  # vertex_t, where the scene has textures
GRADIENT_COPIES = 1024  # at most


@dataclass(frozen=True)
class TapeAdjoint(Adjoint):
    """Conventional reverse mode: every vertex of every path is kept, and differentiated by Taichi.

    It has the paths, shading code and random numbers of the replay, so the two agree up to rounding. Memory
    grows with pixels x samples x depth. Prefer it to check the replay, or to see what replay saves.

    passes: parts that the samples are split into, one after the other, to need less memory.
    memory_limit: bytes that it may allocate; None: 80 % of what the device has free.
    density: how derivatives by the extinction of participating media are found, as of `ReplayAdjoint`.

    Raises MemoryLimitError, before it allocates, where a pass does not fit, and ParameterError for an
    unlimited depth. Interior derivatives only; neither a forward mode nor standard errors.
    """

    passes: int = 1
    memory_limit: int | None = None
    density: object = DEFAULT
    name = "tape"

    def __post_init__(self):
        kernel_name(self.density)

    def reason(self, scene, name):
        """As of `Adjoint`: what bends rays is not differentiated."""
        return scene.layout.not_detached(name) or None

    @locked
    def backward(
        self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, rr_depth=None,
        values=None, first_sample=0, progress=False,
    ) -> Result:  # fmt: skip
        """J^T image_adjoint over all parameters, and the image of the same paths; options as of `Adjoint`."""
        settings = resolved(
            scene, spp=spp, seed=seed, max_depth=max_depth, rr_depth=rr_depth, first_sample=first_sample
        )
        if settings.max_depth < 0:
            raise ParameterError("max_depth: -1 has no end, and a tape needs one; set max_depth, to 16 say")
        check_passes(self.passes, settings.spp)
        with device_values(scene, values):
            self._check_memory(scene, settings, names)
            values = scene.values if values is None else values
            return self._traced(scene, image_adjoint, settings, values, names, progress)

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that one pass allocates on the device."""
        return device_bytes(scene, spp=spp, max_depth=max_depth, passes=self.passes)

    def _traced(self, scene, image_adjoint, settings, values, names, progress):
        scene_arrays, sensor = scene.device_arrays()
        plan = work.device_plan()
        orientations = work.has_orientations(scene, names)
        features = scene.layout.features
        flags = dict(
            orientations=orientations, density=work.density(scene, names, kernel_name(self.density))
        )  # fmt: skip
        execution = work.execution(plan, **flags)
        unrolled = work.execution(plan, unrolled=True, **flags)
        pixels, spp, max_depth = work.sampled_pixels(scene), settings.spp, settings.max_depth
        chunk = math.ceil(spp / self.passes)
        size, copies = max(values.size, 1), _gradient_copies(scene)
        paths = pixels * chunk

        own = np.zeros(size, np.float32)
        own[: values.size] = values
        params = _with_adjoint(upload(np.tile(own, copies)), zeros(copies * size))
        buffers = Buffers.of(scene, paths, _located(scene, names))
        count = CHANGES * paths if flags["density"] else 1
        changes = _with_adjoint(zeros(count, vec3f), zeros(count, vec3f))
        suffixed = flags["density"] in SUFFIXED
        probes = zeros((paths, PROBE_SIZE)) if suffixed else unused((1, 1))
        L, state, slices = buffers.L, buffers.state, buffers.slices
        betas, vertices = buffers.betas, buffers.vertices
        alive = zeros(1, ti.i32)
        adjoint = divided(image_adjoint, scene.film, sample_weights(scene, settings))
        picture = Reconstruction(scene, settings)

        result = Result(None, gradient=np.zeros(size), spp=spp)
        launch = work.new_launch(scene, settings, min_selection=work.min_selection(scene, names))
        bar = dict(total=2 * max_depth * self.passes, desc="tape", unit="bounce", delay=0.5)
        with progress_bar(progress, **bar) as bar:
            for first in range(0, spp, chunk):
                samples = min(chunk, spp - first)
                work.set_samples(launch, first_sample=settings.first_sample + first, samples_per_item=samples)
                items = pixels * samples
                work.distribute_items(launch, items, plan.workers, plan)

                def shade(kernel, k, items=items):
                    kernel(features, unrolled, items, copies, size, scene_arrays, *vertices[k], params,
                           changes, betas[k], betas[k + 1], L)  # fmt: skip

                tape.begin(launch, sensor, state)
                if suffixed:
                    rest = unused((1, 1)), unused(1)
                    tape.trace_suffixes(features, execution, launch, scene_arrays, sensor, *rest, probes)
                clear(L)
                bounces = 0
                # Passing straight through a surface is a bounce, but no edge's end.
                for k in itertools.count() if features.media else range(max_depth):
                    if k >= max_depth:
                        self._check_memory(scene, settings, names, k + 1)
                    buffers.reserve(k)
                    clear(alive)
                    tape.record(
                        features, execution, launch, k, scene_arrays, state, *vertices[k], probes, alive
                    )  # fmt: skip
                    shade(tape.shade_bounce, k)
                    bounces = k + 1
                    bar.update()
                    if alive.to_numpy()[0] == 0:
                        break
                radiance = L.to_numpy()
                usable = np.isfinite(radiance).all(axis=1)
                result.rejected += int((~usable[:items]).sum())
                radiance[~usable] = 0
                picture.begin(launch, work.Piece(0, pixels, first, 1, samples, first + samples == spp))
                picture.add(passed(radiance, vec3f))
                by_sample = fetch(picture.pull_back(adjoint))[:items]
                L.grad.from_numpy(_padded(by_sample * usable[:items, None], paths))
                clear(params.grad)
                clear(slices[bounces % 2])
                for k in reversed(range(bounces)):
                    betas[k + 1]._set_grad(slices[(k + 1) % 2])
                    betas[k]._set_grad(slices[k % 2])
                    clear(slices[k % 2])
                    clear(changes.grad)
                    shade(tape.shade_bounce.grad, k)
                    if flags["density"]:
                        tape.change_extinction.grad(
                            features, unrolled, items, copies, size, scene_arrays, vertices[k][3], params,
                            changes,
                        )  # fmt: skip
                    bar.update()
                result.gradient += params.grad.to_numpy().reshape(copies, size).sum(axis=0, dtype=np.float64)
        result.image, result.folds = picture.image(), picture.sums
        result.gradient = result.gradient[: values.size]
        return result

    def _check_memory(self, scene, settings, names, bounces=None):
        """Raise MemoryLimitError, before anything is allocated, if one pass does not fit. bounces: as many as
        paths have edges by default."""
        runtime.ensure()
        spp, max_depth = settings.spp, bounces or settings.max_depth
        asked = dict(max_depth=max_depth, names=names)
        needed = device_bytes(scene, spp=spp, passes=self.passes, **asked)
        limit, free = self.memory_limit, runtime.free_memory()
        if limit is None and free is not None:
            buffers = scene.state.tape_buffers
            limit = FREE_MEMORY_FRACTION * (free + (buffers.nbytes() if buffers else 0))
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


def device_bytes(scene, *, spp, max_depth, passes=1, names=None):
    """Bytes that the tape allocates on the device for one pass, the scene's own arrays not counted."""
    paths = work.sampled_pixels(scene) * math.ceil(spp / passes)
    copies = 2 * 4 * max(scene.values.size, 1) * _gradient_copies(scene)
    return paths * (PATH_BYTES + bounce_bytes(scene, names) * max_depth) + copies


def bounce_bytes(scene, names=None):
    """Bytes of one bounce of one path."""
    media = 4 * MEDIA_SIZE if scene.layout.features.places else 0
    return BOUNCE_BYTES + (TEXTURE_BYTES if _located(scene, names) else 0) + media


def _located(scene, names):
    """True if the record of a vertex includes its place on the surface, for textures or orientations."""
    return scene.layout.features.textured or work.has_orientations(scene, names)


class Buffers:
    """The tape's arrays for a number of paths. A scene keeps the last ones, as allocating takes longer than
    filling them: a loop of gradients allocates once. They are freed with the scene."""

    def __init__(self, generation, paths, located, media):
        self.generation, self.paths, self.located, self.media = generation, paths, located, media
        self.L = _with_adjoint(empty(paths, vec3f), empty(paths, vec3f))
        self.state = empty(paths, vec20f)
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
            scene.state.tape_buffers = None  # free the old ones first
            media = scene.layout.features.places
            scene.state.tape_buffers = cls(runtime.ensure(), paths, located, media)
        return scene.state.tape_buffers

    def reserve(self, bounce):
        """Make sure that there are arrays for a bounce."""
        if bounce == len(self.vertices):
            places = empty(self.paths if self.located else 1, vec8f)
            media = empty((self.paths, MEDIA_SIZE)) if self.media else unused((1, 1))
            self.vertices.append((empty(self.paths, vec4i), empty(self.paths, vec12f), places, media))
            self.betas.append(empty(self.paths, vec3f))

    def nbytes(self):
        """Bytes that are allocated already."""
        bounce = BOUNCE_BYTES + (TEXTURE_BYTES if self.located else 0)
        bounce += 4 * MEDIA_SIZE if self.media else 0
        return self.paths * (PATH_BYTES + bounce * len(self.vertices))


def _gradient_copies(scene):
    return max(1, min(GRADIENT_COPIES, work.CPU.gradient_numbers // max(scene.values.size, 1)))


def _with_adjoint(array, adjoint):
    array._set_grad(adjoint)
    return array


def _padded(adjoint, paths):
    out = np.zeros((paths, 3), np.float32)
    out[: len(adjoint)] = adjoint
    return out
