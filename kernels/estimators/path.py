"""The path tracer: primal, reverse and forward mode, in one loop.

One path x_0 .. x_n, every quantity RGB. f_i is BSDF times cosine at vertex i and p_i the density of the
sampled direction; E_k is what vertex k adds, emission met by the sampled ray and next-event estimation,
both with the power heuristic (Veach 1997, section 9.2.4):

    beta_k = prod_{j<k} f_j / p_j              L = sum_k beta_k E_k

Reverse mode is path replay (Vicini, Speierer, Jakob, Path Replay Backpropagation, SIGGRAPH 2021), with
densities, weights, roulette and directions as constants (detached sampling):

    sweep 0   trace the path, keep only L and Z
    sweep 1   trace it again with the same random numbers; R starts as L
              at vertex i:  R -= what vertex i itself adds           (R is now what lies beyond i)
                            adjoint of f_i += dL R / f_i             (Z instead of R / f_i where f_i = 0)
                            and the adjoint of the vertex's own terms as they stand

Where a factor f_i is zero, R / f_i is 0 / 0 although the derivative exists. So beta holds the product of
the non-zero factors (a zero one counts as 1), `zeros` how many were zero, and Z sums the contributions
behind exactly one zero, without it: that is dL/df_i at the first zero vertex, exactly.

Forward mode, the derivative along one direction of all parameters, needs nothing of what lies ahead, so it
takes one sweep: beta's tangent goes along with the path,

    dL = sum_k dbeta_k E_k + beta_k dE_k       dbeta_{k+1} = (dbeta_k f_k + beta_k df_k) / p_k

The two sweeps may be two launches, so that pictures can be looked at in between: the first then keeps a
`paths` entry for each path. Vertices are kept where there is room for all of a path's; others sweep 1 traces
again.

L is kept as the unevaluated sum of two floats (Knuth's two-sum), because R = L - (what came before) loses
the digits that a division by a small f_i would need.

These are interior derivatives: what moves a silhouette or a shadow's edge is not in them.
"""

from prb.kernels import emission, material
from prb.kernels.backend import ti
from prb.kernels.camera import sample_ray
from prb.kernels.estimators.vertex import VERTEX, Ray, advance, keep, keep_path, nothing, recall, recall_path
from prb.kernels.frame import max_abs, vec3
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
    vec8i,
    vec10f,
    vec12f,
    wide_f32,
    wide_i32,
)

PRIMAL, REVERSE, FORWARD = 0, 1, 2
ROULETTE_MAX = 0.95
LARGEST = 1e32


@ti.dataclass
class Launch:
    """Which samples of which pixels one launch traces, and how far.

    A work item is `samples` consecutive samples of one pixel; `splits` items share a pixel. Items
    [0, items) belong to the pixels from first_pixel on, in rows of the crop window.
    Worker w does items [w * share, (w + 1) * share). Consecutive threads take workers that are `apart`.
    """

    workers: ti.i32
    share: ti.i32
    apart: ti.i32
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
    reach: ti.i32  # vertices of a path at most: max_depth, or one less if no ray can find a light
    rr_depth: ti.i32
    environment: ti.i32  # entry of `lights`, or -1
    replicas: ti.i32  # copies of the gradient buffer
    rare: ti.f32  # least part of the samples of a leaf whose weight is being differentiated
    units: ti.f32  # of an integer gradient in 1
    size: ti.i32  # of each: parameters from there on are not wanted
    begin: ti.i32  # sweeps [begin, end) of reverse mode; where that is one of them, the paths are kept
    end: ti.i32
    capacity: ti.i32  # numbers that each worker can keep
    second: ti.i32  # samples from there on are the second half, with an image and an image_adjoint of its own
    pixels: ti.i32  # of each


@ti.func
def place(launch, pixel):
    """A pixel's column and row in the crop window, and its number in the film, which random numbers go by."""
    column = pixel % launch.width
    row = pixel // launch.width
    return column, row, (launch.crop_y + row) * launch.film_width + launch.crop_x + column


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


