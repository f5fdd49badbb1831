"""The gradient buffer: blocks that workers add to."""

from prb.kernels.backend import ti

MAX_CONTRIBUTION = 1e32  # contributions that are larger, or NaN, are not added
MAX_STEPS = 2.0**42  # fixed-point steps of one contribution; larger ones are counted, not added


class GradientBlock:
    """One worker's block of the gradient buffer.

    buffer: consecutive copies of the gradient. begin: index of this worker's copy. size: numbers in
    a copy; parameters at or beyond this offset are skipped. execution: says how contributions are added (see
    kernels/view.py). fixed_point_scale: fixed-point steps per unit of gradient, for sums of integers. lost: a
    variable of the kernel, which attached sampling sets to 1 if something is left out as it is not finite.
    """

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, execution, buffer, begin, size, fixed_point_scale, lost=None):
        self.execution, self.buffer, self.begin, self.size = execution, buffer, begin, size
        self.fixed_point_scale, self.lost = fixed_point_scale, lost
        self.marks_lost = lost is not None and execution.attached != ""


@ti.func
def add(gradient: ti.template(), offset, contribution):
    """Add a contribution to the gradient of the parameter at an offset of the buffer.

    The addition is atomic unless the block belongs to this worker alone. A contribution that is too large for
    fixed-point sums is counted in the buffer's last element instead.
    """
    index = gradient.begin + offset
    if ti.static(gradient.marks_lost):
        gradient.lost = ti.select(ti.abs(contribution) <= MAX_CONTRIBUTION, gradient.lost, 1)
    if ti.static(gradient.execution.exclusive):
        gradient.buffer[index] = gradient.buffer[index] + ti.select(
            ti.abs(contribution) <= MAX_CONTRIBUTION, contribution, 0.0
        )  # NaN is not <=
    elif ti.static(gradient.execution.integers):
        steps = contribution * gradient.fixed_point_scale
        if ti.abs(steps) < MAX_STEPS:
            ti.atomic_add(gradient.buffer[index], ti.cast(ti.round(steps), ti.i64))
        else:
            ti.atomic_add(gradient.buffer[gradient.buffer.shape[0] - 1], ti.cast(1, ti.i64))
    else:
        ti.atomic_add(
            gradient.buffer[index], ti.select(ti.abs(contribution) <= MAX_CONTRIBUTION, contribution, 0.0)
        )
