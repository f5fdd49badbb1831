"""The one module that imports Taichi. Its settings come first, and another backend could take its place."""

import atexit
import os
import shutil
import tempfile


def _can_be_written(folder):
    """Whether Taichi's cache can be kept there, or in the folder once it is made; leaves nothing behind."""
    index = os.path.join(folder, "ticache.tcb")
    if os.path.lexists(index) and not os.access(index, os.W_OK):
        return False
    while not os.path.lexists(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    try:
        with tempfile.TemporaryDirectory(prefix=".prb-", dir=folder):
            return True
    except OSError:
        return False


def _remove(cache):
    """Remove the temporary folder, after Taichi has written what it writes when the process ends."""
    ti.reset()
    shutil.rmtree(cache, ignore_errors=True)


def _prepare_environment():
    """Set what Taichi reads from the environment when it is imported and initialised.

    Taichi 1.7.4 keeps compiled kernels in a folder below HOME. It aborts on import without HOME, and ends
    with a segmentation fault if it cannot write there. In these cases a temporary folder takes its place,
    which is removed when the process ends.
    """
    os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")  # standard output belongs to the program
    os.environ.setdefault("TI_LOG_LEVEL", "error")
    os.environ["TI_SKIP_VERSION_CHECK"] = "ON"  # else it posts an identifier to its makers once a day
    if os.name == "nt":  # there Taichi's folder does not depend on HOME
        return
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    kernels = os.environ.get("TI_OFFLINE_CACHE_FILE_PATH") or os.path.join(cache, "taichi", "ticache")
    if not os.path.isabs(cache) or not _can_be_written(os.path.abspath(kernels)):
        try:
            cache = tempfile.mkdtemp(prefix="prb-cache-")
        except OSError:  # no file can be written anywhere: kernels are compiled anew each time
            os.environ["TI_OFFLINE_CACHE"] = "0"
            cache = os.path.abspath(os.sep)
        else:
            atexit.register(_remove, cache)
            os.environ["TI_OFFLINE_CACHE_FILE_PATH"] = cache  # processes that this one starts share it
    if not (os.environ.get("XDG_CACHE_HOME") or os.environ.get("HOME")):
        os.environ["XDG_CACHE_HOME"] = cache


_prepare_environment()

import taichi as ti  # noqa: E402
from taichi.lang import impl, misc  # noqa: E402
from taichi.lang._ndarray import ScalarNdarray  # noqa: E402
from taichi.lang.enums import AutodiffMode  # noqa: E402
from taichi.lang.expr import Expr  # noqa: E402
from taichi.lang.matrix import VectorType  # noqa: E402
from taichi.lang.util import to_numpy_type  # noqa: E402
from taichi.math import pi  # noqa: E402

# ti.init prints a line at every log level. Redirecting sys.stdout would swallow what other threads print, so
# `print` is replaced in that one module.
misc.print = lambda *_, **__: None

__all__ = ["AutodiffMode", "Expr", "ScalarNdarray", "VectorType", "impl", "pi", "ti", "to_numpy_type"]
