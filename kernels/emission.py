"""What emitters emit: the product of one or two textures, and its derivatives.

The texture coordinates and the geometric factor of a light sample are constants under differentiation; see
kernels/light.py.
"""

from prb.kernels import texture
from prb.kernels.backend import ti

TEXTURE, FACTOR = 1, 2  # columns of `emitters`


@ti.func
def radiance(scene: ti.template(), emitter, point):
    """The emitter's radiometric quantity (radiance, intensity or irradiance) at a point of its textures."""
    row = scene.emitters[emitter]
    color = texture.fetch(scene.lookup("light"), scene.params, row[TEXTURE], point)
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color *= texture.fetch(scene.lookup("factor"), scene.params, row[FACTOR], point)
    return color


@ti.func
def pull_back(scene: ti.template(), gradient: ti.template(), emitter, point, grad_radiance):
    """Add the cotangent of `radiance`, pulled back to the textures' numbers, to the gradient."""
    row = scene.emitters[emitter]
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(scene.lookup("light"), scene.params, row[TEXTURE], point)
            texture.scatter(scene.lookup("factor"), gradient, row[FACTOR], point, grad_radiance * color)
            grad_radiance *= texture.fetch(scene.lookup("factor"), scene.params, row[FACTOR], point)
    texture.scatter(scene.lookup("light"), gradient, row[TEXTURE], point, grad_radiance)


@ti.func
def push_forward(scene: ti.template(), tangents: ti.template(), emitter, point):
    """The tangent of `radiance`, for the parameters' tangents."""
    row = scene.emitters[emitter]
    dcolor = texture.fetch(scene.lookup("light"), tangents, row[TEXTURE], point)
    if ti.static(scene.features.factors):
        if row[FACTOR] >= 0:
            color = texture.fetch(scene.lookup("light"), scene.params, row[TEXTURE], point)
            dcolor *= texture.fetch(scene.lookup("factor"), scene.params, row[FACTOR], point)
            dcolor += color * texture.fetch(scene.lookup("factor"), tangents, row[FACTOR], point)
    return dcolor
