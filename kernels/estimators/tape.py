"""The tape: conventional reverse mode, over the same vertices and the same shading code as the replay.

`record` traces every path of a batch by one vertex and keeps the `Vertex`; nothing in it is differentiated.
`shade_bounce` then sums what the vertices contribute,

    L += beta_k E_k,        beta_{k+1} = beta_k f_k / (p_k q_k)           (q: survival probability)

in one straight-line kernel for each bounce, which Taichi differentiates: `shade_bounce.grad`, run from the
last bounce to the first, is the reverse sweep. Memory therefore grows with paths times bounces. For each
bounce and path it keeps the vertex (64 bytes), the lookup points of its textures (32 bytes, in scenes with
textures) and beta_k (12 bytes); the cotangents of beta alternate between two slices. A beta of zero needs no
special treatment here.
"""

from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f, vec4i, vec8f, vec12f, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.launch import Launch, camera_ray, film_place
from prb.kernels.estimators.path import extend, find, new_state
from prb.kernels.estimators.shading import contribution, shade
from prb.kernels.estimators.vertex import Ray, no_vertex
from prb.kernels.frame import vec2, vec3
from prb.kernels.sampler import Sampler
from prb.kernels.view import SceneView, new_stack


@ti.func
def path_place(launch, i):
    """Path i of a batch: its column and row in the crop window, and its `Sampler`."""
    column, row, film_pixel = film_place(launch, launch.first_pixel + i // launch.samples_per_item)
    sample = launch.first_sample + i % launch.samples_per_item
    return column, row, Sampler(pixel=film_pixel, sample=sample, seed=launch.seed)


@ti.func
def pack(ray, state: ti.template(), active):
    """What a path carries from bounce to bounce, as one vector."""
    zeros = ti.min(state.zeros, 2)
    flags = zeros[0] + 4 * zeros[1] + 16 * zeros[2] + ti.select(active, 64, 0) + 128 * (ray.medium + 1)
    o, d, previous, beta, balance = ray.o, ray.d, ray.previous, state.beta, ray.balance
    return vec20f(
        o.x, o.y, o.z, d.x, d.y, d.z, ray.t_max, previous.x, previous.y, previous.z, ray.pdf,
        beta.x, beta.y, beta.z, ti.f32(flags), state.eta, ti.f32(state.depth),
        balance.x, balance.y, balance.z,
    )  # fmt: skip


@ti.func
def unpack(p, bounce):
    """The (ray, state, active) that `pack` packed after so many bounces."""
    flags = ti.i32(p[14])
    ray = Ray(
        o=vec3(p[0], p[1], p[2]), d=vec3(p[3], p[4], p[5]), t_max=p[6],
        previous=vec3(p[7], p[8], p[9]), pdf=p[10], medium=flags // 128 - 1,
        balance=vec3(p[17], p[18], p[19]),
    )  # fmt: skip
    state = new_state()
    state.beta = vec3(p[11], p[12], p[13])
    state.zeros = ti.Vector([flags & 3, (flags >> 2) & 3, (flags >> 4) & 3])
    state.eta = p[15]
    state.depth = ti.i32(p[16])
    state.event = bounce + 1
    return ray, state, (flags & 64) != 0


@ti.kernel
def begin(
    launch: Launch,
    sensor: SensorArrays,
    states: ti.types.ndarray(vec20f, ndim=1),
):
    """Start every path of the batch at the camera."""
    for i in range(launch.items):
        column, row, sampler = path_place(launch, i)
        state = new_state()
        states[i] = pack(camera_ray(sensor, launch, column, row, sampler), state, True)


@ti.kernel
def record(
    features: ti.template(),
    execution: ti.template(),
    launch: Launch,
    bounce: ti.i32,
    arrays: SceneArrays,
    states: ti.types.ndarray(vec20f, ndim=1),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(vec12f, ndim=1),
    vertex_t: ti.types.ndarray(vec8f, ndim=1),
    alive: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace and record one more vertex of every active path.

    alive: [0] counts the paths that continue after it. vertex_i: emitter, material, light_emitter, lobe, each
    -1 for none. vertex_f: emission_weight, light_weight, 1 / (density * survival probability), wi, wo_light,
    wo. vertex_t, if vertices are `located`: uv, uv_light, u, v, and the slot as two numbers.
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
            ray, state, active = unpack(states[i], bounce)
            vertex_i[i] = ti.Vector([-1, -1, -1, -1])
            if active:
                _column, _row, sampler = path_place(launch, i)
                vertex, next_ray = find(scene, launch, sampler, ray, state, False)
                shading = shade(scene, vertex)
                state.depth += 1 - vertex.straight
                continues, survival = extend(modes.REVERSE, launch, state, shading.f, vertex)
                scale = 0.0
                if continues:
                    scale = 1.0 / (vertex.pdf * survival)
                    count += 1
                wi, wo_light, wo = vertex.wi, vertex.wo_light, vertex.wo
                vertex_i[i] = ti.Vector([vertex.emitter, vertex.material, vertex.light_emitter, vertex.lobe])
                vertex_f[i] = vec12f(
                    vertex.emission_weight, vertex.light_weight, scale,
                    wi.x, wi.y, wi.z, wo_light.x, wo_light.y, wo_light.z, wo.x, wo.y, wo.z,
                )  # fmt: skip
                if ti.static(scene.located):
                    high, low = ti.f32(vertex.slot >> 16), ti.f32(vertex.slot & 65535)
                    uv, uv_light = vertex.uv, vertex.uv_light
                    vertex_t[i] = vec8f(uv.x, uv.y, uv_light.x, uv_light.y, vertex.u, vertex.v, high, low)
                states[i] = pack(next_ray, state, continues)
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
    beta_next: ti.types.ndarray(vec3f, ndim=1),
    L: ti.types.ndarray(vec3f, ndim=1),
):
    """Add what one bounce contributes to every path, and multiply the product by its factor.

    Taichi differentiates this kernel.

    beta, beta_next: the product before and after the bounce. params: `gradient_copies` copies of the
    `gradient_size` parameters. Paths use them in turn, so that atomic additions of cotangents contend less.
    """
    for i in range(paths):
        ids = vertex_i[i]
        E = vec3(0.0, 0.0, 0.0)
        factor = vec3(0.0, 0.0, 0.0)
        if ids[0] >= 0 or ids[1] >= 0:
            base = (i % gradient_copies) * gradient_size
            scene = SceneView(features, execution, arrays, params=params, base=base)
            numbers = vertex_f[i]
            vertex = no_vertex()
            vertex.emitter, vertex.material = ids[0], ids[1]
            vertex.light_emitter, vertex.lobe = ids[2], ids[3]
            vertex.emission_weight, vertex.light_weight = numbers[0], numbers[1]
            vertex.wi, vertex.wo_light = (
                vec3(numbers[3], numbers[4], numbers[5]),
                vec3(numbers[6], numbers[7], numbers[8]),
            )
            vertex.wo = vec3(numbers[9], numbers[10], numbers[11])
            if ti.static(scene.located):
                place = vertex_t[i]
                vertex.uv, vertex.uv_light = vec2(place[0], place[1]), vec2(place[2], place[3])
                vertex.u, vertex.v = place[4], place[5]
                vertex.slot = (ti.i32(place[6]) << 16) + ti.i32(place[7])
            shading = shade(scene, vertex)
            E = contribution(scene, vertex, shading)
            factor = shading.f * numbers[2]
        L[i] += beta[i] * E
        beta_next[i] = beta[i] * factor
