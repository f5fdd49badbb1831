"""Forward and reverse mode are each other's transpose: <W, J t> = <J^T W, t> for the same random numbers.

For every parameter, vertex normals, directions of lights and what moves shapes or the camera among them, of
every bundled scene. J is the derivative of the estimate with those random numbers, so rounding is all that
may differ. Scenes whose kernels are like those of others but take long to compile are slow tests.
"""

import numpy as np
import pytest

import prb
from prb.device.params import records
from prb.errors import ParameterError

OPTIONS = dict(spp=4, seed=7)
INTERIOR = prb.ReplayAdjoint()  # of what moves; the boundary terms are tested in test_boundary.py
TOLERANCE = 1e-6  # of the sum of the absolute values of the terms; float32 throughout
LOADED = {}


def scene_of(name):
    if name not in LOADED:
        scene = prb.load_file(name)
        scene.resize(20, 20)
        LOADED[name] = scene
    return LOADED[name]


def of_scene(scene, *more):
    """A case of a scene."""
    marks = [pytest.mark.slow] if scene in LONG else []
    return pytest.param(scene, *more, id=":".join((scene, *more)), marks=marks)


# rippled-glass bends rays, too; the media of test_media_differences.py have this test, too
LONG = "bear", "glass-ball", "rippled-mirror", "seated-bear", "shadow", "smoke"
MOVED_FAST = "blinn-phong-sphere", "cornell-box"


def named(scene, *, moves):
    """The parameters that move shapes or the camera, or the others."""
    return [name for name, record in records(scene).items() if record.moves == moves]


CASES = [
    of_scene(scene, name) for scene in prb.bundled_scenes() for name in named(scene_of(scene), moves=False)
]
MOVED = [
    pytest.param(scene, marks=[] if scene in MOVED_FAST else [pytest.mark.slow])
    for scene in prb.bundled_scenes()
]


def products(scene, names, seed, alone=None, **options):
    """<W, J t>, <J^T W, t> and the sum of |W J t| for a random W and t, some of whose numbers are zero.

    alone: the only name whose t is not zero; all are differentiated."""
    random = np.random.default_rng(seed)
    weight = random.normal(size=scene.image_shape) * random.integers(0, 3, scene.image_shape)
    tangents = {}
    for name in names:
        shape = records(scene)[name].shape
        tangents[name] = (random.normal(size=shape) * (random.random(shape) < 0.8)).astype(np.float32)
        if alone not in (None, name):
            tangents[name] = np.zeros(shape, np.float32)
    image = prb.render_forward(scene, tangents, **OPTIONS, **options).astype(float)
    gradients = prb.render_backward(scene, weight, names, **OPTIONS, **options)
    reverse = sum((gradients[name] * t.astype(float)).sum() for name, t in tangents.items())
    return (weight * image).sum(), reverse, np.abs(weight * image).sum()


@pytest.mark.parametrize("scene_name, parameter", CASES)
def test_dot_product(scene_name, parameter):
    scene = scene_of(scene_name)
    for seed in (1, 2, 3):
        forward, reverse, size = products(scene, [parameter], seed)
        assert abs(forward - reverse) <= TOLERANCE * size
        assert size > 0


@pytest.mark.parametrize("scene_name", [of_scene(scene) for scene in prb.bundled_scenes()])
def test_dot_product_of_all_parameters_together(scene_name):
    scene = scene_of(scene_name)
    forward, reverse, size = products(scene, named(scene, moves=False), 5)
    assert size > 0 and abs(forward - reverse) <= TOLERANCE * size


@pytest.mark.parametrize("scene_name", MOVED)
def test_dot_product_of_what_moves(scene_name):
    """Each alone, differentiated together, as kernels have all or none of their kind. Of a light that is seen
    from nowhere, say, the derivative is zero."""
    scene = scene_of(scene_name)
    names = named(scene, moves=True)
    sizes = []
    for seed, name in enumerate(names):
        forward, reverse, size = products(scene, names, seed, alone=name, adjoint=INTERIOR)
        assert abs(forward - reverse) <= TOLERANCE * size, name
        sizes.append(size)
    assert np.count_nonzero(sizes) > 0.6 * len(names)


def test_forward_mode_is_linear_in_the_tangent():
    scene = scene_of("cornell-box")
    a, b = "red.reflectance.value", "white.reflectance.value"
    s, t = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.0, -1.0])
    both = prb.render_forward(scene, {a: s, b: t}, **OPTIONS)
    apart = prb.render_forward(scene, {a: s}, **OPTIONS) + prb.render_forward(scene, {b: t}, **OPTIONS)
    np.testing.assert_allclose(both, apart, rtol=1e-5, atol=1e-6 * np.abs(both).max())


@pytest.mark.parametrize(
    ("tangents", "message"),
    [
        ({"red.reflectance.value": [1, 0]}, r"red\.reflectance\.value: expected a tangent of shape \(3,\)"),
        ({"red.reflectance.value": np.zeros((3, 3))}, r"expected a tangent of shape \(3,\)"),
        ({"red.reflectance.value": "much"}, "got 'much'"),
        ({"red.reflectance.value": [1, np.nan, 0]}, "the tangent has a number that is not finite"),
        ({"red.reflectance.value": 1e60}, "the tangent has a number that is not finite"),
        ({"*.reflectance.value": 1}, "one parameter's exact name, not a pattern"),
        ({"sensor.far_clip": 1}, "is not differentiable by path replay"),
        ({"sensor.to_world": [1, 0]}, r"expected a tangent of shape \(4, 4\)"),
        ({"blue": 1}, "matches no parameter"),
        ([1, 2], "expected a dict"),
    ],
)
def test_tangent_that_makes_no_sense(tangents, message):
    with pytest.raises(ParameterError, match=message):
        prb.render_forward(scene_of("cornell-box"), tangents, **OPTIONS)
