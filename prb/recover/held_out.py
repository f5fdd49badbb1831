"""Views that a recovery does not take: how far their pictures are from their targets.

A volume or a texture can have the right pictures from the sides that were given and be wrong in itself; a
view that took no part shows it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from prb.api import render
from prb.losses import of_weighted, value_of
from prb.recover.pictures import rendered_at


def held_out_losses(
    recovery: Any,
    views: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    loss: Any,
    **options: Any,
) -> Mapping[str, dict[str, float]]:
    """name of a sensor -> the loss of its picture at the start ("initial") and in the end ("result").

    views, targets, weights: of the sensors that took no part. loss: as for `prb.optimize`. options: of the
    renders, whose noise counts in the losses.
    """
    found = {}
    for view, target, counts in zip(views, targets, weights, strict=True):
        judge = of_weighted(loss, target, counts)
        pictures = {
            "initial": rendered_at(view, recovery.initial, recovery.initial_shapes, **options),
            "result": render(view, **options),
        }
        found[view.sensor.name] = {
            when: float(value_of(judge, picture)) for when, picture in pictures.items()
        }
    return found
