"""A scene as device functions see it: what it needs of the kernels, how they run, and its arrays by name."""

from dataclasses import dataclass, replace

from prb.kernels.arrays import SCENE, WIDTH
from prb.kernels.backend import ti
from prb.kernels.points import INDEPENDENT
from prb.kernels.traced import traced

# Rows of a packet in `packets`, each with WIDTH primitives. The coordinates u, v of a point p on a primitive
# and its signed distance w from the primitive's plane are affine in p: u = u_row . p + u_offset.
U_ROW, V_ROW, W_ROW = 0, 4, 8  # x, y, z, offset
SUM_LIMIT = 12  # upper limit of u + v inside: about 1 for a triangle, 2 for a parallelogram
DISK_LIMIT = 13  # upper limit of (u - 1/2)^2 + (v - 1/2)^2 inside; -1 for a round primitive
PACKET_ROWS = 14  # a round primitive has other rows: see kernels/bvh.py

# Kinds of primitives (prim_info[slot][0]).
TRIANGLE, PARALLELOGRAM, DISK, SPHERE, CYLINDER = 0, 1, 2, 3, 4

# Columns of `bsdfs`, one row for each leaf of a material: its model; the side on which it is visible; the
# kind, the texture and the flags of the map that perturbs its frame; the factors of its weight (2 i for the
# value t of texture i, 2 i + 1 for 1 - t, -1 for none); then the texture of each parameter.
KIND, SIDE, FRAME, FRAME_TEXTURE, FRAME_FLAGS, WEIGHTS = 0, 1, 2, 3, 4, 5
MAX_WEIGHTS = 4
FIRST_TEXTURE = WEIGHTS + MAX_WEIGHTS
PLAIN, BOTH, FRONT, BACK = 0, 1, 2, 3  # SIDE: as the model has it; alike on both sides; on one side only
NO_FRAME, NORMALMAP, BUMPMAP = 0, 1, 2
FLIP_INVALID, SHADOWING = 1, 2  # FRAME_FLAGS


@dataclass(frozen=True)
class Features:
    """What a scene needs of the kernels. One compiled kernel serves all scenes with equal features.

    bsdfs, emitters: names in the registries, sorted.
    textures: kinds of the textures that are not constant, sorted.
    varying: uses of textures that are not constant, sorted: "model.key" for a model's parameter, "weight" for
        the weight of a leaf, "light" and "factor" for the first and second texture of an emitter.
    factors: the radiance of some emitter has a second texture as a factor.
    leaves: the largest number of leaves of a material. weights: the largest number of factors in the weight
        of a leaf.
    frames: kinds of maps that perturb the frame ("normalmap", "bumpmap"), sorted.
    tangents: the first tangent of the shading frame follows dp/du; if False, any tangents serve.
    twosided, spheres, cylinders, disks, normals: some material is two-sided, some primitive is of that kind
        or has vertex normals.
    hide_emitters: the camera does not see emitters.
    stack: entries of the traversal stack, a power of two.
    media: there are participating media, or surfaces that the integrator passes straight through; if False,
        nothing of what follows is compiled.
    grids: some volume is a grid. heterogeneous: the extinction of some medium is a volume. spectral: it has
        three channels somewhere. emissive: some medium emits.
    phases: names of phase functions in the registry, sorted. phase_leaves: the largest number of leaves of a
        medium's phase function. phase_weights: the largest number of factors in the weight of a leaf.
    phase_values: the largest number of values of a tabulated phase function, or more.
    crossings: some surface dims what passes straight through it (all but `null`).
    microflakes: the extinction of some medium depends on the direction.
    """

    bsdfs: tuple[str, ...]
    emitters: tuple[str, ...]
    textures: tuple[str, ...]
    varying: tuple[str, ...]
    factors: bool
    leaves: int
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
    media: bool = False
    grids: bool = False
    heterogeneous: bool = False
    spectral: bool = False
    emissive: bool = False
    phases: tuple[str, ...] = ()
    phase_leaves: int = 1
    phase_weights: int = 0
    phase_values: int = 0
    crossings: bool = False
    microflakes: bool = False

    @property
    def varies(self):
        """True if some texture is neither a constant nor a checkerboard of constants."""
        return bool(set(self.textures) - {"checkerboard"})

    @property
    def places(self):
        """True if a vertex has to know points in world space."""
        return self.media or "volume" in self.textures

    @property
    def textured(self):
        """True if texture coordinates are used."""
        return bool(self.textures) or self.tangents

    @property
    def round(self):
        """True if some primitive is a sphere or a cylinder."""
        return self.spheres or self.cylinders


