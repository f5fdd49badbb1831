"""Lights: `area` (on a shape), `constant` and `envmap` (all around the scene), `point`, `spot`, `projector`
and `directional`.

Accepted without effect, because it only moves samples: `mis_compensation` of `envmap`.
"""

import numpy as np

from prb.errors import ImageError
from prb.io.images import read_texels
from prb.kernels.emitter import REGISTRY
from prb.kernels.parameter import Parameter
from prb.scene.model import Emitter, Texture
from prb.scene.plugins.sensors import fov_of, horizontal_fov, is_rigid
from prb.scene.plugins.textures import MAX_TEXELS, image_array
from prb.scene.reading.reader import Reader

SCALE = Parameter("scale", 1.0, plain=True)


def _emitter(reader: Reader, textures: dict[str, Texture], **fields) -> Emitter:
    weight = reader.number("sampling_weight", 1.0, low=0.0)
    return Emitter(reader.name, reader.type, textures, sampling_weight=weight, **fields)


def _quantity(reader: Reader, key: str) -> dict[str, Texture]:
    return {key: reader.texture(key, 1.0, emission=True)}


def _constant_quantity(reader: Reader, key: str) -> dict[str, Texture]:
    """A quantity that no texture can vary, because the light has no texture coordinates."""
    textures = _quantity(reader, key)
    if textures[key].kind not in ("rgb", "uniform"):
        reader.fail(f"{reader.type} takes one colour, not a {textures[key].kind}", key)
    return textures


def _area(reader: Reader) -> Emitter:
    return _emitter(reader, _quantity(reader, "radiance"))


def _declared(reader: Reader) -> Emitter:
    """A light whose keys are what its module declares: its quantity, its place, its constants."""
    module = REGISTRY[reader.type]
    constants = {
        p.key: reader.number(p.key, p.default, low=p.low, high=p.high)
        for p in getattr(module, "CONSTANTS", ())
    }
    place = _PLACES[module.PLACEMENT](reader)
    quantity = _constant_quantity(reader, module.PARAMETER.key)
    return _emitter(reader, quantity, constants=constants, **place)


def _anywhere(reader: Reader) -> dict:
    reader.transform()  # checked; the light looks the same from everywhere
    return {}


def _position(reader: Reader) -> dict:
    if "position" in reader and "to_world" in reader:
        reader.fail("both position and to_world are given; keep one of them")
    if "to_world" in reader:
        return {"position": reader.transform()[:3, 3]}
    return {"position": reader.vector("position", [0, 0, 0])}


def _direction(reader: Reader) -> dict:
    if "direction" in reader and "to_world" in reader:
        reader.fail("both direction and to_world are given; keep one of them")
    direction = reader.vector("direction") if "direction" in reader else _rigid(reader)[:3, 2]
    length = np.linalg.norm(direction)
    if not length > 0:
        reader.fail("the direction is zero; give the one in which the light travels", "direction")
    return {"direction": direction / length}


def _frame(reader: Reader) -> dict:
    return {"to_world": _rigid(reader)}


_PLACES = {None: _anywhere, "position": _position, "direction": _direction, "frame": _frame}


def _spot(reader: Reader) -> Emitter:
    textures = _quantity(reader, "intensity")
    if textures["intensity"].kind not in ("rgb", "uniform"):
        reader.fail("expected one colour; a picture is the key 'texture'", "intensity")
    textures["texture"] = reader.texture("texture", 1.0)
    cutoff = reader.number("cutoff_angle", 20.0, above=0.0, high=180.0)
    beam = reader.number("beam_width", 0.75 * cutoff, low=0.0)
    if beam > cutoff:
        reader.fail(f"beam_width {beam:g} must not be larger than cutoff_angle {cutoff:g}", "beam_width")
    if textures["texture"].kind not in ("rgb", "uniform") and cutoff >= 90:
        reader.fail(f"with a texture it must be below 90 degrees, got {cutoff:g}", "cutoff_angle")
    constants = {"cutoff_angle": cutoff, "beam_width": beam}
    return _emitter(reader, textures, to_world=reader.transform(), constants=constants)


def _rigid(reader: Reader) -> np.ndarray:
    to_world = reader.transform()
    if not is_rigid(to_world):
        reader.fail(
            f"the transform of {reader.type} may not scale or shear; use rotations, translations and look_at",
            "to_world",
        )
    return to_world


def _projector(reader: Reader) -> Emitter:
    """The projected picture has the aspect ratio of the texture; it is square if that has no resolution."""
    textures = _quantity(reader, "irradiance")
    textures["scale"] = reader.texture_of(SCALE)
    picture = textures["irradiance"]
    height, width = picture.value.shape[:2] if picture.kind == "bitmap" else (1, 1)
    x_fov = horizontal_fov(*fov_of(reader), width / height)
    if not 0 < x_fov < 180:
        reader.fail(f"the horizontal field of view is {x_fov:g} degrees, outside (0, 180)", "fov")
    return _emitter(reader, textures, to_world=_rigid(reader), constants={"x_fov": x_fov})


def _envmap(reader: Reader) -> Emitter:
    if ("filename" in reader) + ("bitmap" in reader) != 1:
        reader.fail("expected one of filename and bitmap (an image)")
    key = "filename" if "filename" in reader else "bitmap"
    if key == "filename":
        path = reader.file()
        try:
            texels = read_texels(path)
        except ImageError as error:
            reader.fail(str(error), key)
    else:
        texels = image_array(reader, key, False)
    if texels.shape[0] * texels.shape[1] > MAX_TEXELS:
        size = f"{texels.shape[1]} x {texels.shape[0]} texels"
        reader.fail(f"{size} are more than prb takes ({MAX_TEXELS}); make the image smaller", key)
    if not np.isfinite(texels).all():
        reader.fail("the image has numbers that are not finite; replace them", key)
    if texels.min() < 0:
        reader.warn(f"the image has negative values, down to {texels.min():.3g}; they count as 0", key)
        texels = np.maximum(texels, 0)
    if texels.shape[2] == 1:
        texels = np.repeat(texels, 3, axis=2)
    if len(texels) == 1:  # the poles are rows of their own
        texels = np.repeat(texels, 2, axis=0)
    reader.boolean("mis_compensation", False)
    textures = {
        "data": Texture(f"{reader.name}.data", "bitmap", texels, wrap=("repeat", "clamp")),
        "scale": reader.texture_of(SCALE),
    }
    return _emitter(reader, textures, to_world=_rigid(reader))


_SPECIAL = {"area": _area, "envmap": _envmap, "projector": _projector, "spot": _spot}
EMITTERS = {name: _SPECIAL.get(name, _declared) for name in REGISTRY}
