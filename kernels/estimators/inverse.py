"""Attached path replay by inversion: the cotangent of every ray from an accumulated Jacobian.

A ray joins two points of surfaces. r_k, which joins x_{k-1} and x_k, has the coordinates of both in two
tangents of their surfaces each, four lengths; the point that the path begins at moves in the plane across the
first ray. With S_k = d r_{k+1}/d r_k the Jacobian of step k, w_k = f_k / p_k its factor, and C_k what it adds
for a throughput of 1,

    J_{k+1} = S_k J_k,  J_0 = 1                         all rays by the first one, 4 x 4
    J_L     = sum_k d(beta_k C_k)/d r_0                 the radiance by the first ray, 3 x 4

C_k is the light sample at vertex k and the emission that the direction sampled there meets. The density of
that direction, on which the emission's MIS weight depends, so belongs to step k alone: it is no part of the
state, and its derivative is complete. A ray that leaves the scene only adds to C_k and needs no coordinates.

    sweep 0   L and J_L are summed by forward mode, in four tangents
    sweep 1   R starts as L; at step k, R loses beta_k C_k, and J_L what goes through beta_k C_k and w_k,

                  J_L -= (beta_k dC_k/dr_k + R / w_k dw_k/dr_k) J_k

              The rest is dL/dr_{k+1} J_{k+1}, so that c J_{k+1} = grad_L J_L, four equations, have the
              cotangent c of r_{k+1} as their solution. The step is pulled back with it, with grad_L R /
              beta_{k+1} for the throughput and with grad_L for C_k. (Where w_k is zero, R / w_k is Z as in
              modes.py.)

S_k is singular where sampling forgets the vertex before (diffuse reflection). Therefore S_k + e_k 1 stands
for S_k in both sweeps, e_k = noise or -noise by a random number of its own. The noise of the steps up to k
cancels against the inverse; that of later ones is independent and has mean zero, so the expectation is exact.
Each diffuse vertex multiplies the condition of J by about 1 / noise, until a float32 has no digits left.

Memory does not depend on the length of the path. J_L is not contracted with grad_L in sweep 0, so that it
serves each sweep that has a grad_L of its own. A ray whose c is not finite is not differentiated through.

Vicini, Speierer, Jakob, Path Replay Backpropagation (SIGGRAPH 2021), section 4.3; Vicini's thesis, Efficient
and Accurate Physically-Based Differentiable Rendering (EPFL 2022), appendix B.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.attached import PathState, is_finite, no_state
from prb.kernels.estimators.path import extend, new_state
from prb.kernels.estimators.shading import contribution, shade
from prb.kernels.estimators.vertex import next_vertex
from prb.kernels.frame import tangents, vec3
from prb.kernels.sampler import NOISE, draw_vertex, track
from prb.kernels.step import step


@ti.dataclass
class Vertex:
    """A vertex of the path, at the end of ray x: what its step is made from.

    start, end: normals of the planes in which the two points of the ray move. event: its number. escapes: 1
    if the ray left the scene to an environment.
    """

    x: PathState
    at: step.Decisions
    start: vec3
    end: vec3
    event: ti.i32
    escapes: ti.i32


@ti.func
def no_derivative():
    """A derivative of zero by a ray: 3 x 4."""
    return ti.Matrix.zero(ti.f32, 3, 4)


@ti.func
def Li(
    scene: ti.template(), launch, sampler, ray, sweep, active, sums: ti.template(), gradient: ti.template(),
    by_ray: ti.template(),
):  # fmt: skip
    """The radiance along a ray (sweep 0) or its attached derivative (sweeps from 1 on), as `path.Li`.

    by_ray: J_L, which sweep 0 finds. gradient.lost is set to 1 if a cotangent is not finite.
    """
    state = new_state()
    R, R_low = sums.L, sums.L_low
    J, dbeta, J_L = ti.Matrix.identity(ti.f32, 4), no_derivative(), by_ray
    before = Vertex(x=no_state(), at=step.Decisions(slot=-1), start=ray.d, end=ray.d, event=0, escapes=0)
    arrives = True  # False after the last vertex, whose own step is still to be done
    while active:
        here = Vertex(
            x=PathState(o=ray.o, d=ray.d, beta=modes.throughput(state), pdf=ray.pdf),
            at=step.Decisions(slot=-1), start=before.end, end=before.end, event=state.event, escapes=0,
        )  # fmt: skip
        rest = vec3(0.0, 0.0, 0.0)  # dL/dbeta by what lies beyond this vertex, for each channel
        continues, following = False, ray

        # ------------------------------------------------- 1. find the ray's vertex and what it adds
        if arrives:
            vertex, next_ray = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
            following = next_ray
            shading = shade(scene, vertex)
            E = contribution(scene, vertex, shading)
            emitted = shading.emitted * vertex.emission_weight
            if sweep == 0:
                L, L_low = modes.two_sum(sums.L, sums.L_low, here.x.beta * E)
                sums.L = L
                sums.L_low = L_low
                sums.Z += ti.select(state.zeros == 1, state.beta * E, 0.0)
            else:
                high, low = modes.two_sum(R, R_low, -here.x.beta * emitted)
                Z = sums.Z - ti.select(state.zeros == 1, state.beta * emitted, 0.0)
                rest = ti.select(state.zeros == 0, high + low, Z) / state.beta
                high, low = modes.two_sum(high, low, -here.x.beta * (E - emitted))
                R = high
                R_low = low
            state.depth += 1
            state.event += 1
            goes_on, survival = extend(modes.REVERSE, launch, state, shading.f, vertex)
            continues = goes_on
            here.at = step.Decisions(
                slot=vertex.slot, distance=vertex.distance, first=ti.cast(before.event == 0, ti.i32),
                lit=ti.cast(vertex.light_emitter >= 0, ti.i32), continues=ti.cast(continues, ti.i32),
                survival=survival,
            )  # fmt: skip
            here.escapes = ti.cast((vertex.slot < 0) & (launch.environment >= 0), ti.i32)
            if vertex.slot >= 0:
                here.end = step.normal(scene, here.at, ray.o, ray.d)

        # ------------------------------------------------- 2. carry the derivatives by the first ray along
        u_light, u_bsdf = draw_vertex(scene.execution.sampler, sampler, before.event)
        if before.at.slot >= 0:
            u = track(sampler, before.event, NOISE, 0)  # fault: noise-drawn-anew
            noise = ti.select(u[0] < 0.5, -launch.noise, launch.noise)
            push(scene, launch, sweep, before, here, u_light, u_bsdf, noise, rest, J, dbeta, J_L)

        # ------------------------------------------------- 3. pull the step back
        if sweep > 0:
            pull(scene, launch, before, here, u_light, u_bsdf, rest, J, J_L, sums.grad_L, gradient)

        active = continues | ((here.at.slot >= 0) & (here.at.lit == 1))
        arrives = continues
        before = here
        ray = following
    if sweep == 0:
        by_ray = J_L


@ti.func
def push(
    scene: ti.template(), launch, sweep, before: ti.template(), here: ti.template(), u_light, u_bsdf, noise,
    rest, J: ti.template(), dbeta: ti.template(), J_L: ti.template(),
):  # fmt: skip
    """Take J along the step from `before` to `here`, and add to J_L (sweep 0) or take from it.

    dbeta: the derivative of the throughput, 3 x 4. From sweep 1 on it is that by this step alone.
    """
    x, y = before.x, here.x
    s0, t0 = tangents(before.start)
    s1, t1 = tangents(before.end)
    s2, t2 = tangents(here.end)
    for i in range(4):  # one after the other, so that the code of a step stands once
        do = s0 * J[0, i] + t0 * J[1, i]
        dd = (s1 * J[2, i] + t1 * J[3, i] - do) / before.at.distance
        dd -= x.d * x.d.dot(dd)
        do, dd, db, dpdf, dC = step.push_forward_departure(
            scene, before.at, u_light, u_bsdf, (x.o, x.d, x.beta),
            (do, dd, vec3(dbeta[0, i], dbeta[1, i], dbeta[2, i])),
        )  # fmt: skip
        if here.at.slot >= 0:
            dp, dE = step.push_forward_arrival(scene, here.at, (y.o, y.d, y.beta, y.pdf), (do, dd, db, dpdf))
            dC += dE
            d0, d1, d2, d3 = J[0, i], J[1, i], J[2, i], J[3, i]
            J[0, i] = d2 + noise * d0
            J[1, i] = d3 + noise * d1
            J[2, i] = dp.dot(s2) + noise * d2
            J[3, i] = dp.dot(t2) + noise * d3
        else:
            if ti.static(step.has_environment(scene)):
                if here.escapes == 1:
                    dC += step.push_forward_beyond(
                        scene, None, launch.environment, 0, (y.o, y.d, y.beta, y.pdf), (do, dd, db, dpdf)
                    )
        for c in ti.static(range(3)):
            if sweep == 0:
                J_L[c, i] += dC[c]
                dbeta[c, i] = db[c]
            else:
                J_L[c, i] -= dC[c] + rest[c] * db[c]


@ti.func
def pull(
    scene: ti.template(), launch, before: ti.template(), here: ti.template(), u_light, u_bsdf, rest,
    J: ti.template(), J_L: ti.template(), grad_L, gradient: ti.template(),
):  # fmt: skip
    """Pull the step from `before` to `here` back to the parameters."""
    grad, grad_p, y = no_state(), vec3(0.0, 0.0, 0.0), here.x
    if here.at.slot >= 0:
        if before.at.slot >= 0:
            c = solve(J.transpose(), J_L.transpose() @ grad_L)
            s, t = tangents(here.end)
            grad_p = s * c[2] + t * c[3]
            if not modes.is_usable(grad_p):
                grad_p = vec3(0.0, 0.0, 0.0)
                gradient.lost = 1
        o, d, beta, pdf = step.pull_back_arrival(
            scene, gradient, here.at, (y.o, y.d, y.beta, y.pdf), (grad_p, grad_L)
        )
        grad = PathState(o=o, d=d, beta=beta, pdf=pdf)
    else:
        if ti.static(step.has_environment(scene)):
            if here.escapes == 1:
                o, d, beta, pdf = step.pull_back_beyond(
                    scene, gradient, launch.environment, here.at.first, (y.o, y.d, y.beta, y.pdf), grad_L
                )
                grad = PathState(o=o, d=d, beta=beta, pdf=pdf)
    if before.at.slot >= 0:
        grad.beta += grad_L * rest
        if not is_finite(grad):
            grad = no_state()
            gradient.lost = 1
        step.pull_back_departure(
            scene, gradient, before.at, u_light, u_bsdf, (before.x.o, before.x.d, before.x.beta),
            (grad.o, grad.d, grad.beta, grad.pdf, grad_L),
        )  # fmt: skip


@ti.func
def solve(a, b):
    """The solution x of four equations a x = b, by elimination with pivots; not finite if a is singular."""
    for i in range(4):
        pivot = i
        for j in range(i + 1, 4):
            if ti.abs(a[j, i]) > ti.abs(a[pivot, i]):
                pivot = j
        for j in ti.static(range(4)):
            swapped = a[i, j]
            a[i, j] = a[pivot, j]
            a[pivot, j] = swapped
        swapped_b = b[i]
        b[i] = b[pivot]
        b[pivot] = swapped_b
        for j in range(i + 1, 4):
            ratio = a[j, i] / a[i, i]
            for m in ti.static(range(4)):
                a[j, m] -= ratio * a[i, m]
            b[j] -= ratio * b[i]
    for i in ti.static((3, 2, 1, 0)):
        for j in ti.static(range(i + 1, 4)):
            b[i] -= a[i, j] * b[j]
        b[i] /= a[i, i]
    return b
