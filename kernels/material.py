"""The scattering at a surface point, a weighted sum of models: its value, sampling, density and derivatives.

A material is a list of leaves, each a model of kernels/bsdf and the wrappers around it in the scene file:
`twosided` decides on which side it is visible and flips the frame, `normalmap` and `bumpmap`
(kernels/bump.py) perturb the frame, `blendbsdf` and `mask` give it a weight, a product of factors t or 1 - t,
t the value of a texture.

    f = sum_k w_k f_k        leaf k is selected with probability q_k in proportion to max(w_k, min_selection)

`min_selection` is zero unless weights are differentiated; then leaves of weight zero are sampled, too. If the
sampled direction comes from a delta lobe (`lobe` is the leaf's number, otherwise -1), only that leaf
contributes.

Directions are unit vectors in the shading frame that point away from the surface. Values include the cosine
of the outgoing direction. Densities are by solid angle; for a delta lobe they are probabilities.

Every function loops over the models that the scene uses, so that a kernel holds no others.
"""

from prb.kernels import bsdf as models
from prb.kernels import bump, orientation, texture, traced
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import LookupPoint
from prb.kernels.view import BACK, BOTH, FIRST_TEXTURE, FRONT, KIND, SIDE, WEIGHTS

MIN_SELECTION = 0.05  # `min_selection` where weights are differentiated


@ti.func
def lookup_point(vertex):
    """The `LookupPoint` of a vertex."""
    return LookupPoint(uv=vertex.uv, slot=vertex.slot, u=vertex.u, v=vertex.v, p=vertex.p)


@ti.func
def weight(scene: ti.template(), leaf, point, excluded: ti.template()):
    """The leaf's weight, in [0, 1], without its factor number `excluded` (-1: with all factors)."""
    w = 1.0
    for i in ti.static(range(scene.features.weights)):
        if ti.static(i != excluded):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                t = texture.fetch_number(scene.lookup("weight"), scene.params, code >> 1, point)
                t = ti.select(t < 0, 0.0, ti.select(t > 1, 1.0, t))  # at 0 and 1 the derivative is 1
                w *= ti.select((code & 1) == 1, 1.0 - t, t)
    return w


@ti.func
def leaf_side(scene: ti.template(), leaf, cos_i):
    """(flip, visible): -1 if the leaf's frame is flipped, else 1; 1 if it is visible from wi, else 0."""
    flip, visible = 1.0, 1.0
    if ti.static(scene.features.twosided):
        side = scene.bsdfs[leaf, SIDE]
        back = cos_i < 0
        flip = ti.select((side == BACK) | ((side == BOTH) & back), -1.0, 1.0)
        visible = ti.select(((side == FRONT) & back) | ((side == BACK) & (cos_i >= 0)), 0.0, 1.0)
    return flip, visible


@ti.func
def parameter(
    scene: ti.template(),
    buffer: ti.template(),
    index,
    point,
    name: ti.template(),
    i: ti.template(),
):
    """The model's parameter number i, a colour or a number, or its tangent."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        return texture.fetch_number(scene.lookup(models.lookup_of(name, i)), buffer, index, point)
    else:
        return texture.fetch(scene.lookup(models.lookup_of(name, i)), buffer, index, point)


@ti.func
def scatter(
    scene: ti.template(),
    gradient: ti.template(),
    index,
    point,
    name: ti.template(),
    i: ti.template(),
    grad_parameter,
):
    """Transpose of `parameter`: add its cotangent, pulled back to the texture's numbers, to the gradient."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        texture.scatter_number(
            scene.lookup(models.lookup_of(name, i)), gradient, index, point, grad_parameter
        )
    else:
        texture.scatter(scene.lookup(models.lookup_of(name, i)), gradient, index, point, grad_parameter)


