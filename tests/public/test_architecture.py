"""The house's rules, read from the source: layers, circles, lengths, who imports Taichi, what lies flat.

Each rule finds its offenders. Those that are known fail as expected, one test for each, and the list has to
become shorter as soon as one of them is mended or gone; all others are errors.
"""

import ast
import inspect
import subprocess
import sys

import pytest
from helpers.import_graph import (
    LAYERS,
    PUBLIC_FACE,
    ROOT,
    circles,
    edges,
    is_downwards,
    modules,
    package_of,
)

import prb

pytestmark = pytest.mark.quick

MOST_LINES = 400
FLAT = {
    "__init__.py", "__main__.py", "_checkout.py", "api.py", "errors.py", "jax.py", "schedules.py",
    "torch.py", "py.typed",
}  # fmt: skip
BACKEND = "prb.kernels.backend"  # the one module that imports Taichi
ACTS = {BACKEND, "prb._checkout", "prb.__main__"}  # settings before Taichi's import; where kernels/ is
DEVICE = {"", "ti", "taichi", "ti.Vector", "ti.Matrix", "arrays", "runtime"}
MAKES = {
    "init",
    "field",
    "ndarray",
    "ensure",
    "upload",
    "empty",
    "zeros",
    "scratch",
    "unused",
    "output",
    "passed",
}


def too_long(root=ROOT):
    for file in modules(root).values():
        if len(file.read_text(encoding="utf-8").splitlines()) > MOST_LINES:
            yield file.relative_to(root).as_posix()


def upwards(root=ROOT):
    for importer, imported in edges(root).items():
        for name in imported:
            if name.split(".")[0] == "prb" and not is_downwards(importer, name):
                yield f"{importer} -> {name}"


def in_circles(root=ROOT):
    for circle in circles(edges(root)):
        yield from circle


def outside_layers(root=ROOT):
    return (module for module in modules(root) if package_of(module) is None)


def imports_that_lead_nowhere(root=ROOT):
    known = modules(root)
    for importer, imported in edges(root).items():
        yield from (f"{importer} -> {n}" for n in imported if n.split(".")[0] == "prb" and n not in known)


def taichi_elsewhere(root=ROOT):
    for module, imported in edges(root).items():
        if module != BACKEND and any(name.split(".")[0] == "taichi" for name in imported):
            yield module


def kernels_import_others(root=ROOT):
    allowed = sys.stdlib_module_names | {"prb", "taichi"}  # of prb only the kernels: see LAYERS
    for module, imported in edges(root).items():
        if module.startswith("prb.kernels"):
            yield from (f"{module} -> {n}" for n in imported if n.split(".")[0] not in allowed)


def flat_files(root=ROOT):
    return {file.name for file in (root / "prb").iterdir() if file.is_file()} - FLAT


def acting_at_import(root=ROOT):
    """`ti.init`, arrays on the device, calls for their effect; a registry is a table that is written out."""
    for module, file in modules(root).items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        acts = (ast.For, ast.While, ast.With, ast.Delete, ast.AugAssign)
        for node in tree.body:
            called = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            changed = any(isinstance(t, (ast.Subscript, ast.Attribute)) for t in getattr(node, "targets", ()))
            if (called or changed or isinstance(node, acts)) and module not in ACTS:
                yield f"{module}, line {node.lineno}"
        for call in calls_at_import(tree):
            owner, _, called = ast.unparse(call.func).rpartition(".")
            if owner in DEVICE and called in MAKES and (owner, called) != ("", "field"):  # dataclasses
                yield f"{module}, line {call.lineno}"


def calls_at_import(node):
    """Calls outside functions, those in decorators and defaults among them."""
    if isinstance(node, ast.Call):
        yield node
    inside = ast.iter_child_nodes(node)
    if isinstance(node, (ast.FunctionDef, ast.Lambda)):
        inside = [*getattr(node, "decorator_list", ()), node.args]
    for child in inside:
        yield from calls_at_import(child)


RULES = (
    too_long,
    upwards,
    in_circles,
    outside_layers,
    imports_that_lead_nowhere,
    taichi_elsewhere,
    kernels_import_others,
    flat_files,
    acting_at_import,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_offender(rule):
    assert sorted(set(rule())) == []


def test_rules_find_offenders(tmp_path):
    """A house in which every rule is broken once."""
    files = {
        "prb/__init__.py": "",
        "prb/errors.py": "from .scene import model\n",
        "prb/scene/__init__.py": "",
        "prb/scene/model.py": "def f():\n    import prb.scene.reading\n",
        "prb/scene/reading.py": "from prb.scene.model import f\nimport prb.gone\n",
        "prb/extra.py": "TABLE = {}\nTABLE['x'] = 1\n" + "x = 0\n" * MOST_LINES,
        "prb/device/__init__.py": "import importlib\nti = importlib.import_module('taichi')\nti.init()\n",
        "kernels/__init__.py": "import numpy\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = {rule: sorted(set(rule(tmp_path))) for rule in RULES}
    assert found == {
        too_long: ["prb/extra.py"],
        upwards: ["prb.errors -> prb.scene.model", "prb.scene.reading -> prb.gone"],
        in_circles: ["prb.scene.model", "prb.scene.reading"],
        outside_layers: ["prb.extra"],
        imports_that_lead_nowhere: ["prb.scene.reading -> prb.gone"],
        taichi_elsewhere: ["prb.device"],
        kernels_import_others: ["prb.kernels -> numpy"],
        flat_files: ["extra.py"],
        acting_at_import: ["prb.device, line 3", "prb.extra, line 2"],
    }


def test_every_layer_is_there():
    assert {package_of(module) for module in modules()} - {None} == {p for layer in LAYERS for p in layer}
    assert all((ROOT / "prb" / name).is_file() for name in FLAT)


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a", "d"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": {"taichi"}}) == []


@pytest.mark.parametrize("name", [n for n in prb.__all__ if inspect.isfunction(getattr(prb, n))])
def test_no_public_function_bears_the_name_of_a_module(name):
    assert f"prb.{name}" not in modules() and not (ROOT / "prb" / name).exists(), (
        f"prb.{name} is a module, too"
    )
    home = getattr(prb, name).__module__
    assert home.split(".")[-1] != name, f"{home} holds a function of its own name"


def test_importing_everything_starts_no_device(tmp_path):
    """Every module but those that need more than prb's own dependencies, or run the command."""
    left_out = (f"{PUBLIC_FACE}.torch", f"{PUBLIC_FACE}.jax", "prb.__main__")
    names = sorted(name for name in modules() if name not in left_out)
    code = (
        f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "from prb.kernels.backend import ti\nfrom prb.device import runtime\n"
        "print(ti.lang.impl.get_runtime().prog, runtime.arch())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None None\n", "")
