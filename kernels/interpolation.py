"""What lookups in regular grids share, images or volumes: wrap modes, neighbours, colours in a buffer."""

from prb.kernels.backend import ti
from prb.kernels.frame import larger, smaller
from prb.kernels.gradient import add
from prb.kernels.warp import BELOW_1

REPEAT, MIRROR, CLAMP = 0, 1, 2

# Weights of the luminance of linear RGB (ITU-R BT.709).
LUMINANCE = (0.212671, 0.715160, 0.072169)


@ti.func
def mirrored(i, n):
    """The index of a texel in [0, n), where every other copy of the image is reversed."""
    period = i % (2 * n)
    return ti.select(period < n, period, 2 * n - 1 - period)


@ti.func
def neighbours(u, n, mode, nearest):
    """(i, k, f): the texels before and after an image coordinate, and the weight f of the second."""
    repeats = mode == REPEAT
    u = ti.select(repeats, smaller(u - ti.floor(u), BELOW_1), u)
    x = u * ti.f32(n) - ti.select(nearest, 0.0, 0.5)
    if mode == CLAMP:
        x = smaller(x, ti.f32(n - 1))
        x = larger(x, 0.0)
    x = larger(-1e6, smaller(x, 1e6))  # beyond, integers would overflow
    below = ti.floor(x)
    i = ti.i32(below)
    k = i + 1
    if mode == MIRROR:
        i, k = mirrored(i, n), mirrored(k, n)
    # repeated and clamped indices are out of range by one at most
    i = ti.select(i < 0, n - 1, i)
    k = ti.select(k >= n, ti.select(repeats, 0, n - 1), k)
    return i, k, ti.select(nearest, 0.0, x - below)


@ti.func
def read(buffer: ti.template(), offset, channels):
    """The colour of one or three numbers at an offset of the buffer."""
    color = ti.Vector([buffer[offset], 0.0, 0.0])
    color.y = color.x
    color.z = color.x
    if channels == 3:
        color.y = buffer[offset + 1]
        color.z = buffer[offset + 2]
    return color


@ti.func
def luminance(color):
    """The luminance of linear RGB."""
    return LUMINANCE[0] * color.x + LUMINANCE[1] * color.y + LUMINANCE[2] * color.z


@ti.func
def scatter_entry(gradient: ti.template(), offset, channels, grad_color):
    """Transpose of `read`."""
    if channels == 3:
        for i in ti.static(range(3)):
            add(gradient, offset + i, grad_color[i])
    else:
        add(gradient, offset, grad_color.x + grad_color.y + grad_color.z)
