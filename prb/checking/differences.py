"""`prb.check`: gradients against finite differences with the same random numbers, and verdicts on them. The
statistics are in prb/checking/verdicts.py."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tabulate import tabulate

from prb.checking.verdicts import REFUTED, SIZE_FLOOR, UNDECIDED, judge, seeds_needed, weigh
from prb.device.params import records
from prb.device.scene import Scene
from prb.errors import ParameterError
from prb.estimators.batches import batch_results, seed_draws
from prb.estimators.checked import rejected_paths, viewed
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.registry import method_of, selected
from prb.estimators.settings import UNLIMITED, resolved
from prb.io.progress import bar as progress_bar
from prb.kernels.estimators import modes

STEPS = (0.1, 0.05, 0.025)
SPP = 16
SEEDS = 16
FILM = 32  # pixels along the longer side that the command line takes by default
COMPONENTS = 256
DEPTH = 16  # where the scene's has no limit
ROUNDING = 2.0**-22  # of an objective, at most: float32 paths, summed in float64
FLOOR = 0.2  # of a parameter's typical number: the least that a step is relative to
MIN_STEP_FRACTION = 0.3  # of a step: what has to fit between a number and its bound for a central difference


@dataclass
class Row:
    """One component: a parameter's name and the index into it, its gradient and finite difference, their
    deviation with its standard error, the p-value corrected for the number of components, the verdict.

    needed: seeds that could tell where the verdict is "cannot tell", None if no number could.
    remark: how the finite differences depend on the step, if they are not smooth, and what the method leaves
    out, if the gradient is refuted; else "".
    """

    name: str
    index: tuple[int, ...]
    gradient: float
    difference: float
    deviation: float
    stderr: float
    p: float
    verdict: str
    needed: int | None = None
    remark: str = ""

    @property
    def label(self) -> str:
        return self.name + (f"[{', '.join(map(str, self.index))}]" if self.index else "")


@dataclass
class Report:
    """The outcome of `prb.check`; its repr is a table. notes: what was left out or changed, one line each."""

    rows: list[Row]
    seeds: int
    spp: int
    steps: tuple[float, ...]
    significance: float
    tolerance: float
    method: str
    notes: list[str] = field(default_factory=list)

    @property
    def refuted(self) -> bool:
        """True if the gradient of some component is refuted."""
        return any(row.verdict == REFUTED for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """The report as a dict that JSON can represent."""
        rows = [{**vars(row), "index": list(row.index)} for row in self.rows]
        return {**vars(self), "steps": list(self.steps), "rows": rows, "refuted": self.refuted}

    def __repr__(self):
        table = [
            [row.label, f"{row.gradient:.6g}", f"{row.difference:.6g}",
             f"{row.deviation:.1e} +- {row.stderr:.1e}", f"{row.p:.2g}", self._verdict(row)]
            for row in self.rows
        ]  # fmt: skip
        columns = ["component", "gradient", "difference", "gradient - difference", "p", "verdict"]
        counts = ", ".join(
            f"{sum(row.verdict == v for row in self.rows)} {v}"
            for v in dict.fromkeys(row.verdict for row in self.rows)
        )
        head = f"{self.method}, {self.seeds} seeds of {self.spp} spp, steps {', '.join(map(str, self.steps))}"
        told = f"{counts}, at significance {self.significance:g} and tolerance {self.tolerance:g}"
        return "\n".join([head, "", tabulate(table, columns, disable_numparse=True), "", told, *self.notes])

    def _verdict(self, row):
        text = row.verdict
        if row.verdict == UNDECIDED:
            remedy = "other --steps" if row.needed is None else f"try {row.needed} seeds"
            text += f"; {remedy}"
        return f"{text}; {row.remark}" if row.remark else text


@dataclass
class _Component:
    """A number of a parameter, and the numbers that it is moved to: for each step, one or two."""

    name: str
    at: int
    index: tuple
    central: bool
    steps: np.ndarray


def check(
    scene: Scene,
    params: str | Iterable[str] | None = None,
    *,
    seeds: int = SEEDS,
    spp: int = SPP,
    steps: Iterable[float] = STEPS,
    significance: float = 1e-3,
    tolerance: float = 0.02,
    adjoint: Adjoint | None = None,
    sensor: int | str | None = None,
    seed: int = 0,
    max_depth: int | None = None,
    components: int = COMPONENTS,
    progress: bool = False,
) -> Report:
    """Compare gradients with finite differences of the same random numbers, over independent seeds.

    The objective is a weighted mean of the picture's numbers, with fixed random weights between 1/2 and 3/2.
    A component's verdict is

        agrees          the gradient lies within the tolerance, with 95 % confidence
        refuted         a true gradient would deviate so far with a chance below the significance, corrected
                        for the number of components; and did so again for as many other seeds
        cannot tell     neither, at this budget; the row says how many seeds could

    params: names, globs or aliases; None: every parameter but vertex normals and directions.
    seeds: how many, from `seed` on; at least 3. spp: samples per pixel of each.
    steps: of a number x, as parts of |x| or, near 0, of the parameter's typical number; at least two. Near a
    bound the differences are one-sided.
    significance, tolerance: between 0 and 1; the latter as a part of the gradient.
    adjoint: the method that is checked; by default that which `prb.render_backward` takes.
    components: how many at most; of larger parameters a random choice is checked.

    Roulette is off, as differences across its decisions would be noise, and an unlimited depth is cut. Time
    is that of 2 x steps x seeds renders for each component. Returns a `Report`. Raises ParameterError. The
    statistics, with their sources, are in prb/checking/verdicts.py.

    A method that leaves out an edge which moves is rightly refuted, and the remark is that a discontinuity is
    likely: attached derivatives leave out edges that moving rays sweep over, and `ReplayAdjoint` alone those
    of shapes.
    """
    scene = viewed(scene, sensor)
    method = method_of(adjoint)
    if method.is_difference:
        raise ParameterError("adjoint: finite differences cannot check themselves; take another method")
    tried = _checked(seeds, steps, significance, tolerance, components)
    depth = resolved(scene, spp=spp, seed=seed, max_depth=max_depth).max_depth
    names = selected(scene, params, method)
    notes = []
    if depth < 0:
        depth = DEPTH
        notes.append(f"depth has no limit in this scene; checked at {depth}")
    chosen = _choose(scene, names, tried, components, notes)
    setting = dict(max_depth=depth, rr_depth=UNLIMITED)
    run = _Run(scene, method, names, spp, setting, progress)
    gradients, differences = run.measure(chosen, range(seed, seed + seeds))
    found = _weighed(scene, chosen, gradients, differences, run.rounding())
    first = judge(found, significance=significance, tolerance=tolerance)
    suspects = [i for i, (verdict, _) in enumerate(first) if verdict == REFUTED]
    p = [p for _, p in first]
    refutable = [verdict == REFUTED for verdict, _ in first]
    if suspects:  # once more with other seeds, as few of them may miss rare paths
        again = range(seed + seeds, seed + 2 * seeds)
        more_g, more_d = run.measure([chosen[i] for i in suspects], again)
        second = _weighed(scene, [chosen[i] for i in suspects], more_g, more_d, run.rounding())
        for i, other, g, d in zip(suspects, second, more_g, more_d, strict=True):
            p[i] = max(p[i], other.p)
            same = other.deviation * found[i].deviation > 0
            refutable[i] = other.p < significance and same
            if not refutable[i]:
                g, d = np.concatenate([gradients[i], g]), np.concatenate([differences[i], d])
                found[i] = _weighed(scene, [chosen[i]], [g], [d], run.rounding())[0]
    verdicts = judge(found, significance=significance, tolerance=tolerance, refutable=refutable)
    rows = [
        _row(c, e, verdict, p_i, tolerance, method.caveat(scene, c.name))
        for c, e, (verdict, _), p_i in zip(chosen, found, verdicts, p, strict=True)
    ]
    if run.rejected:
        notes.append(rejected_paths(run.rejected))
    if not any(row.gradient or row.difference for row in rows):
        notes.append("the gradient is zero everywhere; does light reach these parameters?")
    used = " and ".join(dict.fromkeys(method.methods(scene, names).values()))
    return Report(rows, seeds, spp, tried, significance, tolerance, used, notes)


def fit_film(scene):
    """Shrink the film to at most FILM pixels along its longer side: seeds are better spent than pixels."""
    width, height = scene.film.width, scene.film.height
    shrink = FILM / max(width, height)
    if shrink < 1:
        scene.resize(max(1, round(width * shrink)), max(1, round(height * shrink)))


class _Run:
    """Gradients and differences of a scene's components. setting: max_depth and rr_depth."""

    def __init__(self, scene, method, names, spp, setting, progress):
        self.scene, self.method, self.names = scene, method, names
        self.spp, self.setting, self.progress = spp, setting, progress
        self.weight = np.random.default_rng(1).uniform(0.5, 1.5, scene.image_shape)
        self.weight /= self.weight.size
        self.rejected = 0
        self._objective = 0.0  # the largest so far

    def rounding(self):
        return ROUNDING * self._objective

    def measure(self, components, seeds):
        """For each component: gradients (seeds,) and differences (seeds, steps)."""
        renders = sum(2 * len(c.steps) if c.central else 1 + len(c.steps) for c in components)
        total = len(seeds) * (1 + renders)
        with progress_bar(self.progress, total=total, desc="check", unit="render") as bar:
            backward = functools.partial(
                self.method.backward, self.scene, self.weight, names=self.names, **self.setting
            )
            flat = [result.gradient for result in self._results(backward, seeds, bar)]
            gradients = np.array(flat)[:, [c.at for c in components]].T
            return gradients, [self._differences(c, seeds, bar) for c in components]

    def _results(self, estimate, seeds, bar):
        """The result of each seed."""
        for result in batch_results(estimate, seed_draws(spp=self.spp, seeds=seeds)):
            self.rejected += result.rejected
            bar.update()
            yield result

    def _differences(self, c, seeds, bar):
        value = float(self.scene.values[c.at])
        offsets = c.steps[:, None] * [1, -1] if c.central else np.append(c.steps, 0.0)[:, None]
        moved = np.float32(value + offsets).astype(float)
        at = np.array([[self._objectives(c, x, seeds, bar) for x in row] for row in moved])
        if c.central:  # at: (steps, 2, seeds)
            return ((at[:, 0] - at[:, 1]) / (moved[:, :1] - moved[:, 1:])).T
        return ((at[:-1, 0] - at[-1, 0]) / (moved[:-1] - moved[-1])).T

    def _objectives(self, c, x, seeds, bar):
        """The objective for each seed, with the component at x."""
        values = self.scene.values.copy()
        values[c.at] = x
        picture = functools.partial(integrate, self.scene, modes.PRIMAL, values=values, **self.setting)
        found = []
        for result in self._results(picture, seeds, bar):
            found.append((self.weight * result.image).sum())
            self._objective = max(self._objective, (self.weight * np.abs(result.image)).sum())
        return found


