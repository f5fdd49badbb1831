"""Derivatives by what moves shapes and the camera: forward mode = reverse mode, and both = differences of
pictures with common random numbers, in scenes where no edge is in sight.

With a point light and one bounce a path's derivative is that of its own picture, and the two agree number by
number. Beyond that points are held for the derivative but not for the differences, so that they agree in the
mean: over SEEDS independent seeds, deviations beyond TRUNCATION pass unless they are so large by chance only
once in 10000 (t test, for all cases of a test together by Bonferroni).
"""

import numpy as np
import pytest
from helpers.moving_scenes import (
    LIT,
    MARBLE,
    PAINTED,
    VIEWS,
    bitmap,
    differences,
    plane,
    scaled,
    scene,
    sheet,
    shift,
    turn,
)
from scipy import stats

import prb

REPLAY = prb.ReplayAdjoint()  # without boundary terms: where there is no edge they are zero, with noise
SEEDS = 12
P_MIN = 1e-4
TRUNCATION = 3e-3  # of the derivative: that of the differences
WHITE = {"type": "diffuse", "reflectance": 0.7}
METAL = {"type": "roughconductor", "alpha": 0.4, "material": "Cu"}
WALL = {"rotate": {"axis": [1, 0, 0], "angle": 90}}, {"translate": [0, 3, 0]}  # out of sight


def tangents_of(name, params, random):
    """Directions in which a parameter is moved."""
    value = params[name]
    if value.shape == (4, 4):
        return [shift(0.3, -0.2, 0.5), turn(value, 0), turn(value, 1)]
    return [random.normal(size=value.shape)] if value.shape else [1.0]


def exact(scene, names, *, moved=None, tolerance=4e-3, **options):
    """Compare forward mode, reverse mode and differences for each of the names, path by path. All names are
    differentiated at once, so that there is one kernel. moved: name -> tangents.

    A few numbers may deviate further: pictures have kinks, between texels and between triangles.
    """
    params, random = prb.traverse(scene), np.random.default_rng(1)
    zero = {name: np.zeros(params[name].shape) for name in names}
    for name in names:
        view = name.split(".")[0] if name.split(".")[0] in VIEWS else "front"
        step = 1e-2 if name.endswith(("x_fov", "focus_distance")) else 3e-3
        for tangent in (moved or {}).get(name) or tangents_of(name, params, random):
            asked = dict(spp=4, seed=2, sensor=view) | options
            found = prb.render_forward(scene, zero | {name: tangent}, adjoint=REPLAY, **asked).astype(float)
            weight = random.normal(size=found.shape)
            gradient = prb.render_backward(scene, weight, names, adjoint=REPLAY, **asked)[name]
            size = np.abs(weight * found).sum()
            assert abs((gradient * tangent).sum() - (weight * found).sum()) <= 3e-6 * size, name
            expected = differences(scene, name, tangent, step, **asked)
            assert np.abs(expected).max() > 1e-3, name
            deviation = np.abs(found - expected) / np.abs(expected).max()
            assert np.quantile(deviation, 0.9) < tolerance and deviation.mean() < 2 * tolerance, name


def in_the_mean(scene, moved, *, spp=512, step=3e-3, precision=0.05, **options):
    """Compare them for a weighted sum of the picture's numbers. moved: name -> tangents. precision: of the
    comparison, as a part of the derivative; it must be able to see an error of four times that."""
    names, cases = list(moved), [(name, t) for name, tangents in moved.items() for t in tangents]
    weight = np.random.default_rng(0).uniform(0.5, 1.5, scene.image_shape) / np.prod(scene.image_shape)
    zero = {name: np.zeros(prb.traverse(scene)[name].shape) for name in names}
    found, expected = np.zeros((2, len(cases), SEEDS))
    for seed in range(SEEDS):
        asked = dict(spp=spp, seed=seed) | options
        gradient = prb.render_backward(scene, weight, names, adjoint=REPLAY, **asked)
        for i, (name, tangent) in enumerate(cases):
            found[i, seed] = (gradient[name] * tangent).sum()
            expected[i, seed] = (weight * differences(scene, name, tangent, step, **asked)).sum()
            if seed == 0:
                forward = prb.render_forward(scene, zero | {name: tangent}, adjoint=REPLAY, **asked)
                size = np.abs(weight * forward).sum()
                assert abs((weight * forward.astype(float)).sum() - found[i, 0]) <= 3e-6 * size, name
    for i, (name, _) in enumerate(cases):
        deviation = found[i] - expected[i]
        error = stats.sem(deviation)
        told = f"{name}: {found[i].mean():.5g} and {expected[i].mean():.5g} +- {error:.2g}"
        assert error < precision * abs(expected[i].mean()), told
        beyond = max(abs(deviation.mean()) - TRUNCATION * abs(expected[i].mean()), 0.0)
        p = 2 * stats.t.sf(beyond / error, SEEDS - 1)
        assert p > P_MIN / len(cases), told


