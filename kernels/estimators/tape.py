"""The tape: conventional reverse mode, over the same vertices and the same shading code as the replay.

`record` traces every path of a batch by one vertex and keeps the `Vertex`; nothing in it is differentiated.
`shade_bounce` then sums what the vertices contribute,

    L += beta_k E_k,        beta_{k+1} = beta_k f_k / (p_k q_k)           (q: survival probability)

in one straight-line kernel for each bounce, which Taichi differentiates: `shade_bounce.grad`, run from the
last bounce to the first, is the reverse sweep. Memory therefore grows with paths times bounces. For each
bounce and path it keeps the vertex (64 bytes), the lookup points of its textures (32 bytes, in scenes with
textures), what lies in media (4 bytes for each of `media_size`, in scenes with media) and beta_k (12 bytes);
the cotangents of beta alternate between two slices. A beta of zero needs no special treatment here.

The derivative by the extinction of media is that of factors of value 1 and of a term of value 0, the gain by
scattering where the path's suffix begins (kernels/estimators/density.py). `trace_suffixes` comes before.
"""

from prb.kernels import medium as media
from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f, vec4i, vec8f, vec12f, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import density, modes
from prb.kernels.estimators.kept_vertices import Row, assign
from prb.kernels.estimators.launch import Launch, camera_ray, film_place
from prb.kernels.estimators.path import Li, extend, find, new_state
from prb.kernels.estimators.shading import attenuated, contribution, shade
from prb.kernels.estimators.vertex import Ray, no_vertex
from prb.kernels.frame import vec2, vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import new_sampler
from prb.kernels.traced import traced
from prb.kernels.view import SceneView, new_stack

# What the tape records of a vertex in a scene with media, all as floats: fields of the `Vertex`, then the
# four results of `density.weights`; where extinction depends on the direction, also those of the flight and
# of the way to the light.
FIELDS = (
    ("medium", 1), ("segment_medium", 1), ("shadow_medium", 1), ("beyond", 1), ("segment_length", 1),
    ("shadow_length", 1), ("p", 3), ("weight", 3), ("probe", 3), ("glow_p", 3), ("glow_weight", 3),
    ("through", 3), ("shadow_p", 3), ("crossing_material", 1), ("crossing_slot", 1), ("crossing_u", 1),
    ("crossing_v", 1), ("crossings", 1), ("crossing_uv", 2), ("crossing_wi", 3), ("crossing_value", 3),
    ("crossing_p", 3),
)  # fmt: skip
COLUMN = {name: sum(n for _, n in FIELDS[:i]) for i, (name, _) in enumerate(FIELDS)}  # of each field
WEIGHTS = sum(size for _, size in FIELDS)  # column of the first of those results
SEGMENT_D, SHADOW_D = WEIGHTS + 10, WEIGHTS + 13
MEDIUM, SEGMENT_MEDIUM, SHADOW_MEDIUM = COLUMN["medium"], COLUMN["segment_medium"], COLUMN["shadow_medium"]
SEGMENT_LENGTH, SHADOW_LENGTH = COLUMN["segment_length"], COLUMN["shadow_length"]
P, PROBE, SHADOW_P = COLUMN["p"], COLUMN["probe"], COLUMN["shadow_p"]
FLOATS = "segment_length", "shadow_length", "crossing_u", "crossing_v", "crossings"  # the others are integers
CHANGES = 4  # points of a bounce where extinction counts: probe, p, shadow_p, and `density.weights`'s gain_p


def media_size(features):
    """How many of these numbers a vertex has."""
    return (WEIGHTS + 16 if features.microflakes else WEIGHTS + 10) if features.places else 0


@traced
def placed_fields():
    """(name, size, first column) of each of FIELDS."""
    return [(name, size, COLUMN[name]) for name, size in FIELDS]


@traced
def field(vertex, name):
    """The vertex's field of that name."""
    return getattr(vertex, name)


@ti.func
def record_media(
    scene: ti.template(), vertex_m: ti.template(), i, vertex: ti.template(), loss, at_collision, gain, gain_p
):
    """Record the media's part of a vertex in row i."""
    for name, size, first in ti.static(placed_fields()):
        if ti.static(size == 1):
            vertex_m[i, first] = ti.cast(field(vertex, name), ti.f32)
        else:
            for k in ti.static(range(size)):
                vertex_m[i, first + k] = field(vertex, name)[k]
    vertex_m[i, WEIGHTS] = loss
    for k in ti.static(range(3)):
        vertex_m[i, WEIGHTS + 1 + k] = at_collision[k]
        vertex_m[i, WEIGHTS + 4 + k] = gain[k]
        vertex_m[i, WEIGHTS + 7 + k] = gain_p[k]
        if ti.static(scene.features.microflakes):
            vertex_m[i, SEGMENT_D + k] = vertex.segment_d[k]
            vertex_m[i, SHADOW_D + k] = vertex.shadow_d[k]


