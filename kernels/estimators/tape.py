"""The tape: conventional reverse mode beside the replay, over the same vertices and the same shading code.

`record` traces every path of a batch one vertex further and keeps the `Vertex`; nothing in it is
differentiated. `shade` then adds up what the vertices contribute,

    L += beta_k E_k,        beta_{k+1} = beta_k f_k / (p_k q_k)           (q: survival of roulette)

as one straight-line kernel for each bounce, which Taichi differentiates itself: `shade.grad`, run from
the last bounce to the first, is the reverse sweep. So memory grows with paths times bounces. Kept are, for
each, what reverse mode needs: the vertex (64 bytes), where its textures are looked up (32, in scenes that
have any) and beta_k (12); adjoints of beta take turns in two slices. A beta of zero needs no special
treatment here.
"""

from prb.kernels import emission, material
from prb.kernels.backend import ti
from prb.kernels.camera import sample_ray
from prb.kernels.estimators.path import REVERSE, Launch, extend, place
from prb.kernels.estimators.vertex import Ray, advance, nothing
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import uniform4
from prb.kernels.texture import at_uv
from prb.kernels.view import (
    WIDTH,
    SceneView,
    Stack,
    vec2f,
    vec3f,
    vec3i,
    vec4f,
    vec4i,
    vec6f,
    vec8f,
    vec8i,
    vec12f,
    vec16f,
    wide_f32,
    wide_i32,
)


