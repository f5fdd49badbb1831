"""Participating media, prb against Mitsuba 3's `prbvolpath` (`llvm_ad_rgb`): time, noise, recovery, memory.

    python benchmarks/media_against_mitsuba.py time [--spp 64] [--runs 15] [--scene fog ...]
    python benchmarks/media_against_mitsuba.py variance [--seeds 48] [--spp 4] [--objective mean]
    python benchmarks/media_against_mitsuba.py recovery [--seconds 150] [--runs 1]
    python benchmarks/media_against_mitsuba.py memory [--depths 8 ... 512] [--spps 16 ... 1024]
    python benchmarks/media_against_mitsuba.py surfaces --other CHECKOUT

Each writes FOLDER/media_NAME.json and .md (-o FOLDER), anew after each part that is complete; `recovery` also
a picture, media_recovery.png. prb and Mitsuba run in one process and take turns, with a rest of 0.05 s before
each call, as the other's threads spin on for a while. The calls that compile come first and are not counted.

time: a picture, and picture and gradient by extinction and albedo in one call, of a cube of homogeneous fog
and of the smoke, a grid of 64^3. prb's `value_and_grad` takes --spp samples for picture and gradient
together, Mitsuba as many for each, its standard way.

variance: of the derivative by the smoke's density, summed over all voxels, <g, 1>, and at --voxels random
ones, with each of prb's methods and Mitsuba; times the time of a call. The objective is linear in the
picture, so that means can be compared: its mean, or the sum of residuals to the picture of half the density.
Mitsuba's gradient and that of free flight miss a term where there is nothing: one-sided differences of both
programs' pictures, all voxels raised alike, are beside the means.

recovery: the smoke's density from pictures of four cameras, by Adam with the same loss, rate and samples, all
values clamped to 0 or more; the error of held-out views over wall-clock time. One judge, prb with many
samples, renders them for both afterwards.

memory: of a gradient of the smoke, each point in a process of its own. The tape's is what it would allocate.

surfaces: CHECKOUT is the folder of another version, such as a worktree of one before media. Each version runs
in a process of its own, with a cache of kernels of its own (between_versions.py).
"""

import argparse
import sys
import time
from pathlib import Path

import between_versions
import loop_against_mitsuba as loop
import media_reports as reports
import media_scenes
import numpy as np
import sweeps
from loop_against_mitsuba import WARM_UP, alternating
from loop_statistics import Efficiency, Samples, geometric_mean, interval, resamples
from media_sides import ALBEDO, DENSITY, Mitsuba, Prb, parameters

import prb
import scenes
from prb.bench.report import slope
from prb.estimators import tape

SCENES = {"fog": (media_scenes.fog, 0.7), "smoke": (media_scenes.smoke, 0.5)}  # and the aims of `time`
SURFACES = ("cornell-box", "bunny-box", "furnace", "principled-bunny", "rough-glass")
METHODS = {
    "free flight": prb.FreeFlight(),
    "differential ratio tracking": prb.DifferentialRatioTracking(),
    "sample matching": prb.SampleMatching(),
}
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the time of a recovery, at which errors are reported
LEAST = 1e-12  # of a squared error, whose estimate can be negative


# ----------------------------------------------------------------------- time


def run_time(args):
    cases = []
    for name in args.scene or SCENES:
        make, aim = SCENES[name]
        scene = media_scenes.prepared(make(), size=args.size, depth=args.depth)
        names = parameters(scene, DENSITY + ALBEDO)
        sides = {side.name: side(scene, names) for side in (Prb, Mitsuba)}
        weights = np.full((args.size, args.size, 3), 1 / (3 * args.size**2))
        calls = {
            "gradient": lambda side, k, weights=weights: side.linear(weights, args.spp, k),
            "render": lambda side, k: side.render(args.spp, k),
        }
        case = {"scene": name, "aim": aim, "parameters": names}
        for key, call in calls.items():
            alternating(sides, lambda side, k, call=call: call(side, 10**6 + k), WARM_UP)
            case[key] = time_ratio(alternating(sides, call, args.runs))
        cases.append(case)
        save(args, {"cases": cases}, reports.time_report(cases))
    print(reports.time_report(cases))


def time_ratio(calls):
    """The figures of one kind of call. calls: side -> [(seconds, result)]."""
    generator = np.random.default_rng(0)
    seconds = {name: np.array([s for s, _ in of]) for name, of in calls.items()}
    median = {name: float(np.median(of)) for name, of in seconds.items()}
    drawn = {name: np.median(of[resamples(len(of), generator)], axis=1) for name, of in seconds.items()}
    return {f"{name}_median_s": s for name, s in median.items()} | {
        "ratio": median["prb"] / median["mitsuba"],
        "interval": interval(drawn["prb"] / drawn["mitsuba"]),
        "seconds": {name: of.tolist() for name, of in seconds.items()},
    }


