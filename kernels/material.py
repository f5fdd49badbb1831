"""The scattering at a surface point: a weighted sum of models, and its four questions.

A material is a list of leaves, each a model of kernels/bsdf with what stands around it in the scene file:
`twosided` decides on which side it shows and flips the frame, `normalmap` and `bumpmap` (kernels/bump.py)
turn the frame, `blendbsdf` and `mask` give it a weight, a product of textures t or 1 - t.

    f = sum_k w_k f_k        sampled by picking a leaf with probability q_k in proportion to max(w_k, rare)

where `rare` is zero unless weights are differentiated: then a leaf of weight zero is still sampled. Where the
sampled direction comes from a delta lobe (`lobe` is then the leaf's number, else -1) only that leaf counts.

Every function runs over the models that the scene uses, so a kernel holds no others.
"""

from prb.kernels import bsdf as models
from prb.kernels import bump, orientation, texture, traced
from prb.kernels.backend import ti
from prb.kernels.frame import vec3
from prb.kernels.texture import Surface
from prb.kernels.view import BACK, BOTH, FIRST_TEXTURE, FRONT, KIND, SIDE, WEIGHTS

RARE = 0.05


@ti.func
def place(vertex):
    """Where the textures of a vertex are looked up."""
    return Surface(uv=vertex.uv, slot=vertex.slot, u=vertex.u, v=vertex.v)


@ti.func
def weight(features: ti.template(), scene: ti.template(), leaf, at, left_out: ti.template()):
    """The leaf's weight, in [0, 1]; without its factor number `left_out`, -1 for none."""
    w = 1.0
    for i in ti.static(range(features.weights)):
        if ti.static(i != left_out):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                x = texture.fetch_number(features.at("weight"), scene, scene.params, code >> 1, at)
                x = ti.select(x < 0, 0.0, ti.select(x > 1, 1.0, x))  # at 0 and 1 derivatives pass
                w *= ti.select((code & 1) == 1, 1.0 - x, x)
    return w


@ti.func
def orient(features: ti.template(), scene: ti.template(), leaf, cos_i):
    """(1 or -1: whether the local frame is flipped, 1 or 0: whether the leaf shows on the side of wi)."""
    flip, shows = 1.0, 1.0
    if ti.static(features.twosided):
        side = scene.bsdfs[leaf, SIDE]
        back = cos_i < 0
        flip = ti.select((side == BACK) | ((side == BOTH) & back), -1.0, 1.0)
        shows = ti.select(((side == FRONT) & back) | ((side == BACK) & (cos_i >= 0)), 0.0, 1.0)
    return flip, shows


@ti.func
def parameter(
    features: ti.template(),
    scene: ti.template(),
    buffer: ti.template(),
    index,
    at,
    name: ti.template(),
    i: ti.template(),
):
    """The model's parameter number i: a colour, or a number."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        return texture.fetch_number(features.at(models.place_of(name, i)), scene, buffer, index, at)
    else:
        return texture.fetch(features.at(models.place_of(name, i)), scene, buffer, index, at)


@ti.func
def scatter(
    features: ti.template(),
    scene: ti.template(),
    gradient: ti.template(),
    room,
    index,
    at,
    name: ti.template(),
    i: ti.template(),
    cotangent,
):
    """Transpose of `parameter`."""
    if ti.static(models.of(name).PARAMETERS[i].number):
        texture.scatter_number(
            features.at(models.place_of(name, i)), scene, gradient, room, index, at, cotangent
        )
    else:
        texture.scatter(features.at(models.place_of(name, i)), scene, gradient, room, index, at, cotangent)


@ti.func
def parameters(
    features: ti.template(), scene: ti.template(), buffer: ti.template(), leaf, name: ti.template(), at
):
    """All of the model's parameters at the point, or their tangents."""
    return [
        parameter(features, scene, buffer, scene.bsdfs[leaf, FIRST_TEXTURE + i], at, name, i)
        for i in ti.static(range(len(models.of(name).PARAMETERS)))
    ]


@ti.func
def fetch(features: ti.template(), scene: ti.template(), leaf, name: ti.template(), at):
    """The model's parameters at the point, then its constants: the p of its functions."""
    p = parameters(features, scene, scene.params, leaf, name, at)
    return p + [scene.bsdf_data[leaf, 1 + i] for i in ti.static(range(len(models.constants_of(name))))]


@ti.func
def chance(features: ti.template(), scene: ti.template(), leaf, cos_i, at):
    """In proportion to the probability with which `sample` takes the leaf."""
    _flip, shows = orient(features, scene, leaf, cos_i)
    return shows * ti.max(weight(features, scene, leaf, at, -1), scene.rare)


@ti.func
def choose(features: ti.template(), scene: ti.template(), first, count, cos_i, at, u):
    """Take a leaf. Returns (its number, its probability, the sum of all chances, what is left of u)."""
    chosen, share, total, rest = 0, 1.0, 1.0, u
    if ti.static(features.leaves > 1):
        total = 0.0
        for k in range(count):
            total += chance(features, scene, first + k, cos_i, at)
        below, searching = 0.0, True
        for k in range(count):
            q = chance(features, scene, first + k, cos_i, at)
            if searching and q > 0:
                chosen = k
                share = q / total
                rest = ti.min((u * total - below) / q, 0.99999994)
                below += q
                searching = u * total >= below
    return chosen, share, total, rest


