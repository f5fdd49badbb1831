"""`prb optimize`: the files it leaves, however it ends, and one line for each mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import prb
from prb.cli.main import main
from prb.device.params import records
from prb.io.images import read_image, read_texels, write_image
from prb.scene.parameter_values import with_values

pytestmark = pytest.mark.usefixtures("folder")
RED = "red.reflectance.value"
SMALL = ["--size", "8x8", "--spp", "2", "--max-depth", "3"]
FILES = {
    "animation.gif", "checkpoint.npz", "comparison.png", "frames", "loss.csv", "loss.png", "parameters.json",
    "scene.json",
}  # fmt: skip


@pytest.fixture
def run(prb_command):
    return lambda *arguments: prb_command("optimize", *arguments)


def box(*more):
    return ["cornell-box", "--param", RED, "--init", "0.2", *SMALL, *more]


def check_folder(path, iterations=None):
    """Every file there is whole, and they agree. Returns the number of iterations."""
    names = set(os.listdir(path))
    assert names >= FILES
    with np.load(path / "checkpoint.npz") as arrays:
        losses = arrays["losses"].tolist()
        value = arrays[f"value:{RED}"]
    rows = (path / "loss.csv").read_text().splitlines()
    assert rows[0].startswith("iteration,loss,floor,loss:sensor,")
    assert [float(row.split(",")[1]) for row in rows[1:]] == losses
    report = json.loads((path / "parameters.json").read_text())
    assert report["iterations"] == len(losses)
    np.testing.assert_allclose(report["parameters"][RED], value, rtol=1e-6)
    scene = prb.load_file(path / "scene.json")
    np.testing.assert_allclose(prb.traverse(scene)[RED], value, rtol=1e-6)
    for name in ("loss.png", "comparison.png", "animation.gif"):
        with Image.open(path / name) as image:
            image.load()
    if iterations is not None:
        assert len(losses) == iterations
    return len(losses)


def test_writes_what_it_found(run, folder):
    status, out, err = run(*box("--reference", 64, "--iterations", 20, "-o", "found"))
    assert (status, err) == (0, "") and "cornell-box: 20 iterations, loss " in out and "squared error" in out
    assert os.listdir(folder) == ["found"] and set(os.listdir("found")) == FILES
    check_folder(folder / "found", 20)
    with Image.open("found/animation.gif") as image:
        assert image.n_frames == 21  # before each iteration, and the result
    assert main(["render", "found/scene.json", "--spp", "1", "--size", "4x4", "-o", "a.npy"]) == 0


def test_json_is_one_object_and_default_folder_is_the_scene_s(run, folder):
    loss = ["--loss", "l2 + 0.1*encoded=srgb:l1"]
    status, out, err = run(*box("--reference", 4, "--iterations", 2, "--json", *loss))
    assert (status, err) == (0, "") and out.count("\n") == 1
    report = json.loads(out)
    assert report["iterations"] == 2 and len(report["parameters"][RED]) == 3
    assert set(report["squared_error"]) == {RED}
    assert all(os.path.isfile(file) for file in report["files"])
    assert os.listdir(folder) == ["optimize-cornell-box"]


def test_target_from_a_file_is_that_of_the_reference(run, folder):
    """The target is the picture of the scene as it is; --init comes after."""
    scene = prb.load_file("cornell-box")
    scene.resize(8, 8)
    write_image("target.exr", prb.render(scene, spp=16, seed=2**16, max_depth=3))
    assert run(*box("--iterations", 3, "--reference", 16, "-o", "a"))[0] == 0
    assert run(*box("--iterations", 3, "--target", "target.exr", "-o", "b"))[0] == 0
    reports, tables = [], []
    for name in "ab":
        reports.append(json.loads((folder / name / "parameters.json").read_text()))
        tables.append(np.genfromtxt(folder / name / "loss.csv", delimiter=",", names=True))
    assert reports[0]["parameters"] == reports[1]["parameters"]
    for column in tables[0].dtype.names:
        same = tables[0][column].tolist() == tables[1][column].tolist()
        assert same == (column != "floor")  # of a reference, the noise is known as well


def test_fixed_seeds_give_the_same_files(run, folder):
    for name in "ab":
        assert run(*box("--iterations", 5, "--reference", 4, "--seed", 4, "-o", name))[0] == 0
    for name in ("loss.csv", "parameters.json", "scene.json", "animation.gif"):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()


def test_recursive_pictures(run, folder):
    """Another run, which goes on with its pictures."""
    options = box("--reference", 4, "--seed", 4, "--spp", 4, "--recursive")
    assert run(*options, "--iterations", 6, "-o", "whole")[0] == 0
    assert run(*options, "--iterations", 3, "-o", "parts")[0] == 0
    assert run(*options, "--iterations", 6, "-o", "parts", "--resume")[0] == 0
    assert run(*options[:-1], "--iterations", 6, "-o", "plain")[0] == 0
    whole, parts, plain = ((folder / n / "loss.csv").read_bytes() for n in ("whole", "parts", "plain"))
    assert whole == parts != plain
    status, _, err = run(*options, "--method", "tape", "--iterations", 1, "-o", "no")
    assert status == 2 and "picture: tape does not take one" in err and err.count("\n") == 1


def started(*arguments):
    """The command in a process of its own."""
    command = [sys.executable, "-m", "prb", "optimize", *arguments]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(prb.__file__))}
    pipes = dict(stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return subprocess.Popen(command, env=environment, **pipes)


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def test_kill_at_any_moment_loses_few_iterations(run, folder):
    """Killed several times at odd moments, and gone on with, it ends as the run that was never killed."""
    options = box("--iterations", "60", "--reference", "4", "--every", "3", "--spp", "16")
    assert run(*options, "-o", "whole")[0] == 0
    kept = 0
    for attempt in range(3):
        process = started(*options, "-o", "killed", *["--resume"] * (attempt > 0))
        frame = 2 * ((kept + 7 + attempt) // 2)  # every second iteration has one
        wait_for(folder / "killed" / "frames" / f"{frame:06}.png", process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        with np.load(folder / "killed" / "checkpoint.npz") as arrays:
            now = len(arrays["losses"])
        reached = max(int(f.stem) for f in (folder / "killed" / "frames").glob("[0-9]*.png"))
        assert now % 3 == 0 and now >= reached - 3 and now > kept
        kept = now
    assert run(*options, "-o", "killed", "--resume")[0] == 0
    check_folder(folder / "killed", 60)
    for name in ("loss.csv", "parameters.json", "scene.json", "animation.gif"):
        assert (folder / "whole" / name).read_bytes() == (folder / "killed" / name).read_bytes()
    assert not list((folder / "killed").rglob(".prb-*"))


def test_control_c_writes_what_there_is(folder):
    process = started(*box("--iterations", "100000", "--reference", "4"), "-o", "cut")
    wait_for(folder / "cut" / "frames" / "000000.png", process)
    wait_for(folder / "cut" / "checkpoint.npz", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130 and out == "" and err.count("\n") == 1
    done = check_folder(folder / "cut")
    assert f"prb: interrupted after {done} iterations; cut has what there is, --resume goes on" in err


def test_step_that_is_not_finite_writes_what_there_is(run, folder):
    light = "light.emitter.radiance.value"
    status, out, err = run(*box("--param", light, "--reference", 4, "--iterations", 9, "-o", "a"),
                           "--lr", f"{light}=1e39", "--lr", "0.01")  # fmt: skip
    assert status == 2 and out == "" and err.count("\n") == 1
    for part in ("prb: iteration 0: ", f"{light}: has a number that is not finite", "a has what there is"):
        assert part in err
    check_folder(folder / "a", 0)


def test_init(run, folder):
    def start(*init):
        shutil.rmtree("a", ignore_errors=True)
        arguments = [x for text in init for x in ("--init", text)]
        common = ["--param", "albedo", *SMALL, "--reference", 2, "--iterations", 0, "-o", "a"]
        status, _, err = run("cornell-box", *common, *arguments)
        assert status == 0, err
        return json.loads((folder / "a" / "parameters.json").read_text())["parameters"]

    green = "green.reflectance.value"
    np.testing.assert_allclose(start("0.25")[RED], [0.25] * 3)
    found = start("0.25", f"{RED}=0.1,0.2,0.3", "g*=0.5")
    np.testing.assert_allclose(found[RED], [0.1, 0.2, 0.3], rtol=1e-6)
    np.testing.assert_allclose(found[green], [0.5] * 3)
    first, second = start("random"), start("random")
    assert first == second and first[RED] != first[green]
    assert 0 <= min(first[RED]) and max(first[RED]) <= 1
    np.testing.assert_allclose(start()[RED], prb.traverse(prb.load_file("cornell-box"))[RED], rtol=1e-6)


def test_mistakes_are_one_line(run, folder):
    write_image("small.exr", np.zeros((4, 8, 3)))
    hole = np.zeros((8, 8, 3))
    hole[2, 3] = np.nan
    write_image("nan.exr", hole)
    write_image("good.exr", np.ones((8, 8, 3)))
    (folder / "file").write_text("")
    assert run(*box("--reference", 2, "--iterations", 1, "-o", "done"))[0] == 0
    good = ["--target", "good.exr"]
    for arguments, parts in (
        ((), ("targets: give --target",)),
        ((*good, "--reference", 4), ("targets: give --target",)),
        ((*good, *good), ("targets: got 2 for 1 sensors (sensor)", "one for each")),
        (("--target", "small.exr"), ("small.exr: has 8 x 4 pixels and the film 8 x 8", "--size 8x4")),
        (("--target", "nan.exr"), ("nan.exr: has numbers that are not finite",)),
        (("--target", "none.exr"), ("none.exr: no such file",)),
        ((*good, "--param", "sky*"), ("'sky*': matches no parameter",)),
        ((*good, "--init", "2"), ("red.reflectance.value: 2 is outside [0, 1]",)),
        ((*good, "--init", "1,2"), ("--init: '1,2' is no value of red.reflectance.value",)),
        ((*good, "--init", "blue=1"), ("'blue': matches no parameter",)),
        ((*good, "--init", "green*=1"), ("--init: green.reflectance.value is not optimised",)),
        ((*good, "--lr", "green=1"), ("--lr: green is not optimised",)),
        ((*good, "--bounds", "green*=0,1"), ("bounds: green* is not optimised",)),
        ((*good, "--bounds", "red*=1,0"), ("'red*=1,0' is no range; write it as in",)),
        ((*good, "--bounds", "0,1"), ("'0,1' is no range",)),
        ((*good, "--bounds", "red*=0"), ("'red*=0' is no range",)),
        ((*good, "--bounds", "red*=2,3"), ("red.reflectance.value: 2 to 3 lies outside [0, 1]",)),
        ((*good, "--lr", "fast"), ("'fast' is no rate",)),
        ((*good, "--lr", "-1"), ("lr: -1.0 is out of range",)),
        ((*good, "--iterations", "-1"), ("iterations: -1 is out of range",)),
        ((*good, "--spp", "1"), ("spp: 1 sample cannot be split",)),
        ((*good, "--hit-budget", "-1"), ("hit_budget: -1048576.0 is not a number of bytes",)),
        ((*good, "--loss", "l3"), ("argument --loss: 'l3' is unknown; the losses are l1, l2",)),
        ((*good, "--loss", "l2+0.1*blurred=0:l1"), ("argument --loss: sigma: 0 is out of range",)),
        ((*good, "-o", "file"), ("file",)),
        ((*good, "-o", "done"), ("done/checkpoint.npz: is there already", "--resume")),
        ((*good, "-o", "done", "--resume"), ("done/checkpoint.npz: is of another run (another targets)",)),
        ((*good, "--sensor", "7"), ("there is no 7",)),
    ):
        output = [] if "-o" in arguments else ["-o", "new"]
        status, out, err = run(*box(*arguments, *output))
        assert status == 2 and out == "" and err.count("\n") == 1 and err.startswith("prb"), (arguments, err)
        for part in parts:
            assert part in err, (part, err)
        shutil.rmtree("new", ignore_errors=True)


def test_textures_and_files_of_a_scene_are_found_from_the_folder(run, folder):
    options = ["--init", "0.5", "--reference", 8, "--iterations", 2, "--views-per-iteration", 2]
    status, _, err = run("painted-plane", "--param", "painting.*", *SMALL, *options, "-o", "deep/er")
    assert (status, err) == (0, "")
    name = "painting.reflectance.data"
    report = json.loads((folder / "deep/er/parameters.json").read_text())["parameters"]
    assert report == {name: {"exr": f"{name}.exr", "png": f"{name}.png"}}
    found = prb.traverse(prb.load_file("deep/er/scene.json"))[name]
    np.testing.assert_array_equal(found, read_texels(f"deep/er/{name}.exr"))
    assert found.shape == (64, 64, 3) and read_image(f"deep/er/{name}.png").shape == (64, 64, 3)
    assert found.min() < 0.5 < found.max()
    status, _, err = run("knot", "--param", "teal.*", *SMALL, "--reference", 2, "--iterations", 1, "-o", "k")
    assert (status, err) == (0, "") and prb.load_file("k/scene.json").name == "scene"


def test_every_kind_of_value_goes_back_into_a_scene(folder):
    """What the file then loads to is what was put in."""
    data = {
        "type": "scene", "sensor": {"type": "perspective"}, "integrator": {"type": "path"},
        "metal": {"type": "roughconductor", "material": "Au", "alpha": 0.2},
        "paint": {"type": "principled", "id": "gloss", "roughness": 0.3},
        "grey": {"type": "bitmap", "data": [[[0.1], [0.2]], [[0.3], [0.4]]], "raw": True},
        "mixed": {"type": "blendbsdf", "weight": {"type": "ref", "id": "grey"},
                  "a": {"type": "diffuse", "reflectance": {"type": "spectrum", "value": 0.5}},
                  "b": {"type": "conductor"}},
        "ball": {"type": "sphere", "bsdf": {"type": "ref", "id": "metal"}},
        "square": {"type": "rectangle", "bsdf": {"type": "ref", "id": "mixed"}},
        "disk": {"type": "disk", "bsdf": {"type": "ref", "id": "gloss"},
                 "emitter": {"type": "area", "radiance": 2.0}},
        "sun": {"type": "directional", "direction": [0, 0, 1]},
        "lamp": {"type": "point", "intensity": {"type": "rgb", "value": [1, 2, 3]}},
        "sky": {"type": "envmap", "bitmap": np.ones((2, 4, 3), np.float32), "scale": 2.0},
    }  # fmt: skip
    scene = prb.load_dict(data)
    params, known = prb.traverse(scene), records(scene)
    rng = np.random.default_rng(0)
    names = list(known)
    assert len(names) > 12
    new = {n: rng.uniform(0.1, 0.9, s.shape).astype(np.float32) for n, s in known.items()}
    for name in (n for n in names if known[n].shape == (4, 4)):
        new[name] = np.diag([-1, 1, -1, 1]).astype(np.float32)
        new[name][:3, 3] = 0.0 if name == "sky.to_world" else rng.uniform(0.1, 0.9, 3)

    def write(name, texels):
        from prb.io.images import write_texels

        write_texels(f"{name}.exr", texels)
        return f"{name}.exr"

    changed, left_out = with_values(data, names, {**params, **new}, write)
    assert left_out == [] and data["sky"]["scale"] == 2.0
    again = prb.traverse(prb.load_dict(json.loads(json.dumps(changed, default=np.ndarray.tolist))))
    for name, value in new.items():
        expected = value / np.linalg.norm(value) if name == "sun.direction" else value
        np.testing.assert_allclose(again[name], expected, rtol=1e-6, err_msg=name)


# What is there already is kept.


def snapshot(path):
    """Every file below a folder with its bytes."""
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def refused(result, *parts):
    status, out, err = result
    assert status == 2 and out == "" and err.count("\n") == 1, result
    for part in parts:
        assert part in err, (part, err)
    return err


def textured(folder):
    """A scene of the user's own in a folder of its own, with names that a run would give its files."""
    (folder / "my").mkdir()
    write_image(folder / "my" / "paint.reflectance.data.exr", np.full((2, 2, 3), 0.5))
    scene = {
        "type": "scene", "integrator": {"type": "path", "max_depth": 3}, "sensor": {"type": "perspective"},
        "paint": {"type": "diffuse",
                  "reflectance": {"type": "bitmap", "filename": "paint.reflectance.data.exr"}},
        "ball": {"type": "sphere", "center": [0, 0, 4], "bsdf": {"type": "ref", "id": "paint"}},
        "sky": {"type": "constant"},
    }  # fmt: skip
    (folder / "my" / "scene.json").write_text(json.dumps(scene))


