"""How a render is cut into launches and work items, and the launch record that kernels read.

All access to the fields of the kernels' `Launch` is here.
"""

import copy
import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from prb.device import runtime
from prb.device.film import columns, filter_width, margin, reach, sampled_size, shifts
from prb.device.parameters import OF_CAMERAS, SHAPE_TRANSFORM, VERTICES
from prb.device.params import records
from prb.estimators.kept_vertices import vertex_bytes
from prb.estimators.settings import UNLIMITED
from prb.kernels import material
from prb.kernels.emitter import FOUND_BY_RAYS
from prb.kernels.estimators import film as film_kernel
from prb.kernels.estimators import launch as kernel
from prb.kernels.estimators import modes
from prb.kernels.view import Execution

BALANCED = 64  # workers of a CPU that share the work evenly enough


@dataclass(frozen=True)
class Plan:
    """How launches are cut on one kind of device.

    paths: of one launch, about; samples: the same, where each sample's radiance is kept. workers: concurrent
    threads' worth of state; min_workers: the fewest that occupy the device. items: the least number of work
    items, so that a small image occupies it, too. block: workers of a thread block. stride: see
    `kernels.view.Execution`. kept_vertices: vertices of a path that reverse mode keeps for its second sweep,
    a constant so that memory does not grow with depth. gradient_numbers: floats in all gradient copies,
    about; gradient_copies: the most copies where not every worker has its own, as adding them up takes time.
    """

    paths: int
    workers: int
    min_workers: int
    items: int
    block: int
    stride: int
    kept_vertices: int
    gradient_numbers: int
    gradient_copies: int
    samples: int = 2**18


CPU = Plan(
    paths=2**19, workers=512, min_workers=16, items=64, block=1, stride=512,
    kept_vertices=256, gradient_numbers=2**20, gradient_copies=4,
)  # fmt: skip
GPU = Plan(
    paths=2**22, workers=2**18, min_workers=2**18, items=2**18, block=128, stride=1,
    kept_vertices=16, gradient_numbers=2**22, gradient_copies=2**18, samples=2**21,
)  # fmt: skip


class Cut(NamedTuple):
    """How a render is cut: the pixels of a launch, the work items of a pixel, the samples of an item, the
    workers that share the items, and the copies of the gradient that they add to."""

    pixels: int
    items_per_pixel: int
    samples_per_item: int
    workers: int
    gradient_copies: int


class Piece(NamedTuple):
    """What one launch traces: `pixels` pixels from first_pixel on, in items_per_pixel work items each, of
    samples_per_item samples each, from first_sample on. last: it completes the samples of these pixels."""

    first_pixel: int
    pixels: int
    first_sample: int
    items_per_pixel: int
    samples_per_item: int
    last: bool

    @property
    def items(self):
        """Work items of the launch."""
        return self.pixels * self.items_per_pixel

    @property
    def samples(self):
        """Samples of each pixel."""
        return self.items_per_pixel * self.samples_per_item

    @property
    def paths(self):
        """Paths of the launch."""
        return self.pixels * self.samples


def device_plan():
    """The `Plan` of the device in use."""
    return CPU if runtime.on_cpu() else GPU


def sampled_pixels(scene):
    """How many pixels are sampled: those of the crop window, and around it with `sample_border`."""
    width, height = sampled_size(scene.film)
    return width * height


def takes_samples(scene, mode, folds=None):
    """True if launches keep each sample's radiance, for the reconstruction filter, for folds, or because each
    has an adjoint of its own. Otherwise workers sum the samples of a pixel themselves."""
    return mode in modes.REPLAYS or folds is not None or reach(scene.film) > 0


