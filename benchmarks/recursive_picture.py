"""What is a recursive picture worth at equal time, along an optimisation and at its end?

    python benchmarks/recursive_picture.py [--problem NAME ...] [--repetitions 40] [--runs 5] [--part noise]

`noise`: Adam goes 50 steps from the start. Along the parameters of that run, the same for all repetitions,
gradients are estimated with and without a `prb.RecursivePicture`, which sees every iteration. Printed is the
variance without it over that with it, a geometric mean over all numbers that are optimised, at iterations 1,
10 and 50; the ratio of times; and `efficiency`, variance x time without
over that with. `bias_z` is the largest difference of means over its standard error, among the mean of each
parameter's numbers.

`recovery`: recoveries at a rate of 0.05, constant and falling to zero along half a cosine, without it, and
with it in as many iterations as take the same time: `error` is the mean squared difference to the true
parameters, a median over runs, with the quartiles. The targets are the same in all runs.

Times are process CPU times, summed over threads, as the machine may have other work.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np

import prb
import scenes

MEASURED = 1, 10, 50
RATE = 0.05  # of recoveries


@dataclass(frozen=True)
class Problem:
    """scene: a dictionary. initial: a number or three. spp: of an iteration. reference: of the targets.
    rate: of Adam, where noise is measured."""

    scene: dict
    parameters: tuple
    initial: float
    spp: int
    size: int
    loss: str = "relative_l2"
    rate: float = 0.02
    reference: int = 1024
    iterations: int = 150


def cornell_box():
    names = "red.reflectance.value", "green.reflectance.value", "white.reflectance.value"
    return Problem(scenes.cornell_box(max_depth=6), names, 0.5, 8, 48)


def glazed_knot():
    names = tuple(f"glaze.{key}" for key in ("base_color.value", "roughness.value", "metallic.value"))
    return Problem(scenes.bundled("glazed-knot"), (*names, "ground.bsdf.reflectance.value"), 0.5, 8, 48)


def painted_plane():
    names = ("painting.reflectance.data",)
    return Problem(scenes.bundled("painted-plane"), names, 0.5, 8, 64, loss="l2")


def silver_ball():
    return Problem(scenes.bundled("silver-ball"), ("sky.data",), 0.5, 8, 48, loss="l2", rate=0.1)


PROBLEMS = {
    "cornell-box": cornell_box,
    "glazed-knot": glazed_knot,
    "painted-plane": painted_plane,
    "silver-ball": silver_ball,
}


def loaded(problem, values=None):
    """(scene, its parameters), with the initial values, or the true ones for 'true'."""
    scene = prb.load_dict(problem.scene)
    for sensor in range(len(scene.model.sensors)):
        scene.view(sensor).resize(problem.size, problem.size)
    params = prb.traverse(scene)
    if values != "true":
        params.update({n: np.full(params[n].shape, problem.initial) for n in problem.parameters})
    return scene, params


def targets(problem):
    scene, params = loaded(problem, "true")
    count = len(scene.model.sensors)
    pictures = [prb.render(scene, sensor=i, spp=problem.reference, seed=10**6) for i in range(count)]
    return pictures, {name: params[name] for name in problem.parameters}


def flat(values, names):
    return np.concatenate([np.ravel(values[name]) for name in names])


def noise(problem, repetitions, goal):
    """Variances and times of the first sensor's gradient, with and without, along one run of Adam."""
    names = problem.parameters
    scene, params = loaded(problem)
    loss = getattr(prb.losses, problem.loss)(goal[0])
    opt, trajectory = prb.Adam(problem.rate, {n: params[n] for n in names}), []
    for k in range(max(MEASURED) + 1):
        trajectory.append({n: np.array(opt[n]) for n in names})
        opt.step(prb.value_and_grad(scene, names, loss, spp=problem.spp, seed=10**5 + k).grads)
        params.update(opt)
    found = {(way, k): [] for way in ("without", "with") for k in MEASURED}
    seconds = {way: [] for way in ("without", "with")}
    for repetition in range(repetitions):
        picture = prb.RecursivePicture()
        for k, values in enumerate(trajectory):
            params.update(values)
            for way, options in (("with", {"picture": picture}), ("without", {})):
                if way == "without" and k not in MEASURED:
                    continue
                begun = time.process_time()
                seed = 1000 * repetition + k
                result = prb.value_and_grad(scene, names, loss, spp=problem.spp, seed=seed, **options)
                if k > 1:
                    seconds[way].append(time.process_time() - begun)
                if k in MEASURED:
                    found[way, k].append(result.grads)
    time_ratio = np.median(seconds["with"]) / np.median(seconds["without"])
    for k in MEASURED:
        one, other = (np.array([flat(g, names) for g in found[way, k]]) for way in ("without", "with"))
        one, other = one.var(axis=0, ddof=1), other.var(axis=0, ddof=1)
        seen = one > 0  # some texels are not
        ratio = np.exp(np.mean(np.log(one[seen] / other[seen])))
        z = 0.0
        for name in names:
            a, b = (np.array([g[name].mean() for g in found[way, k]]) for way in ("without", "with"))
            error = np.sqrt((a - b).var(ddof=1) / repetitions)  # with and without share their seeds
            z = max(z, abs(a.mean() - b.mean()) / error)
        print(
            f"  iteration {k:3}: variance_ratio {ratio:6.2f}, time_ratio {time_ratio:.2f}, "
            f"efficiency {ratio / time_ratio:6.2f}, bias_z {z:.1f}",
            flush=True,
        )


