"""Parameters at the ends of their ranges: the gradient is the one-sided limit, by the tape and by
differences; and paths that are not finite.

`prb.check` takes differences inwards where a number lies at a bound, with several seeds.
"""

import numpy as np
import pytest
from helpers.material_scenes import DIFFUSE, GREYS, PRINCIPLED, RECTANGLE, image, rgb, scene_of

import prb
from prb.device.params import records
from prb.kernels.estimators import modes

TOLERANCE = 1e-4  # of the largest number of a parameter's gradient; float32 throughout
BLACK = {"type": "diffuse", "reflectance": rgb(0, 0, 0)}
RED = {"type": "diffuse", "reflectance": rgb(0.8, 0.1, 0.1)}
LAMP = [{"rotate": {"axis": [1, 0, 0], "angle": 180}}, {"translate": [0.3, 0.2, 3]}]


def dark():
    """A lamp without radiance beside one with some."""
    emitter = {"type": "area", "radiance": rgb(0, 0, 0)}
    return {
        "lamp": {"type": "rectangle", "to_world": LAMP, "emitter": emitter},
        "sky": {"type": "constant", "radiance": rgb(0.4, 0.5, 0.6)},
    }


def metal(alpha):
    return {"type": "roughconductor", "material": "Au", "distribution": "ggx", "alpha": alpha}


def blend(weight, a=DIFFUSE, b=RED):
    return {"type": "blendbsdf", "weight": weight, "a": a, "b": b}


def mask(opacity):
    return {"type": "mask", "opacity": opacity, "a": RED}


ENDS = (GREYS > 0.5).astype(np.float32)

# name: (a scene's arguments, the parameters that are looked at)
EDGES = {
    "black wall": (({"a": BLACK, "b": DIFFUSE},), ["a.*"]),
    "white wall": (({"a": {"type": "diffuse", "reflectance": rgb(1, 1, 1)}},), ["a.*"]),
    "all is black": (({"a": BLACK, "floor": BLACK},), ["a.*", "floor.*"]),
    "no radiance": (({"a": DIFFUSE}, dark()), ["lamp.*"]),
    "blend of weight 0": (({"a": blend(0.0)},), ["a.*"]),
    "blend of weight 1": (({"a": blend(1.0)},), ["a.*"]),
    "blend of texels 0 and 1": (
        ({"a": blend(image(ENDS, filter_type="nearest"))}, None, 3, {"a": RECTANGLE}), ["a.*weight*"]),
    "mask of texels 0 and 1": (
        ({"a": mask(image(ENDS, filter_type="nearest"))}, None, 3, {"a": RECTANGLE}), ["a.*opacity*"]),
    "principled zeros": (
        ({"a": {"type": "principled", "roughness": 0.4, **dict.fromkeys(PRINCIPLED, 0.0)}},), ["a.*"]),
    "principled ones": (
        ({"a": {"type": "principled", "roughness": 0.4, **dict.fromkeys(PRINCIPLED, 1.0),
                "metallic": 0.0}},), ["a.*"]),
    "least alpha": (({"a": metal(1e-4)},), ["a.*"]),
    "alpha 1": (({"a": metal(1.0)},), ["a.*alpha*"]),
}  # fmt: skip
QUICK = ("black wall", "all is black", "no radiance", "blend of weight 0")
everywhere = pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in EDGES]
)


def scene_at(name):
    arguments, parameters = EDGES[name]
    scene = scene_of(*arguments)
    scene.resize(8, 8)
    return scene, parameters


@everywhere
def test_replay_is_the_tape(name):
    scene, parameters = scene_at(name)
    weight = np.random.default_rng(1).normal(size=scene.image_shape)
    options = dict(params=parameters, spp=8, seed=3, max_depth=3)
    replay = prb.render_backward(scene, weight, **options)
    tape = prb.render_backward(scene, weight, **options, adjoint=prb.TapeAdjoint())
    for parameter, gradient in tape.items():
        scale = max(np.abs(gradient).max(), 1e-9 * np.abs(weight).sum())
        assert np.isfinite(replay[parameter]).all()
        assert np.abs(replay[parameter] - gradient).max() <= TOLERANCE * scale, parameter


