"""Shapes that move, prb against Mitsuba 3's `prb_projective` (`llvm_ad_rgb`): noise, recovery, time, memory.

    python benchmarks/moving.py variance [--case NAME ...] [--seeds 40] [--spp 16]
    python benchmarks/moving.py recovery [--seconds 120] [--runs 1] [--target PLY]
    python benchmarks/moving.py time [--case NAME ...] [--runs 15]
    python benchmarks/moving.py memory [--depths 4 ... 256] [--spps 16 ... 1024]
    python benchmarks/moving.py still --other CHECKOUT
    python benchmarks/moving.py refit [--triangles 1000000]

Each writes FOLDER/moving_NAME.json and .md (-o FOLDER), anew after each part that is complete; `recovery`
also a picture, moving_recovery.png. prb and Mitsuba run in one process and take turns, with a rest of 0.05 s
before each call, as the other's threads spin on for a while. The calls that compile come first and are not
counted.

variance: times time, of the gradient by the pose of a lumpy ball of 5,000 vertices (a translation, a
rotation) and by its vertex positions (along a smooth field of directions; the sum over all numbers), where
the camera sees the ball over a floor, only its shadow, or only what reflects it. The objective is a weighted
sum of the picture, whose derivative by translation, rotation and field is found a second time by central
differences of prb's pictures, as either program may be wrong. Each call makes a picture and a gradient of
--spp samples each; each kind of boundary term has as many again in Mitsuba, and its defaults in prb; with
--joint prb makes both by `value_and_grad`. Moving the mesh and building hierarchies is in no time. Mitsuba
guides samples of edges that are seen indirectly by an octree, its default, which it builds in each call, or
does not: the aims are those beside the better of the two. Vertex normals follow the positions; with
--face-normals there are edges between flat faces, which Mitsuba leaves out.

recovery: a sphere of 5,000 vertices to a statue in 8 views, by large steps and Adam with one step size, with
the same views, loss, lambda, rate and samples; the distance to the true surface over wall-clock time: the
mean of those from the vertices of each mesh to the nearest of many points on the other.

time: of the boundary pass alone over the interior one: with the samples that prb takes by default, and with
as many in all as the interior has. And of each of the kinds of edges.

memory: of a gradient by vertex positions, each point in a process of its own.

still: of scenes in which nothing moves, this version over another one, whose folder is CHECKOUT. Each runs
in a process of its own, with a cache of kernels of its own (between_versions.py).

refit: of `Params.update` with moved vertices, while the hierarchy keeps its topology.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import between_versions
import loop_against_mitsuba as loop
import moving_reports as reports
import moving_scenes as problems
import numpy as np
from loop_against_mitsuba import REST, WARM_UP, alternating
from loop_statistics import Efficiency, Samples, geometric_mean, interval, z_values
from media_against_mitsuba import time_ratio
from moving_distances import Judge, read_target, recovery_result
from moving_scenes import POSITIONS, TRANSFORM
from moving_sides import Mitsuba, Prb, adjoint

import prb
import scenes
from prb.bench.report import slope

STILL = ("cornell-box", "bunny-box", "furnace", "principled-bunny", "rough-glass")
BLOCKS = 8  # of a difference, whose spread is its error
STEPS = {"translation": 0.01, "rotation": 0.02, "field": 0.02}  # of differences; the ball's radius is 0.6
KINDS = {"silhouettes": "primary", "shadows": "shadow", "reflections": "indirect"}


# ------------------------------------------------------------------- variance


def run_variance(args):
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.case or problems.CASES:
            made = problems.moved(
                name, folder, size=args.size, depth=args.depth, vertices=args.vertices, smooth=args.smooth
            )
            for of, parameter in (("pose", TRANSFORM), ("vertices", POSITIONS)):
                if of in args.parameters:
                    cases += [{"case": name, "of": of} | found for found in measure(args, made, parameter)]
                    save(args, {"cases": cases}, reports.variance_report(cases))
    print(reports.variance_report(cases))


def measure(args, made, parameter):
    """The figures of one scene and parameter, for each kind of guiding that Mitsuba has."""
    scene, points, middle = made
    sides = {"prb": Prb(scene, [parameter], middle, joint=args.joint)}
    sides |= {guiding: Mitsuba(scene, [parameter], middle, guiding=guiding) for guiding in args.guiding}
    weights = objective(args.size)
    direction = problems.field(points)
    alternating(sides, lambda side, k: side.linear(weights, args.spp, 10**6 + k), WARM_UP)
    calls = alternating(sides, lambda side, k: side.linear(weights, args.spp, k), args.seeds)
    seconds = {side: [s for s, _ in found] for side, found in calls.items()}
    values = {
        side: quantities(np.array([g[parameter] for _, g in found]), direction)
        for side, found in calls.items()
    }
    samples = {side: {q: Samples(x) for q, x in of.items()} for side, of in values.items()}
    differences = {} if args.reference == 0 else central_differences(args, sides["prb"], weights, direction)
    cases = []
    for guiding in args.guiding:
        pair = {"prb": "prb", "mitsuba": guiding}
        efficiency = Efficiency(
            {key: samples[side] for key, side in pair.items()},
            {key: seconds[side] for key, side in pair.items()},
        )
        found = {}
        for q, ratio in efficiency.ratio.items():
            found[q] = {
                "ratio": float(1 / ratio),
                "interval": [1 / x for x in interval(efficiency.resampled[q])[::-1]],
                "variance_ratio": float(1 / efficiency.variance[q]),
                "variance": {key: float(samples[side][q].variance()) for key, side in pair.items()},
            }
            if values["prb"][q].ndim == 1:
                found[q]["mean"] = {key: mean_of(values[side][q]) for key, side in pair.items()}
                found[q]["mean"] |= {"difference": differences[q]} if q in differences else {}
                found[q]["z"] = float(z_values(samples["prb"][q], samples[guiding][q]).max())
        median = {f"{key}_median_s": float(np.median(seconds[side])) for key, side in pair.items()}
        cases.append(
            {"guiding": guiding, **median, "time_ratio": float(1 / efficiency.time), "quantities": found}
        )
    return cases


def objective(size):
    """Weights (size, size, 3) of a picture's numbers: smooth, of a mean of about 1 / (3 size^2)."""
    x, y = np.meshgrid(*2 * [(np.arange(size) + 0.5) / size])
    colours = [1 + 0.8 * np.sin(2 * np.pi * x + c) + 0.6 * np.cos(3 * np.pi * y - c) for c in range(3)]
    return np.stack(colours, axis=-1) / (3 * size**2)


