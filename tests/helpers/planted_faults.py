"""Faults to plant into the gradient kernels: each changes a line of a copy of the kernels package, which then
traces gradients, while pictures are still traced by the right one."""

import importlib
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

from prb.kernels.estimators import modes

KERNELS = Path(path.__file__).parents[1]

LIGHT_NUMBERS, BSDF_NUMBERS = (f"uniform4(pixel, sample, 2 * depth + {i}, seed)" for i in (1, 2))
NUMBERS = f"{LIGHT_NUMBERS}, {BSDF_NUMBERS}"

# name: (file, the right code, the wrong code, what is checked: see `scene_for` in test_check.py)
FAULTS = {
    "wrong sign of next-event estimation": (
        "path.py", "vertex, by_light * direct, dL * by_f", "vertex, -by_light * direct, dL * by_f", "red"),
    "zero factor dropped": (
        "path.py", "by_f = ti.select(f == 0, Z,", "by_f = ti.select(f == 0, 0.0,", "black"),
    "dropped cosine": (
        "material.py", "c_light, c = df_light * (s_light * w), df * (s * w)",
        "c_light, c = df_light / ti.max(vertex.wo_light.z, 0.1), df * (s * w)", "red"),
    "MIS weight left out": (
        "path.py", "by_emitted = dL * attenuation * vertex.emission_weight", "by_emitted = dL * attenuation",
        "light"),
    "MIS weight differentiated": (
        "path.py", "vertex, by_light * direct, dL * by_f",
        "vertex, by_light * vertex.light_weight * direct, dL * by_f", "red"),
    "next-event estimation of this vertex kept in the rest": (
        "path.py", "two_sum(R, R_low, -attenuation * E)",
        "two_sum(R, R_low, -attenuation * emitted * vertex.emission_weight)", "red"),
    "another pixel's derivative": (
        "path.py", "image_adjoint[pixel + ti.select(", "image_adjoint[pixel // 2 + ti.select(", "red"),
    "last vertex forgotten": (
        "path.py", "active = active & is_usable(L) & is_usable(Z)",
        "active = active & is_usable(L) & is_usable(Z) & (sample % 16 != 0)", "red"),
    "random number used twice": (
        "bsdf/diffuse.py", "hemisphere(u[0], u[1])", "hemisphere(u[0], u[0])", "red"),
    "same random numbers at every vertex": (
        "vertex.py", NUMBERS,
        "uniform4(pixel, sample, 1, seed), uniform4(pixel, sample, 2, seed)", "red"),
    "density not divided by": (
        "path.py", "beta *= ti.select(f == 0, 1.0, f) / vertex.pdf",
        "beta *= ti.select(f == 0, 1.0, f) / (vertex.pdf + 0.01)", "red"),
    "texel weights left out": (
        "texture.py", "part = weights[i] * cotangent", "part = 0.25 * cotangent", "texels"),
    "wrong sign of a blend's first weight": (
        "material.py", "sign = ti.select((code & 1) == 1, -1.0, 1.0)\n                dt",
        "sign = 1.0\n                dt", "blend"),
    "only one of two directions reaches a weight": (
        "material.py", "dw = s_light * df_light.dot(f_a) + s * df.dot(f_b)",
        "dw = s_light * df_light.dot(f_a)", "blend"),
}  # fmt: skip


def planted(name, folder, monkeypatch):
    """Let gradients be traced by kernels with that fault."""
    file, right, wrong, _ = FAULTS[name]
    package = f"faulty_{list(FAULTS).index(name)}"
    copy = folder / package
    shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for source in copy.rglob("*.py"):
        source.write_text(source.read_text().replace("prb.kernels", package))
    text = (copy / file).read_text()
    assert text.count(right) == 1, f"{file} has changed: adapt the fault {name!r}"
    (copy / file).write_text(text.replace(right, wrong))
    monkeypatch.syspath_prepend(folder)
    faulty = importlib.import_module(f"{package}.path")

    def trace_paths(features, mode, launch, *arrays):
        if mode != modes.REVERSE:
            return path.trace_paths(features, mode, launch, *arrays)
        same = faulty.Launch(**{key: getattr(launch, key) for key in path.Launch.members})
        return faulty.trace_paths(features, mode, same, *arrays)

    members = {name: getattr(path, name) for name in ("PRIMAL", "REVERSE", "FORWARD", "Launch")}
    monkeypatch.setattr("prb.estimators.integrate.path", SimpleNamespace(**members, trace_paths=trace_paths))


def forget():
    """Drop the modules of planted faults."""
    for name in [name for name in sys.modules if name.startswith("faulty_")]:
        del sys.modules[name]
