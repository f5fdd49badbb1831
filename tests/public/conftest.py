"""A wheel of the checkout, and an environment where it is installed as a newcomer does."""

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("prb", "kernels", "scenes")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of a copy of the tracked files, so that the build leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        (source / name).write_bytes((ROOT / name).read_bytes())
    for name in FOLDERS:
        for file in (ROOT / name).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                copy = source / file.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
    options = ["--no-deps", "--no-build-isolation", "--no-cache-dir", "-w", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(source)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    (file,) = folder.glob("*.whl")
    return file


class Installed:
    """Runs the Python of an environment of its own, where the wheel is installed and nothing else of prb."""

    def __init__(self, wheel, home):
        venv.create(home, with_pip=False)
        self.python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
        path = "import sysconfig; print(sysconfig.get_path('purelib'))"
        self.site = Path(subprocess.check_output([self.python, "-c", path], text=True).strip())
        zipfile.ZipFile(wheel).extractall(self.site)
        # What prb depends on comes from here; .pth files there, such as an editable prb's, have no effect.
        dependencies = next(p for p in sys.path if p.endswith("site-packages"))
        (self.site / "dependencies.pth").write_text(dependencies + "\n")
        self.environment = {
            **os.environ,
            "PRB_ARCH": "cpu",
            "JAX_PLATFORMS": "cpu",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.environment.pop("PYTHONPATH", None)

    def __call__(self, *arguments, cwd):
        options = {"cwd": cwd, "env": self.environment, "capture_output": True, "text": True}
        return subprocess.run([self.python, *arguments], **options)


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    return Installed(wheel, tmp_path_factory.mktemp("installed") / "venv")
