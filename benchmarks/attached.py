"""Attached replay beside detached replay, the attached tape and differences: time, noise, memory, a picture.

    python benchmarks/attached.py time [--runs 15]
    python benchmarks/attached.py memory [--depths 4 ... 512]
    python benchmarks/attached.py roughness [--seeds 40]
    python benchmarks/attached.py figure [--seeds 40]
    python benchmarks/attached.py compile [--runs 3]

Each writes FOLDER/attached_NAME.md (-o FOLDER), `roughness` and `figure` a picture as well.

time: picture and gradient in one call, attached over detached (rough glass over a textured floor), and kept
and inverse over the attached tape (smooth glass over the same floor), calls in turns.

memory: device bytes of each method over the depth of paths, as each states it before it allocates.

roughness: variance times time of the derivative of a lit sphere's picture by its roughness, attached over
detached, for roughnesses from 0.01 to 0.8.

figure: the gradient by the normal map of a sheet of glass over a textured floor that shines, for the mean
squared difference from the picture through even glass, paths of 12 edges: central differences of every
number, inverse without noise, inverse, the attached tape, kept.

compile: seconds of the first picture and gradient in a new process without a cache of kernels, of scenes with
glass, textures and an environment.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tabulate import tabulate

import prb

COLD = """
import sys, time
sys.path.insert(0, {folder!r})
import attached, prb
scene = attached.{scene}(size=8)
adjoint = {adjoint}
begin = time.perf_counter()
prb.render_backward(scene, 1 + 0 * prb.render(scene, spp=1), {names!r}, spp=1, adjoint=adjoint)
print(time.perf_counter() - begin)
"""
REST = 0.05  # seconds before each call
ROUGHNESSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def smooth_sky(height=16, width=32):
    """Radiance of an environment map that varies slowly, (height, width, 3)."""
    azimuth = np.linspace(0, 2 * np.pi, width, endpoint=False)[None]
    polar = np.linspace(0, np.pi, height)[:, None]
    channels = [1 + 0.5 * np.sin(azimuth + c) * np.sin(polar) + 0.4 * np.cos(2 * polar + c) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def waves(n, low=0.1, high=0.9):
    """An image of smooth waves that repeats, (n, n, 3)."""
    x, y = np.meshgrid(*2 * [2 * np.pi * np.arange(n) / n])
    colors = [np.sin(2 * x + c) * np.cos(y - c) for c in range(3)]
    return (low + (high - low) * (0.5 + 0.5 * np.stack(colors, axis=-1))).astype(np.float32)


def ripples(n):
    """A normal map of waves, (n, n, 3)."""
    x, y = np.meshgrid(*2 * [2 * np.pi * (np.arange(n) + 0.5) / n])
    normals = np.stack([0.15 * np.sin(x + 0.5 * y), 0.15 * np.cos(y), np.ones((n, n))], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return (0.5 + 0.5 * normals).astype(np.float32)


def over_floor(glass, back, size, depth, shines=False):
    """A sheet over a textured floor under a smooth sky, seen from above. glass, back: of its two faces.
    shines: the floor emits its texture, and reflects less."""
    image = {"type": "bitmap", "bitmap": waves(32), "raw": True, "to_uv": [{"scale": [8, 8, 1]}]}
    reflectance = {**image, "bitmap": waves(32, 0.05, 0.35)} if shines else image
    wide, down = {"scale": [20, 20, 1]}, {"rotate": {"axis": [1, 0, 0], "angle": 180}}
    emitter = {"emitter": {"type": "area", "radiance": image}} if shines else {}
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": depth, "rr_depth": 1000},
        "sensor": {
            "type": "perspective", "fov": 30,
            "film": {"type": "hdrfilm", "width": size, "height": size, "rfilter": {"type": "box"}},
            "to_world": [{"look_at": {"origin": [0, -1, 4], "target": [0, 0, 0.6], "up": [0, 1, 0]}}],
        },
        "sheet": {
            "type": "rectangle", "bsdf": glass, "to_world": [wide, {"translate": [0, 0, 1.0]}],
        },
        "under": {
            "type": "rectangle", "bsdf": back,
            "to_world": [down, wide, {"translate": [0, 0, 0.8]}],
        },
        "floor": {
            "type": "rectangle", "to_world": [wide], "bsdf": {"type": "diffuse", "reflectance": reflectance},
            **emitter,
        },
        "sky": {"type": "envmap", "bitmap": smooth_sky()},
    })  # fmt: skip


def rippled(n=16, size=64, depth=12, shines=False):
    """A sheet of smooth glass whose normals are a map of n x n texels."""
    image = {
        "type": "bitmap", "bitmap": ripples(n), "raw": True,
        "to_uv": [{"scale": [18, 18, 1]}, {"translate": [-0.45, -0.45, 0]}],
    }  # fmt: skip
    glass = {"type": "dielectric", "int_ior": 1.5, "ext_ior": 1.0}
    return over_floor({"type": "normalmap", "normalmap": image, "glass": glass}, glass, size, depth, shines)


def rough(size=64, depth=8):
    """A sheet of rough glass."""
    glass = {"type": "roughdielectric", "alpha": 0.2, "int_ior": 1.5, "ext_ior": 1.0}
    return over_floor(glass, glass, size, depth)


def ball(alpha):
    """A rough silver ball in a smooth sky."""
    return prb.load_dict({
        "type": "scene",
        "integrator": {"type": "path", "max_depth": 3, "rr_depth": 100},
        "sensor": {
            "type": "perspective", "fov": 26,
            "film": {"type": "hdrfilm", "width": 32, "height": 32, "rfilter": {"type": "box"}},
            "to_world": [{"look_at": {"origin": [0, -5, 0], "target": [0, 0, 0], "up": [0, 0, 1]}}],
        },
        "ball": {"type": "sphere", "bsdf": {"type": "roughconductor", "alpha": alpha, "material": "Ag"}},
        "sky": {"type": "envmap", "bitmap": smooth_sky()},
    })  # fmt: skip


def in_turns(calls, runs):
    """The times of each call, (calls, runs), after one that is not counted."""
    times = np.zeros((len(calls), runs))
    for call in calls:
        call()
    for run in range(runs):
        for k, call in enumerate(calls):
            time.sleep(REST)
            begin = time.perf_counter()
            call()
            times[k, run] = time.perf_counter() - begin
    return times


def write(args, name, lines):
    """Print the lines, and write them to attached_NAME.md."""
    text = "\n".join([f"# attached.py {name}", "", *lines, ""])
    print(text)
    (args.output / f"attached_{name}.md").write_text(text)


def verdict(value, limit):
    return f"**{value:.2f}** (at most {limit:g}: {'met' if value <= limit else 'NOT MET'})"


def run_time(args):
    scene, smooth, seed = rough(), rippled(depth=8), iter(range(10**6))
    ones = np.ones((64, 64, 3))

    def call(scene, adjoint, names):
        return lambda: prb.render_backward(scene, ones, names, spp=args.spp, seed=next(seed), adjoint=adjoint)

    kinds = {
        "rough glass, detached": (scene, prb.ReplayAdjoint(), "*.alpha.value"),
        "rough glass, kept": (scene, prb.AttachedReplay(), "*.alpha.value"),
        "smooth glass, kept": (smooth, prb.AttachedReplay(), "*.normalmap.data"),
        "smooth glass, inverse": (smooth, prb.AttachedReplay(suffix="inverse"), "*.normalmap.data"),
        "smooth glass, attached tape": (smooth, prb.TapeAdjoint(sampling="attached"), "*.normalmap.data"),
    }
    times = in_turns([call(*kind) for kind in kinds.values()], args.runs)
    median = dict(zip(kinds, np.median(times, axis=1), strict=True))
    over = np.median(times[1] / times[0])
    tape = np.median(times[2] / times[4])
    inverse = np.median(times[3] / times[4])
    rows = [[name, f"{t:.3f}"] for name, t in median.items()]
    write(args, "time", [
        f"Medians of {args.runs} calls in turns, picture and gradient, 64 x 64, {args.spp} spp.", "",
        f"- Attached over detached, rough glass: {verdict(over, 3)}.",
        f"- Kept over the attached tape, smooth glass: {verdict(tape, 1.5)}.",
        f"- Inverse over the attached tape: {inverse:.2f}.", "",
        tabulate(rows, headers=["", "s"], tablefmt="github", disable_numparse=True),
    ])  # fmt: skip


def run_memory(args):
    scene, rows = rippled(), []
    kept = prb.AttachedReplay(), prb.AttachedReplay(suffix="inverse"), prb.TapeAdjoint(sampling="attached")
    found = np.array([[m.device_bytes(scene, spp=16, max_depth=d) for m in kept] for d in args.depths])
    slopes = [np.polyfit(np.log(args.depths), np.log(column), 1)[0] for column in found.T]
    rows = [[d, *(f"{b / 2**20:.2f}" for b in row)] for d, row in zip(args.depths, found, strict=True)]
    named = zip(("kept", "inverse", "the tape"), slopes, strict=True)
    write(args, "memory", [
        "Device memory of a gradient of 64 x 64 pixels and 16 spp, MiB, over the depth of paths.", "",
        *(f"- Slope of {name}: **{s:.3f}**." for name, s in named),
        "", tabulate(rows, headers=["depth", "kept", "inverse", "attached tape"], tablefmt="github"),
    ])  # fmt: skip


def run_roughness(args):
    methods = {"detached": prb.ReplayAdjoint(), "attached": prb.AttachedReplay()}
    rows, curve = [], []
    grad = np.random.default_rng(0).normal(1, 1, (32, 32, 3))
    for alpha in ROUGHNESSES:
        scene, values, times = ball(alpha), {m: [] for m in methods}, {m: [] for m in methods}
        for adjoint in methods.values():
            prb.render_backward(scene, grad, "ball.bsdf.alpha.value", spp=args.spp, adjoint=adjoint)
        for seed in range(args.seeds):
            for m, adjoint in methods.items():
                begin = time.perf_counter()
                g = prb.render_backward(
                    scene, grad, "ball.bsdf.alpha.value", spp=args.spp, seed=seed, adjoint=adjoint
                )
                times[m].append(time.perf_counter() - begin)
                values[m].append(float(next(iter(g.values())).sum()))
        cost = {m: np.var(values[m], ddof=1) * np.median(times[m]) for m in methods}
        curve.append(cost["attached"] / cost["detached"])
        means = [f"{np.mean(values[m]):.4g} ± {np.std(values[m]) / args.seeds**0.5:.2g}" for m in methods]
        rows.append([alpha, *means, f"{curve[-1]:.3g}"])
    plt.figure(figsize=(5, 3.2), layout="constrained")
    plt.loglog(ROUGHNESSES, curve, "o-")
    plt.axhline(1, color="grey", linewidth=0.8)
    plt.xlabel("roughness")
    plt.ylabel("variance x time,\nattached over detached")
    plt.savefig(args.output / "attached_roughness.png", dpi=110)
    headers = ["roughness", "detached", "attached", "variance x time, attached over detached"]
    write(args, "roughness", [
        f"{args.seeds} seeds, {args.spp} spp; below 1 attached replay is the better estimator.", "",
        tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True),
    ])  # fmt: skip


def run_figure(args):
    scene, name = rippled(n=12, size=32, shines=True), "sheet.bsdf.normalmap.data"
    params = prb.traverse(scene)
    value = params[name].copy()
    weight = prb.render(scene, spp=1024, max_depth=12).astype(float)
    params.update({name: np.broadcast_to([0.5, 0.5, 1.0], value.shape)})
    weight = 2 * (weight - prb.render(scene, spp=1024, max_depth=12)) / weight.size
    params.update({name: value})
    methods = {
        "inverse, no noise": prb.AttachedReplay(suffix="inverse", noise=0.0),
        "inverse": prb.AttachedReplay(suffix="inverse"),
        "attached tape": prb.TapeAdjoint(sampling="attached"),
        "kept": prb.AttachedReplay(),
    }
    options = dict(max_depth=12)
    found, rows, pictures = {}, [], {}
    for m, adjoint in methods.items():
        runs, times = [], []
        for seed in range(args.seeds + 1):
            begin = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of singular Jacobians without noise
                g = prb.render_backward(
                    scene, weight, name, spp=args.spp, seed=seed, adjoint=adjoint, **options
                )
            times.append(time.perf_counter() - begin)
            runs.append(g[name][..., 0])
        found[m] = np.array(runs[1:]), np.median(times[1:])
        pictures[m] = runs[1]
    reference, h = np.zeros(value.shape[:2]), 4e-3
    for at in np.ndindex(reference.shape):
        for sign in (1, -1):
            moved = value.copy()
            moved[(*at, 0)] += sign * h
            params.update({name: moved})
            picture = prb.render(scene, spp=args.reference, seed=1, **options)
            reference[at] += sign * float((weight * picture).sum()) / (2 * h)
    params.update({name: value})
    scale = np.abs(reference).max()
    for m, (runs, seconds) in found.items():
        memory = methods[m].device_bytes(scene, spp=args.spp, max_depth=12) / 2**20
        error = np.sqrt(np.mean((runs.mean(axis=0) - reference) ** 2)) / scale
        rows.append(
            [
                m,
                f"{runs.var(axis=0, ddof=1).mean() / scale**2:.3g}",
                f"{error:.3g}",
                f"{seconds:.2f}",
                f"{memory:.1f}",
            ]
        )
    figure, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
    for axis, (title, image) in zip(axes, {"differences": reference, **pictures}.items(), strict=True):
        shown = axis.imshow(image, cmap="RdBu_r", vmin=-scale, vmax=scale)
        axis.set(title=title, xticks=[], yticks=[])
    figure.colorbar(shown, ax=axes, shrink=0.8, ticks=[-scale, 0, scale], format="%.1e")
    figure.savefig(args.output / "attached_figure.png", dpi=110)
    headers = ["method", "variance", "error of the mean", "s", "device MiB"]
    write(args, "figure", [
        "The derivative of a squared error by the x of each texel's normal: of the picture through rippled",
        f"glass against that through even glass. 12 edges, {args.spp} spp; differences of {args.reference}",
        f"spp; variance and error over {args.seeds} seeds, relative to the largest derivative.", "",
        tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True),
    ])  # fmt: skip


def run_compile(args):
    kinds = {
        "smooth glass with a normal map, kept": ("rippled", "prb.AttachedReplay()", "*.normalmap.data"),
        "smooth glass with a normal map, inverse": (
            "rippled", "prb.AttachedReplay(suffix='inverse')", "*.normalmap.data",
        ),
        "rough glass, kept": ("rough", "prb.AttachedReplay()", "*.alpha.value"),
        "rough glass, detached": ("rough", "prb.ReplayAdjoint()", "*.alpha.value"),
    }  # fmt: skip
    rows, folder = [], str(Path(__file__).parent)
    for name, (scene, adjoint, names) in kinds.items():
        code = COLD.format(folder=folder, scene=scene, adjoint=adjoint, names=names)
        found = []
        for _run in range(args.runs):
            done = subprocess.run(
                [sys.executable, "-c", code], env={**os.environ, "TI_OFFLINE_CACHE": "0"}, check=True,
                capture_output=True, text=True,
            )  # fmt: skip
            found.append(float(done.stdout.split()[-1]))
        rows.append([name, f"{np.median(found):.1f}"])
    slowest = max(float(seconds) for name, seconds in rows if "kept" in name)
    write(args, "compile", [
        f"The first picture and gradient, 8 x 8 pixels, 1 spp; medians of {args.runs} processes.", "",
        f"- Kept, the slower scene: {verdict(slowest, 60)}.", "",
        tabulate(rows, headers=["", "s"], tablefmt="github", disable_numparse=True),
    ])  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made = parser.add_subparsers(dest="task", required=True)
    tasks = {"time": run_time, "memory": run_memory, "roughness": run_roughness, "figure": run_figure,
             "compile": run_compile}  # fmt: skip
    spp = {"time": 64, "memory": 16, "roughness": 16, "figure": 128, "compile": 1}
    for task in tasks:
        one = made.add_parser(task)
        one.add_argument("-o", "--output", type=Path, default=Path("."), help="folder")
        one.add_argument("--spp", type=int, default=spp[task])
    made.choices["time"].add_argument("--runs", type=int, default=15)
    made.choices["compile"].add_argument("--runs", type=int, default=3)
    made.choices["memory"].add_argument(
        "--depths", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128, 256, 512]
    )
    made.choices["roughness"].add_argument("--seeds", type=int, default=40)
    made.choices["figure"].add_argument("--seeds", type=int, default=40)
    made.choices["figure"].add_argument("--reference", type=int, default=512, help="samples of differences")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    tasks[args.task](args)


if __name__ == "__main__":
    main()