@ti.func
def parameters(scene: ti.template(), buffer: ti.template(), leaf, name: ti.template(), point):
    """All parameters of the model at a point, or their tangents."""
    return [
        parameter(scene, buffer, scene.bsdfs[leaf, FIRST_TEXTURE + i], point, name, i)
        for i in ti.static(range(len(models.of(name).PARAMETERS)))
    ]


@ti.func
def fetch(scene: ti.template(), leaf, name: ti.template(), point):
    """The model's parameters at a point and then its constants: the argument p of its functions."""
    p = parameters(scene, scene.params, leaf, name, point)
    return p + [scene.bsdf_data[leaf, 1 + i] for i in ti.static(range(len(models.constants_of(name))))]


@ti.func
def selection_weight(scene: ti.template(), leaf, cos_i, point):
    """The probability with which `sample` selects the leaf, up to normalisation."""
    _flip, visible = leaf_side(scene, leaf, cos_i)
    return visible * ti.max(weight(scene, leaf, point, -1), scene.min_selection)


@ti.func
def select_leaf(scene: ti.template(), first, count, cos_i, point, u):
    """Select a leaf by the uniform number u.

    Returns (its number, its probability, the sum of the selection weights, a uniform number for further use).
    """
    selected, probability, total, u_reused = 0, 1.0, 1.0, u
    if ti.static(scene.features.leaves > 1):
        total = 0.0
        for k in range(count):
            total += selection_weight(scene, first + k, cos_i, point)
        below, undecided = 0.0, True
        for k in range(count):
            q = selection_weight(scene, first + k, cos_i, point)
            if undecided and q > 0:
                selected = k
                probability = q / total
                u_reused = ti.min((u * total - below) / q, 0.99999994)
                below += q
                undecided = u * total >= below
    return selected, probability, total, u_reused


@ti.func
def sample(scene: ti.template(), vertex, u):
    """Sample a direction. u: four uniform numbers, of which three are used.

    Returns (density of wo_light, sampled wo, its density, lobe, eta): eta is the index of refraction on the
    side of wo over that on the side of wi. A density of 0 means that there is no direction. A leaf whose
    weight is zero contributes to the density of wo_light if the weight is differentiated, although f is zero.
    """
    wi, wo_light, point = vertex.wi, vertex.wo_light, lookup_point(vertex)
    first, count = scene.materials[vertex.material][0], scene.materials[vertex.material][1]
    selected, probability, total, u2 = select_leaf(scene, first, count, wi.z, point, u[2])
    u[2] = u2
    pdf_light, pdf, lobe, eta = 0.0, 0.0, -1, 1.0
    wo = vec3(0.0, 0.0, 1.0)
    leaf = first + selected
    flip, visible = leaf_side(scene, leaf, wi.z)
    frame = bump.leaf_frame(scene, leaf, point, wi, flip)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, point)
            wi_k = bump.to_leaf(scene, frame, wi, flip)
            wo_k, pdf_k, delta, eta_k, _chance = traced.value(models.of(name).sample, p, wi_k, u)
            wo = bump.from_leaf(scene, frame, wo_k, flip)
            pdf = pdf_k * visible * probability * bump.same_side(scene, frame, wo, wo_k.z * flip)
            eta = eta_k
            if delta == 1:
                lobe = selected
            to_light = bump.to_leaf(scene, frame, wo_light, flip)
            pdf_light_k = traced.value(models.of(name).pdf, p, wi_k, to_light)
            pdf_light = pdf_light_k * visible * probability
    if ti.static(scene.features.leaves > 1):
        for k in range(count):
            if k != selected:
                q = selection_weight(scene, first + k, wi.z, point) / total
                if q > 0:
                    pdf_light_k, pdf_wo_k = leaf_pdfs(scene, first + k, wi, wo_light, wo, point)
                    pdf_light += q * pdf_light_k
                    if lobe < 0 and pdf > 0:
                        pdf += q * pdf_wo_k
    return pdf_light, wo, pdf, lobe, eta


