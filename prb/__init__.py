"""prb: a differentiable path tracer whose gradients come from path replay."""

import os

os.environ.setdefault("ENABLE_TAICHI_HEADER_PRINT", "0")  # standard output belongs to the program
