"""Boundary terms as an adjoint method."""

import math
import warnings
from dataclasses import dataclass, replace

import numpy as np

from prb.device import runtime
from prb.device.arrays import clear, fetch, output, passed, unused, upload
from prb.device.edge_views import seen
from prb.device.edges import edges_of, quantised
from prb.device.film import columns as filter_columns
from prb.device.film import filter_table, filter_width, margin, pitch, reach, sampled_size, shifts
from prb.device.lock import locked
from prb.device.parameters import OF_CAMERAS, TRANSFORM, VERTICES
from prb.device.params import records
from prb.errors import ParameterError
from prb.estimators import guides, seeds, work
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.reconstruction import divided
from prb.estimators.settings import resolved
from prb.estimators.sums import Result
from prb.estimators.values import device_values
from prb.kernels.arrays import vec2f, vec4f
from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.boundary import trace_edges
from prb.kernels.estimators.edge_sampling import vec8i

BATCHES = 16  # for a standard error
# Of the samples of a picture, what each kind of term takes by default.
SHARES = {"primary": 0.25, "shadow": 1.0, "indirect": 0.5}
STILL = 0.25  # how much less often an edge is sampled that does not move itself
CLOSE = 0.25  # part of the indirect samples for lines between an edge and a surface near by
CANDIDATES, SEEN_CANDIDATES = 8, 16  # lines of which a sample keeps one, through a light or from the sensor
GRADIENT_COPIES = 8
PILOT = 0.25  # samples that a guide is learned from, as a part of those that it guides
MIN_PILOT, MAX_PILOT = 2**14, 2**18
EDGE_BYTES, PILOT_BYTES = 44, 16  # of an edge with its probability and range; of a sample
PILOT_SAMPLE = -1  # number of its samples, which no other has


