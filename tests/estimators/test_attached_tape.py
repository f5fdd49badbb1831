"""The attached tape: Taichi's derivative of the step of a path is that of attached replay, path by path.

Both run the same function (kernels/step/step.py), but Taichi differentiates its code, which knows nothing
of the links that kernels/traced.py records.
"""

import numpy as np
import pytest
from helpers import attached_scenes

import prb
from prb.device.params import records

TOLERANCE = 1e-4  # of the sum of absolute derivatives over paths; float32 throughout
PATHS = range(1, 256, 13)
SCENES = {
    "rough metal": attached_scenes.rough_metal,
    "beckmann": attached_scenes.beckmann,
    "glass": attached_scenes.glass,
    "rough glass": attached_scenes.rough_glass,
    "plastics": attached_scenes.plastics,
    "principled": attached_scenes.principled,
    "wrappers": attached_scenes.wrappers,
    "shapes": attached_scenes.shapes,
    "frames": attached_scenes.frames,
    **{f"lit by {name}": lambda name=name: attached_scenes.lit(name) for name in ("panel", "points", "map")},
}


def compare(scene, names=None, **options):
    """Replay and tape agree in all numbers of the parameter buffer, for a random weight of all pixels and for
    single paths."""
    assert scene.model.warnings == []
    replay, tape = prb.AttachedReplay(), prb.TapeAdjoint(sampling="attached")
    able = [name for name in records(scene) if replay.reason(scene, name) is None]
    assert able == [name for name in records(scene) if tape.reason(scene, name) is None]
    names = names or [name for name in able if name not in scene.layout.orientations]
    options = dict(spp=1, max_depth=4, names=names, **options)
    errors, sizes = 0.0, 0.0
    for pixel in PATHS:
        weight = np.zeros(scene.image_shape)
        weight.reshape(-1, 3)[pixel] = 1.0, 2.0, -0.5
        found = [method.backward(scene, weight, seed=pixel, **options) for method in (replay, tape)]
        np.testing.assert_allclose(found[0].image, found[1].image, rtol=1e-5, atol=1e-6)
        a, b = (result.gradient for result in found)
        assert np.isfinite(b).all()
        errors, sizes = errors + np.abs(a - b), sizes + np.abs(b)
    for name, record in records(scene).items():
        own = slice(record.offset, record.offset + record.size)
        assert errors[own].max() <= TOLERANCE * sizes[own].max(), name
    assert errors.max() <= TOLERANCE * sizes.max()
    return sizes


@pytest.mark.slow
def test_replay_is_the_tape_path_by_path():
    """Rough glass over a floor, beside a picture: densities of both techniques, both lobes, coordinates that
    move."""
    scene = attached_scenes.glass_and_picture()
    sizes = compare(scene)
    record = records(scene)["glass.bsdf.alpha.value"]
    assert sizes[record.offset] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
def test_materials_shapes_and_lights(name):
    compare(SCENES[name]())


@pytest.mark.slow
def test_vertex_normals(tmp_path):
    scene = attached_scenes.vertex_normals(tmp_path)
    sizes = compare(scene, [name for name, record in records(scene).items() if not record.moves])
    record = records(scene)["metal.vertex_normals"]
    assert sizes[record.offset : record.offset + record.size].all()


@pytest.mark.slow
def test_passes_and_bytes():
    scene = attached_scenes.glass_and_picture()
    weight = np.random.default_rng(2).normal(size=scene.image_shape)
    options = dict(spp=4, seed=1, max_depth=4)
    whole, parts = (
        prb.TapeAdjoint(sampling="attached", passes=n).backward(scene, weight, **options) for n in (1, 4)
    )
    np.testing.assert_allclose(parts.gradient, whole.gradient, rtol=1e-5, atol=1e-5)
    tape = prb.TapeAdjoint(sampling="attached")
    sizes = [tape.device_bytes(scene, spp=16, max_depth=n) for n in (8, 16, 32)]
    assert sizes[2] - sizes[1] == 2 * (sizes[1] - sizes[0]) > 0
    limited = prb.TapeAdjoint(sampling="attached", memory_limit=2**20)
    with pytest.raises(prb.MemoryLimitError, match=r"needs \d+ MiB.*limit is 1 MiB.*passes=\d+"):
        prb.render_backward(scene, weight, spp=64, max_depth=16, adjoint=limited)
    with pytest.raises(prb.ParameterError, match="max_depth: -1 has no end"):
        prb.render_backward(scene, weight, spp=1, max_depth=-1, adjoint=tape)


@pytest.mark.slow
def test_bytes_are_what_is_allocated():
    scene = attached_scenes.glass_and_picture()
    prb.TapeAdjoint(sampling="attached").backward(scene, np.ones(scene.image_shape), spp=1, max_depth=4)
    expected = prb.TapeAdjoint(sampling="attached").device_bytes(scene, spp=1, max_depth=4)
    copies = expected - scene.state.tape_buffers.nbytes()
    assert copies == 2 * 4 * scene.values.size * 1024


def test_refused():
    with pytest.raises(prb.ParameterError, match="sampling: expected 'detached' or 'attached', got 'half'"):
        prb.TapeAdjoint(sampling="half")
    smoke = prb.load_file("smoke")
    with pytest.raises(
        prb.ParameterError, match="sampling: 'attached' does not take participating media.*take 'detach"
    ):
        prb.TapeAdjoint(sampling="attached").backward(smoke, np.ones(smoke.image_shape), spp=1, max_depth=2)