def _weighed(scene, components, gradients, differences, rounding):
    """The evidence on each component, with the size that its tolerance refers to."""
    found = [
        weigh(g, d, c.steps, central=c.central, rounding=rounding)
        for c, g, d in zip(components, gradients, differences, strict=True)
    ]
    largest = {}
    for c, e in zip(components, found, strict=True):
        largest[c.name] = max(largest.get(c.name, 0.0), abs(e.gradient))
    for c, e in zip(components, found, strict=True):
        e.size = max(abs(e.gradient), abs(e.difference), SIZE_FLOOR * largest[c.name])
    return found


def _row(component, evidence, verdict, p, tolerance, caveat):
    """caveat: what the method leaves out of the derivative, see `Adjoint.caveat`."""
    e = evidence
    refuted = verdict == REFUTED
    remark = ""
    if e.unsettled or (refuted and e.jumps):
        remark = "the differences do not settle as the step shrinks: a discontinuity is likely"
    elif e.jumps:
        remark = "the differences are the noisier the smaller the step: paths decide by this parameter"
    if refuted and caveat:
        remark = "; ".join(filter(None, (f"an edge may move: {caveat}", remark)))
    needed = seeds_needed(e, tolerance) if verdict == UNDECIDED else None
    return Row(component.name, component.index, e.gradient, e.difference, e.deviation, e.stderr, p, verdict,
               needed, remark)  # fmt: skip