def test_scene_that_is_read_is_never_overwritten(run, folder):
    textured(folder)
    before = snapshot(folder)
    tiny = ["--size", "8x8", "--spp", "2", "--iterations", "1", "--reference", 2]
    for more in ([], ["--resume"], ["--overwrite"], ["--resume", "--overwrite"]):
        err = refused(
            run("my/scene.json", *tiny, "-o", "my", *more), "my/scene.json: is a file that this run"
        )
        assert "--resume" not in err
    os.symlink("my", "link")
    refused(
        run("my/scene.json", *tiny, "-o", "link", "--overwrite"), "link/scene.json: is a file that", "as my"
    )
    os.unlink("link")
    os.rename("my/scene.json", "my/mine.json")
    before["my/mine.json"] = before.pop("my/scene.json")
    texture = "my/paint.reflectance.data.exr"
    for more in ([], ["--resume"], ["--overwrite"]):
        refused(run("my/mine.json", *tiny, "-o", "my", *more), f"{texture}: is a file that this run reads")
    assert snapshot(folder) == before
    status, _, err = run("my/mine.json", *tiny, "-o", "found")
    assert (status, err) == (0, "") and (folder / "found/paint.reflectance.data.exr").is_file()
    tiny = ["--size", "8x8", "--spp", "2", "--iterations", "1", "--target", "found/frames/000000.png"]
    refused(
        run("my/mine.json", *tiny, "-o", "found", "--overwrite"), "000000.png: is a file that this run reads"
    )


