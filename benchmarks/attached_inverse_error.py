"""Attached replay by inversion: its error against kept states over the number of diffuse vertices of a path.

    python benchmarks/attached_inverse_error.py [--most 8] [--paths 2000] [--noise 0.001 0.01 0.1] [-o FILE]

In a closed sphere of a smooth texture of light, which no path leaves, so that a path has as many diffuse
vertices as its length allows. For none its wall is a mirror, and paths have `most` vertices. The parameter
is the texels of the wall's normal map, which bend the directions at every vertex. Both methods trace the
same paths, one in each call. A path's error is the distance between its two gradients over the rms length
of a gradient by kept states. `error` is the median over the paths and their 90th percentile: the noise's
share is in it, which has mean zero. `rounding` is the same for the mean of the gradients with noise and
with -noise, in which that share cancels up to its square: what float32 and the inversion lose. About three
minutes on two cores, most of it compiling.
"""

import argparse
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

import prb
from prb.estimators.integrate import integrate
from prb.kernels.estimators import modes

MIRROR = {"type": "conductor", "material": "none"}
DIFFUSE = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [0.8, 0.7, 0.6]}}


def room(bsdf):
    """A closed room, seen from inside, of one pixel."""
    rng = np.random.default_rng(3)
    bumps = rng.uniform(-0.1, 0.1, (4, 4, 3)) + [0, 0, 0.9]
    normals = {"type": "bitmap", "data": (0.5 + 0.5 * bumps).astype(np.float32), "raw": True}
    light = {"type": "bitmap", "data": rng.uniform(0.2, 1, (4, 8, 3)).astype(np.float32), "raw": True}
    look_at = {"origin": [0.2, 0.3, 0.1], "target": [1, 0.5, 0.3], "up": [0, 0, 1]}
    film = {"type": "hdrfilm", "width": 1, "height": 1, "rfilter": {"type": "box"}}
    scene = prb.load_dict(
        {
            "type": "scene",
            "integrator": {"type": "path", "rr_depth": 1000},
            "sensor": {"type": "perspective", "fov": 100, "to_world": [{"look_at": look_at}], "film": film},
            "wall": {
                "type": "sphere",
                "flip_normals": True,
                "bsdf": {"type": "normalmap", "normalmap": normals, "bsdf": bsdf},
                "emitter": {"type": "area", "radiance": light},
            },
        }
    )
    (name,) = (name for name in scene.layout.parameters if "normalmap" in name)
    scene.layout.parameters[name] = replace(scene.layout.parameters[name], why_not="")
    return scene, name


def gradients(scene, name, paths, max_depth, suffix, noise=0.0):
    """The gradients of single paths: (paths, numbers of the parameter)."""
    options = dict(spp=1, max_depth=max_depth, image_adjoint=np.full((1, 1, 3), 1 / 3), names=[name])
    options |= dict(attached=suffix, noise=noise)
    record = scene.layout.parameters[name]
    runs = (integrate(scene, modes.REVERSE, seed=seed, **options) for seed in range(paths))
    return np.array([record.of(run.gradient).ravel() for run in runs])


def errors(found, right):
    """(median, 90th percentile) of the error of a path."""
    distance = np.linalg.norm(found - right, axis=1)
    return np.quantile(distance, (0.5, 0.9)) / np.sqrt(np.mean(right**2) * right.shape[1])


def measure(most, paths, noises):
    """Rows (diffuse vertices, noise, median and 90th percentile of error, the same of rounding)."""
    rows = []
    for n in range(most + 1):
        scene, name = room(DIFFUSE if n else MIRROR)
        of = (scene, name, paths, (n or most) + 1)
        right = gradients(*of, "kept")
        for noise in noises:
            plus, minus = (gradients(*of, "inverse", x) for x in (noise, -noise))
            rows.append((n, noise, *errors(plus, right), *errors((plus + minus) / 2, right)))
            print("{:7}{:9g}{:12.1e}{:12.1e}{:12.1e}{:12.1e}".format(*rows[-1]), flush=True)
    return rows


def draw(rows, file):
    """The curves of error (whole lines) and of rounding (dashed)."""
    if importlib.util.find_spec("matplotlib") is None:
        print("without matplotlib no curve is drawn")
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    for i, noise in enumerate(dict.fromkeys(row[1] for row in rows)):
        n, _, error, _, rounding, _ = np.array([row for row in rows if row[1] == noise]).T
        error, rounding = np.maximum((error, rounding), 1e-8)  # as equal bits have no logarithm
        axes.semilogy(n, error, "o-", color=f"C{i}", label=f"noise {noise:g}")
        axes.semilogy(n, rounding, "x--", color=f"C{i}")
    axes.set(xlabel="diffuse vertices of a path", ylabel="median error of a path's gradient")
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)
    print(f"written to {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=8, help="diffuse vertices")
    parser.add_argument("--paths", type=int, default=2000, help="for each point")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.001, 0.01, 0.1])
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="png, for the curves")
    args = parser.parse_args()
    print("diffuse    noise       error   90th pct.    rounding   90th pct.")
    rows = measure(args.most, args.paths, args.noise)
    if args.output:
        draw(rows, args.output)


if __name__ == "__main__":
    main()
