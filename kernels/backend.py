"""The one module that imports Taichi: its settings come first, and another backend can take its place."""

import os

os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")  # standard output belongs to the program
os.environ.setdefault("TI_LOG_LEVEL", "error")

import taichi as ti  # noqa: E402
from taichi.lang import impl  # noqa: E402
from taichi.lang._ndarray import ScalarNdarray  # noqa: E402
from taichi.lang.expr import Expr  # noqa: E402
from taichi.lang.matrix import VectorType  # noqa: E402
from taichi.lang.util import to_numpy_type  # noqa: E402
from taichi.math import pi  # noqa: E402

__all__ = ["Expr", "ScalarNdarray", "VectorType", "impl", "pi", "ti", "to_numpy_type"]
