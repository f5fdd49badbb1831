"""prb and Mitsuba 3 (`llvm_ad_rgb`) in one process, as loop_against_mitsuba.py measures them.

A side is made of a scene dictionary with matrices (`workers.with_matrices`) and the names of its parameters.
Values, gradients and pictures go in and out as float64 arrays in prb's shapes. Only what a user's loop would
do is timed: of Mitsuba with `dr.eval` and `dr.sync_thread`, as it evaluates lazily.

Of prb only the public functions are used, so that what is behind them can change.
"""

import os
import time
from pathlib import Path

import numpy as np
import workers

import prb

LLVM = ("/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1", "/usr/lib/llvm-19/lib/libLLVM.so")  # Debian's libllvm19
LOW = 0.01  # of recovered roughness: Mitsuba's is not finite at 0
EPSILON = 1e-2  # of the loss, as `prb.losses.relative_l2`


class Finished(KeyboardInterrupt):
    """The time of a recovery is over; `prb.optimize` ends as at Ctrl-C, with the last values."""


class Prb:
    """prb's side. options: more keyword arguments for `prb.value_and_grad` and `prb.optimize`."""

    name = "prb"

    def __init__(self, scene, parameters, **options):
        self.scene = prb.load_dict(scene)
        self.names, self.options = list(parameters), options
        self.params = prb.traverse(self.scene)
        self.true = {name: self.params[name].astype(float) for name in self.names}

    def set(self, values):
        """Set the parameters. values: name -> array."""
        self.params.update(values)

    def render(self, spp, seed, view=0):
        """(seconds, picture)"""
        start = time.perf_counter()
        image = prb.render(self.scene, sensor=view, spp=spp, seed=seed)
        return time.perf_counter() - start, image.astype(float)

    def gradient(self, target, spp, seed):
        """(seconds, name -> gradient of the weighted squared error)"""
        return self.gradient_of(prb.losses.relative_l2(target, EPSILON), spp, seed)

    def gradient_of(self, loss, spp, seed):
        """(seconds, name -> gradient of a loss)"""
        start = time.perf_counter()
        grads = prb.value_and_grad(self.scene, self.names, loss, spp=spp, seed=seed, **self.options).grads
        return time.perf_counter() - start, grads

    def recover(self, targets, initial, *, rate, spp, seed, seconds):
        """As `Mitsuba.recover`."""
        self.set(initial)
        bounds = {name: bounds_of(name) for name in self.names}
        watch = Watch(seconds, lambda: {name: self.params[name] for name in self.names}, self.true)

        def before(k):
            watch.record()
            if watch.over:
                raise Finished

        found = prb.optimize(
            self.scene, self.names, targets, loss=lambda target: prb.losses.relative_l2(target, EPSILON),
            optimizer=prb.Adam(rate, bounds=bounds), iterations=10**6, spp=spp, seed=seed,
            on_iteration=before, **self.options,
        )  # fmt: skip
        if found.stopped is None:  # it ended by itself, early: nothing changes after that
            watch.record()
        elif not isinstance(found.stopped, Finished):
            raise found.stopped
        return watch.curve


