"""The scene on the device, as the kernels see it: flat arrays, and what of the kernels they need."""

from dataclasses import dataclass, replace

from prb.kernels.backend import ti
from prb.kernels.traced import traced

WIDTH = 8  # children of a BVH node, and primitives of a packet; must be at most 8

wide_f32 = ti.types.vector(WIDTH, ti.f32)
wide_i32 = ti.types.vector(WIDTH, ti.i32)
vec2f = ti.types.vector(2, ti.f32)
vec3f = ti.types.vector(3, ti.f32)
vec4f = ti.types.vector(4, ti.f32)
vec3i = ti.types.vector(3, ti.i32)
vec4i = ti.types.vector(4, ti.i32)
vec6f = ti.types.vector(6, ti.f32)
vec8f = ti.types.vector(8, ti.f32)
vec10f = ti.types.vector(10, ti.f32)
vec12f = ti.types.vector(12, ti.f32)
vec16f = ti.types.vector(16, ti.f32)
vec8i = ti.types.vector(8, ti.i32)

# Planes of a packet (rows of `packets`), each for WIDTH primitives. Barycentric coordinates u, v and the
# signed plane distance w of a point p are affine: u = u_row . p + u_offset, and so on.
U_ROW, V_ROW, W_ROW = 0, 4, 8  # x, y, z, offset
SUM_LIMIT = 12  # inside only if u + v <= this: about 1 for a triangle, 2 for a parallelogram
DISK_LIMIT = 13  # inside only if (u - 1/2)^2 + (v - 1/2)^2 <= this; -1 marks a sphere
PACKET_ROWS = 14  # a sphere has its centre in rows 0 to 2 and its radius in row 3

# Kinds of primitives (prim_info[slot][0]).
TRIANGLE, PARALLELOGRAM, DISK, SPHERE, CYLINDER = 0, 1, 2, 3, 4

# Columns of `bsdfs`, a leaf of a material: its model; the side it shows on; what turns its frame, with the
# texture and flags; its weights (2 t for the factor t, 2 t + 1 for 1 - t, -1 for none);
# then the texture of each parameter.
KIND, SIDE, FRAME, FRAME_TEXTURE, FRAME_FLAGS, WEIGHTS = 0, 1, 2, 3, 4, 5
MAX_WEIGHTS = 4
FIRST_TEXTURE = WEIGHTS + MAX_WEIGHTS
PLAIN, BOTH, FRONT, BACK = 0, 1, 2, 3  # SIDE: as it is; the same on both sides; on one side only
NO_FRAME, NORMALMAP, BUMPMAP = 0, 1, 2
FLIP_INVALID, SHADOWING = 1, 2  # FRAME_FLAGS


@dataclass(frozen=True)
class Features:
    """What a scene needs of the kernels. One compiled kernel serves all scenes with equal features.

    bsdfs, emitters: names in the registries, sorted.
    textures: kinds of textures that are not constant, sorted.
    varying: where textures that are not constant are looked up: "model.key" for a model's parameter,
    "weight", "light" and "factor" (a light's first and second texture), sorted.
    factors: some light has a second texture.
    leaves: models that one material mixes at most; unrolled: loops over them are, for Taichi's own
    reverse mode wants no others; weights: factors in front of one of them at most.
    frames: kinds of normal perturbation ("normalmap", "bumpmap"), sorted.
    tangents: local frames follow dp/du; else any tangent will do.
    stack: entries of the traversal stack, a power of two.
    integers: gradients are summed as integers, whose sum does not depend on the order.
    shading: vertex normals or the direction of a light are differentiated (kernels/orientation.py).
    exclusive: every worker has a gradient buffer of its own, so sums need no atomics.
    block: workers in a thread block.
    stride: loop iterations for each worker; on a CPU, Taichi gives 512 at a time to one thread.
    """

    bsdfs: tuple[str, ...]
    emitters: tuple[str, ...]
    textures: tuple[str, ...]
    varying: tuple[str, ...]
    factors: bool
    leaves: int
    unrolled: bool
    weights: int
    frames: tuple[str, ...]
    tangents: bool
    twosided: bool
    spheres: bool
    cylinders: bool
    disks: bool
    normals: bool
    hide_emitters: bool
    stack: int
    exclusive: bool
    integers: bool
    shading: bool
    block: int
    stride: int

    @property
    def varies(self):
        """Some texture is not a constant or a checkerboard of constants."""
        return bool(set(self.textures) - {"checkerboard"})

    @traced
    def at(self, place):
        """What kernels/texture.py needs to know at a place, which is one of `varying` or not."""
        return self if place in self.varying else replace(self, textures=())

    @property
    def textured(self):
        """Somebody asks for texture coordinates."""
        return bool(self.textures) or self.tangents

    @property
    def located(self):
        """A vertex has to know where on its surface it is."""
        return self.textured or self.shading


