"""What the path loop does with each vertex, by mode.

Primal:
    L += beta E

Reverse, path replay with detached sampling:
    sweep 0   keep only L and Z
    sweep 1   R starts as L; at vertex i
              R -= what vertex i itself adds               (R is now what lies beyond i)
              adjoint of f_i = dL R / f_i                  (dL Z where f_i = 0)
              adjoint of E_i = dL beta_i

Where a factor f_i is zero, R / f_i is 0 / 0 although the derivative exists. So beta holds the product of the
non-zero factors, `zeros` how many were zero, and Z sums the contributions behind exactly one zero, without
it: that is dL/df_i at the first zero vertex, exactly. L is kept as the unevaluated sum of two floats, as
R = L - (what came before) loses the digits that a division by a small f_i would need.

Forward, which needs nothing that lies ahead, in one sweep:
    dL += dbeta_k E_k + beta_k dE_k            dbeta_{k+1} = (dbeta_k f_k + beta_k df_k) / p_k

Modes are static: a kernel holds the code of its own.
"""

from prb.kernels.backend import ti
from prb.kernels.estimators.shading import pull_back, push_forward
from prb.kernels.frame import vec3

PRIMAL, REVERSE, FORWARD = 0, 1, 2
OVERFLOW = 1e32  # a path whose sums exceed this would overflow the sum of samples


@ti.dataclass
class Sums:
    """The sums of one path: L + L_low its radiance, Z what lies behind exactly one zero factor, tangent that
    of L in forward mode. dL: in reverse mode the derivative of the objective by the radiance."""

    L: vec3
    L_low: vec3
    Z: vec3
    tangent: vec3
    dL: vec3


@ti.func
def two_sum(high, low, x):
    """(high + low) + x as an unevaluated sum again. Knuth, TAOCP 2, section 4.2.2, theorem B."""
    s = high + x
    back = s - high
    return s, low + ((high - (s - back)) + (x - back))


@ti.func
def is_usable(v):
    """False where a component is NaN, infinite, or so large that a sum of samples would overflow."""
    return (ti.abs(v.x) <= OVERFLOW) & (ti.abs(v.y) <= OVERFLOW) & (ti.abs(v.z) <= OVERFLOW)


@ti.func
def throughput(state: ti.template()):
    """The product of all factors f / p, of which beta leaves out the zero ones."""
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
    """Step 3 of the loop: add what the vertex contributes, or differentiate it."""
    if ti.static(mode == PRIMAL):
        sums.L += state.beta * E
    elif sweep == 0:
        beta = throughput(state)
        L, L_low = two_sum(sums.L, sums.L_low, beta * E)
        sums.L = L
        sums.L_low = L_low
        sums.Z += ti.select(state.zeros == 1, state.beta * E, 0.0)
        if ti.static(mode == FORWARD):
            dE, df = push_forward(scene, tangents, vertex, shading)
            state.df = df
            sums.tangent += state.dbeta * E + beta * dE
    else:
        beta = throughput(state)
        f = shading.f
        R, R_low = two_sum(state.R, state.R_low, -beta * E)  # fault: light-sample-kept-in-the-rest
        state.R = R
        state.R_low = R_low
        by_f = ti.select(f == 0, sums.Z, (R + R_low) / ti.select(f == 0, 1.0, f))  # fault: zero-factor
        by_f = ti.select((state.zeros == 0) & (vertex.pdf > 0), by_f, 0.0)
        pull_back(scene, gradient, vertex, shading, sums.dL * beta, sums.dL * by_f)


@ti.func
def multiply(mode: ti.template(), state: ti.template(), f, vertex: ti.template()):
    """Take the vertex's factor into the product. Returns what of it may still reach a sum."""
    relevant = state.beta
    if ti.static(mode == PRIMAL):
        state.beta *= f / vertex.pdf
        relevant = state.beta
    else:
        if ti.static(mode == FORWARD):
            state.dbeta = state.dbeta * f + throughput(state) * state.df
        state.beta *= ti.select(f == 0, 1.0, f) / vertex.pdf  # fault: density-not-divided-by
        state.zeros += ti.select(f == 0, 1, 0)
        relevant = ti.select(state.zeros < 2, state.beta, 0.0)
    return relevant


@ti.func
def divide_tangent(mode: ti.template(), state: ti.template(), probability):
    """Divide the product's tangent by what beta has been divided by: density times survival."""
    if ti.static(mode == FORWARD):
        state.dbeta /= probability
