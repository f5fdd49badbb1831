"""The specification in short: path replay without next-event estimation, roulette or kept vertices.

Read this first; kernels/estimators/path.py is the same estimator with what makes it fast and less noisy.

    L = sum_k beta_k Le_k        beta_k = prod_{j<k} f_j / p_j

Sweep 0 finds L. Sweep 1 traces the same path again: R = L less what has been added so far, and with dL the
derivative of the objective by L,

    adjoint of Le_k = dL beta_k            adjoint of f_k = dL R / f_k

Where f_k is 0 the derivative is dropped here (kernels/estimators/modes.py has it).
"""

from prb.kernels import emission, light, material
from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f
from prb.kernels.backend import ti
from prb.kernels.bvh import MISS
from prb.kernels.estimators.launch import Launch, camera_ray, film_place
from prb.kernels.estimators.vertex import intersect, no_vertex
from prb.kernels.frame import to_local, to_world, vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import BSDF, Sampler, draw
from prb.kernels.shape import frame, leave
from prb.kernels.view import SceneView, new_stack


@ti.kernel
def trace_basic(
    features: ti.template(),
    execution: ti.template(),
    launch: Launch,
    arrays: SceneArrays,
    sensor: SensorArrays,
    image: ti.types.ndarray(vec3f, ndim=1),
    image_adjoint: ti.types.ndarray(vec3f, ndim=1),
    gradient_buffer: ti.types.ndarray(ti.f32, ndim=1),
):
    """image: the sum of a pixel's samples. image_adjoint: dL of one sample. gradient_buffer: one copy."""
    for pixel in range(launch.pixels):
        scene = SceneView(features, execution, arrays, launch.min_selection, new_stack(features.stack))
        gradient = GradientBlock(execution, gradient_buffer, 0, launch.gradient_size, 1.0)
        column, row, film_pixel = film_place(launch, pixel)
        for sample in range(launch.samples_per_item):
            sampler = Sampler(pixel=film_pixel, sample=sample, seed=launch.seed)
            L = vec3(0.0, 0.0, 0.0)
            for sweep in range(2):
                ray = camera_ray(sensor, launch, column, row, sampler)
                beta, R, depth, active = vec3(1.0, 1.0, 1.0), L, 0, True
                while active:
                    # 1. the next vertex
                    vertex = no_vertex()
                    slot, si, _ray = intersect(scene, ray, False)
                    if slot < 0 and launch.environment >= 0:
                        vertex.emitter = scene.lights[launch.environment][1]
                        vertex.uv = light.environment(scene, launch.environment, ray.d, False)[1]
                    if slot >= 0:
                        vertex.uv, vertex.slot, vertex.u, vertex.v = si.uv, slot, si.u, si.v
                        vertex.emitter = ti.select(si.ng.dot(ray.d) < 0, si.emitter, -1)
                    at = material.lookup_point(vertex)
                    # 2. and 3. what it emits: added, or differentiated
                    if vertex.emitter >= 0:
                        E = beta * emission.radiance(scene, vertex.emitter, at)
                        if sweep == 0:
                            L += E
                        else:
                            R -= E
                            grad_emitted = image_adjoint[pixel] * beta
                            emission.pull_back(scene, gradient, vertex.emitter, at, grad_emitted)
                    # 4. go on in a direction from the BSDF
                    depth += 1
                    active = slot >= 0 and depth < launch.max_depth
                    if active:
                        s, t = frame(scene, si.n, si.dp_du)
                        vertex.material, vertex.wi = si.material, to_local(-ray.d, s, t, si.n)
                        vertex.wo_light = vec3(0.0, 0.0, 1.0)
                        u = draw(sampler, depth, BSDF)
                        _pdf, vertex.wo, vertex.pdf, vertex.lobe, _eta = material.sample(scene, vertex, u)
                        _f_light, f = material.eval(scene, vertex)
                        if sweep == 1 and vertex.pdf > 0:
                            by_f = ti.select(f == 0, 0.0, R / ti.select(f == 0, 1.0, f))
                            nothing = vec3(0.0, 0.0, 0.0)
                            material.pull_back(scene, gradient, vertex, nothing, image_adjoint[pixel] * by_f)
                        beta *= f / vertex.pdf
                        active = vertex.pdf > 0 and beta.max() > 0
                        ray.d = to_world(vertex.wo, s, t, si.n)
                        ray.o, ray.t_max = leave(si, ray.d), MISS
            image[pixel] += L
