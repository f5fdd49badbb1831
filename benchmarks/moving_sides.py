"""prb and Mitsuba 3's `prb_projective` on shapes that move, as moving.py measures them: loop_sides.py with
poses and vertex positions, losses that are linear in the picture, and the recovery of a mesh.

Mitsuba has no transform of a mesh: its vertices are computed from translation and angle, as its tutorials do.
"""

import time

import loop_sides
import numpy as np
from media_sides import Track
from moving_scenes import POSITIONS, TRANSFORM

import prb

AXES = np.eye(3)[:2].tolist()  # of translation and rotation
LAMBDA = 19.0  # of large steps, the default of both programs


def adjoint():
    """prb's method for what moves."""
    return prb.ReplayAdjoint() + prb.Boundary()


def turned(angle, axis, middle):
    """The matrix (4, 4) of a rotation about an axis through a point."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle
    return matrix


class Prb(loop_sides.Prb):
    """prb's side. middle: what the object turns about. joint: picture and gradient by `value_and_grad`, not
    by a picture and `render_backward`."""

    def __init__(self, scene, names, middle=(0, 0, 0), *, joint=False, **options):
        super().__init__(scene, names, **{"adjoint": adjoint(), **options})
        self.middle, self.joint = np.asarray(middle, float), joint

    def linear(self, weights, spp, seed):
        """(seconds, name -> gradient of the sum of weights x picture), with the picture.

        The gradient by a transform is that by `pose`: of a translation and a rotation, (2,).
        """
        if self.joint:
            loss = lambda image: ((image * weights).sum(), weights)  # noqa: E731
            seconds, grads = self.gradient_of(loss, spp, seed)
        else:
            start = time.perf_counter()
            prb.render(self.scene, spp=spp, seed=2 * seed)
            grads = prb.render_backward(
                self.scene, weights, self.names, spp=spp, seed=2 * seed + 1, **self.options
            )
            seconds = time.perf_counter() - start
        return seconds, {name: self._pose(g) if name == TRANSFORM else g for name, g in grads.items()}

    def _pose(self, gradient):
        tangents = np.zeros((2, 4, 4))
        tangents[0, :3, 3] = AXES[0]
        step = 1e-4
        tangents[1] = turned(step, AXES[1], self.middle) - turned(-step, AXES[1], self.middle)
        tangents[1] = tangents[1] / (2 * step) @ self.true[TRANSFORM]
        return (tangents * gradient).sum(axis=(1, 2))

    def displaced(self, quantity, direction, step):
        """Move the object by a step of a quantity: `translation`, `rotation`, or `field`, along that of
        directions."""
        if quantity == "field":
            self.set({POSITIONS: self.true[POSITIONS] + step * direction})
            return
        matrix = np.eye(4)
        matrix[:3, 3] = step * np.array(AXES[0])
        if quantity == "rotation":
            matrix = turned(step, AXES[1], self.middle)
        self.set({TRANSFORM: matrix @ self.true[TRANSFORM]})

    def recover(self, targets, *, rate, spp, seed, seconds):
        """As `Mitsuba.recover`."""
        self.set(self.true)
        track = Track(seconds, lambda: {name: self.params[name] for name in self.names})

        def before(_):
            track.record()
            if track.over:
                raise loop_sides.Finished

        found = prb.optimize(
            self.scene, self.names, targets, loss="l2", optimizer=prb.Adam(rate, uniform=True),
            coordinates={POSITIONS: prb.coordinates.LargeSteps(LAMBDA)}, iterations=10**6, spp=spp, seed=seed,
            on_iteration=before, **self.options,
        )  # fmt: skip
        if found.stopped is not None and not isinstance(found.stopped, loop_sides.Finished):
            raise found.stopped
        return track.finished()


class Mitsuba(loop_sides.Mitsuba):
    """Mitsuba's side. Picture, interior derivative, silhouettes and other edges each take `spp` samples, its
    default. names: positions, or for a pose the transform's, as prb calls it. guiding: the plugin's."""

    integrator = "prb_projective"

    def __init__(self, scene, names, middle=(0, 0, 0), *, guiding="octree"):
        super().__init__({**scene, "integrator": {**scene["integrator"], "guiding": guiding}}, [POSITIONS])
        self.wanted, self.middle = list(names), middle

    def _shape(self, name):
        return (-1, 3) if name == POSITIONS else super()._shape(name)

    def _own(self, name, array):
        if name == POSITIONS:
            return self.mi.Float(np.asarray(array, np.float32).ravel())
        return super()._own(name, array)

    def linear(self, weights, spp, seed):
        """As `Prb.linear`."""
        weights = self.mi.TensorXf(np.asarray(weights, np.float32))
        self.dr.eval(weights)

        def loss(image):
            return self.dr.sum(image * weights, axis=None)

        if self.wanted == [TRANSFORM]:
            seconds, gradient = self._pose_gradient(loss, spp, seed)
            return seconds, {TRANSFORM: gradient}
        return self.gradient_of(loss, spp, seed)

    def _pose_gradient(self, loss, spp, seed):
        mi, dr = self.mi, self.dr
        leaves = [mi.Float(0.0), mi.Float(0.0)]
        for leaf in leaves:
            dr.enable_grad(leaf)
        turn = mi.Transform4f().rotate(mi.Vector3f(*AXES[1]), leaves[1] * (180 / np.pi))
        middle = mi.Point3f(*map(float, self.middle))
        points = dr.unravel(mi.Point3f, self._own(POSITIONS, self.true[POSITIONS]))
        points = turn @ (points - middle) + middle + leaves[0] * mi.Vector3f(*AXES[0])
        self.params[POSITIONS] = dr.ravel(points)
        self.params.update()
        dr.sync_thread()
        start = time.perf_counter()
        image = mi.render(self.scene, self.params, spp=spp, seed=seed)
        dr.backward(loss(image))
        gradients = [dr.grad(leaf) for leaf in leaves]
        dr.eval(gradients)
        dr.sync_thread()
        seconds = time.perf_counter() - start
        self.params[POSITIONS] = dr.detach(self.params[POSITIONS])
        self.params.update()
        return seconds, np.array([float(g[0]) for g in gradients])

    def recover(self, targets, *, rate, spp, seed, seconds):
        """Recover the positions from pictures of all sensors, for some seconds: large steps and Adam with one
        step size, the mean squared error as the loss.

        targets: a picture for each sensor. rate: Adam's, in radii of the mesh, as prb's coordinates have it.
        spp: samples of a picture. Returns [(seconds, iterations, name -> positions)], at most about as many
        as `Track` keeps; what keeping them takes is not in the time.
        """
        mi, dr = self.mi, self.dr
        targets = [mi.TensorXf(np.asarray(target, np.float32)) for target in targets]
        dr.eval(targets)
        self.set(self.true)
        steps = mi.ad.LargeSteps(self.params[POSITIONS], self.params["object.faces"], LAMBDA)
        radius = float(np.linalg.norm(np.ptp(self.true[POSITIONS], axis=0)) / 2)
        opt = mi.ad.Adam(lr=rate * radius, uniform=True)
        opt["u"] = steps.to_differential(self.params[POSITIONS])
        dr.eval(opt["u"])
        dr.sync_thread()

        def values():
            positions = steps.from_differential(dr.detach(opt["u"]))
            return {POSITIONS: self._array(POSITIONS, positions)}

        track = Track(seconds, values)
        track.record()
        while not track.over:
            self.params[POSITIONS] = steps.from_differential(opt["u"])
            self.params.update()
            loss = mi.Float(0.0)
            for view, target in enumerate(targets):
                number = (seed * 10**4 + track.iterations) * len(targets) + view
                image = mi.render(self.scene, self.params, sensor=view, spp=spp, seed=number)
                loss += dr.mean(dr.square(image - target), axis=None) / len(targets)
            dr.backward(loss)
            opt.step()
            dr.eval(opt["u"])
            dr.sync_thread()
            track.record()
        self.params[POSITIONS] = dr.detach(self.params[POSITIONS])
        self.params.update()
        return track.finished()
