"""The detached tape: what it keeps on the device, and its kernels (kernels/estimators/tape.py) in order."""

from prb.device import runtime
from prb.device.arrays import clear, empty, unused, zeros
from prb.estimators import work
from prb.estimators.tapes import with_adjoint
from prb.kernels.arrays import vec3f, vec4i, vec8f, vec12f, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import tape
from prb.kernels.estimators.density import PROBE_SIZE, SUFFIXED
from prb.kernels.estimators.tape import CHANGES, media_size

BOUNCE_BYTES = 16 + 48 + 12  # of a path: vertex_i, vertex_f, beta
TEXTURE_BYTES = 32  # vertex_t, where the scene has textures


class DetachedTape:
    """The vertices of a number of paths, and the sweeps over them."""

    PATH_BYTES = 80 + 12 + 12 + 12 + 12 + 12  # state, L and its adjoint, beta_0, two slices of beta's adjoint

    @staticmethod
    def check(scene):
        """It takes every scene."""

    @staticmethod
    def bounce_bytes(scene, names=None):
        """Bytes of one bounce of one path."""
        located = TEXTURE_BYTES if _located(scene, names) else 0
        return BOUNCE_BYTES + located + 4 * media_size(scene.layout.features)

    @classmethod
    def of(cls, scene, names, density, paths):
        """A tape for the named parameters' derivatives. density: see kernels/estimators/density.py."""
        return cls(scene, names, density, paths)

    def __init__(self, scene, names, density, paths):
        self.features = scene.layout.features
        self.density = work.density(scene, names, density)
        flags = dict(
            orientations=work.has_orientations(scene, names), density=self.density, sampler=scene.sampler
        )
        self.execution = work.execution(work.device_plan(), **flags)
        self.unrolled = work.execution(work.device_plan(), unrolled=True, **flags)
        self.buffers = Buffers.of(scene, paths, _located(scene, names))
        self.L = self.buffers.L
        count = CHANGES * paths if self.density else 1
        self.changes = with_adjoint(zeros(count, vec3f), zeros(count, vec3f))
        self.suffixed = self.density in SUFFIXED
        self.probes = zeros((paths, PROBE_SIZE)) if self.suffixed else unused((1, 1))
        self.alive = zeros(1, ti.i32)

    def begin(self, launch, items, scene_arrays, sensor, parameters):
        """Start the paths of a launch."""
        self.launch, self.items, self.arrays, self.parameters = launch, items, scene_arrays, parameters
        tape.begin(self.execution, launch, sensor, self.buffers.state)
        if self.suffixed:
            rest = unused((1, 1)), unused(1)
            tape.trace_suffixes(
                self.features, self.execution, launch, scene_arrays, sensor, *rest, self.probes
            )  # fmt: skip

    def record(self, k):
        """Trace one more vertex of every path and add what it contributes to L. Returns whether any go on."""
        self.buffers.reserve(k)
        clear(self.alive)
        tape.record(
            self.features, self.execution, self.launch, k, self.arrays, self.buffers.state,
            *self.buffers.vertices[k], self.probes, self.alive,
        )  # fmt: skip
        self._shade(tape.shade_bounce, k)
        return self.alive.to_numpy()[0] > 0

    def differentiate(self, k, is_last):
        """Take the cotangents of L and of beta_{k+1} back to the parameters and to beta_k."""
        betas, slices = self.buffers.betas, self.buffers.slices
        if is_last:
            clear(slices[(k + 1) % 2])
        betas[k + 1]._set_grad(slices[(k + 1) % 2])
        betas[k]._set_grad(slices[k % 2])
        clear(slices[k % 2])
        clear(self.changes.grad)
        self._shade(tape.shade_bounce.grad, k)
        if self.density:
            p = self.parameters
            tape.change_extinction.grad(
                self.features, self.unrolled, self.items, p.copies, p.size, self.arrays,
                self.buffers.vertices[k][3], p.array, self.changes,
            )  # fmt: skip

    def _shade(self, kernel, k):
        p, buffers = self.parameters, self.buffers
        kernel(
            self.features, self.unrolled, self.items, p.copies, p.size, self.arrays,
            *buffers.vertices[k], p.array, self.changes, buffers.betas[k], buffers.betas[k + 1], self.L,
        )  # fmt: skip


def _located(scene, names):
    """True if the record of a vertex includes its place on the surface, for textures or orientations."""
    return scene.layout.features.textured or work.has_orientations(scene, names)


class Buffers:
    """The tape's arrays for a number of paths. A scene keeps the last ones, as allocating takes longer than
    filling them: a loop of gradients allocates once. They are freed with the scene."""

    def __init__(self, generation, paths, located, media):
        self.generation, self.paths, self.located, self.media = generation, paths, located, media
        self.L = with_adjoint(empty(paths, vec3f), empty(paths, vec3f))
        self.state = empty(paths, vec20f)
        self.slices = empty(paths, vec3f), empty(paths, vec3f)  # adjoints of beta_k and beta_{k+1}
        self.betas = [empty(paths, vec3f)]
        self.vertices = []
        self.betas[0].fill(1.0)

    @classmethod
    def of(cls, scene, paths, located):
        """The scene's buffers if they are of that size and on the device in use, else new ones."""
        kept = scene.state.tape_buffers
        if not isinstance(kept, cls) or (
            (kept.generation, kept.paths, kept.located) != (runtime.ensure(), paths, located)
        ):
            scene.state.tape_buffers = None  # free the old ones first
            media = media_size(scene.layout.features)
            scene.state.tape_buffers = cls(runtime.ensure(), paths, located, media)
        return scene.state.tape_buffers

    def reserve(self, bounce):
        """Make sure that there are arrays for a bounce."""
        if bounce == len(self.vertices):
            places = empty(self.paths if self.located else 1, vec8f)
            media = empty((self.paths, self.media)) if self.media else unused((1, 1))
            self.vertices.append((empty(self.paths, vec4i), empty(self.paths, vec12f), places, media))
            self.betas.append(empty(self.paths, vec3f))

    def nbytes(self):
        """Bytes that are allocated already."""
        bounce = BOUNCE_BYTES + (TEXTURE_BYTES if self.located else 0) + 4 * self.media
        return self.paths * (DetachedTape.PATH_BYTES + bounce * len(self.vertices))
