"""Peak memory of a gradient over depth and over samples, each point in a fresh process.

    python benchmarks/memory.py [--depths 8 256] [--spps 16 1024] [--size 256]

Prints the resident peak of the process, `peak_mib`, for the Cornell box. Path replay's does not grow.
"""

import argparse
import resource
import subprocess
import sys

import numpy as np


def point(size, depth, spp):
    """One gradient in this process; prints its peak."""
    import prb

    scene = prb.load_file("cornell-box")
    scene.resize(size, size)
    scene.model.integrator.rr_depth = 10000
    weight = np.full(scene.image_shape, 1 / np.prod(scene.image_shape))
    prb.render_backward(scene, weight, ["albedo"], spp=spp, max_depth=depth)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def peak_mib(size, depth, spp):
    command = [sys.executable, __file__, "--point", str(size), str(depth), str(spp)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 256])
    parser.add_argument("--spps", type=int, nargs="+", default=[16, 1024])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--point", type=int, nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.point:
        return point(*args.point)
    peak_mib(args.size, 1, 1)  # fills the kernel cache, whose compiler takes memory of its own
    print(f"{'depth':>8}{'spp':>8}{'peak_mib':>12}")
    peaks = []
    points = [(d, args.spps[0]) for d in args.depths] + [(args.depths[0], s) for s in args.spps[1:]]
    for depth, spp in points:
        peaks.append(peak_mib(args.size, depth, spp))
        print(f"{depth:8}{spp:8}{peaks[-1]:12.1f}", flush=True)
    print(f"largest difference: {max(peaks) - min(peaks):.1f} MiB")


if __name__ == "__main__":
    main()
