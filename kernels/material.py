"""The BSDF at a surface point: which model it is, its parameters there, and its four questions.

Every function runs over the models that the scene uses, so a kernel holds no others.
"""

import taichi as ti

from prb.kernels import bsdf as models
from prb.kernels import texture, traced
from prb.kernels.frame import vec3

FIRST_TEXTURE = 1  # column of `bsdfs` that holds the first parameter's texture


@ti.func
def resolve(features: ti.template(), scene: ti.template(), index, cos_i):
    """The model on the side that wi is on, and 1 or -1: whether the local frame stays or is flipped."""
    flip = 1.0
    if ti.static(features.twosided):
        if scene.bsdfs[index, 0] == models.TWOSIDED:
            front = cos_i >= 0
            flip = ti.select(front, 1.0, -1.0)
            index = ti.select(front, scene.bsdfs[index, 1], scene.bsdfs[index, 2])
    return index, flip


@ti.func
def fetch(features: ti.template(), scene: ti.template(), buffer: ti.template(), index, name: ti.template()):
    """The model's parameters at the point, as a tuple in the order of its PARAMETERS."""
    return [
        texture.fetch(features, scene, buffer, scene.bsdfs[index, FIRST_TEXTURE + i])
        for i in ti.static(range(len(models.of(name).PARAMETERS)))
    ]


@ti.func
def sample(features: ti.template(), scene: ti.template(), index, wi, wo_light, u):
    """(density of wo_light, a sampled wo, its density); a density of 0 where there is no direction.

    Unlike f, the density of wo_light is not zero where only a differentiated weight is.
    """
    pdf_light = 0.0
    wo = vec3(0.0, 0.0, 1.0)
    pdf = 0.0
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[index, 0] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, scene.params, index, name)
            pdf_light = models.of(name).pdf(p, wi, wo_light)
            wo, pdf = models.of(name).sample(p, wi, u)
    return pdf_light, wo, pdf


@ti.func
def eval(features: ti.template(), scene: ti.template(), index, wi, wo_a, wo_b):
    """f(wi, wo) |cos wo| for two directions."""
    f_a = vec3(0.0, 0.0, 0.0)
    f_b = vec3(0.0, 0.0, 0.0)
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[index, 0] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, scene.params, index, name)
            f_a = traced.value(models.of(name).eval, p, wi, wo_a)
            f_b = traced.value(models.of(name).eval, p, wi, wo_b)
    return f_a, f_b


@ti.func
def pull_back(
    features: ti.template(),
    scene: ti.template(),
    gradient: ti.template(),
    replica,
    index,
    wi,
    wo_a,
    df_a,
    wo_b,
    df_b,
):
    """Send the cotangents df_a, df_b of f(wi, wo_a) and f(wi, wo_b) to the parameters."""
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[index, 0] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, scene.params, index, name)
            _a, a = traced.vjp(models.of(name).eval, (p, wi, wo_a), df_a, (0,))
            _b, b = traced.vjp(models.of(name).eval, (p, wi, wo_b), df_b, (0,))
            for i in ti.static(range(len(models.of(name).PARAMETERS))):
                at = scene.bsdfs[index, FIRST_TEXTURE + i]
                texture.scatter(features, scene, gradient, replica, at, a[0][i] + b[0][i])


@ti.func
def push_forward(
    features: ti.template(), scene: ti.template(), tangents: ti.template(), index, wi, wo_a, wo_b
):
    """The tangents of f(wi, wo_a) and f(wi, wo_b) under the parameters' tangents."""
    df_a = vec3(0.0, 0.0, 0.0)
    df_b = vec3(0.0, 0.0, 0.0)
    for name in ti.static(features.bsdfs):
        if scene.bsdfs[index, 0] == ti.static(models.KINDS[name]):
            p = fetch(features, scene, scene.params, index, name)
            dp = fetch(features, scene, tangents, index, name)
            _a, df_a = traced.jvp(models.of(name).eval, (p, wi, wo_a), (dp, None, None))
            _b, df_b = traced.jvp(models.of(name).eval, (p, wi, wo_b), (dp, None, None))
    return df_a, df_b
