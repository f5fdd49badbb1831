"""The path tracer: radiance along a ray, and its derivatives, in one loop.

One path x_0 .. x_n, every quantity RGB. f_i is BSDF times cosine at vertex i and p_i the density of the
sampled direction; E_k is what vertex k adds, emission met by the sampled ray and next-event estimation,
both with the power heuristic (Veach 1997, section 9.2.4):

    beta_k = prod_{j<k} f_j / p_j              L = sum_k beta_k E_k

The same loop serves the picture and its derivatives: a mode (kernels/estimators/modes.py) says what happens
to E_k and to the product.

    primal      add beta_k E_k to L
    reverse     path replay (Vicini, Speierer, Jakob, Path Replay Backpropagation, SIGGRAPH 2021): sweep 0
                finds L, sweep 1 traces the path again with the same random numbers and differentiates
    forward     the tangents of L and of the product go along with the path

Densities, weights, roulette and directions are constants under differentiation (detached sampling), and what
moves a silhouette or a shadow's edge is not in the derivatives: they are interior ones.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators import kept_vertices, modes
from prb.kernels.estimators.shading import black, contribution, shade
from prb.kernels.estimators.vertex import next_vertex, no_vertex
from prb.kernels.frame import max_abs, vec3

ROULETTE_MAX = 0.95  # survival probability at most


@ti.dataclass
class State:
    """The loop's state. Vertices are counted without the path's origin.

    beta        product of the factors f / p; in derivatives of the non-zero ones, a zero one counts as 1
    zeros       number of factors that were zero, for each channel (derivatives)
    dbeta       tangent of the product of all factors (forward mode)
    df          tangent of the factor at this vertex (forward mode)
    R, R_low    what this vertex and the rest of the path add, as a sum of two floats (sweep 1 of the replay)
    eta         index of refraction relative to where the path began; its square undoes the compression of
                radiance for roulette
    depth       edges of the path so far
    event       number of the vertex that comes next, for random numbers
    """

    beta: vec3
    zeros: ti.types.vector(3, ti.i32)
    dbeta: vec3
    df: vec3
    R: vec3
    R_low: vec3
    eta: ti.f32
    depth: ti.i32
    event: ti.i32


@ti.func
def new_state():
    """The state at the path's beginning."""
    one, zero = vec3(1.0, 1.0, 1.0), vec3(0.0, 0.0, 0.0)
    none = ti.Vector([0, 0, 0])
    return State(beta=one, zeros=none, dbeta=zero, df=zero, R=zero, R_low=zero, eta=1.0, depth=0, event=1)


@ti.func
def extend(mode: ti.template(), launch, state: ti.template(), f, vertex: ti.template()):
    """Multiply the product by the vertex's factor and play Russian roulette.

    Returns (whether the path goes on, the probability with which it was allowed to): beta holds its inverse.
    """
    survival = 1.0
    relevant = modes.multiply(mode, state, f, vertex)
    strength = max_abs(relevant)  # a central difference may make a factor negative
    active = (vertex.pdf > 0) & (state.depth < launch.max_vertices) & (strength > 0)
    state.eta *= vertex.eta
    if state.depth >= launch.rr_depth:
        survival = ti.min(strength * state.eta * state.eta, ROULETTE_MAX)
        active = active & (vertex.u_roulette < survival)
        state.beta /= survival
    modes.divide_tangent(mode, state, vertex.pdf * survival)
    return active, survival


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
):
    """Radiance along a ray against its direction, added to `sums`; or its derivative, by mode and sweep.

    sweep: 0, or 1 for the replay's second one. active: False for a path that is to be left out.
    sums: the path's `Sums`. rows, row: kept vertices, which sweep 0 of the replay writes and sweep 1 reads.
    gradient: the worker's `GradientBlock` (reverse mode). tangents: of the parameters (forward mode).
    """
    state = new_state()
    state.R = sums.L
    state.R_low = sums.L_low
    while active:
        # ------------------------------------------------- 1. the next vertex, and the values of its terms
        vertex, shading = no_vertex(), black()
        if ti.static(mode == modes.REVERSE) and sweep == 1 and row.first >= 0:
            kept_vertex, kept_shading, _before = kept_vertices.load(rows, row)
            vertex, shading = kept_vertex, kept_shading
        else:
            found, ray_on = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
            vertex, ray = found, ray_on
            shading = shade(scene, vertex)
            if ti.static(mode == modes.REVERSE):
                if sweep == 0 and row.first >= 0:
                    kept_vertices.store(rows, row, vertex, shading)
        state.depth += 1
        state.event += 1

        # ------------------------------------------------- 2. what it adds to a path of throughput 1
        E = contribution(vertex, shading)

        # ------------------------------------------------- 3. add it, or differentiate
        modes.add(mode, scene, gradient, tangents, state, sums, vertex, shading, E, sweep)

        # ------------------------------------------------- 4. go on, or not
        goes_on, _survival = extend(mode, launch, state, shading.f, vertex)
        active = goes_on
