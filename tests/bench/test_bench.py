"""`prb bench`: what it measures is so, nothing measured is lost, and one line for each mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prb
from prb.bench import suite as module
from prb.bench.measure import peak_mib
from prb.bench.report import markdown, slope, slopes
from prb.bench.suite import Settings, in_fresh_process, run_benchmark
from prb.cli.main import main
from prb.device.params import records

SMALL = Settings(depths=(8, 4), spps=(16, 4), size=(8, 8), runs=1)
POINTS = [(4, 4), (8, 4), (4, 16)]  # depth, spp


class Fake:
    """Measures by formula: the tape's memory is depth x samples. `fail` answers for chosen points."""

    def __init__(self, fail=None):
        self.fail = fail or {}
        self.tasks = []

    def __call__(self, task, job):
        self.tasks.append((task, *(job.get(key) for key in ("method", "depth", "spp"))))
        if task == "probe":
            return {
                "name": "scene", "sha256": "0", "width": 8, "height": 8, "parameters": 1, "numbers": 3,
                "scene_mib": 1.0, "warnings": [],
                "machine": {"arch": "cpu", "memory_gib": 1, "prb": "0", "taichi": "0", "numpy": "0"},
            }  # fmt: skip
        if task == "compile":
            return {"status": "ok"}
        method, depth, spp = job["method"], job["depth"], job["spp"]
        failure = self.fail.get((method, depth, spp))
        if isinstance(failure, BaseException):
            raise failure
        if failure:
            return failure
        np.savez(job["gradient"], **{"a.value": np.array([1.0, 2.0]) * (1.5 if method == "fd" else 1)})
        return {
            "status": "ok", "median_s": 0.001 * depth, "seconds": [0.001 * depth], "first_s": 1.0,
            "peak_mib": 100.0 if method == "replay" else float(depth * spp), "base_mib": 90.0,
            "device_mib": 1.0, "largest_derivative": 2.0, "rejected": 0,
        }  # fmt: skip


def of(results, method):
    return {(p["depth"], p["spp"]): p for p in results["points"] if p["method"] == method}