def test_includes_of_a_scene_are_read_too(run, folder):
    (folder / "my").mkdir()
    (folder / "my/scene.json").write_text("<scene version='3.0.0'><shape type='sphere'/></scene>")
    text = "<scene version='3.0.0'><include filename='my/scene.json'/><sensor type='perspective'/>"
    text += "<emitter type='constant'/><integrator type='path'/></scene>"
    (folder / "room.xml").write_text(text)
    tiny = ["--size", "8x8", "--spp", "2", "--iterations", "1", "--reference", 2]
    refused(run("room.xml", *tiny, "-o", "my", "--overwrite"), "my/scene.json: is a file that this run reads")


def test_a_manifest_of_somebody_else_is_kept(run, folder):
    (folder / "a/frames").mkdir(parents=True)
    (folder / "a/frames/run.json").write_text('{"mine": 1}')
    refused(
        run(*box("--reference", 2, "--iterations", 1, "-o", "a")), "a/frames/run.json: not made by this run"
    )
    assert (folder / "a/frames/run.json").read_text() == '{"mine": 1}'


def test_files_that_the_run_did_not_make_are_kept(run, folder):
    (folder / "a/frames").mkdir(parents=True)
    for name in ("loss.csv", "notes.txt", ".prb-abcd1234.png", "frames/000001.png", "frames/.prb-mine"):
        (folder / "a" / name).write_text("mine")
    before = snapshot(folder / "a")
    options = box("--reference", 2, "--iterations", 2, "-o", "a")
    for more in ([], ["--resume"]):
        err = refused(
            run(*options, *more), "a/loss.csv, a/frames/000001.png: not made by this run", "--overwrite"
        )
        assert "--resume" not in err and snapshot(folder / "a") == before
    assert run(*options, "--overwrite")[0] == 0
    check_folder(folder / "a", 2)
    for name in ("notes.txt", ".prb-abcd1234.png", "frames/.prb-mine"):
        assert (folder / "a" / name).read_text() == "mine"
    (folder / "a/frames/.prb-wxyz_890.png").write_text("of a run that was killed")
    assert run(*options, "--resume")[0] == 0
    assert {f.name for f in (folder / "a").rglob(".prb-*")} == {".prb-abcd1234.png", ".prb-mine"}