# ------------------------------------------------------------------- variance


def run_variance(args):
    scene = media_scenes.prepared(media_scenes.smoke(), size=args.size, depth=args.depth)
    (name,) = parameters(scene, DENSITY)
    sides = {key: Prb(scene, [name], density) for key, density in METHODS.items()}
    sides["mitsuba"] = Mitsuba(scene, [name])
    true = sides["mitsuba"].true[name]
    chosen = np.random.default_rng(0).choice(true.size, min(args.voxels, true.size), replace=False)
    dense = true.ravel()[chosen] > 0
    weights = objective(args, sides["sample matching"], name)
    alternating(sides, lambda side, k: side.linear(weights, args.spp, 10**6 + k), WARM_UP)

    def call(side, k):
        seconds, gradient = side.linear(weights, args.spp, k)
        flat = gradient[name].ravel()
        return seconds, (flat.sum(), flat[chosen])

    calls = alternating(sides, call, args.seeds)
    found = {key: quantities(of, dense) for key, of in calls.items()}
    seconds = {key: [s for s, _ in of] for key, of in calls.items()}
    methods = {}
    for key, of in found.items():
        pair = {"prb": {q: Samples(x) for q, x in of.items()}}
        pair["mitsuba"] = {q: Samples(x) for q, x in found["mitsuba"].items()}
        efficiency = Efficiency(pair, {"prb": seconds[key], "mitsuba": seconds["mitsuba"]})
        sums = {q: x if x.ndim == 1 else x.sum(axis=1) for q, x in of.items()}
        sums["sum of g, empty"] = np.array([g[~dense].sum() for _, (_, g) in calls[key]])
        sums = {{"g": "sum of g", "g, dense": "sum of g, dense"}.get(q, q): x for q, x in sums.items()}
        methods[key] = {
            "median_s": float(np.median(seconds[key])),
            "variance": {q: float(x.variance()) for q, x in pair["prb"].items()},
            "mean": {q: [float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5)] for q, x in sums.items()},
            "efficiency": {
                q: {
                    "ratio": float(ratio),
                    "interval": interval(efficiency.resampled[q]),
                    "variance_ratio": float(efficiency.variance[q]),
                }
                for q, ratio in efficiency.ratio.items()
            },
        }
    result = {"methods": methods, "quantities": list(next(iter(found.values())))}
    result |= {"empty": float((true == 0).mean()), "voxels": len(chosen), "dense_voxels": int(dense.sum())}
    result["difference"] = difference(args, sides, name, weights)
    save(args, result, reports.variance_report(result))
    print(reports.variance_report(result))


def quantities(calls, dense):
    """name -> samples (n, ...) of what one method's variance is taken of."""
    g = np.array([g for _, (_, g) in calls])
    return {"<g, 1>": np.array([total for _, (total, _) in calls]), "g": g, "g, dense": g[:, dense]}


def objective(args, side, name):
    """The weights of the picture's numbers, whose sum with it is differentiated."""
    shape = (args.size, args.size, 3)
    if args.objective == "mean":
        return np.full(shape, 1 / np.prod(shape))
    _, picture = side.render(args.reference, 10**6)
    side.set({name: 0.5 * side.true[name]})
    _, other = side.render(args.reference, 10**6 + 1)
    side.set(side.true)
    return 2 * (picture - other) / picture.size


def difference(args, sides, name, weights):
    """(value, standard error) of <g, 1> by each program's pictures, all voxels raised by a step."""
    found, blocks = {"step": args.step}, 8
    for key, side in (("prb", sides["sample matching"]), ("mitsuba", sides["mitsuba"])):
        values = []
        for place in (0, 1):
            side.set({name: side.true[name] + place * args.step})
            pictures = [side.render(args.reference, 10**7 + blocks * place + k)[1] for k in range(blocks)]
            values.append([(weights * picture).sum() for picture in pictures])
        side.set(side.true)
        change = (np.array(values[1]) - values[0]) / args.step
        found[key] = [float(change.mean()), float(change.std(ddof=1) / blocks**0.5)]
    return found


# ------------------------------------------------------------------- recovery


