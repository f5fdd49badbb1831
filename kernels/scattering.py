"""The scattering in a medium: its phase function, a weighted sum of models.

A medium's phase function is a list of leaves, each a model of kernels/phase with a weight, a product of
factors t or 1 - t, t the number of a volume at the point (of `blendphase`).

    phase = sum_k w_k phase_k        leaf k is selected with probability q_k in proportion to
                                     max(w_k, min_selection)

`min_selection` is zero unless weights are differentiated; then leaves of weight zero are sampled, too.

Directions are unit vectors in world space that point away from the scattering point p; kernels/phase has the
conventions. Values and densities are by solid angle. Every function loops over the models that the scene
uses, so that a kernel holds no others.
"""

from prb.kernels import phase as models
from prb.kernels import traced, volume
from prb.kernels.backend import ti
from prb.kernels.medium import PHASE, PHASES
from prb.kernels.phase import tabphase

# Columns of `phases`, one row for each leaf: its model; the factors of its weight (2 i for the value t of
# volume i, 2 i + 1 for 1 - t, -1 for none); the volume of its parameter (-1 for none); its first number in
# `phase_tables`.
KIND, WEIGHTS = 0, 1
MAX_WEIGHTS = 4
VOLUME, TABLE = WEIGHTS + MAX_WEIGHTS, WEIGHTS + MAX_WEIGHTS + 1
PHASE_COLUMNS = TABLE + 1


@ti.func
def weight(scene: ti.template(), leaf, p, excluded: ti.template()):
    """The leaf's weight, in [0, 1], without its factor number `excluded` (-1: with all factors)."""
    w = 1.0
    for i in ti.static(range(scene.features.phase_weights)):
        if ti.static(i != excluded):
            code = scene.phases[leaf, WEIGHTS + i]
            if code >= 0:
                t = volume.fetch_number(scene, scene.params, code >> 1, p)
                t = ti.select(t < 0, 0.0, ti.select(t > 1, 1.0, t))  # at 0 and 1 the derivative is 1
                w *= ti.select((code & 1) == 1, 1.0 - t, t)
    return w


@ti.func
def parameters(scene: ti.template(), buffer: ti.template(), leaf, name: ti.template(), p):
    """The numbers of a leaf's model at a point, the argument p of its functions, or their tangents."""
    if ti.static(models.reads(name) == models.NUMBER):
        return [volume.fetch_number(scene, buffer, scene.phases[leaf, VOLUME], p)]
    elif ti.static(models.reads(name) == models.PAIR):
        first, second = volume.fetch_pair(scene, buffer, scene.phases[leaf, VOLUME], p)
        return [first, second]
    else:
        return []


@ti.func
def scatter(scene: ti.template(), gradient: ti.template(), leaf, name: ti.template(), p, grads):
    """Transpose of `parameters`."""
    index = scene.phases[leaf, VOLUME]
    if ti.static(models.reads(name) == models.NUMBER):
        volume.scatter_number(scene, gradient, index, p, grads[0])
    else:
        volume.scatter_pair(scene, gradient, index, p, grads[0], grads[1])


@ti.func
def leaf_values(scene: ti.template(), leaf, p, wi, wo_light, wo):
    """The values of a leaf's model for two directions."""
    value_light, value = 0.0, 0.0
    for name in ti.static(scene.features.phases):
        if scene.phases[leaf, KIND] == ti.static(models.KINDS[name]):
            if ti.static(models.reads(name) == models.TABLE):
                light_k, value_k = tabphase.values(scene, scene.phases[leaf, VOLUME], wi, wo_light, wo)
                value_light, value = light_k, value_k
            else:
                numbers = parameters(scene, scene.params, leaf, name, p)
                value_light = traced.value(models.of(name).eval, numbers, wi, wo_light)
                value = traced.value(models.of(name).eval, numbers, wi, wo)
    return value_light, value


@ti.func
def leaf_densities(scene: ti.template(), leaf, p, wi, wo_light, wo):
    """The densities of a leaf's model for two directions."""
    pdf_light, pdf = 0.0, 0.0
    for name in ti.static(scene.features.phases):
        if scene.phases[leaf, KIND] == ti.static(models.KINDS[name]):
            if ti.static(models.reads(name) == models.TABLE):
                index, table = scene.phases[leaf, VOLUME], scene.phases[leaf, TABLE]
                pdf_light = tabphase.density(scene, index, table, wi, wo_light)
                pdf = tabphase.density(scene, index, table, wi, wo)
            else:
                numbers = parameters(scene, scene.params, leaf, name, p)
                pdf_light = traced.value(models.of(name).pdf, numbers, wi, wo_light)
                pdf = traced.value(models.of(name).pdf, numbers, wi, wo)
    return pdf_light, pdf


