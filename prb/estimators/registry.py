"""prb's own adjoint methods by name, the default, and the parameters that a method is asked for."""

from prb.device.params import records, select
from prb.errors import ParameterError
from prb.estimators.attached import AttachedReplay
from prb.estimators.automatic import Automatic
from prb.estimators.finite_difference import FiniteDifference
from prb.estimators.methods import Adjoint
from prb.estimators.replay import ReplayAdjoint
from prb.estimators.tape import TapeAdjoint

METHODS = {method.name: method for method in (ReplayAdjoint, AttachedReplay, TapeAdjoint, FiniteDifference)}
DEFAULT = Automatic()  # the cheapest for each parameter, and it offers every option


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

    A pattern stands for what the method can differentiate. None: all of that but vertex normals and
    directions, and but what only attached sampling differentiates.
    Raises ParameterError for a pattern that matches no parameter, or only such as the method cannot
    differentiate.
    """
    if params is None or isinstance(params, str):
        params = [params]
    chosen = set()
    for pattern in params:
        names = select(scene, pattern if pattern is None else [pattern])
        able = [name for name in names if method.reason(scene, name) is None]
        if not able:
            raise ParameterError(
                f"{names[0]}: {method.name} cannot differentiate it: {method.reason(scene, names[0])}"
            )
        chosen.update(able)
    return [name for name in records(scene) if name in chosen]
