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


def write_ply(path: Path, vertices: np.ndarray, faces: np.ndarray) -> None:
    """A binary little-endian PLY file of positions and triangles."""
    header = (
        "ply\nformat binary_little_endian 1.0\n"
        f"element vertex {len(vertices)}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = np.zeros(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, faces
    path.write_bytes(header.encode() + vertices.astype("<f4").tobytes() + rows.tobytes())


def main() -> None:
    folder = Path(__file__).parent / "meshes"
    folder.mkdir(exist_ok=True)
    vertices, faces = knot()
    write_ply(folder / "knot.ply", vertices, faces)
    size = (folder / "knot.ply").stat().st_size
    print(f"knot.ply: {len(vertices)} vertices, {len(faces)} triangles, {size} bytes")


if __name__ == "__main__":
    main()
