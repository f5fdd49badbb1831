"""A gradient by replay, by the tape, by Mitsuba's `prb` and by Mitsuba's `path` in plain reverse mode.

    python benchmarks/methods_side_by_side.py [--depths 8 32] [--spp 16] [--size 128] [--runs 3]
                                              [--scene NAME ...] [-o FILE]

Each program runs in a process of its own, and they take turns. `median_s` is that of a gradient after two
that are not counted; Mitsuba's always renders the picture too, so `with_render_s` adds a render to prb's.
`peak_mib` is the resident peak of the process, `base_mib` that after a gradient of one sample.
`difference` is that of the gradients, in length, to the replay's: rounding for the tape, which takes the
same random numbers, and noise for Mitsuba. Without Russian roulette. Without Mitsuba only prb is measured;
see README.md for the LLVM that Mitsuba needs. About three minutes on two cores.
"""

import argparse
import contextlib
import json
import statistics
from pathlib import Path

import numpy as np
import workers as processes

import scenes

FOUR = ("cornell-box", "bunny-box", "furnace", "tiles")
COLUMNS = ("median_s", "with_render_s", "first_s", "peak_mib", "base_mib")


def measure(scene, spp, runs):
    """One row for each side: a dict of COLUMNS and the last gradient, or {"error": ...}."""
    sides = [s for s in processes.SIDES if processes.has_mitsuba() or not s.startswith("mitsuba")]
    workers, rows = {}, {side: {} for side in sides}

    def ask(side, *request):
        """The answer, or None if the worker has ended."""
        if "error" in rows[side]:
            return None
        try:
            if side not in workers:
                workers[side] = processes.Worker(side, scene)
            return workers[side].ask(*request)
        except (processes.WorkerError, BrokenPipeError) as error:
            rows[side]["error"] = str(error)
            return None

    try:
        for side in sides:
            first = ask(side, "gradient", 1, 0)
            if first:
                rows[side].update(first_s=first["seconds"], base_mib=workers[side].peak_mib())
                ask(side, "gradient", spp, 0)
                if not side.startswith("mitsuba"):
                    ask(side, "render", spp, 0)
        seconds, together = {s: [] for s in sides}, {s: [] for s in sides}
        for run in range(runs):
            for side in sides:
                answer = ask(side, "gradient", spp, run + 1)
                render = None if side.startswith("mitsuba") else ask(side, "render", spp, run + 1)
                if answer:
                    seconds[side].append(answer["seconds"])
                    together[side].append(answer["seconds"] + (render["seconds"] if render else 0))
                    rows[side]["gradient"] = answer["value"]
        for side in sides:
            if "error" not in rows[side]:
                rows[side]["median_s"] = statistics.median(seconds[side])
                rows[side]["with_render_s"] = statistics.median(together[side])
                rows[side]["peak_mib"] = workers[side].peak_mib()
    finally:
        for worker in workers.values():
            with contextlib.suppress(BrokenPipeError):
                worker.close()
    return rows


def difference(found, reference):
    """The length of the difference of two gradients over the length of the second."""
    a, b = (np.concatenate([np.ravel(g[name]) for name in reference]) for g in (found, reference))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def report(name, depth, spp, rows):
    """One scene and depth as text."""
    heads = "".join(f"{column:>15}" for column in (*COLUMNS, "difference"))
    lines = [f"{name}, depth {depth}, {spp} spp", f"  {'':14}{heads}"]
    for side, row in rows.items():
        if "error" in row:
            lines.append(f"  {side:14}{row['error']}")
            continue
        cells = "".join(f"{row[c]:15.3f}" if c.endswith("_s") else f"{row[c]:15.1f}" for c in COLUMNS)
        off = difference(row["gradient"], rows["replay"]["gradient"]) if "gradient" in rows["replay"] else 0
        lines.append(f"  {side:14}{cells}{off:15.1e}")
    if all("error" not in rows[s] for s in ("replay", "tape")):
        lines.append(f"  replay over tape {rows['replay']['median_s'] / rows['tape']['median_s']:.2f}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--spp", type=int, default=16)
    parser.add_argument("--size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--scene", action="append", choices=scenes.SCENES)
    parser.add_argument("-o", "--output", type=Path, help="also write the results as JSON")
    args = parser.parse_args()
    results = []
    for name in args.scene or FOUR:
        if name == "bunny-box" and not scenes.BUNNY.exists():
            print(f"{name}: left out, {scenes.BUNNY.name} is not here")
            continue
        for depth in args.depths:
            scene = scenes.SCENES[name](max_depth=depth)
            scene["sensor"]["film"].update(width=args.size, height=args.size)
            rows = measure(scene, args.spp, args.runs)
            print(report(name, depth, args.spp, rows), flush=True)
            results.append({"scene": name, "depth": depth, "spp": args.spp, "size": args.size, "sides": rows})
            if args.output:
                args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