@everywhere
def test_gradient_is_the_one_sided_limit(name):
    """Not refuted by differences that stay within the range, in any component; and there is a gradient."""
    scene, parameters = scene_at(name)
    report = prb.check(
        scene, parameters, seeds=6, spp=8, steps=(0.1, 0.05), max_depth=3, components=24, tolerance=0.1
    )
    assert not report.refuted, report
    assert any(row.gradient for row in report.rows)


def test_black_walls_have_the_gradient_of_their_neighbours():
    """Exactly zero, and almost: the third digit is the same."""
    scene, _ = scene_at("black wall")
    name = "a.bsdf.reflectance.value"
    found = []
    for x in (0.0, 1e-4, 1e-20, 1e-30):
        prb.traverse(scene).update({name: [x] * 3})
        weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
        found.append(prb.render_backward(scene, weight, [name], spp=16, seed=1)[name])
    assert (found[0] > 0).all()
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=2e-3)


# ---------------------------------------------------------------------------- what is not finite


def overflowing(value):
    """A box whose lamp is too bright for float32, or for sums of them."""
    scene = prb.load_file("cornell-box")
    scene.resize(8, 8)
    record = records(scene)["light.emitter.radiance.value"]
    record.of(scene.values)[...] = value
    scene.update(tables=False)
    return scene


@pytest.mark.parametrize("value", [3e38, np.inf, np.nan])
@pytest.mark.parametrize("mode", [modes.PRIMAL, modes.REVERSE, modes.FORWARD])
def test_paths_that_are_not_finite_are_counted_in_every_mode(mode, value):
    from prb.estimators.integrate import integrate

    scene = overflowing(value)
    weight = np.ones(scene.image_shape) if mode == modes.REVERSE else None
    tangents = np.ones(scene.values.size, np.float32) if mode == modes.FORWARD else None
    result = integrate(scene, mode, spp=4, max_depth=4, image_adjoint=weight, param_tangents=tangents)
    assert result.rejected > 0
    for found in (result.image, result.gradient, result.tangent):
        assert found is None or np.isfinite(found).all()


def test_paths_that_are_not_finite_add_nothing_at_all():
    """One channel overflows: what the paths that meet it would add to others is left out as well."""
    name = "red.reflectance.value"
    scene = overflowing([3e38, 1.0, 1.0])
    with pytest.warns(UserWarning, match="not finite"):
        gradient = prb.render_backward(scene, np.ones(scene.image_shape), [name], spp=4, seed=1)[name]
    clean = overflowing([1.0, 1.0, 1.0])
    whole = prb.render_backward(clean, np.ones(clean.image_shape), [name], spp=4, seed=1)[name]
    assert np.isfinite(gradient).all()
    assert np.all(gradient <= whole) and gradient[1] < 0.5 * whole[1]


def test_the_count_is_not_reported_where_it_is_zero(recwarn):
    scene = overflowing(1.0)
    prb.render(scene, spp=1)
    prb.render_backward(scene, np.ones(scene.image_shape), spp=1)
    prb.render_forward(scene, {"red.reflectance.value": 1.0}, spp=1)
    assert not len(recwarn)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_derivatives_that_overflow_do_not_spoil_the_rest(mode):
    """The picture is finite, its derivative is not: R / f of a lamp of 1e31 beside an almost black wall."""
    scene = overflowing(1e31)
    prb.traverse(scene).update({"red.reflectance.value": [1e-10] * 3})
    name = "red.reflectance.value"
    if mode == "reverse":
        weight = np.full(scene.image_shape, 1e8)
        found = prb.render_backward(scene, weight, [name], spp=4, seed=1)[name]
    else:
        with pytest.warns(UserWarning, match="paths had a contribution or a derivative that is not finite"):
            found = prb.render_forward(scene, {name: 1e10}, spp=16, seed=1)
    assert np.isfinite(found).all() and np.any(found)
