"""Time to load a PLY of a million triangles, its hierarchy included, and its device memory per triangle.

    python benchmarks/loading.py [--triangles 1000000] [--runs 3]

The mesh is generated: a rippled square, binary, once with positions only and once with normals and texture
coordinates that the material uses.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import prb


def rippled(n):
    """Vertices (x, y, z, normal, u, v) and faces of a square of 2 n^2 triangles."""
    u, v = np.meshgrid(np.linspace(0, 1, n + 1), np.linspace(0, 1, n + 1))
    x, y = 2 * u - 1, 2 * v - 1
    z = 0.1 * np.sin(9 * x) * np.cos(7 * y)
    by_x, by_y = 0.9 * np.cos(9 * x) * np.cos(7 * y), -0.7 * np.sin(9 * x) * np.sin(7 * y)
    normal = np.stack([-by_x, -by_y, np.ones_like(x)], axis=2)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True)
    corner = (np.arange(n)[:, None] * (n + 1) + np.arange(n)).reshape(-1, 1)
    faces = np.concatenate([corner + [0, 1, n + 2], corner + [0, n + 2, n + 1]])
    vertices = np.concatenate([np.stack([x, y, z], axis=2), normal, np.stack([u, v], axis=2)], axis=2)
    return vertices.reshape(-1, 8).astype("<f4"), faces.astype("<i4")


def write_ply(path, vertices, faces, names):
    """A binary PLY; names: of the vertex properties, one for each column."""
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property float {name}" for name in names]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    rows = np.empty(len(faces), np.dtype([("count", "u1"), ("indices", "<i4", 3)]))
    rows["count"], rows["indices"] = 3, faces
    with open(path, "wb") as file:
        file.write("\n".join(header).encode())
        file.write(np.ascontiguousarray(vertices).tobytes())
        file.write(rows.tobytes())


def scene(path, textured):
    """The mesh under a constant light."""
    board = {"type": "checkerboard"} if textured else {"type": "rgb", "value": [0.5, 0.5, 0.5]}
    return {
        "type": "scene",
        "sensor": {"type": "perspective", "film": {"type": "hdrfilm", "width": 64, "height": 64}},
        "sky": {"type": "constant"},
        "mesh": {
            "type": "ply",
            "filename": str(path),
            "face_normals": not textured,
            "bsdf": {"type": "diffuse", "reflectance": board},
        },
    }


def measure(name, vertices, faces, names, runs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.ply"
        write_ply(path, vertices, faces, names)
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            loaded = prb.load_dict(scene(path, "u" in names))
            seconds.append(time.perf_counter() - start)
        per_triangle = loaded.device_bytes() / len(faces)
    median = statistics.median(seconds)
    found = f"median_s {median:.2f}, bytes_per_triangle {per_triangle:.0f}"
    print(f"{name}: {len(faces)} triangles, {found}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--triangles", type=int, default=10**6)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    prb.init("cpu")
    vertices, faces = rippled(int(np.ceil(np.sqrt(args.triangles / 2))))
    measure("positions only", vertices[:, :3], faces, ("x", "y", "z"), args.runs)
    names = ("x", "y", "z", "nx", "ny", "nz", "u", "v")
    measure("normals and texture coordinates", vertices, faces, names, args.runs)


if __name__ == "__main__":
    main()
