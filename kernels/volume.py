"""Numbers that vary in space: constants and regular grids, looked up at points in world space.

A volume is a row of `volumes` that says where its numbers lie in the parameter buffer. `fetch` reads them;
given the parameters' tangents as buffer, it returns the tangent of the result. `scatter` is its transpose.
Grids fill the unit cube under an affine map, with voxel centres at (i + 1/2) / n in it; between them they are
interpolated trilinearly, or the nearest one counts. x runs fastest in the buffer, then y, then z; the
channels of a voxel are neighbours. Outside the cube a grid goes on by its wrap mode, as Mitsuba's
`gridvolume` does.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import larger, read3, smaller, vec3
from prb.kernels.gradient import add
from prb.kernels.interpolation import CLAMP, LUMINANCE, luminance, neighbours, read, scatter_entry

CONSTANT, GRID = 0, 1

# Columns of `volumes`. OFFSET: of the volume's first number in the parameter buffer. WRAP: a wrap mode of
# kernels/interpolation.py, the same along all axes.
KIND, OFFSET, CHANNELS, NX, NY, NZ, NEAREST, WRAP = 0, 1, 2, 3, 4, 5, 6, 7
ROW = 8


@ti.func
def to_unit(scene: ti.template(), index, p):
    """The coordinates of a point in world space in the unit cube of a volume."""
    m = scene.to_unit[index]
    return vec3(
        m[0] * p.x + m[1] * p.y + m[2] * p.z + m[3],
        m[4] * p.x + m[5] * p.y + m[6] * p.z + m[7],
        m[8] * p.x + m[9] * p.y + m[10] * p.z + m[11],
    )


@ti.func
def surrounding(record, q):
    """The eight voxels around unit coordinates q: (rows, columns, f).

    rows: the first numbers of four rows of voxels, counted from OFFSET: y and z before, y after, z after,
    both after. columns: what the voxels before and after in a row add to them. f: the weights of those after.
    """
    nearest = record[NEAREST] == 1
    n = ti.Vector([record[NX], record[NY], record[NZ]])
    i, k, f = ti.Vector([0, 0, 0]), ti.Vector([0, 0, 0]), vec3(0.0, 0.0, 0.0)
    if record[WRAP] == CLAMP:  # as `neighbours` does it, with half the instructions
        x = q * ti.cast(n, ti.f32) - ti.select(nearest, 0.0, 0.5)
        x = larger(smaller(x, ti.cast(n - 1, ti.f32)), 0.0)
        i = ti.cast(x, ti.i32)
        k = smaller(i + 1, n - 1)
        f = x - ti.cast(i, ti.f32)
    else:
        for axis in ti.static(range(3)):
            i[axis], k[axis], f[axis] = neighbours(q[axis], n[axis], record[WRAP], nearest)
    f = ti.select(nearest, 0.0, f)
    width = record[NX] * record[CHANNELS]
    above, below = i.z * record[NY], k.z * record[NY]
    rows = ti.Vector([above + i.y, above + k.y, below + i.y, below + k.y]) * width
    columns = ti.Vector([i.x, k.x]) * record[CHANNELS]
    return rows, columns, f


@ti.func
def mix(a, b, f):
    """From a to b as f goes from 0 to 1; never below zero where a and b are not."""
    return a + f * (b - a)


@ti.func
def interpolated(buffer: ti.template(), first, rows, columns, f):
    """One channel between eight voxels. first: where the voxels' numbers of this channel begin."""
    before, after = first + columns[0], first + columns[1]
    x00 = mix(buffer[before + rows[0]], buffer[after + rows[0]], f.x)
    x10 = mix(buffer[before + rows[1]], buffer[after + rows[1]], f.x)
    x01 = mix(buffer[before + rows[2]], buffer[after + rows[2]], f.x)
    x11 = mix(buffer[before + rows[3]], buffer[after + rows[3]], f.x)
    return mix(mix(x00, x10, f.y), mix(x01, x11, f.y), f.z)


@ti.func
def interpolated3(buffer: ti.template(), first, rows, columns, f):
    """Three consecutive channels, as `interpolated`."""
    return vec3(
        interpolated(buffer, first, rows, columns, f),
        interpolated(buffer, first + 1, rows, columns, f),
        interpolated(buffer, first + 2, rows, columns, f),
    )


@ti.func
def fetch(scene: ti.template(), buffer: ti.template(), index, p):
    """The colour of volume `index` at a point, grey if it has one channel; its numbers come from `buffer`
    (parameters or their tangents)."""
    return fetch_from(scene, buffer, scene.base, index, p)


@ti.func
def fetch_from(scene: ti.template(), buffer: ti.template(), base, index, p):
    """As `fetch`, from a buffer in which the parameters begin at index `base`."""
    record = scene.volumes[index]
    first = base + record[OFFSET]
    color = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.grids):
        if record[KIND] == CONSTANT:
            color = read(buffer, first, record[CHANNELS])
        else:
            rows, columns, f = surrounding(record, to_unit(scene, index, p))
            if record[CHANNELS] == 1:
                grey = interpolated(buffer, first, rows, columns, f)
                color = vec3(grey, grey, grey)
            else:
                color = interpolated3(buffer, first, rows, columns, f)
    else:
        color = read(buffer, first, record[CHANNELS])
    return color


