"""Path replay backpropagation as an adjoint method."""

from dataclasses import dataclass

from prb.estimators import cross_halves
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.sums import Result
from prb.estimators.work import device_bytes
from prb.kernels.estimators import modes


@dataclass(frozen=True)
class ReplayAdjoint(Adjoint):
    """Path replay backpropagation (Vicini, Speierer, Jakob, SIGGRAPH 2021), with detached sampling.

    Each path is traced, then traced again with the same random numbers while its product terms are
    rebuilt. Time is linear in the number of vertices and about 1.4 times that of a render; device memory
    depends on the image, the scene and the parameters, never on depth or samples. Prefer it always; the
    other methods exist to check it.

    passes: as of TapeAdjoint, for symmetry; memory does not depend on it.

    Interior derivatives only: a parameter that moves a silhouette or a shadow's edge would need a
    boundary term.
    """

    passes: int = 1
    name = "replay"
    has_forward = has_stderr = has_deterministic_sums = True

    def backward(self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J^T image_adjoint over the named parameters (None: all), and the image of the same paths.

        options: `rr_depth`, `values`, `first_sample`, `variance`, `deterministic` and `progress` of
        `prb.estimators.integrate.integrate`.
        """
        return integrate(
            scene, modes.REVERSE, spp=spp, seed=seed, max_depth=max_depth, image_adjoint=image_adjoint,
            names=names, passes=self.passes, label="gradient", **options,
        )  # fmt: skip

    def forward(self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J tangents and the image, in one pass: the tangent of a path's product goes along with it."""
        return integrate(
            scene, modes.FORWARD, spp=spp, seed=seed, max_depth=max_depth, param_tangents=tangents,
            names=names, label="derivative", **options,
        )  # fmt: skip

    def value_and_grad(
        self, scene, derivative_of, *, names=None, spp=None, seed=0, max_depth=None,
        kept_budget=cross_halves.KEPT_BUDGET, **options,
    ) -> Result:  # fmt: skip
        """As `Adjoint.value_and_grad`; the picture's vertices serve the gradient, within the budget."""
        common = dict(names=names, spp=spp, seed=seed, max_depth=max_depth, **options)
        found = cross_halves.kept(scene, derivative_of, kept_budget=kept_budget, passes=self.passes, **common)
        return super().value_and_grad(scene, derivative_of, **common) if found is None else found

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        return device_bytes(scene, modes.REVERSE, spp)