def cut_samples(plan, pixels, spp):
    """As `cut`, where each sample is a work item, of launches without gradient."""
    limit = min(plan.paths, plan.samples)
    chunk = min(pixels, limit)
    samples = min(spp, max(1, limit // chunk))
    return Cut(chunk, samples, 1, whole_blocks(min(plan.workers, chunk * samples), plan.block), 1)


def cut(plan, scene, mode, spp, size, folds=None):
    """How a render of spp samples is cut. size: numbers of the gradient. Returns a `Cut`."""
    if takes_samples(scene, mode, folds):
        pixels, samples, _, _, _ = cut_samples(plan, sampled_pixels(scene), spp)
        items_per_pixel = samples
    else:
        pixels = min(sampled_pixels(scene), plan.paths)
        samples = min(spp, max(1, plan.paths // pixels))
        items_per_pixel = min(samples, math.ceil(plan.items / pixels))
    workers = whole_blocks(min(plan.workers, pixels * items_per_pixel), plan.block)
    copies = plan.gradient_numbers // size
    if mode in modes.REPLAYS and plan.min_workers <= copies < workers:  # fewer, each with its own copy
        workers = min(copies, max(plan.min_workers, BALANCED))  # without atomics
    copies = workers if copies >= workers else max(1, min(copies, plan.gradient_copies))
    copies = copies if mode == modes.REVERSE else 1
    return Cut(pixels, items_per_pixel, samples // items_per_pixel, workers, copies)


def pieces(cut, pixels, spp):
    """The `Piece`s that a cut makes of spp samples of each pixel, in the order of the launches."""
    for first_pixel in range(0, pixels, cut.pixels):
        count, done = min(cut.pixels, pixels - first_pixel), 0
        while done < spp:
            items = min(cut.items_per_pixel, spp - done)
            samples = min(cut.samples_per_item, (spp - done) // items)
            last = done + items * samples == spp
            yield Piece(first_pixel, count, done, items, samples, last)
            done += items * samples


def device_bytes(scene, mode, spp, vertex_size=None):
    """Bytes that `integrate` allocates on the device, the scene's own arrays not counted.

    vertex_size: numbers that are kept of a vertex; None: those of detached replay.
    """
    runtime.ensure()
    plan = device_plan()
    size = max(scene.values.size, 1)
    work = cut(plan, scene, mode, spp, size)
    height, width, _ = scene.image_shape
    items = work.pixels * work.items_per_pixel
    images = items * (3 if mode == modes.FORWARD else 1)
    found = 4 * work.gradient_copies * size
    if takes_samples(scene, mode):
        found += 16 * height * width + (8 * items if reach(scene.film) else 0)  # sums, positions
    if mode == modes.REVERSE:
        images += height * width + items  # the adjoints
        bytes_of_vertex = vertex_bytes(scene) if vertex_size is None else 4 * vertex_size
        found += bytes_of_vertex * plan.kept_vertices * work.workers
    return 12 * images + found


# ------------------------------------------------------------------- what is differentiated


def differentiated(scene, names):
    """The records of the named parameters (None: as of `methods.Adjoint`)."""
    known = records(scene)
    if names is None:
        return [record for record in known.values() if record.by_default]
    return [known[name] for name in known if name in names]


def gradient_size(scene, names):
    """Numbers of the parameter buffer up to the end of the last parameter that is differentiated."""
    return max([1, *(record.offset + record.size for record in differentiated(scene, names))])


def has_orientations(scene, names):
    """True if a vertex normal or a light's direction is among the named parameters."""
    return not scene.layout.orientations.isdisjoint(names or ())


def has_placements(scene, names):
    """True if what says where a light is is among the named parameters."""
    return not scene.layout.placements.isdisjoint(names or ())


def moving(scene, names):
    """What of a scene the named parameters move, as flags of `Execution`: empty if nothing."""
    known = scene.layout.parameters
    kinds = {known[name].kind for name in names or () if known[name].moves}
    if not kinds:
        return {}
    return dict(
        attached="points",
        shapes=not kinds.isdisjoint((VERTICES, SHAPE_TRANSFORM)),
        vertices=VERTICES in kinds,
        camera=not kinds.isdisjoint(OF_CAMERAS),
    )


def density(scene, names, method):
    """How kernels differentiate by extinction: "" where none of the named parameters (None: all) needs it."""
    extinctions = scene.layout.extinctions
    return method if extinctions and (names is None or not extinctions.isdisjoint(names)) else ""


def min_selection(scene, names):
    """The smallest selection weight of a leaf: above zero where one of the named parameters (None: all) is a
    blend's weight, whose derivative needs samples of both sides."""
    weights = scene.layout.weights
    return material.MIN_SELECTION if weights and (names is None or not weights.isdisjoint(names)) else 0.0


def execution(plan, **options):
    """How launches of a plan run: an `Execution`. options: its other fields."""
    return Execution(block=plan.block, stride=plan.stride, **options)


# ------------------------------------------------------------------- the launch record


def new_launch(scene, settings, *, min_selection=0.0, noise=0.0):
    """A new `Launch` with the fields that are the same for all launches of a render; the others are zero."""
    launch = _new(kernel.Launch)
    film, features = scene.film, scene.layout.features
    around = margin(film)
    max_depth = UNLIMITED if settings.max_depth < 0 else settings.max_depth
    _set(
        launch, seed=int(np.uint32(settings.seed).view(np.int32)),
        crop_x=film.crop_offset[0] - around, crop_y=film.crop_offset[1] - around,
        width=film.crop_size[0] + 2 * around, film_width=film.width, max_depth=max_depth,
        rr_depth=min(settings.rr_depth, UNLIMITED),
        max_vertices=max_depth - (0 if _light_found_by_rays(features) else 1), medium=scene.sensor_medium,
        environment=scene.layout.environment, min_selection=min_selection, fixed_point_scale=1.0,
        noise=float(noise), call_sample=settings.first_sample, call_spp=settings.spp, parts=settings.parts,
    )  # fmt: skip
    return launch


def _light_found_by_rays(features):
    """True if rays can find light by themselves."""
    return features.emissive or not set(FOUND_BY_RAYS).isdisjoint(features.emitters)


def _set(record, **fields):
    """Set fields of a record together: by its attributes Taichi takes 3 microseconds for each."""
    assert fields.keys() <= record.entries.keys()
    record.entries.update(fields)


def _new(kind):
    """A new record with zeros. It is a copy of one instance, as Taichi 1.7.4 takes half a millisecond to make
    one, and a class each time."""
    record = copy.copy(_instance(kind))
    record._Struct__entries = dict(_instance(kind).entries)  # the copy's own numbers
    return record


@functools.cache
def _instance(kind):
    record = kind()
    record.entries.update(dict.fromkeys(record.entries, 0))
    return record


def set_gradient(launch, *, copies, size, fixed_point_scale):
    """Set the number of gradient copies, the numbers in each, and for fixed-point sums the steps per unit of
    gradient."""
    _set(launch, gradient_copies=copies, gradient_size=size, fixed_point_scale=fixed_point_scale)


def set_sweeps(launch, sweeps):
    """Set the sweeps of reverse mode that a launch makes."""
    first, end = sweeps
    _set(launch, first_sweep=first, end_sweep=end)


def set_samples(launch, *, first_pixel=0, first_sample=0, items_per_pixel=1, samples_per_item=1):
    """Set the pixels and samples that a launch traces."""
    _set(
        launch, first_pixel=first_pixel, first_sample=first_sample, items_per_pixel=items_per_pixel,
        samples_per_item=samples_per_item,
    )  # fmt: skip


def new_film(scene, settings, folds):
    """A new `Film` with the fields that are the same for all launches of a call."""
    record, film = _new(film_kernel.Film), scene.film
    width, height = film.crop_size
    _set(
        record, width=width, height=height, margin=margin(film), reach=reach(film), first=-reach(film),
        width_of_filter=filter_width(film), shifts=int(shifts(film)), columns=columns(film),
        sampled_height=sampled_size(film)[1], spp=settings.spp, folds=folds,
    )  # fmt: skip
    return record


def set_film(record, film, piece):
    """Set what a `Film` has of one launch. Returns the rows of the sampled window that it has samples of, and
    the rows of the picture that these count in."""
    width, height = sampled_size(film)
    first, last = piece.first_pixel // width, (piece.first_pixel + piece.pixels - 1) // width
    rows = slice(
        max(first - margin(film) - reach(film), 0),
        min(last - margin(film) + reach(film) + 1, film.crop_size[1]),
    )
    _set(
        record, first_row=rows.start, rows=rows.stop - rows.start, pixels=piece.pixels, samples=piece.samples,
        offset=piece.first_sample,
    )  # fmt: skip
    return slice(first, last + 1), rows


def distribute_items(launch, items, workers, plan):
    """Distribute the work items over at most that many workers; returns the number that is used.

    Taichi gives each thread of a CPU a contiguous range of indices. So that not all of them lie in one region
    of the picture, which may cost more than others, consecutive indices take workers that are about 0.618 of
    their number apart.
    """
    workers = whole_blocks(min(workers, items), plan.block)
    stride = 1 if plan.stride == 1 else _coprime(workers)
    _set(
        launch, items=items, workers=workers, items_per_worker=math.ceil(items / workers),
        worker_stride=stride,
    )  # fmt: skip
    return workers


def whole_blocks(workers, block):
    """At least that many workers, in whole thread blocks: Taichi's Vulkan backend drops a partial one."""
    return block * math.ceil(workers / block)


def _coprime(n):
    """A number near 0.618 n that has no divisor in common with n."""
    return next(k for k in range(max(1, round(0.618 * n)), n + 2) if math.gcd(k, n) == 1)