def run_recovery(args):
    scene = media_scenes.prepared(media_scenes.smoke(), size=args.size, depth=args.depth)
    scene, training, held_out = media_scenes.with_held_out(scene)
    (name,) = parameters(scene, DENSITY)
    sides = {side.name: side(scene, [name]) for side in (Prb, Mitsuba)}
    judge = Prb(scene, [name])
    targets = [judge.render(args.reference, 10**6 + v, v)[1] for v in training]
    checks = [sides["mitsuba"].render(args.reference, 10**6 + v, v)[1] for v in training]
    off = max(float(abs(a - b).mean() / a.mean()) for a, b in zip(targets, checks, strict=True))
    true = judge.true[name]
    initial = {name: np.full(true.shape, args.initial * true.max())}
    options = dict(sensors=training, rate=args.rate * float(true.max()), spp=args.spp)
    for side in sides.values():  # compiles
        side.recover(targets, initial, seed=10**3, seconds=args.warm_up, **options)
    print(f"recovery: {args.runs} runs of {args.seconds:g} s a side; targets differ by {off:.1%}", flush=True)
    judged = Judge(judge, name, args.judge, held_out, training)
    curves = {side: [] for side in sides}
    for run in range(args.runs):
        kept = {}
        for side_name, side in list(sides.items())[:: 1 if run % 2 else -1]:
            time.sleep(1.0)
            kept[side_name] = side.recover(targets, initial, seed=run, seconds=args.seconds, **options)
        for side_name, points in kept.items():
            curves[side_name].append(judged.curve(points))
        result = recovery_result(curves, args.seconds) | {"difference_of_targets": off}
        save(args, result | {"curves": curves}, reports.recovery_report(result))
        reports.draw_recovery(curves).savefig(args.output / "media_recovery.png", dpi=100)
    print(reports.recovery_report(result))


class Judge:
    """Errors of values that a recovery kept. side: prb's. spp: samples of each of two pictures."""

    def __init__(self, side, name, spp, held_out, training):
        self._side, self._name, self._spp = side, name, spp
        self._held_out, self._training = held_out, training
        side.set(side.true)
        self._references = {v: self._pictures(v, 2 * 10**6) for v in [*held_out, *training]}
        self._peak = max(float(a.max()) for v in held_out for a in self._references[v])

    def _pictures(self, view, seed):
        return [self._side.render(self._spp, seed + 100 * k + view, view)[1] for k in (0, 1)]

    def _psnr(self, views):
        """In dB. The squared error is a product of two independent differences, so that it has no noise's."""
        errors = []
        for view in views:
            pairs = zip(self._pictures(view, 3 * 10**6), self._references[view], strict=True)
            a, b = (picture - reference for picture, reference in pairs)
            errors.append((a * b).mean())
        return float(10 * np.log10(self._peak**2 / max(np.mean(errors), LEAST)))

    def curve(self, points):
        """Of what `recover` returned: a dict for each point."""
        found, true = [], self._side.true[self._name]
        for seconds, iterations, values in points:
            self._side.set(values)
            error = float(np.sqrt(np.mean((values[self._name] - true) ** 2)))
            found.append(
                {
                    "seconds": seconds,
                    "iterations": iterations,
                    "psnr": self._psnr(self._held_out),
                    "density_error": error,
                }
            )
        found[-1]["training_psnr"] = self._psnr(self._training)
        return found


def recovery_result(curves, seconds):
    """Medians over the runs at the `SHARES` of the time, between points by interpolation."""
    times = [share * seconds for share in SHARES]

    def at(key):
        return {
            side: np.median(
                [np.interp(times, [p["seconds"] for p in run], [p[key] for p in run]) for run in runs], axis=0
            )
            for side, runs in curves.items()
        }

    psnr, density = at("psnr"), at("density_error")
    return {
        "seconds": seconds,
        "runs": len(curves["mitsuba"]),
        "iterations": {side: [run[-1]["iterations"] for run in runs] for side, runs in curves.items()},
        "times": times,
        "psnr": {side: of.tolist() for side, of in psnr.items()},
        "density_error": {side: of.tolist() for side, of in density.items()},
        "gain_db": (psnr["prb"] - psnr["mitsuba"]).tolist(),
        "training_psnr": {
            side: float(np.median([run[-1]["training_psnr"] for run in runs]))
            for side, runs in curves.items()
        },
    }


# --------------------------------------------------------------------- memory


