"""The command in odd surroundings: without HOME, without standard streams, and what it leaves there."""

import json
import os
import subprocess
import sys

import pytest

import prb
from prb.cli.output import escaped, one_line
from prb.device import runtime
from prb.kernels.backend import ti

ROOT = os.path.dirname(os.path.dirname(prb.__file__))
TINY = ["--spp", "1", "--size", "4x4"]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="HOME and closed descriptors are POSIX's")


def started(folder, *arguments, closed="", **changes):
    """`python ARGUMENTS` in a folder, with other variables (None: without it) and some descriptors closed."""
    environment = {**os.environ, "PRB_ARCH": "cpu", "PYTHONPATH": ROOT, "TMPDIR": str(folder / "tmp")}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("TI_OFFLINE_CACHE_FILE_PATH", None)
    environment |= {name: value for name, value in changes.items() if value is not None}
    for name in (name for name, value in changes.items() if value is None):
        environment.pop(name, None)
    (folder / "tmp").mkdir(exist_ok=True)
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"HOME": None},
        {"HOME": "/proc"},
        {"TI_OFFLINE_CACHE_FILE_PATH": "/proc/cache"},
    ],
    ids=str,
)
def test_home_that_is_missing_or_cannot_be_written(tmp_path, changes):
    done = started(tmp_path, "-m", "prb", "render", "cornell-box", *TINY, **changes)
    assert (done.returncode, done.stderr) == (0, "")
    assert prb.io.images.read_image(tmp_path / "cornell-box.png").shape == (4, 4, 3)
    assert sorted(os.listdir(tmp_path)) == ["cornell-box.png", "tmp"] and os.listdir(tmp_path / "tmp") == []


def test_home_that_can_be_written_has_the_cache_and_nothing_calls_home(tmp_path):
    """Taichi's check for a newer version would write version_info first, then post its identifier."""
    code = "import threading, prb; prb.init('cpu'); print(threading.active_count())\n"
    code += "scene = prb.load_file('cornell-box'); scene.resize(4, 4); prb.render(scene, spp=1)"
    home = tmp_path / "home"
    home.mkdir()
    done = started(tmp_path, "-c", code, HOME=str(home), TI_SKIP_VERSION_CHECK="OFF")
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")
    assert os.listdir(home / ".cache" / "taichi") == ["ticache"] and os.listdir(tmp_path / "tmp") == []


def test_matplotlib_says_nothing_of_its_own_folder(tmp_path):
    code = "from prb.cli.main import main; main(['params', 'furnace'])\nimport matplotlib.font_manager"
    assert started(tmp_path, "-c", code, HOME="/proc", MPLCONFIGDIR=None).stderr == ""


def test_import_leaves_the_home_as_it_is(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert started(tmp_path, "-c", "import prb", HOME=str(home)).returncode == 0
    assert os.listdir(home) == []


def test_initialising_leaves_standard_output_to_other_threads(monkeypatch):
    seen = []
    monkeypatch.setattr(ti, "init", lambda **_: seen.append(sys.stdout))
    runtime._init(ti.cpu)
    assert seen == [sys.stdout]


@pytest.mark.parametrize("closed", ["2>&-", "0<&- 2>&-"])
def test_without_standard_error(tmp_path, closed):
    """Neither a message nor a warning nor a bar needs it, and nothing of it goes elsewhere."""
    done = started(tmp_path, "-m", "prb", "render", "none", closed=closed)
    assert (done.returncode, done.stdout) == (2, "")
    done = started(tmp_path, "-m", "prb", "render", "--spp", closed=closed)
    assert (done.returncode, done.stdout) == (2, "")
    scene = {"type": "scene", "sensor": {"type": "perspective"}, "ball": {"type": "sphere"}}  # warns twice
    (tmp_path / "dark.json").write_text(json.dumps(scene))
    done = started(tmp_path, "-m", "prb", "grad", "dark.json", *TINY, "--json", closed=closed)
    assert done.returncode == 0 and json.loads(done.stdout)["spp"] == 1
    code = "import prb; scene = prb.load_file('cornell-box'); scene.resize(4, 4)\n"
    code += "print(prb.render(scene, spp=1, progress=True).shape)"
    assert started(tmp_path, "-c", code, closed=closed).stdout == "(4, 4, 3)\n"


@pytest.mark.parametrize("closed", ["1>&-", "0<&- 1>&- 2>&-"])
def test_without_standard_output(tmp_path, closed):
    done = started(tmp_path, "-m", "prb", "render", "cornell-box", *TINY, "-o", "a.npy", closed=closed)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert prb.io.images.read_image(tmp_path / "a.npy").shape == (4, 4, 3)


def test_what_is_printed_holds_no_control_characters(prb_command, tmp_path, monkeypatch):
    r"""A damaged file's names appear with escapes: \x1b would move the cursor or change colours."""
    monkeypatch.chdir(tmp_path)
    bad = "\x1b[2Jball\u202e\x9b1m"
    scene = {"type": "scene", "sensor": {"type": "perspective"}, "sky": {"type": "constant"}}
    for data in ({**scene, bad: {"type": "sphre"}}, {**scene, "a": {"type": "sphere", bad: 1}}):
        (tmp_path / "bad.json").write_text(json.dumps(data))
        status, out, err = prb_command("render", "bad.json")
        assert status == 2 and out == "" and err.count("\n") == 1 and err[:-1].isprintable(), err
        assert r"\x1b[2Jball\u202e\x9b1m" in err
    status, out, err = prb_command("render", "none", "--\x1b[31m", "\x07")
    assert status == 2 and err.count("\n") == 1 and err[:-1].isprintable() and r"\x1b[31m" in err
    (tmp_path / "good.json").write_text(json.dumps({**scene, bad: {"type": "sphere"}}))
    status, out, err = prb_command("params", "good.json")
    assert status == 0 and out.replace("\n", "").isprintable() and r"\x1b[2Jball" in out
    status, out, err = prb_command("grad", "good.json", *TINY, "--json")
    assert status == 0 and bad + ".bsdf.reflectance.value" in json.loads(out)["gradients"]


def test_escapes():
    assert one_line("a\tb\r\n c\x1b\x00d \udcff é") == "a b c\\x1b\\x00d \\udcff é"
    assert escaped("a\nb c") == "a\\nb c"


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    """A library that prints past Python would write into a file with the number of standard output."""
    code = "from prb.cli.main import main; main(['params', 'furnace'])\n"
    code += "file = open('a.txt', 'w'); file.write(str(file.fileno()))"
    assert started(tmp_path, "-c", code, closed="0<&- 1>&- 2>&-").returncode == 0
    assert int((tmp_path / "a.txt").read_text()) > 2
