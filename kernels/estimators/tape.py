"""The tape: conventional reverse mode beside the replay, over the same vertices and the same shading code.

`record` traces every path of a batch one vertex further and keeps the `Vertex`; nothing in it is
differentiated. `shade_bounce` then adds up what the vertices contribute,

    L += beta_k E_k,        beta_{k+1} = beta_k f_k / (p_k q_k)           (q: survival of roulette)

as one straight-line kernel for each bounce, which Taichi differentiates itself: `shade_bounce.grad`, run
from the last bounce to the first, is the reverse sweep. So memory grows with paths times bounces. Each bounce
keeps what reverse mode needs of a path: the vertex (64 bytes), where its textures are looked up (32, in
scenes that have any) and beta_k (12); adjoints of beta take turns in two slices. A beta of zero needs no
special treatment here.
"""

from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f, vec4i, vec8f, vec12f, vec16f
from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.launch import Launch, camera_ray, film_place
from prb.kernels.estimators.path import extend, new_state
from prb.kernels.estimators.shading import contribution, shade
from prb.kernels.estimators.vertex import Ray, next_vertex, no_vertex
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import Sampler
from prb.kernels.view import SceneView, new_stack


@ti.func
def path_place(launch, i):
    """Path i of a batch: its column and row in the crop window, and its random numbers."""
    column, row, film_pixel = film_place(launch, launch.first_pixel + i // launch.samples_per_item)
    sample = launch.first_sample + i % launch.samples_per_item
    return column, row, Sampler(pixel=film_pixel, sample=sample, seed=launch.seed)


@ti.func
def pack(ray, state: ti.template(), active):
    """What a path carries from bounce to bounce, as one vector."""
    z = ti.min(state.zeros, 2)
    flags = z[0] + 4 * z[1] + 16 * z[2] + ti.select(active, 64, 0)
    o, d, p, beta = ray.o, ray.d, ray.previous, state.beta
    return vec16f(
        o.x, o.y, o.z, d.x, d.y, d.z, ray.t_max, p.x, p.y, p.z, ray.pdf,
        beta.x, beta.y, beta.z, ti.f32(flags), state.eta,
    )  # fmt: skip


@ti.func
def unpack(s, depth):
    """The (ray, state, active) that `pack` made a vector of, `depth` edges from the camera."""
    ray = Ray(
        o=vec3(s[0], s[1], s[2]), d=vec3(s[3], s[4], s[5]), t_max=s[6],
        previous=vec3(s[7], s[8], s[9]), pdf=s[10],
    )  # fmt: skip
    flags = ti.i32(s[14])
    state = new_state()
    state.beta = vec3(s[11], s[12], s[13])
    state.zeros = ti.Vector([flags & 3, (flags >> 2) & 3, (flags >> 4) & 3])
    state.eta = s[15]
    state.depth = depth
    state.event = depth + 1
    return ray, state, flags >= 64


@ti.kernel
def begin(
    launch: Launch,
    sensor: SensorArrays,
    states: ti.types.ndarray(vec16f, ndim=1),
):
    """Every path of the batch at the camera."""
    for i in range(launch.items):
        column, row, sampler = path_place(launch, i)
        state = new_state()
        states[i] = pack(camera_ray(sensor, launch, column, row, sampler), state, True)


@ti.kernel
def record(
    features: ti.template(),
    execution: ti.template(),
    launch: Launch,
    depth: ti.i32,
    arrays: SceneArrays,
    states: ti.types.ndarray(vec16f, ndim=1),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(vec12f, ndim=1),
    vertex_t: ti.types.ndarray(vec8f, ndim=1),
    alive: ti.types.ndarray(ti.i32, ndim=1),
):
    """One more vertex of every path that goes on. alive: [0] counts those that go on after it.

    vertex_i: emitter, material, light's emitter, lobe, each -1 for none. vertex_f: emission weight, light
    weight, 1 / (density * survival), wi, wo_light, wo. vertex_t, where it is used: uv, uv_light, u, v, and
    the slot as two numbers.
    """
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride) * launch.worker_stride % launch.workers
        stack = new_stack(features.stack)
        scene = SceneView(features, execution, arrays, launch.min_selection, stack)
        count = 0
        first = worker * launch.items_per_worker
        for i in range(first, ti.min(first + launch.items_per_worker, launch.items)):
            ray, state, active = unpack(states[i], depth)
            vertex_i[i] = ti.Vector([-1, -1, -1, -1])
            if active:
                _column, _row, sampler = path_place(launch, i)
                vertex, ray_on = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
                shading = shade(scene, vertex)
                state.depth += 1
                goes_on, survival = extend(modes.REVERSE, launch, state, shading.f, vertex)
                scale = 0.0
                if goes_on:
                    scale = 1.0 / (vertex.pdf * survival)
                    count += 1
                wi, wl, wo = vertex.wi, vertex.wo_light, vertex.wo
                vertex_i[i] = ti.Vector([vertex.emitter, vertex.material, vertex.light_emitter, vertex.lobe])
                vertex_f[i] = vec12f(
                    vertex.emission_weight, vertex.light_weight, scale,
                    wi.x, wi.y, wi.z, wl.x, wl.y, wl.z, wo.x, wo.y, wo.z,
                )  # fmt: skip
                if ti.static(scene.located):
                    high, low = ti.f32(vertex.slot >> 16), ti.f32(vertex.slot & 65535)
                    uv, uv_light = vertex.uv, vertex.uv_light
                    vertex_t[i] = vec8f(uv.x, uv.y, uv_light.x, uv_light.y, vertex.u, vertex.v, high, low)
                states[i] = pack(ray_on, state, goes_on)
        if count > 0:
            ti.atomic_add(alive[0], count)


