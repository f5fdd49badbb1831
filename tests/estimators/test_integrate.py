"""Launches: what must not change a picture or a gradient, and what must."""

import os
import subprocess
import sys

import numpy as np
import pytest

import prb
from prb.estimators import work
from prb.estimators.integrate import integrate
from prb.estimators.work import Plan


def box(size=16, **film):
    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    for name, value in film.items():
        setattr(scene.film, name, value)
    return scene


def uniform(scene):
    return np.full(scene.image_shape, 1 / np.prod(scene.image_shape))


def both(scene, **options):
    gradient = prb.render_backward(scene, uniform(scene), **options)
    return prb.render(scene, **options), np.concatenate([g.ravel() for g in gradient.values()])


def test_same_seed_same_bits_other_seed_other_picture():
    scene = box()
    image, gradient = both(scene, spp=8, seed=3)
    again, gradient_again = both(scene, spp=8, seed=3)
    assert np.array_equal(image, again) and np.array_equal(gradient, gradient_again)
    assert not np.array_equal(image, prb.render(scene, spp=8, seed=4))


ON_CPU = dict(block=1, stride=512, kept_vertices=4)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(
            paths=100, workers=7, min_workers=7, items=1, **ON_CPU, gradient_numbers=2**20, gradient_copies=4
        ),  # many launches
        Plan(
            paths=2**19,
            workers=64,
            min_workers=64,
            items=2**12,
            **ON_CPU,
            gradient_numbers=2**20,
            gradient_copies=4,
        ),  # splits
        Plan(
            paths=2**10, workers=64, min_workers=64, items=1, **ON_CPU, gradient_numbers=40, gradient_copies=2
        ),  # atomics
        Plan(
            paths=1000,
            workers=3,
            min_workers=3,
            items=700,
            **ON_CPU,
            gradient_numbers=2**20,
            gradient_copies=4,
        ),  # remainders
    ],
)
def test_how_work_is_cut_does_not_matter(plan, monkeypatch):
    scene = box()
    image, gradient = both(scene, spp=13)
    monkeypatch.setattr(work, "CPU", plan)
    other, other_gradient = both(scene, spp=13)
    np.testing.assert_allclose(other, image, rtol=2e-6)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-5)


def test_a_crop_window_is_a_part_of_the_picture():
    whole = prb.render(box(rfilter="box"), spp=4)
    crop = box(rfilter="box", crop_offset=(3, 5), crop_size=(7, 4))
    assert crop.image_shape == (4, 7, 3)
    np.testing.assert_allclose(prb.render(crop, spp=4), whole[5:9, 3:10], rtol=1e-6)


def test_a_cropped_view_is_a_part_of_the_picture():
    scene = box(rfilter="box", crop_offset=(3, 5), crop_size=(7, 4))
    whole, view = prb.render(scene, spp=4), scene.cropped(4, 9)
    assert view.image_shape == (4, 4, 3)  # no higher than the window of the film
    np.testing.assert_allclose(prb.render(view, spp=4), whole[:, :4], rtol=1e-6)
    assert scene.image_shape == whole.shape
    np.testing.assert_array_equal(prb.render(scene, spp=4), whole)
    view.resize(6, 5)
    assert scene.image_shape == (5, 6, 3) and view.image_shape == (5, 4, 3)


def test_spp_are_a_prefix():
    """Samples 0 .. 3 are the same in a render of 4 and of 8."""
    scene = box()
    four, eight = prb.render(scene, spp=4), prb.render(scene, spp=8)
    assert np.abs(eight - four).max() > 0
    launch = integrate(scene, 0, spp=8).image * 8 - integrate(scene, 0, spp=4).image * 4
    assert launch.min() > -1e-4


def test_max_depth():
    scene = box()
    assert np.all(prb.render(scene, spp=2, max_depth=0) == 0)
    assert np.all(
        prb.render_backward(scene, uniform(scene), spp=2, max_depth=0)["red.reflectance.value"] == 0
    )
    emission = prb.render(scene, spp=2, max_depth=1)
    assert set(np.unique(emission[..., 0] > 0)) == {False, True}
    means = [prb.render(scene, spp=16, max_depth=d).mean() for d in (1, 2, 3, 8)]
    assert means == sorted(means) and means[0] < 0.6 * means[-1]


def test_hidden_emitters_are_seen_through():
    scene = box(32)
    lamp = prb.render(scene, spp=16, max_depth=1)[..., 0] > 0
    visible = prb.render(scene, spp=64)
    hidden = box(32)
    hidden.model.integrator.hide_emitters = True
    hidden = prb.Scene(hidden.model)
    hidden.resize(32, 32)
    image = prb.render(hidden, spp=64)
    assert visible[lamp].max() > 5 and image[lamp].max() < 2
    assert image[lamp].min() > 0, "the ceiling behind the lamp"
    assert np.all(prb.render(hidden, spp=4, max_depth=1) == 0)


