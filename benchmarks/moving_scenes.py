"""The scenes of moving.py: a lumpy ball that moves over a floor, seen directly, by its shadow, and in what
reflects it; a ball that becomes another shape in eight views; a rippled square of many triangles.

Meshes are written as PLY files into a folder, as both programs read them.
"""

from pathlib import Path

import numpy as np
import workers
from loading import rippled, write_ply
from loop_scenes import with_film
from scipy.spatial import ConvexHull

OBJECT = "object"
TRANSFORM, POSITIONS = f"{OBJECT}.to_world", f"{OBJECT}.vertex_positions"
VERTICES = 5000
RADIUS = 0.6
VIEWS = 8  # of a recovery


def ball(count=VERTICES):
    """(vertices (count, 3), faces) of a sphere of radius 1 whose vertices are evenly spread: a Fibonacci
    lattice and its convex hull."""
    k = np.arange(count) + 0.5
    polar, azimuth = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    x, y, z = np.sin(polar) * np.cos(azimuth), np.cos(polar), np.sin(polar) * np.sin(azimuth)
    vertices = np.stack([x, y, z], axis=1)
    faces = ConvexHull(vertices).simplices
    corners = vertices[faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = (normal * corners.sum(axis=1)).sum(axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return vertices, faces.astype(np.int32)


def waves(points, seed, frequency=3.0, count=12):
    """A smooth random function of points (n, 3), with a standard deviation of about 1."""
    generator = np.random.default_rng(seed)
    directions = generator.normal(size=(count, 3)) * frequency / 3**0.5
    phases = generator.uniform(0, 2 * np.pi, count)
    return np.cos(points @ directions.T + phases).sum(axis=1) * (2 / count) ** 0.5


def field(points, seed=11):
    """A smooth random field of directions at points (n, 3): (n, 3), with a length of about 1."""
    return np.stack([waves(points, seed + k) for k in range(3)], axis=1) / 3**0.5


def lumpy(count=VERTICES):
    """(vertices, faces) of a ball with hills and hollows, about the origin, of a mean radius of 1."""
    directions, faces = ball(count)
    return directions * (1 + 0.18 * waves(directions, 2, 3.5))[:, None], faces


def statue(count=4 * VERTICES):
    """(vertices, faces) of the target of a recovery: a head of sorts, with ears, a nose and hollows."""
    directions, faces = ball(count)
    radius = 0.85 + 0.05 * waves(directions, 5, 6.0)
    for at, height, width in (
        ((0.75, 0.65, 0.0), 0.75, 0.05), ((-0.75, 0.65, 0.0), 0.75, 0.05), ((0.0, 0.05, 1.0), 0.45, 0.03),
        ((0.35, 0.3, 0.9), -0.2, 0.02), ((-0.35, 0.3, 0.9), -0.2, 0.02), ((0.0, -1.0, -0.2), 0.35, 0.15),
        ((0.0, -0.1, -1.0), 0.6, 0.01),
    ):  # fmt: skip
        middle = np.array(at) / np.linalg.norm(at)
        radius += height * np.exp((directions @ middle - 1) / width)
    return directions * radius[:, None], faces


def written(path, vertices, faces):
    """The path of a PLY file with these triangles, which is written."""
    write_ply(path, np.asarray(vertices, "<f4"), np.asarray(faces, "<i4"), ("x", "y", "z"))
    return str(path)


def mesh(path, reflectance, *, smooth):
    """The shape in a PLY file. smooth: with vertex normals, which follow the positions."""
    colour = {"type": "rgb", "value": list(reflectance)}
    return {
        "type": "ply", "filename": str(path), "face_normals": not smooth,
        "bsdf": {"type": "diffuse", "reflectance": colour},
    }  # fmt: skip


def camera(origin, target, fov):
    look = {"origin": list(map(float, origin)), "target": list(map(float, target)), "up": [0, 1, 0]}
    return {
        "type": "perspective", "fov": fov, "to_world": [{"look_at": look}],
        "sampler": {"type": "independent", "sample_count": 16},
    }  # fmt: skip


def lamp(origin, target, scale, radiance):
    """A rectangle that shines towards a point."""
    up = [0, 0, 1] if abs(origin[0] - target[0]) + abs(origin[2] - target[2]) < 1e-6 else [0, 1, 0]
    look = {"origin": list(map(float, origin)), "target": list(map(float, target)), "up": up}
    emitter = {"type": "area", "radiance": {"type": "rgb", "value": list(radiance)}}
    return {"type": "rectangle", "to_world": [{"scale": scale}, {"look_at": look}], "emitter": emitter}


def _grey(value):
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": [value] * 3}}


def _panel(bsdf):
    """A wall behind the object, towards which the camera looks past it."""
    return {"type": "rectangle", "to_world": [{"scale": 2.5}, {"translate": [0, 1.2, -2.0]}], "bsdf": bsdf}


GLOSSY = {"type": "roughconductor", "material": "Al", "distribution": "ggx", "alpha": 0.1}
CASES = {  # where the object is, the camera, the lamp, and what else there is
    "primary": (
        (0.0, 0.9, 0.0), ((0.0, 1.6, 4.5), (0.0, 0.75, 0.0), 32),
        ((1.2, 3.5, 1.0), (0.0, 0.0, 0.0), 0.5, (14.0, 13.0, 11.0)), {},
    ),
    "shadow": (
        (0.0, 1.5, 0.0), ((-1.3, 2.0, 2.0), (-1.1, 0.0, 0.1), 32),
        ((2.4, 4.9, 0.0), (0.0, 1.5, 0.0), 0.6, (28.0, 25.0, 21.0)), {},
    ),
    "indirect, glossy": (
        (0.0, 1.2, 0.0), ((2.2, 1.2, 0.5), (0.98, 1.2, -2.0), 28),
        ((1.0, 4.0, 0.5), (0.0, 1.2, 0.0), 0.6, (14.0, 13.0, 11.0)), {"panel": _panel(GLOSSY)},
    ),
    "indirect, diffuse": (
        (0.0, 1.2, -1.1), ((2.2, 1.2, 0.5), (1.1, 1.2, -2.0), 26),
        ((-1.6, 2.6, -1.95), (0.0, 1.2, -0.6), 0.4, (30.0, 27.0, 22.0)), {"panel": _panel(_grey(0.8))},
    ),
}  # fmt: skip


def moved(name, folder, *, size, depth, vertices=VERTICES, smooth=False):
    """(scene with matrices, the object's vertices, its middle) of one of `CASES`."""
    at, view, light, others = CASES[name]
    points, faces = lumpy(vertices)
    points = (RADIUS * points + at).astype(np.float32)
    path = written(Path(folder) / f"{name.replace(', ', '_')}.ply", points, faces)
    flat = [{"scale": 5}, {"rotate": {"axis": [1, 0, 0], "angle": -90}}]
    scene = {
        "type": "scene",
        "integrator": {"type": "path", "max_depth": depth, "rr_depth": 1000},
        "sensor": camera(*view),
        "floor": {"type": "rectangle", "to_world": flat, "bsdf": _grey(0.5)},
        "lamp": lamp(*light),
        **others,
        OBJECT: mesh(path, (0.7, 0.45, 0.3), smooth=smooth),
    }
    return prepared(scene, size), points.astype(float), np.array(at)


def recovered(folder, vertices, faces, *, size, depth, smooth):
    """A scene with a mesh between `VIEWS` cameras, under a lamp and a sky that shine on all of it."""
    scene = {"type": "scene", "integrator": {"type": "path", "max_depth": depth, "rr_depth": 1000}}
    for k in range(VIEWS):
        azimuth, height = 2 * np.pi * (k + 0.25) / VIEWS, (0.9, -0.5)[k % 2]
        origin = [5 * np.cos(azimuth), 5 * height, 5 * np.sin(azimuth)]
        scene[f"view-{k}"] = camera(origin, (0, 0, 0), 32)
    path = written(Path(folder) / "object.ply", vertices, faces)
    scene["sky"] = {"type": "constant", "radiance": {"type": "rgb", "value": [0.4, 0.45, 0.5]}}
    scene["lamp"] = lamp((3.0, 5.0, 4.0), (0, 0, 0), 1.0, (14.0, 13.0, 11.0))
    scene[OBJECT] = mesh(path, (0.7, 0.6, 0.5), smooth=smooth)
    return prepared(scene, size)


def sheet(folder, triangles, *, smooth):
    """(scene, vertices) of a rippled square of about so many triangles."""
    vertices, faces = rippled(round((triangles / 2) ** 0.5))
    path = written(Path(folder) / f"sheet{smooth:d}.ply", vertices[:, :3], faces)
    scene = {"type": "scene", "sensor": camera((0, 0, 4), (0, 0, 0), 40), "sky": {"type": "constant"}}
    return prepared({**scene, OBJECT: mesh(path, (0.5,) * 3, smooth=smooth)}, 32), vertices[:, :3]


def prepared(scene, size):
    """A scene that both programs take: matrices, and films of size x size pixels with a box filter."""
    return with_film(workers.with_matrices(scene), size=size, rfilter="box")
