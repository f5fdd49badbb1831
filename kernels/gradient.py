"""The gradient buffer: blocks that workers add to."""

from prb.kernels.backend import ti

USABLE = 1e32  # contributions that are larger, or no number, add nothing
FIXED_POINT_LIMIT = 2.0**42  # fixed-point steps of one contribution; larger ones are counted


class GradientBlock:
    """One worker's block of the gradient buffer.

    buffer: copies of the gradient, one behind the other. begin: where this worker's copy begins.
    size: numbers of a copy; parameters at or beyond this offset are skipped.
    execution: how contributions are added (see kernels/view.py). fixed_point_scale: fixed-point steps per
    unit of gradient, where they are added as integers.
    """

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, execution, buffer, begin, size, fixed_point_scale):
        self.execution, self.buffer, self.begin, self.size = execution, buffer, begin, size
        self.fixed_point_scale = fixed_point_scale


@ti.func
def add(gradient: ti.template(), offset, x):
    """Add x to the gradient of the parameter at an offset. Atomic, unless the block is the worker's alone.

    As an integer, a contribution that is too large is counted in the buffer's last place instead.
    """
    at = gradient.begin + offset
    if ti.static(gradient.execution.exclusive):
        gradient.buffer[at] = gradient.buffer[at] + ti.select(ti.abs(x) <= USABLE, x, 0.0)  # NaN is not <=
    elif ti.static(gradient.execution.integers):
        steps = x * gradient.fixed_point_scale
        if ti.abs(steps) < FIXED_POINT_LIMIT:
            ti.atomic_add(gradient.buffer[at], ti.cast(ti.round(steps), ti.i64))
        else:
            ti.atomic_add(gradient.buffer[gradient.buffer.shape[0] - 1], ti.cast(1, ti.i64))
    else:
        ti.atomic_add(gradient.buffer[at], ti.select(ti.abs(x) <= USABLE, x, 0.0))
