"""Integrators: `path` and `prb`, which differ in Mitsuba by their default depth."""

from prb.scene.model import Integrator
from prb.scene.reader import Reader

_DEFAULT_DEPTH = {"path": -1, "prb": 6}


def _integrator(reader: Reader) -> Integrator:
    max_depth = reader.integer("max_depth", _DEFAULT_DEPTH[reader.type], low=-1, high=2**31 - 1)
    rr_depth = reader.integer("rr_depth", 5, low=1, high=2**31 - 1)
    hide_emitters = reader.boolean("hide_emitters", False)
    for key in ("samples_per_pass", "block_size"):
        if key in reader:
            reader.warn("has no effect; prb chooses how it divides the work", key)
    return Integrator(reader.type, max_depth, rr_depth, hide_emitters)


INTEGRATORS = dict.fromkeys(_DEFAULT_DEPTH, _integrator)
