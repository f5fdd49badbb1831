"""Parameters recovered by prb and by Mitsuba 3 (`llvm_ad_rgb`), each with its own Adam: error over time.

    python benchmarks/recover_against_mitsuba.py [--problem red-wall ...] [--iterations 0] [--runs 20]
                                                 [-o FOLDER]

The problems are those of scenes/README.md: `red-wall` (a colour), `painted-plane` (the texels of a texture),
`glazed-knot` (base colour, roughness, metallic). Each program runs in a process of its own, and they take
turns, iteration by iteration. Both start from the same values with the same rates, losses and samples per
pixel: of prb's `value_and_grad` these serve picture and gradient, Mitsuba takes as many for each. The error
is the mean squared difference to the true parameters; it is not part of the time.

Each side first makes a few iterations that are not counted, as they compile, and starts anew; `first_s` says
how long the very first one took. `value_and_grad_over_render` is prb's own, of its first sensor, both at the
problem's samples. FOLDER receives `recover_against_mitsuba.png`, the curves, and `.json`, the numbers.
Without Mitsuba only prb is measured; see README.md for the LLVM that Mitsuba needs.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import workers as processes
from matplotlib.figure import Figure

import prb
import scenes

WARM_UP = 3  # iterations: Mitsuba compiles other kernels for the first two of them


@dataclass(frozen=True)
class Problem:
    """scene: a dictionary. initial: a number or three. reference: samples per pixel of the targets. cosine:
    whether the rate falls to zero along half a cosine."""

    scene: dict
    parameters: tuple
    initial: float | list
    spp: int
    iterations: int
    reference: int
    loss: str
    cosine: bool
    rate: float = 0.05


def red_wall():
    scene = scenes.bundled("cornell-box")
    scene["sensor"]["film"] |= {"width": 128, "height": 128}
    scene["integrator"]["max_depth"] = 6
    names = ("red.reflectance.value",)
    return Problem(scene, names, [0.01, 0.2, 0.9], 4, 50, 512, "relative_l2", False)


def painted_plane():
    names = ("painting.reflectance.data",)
    return Problem(scenes.bundled("painted-plane"), names, 0.5, 8, 60, 256, "l2", True)


def glazed_knot():
    names = tuple(f"glaze.{key}" for key in ("base_color.value", "roughness.value", "metallic.value"))
    return Problem(scenes.bundled("glazed-knot"), names, 0.5, 8, 100, 256, "relative_l2", True)


PROBLEMS = {"red-wall": red_wall, "painted-plane": painted_plane, "glazed-knot": glazed_knot}


def measure(name, iterations, runs):
    """The numbers of one problem: a dict, for each side `seconds` and `errors` of the iterations among it."""
    problem = PROBLEMS[name]()
    count = iterations or problem.iterations
    schedule = prb.schedules.Cosine(problem.rate, count)
    rates = [schedule(k) if problem.cosine else problem.rate for k in range(max(count, WARM_UP))]
    options = dict(reference=problem.reference, initial=problem.initial, rates=rates, loss=problem.loss)
    sides = ["prb"] + (["mitsuba"] if processes.has_mitsuba() else [])
    workers = {
        side: processes.Worker(f"recover-{side}", problem.scene, list(problem.parameters), **options)
        for side in sides
    }
    result = {"problem": name, "iterations": count, "spp": problem.spp, "sides": {}}
    for side, worker in workers.items():
        warm_up = [worker.ask("step", problem.spp, k)["seconds"] for k in range(WARM_UP)]
        worker.ask("reset", 0, 0)
        start = worker.ask("error", 0, 0)["value"]
        result["sides"][side] = {"first_s": warm_up[0], "seconds": [], "errors": [start]}
    for k in range(count):
        for side, worker in workers.items():
            of_side = result["sides"][side]
            of_side["seconds"].append(worker.ask("step", problem.spp, k)["seconds"])
            of_side["errors"].append(worker.ask("error", 0, 0)["value"])
    seconds = {"render": [], "value_and_grad": []}
    for run in range(runs + 1):
        for task, times in seconds.items():
            times.append(workers["prb"].ask(task, problem.spp, run)["seconds"])
    both, alone = (float(np.median(seconds[task][1:])) for task in ("value_and_grad", "render"))
    result |= {"render_median_s": alone, "value_and_grad_median_s": both}
    for worker in workers.values():
        worker.close()
    return result


def total_error(errors):
    """The mean of the parameters' errors."""
    return float(np.mean(list(errors.values())))


def report(result):
    """The figures of one problem as text."""
    sides = result["sides"]
    ratio = len(sides) > 1
    columns = [*sides, "ratio"] if ratio else sides
    lines = [f"{result['problem']}: {result['iterations']} iterations of {result['spp']} spp"]
    lines.append(f"  {'':34}" + "".join(f"{column:>12}" for column in columns))

    def row(label, numbers, form):
        line = f"  {label:34}" + "".join(f"{x:12{form}}" for x in numbers)
        lines.append(line + (f"{numbers[0] / numbers[1]:12.2f}" if ratio else ""))

    row("median_s of an iteration", [float(np.median(s["seconds"])) for s in sides.values()], ".4f")
    row("first_s, which compiles", [s["first_s"] for s in sides.values()], ".2f")
    row("total_s without compiling", [sum(s["seconds"]) for s in sides.values()], ".2f")
    row("error at first", [total_error(s["errors"][0]) for s in sides.values()], ".3g")
    row("error at the end", [total_error(s["errors"][-1]) for s in sides.values()], ".3g")
    for name in sides["prb"]["errors"][-1]:
        row(f"  {name}", [s["errors"][-1][name][0] for s in sides.values()], ".3g")
    both, alone = result["value_and_grad_median_s"], result["render_median_s"]
    lines.append(f"  value_and_grad_over_render {both / alone:.2f} ({both:.4f} s, {alone:.4f} s)")
    return "\n".join(lines)


def draw(results):
    """Error over time of all problems."""
    figure = Figure(figsize=(4.4 * len(results), 3.6), layout="constrained")
    for axes, result in zip(figure.subplots(1, len(results), squeeze=False)[0], results, strict=True):
        for side, found in result["sides"].items():
            errors = [total_error(e) for e in found["errors"][1:]]
            axes.loglog(np.cumsum(found["seconds"]), errors, label=side, linewidth=1.4)
        axes.set_title(f"{result['problem']}, {result['spp']} spp", fontsize=11)
        axes.set_xlabel("time without compiling, s")
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel("mean squared error of the parameters")
    figure.axes[0].legend()
    return figure


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", choices=PROBLEMS)
    parser.add_argument("--iterations", type=int, default=0, help="0: the problem's own number")
    parser.add_argument("--runs", type=int, default=20, help="of render and value_and_grad")
    parser.add_argument("-o", "--output", type=Path, default=Path("."), help="folder")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    results = []
    for name in args.problem or PROBLEMS:
        results.append(measure(name, args.iterations, args.runs))
        print(report(results[-1]), flush=True)
    path = args.output / "recover_against_mitsuba"
    draw(results).savefig(path.with_suffix(".png"), dpi=100)
    path.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
