"""The problems that scenes/README.md shows: the commands that stand there, and how well they end."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import prb
from prb.cli.main import main

README = Path(__file__).parents[2] / "scenes" / "README.md"


def command(name):
    """The words of the one command in the README that writes to a folder of that name."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    (found,) = (b for b in blocks if f"-o {name}\n" in b)
    return shlex.split(found.replace("\\\n", " ").splitlines()[0])[1:]


@pytest.fixture
def solve(tmp_path, monkeypatch, capsys):
    """Run an example: its mean squared errors by parameter."""

    def call(name):
        monkeypatch.chdir(tmp_path)
        assert main([*command(name), "--json"]) == 0
        return json.loads(capsys.readouterr().out)["squared_error"]

    return call


def test_red_wall(solve):
    words = command("red-wall")
    for option, value in (
        ("--init", "0.01,0.2,0.9"), ("--reference", "512"), ("--size", "128x128"), ("--max-depth", "6"),
        ("--spp", "4"), ("--iterations", "50"), ("--lr", "0.05"),
    ):  # fmt: skip
        assert words[words.index(option) + 1] == value
    assert solve("red-wall") == {"red.reflectance.value": pytest.approx(0, abs=1e-4)}


@pytest.mark.slow
def test_texels_of_a_painted_plane(solve):
    (error,) = solve("painted-plane").values()
    assert error < 1e-3


@pytest.mark.slow
def test_environment_in_a_silver_ball(solve):
    """Against the best evenly coloured sky."""
    sky = prb.traverse(prb.load_file("silver-ball"))["sky.data"].astype(float)
    (error,) = solve("silver-ball").values()
    assert error < 0.03 * np.square(sky - sky.mean(axis=(0, 1))).mean()


@pytest.mark.slow
def test_density_of_smoke(solve):
    """Against the best even fog, and in a view that took no part."""
    density = prb.traverse(prb.load_file("smoke"))["smoke.sigma_t.data"].astype(float)
    (error,) = solve("smoke-recovered").values()
    assert error < 0.4 * density.var()
    ends = json.loads(Path("smoke-recovered/parameters.json").read_text())["held_out"]["between"]
    assert ends["result"] < ends["initial"] / 4


@pytest.mark.slow
def test_material_of_a_knot(solve):
    errors = solve("glazed-knot")
    assert len(errors) == 3 and max(errors.values()) < 1e-3


@pytest.mark.slow
def test_index_of_refraction_of_a_ball(solve):
    assert solve("glass-ball") == {"glass.eta": pytest.approx(0, abs=4e-4)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rippled-glass", "rippled-mirror"])
def test_normal_map_of_glass_and_of_a_mirror(name, solve):
    """The angle between the normals that are found and the true ones, against a flat map's."""

    def unit(colors):
        n = 2 * np.asarray(colors, float) - 1
        return n / np.linalg.norm(n, axis=-1, keepdims=True)

    solve(name)
    true = unit(prb.traverse(prb.load_file(name))["rippled.normalmap.data"])
    found = unit(prb.read_image(f"{name}/rippled.normalmap.data.exr"))
    error = np.arccos(np.clip((true * found).sum(axis=-1), -1, 1))
    assert error.mean() < 0.5 * np.arccos(np.clip(true[..., 2], -1, 1)).mean()


def turn_and_shift(name, parameter, folder):
    """How far a transform that a run recovered is from the scene's: the angle in degrees, the distance."""
    true = prb.traverse(prb.load_file(name))[parameter].astype(float)
    values = json.loads(Path(folder, "parameters.json").read_text(encoding="utf-8"))["parameters"]
    found = np.array(values[parameter])
    turn = found[:3, :3] @ np.linalg.inv(true[:3, :3])
    axis = turn[[2, 0, 1], [1, 2, 0]] - turn[[1, 2, 0], [2, 0, 1]]  # times 2 sin, the trace less 1 is 2 cos
    angle = np.degrees(np.arctan2(np.linalg.norm(axis), np.trace(turn) - 1))
    return angle, np.linalg.norm(found[:3, 3] - true[:3, 3])


@pytest.mark.slow
def test_pose_of_a_bear(solve):
    solve("seated-bear")
    angle, distance = turn_and_shift("seated-bear", "bear.to_world", "seated-bear")
    assert angle < 5 and distance < 0.1  # 25 degrees and 0.87 at first


@pytest.mark.slow
def test_place_and_direction_of_a_camera(solve):
    solve("knot-camera")
    angle, distance = turn_and_shift("knot", "sensor.to_world", "knot-camera")
    assert angle < 1 and distance < 0.15  # 16 degrees and 2.0 at first


@pytest.mark.slow
def test_place_of_what_throws_a_shadow(solve):
    solve("shadow")
    angle, distance = turn_and_shift("shadow", "bear.to_world", "shadow")
    assert angle < 0.1 and distance < 0.06  # 0.7 at first


@pytest.mark.slow
def test_ball_that_becomes_a_bear(solve):
    """The mean distance from the vertices of each mesh to the nearest of the other, over the diagonal."""
    solve("bear-from-ball")
    true = prb.traverse(prb.load_file("bear"))["bear.vertex_positions"].astype(float)
    found = prb.traverse(prb.load_file("bear-from-ball/scene.json"))["bear.vertex_positions"].astype(float)
    diagonal = np.linalg.norm(np.ptp(true, axis=0))

    def distance(a, b):
        return np.mean([np.sqrt(((b - point) ** 2).sum(axis=1).min()) for point in a]) / diagonal

    assert max(distance(found, true), distance(true, found)) < 0.015  # 0.034 at first