@ti.kernel
def shade_bounce(
    features: ti.template(),
    execution: ti.template(),
    paths: ti.i32,
    gradient_copies: ti.i32,
    gradient_size: ti.i32,
    arrays: SceneArrays,
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(vec12f, ndim=1),
    vertex_t: ti.types.ndarray(vec8f, ndim=1),
    params: ti.types.ndarray(ti.f32, ndim=1),
    beta: ti.types.ndarray(vec3f, ndim=1),
    beta_on: ti.types.ndarray(vec3f, ndim=1),
    L: ti.types.ndarray(vec3f, ndim=1),
):
    """What one bounce adds to every path, and the product behind it. Differentiated by Taichi.

    params: `gradient_copies` copies of the `gradient_size` parameters; paths take turns, so that their
    adjoints contend less.
    """
    for i in range(paths):
        ids = vertex_i[i]
        E = vec3(0.0, 0.0, 0.0)
        factor = vec3(0.0, 0.0, 0.0)
        if ids[0] >= 0 or ids[1] >= 0:
            base = (i % gradient_copies) * gradient_size
            scene = SceneView(features, execution, arrays, params=params, base=base)
            v = vertex_f[i]
            vertex = no_vertex()
            vertex.emitter, vertex.material = ids[0], ids[1]
            vertex.light_emitter, vertex.lobe = ids[2], ids[3]
            vertex.emission_weight, vertex.light_weight = v[0], v[1]
            vertex.wi, vertex.wo_light = vec3(v[3], v[4], v[5]), vec3(v[6], v[7], v[8])
            vertex.wo = vec3(v[9], v[10], v[11])
            if ti.static(scene.located):
                t = vertex_t[i]
                vertex.uv, vertex.uv_light = vec2(t[0], t[1]), vec2(t[2], t[3])
                vertex.u, vertex.v = t[4], t[5]
                vertex.slot = (ti.i32(t[6]) << 16) + ti.i32(t[7])
            shading = shade(scene, vertex)
            E = contribution(vertex, shading)
            factor = shading.f * v[2]
        L[i] += beta[i] * E
        beta_on[i] = beta[i] * factor
