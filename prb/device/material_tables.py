"""The tables of kernels/material.py: materials, their leaves, and the numbers of the leaves. NumPy only."""

import numpy as np

from prb.kernels import bsdf as kernels
from prb.kernels.view import BUMPMAP, FIRST_TEXTURE, FLIP_INVALID, MAX_WEIGHTS, NORMALMAP, PLAIN, SHADOWING
from prb.scene.leaves import flatten, parameters_of, uses_attributes, varies

ANISOTROPY_KEYS = ("alpha_u", "anisotropic")  # parameters of models that need dp/du


class MaterialTables:
    """Collects the rows of `materials`, `bsdfs` and `bsdf_data`.

    texture: a function (texture, mesh) -> the texture's number.
    """

    def __init__(self, texture):
        self._texture = texture
        self.materials, self.rows, self.data = [], [], []
        self.kinds, self.frames, self.weight_names = set(), set(), set()
        self.varying = set()
        self.twosided = self.tangents = False
        self.leaves = self.weights = 1
        self._numbers = {}

    def number(self, model, mesh):
        """The number of a model on a mesh; a model with mesh attributes gets one for each mesh."""
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
                self.varying.add(kernels.lookup_of(leaf.model.kind, i))
        self.twosided |= leaf.side != PLAIN
        self.tangents |= frame is not None or any(p.key in ANISOTROPY_KEYS for p in module.PARAMETERS)
        self.weights = max(self.weights, len(leaf.weights))

    def arrays(self):
        """The arrays materials, bsdfs and bsdf_data, as SceneView describes them."""
        return {
            "materials": np.array(self.materials, np.int32).reshape(-1, 4),
            "bsdfs": _rectangle(self.rows, np.int32),
            "bsdf_data": _rectangle(self.data, np.float32),
        }


def _rectangle(rows, dtype):
    """Rows of different lengths as one array, filled up with zeros."""
    width = max([1, *map(len, rows)])
    return np.array([row + [0] * (width - len(row)) for row in rows], dtype).reshape(-1, width)
