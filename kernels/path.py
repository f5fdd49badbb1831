"""The path tracer: primal, reverse and forward mode, in one loop.

One path x_0 .. x_n, every quantity RGB. f_i is BSDF times cosine at vertex i and p_i the density of the
sampled direction; E_k is what vertex k adds, emission met by the sampled ray and next-event estimation,
both with the power heuristic (Veach 1997, section 9.2.4):

    beta_k = prod_{j<k} f_j / p_j              L = sum_k beta_k E_k

Derivatives are by path replay (Vicini, Speierer, Jakob, Path Replay Backpropagation, SIGGRAPH 2021), with
densities, weights, roulette and directions as constants (detached sampling):

    sweep 0   trace the path, keep only L and Z
    sweep 1   trace it again with the same random numbers; R starts as L
              at vertex i:  R -= what vertex i itself adds           (R is now what lies beyond i)
                            reverse: adjoint of f_i += dL R / f_i    (Z instead of R / f_i where f_i = 0)
                            forward: dI += df_i R / f_i
                            and the derivative of the vertex's own terms as they stand

Where a factor f_i is zero, R / f_i is 0 / 0 although the derivative exists. So beta holds the product of
the non-zero factors (a zero one counts as 1), `zeros` how many were zero, and Z sums the contributions
behind exactly one zero, without it: that is dL/df_i at the first zero vertex, exactly.

L is kept as the unevaluated sum of two floats (Knuth's two-sum), because R = L - (what came before) loses
the digits that a division by a small f_i would need.

These are interior derivatives: what moves a silhouette or a shadow's edge is not in them.
"""

import taichi as ti

from prb.kernels import bvh, light, material, texture
from prb.kernels.camera import sample_ray
from prb.kernels.frame import max_abs, tangents, to_local, to_world, vec3
from prb.kernels.rng import uniform4
from prb.kernels.shape import SHADOW_EPSILON, interact, leave
from prb.kernels.view import WIDTH, SceneView, Stack, vec2f, vec3f, vec4f, vec4i, vec12f, vec16f, wide_f32, wide_i32

PRIMAL, REVERSE, FORWARD = 0, 1, 2
CACHED = 16  # vertices that sweep 0 keeps for sweep 1; a constant, so memory does not grow with depth
ROULETTE_MAX = 0.95
LARGEST = 1e32


@ti.dataclass
class Launch:
    """Which samples of which pixels one launch traces, and how far.

    A work item is `samples` consecutive samples of one pixel; `splits` items share a pixel. Items
    [0, items) belong to the pixels from first_pixel on, in rows of the crop window.
    Worker w does items [w * share, (w + 1) * share).
    """

    workers: ti.i32
    share: ti.i32
    items: ti.i32
    splits: ti.i32
    samples: ti.i32
    first_pixel: ti.i32
    first_sample: ti.i32
    seed: ti.i32
    crop_x: ti.i32
    crop_y: ti.i32
    width: ti.i32  # of the crop window
    film_width: ti.i32
    max_depth: ti.i32
    rr_depth: ti.i32
    environment: ti.i32  # entry of `lights`, or -1
    replicas: ti.i32  # copies of the gradient buffer, each of the size of params


@ti.func
def power_heuristic(a, b):
    """Weight of the technique with density a against one with density b."""
    a2 = a * a
    return a2 / (a2 + b * b)


@ti.func
def is_usable(v):
    """False where a component is NaN, infinite, or so large that a sum of samples would overflow."""
    return (ti.abs(v.x) <= LARGEST) & (ti.abs(v.y) <= LARGEST) & (ti.abs(v.z) <= LARGEST)


@ti.func
def two_sum(high, low, x):
    """(high + low) + x as an unevaluated sum again. Knuth, TAOCP 2, section 4.2.2, theorem B."""
    s = high + x
    back = s - high
    return s, low + ((high - (s - back)) + (x - back))