def test_run_that_is_there_is_kept(run, folder):
    options = box("--reference", 2, "--iterations", 2, "-o", "a")
    assert run(*options)[0] == 0
    before = snapshot(folder / "a")
    refused(run(*options), "a/checkpoint.npz: is there already; --resume goes on with that run")
    refused(run(*options, "--seed", 1), "a/checkpoint.npz: is there already", "--overwrite")
    assert snapshot(folder / "a") == before
    assert run(*options, "--resume")[0] == 0
    assert run(*options, "--overwrite", "--seed", 1)[0] == 0
    assert snapshot(folder / "a")["loss.csv"] != before["loss.csv"]
    os.unlink("a/checkpoint.npz")
    for more in ([], ["--resume"]):
        err = refused(run(*options, *more), "a/parameters.json: is there already, without a checkpoint")
        assert "--resume" not in err
    (folder / "b/loss.png").mkdir(parents=True)
    refused(run(*options, "-o", "b", "--overwrite"), "b/loss.png: is a folder")


def test_run_that_was_killed_before_its_first_checkpoint(run, folder):
    """It left frames alone, which are its own: it can be started again, with --resume or without."""
    options = box("--iterations", "100000", "--reference", "4", "--every", "100000")
    for more in ([], ["--resume"]):
        process = started(*options, "-o", "a", *more)
        wait_for(folder / "a" / "frames" / "003125.png", process)
        process.kill()
        process.communicate()
        assert not (folder / "a" / "checkpoint.npz").exists()
    assert run(*box("--iterations", 2, "--reference", 4, "-o", "a"), "--resume")[0] == 0
    check_folder(folder / "a", 2)


