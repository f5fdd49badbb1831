"""The command: what it prints and writes, its statuses, and one line for each mistake."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import prb
from prb.estimators.seeds import PATHS_OFFSET
from prb.io.images import read_image, write_image

pytestmark = pytest.mark.usefixtures("folder")
TINY = ["--spp", "2", "--size", "8x6"]
ALBEDOS = ["white.reflectance.value", "green.reflectance.value", "red.reflectance.value"]


@pytest.fixture
def run(prb_command):
    return prb_command


def fails(result, *parts):
    """The result is that of a user's mistake, and its one line holds all parts."""
    status, out, err = result
    assert status == 2 and out == "" and err.count("\n") == 1 and err.startswith("prb"), result
    for part in parts:
        assert part in err
    return True


def scene_file(**changes):
    scene = {
        "type": "scene", "integrator": {"type": "path", "max_depth": 3}, "sensor": {"type": "perspective"},
        "ball": {"type": "sphere"}, "sky": {"type": "constant"}, **changes,
    }  # fmt: skip
    with open("scene.json", "w") as file:
        json.dump(scene, file)
    return "scene.json"


def test_render_writes_the_scene_by_name(run, folder):
    status, out, err = run("render", "cornell-box", *TINY)
    assert (status, err) == (0, "")
    assert out.startswith("cornell-box.png: 8 x 6, 2 spp, mean 0.")
    assert read_image("cornell-box.png").shape == (6, 8, 3)
    assert os.listdir(folder) == ["cornell-box.png"]


@pytest.mark.parametrize("suffix", ["exr", "npy", "hdr", "jpg", "JPEG", "PNG"])
def test_render_writes_every_format(run, suffix):
    scene = prb.load_file("cornell-box")
    scene.resize(8, 6)
    expected = prb.render(scene, spp=2, seed=7)
    status, out, err = run("render", "cornell-box", *TINY, "--seed", 7, "-o", f"a.{suffix}")
    assert (status, err) == (0, "") and out.startswith(f"a.{suffix}: ")
    if suffix in ("exr", "npy"):
        assert (read_image(f"a.{suffix}") == expected).all()
    else:
        write_image(f"expected.{suffix}", expected)
        assert (read_image(f"a.{suffix}") == read_image(f"expected.{suffix}")).all()


def test_render_json_is_one_object(run):
    status, out, err = run("render", "cornell-box", *TINY, "--json", "--max-depth", -1, "-o", "a.npy")
    assert (status, err) == (0, "") and out.count("\n") == 1
    report = json.loads(out)
    mean = report.pop("mean")
    np.testing.assert_allclose(mean, np.load("a.npy").mean(axis=(0, 1)), rtol=1e-6)
    assert report == {
        "scene": "cornell-box", "spp": 2, "seed": 0, "max_depth": -1, "output": "a.npy",
        "width": 8, "height": 6,
    }  # fmt: skip


def test_defaults_are_the_scene_s(run):
    scene = json.loads(prb.bundled_scenes()["cornell-box"].read_text())
    scene["integrator"]["max_depth"] = 3
    scene["sensor"]["sampler"]["sample_count"] = 5
    scene["sensor"]["film"].update(width=7, height=4)
    with open("scene.json", "w") as file:
        json.dump(scene, file)
    report = json.loads(run("render", "scene.json", "--json")[1])
    assert (report["spp"], report["max_depth"], report["width"], report["height"]) == (5, 3, 7, 4)
    assert report["output"] == "scene.png" and os.path.exists("scene.png")


def test_grad_of_the_mean_is_that_of_the_api(run):
    status, out, err = run("grad", "--param", "albedo", *TINY, "--seed", 3, "--json")
    assert (status, err) == (0, "") and out.count("\n") == 1
    report = json.loads(out)
    scene = prb.load_file("cornell-box")
    scene.resize(8, 6)
    expected = prb.render_backward(scene, np.full((6, 8, 3), 1 / 144), params="albedo", spp=2, seed=3)
    assert list(report["gradients"]) == ALBEDOS
    for name, gradient in report.pop("gradients").items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-4)
    assert list(report.pop("stderr")) == ALBEDOS
    assert report.pop("by") == dict.fromkeys(ALBEDOS, "replay") and report.pop("notes") == []
    mean = prb.render(scene, spp=2, seed=3).mean()
    assert report.pop("objective") == {"name": "mean", "value": pytest.approx(mean, rel=1e-4)}
    assert report == {"scene": "cornell-box", "spp": 2, "seed": 3, "max_depth": 8, "method": "replay"}