@ti.func
def row3(rows: ti.template(), i, first: ti.template()):
    """Three consecutive numbers of a row."""
    return vec3(rows[i, first], rows[i, first + 1], rows[i, first + 2])


@ti.func
def read_media(vertex_m: ti.template(), i, vertex: ti.template()):
    """Read what `record_media` recorded into the vertex."""
    for name, size, first in ti.static(placed_fields()):
        if ti.static(size == 3):
            assign(field(vertex, name), row3(vertex_m, i, first))
        elif ti.static(size == 2):
            assign(field(vertex, name), vec2(vertex_m[i, first], vertex_m[i, first + 1]))
        elif ti.static(name in FLOATS):
            assign(field(vertex, name), vertex_m[i, first])
        else:
            assign(field(vertex, name), ti.cast(vertex_m[i, first], ti.i32))


@ti.func
def path_place(kind: ti.template(), launch, i):
    """Path i of a batch: its column and row in the crop window, and its `Sampler`, of that kind."""
    column, row, film_pixel = film_place(launch, launch.first_pixel + i // launch.samples_per_item)
    sample = launch.first_sample + i % launch.samples_per_item
    return column, row, new_sampler(kind, launch, film_pixel, sample)


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
    execution: ti.template(),
    launch: Launch,
    sensor: SensorArrays,
    states: ti.types.ndarray(vec20f, ndim=1),
):
    """Start every path of the batch at the camera."""
    for i in range(launch.items):
        column, row, sampler = path_place(execution.sampler, launch, i)
        state = new_state()
        states[i] = pack(camera_ray(execution.sampler, sensor, launch, column, row, sampler), state, True)


@ti.kernel
def trace_suffixes(
    features: ti.template(),
    execution: ti.template(),
    launch: Launch,
    arrays: SceneArrays,
    sensor: SensorArrays,
    unused_rows: ti.types.ndarray(ti.f32, ndim=2),
    unused_numbers: ti.types.ndarray(ti.f32, ndim=1),
    probes: ti.types.ndarray(ti.f32, ndim=2),
):
    """The `Probe` of each path, its suffix traced (kernels/estimators/density.py)."""
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride) * launch.worker_stride % launch.workers
        scene = SceneView(features, execution, arrays, launch.min_selection, new_stack(features.stack))
        gradient = GradientBlock(execution, unused_numbers, 0, 0, 1.0)
        first = worker * launch.items_per_worker
        for i in range(first, ti.min(first + launch.items_per_worker, launch.items)):
            column, line, sampler = path_place(execution.sampler, launch, i)
            ray = camera_ray(execution.sampler, sensor, launch, column, line, sampler)
            probe, rest = density.new_probe(), vec3(0.0, 0.0, 0.0)
            row = Row(worker=worker, first=-1, end=-1, length=0)
            for part in range(2):
                zero = vec3(0.0, 0.0, 0.0)
                sums = modes.Sums(L=zero, L_low=zero, Z=zero, dL=zero, grad_L=zero)
                active = launch.max_vertices > 0 and (part == 0 or probe.total > 0)
                Li(
                    modes.FORWARD, scene, launch, sampler, ray, -part, active, sums, unused_rows, row,
                    gradient, unused_numbers, probe,
                )  # fmt: skip
                rest = ti.select(modes.is_usable(sums.L), sums.L + sums.L_low, zero)
            probe.rest = rest
            density.pack(probe, probes, i)


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
    vertex_m: ti.types.ndarray(ti.f32, ndim=2),
    probes: ti.types.ndarray(ti.f32, ndim=2),
    alive: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace and record one more vertex of every active path.

    alive: [0] counts the paths that continue after it. vertex_i: emitter, material, light_emitter, lobe, each
    -1 for none. vertex_f: emission_weight, light_weight, 1 / (density * survival probability), wi, wo_light,
    wo. vertex_t, if vertices are `located`: uv, uv_light, u, v, and the slot as two numbers. vertex_m, in
    scenes with media: see FIELDS. probes: of `trace_suffixes`.
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
            if ti.static(features.places):
                vertex_m[i, MEDIUM], vertex_m[i, SEGMENT_LENGTH], vertex_m[i, SHADOW_LENGTH] = -1.0, 0.0, 0.0
            if active:
                _column, _row, sampler = path_place(execution.sampler, launch, i)
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
                if ti.static(features.places):
                    loss, at_collision, gain, gain_p = 0.0, vec3(0.0), vec3(0.0), vertex.probe
                    if ti.static(execution.density != ""):
                        probe = density.new_probe()
                        if ti.static(density.has_suffix(scene)):
                            density.unpack(probe, probes, i)
                        loss, at_collision, gain, gain_p = density.weights(scene, probe, bounce + 1, vertex)
                    record_media(scene, vertex_m, i, vertex, loss, at_collision, gain, gain_p)
                states[i] = pack(next_ray, state, continues)
        if count > 0:
            ti.atomic_add(alive[0], count)