@ti.func
def sample(features: ti.template(), scene: ti.template(), vertex, u):
    """A direction. Returns (density of wo_light, sampled wo, its density, lobe, relative refraction index).

    A density of 0: there is no direction. Unlike f, the density of wo_light is not zero where only a
    differentiated weight is. For a delta lobe the density is a probability.
    """
    wi, wo_light, at = vertex.wi, vertex.wo_light, place(vertex)
    first, count = scene.materials[vertex.material][0], scene.materials[vertex.material][1]
    chosen, share, total, u2 = choose(features, scene, first, count, wi.z, at, u[2])
    u[2] = u2
    pdf_light, pdf, lobe, eta = 0.0, 0.0, -1, 1.0
    wo = vec3(0.0, 0.0, 1.0)
    leaf = first + chosen
    flip, shows = orient(features, scene, leaf, wi.z)
    turned = bump.turn(features, scene, leaf, at, wi, flip)
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, leaf, name, at)
            wi_k = bump.inwards(features, turned, wi, flip)
            wo_k, pdf_k, delta, eta_k = traced.value(models.of(name).sample, p, wi_k, u)
            wo = bump.outwards(features, turned, wo_k, flip)
            pdf = pdf_k * shows * share * bump.visible(features, turned, wo, wo_k.z * flip)
            eta = eta_k
            if delta == 1:
                lobe = chosen
            to_light = bump.inwards(features, turned, wo_light, flip)
            pdf_l = traced.value(models.of(name).pdf, p, wi_k, to_light)
            pdf_light = pdf_l * shows * share
    if ti.static(features.leaves > 1):
        for k in range(count):
            if k != chosen:
                q = chance(features, scene, first + k, wi.z, at) / total
                if q > 0:
                    to_light, to_wo = density(features, scene, first + k, wi, wo_light, wo, at)
                    pdf_light += q * to_light
                    if lobe < 0 and pdf > 0:
                        pdf += q * to_wo
    return pdf_light, wo, pdf, lobe, eta


@ti.func
def density(features: ti.template(), scene: ti.template(), leaf, wi, wo_a, wo_b, at):
    """A leaf's own density of two directions."""
    pdf_a, pdf_b = 0.0, 0.0
    flip, _shows = orient(features, scene, leaf, wi.z)
    turned = bump.turn(features, scene, leaf, at, wi, flip)
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, leaf, name, at)
            wi_k = bump.inwards(features, turned, wi, flip)
            pdf_a = traced.value(models.of(name).pdf, p, wi_k, bump.inwards(features, turned, wo_a, flip))
            pdf_b = traced.value(models.of(name).pdf, p, wi_k, bump.inwards(features, turned, wo_b, flip))
    return pdf_a, pdf_b


@ti.func
def open(features: ti.template(), scene: ti.template(), k, at, vertex):
    """What stands around leaf k of a vertex: (leaf, flip, turned, factor of f_light, factor of f), the
    weight not among the factors."""
    leaf = scene.materials[vertex.material][0] + k
    flip, shows = orient(features, scene, leaf, vertex.wi.z)
    turned = bump.turn(features, scene, leaf, at, vertex.wi, flip)
    s_light = shows * bump.shadowing(features, turned, vertex.wo_light, flip)
    s = ti.select((vertex.lobe < 0) | (vertex.lobe == k), shows, 0.0)
    s *= bump.shadowing(features, turned, vertex.wo, flip)
    return leaf, flip, turned, s_light, s


@ti.func
def eval_leaf(features: ti.template(), scene: ti.template(), k, at, delta, vertex):
    """A leaf's part of `eval`."""
    leaf, flip, turned, s_light, s = open(features, scene, k, at, vertex)
    w = weight(features, scene, leaf, at, -1)
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, leaf, name, at)
            wi = bump.inwards(features, turned, vertex.wi, flip)
            to_light = bump.inwards(features, turned, vertex.wo_light, flip)
            wo = bump.inwards(features, turned, vertex.wo, flip)
            f_light = s_light * w * traced.value(models.of(name).eval, p, wi, to_light, 0.0)
            f = s * w * traced.value(models.of(name).eval, p, wi, wo, delta)
    return f_light, f


