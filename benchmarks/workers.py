"""Programs to compare, each in a process of its own that answers requests: prb's methods and Mitsuba.

    python benchmarks/workers.py SIDE FILE      SIDE: a key of SIDES or RECOVERY; requests are lines of JSON

FILE holds {"scene": dictionary, "parameters": names or null, "options": of the side}. A worker imports only
its own program, so that its peak memory is that program's.
"""

import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TRANSFORMS = ("to_world", "to_uv")
BLOCKS = 4  # of each side of an image, whose gradient is reported as sums over blocks
REST = 0.1  # seconds before a request: threads of the side that answered last spin on for some milliseconds
LARGE = 64  # numbers, from which on a parameter is taken to be an image


def digest(gradient):
    """A parameter's gradient as a list; of an image (rows, columns, channels) the sums over its blocks."""
    g = np.asarray(gradient, float)
    if g.size < LARGE:
        return g.ravel().tolist()
    parts = [np.array_split(row, BLOCKS, axis=1) for row in np.array_split(g, BLOCKS, axis=0)]
    return [float(part.sum()) for row in parts for part in row]


class Prb:
    """prb's side: `gradient` is the gradient pass alone, `value_and_grad` picture and gradient together.

    hit_budget: bytes, for the latter; None: prb's default.
    """

    def __init__(self, scene, parameters=None, method="replay", hit_budget=None):
        import prb
        from prb.estimators.registry import METHODS

        self.prb = prb
        self.scene = prb.load_dict(scene)
        self.method = METHODS[method]()
        self.budget = {} if hit_budget is None else {"hit_budget": hit_budget}
        self.losses = [lambda image: (image.mean(), self.weight)]  # of each sensor
        self.names = parameters
        self.weight = np.full(self.scene.image_shape, 1 / np.prod(self.scene.image_shape))

    def render(self, spp, seed):
        return {
            "mean": self.prb.render(self.scene, spp=spp, seed=seed).mean(axis=(0, 1), dtype=float).tolist()
        }

    def gradient(self, spp, seed):
        options = dict(spp=spp, seed=seed, adjoint=self.method)
        return self.prb.render_backward(self.scene, self.weight, self.names, **options)

    def value_and_grad(self, spp, seed, view=0):
        options = dict(sensor=view, spp=spp, seed=seed, **self.budget)
        return self.prb.value_and_grad(self.scene, self.names, self.losses[view], **options).grads


class Mitsuba:
    """Mitsuba's side: `gradient` renders and differentiates, which it does not separate."""

    def __init__(self, scene, parameters=None, integrator="prb"):
        import drjit
        import mitsuba

        mitsuba.set_variant("llvm_ad_rgb")
        mitsuba.set_log_level(mitsuba.LogLevel.Error)  # its warnings would go among the answers
        self.mi, self.dr = mitsuba, drjit
        scene = self._converted(scene)
        scene["integrator"]["type"] = integrator
        self.scene = mitsuba.load_dict(scene)
        self.params = mitsuba.traverse(self.scene)
        ends = ("reflectance.value", "radiance.value")
        self.names = parameters or [k for k in self.params.keys() if k.endswith(ends)]

    def _converted(self, d):
        """Matrices as Mitsuba's transforms."""
        if isinstance(d, dict):
            return {
                k: self.mi.ScalarTransform4f(np.array(v)) if k in TRANSFORMS else self._converted(v)
                for k, v in d.items()
            }
        return d

    def render(self, spp, seed):
        image = self.mi.render(self.scene, spp=spp, seed=seed)
        self.dr.eval(image)
        self.dr.sync_thread()
        return {"mean": np.array(image).mean(axis=(0, 1), dtype=float).tolist()}

    def gradient(self, spp, seed):
        leaves = {name: type(self.params[name])(self.params[name]) for name in self.names}
        for name, leaf in leaves.items():
            self.dr.enable_grad(leaf)
            self.params[name] = leaf
        self.params.update()
        image = self.mi.render(self.scene, self.params, spp=spp, seed=seed)
        self.dr.backward(self.dr.mean(image, axis=None))
        gradients = [self.dr.grad(leaf) for leaf in leaves.values()]
        self.dr.eval(gradients)
        self.dr.sync_thread()
        found = {name: np.array(g) for name, g in zip(self.names, gradients, strict=True)}
        for name, leaf in leaves.items():
            self.params[name] = self.dr.detach(leaf)
        self.params.update()
        return found


class RecoverPrb(Prb):
    """prb's side of a recovery: one `step` is an iteration over all sensors.

    reference: samples per pixel of the targets. initial: what the parameters are set to, a number or three.
    rates: the learning rate of each iteration. loss: "l2" or "relative_l2".
    """

    def __init__(self, scene, parameters, *, reference, initial, rates, loss):
        super().__init__(scene, parameters)
        prb = self.prb
        make = prb.losses.LOSSES[loss]
        self.views = range(len(self.scene.model.sensors))
        self.losses = [
            make(prb.render(self.scene, sensor=v, spp=reference, seed=10**6 + v)) for v in self.views
        ]
        self.rates, self.params = rates, prb.traverse(self.scene)
        self.true = {name: self.params[name].astype(float) for name in parameters}
        self.initial = {name: np.broadcast_to(initial, x.shape) for name, x in self.true.items()}
        self.reset()

    def reset(self, *_):
        self.opt = self.prb.Adam(self.rates[0], self.initial)
        self.params.update(self.opt)
        return {}

    def step(self, spp, k):
        """Iteration k."""
        gradients = dict.fromkeys(self.names, 0.0)
        for v in self.views:
            seed = k * len(self.views) + v
            grads = self.value_and_grad(spp, seed, v)
            gradients = {name: gradients[name] + grads[name] / len(self.views) for name in self.names}
        self.opt.set_learning_rate(self.rates[k])
        self.opt.step(gradients)
        self.params.update(self.opt)
        return {}

    def error(self, *_):
        """Mean squared error of each parameter."""
        return {name: np.square(self.opt[name] - true).mean() for name, true in self.true.items()}