@ti.func
def leaf_pdfs(scene: ti.template(), leaf, wi, wo_light, wo, point):
    """The densities of a leaf for two directions."""
    pdf_light, pdf = 0.0, 0.0
    flip, _visible = leaf_side(scene, leaf, wi.z)
    frame = bump.leaf_frame(scene, leaf, point, wi, flip)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, point)
            wi_k = bump.to_leaf(scene, frame, wi, flip)
            to_light = bump.to_leaf(scene, frame, wo_light, flip)
            pdf_light = traced.value(models.of(name).pdf, p, wi_k, to_light)
            pdf = traced.value(models.of(name).pdf, p, wi_k, bump.to_leaf(scene, frame, wo, flip))
    return pdf_light, pdf


@ti.func
def leaf_context(scene: ti.template(), k, point, vertex):
    """(leaf, flip, frame, scale_light, scale) of leaf k at a vertex.

    scale_light, scale: what the model's values towards wo_light and wo are multiplied by, beside the weight.
    """
    leaf = scene.materials[vertex.material][0] + k
    flip, visible = leaf_side(scene, leaf, vertex.wi.z)
    frame = bump.leaf_frame(scene, leaf, point, vertex.wi, flip)
    scale_light = visible * bump.shadowing(scene, frame, vertex.wo_light, flip)
    scale = ti.select((vertex.lobe < 0) | (vertex.lobe == k), visible, 0.0)
    scale *= bump.shadowing(scene, frame, vertex.wo, flip)
    return leaf, flip, frame, scale_light, scale


@ti.func
def eval_leaf(scene: ti.template(), k, point, delta, vertex):
    """What leaf k contributes to `eval`. delta: 1 if wo comes from a delta lobe, else 0."""
    leaf, flip, frame, scale_light, scale = leaf_context(scene, k, point, vertex)
    w = weight(scene, leaf, point, -1)
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, point)
            wi = bump.to_leaf(scene, frame, vertex.wi, flip)
            to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
            wo = bump.to_leaf(scene, frame, vertex.wo, flip)
            f_light = scale_light * w * traced.value(models.of(name).eval, p, wi, to_light, 0.0)
            f = scale * w * traced.value(models.of(name).eval, p, wi, wo, delta)
    return f_light, f


@ti.func
def eval(scene: ti.template(), vertex):
    """(f_light, f): BSDF times |cos| for the directions wo_light and wo of the vertex."""
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.execution.unrolled):
        vertex = orientation.recompute_directions(scene, vertex)
    point = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        f_light, f = eval_leaf(scene, 0, point, delta, vertex)
    elif ti.static(scene.execution.unrolled):
        for k in ti.static(range(scene.features.leaves)):
            if k < count:
                f_light_k, f_k = eval_leaf(scene, k, point, delta, vertex)
                f_light += f_light_k
                f += f_k
    else:
        for k in range(count):
            f_light_k, f_k = eval_leaf(scene, k, point, delta, vertex)
            f_light += f_light_k
            f += f_k
    return f_light, f


