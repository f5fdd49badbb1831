"""Attached path replay: derivatives through sampled directions, in constant memory.

The random numbers u are fixed, and everything that is made from them moves with the parameters p
("reparametrise, then differentiate"):

    d/dp of the integral of f(x) dx  =  integral of d/dp [ f(T(u, p), p) |dT/du| ] du

With X_k = (ray, throughput, density) at vertex k, one step of the path is X_{k+1} = step(X_k, p) and adds
C_k(X_k, p) to L (kernels/step/step.py). Reverse mode is the chain rule from the last vertex to the first,

    grad X_k = grad X_{k+1} dX_{k+1}/dX_k + grad_L dC_k/dX_k
    grad p  += grad X_{k+1} dX_{k+1}/dp   + grad_L dC_k/dp

    kept        sweep 0 traces the path and keeps the X_k in a ring of constant length, the worker's row;
                sweep 1 walks back over them. A path that is longer than the ring is traced again up to the
                vertex where the ring began, as often as it takes.

Forward mode carries the tangent of X_k along with the path.

The same walk serves derivatives by what moves shapes or the camera, with points of surfaces held instead of
random numbers (`Execution.attached` is "points"). The step is then that of kernels/step/points.py, which has
to know the next vertex as well; a ray that is held passes on the cotangent of its origin alone.

Vicini, Speierer, Jakob, Path Replay Backpropagation (SIGGRAPH 2021), is attached replay by inversion;
Zeltner, Speierer, Georgiev, Jakob, Monte Carlo Estimators for Differential Light Transport (SIGGRAPH 2021),
has the estimators. Attached directions sweep over edges, whose derivative is not in these: where a visible
discontinuity lies in what a moving direction sees, the estimate is biased.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.path import extend, new_state
from prb.kernels.estimators.shading import contribution, shade
from prb.kernels.estimators.vertex import next_vertex
from prb.kernels.frame import vec3
from prb.kernels.sampler import draw_vertex
from prb.kernels.step import points, step

SIZE = 13  # numbers of a vertex in the ring: o, d, beta, pdf, code, distance, survival


@ti.dataclass
class PathState:
    """X_k, its tangent or its cotangent: origin, direction, throughput, density of the direction."""

    o: vec3
    d: vec3
    beta: vec3
    pdf: ti.f32


@ti.func
def no_state():
    """A tangent or cotangent of zero."""
    zero = vec3(0.0, 0.0, 0.0)
    return PathState(o=zero, d=zero, beta=zero, pdf=0.0)


@ti.func
def is_finite(x):
    """True unless a number of a `PathState` is NaN, infinite or too large for sums."""
    whole = vec3(x.pdf, 0.0, 0.0)
    return modes.is_usable(x.o) & modes.is_usable(x.d) & modes.is_usable(x.beta) & modes.is_usable(whole)


@ti.func
def store(rows: ti.template(), worker, at, x, decisions):
    """Keep a vertex in the ring, from column `at` of the worker's row on."""
    for i in ti.static(range(3)):
        rows[worker, at + i] = x.o[i]
        rows[worker, at + 3 + i] = x.d[i]
        rows[worker, at + 6 + i] = x.beta[i]
    code = 4 * (decisions.slot + 1) + 2 * decisions.lit + decisions.continues
    rows[worker, at + 9] = x.pdf
    rows[worker, at + 10] = ti.bit_cast(code, ti.f32)
    rows[worker, at + 11] = decisions.distance
    rows[worker, at + 12] = decisions.survival


@ti.func
def load(rows: ti.template(), worker, at, first):
    """The `PathState` and the `Decisions` of a vertex in the ring. first: 1 if it is the path's first."""
    o = vec3(rows[worker, at], rows[worker, at + 1], rows[worker, at + 2])
    d = vec3(rows[worker, at + 3], rows[worker, at + 4], rows[worker, at + 5])
    beta = vec3(rows[worker, at + 6], rows[worker, at + 7], rows[worker, at + 8])
    code = ti.bit_cast(rows[worker, at + 10], ti.i32)
    decisions = step.Decisions(
        slot=(code >> 2) - 1, distance=rows[worker, at + 11], first=first, lit=(code >> 1) & 1,
        continues=code & 1, survival=rows[worker, at + 12],
    )  # fmt: skip
    return PathState(o=o, d=d, beta=beta, pdf=rows[worker, at + 9]), decisions


