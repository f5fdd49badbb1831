"""The scattering at a surface point: a weighted sum of models, and the questions that a path asks of it.

A material is a list of leaves, each a model of kernels/bsdf with what stands around it in the scene file:
`twosided` decides on which side it is visible and flips the frame, `normalmap` and `bumpmap`
(kernels/bump.py) perturb the frame, `blendbsdf` and `mask` give it a weight, a product of textures t or
1 - t.

    f = sum_k w_k f_k        a leaf is picked with probability q_k in proportion to max(w_k, min_selection)

where `min_selection` is zero unless weights are differentiated: then a leaf of weight zero is still sampled.
Where the sampled direction comes from a delta lobe (`lobe` is then the leaf's number, else -1) only that leaf
counts.

Every function runs over the models that the scene uses, so a kernel holds no others.
"""

from prb.kernels import bsdf as models
from prb.kernels import bump, orientation, texture, traced
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import Surface
from prb.kernels.view import BACK, BOTH, FIRST_TEXTURE, FRONT, KIND, SIDE, WEIGHTS

MIN_SELECTION = 0.05  # where weights are differentiated


@ti.func
def lookup_point(vertex):
    """Where the textures of a vertex are looked up."""
    return Surface(uv=vertex.uv, slot=vertex.slot, u=vertex.u, v=vertex.v)


@ti.func
def weight(scene: ti.template(), leaf, at, left_out: ti.template()):
    """The leaf's weight, in [0, 1]; without its factor number `left_out`, -1 for none."""
    w = 1.0
    for i in ti.static(range(scene.features.weights)):
        if ti.static(i != left_out):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                x = texture.fetch_number(scene.at("weight"), scene.params, code >> 1, at)
                x = ti.select(x < 0, 0.0, ti.select(x > 1, 1.0, x))  # at 0 and 1 derivatives pass
                w *= ti.select((code & 1) == 1, 1.0 - x, x)
    return w


@ti.func
def orient(scene: ti.template(), leaf, cos_i):
    """(-1 if the local frame is flipped, else 1; 1 if the leaf is visible on the side of wi, else 0)."""
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
    at,
    name: ti.template(),
    i: ti.template(),
):
    """The model's parameter number i: a colour, or a number."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        return texture.fetch_number(scene.at(models.place_of(name, i)), buffer, index, at)
    else:
        return texture.fetch(scene.at(models.place_of(name, i)), buffer, index, at)


@ti.func
def scatter(
    scene: ti.template(),
    gradient: ti.template(),
    index,
    at,
    name: ti.template(),
    i: ti.template(),
    cotangent,
):
    """Transpose of `parameter`."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        texture.scatter_number(scene.at(models.place_of(name, i)), gradient, index, at, cotangent)
    else:
        texture.scatter(scene.at(models.place_of(name, i)), gradient, index, at, cotangent)


@ti.func
def parameters(scene: ti.template(), buffer: ti.template(), leaf, name: ti.template(), at):
    """All of the model's parameters at the point, or their tangents."""
    return [
        parameter(scene, buffer, scene.bsdfs[leaf, FIRST_TEXTURE + i], at, name, i)
        for i in ti.static(range(len(models.of(name).PARAMETERS)))
    ]


@ti.func
def fetch(scene: ti.template(), leaf, name: ti.template(), at):
    """The model's parameters at the point, then its constants: the p of its functions."""
    p = parameters(scene, scene.params, leaf, name, at)
    return p + [scene.bsdf_data[leaf, 1 + i] for i in ti.static(range(len(models.constants_of(name))))]


@ti.func
def selection_weight(scene: ti.template(), leaf, cos_i, at):
    """The probability with which `sample` picks the leaf, not normalised."""
    _flip, visible = orient(scene, leaf, cos_i)
    return visible * ti.max(weight(scene, leaf, at, -1), scene.min_selection)


@ti.func
def select_leaf(scene: ti.template(), first, count, cos_i, at, u):
    """Pick a leaf. Returns (its number, its probability, the sum of selection weights, u to go on with)."""
    chosen, probability, total, rest = 0, 1.0, 1.0, u
    if ti.static(scene.features.leaves > 1):
        total = 0.0
        for k in range(count):
            total += selection_weight(scene, first + k, cos_i, at)
        below, searching = 0.0, True
        for k in range(count):
            q = selection_weight(scene, first + k, cos_i, at)
            if searching and q > 0:
                chosen = k
                probability = q / total
                rest = ti.min((u * total - below) / q, 0.99999994)
                below += q
                searching = u * total >= below
    return chosen, probability, total, rest