def test_paths_that_are_not_finite_are_counted_and_add_nothing():
    scene = box()
    reference = prb.render(scene, spp=4)
    scene.values[:] = np.where(scene.values > 5, np.float32(3e38), scene.values)  # the lamp
    scene.update(tables=False)
    with pytest.warns(UserWarning, match="paths had a contribution or a derivative that is not finite"):
        image = prb.render(scene, spp=4)
    assert np.isfinite(image).all() and image.shape == reference.shape
    with pytest.warns(UserWarning, match="not finite"):
        gradient = prb.render_backward(scene, uniform(scene), spp=4)
    assert all(np.isfinite(g).all() for g in gradient.values())


def test_nothing_is_compiled_for_another_scene_of_the_same_plugins():
    from prb.kernels.estimators import launch

    scene = box()
    both(scene, spp=1)
    kernel = launch.trace_paths._primal
    compiled = len(kernel.compiled_kernels)
    other = prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "max_depth": 3},
            "camera": {
                "type": "perspective",
                "fov": 20,
                "to_world": [{"look_at": {"origin": [0, 0, 4], "target": [0, 0, 0], "up": [0, 1, 0]}}],
                "film": {"type": "hdrfilm", "width": 9, "height": 5, "rfilter": {"type": "tent"}},
            },
            "a": {"type": "cube", "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.2}}},
            "b": {
                "type": "rectangle",
                "to_world": [{"translate": [0, 0, 3]}],
                "emitter": {"type": "area", "radiance": {"type": "rgb", "value": [1, 2, 3]}},
                "bsdf": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0}},
            },
        }
    )
    both(other, spp=3)
    assert len(kernel.compiled_kernels) == compiled


def test_memory_does_not_depend_on_depth_or_samples():
    """Peak resident memory of whole processes, in MiB; benchmarks/memory.py measures larger ones."""
    script = (
        "import resource, sys, numpy as np, prb; depth, spp = map(int, sys.argv[1:])\n"
        "s = prb.load_file('cornell-box'); s.resize(64, 64)\n"
        "w = np.full(s.image_shape, 1 / np.prod(s.image_shape))\n"
        "prb.render_backward(s, w, ['red.*'], spp=spp, max_depth=depth)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )

    def peak_mib(depth, spp):
        run = subprocess.run(
            [sys.executable, "-c", script, str(depth), str(spp)], capture_output=True, text=True, check=True
        )
        return float(run.stdout)

    base = peak_mib(8, 16)
    assert abs(peak_mib(256, 16) - base) < 16
    assert abs(peak_mib(8, 1024) - base) < 16


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux's /proc")
def test_memory_does_not_grow_from_gradient_to_gradient():
    """A loop of gradients holds what one does: Taichi does not free arrays of vectors by itself."""
    script = (
        "import numpy as np, prb; s = prb.load_file('cornell-box'); s.resize(32, 32)\n"
        "w = np.ones(s.image_shape)\n"
        "def mib(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 2**20\n"
        "def loop(n): [prb.render_backward(s, w, spp=1, seed=i) for i in range(n)]\n"
        "loop(10); before = mib(); loop(30); print(mib() - before)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert float(run.stdout) < 30  # it was 8 for each


def test_a_new_init_leaves_scenes_usable():
    script = (
        "import numpy as np, prb; s = prb.load_file('cornell-box'); s.resize(8, 8)\n"
        "a = prb.render(s, spp=2); prb.init('cpu'); b = prb.render(s, spp=2)\n"
        "assert np.array_equal(a, b)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def _vulkan():
    return "vulkan" in prb.available_archs()


@pytest.mark.skipif(not _vulkan(), reason="no Vulkan device (a software one will do: mesa-vulkan-drivers)")
def test_vulkan_gives_the_gradient_and_the_picture_of_the_cpu():
    """On a film whose last thread block is not full."""
    script = (
        "import numpy as np, prb, sys; s = prb.load_file('cornell-box'); s.resize(15, 15)\n"
        "w = np.full(s.image_shape, 1 / np.prod(s.image_shape))\n"
        "found = list(prb.render_backward(s, w, spp=1).values())\n"
        "found += [prb.render(s, spp=1), prb.render(s, spp=5)]\n"
        "from prb.device import runtime; assert runtime.arch() == sys.argv[1]\n"
        "print(repr(np.concatenate([x.ravel() for x in found]).tolist()))"
    )
    results = []
    for arch in ("cpu", "vulkan"):
        run = subprocess.run(
            [sys.executable, "-c", script, arch],
            env={**os.environ, "PRB_ARCH": arch},
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stderr
        results.append(np.array(eval(run.stdout.strip().splitlines()[-1])))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-4, atol=1e-6)
