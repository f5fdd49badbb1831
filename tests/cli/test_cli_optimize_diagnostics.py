"""What `prb optimize` says of a run: in its report, in loss.csv, in pictures and animations."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import prb
from prb.io.images import write_image
from prb.recover.loop import Recovery
from prb.recover.pictures import comparison, loss_curve
from prb.scene.files import scene_file

pytestmark = pytest.mark.usefixtures("folder")
RED = "red.reflectance.value"
BOX = ["cornell-box", "--param", RED, "--init", "0.2", "--size", "8x8", "--max-depth", "3"]
PLANE = ["painted-plane", "--param", "painting.*", "--size", "12x8", "--spp", "2", "--iterations", "3"]


@pytest.fixture
def run(prb_command):
    def call(*arguments):
        status, out, err = prb_command("optimize", *arguments)
        assert (status, err) == (0, ""), err
        return out

    return call


def test_report_and_table_say_how_far_it_is(run, folder):
    options = [*BOX, "--reference", 256, "--spp", 16, "--iterations", 60, "--loss", "relative_l2", "-o", "a"]
    report = json.loads(run(*options, "--json"))
    kept = json.loads((folder / "a/parameters.json").read_text())
    for key in ("view_losses", "noise_floor", "excess", "excess_stderr", "at_floor", "ended", "stderr"):
        assert kept[key] == report[key]
    assert report["view_losses"] == {"sensor": report["loss"]} and report["ended"] is None
    with open("a/loss.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60 and float(rows[-1]["loss"]) == report["loss"]
    floors = [float(row["floor"]) for row in rows[-20:]]
    assert report["noise_floor"] == pytest.approx(np.mean(floors))
    assert np.shape(report["stderr"][RED]) == (3,)
    assert float(rows[0][f"{RED}.2"]) == pytest.approx(0.2)
    out = run(*options, "--resume")
    assert f"noise floor {report['noise_floor']:.4g}\nloss: " in out and "its noise floor" in out
    assert "standard error" in out


def test_run_that_stops_at_its_floor(run, folder):
    scene = json.loads(Path(scene_file("cornell-box")).read_text())
    scene["sensor"]["film"]["rfilter"] = {"type": "box"}  # others mix the lamp into what is beside it
    Path("box.json").write_text(json.dumps(scene))
    options = ["box.json", *BOX[1:], "--reference", 4096, "--spp", 16, "--iterations", 500, "-o", "a"]
    options += ["--init", "0.5,0.1,0.1", "--loss", "relative_l2", "--stop", "floor"]
    report = json.loads(run(*options, "--json"))
    assert report["ended"] == "floor" and report["at_floor"] == report["iterations"] < 500
    out = run(*options, "--resume")
    assert f"loss: at its noise floor after {report['iterations']} iterations, where the run ended" in out


def test_unknown_numbers_are_null(run, folder):
    report = json.loads(run(*BOX, "--reference", 4, "--spp", 2, "--iterations", 2, "--json", "-o", "a"))
    assert report["stderr"] == {RED: [None] * 3} and report["at_floor"] is None
    out = run(*BOX, "--reference", 4, "--spp", 1, "--spp-grad", 1, "--iterations", 2, "-o", "b")
    assert "standard error" not in out and "floor" not in out
    assert json.loads((folder / "b/parameters.json").read_text())["noise_floor"] is None
    report = json.loads(run(*BOX, "--reference", 4, "--iterations", 0, "--json", "-o", "c"))
    assert report["loss"] is report["noise_floor"] is None and report["stderr"] == {}
    with open("c/loss.csv") as file:
        assert len(file.readlines()) == 1


def test_every_view_has_an_animation(run, folder):
    run(*PLANE, "--reference", 2, "--init", "0.5", "-o", "a")
    names = [sensor.name for sensor in prb.load_file("painted-plane").model.sensors]
    assert {f for f in os.listdir("a") if f.endswith(".gif")} == {f"animation-{n}.gif" for n in names}
    last = set()
    for name in names:
        with Image.open(f"a/animation-{name}.gif") as image:
            assert image.n_frames == 4 and image.size == (12, 8)
            image.seek(3)
            last.add(image.convert("RGB").tobytes())
    assert len(last) == len(names)
    run(*PLANE, "--reference", 2, "--init", "0.5", "-o", "b", "--sensor", names[1])
    assert "animation.gif" in os.listdir("b") and sorted(os.listdir("b/frames"))[0] == "000000.png"
    run(*PLANE, "--reference", 2, "--init", "0.5", "-o", "a", "--resume")  # its frames are its own


def test_overwriting_replaces_what_another_run_had_made(run, prb_command):
    """Files of the earlier run that this one does not make are gone; those of others stay."""
    run(*PLANE, "--reference", 2, "--init", "0.5", "-o", "a")
    with open("a/notes.txt", "w") as file:
        file.write("mine")
    box = [*BOX, "--reference", 2, "--spp", 2, "--iterations", 2, "-o", "a"]
    status, _, err = prb_command("optimize", *box, "--iterations", -1, "--overwrite")
    assert status == 2 and os.path.exists("a/animation-left.gif")  # a mistake costs nothing
    run(*box, "--overwrite")
    frames = {f"{k:06}.png" for k in range(3)} | {"run.json"}
    assert set(os.listdir("a/frames")) == frames
    made = {"parameters.json", "scene.json", "loss.csv", "loss.png", "comparison.png", "checkpoint.npz"}
    assert set(os.listdir("a")) == made | {"animation.gif", "frames", "notes.txt"}


def test_overwriting_keeps_what_it_reads(run, folder):
    """A texture that an earlier run has made, which a scene of the user's own reads now."""
    run(*PLANE, "--reference", 2, "--init", "0.5", "-o", "a")
    texture = "a/painting.reflectance.data.exr"
    before = (folder / texture).read_bytes()
    scene = json.loads((folder / "a/scene.json").read_text())
    text = json.dumps(scene).replace('"painting"', '"picture"')
    (folder / "mine.json").write_text(text.replace('"painting.reflectance', '"a/painting.reflectance'))
    run("mine.json", "--param", "picture.*", *PLANE[3:], "--reference", 2, "-o", "a", "--overwrite")
    assert (folder / texture).read_bytes() == before
    assert not os.path.exists("a/painting.reflectance.data.png")


