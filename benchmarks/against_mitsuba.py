"""Render and render + gradient, prb against Mitsuba 3 (`llvm_ad_rgb`), side by side in one run.

    python benchmarks/against_mitsuba.py [--spp 64] [--runs 5] [--scene NAME ...] [-o FILE]

Each program runs in a process of its own; the two take turns, so that a machine whose speed drifts slows
both. The first run of each, which compiles, is reported but not counted. Without Mitsuba only prb is
timed. Mitsuba's LLVM variants need LLVM 17 or later (DRJIT_LIBLLVM_PATH).

One gradient is that of the mean of all pixel values with respect to every reflectance and radiance.
Mitsuba renders and differentiates in one call (its `prb` integrator traces the primal and two sweeps);
prb's is `render` and `render_backward`.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

SCENES = ("cornell-box", "bunny-box")
TASKS = ("render", "gradient")


def scene_dict(name):
    import scenes

    return {"cornell-box": scenes.cornell_box, "bunny-box": scenes.bunny_box}[name]()


class Prb:
    """prb's side: `gradient` is the gradient pass alone."""

    def __init__(self, name):
        import prb

        self.prb = prb
        self.scene = prb.load_dict(scene_dict(name))
        self.weight = np.full(self.scene.image_shape, 1 / np.prod(self.scene.image_shape))

    def render(self, spp, seed):
        return {
            "mean": self.prb.render(self.scene, spp=spp, seed=seed).mean(axis=(0, 1), dtype=float).tolist()
        }

    def gradient(self, spp, seed):
        return {
            k: g.tolist()
            for k, g in self.prb.render_backward(self.scene, self.weight, spp=spp, seed=seed).items()
        }


class Mitsuba:
    """Mitsuba's side: `gradient` renders and differentiates, which it does not separate."""

    def __init__(self, name):
        import drjit
        import mitsuba

        mitsuba.set_variant("llvm_ad_rgb")
        self.mi, self.dr = mitsuba, drjit
        scene = self._converted(scene_dict(name))
        scene["integrator"]["type"] = "prb"
        self.scene = mitsuba.load_dict(scene)
        self.params = mitsuba.traverse(self.scene)
        self.names = [k for k in self.params.keys() if k.endswith(("reflectance.value", "radiance.value"))]

    def _converted(self, d):
        """prb's lists of transform steps as Mitsuba's transforms."""
        from prb.scene.transforms import parse_transform

        if isinstance(d, dict):
            return {
                k: self.mi.ScalarTransform4f(parse_transform(v, k)) if k == "to_world" else self._converted(v)
                for k, v in d.items()
            }
        return d

    def render(self, spp, seed):
        image = self.mi.render(self.scene, spp=spp, seed=seed)
        self.dr.eval(image)
        self.dr.sync_thread()
        return {"mean": np.array(image).mean(axis=(0, 1), dtype=float).tolist()}

    def gradient(self, spp, seed):
        for name in self.names:
            self.dr.enable_grad(self.params[name])
            self.dr.set_grad(self.params[name], 0)
        self.params.update()
        image = self.mi.render(self.scene, self.params, spp=spp, seed=seed)
        self.dr.backward(self.dr.mean(image, axis=None))
        gradients = [self.dr.grad(self.params[name]) for name in self.names]
        self.dr.eval(gradients)
        self.dr.sync_thread()
        found = {n: np.array(g, float).ravel().tolist() for n, g in zip(self.names, gradients, strict=True)}
        for name in self.names:
            self.dr.disable_grad(self.params[name])
        self.params.update()
        return found


def serve(side, name):
    """A worker process: one line of JSON in, one out, until the input ends."""
    worker = {"prb": Prb, "mitsuba": Mitsuba}[side](name)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        value = getattr(worker, request["task"])(request["spp"], request["seed"])
        print(json.dumps({"seconds": time.perf_counter() - start, "value": value}), flush=True)


