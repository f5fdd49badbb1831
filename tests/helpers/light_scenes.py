"""Scenes of lights for tests: `Lights` samples them on the device and looks along rays for them."""

from dataclasses import dataclass, replace

import numpy as np

from prb.device.arrays import upload, uploaded
from prb.device.layout import lay_out
from prb.kernels import bvh, emission, light
from prb.kernels.arrays import SCENE, SceneArrays, vec3f, vec4f
from prb.kernels.backend import ti
from prb.kernels.emitter import REGISTRY
from prb.kernels.shape import interact
from prb.kernels.texture import LookupPoint, at_uv
from prb.kernels.view import Execution, SceneView, new_stack
from prb.scene.model import Bsdf, Emitter, Integrator, SceneModel, Shape, Texture

vec24f = ti.types.vector(24, ti.f32)

EXECUTION = Execution()


@ti.kernel
def _sample(
    features: ti.template(), sampling: ti.i32, environment: ti.i32, arrays: SceneArrays,
    refs: ti.types.ndarray(vec3f, 1), x: ti.types.ndarray(vec4f, 1), out: ti.types.ndarray(vec24f, 1),
):  # fmt: skip
    """x: four random numbers when sampling, else directions whose density is asked for."""
    for i in range(refs.shape[0]):
        scene = SceneView(features, EXECUTION, arrays, stack=new_stack(features.stack))
        ref = refs[i]
        index, s = light.sample(scene, ref, ti.select(sampling == 1, x[i], 0.0), x[i][3])
        sampled = emission.radiance(scene, index, at_uv(s.uv)) * s.scale
        if sampling == 0:
            s.d = ti.Vector([x[i][0], x[i][1], x[i][2]])
        slot, t, u, v = bvh.trace(scene, ref, s.d, 1e30, 0)
        found = 0.0
        cosine = 0.0
        entry = -1
        seen = ti.Vector([0.0, 0.0, 0.0])
        surroundings = 0.0
        at = at_uv(s.uv)
        emitter = -1
        if slot >= 0:
            si = interact(scene, slot, t, u, v, ref, s.d)
            cosine = -si.ng.dot(s.d)
            entry = scene.prim_light[slot]
            if entry >= 0:
                found = light.hit_pdf(scene, slot, ref, si.p, si.ng)
                emitter = si.emitter
                at = LookupPoint(uv=si.uv, slot=slot, u=si.u, v=si.v, p=si.p)
        if environment >= 0:
            pdf, uv = light.environment(scene, environment, s.d, True)
            surroundings = pdf
            if slot < 0:
                emitter = scene.lights[environment][1]
                at = at_uv(uv)
        if emitter >= 0:
            seen = emission.radiance(scene, emitter, at)
        out[i] = vec24f(
            s.d.x, s.d.y, s.d.z, s.distance, s.pdf, s.scale, ti.f32(s.delta), ti.f32(index),
            ti.f32(entry), t, found, cosine, surroundings, s.uv.x, s.uv.y, at.uv.x, at.uv.y,
            sampled.x, sampled.y, sampled.z, seen.x, seen.y, seen.z, 0,
        )  # fmt: skip


@dataclass
class Found:
    """d, distance, pdf, scale, delta, emitter, uv, radiance: what was sampled. entry, t, hit_pdf, cosine: of
    the light's primitive that a ray along d meets (entry -1: none). environment_pdf: density if it meets
    nothing. hit_uv, hit_radiance: of the light that the ray finds."""

    d: np.ndarray
    distance: np.ndarray
    pdf: np.ndarray
    scale: np.ndarray
    delta: np.ndarray
    emitter: np.ndarray
    entry: np.ndarray
    t: np.ndarray
    hit_pdf: np.ndarray
    cosine: np.ndarray
    environment_pdf: np.ndarray
    uv: np.ndarray
    hit_uv: np.ndarray
    radiance: np.ndarray
    hit_radiance: np.ndarray


class Lights:
    """A scene of lights on the device. All scenes share one kernel."""

    def __init__(self, shapes, emitters=()):
        self.layout = lay_out(SceneModel(shapes, list(emitters), [], Integrator()))
        self.pdf = self.layout.arrays["light_pdf"].astype(float)
        assert self.layout.features.stack <= 64
        self.features = replace(
            self.layout.features, bsdfs=(), twosided=False, stack=64, emitters=tuple(REGISTRY), spheres=True,
            disks=True, cylinders=True, normals=True, textures=("bitmap", "checkerboard"), factors=True,
            leaves=1, weights=0, frames=(), tangents=False,
        )  # fmt: skip

    def _run(self, sampling, ref, x):
        x = np.pad(x, ((0, 0), (0, 4 - x.shape[1]))).astype(np.float32)
        out = upload(np.zeros((len(x), 24), np.float32), vec24f)
        host = {**self.layout.arrays, "params": self.layout.params}
        if len(host["uvs"]) == 0:
            host["uvs"] = np.zeros((len(host["prims"]), 6), np.float32)
        arrays = SceneArrays(**uploaded(SCENE, host))
        refs = upload(np.broadcast_to(np.asarray(ref, np.float32), (len(x), 3)), vec3f)
        _sample(self.features, sampling, self.layout.environment, arrays, refs, upload(x, vec4f), out)
        columns = out.to_numpy().astype(float)
        vectors = [columns[:, a:b] for a, b in ((13, 15), (15, 17), (17, 20), (20, 23))]
        return Found(columns[:, :3], *columns.T[3:13], *vectors)

    def sample(self, ref, n, seed=1):
        return self._run(1, ref, np.random.default_rng(seed).integers(0, 2**24, (n, 4)) / 2**24)

    def along(self, ref, directions):
        return self._run(0, ref, directions)


def emitter(kind="area", radiance=1.0, position=None, weight=1.0):
    key = "intensity" if kind == "point" else "radiance"
    texture = Texture(key, "rgb", np.full(3, radiance, np.float32))
    return Emitter(kind, kind, {key: texture}, position, weight)


def shape(kind, *, scale=(1, 1, 1), shift=(0, 0, 0), light=True, flip=False, **mesh):
    m = np.diag([*np.broadcast_to(scale, 3), 1.0]).astype(float)
    m[:3, 3] = shift
    grey = Bsdf("grey", "diffuse", {"reflectance": Texture("r", "rgb", np.full(3, 0.5, np.float32))})
    return Shape(kind, kind, grey, emitter() if light is True else light or None, m, flip, **mesh)


def mesh(vertices, faces, **options):
    vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
    return shape("mesh", vertices=vertices, faces=faces, **options)
