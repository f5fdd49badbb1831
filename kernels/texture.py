"""Colours and numbers that vary over surfaces: constants, images, checkerboards, mesh attributes, volumes.

A texture is a row of `textures` that says where its numbers lie in the parameter buffer. `fetch` reads them;
given the parameters' tangents as buffer, it returns the colour's tangent. `scatter` is its transpose. Images
are interpolated bilinearly between texel centres, which lie at (i + 1/2) / n; v increases from row to row,
downwards.
"""

from prb.kernels import volume
from prb.kernels.backend import ti
from prb.kernels.frame import vec2, vec3
from prb.kernels.interpolation import CLAMP, LUMINANCE, luminance, neighbours, read, scatter_entry

CONSTANT, BITMAP, CHECKERBOARD, VERTEX_ATTRIBUTE, FACE_ATTRIBUTE, VOLUME = 0, 1, 2, 3, 4, 5

# Columns of `textures`. OFFSET: of the texture's first number in the parameter buffer.
KIND, OFFSET, CHANNELS, COLUMNS, ROWS, NEAREST, WRAP_U, WRAP_V = 0, 1, 2, 3, 4, 5, 6, 7
CHILDREN = 2  # a checkerboard has the numbers of its two textures in columns 2 and 3
NUMBER = 3  # a volume has its number among the volumes in column 3
ROW = 8  # number of columns
MAX_NESTING = 2  # checkerboards inside one another, at most


@ti.dataclass
class LookupPoint:
    """Where a texture is looked up.

    uv: texture coordinates. slot, u, v: for mesh attributes, the primitive (or -1) and the coordinates on it.
    p: for volumes, the point in world space.
    """

    uv: vec2
    slot: ti.i32
    u: ti.f32
    v: ti.f32
    p: vec3


@ti.func
def at_uv(uv):
    """The lookup point of a light sample, which has texture coordinates alone."""
    return LookupPoint(uv=uv, slot=-1, u=0.0, v=0.0, p=vec3(0.0, 0.0, 0.0))


@ti.func
def transform(scene: ti.template(), index, uv):
    """The image's coordinates (m0 u + m1 v + m2, m3 u + m4 v + m5), m the texture's row of `to_uv`."""
    m = scene.to_uv[index]
    return vec2(m[0] * uv.x + m[1] * uv.y + m[2], m[3] * uv.x + m[4] * uv.y + m[5])


@ti.func
def resolve(scene: ti.template(), index, uv):
    """The texture that applies at uv: that of one of its colours, if it is a checkerboard."""
    if ti.static("checkerboard" in scene.features.textures):
        for _ in ti.static(range(MAX_NESTING)):
            if scene.textures[index][KIND] == CHECKERBOARD:
                record = scene.textures[index]
                p = transform(scene, index, uv)
                even = (p.x - ti.floor(p.x) > 0.5) == (p.y - ti.floor(p.y) > 0.5)
                index = ti.select(even, record[CHILDREN], record[CHILDREN + 1])
    return index


@ti.func
def texels(record, p):
    """The four texels around p: (entries, weights). entries: their first numbers, counted from OFFSET."""
    nearest = record[NEAREST] == 1
    left, right, fx = neighbours(p.x, record[COLUMNS], record[WRAP_U], nearest)
    top, bottom, fy = neighbours(p.y, record[ROWS], record[WRAP_V], nearest)
    top *= record[COLUMNS]
    bottom *= record[COLUMNS]
    entries = ti.Vector([top + left, top + right, bottom + left, bottom + right])
    weights = ti.Vector([(1.0 - fx) * (1.0 - fy), fx * (1.0 - fy), (1.0 - fx) * fy, fx * fy])
    return entries * record[CHANNELS], weights


@ti.func
def attributes(scene: ti.template(), record, point):
    """As `texels`, for an attribute of the mesh: those of three vertices and of the face."""
    indices = scene.corners[point.slot]
    weights = ti.Vector([1.0 - point.u - point.v, point.u, point.v, 0.0])
    if record[KIND] == FACE_ATTRIBUTE:
        weights = ti.Vector([0.0, 0.0, 0.0, 1.0])
    return indices * record[CHANNELS], weights


@ti.func
def interpolation(scene: ti.template(), index, point):
    """The (entries, weights), four of each, that a texture which varies is interpolated from."""
    record = scene.textures[index]
    entries = ti.Vector([0, 0, 0, 0])
    weights = ti.Vector([1.0, 0.0, 0.0, 0.0])
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP:
            entries, weights = texels(record, transform(scene, index, point.uv))
    if ti.static("mesh_attribute" in scene.features.textures):
        if (record[KIND] == VERTEX_ATTRIBUTE) | (record[KIND] == FACE_ATTRIBUTE):
            entries, weights = attributes(scene, record, point)
    return entries, weights


