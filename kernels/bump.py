"""Normal and bump maps: the frame of a leaf, perturbed by a texture, in coordinates of the shading frame.

A normal map holds the normal n' as the colour (n' + 1) / 2. A bump map holds a height, whose derivatives by
the texture coordinates tilt dp/du and dp/dv (Blinn, Simulation of Wrinkled Surfaces, 1978). A normal that
would face away from wi is mirrored, and the value is multiplied by a shadowing function of the original
surface (Estevez, Lecocq and Stein, A Microfacet-Based Shadowing Function to Solve the Bump Terminator
Problem, 2019).

If the scene has no such map, none of this is compiled.
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
def leaf_frame(scene: ti.template(), leaf, point, wi, flip):
    """The leaf's frame, a 4 x 3 matrix: rows s, t, n in coordinates of the shading frame, and a row of flags.

    The last row is (1 if the frame is perturbed, alpha^2 of the shadowing function or 0, 0).
    """
    frame = ti.Matrix([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    if ti.static(len(scene.features.frames) > 0):
        kind = scene.bsdfs[leaf, FRAME]
        if kind != NO_FRAME:
            index = scene.bsdfs[leaf, FRAME_TEXTURE]
            n = vec3(0.0, 0.0, 1.0)
            tangent = vec3(1.0, 0.0, 0.0)
            if ti.static("normalmap" in scene.features.frames):
                if kind == NORMALMAP:
                    color = texture.fetch_from(scene, scene.constant_params, 0, index, point)
                    n = (2.0 * color - 1.0).normalized()
            if ti.static("bumpmap" in scene.features.frames):
                if kind == BUMPMAP:
                    s_w, t_w, n_w, du, dv = shading_frame(scene, point.slot, point.u, point.v, point.uv)
                    dp_du, dp_dv = to_local(du, s_w, t_w, n_w), to_local(dv, s_w, t_w, n_w)
                    slope = texture.slope(scene, scene.constant_params, 0, index, point)
                    scale = scene.bsdf_data[leaf, 0]
                    tangent = dp_du
                    dp_du.z = scale * slope.x
                    dp_dv.z = scale * slope.y
                    n = dp_du.cross(dp_dv).normalized()
                    if n.z < 0:
                        n = -n
            flags = scene.bsdfs[leaf, FRAME_FLAGS]
            if (flags & FLIP_INVALID) != 0 and n.dot(vec3(wi.x, wi.y, wi.z * flip)) * wi.z * flip <= 0:
                n = vec3(-n.x, -n.y, n.z)
            s = (tangent - n * n.dot(tangent)).normalized()
            t = n.cross(s)
            tan2 = (1.0 - n.z * n.z) / ti.max(n.z * n.z, 1e-8)
            alpha2 = ti.select((flags & SHADOWING) != 0, ti.min(0.125 * tan2, 1.0), 0.0)
            frame = ti.Matrix([[s.x, s.y, s.z], [t.x, t.y, t.z], [n.x, n.y, n.z], [1.0, alpha2, 0.0]])
    return frame


@ti.func
def to_leaf(scene: ti.template(), frame, w, flip):
    """Transform a direction from the shading frame to the leaf's frame. flip: from `material.leaf_side`."""
    v = vec3(w.x, w.y, w.z * flip)
    if ti.static(len(scene.features.frames) > 0):
        if frame[3, 0] > 0:
            v = vec3(
                frame[0, 0] * v.x + frame[0, 1] * v.y + frame[0, 2] * v.z,
                frame[1, 0] * v.x + frame[1, 1] * v.y + frame[1, 2] * v.z,
                frame[2, 0] * v.x + frame[2, 1] * v.y + frame[2, 2] * v.z,
            )
    return v


@ti.func
def from_leaf(scene: ti.template(), frame, w, flip):
    """Transform a direction from the leaf's frame to the shading frame."""
    v = w
    if ti.static(len(scene.features.frames) > 0):
        if frame[3, 0] > 0:
            v = vec3(
                frame[0, 0] * w.x + frame[1, 0] * w.y + frame[2, 0] * w.z,
                frame[0, 1] * w.x + frame[1, 1] * w.y + frame[2, 1] * w.z,
                frame[0, 2] * w.x + frame[1, 2] * w.y + frame[2, 2] * w.z,
            )
    return vec3(v.x, v.y, v.z * flip)


@ti.func
def same_side(scene: ti.template(), frame, w, z):
    """1 if a direction lies on the same side of both frames, else 0. z: its cosine in the leaf's frame."""
    result = 1.0
    if ti.static(len(scene.features.frames) > 0):
        if frame[3, 0] > 0 and w.z * z <= 0:
            result = 0.0
    return result


@ti.func
def shadowing(scene: ti.template(), frame, w, flip):
    """The shadowing function for direction w, a factor of the leaf's value between 0 and 1."""
    result = 1.0
    if ti.static(len(scene.features.frames) > 0):
        if frame[3, 0] > 0:
            z = to_leaf(scene, frame, w, flip).z
            z2 = w.z * w.z
            tan2 = (1.0 - z2) / ti.max(z2, 1e-8)
            result = 2.0 / (1.0 + ti.sqrt(1.0 + frame[3, 1] * tan2))
            result = ti.select(w.z * flip * z <= 0, 0.0, result)
    return result
