"""The package: what a wheel holds, that it works away from the checkout, and who may import whom."""

import ast
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it

ROOT = Path(__file__).parents[2]
FOLDERS = {"prb": "prb", "prb.kernels": "kernels", "prb.scenes": "scenes"}


def sources(*folders):
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def imports(file):
    """Every module that a file imports, `from a import b` as a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.fixture(scope="module")
def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_list_of_packages_is_the_folders(settings):
    found = set()
    for package, folder in FOLDERS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert sorted(settings["tool"]["setuptools"]["packages"]) == sorted(found)
    assert settings["tool"]["setuptools"]["package-dir"] == FOLDERS


def test_every_folder_of_modules_is_a_package():
    for file in sources(*FOLDERS.values()):
        assert (file.parent / "__init__.py").is_file(), f"{file.parent} has no __init__.py"


def test_wheel_holds_every_file_and_no_other_top_level(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"prb"}
    for package, folder in FOLDERS.items():
        for file in (ROOT / folder).rglob("*"):
            if file.suffix in (".py", ".typed", ".json", ".ply", ".obj", ".png", ".exr", ".vol"):
                path = "/".join([*package.split("."), *file.relative_to(ROOT / folder).parts])
                assert path in names, f"{path} is not in the wheel"
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_installed_wheel_renders_away_from_the_checkout(installed, tmp_path):
    done = installed("-c", "import prb; print(prb.__file__)", cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(installed.site), done
    done = installed("-c", "import kernels", cwd=tmp_path)
    assert "No module named 'kernels'" in done.stderr
    command = ["-m", "prb", "render", "cornell-box", "--spp", "1", "--size", "8x8", "--json"]
    done = installed(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["output"] == "cornell-box.png"
    assert (tmp_path / "cornell-box.png").read_bytes().startswith(b"\x89PNG")
    done = installed("-m", "prb", "params", "knot", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_kernels_import_only_themselves_taichi_and_the_standard_library():
    allowed = sys.stdlib_module_names | {"taichi"}
    for file in sources("kernels"):
        for name in imports(file):
            assert name.split(".")[0] in allowed or name.startswith("prb.kernels"), f"{file} imports {name}"


def test_only_the_runtime_initialises_taichi():
    callers = [
        file.relative_to(ROOT).as_posix()
        for file in sources("prb", "kernels")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ti.init", "taichi.init", "init_taichi")
    ]
    assert callers == ["prb/device/runtime.py"]


def test_no_postponed_annotations():
    for file in sources("prb", "kernels", "tests"):
        assert "__future__.annotations" not in imports(file), f"{file}: Taichi 1.7.4 breaks on it"


def test_import_initialises_and_allocates_nothing(tmp_path):
    code = "import prb, taichi as ti; print(ti.lang.impl.get_runtime().prog, prb.device.runtime.arch())"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None None\n", "")


def test_versions_agree(settings):
    import prb

    assert prb.__version__ == settings["project"]["version"]


def test_python_example_of_the_readme(capsys):
    """It recovers the wall's colour; the last line that it prints is close to the first."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    example = text.partition("```python\n")[2].partition("```")[0]
    exec(compile(example, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("step 20")
    true, found = ([float(x) for x in re.findall(r"\d\.\d+", line)] for line in (lines[0], lines[-1]))
    assert found == pytest.approx(true, abs=0.03)


def test_links_of_the_readmes_exist():
    for readme in (ROOT / "README.md", ROOT / "scenes" / "README.md"):
        for link in re.findall(r"\]\(([^)]+)\)", readme.read_text(encoding="utf-8").replace("\n", " ")):
            if "://" not in link:
                assert (readme.parent / link).is_file(), f"{readme}: {link}"


def test_the_readme_lists_every_plugin():
    from prb.scene.plugins.registry import PLUGINS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", text.partition("## What it reads")[2].partition("## Formats")[0])
    said = {
        "traverse",
        "mi",
        "prb",
        "params",
        "sample_border",
        "interior",
        "exterior",
        "emission",
        "grid_name",
    }
    assert set(PLUGINS) <= set(listed) and set(listed) <= set(PLUGINS) | said


def test_output_that_the_readme_shows(capsys):
    """Word for word, and the numbers to what another device or a new order of operations may change."""
    from prb.cli.main import main

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = text.partition("prints, on a CPU,\n\n```\n")[2].partition("\n```")[0]
    assert main(["grad", "--param", "albedo"]) == 0
    printed = capsys.readouterr().out.rstrip("\n")
    number = r"\d+\.\d+"
    assert re.sub(rf" *{number}", " x", shown) == re.sub(rf" *{number}", " x", printed)
    long = r"\d+\.\d{4,}"  # not the standard errors
    shown, printed = ([float(x) for x in re.findall(long, block)] for block in (shown, printed))
    assert len(shown) == 19 and shown == pytest.approx(printed, rel=1e-3)