@ti.func
def fetch(scene: ti.template(), buffer: ti.template(), index, point):
    """The colour of texture `index` at a point, its numbers from `buffer` (parameters or their tangents)."""
    return fetch_from(scene, buffer, scene.base, index, point)


@ti.func
def fetch_from(scene: ti.template(), buffer: ti.template(), base, index, point):
    """As `fetch`, from a buffer in which the parameters begin at index `base`."""
    index = resolve(scene, index, point.uv)
    record = scene.textures[index]
    first = base + record[OFFSET]
    color = vec3(0.0, 0.0, 0.0)
    if ti.static(scene.features.varies):
        if record[KIND] == CONSTANT:
            color = read(buffer, first, record[CHANNELS])
        else:
            entries, weights = interpolation(scene, index, point)
            for i in ti.static(range(4)):
                color += weights[i] * read(buffer, first + entries[i], record[CHANNELS])
        if ti.static("volume" in scene.features.textures):
            if record[KIND] == VOLUME:
                color = volume.fetch_from(scene, buffer, base, record[NUMBER], point.p)
    else:
        color = read(buffer, first, record[CHANNELS])
    return color


@ti.func
def fetch_number(scene: ti.template(), buffer: ti.template(), index, point):
    """One number: the value of a grey texture, the luminance of a coloured one."""
    channels = scene.textures[resolve(scene, index, point.uv)][CHANNELS]
    color = fetch(scene, buffer, index, point)
    return ti.select(channels == 3, luminance(color), color.x)


@ti.func
def slopes(scene: ti.template(), buffer: ti.template(), index, point):
    """The derivatives of the colour by what it is looked up at: the texture coordinates uv.x and uv.y, and
    the coordinates u and v on the primitive. Four colours; volumes are not differentiated by their place."""
    index = resolve(scene, index, point.uv)
    record = scene.textures[index]
    zero = vec3(0.0, 0.0, 0.0)
    by_x, by_y, by_u, by_v = zero, zero, zero, zero
    first = scene.base + record[OFFSET]
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0:
            place = transform(scene, index, point.uv)
            entries, fx, fy = cell(scene, record, index, point)
            c0 = read(buffer, first + entries[0], record[CHANNELS])
            c1 = read(buffer, first + entries[1], record[CHANNELS])
            c2 = read(buffer, first + entries[2], record[CHANNELS])
            c3 = read(buffer, first + entries[3], record[CHANNELS])
            along = texels_per_unit(place.x, record[COLUMNS], record[WRAP_U])
            down = texels_per_unit(place.y, record[ROWS], record[WRAP_V])
            by_column = along * ((c1 - c0) * (1.0 - fy) + (c3 - c2) * fy)
            by_row = down * ((c2 - c0) * (1.0 - fx) + (c3 - c1) * fx)
            m = scene.to_uv[index]
            by_x, by_y = m[0] * by_column + m[3] * by_row, m[1] * by_column + m[4] * by_row
    if ti.static("mesh_attribute" in scene.features.textures):
        if record[KIND] == VERTEX_ATTRIBUTE:
            entries, _weights = attributes(scene, record, point)
            c0 = read(buffer, first + entries[0], record[CHANNELS])
            by_u = read(buffer, first + entries[1], record[CHANNELS]) - c0
            by_v = read(buffer, first + entries[2], record[CHANNELS]) - c0
    return by_x, by_y, by_u, by_v


@ti.func
def texels_per_unit(u, n, wrap):
    """The derivative of a texel's number by the image coordinate: 0 beyond the ends of a clamped image."""
    x = u * ti.f32(n) - 0.5
    return ti.select((wrap == CLAMP) & ((x < 0) | (x > ti.f32(n - 1))), 0.0, ti.f32(n))


@ti.func
def number_weights(scene: ti.template(), index, point):
    """What the channels of a texture's colour are multiplied by where it stands for a number."""
    channels = scene.textures[resolve(scene, index, point.uv)][CHANNELS]
    return ti.select(channels == 3, vec3(LUMINANCE[0], LUMINANCE[1], LUMINANCE[2]), vec3(1.0, 0.0, 0.0))