@pytest.fixture(scope="module")
def corner(tmp_path_factory):
    """A sheet of triangles with computed normals in view of three cameras, and a wall out of their sight."""
    folder = tmp_path_factory.mktemp("moving")
    own = {"type": "ply", "filename": sheet(folder), "bsdf": PAINTED}
    return scene(folder, depth=3, views=VIEWS, sheet=own, wall=plane(WHITE, *WALL))


def test_mesh_and_cameras(corner):
    """Transform and positions, which the normals follow; all that three kinds of cameras have."""
    params = prb.traverse(corner)
    cameras = [n for n in params if n.split(".")[0] in VIEWS and params.differentiable(n)]
    assert len(cameras) == 4 + 4 + 1
    exact(corner, ["sheet.to_world", "sheet.vertex_positions", *cameras], max_depth=2)


def test_what_is_seen_by_another_surface(corner):
    """The wall lights the sheet, from points that are held."""
    params, random = prb.traverse(corner), np.random.default_rng(3)
    start = params["sheet.vertex_positions"]
    params.update({"sheet.vertex_positions": start * [1, 1, 0]})  # flat, so that it hides nothing
    moved = {
        "sheet.to_world": [shift(0.2, 0.3, 0.4), turn(params["sheet.to_world"], 0)],
        "sheet.vertex_positions": [random.normal(size=start.shape) * [0.2, 0.2, 1]],
        "wall.to_world": [shift(0.1, -0.5, 0.2), turn(params["wall.to_world"], 2)],
    }
    in_the_mean(corner, moved)
    params.update({"sheet.vertex_positions": start})


@pytest.mark.slow
@pytest.mark.parametrize("bsdf", [PAINTED, METAL], ids=["diffuse", "metal"])
def test_light_that_moves(bsdf):
    """A surface with a picture on it that fades to black at its border, and the plane that it lights."""
    black = {"type": "diffuse", "reflectance": 0.0}
    down = {"rotate": {"axis": [1, 0, 0], "angle": 180}}, {"translate": [2.0, 0.3, 1.6]}
    lamp = {"type": "rectangle", "to_world": [*down], "bsdf": black}
    lit = scene(floor=plane(bsdf), lamp=lamp | {"emitter": {"type": "area", "radiance": bitmap(LIT)}})
    params = prb.traverse(lit)
    own, floor = params["lamp.to_world"], params["floor.to_world"]
    moved = {
        "lamp.to_world": [shift(0.5, -0.4, 0.5), turn(own, 1, own[:3, 3]), scaled(own)],
        "floor.to_world": [shift(0.1, 0.2, 0.5), turn(floor, 1)],
    }
    in_the_mean(lit, moved, spp=2048)


@pytest.mark.slow
def test_sky():
    """Directions that leave the scene are held."""
    texels = np.random.default_rng(5).uniform(0.2, 2.0, (8, 16, 3)).astype(np.float32)
    texels[[0, -1]] = 1.0
    open_air = scene(floor=plane(METAL), lamp={"type": "envmap", "bitmap": texels})
    floor = prb.traverse(open_air)["floor.to_world"]
    in_the_mean(open_air, {"floor.to_world": [turn(floor, 0), turn(floor, 1)]}, spp=8192, precision=0.1)


ROUGH_GLASS = {"type": "roughdielectric", "alpha": 0.3}
BENT = [{"type": "dielectric"}, {"type": "thindielectric"}, ROUGH_GLASS]


