"""What lights emit: the product of one or two textures, and its derivatives.

Which texture coordinates it is looked up at, and the factor that geometry adds, are constants: see
kernels/light.py.
"""

from prb.kernels import texture
from prb.kernels.backend import ti

TEXTURE, FACTOR = 1, 2  # columns of `emitters`


@ti.func
def radiance(features: ti.template(), scene: ti.template(), emitter, at):
    """The light's radiometric quantity at a place of its textures."""
    row = scene.emitters[emitter]
    color = texture.fetch(features.at("light"), scene, scene.params, row[TEXTURE], at)
    if ti.static(features.factors):
        if row[FACTOR] >= 0:
            color *= texture.fetch(features.at("factor"), scene, scene.params, row[FACTOR], at)
    return color


@ti.func
def pull_back(
    features: ti.template(), scene: ti.template(), gradient: ti.template(), room, emitter, at, cotangent
):
    """Send the cotangent of `radiance` to the textures."""
    row = scene.emitters[emitter]
    if ti.static(features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(features.at("light"), scene, scene.params, row[TEXTURE], at)
            texture.scatter(features.at("factor"), scene, gradient, room, row[FACTOR], at, cotangent * color)
            cotangent *= texture.fetch(features.at("factor"), scene, scene.params, row[FACTOR], at)
    texture.scatter(features.at("light"), scene, gradient, room, row[TEXTURE], at, cotangent)


@ti.func
def push_forward(features: ti.template(), scene: ti.template(), tangents: ti.template(), emitter, at):
    """The tangent of `radiance`."""
    row = scene.emitters[emitter]
    tangent = texture.fetch(features.at("light"), scene, tangents, row[TEXTURE], at)
    if ti.static(features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(features.at("light"), scene, scene.params, row[TEXTURE], at)
            tangent *= texture.fetch(features.at("factor"), scene, scene.params, row[FACTOR], at)
            tangent += color * texture.fetch(features.at("factor"), scene, tangents, row[FACTOR], at)
    return tangent
