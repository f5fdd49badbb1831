"""Triangle meshes for tests, as (positions (n, 3) float64, faces (m, 3))."""

import numpy as np


def octasphere(levels):
    """The unit sphere: an octahedron whose triangles are divided into four, `levels` times."""
    positions = [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
    faces = [(0, 2, 4), (2, 1, 4), (1, 3, 4), (3, 0, 4), (2, 0, 5), (1, 2, 5), (3, 1, 5), (0, 3, 5)]
    for _ in range(levels):
        between, finer = {}, []

        def middle(i, j, between=between):
            key = min(i, j), max(i, j)
            if key not in between:
                between[key] = len(positions)
                point = np.add(positions[i], positions[j])
                positions.append(tuple(point / np.linalg.norm(point)))
            return between[key]

        for a, b, c in faces:
            ab, bc, ca = middle(a, b), middle(b, c), middle(c, a)
            finer += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        faces = finer
    return np.array(positions, float), np.array(faces)


def grid(n):
    """The square [0, 1]^2 at z = 0 in n x n cells of two triangles, which face +z."""
    x, y = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    positions = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    row, column = np.divmod(np.arange(n * n), n)
    a = row * (n + 1) + column
    b, c, d = a + 1, a + n + 1, a + n + 2
    return positions, np.concatenate([np.stack([a, b, d], axis=1), np.stack([a, d, c], axis=1)])