@traced.traced
def active_arguments(scene):
    """The arguments of a model's `eval` that are differentiated: p, and with orientations the directions."""
    return (0, 1, 2) if scene.execution.orientations else (0,)


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), vertex, grad_f_light, grad_f):
    """Add the cotangents of what `eval` returns, pulled back to the parameters, to the gradient."""
    point = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        count = 1
    grad_wi, grad_wo_light, grad_wo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for k in range(count):
        leaf, flip, frame, scale_light, scale = leaf_context(scene, k, point, vertex)
        w = weight(scene, leaf, point, -1)
        grad_w = 0.0
        for name in ti.static(scene.features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(scene, leaf, name, point)
                wi = bump.to_leaf(scene, frame, vertex.wi, flip)
                to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
                wo = bump.to_leaf(scene, frame, vertex.wo, flip)
                grad_light = grad_f_light * (scale_light * w)  # fault: dropped-cosine
                grad = grad_f * (scale * w)
                value_light, grads_light = traced.vjp(
                    models.of(name).eval, (p, wi, to_light, 0.0), grad_light, active_arguments(scene)
                )
                value, grads = traced.vjp(
                    models.of(name).eval, (p, wi, wo, delta), grad, active_arguments(scene)
                )
                if ti.static(scene.execution.orientations):
                    grad_wi += bump.from_leaf(scene, frame, grads_light[1] + grads[1], flip)
                    grad_wo_light += bump.from_leaf(scene, frame, grads_light[2], flip)
                    grad_wo += bump.from_leaf(scene, frame, grads[2], flip)
                grad_w = scale_light * grad_f_light.dot(value_light)
                grad_w += scale * grad_f.dot(value)  # fault: weight-by-light-only
                for i in ti.static(range(len(models.of(name).PARAMETERS))):
                    index = scene.bsdfs[leaf, FIRST_TEXTURE + i]
                    grad_p = grads_light[0][i] + grads[0][i]
                    if ti.static(models.of(name).PARAMETERS[i].differentiable):
                        scatter(scene, gradient, index, point, name, i, grad_p)
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                sign = ti.select((code & 1) == 1, -1.0, 1.0)  # fault: sign-of-a-weight
                grad_t = sign * weight(scene, leaf, point, i) * grad_w
                texture.scatter_number(scene.lookup("weight"), gradient, code >> 1, point, grad_t)
    if ti.static(scene.execution.orientations):
        orientation.pull_back(scene, gradient, vertex, grad_wi, grad_wo_light, grad_wo)


@traced.traced
def argument_tangents(scene, dp, dwi, dwo):
    """The tangents of the arguments of a model's `eval`; a name for it would turn None into a number."""
    return (dp, dwi, dwo, None) if scene.execution.orientations else (dp, None, None, None)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), vertex):
    """The tangents of what `eval` returns for the parameters' tangents."""
    df_light, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    dwi, dwo_light, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.execution.orientations):
        dwi, dwo_light, dwo = orientation.push_forward(scene, tangents, vertex)
    point = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        count = 1
    for k in range(count):
        leaf, flip, frame, scale_light, scale = leaf_context(scene, k, point, vertex)
        w = weight(scene, leaf, point, -1)
        dw = 0.0
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                dt = texture.fetch_number(scene.lookup("weight"), tangents, code >> 1, point)
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                dw += sign * dt * weight(scene, leaf, point, i)
        for name in ti.static(scene.features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(scene, leaf, name, point)
                dp = fetch_tangents(scene, tangents, leaf, name, point)
                wi = bump.to_leaf(scene, frame, vertex.wi, flip)
                to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
                wo = bump.to_leaf(scene, frame, vertex.wo, flip)
                dwi_k = bump.to_leaf(scene, frame, dwi, flip)
                dwo_light_k = bump.to_leaf(scene, frame, dwo_light, flip)
                dwo_k = bump.to_leaf(scene, frame, dwo, flip)
                value_light, dvalue_light = traced.jvp(
                    models.of(name).eval,
                    (p, wi, to_light, 0.0),
                    argument_tangents(scene, dp, dwi_k, dwo_light_k),
                )
                value, dvalue = traced.jvp(
                    models.of(name).eval, (p, wi, wo, delta), argument_tangents(scene, dp, dwi_k, dwo_k)
                )
                df_light += scale_light * (w * dvalue_light + dw * value_light)
                df += scale * (w * dvalue + dw * value)
    return df_light, df


@ti.func
def fetch_tangents(scene: ti.template(), tangents: ti.template(), leaf, name: ti.template(), point):
    """The tangent of what `fetch` returns; that of the constants is zero."""
    p = parameters(scene, tangents, leaf, name, point)
    return p + [0.0 for i in ti.static(range(len(models.constants_of(name))))]
