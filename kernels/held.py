"""Constants under differentiation by Taichi's own reverse mode, which has none."""

from prb.kernels.backend import AutodiffMode, impl, ti

LOG2_E = 1.4426950408889634


def traced(function):
    """Mark a plain Python function as one that a kernel may call while it is traced."""
    function._is_wrapped_kernel = True  # otherwise Taichi warns of a call to a non-Taichi function
    return function


@traced
def differentiated_by_taichi():
    """True if the kernel that is traced is one that Taichi differentiates."""
    return impl.get_runtime().current_kernel.autodiff_mode != AutodiffMode.NONE


@traced
def held(x):
    """x without a derivative: exact in float32, and in float64 but for its last bits."""
    if impl.expr_init(x).ptr.get_rvalue_type() != ti.f64:
        return _rounded(x)
    first = impl.expr_init(ti.cast(_rounded(x), ti.f64))
    return first + ti.cast(_rounded(x - first), ti.f64)


@ti.func
def _rounded(x):
    """x to 24 bits: an integer, which Taichi does not differentiate, times a power of two."""
    exponent = ti.floor(ti.log(ti.max(ti.abs(x), 1e-30)) * LOG2_E)  # of 2; it may be off by one
    scale = ti.pow(2.0, ti.cast(ti.cast(24.0 - exponent, ti.i32), ti.f32))
    return ti.cast(ti.cast(x * scale, ti.i32), ti.f32) / scale