@ti.dataclass
class Ray:
    """The ray o + t d, 0 < t < t_max, on its way to the next vertex.

    previous: the vertex it leaves. pdf: density with which that vertex's BSDF took d; 0 at the camera.
    """

    o: vec3
    d: vec3
    t_max: ti.f32
    previous: vec3
    pdf: ti.f32


@ti.dataclass
class Vertex:
    """All that adding up, or differentiating, needs to know of a vertex: 16 numbers.

    emitter: whose emission the ray met (-1: none), emission_weight: its multiple importance weight.
    bsdf: the model there (-1: the path ends), wi: where the ray came from, local.
    light: whose light next-event estimation took (-1: none), at the local direction wo_light;
    light_weight: visibility times multiple importance weight over density.
    wo: the sampled direction, local; pdf: its density, 0 where there is none.
    """

    emitter: ti.i32
    emission_weight: ti.f32
    bsdf: ti.i32
    wi: vec3
    light: ti.i32
    light_weight: ti.f32
    wo_light: vec3
    wo: vec3
    pdf: ti.f32
    u_roulette: ti.f32


@ti.func
def keep(v):
    """A vertex as one vector, for the cache."""
    e, b, s = ti.bit_cast(v.emitter, ti.f32), ti.bit_cast(v.bsdf, ti.f32), ti.bit_cast(v.light, ti.f32)
    return vec16f(
        e, v.emission_weight, b, v.wi.x, v.wi.y, v.wi.z, s, v.light_weight,
        v.wo_light.x, v.wo_light.y, v.wo_light.z, v.wo.x, v.wo.y, v.wo.z, v.pdf, v.u_roulette,
    )  # fmt: skip


@ti.func
def recall(r):
    """The vertex that `keep` made a vector of."""
    return Vertex(
        emitter=ti.bit_cast(r[0], ti.i32),
        emission_weight=r[1],
        bsdf=ti.bit_cast(r[2], ti.i32),
        wi=vec3(r[3], r[4], r[5]),
        light=ti.bit_cast(r[6], ti.i32),
        light_weight=r[7],
        wo_light=vec3(r[8], r[9], r[10]),
        wo=vec3(r[11], r[12], r[13]),
        pdf=r[14],
        u_roulette=r[15],
    )


