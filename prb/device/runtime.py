"""The only module that initialises Taichi: the device, its settings, and the generation of its memory."""

import atexit
import os
import subprocess
from pathlib import Path

from prb.device.lock import locked
from prb.errors import DeviceError
from prb.kernels.backend import impl, ti

ARCHS = {"cpu": ti.cpu, "cuda": ti.cuda, "metal": ti.metal, "vulkan": ti.vulkan}
_state: dict = {"arch": None, "generation": 0}


def available_archs() -> list[str]:
    """The names that `init` takes on this machine."""
    return [name for name, arch in ARCHS.items() if name == "cpu" or ti.lang.misc.is_arch_supported(arch)]


@locked
def init(arch: str | None = None, *, threads: int | None = None) -> None:
    """Choose the device. The first render calls this with the default.

    arch: "cpu", "cuda", "metal" or "vulkan". None: the value of the environment variable PRB_ARCH, else CUDA
        or Metal where there is one, else the CPU. Vulkan is used only when asked for, as a software device
        cannot be told from a GPU.
    threads: the most threads that a CPU uses; None: as many as it has.

    Scenes stay valid: the next render uploads their arrays to the new device.
    Raises DeviceError for a name that is unknown or not available here, and for an invalid number of threads.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise DeviceError(f"threads: {threads!r} is out of range; it is a whole number from 1 on")
    wanted = os.environ.get("PRB_ARCH") or None if arch is None else arch
    names = available_archs()
    if wanted is None:
        wanted = next((name for name in ("cuda", "metal") if name in names), "cpu")
    if wanted not in names:
        place = "PRB_ARCH" if arch is None else "arch"
        known = "not available here" if wanted in ARCHS else "unknown"
        raise DeviceError(f"{place}: {wanted!r} is {known}; available: {', '.join(names)}")
    if threads is not None and wanted != "cpu":
        raise DeviceError(f"threads: {wanted!r} does not take it; only 'cpu' does")
    try:
        _init(ARCHS[wanted], **({} if threads is None else {"cpu_max_num_threads": threads}))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise DeviceError(f"arch: {wanted!r} did not start ({reason}); use another, such as cpu") from None
    if ti.lang.impl.current_cfg().arch != ARCHS[wanted]:  # Taichi goes on with the CPU without a device
        raise DeviceError(f"arch: {wanted!r} has no device here; use another, such as cpu")
    # Taichi finishes its start with the first kernel, which must not run in another thread than this.
    impl.get_runtime().materialize()
    _state["arch"] = wanted
    _state["generation"] += 1
    if _state["generation"] == 1:
        # Taichi 1.7.4 writes its cache of kernels when its program ends, and when modules are torn down that
        # may not happen: whether something still refers to the program depends on what has been imported.
        atexit.register(ti.reset)


def _init(arch, **options):
    overriding = os.environ.pop("TI_ARCH", None)  # it would override what the caller asked for
    try:
        ti.init(
            arch=arch,
            fast_math=False,  # keeps the two-sum of kernels/estimators/modes.py and tests for NaN alive
            force_scalarize_matrix=True,
            advanced_optimization=False,  # LLVM does the same: a kernel compiles in a fifth of the time
            offline_cache=os.environ.get("TI_OFFLINE_CACHE") != "0",  # where kernels/backend.py says
            random_seed=0,
            log_level=ti.ERROR,
            verbose=False,
            **options,
        )
    finally:
        if overriding is not None:
            os.environ["TI_ARCH"] = overriding


@locked
def ensure():
    """Initialise with the default device unless one is in use; returns the generation."""
    if _state["arch"] is None:
        init()
    return _state["generation"]


def generation():
    """How often the device has been initialised; arrays of an earlier generation no longer exist."""
    return _state["generation"]


def arch():
    """The device in use, or None before the first `init`."""
    return _state["arch"]


def on_cpu():
    """True if the device in use is the CPU."""
    return _state["arch"] == "cpu"


def adds_integers():
    """Whether the device in use has atomic addition of 64-bit integers.

    On Vulkan, Taichi 1.7.4 silently drops such additions (seen on a software device). Metal is untried.
    """
    return _state["arch"] in ("cpu", "cuda")


def host_memory():
    """Bytes of memory of this machine, or None where that is unknown."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return None


def free_memory():
    """Bytes of free memory on the device in use, or None where that is unknown."""
    if arch() == "cuda":
        command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
            return int(answer.split()[0]) * 2**20
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return None
    try:  # Linux: available without swapping
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError, IndexError):
        return host_memory()
