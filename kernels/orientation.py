"""Parameters that turn directions: the vertex normals of a mesh, and the direction of a distant light.

A direction w that is fixed in the world has local coordinates that change with the shading normal n. With
n' = n + a s + b t, s and t the tangents,

    w' = (w_x - a w_z,  w_y - b w_z,  w_z + a w_x + b w_y)

to first order, for each of wi, wo and the direction to the light. The frame does not twist about n to first
order, so that models that are the same in all tangent directions are differentiated exactly, others up to
the twist that their dp/du has. The direction to a distant light is -v / |v|.

`tilted` is what the tape differentiates, `pull_back` and `push_forward` what the replay does. All of this
compiles to nothing unless `scene.execution.orientations`.
"""

from prb.kernels.backend import ti
from prb.kernels.emitter import KINDS
from prb.kernels.frame import read3, to_local, to_world, vec2, vec3
from prb.kernels.gradient import add
from prb.kernels.shape import shading_frame

DIRECTIONAL = KINDS["directional"]


@ti.func
def normals_at(scene: ti.template(), slot):
    """Where in the parameter buffer the vertex normals of the primitive's mesh begin, or -1."""
    return scene.shapes[scene.prim_info[slot][1]][2]


@ti.func
def direction_at(scene: ti.template(), light):
    """Where in the parameter buffer the light's direction begins, or -1."""
    at = -1
    if light >= 0 and scene.emitters[light][0] == DIRECTIONAL:
        at = ti.i32(scene.emitter_data[scene.emitters[light][3]][3])
    return at


@ti.func
def interpolate(scene: ti.template(), buffer: ti.template(), vertex, first):
    """The mesh's vertex normals, or their tangents, interpolated at the vertex."""
    ids = scene.corners[vertex.slot]
    m = read3(buffer, first + 3 * ids[0]) * (1.0 - vertex.u - vertex.v)
    return m + read3(buffer, first + 3 * ids[1]) * vertex.u + read3(buffer, first + 3 * ids[2]) * vertex.v


@ti.func
def tilt(w, a, b):
    """The local coordinates of w in a frame whose normal has moved by a s + b t."""
    return vec3(w.x - a * w.z, w.y - b * w.z, w.z + a * w.x + b * w.y)


@ti.func
def tilted(scene: ti.template(), vertex):
    """The vertex, its local directions as functions of the parameters; their values stay what they are."""
    if ti.static(scene.execution.orientations):
        s, t, n, _du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        at = direction_at(scene, vertex.light_emitter)
        if at >= 0:
            v = read3(scene.params, scene.base + at)
            vertex.wo_light = to_local(-v / v.norm(), s, t, n)
        first = normals_at(scene, vertex.slot)
        if first >= 0:
            m = interpolate(scene, scene.params, vertex, scene.base + first)
            m /= m.norm()
            a, b = m.dot(s), m.dot(t)
            vertex.wi, vertex.wo = tilt(vertex.wi, a, b), tilt(vertex.wo, a, b)
            vertex.wo_light = tilt(vertex.wo_light, a, b)
    return vertex


@ti.func
def tangents(scene: ti.template(), buffer: ti.template(), vertex):
    """The tangents of the local directions (wi, wo_light, wo) under the parameters' tangents in `buffer`."""
    dwi, dlight, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    at, first = direction_at(scene, vertex.light_emitter), normals_at(scene, vertex.slot)
    if at >= 0 or first >= 0:
        s, t, n, _du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
        if at >= 0:
            v, dv = read3(scene.params, at), read3(buffer, at)
            d = v / v.norm()
            dlight = to_local((d * d.dot(dv) - dv) / v.norm(), s, t, n)
        if first >= 0:
            length = interpolate(scene, scene.params, vertex, first).norm()
            dm = interpolate(scene, buffer, vertex, first) / length
            a, b = dm.dot(s), dm.dot(t)
            dwi = tilt(vertex.wi, a, b) - vertex.wi
            dwo = tilt(vertex.wo, a, b) - vertex.wo
            dlight += tilt(vertex.wo_light, a, b) - vertex.wo_light
    return dwi, dlight, dwo


@ti.func
def turn_of(w, c):
    """What a cotangent c of the local direction w is for a and b of `tilt`."""
    return vec2(c.z * w.x - c.x * w.z, c.z * w.y - c.y * w.z)


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), vertex, c_wi, c_light, c_wo):
    """Send the cotangents of the local directions to the parameters."""
    s, t, n, _du, _dv = shading_frame(scene, vertex.slot, vertex.u, vertex.v, vertex.uv)
    at = direction_at(scene, vertex.light_emitter)
    if at >= 0 and at < gradient.size:
        v = read3(scene.params, at)
        d = v / v.norm()
        c = to_world(c_light, s, t, n)
        c = (d * d.dot(c) - c) / v.norm()
        for i in ti.static(range(3)):
            add(gradient, at + i, c[i])
    first = normals_at(scene, vertex.slot)
    if first >= 0 and first < gradient.size:
        ids = scene.corners[vertex.slot]
        ab = turn_of(vertex.wi, c_wi) + turn_of(vertex.wo_light, c_light) + turn_of(vertex.wo, c_wo)
        c = (s * ab.x + t * ab.y) / interpolate(scene, scene.params, vertex, first).norm()
        share = vec3(1.0 - vertex.u - vertex.v, vertex.u, vertex.v)
        for k in ti.static(range(3)):
            for i in ti.static(range(3)):
                add(gradient, first + 3 * ids[k] + i, share[k] * c[i])