@ti.func
def fetch_number(scene: ti.template(), buffer: ti.template(), index, p):
    """One number: the value of a volume with one channel, the luminance of one with three."""
    return fetch_number_from(scene, buffer, scene.base, index, p)


@ti.func
def fetch_number_from(scene: ti.template(), buffer: ti.template(), base, index, p):
    """As `fetch_number`, from a buffer in which the parameters begin at index `base`."""
    color = fetch_from(scene, buffer, base, index, p)
    return ti.select(scene.volumes[index][CHANNELS] == 3, luminance(color), color.x)


@ti.func
def fetch_pair(scene: ti.template(), buffer: ti.template(), index, p):
    """The two triples of a volume of six channels, such as the matrix of an SGGX phase function."""
    return fetch_pair_from(scene, buffer, scene.base, index, p)


@ti.func
def fetch_pair_from(scene: ti.template(), buffer: ti.template(), base, index, p):
    """As `fetch_pair`, from a buffer in which the parameters begin at index `base`."""
    record = scene.volumes[index]
    first = base + record[OFFSET]
    a, b = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.grids):
        if record[KIND] == CONSTANT:
            a, b = read3(buffer, first), read3(buffer, first + 3)
        else:
            rows, columns, f = surrounding(record, to_unit(scene, index, p))
            a = interpolated3(buffer, first, rows, columns, f)
            b = interpolated3(buffer, first + 3, rows, columns, f)
    else:
        a, b = read3(buffer, first), read3(buffer, first + 3)
    return a, b


@ti.func
def corner(rows, columns, f, k):
    """Of the voxel number k of eight, (its first number, counted from OFFSET, its weight)."""
    right, below, behind = (k & 1) == 1, (k & 2) == 2, (k & 4) == 4
    row = ti.select(behind, ti.select(below, rows[3], rows[2]), ti.select(below, rows[1], rows[0]))
    weight = (
        ti.select(right, f.x, 1.0 - f.x)
        * ti.select(below, f.y, 1.0 - f.y)
        * ti.select(behind, f.z, 1.0 - f.z)
    )
    return row + ti.select(right, columns[1], columns[0]), weight


@ti.func
def scatter3(gradient: ti.template(), offset, v):
    """Add three numbers to the gradient, one after the other."""
    for i in ti.static(range(3)):
        add(gradient, offset + i, v[i])


@ti.func
def scatter(scene: ti.template(), gradient: ti.template(), index, p, grad_color):
    """Transpose of `fetch`: add a colour's cotangent to the gradient of the numbers that it is made from.

    Nothing happens if these lie at or beyond the size of the gradient, which may omit large parameters.
    """
    record = scene.volumes[index]
    first = record[OFFSET]
    if first < gradient.size:
        if ti.static(scene.features.grids):
            if record[KIND] == CONSTANT:
                scatter_entry(gradient, first, record[CHANNELS], grad_color)
            else:
                rows, columns, f = surrounding(record, to_unit(scene, index, p))
                for k in range(8):  # not unrolled: it is compiled for every place that scatters
                    entry, weight = corner(rows, columns, f, k)
                    if weight != 0:
                        scatter_entry(gradient, first + entry, record[CHANNELS], weight * grad_color)
        else:
            scatter_entry(gradient, first, record[CHANNELS], grad_color)


@ti.func
def scatter_number(scene: ti.template(), gradient: ti.template(), index, p, grad_number):
    """Transpose of `fetch_number`."""
    is_color = scene.volumes[index][CHANNELS] == 3
    weights = ti.select(is_color, vec3(LUMINANCE[0], LUMINANCE[1], LUMINANCE[2]), vec3(1.0, 0.0, 0.0))
    scatter(scene, gradient, index, p, weights * grad_number)


@ti.func
def scatter_pair(scene: ti.template(), gradient: ti.template(), index, p, grad_a, grad_b):
    """Transpose of `fetch_pair`."""
    record = scene.volumes[index]
    first = record[OFFSET]
    if first < gradient.size:
        if ti.static(scene.features.grids):
            if record[KIND] == CONSTANT:
                scatter3(gradient, first, grad_a)
                scatter3(gradient, first + 3, grad_b)
            else:
                rows, columns, f = surrounding(record, to_unit(scene, index, p))
                for k in range(8):
                    entry, weight = corner(rows, columns, f, k)
                    if weight != 0:
                        scatter3(gradient, first + entry, weight * grad_a)
                        scatter3(gradient, first + entry + 3, weight * grad_b)
        else:
            scatter3(gradient, first, grad_a)
            scatter3(gradient, first + 3, grad_b)
