"""What passes straight through a surface, as if it were not there: null surfaces, holes, thin dielectrics.

    coefficient = sum_k w_k straight_k        w_k: weight of leaf k (kernels/material.py)

A path samples it as a delta lobe of the surface; next-event estimation in scenes with participating media
looks through, and differentiates what dims it there.
"""

from prb.kernels import bsdf as models
from prb.kernels import bump, material, texture, traced
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.view import FIRST_TEXTURE, KIND, WEIGHTS


@ti.func
def passed_straight(scene: ti.template(), vertex):
    """True if the vertex's sampled direction is that of a lobe which passes straight through."""
    straight = False
    if vertex.lobe >= 0 and vertex.wi.z * vertex.wo.z < 0:
        kind = scene.bsdfs[scene.materials[vertex.material][0] + vertex.lobe, KIND]
        for name in ti.static(scene.features.bsdfs):
            if ti.static(models.passes_straight(name)):
                straight = straight or kind == ti.static(models.KINDS[name])
    return straight


@ti.func
def dims(scene: ti.template(), number):
    """True unless the material is `null`, which changes nothing of what passes straight through it."""
    is_null = False
    if ti.static("null" in scene.features.bsdfs):
        only = scene.materials[number][1] == 1
        is_null = only and scene.bsdfs[scene.materials[number][0], KIND] == ti.static(models.KINDS["null"])
    return not is_null


@ti.func
def of_leaf(scene: ti.template(), leaf, wi, point):
    """What a leaf contributes to `coefficient`, without its weight."""
    result = vec3(0.0, 0.0, 0.0)
    flip, visible = material.leaf_side(scene, leaf, wi.z)
    for name in ti.static(scene.features.bsdfs):
        if ti.static(models.passes_straight(name)):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                frame = bump.leaf_frame(scene, leaf, point, wi, flip)
                p = material.fetch(scene, leaf, name, point)
                wi_k = bump.to_leaf(scene, frame, wi, flip)
                result = visible * traced.value(models.of(name).straight, p, wi_k)
    return result


@ti.func
def coefficient(scene: ti.template(), number, wi, point):
    """What passes straight through a surface: the coefficient, for each channel."""
    result = vec3(0.0, 0.0, 0.0)
    first, count = scene.materials[number][0], scene.materials[number][1]
    if ti.static(scene.execution.unrolled):
        for k in ti.static(range(scene.features.leaves)):
            if k < count:
                w = material.weight(scene, first + k, point, -1)
                result += w * of_leaf(scene, first + k, wi, point)
    else:
        for k in range(count):
            w = material.weight(scene, first + k, point, -1)
            result += w * of_leaf(scene, first + k, wi, point)
    return result


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), number, wi, point, grad):
    """Add the cotangent of `coefficient`, pulled back to the parameters, to the gradient."""
    first = scene.materials[number][0]
    for k in range(scene.materials[number][1]):
        leaf = first + k
        flip, visible = material.leaf_side(scene, leaf, wi.z)
        w = material.weight(scene, leaf, point, -1)
        grad_w = grad.dot(of_leaf(scene, leaf, wi, point))
        for name in ti.static(scene.features.bsdfs):
            if ti.static(models.passes_straight(name) and len(models.of(name).PARAMETERS) > 0):
                if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                    frame = bump.leaf_frame(scene, leaf, point, wi, flip)
                    p = material.fetch(scene, leaf, name, point)
                    wi_k = bump.to_leaf(scene, frame, wi, flip)
                    _value, grads = traced.vjp(
                        models.of(name).straight, (p, wi_k), grad * (w * visible), (0,)
                    )
                    for i in ti.static(range(len(models.of(name).PARAMETERS))):
                        if ti.static(models.of(name).PARAMETERS[i].differentiable):
                            index = scene.bsdfs[leaf, FIRST_TEXTURE + i]
                            material.scatter(scene, gradient, index, point, name, i, grads[0][i])
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                grad_t = sign * material.weight(scene, leaf, point, i) * grad_w
                texture.scatter_number(scene.lookup("weight"), gradient, code >> 1, point, grad_t)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), number, wi, point):
    """The tangent of `coefficient`, for the parameters' tangents."""
    result = vec3(0.0, 0.0, 0.0)
    first = scene.materials[number][0]
    for k in range(scene.materials[number][1]):
        leaf = first + k
        flip, visible = material.leaf_side(scene, leaf, wi.z)
        w = material.weight(scene, leaf, point, -1)
        passed = of_leaf(scene, leaf, wi, point)
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                dt = texture.fetch_number(scene.lookup("weight"), tangents, code >> 1, point)
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                result += (sign * dt * material.weight(scene, leaf, point, i)) * passed
        for name in ti.static(scene.features.bsdfs):
            if ti.static(models.passes_straight(name) and len(models.of(name).PARAMETERS) > 0):
                if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                    frame = bump.leaf_frame(scene, leaf, point, wi, flip)
                    p = material.fetch(scene, leaf, name, point)
                    dp = material.fetch_tangents(scene, tangents, leaf, name, point)
                    wi_k = bump.to_leaf(scene, frame, wi, flip)
                    _value, d = traced.jvp(models.of(name).straight, (p, wi_k), (dp, None))
                    result += (w * visible) * d
    return result
