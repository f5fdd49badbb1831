"""The attached tape: conventional reverse mode through sampled directions, to compare attached replay with.

`record` traces every path of a batch by one vertex and keeps its state X_k, the decisions there and what
loops found (kernels/step/step.py). `step_bounce` is the step of the path at one bounce,

    (X_{k+1}, C_k) = step(X_k, parameters),        L += C_k

as a kernel without loops, which Taichi differentiates: `step_bounce.grad`, run from the last bounce to the
first, is the reverse sweep. It is the function that attached replay pulls back (kernels/step/step.py), but
none of the derivatives of kernels/traced.py are used, except of functions that are made by `traced.custom`.

Memory grows with paths times bounces: STATE + 2 + FOUND numbers and four integers for each.
"""

from prb.kernels.arrays import SceneArrays, vec3f, vec4i, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import attached
from prb.kernels.estimators.launch import Launch
from prb.kernels.estimators.tape import pack, path_place, unpack
from prb.kernels.frame import vec2, vec3
from prb.kernels.points import INDEPENDENT
from prb.kernels.sampler import Sampler, draw_vertex
from prb.kernels.step import step
from prb.kernels.step.reader import Found
from prb.kernels.view import SceneView, new_stack

STATE = 10  # numbers of a state: o, d, beta, pdf
NUMBERS = 2  # distance and survival of the decisions
FOUND = 7  # what loops found, where the scene has any
RANDOM = 8  # random numbers, but for independent ones, which are drawn again; they come last
EXISTS, LIT, CONTINUES = 1, 2, 4  # flags of a vertex


@ti.func
def store_state(states: ti.template(), i, o, d, beta, pdf):
    """Write a state to row i."""
    for j in ti.static(range(3)):
        states[i, j] = o[j]
        states[i, 3 + j] = d[j]
        states[i, 6 + j] = beta[j]
    states[i, 9] = pdf


@ti.func
def load_state(states: ti.template(), i):
    """The state (o, d, beta, pdf) in row i."""
    o = vec3(states[i, 0], states[i, 1], states[i, 2])
    d = vec3(states[i, 3], states[i, 4], states[i, 5])
    return o, d, vec3(states[i, 6], states[i, 7], states[i, 8]), states[i, 9]


