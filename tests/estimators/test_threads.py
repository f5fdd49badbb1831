"""Threads take turns on the device: whatever they do at once has the bits of the same calls one by one."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import prb
from prb.device import runtime

THREADS = 4
NAMES = ("cornell-box", "furnace")

pytestmark = pytest.mark.skipif(
    runtime.arch() not in (None, "cpu"), reason="elsewhere the bits of a gradient depend on the order"
)


@pytest.fixture(autouse=True)
def impatient_threads():
    """Threads change places as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def small(name, size):
    scene = prb.load_file(name)
    scene.resize(size, size)
    return scene


def weight(scene):
    return np.random.default_rng(1).normal(size=scene.image_shape)


def picture(scene, seed):
    return prb.render(scene, spp=2, seed=seed, max_depth=4)


def gradient(scene, seed):
    return prb.render_backward(scene, weight(scene), spp=2, seed=seed, max_depth=4)


def pair(scene, seed):
    loss = prb.losses.l2(np.full(scene.image_shape, 0.3))
    found = prb.value_and_grad(scene, None, loss, spp=4, seed=seed, max_depth=4)
    return {**found.grads, "image": found.image}


def pair_traced_twice(scene, seed):
    loss = prb.losses.l2(np.full(scene.image_shape, 0.3))
    return prb.value_and_grad(scene, None, loss, spp=4, seed=seed, max_depth=4, hit_budget=0).grads


def derivative(scene, seed):
    name = next(iter(gradient(scene, seed)))
    return prb.render_forward(scene, {name: 1.0}, spp=2, seed=seed, max_depth=4)


def moved(scene, seed):
    """Finite differences render the scene at other values than its own."""
    name = "red.reflectance.value" if scene.name == "cornell-box" else "wall.reflectance.value"
    options = dict(spp=1, seed=seed, max_depth=3, adjoint=prb.FiniteDifference())
    return prb.render_backward(scene, weight(scene), [name], **options)


CALLS = (picture, gradient, pair, pair_traced_twice, derivative, moved)


def flat(found):
    """The bytes of a result."""
    parts = found.values() if isinstance(found, dict) else [found]
    return b"".join(np.ascontiguousarray(x).tobytes() for x in parts)


def assert_same_bits(jobs):
    """jobs: (name, function) pairs that do not depend on each other."""
    expected = [flat(job()) for _, job in jobs]
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(2):
            running = [pool.submit(job) for _, job in jobs]
            found = [flat(future.result()) for future in running]
            wrong = [name for (name, _), a, b in zip(jobs, found, expected, strict=True) if a != b]
            assert not wrong, f"{len(wrong)} of {len(jobs)} differ: {wrong[:8]}"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_the_same_call_on_one_scene(call):
    scene = small("cornell-box", 12)
    jobs = [(f"{call.__name__} {seed}", lambda seed=seed: call(scene, seed)) for seed in range(12)]
    assert_same_bits(jobs)


def test_mixed_calls_on_one_scene_and_on_several():
    scenes = [small(name, size) for name in NAMES for size in (8, 12)]
    jobs = []
    for seed in range(3):
        for number, scene in enumerate(scenes):
            for call in CALLS:
                label = f"{call.__name__} of {scene.name} {number}, seed {seed}"
                jobs.append((label, lambda c=call, s=scene, seed=seed: c(s, seed)))
    order = np.random.default_rng(0).permutation(len(jobs))
    assert_same_bits([jobs[i] for i in order])


def test_parameters_that_change_meanwhile():
    """Each thread changes a scene of its own."""

    def job(number):
        scene = small("cornell-box", 8)
        params = prb.traverse(scene)
        found = []
        for k in range(4):
            params.update({"red.reflectance.value": np.full(3, 0.1 + 0.05 * number + 0.01 * k)})
            found.append(picture(scene, k))
        return np.array(found)

    assert_same_bits([(str(number), lambda number=number: job(number)) for number in range(8)])


SCRIPT = """
import sys, threading, prb
sys.setswitchinterval(1e-5)
stdout, found = sys.stdout, {}
def job(number):
    scene = prb.load_file("cornell-box")
    scene.resize(8, 8)
    found[number] = prb.render(scene, spp=1).tobytes()
threads = [threading.Thread(target=job, args=(number,)) for number in range(4)]
for t in threads: t.start()
for t in threads: t.join()
assert sys.stdout is stdout
print(len(found), len(set(found.values())))
"""


def test_a_first_render_in_four_threads():
    environment = {**os.environ, "PRB_ARCH": "cpu"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "4 1\n"


@pytest.mark.parametrize("initialised_in", ["main", "worker"])
def test_init_in_one_thread_and_a_render_in_another(initialised_in):
    script = (
        "import sys, prb\n"
        "from concurrent.futures import ThreadPoolExecutor as Pool\n"
        "scene = prb.load_file('furnace'); scene.resize(4, 4)\n"
        "pool = Pool(1)\n"
        "def run(place, f, *a, **o):\n"
        "    return f(*a, **o) if place == 'main' else pool.submit(f, *a, **o).result()\n"
        "first = sys.argv[1]; other = {'main': 'worker', 'worker': 'main'}[first]\n"
        "run(first, prb.init, 'cpu')\n"
        "a = run(other, prb.render, scene, spp=1); b = run(first, prb.render, scene, spp=1)\n"
        "run(first, prb.init, 'cpu')\n"
        "c = run(other, prb.render, scene, spp=1)\n"
        "assert (a == b).all() and (a == c).all()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, initialised_in], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hit_budget", [0, 2**28])
def test_a_loss_may_wait_for_another_thread_that_renders(hit_budget):
    scene, other = small("furnace", 6), small("cornell-box", 6)
    expected = picture(other, 1)
    seen = []

    def loss(image):
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(picture, other, 1).result(timeout=60))
        return image.mean(), np.full(image.shape, 1 / image.size)

    prb.value_and_grad(scene, None, loss, spp=4, hit_budget=hit_budget)
    assert len(seen) == 5  # four folds, and all samples
    assert all((image == expected).all() for image in seen)


def test_the_gradient_is_that_of_its_picture_whatever_the_loss_changes():
    scene = small("furnace", 6)
    params, name = prb.traverse(scene), "wall.reflectance.value"
    own = params[name].copy()
    plain = prb.value_and_grad(scene, None, lambda image: (0.0, image), spp=4).grads[name]

    def loss(image):
        params.update({name: 0.1 * own})
        return 0.0, image

    found = prb.value_and_grad(scene, None, loss, spp=4).grads[name]
    np.testing.assert_array_equal(found, plain)


def test_a_film_of_another_size_between_the_sweeps_is_refused():
    scene = small("furnace", 6)

    def loss(image):
        scene.resize(9, 9)
        return 0.0, image

    with pytest.raises(prb.ParameterError, match="film's size was changed"):
        prb.value_and_grad(scene, None, loss, spp=4)


def test_renders_while_another_thread_resizes_the_film():
    scene = small("cornell-box", 8)
    sizes = [(6, 4), (8, 8), (5, 7)]
    shapes = {(h, w, 3) for w, h in sizes}
    with ThreadPoolExecutor(2) as pool:
        resizing = pool.submit(lambda: [scene.resize(*sizes[i % 3]) for i in range(300)])
        while not resizing.done():
            assert prb.render(scene, spp=1, max_depth=2).shape in shapes
        resizing.result()