@ti.func
def sample(scene: ti.template(), vertex, u):
    """A direction. Returns (density of wo_light, sampled wo, its density, lobe, relative refraction index).

    A density of 0: there is no direction. Unlike f, the density of wo_light is not zero where only a
    differentiated weight is. For a delta lobe the density is a probability.
    """
    wi, wo_light, at = vertex.wi, vertex.wo_light, lookup_point(vertex)
    first, count = scene.materials[vertex.material][0], scene.materials[vertex.material][1]
    chosen, probability, total, u2 = select_leaf(scene, first, count, wi.z, at, u[2])
    u[2] = u2
    pdf_light, pdf, lobe, eta = 0.0, 0.0, -1, 1.0
    wo = vec3(0.0, 0.0, 1.0)
    leaf = first + chosen
    flip, visible = orient(scene, leaf, wi.z)
    frame = bump.leaf_frame(scene, leaf, at, wi, flip)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, at)
            wi_k = bump.to_leaf(scene, frame, wi, flip)
            wo_k, pdf_k, delta, eta_k = traced.value(models.of(name).sample, p, wi_k, u)
            wo = bump.from_leaf(scene, frame, wo_k, flip)
            pdf = pdf_k * visible * probability * bump.same_side(scene, frame, wo, wo_k.z * flip)
            eta = eta_k
            if delta == 1:
                lobe = chosen
            to_light = bump.to_leaf(scene, frame, wo_light, flip)
            pdf_l = traced.value(models.of(name).pdf, p, wi_k, to_light)
            pdf_light = pdf_l * visible * probability
    if ti.static(scene.features.leaves > 1):
        for k in range(count):
            if k != chosen:
                q = selection_weight(scene, first + k, wi.z, at) / total
                if q > 0:
                    to_light, to_wo = density(scene, first + k, wi, wo_light, wo, at)
                    pdf_light += q * to_light
                    if lobe < 0 and pdf > 0:
                        pdf += q * to_wo
    return pdf_light, wo, pdf, lobe, eta


@ti.func
def density(scene: ti.template(), leaf, wi, wo_a, wo_b, at):
    """A leaf's own density of two directions."""
    pdf_a, pdf_b = 0.0, 0.0
    flip, _visible = orient(scene, leaf, wi.z)
    frame = bump.leaf_frame(scene, leaf, at, wi, flip)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, at)
            wi_k = bump.to_leaf(scene, frame, wi, flip)
            pdf_a = traced.value(models.of(name).pdf, p, wi_k, bump.to_leaf(scene, frame, wo_a, flip))
            pdf_b = traced.value(models.of(name).pdf, p, wi_k, bump.to_leaf(scene, frame, wo_b, flip))
    return pdf_a, pdf_b


@ti.func
def leaf_context(scene: ti.template(), k, at, vertex):
    """The surroundings of leaf k at a vertex: (leaf, flip, frame, factor of f_light, factor of f).

    The leaf's weight is not among the factors.
    """
    leaf = scene.materials[vertex.material][0] + k
    flip, visible = orient(scene, leaf, vertex.wi.z)
    frame = bump.leaf_frame(scene, leaf, at, vertex.wi, flip)
    s_light = visible * bump.shadowing(scene, frame, vertex.wo_light, flip)
    s = ti.select((vertex.lobe < 0) | (vertex.lobe == k), visible, 0.0)
    s *= bump.shadowing(scene, frame, vertex.wo, flip)
    return leaf, flip, frame, s_light, s


@ti.func
def eval_leaf(scene: ti.template(), k, at, delta, vertex):
    """A leaf's part of `eval`."""
    leaf, flip, frame, s_light, s = leaf_context(scene, k, at, vertex)
    w = weight(scene, leaf, at, -1)
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for name in ti.static(scene.features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(scene, leaf, name, at)
            wi = bump.to_leaf(scene, frame, vertex.wi, flip)
            to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
            wo = bump.to_leaf(scene, frame, vertex.wo, flip)
            f_light = s_light * w * traced.value(models.of(name).eval, p, wi, to_light, 0.0)
            f = s * w * traced.value(models.of(name).eval, p, wi, wo, delta)
    return f_light, f


@ti.func
def eval(scene: ti.template(), vertex):
    """f |cos| of a vertex for the direction to its light and for its sampled direction."""
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.execution.unrolled):
        vertex = orientation.follow(scene, vertex)
    at = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        f_light, f = eval_leaf(scene, 0, at, delta, vertex)
    elif ti.static(scene.execution.unrolled):
        for k in ti.static(range(scene.features.leaves)):
            if k < count:
                f_light_k, f_k = eval_leaf(scene, k, at, delta, vertex)
                f_light += f_light_k
                f += f_k
    else:
        for k in range(count):
            f_light_k, f_k = eval_leaf(scene, k, at, delta, vertex)
            f_light += f_light_k
            f += f_k
    return f_light, f