@dataclass(frozen=True)
class Execution:
    """How a kernel runs, as far as the compiled code depends on it.

    block: workers in a thread block.
    stride: loop iterations for each worker, as Taichi gives 512 at a time to one thread of a CPU.
    orientations: vertex normals or the direction of a light are differentiated (kernels/orientation.py).
    shapes: where shapes are is differentiated, vertices: the positions of vertices among that
        (kernels/moving.py). camera: the camera is (kernels/step/camera.py).
    placements: where lights are is differentiated, by attached sampling (kernels/step/lights.py) or in
        boundary terms (kernels/estimators/light_motion.py).
    exclusive: every worker has a gradient block of its own, so that sums need no atomics.
    integers: gradients are sums of fixed-point integers, which do not depend on the order of addition.
    unrolled: loops over leaves are unrolled, which Taichi's own reverse mode needs.
    density: how the derivative by a medium's extinction is found (kernels/estimators/density.py), "" if it is
        not.
    attached: how derivatives go through directions: "kept" (kernels/estimators/attached.py) or "inverse"
        (kernels/estimators/inverse.py) where sampled directions move; "points" (kernels/step/points.py) where
        points of surfaces are held; "" where directions are constants.
    sampler: the kind of random numbers, of kernels/points.
    """

    block: int = 1
    stride: int = 1
    orientations: bool = False
    placements: bool = False
    shapes: bool = False
    vertices: bool = False
    camera: bool = False
    exclusive: bool = False
    integers: bool = False
    unrolled: bool = False
    density: str = ""
    attached: str = ""
    sampler: str = INDEPENDENT


class SceneView:
    """A scene inside a kernel: its arrays under the names of kernels/arrays.py, and their context.

    features, execution: `Features` and `Execution`, static.
    min_selection: smallest selection weight of a leaf; above 0 where weights are differentiated.
    stack: the worker's traversal stack, in kernels that trace rays.
    params: the parameters that shading reads, from index `base` on. For the tape they are copies that Taichi
        differentiates.
    constant_params: the same numbers, not differentiated.
    """

    _data_oriented = True  # lets a kernel bind it to a local name
    _is_wrapped_kernel = True  # lets a kernel call the constructor

    def __init__(self, features, execution, arrays, min_selection=0.0, stack=None, params=None, base=0):
        self.features, self.execution = features, execution
        for name in SCENE:
            setattr(self, name, getattr(arrays, name))
        self.constant_params = self.params
        self.params = self.params if params is None else params
        self.min_selection, self.stack, self.base = min_selection, stack, base

    @traced
    def lookup(self, use):
        """The view for texture lookups of one use; unless `Features.varying` has it, for constants alone."""
        if use in self.features.varying:
            return self
        view = object.__new__(SceneView)
        view.__dict__.update(self.__dict__, features=replace(self.features, textures=()))
        return view

    @property
    def located(self):
        """True if a vertex has to know its texture coordinates and its place on the primitive."""
        return self.features.textured or self.execution.orientations


class Stack:
    """A worker's memory for traversals. It is made once for each worker, as zeroing it takes time.

    node, near: nodes to be visited, and the distances at which the ray enters them. t, u, v: one number for
    each lane of a packet.
    """

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, node, near, t, u, v):
        self.node, self.near, self.t, self.u, self.v = node, near, t, u, v


@ti.func
def new_stack(size: ti.template()):
    """An empty stack of `size` entries."""
    node = ti.Vector([0] * size, dt=ti.i32)
    near = ti.Vector([0.0] * size, dt=ti.f32)
    lane_t = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    lane_u = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    lane_v = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    return Stack(node, near, lane_t, lane_u, lane_v)