def test_grad_table_has_name_value_and_derivative(run):
    gradients = json.loads(run("grad", *TINY, "--json")[1])["gradients"]
    status, out, err = run("grad", *TINY)
    assert (status, err) == (0, "")
    assert "cornell-box: 2 spp, seed 0, depth 8, replay" in out and "objective: mean = 0." in out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("red."))
    assert row[1:4] == ["0.570068", "0.0430135", "0.0443706"]
    np.testing.assert_allclose([float(x) for x in row[4:7]], gradients["red.reflectance.value"], rtol=1e-4)
    assert len(gradients) == 4


def test_grad_towards_a_target(run):
    """The mean squared difference; picture and gradient are of different paths, or it would be biased."""
    scene = prb.load_file("cornell-box")
    scene.resize(8, 6)
    image = prb.render(scene, spp=2).astype(float)
    np.save("target.npy", image + np.linspace(0.1, 1, 8)[:, None])  # brighter than the picture
    report = json.loads(run("grad", *TINY, "--target", "target.npy", "--param", "light*", "--json")[1])
    target = read_image("target.npy").astype(float)
    value = ((image - target) ** 2).mean()
    assert report["objective"] == {"name": "mean squared difference", "value": pytest.approx(value, rel=1e-6)}
    assert report["seed"] == 0

    weight = 2 * (image - target) / image.size
    gradient = report["gradients"]["light.emitter.radiance.value"]
    same, other = (
        prb.render_backward(scene, weight, "light*", spp=2, seed=seed)["light.emitter.radiance.value"]
        for seed in (0, PATHS_OFFSET)
    )
    np.testing.assert_allclose(gradient, other, rtol=1e-4)
    assert (other < 0).all() and not np.allclose(gradient, same, rtol=1e-3)


@pytest.mark.parametrize("method", ["replay", "tape", "fd"])
def test_grad_of_a_scene_without_light_is_zero_and_says_so(run, method):
    scene = scene_file(sky={"type": "constant", "radiance": {"type": "rgb", "value": [0, 0, 0]}})
    status, out, err = run("grad", scene, "--param", "ball*", "--method", method, "--json", *TINY)
    assert status == 0 and "does light reach these parameters?" in err
    assert not np.any(list(json.loads(out)["gradients"].values()))


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_grad_output(run, folder, suffix):
    status, out, err = run("grad", *TINY, "--param", "red*", "--json", "-o", f"g.{suffix}")
    assert (status, err) == (0, "") and os.listdir(folder) == [f"g.{suffix}"]
    if suffix == "json":
        with open("g.json") as file:
            assert json.load(file) == json.loads(out)
    else:
        (expected,) = json.loads(out)["gradients"].values()
        assert np.load("g.npz")["red.reflectance.value"].tolist() == expected


def test_params(run):
    status, out, err = run("params", "cornell-box")
    assert (status, out, err) == (0, repr(prb.traverse(prb.load_file("cornell-box"))) + "\n", "")
    status, out, err = run("params", "cornell-box", "--json")
    report = json.loads(out)
    assert (status, err, report["scene"], len(report["parameters"])) == (0, "", "cornell-box", 18)
    red = report["parameters"]["red.reflectance.value"]
    assert red["shape"] == [3] and red["differentiable"] and red["value"][0] == pytest.approx(0.570068)
    assert red["sampling"] == ["detached", "attached"] and red["why_not"] is None
    camera = report["parameters"]["sensor.to_world"]
    assert (camera["differentiable"], camera["sampling"], camera["why_not"]) == (True, ["detached"], None)
    clip = report["parameters"]["sensor.near_clip"]
    assert (clip["differentiable"], clip["sampling"]) == (False, [])
    assert clip["why_not"] == "it only decides how near and far the camera sees"


