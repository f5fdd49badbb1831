"""The film: samples become a picture by the reconstruction filter, and its adjoint goes back to them.

A sample lies at a uniform position in its pixel and counts in every pixel p that the filter w reaches,

    I_p = sum_s w_ps L_s / W_p,        W_p = sum_s w_ps,        w_ps = w(x_s - x_p) w(y_s - y_p)

which is the derivative's rule too: with a_p the adjoint of I_p, that of L_s is sum_p w_ps a_p / W_p. As
positions are not differentiated, the weights are constants.

All sums are made without atomics and always in the same order, so that their bits do not depend on the
number of threads. `gather` lets each pixel look for its samples, which suits a GPU, and a filter that reaches
no other pixel. On a CPU `spread` takes half the time: each row of samples has its own copy of the rows that
it counts in, to which a sample adds some pixels in one vector operation; then `collect` adds up the copies.

The samples of a launch are in order of their pixels, `samples` for each.
"""

from prb.kernels.arrays import SensorArrays, vec2f, vec3f, vec4f
from prb.kernels.backend import ti
from prb.kernels.estimators.launch import Launch, film_place
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import CAMERA, draw, new_sampler

THREAD = 512  # iterations that Taichi gives to one thread of a CPU at a time
LINE = 32  # numbers that `collect` adds up at once
STEPS = 256  # of a sample's position in its pixel, at which the filter is tabulated


@ti.dataclass
class Film:
    """What one launch has of the picture.

    The picture is the crop window. Sampled is a window that is larger by `margin` pixels on each side, above
    zero where the film has `sample_border`; `Launch` counts its pixels.
    """

    width: ti.i32  # of the picture
    height: ti.i32
    margin: ti.i32
    reach: ti.i32  # pixels on each side that a sample can count in, beside its own
    width_of_filter: ti.i32  # pixels in a row that one sample counts in
    first: ti.i32  # of these, counted from its own: -reach
    shifts: ti.i32  # 1 if they begin one pixel later for a sample in the second half of its pixel
    columns: ti.i32  # width_of_filter, in whole vector operations
    sampled_height: ti.i32
    first_row: ti.i32  # of the picture's rows that samples of this launch count in
    rows: ti.i32
    pixels: ti.i32  # sampled by this launch
    samples: ti.i32  # of each of them
    offset: ti.i32  # of the launch's first sample, in the samples of the call
    spp: ti.i32  # of the whole call
    folds: ti.i32  # parts of the call's samples, of which each has a picture of its own


@ti.func
def first_pixel(film, u):
    """The first of the `width_of_filter` pixels that a sample counts in, counted from its own, in x or in y.

    u: where it lies in its own pixel. A filter that `shifts` reaches one pixel less on the other side.
    """
    return film.first + ti.select(film.shifts > 0 and u >= 0.5, 1, 0)


@ti.func
def weight(sensor: ti.template(), film, u, k):
    """The filter at the k-th of these pixels: linear in u between the table's entries."""
    i = ti.i32(u * STEPS)
    low, high = sensor.filter[i, k], sensor.filter[i, film.columns + k]
    return low + (u * STEPS - ti.f32(i)) * (high - low)


@ti.func
def weights(sensor: ti.template(), film, u, first, count: ti.template()):
    """The same for `count` pixels from `first` on, as a vector."""
    i = ti.i32(u * STEPS)
    low = ti.Vector([sensor.filter[i, first + k] for k in ti.static(range(count))])
    high = ti.Vector([sensor.filter[i, film.columns + first + k] for k in ti.static(range(count))])
    return low + (u * STEPS - ti.f32(i)) * (high - low)


@ti.func
def weight_at(sensor: ti.template(), film, u, pixel):
    """The filter at a pixel, counted from the sample's own; zero where it does not reach."""
    k = pixel - first_pixel(film, u)
    found = 0.0
    if 0 <= k < film.width_of_filter:
        found = weight(sensor, film, u, k)
    return found


@ti.func
def weight_in(sensor: ti.template(), film, p, column, row):
    """w_ps of a sample that lies at p in its own pixel, for the pixel so many columns and rows away."""
    return weight_at(sensor, film, p.x, column) * weight_at(sensor, film, p.y, row)


