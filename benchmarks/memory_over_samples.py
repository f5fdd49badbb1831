"""Peak memory of a gradient over samples per pixel: replay and tape, each point in a process of its own.

    python benchmarks/memory_over_samples.py [--depths 8] [--spps 1 ... 256] [--size 128] [-o DIR]

In the Cornell box. About a minute and 3 GiB on two cores.
"""

import sweeps

import scenes


def main():
    args = sweeps.parser(__doc__, depths=[8], spps=[1, 4, 16, 64, 256], size=128).parse_args()
    results = sweeps.sweep("cornell-box", scenes.cornell_box(), args)
    print(sweeps.table(results))
    for method in results["settings"]["methods"]:
        points = [p for p in results["points"] if p["method"] == method]
        print(f"{method}: slope of peak_mib over samples {sweeps.fit(points, 'spp', 'peak_mib')}")
        if method != "replay":
            print(f"{method}: slope of peak_mib - base_mib {sweeps.fit(points, 'spp', sweeps.own)}")


if __name__ == "__main__":
    sweeps.run(main)
