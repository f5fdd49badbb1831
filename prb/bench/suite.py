"""`prb bench`: what a gradient costs in time and memory, over depth and over samples, method by method.

Every point is measured in a process of its own (prb/bench/measure.py), so that its peak memory is its own.
The results are written after each point, so an interrupted run loses at most one and can be resumed.
"""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import prb
from prb.bench.report import FAILED, OK, OUT_OF_MEMORY, REFERENCE, markdown, pictures, slopes
from prb.errors import PrbError
from prb.estimators.registry import METHODS
from prb.estimators.settings import check_samples
from prb.io.images import atomic
from prb.io.progress import bar as progress_bar

FORMAT = 1  # of results.json
PAGES = ("results.md", "memory.png", "time.png")  # what is written beside results.json
NOTES = (
    "Russian roulette is off: a path ends at the depth, or where it leaves the scene.",
    "peak_mib is the resident peak of the point's process, base_mib that peak before the gradient, with the "
    "scene loaded and the kernels compiled; device_mib is what the method allocates on the device.",
    "Slopes are least squares in log-log, of the numbers as measured: nothing is subtracted from peak_mib.",
)


@dataclass(frozen=True)
class Settings:
    """What is measured. scene: a file or a bundled name. size: pixels, None: the scene's film.

    params: patterns, None: all. runs: timed ones, after the first. full: depths x samples, else the depths
    at the fewest samples and the samples at the smallest depth. memory_limit_mib: of the tape.
    """

    scene: str = "cornell-box"
    methods: tuple[str, ...] = (REFERENCE, "tape")
    depths: tuple[int, ...] = (4, 8, 16, 32, 64)
    spps: tuple[int, ...] = (4, 16, 64)
    size: tuple[int, int] | None = None
    params: tuple[str, ...] | None = None
    runs: int = 3
    seed: int = 0
    arch: str | None = None
    full: bool = False
    memory_limit_mib: float | None = None

    def points(self):
        """(depth, spp, method) in the order of measurement: replay first, with which others are compared."""
        depths, spps = sorted(set(self.depths)), sorted(set(self.spps))
        cells = [(d, spps[0]) for d in depths] + [(depths[0], s) for s in spps[1:]]
        if self.full:
            cells = [(d, s) for s in spps for d in depths]
        methods = sorted(set(self.methods), key=lambda m: (m != REFERENCE, self.methods.index(m)))
        return [(d, s, m) for d, s in cells for m in methods]

    def check(self):
        """Raise PrbError for settings that are wrong whatever the scene."""
        for name, values in (("method", self.methods), ("depths", self.depths), ("spps", self.spps)):
            if not values:
                raise PrbError(f"{name}: at least one is needed")
        for method in self.methods:
            if method not in METHODS:
                raise PrbError(f"method: {method!r} is unknown; the methods are {', '.join(METHODS)}")
        for depth in self.depths:
            if depth < 1:
                raise PrbError(f"depths: {depth} is out of range; depths to measure go from 1")
            check_samples(1, self.seed, depth)
        for spp in self.spps:
            check_samples(spp, self.seed, 1)
        limit = self.memory_limit_mib
        if limit is not None and not 0 < limit < 2**43:
            raise PrbError(f"memory_limit_mib: {limit:g} is out of range; it is a number above 0")
        if self.runs < 1:
            raise PrbError(f"runs: {self.runs} is out of range; it goes from 1")


# The run: one point after the other.


