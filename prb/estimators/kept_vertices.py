"""The vertices of a picture's paths, kept on the device for the gradient."""

import contextlib

import numpy as np

from prb.device import runtime
from prb.device.arrays import empty
from prb.estimators.settings import UNLIMITED
from prb.kernels.arrays import vec10f
from prb.kernels.estimators.kept_vertices import VERTEX_SIZE

VERTEX_BYTES, PATH_BYTES = 4 * VERTEX_SIZE, 40  # of a vertex at most, and of a path without its vertices


class KeptVertices:
    """The vertices of all paths of a picture, kept between the two sweeps of reverse mode.

    Each worker has a row in which its paths' vertices lie one behind the other until it is full; later paths
    are traced again, with the same result. A scene keeps the arrays for the next time, as allocating takes
    longer than filling them.
    """

    def __init__(self, key, vertices):
        self.sweeps = 0, 1
        self._key, self._vertices = key, vertices
        self._launches = {}

    @classmethod
    def of(cls, scene, spp, max_depth, budget):
        """The scene's `KeptVertices` for spp samples, which take at most `budget` bytes; None where those are
        too few for one vertex of each path. They wait for the first sweep, and are no longer the scene's."""
        height, width, _ = scene.image_shape
        vertices = (budget / (height * width * spp) - PATH_BYTES) / VERTEX_BYTES
        if vertices < 1:
            return None
        key = runtime.ensure(), height, width, spp, min(vertices, max_depth if max_depth > 0 else UNLIMITED)
        kept, scene.state.kept_vertices = scene.state.kept_vertices, None  # lets go of those that do not fit
        if kept is None or kept._key != key:
            kept = None
            kept = cls(key, key[-1])
        kept.sweeps = 0, 1
        return kept

    @classmethod
    @contextlib.contextmanager
    def borrowed(cls, scene, spp, max_depth, budget):
        """As `of`, while the block runs: a loss that asks for another gradient of this scene gets other
        arrays. Afterwards they are the scene's again."""
        kept = cls.of(scene, spp, max_depth, budget)
        try:
            yield kept
        finally:
            if kept is not None:
                scene.state.kept_vertices = kept

    def second_sweep(self):
        """From now on the kept vertices are used."""
        self.sweeps = 1, 2

    def of_launch(self, first_pixel, first_sample, workers, paths):
        """The arrays (vertices, paths) of one launch."""
        key = first_pixel, first_sample
        if key in self._launches and self._launches[key][0].shape[0] != workers:
            del self._launches[key]  # other parameters are differentiated, which takes other workers
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
