"""What lights emit: the product of one or two textures, and its derivatives.

Which texture coordinates it is looked up at, and the factor that geometry adds, are constants: see
kernels/light.py.
"""

from prb.kernels import texture
from prb.kernels.backend import ti

TEXTURE, FACTOR = 1, 2  # columns of `emitters`


@ti.func
def radiance(scene: ti.template(), emitter, at):
    """The light's radiometric quantity at a place of its textures."""
    row = scene.emitters[emitter]
    color = texture.fetch(scene.at("light"), scene.params, row[TEXTURE], at)
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color *= texture.fetch(scene.at("factor"), scene.params, row[FACTOR], at)
    return color


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), emitter, at, grad_radiance):
    """Send the cotangent of `radiance` to the textures."""
    row = scene.emitters[emitter]
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(scene.at("light"), scene.params, row[TEXTURE], at)
            texture.scatter(scene.at("factor"), gradient, row[FACTOR], at, grad_radiance * color)
            grad_radiance *= texture.fetch(scene.at("factor"), scene.params, row[FACTOR], at)
    texture.scatter(scene.at("light"), gradient, row[TEXTURE], at, grad_radiance)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), emitter, at):
    """The tangent of `radiance`."""
    row = scene.emitters[emitter]
    tangent = texture.fetch(scene.at("light"), tangents, row[TEXTURE], at)
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(scene.at("light"), scene.params, row[TEXTURE], at)
            tangent *= texture.fetch(scene.at("factor"), scene.params, row[FACTOR], at)
            tangent += color * texture.fetch(scene.at("factor"), tangents, row[FACTOR], at)
    return tangent
