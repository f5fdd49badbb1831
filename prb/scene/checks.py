"""What can only be checked once a whole scene is read: surfaces and lights with the textures they use.

A texture has to suit all that use it, an image needs coordinates on the surface, an attribute has to be
there. What is not fatal becomes a warning of the scene.
"""

from typing import NamedTuple, NoReturn

import numpy as np

from prb.kernels.bsdf import REGISTRY
from prb.scene.leaves import flatten, inside, nested, textures_of
from prb.scene.media import check_media
from prb.scene.model import Bsdf, SceneModel, Shape, Texture
from prb.scene.reading.values import fail, warning

IMAGES = ("bitmap", "checkerboard")  # kinds of textures that are looked up by texture coordinates
_MANY = ("bitmap", "volume")  # kinds that hold many values, which are brought into range
FACTORS = ("texture", "scale")  # keys of emitters whose values are factors, not radiometric quantities


class _Use(NamedTuple):
    """Where a texture is used: the parameter with its range, and whether it is light.

    reflects: a reflectance or transmittance, for which an image may be above `high`, as in Mitsuba.
    """

    place: str
    low: float
    high: float
    emission: bool
    reflects: bool = False


def check(model: SceneModel) -> None:
    """Raise SceneError for what cannot be rendered; add warnings for what may look wrong."""
    for bsdf in {id(s.bsdf): s.bsdf for s in model.shapes}.values():
        flatten(bsdf)
    _check_ranges(model)
    check_media(model)
    warned: set[tuple] = set()
    for shape in model.shapes:
        for texture in textures_of(shape):
            if texture.kind == "mesh_attribute":
                _check_attribute(model, shape, texture)
        if shape.kind == "mesh" and shape.texcoords is None and (shape.name, id(shape.bsdf)) not in warned:
            warned.add((shape.name, id(shape.bsdf)))
            _check_coordinates(model, shape)


def _warn(model: SceneModel, place: str, message: str) -> None:
    model.warnings.append(warning(place, message))


# --- the ranges of textures -----------------------------------------------------------------------------


def _check_ranges(model: SceneModel) -> None:
    """Bring each texture into the range that all its uses allow."""
    uses: dict[int, list] = {}
    bsdfs = {id(m): m for shape in model.shapes for m in nested(shape.bsdf)}
    emitters = [e for e in (*(s.emitter for s in model.shapes), *model.emitters) if e is not None]
    for owner in (*bsdfs.values(), *{id(e): e for e in emitters}.values()):
        for key, texture in owner.textures.items():
            place = f"{owner.name}.{key}"
            if isinstance(owner, Bsdf):
                use = _Use(place, *_range(owner, key, texture), False, _reflects(owner, key))
            else:
                use = _Use(place, 0.0, np.inf, key not in FACTORS)
            for inner in inside(texture):
                uses.setdefault(id(inner), [inner]).append(use)
    for texture, *places in uses.values():
        if len(places) > 1:
            _agree(texture, places)
        if len(places) > 1 or texture.kind in _MANY or texture.raw:
            _fit(model, texture, places)


def _range(owner: Bsdf, key: str, texture: Texture) -> tuple[float, float]:
    for parameter in REGISTRY[owner.kind].PARAMETERS if owner.kind in REGISTRY else ():
        if parameter.key == key and not parameter.plain:
            return parameter.low, parameter.high
    return (0.0, 1.0) if key in ("weight", "opacity", "normalmap") else (texture.low, texture.high)


def _reflects(owner: Bsdf, key: str) -> bool:
    """Whether a texture is a reflectance or transmittance, which scales what a surface sends on.

    Not the base of a `nonlinear` plastic: above 1 its sum of internal reflections may diverge.
    """
    if owner.constants.get("nonlinear") and key == "diffuse_reflectance":
        return False
    parameters = REGISTRY[owner.kind].PARAMETERS if owner.kind in REGISTRY else ()
    return any(p.key == key and p.high == 1 and not p.number for p in parameters)