class Worker:
    def __init__(self, side, scene):
        command = [sys.executable, __file__, "--worker", side, "--scene", scene]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended early: {' '.join(self.process.args)}")
        return json.loads(line)

    def ask(self, task, spp, seed):
        self.process.stdin.write(json.dumps({"task": task, "spp": spp, "seed": seed}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(scene, spp, runs):
    """Compile times, medians and the mean of the last values of both sides on one scene."""
    sides = ["prb"] + (["mitsuba"] if importlib.util.find_spec("mitsuba") else [])
    workers = {side: Worker(side, scene) for side in sides}
    first = {s: {t: workers[s].ask(t, spp, 0)["seconds"] for t in TASKS} for s in sides}
    seconds = {s: {t: [] for t in TASKS} for s in sides}
    values = {s: {t: [] for t in TASKS} for s in sides}
    for run in range(runs):
        for task in TASKS:
            for side in sides:
                answer = workers[side].ask(task, spp, run + 1)
                seconds[side][task].append(answer["seconds"])
                values[side][task].append(answer["value"])
    for worker in workers.values():
        worker.close()
    result = {"scene": scene, "spp": spp, "runs": runs}
    for side in sides:
        median = {t: float(np.median(seconds[side][t])) for t in TASKS}
        together = [
            g + (r if side == "prb" else 0)
            for r, g in zip(seconds[side]["render"], seconds[side]["gradient"], strict=True)
        ]
        result[side] = {
            "render_median_s": median["render"],
            "gradient_median_s": median["gradient"],
            "render_and_gradient_median_s": float(np.median(together)),
            "first_render_s": first[side]["render"],
            "first_gradient_s": first[side]["gradient"],
            "seconds": seconds[side],
            "values": {
                key: np.mean([v[key] for t in TASKS for v in values[side][t] if key in v], axis=0).tolist()
                for key in {k for t in TASKS for k in values[side][t][0]}
            },
        }
    return result


def report(result):
    """The figures of one scene as text."""
    mine, other = result["prb"], result.get("mitsuba")
    lines = [f"{result['scene']}, {result['spp']} spp, median of {result['runs']} after the compiling run"]
    lines.append(f"  {'':32}{'prb':>10}" + (f"{'mitsuba':>10}{'ratio':>8}" if other else ""))
    for label, key in (
        ("render, s", "render_median_s"),
        ("render + gradient, s", "render_and_gradient_median_s"),
        ("first render, s", "first_render_s"),
        ("first gradient, s", "first_gradient_s"),
    ):
        line = f"  {label:32}{mine[key]:10.3f}"
        lines.append(line + (f"{other[key]:10.3f}{mine[key] / other[key]:8.2f}" if other else ""))
    lines.append(
        f"  {'gradient pass over render':32}{mine['gradient_median_s'] / mine['render_median_s']:10.2f}"
    )
    for key in sorted(mine["values"]):
        line = f"  {key:32}" + " ".join(f"{x:.6f}" for x in mine["values"][key])
        if other:
            theirs = np.array(other["values"][key])
            off = np.max(np.abs(np.array(mine["values"][key]) / theirs - 1))
            line += "   mitsuba " + " ".join(f"{x:.6f}" for x in theirs) + f"   off by {100 * off:.2f} %"
        lines.append(line)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--spp", type=int, default=64)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--scene", action="append", choices=SCENES)
    parser.add_argument("-o", "--output", type=Path, help="also write the results as JSON")
    parser.add_argument("--worker", choices=["prb", "mitsuba"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return serve(args.worker, args.scene[0])
    results = []
    for scene in args.scene or SCENES:
        import scenes

        if scene == "bunny-box" and not scenes.BUNNY.exists():
            print(f"{scene}: left out, {scenes.BUNNY.name} is not here")
            continue
        results.append(measure(scene, args.spp, args.runs))
        print(report(results[-1]), flush=True)
        if args.output:
            args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
