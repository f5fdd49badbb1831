"""Time of a gradient over depth, without Russian roulette: replay and tape, and their ratio.

    python benchmarks/time_over_depth.py [--depths 8 ... 256] [--spps 16] [--size 64] [--runs 3] [-o DIR]

In a furnace of albedo 0.95, which no path leaves, so that every path has all its vertices. About two
minutes on two cores. With `--memory-limit 500` the tape no longer fits at the largest depth.
"""

import sweeps

import scenes


def main():
    defaults = dict(depths=[8, 16, 32, 64, 128, 256], spps=[16], size=64, runs=3)
    args = sweeps.parser(__doc__, **defaults).parse_args()
    results = sweeps.sweep("furnace", scenes.furnace(), args)
    print(sweeps.table(results))
    seconds = {}
    for method in results["settings"]["methods"]:
        points = [p for p in results["points"] if p["method"] == method]
        print(f"{method}: slope of median_s over depth {sweeps.fit(points, 'depth', 'median_s')}")
        print(f"{method}: slope of the fastest run {sweeps.fit(points, 'depth', sweeps.fastest)}")
        seconds[method] = {p["depth"]: p.get("median_s") for p in points}
    for depth, replay in seconds["replay"].items():
        tape = seconds["tape"].get(depth)
        ratio = f"{replay / tape:.2f}" if replay and tape else "-, the tape does not fit"
        print(f"depth {depth}: replay over tape {ratio}")


if __name__ == "__main__":
    sweeps.run(main)
