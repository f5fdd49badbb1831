"""The derivative of a path's radiance by the extinction of media along the path.

With T the transmittance from a vertex to the point at distance s on the ray that leaves it, sigma_t the
extinction there, a the albedo, L_s the radiance scattered into the ray and L that which arrives along it,

    dL = integral T (a L_s - L) dsigma_t ds        gain by scattering less loss by blocking

Free flight covers s with probability T(s). A point s, uniform on the flight of length l, with weight l is
therefore an estimate of the integral over T, where the density may be anything, zero as well. The path itself
estimates the loss: L there is R / beta, what the path adds from this flight on.

    free_flight   loss at such a point, gain at the collision, where the path has a L_s already but the
                  weight keeps 1 / sigma_t: noise where the density is low, and where it is zero no derivative
    ratio         differential ratio tracking (Nimier-David, Mueller, Keller, Jakob, Unbiased Inverse Volume
                  Rendering with Differential Trackers, SIGGRAPH 2022): the gain as well at a point of the
                  whole ray, found by ratio tracking, both combined by 1 / (1 + sigma_t^2)
    matching      gain and loss at the same point of the flight (sample matching: Yu, Wang, Ling, Xu, Zhao,
                  SIGGRAPH 2026), so that they cancel where they should

The last two need a L_s at a point where the path did not collide: another path begins there, the suffix.
So that time stays linear each path has one, from one of its flights, chosen by a reservoir in proportion to
throughput times weight. It uses the random numbers of the path it replaces: gain less loss is the difference
of two similar paths.
"""

from prb.kernels import medium as media
from prb.kernels import tracking
from prb.kernels.backend import ti
from prb.kernels.estimators import modes
from prb.kernels.estimators.shading import glow
from prb.kernels.estimators.vertex import FIRST_RAY_DENSITY, Ray
from prb.kernels.frame import max_abs, vec3
from prb.kernels.sampler import CHOICE, track
from prb.kernels.traced import traced

FREE_FLIGHT, RATIO, MATCHING = "free_flight", "ratio", "matching"
SUFFIXED = RATIO, MATCHING  # those that trace a suffix
SUFFIX = -1  # the sweep that traces the suffix


@ti.dataclass
class Probe:
    """The point from which a path's suffix begins, and how it was chosen.

    total: sum of the strengths of all candidates; strength: of the chosen one. length: its weight, for each
    channel. p, d, medium: point, direction of the ray that came there, and medium. beta, eta, depth, event,
    balance: of the state and the ray of the path at the beginning of that flight. rest: radiance that the
    suffix adds.
    """

    total: ti.f32
    strength: ti.f32
    length: vec3
    p: vec3
    d: vec3
    medium: ti.i32
    beta: vec3
    eta: ti.f32
    depth: ti.i32
    event: ti.i32
    balance: vec3
    rest: vec3


@traced
def has_suffix(scene):
    """True if each path has a suffix."""
    return scene.execution.density in SUFFIXED


@ti.func
def new_probe():
    """No point yet."""
    return Probe(total=0.0, strength=0.0, event=-1)


@ti.func
def consider(
    scene: ti.template(), sampler, probe: ti.template(), state: ti.template(), ray, vertex: ti.template()
):
    """Let the flight to a vertex compete for the suffix. ray, state: at its beginning."""
    p, length = vertex.probe, vertex.segment_length * vertex.probe_weight
    if ti.static(scene.execution.density == RATIO):
        p, length = vertex.gain_p, vertex.gain_length
    beta = modes.throughput(state)
    strength = max_abs(beta * length)
    if vertex.segment_length > 0 and strength > 0:
        probe.total += strength
        if track(sampler, state.event, CHOICE, 0)[0] * probe.total <= strength:
            probe.strength = strength
            probe.length = length
            probe.p = p
            probe.d = ray.d
            probe.medium = ray.medium
            probe.beta = beta
            probe.eta = state.eta
            probe.depth = state.depth
            probe.event = state.event
            probe.balance = ray.balance * vertex.probe_weight


PROBE_SIZE = 24  # numbers of a probe that is kept


@ti.func
def pack(probe: ti.template(), kept: ti.template(), i):
    """Keep a probe in row i."""
    for k in ti.static(range(3)):
        kept[i, k] = probe.length[k]
        kept[i, 3 + k] = probe.p[k]
        kept[i, 6 + k] = probe.d[k]
        kept[i, 9 + k] = probe.beta[k]
        kept[i, 12 + k] = probe.balance[k]
        kept[i, 21 + k] = probe.rest[k]
    kept[i, 15], kept[i, 16], kept[i, 17] = probe.total, probe.strength, probe.eta
    kept[i, 18] = ti.bit_cast(probe.medium, ti.f32)
    kept[i, 19] = ti.bit_cast(probe.depth, ti.f32)
    kept[i, 20] = ti.bit_cast(probe.event, ti.f32)


