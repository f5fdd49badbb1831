"""Does memory grow while parameters are recovered?

    python benchmarks/optimize_memory.py [--iterations 1000] [--size 64]

Prints the resident size of the process along the run, and `kib_per_iteration`, the slope of a line through
it without the first tenth, in which kernels are compiled.
"""

import argparse
import os

import numpy as np

import prb

RED = "red.reflectance.value"


def resident_kib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    args = parser.parse_args()
    scene = prb.load_file("cornell-box")
    scene.resize(args.size, args.size)
    target = prb.render(scene, spp=64, seed=1)
    prb.traverse(scene).update({RED: [0.01, 0.2, 0.9]})
    sizes = []
    options = dict(iterations=args.iterations, spp=4)
    prb.optimize(scene, RED, target, on_iteration=lambda k: sizes.append(resident_kib()), **options)
    first = args.iterations // 10
    for k in range(first, args.iterations, max(args.iterations // 10, 1)):
        print(f"iteration {k:6}: resident_mib {sizes[k] / 1024:.1f}")
    slope = np.polyfit(np.arange(first, args.iterations), sizes[first:], 1)[0]
    print(f"kib_per_iteration {slope:.3f}")


if __name__ == "__main__":
    main()
