"""From a hit primitive to the surface there: position, normals, and what is attached to it."""

import taichi as ti

from prb.kernels.frame import max_abs, vec3
from prb.kernels.view import SPHERE

RAY_EPSILON = 8.9e-5  # as Mitsuba 3: 1500 times half of float32's spacing at 1
SHADOW_EPSILON = 8.9e-4


@ti.dataclass
class Interaction:
    """A point on a surface. ng: geometric unit normal, n: unit shading normal, both world space."""

    p: vec3
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
    return Interaction(p=p, ng=ng, n=n, bsdf=shape[0], emitter=shape[1])


@ti.func
def offset(p, n, d):
    """p moved off its surface to the side that d points to, so that a ray does not meet it again."""
    distance = (1.0 + max_abs(p)) * RAY_EPSILON
    return p + n * ti.select(n.dot(d) < 0, -distance, distance)