@ti.func
def advance(
    features: ti.template(),
    scene: ti.template(),
    stack: ti.template(),
    environment,
    ray,
    from_camera,
    last,
    u_light,
    u_bsdf,
):
    """Trace the ray to its next vertex, sample a light and the BSDF there. Returns (vertex, next ray).

    last: only emission counts any more.
    """
    vertex = Vertex(emitter=-1, emission_weight=1.0, bsdf=-1, light=-1, pdf=0.0, u_roulette=u_light[3])
    slot, t, hit_u, hit_v = -1, 0.0, 0.0, 0.0
    si = interact(features, scene, 0, 0.0, 0.0, 0.0, ray.o, ray.d)
    searching = True
    while searching:
        searching = False
        slot, t, hit_u, hit_v = bvh.trace(features, scene, stack, ray.o, ray.d, ray.t_max, 0)
        if slot >= 0:
            si = interact(features, scene, slot, t, hit_u, hit_v, ray.o, ray.d)
            if ti.static(features.hide_emitters):
                if from_camera and si.emitter >= 0:  # seen through
                    ray.o = leave(si, ray.d)
                    ray.t_max -= t
                    searching = True

    # Emission there; its weight against next-event estimation at the previous vertex.
    if slot < 0:
        if environment >= 0 and not (from_camera and ti.static(features.hide_emitters)):
            vertex.emitter = scene.lights[environment][1]
            if not from_camera:
                pdf = light.environment_pdf(features, scene, environment)
                vertex.emission_weight = power_heuristic(ray.pdf, pdf)
    elif si.emitter >= 0 and si.ng.dot(ray.d) < 0:
        vertex.emitter = si.emitter
        if not from_camera:
            pdf = light.hit_pdf(features, scene, slot, ray.previous, si.p, si.ng)
            vertex.emission_weight = power_heuristic(ray.pdf, pdf)

    if slot >= 0 and not last:
        frame_s, frame_t = tangents(si.n)
        wi = to_local(-ray.d, frame_s, frame_t, si.n)
        vertex.bsdf, flip = material.resolve(features, scene, si.bsdf, wi.z)
        frame_n = si.n * flip
        vertex.wi = vec3(wi.x, wi.y, wi.z * flip)

        # Next-event estimation, and a direction from the BSDF.
        light_emitter, ds = light.sample(features, scene, si.p, u_light)
        vertex.wo_light = to_local(ds.d, frame_s, frame_t, frame_n)
        pdf_light, wo, pdf = material.sample(features, scene, vertex.bsdf, vertex.wi, vertex.wo_light, u_bsdf)
        if ds.pdf > 0 and pdf_light > 0:
            shadow_o = leave(si, ds.d)
            shadow = (si.p - shadow_o) + ds.d * ds.distance  # to the very point on the light
            length = shadow.norm()
            shadow_t = length * (1.0 - SHADOW_EPSILON)
            blocker, _t, _u, _v = bvh.trace(features, scene, stack, shadow_o, shadow / length, shadow_t, 1)
            if blocker < 0:
                competitor = ti.select(ds.delta == 1, 0.0, pdf_light)
                vertex.light = light_emitter
                vertex.light_weight = ds.scale * power_heuristic(ds.pdf, competitor) / ds.pdf
        vertex.wo = wo
        vertex.pdf = pdf
        ray.d = to_world(wo, frame_s, frame_t, frame_n)
        ray.o = leave(si, ray.d)
        ray.t_max = bvh.MISS
        ray.previous = si.p
        ray.pdf = pdf
    return vertex, ray


