"""JAX's face: gradients through jax.grad and jax.jvp, jitted and not, a scene that stays as it is, losses."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.lens_scenes import ETA, beside

import prb
from prb.estimators import seeds

jax = pytest.importorskip("jax")
jnp = jax.numpy

RED, WHITE = "red.reflectance.value", "white.reflectance.value"
OPTIONS = dict(spp=4, max_depth=4)
VALUE = [0.5, 0.25, 0.125]


@pytest.fixture
def scene():
    scene = prb.load_file("cornell-box")
    scene.resize(12, 12)
    return scene


@pytest.fixture
def painted(scene):
    """A scene that has VALUE itself."""
    other = prb.load_file("cornell-box")
    other.resize(12, 12)
    prb.traverse(other).update({RED: VALUE})
    return other


WEIGHT = np.linspace(-1, 1, 12 * 12 * 3).reshape(12, 12, 3).astype(np.float32)


def weighted(scene, **options):
    """A function of the red wall's colour that is linear in the picture."""

    def objective(red):
        return (prb.jax.render(scene, {RED: red}, **{**OPTIONS, **options}) * WEIGHT).sum()

    return objective


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("jit", [lambda function: function, jax.jit], ids=["eager", "jit"])
def test_picture_and_gradient_are_those_of_prb(scene, painted, dtype, jit):
    red, before = jnp.array(VALUE, dtype), scene.values.copy()
    picture = jit(lambda red: prb.jax.render(scene, {RED: red}, **OPTIONS, seed=3))(red)
    assert picture.dtype == jnp.float32
    np.testing.assert_array_equal(picture, prb.render(painted, **OPTIONS, seed=3))
    gradient = jit(jax.grad(weighted(scene, seed_grad=7)))(red)
    expected = prb.render_backward(painted, WEIGHT, [RED], **OPTIONS, seed=7)[RED]
    assert gradient.dtype == dtype
    rtol = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}[dtype]
    np.testing.assert_allclose(gradient.astype(float), expected, rtol=rtol)
    np.testing.assert_array_equal(scene.values, before)  # JAX's functions are pure


def test_double_precision():
    code = f"""
import jax, prb
jax.config.update("jax_enable_x64", True)
scene = prb.load_file("cornell-box")
scene.resize(4, 4)
def objective(red):
    return prb.jax.render(scene, {{"{RED}": red}}, spp=2, seed_grad=7).sum()
for function in (jax.grad(objective), jax.jit(jax.grad(objective))):
    gradient = function(jax.numpy.array({VALUE}))
    prb.traverse(scene).update({{"{RED}": {VALUE}}})
    expected = prb.render_backward(scene, [[[1.0] * 3] * 4] * 4, ["{RED}"], spp=2, seed=7)["{RED}"]
    assert gradient.dtype == "float64" and abs(gradient / expected - 1).max() < 1e-12, gradient / expected
value, derivative = prb.jax.loss(lambda picture: picture.mean())(jax.numpy.ones((2, 2, 3)) * 0.1)
assert derivative.dtype == "float64" and abs(value - 0.1) < 1e-15
"""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_gradient_against_central_differences(scene):
    """The whole chain, nonlinear loss and a function in front of it included, with common random numbers."""

    def picture(raw):
        values = {name: jax.nn.sigmoid(x) for name, x in raw.items()}
        return prb.jax.render(scene, values, **OPTIONS, seed=5, seed_grad=5)

    inputs = {RED: jnp.array([0.1, 0.2, 0.3]), WHITE: jnp.array([0.9, 0.1, 0.4])}
    gradient, step = jax.jit(jax.grad(lambda raw: jnp.square(picture(raw)).mean()))(inputs), 1e-2
    for name, x in inputs.items():
        for i in range(3):
            moved = (picture({**inputs, name: x.at[i].add(d)}) for d in (step, -step))
            up, down = (np.square(np.float64(each)).mean() for each in moved)
            assert gradient[name][i] == pytest.approx((up - down) / (2 * step), rel=2e-3), (name, i)