def test_warnings_of_a_scene_are_lines_on_standard_error(run):
    file = scene_file(spare={"type": "diffuse"})
    status, out, err = run("params", file, "--json")
    assert status == 0 and json.loads(out) and err.startswith("prb: spare: no shape uses this diffuse")


def test_sensor_by_number_and_by_name(run):
    film = {"type": "hdrfilm", "width": 5, "height": 3}
    outside = [{"translate": [0, 0, -4]}]
    file = scene_file(other={"type": "perspective", "fov": 20, "film": film, "to_world": outside})
    status, out, err = run("params", file)
    assert (status, err) == (0, "") and "sensor.x_fov" in out and "other.x_fov" in out
    reports = [
        json.loads(run("render", file, "--spp", 2, "--json", "--sensor", sensor, "-o", "a.npy")[1])
        for sensor in (1, "other")
    ]
    assert reports[0] == reports[1] and (reports[0]["width"], reports[0]["height"]) == (5, 3)
    status, out, err = run("grad", file, "--spp", 2, "--json", "--sensor", "other")
    assert (status, err) == (0, "")
    mean = json.loads(out)["objective"]["value"]  # of the same paths as the picture's
    assert mean == pytest.approx(np.mean(reports[0]["mean"]), rel=1e-6)
    for wrong in ("2", "'othr'", "'-1'"):
        result = run("render", file, f"--sensor={wrong.strip(chr(39))}")
        assert fails(result, f"sensor: there is no {wrong}; the scene has 0 (sensor), 1 (other)")


def test_a_file_goes_before_a_bundled_scene_and_a_folder_does_not(run):
    os.mkdir("knot")
    assert "teal" in run("params", "knot")[1]
    os.rename(scene_file(), "furnace")
    assert "ball" in run("params", "furnace")[1]


