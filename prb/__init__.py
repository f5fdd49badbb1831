"""prb: a differentiable path tracer whose gradients come from path replay.

    scene = prb.load_file("cornell-box")
    image = prb.render(scene, spp=64)
    grads = prb.render_backward(scene, grad_image, params=["albedo"])
"""

import importlib
import os

os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")  # standard output belongs to the program
os.environ.setdefault("TI_LOG_LEVEL", "error")

from prb import losses, schedules  # noqa: E402
from prb.adjoint import FiniteDifference, ReplayAdjoint, TapeAdjoint  # noqa: E402
from prb.check import check  # noqa: E402
from prb.device import Scene  # noqa: E402
from prb.errors import (  # noqa: E402
    DeviceError,
    ImageError,
    MemoryLimitError,
    MissingPackageError,
    NotFiniteError,
    ParameterError,
    PrbError,
    SceneError,
)
from prb.load import bundled_scenes, convert_file, load_dict, load_file  # noqa: E402
from prb.optimize import Recovery, optimize  # noqa: E402
from prb.optimizers import SGD, Adam  # noqa: E402
from prb.params import Params, traverse  # noqa: E402
from prb.render import Estimate, render, render_backward, render_forward  # noqa: E402
from prb.runtime import available_archs, init  # noqa: E402
from prb.value_and_grad import value_and_grad  # noqa: E402

__all__ = [
    "Adam", "DeviceError", "Estimate", "FiniteDifference", "ImageError", "MemoryLimitError",
    "MissingPackageError", "NotFiniteError", "ParameterError", "Params", "PrbError", "Recovery",
    "ReplayAdjoint", "SGD", "Scene", "SceneError", "TapeAdjoint", "available_archs", "bundled_scenes",
    "check", "convert_file", "init", "load_dict", "load_file", "losses", "optimize", "render",
    "render_backward", "render_forward", "schedules", "traverse", "value_and_grad",
]  # fmt: skip
__version__ = "0.1.0"


def __getattr__(name):
    """`prb.torch` is imported when it is first used, as PyTorch is optional and slow to import."""
    if name == "torch":
        return importlib.import_module("prb.torch")
    raise AttributeError(f"module 'prb' has no attribute {name!r}")
