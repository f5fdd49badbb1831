"""The README in the root of a checkout, after its own `pip install .`: ./prb hides the installed prb."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs JAX")


def runs(done):
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def test_a_checkout_goes_before_the_installed_package(installed):
    code = "import prb, prb.kernels as k, prb.scenes as s; print(prb.__file__, *k.__path__, *s.__path__)"
    files = runs(installed("-c", code, cwd=ROOT)).split()
    assert files == [str(ROOT / "prb" / "__init__.py"), str(ROOT / "kernels"), str(ROOT / "scenes")]


def test_snippets_run_one_after_the_other(installed):
    """All but those of PyTorch and JAX, which have tests of their own; each goes on with the variables of the
    one before."""
    assert ["import torch" in text for text in SNIPPETS] == [False, False, False, True, False]
    assert ["import jax" in text for text in SNIPPETS] == [False, False, False, False, True]
    check = "print(value < 0.2, np.abs(params[red] - [0.570068, 0.0430135, 0.0443706]).max() < 0.05)\n"
    lines = runs(installed("-c", "\n".join([*SNIPPETS[:2], check, SNIPPETS[2]]), cwd=ROOT)).splitlines()
    assert lines[0].startswith("true") and lines[-2].startswith("step 20") and lines[-1] == "True True"


@needs_torch
def test_snippet_of_pytorch_runs(installed):
    code = f"import prb\n{SNIPPETS[3]}\nprint(float((picture - target).detach().square().mean()))"
    assert float(runs(installed("-c", code, cwd=ROOT))) < 0.01


@needs_jax
def test_snippet_of_jax_runs(installed):
    code = f"import prb\n{SNIPPETS[4]}\nprint(float(value))"
    assert float(runs(installed("-c", code, cwd=ROOT))) < 0.01


@needs_torch
def test_module_among_the_scenes_runs(installed):
    assert "--iterations" in runs(installed("-m", "prb.scenes.texture_network", "--help", cwd=ROOT))


def test_bench_measures_in_a_checkout(installed, tmp_path):
    """Its processes run the prb that started them, though they leave the current folder out."""
    sizes = ["--method", "replay", "--depths", "2", "--spps", "2", "--size", "4x4", "--runs", "1"]
    for name, start in (("installed", "import sys; sys.path.pop(0)\n"), ("checkout", "")):
        code = f"{start}import sys, prb, prb.cli.main as m; print(prb.__file__, file=sys.stderr)\n"
        code += "sys.exit(m.main(sys.argv[1:]))"
        output = tmp_path / name
        done = installed("-c", code, "bench", *sizes, "--json", "-o", str(output), cwd=ROOT)
        where = {"installed": installed.site, "checkout": ROOT}[name]
        assert done.returncode == 0 and done.stderr == f"{where / 'prb' / '__init__.py'}\n"
        assert [p["status"] for p in json.loads(done.stdout)["points"]] == ["ok"]
