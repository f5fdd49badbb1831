"""What the path loop does at each vertex: primal, reverse and forward mode.

Primal:
    L += beta E

Reverse, by path replay (Vicini, Speierer, Jakob 2021) with detached sampling:
    sweep 0   L and Z are summed; nothing else is kept
    sweep 1   R starts as L; at vertex i
              R -= beta_i E_i                              (R is now what the vertices after i add)
              grad_f_i = grad_L R / f_i                    (grad_L Z if f_i = 0)
              grad_E_i = grad_L beta_i

If a factor f_i is zero, R / f_i is 0 / 0 although the derivative exists. Therefore beta is the product of the
non-zero factors, `zeros` counts the others, and Z is the sum of the contributions behind exactly one zero
factor, without that factor; at the first zero factor this is dL/df_i exactly. L is the unevaluated sum of two
floats, as R = L - (what came before) loses digits that matter after a division by a small f_i.

Forward, which needs nothing of what lies ahead, in one sweep:
    dL += dbeta_k E_k + beta_k dE_k            dbeta_{k+1} = (dbeta_k f_k + beta_k df_k) / p_k
but where it differentiates by the extinction of media, for which L has to be known: then in sweep 1.

Reshaded, the picture that other parameters' values give along the paths of a replay's sweep 0:
    L' += beta'_k E'_k                               beta'_{k+1} = beta'_k f'_k / p_k
where f' and E' belong to the values that the device has now, and directions, densities p, MIS weights and
roulette's decisions to those at which sweep 0 kept the vertices. No ray is traced for it. What is not kept is
traced as in primal mode, at the values that the device has.

Modes are static arguments: a kernel holds the code of one mode.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators.shading import pull_back, push_forward
from prb.kernels.frame import vec3

PRIMAL, REVERSE, FORWARD, RESHADED = 0, 1, 2, 3
REPLAYS = REVERSE, RESHADED  # those that read kept vertices
OVERFLOW = 1e32  # sums of a path that exceed this could overflow the sum of the samples


@ti.dataclass
class Sums:
    """The sums of one path.

    L + L_low: its radiance. Z: what lies behind exactly one zero factor, without it. dL: the tangent of L, in
    forward mode. grad_L: the cotangent of L, in reverse mode; it is given.
    """

    L: vec3
    L_low: vec3
    Z: vec3
    dL: vec3
    grad_L: vec3


@ti.func
def two_sum(high, low, x):
    """(high + low) + x as an unevaluated sum of two floats. Knuth, TAOCP 2, section 4.2.2, theorem B."""
    total = high + x
    added = total - high
    return total, low + ((high - (total - added)) + (x - added))


@ti.func
def is_usable(v):
    """True unless a component is NaN, infinite, or so large that a sum of samples could overflow."""
    return (ti.abs(v.x) <= OVERFLOW) & (ti.abs(v.y) <= OVERFLOW) & (ti.abs(v.z) <= OVERFLOW)


@ti.func
def throughput(state: ti.template()):
    """The product of all factors f / p. `State.beta` has the non-zero ones alone."""
    return ti.select(state.zeros == 0, state.beta, 0.0)


@ti.func
def add(
    mode: ti.template(),
    scene: ti.template(),
    gradient: ti.template(),
    tangents: ti.template(),
    state: ti.template(),
    sums: ti.template(),
    vertex: ti.template(),
    shading: ti.template(),
    E,
    sweep,
):
    """Step 3 of the loop: add the vertex's contribution beta E to the sums, or differentiate it."""
    if ti.static(mode == PRIMAL):
        sums.L += state.beta * E
    elif ti.static(mode == RESHADED):
        sums.L += state.dbeta * E
        state.df = shading.f
    elif sweep <= 0:
        beta = throughput(state)
        L, L_low = two_sum(sums.L, sums.L_low, beta * E)
        sums.L = L
        sums.L_low = L_low
        sums.Z += ti.select(state.zeros == 1, state.beta * E, 0.0)
        if ti.static(mode == FORWARD and scene.execution.density == ""):
            dE, df = push_forward(scene, tangents, vertex, shading)
            state.df = df
            sums.dL += state.dbeta * E + beta * dE
    else:
        beta = throughput(state)
        f = shading.f
        R, R_low = two_sum(state.R, state.R_low, -beta * E)  # fault: light-sample-kept-in-the-rest
        state.R = R
        state.R_low = R_low
        if ti.static(mode == FORWARD):
            dE, df = push_forward(scene, tangents, vertex, shading)
            state.df = df
            sums.dL += state.dbeta * E + beta * dE
        else:
            L_by_f = ti.select(f == 0, sums.Z, (R + R_low) / ti.select(f == 0, 1.0, f))  # fault: zero-factor
            L_by_f = ti.select((state.zeros == 0) & (vertex.pdf > 0), L_by_f, 0.0)
            pull_back(scene, gradient, vertex, shading, sums.grad_L * beta, sums.grad_L * L_by_f)


@ti.func
def multiply(mode: ti.template(), state: ti.template(), f, vertex: ti.template()):
    """Multiply the product by the vertex's factor f / p.

    Returns the product that later contributions can still be multiplied by: 0 after two zero factors.
    """
    remaining = state.beta
    if ti.static(mode == PRIMAL):
        state.beta *= f / vertex.pdf
        remaining = state.beta
    else:
        if ti.static(mode == FORWARD):
            state.dbeta = state.dbeta * f + throughput(state) * state.df
        if ti.static(mode == RESHADED):
            state.dbeta *= state.df
        state.beta *= ti.select(f == 0, 1.0, f) / vertex.pdf  # fault: density-not-divided-by
        state.zeros += ti.select(f == 0, 1, 0)
        remaining = ti.select(state.zeros < 2, state.beta, 0.0)
    return remaining


@ti.func
def divide_tangent(mode: ti.template(), state: ti.template(), probability):
    """Divide the second product by what beta was divided by: density times survival probability."""
    if ti.static(mode == FORWARD or mode == RESHADED):
        state.dbeta /= probability
