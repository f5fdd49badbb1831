"""The attached tape: what it keeps on the device, and its kernels (kernels/estimators/attached_tape.py)."""

from prb.device import runtime
from prb.device.arrays import clear, empty, zeros
from prb.errors import ParameterError
from prb.estimators import work
from prb.estimators.tapes import with_adjoint
from prb.kernels.arrays import vec3f, vec4i, vec20f
from prb.kernels.backend import ti
from prb.kernels.estimators import attached_tape, tape
from prb.kernels.estimators.attached_tape import FOUND, NUMBERS, RANDOM, STATE
from prb.kernels.points import INDEPENDENT
from prb.kernels.step.step import has_loops


class AttachedTape:
    """The states of a number of paths, and the sweeps over them. A scene keeps the last one, as allocating
    takes longer than filling it."""

    # What a path carries along, its sampler, L and its adjoint, X_0, two slices of X's adjoint.
    PATH_BYTES = 80 + 16 + 12 + 12 + 3 * 4 * STATE

    @staticmethod
    def check(scene):
        """Raise ParameterError for a scene whose paths have no attached derivatives."""
        limit = scene.layout.attached_limit
        if limit:
            raise ParameterError(f"sampling: 'attached' {limit}; take 'detached'")

    @staticmethod
    def bounce_bytes(scene, names=None):
        """Bytes of one bounce of one path."""
        return 4 * (STATE + _numbers(scene)) + 16

    @classmethod
    def of(cls, scene, names, density, paths):
        """A tape for the derivatives by the named parameters. density: of media, which it does not cover."""
        kept = scene.state.tape_buffers
        wanted = runtime.ensure(), paths, _numbers(scene)
        if not isinstance(kept, cls) or (kept.generation, kept.paths, kept.numbers) != wanted:
            scene.state.tape_buffers = None  # free the old ones first
            kept = scene.state.tape_buffers = cls(scene, paths)
        kept.min_selection = work.min_selection(scene, names)
        kept.execution = work.execution(
            work.device_plan(), orientations=work.has_orientations(scene, names),
            placements=work.has_placements(scene, names), sampler=scene.sampler,
        )  # fmt: skip
        return kept

    def __init__(self, scene, paths):
        self.generation, self.paths, self.numbers = runtime.ensure(), paths, _numbers(scene)
        self.features, self.environment = scene.layout.features, scene.layout.environment
        self.L = with_adjoint(empty(paths, vec3f), empty(paths, vec3f))
        self.carried = empty(paths, vec20f)
        self.samplers = empty(paths, vec4i)
        self.slices = empty((paths, STATE)), empty((paths, STATE))  # adjoints of X_k and X_{k+1}
        self.states, self.vertices = [empty((paths, STATE))], []
        self.alive = zeros(1, ti.i32)

    def begin(self, launch, items, scene_arrays, sensor, parameters):
        """Start the paths of a launch."""
        self.launch, self.items, self.arrays, self.parameters = launch, items, scene_arrays, parameters
        tape.begin(self.execution, launch, sensor, self.carried)

    def record(self, k):
        """Trace one more vertex of every path and add what it contributes to L. Returns whether any go on."""
        if k == len(self.vertices):
            self.states.append(empty((self.paths, STATE)))  # behind the last vertex, for its adjoint alone
            self.vertices.append((empty(self.paths, vec4i), empty((self.paths, self.numbers))))
        clear(self.alive)
        attached_tape.record(
            self.features, self.execution, self.launch, k, self.arrays, self.carried, self.samplers,
            self.states[k], *self.vertices[k], self.L, self.alive,
        )  # fmt: skip
        return self.alive.to_numpy()[0] > 0

    def differentiate(self, k, is_last):
        """Take the cotangents of L and of X_{k+1} back to the parameters and to X_k."""
        slices = self.slices[k % 2], self.slices[(k + 1) % 2]
        if is_last:
            clear(slices[1])
        clear(slices[0])
        p = self.parameters
        attached_tape.step_bounce.grad(
            self.features, self.execution, self.items, k, self.environment, self.min_selection, p.copies,
            p.size, self.arrays, self.samplers, *self.vertices[k], p.array,
            with_adjoint(self.states[k], slices[0]), with_adjoint(self.states[k + 1], slices[1]), self.L,
        )  # fmt: skip

    def nbytes(self):
        """Bytes that are allocated already."""
        bounce = 4 * (STATE + self.numbers) + 16
        return self.paths * (self.PATH_BYTES + bounce * len(self.vertices))


def _numbers(scene):
    """Numbers that are kept of a vertex beside its state and the integers."""
    drawn = RANDOM if scene.sampler != INDEPENDENT else 0
    return NUMBERS + (FOUND if has_loops(scene.layout.features) else 0) + drawn
