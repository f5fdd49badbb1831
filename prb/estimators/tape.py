"""The tape as an adjoint method: what it allocates, and the order in which its kernels run."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from prb.device import runtime
from prb.device.arrays import clear, fetch, passed
from prb.device.lock import locked
from prb.errors import MemoryLimitError, ParameterError
from prb.estimators import work
from prb.estimators.attached_tape import AttachedTape
from prb.estimators.density import DEFAULT, kernel_name
from prb.estimators.detached_tape import DetachedTape
from prb.estimators.methods import Adjoint
from prb.estimators.reconstruction import Reconstruction, divided, sample_weights
from prb.estimators.settings import check_passes, resolved
from prb.estimators.sums import Result
from prb.estimators.tapes import Parameters
from prb.estimators.values import device_values
from prb.io.progress import bar as progress_bar
from prb.kernels.arrays import vec3f

TAPES = {"detached": DetachedTape, "attached": AttachedTape}  # by what sampled directions are
FREE_MEMORY_FRACTION = 0.8  # of the device's free memory, unless the caller sets a limit
GRADIENT_COPIES = 1024  # at most


@dataclass(frozen=True)
class TapeAdjoint(Adjoint):
    """Conventional reverse mode: every vertex of every path is kept, and differentiated by Taichi.

    It has the paths, shading code and random numbers of the replay, so the two agree up to rounding. Memory
    grows with pixels x samples x depth. Prefer it to check the replay, or to see what replay saves.

    passes: parts that the samples are split into, one after the other, to need less memory.
    memory_limit: bytes that it may allocate; None: 80 % of what the device has free.
    density: how derivatives by the extinction of participating media are found, as of `ReplayAdjoint`.
    sampling: "detached": sampled directions are constants, as in `ReplayAdjoint`; "attached": random
        numbers are, and directions move with the parameters, as in `AttachedReplay` and with its limits.

    Raises MemoryLimitError, before it allocates, where a pass does not fit, and ParameterError for an
    unlimited depth. Interior derivatives only, and none by what moves shapes or the camera; neither a forward
    mode nor standard errors.
    """

    passes: int = 1
    memory_limit: int | None = None
    density: object = DEFAULT
    sampling: str = "detached"
    name = "tape"

    def __post_init__(self):
        kernel_name(self.density)
        if self.sampling not in TAPES:
            raise ParameterError(f"sampling: expected {' or '.join(map(repr, TAPES))}, got {self.sampling!r}")

    def reason(self, scene, name):
        """As of `Adjoint`: as of the replay with that sampling, but for what moves shapes or the camera."""
        layout = scene.layout
        attached = self.sampling == "attached" or layout.parameters[name].moves
        return (layout.not_attached if attached else layout.not_detached)(name) or None

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
            TAPES[self.sampling].check(scene)
            self._check_memory(scene, settings, names)
            values = scene.values if values is None else values
            return self._traced(scene, image_adjoint, settings, values, names, progress)

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that one pass allocates on the device."""
        return device_bytes(scene, spp=spp, max_depth=max_depth, passes=self.passes, sampling=self.sampling)

    def _traced(self, scene, image_adjoint, settings, values, names, progress):
        scene_arrays, sensor = scene.device_arrays()
        plan = work.device_plan()
        pixels, spp, max_depth = work.sampled_pixels(scene), settings.spp, settings.max_depth
        chunk = math.ceil(spp / self.passes)
        paths = pixels * chunk
        tape = TAPES[self.sampling].of(scene, names, kernel_name(self.density), paths)
        parameters = Parameters(values, _gradient_copies(scene))
        adjoint = divided(image_adjoint, scene.film, sample_weights(scene, settings))
        picture = Reconstruction(scene, settings)

        result = Result(None, gradient=np.zeros(max(values.size, 1)), spp=spp)
        launch = work.new_launch(scene, settings, min_selection=work.min_selection(scene, names))
        bar = dict(total=2 * max_depth * self.passes, desc="tape", unit="bounce", delay=0.5)
        with progress_bar(progress, **bar) as bar:
            for first in range(0, spp, chunk):
                samples = min(chunk, spp - first)
                work.set_samples(launch, first_sample=settings.first_sample + first, samples_per_item=samples)
                items = pixels * samples
                work.distribute_items(launch, items, plan.workers, plan)
                clear(tape.L)
                tape.begin(launch, items, scene_arrays, sensor, parameters)
                bounces = 0
                # Passing straight through a surface is a bounce, but no edge's end.
                for k in itertools.count() if scene.layout.features.media else range(max_depth):
                    if k >= max_depth:
                        self._check_memory(scene, settings, names, k + 1)
                    goes_on = tape.record(k)
                    bounces = k + 1
                    bar.update()
                    if not goes_on:
                        break
                radiance = tape.L.to_numpy()
                usable = np.isfinite(radiance).all(axis=1)
                result.rejected += int((~usable[:items]).sum())
                radiance[~usable] = 0
                picture.begin(launch, work.Piece(0, pixels, first, 1, samples, first + samples == spp))
                picture.add(passed(radiance, vec3f))
                by_sample = fetch(picture.pull_back(adjoint))[:items]
                tape.L.grad.from_numpy(_padded(by_sample * usable[:items, None], paths))
                clear(parameters.array.grad)
                for k in reversed(range(bounces)):
                    tape.differentiate(k, is_last=k == bounces - 1)
                    bar.update()
                result.gradient += parameters.gradient()
        result.image, result.folds = picture.image(), picture.sums
        result.gradient = result.gradient[: values.size]
        return result

    def _check_memory(self, scene, settings, names, bounces=None):
        """Raise MemoryLimitError, before anything is allocated, if one pass does not fit. bounces: as many as
        paths have edges by default."""
        runtime.ensure()
        spp, max_depth = settings.spp, bounces or settings.max_depth
        asked = dict(max_depth=max_depth, names=names, sampling=self.sampling)
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


def device_bytes(scene, *, spp, max_depth, passes=1, names=None, sampling="detached"):
    """Bytes that the tape allocates on the device for one pass, the scene's own arrays not counted."""
    paths = work.sampled_pixels(scene) * math.ceil(spp / passes)
    copies = 2 * 4 * max(scene.values.size, 1) * _gradient_copies(scene)
    tape = TAPES[sampling]
    return paths * (tape.PATH_BYTES + tape.bounce_bytes(scene, names) * max_depth) + copies


def _gradient_copies(scene):
    return max(1, min(GRADIENT_COPIES, work.CPU.gradient_numbers // max(scene.values.size, 1)))


def _padded(adjoint, paths):
    out = np.zeros((paths, 3), np.float32)
    out[: len(adjoint)] = adjoint
    return out
