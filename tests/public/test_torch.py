"""PyTorch's face: gradients through autograd, several pictures and scenes at once, memory, and mistakes."""

import gc
import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers.lit_wall import RADIANCE, lit_scene

import prb

torch = pytest.importorskip("torch")

RED, WHITE = "red.reflectance.value", "white.reflectance.value"
OPTIONS = dict(spp=4, max_depth=4)


def box(size=12):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    return scene


def tensor(*numbers, dtype=torch.float32):
    return torch.tensor(numbers, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_picture_and_gradient_are_those_of_prb(dtype):
    scene, red = box(), tensor(0.5, 0.25, 0.125, dtype=dtype)
    picture = prb.torch.render(scene, {RED: red}, **OPTIONS, seed=3, seed_grad=7)
    assert picture.dtype == torch.float32 and picture.shape == (12, 12, 3)
    np.testing.assert_array_equal(prb.traverse(scene)[RED], [0.5, 0.25, 0.125])
    np.testing.assert_array_equal(picture.detach().numpy(), prb.render(scene, **OPTIONS, seed=3))
    weight = torch.linspace(-1, 1, picture.numel()).reshape(picture.shape)
    (picture * weight).sum().backward()
    expected = prb.render_backward(scene, weight.numpy(), [RED], **OPTIONS, seed=7)[RED]
    assert red.grad.dtype == dtype
    np.testing.assert_allclose(red.grad.numpy(), expected, rtol=1e-6 if dtype != torch.float16 else 1e-3)


def test_gradient_against_central_differences():
    """The whole chain, nonlinear loss and a network in front of it included, with common random numbers."""
    scene = box()
    inputs = {RED: tensor(0.1, 0.2, 0.3), WHITE: tensor(0.9, 0.1, 0.4)}

    def objective(raw):
        values = {name: torch.sigmoid(x) for name, x in raw.items()}
        return prb.torch.render(scene, values, **OPTIONS, seed=5, seed_grad=5).square().double().mean()

    objective(inputs).backward()
    step = 4e-2  # a smaller one drowns in the rounding of the lamp
    for name, x in inputs.items():
        for i in range(3):
            ends = []
            for sign in (1, -1):
                moved = {key: value.detach().clone() for key, value in inputs.items()}
                moved[name][i] += sign * step
                ends.append(objective(moved).item())
            assert x.grad[i].item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=2e-3), (name, i)


def test_paths_of_the_derivative_are_others_by_default():
    """So the gradient of a squared error has no bias. The picture is linear in the radiance, channel by
    channel, so the gradient is known."""
    scene, name = lit_scene(), RADIANCE
    radiance = torch.tensor(prb.traverse(scene)[name], requires_grad=True)
    exact = prb.render(scene, spp=2**15, max_depth=3, seed=999).astype(float)
    expected = (2 * exact**2 / radiance.detach().numpy()).sum()
    found = {"others": [], "the same": []}
    for seed in range(300):
        for paths, options in (("others", {}), ("the same", dict(seed_grad=seed))):
            radiance.grad = None
            picture = prb.torch.render(scene, {name: radiance}, spp=1, max_depth=3, seed=seed, **options)
            picture.square().sum().backward()
            found[paths].append(radiance.grad.numpy().sum())

    def standard_errors(paths):
        values = np.array(found[paths])
        return abs(values.mean() - expected) / (values.std(ddof=1) / np.sqrt(len(values)))

    assert standard_errors("others") < 4
    assert standard_errors("the same") > 8


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # PyTorch's own
def test_forward_mode_is_that_of_prb():
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    direction = torch.tensor([1.0, -2.0, 0.5])

    def call(x):
        return prb.torch.render(scene, {RED: x}, **OPTIONS, seed_grad=8)

    _, derivative = torch.func.jvp(call, (red.detach(),), (direction,))
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(red.detach(), direction)
        other = torch.autograd.forward_ad.unpack_dual(call(dual)).tangent
    expected = prb.render_forward(scene, {RED: direction.numpy()}, **OPTIONS, seed=8)
    assert np.abs(expected).max() > 0
    np.testing.assert_array_equal(derivative.numpy(), expected)
    np.testing.assert_array_equal(other.numpy(), expected)


