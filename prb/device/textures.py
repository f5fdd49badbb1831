"""Textures as rows of `textures` and `to_uv`, and the parameters that they are. NumPy only."""

import numpy as np

from prb.device.parameters import ATTRIBUTE, COLOUR, NUMBER, TEXELS
from prb.device.volumes import channels_of
from prb.errors import SceneError
from prb.kernels import texture as kernels
from prb.kernels.interpolation import CLAMP, MIRROR, REPEAT
from prb.scene.leaves import is_attribute
from prb.scene.model import Texture

_KINDS = {  # of a texture -> of its parameter
    "rgb": COLOUR,
    "uniform": NUMBER,
    "bitmap": TEXELS,
    "vertex_attribute": ATTRIBUTE,
    "face_attribute": ATTRIBUTE,
}
FIXED = "it keeps its value, as tables were made from it when the scene was loaded"


class TextureTable:
    """Gives numbers to textures, the same one each time. Those with values of their own become parameters.

    kinds: of the textures that are not constant. parameter_of: id of a texture -> number of its parameter.
    """

    def __init__(self, builder, volumes):
        """volumes: the `VolumeTable`."""
        self.kinds = set()
        self.parameter_of = {}
        self._builder, self._volumes = builder, volumes
        self._rows, self._to_uv, self._row_of = [], [], {}
        self._numbers, self._attributes = {}, {}

    def number(self, texture, mesh=None, **fields):
        """The number of a texture; one that is an attribute is looked up on the mesh. fields: others of its
        `ParameterRecord`."""
        bends_rays = texture.bends_rays
        if texture.kind == "mesh_attribute":
            texture = self._attribute(texture, mesh)
        key = (id(texture), id(mesh) if is_attribute(texture) else None)
        if key not in self._numbers:
            children = [self.number(child, mesh) for child in texture.children]
            number = self._numbers[key] = len(self._rows)
            row = _row(texture, children)
            if texture.kind == "volume":
                texture.volume.differentiable &= not texture.bends_rays
                row[kernels.KIND], row[kernels.NUMBER] = kernels.VOLUME, self._volumes.number(texture.volume)
                row[kernels.CHANNELS] = channels_of(texture.volume)
            self._rows.append(row)
            self._to_uv.append(np.ravel(texture.to_uv))
            if texture.kind not in ("rgb", "uniform"):
                self.kinds.add("mesh_attribute" if "attribute" in texture.kind else texture.kind)
            if texture.kind in _KINDS:
                self._add_parameter(texture, number, fields)
        if bends_rays and id(texture) in self.parameter_of:  # by this use, if not by others
            self._builder.change(self.parameter_of[id(texture)], bends_rays=True)
        return self._numbers[key]

    def _add_parameter(self, texture, number, fields):
        fixed = texture.low == texture.high
        limits = dict(low=texture.low, high=texture.high, why_not=FIXED if fixed else "")
        added = self._builder.add(texture.name, _KINDS[texture.kind], texture.value, **limits, **fields)
        self.parameter_of[id(texture)] = added
        self._row_of[number] = added

    def _attribute(self, texture, mesh):
        """The values of a mesh's attribute, as a texture, which is the same for all that name it."""
        values = None if mesh is None else mesh.attributes.get(texture.attribute)
        if values is None:
            has = "on a light" if mesh is None else f"on '{mesh.name}', which has "
            has += "" if mesh is None else ", ".join(mesh.attributes) or "no attributes"
            raise SceneError(f"{texture.name}: there is no attribute '{texture.attribute}' {has}")
        key = (id(values), texture.attribute)  # instances have the same arrays
        if key not in self._attributes:
            kind = "face_attribute" if texture.attribute.startswith("face_") else "vertex_attribute"
            name = f"{mesh.name}.{texture.attribute}"
            self._attributes[key] = Texture(name, kind, values, texture.low, texture.high)
        return self._attributes[key]

    def arrays(self, records):
        """`textures` and `to_uv`. records: the parameters', by their numbers."""
        rows = np.array(self._rows, np.int32).reshape(-1, kernels.ROW)
        for number, parameter in self._row_of.items():
            rows[number, kernels.OFFSET] = records[parameter].offset
        return {"textures": rows, "to_uv": np.array(self._to_uv, np.float32).reshape(-1, 6)}


def _row(texture, children):
    """A row as kernels/texture.py describes it, without the offset."""
    row = [0] * kernels.ROW
    row[kernels.KIND] = {
        "bitmap": kernels.BITMAP,
        "checkerboard": kernels.CHECKERBOARD,
        "vertex_attribute": kernels.VERTEX_ATTRIBUTE,
        "face_attribute": kernels.FACE_ATTRIBUTE,
    }.get(texture.kind, kernels.CONSTANT)
    if texture.kind == "checkerboard":
        row[kernels.CHILDREN : kernels.CHILDREN + 2] = children
        return row
    shape = np.shape(texture.value)
    row[kernels.CHANNELS] = shape[-1] if shape else 1
    if texture.kind == "bitmap":
        row[kernels.ROWS], row[kernels.COLUMNS] = shape[:2]
        row[kernels.NEAREST] = int(texture.filter == "nearest")
        wrap = {"repeat": REPEAT, "mirror": MIRROR, "clamp": CLAMP}
        row[kernels.WRAP_U], row[kernels.WRAP_V] = (wrap[w] for w in texture.wrap)
    return row
