"""The method that a call takes where it names none."""

from dataclasses import dataclass, field, replace

import numpy as np

from prb.device.lock import locked
from prb.device.params import records
from prb.estimators.attached import AttachedReplay
from prb.estimators.boundary import Boundary
from prb.estimators.methods import Adjoint, only
from prb.estimators.replay import ReplayAdjoint
from prb.estimators.sums import Result


@dataclass(frozen=True)
class Automatic(Adjoint):
    """Detached replay for the parameters that it differentiates, attached replay for those that only it does,
    and boundary terms for what moves edges.

    One follows the other; those that are not needed are neither compiled nor run. Detached and attached
    replay follow the same paths. Attached derivatives leave out the edges that moving directions sweep over,
    so they are taken only where there are no others.
    """

    detached: ReplayAdjoint = field(default_factory=ReplayAdjoint)
    attached: AttachedReplay = field(default_factory=AttachedReplay)
    boundary: Boundary | None = field(default_factory=Boundary)
    name = "automatic"
    has_forward = has_stderr = has_deterministic_sums = True

    def reason(self, scene, name):
        """As of `Adjoint`."""
        return self._of(scene, name)[0].reason(scene, name)

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        return self._of(scene, name)[-1].caveat(scene, name)

    def methods(self, scene, names):
        """As of `Adjoint`."""
        return {name: " + ".join(method.name for method in self._of(scene, name)) for name in names}

    def takes_picture(self, scene, names):
        """As of `Adjoint`: True if detached replay is enough."""
        enough = [method for method, _ in self._parts(scene, names)] == [self.detached]
        return enough and self.detached.takes_picture(scene, names)

    @locked
    def backward(self, scene, image_adjoint, *, names=None, **options) -> Result:
        """J^T image_adjoint over the named parameters (None: as of `Adjoint`), and the paths' image.

        options: as of `ReplayAdjoint.backward`.
        """
        total, known = None, records(scene)
        for method, own in self._parts(scene, names):
            beside = method.beside_others(total)
            found = method.backward(scene, image_adjoint, names=own, **beside, **options)
            if total is None:
                total, has = found, set(own or ())
                continue
            for name in own:
                for flat, more in ((total.gradient, found.gradient), (total.variance, found.variance)):
                    if flat is not None:
                        part = known[name].of(flat)
                        part[...] = known[name].of(more) + (part if name in has else 0)
            has.update(own)
            total.rejected = max(total.rejected, found.rejected)
        return total

    @locked
    def forward(self, scene, tangents, *, names=None, **options) -> Result:
        """J tangents and the image. Where both kinds of replay are needed, a standard error is the sum of
        theirs, which is at most too large: their paths are the same."""
        total = None
        for method, own in self._parts(scene, names):
            beside = method.beside_others(total)
            found = method.forward(scene, only(scene, tangents, own), names=own, **beside, **options)
            if total is None:
                total = found
                continue
            variance = total.variance
            if variance is not None and method is self.boundary:  # other random numbers
                variance = variance + found.variance
            elif variance is not None:
                variance = (np.sqrt(variance) + np.sqrt(found.variance)) ** 2
            rejected = max(total.rejected, found.rejected)
            tangent = total.tangent + found.tangent
            total = replace(total, tangent=tangent, variance=variance, rejected=rejected)
        return total

    def value_and_grad(self, scene, derivative_of, *, names=None, **options) -> Result:
        """As `ReplayAdjoint.value_and_grad` where that is enough, else as `Adjoint.value_and_grad`. Boundary
        terms have samples of their own, so that the derivative by the whole picture serves them."""
        parts = self._parts(scene, names)
        own = next((own for method, own in parts if method is self.boundary), None)
        if own is None:
            enough = [method for method, _ in parts] == [self.detached]
            by = self.detached if enough else super()
            return by.value_and_grad(scene, derivative_of, names=names, **options)
        result = replace(self, boundary=None).value_and_grad(scene, derivative_of, names=names, **options)
        paths = {key: x for key, x in options.items() if key not in ("folds", "kept_budget", "picture")}
        found = self.boundary.backward(
            scene, derivative_of(result.image), names=own, **self.boundary.beside_others(result), **paths
        )
        for name in own:
            record = records(scene)[name]
            record.of(result.gradient)[...] += record.of(found.gradient)
        return replace(result, rejected=max(result.rejected, found.rejected))

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device, where all methods are needed."""
        options = dict(spp=spp, max_depth=max_depth)
        methods = filter(None, (self.detached, self.attached, self.boundary))
        return max(method.device_bytes(scene, **options) for method in methods)

    def _of(self, scene, name):
        """The methods that have a part of the derivative by a parameter."""
        record = records(scene)[name]
        inside = self.attached if record.bends_rays else self.detached
        return (inside, self.boundary) if record.moves_edges and self.boundary else (inside,)

    def _parts(self, scene, names):
        """The methods that are needed, each with the names of its parameters; one at least."""
        if names is None:
            return [(self.detached, None)]
        parts = [
            (method, [name for name in names if method in self._of(scene, name)])
            for method in (self.detached, self.attached, self.boundary)
            if method is not None
        ]
        return [part for part in parts if part[1]] or [(self.detached, [])]
