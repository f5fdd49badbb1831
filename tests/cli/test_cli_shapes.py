"""Options of `prb optimize` about shapes: how transforms are moved, how positions are smoothed."""

import argparse
from types import SimpleNamespace

import numpy as np
import pytest

import prb
from prb import coordinates
from prb.cli.optimize import _optimizer
from prb.cli.optimize_options import coordinates_given, initial_values, motion, remesh
from prb.errors import ParameterError

pytestmark = pytest.mark.quick

NAMES = ["a.to_world", "b.to_world", "b.vertex_positions", "c.radiance.value"]


@pytest.mark.parametrize("texts, smooth, found", [
    ([], None, {}),
    (["similarity"], None, dict.fromkeys(NAMES[:2], coordinates.Similarity())),
    (["rigid", "b.*d=translation"], None,
     {NAMES[0]: coordinates.Rigid(), NAMES[1]: coordinates.Translation()}),
    (["a.to_world=values"], 3.0, {NAMES[0]: None, NAMES[2]: coordinates.LargeSteps(3.0)}),
    (["affine"], 0.0, {**dict.fromkeys(NAMES[:2], coordinates.Affine()),
                       NAMES[2]: coordinates.LargeSteps(0.0)}),
], ids=str)  # fmt: skip
def test_what_options_give(texts, smooth, found):
    assert coordinates_given([motion(text) for text in texts], smooth, NAMES) == found


@pytest.mark.parametrize("text", ["", "stiff", "a.to_world=", "=rigid", "rigid=a.to_world"])
def test_no_kind_of_motion(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is no kind of motion; write it as in"):
        motion(text)


@pytest.mark.parametrize("texts, smooth, message", [
    (["d.*=rigid"], None, "--as: d.. is not optimised; those are"),
    (["rigid"], None, "--as: no to_world is optimised; name one with --param"),
    ([], 19.0, "--smooth-steps: no vertex_positions is optimised; name one"),
], ids=str)  # fmt: skip
def test_options_for_nothing(texts, smooth, message):
    with pytest.raises(ParameterError, match=message):
        coordinates_given([motion(text) for text in texts], smooth, NAMES[3:])


@pytest.mark.parametrize("kind, uniform", [
    ("adam", ("x",)), ("amsgrad", ("x",)), ("adam-uniform", True), ("sgd", None)
])  # fmt: skip
def test_adam_is_uniform_for_smooth_positions(kind, uniform):
    args = SimpleNamespace(lr=None, schedule="constant", optimizer=kind)
    assert getattr(_optimizer(args, ["x", "y"], ["x"]), "uniform", None) == uniform


def test_when_meshes_are_remeshed():
    assert remesh("vase.*=50,100:0.02") == ("vase.*", [(50, None), (100, 0.02)])
    for text in ("vase.*=", "50", "vase.*=a", "vase.*=50:x", "=50"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no list of iterations; write it as in"):
            remesh(text)


def test_positions_that_start_on_a_sphere():
    """Each in the direction that it has from the mean of all."""
    scene = prb.load_file("bear")
    name, other = "bear.vertex_positions", "sky.radiance.value"
    found, files = initial_values(scene, [f"{name}=sphere"], [name], 0, ("bear", {}))
    before = prb.traverse(scene)[name].astype(float)
    offsets, moved = before - before.mean(axis=0), found[name] - before.mean(axis=0)
    lengths = np.linalg.norm(offsets, axis=1)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), lengths.mean(), rtol=1e-9)
    np.testing.assert_allclose((moved * offsets).sum(axis=1), lengths * lengths.mean(), rtol=1e-9)
    assert files == []
    with pytest.raises(ParameterError, match=f"--init: {other} is no positions of vertices"):
        initial_values(scene, ["sphere"], [other], 0, ("bear", {}))