@ti.kernel
def record(
    features: ti.template(),
    execution: ti.template(),
    launch: Launch,
    bounce: ti.i32,
    arrays: SceneArrays,
    paths: ti.types.ndarray(vec20f, ndim=1),
    samplers: ti.types.ndarray(vec4i, ndim=1),
    states: ti.types.ndarray(ti.f32, ndim=2),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(ti.f32, ndim=2),
    L: ti.types.ndarray(vec3f, ndim=1),
    alive: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace and record one more vertex of every active path, and add what it contributes to L.

    paths: what a path carries along, see `tape.pack`. samplers: the fields of `Sampler`. states: X_k.
    vertex_i: slot, flags, the leaf that was selected, 0. vertex_f: distance, survival, and FOUND numbers
    where the scene has loops. alive: [0] counts the paths that continue after the vertex.
    """
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride) * launch.worker_stride % launch.workers
        scene = SceneView(features, execution, arrays, launch.min_selection, new_stack(features.stack))
        count = 0
        first = worker * launch.items_per_worker
        for i in range(first, ti.min(first + launch.items_per_worker, launch.items)):
            ray, state, active = unpack(paths[i], bounce)
            vertex_i[i] = ti.Vector([-1, 0, 0, 0])
            if active:
                _column, _row, sampler = path_place(execution.sampler, launch, i)
                samplers[i] = ti.Vector([sampler.pixel, sampler.sample, sampler.seed, sampler.count])
                x, decisions, E, vertex, following = attached.visit(scene, launch, sampler, ray, state)
                L[i] += x.beta * E
                store_state(states, i, x.o, x.d, x.beta, x.pdf)
                vertex_f[i, 0], vertex_f[i, 1] = decisions.distance, decisions.survival
                if ti.static(execution.sampler != INDEPENDENT):
                    u_light, u_bsdf = draw_vertex(execution.sampler, sampler, bounce + 1)
                    last = vertex_f.shape[1] - RANDOM
                    for j in ti.static(range(4)):
                        vertex_f[i, last + j] = u_light[j]
                        vertex_f[i, last + 4 + j] = u_bsdf[j]
                leaf = 0
                if ti.static(step.has_loops(features)):
                    u = draw_vertex(execution.sampler, sampler, bounce + 1)
                    found = step.search(scene, vertex, *u)
                    leaf = found.leaf
                    for j in ti.static(range(3)):
                        vertex_f[i, NUMBERS + j] = found.d[j]
                    vertex_f[i, NUMBERS + 3], vertex_f[i, NUMBERS + 4] = found.uv[0], found.uv[1]
                    vertex_f[i, NUMBERS + 5], vertex_f[i, NUMBERS + 6] = found.pdf, found.u
                flags = EXISTS + LIT * decisions.lit + CONTINUES * decisions.continues
                vertex_i[i] = ti.Vector([decisions.slot, flags, leaf, 0])
                count += decisions.continues
                paths[i] = pack(following, state, decisions.continues == 1)
        if count > 0:
            ti.atomic_add(alive[0], count)


@ti.kernel
def step_bounce(
    features: ti.template(),
    execution: ti.template(),
    paths: ti.i32,
    bounce: ti.i32,
    environment: ti.i32,
    min_selection: ti.f32,
    gradient_copies: ti.i32,
    gradient_size: ti.i32,
    arrays: SceneArrays,
    samplers: ti.types.ndarray(vec4i, ndim=1),
    vertex_i: ti.types.ndarray(vec4i, ndim=1),
    vertex_f: ti.types.ndarray(ti.f32, ndim=2),
    params: ti.types.ndarray(ti.f32, ndim=1),
    states: ti.types.ndarray(ti.f32, ndim=2),
    states_next: ti.types.ndarray(ti.f32, ndim=2),
    L: ti.types.ndarray(vec3f, ndim=1),
):
    """One bounce of every path: the states behind it from those before it, and what it adds to L.

    Taichi differentiates this kernel, which for that cannot take a struct. environment, min_selection: as of
    `Launch`. samplers: of the paths. params, gradient_copies, gradient_size: as of `tape.shade_bounce`.
    """
    for i in range(paths):
        ids = vertex_i[i]
        # With `advanced_optimization` off, Taichi 1.7.4 differentiates vectors only within an `if`.
        if ids[1] > 0:
            base = (i % gradient_copies) * gradient_size
            scene = SceneView(features, execution, arrays, min_selection, params=params, base=base)
            u_light, u_bsdf = ti.Vector([0.0] * 4), ti.Vector([0.0] * 4)
            if ti.static(execution.sampler == INDEPENDENT):
                numbers = samplers[i]
                sampler = Sampler(pixel=numbers[0], sample=numbers[1], seed=numbers[2], count=numbers[3])
                u_light, u_bsdf = draw_vertex(INDEPENDENT, sampler, bounce + 1)
            else:  # Taichi does not differentiate beside loops
                last = vertex_f.shape[1] - RANDOM
                for j in ti.static(range(4)):
                    u_light[j] = vertex_f[i, last + j]
                    u_bsdf[j] = vertex_f[i, last + 4 + j]
            at = step.Decisions(
                slot=ids[0], distance=vertex_f[i, 0], first=ti.select(bounce == 0, 1, 0),
                lit=ti.select((ids[1] & LIT) != 0, 1, 0),
                continues=ti.select((ids[1] & CONTINUES) != 0, 1, 0), survival=vertex_f[i, 1],
            )  # fmt: skip
            found = Found(leaf=ids[2], u=0.0, d=vec3(0.0, 0.0, 0.0), uv=vec2(0.0, 0.0), pdf=0.0)
            if ti.static(step.has_loops(features)):
                found = Found(
                    leaf=ids[2], d=vec3(vertex_f[i, 2], vertex_f[i, 3], vertex_f[i, 4]),
                    uv=vec2(vertex_f[i, 5], vertex_f[i, 6]), pdf=vertex_f[i, 7], u=vertex_f[i, 8],
                )  # fmt: skip
            state = load_state(states, i)
            if ids[0] >= 0:
                o, d, beta, pdf, C = step.forward(scene, found, at, u_light, u_bsdf, state)
                store_state(states_next, i, o, d, beta, pdf)
                L[i] += C
            else:
                if ti.static(step.has_environment(scene)):
                    if environment >= 0:
                        L[i] += step.forward_beyond(scene, found, environment, at.first, state)