@ti.func
def Li(
    mode: ti.template(),
    scene: ti.template(),
    launch,
    sampler,
    ray,
    sweep,
    active,
    sums: ti.template(),
    rows: ti.template(),
    row: ti.template(),
    gradient: ti.template(),
    tangents: ti.template(),
    first: ti.template(),
):
    """The radiance along a ray and its attached derivative, with the arguments of `path.Li`.

    first: a `PathState`, in forward mode the tangent of the first ray, in reverse mode afterwards its
    cotangent.

    Reverse mode: sweep 0 adds the radiance to `sums` and fills the ring; those from 1 on add to the gradient.
    Forward mode: one sweep adds radiance and tangent. row.end: vertices of the path that the ring is full up
    to; row.length: vertices of the whole path. If a cotangent is not finite, gradient.lost is set to 1, and
    what lies before that vertex has no derivative.
    """
    capacity = rows.shape[1] // SIZE
    end = row.length  # the vertex before which to stop
    tracing = active & (row.end != end)
    if sweep == 0:
        end = launch.max_vertices + 1
        tracing = active
    going = active
    grad = no_state()  # the cotangent of the state where the walk has come to
    target = points.no_target()  # the vertex behind it
    while going:
        if ti.static(mode == modes.FORWARD and scene.execution.attached == "points"):
            carry(scene, launch, sampler, ray, sums, tangents, first)
        else:
            if tracing:
                row.end = trace(mode, scene, launch, sampler, ray, sweep, end, sums, rows, row, tangents)
        going = False
        if ti.static(mode == modes.REVERSE):
            if sweep == 0:
                row.length = row.end
            else:
                walk(scene, launch, sampler, end, sums, rows, row, gradient, grad, target)
                end -= capacity
                tracing = True
                going = end > 0
    if ti.static(mode == modes.REVERSE):
        first = grad


@ti.func
def trace(
    mode: ti.template(),
    scene: ti.template(),
    launch,
    sampler,
    ray,
    sweep,
    end,
    sums: ti.template(),
    rows: ti.template(),
    row: ti.template(),
    tangents: ti.template(),
):
    """Trace the path up to vertex number `end`. Returns the number of its vertices up to there.

    Sweep 0 adds what they contribute to `sums`. Reverse mode keeps the last ones in the ring.
    """
    state = new_state()
    dx = no_state()
    k = 0
    active = k < end
    while active:
        x, decisions, E, _vertex, following = visit(scene, launch, sampler, ray, state)
        if sweep == 0:
            L, L_low = modes.two_sum(sums.L, sums.L_low, x.beta * E)
            sums.L = L
            sums.L_low = L_low
            if ti.static(mode == modes.FORWARD):
                advance(scene, launch, sampler, tangents, k, x, decisions, dx, sums)
        if ti.static(mode == modes.REVERSE):
            store(rows, row.worker, k % (rows.shape[1] // SIZE) * SIZE, x, decisions)
        ray = following
        k += 1
        active = (decisions.continues == 1) & (k < end)
    return k


@ti.func
def visit(scene: ti.template(), launch, sampler, ray, state: ti.template()):
    """Trace the ray to the path's next vertex: (X_k, `Decisions`, E_k, `Vertex`, next ray)."""
    first = ti.cast(state.depth == 0, ti.i32)
    x = PathState(o=ray.o, d=ray.d, beta=modes.throughput(state), pdf=ray.pdf)
    vertex, following = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
    shading = shade(scene, vertex)
    state.depth += 1
    state.event += 1
    E = contribution(scene, vertex, shading)
    # the mode's own derivatives are detached ones: of reverse mode, only products and sums are used
    continues, survival = extend(modes.REVERSE, launch, state, shading.f, vertex)
    decisions = step.Decisions(
        slot=vertex.slot, distance=vertex.distance, first=first,
        lit=ti.cast(vertex.light_emitter >= 0, ti.i32), continues=ti.cast(continues, ti.i32),
        survival=survival,
    )  # fmt: skip
    return x, decisions, E, vertex, following


@ti.func
def advance(
    scene: ti.template(), launch, sampler, tangents: ti.template(), k, x, decisions, dx: ti.template(),
    sums: ti.template(),
):  # fmt: skip
    """Forward mode at vertex k: add the tangent of what it contributes; take that of the state on."""
    state, state_tangents = (x.o, x.d, x.beta, x.pdf), (dx.o, dx.d, dx.beta, dx.pdf)
    if decisions.slot >= 0:
        u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, k + 1)
        do, dd, dbeta, dpdf, dC = step.push_forward(
            scene, tangents, decisions, u_light, u_bsdf, state, state_tangents
        )
        dx.o, dx.d, dx.beta, dx.pdf = do, dd, dbeta, dpdf
        sums.dL += dC
    else:
        if ti.static(step.has_environment(scene)):
            if launch.environment >= 0:
                sums.dL += step.push_forward_beyond(
                    scene, tangents, launch.environment, decisions.first, state, state_tangents
                )


@ti.func
def walk(
    scene: ti.template(), launch, sampler, end, sums: ti.template(), rows: ti.template(), row: ti.template(),
    gradient: ti.template(), grad: ti.template(), target: ti.template(),
):  # fmt: skip
    """Walk back from vertex end - 1 over those that the ring holds. grad: the cotangent of the state behind
    them, and then of that before them. target: the vertex behind them, and then the last one of them."""
    capacity = rows.shape[1] // SIZE
    for i in range(ti.min(end, capacity)):
        k = end - 1 - i
        x, decisions = load(rows, row.worker, k % capacity * SIZE, ti.cast(k == 0, ti.i32))
        state = (x.o, x.d, x.beta, x.pdf)
        if decisions.slot >= 0:
            u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, k + 1)
            if ti.static(scene.execution.attached == "points"):
                moving = points.moves_along(decisions, x.pdf)
                o, d, beta = points.pull_back(
                    scene, gradient, decisions, moving, x.pdf, target, u_light, u_bsdf, (x.o, x.d, x.beta),
                    (grad.o, grad.d, grad.beta, sums.grad_L),
                )  # fmt: skip
                grad.o, grad.d, grad.beta = o, d, beta
            else:
                o, d, beta, pdf = step.pull_back(
                    scene, gradient, decisions, u_light, u_bsdf, state,
                    (grad.o, grad.d, grad.beta, grad.pdf, sums.grad_L),
                )  # fmt: skip
                grad.o, grad.d, grad.beta, grad.pdf = o, d, beta, pdf
        else:
            if ti.static(step.has_environment(scene)):
                if launch.environment >= 0:
                    o, d, beta, pdf = step.pull_back_beyond(
                        scene, gradient, launch.environment, decisions.first, state, sums.grad_L
                    )
                    grad.o, grad.d, grad.beta, grad.pdf = o, d, beta, pdf
        if ti.static(scene.execution.attached == "points"):
            grad.pdf = 0.0
            target = points.target_of(scene, x, decisions)
        if not is_finite(grad):
            assign_zero(grad)
            gradient.lost = 1


