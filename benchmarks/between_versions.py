"""This version of prb against another one: time of a picture, of `value_and_grad`, of a call, of compiling.

    python benchmarks/between_versions.py --other PYTHON [--spp 16] [--runs 9] [--scene NAME ...] [-o FILE]

PYTHON is the interpreter of an environment in which the other version is installed. Each version runs in a
process of its own and the two take turns, so that a machine whose speed drifts slows both. Compiling is timed
with a cache of compiled kernels in an empty folder. Times are the fastest of the runs, which says most on a
machine that is not quiet; a ratio is this version's over the other's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCENES = ("cornell-box", "bunny-box", "furnace", "principled-bunny", "textured-room", "rough-glass")
TASKS = ("render", "value_and_grad", "call")
CALLS = 100  # of a 16 x 16 film, of which the fastest counts
ROOT = Path(__file__).resolve().parents[1]


def work(path):
    """A worker process: a scene in a JSON file; then one task in, its seconds out, until the input ends."""
    import prb

    scene, names = json.loads(Path(path).read_text())
    scene = prb.load_dict(scene)
    spp = int(sys.argv[3])
    weight = None

    def loss(image):
        nonlocal weight
        weight = image * 0 + 1 / image.size if weight is None else weight
        return image.mean(), weight

    def value_and_grad():
        prb.value_and_grad(scene, names, loss, spp=spp)

    def call():
        small.resize(16, 16)
        return [timed(lambda: prb.render(small, spp=1)) for _ in range(CALLS)]

    def timed(task):
        start = time.perf_counter()
        task()
        return time.perf_counter() - start

    small = prb.load_file("cornell-box")
    first = {}
    for task, run in (("render", lambda: prb.render(scene, spp=spp)), ("value_and_grad", value_and_grad)):
        first[task] = timed(run)
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        task = line.strip()
        if task == "call":
            print(json.dumps(min(call())), flush=True)
        else:
            run = value_and_grad if task == "value_and_grad" else lambda: prb.render(scene, spp=spp)
            print(json.dumps(timed(run)), flush=True)


class Version:
    """A version's process for a scene, with an empty cache of kernels."""

    def __init__(self, python, path, file, spp, cache):
        environment = {**os.environ, "TI_OFFLINE_CACHE_FILE_PATH": str(cache), "PRB_ARCH": "cpu"}
        environment.pop("PYTHONPATH", None)
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        command = [str(python), os.path.abspath(__file__), "--work", str(file), str(spp)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=cache
        )
        self.first = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args[0]}: a version ended early; its error is above")
        return json.loads(line)

    def ask(self, task):
        time.sleep(0.05)
        self.process.stdin.write(task + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(name, other, spp, runs, *, other_path=None):
    """{task: (this version's seconds, the other's)} for a scene. other: the other version's interpreter, and
    other_path a checkout of it, where it is not installed there."""
    from workers import with_matrices

    import scenes

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        file = folder / "scene.json"
        file.write_text(json.dumps([with_matrices(scenes.SCENES[name]()), scenes.PARAMETERS.get(name)]))
        caches = [folder / "this", folder / "other"]
        for cache in caches:
            cache.mkdir()
        sides = [
            Version(sys.executable, ROOT, file, spp, caches[0]),
            Version(other, other_path, file, spp, caches[1]),
        ]  # fmt: skip
        found = {task: tuple(side.first[task] for side in sides) for task in sides[0].first}
        found = {f"{task}, cold": seconds for task, seconds in found.items()}
        for task in TASKS:
            seconds = [[], []]
            for _ in range(runs):
                for side, times in zip(sides, seconds, strict=True):
                    times.append(side.ask(task))
            found[task] = tuple(map(min, seconds))
        for side in sides:
            side.close()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--other", required=True, metavar="PYTHON")
    parser.add_argument("--spp", type=int, default=16)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--scene", action="append", choices=SCENES)
    parser.add_argument("-o", "--output", metavar="FILE")
    args = parser.parse_args()
    import scenes

    lines = [f"{'scene':18}{'task':22}{'this, ms':>10}{'other, ms':>11}{'ratio':>8}"]
    print(lines[0])
    for name in args.scene or SCENES:
        if scenes.missing(name):
            print(f"{name}: left out, its files are not here")
            continue
        for task, (this, other) in measure(name, args.other, args.spp, args.runs).items():
            row = f"{name:18}{task:22}{1e3 * this:10.2f}{1e3 * other:11.2f}{this / other:8.3f}"
            lines.append(row)
            print(row, flush=True)
    if args.output:
        Path(args.output).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2])
    else:
        main()
