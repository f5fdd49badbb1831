"""Launches of the path tracer: a render in chunks small enough that memory stays constant, a progress
bar moves and Ctrl-C works, summed in float64 on the host."""

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import clear, empty, fetch, output, passed, scratch, unused
from prb.device.params import slots
from prb.errors import ParameterError
from prb.io.progress import bar as progress_bar
from prb.kernels import material
from prb.kernels.arrays import vec3f, vec10f
from prb.kernels.backend import ti
from prb.kernels.emitter import FOUND_BY_RAYS
from prb.kernels.estimators import launch as launches
from prb.kernels.estimators import modes
from prb.kernels.estimators.kept_vertices import VERTEX_SIZE as NUMBERS
from prb.kernels.view import Execution

UNLIMITED = 2**30
VERTEX, PATH = 4 * NUMBERS, 40  # bytes of a kept vertex at most, and of a kept path without its vertices
BATCHES = 8  # that a variance comes from, at least where there are as many samples
MAX_SPP = 2**30


@dataclass(frozen=True)
class Plan:
    """How launches are cut on one kind of device.

    paths: of one launch, about. workers: concurrent threads' worth of state; fewest: that still keep the
    device busy. items: work items wanted at least, so that a small image still fills the device. block:
    workers of a thread block. stride: see `kernels.view.Features`. cached: vertices of a path that reverse
    mode keeps for its second sweep, a constant so that memory does not grow with depth. sums: floats in the
    replicated gradient buffers, about; copies: of them at most where not each worker has its own, as they
    take time to add up.
    """

    paths: int
    workers: int
    fewest: int
    items: int
    block: int
    stride: int
    cached: int
    sums: int
    copies: int


CPU = Plan(
    paths=2**19, workers=512, fewest=64, items=64, block=1, stride=512, cached=256, sums=2**20, copies=4
)  # fmt: skip
GPU = Plan(
    paths=2**22, workers=2**18, fewest=2**18, items=2**18, block=128, stride=1, cached=16, sums=2**22,
    copies=2**18,
)  # fmt: skip


@dataclass
class Result:
    """image: mean radiance (height, width, 3) float64. gradient: J^T image_adjoint as one float64 vector
    over all parameters, in reverse mode. tangent: J t (height, width, 3), in forward mode.
    variance: of each number of gradient or tangent, where it was asked for.
    rejected: paths left out because a contribution was not finite. halves: the two halves' images, where hits
    are kept."""

    image: np.ndarray
    gradient: np.ndarray | None = None
    tangent: np.ndarray | None = None
    variance: np.ndarray | None = None
    rejected: int = 0
    halves: tuple | None = None


def first_half(spp):
    """Samples in the first half of spp."""
    return spp - spp // 2


