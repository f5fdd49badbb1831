"""From nested phase functions to their leaves, which the kernels evaluate one by one: `blendphase` becomes
weights of the leaves below it."""

from dataclasses import dataclass

from prb.errors import SceneError
from prb.kernels.scattering import MAX_WEIGHTS
from prb.scene.model import Phase, Volume

MAX_LEAVES = 8


@dataclass(frozen=True)
class PhaseLeaf:
    """A phase function of the registry. weights: pairs (volume, True for its complement), multiplied."""

    phase: Phase
    weights: tuple[tuple[Volume, bool], ...] = ()


def flatten_phase(phase: Phase, weights: tuple[tuple[Volume, bool], ...] = ()) -> list[PhaseLeaf]:
    """The leaves of a phase function. Raises SceneError for a nesting that the kernels do not support."""
    if phase.kind != "blendphase":
        return [PhaseLeaf(phase, weights)]
    if len(weights) == MAX_WEIGHTS:
        raise SceneError(f"{phase.name}: blends are nested more than {MAX_WEIGHTS} deep; flatten them")
    weight = phase.volumes["weight"]
    first, second = phase.children
    below = flatten_phase(first, (*weights, (weight, True)))
    leaves = below + flatten_phase(second, (*weights, (weight, False)))
    if len(leaves) > MAX_LEAVES:
        raise SceneError(f"{phase.name}: mixes {len(leaves)} models, prb at most {MAX_LEAVES}; simplify it")
    return leaves
