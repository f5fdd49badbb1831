"""Shapes as Mitsuba has them: surface points, normals, texture coordinates and tangents; instances; what a
scene may not ask of them."""

from dataclasses import replace

import numpy as np
import pytest

from prb.device import primitives
from prb.device.arrays import upload, uploaded
from prb.device.layout import lay_out
from prb.errors import SceneError
from prb.kernels import bvh
from prb.kernels.arrays import SCENE, SceneArrays, vec3f
from prb.kernels.backend import ti
from prb.kernels.shape import interact
from prb.kernels.view import Execution, SceneView, new_stack
from prb.scene import load_model_dict

vec16f = ti.types.vector(16, ti.f32)

EXECUTION = Execution()


@ti.kernel
def _interact(
    features: ti.template(), arrays: SceneArrays,
    o: ti.types.ndarray(vec3f, 1), d: ti.types.ndarray(vec3f, 1), out: ti.types.ndarray(vec16f, 1),
):  # fmt: skip
    for i in range(o.shape[0]):
        scene = SceneView(features, EXECUTION, arrays, stack=new_stack(features.stack))
        slot, t, u, v = bvh.trace(scene, o[i], d[i], bvh.MISS, 0)
        row = vec16f(0.0)
        if slot >= 0:
            si = interact(scene, slot, t, u, v, o[i], d[i])
            row[0] = t
            for k in ti.static(range(3)):
                row[1 + k] = si.p[k]
                row[4 + k] = si.ng[k]
                row[7 + k] = si.n[k]
                row[12 + k] = si.dp_du[k]
            for k in ti.static(range(2)):
                row[10 + k] = si.uv[k]
        out[i] = row


def ours(shapes, o, d):
    """One row for each ray: t (0 for a miss), p, ng, n, uv, dp_du."""
    layout = lay_out(model_of(shapes))
    features = replace(layout.features, tangents=True, spheres=True, cylinders=True, disks=True, normals=True)
    a = lay_out(model_of(shapes)).arrays
    prims = [primitives.of_shape(s) for s in model_of(shapes).shapes]
    uvs = np.concatenate([np.zeros((len(p.kind), 3, 2)) if p.uvs is None else p.uvs for p in prims])
    at = {}
    for number, p in enumerate(prims):  # the layout keeps texture coordinates only where a texture asks
        for k, record in enumerate(primitives.records([p])):
            at[(number, record.tobytes())] = uvs[sum(len(q.kind) for q in prims[:number]) + k]
    slots = np.zeros((len(a["prims"]), 6), np.float32)
    for slot, record in enumerate(a["prims"]):
        slots[slot] = np.ravel(at.get((a["prim_info"][slot, 1], record.tobytes()), np.zeros(6)))
    out = upload(np.zeros((len(o), 16), np.float32), vec16f)
    arrays = SceneArrays(**uploaded(SCENE, {**a, "uvs": slots, "params": layout.params}))
    _interact(features, arrays, upload(np.float32(o), vec3f), upload(np.float32(d), vec3f), out)
    return np.split(out.to_numpy().astype(float)[:, :15], [1, 4, 7, 10, 12], axis=1)


def scene_of(shapes, **more):
    return {"type": "scene", "integrator": {"type": "path"}, "sensor": {"type": "perspective"},
            "light": {"type": "constant"}, **shapes, **more}  # fmt: skip


def model_of(shapes):
    return load_model_dict(scene_of(shapes))


