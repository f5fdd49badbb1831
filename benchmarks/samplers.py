"""Samplers against independent numbers: errors of pictures and of gradients over samples, and times.

    python benchmarks/samplers.py [--scene NAME ...] [--sampler NAME ...] [--spp 16 64 256] [--seeds 40]

For each scene, at 48 x 48 and paths of at most four edges: the root of the mean squared error of the picture,
and of the gradient of a weighted sum of it by a reflectance or a roughness, relative to those of independent
numbers at the same samples. The reference is the mean over all seeds of the largest number of samples. The
slope is that of the logarithm of the error over that of the samples; independent numbers have -0.5. Times are
medians over that of independent numbers, calls taking turns. Writes FOLDER/samplers.json and .md (-o FOLDER).
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from tabulate import tabulate

import prb
from prb.estimators.registry import selected
from prb.kernels.points import INDEPENDENT, NAMES

SCENES = {  # name: the parameter
    "cornell-box": "white.reflectance.value",
    "bear": "*.reflectance.value",
    "knot": "*.alpha.value",
}
SIZE, DEPTH = 48, 4


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scene", nargs="+", default=list(SCENES), choices=list(SCENES))
    parser.add_argument("--sampler", nargs="+", default=[n for n in NAMES if n != INDEPENDENT], choices=NAMES)
    parser.add_argument("--spp", nargs="+", type=int, default=[16, 64, 256])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("-o", "--output", type=Path, default=Path("."))
    args = parser.parse_args()
    rows = []
    for name in args.scene:
        rows += measured(name, [INDEPENDENT, *args.sampler], args)
        report(args, rows)


def measured(name, samplers, args):
    """The rows of a scene."""
    scene = prb.load_file(name)
    scene.resize(SIZE, SIZE)
    params = selected(scene, SCENES[name], prb.ReplayAdjoint())
    weights = np.random.default_rng(0).normal(1, 1, scene.image_shape)
    found = {}
    for spp in args.spp:
        for seed in range(-1, args.seeds):
            for sampler in samplers:
                options = dict(spp=spp, seed=seed % 2**20, max_depth=DEPTH, sampler=sampler)
                start = time.perf_counter()
                image = prb.render(scene, **options)
                middle = time.perf_counter()
                grads = prb.render_backward(scene, weights, params, **options)
                end = time.perf_counter()
                if seed >= 0:
                    gradient = np.concatenate([g.ravel() for g in grads.values()])
                    one = image, gradient, middle - start, end - middle
                    found.setdefault((sampler, spp), []).append(one)
    largest = [one for sampler in samplers for one in found[sampler, max(args.spp)]]
    truths = [np.mean([one[k] for one in largest], axis=0) for k in (0, 1)]
    errors = {
        key: [np.sqrt(np.mean([((one[k] - truths[k]) ** 2).mean() for one in runs])) for k in (0, 1)]
        for key, runs in found.items()
    }
    seconds = {key: [np.median([one[k] for one in runs]) for k in (2, 3)] for key, runs in found.items()}
    rows = []
    for sampler in samplers:
        slopes = [
            np.polyfit(np.log(args.spp), np.log([errors[sampler, spp][k] for spp in args.spp]), 1)[0]
            if len(args.spp) > 1 else None
            for k in (0, 1)
        ]  # fmt: skip
        for spp in args.spp:
            ratios = [errors[sampler, spp][k] / errors[INDEPENDENT, spp][k] for k in (0, 1)]
            times = [seconds[sampler, spp][k] / seconds[INDEPENDENT, spp][k] for k in (0, 1)]
            rows.append([name, sampler, spp, *ratios, *slopes, *times])
    return rows


def report(args, rows):
    """Write what there is so far."""
    heads = ["scene", "sampler", "spp", "picture's error", "gradient's error", "slope, picture",
             "slope, gradient", "picture's time", "gradient's time"]  # fmt: skip
    table = tabulate(rows, headers=heads, tablefmt="github", floatfmt=".3g")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "samplers.md").write_text(
        f"# samplers.py\n\nOver those of independent numbers.\n\n{table}\n"
    )
    data = [dict(zip(heads, map(_plain, row), strict=True)) for row in rows]
    (args.output / "samplers.json").write_text(json.dumps(data, indent=1) + "\n")
    print(table, flush=True)


def _plain(x):
    return float(x) if isinstance(x, np.floating) else x


if __name__ == "__main__":
    main()