def test_a_mistake_found_later_does_not_claim_the_folder(run, folder):
    options = box("--reference", 2, "--iterations", 1, "-o", "a")
    refused(run(*options, "--init", "2"), "is outside [0, 1]")
    assert run(*options)[0] == 0


@pytest.mark.parametrize("command", ["render", "grad", "images", "convert"])
def test_other_commands_do_not_overwrite_what_they_read(prb_command, folder, command):
    textured(folder)
    texture = "my/paint.reflectance.data.exr"
    xml = "<scene version='3.0.0'><sensor type='perspective'/><emitter type='constant'/></scene>"
    (folder / "room.json").write_text(xml)
    tiny = ["--size", "4x4", "--spp", "2"]
    target = "my/ball.bsdf.reflectance.value.exr"
    write_image(target, np.ones((4, 4, 3)))
    scene = {**json.loads((folder / "my/scene.json").read_text()), "ball": {"type": "sphere"}}
    del scene["paint"]
    (folder / "plain.json").write_text(json.dumps(scene))
    before = snapshot(folder)
    arguments = {
        "render": ["render", "my/scene.json", *tiny, "-o", texture],
        "grad": ["grad", "my/scene.json", *tiny, "-o", "my/scene.json"],
        "images": ["grad", "plain.json", *tiny, "--target", target, "--param", "ball.*", "--images", "my"],
        "convert": ["convert", "room.json", "room.json"],
    }[command]
    refused(prb_command(*arguments), "is a file that this run reads; choose another output")
    assert snapshot(folder) == before