def test_difference_is_scaled_by_what_counts():
    """One pixel is far off, a quarter does not count: neither rules the colours."""
    scene = prb.load_file("cornell-box")
    scene.resize(20, 20)
    options = dict(spp=4, seed=0, max_depth=2)
    result = prb.render(scene, **options)
    target = result - np.random.default_rng(0).choice([-0.1, 0.1], (20, 20, 1)).astype(np.float32)
    target[3, 3] += 100
    weights = np.ones((20, 20, 3))
    weights[10:, 10:] = 0
    target[10:, 10:] += 50
    found = Recovery({}, {}, [])
    figure = comparison(found, [scene], [target], [weights], options)
    drawn = figure.axes[3].images[0]
    assert drawn.get_clim() == pytest.approx((-0.1, 0.1), rel=1e-3)
    assert drawn.get_array().mask.sum() == 100 and "±0.1: 99th percentile" in figure.axes[3].get_xlabel()
    figure = comparison(found, [scene], [result], [None], options)
    assert figure.axes[3].images[0].get_clim() == (-1, 1)  # no difference anywhere


def test_curve_has_the_views_and_the_floor():
    losses = [np.array([4.0, np.nan, 2.0]), np.array([np.nan, 3.0, 2.0])]
    found = Recovery(
        {}, {}, [4.0, 3.0, 2.0], floors=np.array([0.3, 0.2, 0.1]), at_floor=2,
        view_losses={"$left": losses[0], "_right": losses[1]},
    )  # fmt: skip
    axes = loss_curve(found).axes[0]
    labels = [text.get_text().strip() for text in axes.get_legend().get_texts()]
    assert labels[:2] == [r"\$left", "_right"]
    assert labels[2:] == ["mean of the views", "noise floor", "at the noise floor after 2"]
    assert axes.lines[0].get_ydata().tolist() == [4, 2] and axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration", "loss")
    axes = loss_curve(Recovery({}, {}, [4.0, 3.0], view_losses={"one": np.array([4.0, 3.0])})).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["loss"]
    assert axes.get_yscale() == "linear" and loss_curve(Recovery({}, {}, [])).axes[0].get_legend() is None


def test_saturated_pixels_are_grey(run, prb_command, folder):
    write_image("white.png", np.where(np.arange(64).reshape(8, 8, 1) < 20, 1.0, np.full((8, 8, 3), 0.5)))
    status, _, err = prb_command(
        "optimize", *BOX, "--target", "white.png", "--spp", 2, "--iterations", 1, "-o", "a"
    )
    assert status == 0 and err.count("\n") == 1
    with Image.open("a/comparison.png") as image:
        grey = (np.abs(np.array(image.convert("RGB")).astype(int) - 153) <= 2).all(axis=2)
    assert grey.sum() > 1000
