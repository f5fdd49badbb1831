"""The protocol of adjoint methods: one of one's own works wherever one is taken, and says what it cannot."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import prb
from prb import losses
from prb.checking.differences import check
from prb.device.params import records
from prb.estimators.registry import METHODS

RED, LIGHT = "red.reflectance.value", "light.emitter.radiance.value"
OPTIONS = dict(spp=4, seed=3, max_depth=4)


def box(size=8):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    return scene


def weight(scene):
    return np.random.default_rng(2).normal(size=scene.image_shape)


@dataclass(frozen=True)
class Delegate(prb.Adjoint):
    """Lets another method do the work and counts how often it is asked. No light is differentiated."""

    inner: prb.Adjoint = field(default_factory=prb.ReplayAdjoint)
    asked: list = field(default_factory=list, repr=False)
    name = "delegate"
    has_forward = True

    def reason(self, scene, name):
        return "it knows surfaces only" if "emitter" in name else None

    def backward(self, scene, image_adjoint, **options):
        self.asked.append("backward")
        return self.inner.backward(scene, image_adjoint, **options)

    def forward(self, scene, tangents, **options):
        self.asked.append("forward")
        return self.inner.forward(scene, tangents, **options)


class Least(prb.Adjoint):
    """What a method has to have, and no more; it takes none of the optional options."""

    name = "least"

    def backward(self, scene, image_adjoint, *, names, spp, seed, max_depth):
        return prb.ReplayAdjoint().backward(
            scene, image_adjoint, names=names, spp=spp, seed=seed, max_depth=max_depth
        )


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for name, gradient in expected.items():
        np.testing.assert_array_equal(found[name], gradient, err_msg=name)


def test_backward_by_a_method_of_ones_own():
    scene, method = box(), Delegate()
    expected = prb.render_backward(scene, weight(scene), **OPTIONS)
    assert LIGHT in expected
    del expected[LIGHT]  # None stands for what the method can differentiate
    assert_equal(prb.render_backward(scene, weight(scene), **OPTIONS, adjoint=method), expected)
    assert method.asked == ["backward"]
    found = prb.render_backward(scene, weight(scene), [RED], **OPTIONS, adjoint=Least())
    assert_equal(found, {RED: expected[RED]})


def test_forward_by_a_method_of_ones_own():
    scene, method = box(), Delegate()
    found = prb.render_forward(scene, {RED: 1.0}, **OPTIONS, adjoint=method)
    np.testing.assert_array_equal(found, prb.render_forward(scene, {RED: 1.0}, **OPTIONS))
    assert method.asked == ["forward"]


def test_pair_by_a_method_of_ones_own():
    """By the default, which traces each fold for the picture and for the gradient."""
    scene, method = box(), Delegate()
    loss = losses.l2(np.full(scene.image_shape, 0.3))
    found = prb.value_and_grad(scene, [RED], loss, **OPTIONS, adjoint=method, folds=2)
    expected = prb.value_and_grad(scene, [RED], loss, **OPTIONS, hit_budget=0, folds=2)
    assert found.value == expected.value and method.asked == ["backward"] * 2
    np.testing.assert_allclose(found.grads[RED], expected.grads[RED], rtol=1e-4)


@pytest.mark.parametrize("method", [prb.TapeAdjoint(), prb.FiniteDifference()], ids=lambda m: m.name)
def test_pair_by_the_methods_that_have_only_the_default(method):
    scene = box()
    scene.model.integrator.rr_depth = 1000
    loss = losses.l2(np.full(scene.image_shape, 0.3))
    found = prb.value_and_grad(scene, [RED], loss, **OPTIONS, adjoint=method)
    expected = prb.value_and_grad(scene, [RED], loss, **OPTIONS)
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    scale = np.abs(expected.grads[RED]).max()
    np.testing.assert_allclose(found.grads[RED], expected.grads[RED], rtol=5e-3, atol=1e-3 * scale)


def test_optimize_and_check_take_a_method_of_ones_own():
    scene, method = box(4), Delegate()
    target = prb.render(scene, spp=4, seed=9)
    options = dict(spp=4, iterations=2)
    found = prb.optimize(scene, [RED], [target], adjoint=method, **options)
    assert method.asked == ["backward"] * 8  # a fold for each of the four samples
    expected = prb.optimize(box(4), [RED], [target], hit_budget=0, **options)
    np.testing.assert_allclose(found.params[RED], expected.params[RED], rtol=1e-4, atol=1e-6)
    report = check(box(4), [RED], adjoint=Delegate(), seeds=3, spp=2, steps=(0.1, 0.05), max_depth=3)
    assert report.method == "delegate" and not report.refuted


def test_what_a_method_cannot_differentiate_is_one_line_with_the_reason():
    scene, method = box(), Delegate()
    line = f"{LIGHT}: delegate cannot differentiate it: it knows surfaces only"
    loss = losses.l2(np.zeros(scene.image_shape))
    for call in (
        lambda: prb.render_backward(scene, weight(scene), ["light*"], **OPTIONS, adjoint=method),
        lambda: prb.render_backward(scene, weight(scene), [RED, LIGHT], **OPTIONS, adjoint=method),
        lambda: prb.render_forward(scene, {LIGHT: 1.0}, **OPTIONS, adjoint=method),
        lambda: prb.value_and_grad(scene, LIGHT, loss, **OPTIONS, adjoint=method),
        lambda: prb.optimize(scene, LIGHT, [np.zeros(scene.image_shape)], adjoint=method),
        lambda: prb.check(scene, LIGHT, adjoint=method),
    ):
        with pytest.raises(prb.ParameterError) as error:
            call()
        assert str(error.value) == line
    assert method.asked == []


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(stderr=True), "stderr: delegate does not take it; ReplayAdjoint() and Att"),
        (dict(deterministic=True), "deterministic: delegate does not take it; ReplayAdjoint() and Att"),
        (dict(adjoint=Least), "adjoint: expected a method such as prb.ReplayAdjoint(), got <class"),
        (dict(adjoint="tape"), "adjoint: expected a method such as prb.ReplayAdjoint(), got 'tape'"),
    ],
)
def test_mistakes(options, message):
    scene = box()
    with pytest.raises(prb.ParameterError) as error:
        prb.render_backward(scene, weight(scene), **OPTIONS, **{"adjoint": Delegate(), **options})
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("method", [prb.TapeAdjoint(), Least()], ids=lambda m: m.name)
def test_no_forward_mode_is_one_line(method):
    scene = box()
    with pytest.raises(prb.ParameterError) as error:
        prb.render_forward(scene, {RED: 1.0}, **OPTIONS, adjoint=method)
    assert str(error.value).startswith(f"adjoint: {method.name} has no forward mode; ReplayAdjoint()")
    assert not method.has_forward


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_values_and_roulette_are_arguments(method):
    """At other values than the scene's own, which it keeps; and the options are not ignored."""
    scene, method = box(), method()
    record, before = records(scene)[RED], scene.values.copy()
    values = before.copy()
    record.of(values)[...] = [0.2, 0.9, 0.4]
    options = dict(names=[RED], spp=2, seed=1, max_depth=6)
    found = method.backward(scene, weight(scene), values=values, rr_depth=1000, **options)
    assert np.array_equal(scene.values, before)
    other = box()
    prb.traverse(other).update({RED: [0.2, 0.9, 0.4]})
    other.model.integrator.rr_depth = 1000
    expected = method.backward(other, weight(scene), **options)
    np.testing.assert_allclose(found.image, expected.image, rtol=1e-6)
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=1e-5, atol=1e-7)
    own = method.backward(scene, weight(scene), rr_depth=1000, **options)
    assert not np.allclose(own.gradient, found.gradient, rtol=1e-3)
    roulette = method.backward(scene, weight(scene), rr_depth=1, **options)
    assert not np.allclose(own.gradient, roulette.gradient, rtol=1e-3)
    again = method.backward(box(), weight(scene), rr_depth=1000, **options)  # a scene that has seen nothing
    np.testing.assert_allclose(own.gradient, again.gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_samples_can_be_continued(method):
    scene, method = box(), method()
    scene.sensor.film.rfilter = "box"  # others normalise what is traced together
    options = dict(names=[RED], seed=1, max_depth=3, rr_depth=1000)
    whole = method.backward(scene, weight(scene), spp=5, **options)
    parts = [
        method.backward(scene, weight(scene), spp=spp, first_sample=first, **options)
        for spp, first in ((2, 0), (3, 2))
    ]
    merged = parts[0].merge(parts[1])
    assert merged.spp == 5
    np.testing.assert_allclose(merged.image, whole.image, rtol=1e-6)
    np.testing.assert_allclose(merged.gradient, whole.gradient, rtol=1e-4, atol=1e-7)


# ------------------------------------------------------------------------- finite differences


def test_forward_mode_of_finite_differences():
    scene = box()
    tangents = {RED: [1.0, -0.5, 0.0], "white.reflectance.value": 0.3}
    method = prb.FiniteDifference()
    found = prb.render_forward(scene, tangents, spp=4, seed=1, max_depth=3, adjoint=method)
    expected = prb.render_forward(scene, tangents, spp=4, seed=1, max_depth=3)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-3 * np.abs(expected).max())
    assert np.abs(expected).max() > 0.01
    nothing = prb.render_forward(scene, {RED: 0.0}, spp=1, max_depth=2, adjoint=method)
    assert not nothing.any()