# Targets of 8 bits, masks and alpha.


@pytest.fixture
def eight_bits(folder, prb_command):
    """The box, whose red wall is 0.570 0.043 0.044, as a PNG, in which the lamp is clipped."""
    size = ["--size", "24x24", "--max-depth", "4"]
    assert prb_command("render", "cornell-box", *size, "--spp", "512", "--seed", "9", "-o", "box.png")[0] == 0
    return ["cornell-box", "--param", RED, "--init", "0.3", *size, "--spp", "16", "--iterations", "60"]


def recovered(folder, result, name="found"):
    assert result[0] == 0, result
    return json.loads((folder / name / "parameters.json").read_text())["parameters"][RED]


def test_a_picture_of_eight_bits_is_enough(run, folder, eight_bits):
    truth = prb.traverse(prb.load_file("cornell-box"))[RED]
    result = run(*eight_bits, "--target", "box.png", "-o", "found")
    assert "box.png: " in result[2] and "of the pixels are saturated and left out" in result[2]
    assert result[2].count("\n") == 1
    assert np.abs(recovered(folder, result) - truth).max() < 0.05
    result = run(*eight_bits, "--target", "box.png", "--target-clip", "off", "-o", "kept")
    assert result[2] == ""
    assert np.abs(recovered(folder, result, "kept") - truth).max() > 0.2  # the lamp rules the loss
    refused(run(*eight_bits, "--target", "box.png", "--target-clip", "off", "-o", "found", "--resume"),
            "is of another run (another weights)")  # fmt: skip


@pytest.mark.parametrize("how", ["mask", "alpha"])
def test_what_is_left_out_does_not_count(run, folder, eight_bits, how):
    """One half of the target is of another scene."""
    pixels = np.array(Image.open("box.png"))
    counts = np.full((24, 24), 255, np.uint8)
    counts[:, 14:] = 0
    pixels[:, 14:] = (250, 10, 128)
    truth = prb.traverse(prb.load_file("cornell-box"))[RED]
    Image.fromarray(pixels).save("bad.png")
    found = recovered(folder, run(*eight_bits, "--target", "bad.png", "-o", "bad"), "bad")
    assert np.abs(found - truth).max() > 0.1
    if how == "alpha":
        Image.fromarray(np.dstack([pixels, counts])).save("bad.png")
        more = []
    else:
        Image.fromarray(counts).save("mask.png")
        more = ["--mask", "mask.png"]
    found = recovered(folder, run(*eight_bits, "--target", "bad.png", *more, "-o", "found"))
    assert np.abs(found - truth).max() < 0.05


def test_mistakes_in_weights_are_one_line(run, folder):
    write_image("good.exr", np.full((8, 8, 3), 0.5))
    write_image("small.png", np.ones((4, 8, 3)))
    write_image("black.png", np.zeros((8, 8, 3)))
    write_image("white.png", np.ones((8, 8, 3)))
    write_image("below.npy", np.full((8, 8, 3), -1))
    np.save("clear.npy", np.concatenate([np.ones((8, 8, 3)), np.zeros((8, 8, 1))], axis=2))
    for arguments, message in (
        (("--target", "white.png"), "white.png: all of it is saturated"),
        (("--target", "clear.npy"), "clear.npy: its alpha: is 0 everywhere"),
        (("--target", "good.exr", "--mask", "small.png"), "small.png: has 8 x 4 pixels and the film 8 x 8"),
        (("--target", "good.exr", "--mask", "black.png"), "black.png: is 0 everywhere"),
        (("--target", "good.exr", "--mask", "below.npy"), "below.npy: has the negative number -1"),
        (("--target", "good.exr", "--mask", "none.png"), "none.png: no such file"),
        (("--target", "good.exr", *["--mask", "white.png"] * 2), "--mask: got 2 for 1 sensors (sensor)"),
        (("--target", "left=good.exr"), "--target: 'left' is no sensor of this run; those are sensor"),
        (("--target", *["sensor=good.exr", "--target"] * 2)[:-1], "--target: sensor sensor has two files"),
        (("--reference", 2, "-o", "a", "--mask", "a/mask.png"), "a/mask.png: no such file"),
    ):
        refused(run(*box(*arguments, *([] if "-o" in arguments else ["-o", "new"]))), message)


