"""From the command to the first result, with a cold and with a warm kernel cache.

    python benchmarks/startup.py [--runs 3]

Runs `prb grad --param albedo --spp 16` (the Cornell box) as a user does. Cold: Taichi's cache of compiled
kernels in an empty folder of its own; warm: the same folder again. Then a second scene of the same
plugins, of which it counts the kernels that are new in the cache.
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

import scenes

COMMAND = [sys.executable, "-m", "prb", "grad", "--param", "albedo", "--spp", "16", "--json"]


def seconds(command, cache):
    start = time.perf_counter()
    environment = {**os.environ, "TI_OFFLINE_CACHE_FILE_PATH": str(cache)}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def kernels(cache):
    return {p.name for p in Path(cache).rglob("*.tic")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    cold, warm = [], []
    for _ in range(args.runs):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(seconds(COMMAND, cache))
            warm.append(seconds(COMMAND, cache))
            before = kernels(cache)
            second = scenes.cornell_box(max_depth=5)
            second["sensor"]["film"].update(width=100, height=50)
            second["extra"] = {
                "type": "cube",
                "to_world": [{"scale": 0.1}],
                "bsdf": {"type": "ref", "id": "red"},
            }
            file = Path(cache) / "second.json"
            file.write_text(json.dumps(second))
            again = seconds([*COMMAND[:4], str(file), *COMMAND[4:]], cache)
            new = len(kernels(cache) - before)
    print(f"cold_median_s {statistics.median(cold):.2f}")
    print(f"warm_median_s {statistics.median(warm):.2f}")
    print(f"second scene of the same plugins: {again:.2f} s, {len(before)} kernels in the cache, {new} new")


if __name__ == "__main__":
    main()
