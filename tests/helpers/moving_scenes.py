"""Scenes of shapes that fill the view, so that moving them moves no edge: what has an edge is out of sight,
or dark there. And tangents of transforms, and differences with common random numbers."""

import numpy as np

import prb

RNG = np.random.default_rng(3)
MARBLE = RNG.uniform(0.1, 0.9, (5, 5, 3)).astype(np.float32)
LIT = np.zeros((9, 9, 3), np.float32)  # of a light whose border is dark
LIT[2:-2, 2:-2] = RNG.uniform(0.5, 3.0, (5, 5, 3))
EYE = [{"look_at": {"origin": [0.4, -0.6, 3], "target": [0, 0, 0], "up": [0, 1, 0]}}]
FILM = {"type": "hdrfilm", "width": 6, "height": 6, "rfilter": {"type": "box"}}
LAMP = {"type": "point", "position": [1, 0.5, 2], "intensity": {"type": "rgb", "value": [10, 8, 6]}}
VIEWS = {
    "front": {"type": "perspective", "fov": 30, "to_world": EYE, "film": FILM},
    "lens": {"type": "thinlens", "fov": 30, "to_world": EYE, "film": FILM,
             "aperture_radius": 0.2, "focus_distance": 2.0},
    "flat": {"type": "orthographic", "to_world": [{"scale": 0.7}, *EYE], "film": FILM},
}  # fmt: skip


def bitmap(texels, wrap_mode="clamp"):
    return {"type": "bitmap", "raw": True, "data": texels, "wrap_mode": wrap_mode}


PAINTED = {"type": "diffuse", "reflectance": bitmap(MARBLE)}


def plane(bsdf=PAINTED, *steps, **more):
    """A large rectangle, at first at z = 0, that faces +z."""
    return {"type": "rectangle", "to_world": [{"scale": 40}, *steps], "bsdf": bsdf, **more}


def scene(folder=None, *, depth=2, views=("front",), lamp=LAMP, **shapes):
    """Shapes that VIEWS look at from above."""
    lights = {} if lamp is None else {"lamp": lamp}
    d = {
        "type": "scene", "integrator": {"type": "path", "max_depth": depth, "rr_depth": 100},
        **{name: VIEWS[name] for name in views}, **lights, **shapes,
    }  # fmt: skip
    return prb.load_dict(d, base_dir=folder)


def sheet(folder, *, normals=False, n=9, name="sheet.ply"):
    """Write a gently curved sheet of 2 (n - 1)^2 triangles around z = 0 with texture coordinates; its file's
    name. normals: with colours and normals of the vertices, which are not quite those of the surface."""
    x = np.linspace(-8, 8, n)
    x, y = (a.ravel() for a in np.meshgrid(x, x))
    z = 0.08 * np.sin(0.9 * x) * np.cos(0.7 * y)
    u, v = (x + 8) / 16, (y + 8) / 16
    columns = [x, y, z, u, v]
    keys = ["x", "y", "z", "u", "v"]
    if normals:
        columns += [0.1 * np.cos(x), 0.1 * np.sin(y), np.ones(len(x)), *RNG.uniform(0.1, 0.9, (3, len(x)))]
        keys += ["nx", "ny", "nz", "r", "g", "b"]
    at = np.arange(n * n).reshape(n, n)
    a, b, c, d = at[:-1, :-1].ravel(), at[:-1, 1:].ravel(), at[1:, 1:].ravel(), at[1:, :-1].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    lines = ["ply", "format ascii 1.0", f"element vertex {n * n}", *(f"property float {k}" for k in keys)]
    lines += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    lines += [" ".join(f"{number:.6f}" for number in row) for row in np.stack(columns, 1)]
    lines += [f"3 {p} {q} {r}" for p, q, r in faces]
    (folder / name).write_text("\n".join(lines) + "\n")
    return name


def scaled(to_world):
    """The tangent of a transform that scales what it places, about its own origin."""
    return to_world @ np.diag([1.0, 1.0, 1.0, 0.0])


def shift(x, y, z):
    """The tangent of a transform for a translation."""
    tangent = np.zeros((4, 4))
    tangent[:3, 3] = x, y, z
    return tangent


def turn(to_world, axis, about=(0, 0, 0)):
    """The tangent of a transform that turns about an axis (0 to 2) through a point."""
    generator = np.zeros((4, 4))
    generator[:3, :3] = np.cross(np.eye(3)[axis], np.eye(3), axisb=0, axisc=0)
    generator[:3, 3] = -generator[:3, :3] @ about
    return generator @ to_world


def differences(scene, name, tangent, h, **options):
    """The picture's derivative along a tangent, from pictures with the same random numbers."""
    params = prb.traverse(scene)
    start, pictures = params[name], []
    for sign in (1, -1):
        params.update({name: start + sign * h * np.asarray(tangent)})
        pictures.append(prb.render(scene, **options).astype(float))
    params.update({name: start})
    return (pictures[0] - pictures[1]) / (2 * h)