def test_targets_by_the_names_of_sensors(run, folder):
    names = [sensor.name for sensor in prb.load_file("painted-plane").model.sensors]
    for k in range(len(names)):
        write_image(f"{k}.exr", np.full((8, 8, 3), 0.1 * (k + 1)))
    options = ["painted-plane", "--param", "painting.*", *SMALL, "--iterations", "2"]
    ordered = [x for k in range(len(names)) for x in ("--target", f"{k}.exr")]
    named = [x for k, name in reversed(list(enumerate(names))) for x in ("--target", f"{name}={k}.exr")]
    assert run(*options, *ordered, "-o", "a")[0] == run(*options, *named, "-o", "b")[0] == 0
    assert (folder / "a/loss.csv").read_bytes() == (folder / "b/loss.csv").read_bytes()


def test_bounds_are_marked_in_table_and_file(run, folder):
    limits = ["--bounds", "*=0.19,0.21", "--bounds", f"{RED}=0.2,0.25", "--iterations", "40"]
    limits += ["--loss", "relative_l2", "--spp", "16"]
    # The true red is 0.570 0.043 0.044. A target with much noise pulls this loss, which divides by its
    # squares, towards the dark: with 16 samples its minimum may lie within the bounds.
    status, out, _ = run(*box("--reference", 128, *limits, "-o", "a"))
    assert status == 0 and "at its limit" in out and "2 of 3 low, 1 of 3 high" in out
    report = json.loads((folder / "a/parameters.json").read_text())
    assert report["at_limit"] == {RED: {"range": [0.2, 0.25], "at_low": 2, "at_high": 1}}
    status, out, _ = run(*box("--reference", 16, "--iterations", "1", "-o", "b"))
    assert status == 0 and "at its limit" not in out
    assert json.loads((folder / "b/parameters.json").read_text())["at_limit"] == {}


def test_rates_by_patterns(run, folder):
    """A name goes before a pattern, a pattern before the rate of all, whatever their order."""
    options = ["cornell-box", "--param", "albedo", "--init", "0.5", *SMALL, "--reference", 16,
               "--iterations", 1, "-o", "a"]  # fmt: skip
    rates = [f"{RED}=0.01", "*e*.reflectance.value=0.02", "white*=0.03", "0.04"]
    assert run(*options, *[x for rate in rates for x in ("--lr", rate)])[0] == 0
    found = json.loads((folder / "a/parameters.json").read_text())["parameters"]
    steps = {name.partition(".")[0]: np.abs(np.array(value) - 0.5) for name, value in found.items()}
    for name, rate in (("red", 0.01), ("green", 0.02), ("white", 0.03)):
        np.testing.assert_allclose(steps[name], rate, rtol=1e-3)


# Textures: priors, resolutions, pictures as a start, and how much was seen.

PAINTING = "painting.reflectance.data"
PAINTED = ["painted-plane", "--param", "painting.*", *SMALL, "--sensor", "left", "--reference", "8"]


def seen_map(folder, report):
    """The share of texels never seen, once the files of the map are found to be whole and to agree."""
    named = report["seen"][PAINTING]
    assert named["exr"] == f"{PAINTING}.seen.exr" and named["png"] == f"{PAINTING}.seen.png"
    total = read_texels(folder / named["exr"])
    assert total.shape == (64, 64, 1) and (total == 0).mean() == named["never_seen"]
    with Image.open(folder / named["png"]) as image:
        image.load()
    return named["never_seen"], total


def test_priors_and_coarse_grids_and_how_much_was_seen(run, folder):
    options = [*PAINTED, "--init", "0.5", "--prior", "painting.*=tv:1e-3", "--prior", "painting.*=l2:0.5",
               "--coarse-to-fine", "painting.*=8:16@3:64@5", "--every", 1]  # fmt: skip
    status, out, err = run(*options, "--iterations", 8, "-o", "whole")
    assert (status, err) == (0, "") and ", priors " in out
    report = json.loads((folder / "whole/parameters.json").read_text())
    share, total = seen_map(folder / "whole", report)
    assert 0 < share < 1 and total.max() > 0 and report["prior"] > 0
    assert f"{PAINTING}: {share:.1%} of its texels were never seen\n" in out
    for iterations in (4, 6, 8):
        assert run(*options, "--iterations", iterations, "-o", "parts", "--resume")[0] == 0
    for name in ("loss.csv", "parameters.json", f"{PAINTING}.exr", f"{PAINTING}.seen.exr"):
        assert (folder / "whole" / name).read_bytes() == (folder / "parts" / name).read_bytes()
    refused(run(*options, "--iterations", 8, "-o", "whole", "--resume", "--prior", "*=l2:1"),
            "checkpoint.npz: is of another run (priors ")  # fmt: skip
    status, out, _ = run(*PAINTED, "--iterations", 1, "-o", "plain", "--json")
    assert status == 0 and "prior" not in json.loads(out) and json.loads(out)["never_seen"][PAINTING] > share


