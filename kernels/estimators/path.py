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

In a participating medium a collision is a vertex too: f_i is albedo times phase function, and vertices that
the path passes straight through do not count as ends of edges (kernels/estimators/vertex_in_media.py). The
derivative by a medium's extinction has a file of its own, kernels/estimators/density.py.

Densities, MIS weights, roulette and directions are constants under differentiation (detached sampling). The
derivatives are interior ones: what moves a silhouette or the edge of a shadow is not in them.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators import density, kept_vertices, modes, vertex_in_media
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
    if state.depth >= launch.rr_depth and vertex.straight == 0:
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
    probe: ti.template(),
):
    """The radiance that arrives along a ray, added to `sums`; or its derivative, depending on mode and sweep.

    sweep: 0, 1 for the second sweep of the replay, or density.SUFFIX. active: False if the path is to be
    skipped.
    sums: the path's `Sums`. rows, row: kept vertices, which sweep 0 of the replay writes and sweep 1 reads.
    gradient: the worker's `GradientBlock` (reverse mode). tangents: those of the parameters (forward mode).
    probe: the path's `Probe`, which sweep 0 chooses; where its suffix begins.
    """
    state = new_state()
    state.R = sums.L
    state.R_low = sums.L_low
    forced = False  # the ray collides where it starts
    if ti.static(density.has_suffix(scene)):
        if sweep == density.SUFFIX:
            ray = density.begin_suffix(probe, state)
            forced = True
    if ti.static(mode == modes.RESHADED):
        sums.L = vec3(0.0, 0.0, 0.0)
        state.dbeta = vec3(1.0, 1.0, 1.0)
    while active:
        # ------------------------------------------------- 1. find the next vertex and its shading
        vertex, shading = no_vertex(), black()
        if ti.static(mode in modes.REPLAYS) and sweep == 1 and row.first >= 0:
            kept_vertex, kept_shading, _length = kept_vertices.load(
                rows, row, ti.static(kept_vertices.groups(scene.features))
            )
            vertex, shading = kept_vertex, kept_shading
        else:
            begins = ray
            found, next_ray = find(scene, launch, sampler, ray, state, forced)
            vertex, ray = found, next_ray
            forced = False
            shading = shade(scene, vertex)
            if ti.static(density.has_suffix(scene)):
                if sweep == 0:
                    density.consider(scene, sampler, probe, state, begins, vertex)
            if ti.static(mode == modes.REVERSE):
                if sweep == 0 and row.first >= 0:
                    kept_vertices.store(
                        rows, row, vertex, shading, ti.static(kept_vertices.groups(scene.features))
                    )
        f = shading.f
        if ti.static(mode == modes.RESHADED):
            shading = shade(scene, vertex)
        if ti.static(scene.execution.density != ""):
            if sweep == 1:
                density.differentiate(
                    mode, scene, gradient, tangents, probe, state, sums, vertex, shading, state.event
                )
        state.depth += 1 - vertex.straight
        state.event += 1

        # ------------------------------------------------- 2. its contribution for throughput 1
        E = contribution(scene, vertex, shading)

        # ------------------------------------------------- 3. add the contribution, or differentiate it
        modes.add(mode, scene, gradient, tangents, state, sums, vertex, shading, E, sweep)

        # ------------------------------------------------- 4. continue the path or end it
        continues, _survival = extend(mode, launch, state, f, vertex)
        active = continues


@ti.func
def find(scene: ti.template(), launch, sampler, ray, state: ti.template(), forced):
    """The ray's next vertex and the next ray, with media or without."""
    vertex, next_ray = no_vertex(), ray
    if ti.static(scene.features.media):
        found, following = vertex_in_media.next_vertex(
            scene, launch, sampler, ray, state.event, state.depth, forced
        )
        vertex, next_ray = found, following
    else:
        found, following = next_vertex(scene, launch, sampler, ray, state.event, state.depth)
        vertex, next_ray = found, following
    return vertex, next_ray
