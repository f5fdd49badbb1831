"""From a hit primitive to the surface there: position, normals, and what is attached to it."""

import taichi as ti

from prb.kernels.frame import max_abs, vec3
from prb.kernels.view import SPHERE

# A computed position is off its surface by a few roundings of the coordinates it is made from, so a ray
# leaves from EPSILON times their size above it; larger steps bias what happens at grazing angles.
EPSILON = 2e-6
SHADOW_EPSILON = 1e-4  # part of a shadow ray's length that is left out at the light


@ti.dataclass
class Interaction:
    """A point on a surface. ng: geometric unit normal, n: unit shading normal, both world space.

    margin: how far off the surface a ray has to start.
    """

    p: vec3
    margin: ti.f32
    ng: vec3
    n: vec3
    bsdf: ti.i32
    emitter: ti.i32


@ti.func
def interact(features: ti.template(), scene: ti.template(), slot, t, u, v, o, d):
    """The interaction at a hit that `trace` returned."""
    g = scene.prims[slot]
    info = scene.prim_info[slot]
    a = ti.Vector([g[0], g[1], g[2]])
    e1 = ti.Vector([g[3], g[4], g[5]])
    e2 = ti.Vector([g[6], g[7], g[8]])
    p = a + u * e1 + v * e2
    margin = EPSILON * (max_abs(a) + max_abs(e1) + max_abs(e2))
    ng = ti.Vector([g[9], g[10], g[11]])
    if ti.static(features.spheres):
        if info[0] == SPHERE:
            ng = (o + t * d - a).normalized()
            p = a + g[3] * ng
            ng *= g[9]
    n = ng
    if ti.static(features.normals):
        if info[2] >= 0:
            k = info[2]
            n = scene.normals[k] * (1.0 - u - v) + scene.normals[k + 1] * u + scene.normals[k + 2] * v
            n = ti.select(n.dot(n) > 0, n.normalized(), ng)
    shape = scene.shapes[info[1]]
    return Interaction(p=p, margin=margin, ng=ng, n=n, bsdf=shape[0], emitter=shape[1])


@ti.func
def leave(si, d):
    """The interaction's point, moved off the surface to the side that d points to."""
    return si.p + si.ng * ti.select(si.ng.dot(d) < 0, -si.margin, si.margin)
