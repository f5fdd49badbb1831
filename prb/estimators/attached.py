"""Attached path replay as an adjoint method."""

import math
import numbers
from dataclasses import dataclass

from prb.device.params import records
from prb.errors import ParameterError
from prb.estimators.integrate import integrate
from prb.estimators.methods import Adjoint
from prb.estimators.work import device_bytes
from prb.kernels.estimators import modes
from prb.kernels.estimators.attached import SIZE as STATE_SIZE

SUFFIXES = ("kept", "inverse")


@dataclass(frozen=True)
class AttachedReplay(Adjoint):
    """Path replay through sampled directions: reparametrise, then differentiate.

    The random numbers are fixed, and directions, hit points, densities and MIS weights move with the
    parameters (Zeltner, Speierer, Georgiev, Jakob, SIGGRAPH 2021; Vicini, Speierer, Jakob, SIGGRAPH 2021). It
    is the only method for what bends an ideal ray: the index of refraction of smooth glass, a normal or bump
    map on glass or a mirror; and for where a light is. For other parameters it is a second estimator, often
    less noisy than `ReplayAdjoint` for a low roughness.

    suffix: "kept": the states of a path's vertices are kept in a row of constant length and walked backwards;
        longer paths are traced again in segments. "inverse": the published way, which keeps twelve numbers of
        a path and inverts the accumulated Jacobian of its rays. Each diffuse vertex costs it about two
        digits in float32, and it takes longer: it is there to be compared with.
    noise: what "inverse" adds to the diagonal of the Jacobian of each step, with a random sign, as diffuse
        vertices make it singular. The mean does not depend on it. 0 is exact for chains of ideal reflection
        and refraction and fails behind a diffuse vertex.

    Interior derivatives only. Moving directions sweep over edges: where what they see is discontinuous, at
    silhouettes, shadows or between colours, the estimate is biased; so it is where a light that moves throws
    shadows with edges, as visibility is held fixed: `Boundary` has that part. `prb check` compares it to
    differences.
    """

    suffix: str = "kept"
    noise: float = 0.01
    passes: int = 1
    name = "attached"
    has_forward = has_stderr = has_deterministic_sums = True

    def __post_init__(self):
        if self.suffix not in SUFFIXES:
            raise ParameterError(f"suffix: expected one of {', '.join(SUFFIXES)}, got {self.suffix!r}")
        if not isinstance(self.noise, numbers.Real) or not 0 <= self.noise < math.inf:
            raise ParameterError(f"noise: expected a finite number of at least 0, got {self.noise!r}")

    def reason(self, scene, name):
        """As of `Adjoint`: a scene with participating media has no attached derivatives."""
        return scene.layout.not_attached(name) or None

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        if records(scene)[name].placement:
            return "edges of shadows and of what a light projects are not in the derivative"
        return "edges that moving rays sweep over are not in the derivative"

    def backward(self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J^T image_adjoint over the named parameters (None: as of `Adjoint`), and the paths' image.

        options: as of `ReplayAdjoint.backward`.
        """
        return integrate(
            scene, modes.REVERSE, spp=spp, seed=seed, max_depth=max_depth, image_adjoint=image_adjoint,
            names=names, passes=self.passes, attached=self.suffix, noise=self.noise, label="gradient",
            **options,
        )  # fmt: skip

    def forward(self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """J tangents and the image, in one pass that carries the ray's tangent; the same for any suffix."""
        return integrate(
            scene, modes.FORWARD, spp=spp, seed=seed, max_depth=max_depth, param_tangents=tangents,
            names=names, attached="kept", label="derivative", **options,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device."""
        vertex_size = STATE_SIZE if self.suffix == "kept" else 0
        return device_bytes(scene, modes.REVERSE, spp, vertex_size)
