"""What a point of `prb bench` runs in a process of its own: the scene's facts, compiling, one measurement."""

import contextlib
import hashlib
import json
import os
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import prb
from prb.bench.report import FAILED, OK, OUT_OF_MEMORY
from prb.device import runtime
from prb.device.params import select
from prb.errors import MemoryLimitError, PrbError
from prb.estimators.checked import backward
from prb.estimators.gradients import split
from prb.estimators.registry import METHODS
from prb.estimators.settings import UNLIMITED
from prb.io.images import atomic
from prb.kernels.backend import ti

COMPILE_WINDOW = (32, 32)  # pixels: as many workers as a large film takes on a CPU, and hardly any memory


def answer_task(task, job, path):
    """Do a task, "probe", "compile" or "point"; its answer goes as JSON to the file. job: JSON."""
    with contextlib.suppress(OSError):  # where memory runs out, Linux is to kill this process first
        Path("/proc/self/oom_score_adj").write_text("1000")
    job, answer = json.loads(job), {}

    def note(**more):
        answer.update(more)
        with atomic(path) as temporary:
            Path(temporary).write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the scene's own warnings are in the probe's answer
        try:
            note(**{"probe": _probe, "compile": _compile_only, "point": _point}[task](job, note))
        except MemoryLimitError as error:
            needed = error.needed / 2**20
            note(status=OUT_OF_MEMORY, reason=_line(error), error=_line(error), needed_mib=needed)
        except PrbError as error:
            note(status=FAILED + _line(error), error=_line(error))
        except MemoryError:
            note(status=OUT_OF_MEMORY, reason="the host's memory", needed_mib=answer.get("device_mib"))
        except RuntimeError as error:  # how Taichi reports it
            if "memory" not in str(error).lower():
                raise
            note(status=OUT_OF_MEMORY, reason=_line(error), needed_mib=answer.get("device_mib"))


def _line(error):
    return " ".join(str(error).split())


def _prepared(job):
    """(scene, names of the parameters, derivative of the mean with respect to the image)."""
    if job["arch"] is not None:
        prb.init(job["arch"])
    scene = prb.load_file(job["scene"])
    if job["size"] is not None:
        scene.resize(*job["size"])
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    return scene, select(scene, job["params"]), weight


def _probe(job, note):
    """The facts of scene and device, or what is wrong with them."""
    scene, names, _ = _prepared(job)
    height, width, _ = scene.image_shape
    bundled = prb.bundled_scenes()
    file = job["scene"] if os.path.isfile(job["scene"]) else bundled[job["scene"]]
    facts = {
        "name": scene.name, "sha256": hashlib.sha256(Path(file).read_bytes()).hexdigest(),
        "width": width, "height": height, "parameters": len(names),
        "numbers": int(sum(np.size(prb.traverse(scene)[name]) for name in names)),
        "scene_mib": scene.device_bytes() / 2**20, "warnings": list(map(str, scene.model.warnings)),
    }  # fmt: skip
    memory = runtime.host_memory()
    machine = {
        "arch": runtime.arch(), "memory_gib": memory and round(memory / 2**30),
        "prb": prb.__version__, "taichi": ".".join(map(str, ti.__version__)), "numpy": np.__version__,
    }  # fmt: skip
    return {**facts, "machine": machine}


def _compile_only(job, note):
    scene, _, weight = _prepared(job)
    _compile(scene, _method(job), weight, job["seed"])
    return {"status": OK}


def _method(job):
    limit = job["memory_limit_mib"]
    options = {"memory_limit": int(limit * 2**20)} if limit and job["method"] == "tape" else {}
    return METHODS[job["method"]](**options)


def _compile(scene, method, weight, seed):
    """Compute a gradient of a few pixels, which uploads the scene and compiles every kernel."""
    scene.device_arrays()
    window = scene.cropped(*COMPILE_WINDOW)
    height, width, _ = window.image_shape
    part = weight[:height, :width]
    backward(window, part, method, spp=1, seed=seed, max_depth=2, rr_depth=UNLIMITED, names=[])


def _point(job, note):
    """One row: the cost of a gradient and, in a file, the gradient."""
    scene, names, weight = _prepared(job)
    method = _method(job)
    options = dict(spp=job["spp"], max_depth=job["depth"], rr_depth=UNLIMITED, seed=job["seed"], names=names)
    start = time.perf_counter()
    _compile(scene, method, weight, job["seed"])
    compiled_s = time.perf_counter() - start
    note(base_mib=peak_mib())
    if hasattr(method, "device_bytes"):
        needed = method.device_bytes(scene, spp=job["spp"], max_depth=job["depth"])
        note(device_mib=needed / 2**20)  # noted before, as the process may be killed for memory
    seconds = []
    for _ in range(1 + job["runs"]):
        start = time.perf_counter()
        result = backward(scene, weight, method, **options)
        seconds.append(time.perf_counter() - start)
    peak = peak_mib()
    gradient = split(scene, result.gradient, names)
    largest = max(float(np.abs(g).max(initial=0)) for g in gradient.values())
    if not np.isfinite(largest):
        raise PrbError("the gradient is not finite; scale the scene's radiances down")
    with atomic(job["gradient"]) as temporary:
        np.savez(temporary, **gradient)
    return {
        "status": OK, "median_s": statistics.median(seconds[1:]), "seconds": seconds[1:],
        "first_s": compiled_s + seconds[0], "peak_mib": peak, "largest_derivative": largest,
        "rejected": result.rejected,
    }  # fmt: skip


def peak_mib(pid="self"):
    """Resident peak of a process in MiB, or None where that cannot be told.

    Linux's ru_maxrss begins with what the parent had when it started this process; VmHWM does not.
    """
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    if pid != "self":
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
