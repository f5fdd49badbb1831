"""Render and render + gradient, prb against Mitsuba 3 (`llvm_ad_rgb`), side by side in one run.

    python benchmarks/against_mitsuba.py [--spp 64] [--runs 5] [--scene NAME ...] [--hit-budget MiB] [-o FILE]

Each program runs in a process of its own; the two take turns, so that a machine whose speed drifts slows
both. The first run of each, which compiles, is reported but not counted. Without Mitsuba only prb is
timed. Mitsuba's LLVM variants need LLVM 17 or later (DRJIT_LIBLLVM_PATH).

One gradient is that of the mean of all pixel values with respect to every reflectance and radiance, or the
scene's `scenes.PARAMETERS`; of an image it is compared as sums over 4 x 4 blocks, relative to the largest.
Mitsuba renders and differentiates in one call (its `prb` integrator traces the primal and two sweeps). Of
prb there are both ways: `value_and_grad` gets picture and gradient from the same paths, whose vertices it
keeps within --hit-budget (prb's default unless given; paths beyond are traced once more), and `render` with
`render_backward`, two calls with paths of their own.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import workers as processes

import scenes

SCENES = ("cornell-box", "bunny-box", "principled-bunny", "textured-room", "rough-glass")
TASKS = {"prb": ("render", "gradient", "value_and_grad"), "mitsuba": ("render", "gradient")}


def measure(scene, spp, runs, hit_budget=None):
    """Compile times, medians and the mean of the last values of both sides on one scene."""
    names = {"prb": "replay", "mitsuba": "mitsuba-prb"}
    sides = ["prb"] + (["mitsuba"] if processes.has_mitsuba() else [])
    made, wanted = scenes.SCENES[scene](), scenes.PARAMETERS.get(scene)
    options = {"prb": {"hit_budget": hit_budget}, "mitsuba": {}}
    workers = {side: processes.Worker(names[side], made, wanted, **options[side]) for side in sides}
    first = {s: {t: workers[s].ask(t, spp, 0)["seconds"] for t in TASKS[s]} for s in sides}
    seconds = {s: {t: [] for t in TASKS[s]} for s in sides}
    values = {s: {t: [] for t in TASKS[s]} for s in sides}
    for run in range(runs):
        for task in TASKS["prb"]:
            for side in (s for s in sides if task in TASKS[s]):
                answer = workers[side].ask(task, spp, run + 1)
                seconds[side][task].append(answer["seconds"])
                values[side][task].append(answer["value"])
    for worker in workers.values():
        worker.close()
    result = {"scene": scene, "spp": spp, "runs": runs}
    for side in sides:
        median = {t: float(np.median(times)) for t, times in seconds[side].items()}
        together = [
            g + (r if side == "prb" else 0)
            for r, g in zip(seconds[side]["render"], seconds[side]["gradient"], strict=True)
        ]
        result[side] = {
            "render_median_s": median["render"],
            "gradient_median_s": median["gradient"],
            "value_and_grad_median_s": median.get("value_and_grad", median["gradient"]),
            "render_and_gradient_median_s": float(np.median(together)),
            "first_render_s": first[side]["render"],
            "first_gradient_s": first[side]["gradient"],
            "seconds": seconds[side],
            "values": {
                key: np.mean([v[key] for of in values[side].values() for v in of if key in v], 0).tolist()
                for key in {k for of in values[side].values() for k in of[0]}
            },
        }
    return result


def _numbers(x):
    """A colour or a number; of an image's blocks their sum and how many there are."""
    return " ".join(f"{c:.6f}" for c in x) if x.size <= 3 else f"sum {x.sum():.6f} of {x.size} blocks"


def report(result):
    """The figures of one scene as text."""
    mine, other = result["prb"], result.get("mitsuba")
    lines = [f"{result['scene']}, {result['spp']} spp, median of {result['runs']} after the compiling run"]
    lines.append(f"  {'':34}{'prb':>10}" + (f"{'mitsuba':>10}{'ratio':>8}" if other else ""))
    for label, key in (
        ("render, s", "render_median_s"),
        ("picture and gradient, one call, s", "value_and_grad_median_s"),
        ("render + gradient, two calls, s", "render_and_gradient_median_s"),
        ("first render, s", "first_render_s"),
        ("first gradient, s", "first_gradient_s"),
    ):
        line = f"  {label:34}{mine[key]:10.3f}"
        lines.append(line + (f"{other[key]:10.3f}{mine[key] / other[key]:8.2f}" if other else ""))
    for label, key in (("gradient pass over render", "gradient"), ("one call over render", "value_and_grad")):
        lines.append(f"  {label:34}{mine[f'{key}_median_s'] / mine['render_median_s']:10.2f}")
    for key in sorted(mine["values"]):
        ours = np.array(mine["values"][key])
        line = f"  {key:34}" + _numbers(ours)
        if other:
            theirs = np.array(other["values"][key])
            scale = np.abs(theirs) if theirs.size <= 3 else np.abs(theirs).max()
            off = np.max(np.abs(ours - theirs) / scale)
            line += f"   mitsuba {_numbers(theirs)}   off by {100 * off:.2f} %"
        lines.append(line)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spp", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scene", action="append", choices=SCENES)
    parser.add_argument("--hit-budget", type=float, metavar="MiB")
    parser.add_argument("-o", "--output", type=Path, help="also write the results as JSON")
    args = parser.parse_args()
    results = []
    for scene in args.scene or SCENES:
        if missing := scenes.missing(scene):
            print(f"{scene}: left out, without {', '.join(missing)}")
            continue
        budget = None if args.hit_budget is None else args.hit_budget * 2**20
        results.append(measure(scene, args.spp, args.runs, budget))
        print(report(results[-1]), flush=True)
        if args.output:
            args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