def random_rays(rng, n=300, spread=3.0):
    """Towards points around the origin, from all around."""
    o = rng.standard_normal((n, 3))
    o *= spread / np.linalg.norm(o, axis=1, keepdims=True)
    d = rng.uniform(-0.8, 0.8, (n, 3)) - o
    return o.astype(np.float32), (d / np.linalg.norm(d, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


def theirs(mi, shapes, o, d):
    scene = mi.load_dict({"type": "scene", **shapes})
    rows = np.zeros((len(o), 15))
    for row, origin, direction in zip(rows, o.tolist(), d.tolist(), strict=True):
        si = scene.ray_intersect(mi.Ray3f(origin, direction))
        if si.is_valid():
            n = si.sh_frame.n
            row[:] = [si.t, *si.p, *si.n, *n, *si.uv, *si.dp_du]
    return np.split(rows, [1, 4, 7, 10, 12], axis=1)


def compare(mi, shapes, *, mirrored_flat=False, tolerance=2e-5):
    o, d = random_rays(np.random.default_rng(0))
    mine, other = ours(shapes, o, d), theirs(mi, shapes, o, d)
    hit = (mine[0] > 0)[:, 0]
    differ = hit != (other[0] > 0)[:, 0]
    assert np.mean(differ) < 0.01 and 0.05 < np.mean(hit)
    names = ("t", "p", "ng", "n", "uv", "dp_du")
    both = hit & ~differ
    for name, a, b in zip(names, mine, other, strict=True):
        a, b = a[both], b[both]
        if name == "ng" and mirrored_flat:  # Mitsuba's geometric normal is turned around there
            b = -b
        error = np.abs(a - b).max(axis=1)
        if name == "uv":  # the azimuth begins where it ends
            error = np.minimum(error, np.abs(np.abs(a[:, 0] - b[:, 0]) - 1) + np.abs(a[:, 1] - b[:, 1]))
        scale = max(np.abs(b).max(), 1)
        assert np.mean(error < tolerance * scale) > 0.99, (name, np.argmax(error), a[np.argmax(error)],
                                                          b[np.argmax(error)])  # fmt: skip


PLACES = {
    "plain": lambda t: t,
    "turned": lambda t: t.translate([0.1, -0.2, 0.3]).rotate([0, 0.6, 0.8], 50),
    "smaller": lambda t: t.translate([0.1, -0.2, 0.3]).rotate([0, 0.6, 0.8], 50).scale(0.7),
    "mirrored": lambda t: t.rotate([0.6, 0, 0.8], 30).scale([1, -1, 1]),
}


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", ["rectangle", "cube", "disk", "sphere", "cylinder"])
def test_analytic_shapes_are_mitsubas(mi, kind, place, flip):
    to_world = PLACES[place](mi.ScalarTransform4f())
    shape = {"type": kind, "to_world": to_world, "flip_normals": flip}
    if kind == "cylinder":
        shape |= {"p0": [0.3, -0.5, -0.4], "p1": [-0.4, 0.3, 0.6], "radius": 0.6}
    compare(mi, {"s": shape}, mirrored_flat=place == "mirrored" and kind in ("rectangle", "cube"))


@pytest.mark.parametrize("place", ["turned", "mirrored"])
@pytest.mark.parametrize("kind", ["rectangle", "cube", "disk"])
def test_flat_shapes_may_be_sheared(mi, kind, place):
    matrix = np.array(PLACES[place](mi.ScalarTransform4f()).matrix)
    matrix[:3, :3] @= [[1, 0.3, -0.2], [0, 0.8, 0.1], [0.2, 0, 1.1]]
    compare(mi, {"s": {"type": kind, "to_world": mi.ScalarTransform4f(matrix)}},
            mirrored_flat=place == "mirrored" and kind != "disk")  # fmt: skip


@pytest.mark.parametrize("p1", [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, -1, 0], [0.5, 0.5, -0.7], [-0.2, 0, 1]])
def test_cylinders_of_all_directions_are_mitsubas(mi, p1):
    compare(mi, {"s": {"type": "cylinder", "p1": p1, "radius": 0.4}})


TRIANGLES = "v -1 -1 0\nv 1 -1 0.2\nv 1 1 0\nv -1 1 0.3\n"
COORDINATES = "vt 0.1 0.2\nvt 0.9 0.3\nvt 0.8 0.95\nvt 0.05 0.7\n"
OBJS = {
    "plain": TRIANGLES + "f 1 2 3\nf 1 3 4\n",
    "coordinates": TRIANGLES + COORDINATES + "f 1/1 2/2 3/3\nf 1/1 3/3 4/4\n",
}


@pytest.mark.parametrize("keys", [{}, {"flip_normals": True}, {"face_normals": True}], ids=str)
@pytest.mark.parametrize("place", ["turned", "mirrored"])
@pytest.mark.parametrize("text", OBJS)
def test_meshes_are_mitsubas(mi, tmp_path, text, place, keys):
    """Without coordinates in the file, texture coordinates are the barycentric ones, as in Mitsuba."""
    (tmp_path / "m.obj").write_text(OBJS[text])
    to_world = PLACES[place](mi.ScalarTransform4f())
    compare(mi, {"m": {"type": "obj", "filename": str(tmp_path / "m.obj"), "to_world": to_world, **keys}})


# Instances


def group(tmp_path):
    (tmp_path / "m.obj").write_text(OBJS["coordinates"])
    return {
        "type": "shapegroup",
        "a": {"type": "obj", "filename": str(tmp_path / "m.obj")},
        "b": {"type": "cylinder", "p0": [0, 0, -0.5], "p1": [0.2, 0, -1], "radius": 0.3},
        "c": {"type": "disk", "to_world": [{"scale": 0.3}, {"translate": [0, 0, 1]}]},
        "d": {"type": "sphere", "center": [0.5, 0.5, 1], "radius": 0.3},
    }


@pytest.mark.parametrize("place", PLACES)
def test_instances_are_mitsubas(mi, tmp_path, place):
    to_world = PLACES[place](mi.ScalarTransform4f())
    shapes = group(tmp_path)
    shapes["c"]["to_world"] = mi.ScalarTransform4f().translate([0, 0, 1]).scale(0.3)
    compare(mi, {"g": shapes, "i": {"type": "instance", "g": {"type": "ref", "id": "g"},
                                    "to_world": to_world}})  # fmt: skip


def test_copies_share_surface_models_and_attributes(tmp_path):
    ref = {"type": "ref", "id": "g"}
    model = model_of({
        "g": group(tmp_path), "one": {"type": "instance", "x": ref},
        "two": {"type": "instance", "x": ref, "to_world": [{"translate": [9, 0, 0]}]},
    })  # fmt: skip
    assert [s.kind for s in model.shapes] == 2 * ["mesh", "cylinder", "disk", "sphere"]
    first, second = model.shapes[:4], model.shapes[4:]
    assert all(a.bsdf is b.bsdf for a, b in zip(first, second, strict=True))
    assert first[0].name == "g.a" and first[0].bsdf.name == "g.a.bsdf"
    np.testing.assert_allclose(second[0].vertices, first[0].vertices + [9, 0, 0], atol=1e-6)
    assert first[0].attributes is second[0].attributes


def test_a_group_by_itself_is_not_seen(tmp_path):
    model = model_of({"g": group(tmp_path), "s": {"type": "sphere"}})
    assert [s.name for s in model.shapes] == ["s"]


REF = {"type": "ref", "id": "g"}
BALL = {"type": "shapegroup", "s": {"type": "sphere"}}
BAD = {
    "no group": ({"i": {"type": "instance"}}, "i: there is no shapegroup; refer to one"),
    "two groups": ({"g": BALL, "h": BALL,
                    "i": {"type": "instance", "a": REF, "b": {"type": "ref", "id": "h"}}},
                   "h: an instance holds one shapegroup; remove one"),
    "a shape": ({"g": {"type": "sphere"}, "i": {"type": "instance", "a": REF}},
                "g: an instance holds one shapegroup and nothing else, got sphere (shape)"),
    "a bsdf": ({"g": BALL, "i": {"type": "instance", "a": REF, "b": {"type": "diffuse"}}},
               "i.b: an instance holds one shapegroup and nothing else, got diffuse (bsdf)"),
    "emitter": ({"g": {"type": "shapegroup", "s": {"type": "sphere", "e": {"type": "area"}}}},
                "g.s: a shape in a shapegroup cannot emit"),
    "nested group": ({"g": {"type": "shapegroup", "h": BALL}}, "g.h: a shapegroup holds no shapegroup"),
    "nested instance": ({"g": BALL, "h": {"type": "shapegroup", "i": {"type": "instance", "x": REF}}},
                        "h.i: a shapegroup holds no instance"),
    "bsdf in group": ({"g": {"type": "shapegroup", "b": {"type": "diffuse"}}},
                      "g.b: diffuse (bsdf) does not belong inside shapegroup"),
    "empty group": ({"g": {"type": "shapegroup"}}, "g: the shapegroup is empty"),
    "group with a transform": ({"g": {**BALL, "to_world": [{"scale": 2}]}}, "g.to_world: "),
    "ellipsoid": ({"g": BALL, "i": {"type": "instance", "x": REF, "to_world": [{"scale": [1, 2, 1]}]}},
                  "i.to_world: this transform makes an ellipsoid or the like of the sphere 'g.s'"),
    "no axis": ({"c": {"type": "cylinder", "p0": [1, 2, 3], "p1": [1, 2, 3]}},
                "c.p1: p0 and p1 are the same point"),
    "no radius": ({"c": {"type": "cylinder", "radius": 0}}, "c.radius: 0 is out of range"),
    "elliptic": ({"c": {"type": "cylinder", "to_world": [{"scale": [1, 2, 1]}]}},
                 "c.to_world: a cylinder can only be scaled by the same factor across its axis"),
    "sheared": ({"c": {"type": "cylinder", "to_world": [{"matrix": [[1, 0, 0.5, 0], [0, 1, 0, 0],
                                                                   [0, 0, 1, 0], [0, 0, 0, 1]]}]}},
                "c.to_world: a cylinder can only be scaled"),
    "flat": ({"c": {"type": "cylinder", "to_world": [{"scale": [1, 1, 0]}]}}, "c.to_world: "),
    "unknown": ({"c": {"type": "cylinder", "height": 2}}, "c.height: unknown key"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_a_scene_may_not_ask(case):
    shapes, message = BAD[case]
    with pytest.raises(SceneError) as caught:
        model_of({**shapes, "other": {"type": "sphere"}})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_long_cylinder_is_a_cylinder():
    model = model_of({"c": {"type": "cylinder", "to_world": [{"scale": [0.5, 0.5, 7]}]}})
    p = primitives.of_shape(model.shapes[0])
    np.testing.assert_allclose(p.corners[0], [[0, 0, 0], [0, 0, 7], [0.5, 0, 0]], atol=1e-12)
    assert primitives.areas(p.kind, p.corners)[0] == pytest.approx(2 * np.pi * 0.5 * 7)


def test_boxes_hold_the_surface():
    """Against points all over it: none outside, and some at each side."""
    rng = np.random.default_rng(3)
    for kind in ("sphere", "cylinder"):
        for _ in range(20):
            m = np.eye(4)
            m[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0] * rng.uniform(0.1, 2)
            m[:3, 3] = rng.uniform(-2, 2, 3)
            turn = 2 * np.pi * rng.random(20000)
            z = rng.choice([0.0, 1.0], 20000) if kind == "cylinder" else rng.uniform(-1, 1, 20000)
            r = np.ones(20000) if kind == "cylinder" else np.sqrt(1 - z * z)
            points = np.stack([r * np.cos(turn), r * np.sin(turn), z], axis=1) @ m[:3, :3].T + m[:3, 3]
            model = model_of({"s": {"type": kind, "to_world": m}})
            p = primitives.of_shape(model.shapes[0])
            lower, upper = primitives.boxes(p.kind, p.corners)
            np.testing.assert_array_less(lower[0], points.min(axis=0) + 1e-7)
            np.testing.assert_array_less(points.max(axis=0) - 1e-7, upper[0])
            np.testing.assert_allclose(lower[0], points.min(axis=0), atol=0.02)
            np.testing.assert_allclose(upper[0], points.max(axis=0), atol=0.02)