def _choose(scene, names, steps, limit, notes):
    """The components that are checked, and their steps."""
    known = records(scene)
    remaining = limit
    count = {}
    for done, name in enumerate(sorted(names, key=lambda n: known[n].size)):  # small parameters are whole
        count[name] = min(known[name].size, max(1, remaining // (len(names) - done)))
        remaining -= count[name]
    chosen = []
    for name in names:
        record = known[name]
        values = record.of(scene.values).ravel().astype(float)
        numbers = np.arange(record.size)
        if count[name] < record.size:
            numbers = np.sort(np.random.default_rng(0).choice(record.size, count[name], replace=False))
            notes.append(f"{name}: {count[name]} of its {record.size} components, chosen at random")
        span = record.high - record.low if np.isfinite(record.high - record.low) else 1.0
        typical = np.sqrt((values**2).mean()) if values.any() else span
        for i in numbers:
            scale = max(abs(values[i]), FLOOR * max(typical, 1e-3 * span))
            central, h = _steps(values[i], scale * np.array(steps), record.low, record.high)
            index = tuple(map(int, np.unravel_index(i, record.shape))) if record.shape else ()
            chosen.append(_Component(name, record.offset + int(i), index, central, h))
    return chosen


def _steps(x, steps, low, high):
    """(central, steps): central if they fit into the range, or nearly, else one-sided and inwards."""
    below, above = x - low, high - x
    nearest = min(below, above)
    if nearest >= MIN_STEP_FRACTION * steps[0]:
        return True, steps * min(1.0, nearest / steps[0])
    inwards = 1 if above >= below else -1
    return False, inwards * steps * min(1.0, max(below, above) / steps[0])


def _checked(seeds, steps, significance, tolerance, components):
    """The steps, decreasing. Raises ParameterError unless all is usable."""
    for name, x, least in (("seeds", seeds, 3), ("components", components, 1)):
        if isinstance(x, bool) or not isinstance(x, (int, np.integer)) or x < least:
            raise ParameterError(f"{name}: expected a whole number of at least {least}, got {x!r}")
    for name, x in (("significance", significance), ("tolerance", tolerance)):
        if isinstance(x, bool) or not isinstance(x, (int, float)) or not 0 < x < 1:
            raise ParameterError(f"{name}: {x!r} is out of range; it is a number above 0 and below 1")
    try:
        found = sorted({float(x) for x in steps}, reverse=True)
    except (TypeError, ValueError):
        found = []
    if len(found) < 2 or not all(0 < x <= 0.5 for x in found):
        raise ParameterError(
            f"steps: {steps!r} cannot be used; give two or more different ones, above 0 and at most 0.5"
        )
    return tuple(found)