def test_functional_gradient_is_the_same():
    scene, red = box(), tensor(0.5, 0.25, 0.125)

    def objective(x):
        return prb.torch.render(scene, {RED: x}, **OPTIONS).square().mean()

    objective(red).backward()
    torch.testing.assert_close(torch.func.grad(objective)(red.detach()), red.grad)


def test_each_derivative_is_at_the_values_of_its_own_picture():
    """Two pictures before their derivatives, with the scene changed in between and tensors in place."""
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    expected = []
    for value, white in (([0.5, 0.25, 0.125], 0.8), ([0.1, 0.9, 0.4], 0.8)):
        prb.traverse(scene).update({RED: value, WHITE: [white] * 3})
        expected.append(prb.render_backward(scene, np.ones(scene.image_shape), [RED], **OPTIONS)[RED])
    prb.traverse(scene).update({WHITE: [0.8] * 3})
    first = prb.torch.render(scene, {RED: red}, **OPTIONS, seed_grad=0)
    with torch.no_grad():
        red.copy_(torch.tensor([0.1, 0.9, 0.4]))
    second = prb.torch.render(scene, {RED: red}, **OPTIONS, seed_grad=0)
    prb.traverse(scene).update({RED: [0.7] * 3, WHITE: [0.2] * 3})
    for picture, gradient in ((second, expected[1]), (first, expected[0])):
        red.grad = None
        picture.sum().backward()
        np.testing.assert_allclose(red.grad.numpy(), gradient, rtol=1e-6)
    for name, value in ((RED, 0.7), (WHITE, 0.2)):  # what the derivative borrowed is given back
        np.testing.assert_array_equal(prb.traverse(scene)[name], np.float32([value] * 3))


def test_several_scenes_and_sensors_in_one_graph():
    scene, other, tiles = box(), box(8), prb.load_file("painted-plane")
    red, texels = tensor(0.5, 0.25, 0.125), torch.full((64, 64, 3), 0.5, requires_grad=True)
    (prb.torch.render(scene, {RED: red}, **OPTIONS).sum() + prb.torch.render(
        other, {RED: red}, **OPTIONS).sum()).backward()  # fmt: skip
    together, red.grad = red.grad, None
    for one in (scene, other):
        prb.torch.render(one, {RED: red}, **OPTIONS).sum().backward()
    torch.testing.assert_close(together, red.grad)
    views = [prb.torch.render(tiles, {"painting.reflectance.data": texels}, sensor=k, spp=1) for k in (0, 2)]
    views[1].sum().backward()
    grads = prb.render_backward(tiles, np.ones((128, 128, 3)), sensor="right", spp=1, seed=_paths_of(0))
    np.testing.assert_allclose(texels.grad.numpy(), grads["painting.reflectance.data"], rtol=1e-4, atol=1e-6)


def _paths_of(seed):
    from prb.estimators import seeds

    return seeds.torch_paths(seed)


def test_only_what_needs_a_gradient_gets_one():
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    white = torch.tensor([0.5, 0.5, 0.5])
    prb.torch.render(scene, {WHITE: white, RED: red}, **OPTIONS).sum().backward()
    assert white.grad is None and torch.all(red.grad > 0)
    assert not prb.torch.render(scene, {WHITE: white}, **OPTIONS).requires_grad
    np.testing.assert_array_equal(
        prb.torch.render(scene, {}, **OPTIONS).numpy(), prb.render(scene, **OPTIONS)
    )
    with torch.no_grad():
        assert not prb.torch.render(scene, {RED: red}, **OPTIONS).requires_grad


