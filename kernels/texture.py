"""Colours and numbers that vary over surfaces: constants, images, checkerboards, mesh attributes, volumes.

A texture is a row of `textures` that says where its numbers lie in the parameter buffer. `fetch` reads them;
given the parameters' tangents as buffer, it returns the colour's tangent. `scatter` is its transpose. Images
are interpolated bilinearly between texel centres, which lie at (i + 1/2) / n; v increases from row to row,
downwards.
"""

from prb.kernels import volume
from prb.kernels.backend import ti
from prb.kernels.frame import vec2, vec3
from prb.kernels.interpolation import LUMINANCE, luminance, neighbours, read, scatter_entry

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
def slope(scene: ti.template(), index, point):
    """The derivative of an image's luminance by the texture coordinates; 0 for other kinds of textures."""
    record = scene.textures[index]
    result = vec2(0.0, 0.0)
    if ti.static("bitmap" in scene.features.textures):
        if record[KIND] == BITMAP and record[NEAREST] == 0:
            entries, weights = texels(record, transform(scene, index, point.uv))
            first = record[OFFSET]
            heights = ti.Vector([0.0, 0.0, 0.0, 0.0])
            for i in ti.static(range(4)):
                heights[i] = luminance(read(scene.constant_params, first + entries[i], record[CHANNELS]))
            fx = weights[1] + weights[3]
            fy = weights[2] + weights[3]
            by_x = ((heights[1] - heights[0]) * (1.0 - fy) + (heights[3] - heights[2]) * fy) * ti.f32(
                record[COLUMNS]
            )
            by_y = ((heights[2] - heights[0]) * (1.0 - fx) + (heights[3] - heights[1]) * fx) * ti.f32(
                record[ROWS]
            )
            m = scene.to_uv[index]
            result = vec2(m[0] * by_x + m[3] * by_y, m[1] * by_x + m[4] * by_y)
    return result


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
    channels = scene.textures[resolve(scene, index, point.uv)][CHANNELS]
    weights = ti.select(channels == 3, vec3(LUMINANCE[0], LUMINANCE[1], LUMINANCE[2]), vec3(1.0, 0.0, 0.0))
    scatter(scene, gradient, index, point, weights * grad_number)
