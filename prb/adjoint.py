"""Adjoint methods: objects that one passes to `prb.render_backward` to say how the gradient is found."""

from dataclasses import dataclass

from prb.integrate import Result, integrate
from prb.kernels import path


@dataclass(frozen=True)
class ReplayAdjoint:
    """Path replay backpropagation (Vicini, Speierer, Jakob, SIGGRAPH 2021), with detached sampling.

    Each path is traced, then traced again with the same random numbers while its product terms are
    rebuilt. Time is linear in the number of vertices and about 1.4 times that of a render; device memory
    depends on the image, the scene and the parameters, never on depth or samples. Prefer it always; the
    other methods exist to check it.

    Interior derivatives only: a parameter that moves a silhouette or a shadow's edge would need a
    boundary term.
    """

    name = "replay"

    def backward(self, scene, image_adjoint, *, spp, seed, max_depth, progress=False) -> Result:
        """J^T image_adjoint over all parameters, and the image of the same paths."""
        return integrate(
            scene, path.REVERSE, spp=spp, seed=seed, max_depth=max_depth, image_adjoint=image_adjoint,
            progress=progress, label="gradient",
        )  # fmt: skip