def run_memory(args):
    made = plain(media_scenes.prepared(media_scenes.smoke(), size=args.size))
    names = tuple(parameters(made, DENSITY + ALBEDO))
    sweep = argparse.Namespace(**{**vars(args), "output": None, "memory_limit": None, "runs": 1})
    found = sweeps.sweep("smoke", made, sweep, methods=("replay",), params=names)
    scene = prb.load_dict(made)
    points = []
    for p in found["points"]:
        if p["status"] != "ok":
            raise SystemExit(f"memory: depth {p['depth']}, {p['spp']} spp: {p['status']}")
        needed = tape.device_bytes(scene, spp=p["spp"], max_depth=p["depth"], names=names)
        point = {key: p[key] for key in ("depth", "spp", "device_mib", "peak_mib", "base_mib")}
        points.append(point | {"growth_mib": sweeps.own(p), "tape_mib": needed / 2**20})
    first = min(args.depths), min(args.spps)
    slopes = {}
    for over, key, line in (
        ("depth", "depth", [p for p in points if p["spp"] == first[1]]),
        ("samples", "spp", [p for p in points if p["depth"] == first[0]]),
    ):
        if len(line) > 1:
            x = [p[key] for p in line]
            of = {c: slope(x, [p[c] for p in line]) for c in ("device_mib", "peak_mib", "tape_mib")}
            slopes[over] = {"tape": of.pop("tape_mib"), "replay": of}
    result = {"points": points, "slopes": slopes}
    save(args, result, reports.memory_report(result))
    print(reports.memory_report(result))


def plain(value):
    """A scene dictionary as JSON takes it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


# ------------------------------------------------------------------- surfaces


def run_surfaces(args):
    found = {}
    for name in args.scene or SURFACES:
        if scenes.missing(name):
            print(f"{name}: left out, its files are not here")
            continue
        times = between_versions.measure(
            name, sys.executable, args.spp, args.runs, other_path=Path(args.other).resolve()
        )
        found[name] = {task: times[task] for task in ("render", "value_and_grad")}
        ratios = [this / other for of in found.values() for this, other in of.values()]
        result = {"scenes": found, "geometric_mean": float(geometric_mean(np.array(ratios)))}
        save(args, result, reports.surfaces_report(result))
    print(reports.surfaces_report(result))


# -------------------------------------------------------------------- results


def save(args, result, text):
    """As loop_against_mitsuba.py."""
    loop.save(args, result, text, subject="media")


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    made = {}
    for task, run, size in (
        ("time", run_time, 128), ("variance", run_variance, 64), ("recovery", run_recovery, 64),
        ("memory", run_memory, 16), ("surfaces", run_surfaces, None),
    ):  # fmt: skip
        one = made[task] = tasks.add_parser(task)
        one.set_defaults(run=run)
        one.add_argument("-o", "--output", type=Path, default=Path("."), help="folder")
        if size is not None:
            one.add_argument("--size", type=int, default=size, help="pixels of a side")
    for task, spp in (("time", 64), ("variance", 4), ("recovery", 16), ("surfaces", 16)):
        made[task].add_argument("--spp", type=int, default=spp)
    for task in ("time", "variance", "recovery"):
        made[task].add_argument("--depth", type=int, help="edges of a path (default: the scene's)")
    for task, runs in (("time", 15), ("recovery", 1), ("surfaces", 15)):
        made[task].add_argument("--runs", type=int, default=runs)
    for task, spp in (("variance", 2048), ("recovery", 1024)):
        made[task].add_argument("--reference", type=int, default=spp, help="samples per pixel of references")
    made["time"].add_argument("--scene", action="append", choices=SCENES)
    variance, recovery, memory = made["variance"], made["recovery"], made["memory"]
    variance.add_argument("--seeds", type=int, default=48, help="samples of each method")
    variance.add_argument("--voxels", type=int, default=1000)
    variance.add_argument("--objective", choices=("mean", "residual"), default="mean")
    variance.add_argument("--step", type=float, default=0.005, help="of the differences, in the grid's units")
    recovery.add_argument("--seconds", type=float, default=150.0, help="of each run of a side")
    recovery.add_argument("--warm-up", type=float, default=5.0, help="seconds of each side, not counted")
    recovery.add_argument(
        "--rate", type=float, default=0.005, help="of Adam, in shares of the largest density"
    )
    recovery.add_argument("--initial", type=float, default=0.05, help="density, a share of the largest")
    recovery.add_argument("--judge", type=int, default=256, help="samples per pixel of held-out views")
    memory.add_argument("--depths", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    memory.add_argument("--spps", type=int, nargs="+", default=[16, 64, 256, 1024])
    made["surfaces"].add_argument("--other", required=True, metavar="CHECKOUT")
    made["surfaces"].add_argument("--scene", action="append", choices=between_versions.SCENES)
    args = parser.parse_args(argv)
    if getattr(args, "seeds", 2) < 2:
        parser.error("--seeds: a variance needs 2 at least")
    if "other" in args and not (Path(args.other) / "prb" / "__init__.py").exists():
        parser.error(f"--other: {args.other} is no checkout of prb")
    return args


def main(argv=None):
    args = arguments(argv)
    loop.run(args, mitsuba=args.task in ("time", "variance", "recovery"))


if __name__ == "__main__":
    main()