def test_derivative_in_another_thread():
    """Where autograd runs what lies on a GPU."""
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    prb.torch.render(scene, {RED: red}, **OPTIONS).sum().backward()
    expected, red.grad = red.grad, None
    picture = prb.torch.render(scene, {RED: red}, **OPTIONS)
    thread = threading.Thread(target=lambda: picture.sum().backward())
    thread.start()
    thread.join()
    torch.testing.assert_close(red.grad, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch has no CUDA here")
def test_tensors_on_a_gpu():
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    prb.torch.render(scene, {RED: red}, **OPTIONS).sum().backward()
    there = red.detach().cuda().requires_grad_()
    picture = prb.torch.render(scene, {RED: there}, **OPTIONS)
    picture.sum().backward()
    assert picture.device == there.grad.device == there.device
    torch.testing.assert_close(there.grad.cpu(), red.grad)
    with pytest.raises(prb.ParameterError, match="move them to one device"):
        prb.torch.render(scene, {RED: there, WHITE: tensor(0.5, 0.5, 0.5)})


def test_derivative_by_another_method():
    scene, options = box(), dict(spp=4, seed=3, max_depth=4)
    found = {}
    for method in (None, prb.ReplayAdjoint(), prb.TapeAdjoint(), prb.FiniteDifference()):
        red = tensor(0.5, 0.25, 0.125)
        prb.torch.render(scene, {RED: red}, **options, adjoint=method).square().mean().backward()
        found[method and method.name] = red.grad
    torch.testing.assert_close(found["replay"], found[None], rtol=0, atol=0)
    torch.testing.assert_close(found["tape"], found[None], rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(found["fd"], found[None], rtol=2e-2, atol=1e-4)


def test_derivative_by_another_method_is_taken_at_the_values_of_its_picture():
    scene, options = box(), dict(spp=2, seed=3, max_depth=3)
    for method in (prb.ReplayAdjoint(), prb.TapeAdjoint(), prb.FiniteDifference()):
        red = tensor(0.5, 0.25, 0.125)
        picture = prb.torch.render(scene, {RED: red}, **options, adjoint=method)
        picture.sum().backward(retain_graph=True)
        expected, red.grad = red.grad, None
        prb.traverse(scene).update({RED: [0.9, 0.9, 0.9], WHITE: [0.1, 0.9, 0.1]})
        now = scene.values.copy()
        picture.sum().backward()
        torch.testing.assert_close(red.grad, expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(scene.values, now)
        prb.traverse(scene).update({WHITE: [0.5, 0.5, 0.5]})


def test_forward_mode_of_another_method():
    scene, red = box(), torch.tensor([0.5, 0.25, 0.125])

    def tangent(method):
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(red, torch.tensor([1.0, 0.0, 0.5]))
            picture = prb.torch.render(scene, {RED: dual}, spp=4, max_depth=3, adjoint=method)
            return torch.autograd.forward_ad.unpack_dual(picture).tangent

    expected = tangent(None)
    assert expected.abs().max() > 0.01
    scale = 1e-2 * float(expected.abs().max())
    torch.testing.assert_close(tangent(prb.FiniteDifference()), expected, rtol=1e-2, atol=scale)
    with pytest.raises(prb.ParameterError, match="adjoint: tape has no forward mode"):
        tangent(prb.TapeAdjoint())


def test_second_derivative_is_refused():
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    for loss in (torch.sum, lambda picture: picture.square().sum()):
        picture = prb.torch.render(scene, {RED: red}, **OPTIONS)
        (gradient,) = torch.autograd.grad(loss(picture), red, create_graph=True)
        with pytest.raises(RuntimeError, match="has no second derivative"):
            gradient.sum().backward()


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _kib_per_iteration(iterations, size):
    """The slope of `size()`, in bytes, over a training loop without its first third."""
    scene, red = box(), tensor(0.5, 0.25, 0.125)
    optimizer = torch.optim.Adam([red], lr=1e-3)
    at, sizes = [], []
    for k in range(iterations):
        optimizer.zero_grad()
        prb.torch.render(scene, {RED: red}, spp=1, max_depth=3, seed=k).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            red.clamp_(0, 1)
        if k >= iterations // 3 and k % 10 == 0:
            gc.collect()  # Taichi's own garbage, which Python would collect later
            at.append(k)
            sizes.append(size() / 1024)
    return np.polyfit(at, sizes, 1)[0]


def test_nothing_of_an_iteration_is_kept():
    prb.torch.render(box(), {}, spp=1, max_depth=3)  # compiles
    tracemalloc.start()
    try:
        assert _kib_per_iteration(120, lambda: tracemalloc.get_traced_memory()[0]) < 1
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the resident size is read from /proc")
@pytest.mark.parametrize("iterations", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_memory_stays_flat(iterations):
    """What Python does not see of it, too."""
    assert _kib_per_iteration(iterations, _resident) < 1


def test_another_film_before_the_derivative_is_refused():
    scene = box()
    picture = prb.torch.render(scene, {RED: tensor(0.5, 0.25, 0.125)}, **OPTIONS)
    scene.resize(8, 8)
    with pytest.raises(prb.ParameterError, match="^the film of sensor has changed since its picture"):
        picture.sum().backward()


def test_a_camera_that_has_changed_since_is_that_of_the_picture():
    found = []
    for fov in (None, 20.0):
        scene, red = box(), tensor(0.5, 0.25, 0.125).requires_grad_()
        picture = prb.torch.render(scene, {RED: red}, **OPTIONS)
        if fov:
            prb.traverse(scene).update({"sensor.x_fov": fov})
        picture.sum().backward()
        found.append(red.grad.numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-3)


def test_a_pose_of_a_shape_and_of_the_camera():
    """Values that are not the scene's; the derivatives are those of prb.render_backward at these values."""
    scene = box()
    for name in ("small-box.to_world", "sensor.to_world"):
        moved = torch.tensor(prb.traverse(scene)[name], dtype=torch.float32)
        moved[0, 3] += 0.05
        moved.requires_grad_()
        picture = prb.torch.render(scene, {name: moved}, seed_grad=3, **OPTIONS)
        picture.sum().backward()
        options = {key: x for key, x in OPTIONS.items() if key != "seed"}
        expected = prb.render_backward(scene, np.ones(scene.image_shape), [name], seed=3, **options)[name]
        np.testing.assert_allclose(moved.grad.numpy(), expected, rtol=1e-4, atol=1e-4 * abs(expected).max())


@pytest.mark.parametrize(
    "params, options, message",
    [
        ({"red.reflectance.valu": tensor(0.5, 0.5, 0.5)}, {}, "did you mean 'red.reflectance.value'?"),
        ({"albedo": tensor(0.5, 0.5, 0.5)}, {}, "albedo: a tensor needs one parameter's exact name"),
        ({RED: [0.5, 0.5, 0.5]}, {}, f"{RED}: expected a tensor, got list"),
        ({RED: torch.ones(3, dtype=torch.int64)}, {}, f"{RED}: expected floating-point numbers"),
        ({RED: tensor(0.5, 0.5)}, {}, f"{RED}: expected shape (3,), got (2,)"),
        ({RED: tensor(0.5, 0.5, 1.5)}, {}, f"{RED}: 1.5 is outside [0, 1]; clip it"),
        ({RED: tensor(0.5, 0.5, float("nan"))}, {}, f"{RED}: has a number that is not finite"),
        (tensor(0.5, 0.5, 0.5), {}, "params: expected a dict name -> tensor, got Tensor"),
        ({RED: tensor(0.5, 0.5, 0.5)}, {"spp": 0}, "spp: 0 is out of range"),
        ({RED: tensor(0.5, 0.5, 0.5)}, {"seed": -1}, "seed: -1 is out of range"),
        ({RED: tensor(0.5, 0.5, 0.5)}, {"seed_grad": 0.5}, "seed_grad: expected a whole number, got 0.5"),
        ({RED: tensor(0.5, 0.5, 0.5)}, {"spp_grad": 0}, "spp_grad: 0 is out of range"),
        ({RED: tensor(0.5, 0.5, 0.5)}, {"sensor": 3}, "sensor: there is no 3"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(params, options, message):
    scene = box()
    before = scene.values.copy()
    with pytest.raises(prb.ParameterError) as caught:
        prb.torch.render(scene, params, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    np.testing.assert_array_equal(scene.values, before)


def test_a_loss_in_pytorch():
    scene = box()
    target = np.full(scene.image_shape, 0.2)
    of_torch = prb.torch.loss(lambda picture: (picture - 0.2).square().mean())
    expected = prb.value_and_grad(scene, [RED], prb.losses.l2(target), **OPTIONS)
    found = prb.value_and_grad(scene, [RED], of_torch, **OPTIONS)
    assert found.value == pytest.approx(expected.value, rel=1e-5)
    np.testing.assert_allclose(found.grads[RED], expected.grads[RED], rtol=1e-4)


def test_optimize_takes_one():
    scene = box()
    target = prb.render(scene, spp=64, seed=1)
    prb.traverse(scene).update({RED: [0.2, 0.5, 0.5]})

    def made(target):
        return prb.torch.loss(lambda picture: (picture - torch.from_numpy(target)).square().mean())

    losses = prb.optimize(scene, RED, target, loss=made, iterations=10, spp=8, max_depth=4).losses
    assert losses[-1] < losses[0]


def test_losses_in_pytorch_are_parts_of_sums():
    scene, weights = box(), np.linspace(0, 1, 144).reshape(12, 12)
    target = prb.render(scene, spp=16, seed=1)

    def compared(picture, target, weights=None):
        counts = torch.ones_like(target) if weights is None else weights[..., None].expand(target.shape)
        return (counts * (picture - target).square()).sum() / counts.sum()

    def run(loss, weights):
        prb.traverse(scene).update({RED: [0.2, 0.5, 0.5]})
        options = dict(iterations=3, spp=4, max_depth=4)
        return prb.optimize(scene, RED, target, loss=loss, weights=weights, **options).losses

    for counts in (None, weights):
        found = run(0.5 * prb.torch.loss_of_target(compared) + 0.5 * prb.losses.l2(), counts)
        np.testing.assert_allclose(found, run("l2", counts), rtol=1e-3)
    with pytest.raises(prb.ParameterError, match="loss: the function takes no weights"):
        run(prb.torch.loss_of_target(lambda picture, target: (picture - target).sum()), weights)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda picture: picture, "loss: expected a tensor of one number, got shape (12, 12, 3)"),
        (lambda picture: 1.0, "loss: expected a tensor of one number, got float"),
        (lambda picture: picture.detach().mean(), "loss: its value does not follow from the picture"),
        (lambda picture: tensor(1.0).sum(), "loss: its value does not follow from the picture"),
        (lambda picture: (picture / 0).mean(), "loss: its derivative is not finite"),
    ],
)
def test_losses_that_are_none(function, message):
    with pytest.raises(prb.ParameterError) as caught:
        prb.value_and_grad(box(), [RED], prb.torch.loss(function), **OPTIONS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_example_of_the_readme():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = text.partition("## With PyTorch")[2].partition("```python\n")[2].partition("```")[0]
    short = example.replace("range(60)", "range(3)").replace("spp=256", "spp=16")
    assert short.count("range(3)") == short.count("spp=16") == 1
    names = {"prb": prb}
    exec(compile(short, "README.md", "exec"), names)
    true = prb.traverse(prb.load_file("painted-plane"))["painting.reflectance.data"]
    found = torch.sigmoid(names["logits"]).detach().numpy()
    assert np.square(found - true).mean() < 0.95 * np.square(0.5 - true).mean()


def test_import_of_prb_leaves_pytorch_alone():
    code = "import sys, prb; print('torch' in sys.modules, 'prb.torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")
