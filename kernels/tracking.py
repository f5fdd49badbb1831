"""Tracking through participating media: free flight, transmittance and the differential ratio tracker.

`free_flight` samples the distance to the next collision by delta tracking: tentative collisions against a
majorant, which is constant in each cell of a coarse grid that is walked cell by cell (Amanatides and Woo,
A Fast Voxel Traversal Algorithm for Ray Tracing, Eurographics 1987), are real with probability
sigma_t / majorant. If sigma_t has three channels, the decisions follow the mixture of the channels'
densities, weighted with what the path's past tells about the channel; this is the balance heuristic over the
channels (Wilkie et al., Hero Wavelength Spectral Sampling, EGSR 2014; Miller, Georgiev, Jarosz, A
Null-Scattering Path Integral Formulation of Light Transport, SIGGRAPH 2019) without drawing one for the path.

`transmittance` is residual ratio tracking (Novak, Selle, Jarosz, SIGGRAPH Asia 2014) with the smallest
extinction of a cell as its control.
"""

from prb.kernels import medium as media
from prb.kernels import volume
from prb.kernels.backend import ti
from prb.kernels.bvh import MISS
from prb.kernels.frame import max_abs, vec3
from prb.kernels.medium import CELLS, CELLS_X, CELLS_Y, CELLS_Z, HETEROGENEOUS, SIGMA_T
from prb.kernels.sampler import FLIGHT, RATIO, SHADOW, track

UNBOUNDED = 1e20  # a segment that is longer ends nowhere


@ti.dataclass
class Flight:
    """A ray's way through a medium, up to a collision or to the end of the medium.

    collided: 1 if there is a collision, at distance `end`. begin, end: where the medium begins on the ray,
    and where the flight ends.
    weight: value over density for each channel, 1 unless extinction has three channels. probe, source: two
    points between begin and end, uniform and independent; probe_weight, source_weight: the weights there.
    """

    collided: ti.i32
    begin: ti.f32
    end: ti.f32
    weight: vec3
    probe: ti.f32
    probe_weight: vec3
    source: ti.f32
    source_weight: vec3


@ti.dataclass
class Cells:
    """A walk along a ray through the cells of a medium.

    x, y, z: the cell. step_x, ...: -1 or 1. next: distances at which the ray leaves the cell through each
    pair of faces. width: distances between these faces.
    """

    x: ti.i32
    y: ti.i32
    z: ti.i32
    step_x: ti.i32
    step_y: ti.i32
    step_z: ti.i32
    next: vec3
    width: vec3


@ti.func
def in_cube(scene: ti.template(), medium, o, d):
    """The ray o + t d in the unit cube of the medium's sigma_t: its origin and its direction there."""
    index = scene.media[medium, SIGMA_T]
    m = scene.to_unit[index]
    along = vec3(
        m[0] * d.x + m[1] * d.y + m[2] * d.z,
        m[4] * d.x + m[5] * d.y + m[6] * d.z,
        m[8] * d.x + m[9] * d.y + m[10] * d.z,
    )
    return volume.to_unit(scene, index, o), along


@ti.func
def extent(scene: ti.template(), medium, o, d, t_max):
    """Where the medium begins and ends on the ray o + t d, 0 < t < t_max; begin > end if it is not there."""
    begin, end = 0.0, t_max
    if ti.static(scene.features.heterogeneous):
        if scene.media[medium, HETEROGENEOUS] == 1:
            start, along = in_cube(scene, medium, o, d)
            for i in ti.static(range(3)):
                a, b = start[i], along[i]
                inverse = 1.0 / ti.select(ti.abs(b) < 1e-12, 1e-12, b)
                t0, t1 = -a * inverse, (1.0 - a) * inverse
                begin = ti.max(begin, ti.min(t0, t1))
                end = ti.min(end, ti.max(t0, t1))
    return begin, end


