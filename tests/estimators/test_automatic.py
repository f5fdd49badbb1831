"""The method that a call takes where it names none: detached replay where that can, attached where only that
can; and which parameters that are."""

import numpy as np
import pytest
from helpers.bent_scenes import ETA, WALL, glass

import prb
from prb import losses
from prb.device.params import select
from prb.estimators.automatic import Automatic
from prb.estimators.registry import DEFAULT, selected
from prb.estimators.tolerance import sample_to_tolerance

OPTIONS = dict(spp=16, seed=3)
BOTH = [WALL, ETA]
BENT = "it moves directions of rays, which are held fixed; take AttachedReplay()"


@pytest.fixture
def scene():
    return glass(max_depth=4)


def weight(scene):
    return np.random.default_rng(2).normal(size=scene.image_shape)


class Refused(prb.AttachedReplay):
    """Attached replay that must not be needed."""

    def backward(self, *args, **options):
        raise AssertionError

    forward = value_and_grad = backward


def test_without_names_nothing_attached_is_asked_for(scene):
    names = select(scene, None)
    assert ETA not in names and WALL in names
    method = Automatic(attached=Refused())
    found = prb.render_backward(scene, weight(scene), adjoint=method, **OPTIONS)
    expected = prb.render_backward(scene, weight(scene), adjoint=prb.ReplayAdjoint(), **OPTIONS)
    assert list(found) == names == list(expected)
    for name in names:
        np.testing.assert_array_equal(found[name], expected[name])
    prb.render_forward(scene, {WALL: 1.0}, adjoint=method, **OPTIONS)
    prb.value_and_grad(scene, WALL, losses.l2(np.zeros(scene.image_shape)), adjoint=method, **OPTIONS)


def test_patterns_stand_for_what_a_method_can(scene):
    assert selected(scene, ["glass.*"], DEFAULT)[0] == ETA
    assert ETA not in selected(scene, ["glass.*"], prb.ReplayAdjoint())
    assert selected(scene, None, prb.AttachedReplay()) == select(scene, None)
    assert DEFAULT.methods(scene, BOTH) == {WALL: "replay", ETA: "attached"}
    for method in (prb.ReplayAdjoint(), prb.TapeAdjoint()):
        with pytest.raises(prb.ParameterError) as error:
            selected(scene, [WALL, "*.eta"], method)
        assert str(error.value) == f"{ETA}: {method.name} cannot differentiate it: {BENT}"


def test_each_parameter_has_its_method(scene):
    """The numbers and their standard errors are those of the two methods on their own."""
    found = prb.render_backward(scene, weight(scene), BOTH, stderr=True, **OPTIONS)
    for name, method in ((WALL, prb.ReplayAdjoint()), (ETA, prb.AttachedReplay())):
        alone = prb.render_backward(scene, weight(scene), [name], adjoint=method, stderr=True, **OPTIONS)
        np.testing.assert_allclose(found[name].value, alone[name].value, rtol=1e-5)
        np.testing.assert_allclose(found[name].stderr, alone[name].stderr, rtol=1e-4)
        assert (found[name].stderr > 0).all() and np.abs(found[name].value).min() > 0


def test_forward_mode_is_the_transpose(scene):
    tangents = {WALL: [0.3, -0.2, 0.5], ETA: 0.7}
    forward = prb.render_forward(scene, tangents, stderr=True, **OPTIONS)
    reverse = prb.render_backward(scene, weight(scene), BOTH, **OPTIONS)
    product = sum((np.asarray(tangents[name]) * reverse[name]).sum() for name in BOTH)
    assert (weight(scene) * forward.value).sum() == pytest.approx(product, rel=1e-4)
    parts = [prb.render_forward(scene, {n: t}, stderr=True, **OPTIONS) for n, t in tangents.items()]
    np.testing.assert_allclose(forward.stderr, sum(p.stderr for p in parts), rtol=1e-4)


def test_value_and_gradient(scene):
    """By folds; picture and value as of replay, each number as of its own method."""
    loss = losses.l2(np.full(scene.image_shape, 0.1))
    found = prb.value_and_grad(scene, BOTH, loss, **OPTIONS)
    for name, method in ((WALL, prb.ReplayAdjoint()), (ETA, prb.AttachedReplay())):
        alone = prb.value_and_grad(scene, [name], loss, adjoint=method, **OPTIONS)
        assert found.value == pytest.approx(alone.value, rel=1e-5)
        np.testing.assert_allclose(found.grads[name], alone.grads[name], rtol=1e-3)
    assert list(found.grads) == BOTH


def test_the_same_bits_and_a_tolerance(scene):
    first, again = (
        prb.render_backward(scene, weight(scene), BOTH, deterministic=True, **OPTIONS) for _ in range(2)
    )
    assert all(np.array_equal(first[name], again[name]) for name in BOTH)
    found = sample_to_tolerance(scene, np.ones(scene.image_shape), [ETA], tolerance=0.05, spp=64)
    assert found.why_not is None and found.spp > 64


def test_a_recursive_picture_goes_with_replay_alone(scene):
    options = dict(picture=prb.RecursivePicture(), **OPTIONS)
    loss = losses.l2(np.zeros(scene.image_shape))
    prb.value_and_grad(scene, WALL, loss, **options)
    with pytest.raises(prb.ParameterError, match="^picture: replay, attached does not take one; only Replay"):
        prb.value_and_grad(scene, BOTH, loss, **options)


def test_pytorch_takes_the_default_and_a_method(scene):
    torch = pytest.importorskip("torch")
    grads = []
    for adjoint in (None, prb.AttachedReplay()):
        eta = torch.tensor(1.5, requires_grad=True)
        picture = prb.torch.render(scene, {ETA: eta}, spp=16, seed=1, seed_grad=2, adjoint=adjoint)
        picture.sum().backward()
        grads.append(eta.grad.item())
    expected = prb.render_backward(scene, np.ones(scene.image_shape), [ETA], spp=16, seed=2)[ETA]
    assert grads == pytest.approx([float(expected)] * 2, rel=1e-5)
    with pytest.raises(prb.ParameterError, match=f"^{ETA}: replay cannot differentiate it: {BENT[:12]}"):
        prb.torch.render(scene, {ETA: torch.tensor(1.5)}, adjoint=prb.ReplayAdjoint())
