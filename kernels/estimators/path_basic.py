"""The readable specification: path replay without next-event estimation, roulette or kept vertices.

Read this first. kernels/estimators/path.py is the same estimator with what reduces its cost and its noise.

    L = sum_k beta_k Le_k        beta_k = prod_{j<k} f_j / p_j

Sweep 0 finds L. Sweep 1 traces the same path again. R is what the vertices that are still to come add, and
grad_L the derivative of the objective by L:

    grad_Le_k = grad_L beta_k            grad_f_k = grad_L R / f_k

If f_k is 0 the derivative by it is omitted here; kernels/estimators/modes.py has it.
"""

from prb.kernels import emission, light, material
from prb.kernels.arrays import SceneArrays, SensorArrays, vec3f
from prb.kernels.backend import ti
from prb.kernels.bvh import MISS
from prb.kernels.estimators.launch import Launch, camera_ray, film_place
from prb.kernels.estimators.vertex import intersect, no_vertex
from prb.kernels.frame import to_local, to_world, vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import BSDF, draw, new_sampler
from prb.kernels.shape import frame, ray_origin
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
    """Add the picture to `image` and the gradient to `gradient_buffer`.

    image: RGB sum of the samples of each pixel. image_adjoint: grad_L of each pixel. gradient_buffer: one
    copy of the parameters' gradient.
    """
    for pixel in range(launch.items):
        scene = SceneView(features, execution, arrays, launch.min_selection, new_stack(features.stack))
        gradient = GradientBlock(execution, gradient_buffer, 0, launch.gradient_size, 1.0)
        column, row, film_pixel = film_place(launch, pixel)
        for sample in range(launch.samples_per_item):
            sampler = new_sampler(execution.sampler, launch, film_pixel, sample)
            L, grad_L = vec3(0.0, 0.0, 0.0), image_adjoint[pixel]
            for sweep in range(2):
                ray = camera_ray(execution.sampler, sensor, launch, column, row, sampler)
                beta, R, depth, active = vec3(1.0, 1.0, 1.0), L, 0, True
                while active:
                    # 1. find the next vertex
                    vertex = no_vertex()
                    slot, _t, si, _ray = intersect(scene, ray, False)
                    if slot < 0 and launch.environment >= 0:
                        vertex.emitter = scene.lights[launch.environment][1]
                        vertex.uv = light.environment(scene, launch.environment, ray.d, False)[1]
                    if slot >= 0:
                        vertex.uv, vertex.slot, vertex.u, vertex.v = si.uv, slot, si.u, si.v
                        vertex.emitter = ti.select(si.ng.dot(ray.d) < 0, si.emitter, -1)
                    point = material.lookup_point(vertex)
                    # 2. its contribution, 3. added or differentiated
                    if vertex.emitter >= 0:
                        E = beta * emission.radiance(scene, vertex.emitter, point)
                        if sweep == 0:
                            L += E
                        else:
                            R -= E
                            grad_emitted = grad_L * beta
                            emission.pull_back(scene, gradient, vertex.emitter, point, grad_emitted)
                    # 4. continue in a direction sampled from the BSDF
                    depth += 1
                    active = slot >= 0 and depth < launch.max_depth
                    if active:
                        s, t = frame(scene, si.n, si.dp_du)
                        vertex.material, vertex.wi = si.material, to_local(-ray.d, s, t, si.n)
                        vertex.wo_light = vec3(0.0, 0.0, 1.0)
                        u = draw(execution.sampler, sampler, depth, BSDF)
                        _pdf, vertex.wo, vertex.pdf, vertex.lobe, _eta = material.sample(scene, vertex, u)
                        _f_light, f = material.eval(scene, vertex)
                        if sweep == 1 and vertex.pdf > 0:
                            L_by_f = ti.select(f == 0, 0.0, R / ti.select(f == 0, 1.0, f))
                            zero = vec3(0.0, 0.0, 0.0)
                            material.pull_back(scene, gradient, vertex, zero, grad_L * L_by_f)
                        beta *= f / vertex.pdf
                        active = vertex.pdf > 0 and beta.max() > 0
                        ray.d = to_world(vertex.wo, s, t, si.n)
                        ray.o, ray.t_max = ray_origin(si, ray.d), MISS
            image[pixel] += L
