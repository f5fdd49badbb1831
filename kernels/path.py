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
from prb.kernels.frame import is_finite, max_component, tangents, to_local, to_world, vec3
from prb.kernels.rng import uniform4
from prb.kernels.shape import SHADOW_EPSILON, interact, offset
from prb.kernels.view import WIDTH, SceneView, Stack, vec2f, vec3f, vec4f, vec4i, vec9f, wide_f32, wide_i32

PRIMAL, REVERSE, FORWARD = 0, 1, 2
CACHED = 16  # vertices whose hits sweep 0 keeps for sweep 1; a constant, so memory does not grow with depth
ROULETTE_MAX = 0.95


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
def two_sum(high, low, x):
    """(high + low) + x as an unevaluated sum again. Knuth, TAOCP 2, section 4.2.2, theorem B."""
    s = high + x
    back = s - high
    return s, low + ((high - (s - back)) + (x - back))


@ti.kernel
def trace_paths(
    features: ti.template(),
    mode: ti.template(),
    launch: Launch,
    nodes: ti.types.ndarray(wide_f32, ndim=2),
    children: ti.types.ndarray(wide_i32, ndim=1),
    packets: ti.types.ndarray(wide_f32, ndim=2),
    prims: ti.types.ndarray(vec9f, ndim=1),
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
    cache_slot: ti.types.ndarray(ti.i32, ndim=2),
    cache_hit: ti.types.ndarray(vec3f, ndim=2),
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
            radiance_tangent = vec3(0.0, 0.0, 0.0)
            for s in range(launch.samples):
                sample = launch.first_sample + (item % launch.splits) * launch.samples + s
                L = vec3(0.0, 0.0, 0.0)
                L_low = vec3(0.0, 0.0, 0.0)
                Z = vec3(0.0, 0.0, 0.0)
                for sweep in range(ti.static(1 if mode == PRIMAL else 2)):
                    # ------------------------------------------------------------- loop state
                    u = uniform4(film_pixel, sample, 0, launch.seed)
                    o, d, t_max = sample_ray(camera, inverse_cdf, quantiles, launch, column, row, u)
                    beta = vec3(1.0, 1.0, 1.0)  # product of the non-zero factors f / p
                    zeros = ti.Vector([0, 0, 0])  # number of factors that were zero
                    R = L  # sweep 1: what the rest of the path still adds
                    R_low = L_low
                    bsdf_pdf = 0.0  # density of the direction d; 0 for the camera's
                    previous = o  # the vertex that d leaves
                    depth = 0  # edges before the ray o + t d
                    step = 0  # rays so far
                    dL = vec3(0.0, 0.0, 0.0)
                    if ti.static(mode == REVERSE):
                        dL = image_adjoint[pixel]
                    active = launch.max_depth > 0
                    if sweep == 1:
                        active = active & is_finite(L) & is_finite(Z)
                    while active:
                        # --------------------------------------------- 1. what does the ray meet?
                        slot, t, hit_u, hit_v = -1, 0.0, 0.0, 0.0
                        cached = 0
                        if ti.static(mode != PRIMAL):
                            if sweep == 1 and step < CACHED:
                                cached = 1
                                slot = cache_slot[worker, step] >> 1
                                t, hit_u, hit_v = cache_hit[worker, step]
                        if cached == 0:
                            slot, t, hit_u, hit_v = bvh.trace(features, scene, stack, o, d, t_max, 0)
                        visible = 0

                        # --------------------------------------------- 2. emission there
                        attenuation = ti.select(zeros == 0, beta, 0.0)
                        si = interact(features, scene, ti.max(slot, 0), t, hit_u, hit_v, o, d)
                        emitter = -1
                        mis_weight = 1.0
                        if slot < 0:
                            active = False
                            if launch.environment >= 0:
                                emitter = lights[launch.environment][1]
                                if bsdf_pdf > 0:
                                    pdf = light.environment_pdf(features, scene, launch.environment)
                                    mis_weight = power_heuristic(bsdf_pdf, pdf)
                        elif si.emitter >= 0 and si.ng.dot(d) < 0:
                            emitter = si.emitter
                            if bsdf_pdf > 0:
                                pdf = light.hit_pdf(features, scene, slot, previous, d, t, si.ng)
                                mis_weight = power_heuristic(bsdf_pdf, pdf)
                        passes = False
                        if ti.static(features.hide_emitters):
                            if depth == 0:
                                emitter = -1
                                passes = slot >= 0 and si.emitter >= 0
                        if emitter >= 0:
                            at = emitters[emitter][1]
                            E = texture.fetch(features, scene, params, at) * mis_weight
                            if sweep == 0:
                                L, L_low = two_sum(L, L_low, attenuation * E)
                                if ti.static(mode != PRIMAL):
                                    Z += ti.select(zeros == 1, beta * E, 0.0)
                            else:
                                R, R_low = two_sum(R, R_low, -attenuation * E)
                                if ti.static(mode == REVERSE):
                                    dE = dL * attenuation * mis_weight
                                    texture.scatter(features, scene, gradient, replica, at, dE)
                                if ti.static(mode == FORWARD):
                                    dE = texture.fetch(features, scene, param_tangents, at)
                                    radiance_tangent += attenuation * mis_weight * dE
                        if not passes:
                            depth += 1
                        if depth >= launch.max_depth:
                            active = False

                        if active and passes:
                            o = offset(si.p, si.ng, d)
                            t_max -= t
                        elif active:
                            # ----------------------------------------- 3. next-event estimation
                            frame_s, frame_t = tangents(si.n)
                            wi = to_local(-d, frame_s, frame_t, si.n)
                            index, flip = material.resolve(features, scene, si.bsdf, wi.z)
                            frame_n = si.n * flip
                            wi.z *= flip
                            u_light = uniform4(film_pixel, sample, 2 * step + 1, launch.seed)
                            light_emitter, ds = light.sample(features, scene, si.p, u_light)
                            wo_light = to_local(ds.d, frame_s, frame_t, frame_n)
                            f_light, pdf_light = material.eval(features, scene, index, wi, wo_light)
                            light_at = emitters[light_emitter][1]
                            E_light = texture.fetch(features, scene, params, light_at)
                            light_weight = 0.0
                            # The density, unlike f, is not zero where only a differentiated weight is.
                            possible = (ds.pdf > 0) & (pdf_light > 0)
                            if ti.static(mode == PRIMAL):
                                possible = possible & (max_component(attenuation * f_light * E_light) > 0)
                            if possible:
                                if cached == 1:
                                    visible = cache_slot[worker, step] & 1
                                else:
                                    shadow_o = offset(si.p, si.ng, ds.d)
                                    shadow_t = ds.distance * (1.0 - SHADOW_EPSILON)
                                    blocker, _t, _u, _v = bvh.trace(
                                        features, scene, stack, shadow_o, ds.d, shadow_t, 1
                                    )
                                    visible = ti.select(blocker < 0, 1, 0)
                                if visible == 1:
                                    competitor = ti.select(ds.delta == 1, 0.0, pdf_light)
                                    light_weight = ds.scale * power_heuristic(ds.pdf, competitor) / ds.pdf
                            E_direct = f_light * E_light * light_weight

                            # ----------------------------------------- 4. sample the BSDF
                            u_bsdf = uniform4(film_pixel, sample, 2 * step + 2, launch.seed)
                            wo, f, pdf = material.sample(features, scene, index, wi, u_bsdf)

                            # ----------------------------------------- 5. add, or differentiate
                            if sweep == 0:
                                L, L_low = two_sum(L, L_low, attenuation * E_direct)
                                if ti.static(mode != PRIMAL):
                                    Z += ti.select(zeros == 1, beta * E_direct, 0.0)
                            else:
                                R, R_low = two_sum(R, R_low, -attenuation * E_direct)
                                beyond = ti.select(
                                    zeros == 0, ti.select(f == 0, Z, (R + R_low) / ti.select(f == 0, 1.0, f)), 0.0
                                )
                                if pdf == 0:
                                    beyond = vec3(0.0, 0.0, 0.0)
                                if ti.static(mode == REVERSE):
                                    df_light = dL * attenuation * E_light * light_weight
                                    material.pull_back(
                                        features, scene, gradient, replica, index, wi, wo_light, df_light, wo, dL * beyond
                                    )
                                    if light_weight > 0:
                                        dE = dL * attenuation * f_light * light_weight
                                        texture.scatter(features, scene, gradient, replica, light_at, dE)
                                if ti.static(mode == FORWARD):
                                    df_light = material.push_forward(
                                        features, scene, param_tangents, index, wi, wo_light
                                    )
                                    df = material.push_forward(features, scene, param_tangents, index, wi, wo)
                                    dE = texture.fetch(features, scene, param_tangents, light_at)
                                    radiance_tangent += df * beyond
                                    direct = df_light * E_light + f_light * dE
                                    radiance_tangent += attenuation * light_weight * direct

                            # ----------------------------------------- 6. go on, or not
                            if pdf > 0:
                                if ti.static(mode == PRIMAL):
                                    beta *= f / pdf
                                    active = max_component(beta) > 0
                                else:
                                    beta *= ti.select(f == 0, 1.0, f) / pdf
                                    zeros += ti.select(f == 0, 1, 0)
                                if depth >= launch.rr_depth:
                                    survival = ti.min(max_component(beta), ROULETTE_MAX)
                                    active = active & (u_light[3] < survival)
                                    beta /= survival
                                d = to_world(wo, frame_s, frame_t, frame_n)
                                o = offset(si.p, si.ng, d)
                                t_max = bvh.MISS
                                previous = si.p
                                bsdf_pdf = pdf
                            else:
                                active = False
                        if ti.static(mode != PRIMAL):
                            if sweep == 0 and step < CACHED:
                                cache_slot[worker, step] = slot * 2 + visible
                                cache_hit[worker, step] = ti.Vector([t, hit_u, hit_v])
                        step += 1
                    if sweep == 0:
                        if is_finite(L) & is_finite(Z):
                            radiance += L + L_low
                        else:
                            rejected[0] += 1
            ti.atomic_add(image[pixel], radiance)
            if ti.static(mode == FORWARD):
                ti.atomic_add(image_tangent[pixel], radiance_tangent)
