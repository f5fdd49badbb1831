"""The loop that people run, prb against Mitsuba 3 (`llvm_ad_rgb`): the error of gradients at equal time.

    python benchmarks/loop_against_mitsuba.py gradient [--scene NAME ...] [--filter NAME ...] [--seeds 40]
    python benchmarks/loop_against_mitsuba.py picture [--filter NAME ...] [--seeds 48]
    python benchmarks/loop_against_mitsuba.py recovery [--runs 5] [--seconds 0]

Each writes FOLDER/loop_NAME.json and .md (-o FOLDER), anew after each part that is complete, so that an
interrupted run leaves what it has measured; `recovery` also a picture, loop_recovery.png. Both programs run
in one process and take turns, sample by sample, with a rest of 0.05 s before each, as the other's threads
spin on for a while. The calls that compile come first and are not counted.

gradient: of a weighted squared error, `prb.losses.relative_l2`, to a target that both have in common: prb's
picture of the true parameters with many samples and the same filter. At a start, all parameters far off, and
near the optimum. prb's `value_and_grad` takes --spp samples for picture and gradient together; Mitsuba
takes as many for each, its standard way. The efficiency is Mitsuba's variance x time over prb's. A colour or
a texture counts as one parameter, whose variance is the sum over its numbers. Intervals are bootstrapped over
the seeds. That both compute the same quantity is tested on the means (of textures: sums over 4 x 4 blocks).

picture: the sum of the variances of a picture's numbers at equal samples, prb's over Mitsuba's.

recovery: the eight objects from three views, by Adam with the same loss, rate and samples, over wall-clock
time; medians of the runs' errors.

--option NAME=VALUE hands a keyword argument to prb's `value_and_grad` and `optimize` (VALUE is JSON).
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import loop_scenes as problems
import numpy as np
import workers
from loop_reports import draw, gradient_report, overall, picture_report, recovery_report
from loop_sides import SIDES
from loop_statistics import (
    Efficiency,
    Samples,
    geometric_mean,
    interval,
    medians_at,
    z_values,
)

import prb

REST = 0.05  # seconds before a call: threads of the side that ran last spin on for some milliseconds
WARM_UP = 3  # calls: Mitsuba compiles other kernels for the first two of them
WARM_UP_S = {"prb": 10.0, "mitsuba": 3.0}  # of a recovery; prb's also says how long an iteration takes
PLACES = ("start", "optimum")
FILTERS = ("gaussian", "box")
PICTURE_FILTERS = ("gaussian", "tent", "box", "mitchell", "catmullrom", "lanczos")
BORDER = 4  # pixels at each edge that are not interior
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the time of a recovery, at which errors are reported


def alternating(sides, call, count):
    """[(seconds, result)] of each side by name: call(side, k) for k below `count`, in turns. Who is first
    alternates, too."""
    found = {name: [] for name in sides}
    for k in range(count):
        for name, side in list(sides.items())[:: 1 if k % 2 else -1]:
            time.sleep(REST)
            found[name].append(call(side, k))
    return found


def made_sides(scene, parameters, options):
    """Both sides of a scene dictionary, by name."""
    scene = workers.with_matrices(scene)
    extra = {"prb": options, "mitsuba": {}}
    return {name: side(scene, parameters, **extra[name]) for name, side in SIDES.items()}


# ------------------------------------------------------------------- gradient


def measure_gradient(scene, rfilter, args):
    """A dict of each place: what is measured there."""
    problem = problems.PROBLEMS[scene]()
    made = problems.with_film(problem.scene, size=args.size, rfilter=rfilter)
    sides = made_sides(made, problem.parameters, args.option)
    _, target = sides["prb"].render(args.reference, 10**6)
    for place in PLACES:
        for side in sides.values():
            side.set(problem.values(place, side.true))
            for k in range(WARM_UP):
                side.gradient(target, args.spp, 10**7 + k)
        calls = alternating(sides, lambda side, k: side.gradient(target, args.spp, k), args.seeds)
        yield {"scene": scene, "filter": rfilter, "place": place} | summary(calls)


def summary(calls):
    """The figures of one case. calls: side -> [(seconds, name -> gradient)]."""
    seconds = {name: [s for s, _ in found] for name, found in calls.items()}
    samples = {
        side: {key: Samples([g[key] for _, g in found]) for key in found[0][1]}
        for side, found in calls.items()
    }
    efficiency = Efficiency(samples, seconds)
    z = {key: z_values(samples["prb"][key], samples["mitsuba"][key]) for key in samples["prb"]}
    mean, resampled = efficiency.geometric_mean()
    parameters = {
        key: {
            "prb_variance": float(samples["prb"][key].variance()),
            "mitsuba_variance": float(samples["mitsuba"][key].variance()),
            "variance_ratio": float(efficiency.variance[key]),
            "efficiency": float(ratio),
            "interval": interval(efficiency.resampled[key]),
            "largest_z": float(z[key].max()),
            "z_values": z[key].size,
        }
        for key, ratio in efficiency.ratio.items()
    }
    return {
        "prb_median_s": float(np.median(seconds["prb"])),
        "mitsuba_median_s": float(np.median(seconds["mitsuba"])),
        "time_ratio": float(efficiency.time),
        "parameters": parameters,
        "geometric_mean": float(mean),
        "interval": interval(resampled),
        "resampled": resampled.tolist(),
    }


def run_gradient(args):
    cases = []
    for scene in args.scene or problems.PROBLEMS:
        for rfilter in args.filter or FILTERS:
            for case in measure_gradient(scene, rfilter, args):
                cases.append(case)
                low, high = case["interval"]
                print(
                    f"{scene}, {rfilter}, {case['place']}: efficiency {case['geometric_mean']:.2f} "
                    f"({low:.2f} to {high:.2f}), time ratio {case['time_ratio']:.2f}",
                    flush=True,
                )
                kept = [{k: v for k, v in c.items() if k != "resampled"} for c in cases]
                save(args, {"cases": kept, "overall": overall(cases)}, gradient_report(cases))
    print(gradient_report(cases))


# ------------------------------------------------------------------- picture


def measure_picture(rfilter, args):
    """The figures of one filter, or None where prb does not take it."""
    made = problems.with_film(problems.cornell_box().scene, size=args.size, rfilter=rfilter)
    try:
        sides = made_sides(made, (), {})
    except prb.SceneError:
        return None
    for side in sides.values():
        for k in range(WARM_UP):
            side.render(args.spp, 10**7 + k)
    calls = alternating(sides, lambda side, k: side.render(args.spp, k), args.seeds)
    inner = slice(BORDER, -BORDER)
    found = {"filter": rfilter}
    for region, part in (("interior", np.s_[inner, inner]), ("all", np.s_[:, :])):
        samples = {name: Samples([picture[part] for _, picture in of]) for name, of in calls.items()}
        seconds = {name: [1.0] * args.seeds for name in calls}  # equal samples: times do not count
        efficiency = Efficiency({name: {region: of} for name, of in samples.items()}, seconds)
        found[region] = {
            "variance_ratio": float(1 / efficiency.variance[region]),
            "interval": interval(1 / efficiency.resampled[region]),
            "largest_z": float(z_values(samples["prb"], samples["mitsuba"]).max()),
        }
    median = {name: float(np.median([s for s, _ in of])) for name, of in calls.items()}
    return found | {"prb_median_s": median["prb"], "mitsuba_median_s": median["mitsuba"]}


def run_picture(args):
    found = []
    for rfilter in args.filter or PICTURE_FILTERS:
        one = measure_picture(rfilter, args)
        if one is None:
            print(f"{rfilter}: left out, as prb does not take it")
            continue
        found.append(one)
        save(args, {"filters": found}, picture_report(found))
    print(picture_report(found))


# ------------------------------------------------------------------- recovery


def run_recovery(args):
    problem = problems.eight_objects(texels=args.texels, views=len(problems.VIEWS))
    made = problems.with_film(problem.scene, size=args.size, rfilter=(args.filter or FILTERS)[0])
    sides = made_sides(made, problem.parameters, args.option)
    views = range(len(problems.VIEWS))
    targets = [sides["prb"].render(args.reference, 10**6 + view, view)[1] for view in views]
    checks = [sides["mitsuba"].render(args.reference, 10**6 + view, view)[1] for view in views]
    off = max(float(abs(a - b).mean() / a.mean()) for a, b in zip(targets, checks, strict=True))
    initial = {side.name: problem.values("start", side.true) for side in sides.values()}
    options = dict(rate=args.rate, spp=args.spp)
    seconds = args.seconds
    for name, side in sides.items():  # compiles
        curve = side.recover(targets, initial[name], seed=10**4, seconds=WARM_UP_S[name], **options)
        if name == "prb" and not seconds:
            tail = [after[0] - before[0] for before, after in zip(curve[2:], curve[3:], strict=False)]
            seconds = args.iterations * float(np.median(tail))
    print(
        f"recovery: {args.runs} runs of {seconds:.1f} s on each side; targets differ by {off:.1%}", flush=True
    )
    curves = {name: [] for name in sides}
    for run in range(args.runs):
        for name, side in list(sides.items())[:: 1 if run % 2 else -1]:
            time.sleep(1.0)
            curves[name].append(side.recover(targets, initial[name], seed=run, seconds=seconds, **options))
        result = recovery_result(curves, seconds) | {"difference_of_targets": off}
        save(args, result | {"curves": curves}, recovery_report(result))
        draw(curves, seconds).savefig(args.output / "loop_recovery.png", dpi=100)
    print(recovery_report(result))


def recovery_result(curves, seconds):
    """Medians of the errors at the `SHARES` of the time, and prb's over Mitsuba's."""
    times = [share * seconds for share in SHARES]
    errors = {name: medians_at(of, times) for name, of in curves.items()}
    ratios = {key: errors["prb"][key] / errors["mitsuba"][key] for key in errors["prb"]}
    return {
        "seconds": seconds,
        "runs": len(curves["mitsuba"]),
        "iterations": {name: [len(curve) - 1 for curve in of] for name, of in curves.items()},
        "times": times,
        "errors": {name: {key: x.tolist() for key, x in of.items()} for name, of in errors.items()},
        "error_ratios": {key: ratio.tolist() for key, ratio in ratios.items()},
        "geometric_mean": geometric_mean(np.array(list(ratios.values()))).tolist(),
    }


# ------------------------------------------------------------------- results


def versions():
    """What is compared, and on what."""
    import mitsuba

    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    return machine | {"prb": prb.__version__, "mitsuba": mitsuba.__version__, "numpy": np.__version__}


def settings(args):
    """What identifies a run: its options, versions and the machine, and how busy that is."""
    chosen = {k: v for k, v in vars(args).items() if k not in ("output", "run")}
    return {"settings": chosen, "versions": versions(), "load": os.getloadavg()[0]}


def save(args, result, text, *, subject="loop", script=None):
    """Write results as JSON and Markdown; the old files are there until the new ones are whole. script: its
    name, by default that of a comparison with Mitsuba."""
    described = settings(args)
    chosen = ", ".join(f"{k} {v}" for k, v in described["settings"].items() if v not in (None, {}))
    busy = f"{os.cpu_count()} CPUs, load {described['load']:.1f} in the last minute"
    script = script or f"{subject}_against_mitsuba.py"
    text = f"# {script} {args.task}\n\n{text}\n\n{chosen}; {busy}\n"
    args.output.mkdir(parents=True, exist_ok=True)
    for suffix, content in ((".json", json.dumps(described | result, indent=1) + "\n"), (".md", text)):
        path = args.output / f"{subject}_{args.task}{suffix}"
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(content)
        temporary.replace(path)


def option(text):
    """NAME=VALUE as a pair."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, json.loads(value)


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    made = {}
    for task, run, seeds, size, spp in (
        ("gradient", run_gradient, 40, 128, 16),
        ("picture", run_picture, 48, 64, 4),
        ("recovery", run_recovery, None, 128, 16),
    ):
        one = made[task] = tasks.add_parser(task)
        one.set_defaults(run=run)
        one.add_argument("--filter", action="append", choices=PICTURE_FILTERS)
        one.add_argument("--size", type=int, default=size, help="pixels of a side")
        one.add_argument("--spp", type=int, default=spp)
        one.add_argument("-o", "--output", type=Path, default=Path("."), help="folder")
        if seeds is not None:
            one.add_argument("--seeds", type=int, default=seeds, help="samples of each side")
        if task != "picture":
            one.add_argument("--reference", type=int, default=1024, help="samples per pixel of the targets")
            one.add_argument("--option", action="append", type=option, default=[], metavar="NAME=VALUE")
    made["gradient"].add_argument("--scene", action="append", choices=problems.PROBLEMS)
    recovery = made["recovery"]
    recovery.add_argument("--runs", type=int, default=5)
    recovery.add_argument("--iterations", type=int, default=150, help="of prb, whose time both get")
    recovery.add_argument("--seconds", type=float, default=0.0, help="of each run, instead of --iterations")
    recovery.add_argument("--rate", type=float, default=0.02, help="of Adam")
    recovery.add_argument("--texels", type=int, default=128, help="of a side of the floor's texture")
    args = parser.parse_args(argv)
    if "option" in args:
        args.option = dict(args.option)
    if getattr(args, "seeds", 2) < 2:
        parser.error("--seeds: a variance needs 2 at least")
    return args


def run(args, *, mitsuba=True):
    """Run the task that was chosen. mitsuba: whether it needs Mitsuba."""
    if mitsuba and not workers.has_mitsuba():
        raise SystemExit("Mitsuba is needed: pip install mitsuba==3.9.1, and LLVM 17 or later (README.md)")
    try:
        args.run(args)
    except KeyboardInterrupt:
        raise SystemExit(f"interrupted; what was complete is in {args.output}") from None


def main(argv=None):
    run(arguments(argv))


if __name__ == "__main__":
    main()
