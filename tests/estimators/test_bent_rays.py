"""Parameters that bend rays, by attached replay: closed forms, and differences with common random numbers on
scenes in which nothing has an edge."""

import numpy as np
import pytest
from helpers.bent_scenes import DEPTH, ETA, SIZE, TILT, glass, mirror

import prb
from prb.checking.differences import check
from prb.device.params import records


def seen_through(eta):
    """What the middle of the picture shows of the wall's gradient through a plane of glass: its red part.

    Snell's law: the ray meets the wall DEPTH tan(t) from its middle, with sin(t) = sin(i) / eta.
    Of it the Fresnel equations leave 1 - F, in a solid angle that is eta^2 times smaller.
    """
    sin_i, cos_i = np.sin(np.radians(TILT)), np.cos(np.radians(TILT))
    sin_t = sin_i / eta
    cos_t = np.sqrt(1 - sin_t**2)
    s, p = (cos_i - eta * cos_t) / (cos_i + eta * cos_t), (eta * cos_i - cos_t) / (eta * cos_i + cos_t)
    u = 0.5 * (1 - DEPTH * sin_t / cos_t / SIZE)
    return (1 - 0.5 * (s**2 + p**2)) / eta**2 * (0.2 + 0.8 * (u - 0.25) / 0.5)


def test_a_plane_of_glass_before_a_gradient():
    """Picture and derivative by the index of refraction, within four standard errors."""
    scene = glass()
    weight = np.zeros(scene.image_shape)
    weight[..., 0] = 1 / weight[..., 0].size  # the picture is linear, so its mean is its middle
    found = prb.render_backward(scene, weight, [ETA], spp=16384, stderr=True)[ETA]
    picture = (weight * prb.render(scene, spp=16384)).sum()
    slope = (seen_through(1.5 + 1e-5) - seen_through(1.5 - 1e-5)) / 2e-5
    assert picture == pytest.approx(seen_through(1.5), rel=2e-3)
    assert found.stderr < 1e-3 * abs(slope)
    assert abs(found.value - slope) < 4 * found.stderr
    level = seen_through(1.5) * -2 / 1.5  # were the wall's point the same, and F
    assert abs(found.value - level) > 20 * found.stderr


def texel_name(scene):
    return next(n for n in records(scene) if n.startswith("mirror") and n.endswith("data"))


@pytest.mark.parametrize(
    "kind, frame",
    [("conductor", "normalmap"), pytest.param("roughconductor", "bumpmap", marks=pytest.mark.slow)],
    ids=lambda x: x,
)
def test_texels_of_a_map(kind, frame):
    """Differences of each texel, with the same random numbers; no lobe is chosen, so they are exact."""
    scene = mirror(kind, frame)
    name = texel_name(scene)
    assert name == f"mirror.bsdf.{'normalmap' if frame == 'normalmap' else 'nested_texture'}.data"
    weight = np.random.default_rng(0).uniform(0.5, 1.5, scene.image_shape)
    options = dict(params=[name], spp=1024, seed=1)
    found = prb.render_backward(scene, weight, **options)[name]
    expected = prb.render_backward(scene, weight, adjoint=prb.FiniteDifference(step=0.002), **options)[name]
    np.testing.assert_allclose(found, expected, atol=4e-3 * np.abs(expected).max())
    assert (np.abs(expected) > 0.01 * np.abs(expected).max()).mean() > 0.5


def test_normals_of_a_mirror():
    """Vertex normals turn what a mirror reflects: detached sampling would find nothing."""
    scene = mirror(frame=None)
    name = "mirror.vertex_normals"
    weight = np.random.default_rng(0).uniform(0.5, 1.5, scene.image_shape)
    options = dict(params=[name], spp=256, seed=1)
    found = prb.render_backward(scene, weight, **options)[name]
    expected = prb.render_backward(scene, weight, adjoint=prb.FiniteDifference(step=0.002), **options)[name]
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())
    assert np.abs(expected).max() > 0.1


def test_a_check_says_that_an_edge_may_move():
    """Behind the glass a wall of two colours: the edge between them is seen at another place."""
    columns = np.float32([0.1] * 3 + [1.0] * 4)  # the middle of the picture shows u = 0.42
    scene = glass(np.tile(columns[:, None], (2, 1, 3)), nearest=True)
    scene.resize(8, 8)
    report = check(scene, ETA, seeds=16, spp=64, steps=(0.02, 0.01))
    (row,) = report.rows
    assert report.refuted and report.method == "attached"
    assert row.remark.startswith("an edge may move: edges that moving rays sweep over are not in the deriv")
    smooth = check(glass(), ETA, seeds=16, spp=1024, steps=(0.02, 0.01), tolerance=0.1)
    assert not smooth.refuted and "edge" not in smooth.rows[0].remark