def quantities(gradients, direction):
    """name -> samples, of gradients (n, 2) by pose or (n, vertices, 3)."""
    if gradients.ndim == 2:
        return {"translation": gradients[:, 0], "rotation": gradients[:, 1]}
    return {"field": (gradients * direction).sum(axis=(1, 2)), "all numbers": gradients}


def mean_of(x):
    """[mean, standard error] of samples."""
    return [float(np.mean(x)), float(np.std(x, ddof=1) / len(x) ** 0.5)]


def central_differences(args, side, weights, direction):
    """quantity -> [value, standard error], by prb's pictures with the same numbers on both sides."""
    found = {}
    for quantity in ("field",) if side.names == [POSITIONS] else ("translation", "rotation"):
        step, values = STEPS[quantity], np.zeros(BLOCKS)
        for sign in (1, -1):
            side.displaced(quantity, direction, sign * step)
            for k in range(BLOCKS):
                _, picture = side.render(args.reference, 10**7 + k)
                values[k] += sign * (weights * picture).sum() / (2 * step)
        found[quantity] = mean_of(values)
    side.set(side.true)
    return found


# ------------------------------------------------------------------- recovery


def run_recovery(args):
    options = dict(size=args.size, depth=args.depth, smooth=args.smooth)
    true = read_target(args.target) if args.target else problems.statue()
    with tempfile.TemporaryDirectory() as folder:
        truth = Prb(problems.recovered(folder, *true, **options), [POSITIONS])
        targets = [truth.render(args.reference, 10**6 + v, v)[1] for v in range(problems.VIEWS)]
        start, faces = problems.ball(args.vertices)
        scene = problems.recovered(folder, start, faces, **options)
        sides = {
            "prb": Prb(scene, [POSITIONS], **({"folds": args.folds} if args.folds else {})),
            "mitsuba": Mitsuba(scene, [POSITIONS], guiding=args.guiding),
        }
    loop_options = dict(rate=args.rate, spp=args.spp)
    for side in sides.values():  # compiles
        side.recover(targets, seed=10**3, seconds=args.warm_up, **loop_options)
    judge = Judge(*true, faces)
    curves = {side: [] for side in sides}
    for run in range(args.runs):
        for name, side in list(sides.items())[:: 1 if run % 2 else -1]:
            time.sleep(1.0)
            kept = side.recover(targets, seed=run, seconds=args.seconds, **loop_options)
            curves[name].append([
                {"seconds": s, "iterations": k, "distance": judge.distance(values[POSITIONS])}
                for s, k, values in kept
            ])  # fmt: skip
        result = recovery_result(curves, args.seconds)
        save(args, result | {"curves": curves}, reports.recovery_report(result))
        reports.draw_recovery(curves).savefig(args.output / "moving_recovery.png", dpi=100)
    print(reports.recovery_report(result))