class Mitsuba:
    """Mitsuba's side, with its `prb` integrator. Picture and gradient have independent samples, `spp` of
    each, as `mi.render` takes them by itself."""

    name = "mitsuba"
    integrator = "prb"

    def __init__(self, scene, parameters):
        if "DRJIT_LIBLLVM_PATH" not in os.environ:
            found = [path for path in LLVM if Path(path).exists()]
            os.environ |= {"DRJIT_LIBLLVM_PATH": found[0]} if found else {}
        import drjit
        import mitsuba

        mitsuba.set_variant("llvm_ad_rgb")
        mitsuba.set_log_level(mitsuba.LogLevel.Error)
        self.mi, self.dr = mitsuba, drjit
        scene = self._converted(scene)
        scene["integrator"]["type"] = self.integrator
        self.scene = mitsuba.load_dict(scene)
        self.params = mitsuba.traverse(self.scene)
        self.names = list(parameters)
        self.shapes = {name: self._shape(name) for name in self.names}
        self.true = {name: self._array(name, self.params[name]) for name in self.names}

    def _converted(self, d):
        """Matrices, texels and images as Mitsuba's objects."""
        mi = self.mi
        kinds = dict.fromkeys(workers.TRANSFORMS, lambda v: mi.ScalarTransform4f(np.array(v)))
        kinds |= {"data": mi.TensorXf, "bitmap": mi.Bitmap}
        if not isinstance(d, dict):
            return d
        return {k: kinds[k](v) if k in kinds else self._converted(v) for k, v in d.items()}

    def _shape(self, name):
        """prb's shape of a parameter: texels as here; a colour is (3,), a number ()."""
        value = self.params[name]
        if isinstance(value, self.mi.TensorXf):
            return value.shape
        return () if isinstance(value, self.mi.Float) else (3,)

    def _array(self, name, value):
        return np.array(value, float).reshape(self.shapes[name])

    def _own(self, name, array):
        return type(self.params[name])(np.asarray(array, np.float32) if self.shapes[name] else float(array))

    def set(self, values):
        for name, value in values.items():
            self.params[name] = self._own(name, value)
        self.params.update()
        self.dr.eval([self.params[name] for name in self.names])
        self.dr.sync_thread()

    def render(self, spp, seed, view=0):
        start = time.perf_counter()
        image = self.mi.render(self.scene, sensor=view, spp=spp, seed=seed)
        self.dr.eval(image)
        self.dr.sync_thread()
        return time.perf_counter() - start, np.array(image, float)

    def _target(self, image):
        """(target, weights) on the device."""
        target = self.mi.TensorXf(np.asarray(image, np.float32))
        weights = 1 / (target * target + EPSILON)
        self.dr.eval(target, weights)
        return target, weights

    def _loss(self, image, target):
        return self.dr.mean(self.dr.square(image - target[0]) * target[1], axis=None)

    def gradient(self, target, spp, seed):
        target = self._target(target)
        return self.gradient_of(lambda image: self._loss(image, target), spp, seed)

    def gradient_of(self, loss, spp, seed):
        """As `Prb.gradient_of`. loss: a function of Mitsuba's image that returns one of its numbers."""
        leaves = {name: type(self.params[name])(self.params[name]) for name in self.names}
        for name, leaf in leaves.items():
            self.dr.enable_grad(leaf)
            self.params[name] = leaf
        self.params.update()
        self.dr.sync_thread()
        start = time.perf_counter()
        image = self.mi.render(self.scene, self.params, spp=spp, seed=seed)
        self.dr.backward(loss(image))
        gradients = [self.dr.grad(leaf) for leaf in leaves.values()]
        self.dr.eval(gradients)
        self.dr.sync_thread()
        seconds = time.perf_counter() - start
        found = {name: self._array(name, g) for name, g in zip(self.names, gradients, strict=True)}
        for name, leaf in leaves.items():
            self.params[name] = self.dr.detach(leaf)
        self.params.update()
        return seconds, found

    def recover(self, targets, initial, *, rate, spp, seed, seconds):
        """Recover the parameters by Adam from pictures of all sensors, for some seconds.

        targets: a picture for each sensor. initial: name -> array. rate: Adam's. spp: samples of a picture.
        Returns [(seconds, name -> root mean squared error)], before each iteration and at the end; what the
        errors take is not in the time.
        """
        mi, dr = self.mi, self.dr
        targets = [self._target(target) for target in targets]
        opt = mi.ad.Adam(lr=rate, params={name: self._own(name, initial[name]) for name in self.names})
        self.params.update(opt)
        dr.eval([opt[name] for name in self.names])
        dr.sync_thread()
        views = len(targets)
        watch = Watch(seconds, lambda: {n: self._array(n, opt[n]) for n in self.names}, self.true)
        watch.record()
        while not watch.over:
            for view, target in enumerate(targets):
                number = (seed * 10**4 + watch.iterations) * views + view
                image = mi.render(self.scene, self.params, sensor=view, spp=spp, seed=number)
                dr.backward(self._loss(image, target) / views)
            opt.step()
            for name in self.names:
                opt[name] = dr.clip(opt[name], *bounds_of(name))
            self.params.update(opt)
            dr.eval([opt[name] for name in self.names])
            dr.sync_thread()
            watch.record()
        for name in self.names:
            self.params[name] = dr.detach(self.params[name])
        return watch.curve


class Watch:
    """The error curve of a recovery over its wall-clock time.

    seconds: how long it takes. values: a function that returns name -> array. true: name -> array.
    """

    def __init__(self, seconds, values, true):
        self._seconds, self._values, self._true = seconds, values, true
        self._spent, self._start = 0.0, None
        self.curve = []

    @property
    def over(self):
        return self._spent >= self._seconds

    @property
    def iterations(self):
        """Those that are complete."""
        return len(self.curve) - 1

    def record(self):
        """Take the time since the last record, and the errors as they are now. The first starts the watch."""
        if self._start is not None:
            self._spent += time.perf_counter() - self._start
        values = self._values()
        squares = {name: np.mean((values[name] - true) ** 2) for name, true in self._true.items()}
        errors = {name: float(np.sqrt(square)) for name, square in squares.items()}
        self.curve.append((self._spent, errors))
        self._start = time.perf_counter()


def bounds_of(name):
    """The range of a recovered parameter, the same in both programs."""
    return (LOW if name.endswith(("roughness.value", "alpha.value")) else 0.0), 1.0


SIDES = {"prb": Prb, "mitsuba": Mitsuba}
