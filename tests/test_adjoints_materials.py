"""Replay and tape find the same gradient for every surface model, texture, wrapper and light.

The two share the formulas of a model but not the way to differentiate them, nor the loop over a path. Beside
them: derivatives known in closed form or by differences, also where a parameter is at the end of its range.
"""

import material_scenes
import numpy as np
import pytest
from material_scenes import DIFFUSE, RECTANGLE, scene_of

import prb

TOLERANCE = 1e-4  # of the largest number of a parameter's gradient; float32 throughout
ALWAYS = ("smooth", "rough", "principled", "blends", "masks")
GROUPS = {**material_scenes.materials(), **material_scenes.wrappers()}


def compare(scene, zero=()):
    """Replay and tape agree in all parameters; those named `zero` alone have no derivative."""
    assert scene.model.warnings == []
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    options = dict(spp=4, seed=3, max_depth=4)
    replay = prb.render_backward(scene, weight, **options)
    tape = prb.render_backward(scene, weight, **options, adjoint=prb.TapeAdjoint())
    without = {name for name, gradient in tape.items() if not np.any(gradient)}
    assert without == {name for name in tape if name.startswith(tuple(zero))} if zero else not without
    for name, gradient in tape.items():
        scale = max(np.abs(gradient).max(), 1e-9 * np.abs(weight).sum())
        assert np.abs(replay[name] - gradient).max() <= TOLERANCE * scale, name


def _groups(names):
    return [pytest.param(n, id=n, marks=() if n in ALWAYS else pytest.mark.slow) for n in names]


@pytest.mark.parametrize("group", _groups(GROUPS))
def test_materials(group):
    compare(scene_of(GROUPS[group]))


def test_textures():
    surfaces = material_scenes.textures()
    compare(scene_of(surfaces, shapes=dict.fromkeys(surfaces, RECTANGLE)))


def test_lights():
    compare(scene_of({"ball": DIFFUSE}, material_scenes.lights()))


def test_attributes(tmp_path):
    surfaces, shapes = material_scenes.attributes(tmp_path)
    compare(scene_of(surfaces, shapes=shapes))


def test_all_models_are_here():
    from prb.kernels import bsdf, emitter

    used = set()
    for group in GROUPS.values():
        used |= set(scene_of(group).layout.features.bsdfs)
    assert used >= set(bsdf.REGISTRY)
    lit = set(scene_of({"ball": DIFFUSE}).layout.features.emitters)
    lit |= set(scene_of({"ball": DIFFUSE}, material_scenes.lights()).layout.features.emitters)
    assert lit == set(emitter.REGISTRY)
