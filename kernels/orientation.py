"""Orientations: vertex normals of a mesh and directions of distant lights, as parameters.

The local coordinates of a direction that is fixed in world space change with the shading frame, which follows
the interpolated vertex normals; the direction to a distant light is -v / |v|. Both are traced functions:
`local_directions` and `light_direction`. The tape lets Taichi differentiate them (`recompute_directions`),
the replay uses their `vjp` (`pull_back`), and forward mode their `jvp` (`push_forward`).

Nothing of this is compiled unless `Execution.orientations` is set.
"""

from prb.kernels import hit, traced
from prb.kernels.backend import ti
from prb.kernels.emitter import KINDS
from prb.kernels.frame import read3, tangents, to_local, to_world, vec3
from prb.kernels.gradient import add
from prb.kernels.shape import shading_frame

DIRECTIONAL = KINDS["directional"]


def local_directions(along_dp_du):
    """The function from vertex normals to local directions. along_dp_du: the frame follows dp/du."""

    def function(normals, u, v, dp_du, directions):
        """The local coordinates of three world-space directions, from the vertex normals of the face."""
        n = hit.unit(normals[0] * (1.0 - u - v) + normals[1] * u + normals[2] * v)
        s, t = hit.frame_along(n, dp_du) if along_dp_du else tangents(n)
        return tuple(to_local(direction, s, t, n) for direction in directions)

    return function


ALONG_DP_DU, ANY_TANGENTS = local_directions(True), local_directions(False)


def light_direction(v, s, t, n):
    """The local coordinates of the direction to a distant light whose light travels along v."""
    return to_local(-hit.unit(v), s, t, n)


@traced.traced
def frame_function(scene):
    """The variant of `local_directions` for the scene's shading frames."""
    return ALONG_DP_DU if scene.features.tangents else ANY_TANGENTS


@ti.func
def normals_offset(scene: ti.template(), slot):
    """The offset in the parameter buffer of the vertex normals of the primitive's mesh, or -1."""
    return scene.shapes[scene.prim_info[slot][1]][2]


@ti.func
def direction_offset(scene: ti.template(), light_emitter):
    """The offset in the parameter buffer of the light's direction, or -1."""
    offset = -1
    if light_emitter >= 0 and scene.emitters[light_emitter][0] == DIRECTIONAL:
        offset = ti.i32(scene.emitter_data[scene.emitters[light_emitter][3]][3])
    return offset


@ti.func
def corner_normals(scene: ti.template(), buffer: ti.template(), slot, offset):
    """The vertex normals of the face, or their tangents. offset: of the mesh's normals in the buffer."""
    vertices = scene.corners[slot]
    return [read3(buffer, offset + 3 * vertices[k]) for k in ti.static(range(3))]


@ti.func
def world_directions(vertex, s, t, n):
    """The vertex's wi, wo and wo_light in world space."""
    return [
        to_world(vertex.wi, s, t, n),
        to_world(vertex.wo, s, t, n),
        to_world(vertex.wo_light, s, t, n),
    ]


@ti.func
def recompute_directions(scene: ti.template(), vertex):
    """The vertex, with its local directions computed from the parameters. Their values do not change."""
    if ti.static(scene.execution.orientations):
        s, t, n, dp_du, _dp_dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        at_direction = direction_offset(scene, vertex.light_emitter)
        if at_direction >= 0:
            v = read3(scene.params, scene.base + at_direction)
            vertex.wo_light = traced.value(light_direction, v, s, t, n)
        at_normals = normals_offset(scene, vertex.slot)
        if at_normals >= 0:
            directions = world_directions(vertex, s, t, n)
            normals = corner_normals(scene, scene.params, vertex.slot, scene.base + at_normals)
            wi, wo, wo_light = traced.value(
                frame_function(scene), normals, vertex.u, vertex.v, dp_du, directions
            )
            vertex.wi, vertex.wo, vertex.wo_light = wi, wo, wo_light
    return vertex


@ti.func
def push_forward(scene: ti.template(), buffer: ti.template(), vertex):
    """The tangents of the local directions (wi, wo_light, wo) for the parameters' tangents in `buffer`."""
    dwi, dwo_light, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    at_direction, at_normals = (
        direction_offset(scene, vertex.light_emitter),
        normals_offset(scene, vertex.slot),
    )
    if at_direction >= 0 or at_normals >= 0:
        s, t, n, dp_du, _dp_dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        if at_direction >= 0:
            v, dv = read3(scene.params, at_direction), read3(buffer, at_direction)
            _value, dw = traced.jvp(light_direction, (v, s, t, n), (dv, None, None, None))
            dwo_light = dw
        if at_normals >= 0:
            directions = world_directions(vertex, s, t, n)
            normals = corner_normals(scene, scene.params, vertex.slot, at_normals)
            dnormals = corner_normals(scene, buffer, vertex.slot, at_normals)
            _value, dw = traced.jvp(
                frame_function(scene),
                (normals, vertex.u, vertex.v, dp_du, directions),
                (dnormals, None, None, None, None),
            )
            dwi, dwo = dw[0], dw[1]
            dwo_light += dw[2]
    return dwi, dwo_light, dwo


@ti.func
def pull_back(
    scene: ti.template(), gradient: ti.template(), vertex, grad_wi, grad_wo_light, grad_wo
):  # fmt: skip
    """Add the cotangents of the local directions, pulled back to the parameters, to the gradient."""
    s, t, n, dp_du, _dp_dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
    at_direction = direction_offset(scene, vertex.light_emitter)
    if at_direction >= 0 and at_direction < gradient.size:
        v = read3(scene.params, at_direction)
        _value, grads = traced.vjp(light_direction, (v, s, t, n), grad_wo_light, (0,))
        for i in ti.static(range(3)):
            add(gradient, at_direction + i, grads[0][i])
    at_normals = normals_offset(scene, vertex.slot)
    if at_normals >= 0 and at_normals < gradient.size:
        vertices = scene.corners[vertex.slot]
        directions = world_directions(vertex, s, t, n)
        normals = corner_normals(scene, scene.params, vertex.slot, at_normals)
        _value, grads = traced.vjp(
            frame_function(scene),
            (normals, vertex.u, vertex.v, dp_du, directions),
            (grad_wi, grad_wo, grad_wo_light),
            (0,),
        )
        for k in ti.static(range(3)):
            for i in ti.static(range(3)):
                add(gradient, at_normals + 3 * vertices[k] + i, grads[0][k][i])