@ti.func
def extend(mode: ti.template(), launch, beta, zeros, eta, f, vertex, depth):
    """The path's product behind a vertex with BSDF value f, and whether the path goes on.

    depth: vertices so far. eta: index of refraction where the path is over that where it began, whose
    square undoes the compression of radiance for roulette. Returns (beta, zeros, eta, active, survival):
    beta holds 1 / survival.
    """
    survival = 1.0
    relevant = beta  # what may still reach L or Z
    if ti.static(mode == PRIMAL):
        beta *= f / vertex.pdf
        relevant = beta
    else:
        beta *= ti.select(f == 0, 1.0, f) / vertex.pdf
        zeros += ti.select(f == 0, 1, 0)
        relevant = ti.select(zeros < 2, beta, 0.0)
    strength = max_abs(relevant)  # a central difference may make a factor negative
    active = (vertex.pdf > 0) & (depth < launch.reach) & (strength > 0)
    eta *= vertex.eta
    if depth >= launch.rr_depth:
        survival = ti.min(strength * eta * eta, ROULETTE_MAX)
        active = active & (vertex.u_roulette < survival)
        beta /= survival
    return beta, zeros, eta, active, survival


@ti.kernel
def trace_paths(
    features: ti.template(),
    mode: ti.template(),
    launch: Launch,
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
    camera: ti.types.ndarray(ti.f32, ndim=1),
    inverse_cdf: ti.types.ndarray(ti.f32, ndim=1),
    quantiles: ti.types.ndarray(vec2f, ndim=1),
    image: ti.types.ndarray(vec3f, ndim=1),
    image_adjoint: ti.types.ndarray(vec3f, ndim=1),
    image_tangent: ti.types.ndarray(vec3f, ndim=1),
    image_moment: ti.types.ndarray(vec3f, ndim=1),
    gradient: ti.types.ndarray(ndim=1),
    param_tangents: ti.types.ndarray(ti.f32, ndim=1),
    cache: ti.types.ndarray(ti.f32, ndim=2),
    paths: ti.types.ndarray(vec10f, ndim=1),
    rejected: ti.types.ndarray(ti.i32, ndim=1),
):
    """Trace one launch. Writes image, the sum of each work item's samples, and by mode adds to gradient or
    writes image_tangent.

    image, image_tangent, image_moment (squares of the samples' tangents): one RGB per work item; where
    reverse mode's first sweep is a launch of its own, image_tangent is that of the second half's samples.
    image_adjoint: one per pixel of the crop window, dL, the derivative of the objective with respect to one
    sample's radiance; then those of the second half. gradient: `replicas` copies of the
    parameters' adjoint, floats, or integers in units of 1 / launch.units. cache: (workers, launch.capacity)
    numbers, vertices one behind the other. paths: one for each path, where sweeps are launches of their
    own. rejected: [0] counts paths with a contribution that is not finite; they add nothing.
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
        room = ti.Vector([(worker % launch.replicas) * launch.size, launch.size])
        kept = 0  # where this worker's row of the cache is free
        for item in range(worker * launch.share, ti.min((worker + 1) * launch.share, launch.items)):
            pixel = launch.first_pixel + item // launch.splits
            column, row, film_pixel = place(launch, pixel)
            radiance = vec3(0.0, 0.0, 0.0)  # sum over the item's samples
            radiance_low = vec3(0.0, 0.0, 0.0)
            radiance_second = vec3(0.0, 0.0, 0.0)
            radiance_tangent = vec3(0.0, 0.0, 0.0)
            moment = vec3(0.0, 0.0, 0.0)
            for s in range(launch.samples):
                sample = launch.first_sample + (item % launch.splits) * launch.samples + s
                L = vec3(0.0, 0.0, 0.0)
                L_low = vec3(0.0, 0.0, 0.0)
                Z = vec3(0.0, 0.0, 0.0)
                dL = vec3(0.0, 0.0, 0.0)
                tangent = vec3(0.0, 0.0, 0.0)  # of L
                first = kept  # where the path's vertices begin in the row; -1: they are not kept
                begin, end = 0, 1
                if ti.static(mode == REVERSE):
                    begin, end = launch.begin, launch.end
                    if end == 2:
                        dL = image_adjoint[pixel + ti.select(sample >= launch.second, launch.pixels, 0)]
                    if begin == 1:
                        L, L_low, Z, first = recall_path(paths[item * launch.samples + s])
                primary = Ray(t_max=0.0, pdf=0.0)
                if begin == 0 or first < 0:
                    u_film = uniform4(film_pixel, sample, 0, launch.seed)
                    o, d, t_max = sample_ray(camera, inverse_cdf, quantiles, launch, column, row, u_film)
                    primary = Ray(o=o, d=d, t_max=t_max, previous=o, pdf=0.0)
                for sweep in range(begin, end):
                    # ------------------------------------------------------------- loop state
                    ray = primary
                    at_row = first
                    beta = vec3(1.0, 1.0, 1.0)  # product of the non-zero factors f / p
                    zeros = ti.Vector([0, 0, 0])  # number of factors that were zero
                    dbeta = vec3(0.0, 0.0, 0.0)  # tangent of the product of all factors
                    eta = 1.0  # index of refraction, relative to where the path began
                    R = L  # sweep 1: what this vertex and the rest of the path add
                    R_low = L_low
                    depth = 0  # vertices so far, the camera not counted
                    active = launch.reach > 0
                    if sweep == 1:
                        active = active & is_usable(L) & is_usable(Z)
                    while active:
                        # --------------------------------------------- 1. the next vertex
                        vertex = nothing()
                        emitted = vec3(0.0, 0.0, 0.0)
                        direct = vec3(0.0, 0.0, 0.0)
                        f = vec3(0.0, 0.0, 0.0)
                        f_light = vec3(0.0, 0.0, 0.0)
                        if ti.static(mode == REVERSE) and sweep == 1 and first >= 0:
                            vertex, emitted, direct, f_light, f, at_row = recall(cache, worker, at_row)
                        else:
                            vertex, ray = advance(
                                features, scene, stack, launch, ray, film_pixel, sample, depth
                            )
                            if vertex.emitter >= 0:
                                at = material.place(vertex)
                                emitted = emission.radiance(features, scene, vertex.emitter, at)
                            if vertex.material >= 0:
                                if vertex.light >= 0:
                                    at_light = at_uv(vertex.uv_light)
                                    direct = emission.radiance(features, scene, vertex.light, at_light)
                                f_light, f = material.eval(features, scene, vertex)
                            if ti.static(mode == REVERSE):
                                if sweep == 0 and first >= 0:
                                    if at_row + VERTEX > launch.capacity:
                                        first = -1
                                    else:
                                        at_row = keep(
                                            cache, worker, at_row, vertex, emitted, direct, f_light, f
                                        )
                        depth += 1
                        at, at_light = material.place(vertex), at_uv(vertex.uv_light)

                        # --------------------------------------------- 2. what it adds: E
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
                            by_light = dL * attenuation * vertex.light_weight
                            if vertex.emitter >= 0:
                                by_emitted = dL * attenuation * vertex.emission_weight
                                emission.pull_back(
                                    features, scene, gradient, room, vertex.emitter, at, by_emitted
                                )
                            if vertex.material >= 0:
                                material.pull_back(
                                    features, scene, gradient, room, vertex, by_light * direct, dL * by_f
                                )
                                if vertex.light >= 0:
                                    emission.pull_back(
                                        features, scene, gradient, room, vertex.light, at_light,
                                        by_light * f_light,
                                    )  # fmt: skip
                        df = vec3(0.0, 0.0, 0.0)
                        if ti.static(mode == FORWARD):
                            dE = vec3(0.0, 0.0, 0.0)
                            if vertex.emitter >= 0:
                                dE += vertex.emission_weight * emission.push_forward(
                                    features, scene, param_tangents, vertex.emitter, at
                                )
                            if vertex.material >= 0:
                                df_light, df_on = material.push_forward(
                                    features, scene, param_tangents, vertex
                                )
                                df = df_on
                                dE += vertex.light_weight * direct * df_light
                                if vertex.light >= 0:
                                    dE += (
                                        vertex.light_weight
                                        * f_light
                                        * emission.push_forward(
                                            features, scene, param_tangents, vertex.light, at_light
                                        )
                                    )
                            tangent += dbeta * E + attenuation * dE

                        # --------------------------------------------- 4. go on, or not
                        beta, zeros, eta, active, survival = extend(
                            mode, launch, beta, zeros, eta, f, vertex, depth
                        )
                        if ti.static(mode == FORWARD):
                            dbeta = (dbeta * f + attenuation * df) / (vertex.pdf * survival)
                    if sweep == 0:
                        if is_usable(L) & is_usable(Z) & is_usable(tangent):
                            if sample >= launch.second:
                                radiance_second += L + L_low
                            else:
                                radiance, radiance_low = two_sum(radiance, radiance_low, L + L_low)
                            radiance_tangent += tangent
                            moment += tangent * tangent
                        else:
                            rejected[0] += 1
                        if ti.static(mode == REVERSE):
                            if end == 1:
                                paths[item * launch.samples + s] = keep_path(L, L_low, Z, first)
                                kept = ti.select(first >= 0, at_row, kept)
            image[item] = radiance + radiance_low
            if launch.end == 1:
                image_tangent[item] = radiance_second
            if ti.static(mode == FORWARD):
                image_tangent[item] = radiance_tangent
                image_moment[item] = moment