def recovery(problem, rate, cosine, runs, goal, true):
    """Errors of recoveries at equal time."""
    names, errors, seconds = problem.parameters, {}, {}

    def run(recursive, iterations, seed):
        scene, _ = loaded(problem)
        rates = prb.schedules.Cosine(rate, iterations) if cosine else rate
        begun = time.process_time()
        found = prb.optimize(
            scene, names, goal, loss=problem.loss, optimizer=prb.Adam(rates), iterations=iterations,
            spp=problem.spp, seed=seed, recursive=recursive,
        )  # fmt: skip
        took = time.process_time() - begun
        return np.mean((flat(found.params, names) - flat(true, names)) ** 2), took

    for recursive in (False, True):
        run(recursive, 3, 0)  # compiles
        seconds[recursive] = run(recursive, 20, 1)[1] / 20
    count = {False: problem.iterations, True: round(problem.iterations * seconds[False] / seconds[True])}
    for recursive in (False, True):
        done = [run(recursive, count[recursive], 10 + seed) for seed in range(runs)]
        errors[recursive] = np.quantile([error for error, _ in done], (0.25, 0.5, 0.75))
        low, median, high = errors[recursive]
        what = "with   " if recursive else "without"
        print(
            f"  {what}: iterations {count[recursive]:4}, total_s {np.median([t for _, t in done]):.2f}, "
            f"error {median:.3g} ({low:.3g} to {high:.3g})",
            flush=True,
        )
    print(f"  error_ratio {errors[False][1] / errors[True][1]:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problem", action="append", choices=PROBLEMS)
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--part", action="append", choices=("noise", "recovery"))
    args = parser.parse_args()
    for name in args.problem or PROBLEMS:
        problem = PROBLEMS[name]()
        goal, true = targets(problem)
        if "noise" in (args.part or ("noise", "recovery")):
            print(f"{name}, {problem.size} x {problem.size} x {problem.spp} spp: noise", flush=True)
            noise(problem, args.repetitions, goal)
        if "recovery" in (args.part or ("noise", "recovery")):
            for cosine in (False, True):
                schedule = "cosine" if cosine else "constant"
                print(f"{name}, {problem.spp} spp: recovery, rate {RATE}, {schedule}", flush=True)
                recovery(problem, RATE, cosine, args.runs, goal, true)


if __name__ == "__main__":
    main()
