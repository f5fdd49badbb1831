"""Replay and tape find the same gradient for every surface model, texture, wrapper and light.

The two share the formulas of a model but not the way to differentiate them, nor the loop over a path. Beside
them stand differences of pictures, over the whole range of a parameter, so that its ends count too.
"""

import fnmatch

import numpy as np
import pytest
from helpers import material_scenes
from helpers.material_scenes import DIFFUSE, RECTANGLE, rgb, scene_of

import prb

TOLERANCE = 1e-4  # of the largest number of a parameter's gradient; float32 throughout
ALWAYS = ("smooth", "rough", "principled", "blends", "masks")
GROUPS = {**material_scenes.materials(), **material_scenes.wrappers()}
ZERO = {  # derivatives that are zero: nothing of the model is seen, or the parameter's factor is zero
    "smooth": ("no glass.*.specular_reflectance.*", "black varnish.*.eta"),
    "rough": ("dull glass.*.specular_transmittance.*",),  # twice on every path
    "principled": (
        "metal.*.spec*", "metal.*.sheen*", "metal.*.flatness.*", "metal.*.clearcoat_gloss.*",
        "zeros.*.sheen_tint.*", "zeros.*.clearcoat_gloss.*", "ones.*.spec*", "ones.*.sheen*",
        "ones.*.flatness.*", "ones but.*.sheen_tint.*", "ones but.*.flatness.*",
    ),
    "blends": ("none.*.bsdf_1.*", "all.*.bsdf_0.*", "nested.*.bsdf_0.bsdf_1.*", "sides.*.brdf_1.*"),
    "masks": ("open.*.reflectance.*",),
    "sides of frames": ("sides.*.brdf_1.*",),
    "glass by eta": ("leaf.*.sheen_tint.*",),  # grey has no tint
}  # fmt: skip


def compare(scene, zero=()):
    """Replay and tape agree in all parameters; those that match `zero`, and no others, have no derivative."""
    assert scene.model.warnings == []
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    options = dict(spp=4, seed=3, max_depth=4)
    replay = prb.render_backward(scene, weight, **options)
    tape = prb.render_backward(scene, weight, **options, adjoint=prb.TapeAdjoint())
    for name, gradient in tape.items():
        scale = max(np.abs(gradient).max(), 1e-9 * np.abs(weight).sum())
        assert np.abs(replay[name] - gradient).max() <= TOLERANCE * scale, name
        assert np.any(gradient) != any(fnmatch.fnmatchcase(name, z) for z in zero), name


def _groups(names):
    return [pytest.param(n, id=n, marks=() if n in ALWAYS else pytest.mark.slow) for n in names]


@pytest.mark.parametrize("group", _groups(GROUPS))
def test_materials(group):
    compare(scene_of(GROUPS[group]), ZERO.get(group, ()))


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


# --- differences ----------------------------------------------------------------------------------------

RED, GREEN = ({"type": "diffuse", "reflectance": rgb(*c)} for c in ((0.8, 0.3, 0.1), (0.2, 0.7, 0.4)))
COPPER = {"type": "conductor", "material": "Cu"}
PAINT = {"type": "principled", "base_color": rgb(0.8, 0.4, 0.2), "roughness": 0.4, "spec_trans": 0.3,
         "spec_tint": 0.4}  # fmt: skip
PANE = {"type": "thindielectric", "specular_transmittance": rgb(0.9, 0.8, 0.7)}
CASES = {  # a surface, and its parameters; a picture is at most quadratic in each of them
    "blend": ({"type": "blendbsdf", "weight": 0.5, "a": RED, "b": GREEN}, ["weight.value"]),
    "metal": ({"type": "blendbsdf", "weight": 0.5, "a": RED, "b": COPPER}, ["weight.value"]),
    "mask": ({"type": "mask", "opacity": 0.5, "a": RED}, ["opacity.value"]),
    "glass": (PANE, ["specular_transmittance.value", "specular_reflectance.value"]),
    "principled": (PAINT, ["metallic.value", "spec_trans.value", "clearcoat.value", "sheen.value"]),
}


def plane(bsdf):
    """A plane that fills a picture of 8 x 8 pixels, under a white sky and with a lamp in mirror direction."""
    up = {"origin": [2, 0, 1.7], "target": [0, 0, 0], "up": [0, 0, 1]}
    mirrored = {**up, "origin": [-2, 0, 1.7]}
    film = {"type": "hdrfilm", "width": 8, "height": 8, "rfilter": {"type": "box"}}
    return prb.load_dict({
        "type": "scene", "integrator": {"type": "path", "max_depth": 2},
        "sensor": {"type": "perspective", "fov": 1, "to_world": [{"look_at": up}], "film": film},
        "plane": {"type": "rectangle", "to_world": [{"scale": 9}], "bsdf": bsdf}, "sky": {"type": "constant"},
        "lamp": {"type": "rectangle", "to_world": [{"scale": 0.4}, {"look_at": mirrored}],
                 "emitter": {"type": "area", "radiance": rgb(9, 9, 9)}},
    })  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_differences(name):
    """The derivative at 0, 1/2 and 1 against the parabola through the pictures there."""
    bsdf, keys = CASES[name]
    scene = plane(bsdf)
    params = prb.traverse(scene)
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    for key in keys:
        parameter = f"plane.bsdf.{key}"
        before, pixels, found = params[parameter], [], []
        for x in (0.0, 0.5, 1.0):
            params.update({parameter: np.full_like(before, x)})
            pixels.append(prb.render(scene, spp=20000, seed=1).mean(axis=2, dtype=float))
            options = dict(params=[parameter], spp=5000, seed=2, stderr=True)
            gradient, error = prb.render_backward(scene, weight, **options)[parameter]
            found.append((np.sum(gradient), np.sum(error)))
        params.update({parameter: before})
        a, b, c = pixels
        expected = [d.mean() for d in (-3 * a + 4 * b - c, c - a, a - 4 * b + 3 * c)]
        noise = np.std(-3 * a + 4 * b - c) / 8  # all 64 pixels have nearly the same mean
        scale = np.abs(expected).max()
        for (gradient, error), true in zip(found, expected, strict=True):
            allowed = 0.01 * scale + 4 * (noise + error)
            assert allowed < 0.2 * scale and abs(gradient - true) < allowed, (key, found, expected)
