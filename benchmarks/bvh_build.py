"""Time to build the hierarchy over the bunny (69,451 triangles) and over a million triangles.

python benchmarks/bvh_build.py [--runs 3]
"""

import argparse
import statistics
import time

import numpy as np

import scenes
from prb.device import bvh
from prb.scene.meshes.ply import read_ply


def grid(n):
    """A rippled square of 2 n^2 triangles: (2 n^2, 3, 3) float32."""
    x, y = np.meshgrid(np.linspace(-1, 1, n + 1), np.linspace(-1, 1, n + 1))
    p = np.stack([x, y, 0.1 * np.sin(9 * x) * np.cos(7 * y)], axis=2)
    a, b, c, d = p[:-1, :-1], p[:-1, 1:], p[1:, 1:], p[1:, :-1]
    return np.concatenate([np.stack(t, axis=2).reshape(-1, 3, 3) for t in ((a, b, c), (a, c, d))]).astype(
        np.float32
    )


def bunny():
    mesh = read_ply(scenes.BUNNY.read_bytes())
    return np.asarray(mesh.vertices, np.float32)[mesh.faces]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    meshes = {"grid of a million": grid(708)}
    if scenes.BUNNY.exists():
        meshes = {"bunny": bunny(), **meshes}
    for name, triangles in meshes.items():
        lower, upper = triangles.min(axis=1), triangles.max(axis=1)
        seconds = []
        for _ in range(args.runs):
            start = time.perf_counter()
            tree = bvh.build(lower, upper)
            seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        print(f"{name}: {len(triangles)} triangles, {len(tree.bounds)} nodes, median_s {median:.2f}")


if __name__ == "__main__":
    main()
