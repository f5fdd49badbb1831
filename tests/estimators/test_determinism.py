"""The same bits, run after run and whatever the number of threads; and how accurate sums of integers are."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import prb
from prb.device import runtime
from prb.estimators import work
from prb.kernels.estimators import modes

# Prints a digest of the picture and of every gradient, once per line of "scene threads".
SCRIPT = """
import sys
import prb
sys.path.insert(0, sys.argv[1])
from test_determinism import SCENES, digests
for name, threads in zip(sys.argv[2::2], sys.argv[3::2]):
    prb.init("cpu", threads=int(threads))
    print(name, digests(SCENES[name](), picture=name == 'few'))
"""


def box(size=16):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    return scene


def papered(radiance=1.0, *, side=160, size=16):
    """A wall with a texture of so many texels that workers share a gradient buffer, under a sky."""
    texels = np.random.default_rng(1).uniform(0.1, 0.9, (side, side, 3)).astype(np.float32)
    view = [{"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    film = {"type": "hdrfilm", "width": size, "height": size}
    return prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 4},
            "sensor": {"type": "perspective", "fov": 40, "to_world": view, "film": film},
            "wall": {
                "type": "rectangle",
                "bsdf": {"type": "diffuse", "reflectance": {"type": "bitmap", "data": texels, "raw": True}},
            },
            "ball": {"type": "sphere", "radius": 0.3, "center": [0, 0, 0.5]},
            "sky": {"type": "constant", "radiance": {"type": "rgb", "value": [radiance] * 3}},
        }
    )


SCENES = {"few": box, "many": papered}


def uniform(scene):
    return np.full(scene.image_shape, 1 / np.prod(scene.image_shape))


def digests(scene, *, picture=True):
    """Of all gradients with their standard errors, and of the picture."""
    options = dict(spp=8, seed=3, stderr=True, deterministic=True)
    gradients = prb.render_backward(scene, uniform(scene), **options)
    parts = [x for g in gradients.values() for x in g]
    if picture:
        parts.append(prb.render(scene, spp=8, seed=3))
    return hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in parts)).hexdigest()


@pytest.mark.parametrize("name", SCENES)
def test_same_bits_run_after_run(name):
    scene = SCENES[name]()
    assert len({digests(scene) for _ in range(3)}) == 1
    assert digests(SCENES[name]()) == digests(scene)


@pytest.mark.skipif(runtime.arch() not in (None, "cpu"), reason="counts the CPU's threads")
def test_same_bits_for_any_number_of_threads():
    order = [f"{name} {threads}" for name in SCENES for threads in (1, 2)]
    arguments = " ".join(order).split()
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), *arguments]
    run = subprocess.run(command, env={**os.environ, "PRB_ARCH": "cpu"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.split("\n")[: len(order)]
    assert len(lines) == len(order) and len(set(lines)) == len(SCENES), run.stdout


def test_which_scenes_share_their_gradient_buffers():
    """What the tests above rely on: the box's workers have a buffer each, the texture's have not."""
    for scene, own in ((box(), True), (papered(), False)):
        size = work.gradient_size(scene, None)
        cut = work.cut(work.CPU, scene, modes.REVERSE, 8, size)
        assert (cut.workers == cut.gradient_copies) is own


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e12])
def test_integers_agree_with_floats(scale):
    """Whatever the size of the weight, which sets the units."""
    scene = papered(size=8)
    weight = scale * np.random.default_rng(2).normal(size=scene.image_shape)
    floats = prb.render_backward(scene, weight, spp=4)
    integers = prb.render_backward(scene, weight, spp=4, deterministic=True)
    for name, gradient in floats.items():
        assert np.abs(gradient).max() > 0
        np.testing.assert_allclose(integers[name], gradient, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def test_a_weight_of_zero():
    scene = papered(size=4)
    found = prb.render_backward(scene, np.zeros(scene.image_shape), spp=2, deterministic=True)
    assert not any(g.any() for g in found.values())


def test_other_methods_do_not_take_it():
    scene = box(4)
    with pytest.raises(prb.ParameterError, match="; ReplayAdjoint"):
        prb.render_backward(scene, uniform(scene), spp=2, adjoint=prb.TapeAdjoint(), deterministic=True)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_bad_numbers_of_threads(threads):
    with pytest.raises(prb.DeviceError, match="threads: .* is out of range"):
        prb.init("cpu", threads=threads)


@pytest.mark.skipif("vulkan" not in prb.available_archs(), reason="no Vulkan device (a software one will do)")
def test_vulkan_refuses():
    """Taichi drops what threads add to 64-bit integers there: the gradient would be zero."""
    script = (
        "import numpy as np, prb; s = prb.load_file('cornell-box'); s.resize(4, 4)\n"
        "try: prb.render_backward(s, np.ones(s.image_shape), spp=1, deterministic=True)\n"
        "except prb.ParameterError as error: print(error)"
    )
    environment = {**os.environ, "PRB_ARCH": "vulkan"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "deterministic: vulkan cannot add 64-bit integers; leave it out, or use the CPU\n"
    script = "import prb\ntry: prb.init('vulkan', threads=2)\nexcept prb.DeviceError as error: print(error)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.startswith("threads: 'vulkan' does not take it")


def test_a_scene_too_bright_for_integers_says_so():
    scene = papered(1e9)
    with pytest.raises(prb.ParameterError, match="too large"):
        prb.render_backward(scene, uniform(scene), spp=2, deterministic=True)