@traced.traced
def active_arguments(scene):
    """The arguments of a model's `eval` that are differentiated: the parameters, and directions or not."""
    return (0, 1, 2) if scene.execution.orientations else (0,)


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), vertex, grad_f_light, grad_f):
    """Send the cotangents of what `eval` returns to the parameters."""
    at = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        count = 1
    grad_wi, grad_wo_light, grad_wo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for k in range(count):
        leaf, flip, frame, s_light, s = leaf_context(scene, k, at, vertex)
        w = weight(scene, leaf, at, -1)
        grad_w = 0.0
        for name in ti.static(scene.features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(scene, leaf, name, at)
                wi = bump.to_leaf(scene, frame, vertex.wi, flip)
                to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
                wo = bump.to_leaf(scene, frame, vertex.wo, flip)
                c_light, c = grad_f_light * (s_light * w), grad_f * (s * w)  # fault: dropped-cosine
                f_a, a = traced.vjp(
                    models.of(name).eval, (p, wi, to_light, 0.0), c_light, active_arguments(scene)
                )
                f_b, b = traced.vjp(models.of(name).eval, (p, wi, wo, delta), c, active_arguments(scene))
                if ti.static(scene.execution.orientations):
                    grad_wi += bump.from_leaf(scene, frame, a[1] + b[1], flip)
                    grad_wo_light += bump.from_leaf(scene, frame, a[2], flip)
                    grad_wo += bump.from_leaf(scene, frame, b[2], flip)
                grad_w = s_light * grad_f_light.dot(f_a) + s * grad_f.dot(f_b)  # fault: weight-by-light-only
                for i in ti.static(range(len(models.of(name).PARAMETERS))):
                    index = scene.bsdfs[leaf, FIRST_TEXTURE + i]
                    grad_p = a[0][i] + b[0][i]
                    if ti.static(models.of(name).PARAMETERS[i].differentiable):
                        scatter(scene, gradient, index, at, name, i, grad_p)
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                sign = ti.select((code & 1) == 1, -1.0, 1.0)  # fault: sign-of-a-weight
                grad_t = sign * weight(scene, leaf, at, i) * grad_w
                texture.scatter_number(scene.at("weight"), gradient, code >> 1, at, grad_t)
    if ti.static(scene.execution.orientations):
        orientation.pull_back(scene, gradient, vertex, grad_wi, grad_wo_light, grad_wo)


@traced.traced
def argument_tangents(scene, dp, dwi, dwo):
    """The tangents of the arguments of a model's `eval`; a name for it would turn None into a number."""
    return (dp, dwi, dwo, None) if scene.execution.orientations else (dp, None, None, None)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), vertex):
    """The tangents of what `eval` returns under the parameters' tangents."""
    df_light, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    dwi, dwo_light, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(scene.execution.orientations):
        dwi, dwo_light, dwo = orientation.push_forward(scene, tangents, vertex)
    at = lookup_point(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(scene.features.leaves == 1):
        count = 1
    for k in range(count):
        leaf, flip, frame, s_light, s = leaf_context(scene, k, at, vertex)
        w = weight(scene, leaf, at, -1)
        dw = 0.0
        for i in ti.static(range(scene.features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                dt = texture.fetch_number(scene.at("weight"), tangents, code >> 1, at)
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                dw += sign * dt * weight(scene, leaf, at, i)
        for name in ti.static(scene.features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(scene, leaf, name, at)
                dp = fetch_tangents(scene, tangents, leaf, name, at)
                wi = bump.to_leaf(scene, frame, vertex.wi, flip)
                to_light = bump.to_leaf(scene, frame, vertex.wo_light, flip)
                wo = bump.to_leaf(scene, frame, vertex.wo, flip)
                dwi_k = bump.to_leaf(scene, frame, dwi, flip)
                dwo_light_k = bump.to_leaf(scene, frame, dwo_light, flip)
                dwo_k = bump.to_leaf(scene, frame, dwo, flip)
                f_a, df_a = traced.jvp(
                    models.of(name).eval,
                    (p, wi, to_light, 0.0),
                    argument_tangents(scene, dp, dwi_k, dwo_light_k),
                )
                f_b, df_b = traced.jvp(
                    models.of(name).eval, (p, wi, wo, delta), argument_tangents(scene, dp, dwi_k, dwo_k)
                )
                df_light += s_light * (w * df_a + dw * f_a)
                df += s * (w * df_b + dw * f_b)
    return df_light, df


@ti.func
def fetch_tangents(scene: ti.template(), tangents: ti.template(), leaf, name: ti.template(), at):
    """As `fetch`, of the parameters' tangents; those of the constants are zero."""
    p = parameters(scene, tangents, leaf, name, at)
    return p + [0.0 for i in ti.static(range(len(models.constants_of(name))))]
