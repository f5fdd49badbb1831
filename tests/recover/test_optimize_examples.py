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