# ----------------------------------------------------------------------- time


def run_time(args):
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.case or problems.CASES:
            scene, _, _ = problems.moved(name, folder, size=args.size, depth=args.depth, smooth=args.smooth)
            cases.append({"case": name} | {of: passes(args, scene, of) for of in (TRANSFORM, POSITIONS)})
            save(args, {"cases": cases}, reports.time_report(cases))
    print(reports.time_report(cases))


def passes(args, scene, parameter):
    """The time of boundary passes over that of the interior one."""
    scene, weights = prb.load_dict(scene), objective(args.size)
    off = dict.fromkeys(KINDS.values(), False)
    methods = {"interior": prb.ReplayAdjoint(), "boundary": prb.Boundary()}
    methods["as many samples"] = prb.Boundary(**dict.fromkeys(KINDS.values(), 1 / 3))
    methods |= {kind: prb.Boundary(**{**off, field: True}) for kind, field in KINDS.items()}

    def call(method, k):
        more = {} if method.name == "replay" else {"with_image": False}
        start = time.perf_counter()
        method.backward(scene, weights, names=[parameter], spp=args.spp, seed=k, **more)
        return time.perf_counter() - start, None

    alternating(methods, call, WARM_UP)
    calls = alternating(methods, call, args.runs)
    found = {}
    for name, of in calls.items():
        if name != "interior":
            ratio = time_ratio({"prb": of, "mitsuba": calls["interior"]})
            found[name] = {"ratio": ratio["ratio"], "interval": ratio["interval"]}
    return found | {"seconds": {name: float(np.median([s for s, _ in of])) for name, of in calls.items()}}


# --------------------------------------------------------------------- memory


def run_memory(args):
    def point(depth, spp):
        command = [sys.executable, __file__, "--point", str(args.size), str(depth), str(spp)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)

    point(args.depths[0], args.spps[0])  # fills the cache of kernels, whose compiler takes memory of its own
    points = []
    wanted = [(d, min(args.spps)) for d in args.depths]
    for depth, spp in dict.fromkeys(wanted + [(min(args.depths), s) for s in args.spps]):
        points.append({"depth": depth, "spp": spp} | point(depth, spp))
        slopes = {}
        for over, other in (("depth", "spp"), ("spp", "depth")):
            least = min(p[other] for p in points)
            line = [p for p in points if p[other] == least]
            slopes[over] = {
                c: slope([p[over] for p in line], [p[c] for p in line]) for c in ("device_mib", "peak_mib")
            }
        result = {"points": points, "slopes": slopes}
        save(args, result, reports.memory_report(result))
    print(reports.memory_report(result))


def memory_point(size, depth, spp):
    """One gradient in this process; prints its memory as JSON."""
    import resource

    with tempfile.TemporaryDirectory() as folder:
        made, _, _ = problems.moved("primary", folder, size=size, depth=depth)
        scene, method = prb.load_dict(made), adjoint()
    prb.render_backward(scene, objective(size), [POSITIONS], spp=1, adjoint=method)
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    prb.render_backward(scene, objective(size), [POSITIONS], spp=spp, adjoint=method)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    device = (scene.device_bytes() + method.device_bytes(scene, spp=spp, max_depth=depth)) / 2**20
    print(json.dumps({"device_mib": device, "peak_mib": peak, "growth_mib": peak - base}))


# ---------------------------------------------------------------------- still


def run_still(args):
    found = {}
    for name in args.scene or STILL:
        if scenes.missing(name):
            print(f"{name}: left out, its files are not here")
            continue
        times = between_versions.measure(
            name, sys.executable, args.spp, args.runs, other_path=Path(args.other).resolve()
        )
        found[name] = {task: times[task] for task in ("render", "value_and_grad")}
        ratios = [this / other for of in found.values() for this, other in of.values()]
        result = {"scenes": found, "geometric_mean": float(geometric_mean(np.array(ratios)))}
        save(args, result, reports.still_report(result))
    print(reports.still_report(result))


# ---------------------------------------------------------------------- refit