def _agree(texture: Texture, uses: list[_Use]) -> None:
    """Fail where surfaces and lights would read one colour differently."""
    light = next((use for use in uses if use.emission), None)
    surface = next((use for use in uses if not use.emission), None)
    if light and surface and texture.kind not in (*IMAGES, "volume") and not texture.raw:
        fail(
            texture.name,
            f"is the colour of the light {light.place} and of {surface.place}; write it twice, once for each",
        )


def _fit(model: SceneModel, texture: Texture, uses: list[_Use]) -> None:
    """Give a texture the range that its uses have in common.

    An image is clipped to it, with a warning, but for reflectances: they keep values above 1, and their range
    reaches as far as the image does. A constant has to be in range.
    """
    holder = texture.volume or texture
    value, image = holder.value, texture.kind in _MANY
    bounds = [(use.low, _high(use, texture)) for use in uses]
    low, high = (f(bound) for f, bound in zip((max, min), zip(*bounds, strict=True), strict=True))
    if value is not None and (value.min() < low or value.max() > high):
        strict = uses[max(range(len(uses)), key=lambda i: (bounds[i][0], -bounds[i][1]))].place
        if not image and len(uses) == 1:
            worst = value.min() if value.min() < low else value.max()
            fail(texture.name, f"{worst:g} is out of range; expected a value in [{low:g}, {high:g}]")
        if not image:
            fail(texture.name, f"{strict} allows only values in [{low:g}, {high:g}]; give it one of its own")
        what = "volume" if texture.volume else "image"
        _warn(
            model,
            holder.name,
            f"the {what} has values in [{value.min():.3g}, {value.max():.3g}]; clipped to"
            f" [{low:g}, {high:g}]{f' for {strict}' if len(uses) > 1 else ''}",
        )
        holder.value = value = np.clip(value, low, high)
    above = next((use for use in uses if use.reflects and value is not None and value.max() > use.high), None)
    if above is not None:
        _warn(
            model,
            holder.name,
            f"{above.place} has values up to {value.max():.4g}, above {above.high:g}, so"
            " energy is not conserved; scale them down where that is not wanted",
        )
    texture.low, texture.high = low, high
    if texture.volume:
        holder.low, holder.high = max(holder.low, low), min(holder.high, high)


def _high(use: _Use, texture: Texture) -> float:
    """The upper limit that a use sets, which a reflectance moves up to the largest value of an image."""
    if use.reflects and (texture.kind in _MANY or texture.raw):
        return max(use.high, float((texture.volume or texture).value.max()))
    return use.high


# --- what a mesh has to have ----------------------------------------------------------------------------


def _check_coordinates(model: SceneModel, shape: Shape) -> None:
    """An image on a mesh without texture coordinates is, as in Mitsuba, repeated on each triangle."""
    for bsdf in nested(shape.bsdf):
        if bsdf.kind in ("normalmap", "bumpmap"):
            _no_coordinates(shape, bsdf.textures[bsdf.kind], f"a {bsdf.kind} turns normals along them")
    image = next((t for t in textures_of(shape) if t.kind in IMAGES), None)
    if image is not None:
        _warn(
            model,
            image.name,
            f"'{shape.name}' has no texture coordinates, so the {image.kind} is repeated on"
            " each of its triangles; give the mesh coordinates, or use a mesh_attribute",
        )


def _no_coordinates(shape: Shape, texture: Texture, why: str) -> NoReturn:
    fail(texture.name, f"'{shape.name}' has no texture coordinates, and {why}; give the mesh coordinates")


def _check_attribute(model: SceneModel, shape: Shape, texture: Texture) -> None:
    """The attribute is there, and its values are in range."""
    values = shape.attributes.get(texture.attribute)
    if values is None:
        has = ", ".join(shape.attributes) or "no attributes"
        has = f"which has {has}" if shape.kind == "mesh" else f"for a {shape.kind} is no mesh"
        fail(texture.name, f"there is no attribute '{texture.attribute}' on '{shape.name}', {has}")
    low, high = texture.low, texture.high
    if values.min() < low or values.max() > high:
        _warn(
            model,
            f"{shape.name}.{texture.attribute}",
            f"has values in [{values.min():.3g}, {values.max():.3g}]; clipped to [{low:g}, {high:g}]",
        )
        shape.attributes[texture.attribute] = np.clip(values, low, high)
