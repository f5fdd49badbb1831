"""The scene on the device, as the kernels see it: flat arrays, and what of the kernels they need."""

from dataclasses import dataclass

import taichi as ti

WIDTH = 8  # children of a BVH node, and primitives of a packet; must be at most 8

wide_f32 = ti.types.vector(WIDTH, ti.f32)
wide_i32 = ti.types.vector(WIDTH, ti.i32)
vec2f = ti.types.vector(2, ti.f32)
vec3f = ti.types.vector(3, ti.f32)
vec4f = ti.types.vector(4, ti.f32)
vec4i = ti.types.vector(4, ti.i32)
vec12f = ti.types.vector(12, ti.f32)
vec16f = ti.types.vector(16, ti.f32)

# Planes of a packet (rows of `packets`), each for WIDTH primitives. Barycentric coordinates u, v and the
# signed plane distance w of a point p are affine: u = u_row . p + u_offset, and so on.
U_ROW, V_ROW, W_ROW = 0, 4, 8  # x, y, z, offset
SUM_LIMIT = 12  # inside only if u + v <= this: about 1 for a triangle, 2 for a parallelogram
DISK_LIMIT = 13  # inside only if (u - 1/2)^2 + (v - 1/2)^2 <= this; -1 marks a sphere
PACKET_ROWS = 14  # a sphere has its centre in rows 0 to 2 and its radius in row 3

# Kinds of primitives (prim_info[slot][0]).
TRIANGLE, PARALLELOGRAM, DISK, SPHERE = 0, 1, 2, 3


@dataclass(frozen=True)
class Features:
    """What a scene needs of the kernels. One compiled kernel serves all scenes with equal features.

    bsdfs, emitters: names in the registries, sorted.
    stack: entries of the traversal stack, a power of two.
    exclusive: every worker has a gradient buffer of its own, so sums need no atomics.
    block: workers in a thread block.
    cached: vertices that sweep 0 keeps for sweep 1, a constant so that memory does not grow with depth.
    stride: loop iterations for each worker; on a CPU, Taichi gives 512 at a time to one thread.
    """

    bsdfs: tuple[str, ...]
    emitters: tuple[str, ...]
    twosided: bool
    spheres: bool
    disks: bool
    normals: bool
    hide_emitters: bool
    stack: int
    exclusive: bool
    block: int
    stride: int
    cached: int


class SceneView:
    """The scene's arrays under their names, so that device functions take one argument.

    nodes       (nodes, 6) x WIDTH      bounds of the children: x_min, x_max, y_min, ...
    children    (nodes,) x WIDTH        >= 0 a node, < 0 the packet ~child
    packets     (packets, 14) x WIDTH   rows as above
    prims       (slots,) x 12           slot = packet * WIDTH + lane; v0, e1, e2, unit normal; for a
                                        sphere its centre, radius, 0, 0, 0, 0, 0, and 1 or -1 for normals
                                        that point outwards or inwards, 0, 0
    prim_info   (slots,) x 4            kind, shape, first of its three vertex normals (or -1), 0
    prim_light  (slots,)                entry of `lights`, or -1
    normals     (n,) x 3                unit vertex normals, three for each primitive that has them
    shapes      (shapes,) x 4           bsdf, emitter (or -1), 0, 0
    bsdfs       (bsdfs, n)              kind, texture of each parameter; two-sided: children
    textures    (textures,) x 4         kind, offset into params, width, height
    emitters    (emitters,) x 4         kind, texture, 0, 0
    emitter_data (emitters,) x 4        a point light's position
    lights      (entries,) x 4          what next-event estimation chooses from: slot (or -1), emitter,
                                        alias, 0
    light_pdf   (entries,) x 4          threshold of the alias table, probability, area, 0
    params                              all differentiable parameters
    base                                where in params they begin: the tape has copies of them
    """

    _data_oriented = True  # lets a kernel bind it to a local name
    _is_wrapped_kernel = True  # lets a kernel call the constructor

    def __init__(
        self, nodes, children, packets, prims, prim_info, prim_light, normals,
        shapes, bsdfs, textures, emitters, emitter_data, lights, light_pdf, params, base=0,
    ):  # fmt: skip
        self.nodes, self.children, self.packets = nodes, children, packets
        self.prims, self.prim_info, self.prim_light = prims, prim_info, prim_light
        self.normals, self.shapes, self.bsdfs, self.textures = normals, shapes, bsdfs, textures
        self.emitters, self.emitter_data = emitters, emitter_data
        self.lights, self.light_pdf = lights, light_pdf
        self.params, self.base = params, base


class Stack:
    """Per-thread memory of a traversal; made once per thread, for zeroing it costs time."""

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, node, near, t, u, v):
        self.node, self.near, self.t, self.u, self.v = node, near, t, u, v
