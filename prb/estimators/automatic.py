"""The method that a call takes where it names none."""

from dataclasses import dataclass, field, replace

import numpy as np

from prb.device.lock import locked
from prb.device.params import records
from prb.estimators.attached import AttachedReplay
from prb.estimators.methods import Adjoint
from prb.estimators.replay import ReplayAdjoint
from prb.estimators.sums import Result


@dataclass(frozen=True)
class Automatic(Adjoint):
    """Detached replay for the parameters that it differentiates, attached replay for those that only it does.

    The two follow the same paths, one after the other; where one of them is enough, the other is neither
    compiled nor run. Attached derivatives leave out the edges that moving directions sweep over, so they are
    taken only where there are no others.
    """

    detached: ReplayAdjoint = field(default_factory=ReplayAdjoint)
    attached: AttachedReplay = field(default_factory=AttachedReplay)
    name = "automatic"
    has_forward = has_stderr = has_deterministic_sums = True

    def reason(self, scene, name):
        """As of `Adjoint`."""
        return self._of(scene, name).reason(scene, name)

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        return self._of(scene, name).caveat(scene, name)

    def methods(self, scene, names):
        """As of `Adjoint`."""
        return {name: self._of(scene, name).name for name in names}

    def takes_picture(self, scene, names):
        """As of `Adjoint`: True if detached replay is enough."""
        return [method for method, _ in self._parts(scene, names)] == [self.detached]

    @locked
    def backward(self, scene, image_adjoint, *, names=None, **options) -> Result:
        """J^T image_adjoint over the named parameters (None: as of `Adjoint`), and the paths' image.

        options: as of `ReplayAdjoint.backward`.
        """
        parts = [
            (method.backward(scene, image_adjoint, names=own, **options), own)
            for method, own in self._parts(scene, names)
        ]
        result, _ = parts[0]
        known = records(scene)
        for other, own in parts[1:]:
            for name in own:
                known[name].of(result.gradient)[...] = known[name].of(other.gradient)
                if result.variance is not None:
                    known[name].of(result.variance)[...] = known[name].of(other.variance)
            result.rejected = max(result.rejected, other.rejected)
        return result

    @locked
    def forward(self, scene, tangents, *, names=None, **options) -> Result:
        """J tangents and the image. Where both methods are needed, a standard error is the sum of theirs,
        which is at most too large: their paths are the same."""
        parts = []
        for method, own in self._parts(scene, names):
            parts.append(method.forward(scene, _only(scene, tangents, own), names=own, **options))
        result = parts[0]
        for other in parts[1:]:
            variance = result.variance
            if variance is not None:
                variance = (np.sqrt(variance) + np.sqrt(other.variance)) ** 2
            rejected = max(result.rejected, other.rejected)
            tangent = result.tangent + other.tangent
            result = replace(result, tangent=tangent, variance=variance, rejected=rejected)
        return result

    def value_and_grad(self, scene, derivative_of, *, names=None, **options) -> Result:
        """As `ReplayAdjoint.value_and_grad` where that is enough, else as `Adjoint.value_and_grad`."""
        by = self.detached if self.takes_picture(scene, names) else super()
        return by.value_and_grad(scene, derivative_of, names=names, **options)

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device, where both methods are needed."""
        options = dict(spp=spp, max_depth=max_depth)
        return max(method.device_bytes(scene, **options) for method in (self.detached, self.attached))

    def _of(self, scene, name):
        """The method for a parameter."""
        return self.attached if records(scene)[name].bends_rays else self.detached

    def _parts(self, scene, names):
        """The methods that are needed, each with the names of its parameters; one at least."""
        if names is None:
            return [(self.detached, None)]
        parts = [
            (method, [name for name in names if self._of(scene, name) is method])
            for method in (self.detached, self.attached)
        ]
        return [part for part in parts if part[1]] or [(self.detached, [])]


def _only(scene, tangents, names):
    """The tangents of the named parameters, zero for the others; None: as they are."""
    if names is None:
        return tangents
    found = np.zeros_like(tangents)
    for name in names:
        record = records(scene)[name]
        record.of(found)[...] = record.of(tangents)
    return found