@ti.func
def select_leaf(scene: ti.template(), first, count, p, u):
    """Select a leaf by the uniform number u: (its number, its probability, the sum of selection weights)."""
    selected, probability, total = 0, 1.0, 1.0
    if ti.static(scene.features.phase_leaves > 1):
        total = 0.0
        for k in range(count):
            total += ti.max(weight(scene, first + k, p, -1), scene.min_selection)
        below, undecided = 0.0, True
        for k in range(count):
            q = ti.max(weight(scene, first + k, p, -1), scene.min_selection)
            if undecided and q > 0:
                selected = k
                probability = q / total
                below += q
                undecided = u * total >= below
    return selected, probability, total


@ti.func
def sample(scene: ti.template(), medium, p, wi, wo_light, u):
    """Sample a direction. u: four uniform numbers, of which three are used.

    Returns (density of wo_light, sampled wo, its density). A density of 0 means that there is no direction. A
    leaf whose weight is zero contributes to the densities if the weight is differentiated.
    """
    first, count = scene.media[medium, PHASE], scene.media[medium, PHASES]
    selected, probability, total = select_leaf(scene, first, count, p, u[2])
    pdf_light, pdf, wo = 0.0, 0.0, -wi
    for name in ti.static(scene.features.phases):
        if scene.phases[first + selected, KIND] == ti.static(models.KINDS[name]):
            if ti.static(models.reads(name) == models.TABLE):
                index, table = scene.phases[first + selected, VOLUME], scene.phases[first + selected, TABLE]
                wo = tabphase.sample(scene, index, table, wi, u)
                pdf = tabphase.density(scene, index, table, wi, wo) * probability
                pdf_light = tabphase.density(scene, index, table, wi, wo_light) * probability
            else:
                numbers = parameters(scene, scene.params, first + selected, name, p)
                wo_k, pdf_k = traced.value(models.of(name).sample, numbers, wi, u)
                wo = wo_k
                pdf = pdf_k * probability
                pdf_light = traced.value(models.of(name).pdf, numbers, wi, wo_light) * probability
    if ti.static(scene.features.phase_leaves > 1):
        for k in range(count):
            if k != selected:
                q = ti.max(weight(scene, first + k, p, -1), scene.min_selection) / total
                if q > 0:
                    pdf_light_k, pdf_k = leaf_densities(scene, first + k, p, wi, wo_light, wo)
                    pdf_light += q * pdf_light_k
                    if pdf > 0:
                        pdf += q * pdf_k
    return pdf_light, wo, pdf


@ti.func
def eval_leaf(scene: ti.template(), leaf, p, wi, wo_light, wo):
    """What a leaf contributes to `eval`."""
    w = weight(scene, leaf, p, -1)
    value_light, value = leaf_values(scene, leaf, p, wi, wo_light, wo)
    return w * value_light, w * value


@ti.func
def eval(scene: ti.template(), medium, p, wi, wo_light, wo):
    """The phase function for the directions wo_light and wo."""
    first, count = scene.media[medium, PHASE], scene.media[medium, PHASES]
    phase_light, phase = 0.0, 0.0
    if ti.static(scene.features.phase_leaves == 1):
        phase_light, phase = eval_leaf(scene, first, p, wi, wo_light, wo)
    elif ti.static(scene.execution.unrolled):
        for k in ti.static(range(scene.features.phase_leaves)):
            if k < count:
                light_k, phase_k = eval_leaf(scene, first + k, p, wi, wo_light, wo)
                phase_light += light_k
                phase += phase_k
    else:
        for k in range(count):
            light_k, phase_k = eval_leaf(scene, first + k, p, wi, wo_light, wo)
            phase_light += light_k
            phase += phase_k
    return phase_light, phase


