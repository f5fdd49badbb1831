"""The method that a call takes where it names none."""

from dataclasses import dataclass, field

from prb.device.params import records
from prb.estimators.attached import AttachedReplay
from prb.estimators.boundary import Boundary
from prb.estimators.methods import Sum
from prb.estimators.replay import ReplayAdjoint


@dataclass(frozen=True)
class Automatic(Sum):
    """Detached replay for the parameters that it differentiates, attached replay for those that only it does,
    and boundary terms for what moves edges.

    One follows the other; those that are not needed are neither compiled nor run. Attached derivatives leave
    out the edges that moving directions sweep over, so they are taken only where there are no others.
    """

    detached: ReplayAdjoint = field(default_factory=ReplayAdjoint)
    attached: AttachedReplay = field(default_factory=AttachedReplay)
    boundary: Boundary | None = field(default_factory=Boundary)
    name = "automatic"
    has_forward = has_stderr = has_deterministic_sums = True

    @property
    def parts(self):
        """The methods: see `Sum`."""
        return tuple(filter(None, (self.detached, self.attached, self.boundary)))

    def parts_of(self, scene, name):
        """As of `Sum`: one of the replays, and boundary terms for what moves edges."""
        record = records(scene)[name]
        inside = self.attached if record.bends_rays else self.detached
        return (inside, self.boundary) if record.moves_edges and self.boundary else (inside,)

    def reason(self, scene, name):
        """As of `Adjoint`."""
        return self.parts_of(scene, name)[0].reason(scene, name)

    def caveat(self, scene, name):
        """As of `Adjoint`: what boundary terms leave out where they are added, as a replay's are in them."""
        return self.parts_of(scene, name)[-1].caveat(scene, name)

    def _shares(self, scene, names):
        return [(self.detached, None)] if names is None else super()._shares(scene, names)
