"""Ray against scene: what `trace` finds, against every shape's own equation in double precision.

A hit within rounding of an edge may go either way. So a hit that `trace` reports must lie on its shape
with the shape's edges moved out a little, and no shape with its edges moved in a little may be nearer.
"""

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pytest

from prb.device.arrays import upload, uploaded
from prb.device.layout import lay_out
from prb.kernels import bvh
from prb.kernels.arrays import SCENE, WIDTH, SceneArrays, vec3f
from prb.kernels.backend import ti
from prb.kernels.view import CYLINDER, DISK_LIMIT, SPHERE, Execution, SceneView, new_stack
from prb.scene.model import Bsdf, Emitter, Integrator, SceneModel, Shape, Texture

FAR = 1e30
GREY = Bsdf("grey", "diffuse", {"reflectance": Texture("grey", "rgb", np.full(3, 0.5, np.float32))})
RAYS = 4000

EXECUTION = Execution()


@ti.kernel
def _trace(
    features: ti.template(), any_hit: ti.i32, arrays: SceneArrays,
    o: ti.types.ndarray(vec3f, 1), d: ti.types.ndarray(vec3f, 1), t_max: ti.types.ndarray(ti.f32, 1),
    slots: ti.types.ndarray(ti.i32, 1), out: ti.types.ndarray(vec3f, 1),
):  # fmt: skip
    for i in range(o.shape[0]):
        scene = SceneView(features, EXECUTION, arrays, stack=new_stack(features.stack))
        slot, t, u, v = bvh.trace(scene, o[i], d[i], t_max[i], any_hit)
        slots[i] = slot
        out[i] = vec3f(t, u, v)


@dataclass
class Hits:
    """slot, t, u, v: as `trace` returns them; shape: number of the shape that was hit, -1 for none."""

    slot: np.ndarray
    t: np.ndarray
    u: np.ndarray
    v: np.ndarray
    shape: np.ndarray


class Traced:
    """Shapes laid out for the device."""

    def __init__(self, shapes, general=False):
        lamp = Emitter("lamp", "point", {"intensity": GREY.textures["reflectance"]}, np.zeros(3))
        self.layout = lay_out(SceneModel(shapes, [lamp], [], Integrator()))
        features = self.layout.features
        assert features.stack <= 128
        general = general or features.spheres or features.disks  # so that few kernels serve all tests
        self.features = replace(features, bsdfs=(), stack=128, spheres=general, disks=general)

    def __call__(self, o, d, t_max=FAR, any_hit=False):
        arrays = self.layout.arrays
        n = len(o)
        slots, out = upload(np.zeros(n, np.int32)), upload(np.zeros((n, 3), np.float32), vec3f)
        host = {**arrays, "params": self.layout.params}
        _trace(
            self.features, any_hit, SceneArrays(**uploaded(SCENE, host)), upload(o.astype(np.float32), vec3f),
            upload(d.astype(np.float32), vec3f), upload(np.broadcast_to(np.float32(t_max), n)), slots, out,
        )  # fmt: skip
        slot, (t, u, v) = slots.to_numpy(), out.to_numpy().T.astype(float)
        shape = np.where(slot >= 0, arrays["prim_info"][np.maximum(slot, 0), 1], -1)
        return Hits(slot, t, u, v, shape)


# Every shape's own equation, in double precision. A shape consists of faces (corner, e1, e2), or is round.


def _faces(shape):
    if shape.kind == "mesh":
        v = shape.vertices.astype(float)[shape.faces]
        return np.stack([v[:, 0], v[:, 1] - v[:, 0], v[:, 2] - v[:, 0]], axis=1)
    local = np.array([[[-1, -1, 0], [2, 0, 0], [0, 2, 0]]], float)
    if shape.kind == "cube":
        e = np.eye(3)
        local = np.array([[s * e[k] - e[k - 1] - e[k - 2], 2 * e[k - 1], 2 * e[k - 2]]
                          for k in range(3) for s in (-1, 1)])  # fmt: skip
    faces = local @ shape.to_world[:3, :3].T
    faces[:, 0] += shape.to_world[:3, 3]
    return faces


def _center_radius(shape):
    return shape.to_world[:3, 3], np.cbrt(abs(np.linalg.det(shape.to_world[:3, :3])))


