"""`prb grad --images`: which files, what is in them, and what is refused before anything is rendered."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import prb
from prb.cli.main import main
from prb.device.params import select
from prb.io.images import read_image, reduced
from prb.report import derivative_images

SPHERE = ["grad", "blinn-phong-sphere", "--spp", "2", "--size", "12x12"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(capsys, *arguments):
    """The one line of a mistake."""
    assert main([*arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    return err


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), float)


def test_files_of_each_number(folder, capsys):
    wanted = ["--param", "light.direction", "--param", "*.exponent.value", "--images", "out/new", "--json"]
    assert main([*SPHERE, *wanted]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    names = ["ball.bsdf.exponent.value", *(f"light.direction.{i}" for i in range(3))]
    expected = [f"out/new/{name}.{kind}" for name in names for kind in ("exr", "png")]
    assert report["images"] == [*expected, "out/new/contact.png"]
    assert sorted(f"out/new/{f.name}" for f in (folder / "out/new").iterdir()) == sorted(report["images"])
    scene = prb.load_file("blinn-phong-sphere")
    scene.resize(12, 12)
    for i in range(3):
        derivative = prb.render_forward(scene, {"light.direction": np.eye(3)[i]}, spp=2)
        np.testing.assert_array_equal(read_image(f"out/new/light.direction.{i}.exr"), derivative)
        # The objective is the mean of the picture, so the mean of its derivative is the gradient.
        gradient = report["gradients"]["light.direction"][i]
        np.testing.assert_allclose(derivative.mean(dtype=float), gradient, rtol=1e-4, atol=1e-8)
    derivative = prb.render_forward(scene, {"ball.bsdf.exponent.value": 1}, spp=2)
    np.testing.assert_array_equal(read_image("out/new/ball.bsdf.exponent.value.exr"), derivative)


def test_colours_tell_the_sign(folder, capsys):
    """Light that turns towards +x comes from the left: brighter, red, there; darker, blue, on the right."""
    assert main([*SPHERE, "--param", "light.direction", "--images", "."]) == 0
    assert "7 files written, the last contact.png" in capsys.readouterr().out
    image = pixels("light.direction.0.png")
    image = image[:, : int(0.8 * image.shape[1])]  # without the colour bar
    red, blue = image[..., 0] - image[..., 2] > 80, image[..., 2] - image[..., 0] > 80
    assert red.sum() > 500 and blue.sum() > 500
    assert np.nonzero(red)[1].max() < np.nonzero(blue)[1].min()
    zero = pixels("light.direction.2.png")
    zero = zero[:, : int(0.8 * zero.shape[1])]
    assert np.abs(zero[..., 0] - zero[..., 2]).max() < 10  # grey


def test_limits_of_the_colours():
    image = np.zeros((100, 100))
    assert derivative_images.limit(image) == 0
    image[0, 0] = -3  # less than 0.5 % of the pixels
    assert derivative_images.limit(image) == 3
    image[:] = -1
    image[0, 0] = 1000
    assert derivative_images.limit(image) == 1


def test_contact_sheet_of_a_large_picture_is_reduced():
    image = np.arange(2000 * 1000 * 3, dtype=float).reshape(2000, 1000, 3)
    small = reduced(image, derivative_images.PANEL)
    assert small.shape == (500, 250, 3)
    np.testing.assert_allclose(small[0, 0], image[:4, :4].mean(axis=(0, 1)))
    assert reduced(image[:1], derivative_images.PANEL).shape == (1, 1000, 3)


def test_file_names_are_tame_and_differ():
    taken = {"contact"}
    names = ["a/b.value", "a b.value", "A b.value", "../x.value", "x" * 300, "x" * 301, "", "\u7403.v"]
    files = [derivative_images.file_name(name, taken) for name in names]
    assert len({file.lower() for file in files}) == len(names)
    assert all("/" not in f and not f.startswith(".") and 0 < len(f) < 200 and f.isascii() for f in files)
    assert files[0] == "a_b.value"


def textured(side):
    bitmap = {"type": "bitmap", "data": np.full((side, side, 3), 0.5), "raw": True}
    ball = {"type": "sphere", "bsdf": {"type": "diffuse", "reflectance": bitmap}}
    return prb.load_dict({"type": "scene", "ball": ball, "sensor": {"type": "perspective"}})


def test_numbers_of_an_array_have_their_index(folder):
    scene = textured(2)
    parts = derivative_images.components(scene, select(scene, None))
    assert len(parts) == 12
    assert parts[7].label == parts[7].file == f"{parts[7].name}.1.0.1" and parts[7].index == (1, 0, 1)


def test_too_many_numbers():
    scene = textured(5)
    message = r"images: the parameters have 75 numbers, the most in .* \(5, 5, 3\); choose at most 64 with"
    with pytest.raises(prb.ParameterError, match=message):
        derivative_images.components(scene, select(scene, None))


def test_places_that_cannot_be_written(folder, capsys):
    (folder / "file").write_text("")
    (folder / "link").symlink_to("nowhere")
    for place, part in (
        ("file", "file: file is not a folder"),
        ("file/below", "file/below: file is not a folder"),
        ("link", "link: link is not a folder"),
        ("x" * 300, "images cannot be written there: File name too long"),
        ("/proc/new", "images cannot be written there"),
        ("", "the folder's name is empty"),
    ):
        assert part in fails(capsys, *SPHERE, "--images", place)
    assert sorted(f.name for f in folder.iterdir()) == ["file", "link"]


def test_place_is_checked_before_the_scene_is_read(folder, capsys):
    (folder / "file").write_text("")
    assert "file is not a folder" in fails(capsys, "grad", "none.json", "--images", "file")


def test_nothing_is_made_for_a_mistake(folder, capsys):
    assert "matches no parameter" in fails(capsys, *SPHERE, "--param", "blue", "--images", "out")
    assert "out of range" in fails(capsys, "grad", "--spp", "0", "--images", "out")
    assert list(folder.iterdir()) == []


def test_folder_in_the_place_of_a_file(folder, capsys):
    (folder / "contact.png").mkdir()
    assert "contact.png: cannot be written" in fails(
        capsys, *SPHERE, "--param", "*exponent*", "--images", "."
    )
    kept = sorted(f.name for f in folder.iterdir())
    assert kept == ["ball.bsdf.exponent.value.exr", "ball.bsdf.exponent.value.png", "contact.png"]


def test_matplotlib_is_imported_only_for_images():
    code = "import sys, prb.cli.main, prb.report.derivative_images; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