@ti.func
def carry(
    scene: ti.template(), launch, sampler, ray, sums: ti.template(), tangents: ti.template(),
    first: ti.template(),
):  # fmt: skip
    """Forward mode with points held: trace the path, and carry the tangent of the state along, one vertex
    behind, as a step has to know the next vertex. first: the tangent of the first ray."""
    state, dx, x = new_state(), first, no_state()
    at = step.Decisions(slot=-1)
    k = 0
    active, going = True, True
    while going:
        here, there, target = no_state(), step.Decisions(slot=-1), points.no_target()
        if active:
            here_, there_, E, _vertex, following = visit(scene, launch, sampler, ray, state)
            here = here_
            there = there_
            L, L_low = modes.two_sum(sums.L, sums.L_low, here.beta * E)
            sums.L = L
            sums.L_low = L_low
            target = points.target_of(scene, here, there)
            ray = following
        if at.slot >= 0:
            u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, k)
            do, dd, dbeta, dC = points.push_forward(
                scene, tangents, at, points.moves_along(at, x.pdf), x.pdf, target, u_light, u_bsdf,
                (x.o, x.d, x.beta), (dx.o, dx.d, dx.beta),
            )  # fmt: skip
            dx.o, dx.d, dx.beta = do, dd, dbeta
            sums.dL += dC
        if active & (there.slot < 0):
            if ti.static(step.has_environment(scene)):
                if launch.environment >= 0:
                    sums.dL += step.push_forward_beyond(
                        scene, tangents, launch.environment, there.first,
                        (here.o, here.d, here.beta, here.pdf), (dx.o, dx.d, dx.beta, 0.0),
                    )  # fmt: skip
        x = here
        at = there
        k += 1
        going = there.slot >= 0
        active = active & (there.continues == 1)


@ti.func
def assign_zero(grad: ti.template()):
    """Set a `PathState` to zero."""
    zero = vec3(0.0, 0.0, 0.0)
    grad.o, grad.d, grad.beta, grad.pdf = zero, zero, zero, 0.0
