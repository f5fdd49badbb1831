"""Faults to plant into the gradient kernels: each changes a tagged line of a copy of the kernels package,
which then traces gradients, while pictures are still traced by the right one.

A line of the kernels that a fault changes ends in `# fault: TAG`; a tag stands on exactly one line.
"""

import importlib
import shutil
import sys
from pathlib import Path

from prb.estimators import boundary
from prb.kernels.estimators import film, launch, modes

KERNELS = Path(launch.__file__).parents[1]

# name: (tag, what is replaced in the tagged line, by what, what is checked: see `scene_for` in test_check.py)
FAULTS = {
    "wrong sign of next-event estimation": (
        "sign-of-next-event-estimation", "= grad_light", "= -grad_light", "red"),
    "zero factor dropped": ("zero-factor", "sums.Z", "0.0", "black"),
    "dropped cosine": (
        "dropped-cosine", "grad_f_light * (scale_light * w)", "grad_f_light / ti.max(vertex.wo_light.z, 0.1)",
        "red"),
    "MIS weight left out": ("mis-weight-left-out", " * vertex.emission_weight", "", "light"),
    "MIS weight differentiated": (
        "sign-of-next-event-estimation", "= grad_light", "= vertex.light_weight * grad_light", "red"),
    "next-event estimation of this vertex kept in the rest": (
        "light-sample-kept-in-the-rest", "-beta * E", "-beta * shading.emitted * vertex.emission_weight",
        "red"),
    "another pixel's derivative": ("another-pixels-derivative", "[item +", "[item // 2 +", "red"),
    "last vertex forgotten": (
        "last-vertex-forgotten", "is_usable(sums.Z)", "is_usable(sums.Z) & (sample % 16 != 0)", "red"),
    "random number used twice": ("number-used-twice", "(u[0], u[1])", "(u[0], u[0])", "red"),
    "same random numbers at every vertex": (
        "same-numbers", "sampler, event)", "sampler, 1)", "red"),
    "density not divided by": ("density-not-divided-by", "/ vertex.pdf", "/ (vertex.pdf + 0.01)", "red"),
    "texel weights left out": ("texel-weights", "weights[i]", "0.25", "texels"),
    "wrong sign of a blend's first weight": (
        "sign-of-a-weight", "ti.select((code & 1) == 1, -1.0, 1.0)", "1.0", "blend"),
    "only one of two directions reaches a weight": (
        "weight-by-light-only", "scale * grad_f.dot(value)", "0.0", "blend"),
}  # fmt: skip

ATTACHED = {  # of attached replay
    "density forgotten": ("density-forgotten", "s.density", "traced.detach(s.density)", "metal"),
    "MIS weight held constant": ("mis-weight-held-constant", "pdf_bsdf", "traced.detach(pdf_bsdf)", "metal"),
    "frame's derivative dropped": ("frame-held-constant", "surface.n)", "detach(surface.n))", "lens"),
}
INVERSE = {  # of its inversion; checked by test_attached_inverse.py
    "noise drawn anew": ("noise-drawn-anew", "before.event", "before.event + 1000 * sweep", "chain"),
}
EDGES = {  # of boundary terms; checked by test_boundary_faults.py
    "points on surfaces that do not slide": ("points-held-fixed", "sensed.direct", "0.0", "secondary"),
    "slanted edges at their full length": ("foreshortening", "t.cross(omega).norm()", "1.0", "secondary"),
    "slanted surfaces at their full size": ("film-jacobian", ".dot(si.ng)", ".norm()", "secondary"),
    "hidden edges seen": ("occlusion", "if sees(", "if True or sees(", "primary"),
    "light through walls": ("light-behind-a-wall", "slot < 0", "slot < 1000000", "secondary"),
}


def planted(name, folder, monkeypatch):
    """Let gradients be traced by kernels with that fault."""
    package = _copied(name, folder, monkeypatch)
    faulty = importlib.import_module(f"{package}.estimators.launch")
    pack = _packing(package)
    right_kernel = launch.trace_paths

    def trace_paths(features, execution, mode, record, scene, sensor, *outputs):
        if mode != modes.REVERSE:
            return right_kernel(features, execution, mode, record, scene, sensor, *outputs)
        same = faulty.Launch(**{key: getattr(record, key) for key in launch.Launch.members})
        scene, sensor = pack("SceneArrays", scene), pack("SensorArrays", sensor)
        return faulty.trace_paths(features, execution, mode, same, scene, sensor, *outputs)

    monkeypatch.setattr(launch, "trace_paths", trace_paths)


def planted_in_edges(name, folder, monkeypatch):
    """Let boundary terms be traced by kernels with that fault."""
    package = _copied(name, folder, monkeypatch)
    faulty = importlib.import_module(f"{package}.estimators.boundary")
    pack = _packing(package)

    def trace_edges(features, execution, mode, primary, record, picture, scene, sensor, *outputs):
        same = faulty.Launch(**{key: getattr(record, key) for key in launch.Launch.members})
        film_of = faulty.Film(**{key: getattr(picture, key) for key in film.Film.members})
        scene, sensor = pack("SceneArrays", scene), pack("SensorArrays", sensor)
        return faulty.trace_edges(features, execution, mode, primary, same, film_of, scene, sensor, *outputs)

    monkeypatch.setattr(boundary, "trace_edges", trace_edges)


def _copied(name, folder, monkeypatch):
    """The name of a copy of the kernels, in a folder, that has the fault."""
    faults = FAULTS | ATTACHED | INVERSE | EDGES
    tag, right, wrong, _ = faults[name]
    package = f"faulty_{list(faults).index(name)}"
    copy = folder / package
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    changed = 0
    for source in copy.rglob("*.py"):
        lines = source.read_text().replace("prb.kernels", package).split("\n")
        for i, line in enumerate(lines):
            if line.endswith(f"# fault: {tag}"):
                assert line.count(right) == 1, f"{source.name}: adapt the fault {tag}"
                lines[i], changed = line.replace(right, wrong), changed + 1
        source.write_text("\n".join(lines))
    assert changed == 1, f"the tag {tag} stands on {changed} lines"
    monkeypatch.syspath_prepend(folder)
    return package


def _packing(package):
    """A function of a kind of argument and one of prb's own: the same for the kernels of a package."""
    arrays = importlib.import_module(f"{package}.arrays")
    packs = {}  # id of an argument -> the same for the faulty kernel, and the argument, which keeps its id

    def pack(kind, argument):
        if id(argument) not in packs:
            names = getattr(arrays, kind).members
            values = {name: argument[name] for name in names}
            packs[id(argument)] = getattr(arrays, kind)(**values), argument
        return packs[id(argument)][0]

    return pack


def forget():
    """Drop the modules of planted faults."""
    for name in [name for name in sys.modules if name.startswith("faulty_")]:
        del sys.modules[name]
