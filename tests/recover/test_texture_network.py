"""The network that scenes/README.md shows: the command that stands there, and how well it ends."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import prb

pytest.importorskip("torch")
from prb.scenes import texture_network  # noqa: E402

README = Path(__file__).parents[2] / "scenes" / "README.md"


@pytest.fixture
def paint(tmp_path, monkeypatch):
    """Run the README's command in a folder of its own, with further options: its squared errors."""
    (line,) = re.findall(r"^python -m prb\.scenes\.texture_network (.*)$", README.read_text("utf-8"), re.M)
    monkeypatch.chdir(tmp_path)
    return lambda *options: texture_network.main([*shlex.split(line), *options])


def test_a_short_run_writes_its_pictures(paint, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(texture_network, "REFERENCE", 16)
    initial, result = paint("--iterations", "10", "--spp", "2")
    assert result < 0.8 * initial
    assert f"squared error of the texels: {result:.3g}, at first {initial:.3g}" in capsys.readouterr().out
    texture = prb.io.images.read_image(tmp_path / "texture-network" / "texture.png")
    assert np.shape(texture) == (64, 64, 3)
    assert (tmp_path / "texture-network" / "comparison.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_network_learns_the_painting(paint):
    initial, result = paint()
    assert result < initial / 20
