"""The path tracer: radiance along a ray, and its derivatives, in one loop.

A path visits the vertices x_0 .. x_n. At vertex i, f_i (RGB) is BSDF times cosine and p_i the density, by
solid angle, of the sampled direction. E_k (RGB) is what vertex k contributes: emission met by the sampled ray
and next-event estimation, both weighted by the power heuristic (Veach 1997, section 9.2.4). Then

    beta_k = prod_{j<k} f_j / p_j              L = sum_k beta_k E_k

The same loop computes the picture and its derivatives; a mode (kernels/estimators/modes.py) determines what
happens to E_k and to the product.

    primal      beta_k E_k is added to L
    reverse     path replay (Vicini, Speierer, Jakob, Path Replay Backpropagation, SIGGRAPH 2021): sweep 0
                finds L, sweep 1 traces the path again with the same random numbers and differentiates it
    forward     the tangents of L and of the product are computed along with the path
    reshaded    the picture at other values of the parameters, along the paths that sweep 0 kept

Densities, MIS weights, roulette and directions are constants under differentiation (detached sampling). The
derivatives are interior ones: what moves a silhouette or the edge of a shadow is not in them.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators import kept_vertices, modes
from prb.kernels.estimators.shading import black, contribution, shade
from prb.kernels.estimators.vertex import next_vertex, no_vertex
from prb.kernels.frame import max_abs, vec3

MAX_SURVIVAL = 0.95  # largest survival probability of Russian roulette


@ti.dataclass
class State:
    """The loop's state. Vertices are counted without the path's origin.

    beta        product of the factors f / p and of the inverse survival probabilities; for derivatives,
                factors f of zero count as 1
    zeros       number of zero factors, for each channel (derivatives)
    dbeta       tangent of the product of all factors (forward mode); the product at other values (reshaded)
    df          tangent of the factor f at this vertex (forward mode); that factor at other values (reshaded)
    R, R_low    radiance that this vertex and those after it add, an unevaluated sum (sweep 1 of the replay)
    eta         index of refraction relative to where the path began; in roulette, its square undoes the
                compression of radiance by refraction
    depth       number of edges of the path so far
    event       number of the next vertex, by which random numbers are drawn
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
    """The state at the beginning of a path."""
    one, zero = vec3(1.0, 1.0, 1.0), vec3(0.0, 0.0, 0.0)
    zeros = ti.Vector([0, 0, 0])
    return State(beta=one, zeros=zeros, dbeta=zero, df=zero, R=zero, R_low=zero, eta=1.0, depth=0, event=1)


@ti.func
def extend(mode: ti.template(), launch, state: ti.template(), f, vertex: ti.template()):
    """Multiply the product by the vertex's factor f / p and play Russian roulette.

    Returns (True if the path continues, survival probability); beta is divided by that probability.
    """
    survival = 1.0
    strength = max_abs(
        modes.multiply(mode, state, f, vertex)
    )  # factors may be negative in central differences
    active = (vertex.pdf > 0) & (state.depth < launch.max_vertices) & (strength > 0)
    state.eta *= vertex.eta
    if state.depth >= launch.rr_depth:
        survival = ti.min(strength * state.eta * state.eta, MAX_SURVIVAL)
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
    """The radiance that arrives along a ray, added to `sums`; or its derivative, depending on mode and sweep.

    sweep: 0, or 1 for the second sweep of the replay. active: False if the path is to be skipped.
    sums: the path's `Sums`. rows, row: kept vertices, which sweep 0 of the replay writes and sweep 1 reads.
    gradient: the worker's `GradientBlock` (reverse mode). tangents: those of the parameters (forward mode).
    """
    state = new_state()
    state.R = sums.L
    state.R_low = sums.L_low
    if ti.static(mode == modes.RESHADED):
        sums.L = vec3(0.0, 0.0, 0.0)
        state.dbeta = vec3(1.0, 1.0, 1.0)
    while active:
        # ------------------------------------------------- 1. find the next vertex and its shading
        vertex, shading = no_vertex(), black()
        if ti.static(mode in modes.REPLAYS) and sweep == 1 and row.first >= 0:
            kept_vertex, kept_shading, _length = kept_vertices.load(rows, row)
            vertex, shading = kept_vertex, kept_shading
        else:
            found, next_ray = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
            vertex, ray = found, next_ray
            shading = shade(scene, vertex)
            if ti.static(mode == modes.REVERSE):
                if sweep == 0 and row.first >= 0:
                    kept_vertices.store(rows, row, vertex, shading)
        f = shading.f
        if ti.static(mode == modes.RESHADED):
            shading = shade(scene, vertex)
        state.depth += 1
        state.event += 1

        # ------------------------------------------------- 2. its contribution for throughput 1
        E = contribution(vertex, shading)

        # ------------------------------------------------- 3. add the contribution, or differentiate it
        modes.add(mode, scene, gradient, tangents, state, sums, vertex, shading, E, sweep)

        # ------------------------------------------------- 4. continue the path or end it
        continues, _survival = extend(mode, launch, state, f, vertex)
        active = continues