def _cylinder(shape):
    """Base point, unit axis, length, radius."""
    m = shape.to_world
    length = np.linalg.norm(m[:3, 2])
    return m[:3, 3], m[:3, 2] / length, length, np.linalg.norm(m[:3, 0])


def _surely_hit_cylinder(shape, o, d, slack):
    base, axis, length, radius = _cylinder(shape)
    height, along = (o - base) @ axis, d @ axis
    f = o - base - height[:, None] * axis
    g = d - along[:, None] * axis
    g2 = np.maximum((g * g).sum(axis=1), 1e-300)
    b = -(f * g).sum(axis=1) / g2
    across2 = ((f + b[:, None] * g) ** 2).sum(axis=1)
    root = np.sqrt(np.maximum(radius**2 - across2, 0) / g2)
    nearest = np.full(len(o), np.inf)
    for t in (b - root, b + root):
        z = height + t * along
        inside = (z > slack * length) & (z < (1 - slack) * length) & (t > slack * radius)
        sure = inside & (across2 < ((1 - slack) * radius) ** 2) & (g2 > 1e-4)
        nearest = np.minimum(nearest, np.where(sure, t, np.inf))
    return nearest


def _coordinates(face, p):
    """(u, v) of the points' projections on the face's plane, and the plane's unit normal."""
    corner, e1, e2 = face
    n = np.cross(e1, e2)
    n2 = n @ n
    return np.cross(p - corner, e2) @ n / n2, np.cross(e1, p - corner) @ n / n2, n / np.sqrt(n2)


def surely_hit(shape, o, d, slack):
    """Distance (rays,) of the closest hit that is no matter of rounding: at least `slack` (a part of the
    shape's size, and more than rounding of positions) from its edges, and not grazing. inf: none."""
    nearest = np.full(len(o), np.inf)
    if shape.kind == "cylinder":
        return _surely_hit_cylinder(shape, o, d, slack)
    if shape.kind == "sphere":
        center, radius = _center_radius(shape)
        f = o - center
        b = -(f * d).sum(axis=1)
        across2 = ((f + b[:, None] * d) ** 2).sum(axis=1)
        root = np.sqrt(np.maximum(radius**2 - across2, 0))
        from_inside = (f * f).sum(axis=1) < radius**2
        at_surface = np.abs(np.sqrt((f * f).sum(axis=1)) - radius) < slack * radius
        t = np.where(from_inside, b + root, b - root)
        return np.where((across2 < ((1 - slack) * radius) ** 2) & ~at_surface & (t > 0), t, np.inf)
    for face in _faces(shape):
        if not np.cross(face[1], face[2]).any():
            continue
        _, _, n = _coordinates(face, o)
        cosine = d @ n
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (face[0] - o) @ n / cosine
            u, v, _ = _coordinates(face, o + t[:, None] * d)
        if shape.kind == "mesh":
            margin = np.minimum(np.minimum(u, v), 1 - u - v)
        elif shape.kind == "disk":
            margin = 0.5 - np.hypot(u - 0.5, v - 0.5)
        else:
            margin = np.minimum(np.minimum(u, v), 1 - np.maximum(u, v))
        height = np.linalg.norm(np.cross(*face[1:])) / np.linalg.norm(face[1:], axis=1).max()
        edge = slack + 1e-5 * (1 + np.abs(face[0]).max()) / height
        sure = (margin > edge) & (np.abs(cosine) > 0.01) & (t > 1e-5)
        nearest = np.minimum(nearest, np.where(sure, t, np.inf))
    return nearest


def _to_segment(p, a, edge):
    x = np.clip((p - a) @ edge / max(edge @ edge, 1e-300), 0, 1)
    return np.linalg.norm(p - a - x[:, None] * edge, axis=1)


