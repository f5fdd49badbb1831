"""Colours and numbers that vary over surfaces: constants, images, checkerboards, mesh attributes.

A texture is a row of `textures` that says where its numbers lie in the parameter buffer. `fetch` reads
them, `scatter` is its transpose; both also serve tangents, with another buffer. Image textures are
interpolated bilinearly between texel centres, which lie at (i + 1/2) / n; v runs down the rows.
"""

from prb.kernels.backend import ti
from prb.kernels.frame import larger, smaller, vec2, vec3
from prb.kernels.gradient import add
from prb.kernels.warp import BELOW_1

CONSTANT, BITMAP, CHECKERBOARD, VERTEX_ATTRIBUTE, FACE_ATTRIBUTE = 0, 1, 2, 3, 4

# Columns of a row.
KIND, OFFSET, CHANNELS, COLUMNS, ROWS, NEAREST, WRAP_U, WRAP_V = 0, 1, 2, 3, 4, 5, 6, 7
CHILDREN = 2  # of a checkerboard: columns 2 and 3 number the textures of its two colours
ROW = 8
REPEAT, MIRROR, CLAMP = 0, 1, 2
NESTING = 2  # checkerboards inside checkerboards

LUMINANCE = (0.212671, 0.715160, 0.072169)


@ti.dataclass
class Surface:
    """Where a texture is looked up: texture coordinates, and for mesh attributes the primitive (or -1)
    with the hit's own coordinates on it."""

    uv: vec2
    slot: ti.i32
    u: ti.f32
    v: ti.f32


@ti.func
def at_uv(uv):
    """A place with texture coordinates only: on a light."""
    return Surface(uv=uv, slot=-1, u=0.0, v=0.0)


@ti.func
def transform(scene: ti.template(), index, uv):
    """to_uv of a texture: u = m0 u + m1 v + m2, v = m3 u + m4 v + m5."""
    m = scene.to_uv[index]
    return vec2(m[0] * uv.x + m[1] * uv.y + m[2], m[3] * uv.x + m[4] * uv.y + m[5])


@ti.func
def resolve(scene: ti.template(), index, uv):
    """The texture that applies at uv: looks through checkerboards, whose two colours are textures."""
    if ti.static("checkerboard" in scene.features.textures):
        for _ in ti.static(range(NESTING)):
            if scene.textures[index][KIND] == CHECKERBOARD:
                record = scene.textures[index]
                p = transform(scene, index, uv)
                even = (p.x - ti.floor(p.x) > 0.5) == (p.y - ti.floor(p.y) > 0.5)
                index = ti.select(even, record[CHILDREN], record[CHILDREN + 1])
    return index


@ti.func
def mirrored(i, n):
    """A texel's number brought into [0, n), every other copy of the image in reverse."""
    period = i % (2 * n)
    return ti.select(period < n, period, 2 * n - 1 - period)


@ti.func
def neighbours(u, n, mode, nearest):
    """(i, k, f): the texels before and behind a texture coordinate, and how far the second has its part."""
    repeats = mode == REPEAT
    u = ti.select(repeats, smaller(u - ti.floor(u), BELOW_1), u)
    x = u * ti.f32(n) - ti.select(nearest, 0.0, 0.5)
    if mode == CLAMP:
        x = smaller(x, ti.f32(n - 1))
        x = larger(x, 0.0)
    x = larger(-1e6, smaller(x, 1e6))  # beyond, int arithmetic ends
    below = ti.floor(x)
    i = ti.i32(below)
    k = i + 1
    if mode == MIRROR:
        i, k = mirrored(i, n), mirrored(k, n)
    # the others are off by one at most
    i = ti.select(i < 0, n - 1, i)
    k = ti.select(k >= n, ti.select(repeats, 0, n - 1), k)
    return i, k, ti.select(nearest, 0.0, x - below)