def read(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("power", [-0.5, 0, 1, 2])
def test_slope_of_a_power_is_its_exponent(power):
    x = np.array([4, 8, 32, 512])
    assert slope(x, 3.7 * x**power) == pytest.approx(power, abs=1e-12)


def test_slope_is_least_squares():
    x, y = np.array([1, 2, 4, 8, 16]), np.array([1.0, 3.0, 3.5, 9.0, 14.0])
    assert slope(x, y) == pytest.approx(np.polyfit(np.log(x), np.log(y), 1)[0])


def test_slope_needs_two_abscissae():
    assert slope([], []) is None and slope([4, 4], [1, 2]) is None
    assert slope([4, 8, 16], [1, None, 4]) == pytest.approx(1)


def test_peak_is_that_of_the_process_and_not_of_its_parent():
    """A process that allocates and frees a known amount, started by one that holds more than that."""
    held = np.ones(400 * 2**20, np.uint8)
    code = "import sys, json; from prb.bench.measure import peak_mib; before = peak_mib();"
    code += "x = bytearray(b'1') * (int(sys.argv[1]) * 2**20); del x; print(json.dumps([before, peak_mib()]))"

    def growth(mib):
        answer = subprocess.check_output([sys.executable, "-c", code, str(mib)], text=True)
        before, after = json.loads(answer)
        assert before < 400
        return after - before

    assert growth(300) == pytest.approx(300, rel=0.1)
    assert growth(150) == pytest.approx(150, rel=0.1)
    del held


def test_points_are_two_lines_or_the_product():
    assert [p[:2] for p in replace(SMALL, methods=("tape",)).points()] == POINTS
    assert set(replace(SMALL, methods=("tape",), full=True).points()) == {
        (d, s, "tape") for d in (4, 8) for s in (4, 16)
    }
    assert [m for _, _, m in replace(SMALL, methods=("fd", "tape", "replay")).points()][:3] == [
        "replay", "fd", "tape",
    ]  # fmt: skip


def test_results_files(tmp_path):
    results = run_benchmark(SMALL, tmp_path / "out", run=Fake())
    assert sorted(os.listdir(tmp_path / "out")) == [
        "gradients", "memory.png", "results.json", "results.md", "time.png",
    ]  # fmt: skip
    assert read(tmp_path / "out") == results
    assert set(results) == {"format", "settings", "scene", "machine", "notes", "points", "slopes"}
    assert [(p["depth"], p["spp"]) for p in results["points"] if p["method"] == "tape"] == POINTS
    found = results["slopes"]["tape"]
    assert list(found) == [
        "time_over_depth", "memory_over_depth", "time_over_samples", "memory_over_samples",
    ]  # fmt: skip
    assert list(found.values()) == pytest.approx([1, 1, 0, 1], abs=1e-9)
    assert results["slopes"]["replay"]["memory_over_depth"] == pytest.approx(0, abs=1e-9)
    for name in ("memory.png", "time.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_markdown_has_a_row_for_each_point(tmp_path):
    failure = {"status": "out of memory", "needed_mib": 7e4}
    results = run_benchmark(SMALL, tmp_path, run=Fake({("tape", 8, 4): failure}))
    text = (tmp_path / "results.md").read_text()
    assert text == markdown(results)
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    table = {tuple(row[:3]): row[3:] for row in rows if row[-1].startswith(("ok", "out"))}
    assert len(table) == 6
    assert table["tape", "8", "4"] == ["", "", "", "", "", "", "out of memory, 70000 MiB needed"]
    assert table["tape", "4", "16"] == ["0.004", "1", "64.0", "90.0", "1.0", "0.0e+00", "ok"]
    assert "roulette is off" in text and "nothing is subtracted from peak_mib" in text


def test_differences_are_to_replay_s_gradient(tmp_path):
    with pytest.warns(UserWarning, match="central differences take 7 renders"):
        results = run_benchmark(replace(SMALL, methods=("fd", "replay", "tape")), tmp_path, run=Fake())
    assert [p["difference"] for p in of(results, "fd").values()] == pytest.approx([1 / 3] * 3)
    assert [p["difference"] for p in of(results, "tape").values()] == [0.0] * 3
    assert [p["difference"] for p in of(results, "replay").values()] == [None] * 3


def test_out_of_memory_and_failures_are_rows(tmp_path):
    failures = {
        ("tape", 8, 4): {"status": "out of memory", "reason": "no room", "needed_mib": 12.0},
        ("tape", 4, 16): {"status": "failed: a reason | of two parts"},
    }
    results = run_benchmark(SMALL, tmp_path, run=Fake(failures))
    assert [p["status"] for p in of(results, "replay").values()] == ["ok"] * 3
    assert of(results, "tape")[8, 4]["needed_mib"] == 12.0
    assert of(results, "tape")[4, 16]["status"].startswith("failed: ")
    assert results["slopes"]["tape"]["memory_over_depth"] is None
    assert (tmp_path / "memory.png").is_file()


@pytest.mark.parametrize("line, status, needed", [
    ("raise prb.MemoryLimitError('no room', needed=3 * 2**20)", "out of memory", 3),
    ("raise MemoryError", "out of memory", 5),
    ("raise RuntimeError('out of device memory')", "out of memory", 5),
    ("import os; os.kill(os.getpid(), 9)", "out of memory", 5),
    ("import os; os.kill(os.getpid(), 11)", "failed: the process ended with signal 11", None),
    ("raise prb.SceneError('red: bad')", "failed: red: bad", None),
    ("raise ValueError('odd')", "failed: the process ended with status 1 ValueError: odd", None),
])  # fmt: skip
def test_how_a_process_ends(monkeypatch, tmp_path, line, status, needed):
    """In a real process whose task fails once it has noted what it needs."""
    code = "import sys, prb, prb.bench.measure as b\n"
    code += f"def fail(job, note):\n note(device_mib=5.0)\n {line}\n"
    code += "b._point = fail\nb.answer_task(*sys.argv[1:])\n"
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.argv[1:3] = []\n{code}")  # without -c CODE
    script.chmod(0o755)
    monkeypatch.setattr(module.sys, "executable", str(script))
    row = in_fresh_process("point", {})
    assert row["status"] == status and row.get("needed_mib") == needed


def test_resume_measures_what_is_missing(tmp_path):
    stopped = Fake({("replay", 4, 16): KeyboardInterrupt(), ("tape", 4, 4): {"status": "failed: once"}})
    with pytest.raises(KeyboardInterrupt, match=r"has 4 of 6 points, --resume goes on"):
        run_benchmark(SMALL, tmp_path, run=stopped)
    kept = read(tmp_path)
    assert len(kept["points"]) == 4 and markdown(kept) == (tmp_path / "results.md").read_text()
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".prb")]

    fake = Fake()
    results = run_benchmark(SMALL, tmp_path, resume=True, run=fake)
    measured = [t[1:] for t in fake.tasks if t[0] == "point"]
    assert measured == [("tape", 4, 4), ("replay", 4, 16), ("tape", 4, 16)]
    assert len(results["points"]) == 6
    fresh = run_benchmark(SMALL, tmp_path / "fresh", run=Fake())
    assert results == fresh

    again = Fake()
    assert run_benchmark(SMALL, tmp_path, resume=True, run=again) == fresh
    assert [t[0] for t in again.tasks] == ["probe"]