@ti.func
def cells_at(scene: ti.template(), medium, o, d, t):
    """The `Cells` at distance t, where the ray is in the unit cube."""
    start, along = in_cube(scene, medium, o, d)
    cell, step = ti.Vector([0, 0, 0]), ti.Vector([0, 0, 0])
    following, width = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    for i in ti.static(range(3)):
        n = scene.media[medium, CELLS_X + i]
        a, b = start[i] * ti.f32(n), along[i] * ti.f32(n)
        x = a + t * b
        cell[i] = ti.max(ti.min(ti.i32(ti.floor(x)), n - 1), 0)
        step[i] = ti.select(b < 0, -1, 1)
        inverse = 1.0 / ti.select(ti.abs(b) < 1e-12, 1e-12, b)
        width[i] = ti.abs(inverse)
        edge = ti.f32(cell[i]) + ti.select(b < 0, 0.0, 1.0)
        following[i] = ti.select(ti.abs(b) < 1e-12, MISS, (edge - a) * inverse)
    return Cells(
        x=cell.x, y=cell.y, z=cell.z, step_x=step.x, step_y=step.y, step_z=step.z, next=following, width=width
    )


@ti.func
def bounds(scene: ti.template(), medium, cells):
    """The smallest and the largest extinction in the cell where the walk is, for any direction."""
    row = (cells.z * scene.media[medium, CELLS_Y] + cells.y) * scene.media[medium, CELLS_X] + cells.x
    return scene.majorants[scene.media[medium, CELLS] + row]


@ti.func
def leave(scene: ti.template(), medium, cells: ti.template()):
    """Walk on to the next cell; at the border of the cube the walk stays where it is."""
    if (cells.next.x <= cells.next.y) & (cells.next.x <= cells.next.z):
        cells.x = ti.max(ti.min(cells.x + cells.step_x, scene.media[medium, CELLS_X] - 1), 0)
        cells.next.x += cells.width.x
    elif cells.next.y <= cells.next.z:
        cells.y = ti.max(ti.min(cells.y + cells.step_y, scene.media[medium, CELLS_Y] - 1), 0)
        cells.next.y += cells.width.y
    else:
        cells.z = ti.max(ti.min(cells.z + cells.step_z, scene.media[medium, CELLS_Z] - 1), 0)
        cells.next.z += cells.width.z


@ti.func
def mean(v):
    """The mean of the three channels."""
    return (v.x + v.y + v.z) / 3.0


@ti.func
def exponential(u):
    """A number of density exp(-x), from a uniform one on [0, 1)."""
    return -ti.log(1.0 - u)


@ti.func
def exp3(v):
    """The exponential of each component."""
    return vec3(ti.exp(v.x), ti.exp(v.y), ti.exp(v.z))


@ti.func
def free_flight(scene: ti.template(), medium, o, d, t_max, sampler, event, balance):
    """Sample the distance to the next collision along o + t d, 0 < t < t_max. Returns a `Flight`.

    balance: for each channel, density of the path so far if it were sampled by that channel alone, over the
    mean of the three. Afterwards it is to be multiplied by the flight's weight.
    """
    begin, end = extent(scene, medium, o, d, t_max)
    one = vec3(1.0, 1.0, 1.0)
    flight = Flight(
        collided=0, begin=begin, end=end, weight=one, probe=begin, probe_weight=one,
        source=begin, source_weight=one,
    )  # fmt: skip
    u = track(sampler, event, FLIGHT, 0)
    if scene.media[medium, HETEROGENEOUS] == 0:
        homogeneous_flight(scene, medium, o, d, u, balance, flight)
    elif ti.static(scene.features.heterogeneous):
        if begin < end:
            walk(scene, medium, o, d, u, sampler, event, balance, flight)
    if ti.static(not scene.features.spectral):
        flight.probe = begin + u[1] * (flight.end - begin)
        flight.source = begin + u[2] * (flight.end - begin)
    return flight