def run_benchmark(settings, folder, *, resume=False, progress=False, run=None):
    """Measure all points; returns what results.json holds.

    folder: for results.json, results.md, memory.png, time.png and gradients/. resume: go on with the
    folder's run. run: what measures, a function (task, job) -> dict; by default `in_fresh_process`.
    Raises PrbError for a user's mistake before anything is measured.
    """
    run, folder = run or in_fresh_process, Path(folder)
    settings.check()
    job = {**asdict(settings), "scene": str(settings.scene)}
    facts = run("probe", job)
    if "error" in facts:
        raise PrbError(facts["error"])
    for warning in facts.pop("warnings", ()):
        warnings.warn(warning, stacklevel=2)
    results = _begin(settings, folder, facts, resume)
    if "fd" in settings.methods:
        renders = 1 + 2 * results["scene"]["numbers"]
        warnings.warn(f"central differences take {renders} renders for each gradient", stacklevel=2)
    done = {(p["depth"], p["spp"], p["method"]): p for p in results["points"]}
    points = settings.points()
    left = [point for point in points if point not in done]
    try:
        with progress_bar(progress, total=len(points), initial=len(done), desc="bench", unit="point") as bar:
            for method in dict.fromkeys(m for _, _, m in left):
                bar.set_postfix_str(f"compiling {method}")
                run("compile", {**job, "method": method})  # so that no point pays for a cold kernel cache
            for depth, spp, method in left:
                bar.set_postfix_str(f"{method}, depth {depth}, {spp} spp")
                gradient = folder / "gradients" / _gradient_file(depth, spp, method)
                gradient.unlink(missing_ok=True)
                more = {"method": method, "depth": depth, "spp": spp, "gradient": str(gradient)}
                row = {"method": method, "depth": depth, "spp": spp, **run("point", {**job, **more})}
                reference = gradient.with_name(f"{REFERENCE}-depth{depth}-spp{spp}.npz")
                row["difference"] = None if method == REFERENCE else _difference(gradient, reference)
                done[depth, spp, method] = row
                results["points"] = [done[p] for p in points if p in done]
                _save(results, folder)
                bar.update()
    except KeyboardInterrupt:
        _save(results, folder)
        _write(folder / "results.md", markdown(results))
        kept = f"{folder / 'results.json'} has {len(results['points'])} of {len(points)} points"
        raise KeyboardInterrupt(f"interrupted; {kept}, --resume goes on") from None
    _save(results, folder)
    _write(folder / "results.md", markdown(results))
    pictures(results, folder)
    measured = [p for p in results["points"] if p["status"] == OK]
    if measured and not any(p.get("largest_derivative") for p in measured):
        warnings.warn("the gradient is zero everywhere; does light reach these parameters?", stacklevel=2)
    return results


def _gradient_file(depth, spp, method):
    """The name of a point's gradient."""
    return f"{method}-depth{depth}-spp{spp}.npz"