def test_control_c_writes_how_much_was_seen(folder):
    process = started(*map(str, PAINTED), "--iterations", "100000", "-o", "cut")
    wait_for(folder / "cut" / "checkpoint.npz", process)
    process.send_signal(signal.SIGINT)
    process.communicate()
    share, _ = seen_map(folder / "cut", json.loads((folder / "cut/parameters.json").read_text()))
    assert process.returncode == 130 and share < 1


def start_of(run, folder, scene, *options):
    result = run(scene, *SMALL, "--reference", 2, "--iterations", 0, "--overwrite", "-o", "a", *options)
    assert result[0] == 0, result
    return prb.traverse(prb.load_file(folder / "a/scene.json"))


def test_a_picture_as_the_start(run, folder):
    """It is resized to the texture, and decoded as the scene's own image is."""
    codes = np.zeros((4, 4, 3), np.uint8)
    codes[:2], codes[2:, 2:] = (255, 128, 0), 64
    Image.fromarray(codes).save("photo=1.png")
    linear = read_texels("photo=1.png")
    for pattern in ("painting.*=", ""):
        options = ["--param", "painting.*", "--init", f"{pattern}photo=1.png"]
        found = start_of(run, folder, "painted-plane", *options)[PAINTING]
        assert found.shape == (64, 64, 3)
        np.testing.assert_allclose(found[:8, :8], linear[:1, :1] + np.zeros((8, 8, 3)), atol=1e-6)
        np.testing.assert_allclose(found[8::16, 8::16], linear, atol=0.04)  # almost at the centres
        assert linear[2, 0, 1] < found[31, 0, 1] < linear[1, 0, 1]  # between two texels of the picture
    write_image("large.exr", np.repeat(np.repeat(linear, 32, axis=0), 32, axis=1))
    found = start_of(run, folder, "painted-plane", "--param", "painting.*", "--init", "large.exr")[PAINTING]
    np.testing.assert_allclose(found[8::16, 8::16], linear, atol=1e-6)
    refused(
        run("painted-plane", *SMALL, "--reference", 2, "-o", "b", "--param", "lamp*", "--init", "large.exr"),
        "--init: large.exr is a picture and lamp.intensity.value, with shape (3,), no bitmap",
    )
    os.mkdir("c")
    os.rename("large.exr", f"c/{PAINTING}.exr")
    refused(
        run(*PAINTED, "--init", f"c/{PAINTING}.exr", "-o", "c", "--overwrite"), "a file that this run reads"
    )


@pytest.mark.parametrize("raw", [False, True])
def test_a_picture_is_decoded_as_the_scene_says(run, folder, raw):
    scene = {
        "type": "scene", "sensor": {"type": "perspective"}, "sky": {"type": "constant"},
        "ball": {"type": "sphere", "center": [0, 0, 4], "bsdf": {
            "type": "principled", "base_color": 0.5,
            "roughness": {"type": "bitmap", "raw": raw, "data": [[[0.3], [0.4]], [[0.5], [0.6]]]}}},
    }  # fmt: skip
    (folder / "ball.json").write_text(json.dumps(scene))
    Image.fromarray(np.full((2, 2, 3), 128, np.uint8)).save("photo.png")
    name = "ball.bsdf.roughness.data"
    found = start_of(run, folder, "ball.json", "--param", "*roughness*", "--init", "photo.png")[name]
    np.testing.assert_allclose(found, np.full((2, 2, 1), 128 / 255 if raw else 0.2158605), rtol=1e-4)


def test_mistakes_about_textures_are_one_line(run, folder):
    for arguments, message in (
        (("--prior", "painting.*=tv"), "'painting.*=tv' is no prior; write it as in 'floor.*=tv:1e-4'"),
        (("--prior", "painting.*=hue:1"), "'painting.*=hue:1' is no prior"),
        (("--prior", "tv:1"), "'tv:1' is no prior"),
        (("--prior", "*=tv:-1"), "the weight -1 is no finite number from 0 on"),
        (("--prior", "floor*=tv:1"), "priors: floor* is not optimised; those are painting"),
        (("--coarse-to-fine", "*=16:8"), "the resolutions are 16, 8"),
        (("--coarse-to-fine", "*=4:8@3:16"), "'*=4:8@3:16' is no list of resolutions; write it as in"),
        (("--coarse-to-fine", "*=a"), "'*=a' is no list of resolutions"),
        (("--coarse-to-fine", "16:32"), "'16:32' is no list of resolutions"),
        (("--init", "none.png"), "none.png: no such file"),
        (("--init", "few"), "--init: 'few' is no value of painting.reflectance.data"),
    ):
        status, out, err = run(*PAINTED, "--iterations", 1, "-o", "new", "--overwrite", *arguments)
        assert status == 2 and out == "" and err.count("\n") == 1 and message in err, (arguments, err)
