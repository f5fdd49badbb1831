"""What a loaded scene consists of: plain records, checked, with all references resolved.

`prb.scene.load` makes these from a Mitsuba dictionary; `prb.device` lays them out for the kernels.
Arrays are NumPy, matrices are 4x4 object-to-world matrices in float64, angles are in degrees as in the file.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class Texture:
    """A colour or number that may vary over a surface.

    name: its parameter, as `prb.traverse` lists it (``red.reflectance.value``).
    kind: "rgb" (three numbers), "uniform" (one number, the same in all channels), "bitmap" (an image, value
    (height, width, 1 or 3)), "checkerboard" (two children), "mesh_attribute" (one of the mesh), "volume"
    (looked up at the surface's point in world space).
    value: float32, linear; shape (3,) or () for constants; None where the kind has none.
    low, high: the valid range of each number; updates and optimisers keep to it. The `high` of a reflectance
    is 1, or the largest value of the image that the scene gives it.
    bends_rays: sampled directions depend on it. raw: its numbers are no colour (`rawconstant`).
    filter: "bilinear" or "nearest"; wrap: "repeat", "mirror" or "clamp", for u and for v;
    to_uv: (2, 3), applied to texture coordinates before the lookup.
    """

    name: str
    kind: str
    value: np.ndarray | None
    low: float = 0.0
    high: float = np.inf
    bends_rays: bool = False
    raw: bool = False
    filter: str = "bilinear"
    wrap: tuple[str, str] = ("repeat", "repeat")
    to_uv: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    children: tuple["Texture", ...] = ()
    attribute: str = ""
    volume: "Volume | None" = None


@dataclass(eq=False)
class Bsdf:
    """A surface-scattering model: its plugin or registry name, its textures by key, its constants by
    name, and the models inside it."""

    name: str
    kind: str
    textures: dict[str, Texture] = field(default_factory=dict)
    children: tuple["Bsdf", ...] = ()
    constants: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Emitter:
    """A light: its plugin name, and its textures by key; radiance is the product of all of them.

    area            radiance; belongs to a shape
    constant        radiance, from all directions
    envmap          data, a bitmap of all directions under `to_world`, and scale
    point           intensity; at `position`
    spot            intensity and texture; along the local +z of `to_world`; constants cutoff_angle and
                    beam_width, degrees from the axis
    projector       irradiance and scale; along the local +z of `to_world`; constant x_fov, degrees
    directional     irradiance; travels along `direction`

    position, direction: (3,) float64, world space; direction has unit length. to_world: 4x4.
    """

    name: str
    kind: str
    textures: dict[str, Texture]
    position: np.ndarray | None = None
    sampling_weight: float = 1.0
    direction: np.ndarray | None = None
    to_world: np.ndarray | None = None
    constants: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class Volume:
    """Numbers that may vary in space.

    name: its parameter, as `prb.traverse` lists it (``fog.sigma_t.value.value``, ``fog.albedo.data``).
    kind: "constant" or "grid". value: float32; of a constant shape () or (n,), of a grid (Z, Y, X, channels).
    low, high: the valid range of each number.
    filter: "trilinear" or "nearest"; wrap: "clamp", "repeat" or "mirror". to_world: 4x4, from the unit cube
    of a grid; voxel centres lie at (i + 1/2) / n in it. max_value: what the file says is the largest number,
    or None.
    """

    name: str
    kind: str
    value: np.ndarray
    low: float = 0.0
    high: float = np.inf
    differentiable: bool = True
    filter: str = "trilinear"
    wrap: str = "clamp"
    to_world: np.ndarray = field(default_factory=lambda: np.eye(4))
    max_value: float | None = None


@dataclass(eq=False)
class Phase:
    """A phase function: its plugin name, its volumes by key, and those inside it.

    isotropic, rayleigh   no volumes
    hg                    g, a constant
    tabphase              values, a constant (n,): regular in the cosine from -1 to 1, 1 is forward
    sggx                  S, a constant (6,) or a grid of 6 channels: xx, yy, zz, xy, xz, yz
    blendphase            weight, of the second of its two children
    """

    name: str
    kind: str
    volumes: dict[str, Volume] = field(default_factory=dict)
    children: tuple["Phase", ...] = ()


@dataclass(eq=False)
class Medium:
    """What fills a region: "homogeneous" or "heterogeneous" (empty outside the unit cube of its sigma_t).

    volumes: sigma_t (one or three channels), albedo, scale (a constant, by which sigma_t is multiplied) and,
    where it emits, emission (radiance for each unit of length, not scaled).
    sample_emitters: lights are sampled from its points, too.
    """

    name: str
    kind: str
    volumes: dict[str, Volume]
    phase: Phase
    sample_emitters: bool = True


@dataclass(eq=False)
class Shape:
    """A surface. Analytic kinds (all but "mesh") are Mitsuba's unit shape under `to_world`.

    kind: "mesh", "rectangle", "cube", "disk", "sphere" or "cylinder" (radius 1, from z = 0 to z = 1, open).
    Meshes are already in world space: vertices (n, 3) and normals (n, 3) or None in float32,
    texcoords (n, 2) float32 or None, faces (m, 3) int32; their to_world is the one that has been applied.
    smooth: the normals were computed from the vertices.
    instance: the name of the instance that this is a copy of, with its transform; original: the shape that it
    copies, in the group's space. "" and None for others.
    reversed: the corners of a mesh's faces stand in reversed order, so that normals are flipped.
    attributes: name -> float32 (n, c) for ``vertex_...``, (m, c) for ``face_...``; c is 1 or 3. Copies of a
        mesh (instances) share the arrays.
    interior, exterior: the media on the side away from the geometric normal and on its side, None: vacuum. A
        surface without both bounds no medium: what is on one side is on the other, too.
    """

    name: str
    kind: str
    bsdf: Bsdf
    emitter: Emitter | None = None
    to_world: np.ndarray = field(default_factory=lambda: np.eye(4))
    flip_normals: bool = False
    vertices: np.ndarray | None = None
    normals: np.ndarray | None = None
    texcoords: np.ndarray | None = None
    faces: np.ndarray | None = None
    smooth: bool = False
    instance: str = ""
    instance_to_world: np.ndarray = field(default_factory=lambda: np.eye(4))
    original: "Shape | None" = None
    reversed: bool = False
    attributes: dict[str, np.ndarray] = field(default_factory=dict)
    interior: Medium | None = None
    exterior: Medium | None = None


@dataclass(eq=False)
class Film:
    """size and crop are in pixels; the rendered image is the crop window.

    rfilter: "box", "tent", "gaussian", "mitchell", "catmullrom" or "lanczos". filter_radius: in pixels, of
    the tent and of lanczos. filter_stddev: in pixels, of the Gaussian. filter_bc: B and C of the two cubics.
    sample_border: at the border of the crop window too the whole filter counts, also what lies outside.
    """

    width: int = 768
    height: int = 576
    crop_offset: tuple[int, int] = (0, 0)  # x, y
    crop_size: tuple[int, int] = (768, 576)  # width, height
    rfilter: str = "gaussian"
    filter_radius: float = 1.0
    filter_stddev: float = 0.5
    filter_bc: tuple[float, float] = (1 / 3, 1 / 3)

    @property
    def radius(self) -> float:
        """The filter's, in pixels: what is further away from a sample does not count."""
        fixed = {"box": 0.5, "gaussian": 4 * self.filter_stddev, "mitchell": 2.0, "catmullrom": 2.0}
        return fixed.get(self.rfilter, self.filter_radius)

    sample_border: bool = False


@dataclass(eq=False)
class Sensor:
    """A camera that looks along its local +z, with +x to the left and +y up.

    kind: "perspective", "thinlens" or "orthographic"; the last shows what lies within [-1, 1] along its
    local x, so that the scale of `to_world` is the size of its picture.
    x_fov: horizontal field of view in degrees, whatever `fov_axis` the file named; fov: the field of view
    and its axis as the file has them, for a film of another size. Both without meaning if orthographic.
    principal_point_offset_x, _y: how far right and down on the film the picture's part is taken from, as
    parts of its width and height; perspective only. aperture_radius, focus_distance: thinlens only.
    medium: the one that the camera is in, None: vacuum.
    """

    name: str
    to_world: np.ndarray
    x_fov: float
    film: Film
    near_clip: float = 1e-2
    far_clip: float = 1e4
    sample_count: int = 4
    sampler: str = "independent"
    fov: tuple[float, str] = (0.0, "x")
    kind: str = "perspective"
    principal_point_offset_x: float = 0.0
    principal_point_offset_y: float = 0.0
    aperture_radius: float = 0.0
    focus_distance: float = 1.0
    medium: Medium | None = None


@dataclass(eq=False)
class Integrator:
    """max_depth and rr_depth count path edges as Mitsuba does; max_depth -1 is unlimited.

    volumetric: media are seen, and what passes straight through a surface does not count as an edge's end.
    """

    kind: str = "path"
    max_depth: int = -1
    rr_depth: int = 5
    hide_emitters: bool = False
    volumetric: bool = False


@dataclass(eq=False)
class SceneModel:
    """A whole scene. `emitters` holds those that are not attached to a shape."""

    shapes: list[Shape]
    emitters: list[Emitter]
    sensors: list[Sensor]
    integrator: Integrator
    warnings: list[str] = field(default_factory=list)
