"""The cube as a mesh, for what moves its corners one by one."""

from dataclasses import replace

import numpy as np

from prb.scene.model import Shape

# Corner, then the ways to its two neighbours, of each face, in the order in which Mitsuba's `cube` has its
# 24 vertices: corner, corner + first, corner + first + second, corner + second.
FACES = np.array(
    [
        [[1, -1, -1], [0, 0, 2], [-2, 0, 0]],
        [[1, 1, -1], [-2, 0, 0], [0, 0, 2]],
        [[1, -1, -1], [0, 2, 0], [0, 0, 2]],
        [[1, -1, 1], [0, 2, 0], [-2, 0, 0]],
        [[-1, -1, 1], [0, 2, 0], [0, 0, -2]],
        [[1, 1, -1], [0, -2, 0], [-2, 0, 0]],
    ],
    float,
)
TEXCOORDS = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], np.float32)  # of each face's vertices
TRIANGLES = np.array([[0, 1, 2], [3, 0, 2]], np.int32)


def mesh_of(shape: Shape) -> Shape:
    """The mesh of a `cube`, with the same surface, normals and texture coordinates: 24 vertices in Mitsuba's
    order, 12 triangles."""
    linear, origin = shape.to_world[:3, :3], shape.to_world[:3, 3]
    a, e, f = (FACES[:, i] for i in range(3))
    corners = np.stack([a, a + e, a + e + f, a + f], axis=1).reshape(-1, 3)
    faces = (4 * np.arange(len(FACES))[:, None, None] + TRIANGLES).reshape(-1, 3).astype(np.int32)
    if shape.flip_normals != (np.linalg.det(linear) < 0):
        faces = np.ascontiguousarray(faces[:, ::-1])
    return replace(
        shape,
        kind="mesh",
        flip_normals=False,
        reversed=shape.flip_normals,
        vertices=(corners @ linear.T + origin).astype(np.float32),
        faces=faces,
        texcoords=np.tile(TEXCOORDS, (len(FACES), 1)),
    )