def away_from(shape, p):
    """Distance (points,) of the points from the shape's surface."""
    if shape.kind == "sphere":
        center, radius = _center_radius(shape)
        return np.abs(np.linalg.norm(p - center, axis=1) - radius)
    if shape.kind == "cylinder":
        base, axis, length, radius = _cylinder(shape)
        height = (p - base) @ axis
        across = np.linalg.norm(p - base - height[:, None] * axis, axis=1)
        return np.hypot(across - radius, height - np.clip(height, 0, length))
    away = []
    for face in _faces(shape):
        corner, e1, e2 = face
        if shape.kind == "mesh":
            edges = ((corner, e1), (corner, e2), (corner + e1, e2 - e1))
            away += [_to_segment(p, start, edge) for start, edge in edges]
            if np.cross(e1, e2).any():
                u, v, n = _coordinates(face, p)
                away.append(np.where((u >= 0) & (v >= 0) & (u + v <= 1), np.abs((p - corner) @ n), np.inf))
        else:
            u, v, _ = _coordinates(face, p)
            q = np.stack([u, v], axis=1) - 0.5
            if shape.kind == "disk":
                q /= np.maximum(2 * np.linalg.norm(q, axis=1, keepdims=True), 1)
            q = np.clip(q, -0.5, 0.5) + 0.5
            away.append(np.linalg.norm(p - corner - q @ np.stack([e1, e2]), axis=1))
    return np.min(away, axis=0)


def check(shapes, o, d, *, slack=1e-3, t_max=FAR, general=False):
    """Compare with brute force. Returns the fraction of rays that hit."""
    o = o.astype(np.float32).astype(float)
    d = (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32).astype(float)
    traced = Traced(shapes, general)
    hits = traced(o, d, t_max)
    found = hits.slot >= 0
    assert np.all(hits.t[~found] == np.float32(t_max))
    t = hits.t[found]
    assert np.all((t > 0) & (t < t_max))
    rounding = 1e-6 * (1 + np.abs(o).max(axis=1))  # of positions

    # What was found is there, also by its coordinates,
    p = o + np.where(found, hits.t, 0)[:, None] * d
    for i, shape in enumerate(shapes):
        rays = hits.shape == i
        assert np.all(away_from(shape, p[rays]) < 3 * rounding[rays]), f"not on {shape.kind} {i}"
    round_ones = np.isin(traced.layout.arrays["prim_info"][hits.slot, 0], (SPHERE, CYLINDER))
    planar = found & ~round_ones
    assert np.all(hits.u[found & round_ones] == 0) and np.all(hits.v[found & round_ones] == 0)
    g = traced.layout.arrays["prims"][hits.slot[planar]].astype(float)
    at = g[:, 0:3] + hits.u[planar, None] * g[:, 3:6] + hits.v[planar, None] * g[:, 6:9]
    e1, e2 = g[:, 3:6], g[:, 6:9]
    with np.errstate(divide="ignore", invalid="ignore"):
        condition = np.linalg.norm(e1, axis=1) * np.linalg.norm(e2, axis=1)
        condition /= np.linalg.norm(np.cross(e1, e2), axis=1)  # large for slivers
    assert np.all(np.linalg.norm(at - p[planar], axis=1) < 3 * rounding[planar] * (1 + 2 * condition))

    # nothing is nearer,
    nearest = np.min([surely_hit(shape, o, d, slack) for shape in shapes], axis=0)
    nearest[nearest >= t_max] = np.inf
    missed = np.flatnonzero(nearest < hits.t - 100 * rounding)
    assert len(missed) == 0, f"{len(missed)} rays miss the nearest shape, such as ray {missed[0]}"
    # and any-hit agrees that there is something.
    assert np.array_equal(traced(o, d, t_max, any_hit=True).slot >= 0, found)
    return found.mean()


# Scenes


def _placed(rng, kind, size):
    m = np.eye(4)
    m[:3, :3] = size * np.linalg.qr(rng.standard_normal((3, 3)))[0]
    if kind == "cylinder":
        m[:3, 2] *= rng.uniform(0.3, 3)
    elif kind != "sphere":
        m[:3, :3] += 0.3 * size * rng.uniform(-1, 1, (3, 3))  # sheared
    m[:3, 3] = rng.uniform(-2, 2, 3)
    return Shape(kind, kind, GREY, to_world=m)


def mesh(vertices, faces):
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    return Shape("mesh", "mesh", GREY, vertices=vertices, faces=faces)


def soup(triangles):
    """One shape for each of the triangles (n, 3, 3), so that a hit says which one it is."""
    return [mesh(t, [[0, 1, 2]]) for t in triangles]


def random_rays(rng, n=RAYS, spread=3.0):
    o = rng.uniform(-spread, spread, (n, 3))
    return o, rng.uniform(-2, 2, (n, 3)) - o


def _random_triangles(rng, n=150):
    return rng.uniform(-2, 2, (n, 1, 3)) + rng.standard_normal((n, 3, 3)) * 0.5