@ti.func
def homogeneous_flight(scene: ti.template(), medium, o, d, u, balance, flight: ti.template()):
    """The flight where extinction is constant."""
    sigma = media.extinction(scene, medium, o, d)
    if ti.static(scene.features.spectral):
        chosen = sigma.z  # of the channel that is drawn
        if 3.0 * u[3] < balance.x + balance.y:
            chosen = sigma.y
        if 3.0 * u[3] < balance.x:
            chosen = sigma.x
        t = ti.select(chosen > 0, exponential(u[0]) / ti.max(chosen, 1e-30), MISS)
        flight.collided = ti.select(t < flight.end, 1, 0)
        flight.end = ti.min(t, flight.end)
        through = exp3(-sigma * flight.end)
        value = ti.select(flight.collided == 1, sigma * through, through)
        flight.weight = value / ti.max(mean(balance * value), 1e-30)
        flight.probe = u[1] * flight.end
        flight.source = u[2] * flight.end
        at_probe, at_source = exp3(-sigma * flight.probe), exp3(-sigma * flight.source)
        flight.probe_weight = at_probe / ti.max(mean(balance * at_probe), 1e-30)
        flight.source_weight = at_source / ti.max(mean(balance * at_source), 1e-30)
    else:
        t = ti.select(sigma.x > 0, exponential(u[0]) / ti.max(sigma.x, 1e-30), MISS)
        flight.collided = ti.select(t < flight.end, 1, 0)
        flight.end = ti.min(t, flight.end)


@ti.func
def walk(scene: ti.template(), medium, o, d, u, sampler, event, balance, flight: ti.template()):
    """The flight through the cells of a medium that varies."""
    cells = cells_at(scene, medium, o, d, flight.begin)
    t, end = flight.begin, flight.end
    depth = exponential(u[0])  # optical depth, by the majorants, up to the next tentative collision
    last = flight.begin  # tentative collision, after which the weight is constant
    steps = 0
    active = True
    while active:
        majorant = bounds(scene, medium, cells)[1]
        leaves = ti.min(ti.min(cells.next.x, cells.next.y), ti.min(cells.next.z, end))
        across = ti.max(leaves - t, 0.0) * majorant
        if depth < across:
            t += depth / majorant
            steps += 1
            v = track(sampler, event, FLIGHT, steps)
            depth = exponential(v[0])
            sigma = media.extinction(scene, medium, o + t * d, d)
            if ti.static(scene.features.spectral):
                choose_points(flight, last, t, v)
                last = t
                real = ti.min(mean(balance * flight.weight * sigma) / majorant, 1.0)
                if v[1] < real:
                    flight.weight *= sigma / (majorant * real)
                    flight.collided = 1
                else:
                    flight.weight *= (majorant - sigma) / (majorant * (1.0 - real))
            else:
                flight.collided = ti.select(v[1] * majorant < sigma.x, 1, 0)
            active = flight.collided == 0
        else:
            depth -= across
            t = ti.max(leaves, t)
            active = t < end
            if active:
                leave(scene, medium, cells)
    flight.end = t
    if ti.static(scene.features.spectral):
        if flight.collided == 0:
            choose_points(flight, last, t, track(sampler, event, FLIGHT, steps + 1))


@ti.func
def choose_points(flight: ti.template(), last, t, u):
    """Let the interval from `last` to t, over which the weight is constant, compete for both points.

    A reservoir: in the end each is uniform between the flight's begin and end. u: of which numbers 2 and 3
    are used.
    """
    length = t - flight.begin
    if u[2] * length < t - last:
        flight.probe = t - u[2] * length
        flight.probe_weight = flight.weight
    if u[3] * length < t - last:
        flight.source = t - u[3] * length
        flight.source_weight = flight.weight