@ti.func
def fold_begin(film, fold):
    """The first sample of a fold, counted from the call's first one."""
    return ti.i32(ti.i64(fold) * film.spp // film.folds)


@ti.func
def pitch(launch, film):
    """Columns of rows that a sample can add to, or read, without asking whether it leaves the picture."""
    return launch.width + 2 * film.reach + film.columns + LINE


@ti.kernel
def place(kind: ti.template(), launch: Launch, film: Film, positions: ti.types.ndarray(vec2f, ndim=1)):
    """Compute where in its pixel each sample of a launch lies, as the camera's rays have it: in [0, 1)^2.
    kind: the sampler's."""
    for i in range(film.pixels * film.samples):
        _column, _row, number = film_place(launch, launch.first_pixel + i // film.samples)
        sampler = new_sampler(kind, launch, number, launch.first_sample + i % film.samples)
        u = draw(kind, sampler, 0, CAMERA)
        positions[i] = vec2(u[0], u[1])


@ti.kernel
def gather(
    launch: Launch,
    film: Film,
    sensor: SensorArrays,
    positions: ti.types.ndarray(vec2f, ndim=1),
    samples: ti.types.ndarray(vec3f, ndim=1),
    sums: ti.types.ndarray(vec4f, ndim=1),
):
    """Compute sum w L (RGB) and sum w of each fold and pixel, in the rows that the launch reaches."""
    for d in range(film.width * film.rows):
        column, row = d % film.width, film.first_row + d // film.width
        left, right = ti.max(column - film.reach, -film.margin), column + film.reach
        right = ti.min(right, launch.width - film.margin - 1)
        top, bottom = ti.max(row - film.reach, -film.margin), row + film.reach
        bottom = ti.min(bottom, film.sampled_height - film.margin - 1)
        for fold in range(film.folds):
            begin = ti.max(fold_begin(film, fold) - film.offset, 0)
            end = ti.min(fold_begin(film, fold + 1) - film.offset, film.samples)
            total = vec3(0.0, 0.0, 0.0)
            weights = 0.0
            for y in range(top, bottom + 1):
                first = (y + film.margin) * launch.width + film.margin - launch.first_pixel
                for x in range(left, right + 1):
                    if 0 <= first + x < film.pixels:
                        for s in range(begin, end):
                            i = (first + x) * film.samples + s
                            w = 1.0
                            if film.reach > 0:
                                w = weight_in(sensor, film, positions[i], column - x, row - y)
                            total += w * samples[i]
                            weights += w
            sums[fold * film.width * film.rows + d] = ti.Vector([total.x, total.y, total.z, weights])


@ti.kernel
def gather_squares(
    launch: Launch,
    film: Film,
    sensor: SensorArrays,
    positions: ti.types.ndarray(vec2f, ndim=1),
    samples: ti.types.ndarray(vec3f, ndim=1),
    sums: ti.types.ndarray(vec4f, ndim=1),
):
    """Compute the sums over pixels of n times the sample variance of w L (RGB) and of w, then n times their
    sample covariance, for the variance of I_p: n samples lie in each pixel.

    With one sample in a pixel, as of a launch of a large film, second moments take the place of variances.
    """
    count = film.width * film.rows
    n = ti.f32(film.samples)
    for d in range(count):
        column, row = d % film.width, film.first_row + d // film.width
        squares, products = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
        weights = 0.0
        for y in range(row - film.reach, row + film.reach + 1):
            for x in range(column - film.reach, column + film.reach + 1):
                u, v = x + film.margin, y + film.margin
                pixel = v * launch.width + u - launch.first_pixel
                if (0 <= u < launch.width) & (0 <= v < film.sampled_height) & (0 <= pixel < film.pixels):
                    mean_L, mean_w = vec3(0.0, 0.0, 0.0), 0.0
                    factor = 1.0
                    if film.samples > 1:
                        factor = n / (n - 1.0)
                        for i in range(pixel * film.samples, (pixel + 1) * film.samples):
                            w = weight_in(sensor, film, positions[i], column - x, row - y)
                            mean_L += w / n * samples[i]
                            mean_w += w / n
                    for i in range(pixel * film.samples, (pixel + 1) * film.samples):
                        w = weight_in(sensor, film, positions[i], column - x, row - y)
                        L, dw = w * samples[i] - mean_L, w - mean_w
                        squares += factor * L * L
                        products += factor * dw * L
                        weights += factor * dw * dw
        sums[d] = ti.Vector([squares.x, squares.y, squares.z, weights])
        sums[count + d] = ti.Vector([products.x, products.y, products.z, 0.0])


@ti.kernel
def spread(
    block: ti.template(),
    channels: ti.template(),
    launch: Launch,
    film: Film,
    sensor: SensorArrays,
    first_fold: ti.i32,
    folds: ti.i32,
    first_row: ti.i32,
    rows: ti.i32,
    positions: ti.types.ndarray(vec2f, ndim=1),
    samples: ti.types.ndarray(vec3f, ndim=1),
    copies: ti.types.ndarray(ti.f32, ndim=1),
):
    """Add w L (RGB) and w of the samples in some rows of the sampled window to copies of their own.

    block: pixels of one vector operation. channels: 4, or 1 for the weights alone. first_fold, folds: those
    that the samples of the launch belong to. copies: (rows, folds, 2 reach + 1, pitch, channels), where pitch
    is that of `pitch`.
    """
    of_copy = pitch(launch, film) * channels
    of_fold = (2 * film.reach + 1) * of_copy
    of_row = folds * of_fold
    for index in range(rows * THREAD):
        if index % THREAD != 0:
            continue
        begin = index // THREAD * of_row
        for i in range(begin, begin + of_row):
            copies[i] = 0.0
        first = (first_row + index // THREAD) * launch.width - launch.first_pixel
        for x in range(ti.max(0, -first), ti.min(launch.width, film.pixels - first)):
            for fold in range(first_fold, first_fold + folds):
                s_begin = ti.max(fold_begin(film, fold) - film.offset, 0)
                s_end = ti.min(fold_begin(film, fold + 1) - film.offset, film.samples)
                for s in range(s_begin, s_end):
                    i = (first + x) * film.samples + s
                    p = positions[i]
                    v = ti.Vector([1.0 for _ in ti.static(range(channels))])
                    for c in ti.static(range(channels - 1)):
                        v[c] = samples[i][c]
                    column = film.reach + first_pixel(film, p.x)
                    row = film.reach + first_pixel(film, p.y)
                    to = begin + (fold - first_fold) * of_fold + row * of_copy + (x + column) * channels
                    for k in range(film.columns // block):
                        w = weights(sensor, film, p.x, k * block, block)
                        n = ti.static(channels * block)
                        wv = ti.Vector([w[j // channels] * v[j % channels] for j in ti.static(range(n))])
                        for m in range(film.width_of_filter):
                            at = to + m * of_copy + k * n
                            old = ti.Vector([copies[at + j] for j in ti.static(range(n))])
                            new = old + weight(sensor, film, p.y, m) * wv
                            for j in ti.static(range(n)):
                                copies[at + j] = new[j]


@ti.kernel
def collect(
    launch: Launch,
    film: Film,
    first_row: ti.i32,
    rows: ti.i32,
    first_row_of_sums: ti.i32,
    rows_of_sums: ti.i32,
    channels: ti.template(),
    folds: ti.i32,
    copies: ti.types.ndarray(ti.f32, ndim=1),
    sums: ti.types.ndarray(ti.f32, ndim=1),
):
    """Add up what `spread` found: sums (folds, rows_of_sums, width, channels)."""
    step = ti.static(LINE // channels)  # pixels that are added up at once
    for index in range(folds * rows_of_sums * THREAD):
        if index % THREAD != 0:
            continue
        place = index // THREAD
        fold, row = place // rows_of_sums, first_row_of_sums + place % rows_of_sums
        for block in range((film.width + step - 1) // step):
            total = ti.Vector([0.0 for _ in ti.static(range(LINE))])
            for k in range(2 * film.reach + 1):
                y = row + film.margin + film.reach - k - first_row
                if 0 <= y < rows:
                    at = ((y * folds + fold) * (2 * film.reach + 1) + k) * pitch(launch, film)
                    at = (at + film.margin + film.reach + block * step) * channels
                    total += ti.Vector([copies[at + j] for j in ti.static(range(LINE))])
            at = (place * film.width + block * step) * channels
            if (block + 1) * step <= film.width:
                for j in ti.static(range(LINE)):
                    sums[at + j] = total[j]
            else:
                for j in range((film.width - block * step) * channels):
                    sums[at + j] = total[j]


@ti.kernel
def pull_back(
    block: ti.template(),
    launch: Launch,
    film: Film,
    sensor: SensorArrays,
    positions: ti.types.ndarray(vec2f, ndim=1),
    image_adjoint: ti.types.ndarray(ti.f32, ndim=1),
    begin: ti.i32,
    sample_adjoint: ti.types.ndarray(vec3f, ndim=1),
):
    """Compute the adjoint of each sample of a launch, from `begin` on in sample_adjoint.

    image_adjoint: a_p / W_p of each fold and pixel, (folds, height, pitch, 3), where the picture begins
    `margin + reach` columns from the left.
    """
    for i in range(film.pixels * film.samples):
        pixel = launch.first_pixel + i // film.samples
        x, y = pixel % launch.width, pixel // launch.width - film.margin
        fold = ti.i32((ti.i64(film.offset + i % film.samples + 1) * film.folds - 1) // film.spp)
        first = fold * film.height * pitch(launch, film)
        total = vec3(0.0, 0.0, 0.0)
        if film.reach == 0:
            for c in ti.static(range(3)):
                total[c] = image_adjoint[(first + y * pitch(launch, film) + x) * 3 + c]
        else:
            p = positions[i]
            top, left = y + first_pixel(film, p.y), x + film.reach + first_pixel(film, p.x)
            for k in range(film.columns // block):
                sums = ti.Vector([0.0 for _ in ti.static(range(3 * block))])
                for row in range(ti.max(top, 0), ti.min(top + film.width_of_filter, film.height)):
                    at = (first + row * pitch(launch, film) + left + k * block) * 3
                    line = ti.Vector([image_adjoint[at + j] for j in ti.static(range(3 * block))])
                    sums += weight(sensor, film, p.y, row - top) * line
                w = weights(sensor, film, p.x, k * block, block)
                for j in ti.static(range(3 * block)):
                    total[j % 3] += w[j // 3] * sums[j]
        sample_adjoint[begin + i] = total
