"""Methods for the derivative by a medium's extinction, as objects: what one passes as `density=`.

kernels/estimators/density.py has their mathematics.
"""

from dataclasses import dataclass
from typing import ClassVar

from prb.errors import ParameterError
from prb.kernels.estimators import density as kernel


@dataclass(frozen=True)
class FreeFlight:
    """Gain by scattering where the path itself collides, with the weight 1 / sigma_t.

    It is what differentiating a volumetric path tracer gives. It costs least and is noisy where the density
    is low; where it is zero the gain is missing: the gradient is then wrong. Prefer it for dense media only.
    """

    name: ClassVar[str] = kernel.FREE_FLIGHT


@dataclass(frozen=True)
class DifferentialRatioTracking:
    """Differential ratio tracking (Nimier-David, Mueller, Keller, Jakob, SIGGRAPH 2022).

    The gain by scattering is also estimated at a point of the whole ray, which a ratio tracker and a
    reservoir choose; both ways are combined by 1 / (1 + sigma_t^2). Right where the density is zero.
    """

    name: ClassVar[str] = kernel.RATIO


@dataclass(frozen=True)
class SampleMatching:
    """Gain by scattering and loss by blocking at the same point of the path's own flight (Yu, Wang, Ling, Xu,
    Zhao, SIGGRAPH 2026), so that both cancel where they should. Right where the density is zero, and the
    least noisy: the default.
    """

    name: ClassVar[str] = kernel.MATCHING


METHODS = FreeFlight, DifferentialRatioTracking, SampleMatching
DEFAULT = SampleMatching()


def kernel_name(method):
    """What kernels call a method. Raises ParameterError for anything else."""
    if not isinstance(method, METHODS):
        known = ", ".join(f"prb.{m.__name__}()" for m in METHODS)
        hint = f"; write {method.__name__}()" if isinstance(method, type) else ""
        raise ParameterError(f"density: expected one of {known}, got {method!r}{hint}")
    return method.name