@ti.func
def leaf_pull_back(
    scene: ti.template(), gradient: ti.template(), leaf, p, wi, wo_light, wo, w, grad_light, grad
):  # fmt: skip
    """As `pull_back`, of one leaf with the weight w. Returns the cotangent of the weight."""
    grad_w = 0.0
    for name in ti.static(scene.features.phases):
        if scene.phases[leaf, KIND] == ti.static(models.KINDS[name]):
            if ti.static(models.reads(name) in (models.NOTHING, models.TABLE)):
                if ti.static(models.reads(name) == models.TABLE):
                    index = scene.phases[leaf, VOLUME]
                    tabphase.pull_back(scene, gradient, index, wi, wo_light, wo, w * grad_light, w * grad)
                if ti.static(scene.features.phase_weights > 0):
                    value_light, value = leaf_values(scene, leaf, p, wi, wo_light, wo)
                    grad_w = grad_light * value_light + grad * value
            else:
                function = ti.static(models.of(name).eval)
                numbers = parameters(scene, scene.params, leaf, name, p)
                value_light, grads_light = traced.vjp(function, (numbers, wi, wo_light), w * grad_light, (0,))
                value, grads = traced.vjp(function, (numbers, wi, wo), w * grad, (0,))
                grad_w = grad_light * value_light + grad * value
                sums = [grads_light[0][i] + grads[0][i] for i in ti.static(range(models.items(name)))]
                scatter(scene, gradient, leaf, name, p, sums)
    return grad_w


@ti.func
def pull_back(
    scene: ti.template(), gradient: ti.template(), medium, p, wi, wo_light, wo, grad_light, grad
):  # fmt: skip
    """Add the cotangents of what `eval` returns, pulled back to the parameters, to the gradient."""
    first, count = scene.media[medium, PHASE], scene.media[medium, PHASES]
    if ti.static(scene.features.phase_leaves == 1):
        count = 1
    for k in range(count):
        leaf = first + k
        w = weight(scene, leaf, p, -1)
        grad_w = leaf_pull_back(scene, gradient, leaf, p, wi, wo_light, wo, w, grad_light, grad)
        for i in ti.static(range(scene.features.phase_weights)):
            code = scene.phases[leaf, WEIGHTS + i]
            if code >= 0:
                sign = ti.select((code & 1) == 1, -1.0, 1.0)
                grad_t = sign * weight(scene, leaf, p, i) * grad_w
                volume.scatter_number(scene, gradient, code >> 1, p, grad_t)


@ti.func
def leaf_push_forward(scene: ti.template(), tangents: ti.template(), leaf, p, wi, wo):
    """The value of a leaf's model and its tangent."""
    value, dvalue = 0.0, 0.0
    for name in ti.static(scene.features.phases):
        if scene.phases[leaf, KIND] == ti.static(models.KINDS[name]):
            if ti.static(models.reads(name) == models.TABLE):
                value_k, dvalue_k = tabphase.push_forward(scene, tangents, scene.phases[leaf, VOLUME], wi, wo)
                value, dvalue = value_k, dvalue_k
            elif ti.static(models.reads(name) == models.NOTHING):
                value = traced.value(models.of(name).eval, [], wi, wo)
            else:
                numbers = parameters(scene, scene.params, leaf, name, p)
                dnumbers = parameters(scene, tangents, leaf, name, p)
                value_k, dvalue_k = traced.jvp(
                    models.of(name).eval, (numbers, wi, wo), (dnumbers, None, None)
                )
                value, dvalue = value_k, dvalue_k
    return value, dvalue


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), medium, p, wi, wo_light, wo):
    """The tangents of what `eval` returns for the parameters' tangents."""
    first, count = scene.media[medium, PHASE], scene.media[medium, PHASES]
    if ti.static(scene.features.phase_leaves == 1):
        count = 1
    dphase_light, dphase = 0.0, 0.0
    for k in range(count):
        leaf = first + k
        w = weight(scene, leaf, p, -1)
        dw = 0.0
        for i in ti.static(range(scene.features.phase_weights)):
            code = scene.phases[leaf, WEIGHTS + i]
            if code >= 0:
                dt = volume.fetch_number(scene, tangents, code >> 1, p)
                dw += ti.select((code & 1) == 1, -1.0, 1.0) * dt * weight(scene, leaf, p, i)
        value_light, dvalue_light = leaf_push_forward(scene, tangents, leaf, p, wi, wo_light)
        value, dvalue = leaf_push_forward(scene, tangents, leaf, p, wi, wo)
        dphase_light += w * dvalue_light + dw * value_light
        dphase += w * dvalue + dw * value
    return dphase_light, dphase