def test_help_and_version(run):
    assert run("--version")[:2] == (0, f"prb {prb.__version__}\n")
    for command in ("render", "grad", "params"):
        status, out, err = run(command, "--help")
        assert status == 0 and out.startswith(f"usage: prb {command}")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["COMMAND", "see prb --help"]),
        (["rendr"], ["invalid choice: 'rendr'", "render", "see prb --help"]),
        (["render"], ["SCENE", "see prb render --help"]),
        (["render", "cornell-box", "--spp", "x"], ["--spp", "'x'"]),
        (["render", "cornell-box", "--spp", "0"], ["spp: 0 is out of range; it goes from 1 to"]),
        (["render", "cornell-box", "--spp", "-3"], ["spp: -3 is out of range"]),
        (["render", "cornell-box", "--spp", str(10**12)], ["spp: 1000000000000 is out of range"]),
        (["grad", "--spp", "0"], ["spp: 0 is out of range"]),
        (["render", "cornell-box", "--seed", "-1"], ["seed: -1 is out of range; it goes from 0 to 4294"]),
        (["render", "cornell-box", "--max-depth", "-2"], ["max_depth: -2 is out of range; it goes from -1"]),
        (["render", "cornell-box", "--size", "8"], ["'8' is not a size; write it as in 256x256"]),
        (["render", "cornell-box", "--size", "0x8"], ["size: 0x8", "from 1 to 65536"]),
        (["render", "cornell-box", "--size=-8x8"], ["size: -8x8", "from 1 to 65536"]),
        (["render", "cornell-box", "--size", "99999999x8"], ["size: 99999999x8", "from 1 to 65536"]),
        (["render", "cornell-box", "--size", "65536x65536"], ["size: 65536x65536", "pixels to"]),
        (["render", "cornell-box", "--arch", "gpu"], ["arch: 'gpu' is unknown; available: cpu"]),
        (["render", "cornell-box", "--arch", ""], ["arch: '' is unknown; available: cpu"]),
        (["render", "cornell-box", "-o", "a.gif"], ["a.gif: the format '.gif' is not known; use one"]),
        (["render", "cornell-box", "-o", "none/a.png"], ["none/a.png: the folder", "make it first"]),
        (["render", "cornell-box", "-o", "."], [".: is a folder"]),
        (["render", "cornell-box", "-o", ""], ["is a folder; name a file in it"]),
        (["grad", "-o", "a.png"], ["a.png: the format '.png' is not known; use one of .json, .npz"]),
        (["grad", "--param", "blue"], ["'blue': matches no parameter", *ALBEDOS]),
        (["grad", "--param", "albdo"], ["did you mean 'albedo'?"]),
        (
            ["grad", "--param", "red*", "--param", "sensor*"],
            ["'sensor*': selects sensor.to_world only if it ends like"],
        ),
        (["grad", "--target", "none.png"], ["none.png: no such file"]),
        (["grad", "--target", "."], [".: is a folder"]),
        (
            ["render", "none"],
            ["none: no such file; the bundled scenes are bear, blinn-phong-s"],
        ),
        (["render", "none.json"], ["none.json: no such file"]),
        (["params", "."], [".: is a folder"]),
        (["params", "x" * 300], ["no such file"]),
    ],
)
def test_mistake_in_the_arguments(run, folder, arguments, parts):
    assert fails(run(*arguments), *parts)
    if arguments and arguments[0] != "params":
        assert fails(run(*arguments, "--json"), *parts)
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["bad.json: the file is empty"]),
        (bytes(range(256)), ["bad.json: not a text file in UTF-8"]),
        (b'{"type": "scene",', ["bad.json: not JSON, line 1 column"]),
        (b"[1, 2]", ["bad.json: expected a dictionary of type 'scene'"]),
        (b'{"type": "scene", "a\\nb": {"type": "sphre"}}', ["a b.type: unknown plugin 'sphre'"]),
    ],
)
@pytest.mark.parametrize("command", ["render", "grad", "params"])
def test_mistake_in_the_file(run, command, content, parts):
    with open("bad.json", "wb") as file:
        file.write(content)
    assert fails(run(command, "bad.json", "--json"), *parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"ball": {"type": "sphre"}}, ["ball.type: unknown plugin 'sphre'", "did you mean 'sphere'?"]),
        ({"ball": {"type": "sphere", "radios": 2}}, ["ball.radios: unknown key", "did you mean 'radius'?"]),
        ({"ball": {"type": "sphere", "bsdf": {"type": "ref", "id": "redd"}}}, ["there is no object 'redd'"]),
        ({"ball": {"type": "ply", "filename": "none.ply"}}, ["ball.filename: no such file: none.ply"]),
        ({"red": {"type": "diffuse", "reflectance": 1.5}}, ["red.reflectance: 1.5 is out of range"]),
        ({"sky": {"type": "constant", "radiance": -1.0}}, ["sky.radiance: -1 is out of range"]),
        ({"sky": {"type": "constant", "radiance": float("nan")}}, ["sky.radiance: nan is not a finite"]),
    ],
)
def test_mistake_in_the_scene(run, folder, changes, parts):
    file = scene_file(**changes)
    assert fails(run("render", file), *parts)
    assert os.listdir(folder) == [file]


def test_unknown_arch_in_the_environment(run, monkeypatch):
    monkeypatch.setenv("PRB_ARCH", "gpu")
    monkeypatch.setitem(prb.device.runtime._state, "arch", None)
    assert fails(run("render", "cornell-box", *TINY), "PRB_ARCH: 'gpu' is unknown; available: cpu")


def test_arch_without_a_device(run, monkeypatch):
    """Taichi goes on with the CPU, or throws; neither may pass for the device that was asked for."""
    import taichi as ti

    monkeypatch.setattr(prb.device.runtime, "available_archs", lambda: ["cpu", "vulkan"])
    monkeypatch.setattr(prb.device.runtime, "_init", lambda arch: None)
    assert ti.lang.impl.current_cfg().arch == ti.cpu
    assert fails(run("render", "cornell-box", *TINY, "--arch", "vulkan"), "arch: 'vulkan' has no device here")

    def fail(arch):
        raise RuntimeError("no such thing\nat all")

    monkeypatch.setattr(prb.device.runtime, "_init", fail)
    assert fails(run("render", "cornell-box", *TINY, "--arch", "vulkan"), "did not start (no such thing)")


