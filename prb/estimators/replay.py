"""Path replay backpropagation as an adjoint method."""

from dataclasses import dataclass

from prb.estimators import cross_folds, tied
from prb.estimators.density import DEFAULT, kernel_name
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.sums import Result
from prb.estimators.work import device_bytes, moving
from prb.kernels.estimators import modes


@dataclass(frozen=True)
class ReplayAdjoint(Adjoint):
    """Path replay backpropagation (Vicini, Speierer, Jakob, SIGGRAPH 2021), with detached sampling.

    Each path is traced, then traced again with the same random numbers while its throughput and what it still
    adds are reconstructed. Time is linear in the number of vertices and about 1.4 times that of a render;
    device memory depends on the image, the scene and the parameters, never on depth or samples. Prefer it
    wherever it has a derivative.

    passes: as of `TapeAdjoint`, for symmetry; memory does not depend on it.
    density: how derivatives by the extinction of participating media are found: `SampleMatching()`,
        `DifferentialRatioTracking()` or `FreeFlight()`.

    Interior derivatives only: a parameter that moves a silhouette or a shadow's edge would need a boundary
    term. Sampled directions are constants (detached), so it cannot differentiate what bends an ideal ray;
    `AttachedReplay` can.
    """

    passes: int = 1
    density: object = DEFAULT
    name = "replay"
    has_forward = has_stderr = has_deterministic_sums = True

    def __post_init__(self):
        kernel_name(self.density)

    def reason(self, scene, name):
        """As of `Adjoint`: what bends rays is not differentiated."""
        return scene.layout.not_detached(name) or None

    def takes_picture(self, scene, names):
        """True, but for what moves shapes or the camera."""
        return not moving(scene, names)

    def backward(self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J^T image_adjoint over the named parameters (None: all), and the image of the same paths.

        options: `rr_depth`, `values`, `first_sample`, `variance`, `deterministic` and `progress` of
        `prb.estimators.integrate.integrate`.
        """
        result = integrate(
            scene, modes.REVERSE, spp=spp, seed=seed, max_depth=max_depth, image_adjoint=image_adjoint,
            names=tied.with_normals(scene, names), passes=self.passes, density=self.density, label="gradient",
            **options,
        )  # fmt: skip
        tied.pull_back(scene, result, names, options.get("values"))
        return result

    def forward(self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J tangents and the image, in one pass that carries the tangent of each path's throughput."""
        return integrate(
            scene, modes.FORWARD, spp=spp, seed=seed, max_depth=max_depth,
            param_tangents=tied.push_forward(scene, tangents, names, options.get("values")),
            names=tied.with_normals(scene, names), density=self.density, label="derivative", **options,
        )  # fmt: skip

    def value_and_grad(
        self, scene, derivative_of, *, names=None, spp=None, seed=0, max_depth=None,
        kept_budget=cross_folds.KEPT_BUDGET, **options,
    ) -> Result:  # fmt: skip
        """As `Adjoint.value_and_grad`; the picture's vertices are kept for the gradient, up to the budget,
        but where shapes or the camera move."""
        if moving(scene, names):
            return super().value_and_grad(
                scene, derivative_of, names=names, spp=spp, seed=seed, max_depth=max_depth, **options
            )
        return cross_folds.by_replay(
            scene, derivative_of, names=names, spp=spp, seed=seed, max_depth=max_depth,
            kept_budget=kept_budget, passes=self.passes, density=self.density, **options,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        return device_bytes(scene, modes.REVERSE, spp)
