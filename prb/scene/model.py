"""What a loaded scene consists of: plain records, checked, with all references resolved.

`prb.scene.load` makes these from a Mitsuba dictionary; `prb.device` lays them out for the kernels.
Arrays are NumPy, matrices are 4x4 object-to-world in float64, angles are in degrees as in the file.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(eq=False)
class Texture:
    """A colour or number that may vary over a surface.

    name: its parameter, as `prb.traverse` lists it (``red.reflectance.value``).
    kind: "rgb" (three numbers) or "uniform" (one number, the same in all channels).
    value: float32, shape (3,) or ().
    low, high: the valid range of each number.
    """

    name: str
    kind: str
    value: np.ndarray
    low: float = 0.0
    high: float = np.inf


@dataclass(eq=False)
class Bsdf:
    """A surface-scattering model: its plugin name, its textures by key, and the models inside it."""

    name: str
    kind: str
    textures: dict[str, Texture] = field(default_factory=dict)
    children: tuple["Bsdf", ...] = ()


@dataclass(eq=False)
class Emitter:
    """A light: ``area`` (radiance, belongs to a shape), ``constant`` (radiance), ``point`` (intensity)."""

    name: str
    kind: str
    textures: dict[str, Texture]
    position: np.ndarray | None = None  # (3,) float64, world space; point lights only
    sampling_weight: float = 1.0


@dataclass(eq=False)
class Shape:
    """A surface. Analytic kinds (rectangle, disk, sphere, cube) are the unit shape under `to_world`.

    kind: "mesh", "rectangle", "cube", "disk" or "sphere", each as Mitsuba defines it.
    Meshes are already in world space: vertices (n, 3) and normals (n, 3) or None in float32,
    texcoords (n, 2) float32 or None, faces (m, 3) int32.
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


@dataclass(eq=False)
class Film:
    """size and crop are in pixels; the rendered image is the crop window.

    rfilter: "box", "tent" or "gaussian"; radius in pixels (tent) and stddev (gaussian) where used.
    """

    width: int = 768
    height: int = 576
    crop_offset: tuple[int, int] = (0, 0)  # x, y
    crop_size: tuple[int, int] = (768, 576)  # width, height
    rfilter: str = "gaussian"
    filter_radius: float = 1.0
    filter_stddev: float = 0.5


@dataclass(eq=False)
class Sensor:
    """A perspective camera that looks along its local +z, with +x to the left and +y up.

    x_fov: horizontal field of view in degrees, whatever `fov_axis` the file named; fov: the field of view
    and its axis as the file has them, for a film of another size.
    """

    name: str
    to_world: np.ndarray
    x_fov: float
    film: Film
    near_clip: float = 1e-2
    far_clip: float = 1e4
    sample_count: int = 4
    fov: tuple[float, str] = (0.0, "x")


@dataclass(eq=False)
class Integrator:
    """max_depth and rr_depth count path edges as Mitsuba does; max_depth -1 is unlimited."""

    kind: str = "path"
    max_depth: int = -1
    rr_depth: int = 5
    hide_emitters: bool = False


@dataclass(eq=False)
class SceneModel:
    """A whole scene. `emitters` holds those that are not attached to a shape."""

    shapes: list[Shape]
    emitters: list[Emitter]
    sensors: list[Sensor]
    integrator: Integrator
    warnings: list[str] = field(default_factory=list)