class RecoverMitsuba(Mitsuba):
    """Mitsuba's side of a recovery, as `RecoverPrb`. Its picture and its gradient each take `spp` samples."""

    def __init__(self, scene, parameters, *, reference, initial, rates, loss):
        super().__init__(scene, parameters)
        mi = self.mi
        self.views = range(len(self.scene.sensors()))
        self.targets = [mi.render(self.scene, sensor=v, spp=reference, seed=10**6 + v) for v in self.views]
        self.weights = [1 / (t * t + 1e-2) if loss == "relative_l2" else 1.0 for t in self.targets]
        self.dr.eval(self.targets, self.weights)
        self.rates = rates
        self.true = {name: np.array(self.params[name], float) for name in parameters}
        self.initial = {name: self._filled(name, initial) for name in parameters}
        self.reset()

    def _filled(self, name, numbers):
        own = self.params[name]
        if isinstance(own, (self.mi.TensorXf, self.mi.Float)):
            return type(own)(np.full(np.shape(own), numbers, np.float32))
        return type(own)(numbers)

    def reset(self, *_):
        self.opt = self.mi.ad.Adam(lr=self.rates[0], params=self.initial)
        self._update()
        return {}

    def _update(self):
        self.params.update(self.opt)
        self.dr.eval([self.opt[name] for name in self.names])
        self.dr.sync_thread()

    def step(self, spp, k):
        for v in self.views:
            seed = k * len(self.views) + v
            image = self.mi.render(self.scene, self.params, sensor=v, spp=spp, seed=seed)
            squared = self.dr.square(image - self.targets[v]) * self.weights[v]
            self.dr.backward(self.dr.mean(squared, axis=None) / len(self.views))
        self.opt.set_learning_rate(self.rates[k])
        self.opt.step()
        for name in self.names:
            self.opt[name] = self.dr.clip(self.opt[name], 0, 1)
        self._update()
        return {}

    def error(self, *_):
        return {
            name: np.square(np.array(self.opt[name], float).ravel() - true.ravel()).mean()
            for name, true in self.true.items()
        }


SIDES = {
    "replay": Prb,
    "tape": lambda scene, names: Prb(scene, names, "tape"),
    "mitsuba-prb": lambda scene, names: Mitsuba(scene, names, "prb"),
    "mitsuba-path": lambda scene, names: Mitsuba(scene, names, "path"),  # plain reverse mode
}
RECOVERY = {"recover-prb": RecoverPrb, "recover-mitsuba": RecoverMitsuba}


def has_mitsuba():
    return importlib.util.find_spec("mitsuba") is not None


def main(side, path):
    """A worker process: one line of JSON in, one out, until the input ends."""
    given = json.loads(Path(path).read_text())
    worker = {**SIDES, **RECOVERY}[side](given["scene"], given["parameters"], **given["options"])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        start = time.perf_counter()
        value = getattr(worker, request["task"])(request["spp"], request["seed"])
        seconds = time.perf_counter() - start
        value = {name: digest(x) for name, x in value.items()}
        print(json.dumps({"seconds": seconds, "value": value}), flush=True)


class WorkerError(Exception):
    """A worker that ended early; the message says how."""


class Worker:
    """A side's process for a scene dictionary. parameters: names of what is differentiated; None: every
    reflectance and radiance, which prb takes to be all there is. options: of the side's class."""

    def __init__(self, side, scene, parameters=None, **options):
        self.side = side
        self.errors = tempfile.TemporaryFile("w+")
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            given = {"scene": with_matrices(scene), "parameters": parameters, "options": options}
            json.dump(given, file)
            file.flush()
            command = [sys.executable, __file__, side, file.name]
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True)
            self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines() or [""]
        raise WorkerError(f"{self.side}: ended early with status {status}: {lines[-1]}"[:200])

    def ask(self, task, spp, seed):
        """The answer to a request: {"seconds": ..., "value": ...}."""
        time.sleep(REST)
        self.process.stdin.write(json.dumps({"task": task, "spp": spp, "seed": seed}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def peak_mib(self):
        from prb.bench.measure import peak_mib

        return peak_mib(self.process.pid)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.errors.close()


def with_matrices(d):
    """A scene dictionary with matrices for transforms, which both programs take."""
    from prb.scene.reading.transforms import parse_transform

    if isinstance(d, dict):
        return {
            k: np.asarray(parse_transform(v, k)).tolist() if k in TRANSFORMS else with_matrices(v)
            for k, v in d.items()
        }
    return d


if __name__ == "__main__":
    main(*sys.argv[1:])