@ti.func
def eval(features: ti.template(), scene: ti.template(), vertex):
    """f |cos| of a vertex for the direction to its light and for its sampled direction."""
    f_light, f = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(features.unrolled):
        vertex = orientation.tilted(features, scene, vertex)
    at = place(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(features.leaves == 1):
        f_light, f = eval_leaf(features, scene, 0, at, delta, vertex)
    elif ti.static(features.unrolled):
        for k in ti.static(range(features.leaves)):
            if k < count:
                f_light_k, f_k = eval_leaf(features, scene, k, at, delta, vertex)
                f_light += f_light_k
                f += f_k
    else:
        for k in range(count):
            f_light_k, f_k = eval_leaf(features, scene, k, at, delta, vertex)
            f_light += f_light_k
            f += f_k
    return f_light, f


@traced.traced
def active(features):
    """The arguments of a model's `eval` that are differentiated: the parameters, and directions or not."""
    return (0, 1, 2) if features.shading else (0,)


@ti.func
def pull_back(
    features: ti.template(), scene: ti.template(), gradient: ti.template(), room, vertex, df_light, df
):
    """Send the cotangents of what `eval` returns to the parameters."""
    at = place(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(features.leaves == 1):
        count = 1
    c_wi, c_wl, c_wo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for k in range(count):
        leaf, flip, turned, s_light, s = open(features, scene, k, at, vertex)
        w = weight(features, scene, leaf, at, -1)
        dw = 0.0
        for name in ti.static(features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(features, scene, leaf, name, at)
                wi = bump.inwards(features, turned, vertex.wi, flip)
                to_light = bump.inwards(features, turned, vertex.wo_light, flip)
                wo = bump.inwards(features, turned, vertex.wo, flip)
                c_light, c = df_light * (s_light * w), df * (s * w)
                f_a, a = traced.vjp(models.of(name).eval, (p, wi, to_light, 0.0), c_light, active(features))
                f_b, b = traced.vjp(models.of(name).eval, (p, wi, wo, delta), c, active(features))
                if ti.static(features.shading):
                    c_wi += bump.outwards(features, turned, a[1] + b[1], flip)
                    c_wl += bump.outwards(features, turned, a[2], flip)
                    c_wo += bump.outwards(features, turned, b[2], flip)
                dw = s_light * df_light.dot(f_a) + s * df.dot(f_b)
                for i in ti.static(range(len(models.of(name).PARAMETERS))):
                    index = scene.bsdfs[leaf, FIRST_TEXTURE + i]
                    dp = a[0][i] + b[0][i]
                    if ti.static(models.of(name).PARAMETERS[i].differentiable):
                        scatter(features, scene, gradient, room, index, at, name, i, dp)
        for i in ti.static(range(features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                dt = sign * weight(features, scene, leaf, at, i) * dw
                texture.scatter_number(features.at("weight"), scene, gradient, room, code >> 1, at, dt)
    if ti.static(features.shading):
        orientation.pull_back(features, scene, gradient, room, vertex, c_wi, c_wl, c_wo)


@traced.traced
def moved(features, dp, dwi, dwo):
    """The tangents of the arguments of a model's `eval`; a name for it would turn None into a number."""
    return (dp, dwi, dwo, None) if features.shading else (dp, None, None, None)


@ti.func
def push_forward(features: ti.template(), scene: ti.template(), tangents: ti.template(), vertex):
    """The tangents of what `eval` returns under the parameters' tangents."""
    df_light, df = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    dwi, dlight, dwo = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    if ti.static(features.shading):
        dwi, dlight, dwo = orientation.tangents(features, scene, tangents, vertex)
    at = place(vertex)
    count = scene.materials[vertex.material][1]
    delta = ti.select(vertex.lobe >= 0, 1.0, 0.0)
    if ti.static(features.leaves == 1):
        count = 1
    for k in range(count):
        leaf, flip, turned, s_light, s = open(features, scene, k, at, vertex)
        w = weight(features, scene, leaf, at, -1)
        dw = 0.0
        for i in ti.static(range(features.weights)):
            code = scene.bsdfs[leaf, WEIGHTS + i]
            if code >= 0:
                dt = texture.fetch_number(features.at("weight"), scene, tangents, code >> 1, at)
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                dw += sign * dt * weight(features, scene, leaf, at, i)
        for name in ti.static(features.bsdfs):
            if scene.bsdfs[leaf, KIND] == ti.static(models.KINDS[name]):
                p = fetch(features, scene, leaf, name, at)
                dp = fetch_tangents(features, scene, tangents, leaf, name, at)
                wi = bump.inwards(features, turned, vertex.wi, flip)
                to_light = bump.inwards(features, turned, vertex.wo_light, flip)
                wo = bump.inwards(features, turned, vertex.wo, flip)
                dwi_k = bump.inwards(features, turned, dwi, flip)
                dlight_k = bump.inwards(features, turned, dlight, flip)
                dwo_k = bump.inwards(features, turned, dwo, flip)
                f_a, d_a = traced.jvp(
                    models.of(name).eval, (p, wi, to_light, 0.0), moved(features, dp, dwi_k, dlight_k)
                )
                f_b, d_b = traced.jvp(
                    models.of(name).eval, (p, wi, wo, delta), moved(features, dp, dwi_k, dwo_k)
                )
                df_light += s_light * (w * d_a + dw * f_a)
                df += s * (w * d_b + dw * f_b)
    return df_light, df


@ti.func
def fetch_tangents(
    features: ti.template(), scene: ti.template(), tangents: ti.template(), leaf, name: ti.template(), at
):
    """As `fetch`, of the parameters' tangents; those of the constants are zero."""
    p = parameters(features, scene, tangents, leaf, name, at)
    return p + [0.0 for i in ti.static(range(len(models.constants_of(name))))]
