"""Vertex normals that follow the positions: the chain rule between the two, outside of the kernels.

Kernels differentiate by positions and by normals as if they were independent; here what the normals have is
added to the positions.
"""

import numpy as np

from prb.estimators.values import values_of
from prb.scene.meshes import normals

PROBES = 16  # random signs by which the variance that goes through a mesh's normals is estimated


def with_normals(scene, names):
    """The names, and those of the vertex normals that follow positions among them."""
    if names is None:
        return None
    followers = scene.layout.moving.followers(names)
    return [*names, *(r.name for _, r, _ in followers if r.name not in names)]


def pull_back(scene, result, names, values):
    """Add to the gradient by positions what the normals that follow them have, in place.

    The variance becomes an upper bound: both parts come from the same paths.
    """
    for positions, follower, faces in scene.layout.moving.followers(names or ()):
        vertices = values_of(scene, positions, values)
        own = positions.of(result.gradient)
        own += normals.pull_back(vertices, faces, follower.of(result.gradient))
        if result.variance is not None:
            noise = np.sqrt(follower.of(result.variance))
            rng, squares = np.random.default_rng(0), 0.0
            for _ in range(PROBES):
                signs = rng.choice([-1.0, 1.0], noise.shape)
                squares = squares + normals.pull_back(vertices, faces, noise * signs) ** 2 / PROBES
            variance = positions.of(result.variance)
            variance[...] = (np.sqrt(variance) + np.sqrt(squares)) ** 2


def push_forward(scene, tangents, names, values):
    """The tangents with those of the normals that follow positions."""
    followers = scene.layout.moving.followers(names or ())
    if not followers:
        return tangents
    found = np.array(tangents)
    for positions, follower, faces in followers:
        vertices = values_of(scene, positions, values)
        follower.of(found)[...] += normals.push_forward(vertices, faces, positions.of(found))
    return found