@ti.func
def unpack(probe: ti.template(), kept: ti.template(), i):
    """Load what `pack` kept."""
    for k in ti.static(range(3)):
        probe.length[k] = kept[i, k]
        probe.p[k] = kept[i, 3 + k]
        probe.d[k] = kept[i, 6 + k]
        probe.beta[k] = kept[i, 9 + k]
        probe.balance[k] = kept[i, 12 + k]
        probe.rest[k] = kept[i, 21 + k]
    probe.total, probe.strength, probe.eta = kept[i, 15], kept[i, 16], kept[i, 17]
    probe.medium = ti.bit_cast(kept[i, 18], ti.i32)
    probe.depth = ti.bit_cast(kept[i, 19], ti.i32)
    probe.event = ti.bit_cast(kept[i, 20], ti.i32)


@ti.func
def begin_suffix(probe: ti.template(), state: ti.template()):
    """The ray with which the suffix begins; sets the path's state."""
    state.beta = probe.beta
    state.eta = probe.eta
    state.depth = probe.depth
    state.event = probe.event
    return Ray(
        o=probe.p, d=probe.d, t_max=0.0, previous=probe.p, pdf=FIRST_RAY_DENSITY, medium=probe.medium,
        balance=probe.balance,
    )  # fmt: skip


@ti.func
def weights(scene: ti.template(), probe: ti.template(), event, vertex: ti.template()):
    """The terms that the derivative by extinction has at the flight to a vertex, number `event`.

    Returns (loss, at_collision, gain, gain_p). The path's radiance from this flight on changes by the factors
    -loss * dsigma_t at vertex.probe and at_collision * dsigma_t at vertex.p, each channel for itself; and the
    path's radiance by gain * dsigma_t at gain_p.
    """
    loss, at_collision, gain, gain_p = vertex.segment_length, vec3(0.0), vec3(0.0), vertex.probe
    is_chosen = event == probe.event and probe.total > 0
    if ti.static(has_suffix(scene)):
        if is_chosen:
            gain = probe.length * probe.rest * (probe.total / probe.strength)  # fault: gain-left-out
            gain_p = probe.p
    if ti.static(scene.execution.density == MATCHING):
        loss *= ti.select(is_chosen, probe.total / ti.select(is_chosen, probe.strength, 1.0), 0.0)
    elif vertex.medium >= 0:
        sigma = media.extinction(scene, vertex.medium, vertex.p, vertex.segment_d)
        at_collision = ti.select(sigma > 0, 1.0 / ti.max(sigma, 1e-30), 0.0)
        if ti.static(scene.execution.density == RATIO):
            at_collision *= 1.0 - tracker_weight(sigma)
    if ti.static(scene.execution.density == RATIO):
        if is_chosen:
            gain *= tracker_weight(media.extinction(scene, probe.medium, probe.p, probe.d))
    return loss, at_collision, gain, gain_p


@ti.func
def differentiate(
    mode: ti.template(),
    scene: ti.template(),
    gradient: ti.template(),
    tangents: ti.template(),
    probe: ti.template(),
    state: ti.template(),
    sums: ti.template(),
    vertex: ti.template(),
    shading: ti.template(),
    event,
):
    """Add the derivative by extinction along the flight to a vertex. state: before it takes off what the
    vertex adds. event: the vertex's number."""
    if vertex.segment_length > 0:
        loss, at_collision, gain, gain_p = weights(scene, probe, event, vertex)
        R, medium, d = state.R + state.R_low, vertex.segment_medium, vertex.segment_d
        emitted = modes.throughput(state) * glow(scene, vertex, shading)
        by_sigma = -loss * R
        if ti.static(scene.features.emissive):  # what is emitted before the point is not blocked there
            by_sigma += ti.select(vertex.beyond == 1, 0.0, loss) * emitted
        if ti.static(scene.execution.density == MATCHING):
            if loss > 0:
                add(mode, scene, gradient, tangents, sums, medium, d, vertex.probe, by_sigma + gain)
        else:
            add(mode, scene, gradient, tangents, sums, medium, d, vertex.probe, by_sigma)
            if vertex.medium >= 0:
                add(mode, scene, gradient, tangents, sums, medium, d, vertex.p, (R - emitted) * at_collision)
            if ti.static(scene.execution.density == RATIO):
                if event == probe.event:
                    add(mode, scene, gradient, tangents, sums, medium, d, gain_p, gain)


@ti.func
def tracker_weight(sigma):
    """MIS weight of the differential tracker against free flight."""
    mean = tracking.mean(sigma)
    return 1.0 / (1.0 + mean * mean)


@ti.func
def add(
    mode: ti.template(), scene: ti.template(), gradient: ti.template(), tangents: ti.template(),
    sums: ti.template(), medium, d, p, by_sigma,
):  # fmt: skip
    """Add one term: by_sigma is the derivative of L by the extinction along d at p, channel by channel."""
    if ti.static(mode == modes.REVERSE):
        media.pull_back_extinction(scene, gradient, medium, p, d, sums.grad_L * by_sigma)
    if ti.static(mode == modes.FORWARD):
        sums.dL += by_sigma * media.push_forward_extinction(scene, tangents, medium, p, d)