@ti.kernel
def trace_paths(
    features: ti.template(),
    mode: ti.template(),
    launch: Launch,
    nodes: ti.types.ndarray(wide_f32, ndim=2),
    children: ti.types.ndarray(wide_i32, ndim=1),
    packets: ti.types.ndarray(wide_f32, ndim=2),
    prims: ti.types.ndarray(vec12f, ndim=1),
    prim_info: ti.types.ndarray(vec4i, ndim=1),
    prim_light: ti.types.ndarray(ti.i32, ndim=1),
    normals: ti.types.ndarray(vec3f, ndim=1),
    shapes: ti.types.ndarray(vec4i, ndim=1),
    bsdfs: ti.types.ndarray(ti.i32, ndim=2),
    textures: ti.types.ndarray(vec4i, ndim=1),
    emitters: ti.types.ndarray(vec4i, ndim=1),
    emitter_data: ti.types.ndarray(vec4f, ndim=1),
    lights: ti.types.ndarray(vec4i, ndim=1),
    light_pdf: ti.types.ndarray(vec4f, ndim=1),
    params: ti.types.ndarray(ti.f32, ndim=1),
    camera: ti.types.ndarray(ti.f32, ndim=1),
    inverse_cdf: ti.types.ndarray(ti.f32, ndim=1),
    quantiles: ti.types.ndarray(vec2f, ndim=1),
    image: ti.types.ndarray(vec3f, ndim=1),
    image_adjoint: ti.types.ndarray(vec3f, ndim=1),
    image_tangent: ti.types.ndarray(vec3f, ndim=1),
    gradient: ti.types.ndarray(ti.f32, ndim=1),
    param_tangents: ti.types.ndarray(ti.f32, ndim=1),
    cache: ti.types.ndarray(vec16f, ndim=2),
    rejected: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace one launch. Adds to image (sums over samples), and by mode to gradient or image_tangent.

    image, image_adjoint, image_tangent: one RGB per pixel of the crop window; image_adjoint is dL, the
    derivative of the objective with respect to one sample's radiance. gradient: `replicas` copies of the
    parameters' adjoint. rejected: [0] counts paths with a contribution that is not finite; they add
    nothing.
    """
    ti.loop_config(block_dim=ti.static(features.block))
    for worker in range(launch.workers):
        scene = SceneView(
            nodes, children, packets, prims, prim_info, prim_light, normals,
            shapes, bsdfs, textures, emitters, emitter_data, lights, light_pdf, params,
        )  # fmt: skip
        stack_node = ti.Vector([0] * features.stack, dt=ti.i32)
        stack_near = ti.Vector([0.0] * features.stack, dt=ti.f32)
        lane_t = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_u = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        lane_v = ti.Vector([0.0] * WIDTH, dt=ti.f32)
        stack = Stack(stack_node, stack_near, lane_t, lane_u, lane_v)
        replica = (worker % launch.replicas) * params.shape[0]
        for item in range(worker * launch.share, ti.min((worker + 1) * launch.share, launch.items)):
            pixel = launch.first_pixel + item // launch.splits
            column = pixel % launch.width
            row = pixel // launch.width
            film_pixel = (launch.crop_y + row) * launch.film_width + launch.crop_x + column
            radiance = vec3(0.0, 0.0, 0.0)  # sum over the item's samples
            radiance_low = vec3(0.0, 0.0, 0.0)
            radiance_tangent = vec3(0.0, 0.0, 0.0)
            for s in range(launch.samples):
                sample = launch.first_sample + (item % launch.splits) * launch.samples + s
                L = vec3(0.0, 0.0, 0.0)
                L_low = vec3(0.0, 0.0, 0.0)
                Z = vec3(0.0, 0.0, 0.0)
                dL = vec3(0.0, 0.0, 0.0)
                if ti.static(mode == REVERSE):
                    dL = image_adjoint[pixel]
                u_film = uniform4(film_pixel, sample, 0, launch.seed)
                o, d, t_max = sample_ray(camera, inverse_cdf, quantiles, launch, column, row, u_film)
                ray = Ray(o=o, d=d, t_max=t_max, previous=o, pdf=0.0)
                resume = ray
                for sweep in range(ti.static(1 if mode == PRIMAL else 2)):
                    # ------------------------------------------------------------- loop state
                    beta = vec3(1.0, 1.0, 1.0)  # product of the non-zero factors f / p
                    zeros = ti.Vector([0, 0, 0])  # number of factors that were zero
                    R = L  # sweep 1: what this vertex and the rest of the path add
                    R_low = L_low
                    depth = 0  # vertices so far, the camera not counted
                    active = launch.max_depth > 0
                    if sweep == 1:
                        active = active & is_usable(L) & is_usable(Z)
                    while active:
                        # --------------------------------------------- 1. the next vertex
                        vertex = Vertex(emitter=-1, bsdf=-1, light=-1, pdf=0.0)
                        if ti.static(mode != PRIMAL) and sweep == 1 and depth < CACHED:
                            vertex = recall(cache[worker, depth])
                        else:
                            if ti.static(mode != PRIMAL):
                                if depth == CACHED:
                                    if sweep == 0:
                                        resume = ray
                                    else:
                                        ray = resume
                            last = depth + 1 >= launch.max_depth
                            u_light = uniform4(film_pixel, sample, 2 * depth + 1, launch.seed)
                            u_bsdf = uniform4(film_pixel, sample, 2 * depth + 2, launch.seed)
                            vertex, ray = advance(
                                features, scene, stack, launch.environment, ray, depth == 0, last, u_light, u_bsdf
                            )
                            if ti.static(mode != PRIMAL):
                                if sweep == 0 and depth < CACHED:
                                    cache[worker, depth] = keep(vertex)
                        depth += 1

                        # --------------------------------------------- 2. what it adds: E
                        emitted = vec3(0.0, 0.0, 0.0)
                        direct = vec3(0.0, 0.0, 0.0)
                        f = vec3(0.0, 0.0, 0.0)
                        f_light = vec3(0.0, 0.0, 0.0)
                        emitted_at, direct_at = 0, 0  # textures of the radiances
                        if vertex.emitter >= 0:
                            emitted_at = emitters[vertex.emitter][1]
                            emitted = texture.fetch(features, scene, params, emitted_at)
                        if vertex.bsdf >= 0:
                            if vertex.light >= 0:
                                direct_at = emitters[vertex.light][1]
                                direct = texture.fetch(features, scene, params, direct_at)
                            f_light, f = material.eval(
                                features, scene, vertex.bsdf, vertex.wi, vertex.wo_light, vertex.wo
                            )
                        attenuation = ti.select(zeros == 0, beta, 0.0)
                        E = emitted * vertex.emission_weight + direct * f_light * vertex.light_weight

                        # --------------------------------------------- 3. add it, or differentiate
                        if ti.static(mode == PRIMAL):
                            L += beta * E
                        elif sweep == 0:
                            L, L_low = two_sum(L, L_low, attenuation * E)
                            Z += ti.select(zeros == 1, beta * E, 0.0)
                        else:
                            R, R_low = two_sum(R, R_low, -attenuation * E)
                            by_f = ti.select(f == 0, Z, (R + R_low) / ti.select(f == 0, 1.0, f))  # dL / df
                            by_f = ti.select((zeros == 0) & (vertex.pdf > 0), by_f, 0.0)
                            by_emitted = attenuation * vertex.emission_weight
                            by_direct = attenuation * vertex.light_weight * f_light
                            by_f_light = attenuation * vertex.light_weight * direct
                            if ti.static(mode == REVERSE):
                                if vertex.emitter >= 0:
                                    texture.scatter(features, scene, gradient, replica, emitted_at, dL * by_emitted)
                                if vertex.bsdf >= 0:
                                    material.pull_back(
                                        features, scene, gradient, replica, vertex.bsdf,
                                        vertex.wi, vertex.wo_light, dL * by_f_light, vertex.wo, dL * by_f,
                                    )  # fmt: skip
                                    if vertex.light >= 0:
                                        texture.scatter(features, scene, gradient, replica, direct_at, dL * by_direct)
                            else:
                                if vertex.emitter >= 0:
                                    demitted = texture.fetch(features, scene, param_tangents, emitted_at)
                                    radiance_tangent += by_emitted * demitted
                                if vertex.bsdf >= 0:
                                    df_light, df = material.push_forward(
                                        features, scene, param_tangents, vertex.bsdf,
                                        vertex.wi, vertex.wo_light, vertex.wo,
                                    )  # fmt: skip
                                    radiance_tangent += by_f_light * df_light + by_f * df
                                    if vertex.light >= 0:
                                        ddirect = texture.fetch(features, scene, param_tangents, direct_at)
                                        radiance_tangent += by_direct * ddirect

                        # --------------------------------------------- 4. go on, or not
                        relevant = beta  # what may still reach L or Z
                        if ti.static(mode == PRIMAL):
                            beta *= f / vertex.pdf
                            relevant = beta
                        else:
                            beta *= ti.select(f == 0, 1.0, f) / vertex.pdf
                            zeros += ti.select(f == 0, 1, 0)
                            relevant = ti.select(zeros < 2, beta, 0.0)
                        strength = max_abs(relevant)  # a central difference may make a factor negative
                        active = (vertex.pdf > 0) & (depth < launch.max_depth) & (strength > 0)
                        if depth >= launch.rr_depth:
                            survival = ti.min(strength, ROULETTE_MAX)
                            active = active & (vertex.u_roulette < survival)
                            beta /= survival
                    if sweep == 0:
                        if is_usable(L) & is_usable(Z):
                            radiance, radiance_low = two_sum(radiance, radiance_low, L + L_low)
                        else:
                            rejected[0] += 1
            ti.atomic_add(image[pixel], radiance + radiance_low)
            if ti.static(mode == FORWARD):
                ti.atomic_add(image_tangent[pixel], radiance_tangent)