@pytest.mark.slow
@pytest.mark.parametrize("bsdf", BENT, ids=lambda bsdf: bsdf["type"])
def test_behind_glass(bsdf):
    """A floor behind a sheet of glass, with the light in between."""
    below = {"type": "point", "position": [0.8, 0.5, -0.4], "intensity": 2.0}
    floor = plane(PAINTED, {"translate": [0, 0, -1]})
    room = scene(depth=3, glass=plane(bsdf), floor=floor, lamp=below)
    params = prb.traverse(room)
    moved = {
        "glass.to_world": [shift(0.1, 0.2, 0.5), turn(params["glass.to_world"], 0)],
        "floor.to_world": [shift(0.1, 0.2, 0.5), turn(params["floor.to_world"], 1)],
        "front.to_world": [shift(0.5, -0.2, 0.1)],
    }
    if bsdf["type"] == "thindielectric":  # shifts nothing; and turned, it is hardly more than noise
        del moved["glass.to_world"]
    in_the_mean(room, moved, spp=2048, step=1e-2)


@pytest.mark.slow
def test_in_a_mirror():
    """What a mirror shows moves with it, and with the camera."""
    over = {"rotate": {"axis": [1, 0, 0], "angle": 180}}, {"translate": [0, 0, 4]}
    mirror = plane({"type": "conductor", "material": "Al"})
    room = scene(depth=3, mirror=mirror, ceiling=plane(PAINTED, *over))
    exact(room, ["mirror.to_world", "ceiling.to_world", "front.to_world"])


@pytest.mark.slow
def test_projector():
    """The picture that it projects stays; the plane that it falls on moves."""
    down = [{"look_at": {"origin": [0.3, -1, 3], "target": [0, 0.8, 0], "up": [0, 1, 0.2]}}]
    lamp = {"type": "projector", "to_world": down, "fov": 160, "irradiance": bitmap(MARBLE), "scale": 2.0}
    exact(scene(floor=plane(WHITE), lamp=lamp), ["floor.to_world"])


BUMPS = {"type": "bumpmap", "height": bitmap(MARBLE[..., :1]), "scale": 5.0, "inner": METAL}
MATERIALS = {
    "bumps": BUMPS,
    "plastic": {"type": "roughplastic", "alpha": 0.2, "diffuse_reflectance": bitmap(MARBLE)},
    "principled": {"type": "principled", "roughness": 0.4, "metallic": 0.3, "anisotropic": 0.5},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("material", MATERIALS)
def test_materials(material):
    exact(scene(floor=plane(MATERIALS[material])), ["floor.to_world", "front.to_world"])


@pytest.mark.slow
def test_instances(tmp_path):
    """Of a mesh with normals and colours of its own, under two transforms."""
    tilt = {"rotate": {"axis": [1, 0.3, 0], "angle": 7}}
    colours = {"type": "diffuse", "reflectance": {"type": "mesh_attribute", "name": "vertex_color"}}
    own = {"type": "ply", "filename": sheet(tmp_path, normals=True), "bsdf": colours, "to_world": [tilt]}
    steps = [{"scale": 1.3}, {"rotate": {"axis": [0, 1, 0.4], "angle": -9}}, {"translate": [0.2, 0, -0.3]}]
    copies = {
        "group": {"type": "shapegroup", "sheet": own},
        "copy": {"type": "instance", "shapegroup": {"type": "ref", "id": "group"}, "to_world": steps},
    }
    placed = scene(tmp_path, **copies)
    exact(
        placed,
        [n for n in prb.traverse(placed) if n.endswith(("sheet.to_world", "positions", "copy.to_world"))],
    )


@pytest.mark.slow
def test_mesh_with_normals_of_its_own(tmp_path):
    own = {"type": "ply", "filename": sheet(tmp_path, normals=True), "bsdf": METAL}
    exact(scene(tmp_path, sheet=own), ["sheet.to_world", "sheet.vertex_positions"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sphere", "cylinder"])
def test_in_a_round_room(kind):
    """Centre, radius and orientation of what is around the camera and the light."""
    steps = {
        "sphere": [{"scale": 5}, {"rotate": {"axis": [1, 0, 0.2], "angle": 90}}],
        "cylinder": [
            {"translate": [0, 0, -0.5]}, {"scale": [5, 5, 300]}, {"rotate": {"axis": [1, 0, 0], "angle": 90}}
        ],
    }[kind]  # fmt: skip
    paint = {"type": "diffuse", "reflectance": bitmap(MARBLE, "repeat")}
    around = {"type": kind, "flip_normals": True, "to_world": steps, "bsdf": paint}
    room = scene(depth=3, around=around)
    to_world = prb.traverse(room)["around.to_world"]
    tangents = [shift(0.3, -0.2, 0.5), turn(to_world, 1), scaled(to_world)]
    exact(room, ["around.to_world"], moved={"around.to_world": tangents}, max_depth=2)
    in_the_mean(room, {"around.to_world": tangents})