@ti.kernel
def change_extinction(
    features: ti.template(),
    execution: ti.template(),
    paths: ti.i32,
    gradient_copies: ti.i32,
    gradient_size: ti.i32,
    arrays: SceneArrays,
    vertex_m: ti.types.ndarray(ti.f32, ndim=2),
    params: ti.types.ndarray(ti.f32, ndim=1),
    changes: ti.types.ndarray(vec3f, ndim=1),
):
    """Add `medium.change` at the points of one bounce where extinction counts to `changes`: zeros.

    Only its derivative is run. It is a kernel of its own because Taichi takes minutes to differentiate one
    with as many lookups in grids.
    """
    for index in range(CHANGES * paths):
        i, j = index // CHANGES, index % CHANGES
        at = ti.select(j == 0, PROBE, ti.select(j == 1, P, ti.select(j == 2, SHADOW_P, WEIGHTS + 7)))
        medium = ti.cast(vertex_m[i, ti.select(j == 1, MEDIUM, SEGMENT_MEDIUM)], ti.i32)
        present = vertex_m[i, SEGMENT_LENGTH] > 0
        if j == 1:
            present = medium >= 0
        if j == 2:
            medium = ti.cast(vertex_m[i, SHADOW_MEDIUM], ti.i32)
            present = vertex_m[i, SHADOW_LENGTH] > 0
        if present:
            base = (i % gradient_copies) * gradient_size
            scene = SceneView(features, execution, arrays, params=params, base=base)
            p = vec3(vertex_m[i, at], vertex_m[i, at + 1], vertex_m[i, at + 2])
            d = vec3(0.0, 0.0, 0.0)
            if ti.static(features.microflakes):
                along = ti.select(j == 2, SHADOW_D, SEGMENT_D)
                d = vec3(vertex_m[i, along], vertex_m[i, along + 1], vertex_m[i, along + 2])
            changes[index] += media.change(scene, medium, p, d)


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
    vertex_m: ti.types.ndarray(ti.f32, ndim=2),
    params: ti.types.ndarray(ti.f32, ndim=1),
    changes: ti.types.ndarray(vec3f, ndim=1),
    beta: ti.types.ndarray(vec3f, ndim=1),
    beta_next: ti.types.ndarray(vec3f, ndim=1),
    L: ti.types.ndarray(vec3f, ndim=1),
):
    """Add what one bounce contributes to every path, and multiply the product by its factor.

    Taichi differentiates this kernel.

    beta, beta_next: the product before and after the bounce. params: `gradient_copies` copies of the
    `gradient_size` parameters. Paths use them in turn, so that atomic additions of cotangents contend less.
    changes: zeros, CHANGES for each path, whose derivatives are those of extinction (`change_extinction`).
    """
    for i in range(paths):
        ids = vertex_i[i]
        E = vec3(0.0, 0.0, 0.0)
        factor = vec3(0.0, 0.0, 0.0)
        counts = ids[0] >= 0 or ids[1] >= 0
        if ti.static(features.media):
            counts = counts or vertex_m[i, 0] >= 0 or vertex_m[i, SEGMENT_LENGTH] > 0
        if counts:
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
            if ti.static(features.places):
                read_media(vertex_m, i, vertex)
            shading = shade(scene, vertex)
            E = contribution(scene, vertex, shading)
            f = shading.f
            if ti.static(execution.density != ""):
                first, at_collision = CHANGES * i, row3(vertex_m, i, WEIGHTS + 1)
                E, f = attenuated(
                    scene, vertex, shading, vertex_m[i, WEIGHTS], at_collision,
                    changes[first], changes[first + 1], changes[first + 2],
                )  # fmt: skip
                L[i] += row3(vertex_m, i, WEIGHTS + 4) * changes[first + 3]
            factor = f * numbers[2]
        L[i] += beta[i] * E
        beta_next[i] = beta[i] * factor
