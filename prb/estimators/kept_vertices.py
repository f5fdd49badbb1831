"""The vertices of a picture's paths, kept on the device for the gradient."""

import contextlib

import numpy as np

from prb.device import runtime
from prb.device.arrays import empty
from prb.device.lock import device_lock
from prb.estimators.settings import UNLIMITED
from prb.kernels.arrays import vec10f
from prb.kernels.estimators.kept_vertices import VERTEX_SIZE

VERTEX_BYTES = 4 * VERTEX_SIZE  # at most
PATH_BYTES = 40  # without its vertices


class KeptVertices:
    """The vertices of all paths of a picture, kept between the two sweeps of reverse mode.

    Each worker has a row in which its paths' vertices lie one after the other until it is full; later paths
    are traced again, with the same result. A scene keeps the arrays for the next gradient, as allocating them
    takes longer than filling them.
    """

    def __init__(self, key, vertices):
        """key: what the arrays are made for. vertices: how many of each path can be kept on average."""
        self.sweeps = 0, 1
        self._key, self._vertices = key, vertices
        self._launches = {}

    @classmethod
    def of(cls, scene, spp, max_depth, budget):
        """The scene's `KeptVertices` for spp samples, which take at most `budget` bytes; None where that is
        not enough for one vertex of each path. They are set to the first sweep, and taken from the scene, so
        that no other call uses them."""
        height, width, _ = scene.image_shape
        vertices = (budget / (height * width * spp) - PATH_BYTES) / VERTEX_BYTES
        if vertices < 1:
            return None
        key = runtime.ensure(), height, width, spp, min(vertices, max_depth if max_depth > 0 else UNLIMITED)
        kept, scene.state.kept_vertices = scene.state.kept_vertices, None  # those that do not fit are freed
        if kept is None or kept._key != key:
            kept = None
            kept = cls(key, key[-1])
        kept.sweeps = 0, 1
        return kept

    @classmethod
    @contextlib.contextmanager
    def borrowed(cls, scene, spp, max_depth, budget):
        """As `of`, while the block runs; then they are given back to the scene. A loss that computes another
        gradient of this scene meanwhile gets arrays of its own."""
        with device_lock:
            kept = cls.of(scene, spp, max_depth, budget)
        try:
            yield kept
        finally:
            if kept is not None:
                scene.state.kept_vertices = kept

    def second_sweep(self):
        """Set to the second sweep, which reads the kept vertices."""
        self.sweeps = 1, 2

    def of_launch(self, first_pixel, first_sample, workers, paths):
        """The arrays (vertices, paths) of one launch."""
        key = first_pixel, first_sample
        if key in self._launches and self._launches[key][0].shape[0] != workers:
            del self._launches[key]  # other parameters are differentiated, by another number of workers
        if key not in self._launches:
            row = min(int(VERTEX_SIZE * self._vertices * paths / workers), (2**31 - 1) // workers)
            self._launches[key] = empty((workers, max(row, 1))), empty(paths, vec10f)
        return self._launches[key]

    def nbytes(self):
        """Bytes that are allocated."""
        return sum(
            4 * int(np.prod(vertices.shape)) + PATH_BYTES * paths.shape[0]
            for vertices, paths in self._launches.values()
        )
