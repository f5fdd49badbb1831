"""prb's own adjoint methods by name, the default, and the parameters that a method is asked for."""

from prb.device.params import select
from prb.errors import ParameterError
from prb.estimators.finite_difference import FiniteDifference
from prb.estimators.methods import Adjoint
from prb.estimators.replay import ReplayAdjoint
from prb.estimators.tape import TapeAdjoint

METHODS = {method.name: method for method in (ReplayAdjoint, TapeAdjoint, FiniteDifference)}
DEFAULT = ReplayAdjoint()  # the cheapest one, and it offers every option


def method_of(adjoint) -> Adjoint:
    """The method that a call was given, or the default for None. Raises ParameterError for anything else."""
    if adjoint is None:
        return DEFAULT
    if not isinstance(adjoint, Adjoint):
        hint = f"; write {adjoint.__name__}()" if isinstance(adjoint, type) else ""
        got = f"got {adjoint!r}"[:80]
        raise ParameterError(f"adjoint: expected a method such as prb.ReplayAdjoint(), {got}{hint}")
    return adjoint


def selected(scene, params, method):
    """The names of the parameters that the patterns stand for, in the order of the scene.

    None: all that the method can differentiate, except vertex normals and directions.
    Raises ParameterError for a pattern that matches none, and for a parameter that is named but that the
    method cannot differentiate.
    """
    names = select(scene, params)
    reasons = {name: method.reason(scene, name) for name in names}
    if params is None:
        names = [name for name in names if reasons[name] is None]
        if names:
            return names
    for name, reason in reasons.items():
        if reason is not None:
            raise ParameterError(f"{name}: {method.name} cannot differentiate it: {reason}")
    return names
