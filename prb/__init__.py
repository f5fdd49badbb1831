"""prb: a differentiable path tracer whose gradients come from path replay.

scene = prb.load_file("cornell-box")
image = prb.render(scene, spp=64)
grads = prb.render_backward(scene, grad_image, params=["albedo"])
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

from prb import _checkout, losses, schedules  # noqa: F401  _checkout comes first
from prb.api import load_dict, load_file, render, render_backward, render_forward, value_and_grad
from prb.checking.differences import check
from prb.device.params import Params, traverse
from prb.device.runtime import available_archs, init
from prb.device.scene import Scene
from prb.errors import (
    DeviceError,
    ImageError,
    MemoryLimitError,
    MissingPackageError,
    NotFiniteError,
    ParameterError,
    PrbError,
    SceneError,
    VolumeError,
)
from prb.estimators.attached import AttachedReplay
from prb.estimators.boundary import Boundary
from prb.estimators.density import DifferentialRatioTracking, FreeFlight, SampleMatching
from prb.estimators.finite_difference import FiniteDifference
from prb.estimators.gradients import Estimate
from prb.estimators.methods import Adjoint
from prb.estimators.recursive_picture import RecursivePicture
from prb.estimators.replay import ReplayAdjoint
from prb.estimators.tape import TapeAdjoint
from prb.io.images import read_image, write_image
from prb.recover import coordinates, priors
from prb.recover.loop import Recovery, optimize
from prb.recover.optimizers import SGD, Adam
from prb.scene.files import bundled_scenes, convert_file

__all__ = [
    "Adam", "Adjoint", "AttachedReplay", "Boundary", "DeviceError", "DifferentialRatioTracking", "Estimate",
    "FiniteDifference", "FreeFlight", "ImageError", "MemoryLimitError", "MissingPackageError",
    "NotFiniteError", "ParameterError", "Params", "PrbError", "Recovery", "RecursivePicture",
    "ReplayAdjoint", "SGD", "SampleMatching", "Scene", "SceneError", "TapeAdjoint", "VolumeError",
    "available_archs", "bundled_scenes", "check", "convert_file", "coordinates", "init", "load_dict",
    "load_file", "losses", "optimize", "priors", "read_image", "render", "render_backward", "render_forward",
    "schedules", "traverse", "value_and_grad", "write_image",
]  # fmt: skip
__version__ = "0.1.0"

if TYPE_CHECKING:  # without `__getattr__`, so that a type checker finds misspelt names
    from prb import jax as jax
    from prb import torch as torch
else:

    def __getattr__(name: str) -> ModuleType:
        """`prb.torch` and `prb.jax` are imported when they are first used: PyTorch and JAX are optional, and
        slow to import."""
        if name == "torch":
            return importlib.import_module("prb.torch")
        if name == "jax":
            return importlib.import_module("prb.jax")
        raise AttributeError(f"module 'prb' has no attribute {name!r}")
