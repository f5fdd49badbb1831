"""Surface-scattering models, and wrappers of them: `twosided`, `blendbsdf`, `mask`, `normalmap`, `bumpmap`.

Which models there are, with their keys, defaults and ranges, is declared in `prb.kernels.bsdf`; one whose
keys are more than its parameters has a reader of its own, in a file beside this one.
"""

from collections.abc import Mapping

import numpy as np

from prb.io.images import LINEAR
from prb.kernels.bsdf import REGISTRY
from prb.kernels.parameter import Parameter
from prb.scene.model import Bsdf
from prb.scene.plugins import conductors_dielectrics, plastics, principled
from prb.scene.reading.reader import Reader

WEIGHT = Parameter("weight", default=0.5, high=1.0, number=True)
OPACITY = Parameter("opacity", default=0.5, high=1.0, number=True)
NORMALS = Parameter("normalmap", default=0.5, high=1.0)
HEIGHT = Parameter("bumpmap", default=0.0)
TRANSMIT = ("dielectric", "thindielectric", "roughdielectric", "principledthin", "null", "mask")


def _bsdf(reader: Reader) -> Bsdf:
    module = REGISTRY[reader.type]
    return Bsdf(reader.name, reader.type, {p.key: reader.texture_of(p) for p in module.PARAMETERS})


def _twosided(reader: Reader) -> Bsdf:
    """One model for both sides, or a second one for the back."""
    children = _nested(reader, 1, 2)
    for child in children:
        if child.kind == "twosided":
            reader.fail("a twosided inside a twosided changes nothing; remove one of them")
        if transmits(child):
            reader.fail(f"a model that lets light through ({child.kind}) has two sides; remove the twosided")
    return Bsdf(reader.name, "twosided", {}, children)


def transmits(model: Bsdf) -> bool:
    """True if light may pass through a surface of this model."""
    kind = model.kind.partition("_")[0]
    full = kind == "principled" and "opaque" not in model.kind
    return kind in TRANSMIT or full or any(transmits(child) for child in model.children)


def _blendbsdf(reader: Reader) -> Bsdf:
    """(1 - weight) times the first nested model plus weight times the second."""
    if "weight" not in reader:
        reader.fail("missing; expected a number or a texture", "weight")
    textures = {"weight": reader.texture_of(WEIGHT)}
    return Bsdf(reader.name, "blendbsdf", textures, _nested(reader, 2, 2))


def _mask(reader: Reader) -> Bsdf:
    """The nested model with probability `opacity`, else nothing is there."""
    textures = {"opacity": reader.texture_of(OPACITY)}
    return Bsdf(reader.name, "mask", textures, _nested(reader, 1, 1))


def _normalmap(reader: Reader) -> Bsdf:
    if "normalmap" not in reader:
        reader.fail("missing; expected a texture of normals", "normalmap")
    texture = reader.texture_of(NORMALS)
    three = texture.kind in ("bitmap", "rgb") and texture.value.shape[-1] == 3
    if not three and texture.kind != "mesh_attribute":
        got = f"{texture.kind}{' of one channel' if texture.kind == 'bitmap' else ''}"
        reader.fail(f"expected a bitmap with three channels, the normals; got a {got}", "normalmap")
    if three and (none := (texture.value == 0.5).all(axis=-1)).any():
        reader.warn("(0.5, 0.5, 0.5) stands for no normal; the surface's own is used there", "normalmap")
        texture.value = np.where(none[..., None], np.float32((0.5, 0.5, 1)), texture.value)
    if isinstance(reader.data["normalmap"], Mapping):
        child = reader.child("normalmap")
        if child.type == "bitmap" and not child.boolean("raw", False) and _has_gamma(child):
            child.warn("the image is read as sRGB colours, but normals are numbers; set raw to true", "raw")
    texture.bends_rays = True
    return Bsdf(reader.name, "normalmap", {"normalmap": texture}, _nested(reader, 1, 1), _frame(reader))


def _has_gamma(bitmap: Reader) -> bool:
    """True if the image of a bitmap that is not raw is decoded from sRGB."""
    if "filename" in bitmap:
        return not bitmap.string("filename").lower().endswith(LINEAR)
    image = bitmap.data.get("bitmap", bitmap.data.get("data"))
    kind = np.asarray(image).dtype
    return kind.kind == "u" and kind.itemsize <= 2 and getattr(image, "srgb_gamma", True) is not False


def _bumpmap(reader: Reader) -> Bsdf:
    """The height is the nested texture, under any key."""
    texture = None
    for key, value in reader.data.items():
        if isinstance(value, Mapping) and reader.child(key, peek=True).category == "texture":
            if texture is not None:
                reader.fail("a bumpmap holds one texture; remove one of the two", key)
            texture = reader.texture(key, 0.0, low=-3e38)
    if texture is None or texture.kind != "bitmap":
        got = "" if texture is None else f", got {texture.kind}"
        reader.fail(f"expected a nested texture of type bitmap, the height{got}")
    texture.bends_rays = True
    scale = reader.number("scale", 1.0)
    constants = {**_frame(reader), "scale": scale}
    return Bsdf(reader.name, "bumpmap", {"bumpmap": texture}, _nested(reader, 1, 1), constants)


def _frame(reader: Reader) -> dict:
    return {key: reader.boolean(key, True) for key in ("flip_invalid_normals", "use_shadowing_function")}


def _nested(reader: Reader, low: int, high: int) -> tuple[Bsdf, ...]:
    children = []
    for child in reader.children("bsdf"):
        if child.category != "bsdf":
            child.misplaced(reader)
        children.append(child.make())
    if not low <= len(children) <= high:
        wanted = str(low) if low == high else f"{low} or {high}"
        reader.fail(f"{reader.type} holds {wanted} nested bsdf, got {len(children)}")
    return tuple(children)


def child_name(kind: str, index: int) -> str:
    """What Mitsuba calls the nested model number `index` of a bsdf or phase function in parameters' names."""
    if kind == "blendphase":
        return f"phase_{index}"
    if kind == "twosided":
        return f"brdf_{index}"
    return "nested_bsdf" if kind in ("mask", "normalmap", "bumpmap") else f"bsdf_{index}"


BSDFS: Mapping = {
    **{name: _bsdf for name in REGISTRY if "_" not in name},
    **conductors_dielectrics.BSDFS,
    **plastics.BSDFS,
    **principled.BSDFS,
    "twosided": _twosided,
    "blendbsdf": _blendbsdf,
    "mask": _mask,
    "normalmap": _normalmap,
    "bumpmap": _bumpmap,
}
