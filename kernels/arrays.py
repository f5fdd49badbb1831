"""The scene's arrays: one table, from which the kernels' arguments, `SceneView`, upload and sizes follow.

A new array takes one line here, the code that fills it (prb/device/layout.py) and the code that reads it. All
arrays of a scene are one kernel argument (`SceneArrays`); those of a sensor are another (`SensorArrays`).
"""

from typing import Any, NamedTuple

from prb.kernels.backend import ti

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
vec20f = ti.types.vector(20, ti.f32)
vec8i = ti.types.vector(8, ti.i32)


class Array(NamedTuple):
    """An array: its element (a scalar or vector type), its number of axes, its shape and its meaning."""

    element: Any
    ndim: int
    shape: str
    meaning: str

    @property
    def vector(self):
        """The vector type of its elements, or None for scalars."""
        return self.element if hasattr(self.element, "n") else None


SCENE = {
    "nodes": Array(wide_f32, 2, "(nodes, 6)", "bounds of a node's children: x_min, x_max, y_min, ..."),
    "children": Array(
        wide_i32, 1, "(nodes,)", ">= 0: a node; < 0: a leaf's code (kernels/bvh.py)"
    ),
    "packets": Array(wide_f32, 2, "(packets, PACKET_ROWS)", "what rays are tested against (kernels/view.py)"),
    "prims": Array(
        vec12f, 1, "(slots,)",
        "slot = packet * WIDTH + lane; v0, e1, e2, unit normal. Of a sphere: centre, radius, unit local z "
        "and x axes, 1 or -1 for normals that point outwards or inwards, 1 or -1 for a right- or "
        "left-handed local frame. Of a cylinder: base point, axis, radius, unit local x axis, the same signs",
    ),
    "prim_info": Array(vec3i, 1, "(slots,)", "kind, shape, first row of its three vertex normals (or -1)"),
    "prim_light": Array(ti.i32, 1, "(slots,)", "entry of `lights`, or -1"),
    "normals": Array(vec3f, 1, "(n,)", "unit vertex normals, three for each primitive that has them"),
    "uvs": Array(vec6f, 1, "(slots,)", "texture coordinates of v0, v0 + e1, v0 + e2, if the scene needs any"),
    "corners": Array(vec4i, 1, "(slots,)", "three vertex numbers and the face number, where needed"),
    "shapes": Array(
        vec4i, 1, "(shapes,)",
        "material, emitter (or -1), offset of the mesh's vertex normals in `params` (or -1), code of the "
        "media on both sides (kernels/medium.py), 0 for none",
    ),
    "moves": Array(
        vec4i, 1, "(shapes,)",
        "offsets in `params` of the vertex positions, of the instance's and of the shape's own transform (-1 "
        "for none), first row in `frames`",
    ),
    "frames": Array(vec12f, 1, "(n,)", "rows of affine maps, see kernels/moving.py"),
    "materials": Array(vec4i, 1, "(materials,)", "first row of its leaves in `bsdfs`, their number, 0, 0"),
    "bsdfs": Array(ti.i32, 2, "(leaves, n)", "columns as in kernels/view.py"),
    "bsdf_data": Array(ti.f32, 2, "(leaves, n)", "scale of the leaf's bump map, then its model's constants"),
    "textures": Array(vec8i, 1, "(textures,)", "columns as in kernels/texture.py"),
    "to_uv": Array(vec6f, 1, "(textures,)", "rows of the affine map from texture to image coordinates"),
    "emitters": Array(
        vec4i, 1, "(emitters,)", "kind, texture, second texture (or -1), first row of `emitter_data`"
    ),
    "emitter_data": Array(vec4f, 1, "(n,)", "positions and matrices: see each file of kernels/emitter"),
    "lights": Array(
        vec4i, 1, "(entries,)", "what next-event estimation chooses from: slot (or -1), emitter, alias, 0"
    ),
    "light_pdf": Array(vec4f, 1, "(entries,)", "threshold of the alias table, probability, area, 0"),
    "env_marginal": Array(ti.f32, 1, "(n,)", "distribution over an environment map's rows of cells"),
    "env_conditional": Array(ti.f32, 1, "(n,)", "distribution over the cells of each row"),
    "volumes": Array(vec8i, 1, "(volumes,)", "columns as in kernels/volume.py"),
    "to_unit": Array(vec12f, 1, "(volumes,)", "rows of the affine map from world space to the unit cube"),
    "media": Array(ti.i32, 2, "(media, MEDIUM_COLUMNS)", "columns as in kernels/medium.py"),
    "majorants": Array(
        vec2f, 1, "(cells,)", "the smallest and the largest extinction in each cell of a medium's coarse grid"
    ),
    "phases": Array(ti.i32, 2, "(leaves, PHASE_COLUMNS)", "columns as in kernels/scattering.py"),
    "phase_tables": Array(ti.f32, 1, "(n,)", "what tabulated phase functions are sampled from"),
    "params": Array(ti.f32, 1, "(n,)", "the parameters' values"),
}  # fmt: skip

SENSOR = {
    "camera": Array(ti.f32, 1, "(CAMERA_SIZE,)", "the affine form of the camera's rays (kernels/camera.py)"),
    "filter": Array(
        ti.f32, 2, "(STEPS, 2 columns)",
        "the reconstruction filter at the pixels that a sample counts in, by the sample's place in its own "
        "(kernels/estimators/film.py)",
    ),
    "by_parameters": Array(
        ti.f32, 2, "(parameters, 1 + CAMERA_SIZE)",
        "offset in `params` of each number that the camera depends on, and the derivative of `camera` by it",
    ),
}  # fmt: skip


def _argument(table):
    """The type of the one kernel argument that holds all arrays of a table."""
    return ti.types.argpack(**{name: ti.types.ndarray(a.element, a.ndim) for name, a in table.items()})


SceneArrays = _argument(SCENE)
SensorArrays = _argument(SENSOR)
