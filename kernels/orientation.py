"""Parameters that orient: the vertex normals of a mesh, and the direction of a distant light.

A direction that is fixed in the world has local coordinates that change with the shading frame, and the frame
follows the interpolated vertex normals; the direction to a distant light is -v / |v|. Both are traced
functions: `local_directions` and `towards_light`. The tape differentiates them by itself (`follow`), the
replay by their `vjp` (`pull_back`), forward mode by their `jvp` (`push_forward`).

All of this compiles to nothing unless `Execution.orientations`.
"""

from prb.kernels import hit, traced
from prb.kernels.backend import ti
from prb.kernels.emitter import KINDS
from prb.kernels.frame import read3, tangents, to_local, to_world, vec3
from prb.kernels.gradient import add
from prb.kernels.shape import shading_frame

DIRECTIONAL = KINDS["directional"]


def local_directions(tangents_given):
    """The function of normals and tangents that gives local directions; tangents_given: the frame follows
    dp/du."""

    def function(normals, u, v, dp_du, directions):
        """Local coordinates of three world directions where a face has these vertex normals."""
        n = hit.unit(normals[0] * (1.0 - u - v) + normals[1] * u + normals[2] * v)
        s, t = hit.frame_along(n, dp_du) if tangents_given else tangents(n)
        return tuple(to_local(w, s, t, n) for w in directions)

    return function


WITH_TANGENTS, WITHOUT_TANGENTS = local_directions(True), local_directions(False)


def towards_light(v, s, t, n):
    """Local coordinates of the direction to a light that travels along v."""
    return to_local(-hit.unit(v), s, t, n)


@traced.traced
def frame_function(scene):
    """`local_directions` as the scene's frames are made."""
    return WITH_TANGENTS if scene.features.tangents else WITHOUT_TANGENTS


@ti.func
def normals_at(scene: ti.template(), slot):
    """Where in the parameter buffer the vertex normals of the primitive's mesh begin, or -1."""
    return scene.shapes[scene.prim_info[slot][1]][2]


@ti.func
def direction_at(scene: ti.template(), light_emitter):
    """Where in the parameter buffer the light's direction begins, or -1."""
    at = -1
    if light_emitter >= 0 and scene.emitters[light_emitter][0] == DIRECTIONAL:
        at = ti.i32(scene.emitter_data[scene.emitters[light_emitter][3]][3])
    return at


@ti.func
def corner_normals(scene: ti.template(), buffer: ti.template(), slot, first):
    """The vertex normals of the face, or their tangents, of a mesh whose normals begin at `first`."""
    ids = scene.corners[slot]
    return [read3(buffer, first + 3 * ids[k]) for k in ti.static(range(3))]


@ti.func
def world_directions(vertex, s, t, n):
    """wi, wo and wo_light in world space."""
    return [
        to_world(vertex.wi, s, t, n),
        to_world(vertex.wo, s, t, n),
        to_world(vertex.wo_light, s, t, n),
    ]


@ti.func
def follow(scene: ti.template(), vertex):
    """The vertex, its local directions as functions of the parameters; their values stay what they are."""
    if ti.static(scene.execution.orientations):
        s, t, n, dp_du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        at = direction_at(scene, vertex.light_emitter)
        if at >= 0:
            v = read3(scene.params, scene.base + at)
            vertex.wo_light = traced.value(towards_light, v, s, t, n)
        first = normals_at(scene, vertex.slot)
        if first >= 0:
            directions = world_directions(vertex, s, t, n)
            normals = corner_normals(scene, scene.params, vertex.slot, scene.base + first)
            wi, wo, wo_light = traced.value(
                frame_function(scene), normals, vertex.u, vertex.v, dp_du, directions
            )
            vertex.wi, vertex.wo, vertex.wo_light = wi, wo, wo_light
    return vertex


@ti.func
def push_forward(scene: ti.template(), buffer: ti.template(), vertex):
    """The tangents of the local directions (wi, wo_light, wo) under the parameters' tangents in `buffer`."""
    dwi, dwo_light, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    at, first = direction_at(scene, vertex.light_emitter), normals_at(scene, vertex.slot)
    if at >= 0 or first >= 0:
        s, t, n, dp_du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        if at >= 0:
            v, dv = read3(scene.params, at), read3(buffer, at)
            _w, dw = traced.jvp(towards_light, (v, s, t, n), (dv, None, None, None))
            dwo_light = dw
        if first >= 0:
            directions = world_directions(vertex, s, t, n)
            normals = corner_normals(scene, scene.params, vertex.slot, first)
            dnormals = corner_normals(scene, buffer, vertex.slot, first)
            _w, dw = traced.jvp(
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
    """Send the cotangents of the local directions to the parameters."""
    s, t, n, dp_du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
    at = direction_at(scene, vertex.light_emitter)
    if at >= 0 and at < gradient.size:
        v = read3(scene.params, at)
        _w, grads = traced.vjp(towards_light, (v, s, t, n), grad_wo_light, (0,))
        for i in ti.static(range(3)):
            add(gradient, at + i, grads[0][i])
    first = normals_at(scene, vertex.slot)
    if first >= 0 and first < gradient.size:
        ids = scene.corners[vertex.slot]
        directions = world_directions(vertex, s, t, n)
        normals = corner_normals(scene, scene.params, vertex.slot, first)
        _w, grads = traced.vjp(
            frame_function(scene),
            (normals, vertex.u, vertex.v, dp_du, directions),
            (grad_wi, grad_wo, grad_wo_light),
            (0,),
        )
        for k in ti.static(range(3)):
            for i in ti.static(range(3)):
                add(gradient, first + 3 * ids[k] + i, grads[0][k][i])