@ti.func
def transmittance(scene: ti.template(), medium, o, d, t_max, sampler, event, first):
    """An estimate of the transmittance along o + t d, 0 < t < t_max, for each channel.

    first: number of the first random numbers that it may use. Returns (estimate, begin and end of the medium
    on the ray, number of the next free random numbers).
    """
    begin, end = extent(scene, medium, o, d, t_max)
    result = vec3(1.0, 1.0, 1.0)
    steps = first
    if begin < end:
        if scene.media[medium, HETEROGENEOUS] == 0:
            result = exp3(-media.extinction(scene, medium, o, d) * end)
        elif ti.static(scene.features.heterogeneous):
            cells = cells_at(scene, medium, o, d, begin)
            t, control = begin, 0.0
            depth = exponential(track(sampler, event, SHADOW, steps)[0])
            while t < end:
                low_high = bounds(scene, medium, cells)
                residual = low_high[1] - low_high[0]
                leaves = ti.min(ti.min(cells.next.x, cells.next.y), ti.min(cells.next.z, end))
                leaves = ti.max(leaves, t)
                across = (leaves - t) * residual
                if depth < across:
                    dt = depth / residual
                    t += dt
                    control += dt * low_high[0]
                    steps += 1
                    depth = exponential(track(sampler, event, SHADOW, steps)[0])
                    sigma = media.extinction(scene, medium, o + t * d, d)
                    result *= 1.0 - (sigma - low_high[0]) / residual
                    if max_abs(result) <= 0:
                        t = end
                else:
                    depth -= across
                    control += (leaves - t) * low_high[0]
                    t = leaves
                    if t < end:
                        leave(scene, medium, cells)
            result *= ti.exp(-control)
    return result, begin, end, steps + 1


@ti.func
def ratio_track(scene: ti.template(), medium, o, d, t_max, sampler, event):
    """A point of the ray o + t d, 0 < t < t_max, chosen in proportion to an estimate of the transmittance up
    to it, by ratio tracking through tentative collisions and a reservoir over the intervals between them.

    Returns (t, weight): the weight of each channel is the transmittance's estimate over the density of t. In
    a homogeneous medium transmittance is known, and t is drawn in proportion to its mean.
    """
    begin, end = extent(scene, medium, o, d, t_max)
    chosen_t, weight = begin, vec3(0.0, 0.0, 0.0)
    if begin < end:
        if scene.media[medium, HETEROGENEOUS] == 0:
            sigma = media.extinction(scene, medium, o, d)
            u = track(sampler, event, RATIO, 0)
            s = mean(sigma)
            part = 1.0 - ti.exp(-s * end)  # of the flights that end before the medium does
            if s * end < 1e-4 or end > UNBOUNDED and s <= 0:
                chosen_t = u[0] * end
                weight = exp3(-sigma * chosen_t) * end
            else:
                chosen_t = ti.min(exponential(u[0] * part) / s, end)
                weight = exp3((s - sigma) * chosen_t) * (part / s)
        elif ti.static(scene.features.heterogeneous):
            cells = cells_at(scene, medium, o, d, begin)
            t, last, steps, total = begin, begin, 0, 0.0
            through, chosen = vec3(1.0, 1.0, 1.0), vec3(1.0, 1.0, 1.0)
            depth = exponential(track(sampler, event, RATIO, 0)[0])
            while last < end:
                majorant = bounds(scene, medium, cells)[1]
                leaves = ti.min(ti.min(cells.next.x, cells.next.y), ti.min(cells.next.z, end))
                leaves = ti.max(leaves, t)
                across = (leaves - t) * majorant
                collides = depth < across
                if collides:
                    t += depth / majorant
                else:
                    depth -= across
                    t = leaves
                if collides or t >= end:
                    steps += 1
                    v = track(sampler, event, RATIO, steps)
                    strength = mean(through) * (t - last)
                    total += strength
                    if v[0] * total < strength:
                        chosen_t = last + v[1] * (t - last)
                        chosen = through
                    last = t
                    if collides:
                        depth = exponential(v[2])
                        through *= 1.0 - media.extinction(scene, medium, o + t * d, d) / majorant
                        if max_abs(through) <= 0:
                            last = end
                else:
                    leave(scene, medium, cells)
            weight = chosen * (total / ti.max(mean(chosen), 1e-30))
    return chosen_t, weight