def test_paths_of_the_derivative_are_others_by_default(scene, painted):
    """So the gradient of a squared error has no bias; also where the seed is known only when it runs."""
    expected = prb.render_backward(painted, WEIGHT, [RED], **OPTIONS, seed=seeds.torch_paths(9))[RED]
    red = jnp.array(VALUE)
    jitted = jax.jit(lambda red, seed: jax.grad(weighted(scene, seed=seed))(red))
    for gradient in (jax.grad(weighted(scene, seed=9))(red), jitted(red, 9), jitted(red, jnp.int32(9))):
        np.testing.assert_allclose(gradient, expected, rtol=1e-6)
    assert jitted._cache_size() == 2  # one for each type of the seed, and not for each seed
    assert not np.array_equal(jitted(red, 10), jitted(red, 9)) and jitted._cache_size() == 2
    both = jax.jit(lambda seed: prb.jax.render(scene, {}, **OPTIONS, seed=seed))
    np.testing.assert_array_equal(both(np.uint32(2**32 - 1)), prb.render(scene, **OPTIONS, seed=2**32 - 1))


def test_forward_mode_is_that_of_prb(scene, painted):
    direction = [1.0, -2.0, 0.5]

    def call(red, **options):
        return prb.jax.render(scene, {RED: red}, **OPTIONS, seed_grad=8, mode="forward", **options)

    expected = prb.render_forward(painted, {RED: direction}, **OPTIONS, seed=8)
    primals, tangents = (jnp.array(VALUE),), (jnp.array(direction),)
    for function in (call, jax.jit(call)):
        picture, derivative = jax.jvp(function, primals, tangents)
        np.testing.assert_array_equal(derivative, expected)
        np.testing.assert_array_equal(picture, prb.render(painted, **OPTIONS))
    _, other = jax.jvp(lambda red: call(red, adjoint=prb.FiniteDifference()), primals, tangents)
    np.testing.assert_allclose(other, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max())
    with pytest.raises(prb.ParameterError, match="adjoint: tape has no forward mode"):
        call(jnp.array(VALUE), adjoint=prb.TapeAdjoint())


@pytest.mark.parametrize("jit", [lambda function: function, jax.jit], ids=["eager", "jit"])
def test_an_index_of_refraction(jit):
    """Attached replay named, and chosen where none is: no other method bends a ray."""
    glass, options = beside(), dict(spp=16, seed=3)
    weight = np.linspace(0, 1, 48).reshape(4, 4, 3).astype(np.float32)
    expected = prb.render_backward(glass, weight, ETA, spp=16, seed=7, adjoint=prb.AttachedReplay())[ETA]
    assert expected != 0
    for adjoint in (None, prb.AttachedReplay()):

        def objective(eta, adjoint=adjoint):
            picture = prb.jax.render(glass, {ETA: eta}, **options, seed_grad=7, adjoint=adjoint)
            return (picture * weight).sum()

        found = jit(jax.grad(objective))(jnp.float32(1.5))
        assert found == pytest.approx(expected, rel=1e-5)


def test_jacobians_and_vmap(scene):
    def mean(red, mode):
        return prb.jax.render(scene, {RED: red}, **OPTIONS, seed_grad=8, mode=mode).mean(axis=(0, 1))

    red = jnp.array(VALUE)
    backward, forward = jax.jacrev(mean)(red, "reverse"), jax.jacfwd(mean)(red, "forward")
    assert np.count_nonzero(backward) == 3  # each channel by its own number
    np.testing.assert_allclose(backward, forward, rtol=1e-4)
    several = jax.vmap(lambda red: mean(red, "reverse"))(jnp.stack([red, red / 2]))
    np.testing.assert_allclose(several[1], mean(red / 2, "reverse"), rtol=1e-6)


@pytest.mark.parametrize("jit", [lambda function: function, jax.jit], ids=["eager", "jit"])
def test_second_derivative_is_refused(scene, jit):
    for objective in (
        weighted(scene),
        lambda red: jnp.square(prb.jax.render(scene, {RED: red}, **OPTIONS)).sum(),
    ):
        with pytest.raises(TypeError, match="prb.jax.render: has no second derivative"):
            jit(jax.grad(lambda red, f=objective: jax.grad(f)(red).sum()))(jnp.array(VALUE))


class _Recording(prb.ReplayAdjoint):
    """Notes what is differentiated."""

    def backward(self, scene, weight, *, names, **options):
        ASKED.append(list(names))
        return super().backward(scene, weight, names=names, **options)


ASKED = []