def test_forward_differences_stay_in_the_valid_range():
    """One number at its highest, another one at its lowest value: neither way is there room for both."""
    scene = box()
    prb.traverse(scene).update({RED: [1.0, 0.0, 0.5]})
    seen, before = [], scene.values.copy()

    for tangent in ([1.0, 1.0, 1.0], [-1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]):
        options = dict(spp=4, seed=1, max_depth=3)
        found = prb.render_forward(scene, {RED: tangent}, adjoint=prb.FiniteDifference(), **options)
        expected = prb.render_forward(scene, {RED: tangent}, **options)
        np.testing.assert_allclose(found, expected, rtol=0.02, atol=5e-3 * np.abs(expected).max())
        seen.append(np.abs(expected).max())
    assert min(seen) > 0.01 and np.array_equal(scene.values, before)


def test_an_exception_leaves_the_scene_as_it_was(monkeypatch):
    """Whatever ends a call that renders at other values."""
    from prb.estimators import integrate as module

    scene = box()
    expected = prb.render(scene, spp=2)
    trace, calls = module.kernel.trace_paths, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return trace(*arguments)

    for call in (
        lambda: prb.check(scene, [RED], seeds=3, spp=1, max_depth=2),
        lambda: prb.render_backward(
            scene, weight(scene), [RED], spp=1, max_depth=2, adjoint=prb.FiniteDifference()
        ),
    ):
        calls.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(module.kernel, "trace_paths", interrupted)
            call()
        assert len(calls) == 3
        np.testing.assert_array_equal(prb.render(scene, spp=2), expected)


def test_an_interrupt_while_the_own_values_are_sent_back(monkeypatch):
    scene = box()
    expected = prb.render(scene, spp=2)
    values = scene.values.copy()
    values[:3] = 0.9
    update, calls = prb.Scene.update, []

    def interrupted(self, values=None, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return update(self, values, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prb.Scene, "update", interrupted)
        prb.ReplayAdjoint().backward(scene, weight(scene), spp=1, values=values)
    np.testing.assert_array_equal(prb.render(scene, spp=2), expected)