def check_samples(spp, seed, max_depth, suffix=""):
    """Raise ParameterError unless all three are usable. suffix: of the first two's names in the message."""
    for name, x, low, high in (
        (f"spp{suffix}", spp, 1, MAX_SPP),
        (f"seed{suffix}", seed, 0, 2**32 - 1),
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
    names=None,
    passes=1,
    first_sample=0,
    variance=False,
    deterministic=False,
    hits=None,
    progress=False,
    label="render",
):
    """Trace spp samples of every pixel in one of the modes of kernels/estimators/path.py. Returns a `Result`.

    image_adjoint: (height, width, 3), derivative of the objective with respect to the image.
    param_tangents: float32, one number for each parameter.
    names: the parameters that are differentiated; None: all but vertex normals and directions.
    passes: parts of about equal size that the samples are split into, at least.
    first_sample: number of the first sample, so that a render can be continued.
    variance: of the gradient or the tangent as well; asks for two samples.
    deterministic: the same bits however many threads there are. A picture always has them; a gradient that
        many workers add to is then summed as integers.
    hits: a `Hits`, where the two sweeps of reverse mode are calls of their own: the first yields only the
        image and those of the samples' halves, the second only the gradient; its image_adjoint holds two
        images, (2, height, width, 3), one for the samples of each half.
    progress: a bar on standard error, if that is a terminal.
    """
    spp = scene.sensor.sample_count if spp is None else spp
    max_depth = scene.model.integrator.max_depth if max_depth is None else max_depth
    check_samples(spp, seed, max_depth)
    check_passes(passes, spp)
    if variance:
        if spp < 2:
            raise ParameterError("spp: 1 sample has no standard error; take 2 at least")
        passes = max(passes, min(spp, BATCHES))
    arrays = scene.device_arrays()
    plan = CPU if runtime.on_cpu() else GPU
    plan = replace(plan, copies=plan.workers) if variance else plan  # their sums are compared
    height, width, _ = scene.image_shape
    pixels = height * width
    plan = replace(plan, paths=min(plan.paths, pixels * math.ceil(spp / passes)))
    size = wanted(scene, names)
    chunk, splits, samples, workers, replicas = cut(plan, scene, mode, spp, size)
    exclusive = mode == modes.REVERSE and runtime.on_cpu() and replicas == workers
    shading = mode != modes.PRIMAL and turns(scene, names)
    integers = deterministic and mode == modes.REVERSE and not exclusive
    if integers and not runtime.adds_integers():
        why = f"{runtime.arch()} cannot add 64-bit integers"
        raise ParameterError(f"deterministic: {why}; leave it out, or use the CPU")
    execution = Execution(
        block=plan.block, stride=plan.stride, orientations=shading, exclusive=exclusive, integers=integers
    )  # fmt: skip

    items = chunk * splits
    differentiates = mode == modes.REVERSE and (hits is None or hits.sweeps[1] == 2)
    forward, records = mode == modes.FORWARD, mode == modes.REVERSE and not differentiates
    keeps = differentiates and hits is None
    of_gradient = ti.i64 if integers else ti.f32
    length = replicas * size + integers  # integers: one place for the misfits
    arguments = Arguments(
        image=output(items, vec3f),
        adjoint=passed(_per_sample(image_adjoint, spp), vec3f) if differentiates else unused(1, vec3f),
        tangent=output(items, vec3f) if forward or records else unused(1, vec3f),
        moment=output(items, vec3f) if forward else unused(1, vec3f),
        gradient=output(length, of_gradient) if differentiates else unused(1, of_gradient),
        param_tangents=passed(np.asarray(param_tangents, np.float32)) if forward else unused(1),
        cache=scratch((workers, NUMBERS * plan.cached), ti.f32) if keeps else unused((1, 1)),
        paths=unused(1, vec10f),
        rejected=output(1, ti.i32),
    )
    units = _units(image_adjoint, spp) if integers else 1.0
    sums = Sums(pixels, spp, arguments, forward=forward, second=records, variance=variance)
    if differentiates:
        sums.of_gradient(max(scene.values.size, 1), replicas, size, units, integers)

    launch = prepare_launch(scene, seed, max_depth)
    launch.gradient_copies, launch.gradient_size, launch.fixed_point_scale = replicas, size, units
    launch.min_selection = 0.0 if mode == modes.PRIMAL else least_share(scene, names)
    launch.first_sweep, launch.end_sweep = (0, 2) if hits is None else hits.sweeps
    launch.second_half_from, launch.pixels = UNLIMITED if hits is None else first_half(spp), pixels
    number = pixels * spp
    with progress_bar(progress, total=number, desc=label, unit="path", unit_scale=True, delay=0.5) as bar:
        for first_pixel in range(0, pixels, chunk):
            count = min(chunk, pixels - first_pixel)
            done = 0
            while done < spp:
                splits_now = min(splits, spp - done)
                samples_now = min(samples, (spp - done) // splits_now)
                share_out(launch, count * splits_now, workers, plan)
                launch.items_per_pixel, launch.samples_per_item = splits_now, samples_now
                launch.first_pixel, launch.first_sample = first_pixel, first_sample + done
                if hits is not None:
                    many = count * splits_now * samples_now
                    kept = hits.of_launch(first_pixel, launch.first_sample, launch.workers, many)
                    arguments.cache, arguments.paths = kept
                sums.before_launch()
                launches.trace_paths(
                    scene.layout.features, execution, mode, launch, *arrays, *vars(arguments).values()
                )
                whole = (splits_now, samples_now) == (splits, samples)
                sums.add(first_pixel, count, splits_now, splits * samples if whole else None)
                done += samples_now * splits_now
                bar.update(count * samples_now * splits_now)
            sums.close_pixels()
    return sums.result(scene)


@dataclass
class Arguments:
    """The arrays that `kernels.estimators.launch.trace_paths` takes beside the scene's, in its order."""

    image: object
    adjoint: object
    tangent: object
    moment: object
    gradient: object
    param_tangents: object
    cache: object
    paths: object
    rejected: object


class Sums:
    """What launches have written, added up in float64.

    forward: the tangents too, and their squares. second: the second half's image is in the tangents' place.
    variance: of tangents or gradient too.
    """

    def __init__(self, pixels, spp, arguments, forward, second, variance):
        self._spp, self._arguments, self._variance = spp, arguments, variance
        self._image = np.zeros((pixels, 3))
        self._tangent = np.zeros((pixels, 3)) if forward else None
        self._moment = np.zeros((pixels, 3)) if forward else None
        self._second = np.zeros((pixels, 3)) if second else None
        self._gradient = self._spread = None
        self._launched = False

    def of_gradient(self, parameters, replicas, size, units, integers):
        """Reverse mode: all `parameters` numbers, of which launches write the first `size`, `replicas` times,
        in 1 / `units`."""
        self._gradient = np.zeros(parameters)
        self._replicas, self._size, self._units, self._integers = replicas, size, units, integers
        self._spread = Spread(self._spp, self._gradient) if self._variance else None

    def before_launch(self):
        """Empty what the last one has added to."""
        if self._launched and self._gradient is not None:
            clear(self._arguments.gradient)
        self._launched = True

    def add(self, first_pixel, pixels, splits, batch):
        """A launch's sums, of so many pixels in `splits` parts each. batch: samples of each pixel, where
        launches of so many are compared."""
        drawn, arguments = slice(first_pixel, first_pixel + pixels), self._arguments
        self._image[drawn] += _summed(arguments.image, pixels, splits)
        if self._second is not None:
            self._second[drawn] += _summed(arguments.tangent, pixels, splits)
        elif self._tangent is not None:
            self._tangent[drawn] += _summed(arguments.tangent, pixels, splits)
            self._moment[drawn] += _summed(arguments.moment, pixels, splits)
        elif self._gradient is not None:
            self._add_gradient(batch)

    def _add_gradient(self, batch):
        found = fetch(self._arguments.gradient)
        if self._integers and found[-1] > 0:
            raise ParameterError(
                "deterministic: a contribution to the gradient is too large to be added as an "
                "integer; scale the scene's radiances down, or leave it out"
            )
        replicas = found[: self._replicas * self._size].reshape(self._replicas, self._size)
        gradient = self._gradient[: self._size]
        if self._replicas == 1 and not self._integers:
            gradient += replicas[0]  # many parameters: what follows would copy them three times
        else:
            gradient += replicas.sum(axis=0, dtype=np.int64 if self._integers else np.float64) / self._units
        if self._spread is not None and batch is not None:
            self._spread.add(replicas / self._units, batch)

    def close_pixels(self):
        """All samples of some of the pixels are in."""
        if self._spread is not None:
            self._spread.close()

    def result(self, scene):
        """The `Result`, for the scene's film and parameters."""
        spp, shape, parameters = self._spp, scene.image_shape, scene.values.size
        result = Result(self._image, rejected=int(fetch(self._arguments.rejected)[0]))
        if self._second is not None:
            half = first_half(spp)
            halves = self._image / half, self._second / (spp - half)
            result.halves = tuple(picture.reshape(shape) for picture in halves)
            result.image = self._image + self._second
        result.image = (result.image / spp).reshape(shape)
        if self._tangent is not None:
            result.tangent = (self._tangent / spp).reshape(shape)
            if self._variance:
                spread = np.maximum(self._moment / spp - (self._tangent / spp) ** 2, 0)
                result.variance = (spread / (spp - 1)).reshape(shape)
        if self._gradient is not None:
            result.gradient = self._gradient[:parameters]
            result.variance = None if self._spread is None else self._spread.variance[:parameters]
        return result


class Hits:
    """The vertices of a picture's paths, kept between the two sweeps of reverse mode.

    Each worker keeps its paths' vertices one behind the other until its row is full; later ones are traced
    again, with the same result. A scene keeps the arrays for the next time, as allocating takes longer than
    filling them.
    """

    def __init__(self, key, vertices):
        self.sweeps = 0, 1
        self._key, self._vertices = key, vertices
        self._launches = {}

    @classmethod
    def of(cls, scene, spp, max_depth, budget):
        """The scene's `Hits` for spp samples, which take at most `budget` bytes; None where those are too few
        for one vertex of each path. They wait for the first sweep."""
        height, width, _ = scene.image_shape
        vertices = (budget / (height * width * spp) - PATH) / VERTEX
        if vertices < 1:
            return None
        key = runtime.ensure(), height, width, spp, min(vertices, max_depth if max_depth > 0 else UNLIMITED)
        if scene.state.hits is None or scene.state.hits._key != key:
            scene.state.hits = None  # let go of the old ones first
            scene.state.hits = cls(key, key[-1])
        scene.state.hits.sweeps = 0, 1
        return scene.state.hits

    def second_sweep(self):
        """From now on the kept vertices are used."""
        self.sweeps = 1, 2

    def of_launch(self, first_pixel, first_sample, workers, paths):
        """The arrays (cache, paths) of one launch."""
        key = first_pixel, first_sample
        if key in self._launches and self._launches[key][0].shape[0] != workers:
            del self._launches[key]  # other parameters are wanted, which takes other workers
        if key not in self._launches:
            row = min(int(NUMBERS * self._vertices * paths / workers), (2**31 - 1) // workers)
            self._launches[key] = empty((workers, max(row, 1))), empty(paths, vec10f)
        return self._launches[key]

    def nbytes(self):
        """Bytes that are allocated."""
        return sum(
            4 * int(np.prod(cache.shape)) + PATH * paths.shape[0] for cache, paths in self._launches.values()
        )


class Spread:
    """The variance of a gradient from batches of samples, which are independent.

    The pixels of a worker are the same in each batch, so each worker's sums are compared with its own: the
    pixels' differences do not count, and a few batches give many degrees of freedom.
    """

    def __init__(self, spp, gradient):
        """spp: samples in all. gradient: an array of the shape of the whole gradient."""
        self.variance = np.zeros_like(gradient)
        self._spp = spp
        self._batches = 0

    def add(self, sums, samples):
        """The workers' sums of one batch of so many samples, the same in all batches: (workers, size)."""
        if self._batches == 0:
            self._samples, self._sum, self._squares = samples, np.zeros(sums.shape), np.zeros(sums.shape)
        self._batches += 1
        self._sum += sums
        self._squares += np.square(sums, dtype=np.float64)

    def close(self):
        """All batches of some of the pixels are in."""
        b = self._batches
        of_batch = np.maximum(self._squares - self._sum**2 / b, 0).sum(axis=0) / (b - 1)
        self.variance[: len(of_batch)] += of_batch * (self._spp / self._samples)
        self._batches = 0


def wanted(scene, names):
    """How much of the parameter buffer, from its beginning, holds the named parameters (None: all)."""
    names = set(slots(scene)) - scene.layout.orientations if names is None else names
    ends = [slot.offset + slot.size for name, slot in slots(scene).items() if name in names]
    return max([1, *ends])


def turns(scene, names):
    """True if a vertex normal or a light's direction is among the named parameters."""
    return not scene.layout.orientations.isdisjoint(names or ())


def least_share(scene, names):
    """`Launch.min_selection`: not zero where a named parameter (None: all) is the weight of a blend."""
    weights = scene.layout.weights
    return material.MIN_SELECTION if weights and (names is None or not weights.isdisjoint(names)) else 0.0


def cut(plan, scene, mode, spp, size):
    """How a render is cut: (pixels of a launch, items of a pixel, samples of an item, workers, replicas)."""
    height, width, _ = scene.image_shape
    chunk = min(height * width, plan.paths)
    wanted = min(spp, max(1, plan.paths // chunk))
    splits = min(wanted, math.ceil(plan.items / chunk))
    workers = whole_blocks(min(plan.workers, chunk * splits), plan.block)
    replicas = plan.sums // size
    if mode == modes.REVERSE and plan.fewest <= replicas < workers:
        workers = min(workers, plan.fewest)  # rather fewer than that they share a copy, which takes atomics
    replicas = workers if replicas >= workers else max(1, min(replicas, plan.copies))
    replicas = replicas if mode == modes.REVERSE else 1
    return chunk, splits, wanted // splits, workers, replicas


def device_bytes(scene, mode, spp):
    """Bytes that `integrate` allocates on the device, the scene's own arrays not counted."""
    runtime.ensure()
    plan = CPU if runtime.on_cpu() else GPU
    size = max(scene.values.size, 1)
    workers, replicas = cut(plan, scene, mode, spp, size)[3:]
    height, width, _ = scene.image_shape
    chunk, splits = cut(plan, scene, mode, spp, size)[:2]
    images = chunk * splits * (2 if mode == modes.FORWARD else 1)
    images += height * width if mode == modes.REVERSE else 0  # the adjoint
    cache = VERTEX * plan.cached * workers if mode == modes.REVERSE else 0
    return 12 * images + 4 * replicas * size + cache


def prepare_launch(scene, seed, max_depth):
    """A `Launch` with what does not change from launch to launch; it serves until the next one is asked for,
    as there is only one: Taichi 1.7.4 takes half a millisecond to make it, and a class each time."""
    film, launch = scene.film, _launch()
    launch.entries.update(dict.fromkeys(launch.entries, 0))
    launch.seed = int(np.uint32(seed).view(np.int32))
    launch.crop_x, launch.crop_y = film.crop_offset
    launch.width, launch.film_width = film.crop_size[0], film.width
    launch.max_depth = UNLIMITED if max_depth < 0 else max_depth
    found = not set(FOUND_BY_RAYS).isdisjoint(scene.layout.features.emitters)
    launch.max_vertices = launch.max_depth - (0 if found else 1)
    launch.rr_depth = min(scene.model.integrator.rr_depth, UNLIMITED)
    launch.environment = scene.layout.environment
    launch.min_selection, launch.fixed_point_scale = 0.0, 1.0
    return launch


@functools.cache
def _launch():
    return launches.Launch()


def whole_blocks(workers, block):
    """At least that many workers, in whole thread blocks: Taichi's Vulkan backend drops a partial one."""
    return block * math.ceil(workers / block)


def share_out(launch, items, workers, plan):
    """Give the work items to at most that many workers.

    Taichi gives each thread of a CPU one half, quarter, ... of the workers, so where some part of the picture
    costs more, neighbours had better not be in the same part: they are about the golden ratio apart.
    """
    launch.items = items
    launch.workers = whole_blocks(min(workers, items), plan.block)
    launch.items_per_worker = math.ceil(items / launch.workers)
    launch.worker_stride = 1 if plan.stride == 1 else _coprime(launch.workers)


def _coprime(n):
    """A number near 0.618 n that has no divisor in common with n."""
    return next(k for k in range(max(1, round(0.618 * n)), n + 2) if math.gcd(k, n) == 1)


def _per_sample(image_adjoint, spp):
    """The objective's derivative with respect to one sample: (pixels, 3) float32."""
    return (np.asarray(image_adjoint, np.float64) / spp).astype(np.float32).reshape(-1, 3)


def _units(image_adjoint, spp):
    """Units of an integer gradient in 1: a power of two, 2^36 for the largest derivative of a sample."""
    largest = np.abs(image_adjoint).max() / spp
    return float(2.0 ** (36 - math.ceil(math.log2(largest)))) if largest > 0 else 1.0


def _summed(device, pixels, splits):
    """The sums of one launch's pixels in float64, always added in the same order: (pixels, 3)."""
    items = fetch(device)[: pixels * splits]
    return items.reshape(pixels, splits, 3).sum(axis=1, dtype=np.float64)