def test_resume_needs_the_same_settings(tmp_path):
    run_benchmark(SMALL, tmp_path, run=Fake())
    before = read(tmp_path)
    for change in (dict(runs=2), dict(depths=(4, 8, 16)), dict(size=(9, 8)), dict(seed=1)):
        name = next(iter(change))
        with pytest.raises(prb.PrbError, match=f"was measured otherwise .*{name}"):
            run_benchmark(replace(SMALL, **change), tmp_path, resume=True, run=Fake())
    other = Fake()
    probe = other("probe", {})
    with pytest.raises(prb.PrbError, match="sha256"):
        run_benchmark(SMALL, tmp_path, resume=True, run=lambda task, job: {**probe, "sha256": "1"})
    assert read(tmp_path) == before


def test_results_that_are_there_are_not_overwritten(tmp_path):
    run_benchmark(SMALL, tmp_path, run=Fake())
    before = (tmp_path / "results.json").read_bytes()
    with pytest.raises(prb.PrbError, match="is there already; --resume"):
        run_benchmark(SMALL, tmp_path, run=Fake())
    assert (tmp_path / "results.json").read_bytes() == before


@pytest.mark.parametrize("name", ["results.md", "memory.png", "time.png", "gradients/replay-depth4-spp4.npz"])
def test_files_of_others_are_not_overwritten(tmp_path, name):
    (tmp_path / "gradients").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(prb.PrbError, match=f"{name}: not made by this run.* choose another -o"):
        run_benchmark(SMALL, tmp_path, run=Fake())
    assert (tmp_path / name).read_text() == "mine"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [tmp_path / name]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "points": [1]}', '{"format": 99}', "\udcff"])
def test_damaged_results_are_one_line(tmp_path, text):
    (tmp_path / "results.json").write_text(text, errors="surrogateescape")
    with pytest.raises(prb.PrbError, match=r"results.*choose another -o"):
        run_benchmark(SMALL, tmp_path, resume=True, run=Fake())


def test_slopes_on_a_gpu_are_of_the_device(tmp_path):
    results = run_benchmark(SMALL, tmp_path, run=Fake())
    results["machine"]["arch"] = "cuda"
    assert slopes(results, "tape")["memory_over_depth"] == pytest.approx(0, abs=1e-9)


MISTAKES = [
    (["nowhere.json"], "nowhere.json: no such file"),
    (["--depths", "0"], "depths: 0 is out of range"),
    (["--depths", "-1"], "-1"),
    (["--spps", "0"], "spp: 0 is out of range"),
    (["--spps", "x"], "invalid int value"),
    (["--runs", "0"], "runs: 0 is out of range"),
    (["--method", "magic"], "magic"),
    (["--size", "0x4"], "0x4 is not a size"),
    (["--param", "nothing"], "'nothing': matches no parameter"),
    (["--arch", "abacus"], "abacus"),
    (["--memory-limit", "0"], "memory_limit_mib: 0 is out of range"),
    (["--memory-limit", "nan"], "memory_limit_mib: nan is out of range"),
    (["--size", "8x8", "-o", "file/folder"], "file/folder: results cannot be written there"),
    (["--size", "8x8", "-o", "file"], "file: results cannot be written there"),
    (["--size", "8x8", "-o", "/proc/folder"], "/proc/folder: results cannot be written there"),
]


@pytest.mark.parametrize("arguments, part", MISTAKES)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, arguments, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("kept")
    try:
        status = main(["bench", *arguments])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and err.count("\n") == 1 and part in err, err
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "kept"


@pytest.mark.filterwarnings("always:central differences")
def test_a_point_from_the_command_line(tmp_path, monkeypatch, capsys):
    """All methods, one point, in processes of their own: the same gradient, and that of the API."""
    monkeypatch.chdir(tmp_path)
    options = ["--method", "replay", "--method", "tape", "--method", "fd", "--param", "red.reflectance.value"]
    sizes = ["--depths", "4", "--spps", "2", "--size", "8x8", "--runs", "1"]
    assert main(["bench", *options, *sizes, "--json"]) == 0
    out, err = capsys.readouterr()
    results = json.loads(out)
    assert out.count("\n") == 1 and err == "prb: central differences take 7 renders for each gradient\n"
    assert results == read(tmp_path / "bench-cornell-box")
    assert [p["status"] for p in results["points"]] == ["ok"] * 3
    for point in results["points"]:
        assert 0 < point["median_s"] <= point["first_s"]
        assert 50 < point["base_mib"] <= point["peak_mib"] < 1000 and point["device_mib"] > 0
    assert of(results, "tape")[4, 2]["difference"] < 1e-4
    assert of(results, "fd")[4, 2]["difference"] < 1e-2
    scene = prb.load_file("cornell-box")
    scene.resize(8, 8)
    scene.model.integrator.rr_depth = 2**30
    expected = prb.render_backward(scene, np.full((8, 8, 3), 1 / 192), spp=2, max_depth=4)
    with np.load(tmp_path / "bench-cornell-box" / "gradients" / "replay-depth4-spp2.npz") as found:
        assert found.files == ["red.reflectance.value"]
        np.testing.assert_allclose(found[found.files[0]], expected[found.files[0]], rtol=1e-5)