@pytest.mark.parametrize("command", ["render", "grad"])
def test_film_that_does_not_fit_into_memory(run, monkeypatch, command):
    monkeypatch.setattr(prb.device.runtime, "host_memory", lambda: 2**20)
    result = run(command, "cornell-box", "--spp", 1, "--size", "512x512")
    assert fails(result, "film: 512 x 512 pixels need about 0.0 GiB", "choose a smaller size")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("Failed to allocate device memory\n(detail)")])
def test_out_of_memory(run, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(prb, "render", fail)
    assert fails(run("render", "cornell-box", *TINY), "not enough memory", "choose a smaller --size")


def test_target_of_another_size(run):
    np.save("target.npy", np.zeros((3, 4, 3)))
    result = run("grad", *TINY, "--target", "target.npy")
    assert fails(result, "target.npy: has 4 x 3 pixels and the film 8 x 6", "--size 4x3")


def test_target_that_is_not_finite(run):
    target = np.zeros((6, 8, 3))
    target[2, 3, 1] = np.nan
    np.save("target.npy", target)
    assert fails(run("grad", *TINY, "--target", "target.npy"), "target.npy: has numbers that are not finite")


def test_target_that_is_no_picture(run):
    with open("target.png", "w") as file:
        file.write("words")
    assert fails(run("grad", *TINY, "--target", "target.png"), "target.png: not a picture that can be read")


def test_disk_that_is_full(run, folder, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    monkeypatch.setattr("numpy.savez", full)
    for command in (["render", "cornell-box", "-o", "a.npy"], ["grad", "-o", "a.npz"]):
        assert fails(run(*command, *TINY), f"{command[-1]}: cannot be written: No space left on device")
    assert os.listdir(folder) == []


def test_mistakes_do_not_change_how_warnings_are_shown(run):
    import warnings

    shown = warnings.showwarning
    run("render", "none")
    assert warnings.showwarning is shown


# What only a process of its own can show.


def start(*arguments, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = {**os.environ, "PRB_ARCH": "cpu"}
    command = [sys.executable, "-m", "prb", *arguments]
    return subprocess.Popen(command, env=environment, **{**pipes, **options})


def wait_for_render(process):
    """Until a process that renders for hours has certainly begun: it has used seconds of CPU time."""
    deadline = time.monotonic() + 120
    ticks = os.sysconf("SC_CLK_TCK")
    while time.monotonic() < deadline and process.poll() is None:
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        if (int(fields[11]) + int(fields[12])) / ticks > 4:
            return
        time.sleep(0.05)
    pytest.fail(f"the render did not begin: {process.communicate()}")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, b"prb: interrupted\n"),
        (signal.SIGTERM, -signal.SIGTERM, b""),
        (signal.SIGKILL, -signal.SIGKILL, b""),
    ],
)
def test_signal_during_a_render(folder, number, status, said):
    (folder / "a.png").write_bytes(b"old")
    process = start("render", "cornell-box", "--spp", str(10**8), "-o", "a.png", "--json")
    try:
        wait_for_render(process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (status, b"", said)
    assert os.listdir(folder) == ["a.png"] and (folder / "a.png").read_bytes() == b"old"


def test_reader_that_leaves_early():
    process = start("params", "cornell-box")
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert (process.wait(60), err) == (0, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_standard_output_that_is_full():
    with open("/dev/full", "wb") as full:
        process = start("params", "furnace", stdout=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == b"prb: standard output: cannot be written: No space left on device\n"


def test_progress_is_for_terminals(folder):
    """A bar on a terminal's standard error; elsewhere nothing, so that a log stays readable."""
    pty = pytest.importorskip("pty")
    fcntl, struct, termios = (pytest.importorskip(m) for m in ("fcntl", "struct", "termios"))
    arguments = ["render", "cornell-box", "--spp", "64", "--json"]
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    assert json.loads(out)["spp"] == 64 and err == b""

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = start(*arguments, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    with process.stdout:
        out = process.stdout.read()
    assert process.wait(60) == 0 and json.loads(out)["spp"] == 64
    assert b"render:" in shown and b"path/s" in shown
