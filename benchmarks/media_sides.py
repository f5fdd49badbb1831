"""prb and Mitsuba 3 on scenes with media, as media_against_mitsuba.py measures them: loop_sides.py with
Mitsuba's `prbvolpath`, losses that are linear in the picture, and the recovery of densities.
"""

import time

import loop_sides
import numpy as np

import prb

DENSITY = (".sigma_t.data", ".sigma_t.value.value")
ALBEDO = (".albedo.data", ".albedo.value.value")
HIGHEST = 1e6  # of a recovered density: only its lower end, 0, matters
KEPT = 32  # values that a recovery keeps for its curve


def parameters(scene, ends):
    """Names of a scene dictionary's parameters that end so; both programs call them the same."""
    return [name for name in prb.traverse(prb.load_dict(scene)) if name.endswith(ends)]


class Prb(loop_sides.Prb):
    """prb's side. density: the method for the derivative by extinction; None: the default."""

    def __init__(self, scene, names, density=None):
        given = {} if density is None else {"adjoint": prb.ReplayAdjoint(density=density)}
        super().__init__(scene, names, **given)

    def linear(self, weights, spp, seed):
        """(seconds, name -> gradient of the sum of weights x picture), picture and gradient in one call."""
        return self.gradient_of(lambda image: ((image * weights).sum(), weights), spp, seed)

    def recover(self, targets, initial, *, sensors, rate, spp, seed, seconds):
        """As `Mitsuba.recover`."""
        self.set(initial)
        track = Track(seconds, lambda: {name: self.params[name] for name in self.names})

        def before(_):
            track.record()
            if track.over:
                raise loop_sides.Finished

        found = prb.optimize(
            self.scene, self.names, targets, sensors=sensors, loss="l2",
            optimizer=prb.Adam(rate, bounds=dict.fromkeys(self.names, (0.0, HIGHEST))),
            iterations=10**6, spp=spp, seed=seed, on_iteration=before, **self.options,
        )  # fmt: skip
        if found.stopped is not None and not isinstance(found.stopped, loop_sides.Finished):
            raise found.stopped
        return track.finished()


class Mitsuba(loop_sides.Mitsuba):
    """Mitsuba's side. Picture and gradient each take `spp` samples."""

    integrator = "prbvolpath"

    def linear(self, weights, spp, seed):
        """As `Prb.linear`."""
        weights = self.mi.TensorXf(np.asarray(weights, np.float32))
        self.dr.eval(weights)
        return self.gradient_of(lambda image: self.dr.sum(image * weights, axis=None), spp, seed)

    def recover(self, targets, initial, *, sensors, rate, spp, seed, seconds):
        """Recover the parameters by Adam from pictures, for some seconds, with the mean squared error of the
        pictures as the loss and values that are clamped to 0 or more.

        targets: a picture for each of `sensors`, numbers. initial: name -> array. rate: Adam's. spp: samples
        of a picture. Returns [(seconds, iterations, name -> values)], at most about `KEPT` of them; what
        keeping them takes is not in the time.
        """
        mi, dr = self.mi, self.dr
        targets = [mi.TensorXf(np.asarray(target, np.float32)) for target in targets]
        dr.eval(targets)
        opt = mi.ad.Adam(lr=rate, params={name: self._own(name, initial[name]) for name in self.names})
        self.params.update(opt)
        dr.eval([opt[name] for name in self.names])
        dr.sync_thread()
        track = Track(seconds, lambda: {name: self._array(name, opt[name]) for name in self.names})
        track.record()
        while not track.over:
            for view, (sensor, target) in enumerate(zip(sensors, targets, strict=True)):
                number = (seed * 10**4 + track.iterations) * len(sensors) + view
                image = mi.render(self.scene, self.params, sensor=sensor, spp=spp, seed=number)
                dr.backward(dr.mean(dr.square(image - target), axis=None) / len(sensors))
            opt.step()
            for name in self.names:
                opt[name] = dr.maximum(dr.detach(opt[name]), 0)
            self.params.update(opt)
            dr.eval([opt[name] for name in self.names])
            dr.sync_thread()
            track.record()
        for name in self.names:
            self.params[name] = dr.detach(self.params[name])
        return track.finished()


class Track:
    """Values of a recovery over its wall-clock time, for a judge who looks at them later.

    seconds: how long it takes. values: a function that returns name -> array.
    """

    def __init__(self, seconds, values):
        self._seconds, self._values = seconds, values
        self._spent, self._start = 0.0, None
        self.iterations = -1  # those that are complete
        self._kept = []

    @property
    def over(self):
        return self._spent >= self._seconds

    def record(self):
        """An iteration is complete; the first call starts the watch."""
        if self._start is not None:
            self._spent += time.perf_counter() - self._start
        self.iterations += 1
        if not self._kept or self.over or self._spent - self._kept[-1][0] >= self._seconds / KEPT:
            values = {name: np.array(value, np.float32) for name, value in self._values().items()}
            self._kept.append((self._spent, self.iterations, values))
        self._start = time.perf_counter()

    def finished(self):
        """What has been kept. If the loop ended early, its last values hold to the end."""
        if self._kept[-1][0] < self._seconds:
            self._kept.append((self._seconds, *self._kept[-1][1:]))
        return self._kept