@dataclass(frozen=True)
class Boundary(Adjoint):
    """The boundary terms of derivatives by what moves shapes, the camera or lights without a surface: how
    silhouettes and the edges of shadows and of reflections sweep over the picture. The interior derivative is
    not in it: add the two, as in ``prb.ReplayAdjoint() + prb.Boundary()``.

    primary: of silhouettes that the camera sees itself. shadow: of what hides lights from surfaces, sampled
        through points of lights. indirect: of everything else that surfaces see, sampled from the camera, or
        by directions at edges where a surface is near. For each, the number of samples as a part of the
        picture's (spp for every pixel); True stands for 0.25, 1 and 0.5, False leaves it out. What is left
        out is missing, but that without `shadow` all lights with an area are found by `indirect`, at more
        noise.
    guiding: how samples that no light guides go where terms are large: by the boxes of a "grid" or of an
        "octree", learned from a pilot in each call (prb/estimators/guides.py), or "none", the default: in
        most scenes a pilot costs more than it brings.

    Edges of meshes are sides where the two faces lie on one side as seen along a line, open borders, and
    creases where shading jumps; disks, spheres and cylinders have theirs exactly. Memory does not depend on
    samples or depth.

    What it does not have: silhouettes that are seen in ideal mirrors or through smooth glass, and shadows of
    lights without a surface that are; edges of textures, of masks and of a projector's
    picture; participating media; an environment map that turns. Of a light without a surface that moves, the
    other part of the derivative is `AttachedReplay`'s.
    Seeds are other numbers than those of a picture with the same seed.
    """

    primary: float | bool = True
    shadow: float | bool = True
    indirect: float | bool = True
    guiding: str = "none"
    name = "boundary"
    has_forward = has_stderr = own_samples = True

    def __post_init__(self):
        for kind in ("primary", "shadow", "indirect"):
            part = getattr(self, kind)
            if not (isinstance(part, (bool, int, float)) and 0 <= part < np.inf):
                why = "is out of range; it is a part of the samples, from 0 on"
                raise ParameterError(f"{kind}: {part!r} {why}")

        if self.guiding not in guides.NAMES:
            raise ParameterError(
                f"guiding: {self.guiding!r} is unknown; take one of {', '.join(guides.NAMES)}"
            )

    def reason(self, scene, name):
        """As of `Adjoint`: only what moves shapes, the camera or lights without a surface moves edges."""
        record = records(scene)[name]
        if record.why_not:
            return record.why_not
        if record.kind == TRANSFORM and not record.moves_edges:
            return "the edges that an environment map's light has move as it turns, which it does not follow"
        return None if record.moves_edges else "it moves no edge, so that its derivative has no boundary term"

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        if records(scene)[name].kind == TRANSFORM and "projector" in scene.layout.features.emitters:
            return "the border of a projector's picture is not in the derivative"
        return ""

    def beside_others(self, found):
        """As of `Adjoint`: another method's picture will do."""
        return {} if found is None else {"with_image": False}

    def backward(
        self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, with_image=True,
        **options,
    ) -> Result:  # fmt: skip
        """The boundary terms of J^T image_adjoint over the named parameters (None: all that move something).

        with_image: False leaves out the picture, which takes paths of its own. options: `rr_depth`, `values`,
        `first_sample`, `variance` and `progress` as of `prb.estimators.integrate.integrate`.
        """
        return self._estimate(
            scene, modes.REVERSE, image_adjoint, names, with_image, options, spp=spp, seed=seed,
            max_depth=max_depth,
        )  # fmt: skip

    def forward(
        self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, with_image=True,
        **options,
    ) -> Result:  # fmt: skip
        """The boundary terms of J tangents; as `backward`."""
        return self._estimate(
            scene, modes.FORWARD, tangents, names, with_image, options, spp=spp, seed=seed,
            max_depth=max_depth,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device: edges, a guide with its pilot, and a picture or copies of
        the gradient; they do not depend on the samples."""
        edges = len(edges_of(scene.layout).records)
        size = max([1, *(r.offset + r.size for r in records(scene).values() if r.moves_edges)])
        sums = max(scene.image_shape[0] * pitch(scene.film) * 3, GRADIENT_COPIES * size)
        return EDGE_BYTES * edges + PILOT_BYTES * MAX_PILOT + 8 * sums

    @locked
    def _estimate(self, scene, mode, given, names, with_image, options, **paths):
        values, variance = options.pop("values", None), options.pop("variance", False)
        if options.pop("deterministic", False) and sums_of() != ti.f64:
            raise ParameterError("deterministic: boundary terms need double precision for it; use the CPU")
        progress = options.pop("progress", False)
        settings = resolved(scene, **paths, **options)
        if scene.layout.features.media:
            raise ParameterError("adjoint: boundary does not take participating media, which the scene has")
        image = None
        if with_image:
            image = integrate(scene, modes.PRIMAL, values=values, progress=progress, **paths, **options).image
        with device_values(scene, values):
            batches = BATCHES if variance else 1
            found = _Terms(scene, mode, given, names, settings).batches(self, batches)
        mean = found.mean(axis=0)
        error = found.var(axis=0, ddof=1) / batches if variance else None
        result = Result(image, variance=error, spp=settings.spp)
        if mode == modes.FORWARD:
            result.tangent = mean
        else:
            result.gradient = mean
        return result


def fraction(method, kind):
    """The number that one of `Boundary`'s kinds stands for."""
    part = getattr(method, kind)
    return SHARES[kind] if part is True else float(part)


def sums_of():
    """The type of sums that all workers add to, in any order. In double precision what is rounded to single
    precision afterwards does not depend on the order, but for one number in very many."""
    return ti.f64 if runtime.on_cpu() or runtime.arch() == "cuda" else ti.f32


class _Terms:
    """The boundary terms of one call."""

    def __init__(self, scene, mode, given, names, settings):
        self._scene, self._mode, self._settings = scene, mode, settings
        known = records(scene)
        wanted = [r for r in known.values() if r.moves_edges and (names is None or r.name in names)]
        self._wanted, self._size = wanted, max([1, *(r.offset + r.size for r in wanted)])
        self._camera = any(r.kind in OF_CAMERAS for r in wanted)
        self._lights = any(r.moves_shadows for r in wanted)
        if self._camera:
            scene.differentiate_camera()
        if any(r.kind == VERTICES for r in wanted):
            scene.number_vertices()
        self._arrays = scene.device_arrays()
        self._weights = _expected_weights(scene.film)
        self._tangents, self._adjoint = unused(1), unused(1)
        if mode == modes.FORWARD:
            kept = np.zeros(scene.values.size, np.float32)
            for record in wanted:
                record.of(kept)[...] = record.of(np.asarray(given, np.float32))
            self._tangents = passed(kept)
        else:
            self._adjoint = divided(given, scene.film, self._weights)

    def batches(self, method, count):
        """`count` independent estimates, stacked: gradients (count, parameters) or tangents (count, height,
        width, 3)."""
        scene, spp = self._scene, self._settings.spp
        width, height = sampled_size(scene.film)
        shape = scene.image_shape if self._mode == modes.FORWARD else (scene.values.size,)
        found = np.zeros((count, *shape))
        if not self._wanted:
            why = "none of the parameters moves an edge, so that its terms are zero"
            warnings.warn(f"boundary: {why}", stacklevel=5)
            return found
        edges = edges_of(scene.layout)
        shapes = self._moved_shapes()
        moving = shapes[edges.shapes].any(axis=1)
        self._moved = shapes | self._camera | self._lights
        of_all = width * height * spp
        deep = self._settings.max_depth < 0 or self._settings.max_depth >= 2
        lights = len(scene.layout.arrays["light_pdf"]) > 0 and scene.layout.arrays["light_pdf"][:, 1].any()
        primary = fraction(method, "primary") * of_all
        if primary > 0 and lights:
            weights, ranges = seen(edges, scene.sensor, scene.film, scene.layout.arrays)
            if not self._camera:
                weights = weights * moving
            self._launches(found, 0, edges, weights, ranges, True, primary, 0.0, method.guiding)
        shadow, indirect = (fraction(method, kind) * of_all for kind in ("shadow", "indirect"))
        if not any(r.moves for r in self._wanted):  # lights without a surface, which no direction finds
            indirect = 0.0
        if shadow + indirect > 0 and deep and lights:
            weights = edges.measures * np.where(moving | self._lights, 1.0, STILL)
            ranges = np.zeros((len(weights), 2), np.float32)
            samples = shadow + indirect
            self._launches(found, 1, edges, weights, ranges, False, samples, shadow, method.guiding)
        return found

    def _moved_shapes(self):
        """Which shapes move by themselves."""
        moves = self._scene.layout.arrays["moves"]
        offsets = [r.offset for r in self._wanted if r.kind not in OF_CAMERAS]
        return np.isin(moves[:, :3], offsets).any(axis=1)

    def _launches(self, found, kind, edges, weights, ranges, primary, samples, shadows, guiding):
        """Add the samples of one kernel to each batch."""
        some = weights > 0
        if not some.any():
            return
        scene, mode, settings = self._scene, self._mode, self._settings
        plan = work.device_plan()
        arguments = (
            upload(edges.records[some], vec8i), upload(quantised(weights[some])),
            upload(self._moved.astype(np.int32)), upload(ranges[some], vec2f),
        )  # fmt: skip
        count = len(found)
        each = samples / count
        launches = math.ceil(each / plan.paths)
        items = max(1, math.ceil(each / launches))
        others = samples - shadows
        n_shadows, n_seen, n_near = _shared((shadows, others * (1 - CLOSE), others * CLOSE), items)
        items, mis = n_shadows + n_seen + n_near, int(0 < shadows < samples)
        launch = work.new_launch(scene, replace(settings, seed=seeds.hashed(settings.seed, 7919, kind)))
        film = work.new_film(scene, settings, 1)
        height, width, _ = scene.image_shape
        copies = GRADIENT_COPIES
        element = sums_of()
        if mode == modes.FORWARD:
            image = output(height * pitch(scene.film) * 3, element)
            gradient, copies = unused(1, element), 1
        else:
            image, gradient = unused(1, element), output(copies * self._size, element)
        work.set_gradient(launch, copies=copies, size=self._size, fixed_point_scale=1.0)
        execution = work.execution(
            plan, vertices=any(r.kind == VERTICES for r in self._wanted), placements=self._lights
        )

        def trace(guide, learned, learns, shadows, seen):
            trace_edges(
                scene.layout.features, execution, mode, primary, launch, film, *self._arrays, *arguments,
                *guide, learned, learns, shadows, seen, CANDIDATES, SEEN_CANDIDATES, mis, image,
                self._adjoint, gradient, self._tangents,
            )  # fmt: skip

        guide = guides.uniform()
        if guiding != "none" and shadows < samples:
            pilot = math.ceil(min(max(PILOT * (samples - shadows), MIN_PILOT), MAX_PILOT))
            learned = output(pilot, vec4f)
            work.set_samples(launch, first_sample=PILOT_SAMPLE)
            work.distribute_items(launch, pilot, plan.workers, plan)
            trace(_on_device(guide), learned, 1, 0, pilot)
            guide = guides.made(guiding, fetch(learned)[:pilot], primary)
        guide, nothing = _on_device(guide), unused(1, vec4f)
        target = image if mode == modes.FORWARD else gradient
        for batch in range(count):
            clear(target)
            for number in range(launches):
                work.set_samples(launch, first_sample=(settings.first_sample + batch) * launches + number)
                work.distribute_items(launch, items, plan.workers, plan)
                trace(guide, nothing, 0, n_shadows, n_seen)
            total = fetch(target).astype(np.float32).astype(np.float64) / launches
            if mode == modes.FORWARD:
                left = margin(scene.film) + reach(scene.film)
                padded = total.reshape(height, pitch(scene.film), 3)[:, left : left + width]
                weights_of = np.where(self._weights == 0, np.inf, self._weights)
                found[batch] += padded / weights_of[..., None]
            else:
                sums = total.reshape(copies, self._size).sum(axis=0)
                for record in self._wanted:
                    part = slice(record.offset, record.offset + record.size)
                    found[batch, part] += sums[part]


def _shared(parts, total):
    """Whole numbers in proportion to the parts, of about that sum; at least 1 for a part that is not 0."""
    return [max(round(total * part / sum(parts)), int(part > 0)) for part in parts]


def _on_device(guide):
    """A guide's cumulative probabilities and boxes as `trace_edges` takes them."""
    weights, boxes = guide
    return upload(quantised(weights)), upload(boxes.reshape(-1, 4), vec4f)


def _expected_weights(film):
    """The expected sum of the weights of samples of which one lies in each pixel: (height, width) float64."""
    width, height = film.crop_size
    if not reach(film):
        return np.ones((height, width))
    table = filter_table(film).astype(float)
    half = filter_columns(film)
    mean = 0.5 * (table[:, :half] + table[:, half:])
    steps = len(mean)
    across = np.zeros(2 * reach(film) + 2)
    for k in range(filter_width(film)):
        for shift in (0, 1):
            rows = slice(steps // 2, None) if shift else slice(0, steps // 2)
            across[k + (shift if shifts(film) else 0)] += mean[rows, k].sum() / steps
    sizes = sampled_size(film)
    found = []
    for size, pixels in zip(sizes, (width, height), strict=True):
        total = np.zeros(pixels)
        for sample in range(size):
            first = sample - margin(film) - reach(film)
            for k, w in enumerate(across):
                if 0 <= first + k < pixels:
                    total[first + k] += w
        found.append(total)
    return np.outer(found[1], found[0])