@ti.func
def texels(record, p):
    """The four texels around p: (first entries, weights); entries count from the texture's offset."""
    nearest = record[NEAREST] == 1
    left, right, fx = neighbours(p.x, record[COLUMNS], record[WRAP_U], nearest)
    top, bottom, fy = neighbours(p.y, record[ROWS], record[WRAP_V], nearest)
    top *= record[COLUMNS]
    bottom *= record[COLUMNS]
    entries = ti.Vector([top + left, top + right, bottom + left, bottom + right])
    weights = ti.Vector([(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy])
    return entries * record[CHANNELS], weights


@ti.func
def corners(scene: ti.template(), record, at):
    """As `texels`, for an attribute of the mesh's vertices or faces; the fourth weight is zero."""
    ids = scene.corners[at.slot]
    weights = ti.Vector([1.0 - at.u - at.v, at.u, at.v, 0.0])
    if record[KIND] == FACE_ATTRIBUTE:
        weights = ti.Vector([0.0, 0.0, 0.0, 1.0])
    return ids * record[CHANNELS], weights


@ti.func
def taps(scene: ti.template(), index, at):
    """What a texture that varies is interpolated from: (entries, weights), four of each."""
    record = scene.textures[index]
    entries = ti.Vector([0, 0, 0, 0])
    weights = ti.Vector([1.0, 0.0, 0.0, 0.0])
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP:
            entries, weights = texels(record, transform(scene, index, at.uv))
    if ti.static("mesh_attribute" in scene.features.textures):
        if (record[KIND] == VERTEX_ATTRIBUTE) | (record[KIND] == FACE_ATTRIBUTE):
            entries, weights = corners(scene, record, at)
    return entries, weights


@ti.func
def read(buffer: ti.template(), at, channels):
    color = ti.Vector([buffer[at], 0.0, 0.0])
    color.y = color.x
    color.z = color.x
    if channels == 3:
        color.y = buffer[at + 1]
        color.z = buffer[at + 2]
    return color


@ti.func
def fetch(scene: ti.template(), buffer: ti.template(), index, at):
    """The colour of texture `index` at a place, its numbers from `buffer` (parameters or tangents)."""
    return fetch_from(scene, buffer, scene.base, index, at)


@ti.func
def fetch_from(scene: ti.template(), buffer: ti.template(), base, index, at):
    """As `fetch`, from a buffer in which the parameters begin at `base`."""
    index = resolve(scene, index, at.uv)
    record = scene.textures[index]
    first = base + record[OFFSET]
    color = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.varies):
        if record[KIND] == CONSTANT:
            color = read(buffer, first, record[CHANNELS])
        else:
            entries, weights = taps(scene, index, at)
            for i in ti.static(range(4)):
                color += weights[i] * read(buffer, first + entries[i], record[CHANNELS])
    else:
        color = read(buffer, first, record[CHANNELS])
    return color


@ti.func
def luminance(c):
    return LUMINANCE[0] * c.x + LUMINANCE[1] * c.y + LUMINANCE[2] * c.z


@ti.func
def fetch_number(scene: ti.template(), buffer: ti.template(), index, at):
    """One number: a grey texture's value, a coloured one's luminance."""
    channels = scene.textures[resolve(scene, index, at.uv)][CHANNELS]
    c = fetch(scene, buffer, index, at)
    return ti.select(channels == 3, luminance(c), c.x)


@ti.func
def slope(scene: ti.template(), index, at):
    """The derivative of an image's luminance by the texture coordinates; 0 for other kinds."""
    record = scene.textures[index]
    result = vec2(0.0, 0.0)
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0:
            entries, weights = texels(record, transform(scene, index, at.uv))
            first = record[OFFSET]
            h = ti.Vector([0.0, 0.0, 0.0, 0.0])
            for i in ti.static(range(4)):
                h[i] = luminance(read(scene.constant_params, first + entries[i], record[CHANNELS]))
            fx = weights[1] + weights[3]
            fy = weights[2] + weights[3]
            by_x = ((h[1] - h[0]) * (1.0 - fy) + (h[3] - h[2]) * fy) * ti.f32(record[COLUMNS])
            by_y = ((h[2] - h[0]) * (1.0 - fx) + (h[3] - h[1]) * fx) * ti.f32(record[ROWS])
            m = scene.to_uv[index]
            result = vec2(m[0] * by_x + m[3] * by_y, m[1] * by_x + m[4] * by_y)
    return result


@ti.func
def scatter_entry(gradient: ti.template(), offset, channels, grad_color):
    """Transpose of `read`."""
    if channels == 3:
        for i in ti.static(range(3)):
            add(gradient, offset + i, grad_color[i])
    else:
        add(gradient, offset, grad_color.x + grad_color.y + grad_color.z)


@ti.func
def scatter(scene: ti.template(), gradient: ti.template(), index, at, grad_color):
    """Transpose of `fetch`: add to the gradient of the numbers that the texture was read from."""
    index = resolve(scene, index, at.uv)
    record = scene.textures[index]
    if record[OFFSET] < gradient.size:
        first = record[OFFSET]
        if ti.static(scene.features.varies):
            if record[KIND] == CONSTANT:
                scatter_entry(gradient, first, record[CHANNELS], grad_color)
            else:
                entries, weights = taps(scene, index, at)
                for i in ti.static(range(4)):
                    if weights[i] != 0:
                        part = weights[i] * grad_color  # fault: texel-weights
                        scatter_entry(gradient, first + entries[i], record[CHANNELS], part)
        else:
            scatter_entry(gradient, first, record[CHANNELS], grad_color)


@ti.func
def scatter_number(scene: ti.template(), gradient: ti.template(), index, at, grad_number):
    """Transpose of `fetch_number`."""
    channels = scene.textures[resolve(scene, index, at.uv)][CHANNELS]
    by_channel = ti.select(channels == 3, vec3(LUMINANCE[0], LUMINANCE[1], LUMINANCE[2]), vec3(1.0, 0.0, 0.0))
    scatter(scene, gradient, index, at, by_channel * grad_number)
