"""The vertices of a picture's paths, kept on the device for the gradient."""

import contextlib

import numpy as np

from prb.device import runtime
from prb.device.arrays import empty
from prb.device.film import sampled_size
from prb.device.lock import device_lock
from prb.estimators.settings import UNLIMITED
from prb.kernels.arrays import vec10f
from prb.kernels.estimators.density import PROBE_SIZE
from prb.kernels.estimators.kept_vertices import groups, size_of

PATH_BYTES = 40  # without its vertices
PROBE_BYTES = 4 * PROBE_SIZE  # of a path, where the extinction of media is differentiated


def vertex_size(scene):
    """How many numbers a kept vertex of a scene has at most."""
    return size_of(groups(scene.layout.features))


def vertex_bytes(scene):
    """How many bytes a kept vertex of a scene has at most."""
    return 4 * vertex_size(scene)


class KeptVertices:
    """The vertices of all paths of a picture, kept between the two sweeps of reverse mode.

    Each worker has a row in which its paths' vertices lie one after the other until it is full; later paths
    are traced again, with the same result. A scene keeps the arrays for the next gradient, as allocating them
    takes longer than filling them.
    """

    def __init__(self, key, vertices, size):
        """key: what the arrays are made for. vertices: how many of each path can be kept on average. size:
        numbers of each."""
        self.sweeps = 0, 1
        self._key, self._vertices, self._size = key, vertices, size
        self._launches = {}

    @classmethod
    def of(cls, scene, spp, max_depth, budget):
        """The scene's `KeptVertices` for spp samples, which take at most `budget` bytes; None where that is
        not enough for one vertex of each path. They are set to the first sweep, and taken from the scene, so
        that no other call uses them."""
        width, height = sampled_size(scene.film)
        of_path = PATH_BYTES + (PROBE_BYTES if scene.layout.extinctions else 0)
        vertices = (budget / (height * width * spp) - of_path) / vertex_bytes(scene)
        if vertices < 1:
            return None
        key = runtime.ensure(), height, width, spp, min(vertices, max_depth if max_depth > 0 else UNLIMITED)
        kept, scene.state.kept_vertices = scene.state.kept_vertices, None  # those that do not fit are freed
        if kept is None or kept._key != key:
            kept = None
            kept = cls(key, key[-1], vertex_size(scene))
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

    def of_launch(self, first_pixel, first_sample, workers, paths, *, probes):
        """The arrays (vertices, paths, probes) of one launch. probes: whether each path has one."""
        key = first_pixel, first_sample
        kept = self._launches.get(key)
        if kept and (kept[0].shape[0] != workers or probes and kept[2].shape[0] != paths):
            del self._launches[key]  # other parameters are differentiated, by another number of workers
        if key not in self._launches:
            row = min(int(self._size * self._vertices * paths / workers), (2**31 - 1) // workers)
            self._launches[key] = (
                empty((workers, max(row, 1))), empty(paths, vec10f),
                empty((paths if probes else 1, PROBE_SIZE)),
            )  # fmt: skip
        return self._launches[key]

    def nbytes(self):
        """Bytes that are allocated."""
        return sum(
            4 * int(np.prod(vertices.shape)) + PATH_BYTES * paths.shape[0] + PROBE_BYTES * probes.shape[0]
            for vertices, paths, probes in self._launches.values()
        )