def test_only_what_is_differentiated_is_asked_for(scene):
    ASKED.clear()

    def objective(red, white):
        params = {WHITE: white, RED: red}
        return prb.jax.render(scene, params, **OPTIONS, adjoint=_Recording()).sum()

    red, white = jnp.array(VALUE), jnp.array([0.5, 0.5, 0.5])
    one = jax.grad(objective)(red, white)
    one_jitted = jax.jit(jax.grad(objective))(red, white)
    both = jax.grad(objective, argnums=(0, 1))(red, white)
    assert ASKED == [[RED], [RED], [WHITE, RED]]
    np.testing.assert_array_equal(one, one_jitted)
    np.testing.assert_allclose(both[0], one, rtol=1e-6)
    assert both[1].shape == (3,) and (both[1] > 0).all()


def test_each_derivative_is_at_the_values_of_its_own_picture(scene):
    """Two pictures before their derivatives, with the scene changed in between; a jitted function keeps the
    other values of when it was traced."""
    traced = jax.jit(weighted(scene))
    expected = jax.grad(weighted(scene))(jnp.array(VALUE))
    picture = traced(jnp.array(VALUE))
    first, pull_back = jax.vjp(weighted(scene), jnp.array(VALUE))
    _, other = jax.vjp(weighted(scene), jnp.array([0.1, 0.9, 0.4]))
    prb.traverse(scene).update({RED: [0.7] * 3, WHITE: [0.2] * 3})
    assert not np.array_equal(other(jnp.float32(1))[0], expected)
    np.testing.assert_array_equal(pull_back(jnp.float32(1))[0], expected)
    assert traced(jnp.array(VALUE)) == picture == pytest.approx(float(first), rel=1e-5)
    assert weighted(scene)(jnp.array(VALUE)) != pytest.approx(float(first), rel=1e-2)
    np.testing.assert_array_equal(prb.traverse(scene)[WHITE], np.float32([0.2] * 3))


def test_a_camera_that_has_changed_since_is_that_of_the_picture(scene):
    expected = jax.grad(weighted(scene))(jnp.array(VALUE))
    _, pull_back = jax.vjp(weighted(scene), jnp.array(VALUE))
    prb.traverse(scene).update({"sensor.x_fov": 20.0})
    np.testing.assert_allclose(pull_back(jnp.float32(1))[0], expected, rtol=1e-3)


