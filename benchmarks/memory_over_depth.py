"""Peak memory of a gradient over depth: replay and tape, each point in a process of its own.

    python benchmarks/memory_over_depth.py [--depths 4 ... 512] [--spps 4] [--size 128] [-o DIR]

In a furnace of albedo 0.95, which no path leaves, so that every path has all its vertices. Then the tape's
device bytes over the replay's in the Cornell box of 256 x 256 pixels, 16 spp, depth 32. About two minutes
and 3 GiB on two cores.
"""

import sweeps

import scenes


def main():
    defaults = dict(depths=[4, 8, 16, 32, 64, 128, 256, 512], spps=[4], size=128)
    args = sweeps.parser(__doc__, **defaults).parse_args()
    results = sweeps.sweep("furnace", scenes.furnace(), args)
    print(sweeps.table(results))
    for method in results["settings"]["methods"]:
        points = [p for p in results["points"] if p["method"] == method]
        print(f"{method}: slope of peak_mib over depth {sweeps.fit(points, 'depth', 'peak_mib')}")
        if method != "replay":
            print(f"{method}: slope of peak_mib - base_mib {sweeps.fit(points, 'depth', sweeps.own)}")

    args.output = None
    box = sweeps.sweep("cornell-box", scenes.cornell_box(), args, size=(256, 256), depths=[32], spps=[16])
    replay, tape = sorted(box["points"], key=lambda p: p["method"])
    print("\ncornell-box, 256 x 256, 16 spp, depth 32")
    print(sweeps.table(box))
    ratio = tape["device_mib"] / replay["device_mib"]
    print(f"the tape's device_mib over the replay's: {ratio:.0f}")


if __name__ == "__main__":
    sweeps.run(main)
