"""Attached replay: its modes against each other, against detached replay in the mean, and its segments."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.smooth_scenes import floor, load, objective, texture, waves

import prb
from prb.estimators import work

ATTACHED = prb.AttachedReplay()
CLOTH = texture(waves(), to_uv=[{"scale": [30, 30, 1]}])
COPPER = {"type": "roughconductor", "alpha": 0.3, "material": "Cu"}
GLASS = {"type": "roughdielectric", "alpha": 0.3, "int_ior": 1.4}
PAINT = {
    "type": "principled", "roughness": 0.4, "metallic": 0.3, "spec_tint": 0.3, "clearcoat": 0.5,
    "clearcoat_gloss": 0.4, "base_color": CLOTH, "spec_trans": 0.4,
}  # fmt: skip
MIXTURE = {"type": "blendbsdf", "weight": 0.4, "a": {"type": "diffuse", "reflectance": CLOTH}, "b": COPPER}
BODIES = {
    "ball": {"type": "sphere", "center": [0.5, 0.5, 0.8], "radius": 0.6, "bsdf": GLASS},
    "pipe": {"type": "cylinder", "p0": [-1, 0, 0.3], "p1": [-1, 1, 0.3], "radius": 0.3,
             "bsdf": {"type": "twosided", "nested": COPPER}},
    "plate": {"type": "disk", "to_world": [{"scale": [0.5, 0.5, 0.5]}, {"translate": [0, -0.6, 0.4]}],
              "bsdf": {"type": "roughplastic", "alpha": 0.2, "diffuse_reflectance": CLOTH}},
    "lamp": {"type": "sphere", "center": [0, 1, 3], "radius": 0.3,
             "emitter": {"type": "area", "radiance": texture(waves(4))}},
    "spot": {"type": "spot", "intensity": 8.0, "to_world": [
        {"look_at": {"origin": [2, 2, 3], "target": [0, 0, 0], "up": [0, 0, 1]}}]},
    "point": {"type": "point", "position": [-1, -1, 2], "intensity": 2.0},
}  # fmt: skip
SCENES = {"mixture": {"bsdf": MIXTURE}, "bodies": {"bsdf": {"type": "plastic"}, **BODIES}}


@pytest.mark.slow  # their kernels take long to compile
@pytest.mark.parametrize("name", ["mixture", "bodies"])
def test_reverse_mode_is_the_transpose_of_forward_mode(name):
    scene, grad = load(**SCENES[name]), objective()
    gradient = prb.render_backward(scene, grad, spp=16, seed=3, max_depth=5, adjoint=ATTACHED)
    rng = np.random.default_rng(1)
    tangents = {name: rng.standard_normal(np.shape(g)) for name, g in gradient.items()}
    image = prb.render_forward(scene, tangents, spp=16, seed=3, max_depth=5, adjoint=ATTACHED)
    terms = np.concatenate([np.ravel(gradient[name] * t) for name, t in tangents.items()])
    assert abs((image * grad).sum() - terms.sum()) < 1e-4 * np.abs(terms).sum()


def in_the_mean(scene, names=None, spp=4096):
    """Attached and detached gradients agree within 4.5 of their standard errors, number by number."""
    found = [
        prb.render_backward(scene, objective(), names, spp=spp, seed=seed, stderr=True, adjoint=adjoint)
        for seed, adjoint in ((1, ATTACHED), (2, prb.ReplayAdjoint()))
    ]
    for name, a in found[0].items():
        b = found[1][name]
        error = np.hypot(a.stderr, b.stderr) + 1e-5 * np.abs(b.value)
        assert np.all(np.abs(a.value - b.value) <= 4.5 * error), name
        assert np.abs(b.value).max() > 10 * np.abs(b.stderr).max(), f"{name} says nothing"


def test_a_mixture_in_the_mean():
    in_the_mean(load(MIXTURE), ["*.alpha.value", "*.eta.value", "*.k.value", "*.weight.value"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "bsdf",
    [
        COPPER, GLASS, PAINT, {**COPPER, "distribution": "beckmann"}, {"type": "roughplastic", "alpha": 0.25},
        {"type": "phong", "exponent": 20.0}, {"type": "principledthin", "roughness": 0.4, "spec_trans": 0.5},
        {"type": "plastic"}, {"type": "diffuse"},
    ],
    ids=lambda bsdf: bsdf["type"] + bsdf.get("distribution", ""),
)  # fmt: skip
def test_every_model_in_the_mean(bsdf):
    scene = load(bsdf)
    params = prb.traverse(scene)
    small = [name for name, value in params.items() if np.size(value) <= 3]
    in_the_mean(scene, [name for name in small if "attached" in params.sampling(name)], spp=16384)


def test_paths_longer_than_the_ring(monkeypatch):
    """Segments of two vertices give the same gradient as one of all."""
    scene = prb.load_dict({**floor(MIXTURE), "roof": {
        "type": "rectangle", "bsdf": COPPER,
        "to_world": [{"scale": [40, 40, 40]}, {"rotate": {"axis": [1, 0, 0], "angle": 180}},
                     {"translate": [0, 0, 9]}]}})  # fmt: skip
    options = dict(spp=4, seed=5, max_depth=9, adjoint=ATTACHED)
    whole = prb.render_backward(scene, objective(), **options)
    monkeypatch.setattr(work, "CPU", replace(work.CPU, kept_vertices=2))
    parts = prb.render_backward(scene, objective(), **options)
    for name, g in whole.items():
        np.testing.assert_allclose(parts[name], g, rtol=1e-4, atol=1e-5 * np.abs(g).max())


def test_a_black_surface_has_its_derivative():
    """Behind a factor of zero the walk finds what the path would have carried."""
    values = []
    for albedo in (0.0, 1e-3):
        scene = load({"type": "diffuse", "reflectance": {"type": "rgb", "value": [albedo, 0.5, albedo]}})
        (g,) = prb.render_backward(scene, objective(), "albedo", spp=16, adjoint=ATTACHED).values()
        values.append(g)
    assert np.all(values[0] != 0)
    np.testing.assert_allclose(values[0], values[1], rtol=1e-3)


def test_unknown_suffix():
    with pytest.raises(prb.ParameterError, match="suffix: expected"):
        prb.AttachedReplay(suffix="all")
