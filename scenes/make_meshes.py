"""Makes the meshes of the bundled scenes: python scenes/make_meshes.py

The same files come out every time; only NumPy is needed.
"""

from pathlib import Path

import numpy as np


def knot(around: int = 448, across: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A tube along a (2, 3) torus knot whose thickness swells, with six twisting ridges.

    Returns vertices (around * across, 3) and faces (2 * around * across, 3), counter-clockwise from
    outside. The knot stands in the xy plane, on y = 0.
    """
    t = np.linspace(0, 2 * np.pi, around, endpoint=False)[:, None]

    core = np.concatenate([np.sin(2 * t), np.cos(2 * t), 0 * t], axis=1)
    out = np.cos(3 * t) * core + np.sin(3 * t) * np.array([0.0, 0.0, 1.0])  # from the torus's core
    curve = 2 * core + out
    along = np.concatenate([np.cos(2 * t), -np.sin(2 * t), 0 * t], axis=1)
    tangent = 2 * (2 + np.cos(3 * t)) * along
    tangent += 3 * (np.cos(3 * t) * np.array([0.0, 0.0, 1.0]) - np.sin(3 * t) * core)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    binormal = np.cross(tangent, out)  # `out` is a unit vector at right angles to the tangent

    phi = np.linspace(0, 2 * np.pi, across, endpoint=False)[None, :]
    radius = (0.44 + 0.08 * np.cos(6 * t)) * (1 + 0.09 * np.cos(6 * phi + 24 * t))
    offset = (np.cos(phi)[..., None] * out[:, None] + np.sin(phi)[..., None] * binormal[:, None]) * radius[
        ..., None
    ]
    vertices = (curve[:, None] + offset).reshape(-1, 3)
    vertices[:, 1] -= vertices[:, 1].min()

    i, j = np.divmod(np.arange(around * across), across)
    i_next, j_next = (i + 1) % around, (j + 1) % across
    a, b = i * across + j, i_next * across + j
    c, d = i_next * across + j_next, i * across + j_next
    return vertices, np.concatenate([np.stack([a, c, b], axis=1), np.stack([a, d, c], axis=1)])


def ball(parts: int) -> tuple[np.ndarray, np.ndarray]:
    """An icosahedron whose edges are cut into so many parts, on the unit sphere.

    Returns vertices (10 * parts**2 + 2, 3) and faces (20 * parts**2, 3), counter-clockwise from outside.
    """
    long = (1 + 5**0.5) / 2
    base = np.array([[0.0, y, z] for y in (-1, 1) for z in (-long, long)])
    corners = np.concatenate([np.roll(base, axis, axis=1) for axis in range(3)])
    near = np.isclose(np.linalg.norm(corners[:, None] - corners, axis=2), 2)
    i, j, k = np.indices((12, 12, 12))
    sides = np.argwhere((i < j) & (j < k) & near[i, j] & near[j, k] & near[i, k])

    steps = [(a, b) for a in range(parts + 1) for b in range(parts + 1 - a)]
    number = {step: index for index, step in enumerate(steps)}
    up = [((a, b), (a + 1, b), (a, b + 1)) for a, b in steps if a + b < parts]
    down = [((a + 1, b), (a + 1, b + 1), (a, b + 1)) for a, b in steps if a + b < parts - 1]
    cells = np.array([[number[step] for step in cell] for cell in up + down])
    a, b = np.array(steps).T[..., None]

    points = np.concatenate([
        (parts - a - b) * corners[p] + a * corners[q] + b * corners[r] for p, q, r in sides
    ])  # fmt: skip
    _, first, place = np.unique(points.round(6), axis=0, return_index=True, return_inverse=True)
    vertices = points[first] / np.linalg.norm(points[first], axis=1, keepdims=True)
    faces = place.reshape(-1)[(cells + len(steps) * np.arange(20)[:, None, None]).reshape(-1, 3)]
    p, q, r = np.moveaxis(vertices[faces], 1, 0)
    inwards = (np.cross(q - p, r - p) * p).sum(axis=1) < 0
    faces[inwards] = faces[inwards][:, ::-1]
    return vertices, faces


def bear(parts: int = 23) -> tuple[np.ndarray, np.ndarray]:
    """A sitting bear that waves its right paw: a ball whose radius swells along some directions.

    Returns vertices and faces as `ball`. It looks along z, and its middle is the origin.
    """
    directions, faces = ball(parts)
    radius = np.full(len(directions), 0.8)
    for towards, height, sharpness in (
        ((0.0, 1.0, 0.1), 0.85, 6), ((-0.5, 1.0, 0.1), 0.45, 110), ((0.5, 1.0, 0.1), 0.45, 110),  # head, ears
        ((0.0, 0.8, 0.6), 0.45, 45),  # snout
        ((-1.0, 0.35, 0.25), 0.95, 28), ((1.0, -0.1, 0.5), 0.8, 28),  # arms
        ((-0.6, -0.8, 0.7), 0.8, 24), ((0.6, -0.8, 0.7), 0.8, 24),  # legs
        ((0.0, -0.6, -0.8), 0.35, 40),  # tail
    ):  # fmt: skip
        cosine = directions @ np.array(towards) / np.linalg.norm(towards)
        radius += height * np.exp(sharpness * (cosine - 1))
    vertices = radius[:, None] * directions
    return vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2, faces


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray, corner: str = "int") -> None:
    """A binary little-endian PLY file of positions and triangles. corner: the type of a vertex's number."""
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar {corner} vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), [("count", "u1"), ("corners", {"int": "<i4", "ushort": "<u2"}[corner], 3)])
    rows["count"], rows["corners"] = 3, faces
    path.write_bytes(header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes())


def main() -> None:
    folder = Path(__file__).parent / "meshes"
    folder.mkdir(exist_ok=True)
    for name, (vertices, faces), corner in (("bear.ply", bear(), "ushort"), ("knot.ply", knot(), "int")):
        write_ply(folder / name, vertices, faces, corner)
        size = (folder / name).stat().st_size
        print(f"{name}: {len(vertices)} vertices, {len(faces)} triangles, {size} bytes")


if __name__ == "__main__":
    main()
