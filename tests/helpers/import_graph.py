"""Who imports whom in prb/ and kernels/, read from the source: also what is imported inside a function."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = {"prb": "prb", "prb.kernels": "kernels"}
PUBLIC_FACE = "prb"  # prb/__init__.py, which imports from every layer below the command line

# From bottom to top. An import goes from a layer to one below it, or stays inside one package.
LAYERS = (
    ("prb.kernels",),
    ("prb.errors", "prb._checkout"),
    ("prb.io",),
    ("prb.scene",),
    ("prb.device",),
    ("prb.losses", "prb.schedules"),
    ("prb.estimators",),
    ("prb.api",),
    ("prb.report",),
    ("prb.recover", "prb.checking"),
    ("prb.torch", "prb.jax"),
    (PUBLIC_FACE,),
    ("prb.bench",),
    ("prb.cli",),
    ("prb.__main__",),
)


def modules(root=ROOT):
    """Name -> file of every module, `prb.kernels.bsdf` for kernels/bsdf/__init__.py."""
    found = {}
    for package, folder in FOLDERS.items():
        for file in sorted((root / folder).rglob("*.py")):
            parts = file.relative_to(root / folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join([package, *parts])] = file
    return found


def package_of(module):
    """The part of a layer that a module belongs to, as `prb.scene` for `prb.scene.model`; None: to none."""
    parts = [part for layer in LAYERS for part in layer if part != PUBLIC_FACE]
    if module == PUBLIC_FACE:
        return PUBLIC_FACE
    return next((part for part in parts if f"{module}.".startswith(f"{part}.")), None)


def layer_of(module):
    """Number of a module's layer, counted from the bottom."""
    part = package_of(module)
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def is_downwards(importer, imported):
    """True if an import goes to a lower layer or stays inside one package."""
    parts = package_of(importer), package_of(imported)
    if None in parts:
        return False
    return parts[0] == parts[1] or layer_of(importer) > layer_of(imported)


def imported_names(tree, module, is_package):
    """Dotted names that a module imports, with `from a import b` as ("a", "b")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if is_package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            yield from ((base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            if node.args and isinstance(node.args[0], ast.Constant):
                yield node.args[0].value, None


@cache
def edges(root=ROOT):
    """Module -> the set of names that it imports: modules of prb, and of others the name as it stands.

    That a submodule's import runs its packages' __init__.py is left out: it is so for every import.
    """
    known = modules(root)
    found = {}
    for module, file in known.items():
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found[module] = set()
        for base, name in imported_names(tree, module, file.name == "__init__.py"):
            target = f"{base}.{name}" if name and (f"{base}.{name}" in known or base not in known) else base
            if target != module:
                found[module].add(target)
    return found


def circles(graph):
    """The strongly connected components of more than one module (Tarjan 1972), each sorted."""
    index, low, on_stack, stack, found = {}, {}, set(), [], []

    def visit(v):
        index[v] = low[v] = len(index)
        stack.append(v)
        on_stack.add(v)
        for w in sorted(graph.get(v, ())):
            if w not in graph:
                continue
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on_stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            component = []
            while not component or component[-1] != v:
                component.append(stack.pop())
                on_stack.discard(component[-1])
            if len(component) > 1:
                found.append(sorted(component))

    for v in sorted(graph):
        if v not in index:
            visit(v)
    return found
