"""From the command to the first result, with a cold and with a warm kernel cache.

    python benchmarks/startup.py [--runs 3] [--scene cornell-box|principled]

Runs `prb grad SCENE --param albedo --spp 16` as a user does, on the Cornell box and on a scene of
`principled`, `bitmap` and `envmap`. Cold: Taichi's cache of compiled kernels in an empty folder of its own;
warm: the same folder again. Then scenes of the same plugins with other numbers, camera, mesh, and sizes of
image and textures, of which it counts the kernels that are new in the cache.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import scenes

COMMAND = [sys.executable, "-m", "prb", "grad"]
OPTIONS = ["--param", "albedo", "--spp", "16", "--json"]


def seconds(command, cache):
    start = time.perf_counter()
    environment = {**os.environ, "TI_OFFLINE_CACHE_FILE_PATH": str(cache)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def kernels(cache):
    return {p.name for p in Path(cache).rglob("*.tic")}


def cornell_box():
    """The Cornell box, and another scene of the same plugins."""
    second = scenes.cornell_box(max_depth=5)
    second["sensor"]["film"].update(width=100, height=50)
    second["extra"] = {
        "type": "cube",
        "to_world": [{"scale": 0.1}],
        "bsdf": {"type": "ref", "id": "red"},
    }
    return scenes.cornell_box(), [("another scene", second)]


def picture(width, height):
    """Something to look at: (height, width, 3) nested lists."""
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return np.round(np.stack([x, y, 0.5 + 0.5 * np.sin(9 * x * y)], axis=2), 3).tolist()


def painted(*, bitmap=(64, 48), sky=(128, 64), divisions=4, **numbers):
    """A principled rippled sheet with an image for its colour, under an environment map."""
    scene = scenes.cornell_box(max_depth=5)
    n = divisions
    uv = np.stack(np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1)), axis=2).reshape(-1, 2)
    points = np.column_stack([2 * uv - 1, 0.1 * np.sin(9 * uv[:, 0])])
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, n + 2], corner + [0, n + 2, n + 1]])
    rows = [" ".join(f"{x:g}" for x in row) for row in np.column_stack([points, uv])]
    rows += ["3 " + " ".join(map(str, face)) for face in faces]
    header = ["ply", "format ascii 1.0", f"element vertex {len(points)}"]
    header += [f"property float {x}" for x in "xyzuv"]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    return {
        **{key: scene[key] for key in ("type", "integrator", "sensor")},
        "sky": {"type": "envmap", "bitmap": picture(*sky)},
        "sheet": {
            "type": "ply",
            "filename": "\n".join([*header, *rows, ""]),  # `write` makes a file of it
            "bsdf": {
                "type": "principled",
                "base_color": {"type": "bitmap", "data": picture(*bitmap)},
                "roughness": 0.3,
                "metallic": 0.2,
                **numbers,
            },
        },
    }


def principled():
    moved = painted()
    moved["sensor"]["to_world"] = [{"look_at": {"origin": [1, 0, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}]
    moved["sensor"]["film"].update(width=100, height=50)
    return painted(), [
        ("other numbers", painted(roughness=0.6, metallic=0.0)),
        ("other textures", painted(bitmap=(40, 100), sky=(64, 32))),
        ("another mesh", painted(divisions=16)),
        ("another camera", moved),
    ]


def write(scene, folder, name):
    """The scene as a file, its mesh beside it."""
    scene = dict(scene)
    if "sheet" in scene:
        mesh = Path(folder) / f"{name}.ply"
        mesh.write_text(scene["sheet"]["filename"])
        scene["sheet"] = {**scene["sheet"], "filename": str(mesh)}
    file = Path(folder) / f"{name}.json"
    file.write_text(json.dumps(scene))
    return str(file)


SCENES = {"cornell-box": cornell_box, "principled": principled}


def measure(name, runs):
    first, others = SCENES[name]()
    cold, warm = [], []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as cache, tempfile.TemporaryDirectory() as folder:
            command = [*COMMAND, write(first, folder, "first"), *OPTIONS]
            cold.append(seconds(command, cache))
            warm.append(seconds(command, cache))
            before = kernels(cache)
            new = {}
            for number, (what, scene) in enumerate(others):
                file = write(scene, folder, f"other-{number}")
                time_taken = seconds([*COMMAND, file, *OPTIONS], cache)
                new[what] = (time_taken, len(kernels(cache) - before))
                before = kernels(cache)
    print(f"{name}: cold_median_s {statistics.median(cold):.2f}")
    print(f"{name}: warm_median_s {statistics.median(warm):.2f}")
    for what, (time_taken, count) in new.items():
        there = f"{len(before)} kernels in the cache, {count} new"
        print(f"{name}, {what}: {time_taken:.2f} s, {there}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scene", action="append", choices=SCENES)
    args = parser.parse_args()
    for name in args.scene or SCENES:
        measure(name, args.runs)


if __name__ == "__main__":
    main()
