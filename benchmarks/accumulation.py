"""The error of the Cornell box's red gradient over samples: does it fall at the Monte Carlo rate?

    python benchmarks/accumulation.py [--most 16] [--seeds 16] [--size 8] [--deterministic] [-o FILE.png]

On a small film, from 2^4 samples per pixel to 2^most; `--most 20` is 1,048,576. `rms_error` is the root mean
square over independent seeds of the distance between a gradient and the reference, over the reference's
length; the reference is the mean of 8 other seeds at four times the most samples, 2^20 at most. Its own
error is printed, and its square taken off the others'. The slope is fitted in logarithms; -0.5 is the Monte
Carlo rate, and a sum that lost accuracy would level off. With matplotlib and -o the curve is drawn. On two
cores up to 2^16 takes about five minutes, up to 2^20 an hour and a half.
"""

import argparse
import importlib.util
import math
from pathlib import Path

import numpy as np

import prb
from prb.bench.report import slope
from prb.estimators.checked import backward
from prb.estimators.gradients import split

FIRST = 4  # power of two
REFERENCE_SEEDS = 1000  # and on: none that the errors use
NAME = "red.reflectance.value"


def gradient(scene, spp, seed, deterministic):
    """The derivative of the mean of all pixel values by the red wall's reflectance: 3 numbers."""
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    options = dict(spp=spp, seed=seed, names=[NAME], deterministic=deterministic)
    return split(scene, backward(scene, weight, **options).gradient, [NAME])[NAME]


def errors(scene, powers, seeds, deterministic):
    """(spp, relative error) for each power of two, and the reference's relative error.

    The smaller numbers of samples are cheap, so they get up to four times as many seeds.
    """
    most = min(2 ** (powers[-1] + 2), 2**20)
    runs = range(REFERENCE_SEEDS, REFERENCE_SEEDS + 8)
    references = np.array([gradient(scene, most, seed, deterministic) for seed in runs])
    reference = references.mean(axis=0)
    length = np.linalg.norm(reference)
    own = np.linalg.norm(references.std(axis=0, ddof=1)) / math.sqrt(len(references)) / length
    points = []
    for power in powers:
        count = seeds * (4 if power <= 12 else 1)
        found = np.array([gradient(scene, 2**power, seed, deterministic) for seed in range(count)])
        squares = ((found - reference) ** 2).sum(axis=1).mean() / length**2
        points.append((2**power, math.sqrt(max(squares - own**2, 1e-30))))
        print(f"{points[-1][0]:10}{count:8}{points[-1][1]:14.3e}", flush=True)
    return points, own


def draw(points, fitted, file):
    """The curve and the line of slope -1/2 through its first point."""
    if importlib.util.find_spec("matplotlib") is None:
        print("without matplotlib no curve is drawn")
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    spp, error = np.array(points).T
    figure, axes = plt.subplots(figsize=(6, 4))
    axes.loglog(spp, error, "o-", label=f"red gradient, slope {fitted:.3f}")
    axes.loglog(spp, error[0] * (spp / spp[0]) ** -0.5, "--", color="0.5", label="slope -0.5")
    axes.set(xlabel="samples per pixel", ylabel="relative RMS error")
    axes.legend()
    figure.tight_layout()
    figure.savefig(file)
    print(f"written to {file}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=16, help="power of two (default: 16)")
    parser.add_argument("--seeds", type=int, default=16, help="of each number of samples (default: 16)")
    parser.add_argument("--size", type=int, default=8, help="pixels of a side (default: 8)")
    parser.add_argument("--deterministic", action="store_true")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="png, for the curve")
    args = parser.parse_args()
    scene = prb.load_file("cornell-box")
    scene.resize(args.size, args.size)
    print(f"{'spp':>10}{'seeds':>8}{'rms_error':>14}")
    powers = list(range(FIRST, args.most + 1))
    points, own = errors(scene, powers, args.seeds, args.deterministic)
    print(f"the reference's own relative error: {own:.1e}")
    fitted = slope([p[0] for p in points], [p[1] for p in points])
    asked = [p for p in points if p[0] <= 2**16]
    print(f"slope 2^4 to 2^16: {slope(*zip(*asked, strict=True)):.3f}; of all: {fitted:.3f}")
    if args.output is not None:
        draw(points, fitted, args.output)


if __name__ == "__main__":
    main()
