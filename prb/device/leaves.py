"""From nested scattering models to the leaves of kernels/material.py. NumPy only.

`blendbsdf` and `mask` become weights of the leaves below them, `twosided` the side they show on,
`normalmap` and `bumpmap` what turns their frame.
"""

from dataclasses import dataclass, replace

import numpy as np

from prb.errors import SceneError
from prb.kernels import bsdf as kernels
from prb.kernels.view import (
    BACK,
    BOTH,
    BUMPMAP,
    FIRST_TEXTURE,
    FLIP_INVALID,
    FRONT,
    MAX_WEIGHTS,
    NORMALMAP,
    PLAIN,
    SHADOWING,
)
from prb.scene.model import Bsdf

MAX_LEAVES = 8
ALONG = ("alpha_u", "anisotropic")  # parameters that make a model ask for dp/du


@dataclass(frozen=True)
class Leaf:
    """model: of the registry. weights: pairs (texture, True for its complement). frame: the `normalmap` or
    `bumpmap` around it, or None. side: as kernels/view.py numbers them."""

    model: Bsdf
    side: int = PLAIN
    weights: tuple = ()
    frame: Bsdf | None = None


def flatten(model, leaf=None):
    """The leaves of a model. Raises SceneError for a nesting that prb has no place for."""
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


class MaterialTables:
    """Rows of `materials`, `bsdfs` and `bsdf_data`; `texture` gives a texture its number."""

    def __init__(self, texture):
        self._texture = texture
        self.materials, self.rows, self.data = [], [], []
        self.kinds, self.frames, self.weight_names = set(), set(), set()
        self.varying = set()
        self.twosided = self.tangents = False
        self.leaves = self.weights = 1
        self._numbers = {}

    def number(self, model, mesh):
        """The number of a model on a mesh: one with mesh attributes is another one on each mesh."""
        key = (id(model), id(mesh) if uses_attributes(model) else None)
        if key not in self._numbers:
            self._numbers[key] = len(self.materials)
            leaves = flatten(model)
            self.materials.append([len(self.rows), len(leaves), 0, 0])
            self.leaves = max(self.leaves, len(leaves))
            for leaf in leaves:
                self._add(leaf, mesh)
        return self._numbers[key]

    def _add(self, leaf, mesh):
        module = kernels.of(leaf.model.kind)
        frame, flags, scale = leaf.frame, 0, 1.0
        index = -1
        if frame is not None:
            self.frames.add(frame.kind)
            index = self._texture(frame.textures[frame.kind], mesh)
            flags = FLIP_INVALID * frame.constants["flip_invalid_normals"]
            flags += SHADOWING * frame.constants["use_shadowing_function"]
            scale = frame.constants.get("scale", 1.0)
        kind = {None: 0, "normalmap": NORMALMAP, "bumpmap": BUMPMAP}[frame and frame.kind]
        weights = [2 * self._texture(t, mesh) + complement for t, complement in leaf.weights]
        self.weight_names |= {name for t, _ in leaf.weights for name in parameters_of(t)}
        weights += [-1] * (MAX_WEIGHTS - len(weights))
        textures = [self._texture(leaf.model.textures[p.key], mesh) for p in module.PARAMETERS]
        head = [kernels.KINDS[leaf.model.kind], leaf.side, kind, index, int(flags)]
        self.rows.append([*head, *weights, *textures])
        assert len(head) + len(weights) == FIRST_TEXTURE
        constants = [leaf.model.constants[name] for name in getattr(module, "CONSTANTS", ())]
        self.data.append([scale, *constants])
        self.kinds.add(leaf.model.kind)
        if any(varies(t) for t, _ in leaf.weights):
            self.varying.add("weight")
        for i, p in enumerate(module.PARAMETERS):
            if varies(leaf.model.textures[p.key]):
                self.varying.add(kernels.place_of(leaf.model.kind, i))
        self.twosided |= leaf.side != PLAIN
        self.tangents |= frame is not None or any(p.key in ALONG for p in module.PARAMETERS)
        self.weights = max(self.weights, len(leaf.weights))

    def arrays(self):
        """materials, bsdfs, bsdf_data as SceneView describes them."""
        return {
            "materials": np.array(self.materials, np.int32).reshape(-1, 4),
            "bsdfs": _rectangle(self.rows, np.int32),
            "bsdf_data": _rectangle(self.data, np.float32),
        }


def varies(texture):
    """True if the texture is not one constant."""
    return texture.kind not in ("rgb", "uniform")


def uses_attributes(model):
    """True if the model, or one inside it, looks up attributes of the mesh it is on."""
    return any(is_attribute(t) for t in model.textures.values()) or any(map(uses_attributes, model.children))


def has_frame(model):
    """True if a normal or bump map turns the frame of the model, or of one inside it."""
    return model.kind in ("normalmap", "bumpmap") or any(map(has_frame, model.children))


def parameters_of(texture):
    """Names of the parameters that a texture looks up; of an attribute, without the mesh."""
    if texture.kind == "checkerboard":
        return [name for child in texture.children for name in parameters_of(child)]
    return [texture.name]


def is_attribute(texture):
    """True if the texture looks up attributes of the mesh it is on."""
    return texture.kind == "mesh_attribute" or any(map(is_attribute, texture.children))


def _rectangle(rows, dtype):
    """Rows of different lengths as one array, filled up with zeros."""
    width = max([1, *map(len, rows)])
    return np.array([row + [0] * (width - len(row)) for row in rows], dtype).reshape(-1, width)