@ti.func
def slope(scene: ti.template(), buffer: ti.template(), base, index, point):
    """The derivative of an image's luminance by the texture coordinates; 0 for other kinds of textures.

    buffer, base: as of `fetch_from`.
    """
    record = scene.textures[index]
    result = vec2(0.0, 0.0)
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0:
            entries, fx, fy = cell(scene, record, index, point)
            first = base + record[OFFSET]
            h = ti.Vector([0.0, 0.0, 0.0, 0.0])
            for i in ti.static(range(4)):
                h[i] = luminance(read(buffer, first + entries[i], record[CHANNELS]))
            by_x = ((h[1] - h[0]) * (1.0 - fy) + (h[3] - h[2]) * fy) * ti.f32(record[COLUMNS])
            by_y = ((h[2] - h[0]) * (1.0 - fx) + (h[3] - h[1]) * fx) * ti.f32(record[ROWS])
            m = scene.to_uv[index]
            result = vec2(m[0] * by_x + m[3] * by_y, m[1] * by_x + m[4] * by_y)
    return result


@ti.func
def cell(scene: ti.template(), record, index, point):
    """The entries of the four texels around a point, and where it lies between them, from 0 to 1."""
    entries, weights = texels(record, transform(scene, index, point.uv))
    return entries, weights[1] + weights[3], weights[2] + weights[3]


@ti.func
def curvature(scene: ti.template(), buffer: ti.template(), base, index, point):
    """(xx, xy, yy), the second derivatives of an image's luminance by the texture coordinates."""
    record = scene.textures[index]
    xx, xy, yy = 0.0, 0.0, 0.0
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0:
            entries, _fx, _fy = cell(scene, record, index, point)
            first = base + record[OFFSET]
            twist = ti.f32(record[COLUMNS] * record[ROWS])  # between column and row, all that is not 0
            sum = 0.0
            for i in ti.static(range(4)):
                sign = ti.static(1.0 if i in (0, 3) else -1.0)
                sum += sign * luminance(read(buffer, first + entries[i], record[CHANNELS]))
            twist *= sum
            m = scene.to_uv[index]
            xx, yy = 2.0 * m[0] * m[3] * twist, 2.0 * m[1] * m[4] * twist
            xy = (m[0] * m[4] + m[1] * m[3]) * twist
    return xx, xy, yy


@ti.func
def scatter_slope(scene: ti.template(), gradient: ti.template(), index, point, grad_slope):
    """Transpose of `slope`: add its cotangent to the gradient of the image's numbers."""
    record = scene.textures[index]
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0 and record[OFFSET] < gradient.size:
            entries, fx, fy = cell(scene, record, index, point)
            m = scene.to_uv[index]
            grad_x = ti.f32(record[COLUMNS]) * (m[0] * grad_slope.x + m[1] * grad_slope.y)
            grad_y = ti.f32(record[ROWS]) * (m[3] * grad_slope.x + m[4] * grad_slope.y)
            for i in ti.static(range(4)):
                by_x = ti.static(1.0 if i % 2 else -1.0) * ti.select(ti.static(i < 2), 1.0 - fy, fy)
                by_y = ti.static(1.0 if i >= 2 else -1.0) * ti.select(ti.static(i % 2 == 0), 1.0 - fx, fx)
                grad = vec3(LUMINANCE[0], LUMINANCE[1], LUMINANCE[2]) * (grad_x * by_x + grad_y * by_y)
                scatter_entry(gradient, record[OFFSET] + entries[i], record[CHANNELS], grad)


@ti.func
def scatter(scene: ti.template(), gradient: ti.template(), index, point, grad_color):
    """Transpose of `fetch`: add a colour's cotangent to the gradient of the numbers that it is made from."""
    index = resolve(scene, index, point.uv)
    record = scene.textures[index]
    is_volume = record[KIND] == VOLUME
    if ti.static("volume" in scene.features.textures):
        if is_volume:
            volume.scatter(scene, gradient, record[NUMBER], point.p, grad_color)
    if not is_volume and record[OFFSET] < gradient.size:
        first = record[OFFSET]
        if ti.static(scene.features.varies):
            if record[KIND] == CONSTANT:
                scatter_entry(gradient, first, record[CHANNELS], grad_color)
            else:
                entries, weights = interpolation(scene, index, point)
                for i in ti.static(range(4)):
                    if weights[i] != 0:
                        grad_texel = weights[i] * grad_color  # fault: texel-weights
                        scatter_entry(gradient, first + entries[i], record[CHANNELS], grad_texel)
        else:
            scatter_entry(gradient, first, record[CHANNELS], grad_color)


@ti.func
def scatter_number(scene: ti.template(), gradient: ti.template(), index, point, grad_number):
    """Transpose of `fetch_number`."""
    scatter(scene, gradient, index, point, number_weights(scene, index, point) * grad_number)
