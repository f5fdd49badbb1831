"""Parameter values other than a scene's own, for the time of a call.

The scene's own values do not change: only those on the device do, and they are restored.
"""

import contextlib

import numpy as np

from prb.device.lock import device_lock


@contextlib.contextmanager
def device_values(scene, values):
    """While the block runs, the device has these values of all parameters, and no other thread uses it.

    values: the whole parameter buffer, float32, or None for the scene's own. The sampling tables of the
    lights stay as they are, so that the same random numbers give the same paths.
    """
    with device_lock:
        if values is None or np.array_equal(values, scene.values):
            yield
            return
        scene.device_arrays()
        try:
            scene.update(values, tables=False)
            yield
        finally:
            _restore(scene, tables=False)


def values_of(scene, record, values):
    """The values of one parameter. values: the whole buffer, or None for the scene's own."""
    return record.of(scene.values if values is None else values)


@contextlib.contextmanager
def device_tables(scene, values):
    """While the block runs, the sampling tables of the lights are those of these values, not of the scene's
    own, and no other thread uses the device."""
    with device_lock:
        if np.array_equal(values, scene.values):
            yield
            return
        try:
            scene.update(values)
            yield
        finally:
            _restore(scene, tables=True)


def _restore(scene, tables):
    try:
        scene.update(tables=tables)
    except BaseException:  # an interrupt, even before the update began: the next call uploads the scene again
        scene.state.generation = None
        raise
