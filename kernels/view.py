"""What the kernels need of a scene and of a launch, and the scene as device functions see it."""

from dataclasses import dataclass, replace

from prb.kernels.arrays import SCENE, WIDTH
from prb.kernels.backend import ti
from prb.kernels.traced import traced

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
    leaves: models that one material mixes at most. weights: factors in front of one of them at most.
    frames: kinds of normal perturbation ("normalmap", "bumpmap"), sorted.
    tangents: local frames follow dp/du; without it any tangent will do.
    stack: entries of the traversal stack, a power of two.
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

    @property
    def varies(self):
        """Some texture is not a constant or a checkerboard of constants."""
        return bool(set(self.textures) - {"checkerboard"})

    @property
    def textured(self):
        """Texture coordinates are used."""
        return bool(self.textures) or self.tangents

    @property
    def round(self):
        """Some primitive is a sphere or a cylinder."""
        return self.spheres or self.cylinders


@dataclass(frozen=True)
class Execution:
    """How a launch runs, as far as the compiled kernel depends on it.

    block: workers in a thread block.
    stride: loop iterations for each worker; on a CPU, Taichi gives 512 at a time to one thread.
    orientations: vertex normals or the direction of a light are differentiated (kernels/orientation.py).
    exclusive: every worker has a gradient block of its own, so sums need no atomics.
    integers: gradients are summed as fixed-point integers, whose sum does not depend on the order.
    unrolled: loops over leaves are unrolled, as Taichi's own reverse mode needs it.
    """

    block: int = 1
    stride: int = 1
    orientations: bool = False
    exclusive: bool = False
    integers: bool = False
    unrolled: bool = False


class SceneView:
    """A scene inside a kernel: its arrays under the names of kernels/arrays.py, and what comes with them.

    features, execution: see there; static.
    min_selection: smallest part of the samples that a leaf gets whose weight is being differentiated.
    stack: the worker's traversal stack, where rays are traced.
    params: the parameters that shading reads; they begin at `base`. The tape puts differentiated copies here.
    constant_params: the same numbers, never differentiated.
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
    def at(self, place):
        """The view for texture lookups at a place: unless that is in `Features.varying`, all is constant."""
        if place in self.features.varying:
            return self
        view = object.__new__(SceneView)
        view.__dict__.update(self.__dict__, features=replace(self.features, textures=()))
        return view

    @property
    def located(self):
        """A vertex has to know where on its surface it is."""
        return self.features.textured or self.execution.orientations


class Stack:
    """A worker's memory for traversals; made once per worker, as zeroing it costs time."""

    _data_oriented = True
    _is_wrapped_kernel = True

    def __init__(self, node, near, t, u, v):
        self.node, self.near, self.t, self.u, self.v = node, near, t, u, v


@ti.func
def new_stack(size: ti.template()):
    """An empty stack of so many entries, and lanes for the primitives of a packet."""
    node = ti.Vector([0] * size, dt=ti.i32)
    near = ti.Vector([0.0] * size, dt=ti.f32)
    lane_t = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    lane_u = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    lane_v = ti.Vector([0.0] * WIDTH, dt=ti.f32)
    return Stack(node, near, lane_t, lane_u, lane_v)