@pytest.mark.parametrize("general", [False, True])
def test_triangles(general):
    rng = np.random.default_rng(1)
    hit = check(soup(_random_triangles(rng)), *random_rays(rng), general=general)
    assert 0.3 < hit < 1


@pytest.mark.parametrize(
    "kind, count, size",
    [
        ("rectangle", 80, 0.5),
        ("disk", 80, 0.5),
        ("cube", 20, 0.3),
        ("sphere", 50, 0.3),
        ("cylinder", 50, 0.3),
    ],
)
def test_one_kind_of_shape(kind, count, size):
    rng = np.random.default_rng(2)
    hit = check([_placed(rng, kind, size) for _ in range(count)], *random_rays(rng))
    assert 0.3 < hit < 1


def test_mixed_scene():
    rng = np.random.default_rng(3)
    shapes = soup(_random_triangles(rng, 40))
    kinds = ("rectangle", "disk", "sphere", "cube", "cylinder")
    shapes += [_placed(rng, kind, 0.3) for kind in kinds for _ in range(12)]
    shapes = [shapes[i] for i in rng.permutation(len(shapes))]
    assert 0.3 < check(shapes, *random_rays(rng)) < 1


def test_slivers_duplicates_and_triangles_without_area():
    rng = np.random.default_rng(4)
    triangles = _random_triangles(rng, 120)
    triangles[:30, 2] = triangles[:30, 1] + 1e-3 * rng.standard_normal((30, 3))  # slivers
    triangles[30:60, 2] = triangles[30:60, 1] + 1e-7 * rng.standard_normal((30, 3))
    triangles[60:70] = triangles[60:61]  # duplicates
    triangles[70:80, 2] = 0.5 * (triangles[70:80, 0] + triangles[70:80, 1])  # without area
    triangles[80:90] = triangles[80:90, :1]
    triangles[90] *= 1e-20
    triangles[91] = 0
    o, d = random_rays(rng)
    aimed = rng.integers(0, 92, RAYS // 2)  # half of the rays go where it hurts
    weights = rng.dirichlet([1, 1, 1], RAYS // 2)
    d[: RAYS // 2] = np.einsum("nk,nki->ni", weights, triangles[aimed]) - o[: RAYS // 2]
    assert check(soup(triangles), o, d) > 0.4


def test_only_degenerate_triangles():
    rng = np.random.default_rng(5)
    triangles = rng.standard_normal((20, 1, 3)) * np.ones((20, 3, 1))
    triangles[:10, 1] += 1
    hits = Traced(soup(triangles))(*random_rays(rng, 500))
    assert np.all(hits.slot == -1)


@pytest.mark.parametrize("kinds", [("rectangle",), ("rectangle", "disk", "cube", "sphere", "cylinder")])
def test_axis_parallel_rays(kinds):
    """One or two components of the direction are 0, of both signs; many surfaces lie across the axes."""
    rng = np.random.default_rng(6)
    shapes = soup(_random_triangles(rng, 40))
    for kind in kinds:
        for _ in range(10):
            m = np.eye(4)
            m[:3, :3] = 0.4 * np.eye(3)[rng.permutation(3)]
            m[:3, 3] = rng.uniform(-2, 2, 3).round(1)
            shapes.append(Shape(kind, kind, GREY, to_world=m))
    n = 3 * RAYS
    o = rng.uniform(-3, 3, (n, 3))
    d = rng.standard_normal((n, 3))
    zero = rng.integers(0, 3, n)
    d[np.arange(n), zero] = np.where(rng.random(n) < 0.5, 0.0, -0.0)
    single = np.arange(n // 2)
    d[single, (zero[single] + 1) % 3] = 0.0
    assert 0.1 < check(shapes, o, d) < 1


def test_rays_within_the_plane_of_a_flat_box():
    """A ray that runs along one of a box's planes, and starts in it, meets what stands behind the box."""
    front = mesh([[0, 0, 1], [1, 0, 1], [1, 1, 1]], [[0, 1, 2]])
    wall = mesh([[-9, -9, 5], [9, -9, 5], [0, 9, 5]], [[0, 1, 2]])
    o = np.array([[0, 0, 0], [1, 1, 0], [0.5, 0, 0], [1, 0.5, 0], [0, 0.5, 0], [0.5, 1, 0]], float)
    d = np.tile([0, 0, 1.0], (len(o), 1))
    hits = Traced([front, wall])(o, d)
    assert set(hits.shape.tolist()) <= {0, 1} and np.all((hits.t == 1) | (hits.t == 5))
    assert np.all(hits.t[[4, 5]] == 5)
    along = Traced([front, wall])(np.array([[-1, 0.5, 1.0]]), np.array([[1, 0, 0.0]]))  # in the front's plane
    assert along.slot.tolist() == [-1]


def test_rays_that_start_inside_spheres_or_on_them():
    rng = np.random.default_rng(7)
    shapes = [_placed(rng, "sphere", size) for size in rng.uniform(0.05, 1.5, 30)]
    inside = rng.integers(0, 30, RAYS)
    offset = rng.standard_normal((RAYS, 3))
    offset *= rng.random((RAYS, 1)) ** (1 / 3) / np.linalg.norm(offset, axis=1, keepdims=True)
    center = np.array([_center_radius(s)[0] for s in shapes])[inside]
    radius = np.array([_center_radius(s)[1] for s in shapes])[inside, None]
    o = center + 0.99 * radius * offset
    assert check(shapes, o, rng.standard_normal((RAYS, 3))) == 1


@pytest.mark.parametrize("radius, away", [(1.0, 1e3), (1e-3, 1.0), (100.0, 1e4), (1e3, 1e-3)])
def test_spheres_far_away_and_large_ones(radius, away):
    """Precision: to the radius' and the distance's rounding, which the textbook's formula misses."""
    rng = np.random.default_rng(8)
    m = np.diag([radius, radius, radius, 1.0])
    o = rng.standard_normal((RAYS, 3))
    o *= (radius + away) / np.linalg.norm(o, axis=1, keepdims=True)
    target = rng.standard_normal((RAYS, 3))
    target *= 0.99 * radius * rng.random((RAYS, 1)) / np.linalg.norm(target, axis=1, keepdims=True)
    d = target - o
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    hits = Traced([Shape("s", "sphere", GREY, to_world=m)])(o, d)
    assert np.all(hits.slot >= 0)
    p = o.astype(np.float32) + hits.t[:, None] * d.astype(np.float32)
    error = np.abs(np.linalg.norm(p, axis=1) - radius)
    assert error.max() < 3e-6 * (radius + away)


def test_rays_that_start_inside_cylinders():
    rng = np.random.default_rng(14)
    shapes = [_placed(rng, "cylinder", size) for size in rng.uniform(0.05, 1.5, 30)]
    inside = [shapes[i] for i in rng.integers(0, 30, RAYS)]
    angle, radius = 2 * np.pi * rng.random(RAYS), 0.99 * np.sqrt(rng.random(RAYS))
    local = np.stack([radius * np.cos(angle), radius * np.sin(angle), rng.random(RAYS)], axis=1)
    o = np.array([s.to_world[:3, :3] @ p + s.to_world[:3, 3] for s, p in zip(inside, local, strict=True)])
    assert 0.5 < check(shapes, o, rng.standard_normal((RAYS, 3))) < 1  # out through the open ends


def test_an_open_cylinder_is_seen_through():
    """Along the axis and beside it, at all distances; and through one end to the wall inside."""
    tube = Shape("c", "cylinder", GREY, to_world=np.diag([0.5, 0.5, 2.0, 1.0]))
    o = np.array([[0, 0, 9], [0.2, 0.1, 9], [0.2, 0.1, 1], [0.5, 0, 9], [0.6, 0, 9], [0.3, 0.2, 1e4]])
    hits = Traced([tube])(o, np.tile([0, 0, -1.0], (len(o), 1)))
    assert np.all(hits.slot == -1)
    d = np.array([[0.5, 0, -1.0]]) / np.sqrt(1.25)  # meets z = 1 at x = 0.5
    hits = Traced([tube])(np.array([[0, 0, 2.0]]) + 0.2 * -d, d)
    assert hits.t[0] == pytest.approx(0.2 + np.sqrt(1.25), rel=1e-6)


@pytest.mark.parametrize("angle", [1e-2, 1e-3, 1e-4])
def test_rays_almost_along_a_cylinder_meet_it(angle):
    """From the middle of a tube that is long enough, the wall is 1 / sin(angle) away."""
    rng = np.random.default_rng(17)
    m = np.eye(4)
    m[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0] * (1, 1, 4 / angle)
    m[:3, 3] = -0.5 * m[:3, 2]
    turn = 2 * np.pi * rng.random(RAYS)
    way = np.where(rng.random(RAYS) < 0.5, 1, -1) * np.cos(angle)
    local = np.stack([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), way], axis=1)
    d = local @ (m[:3, :3] / np.linalg.norm(m[:3, :3], axis=0)).T
    hits = Traced([Shape("c", "cylinder", GREY, to_world=m)])(np.zeros((RAYS, 3)), d)
    assert np.all(hits.slot >= 0)
    np.testing.assert_allclose(hits.t, 1 / np.sin(angle), rtol=3e-7 / angle)


@pytest.mark.parametrize("radius, away", [(1.0, 1e3), (1e-3, 1.0), (100.0, 1e4), (1e3, 1e-3)])
def test_cylinders_far_away_and_large_ones(radius, away):
    rng = np.random.default_rng(15)
    m = np.eye(4)
    m[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0] * (radius, radius, 4 * radius)
    cylinder = Shape("c", "cylinder", GREY, to_world=m)
    base, axis, length, _ = _cylinder(cylinder)
    turn = rng.standard_normal((RAYS, 3))
    turn -= (turn @ axis)[:, None] * axis
    turn /= np.linalg.norm(turn, axis=1, keepdims=True)
    height = length * rng.uniform(0.3, 0.7, (RAYS, 1))
    o = base + height * axis + (radius + away) * turn
    target = base + height * axis + 0.9 * radius * rng.uniform(-1, 1, (RAYS, 1)) * np.cross(axis, turn)
    d = target - o
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    hits = Traced([cylinder])(o, d)
    assert np.all(hits.slot >= 0)
    p = o.astype(np.float32) + hits.t[:, None] * d.astype(np.float32)
    assert away_from(cylinder, p).max() < 3e-6 * (radius + away)


@pytest.mark.parametrize("shift, size", [(1000.0, 1.0), (0.0, 1e-3), (0.0, 1e4)])
def test_scenes_far_from_the_origin_and_of_other_sizes(shift, size):
    rng = np.random.default_rng(9)
    triangles = ((_random_triangles(rng) * size).astype(np.float32) + np.float32(shift)).astype(float)
    o, d = random_rays(rng)
    hits = Traced(soup(triangles))(o * size + shift, d / np.linalg.norm(d, axis=1, keepdims=True))
    o = (o * size + shift).astype(np.float32).astype(float)
    d = (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32).astype(float)
    slack = 0.02 if shift else 1e-3
    nearest = np.min([surely_hit(s, o, d, slack) for s in soup(triangles)], axis=0)
    assert np.all(hits.t <= nearest + 1e-4 * (size + 0.1 * shift))
    assert 0.3 < np.mean(hits.slot >= 0) < 1
    p = o + np.where(hits.slot >= 0, hits.t, 0)[:, None] * d
    for i, shape in enumerate(soup(triangles)):
        assert np.all(away_from(shape, p[hits.shape == i]) < 1e-5 * size + 1e-6 * shift)


def test_hits_end_at_t_max():
    rng = np.random.default_rng(10)
    shapes = soup(_random_triangles(rng)) + [_placed(rng, "sphere", 0.3) for _ in range(20)]
    o, d = random_rays(rng)
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    assert 0.1 < check(shapes, o, d, t_max=1.5) < 0.9
    traced = Traced(shapes)
    free = traced(o, d)
    rays = free.slot >= 0
    o, d, t = o[rays], d[rays], free.t[rays].astype(np.float32)
    beyond, before = np.nextafter(t, np.float32(FAR)), t
    for any_hit in (False, True):
        assert np.all(traced(o, d, beyond, any_hit=any_hit).slot >= 0)
        assert np.all(traced(o, d, before, any_hit=any_hit).slot == -1)
        assert np.all(traced(o, d, 0.0, any_hit=any_hit).slot == -1)
    assert np.array_equal(traced(o, d, beyond).t, t)


@pytest.mark.parametrize("general", [False, True])
def test_an_empty_scene(general):
    rng = np.random.default_rng(11)
    for any_hit in (False, True):
        hits = Traced([], general)(*random_rays(rng, 100), any_hit=any_hit)
        assert np.all(hits.slot == -1) and np.all(hits.t == np.float32(FAR))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_ray_that_is_not_finite_meets_nothing_and_ends(wrong):
    rng = np.random.default_rng(13)
    round_ones = [_placed(rng, kind, 0.5) for kind in 3 * ("disk", "sphere", "cylinder")]
    for shapes in ([], soup(_random_triangles(rng)), round_ones):
        o, d = random_rays(rng, 100)
        for any_hit in (False, True):
            assert np.all(Traced(shapes)(o, wrong * d, any_hit=any_hit).slot == -1)
            assert np.all(Traced(shapes)(wrong * o, d, any_hit=any_hit).slot == -1)


def test_a_leaf_says_what_its_packet_holds():
    rng = np.random.default_rng(16)
    kinds = ("rectangle", "sphere", "cylinder", "disk")
    arrays = Traced([_placed(rng, kinds[i], 0.1) for i in rng.integers(0, 4, 300)]).layout.arrays
    leaves = ~arrays["children"][arrays["children"] < 0]
    packet, holds = leaves >> bvh.KIND_BITS, leaves & ((1 << bvh.KIND_BITS) - 1)
    assert sorted(packet.tolist()) == list(range(len(arrays["packets"])))
    marks = arrays["packets"][packet, DISK_LIMIT]
    used = np.zeros((len(arrays["packets"]), WIDTH), bool)
    used[:] = np.any(arrays["prims"].reshape(-1, WIDTH, 12) != 0, axis=2)
    some_round = np.any(used[packet] & (marks < 0), axis=1)
    some_planar = np.any(used[packet] & (marks > 0), axis=1)
    np.testing.assert_array_equal(holds, bvh.ROUND_BIT * some_round + bvh.PLANAR_BIT * some_planar)
    assert set(holds.tolist()) == {1, 2, 3}


def test_a_scene_of_nothing_can_be_laid_out():
    assert lay_out(SceneModel([], [], [], Integrator())).arrays["lights"][0, 0] == -1


def icosphere(levels):
    """A closed mesh of the unit sphere: vertices (n, 3) and faces (m, 3)."""
    g = (1 + np.sqrt(5)) / 2
    corners = [(0, a, b * g) for a in (-1, 1) for b in (-1, 1)]
    v = np.array([np.roll(c, k) for k in range(3) for c in corners]) / np.hypot(1, g)
    distance = np.linalg.norm(v[:, None] - v[None], axis=2)
    near = (distance > 0) & (distance < 1.1)
    faces = [f for f in combinations(range(12), 3) if all(near[i, j] for i, j in combinations(f, 2))]
    faces = np.array(faces)
    for _ in range(levels):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, number = np.unique(edges, axis=0, return_inverse=True)
        middle = v[unique].sum(axis=1)
        ab, bc, ca = number.reshape(-1, 3).T + len(v)
        v = np.concatenate([v, middle / np.linalg.norm(middle, axis=1, keepdims=True)])
        a, b, c = faces.T
        parts = ((a, ab, ca), (b, bc, ab), (c, ca, bc), (ab, bc, ca))
        faces = np.concatenate([np.stack(part, axis=1) for part in parts])
    return v, faces


@pytest.mark.parametrize("target", ["vertices", "edges", "faces"])
@pytest.mark.parametrize("shift", [0, 10])
def test_a_closed_mesh_is_watertight(shift, target):
    """Rays from inside a closed mesh, aimed at what its triangles share: not one in 10^4 gets out."""
    rng = np.random.default_rng(12)
    v, faces = icosphere(4)
    assert len(faces) == 20 * 4**4 and len(v) == 2 + len(faces) // 2
    v = (v + shift).astype(np.float32)
    n = 2**18
    weights = rng.dirichlet([1, 1, 1], n)
    if target == "vertices":
        weights = np.tile([1, 0, 0], (n, 1))
    elif target == "edges":
        weights[:, 2] = 0
        weights /= weights.sum(axis=1, keepdims=True)
    aim = np.einsum("nk,nki->ni", weights, v[faces[rng.integers(0, len(faces), n)]])
    o = rng.uniform(-0.5, 0.5, (n, 3)) + shift
    d = aim - o.astype(np.float32)
    hits = Traced([mesh(v, faces)])(o, d / np.linalg.norm(d, axis=1, keepdims=True))
    leaks = np.mean(hits.slot < 0)
    assert leaks < 1e-4
    assert np.all(hits.t[hits.slot >= 0] > 0.1)