def run_refit(args):
    found = {}
    for kind in ("face normals", "smooth normals"):
        with tempfile.TemporaryDirectory() as folder:
            made, vertices = problems.sheet(folder, args.triangles, smooth=kind == "smooth normals")
            scene = prb.load_dict(made)
        params, direction = prb.traverse(scene), problems.field(vertices, seed=3)
        prb.render(scene, spp=1)
        seconds = []
        for k in range(-2, args.runs):
            moved = (vertices + 1e-3 * (1 + k % 3) * direction).astype(np.float32)
            time.sleep(REST)
            start = time.perf_counter()
            params.update({POSITIONS: moved})
            if k >= 0:
                seconds.append(time.perf_counter() - start)
            prb.render(scene, spp=1)
        found[kind] = {"triangles": len(scene.model.shapes[0].faces), "seconds": seconds}
        save(args, found, reports.refit_report(found))
    print(reports.refit_report(found))


# -------------------------------------------------------------------- results


def save(args, result, text):
    """As loop_against_mitsuba.py."""
    loop.save(args, result, text, subject="moving", script="moving.py")


def arguments(argv=None):
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    made = {}
    for task, run, size in (
        ("variance", run_variance, 96), ("recovery", run_recovery, 128), ("time", run_time, 128),
        ("memory", run_memory, 64), ("still", run_still, None), ("refit", run_refit, None),
    ):  # fmt: skip
        one = made[task] = tasks.add_parser(task)
        one.set_defaults(run=run)
        one.add_argument("-o", "--output", type=Path, default=Path("."), help="folder")
        if size is not None:
            one.add_argument("--size", type=int, default=size, help="pixels of a side")
    for task, spp, depth in (("variance", 16, 3), ("recovery", 16, 2), ("time", 16, 3)):
        made[task].add_argument("--spp", type=int, default=spp)
        made[task].add_argument("--depth", type=int, default=depth, help="edges of a path")
        made[task].add_argument("--face-normals", action="store_false", dest="smooth")
    for task in ("variance", "recovery"):
        made[task].add_argument("--vertices", type=int, default=problems.VERTICES)
        made[task].add_argument("--reference", type=int, default=512, help="samples per pixel of references")
    for task in ("variance", "time"):
        made[task].add_argument("--case", action="append", choices=problems.CASES)
    for task, runs in (("recovery", 1), ("time", 15), ("still", 15), ("refit", 9)):
        made[task].add_argument("--runs", type=int, default=runs)
    variance, recovery, memory, still = (made[t] for t in ("variance", "recovery", "memory", "still"))
    guiding = dict(choices=("octree", "grid", "none"), help="of Mitsuba")
    variance.add_argument("--guiding", nargs="+", default=["octree", "none"], **guiding)
    recovery.add_argument("--guiding", default="none", **guiding)
    variance.add_argument("--seeds", type=int, default=40, help="samples of each side")
    variance.add_argument(
        "--parameters", nargs="+", choices=("pose", "vertices"), default=["pose", "vertices"]
    )
    variance.add_argument("--joint", action="store_true", help="prb's picture and gradient by value_and_grad")
    recovery.add_argument("--target", metavar="PLY", help="another shape than the statue")
    recovery.add_argument("--seconds", type=float, default=120.0, help="of each run of a side")
    recovery.add_argument("--warm-up", type=float, default=5.0, help="seconds of each side, not counted")
    recovery.add_argument("--rate", type=float, default=0.05, help="of Adam, in radii of the mesh")
    recovery.add_argument("--folds", type=int, default=2, help="of prb's samples; 0: prb's default")
    memory.add_argument("--depths", type=int, nargs="+", default=[4, 8, 16, 32, 64, 128, 256])
    memory.add_argument("--spps", type=int, nargs="+", default=[16, 64, 256, 1024])
    still.add_argument("--other", required=True, metavar="CHECKOUT")
    still.add_argument("--scene", action="append", choices=between_versions.SCENES)
    still.add_argument("--spp", type=int, default=16)
    made["refit"].add_argument("--triangles", type=int, default=10**6)
    args = parser.parse_args(argv)
    if getattr(args, "seeds", 2) < 2:
        parser.error("--seeds: a variance needs 2 at least")
    if "other" in args and not (Path(args.other) / "prb" / "__init__.py").exists():
        parser.error(f"--other: {args.other} is no checkout of prb")
    return args


def main(argv=None):
    args = arguments(argv)
    loop.run(args, mitsuba=args.task in ("variance", "recovery"))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--point"]:
        memory_point(*map(int, sys.argv[2:]))
    else:
        main()