def test_threads_and_jitted_functions_take_turns(scene):
    """A compiled function calls back from JAX's threads, while others render."""
    step = jax.jit(lambda red, seed: jax.grad(weighted(scene, seed=seed))(red))
    red, found = jnp.array(VALUE), {}
    alone = [step(red, k) for k in range(4)]

    def work(name):
        found[name] = [(step(red, k), prb.render(scene, **OPTIONS, seed=k)) for k in range(4)]

    threads = [threading.Thread(target=work, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(3):
        for k in range(4):
            np.testing.assert_array_equal(found[name][k][0], alone[k])
            np.testing.assert_array_equal(found[name][k][1], prb.render(scene, **OPTIONS, seed=k))


@pytest.mark.parametrize(
    "params, options, message",
    [
        ({"red.reflectance.valu": VALUE}, {}, "did you mean 'red.reflectance.value'?"),
        ({"albedo": jnp.ones(3)}, {}, "albedo: an array needs one parameter's exact name"),
        ({RED: VALUE}, {}, f"{RED}: expected an array, got list"),
        ({RED: jnp.ones(3, int)}, {}, f"{RED}: expected floating-point numbers, got int32"),
        ({RED: jnp.ones(2)}, {}, f"{RED}: expected shape (3,), got (2,)"),
        ({RED: np.array([0.5, 0.5, 1.5])}, {}, f"{RED}: 1.5 is outside [0, 1]; clip it"),
        ({RED: jnp.array([0.5, 0.5, np.nan])}, {}, f"{RED}: has a number that is not finite"),
        (jnp.ones(3), {}, "params: expected a dict name -> array, got ArrayImpl"),
        ({}, {"spp": 0}, "spp: 0 is out of range"),
        ({}, {"seed": -1}, "seed: -1 is out of range"),
        ({}, {"seed": jnp.int32(-1)}, "seed: -1 is out of range"),
        ({}, {"seed_grad": 0.5}, "seed_grad: expected a whole number, got 0.5"),
        ({}, {"spp_grad": 0}, "spp_grad: 0 is out of range"),
        ({}, {"sensor": 3}, "sensor: there is no 3"),
        ({}, {"mode": "both"}, "mode: 'both' is unknown; the modes are reverse, forward"),
    ],
)
def test_mistakes_are_one_line(scene, params, options, message):
    with pytest.raises(prb.ParameterError) as caught:
        prb.jax.render(scene, params, **options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_mistakes_under_grad_and_jit(scene):
    with pytest.raises(prb.ParameterError, match="clip it"):
        jax.grad(weighted(scene))(jnp.array([0.5, 0.5, 1.5]))
    with pytest.raises(prb.ParameterError, match=r"expected shape \(3,\), got \(2,\)"):
        jax.jit(weighted(scene))(jnp.ones(2))
    with pytest.raises(prb.ParameterError, match="seed: expected a whole number, got float32 of shape"):
        jax.jit(lambda seed: prb.jax.render(scene, {}, seed=seed))(0.5)
    with pytest.raises(Exception, match="clip it"):
        jax.jit(weighted(scene))(jnp.array([0.5, 0.5, 1.5])).block_until_ready()


def test_a_loss_in_jax(scene):
    target = np.full(scene.image_shape, 0.2)
    l2 = prb.losses.l2(target)
    expected = prb.value_and_grad(scene, [RED], l2, **OPTIONS)
    for function in (
        lambda picture: jnp.square(picture - 0.2).mean(),
        jax.jit(lambda picture: jnp.square(picture - 0.2).mean(keepdims=True)),
    ):
        for of_jax in (
            prb.jax.loss(function), 0.25 * l2 + 0.75 * prb.jax.loss(function),
            prb.jax.loss_of_target(lambda picture, target: jnp.square(picture - target).mean())(target),
        ):  # fmt: skip
            found = prb.value_and_grad(scene, [RED], of_jax, **OPTIONS)
            assert found.value == pytest.approx(expected.value, rel=1e-5)
            np.testing.assert_allclose(found.grads[RED], expected.grads[RED], rtol=1e-4)


def test_optimize_takes_one(scene):
    target = prb.render(scene, spp=64, seed=1)
    start, weights = [0.2, 0.5, 0.5], np.linspace(0, 1, 144).reshape(12, 12)

    def compared(picture, target, weights=1.0):
        counts = jnp.broadcast_to(jnp.atleast_3d(weights), target.shape)
        return (counts * jnp.square(picture - target)).sum() / counts.sum()

    def run(loss, weights):
        prb.traverse(scene).update({RED: start})
        options = dict(iterations=5, spp=8, max_depth=4)
        return prb.optimize(scene, RED, target, loss=loss, weights=weights, **options).losses

    for counts in (None, weights):
        found = run(0.5 * prb.jax.loss_of_target(compared) + 0.5 * prb.losses.l2(), counts)
        np.testing.assert_allclose(found, run("l2", counts), rtol=1e-3)
    with pytest.raises(prb.ParameterError, match="loss: the function takes no weights"):
        run(prb.jax.loss_of_target(lambda picture, target: (picture - target).sum()), weights)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda picture: picture, "loss: expected an array of one number, got shape (12, 12, 3)"),
        (lambda picture: 1.0, "loss: its value does not follow from the picture"),
        (lambda picture: jax.lax.stop_gradient(picture).mean(), "loss: its value does not follow from the"),
        (
            lambda picture: np.asarray(picture).mean(),
            "loss: JAX cannot trace it (TracerArrayConversionError)",
        ),
        (lambda picture: float(picture.mean()), "loss: JAX cannot trace it (ConcretizationTypeError)"),
        (lambda picture: (picture / 0).mean(), "loss: its derivative is not finite"),
    ],
)
def test_losses_that_are_none(scene, function, message):
    with pytest.raises(prb.ParameterError) as caught:
        prb.value_and_grad(scene, [RED], prb.jax.loss(function), **OPTIONS)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_example_of_the_readme():
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    example = text.partition("## With JAX")[2].partition("```python\n")[2].partition("```")[0]
    short = example.replace("range(60)", "range(5)").replace("spp=256", "spp=16")
    assert short.count("range(5)") == short.count("spp=16") == 1
    names = {"prb": prb}
    exec(compile(short, "README.md", "exec"), names)
    true = prb.traverse(prb.load_file("painted-plane"))["painting.reflectance.data"]
    found = np.asarray(jax.nn.sigmoid(names["logits"]))
    assert np.square(found - true).mean() < 0.95 * np.square(0.5 - true).mean()


def test_import_of_prb_leaves_jax_alone():
    code = "import sys, prb; print('jax' in sys.modules, 'prb.jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")