class SceneView:
    """The scene's arrays under their names, so that device functions take one argument.

    nodes       (nodes, 6) x WIDTH      bounds of the children: x_min, x_max, y_min, ...
    children    (nodes,) x WIDTH        >= 0 a node, < 0 the packet and what it holds: see kernels/bvh.py
    packets     (packets, 14) x WIDTH   rows as above
    prims       (slots,) x 12           slot = packet * WIDTH + lane; v0, e1, e2, unit normal; for a
                                        sphere its centre, radius, unit local z and x axes, and 1 or -1
                                        for normals that point outwards or inwards, for a right- or left-
                                        handed local frame; for a cylinder the base point, axis, radius,
                                        unit local x axis, 1 or -1 likewise
    prim_info   (slots,) x 3            kind, shape, first of its three vertex normals (or -1)
    prim_light  (slots,)                entry of `lights`, or -1
    normals     (n,) x 3                unit vertex normals, three for each primitive that has them
    uvs         (slots,) x 6            texture coordinates of v0, v0 + e1, v0 + e2, where any are needed
    corners     (slots,) x 4            vertex numbers and face number in the mesh, where attributes are used
    shapes      (shapes,) x 4           material, emitter (or -1), where the mesh's vertex normals begin in
                                        params (or -1), 0
    materials   (materials,) x 4        first row of its leaves in `bsdfs`, their number, 0, 0
    bsdfs       (leaves, n)             see kernels/material.py
    bsdf_data   (leaves, n)             the factor of its bump map, then its model's constants
    textures    (textures,) x 8         see kernels/texture.py
    to_uv       (textures,) x 6         rows of the map from texture coordinates to the image's
    emitters    (emitters,) x 4         kind, texture, second texture (or -1), first row of emitter_data
    emitter_data (n,) x 4               positions, matrices: see kernels/emitter
    lights      (entries,) x 4          what next-event estimation chooses from: slot (or -1), emitter,
                                        alias, 0
    light_pdf   (entries,) x 4          threshold of the alias table, probability, area, 0
    env_marginal, env_conditional       distribution of the environment map's texels
    params                              all differentiable parameters
    rare                                least part of the samples of a leaf (see kernels/material.py)
    units                               of an integer gradient, in 1
    base                                where in params they begin: the tape has copies of them
    frozen                              the same numbers, not differentiated
    """

    _data_oriented = True  # lets a kernel bind it to a local name
    _is_wrapped_kernel = True  # lets a kernel call the constructor

    def __init__(
        self, nodes, children, packets, prims, prim_info, prim_light, normals, uvs, corners,
        shapes, materials, bsdfs, bsdf_data, textures, to_uv, emitters, emitter_data, lights, light_pdf,
        env_marginal, env_conditional, params, rare=0.0, units=1.0, frozen=None, base=0,
    ):  # fmt: skip
        self.nodes, self.children, self.packets = nodes, children, packets
        self.prims, self.prim_info, self.prim_light = prims, prim_info, prim_light
        self.normals, self.uvs, self.corners, self.shapes = normals, uvs, corners, shapes
        self.materials, self.bsdfs, self.bsdf_data = materials, bsdfs, bsdf_data
        self.textures, self.to_uv = textures, to_uv
        self.emitters, self.emitter_data = emitters, emitter_data
        self.lights, self.light_pdf = lights, light_pdf
        self.env_marginal, self.env_conditional = env_marginal, env_conditional
        self.params, self.base, self.rare, self.units = params, base, rare, units
        self.frozen = params if frozen is None else frozen


class Stack:
    """Per-thread memory of a traversal; made once per thread, for zeroing it costs time."""

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, node, near, t, u, v):
        self.node, self.near, self.t, self.u, self.v = node, near, t, u, v
