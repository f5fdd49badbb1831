"""Normal and bump maps: a leaf's frame perturbed by a texture, in local coordinates of the shading frame.

A normal map holds the new normal n' as 2 t - 1; a bump map a height, whose slope by the texture coordinates
tilts dp/du and dp/dv (Blinn, Simulation of Wrinkled Surfaces, 1978). A normal that would face away from wi
is mirrored, and what the new frame scatters is damped where the original surface would shadow it (Estevez,
Lecocq and Stein, A Microfacet-Based Shadowing Function to Solve the Bump Terminator Problem, 2019).

Where the scene has neither, all of this compiles to nothing.
"""

from prb.kernels import texture
from prb.kernels.backend import ti
from prb.kernels.frame import to_local, vec3
from prb.kernels.shape import shading_frame
from prb.kernels.view import (
    BUMPMAP,
    FLIP_INVALID,
    FRAME,
    FRAME_FLAGS,
    FRAME_TEXTURE,
    NO_FRAME,
    NORMALMAP,
    SHADOWING,
)


@ti.func
def leaf_frame(scene: ti.template(), leaf, at, wi, flip):
    """The leaf's frame: rows s, t, n in the coordinates of the shading frame, and whether to shadow.

    A 4 x 3 matrix: its last row is (1 if the frame is perturbed, tan^2 of the angle / 8 if shadowed, 0).
    """
    m = ti.Matrix([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    if ti.static(len(scene.features.frames) > 0):
        kind = scene.bsdfs[leaf, FRAME]
        if kind != NO_FRAME:
            index = scene.bsdfs[leaf, FRAME_TEXTURE]
            n = vec3(0.0, 0.0, 1.0)
            along = vec3(1.0, 0.0, 0.0)
            if ti.static("normalmap" in scene.features.frames):
                if kind == NORMALMAP:
                    color = texture.fetch_from(scene, scene.constant_params, 0, index, at)
                    n = (2.0 * color - 1.0).normalized()
            if ti.static("bumpmap" in scene.features.frames):
                if kind == BUMPMAP:
                    s_w, t_w, n_w, du, dv = shading_frame(scene, at.slot, at.u, at.v, at.uv)
                    dp_du, dp_dv = to_local(du, s_w, t_w, n_w), to_local(dv, s_w, t_w, n_w)
                    slope = texture.slope(scene, index, at)
                    scale = scene.bsdf_data[leaf, 0]
                    along = dp_du
                    dp_du.z = scale * slope.x
                    dp_dv.z = scale * slope.y
                    n = dp_du.cross(dp_dv).normalized()
                    if n.z < 0:
                        n = -n
            flags = scene.bsdfs[leaf, FRAME_FLAGS]
            if (flags & FLIP_INVALID) != 0 and n.dot(vec3(wi.x, wi.y, wi.z * flip)) * wi.z * flip <= 0:
                n = vec3(-n.x, -n.y, n.z)
            s = (along - n * n.dot(along)).normalized()
            t = n.cross(s)
            tan2 = (1.0 - n.z * n.z) / ti.max(n.z * n.z, 1e-8)
            alpha2 = ti.select((flags & SHADOWING) != 0, ti.min(0.125 * tan2, 1.0), 0.0)
            m = ti.Matrix([[s.x, s.y, s.z], [t.x, t.y, t.z], [n.x, n.y, n.z], [1.0, alpha2, 0.0]])
    return m


@ti.func
def to_leaf(scene: ti.template(), m, w, flip):
    """A direction from the shading frame to the leaf's."""
    v = vec3(w.x, w.y, w.z * flip)
    if ti.static(len(scene.features.frames) > 0):
        if m[3, 0] > 0:
            v = vec3(
                m[0, 0] * v.x + m[0, 1] * v.y + m[0, 2] * v.z,
                m[1, 0] * v.x + m[1, 1] * v.y + m[1, 2] * v.z,
                m[2, 0] * v.x + m[2, 1] * v.y + m[2, 2] * v.z,
            )
    return v


@ti.func
def from_leaf(scene: ti.template(), m, w, flip):
    """A direction from the leaf's frame to the shading frame."""
    v = w
    if ti.static(len(scene.features.frames) > 0):
        if m[3, 0] > 0:
            v = vec3(
                m[0, 0] * w.x + m[1, 0] * w.y + m[2, 0] * w.z,
                m[0, 1] * w.x + m[1, 1] * w.y + m[2, 1] * w.z,
                m[0, 2] * w.x + m[1, 2] * w.y + m[2, 2] * w.z,
            )
    return vec3(v.x, v.y, v.z * flip)


@ti.func
def same_side(scene: ti.template(), m, w, z):
    """1, or 0 where a direction lies on different sides of the two frames; z: its height in the leaf's."""
    result = 1.0
    if ti.static(len(scene.features.frames) > 0):
        if m[3, 0] > 0 and w.z * z <= 0:
            result = 0.0
    return result


@ti.func
def shadowing(scene: ti.template(), m, w, flip):
    """The factor of a leaf's value for direction w, from 0 to 1."""
    result = 1.0
    if ti.static(len(scene.features.frames) > 0):
        if m[3, 0] > 0:
            z = to_leaf(scene, m, w, flip).z
            z2 = w.z * w.z
            tan2 = (1.0 - z2) / ti.max(z2, 1e-8)
            result = 2.0 / (1.0 + ti.sqrt(1.0 + m[3, 1] * tan2))
            result = ti.select(w.z * flip * z <= 0, 0.0, result)
    return result
