"""How far a mesh is from the true one, and curves of that, as the recovery of moving.py asks."""

import numpy as np
from media_against_mitsuba import SHARES
from moving_scenes import OBJECT, POSITIONS
from scipy.spatial import cKDTree

import prb

DENSE = 200_000  # points on a surface, to which distances are taken


def read_target(path):
    """(vertices, faces) of a PLY file, about the origin, with a radius of 1.2."""
    scene = {"type": "scene", "sky": {"type": "constant"}, OBJECT: {"type": "ply", "filename": path}}
    scene = prb.load_dict(scene)
    vertices = prb.traverse(scene)[POSITIONS].astype(float)
    vertices -= (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    return vertices * 1.2 / np.linalg.norm(vertices, axis=1).max(), scene.model.shapes[0].faces


class Judge:
    """Distances of meshes with `faces` to the true one."""

    def __init__(self, vertices, true_faces, faces):
        self._vertices, self._faces = vertices, faces
        self._tree = cKDTree(spread(vertices, true_faces))

    def distance(self, vertices):
        vertices = np.asarray(vertices, float)
        there, _ = self._tree.query(vertices)
        back, _ = cKDTree(spread(vertices, self._faces)).query(self._vertices)
        return float((there.mean() + back.mean()) / 2)


def spread(vertices, faces, seed=0):
    """`DENSE` points that are evenly distributed on a mesh."""
    generator = np.random.default_rng(seed)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    area = np.where(np.isfinite(area), area, 0) + 1e-12
    chosen = generator.choice(len(faces), DENSE, p=area / area.sum())
    u, v = generator.uniform(size=(2, DENSE, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]


def recovery_result(curves, seconds):
    """Medians over the runs at the `SHARES` of the time, between points by interpolation."""
    times = [share * seconds for share in SHARES]
    distance = {
        side: np.median(
            [np.interp(times, [p["seconds"] for p in r], [p["distance"] for p in r]) for r in runs], axis=0
        )
        for side, runs in curves.items()
    }
    return {
        "seconds": seconds,
        "runs": len(curves["mitsuba"]),
        "iterations": {side: [run[-1]["iterations"] for run in runs] for side, runs in curves.items()},
        "start": curves["prb"][0][0]["distance"],
        "times": times,
        "distance": {side: of.tolist() for side, of in distance.items()},
        "ratio": (distance["prb"] / distance["mitsuba"]).tolist(),
    }