def _begin(settings, folder, facts, resume):
    """The results to add points to: empty, or those of the run that is resumed. Raises PrbError."""
    machine = {
        "system": platform.platform(), "processor": _processor(), "cpus": os.cpu_count(),
        "python": platform.python_version(), **facts.pop("machine", {}),
    }  # fmt: skip
    fresh = {
        "format": FORMAT, "settings": _plain(settings), "scene": facts, "machine": machine, "notes": NOTES,
        "points": [], "slopes": {},
    }  # fmt: skip
    fresh = json.loads(json.dumps(fresh))
    path = folder / "results.json"
    try:
        (folder / "gradients").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder), tempfile.TemporaryFile(dir=folder / "gradients"):
            pass
        text = path.read_text(encoding="utf-8") if path.exists() else None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PrbError(f"{folder}: results cannot be written there: {reason}; choose another -o") from None
    if text is None:
        gradients = [f"gradients/{_gradient_file(*point)}" for point in settings.points()]
        there = [folder / name for name in (*PAGES, *gradients) if os.path.lexists(folder / name)]
        other = next(iter(there), None)
        if other is not None:
            raise PrbError(f"{other}: not made by this run, which would replace it; choose another -o")
        return fresh
    if not resume:
        raise PrbError(f"{path}: is there already; --resume goes on with it, or choose another -o")
    try:
        kept = json.loads(text)
        if kept["format"] != FORMAT:
            raise ValueError
        points = [p for p in kept["points"] if p["status"] in (OK, OUT_OF_MEMORY)]
        for p in points:
            _ = p["depth"], p["spp"], p["method"]
        changed = [
            f"{key} {_brief(kept[part].get(key))}, now {_brief(value)}"
            for part in ("settings", "scene", "machine")
            for key, value in fresh[part].items()
            if kept[part].get(key) != value
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PrbError(f"{path}: is not the results of a run; choose another -o") from None
    if changed:
        what = "was measured otherwise"
        raise PrbError(f"{path}: {what} ({'; '.join(changed)}); use the same settings or another -o")
    fresh["points"] = points
    return fresh


def _plain(settings):
    """The settings as results.json has them, in an order that does not depend on the command line's."""
    plain = asdict(settings)
    plain.update(
        scene=str(settings.scene), methods=sorted(set(settings.methods)), depths=sorted(set(settings.depths)),
        spps=sorted(set(settings.spps)),
    )  # fmt: skip
    return plain


def _brief(value):
    text = json.dumps(value)
    return text if len(text) < 60 else text[:56] + " ..."


def _processor():
    """The processor's name."""
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _difference(path, reference):
    """The largest relative difference of two gradients, None where one is missing.

    For each parameter, the largest difference is divided by its largest derivative, which counts as at least
    1e-9 of the largest of all parameters.
    """
    try:
        with np.load(path) as a, np.load(reference) as b:
            pairs = [(a[name], b[name]) for name in b.files]
    except (OSError, ValueError, KeyError):
        return None
    scales = [max(np.abs(a).max(initial=0), np.abs(b).max(initial=0)) for a, b in pairs]
    largest = max(scales, default=0)
    if largest == 0:
        return 0.0
    return max(
        float(np.abs(a - b).max(initial=0) / max(scale, 1e-9 * largest))
        for (a, b), scale in zip(pairs, scales, strict=True)
    )


def _save(results, folder):
    results["slopes"] = {m: slopes(results, m) for m in results["settings"]["methods"]}
    _write(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")


def _write(path, text):
    try:
        with atomic(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
    except OSError as error:
        raise PrbError(f"{path}: cannot be written: {error.strerror}; choose another -o") from None


# One point, in its own process.

_CHILD = """\
import sys
sys.path[:] = {path!r}
from importlib import util
spec = util.spec_from_file_location("prb", {file!r})
prb = sys.modules["prb"] = util.module_from_spec(spec)
spec.loader.exec_module(prb)
from prb.bench.measure import answer_task
answer_task(*sys.argv[1:])
"""


def in_fresh_process(task, job):
    """Run a task of `prb.bench.measure` in a process of its own: its answer, or how it ended without one."""
    with tempfile.TemporaryDirectory(prefix="prb-bench-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-c", _child_code(), task, json.dumps(job), str(answer)]
        pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with subprocess.Popen(command, text=True, errors="replace", **pipes) as done:
            try:
                _, stderr = done.communicate()
            except BaseException:  # subprocess.run would not wait for the end
                done.kill()
                done.wait()
                raise
        found = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if done.returncode == 0 and found:
        return found
    if done.returncode == -getattr(signal, "SIGKILL", 9):  # how Linux ends who takes the last memory
        reason = "killed by signal 9, as the system does when memory runs out"
        return {**found, "status": OUT_OF_MEMORY, "reason": reason, "needed_mib": found.get("device_mib")}
    lines = stderr.strip().splitlines() or [""]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
    reason = " ".join(f"the process ended with {how} {lines[-1]}".split())
    return {**found, "status": FAILED + reason, "error": reason}


def _child_code():
    """What the child runs: this very prb, found by its file, with this process's path for everything else.

    Python puts the current folder first on the path, also with -m. It is left out (as '', which stands for
    it), or a numpy.py that lies there would be executed; `python -P` does the same from 3.11 on.
    """
    path = [os.path.abspath(entry) for entry in sys.path if entry]
    return _CHILD.format(path=path, file=os.path.abspath(prb.__file__))