@pytest.mark.slow
def test_the_tape_s_memory_is_what_it_says(tmp_path):
    """Peaks of real processes: the tape's grows by its device bytes, the replay's does not."""
    settings = Settings("furnace", depths=(1, 64), spps=(8,), size=(64, 64), runs=1)
    results = run_benchmark(settings, tmp_path)
    tape, replay = of(results, "tape"), of(results, "replay")
    said = tape[64, 8]["device_mib"] - tape[1, 8]["device_mib"]
    assert said > 100
    assert tape[64, 8]["peak_mib"] - tape[1, 8]["peak_mib"] == pytest.approx(said, rel=0.15)
    assert abs(replay[64, 8]["peak_mib"] - replay[1, 8]["peak_mib"]) < 0.1 * said


@pytest.mark.slow
def test_a_tape_past_its_limit_is_a_row(tmp_path, capsys):
    sizes = ["--depths", "2", "64", "--spps", "4", "--size", "16x16", "--runs", "1", "--memory-limit", "3"]
    assert main(["bench", *sizes, "-o", str(tmp_path / "out")]) == 0
    tape = of(read(tmp_path / "out"), "tape")
    assert tape[2, 4]["status"] == "ok"
    assert tape[64, 4]["status"] == "out of memory" and tape[64, 4]["needed_mib"] > 3
    assert "out of memory, " in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def group_ends(group, patience=10):
    """True once no process of the group is left; one that was killed may take a moment to be reaped."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_interrupt_keeps_the_points(tmp_path):
    """A real Ctrl-C after the first point: status 130, one line, valid files, no process left, and resume."""
    sizes = ["--method", "replay", "--depths", "2", "4", "8", "--spps", "2", "--size", "8x8", "--runs", "1"]
    command = [sys.executable, "-m", "prb", "bench", *sizes, "-o", "out"]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    file = tmp_path / "out" / "results.json"
    until = time.monotonic() + 120
    while not file.exists() and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "", err
    assert err.count("\n") == 1 and "of 3 points, --resume goes on" in err
    assert group_ends(process.pid)
    kept = read(tmp_path / "out")["points"]
    assert 1 <= len(kept) < 3 and kept[0]["status"] == "ok"
    done = subprocess.run([*command, "--resume"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    points = read(tmp_path / "out")["points"]
    assert len(points) == 3 and all(p in points for p in kept)


def test_code_in_the_current_folder_is_left_alone(tmp_path):
    """As the installed command starts: Python itself then leaves the current folder out."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "prb.py").write_text(
        "import sys; sys.path.pop(0)\nfrom prb.cli.main import main\nsys.exit(main())\n"
    )
    poison = "open('executed', 'w').close()\nraise ImportError('not numpy')\n"
    for name in ("numpy", "json", "prb", "taichi"):
        (tmp_path / f"{name}.py").write_text(poison)
    sizes = ["--method", "replay", "--depths", "2", "--spps", "2", "--size", "4x4", "--runs", "1"]
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(prb.__file__))}
    command = [sys.executable, "bin/prb.py", "bench", *sizes, "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "executed").exists()
    assert [p["status"] for p in read(tmp_path / "out")["points"]] == ["ok"]


def test_compiling_leaves_the_film_as_it_is():
    from prb.bench.measure import _compile

    scene = prb.load_file("cornell-box")
    weight = np.full(scene.image_shape, 1.0)
    _compile(scene, prb.ReplayAdjoint(), weight, 0)
    assert scene.image_shape == (256, 256, 3)
    assert peak_mib() is None or peak_mib() > 0


def test_benchmark_scenes_load():
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    try:
        import scenes as benchmark_scenes
    finally:
        sys.path.pop(0)
    made = benchmark_scenes.SCENES
    assert len(records(prb.load_dict(made["tiles"]()))) > 256
    assert prb.load_dict(made["furnace"](max_depth=3)).model.integrator.max_depth == 3