@ti.func
def place_path(launch, i):
    """Path i of a batch: its column and row in the crop window, its film pixel, and its sample."""
    column, row, film_pixel = place(launch, launch.first_pixel + i // launch.samples)
    return column, row, film_pixel, launch.first_sample + i % launch.samples


@ti.func
def pack(ray, beta, zeros, eta, active):
    """What a path carries from bounce to bounce, as one vector."""
    z = ti.min(zeros, 2)
    flags = z[0] + 4 * z[1] + 16 * z[2] + ti.select(active, 64, 0)
    o, d, p = ray.o, ray.d, ray.previous
    return vec16f(
        o.x, o.y, o.z, d.x, d.y, d.z, ray.t_max, p.x, p.y, p.z, ray.pdf,
        beta.x, beta.y, beta.z, ti.f32(flags), eta,
    )  # fmt: skip


@ti.func
def unpack(s):
    """The (ray, beta, zeros, eta, active) that `pack` made a vector of."""
    ray = Ray(
        o=vec3(s[0], s[1], s[2]), d=vec3(s[3], s[4], s[5]), t_max=s[6],
        previous=vec3(s[7], s[8], s[9]), pdf=s[10],
    )  # fmt: skip
    flags = ti.i32(s[14])
    zeros = ti.Vector([flags & 3, (flags >> 2) & 3, (flags >> 4) & 3])
    return ray, vec3(s[11], s[12], s[13]), zeros, s[15], flags >= 64


@ti.kernel
def begin(
    launch: Launch,
    camera: ti.types.ndarray(ti.f32, ndim=1),
    inverse_cdf: ti.types.ndarray(ti.f32, ndim=1),
    quantiles: ti.types.ndarray(vec2f, ndim=1),
    state: ti.types.ndarray(vec16f, ndim=1),
):
    """Every path of the batch at the camera."""
    for i in range(launch.items):
        column, row, film_pixel, sample = place_path(launch, i)
        u = uniform4(film_pixel, sample, 0, launch.seed)
        o, d, t_max = sample_ray(camera, inverse_cdf, quantiles, launch, column, row, u)
        ray = Ray(o=o, d=d, t_max=t_max, previous=o, pdf=0.0)
        state[i] = pack(ray, vec3(1.0, 1.0, 1.0), ti.Vector([0, 0, 0]), 1.0, True)


@ti.kernel
def record(
    features: ti.template(),
    launch: Launch,
    depth: ti.i32,
    nodes: ti.types.ndarray(wide_f32, ndim=2),
    children: ti.types.ndarray(wide_i32, ndim=1),
    packets: ti.types.ndarray(wide_f32, ndim=2),
    prims: ti.types.ndarray(vec12f, ndim=1),
    prim_info: ti.types.ndarray(vec3i, ndim=1),
    prim_light: ti.types.ndarray(ti.i32, ndim=1),
    normals: ti.types.ndarray(vec3f, ndim=1),
    uvs: ti.types.ndarray(vec6f, ndim=1),
    corners: ti.types.ndarray(vec4i, ndim=1),
    shapes: ti.types.ndarray(vec4i, ndim=1),
    materials: ti.types.ndarray(vec4i, ndim=1),
    bsdfs: ti.types.ndarray(ti.i32, ndim=2),
    bsdf_data: ti.types.ndarray(ti.f32, ndim=2),
    textures: ti.types.ndarray(vec8i, ndim=1),
    to_uv: ti.types.ndarray(vec6f, ndim=1),
    emitters: ti.types.ndarray(vec4i, ndim=1),
    emitter_data: ti.types.ndarray(vec4f, ndim=1),
    lights: ti.types.ndarray(vec4i, ndim=1),
    light_pdf: ti.types.ndarray(vec4f, ndim=1),
    env_marginal: ti.types.ndarray(ti.f32, ndim=1),
    env_conditional: ti.types.ndarray(ti.f32, ndim=1),
    params: ti.types.ndarray(ti.f32, ndim=1),
    state: ti.types.ndarray(vec16f, ndim=1),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(vec12f, ndim=1),
    vertex_t: ti.types.ndarray(vec8f, ndim=1),
    alive: ti.types.ndarray(ti.i32, ndim=1),
):
    """One more vertex of every path that goes on. alive: [0] counts those that go on after it.

    vertex_i: emitter, material, light, lobe, each -1 for none. vertex_f: emission weight, light weight,
    1 / (density * survival), wi, wo_light, wo. vertex_t, if anybody asks: uv, uv_light, u, v, and
    the slot as two numbers.
    """
    ti.loop_config(block_dim=ti.static(features.block))
    for index in range(launch.workers * ti.static(features.stride)):
        if index % ti.static(features.stride) != 0:
            continue
        worker = index // ti.static(features.stride) * launch.apart % launch.workers
        scene = SceneView(
            nodes, children, packets, prims, prim_info, prim_light, normals, uvs, corners,
            shapes, materials, bsdfs, bsdf_data, textures, to_uv, emitters, emitter_data,
            lights, light_pdf, env_marginal, env_conditional, params, launch.rare, launch.units,
        )  # fmt: skip
        stack_node = ti.Vector([0] * features.stack, dt=ti.i32)
        stack_near = ti.Vector([0.0] * features.stack, dt=ti.f32)
        lane_t = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_u = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_v = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        stack = Stack(stack_node, stack_near, lane_t, lane_u, lane_v)
        count = 0
        for i in range(worker * launch.share, ti.min((worker + 1) * launch.share, launch.items)):
            ray, beta, zeros, eta, active = unpack(state[i])
            vertex_i[i] = ti.Vector([-1, -1, -1, -1])
            if active:
                _column, _row, film_pixel, sample = place_path(launch, i)
                vertex, ray_on = advance(features, scene, stack, launch, ray, film_pixel, sample, depth)
                f = vec3(0.0, 0.0, 0.0)
                if vertex.material >= 0:
                    _f, f = material.eval(features, scene, vertex)
                beta, zeros, eta, goes_on, survival = extend(
                    REVERSE, launch, beta, zeros, eta, f, vertex, depth + 1
                )
                scale = 0.0
                if goes_on:
                    scale = 1.0 / (vertex.pdf * survival)
                    count += 1
                wi, wl, wo = vertex.wi, vertex.wo_light, vertex.wo
                vertex_i[i] = ti.Vector([vertex.emitter, vertex.material, vertex.light, vertex.lobe])
                vertex_f[i] = vec12f(
                    vertex.emission_weight, vertex.light_weight, scale,
                    wi.x, wi.y, wi.z, wl.x, wl.y, wl.z, wo.x, wo.y, wo.z,
                )  # fmt: skip
                if ti.static(features.located):
                    high, low = ti.f32(vertex.slot >> 16), ti.f32(vertex.slot & 65535)
                    uv, uv_light = vertex.uv, vertex.uv_light
                    vertex_t[i] = vec8f(uv.x, uv.y, uv_light.x, uv_light.y, vertex.u, vertex.v, high, low)
                state[i] = pack(ray_on, beta, zeros, eta, goes_on)
        if count > 0:
            ti.atomic_add(alive[0], count)


@ti.kernel
def shade(
    features: ti.template(),
    paths: ti.i32,
    replicas: ti.i32,
    size: ti.i32,
    prims: ti.types.ndarray(vec12f, ndim=1),
    prim_info: ti.types.ndarray(vec3i, ndim=1),
    normals: ti.types.ndarray(vec3f, ndim=1),
    uvs: ti.types.ndarray(vec6f, ndim=1),
    corners: ti.types.ndarray(vec4i, ndim=1),
    shapes: ti.types.ndarray(vec4i, ndim=1),
    materials: ti.types.ndarray(vec4i, ndim=1),
    bsdfs: ti.types.ndarray(ti.i32, ndim=2),
    bsdf_data: ti.types.ndarray(ti.f32, ndim=2),
    textures: ti.types.ndarray(vec8i, ndim=1),
    to_uv: ti.types.ndarray(vec6f, ndim=1),
    emitters: ti.types.ndarray(vec4i, ndim=1),
    emitter_data: ti.types.ndarray(vec4f, ndim=1),
    frozen: ti.types.ndarray(ti.f32, ndim=1),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(vec12f, ndim=1),
    vertex_t: ti.types.ndarray(vec8f, ndim=1),
    params: ti.types.ndarray(ti.f32, ndim=1),
    beta: ti.types.ndarray(vec3f, ndim=1),
    beta_on: ti.types.ndarray(vec3f, ndim=1),
    L: ti.types.ndarray(vec3f, ndim=1),
):
    """What one bounce adds to every path, and the product behind it. Differentiated by Taichi.

    params: `replicas` copies of the `size` parameters; paths take turns, so that adjoints contend less.
    """
    for i in range(paths):
        ids = vertex_i[i]
        E = vec3(0.0, 0.0, 0.0)
        throughput = vec3(0.0, 0.0, 0.0)
        if ids[0] >= 0 or ids[1] >= 0:
            scene = SceneView(
                0, 0, 0, prims, prim_info, 0, normals, uvs, corners, shapes, materials,
                bsdfs, bsdf_data, textures, to_uv, emitters, emitter_data, 0, 0, 0, 0, params, 0.0, 1.0,
                frozen, (i % replicas) * size,
            )  # fmt: skip
            v = vertex_f[i]
            vertex = nothing()
            vertex.material, vertex.light, vertex.lobe = ids[1], ids[2], ids[3]
            vertex.wi, vertex.wo_light = vec3(v[3], v[4], v[5]), vec3(v[6], v[7], v[8])
            vertex.wo = vec3(v[9], v[10], v[11])
            if ti.static(features.located):
                t = vertex_t[i]
                vertex.uv, vertex.uv_light = vec2(t[0], t[1]), vec2(t[2], t[3])
                vertex.u, vertex.v = t[4], t[5]
                vertex.slot = (ti.i32(t[6]) << 16) + ti.i32(t[7])
            if ids[0] >= 0:
                E = emission.radiance(features, scene, ids[0], material.place(vertex)) * v[0]
            if ids[1] >= 0:
                f_light, f = material.eval(features, scene, vertex)
                if ids[2] >= 0:
                    E += emission.radiance(features, scene, ids[2], at_uv(vertex.uv_light)) * f_light * v[1]
                throughput = f * v[2]
        L[i] += beta[i] * E
        beta_on[i] = beta[i] * throughput
