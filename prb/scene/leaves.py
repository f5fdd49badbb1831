"""From nested scattering models to their leaves, which the kernels evaluate one by one.

`blendbsdf` and `mask` become weights of the leaves below them, `twosided` becomes the side on which they are
visible, `normalmap` and `bumpmap` perturb their shading frame.
"""

from dataclasses import dataclass, replace

from prb.errors import SceneError
from prb.kernels.view import BACK, BOTH, FRONT, MAX_WEIGHTS, PLAIN
from prb.scene.model import Bsdf, Shape, Texture

MAX_LEAVES = 8
MIRRORS = ("conductor", "dielectric", "thindielectric", "plastic")  # delta lobes that follow the frame


@dataclass(frozen=True)
class Leaf:
    """One model of the registry, without nesting.

    weights: pairs (texture, True for its complement), which are multiplied. frame: the `normalmap` or
    `bumpmap` around it, or None. side: where it is visible, as kernels/view.py numbers the sides.
    """

    model: Bsdf
    side: int = PLAIN
    weights: tuple = ()
    frame: Bsdf | None = None


def flatten(model, leaf=None):
    """The leaves of a model. Raises SceneError for a nesting that the kernels do not support."""
    leaf = Leaf(model) if leaf is None else leaf
    if model.kind == "twosided":
        if leaf.side != PLAIN:
            raise SceneError(f"{model.name}: a twosided inside a twosided changes nothing; remove one")
        if len(model.children) == 1:
            return flatten(model.children[0], replace(leaf, side=BOTH))
        front, back = model.children
        return flatten(front, replace(leaf, side=FRONT)) + flatten(back, replace(leaf, side=BACK))
    if model.kind == "blendbsdf":
        weight = model.textures["weight"]
        first, second = model.children
        below = flatten(first, _weighted(model, leaf, weight, True))
        return _counted(model, below + flatten(second, _weighted(model, leaf, weight, False)))
    if model.kind == "mask":
        opacity = model.textures["opacity"]
        nothing = Bsdf(model.name, "null")
        seen_through = replace(_weighted(model, leaf, opacity, True), model=nothing, frame=None)
        below = flatten(model.children[0], _weighted(model, leaf, opacity, False))
        return _counted(model, [seen_through, *below])
    if model.kind in ("normalmap", "bumpmap"):
        if leaf.frame is not None:
            raise SceneError(
                f"{model.name}: one normalmap or bumpmap inside another is not supported; remove one"
            )
        return flatten(model.children[0], replace(leaf, frame=model))
    return [replace(leaf, model=model)]


def _weighted(model, leaf, texture, complement):
    weights = (*leaf.weights, (texture, complement))
    if len(weights) > MAX_WEIGHTS:
        raise SceneError(f"{model.name}: blends are nested more than {MAX_WEIGHTS} deep; flatten them")
    return replace(leaf, weights=weights)


def _counted(model, leaves):
    if len(leaves) > MAX_LEAVES:
        raise SceneError(f"{model.name}: mixes {len(leaves)} models, prb at most {MAX_LEAVES}; simplify it")
    return leaves


def varies(texture):
    """True if the texture is not one constant."""
    return texture.kind not in ("rgb", "uniform")


def uses_attributes(model):
    """True if the model, or one inside it, looks up attributes of the mesh it is on."""
    return any(is_attribute(t) for t in model.textures.values()) or any(map(uses_attributes, model.children))


def bends_by_normals(model):
    """True if directions of rays follow the shading frame of the model or of one inside it: by a delta lobe,
    or as a normal or bump map turns the frame."""
    return model.kind in ("normalmap", "bumpmap", *MIRRORS) or any(map(bends_by_normals, model.children))


def parameters_of(texture):
    """Names of the parameters that a texture looks up; of an attribute, without the mesh."""
    if texture.kind == "checkerboard":
        return [name for child in texture.children for name in parameters_of(child)]
    return [texture.volume.name if texture.kind == "volume" else texture.name]


def is_attribute(texture):
    """True if the texture looks up attributes of the mesh it is on."""
    return texture.kind == "mesh_attribute" or any(map(is_attribute, texture.children))


def nested(model: Bsdf) -> list[Bsdf]:
    """The model and all those inside it."""
    return [model, *(inner for child in model.children for inner in nested(child))]


def inside(texture: Texture) -> list[Texture]:
    """The texture and all those inside it."""
    return [texture, *(inner for child in texture.children for inner in inside(child))]


def textures_of(shape: Shape) -> list[Texture]:
    """All textures of a shape, those inside others included."""
    found = [t for model in nested(shape.bsdf) for t in model.textures.values()]
    found += shape.emitter.textures.values() if shape.emitter else []
    return [inner for texture in found for inner in inside(texture)]
