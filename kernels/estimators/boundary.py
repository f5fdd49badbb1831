"""Derivatives of pictures by what moves edges: the boundary terms that sampling of surfaces leaves out.

A picture is an integral over segments x -> y, x on the sensor's side. Where a segment grazes a shape at the
point x_B of an edge, what arrives at x jumps, from the radiance L_f of the shape in front to L_b of what
lies behind. Under the derivative, which holds the sensor-side ray to x and the point y of the surface beyond
fixed, the place of that jump moves, and Reynolds' theorem adds for each pixel j

    dI_j = int dl int dsigma(omega) sin(theta) W_j(x, omega)
               ( L_f n.(dx_B - (1 - s_f) dx)  -  L_b n.(dx_B - (1 - s_b) dx) )

    l        arc length of all edges; theta: the angle between the edge and omega
    omega    unit direction of the segment at x_B; x and y are found from there along -omega and omega
    W_j      importance: with which weight radiance that arrives at x from x_B counts in pixel j. It has no
             cosine at x, as dsigma = dA(x) |cos| / |x - x_B|^2 at x_B
    n        unit, perpendicular to omega and the edge, out of the shape in front
    dx_B     motion of the shape in front at x_B. dx: of x along its fixed ray to the sensor, of direction
             omega': omega' (n_x.dm) / (n_x.omega'), dm the motion of the surface at x
    s        |x_B - x| / |y - x|, on each side with its own y: about 1 for L_f, 0 for a y at infinity

since seen from x the edge moves by (dx_B - dx) / |x_B - x|, and a fixed y by -dx / |y - x|. If y is a light
without a surface, which moves by dy, the speed of its edge is n.(dx_B - (1 - s) dx - s dy); for a light at
infinity s dy is |x_B - x| times the motion of the unit direction to it. A sphere's or a cylinder's silhouette
is wherever omega is tangent: dl sin(theta) becomes the area times the normal curvature along omega, dsigma
the angle of omega in the tangent plane (the limit of finer and finer facets).

If x is the camera, both sides are functions of the film position, and the film integral has the boundary term

    dI_j = int dl h_j(film) (L_f - L_b) v.n        h_j: the reconstruction filter, normalised

with the film's arc length, and v the motion on the film of the edge's picture.

Boundary terms in rendering: Li, Aittala, Durand and Lehtinen, Differentiable Monte Carlo Ray Tracing through
Edge Sampling, SIGGRAPH Asia 2018; Zhang, Miller, Yan, Gkioulekas and Zhao, Path-Space Differentiable
Rendering, SIGGRAPH 2020, which samples the segment from its middle, as here. The speed relative to x and y
is derived here for the parametrisation of prb's interior derivatives.
"""

from prb.kernels import bvh, moving
from prb.kernels.arrays import SceneArrays, SensorArrays, vec4f
from prb.kernels.backend import ti
from prb.kernels.estimators import edge as edges
from prb.kernels.estimators import edge_film
from prb.kernels.estimators.edge_light import draw_through_light, no_line
from prb.kernels.estimators.edge_near import draw_at_edge
from prb.kernels.estimators.edge_paths import (
    BINS,
    add_radiance,
    connections,
    new_ray,
    nothing_sensed,
    sees,
)
from prb.kernels.estimators.edge_sampling import choose_edge, guided, vec2f, vec8i
from prb.kernels.estimators.edge_sensor import draw_from_sensor
from prb.kernels.estimators.film import Film
from prb.kernels.estimators.launch import Launch
from prb.kernels.estimators.light_motion import add_light_motion, light_motion
from prb.kernels.estimators.modes import FORWARD, is_usable
from prb.kernels.estimators.vertex import DELTA_DENSITY, FIRST_RAY_DENSITY, power_heuristic
from prb.kernels.frame import vec3
from prb.kernels.gradient import GradientBlock
from prb.kernels.sampler import EDGE, Sampler, track
from prb.kernels.shape import SHADOW_EPSILON
from prb.kernels.view import SceneView, new_stack

LIGHTS, SENSOR, NEAR = 0, 1, 2  # techniques for lines


@ti.func
def primary_sample(
    mode: ti.template(), scene: ti.template(), launch, film, sensor: ti.template(), sampler,
    records: ti.template(), cdf: ti.template(), ranges: ti.template(), guide: ti.template(),
    boxes: ti.template(), learned: ti.template(), learns, scale, image: ti.template(),
    image_adjoint: ti.template(), gradient: ti.template(), tangents: ti.template(),
):  # fmt: skip
    """One sample of the film's boundary term; scale: over the number of samples."""
    u, v = track(sampler, 0, EDGE, 0), track(sampler, 0, EDGE, 1)
    low, size, guided_weight = guided(guide, boxes, v[1], v[2])
    place = ti.min(low + size * vec3(u[0], u[1], u[2]), 0.99999994)
    u[0], u[1], u[2] = place.x, place.y, place.z
    if learns == 1:
        learn(learned, sampler, place, 0.0)
    index, tau, probability = choose_edge(cdf, u[0], v[0])
    record, part = records[index], ranges[index]
    tau = part.x + (part.y - part.x) * tau
    aperture = edge_film.aperture_point(sensor, u[1], u[2])
    parallel, eye = edge_film.eye(sensor, aperture.x, aperture.y)
    p, along, n = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
    exists = 1
    if record[0] < edges.SPHERICAL:
        p_line, along_line = edges.line_point(scene, record, tau)
        p, along = p_line, along_line
    else:
        of_contour, p_round, along_round, n_round = edges.contour_point(scene, record, parallel, eye, tau)
        exists, p, along, n = of_contour, p_round, along_round, n_round
    at = edge_film.project(sensor, p, aperture)
    if exists == 1 and edge_film.in_window(launch, film, at):
        grazing = edges.Grazing(valid=0)
        if record[0] < edges.SPHERICAL:
            of_line = edges.graze_line(scene, record, tau, p, along.normalized(), at.omega)
            grazing = of_line
        else:
            of_smooth = edges.graze_smooth(scene, record, p, n.cross(at.omega), n, at.omega)
            grazing = of_smooth
        distance = (at.t - sensor.camera[edge_film.NEAR]) * at.speed
        if grazing.valid == 1:
            if sees(scene, grazing.start, -at.omega, distance):  # fault: occlusion
                fixed, sliding = ti.Vector([0.0] * 3), ti.Vector([0.0] * 3)
                beyond = (sensor.camera[edge_film.FAR] - at.t) * at.speed
                for side in range(2):
                    o = ti.select(side == 0, grazing.front, grazing.behind)
                    before = ti.select(side == 0, grazing.before_front, grazing.before)
                    ray = new_ray(o, at.omega, beyond + before, FIRST_RAY_DENSITY, o)
                    sign = ti.select(side == 0, 1.0, -1.0)
                    add_radiance(scene, launch, sampler, ray, 0, distance, before, sign, 1, fixed, sliding)
                # The edge's picture moves by grad . dx_B. Times dl on the film, its part out of the shape is
                # +-(dy grad_x - dx grad_y) . dx_B dtau, where (dx, dy) dtau is the picture of the edge.
                dx, dy = at.grad_x.dot(along), at.grad_y.dot(along)
                rate = dy * at.grad_x - dx * at.grad_y
                rate *= ti.select(rate.dot(grazing.n) < 0, -1.0, 1.0) * (part.y - part.x)
                rate *= guided_weight / probability
                jump = fixed * scale
                if is_usable(jump):
                    if learns == 1:
                        learn(learned, sampler, place, max_of(fixed) * rate.norm())
                    elif ti.static(mode == FORWARD):
                        moves = moving.tangent_of_point(
                            scene, tangents, grazing.slot, grazing.u, grazing.v, p
                        )
                        moves -= edge_film.ray_motion(sensor, tangents, at)
                        edge_film.splat(launch, film, sensor, image, at, jump * rate.dot(moves))
                    else:
                        adjoint = edge_film.gathered(launch, film, sensor, image_adjoint, at)
                        grad = rate * adjoint.dot(jump)
                        moving.add_point(scene, gradient, grazing.slot, grazing.u, grazing.v, p, grad)
                        edge_film.add_ray_motion(sensor, gradient, at, -grad)


@ti.func
def secondary_sample(
    mode: ti.template(), scene: ti.template(), launch, film, sensor: ti.template(), sampler,
    records: ti.template(), cdf: ti.template(), moved: ti.template(), guide: ti.template(),
    boxes: ti.template(), learned: ti.template(), learns, technique, candidates, with_mis, scale,
    image: ti.template(), image_adjoint: ti.template(), gradient: ti.template(), tangents: ti.template(),
):  # fmt: skip
    """One sample of the other segments' boundary term, by one of three techniques for lines; scale: as above.

    The sensor's and that of directions share lines by how near to the edge their end x is. Light that reaches
    the edge from beyond at once is found by lights, too, and weighted by the power heuristic of the densities
    that light and the other technique have at the edge (with_mis = 1); where the camera does not see x, an
    even density stands for the sensor's.
    """
    values = ti.Vector([0.0] * (3 * BINS))
    places = ti.Vector([0.0] * (2 * BINS))
    drawn, sensed = no_line(), nothing_sensed()
    if technique == SENSOR:
        line, seen = draw_from_sensor(
            scene, launch, film, sensor, sampler, records, cdf, moved, guide, boxes, candidates, scale,
            values, places,
        )  # fmt: skip
        drawn, sensed = line, seen
        if learns == 1:
            learn(learned, sampler, line.place, 0.0)
    else:
        if technique == LIGHTS:
            line = draw_through_light(scene, sampler, records, cdf, candidates)
            drawn = line
        else:
            line = draw_at_edge(scene, sampler, records, cdf)
            drawn = line
        if drawn.grazing.valid == 1:
            u = track(sampler, 0, EDGE, 2)
            aperture = edge_film.aperture_point(sensor, u[0], u[1])
            limit = ti.select(technique == LIGHTS, bvh.MISS, drawn.near)
            seen = connections(
                scene, launch, film, sensor, sampler, aperture, drawn.grazing, limit, drawn.weight * scale,
                values, places,
            )  # fmt: skip
            sensed = seen
    grazing = drawn.grazing
    edge_moves, point_moves = 0, 0
    if grazing.valid == 1 and sensed.count > 0:
        edge_moves = moved[scene.prim_info[grazing.slot][1]]
        point_moves = moved[scene.prim_info[sensed.slot][1]]
    if edge_moves | point_moves != 0:
        fixed = ti.Vector([0.0] * (3 * BINS))
        sliding = ti.Vector([0.0] * (3 * BINS))
        lever = 0.0  # how far the light's edge moves if the light does
        if technique == LIGHTS:
            lead = grazing.omega.dot(grazing.p - grazing.start)
            length = ti.min(drawn.distance, bvh.MISS) + lead
            slot, _t, _u, _v = bvh.trace(
                scene, grazing.start, grazing.omega, length * (1.0 - SHADOW_EPSILON), 1
            )
            if slot < 0:  # fault: light-behind-a-wall
                rest = ti.select(drawn.far == 1, 1.0, drawn.distance / (drawn.distance + sensed.reach))
                if drawn.delta == 1:
                    lever = ti.select(drawn.far == 1, sensed.reach, 1.0 - rest)
                for c in ti.static(range(3)):
                    fixed[c] = -drawn.radiance[c]
                    sliding[c] = rest * drawn.radiance[c]
                if with_mis == 1 and drawn.light_density > 0:
                    for k in range(sensed.count):
                        density = ti.select(k == 0, sensed.density, drawn.density)
                        if sensed.reach - grazing.before <= drawn.near:
                            density = drawn.near_density
                        weight = power_heuristic(drawn.light_density, density)
                        for c in ti.static(range(3)):
                            values[3 * k + c] *= weight
        else:
            for side in range(2):
                o = ti.select(side == 0, grazing.front, grazing.behind)
                density = DELTA_DENSITY
                if with_mis == 1 and side == 1 and grazing.crease == 0:
                    density = drawn.density
                before = ti.select(side == 0, grazing.before_front, grazing.before)
                ray = new_ray(o, grazing.omega, bvh.MISS, density, grazing.p)
                sign = ti.select(side == 0, 1.0, -1.0)
                add_radiance(scene, launch, sampler, ray, 1, sensed.reach, before, sign, BINS, fixed, sliding)
        add_up(fixed, sliding)
        if learns == 1:
            size = size_of_terms(launch, sensed, values, fixed, sliding, edge_moves, point_moves) / scale
            learn(learned, sampler, drawn.place, size)
        else:
            deliver(
                mode, scene, launch, film, sensor, grazing, sensed, drawn.emitter, lever, values, places,
                fixed, sliding, image, image_adjoint, gradient, tangents,
            )  # fmt: skip


@ti.func
def learn(learned: ti.template(), sampler, place, size):
    """Keep where in the guide's cube a sample lies, and how large its term is."""
    learned[sampler.pixel] = vec4f(place.x, place.y, place.z, size)


@ti.func
def add_up(fixed: ti.template(), sliding: ti.template()):
    """Of bins, make sums over shorter paths: radiance by at most k + 1 edges."""
    for k in range(1, BINS):
        for c in ti.static(range(3)):
            fixed[3 * k + c] += fixed[3 * (k - 1) + c]
            sliding[3 * k + c] += sliding[3 * (k - 1) + c]


@ti.func
def size_of_terms(
    launch,
    sensed,
    values: ti.template(),
    fixed: ti.template(),
    sliding: ti.template(),
    edge_moves,
    point_moves,
):
    """How much a sample may add to the derivative: what guiding learns."""
    total = 0.0
    for k in range(sensed.count):
        bin = ti.min(launch.max_depth - k - 2, BINS - 1)
        if bin >= 0:
            for c in ti.static(range(3)):
                jump = edge_moves * ti.abs(fixed[3 * bin + c]) + point_moves * ti.abs(sliding[3 * bin + c])
                total += ti.abs(values[3 * k + c]) * jump
    return ti.select(total < 1e15, total, 0.0)


@ti.func
def deliver(
    mode: ti.template(), scene: ti.template(), launch, film, sensor: ti.template(), grazing, sensed, light,
    lever, values: ti.template(), places: ti.template(), fixed: ti.template(), sliding: ti.template(),
    image: ti.template(), image_adjoint: ti.template(), gradient: ti.template(), tangents: ti.template(),
):  # fmt: skip
    """Add W ((L_f - L_b) n.dx_B - ((1 - s_f) L_f - (1 - s_b) L_b) n.dx) for all connections; and W L_b s n.dy
    for an emitter `light` that has no surface: lever is s, or |x_B - x| for one at infinity, or else 0."""
    grad_edge, grad_direct, grad_deep = 0.0, 0.0, 0.0  # by n.dx_B, and by n.dx of x in both its cases
    edge_rate, direct_rate, deep_rate = 0.0, 0.0, 0.0
    if ti.static(mode == FORWARD):
        moves = moving.tangent_of_point(scene, tangents, grazing.slot, grazing.u, grazing.v, grazing.p)
        slides = sensed.n.dot(
            moving.tangent_of_point(scene, tangents, sensed.slot, sensed.u, sensed.v, sensed.p)
        )
        if ti.static(scene.execution.placements):
            if lever > 0:
                moves -= lever * light_motion(scene, tangents, light)
        edge_rate = grazing.n.dot(moves)
        deep_rate = sensed.deep * slides
        ray_moves = edge_film.ray_motion(sensor, tangents, sensed.first)
        direct_rate = sensed.direct * (slides - sensed.n.dot(ray_moves)) + grazing.n.dot(ray_moves)
    for k in range(sensed.count):
        bin = ti.min(launch.max_depth - k - 2, BINS - 1)
        of_edge, of_point = vec3(0.0, 0.0, 0.0), vec3(0.0, 0.0, 0.0)
        if bin >= 0:
            for c in ti.static(range(3)):
                of_edge[c] = values[3 * k + c] * fixed[3 * bin + c]
                of_point[c] = values[3 * k + c] * sliding[3 * bin + c]
        if max_of(of_edge) + max_of(of_point) > 0 and is_usable(of_edge) & is_usable(of_point):
            at = edge_film.FilmPoint(x=places[2 * k], y=places[2 * k + 1], exists=1)
            rate = ti.select(k == 0, direct_rate, deep_rate)
            if ti.static(mode == FORWARD):
                edge_film.splat(launch, film, sensor, image, at, edge_rate * of_edge + rate * of_point)
            else:
                adjoint = edge_film.gathered(launch, film, sensor, image_adjoint, at)
                grad_edge += adjoint.dot(of_edge)
                if k == 0:
                    grad_direct += adjoint.dot(of_point)
                else:
                    grad_deep += adjoint.dot(of_point)
    if ti.static(mode != FORWARD):
        moving.add_point(
            scene, gradient, grazing.slot, grazing.u, grazing.v, grazing.p, grad_edge * grazing.n
        )
        if ti.static(scene.execution.placements):
            if lever > 0:
                add_light_motion(scene, gradient, light, (-lever * grad_edge) * grazing.n)
        grad = grad_direct * sensed.direct + grad_deep * sensed.deep  # fault: points-held-fixed
        moving.add_point(scene, gradient, sensed.slot, sensed.u, sensed.v, sensed.p, grad * sensed.n)
        if grad_direct != 0:
            by_ray = grazing.n - sensed.direct * sensed.n
            edge_film.add_ray_motion(sensor, gradient, sensed.first, grad_direct * by_ray)


@ti.func
def max_of(v):
    """The largest absolute value of the components."""
    return ti.max(ti.abs(v.x), ti.abs(v.y), ti.abs(v.z))


@ti.kernel
def trace_edges(
    features: ti.template(),
    execution: ti.template(),
    mode: ti.template(),
    primary: ti.template(),
    launch: Launch,
    film: Film,
    arrays: SceneArrays,
    sensor: SensorArrays,
    records: ti.types.ndarray(vec8i, ndim=1),
    cdf: ti.types.ndarray(ti.f32, ndim=1),
    moved: ti.types.ndarray(ti.i32, ndim=1),
    ranges: ti.types.ndarray(vec2f, ndim=1),
    guide: ti.types.ndarray(ti.f32, ndim=1),
    boxes: ti.types.ndarray(vec4f, ndim=1),
    learned: ti.types.ndarray(vec4f, ndim=1),
    learns: ti.i32,
    shadows: ti.i32,
    seen: ti.i32,
    candidates: ti.i32,
    seen_candidates: ti.i32,
    with_mis: ti.i32,
    image: ti.types.ndarray(ndim=1),
    image_adjoint: ti.types.ndarray(ti.f32, ndim=1),
    gradient_buffer: ti.types.ndarray(ndim=1),
    tangents: ti.types.ndarray(ti.f32, ndim=1),
):
    """Take `launch.items` samples of the boundary terms: add to the image's tangent, or to the gradient.

    primary: of the film's boundary, else of other segments; then the first `shadows` samples are lines
    through lights, `seen` ones from the sensor, and the others by directions at edges. candidates,
    seen_candidates: lines of which the first two keep one.
    records, cdf, ranges: the edges, cumulative probabilities, and the part of each that may be seen. moved:
    for each shape 1 if its motion, or that of all else, counts.
    guide, boxes: how the numbers are distributed that edges and directions are chosen by (`guided`). learns:
    1 if nothing is added; each sample is kept in `learned` (`learn`).
    image, image_adjoint: as of `edge_film.splat` and `gathered`. gradient_buffer: `gradient_copies` copies.
    """
    ti.loop_config(block_dim=ti.static(execution.block))
    for index in range(launch.workers * ti.static(execution.stride)):
        if index % ti.static(execution.stride) != 0:
            continue
        worker = index // ti.static(execution.stride)
        stack = new_stack(features.stack)
        scene = SceneView(features, execution, arrays, launch.min_selection, stack)
        block = (worker % launch.gradient_copies) * launch.gradient_size
        gradient = GradientBlock(
            execution, gradient_buffer, block, launch.gradient_size, launch.fixed_point_scale
        )
        for item in range(
            worker * launch.items_per_worker,
            ti.min((worker + 1) * launch.items_per_worker, launch.items),
        ):
            sampler = Sampler(pixel=item, sample=launch.first_sample, seed=launch.seed)
            if ti.static(primary):
                primary_sample(
                    mode, scene, launch, film, sensor, sampler, records, cdf, ranges, guide, boxes,
                    learned, learns, 1.0 / ti.f32(launch.items), image, image_adjoint, gradient, tangents,
                )  # fmt: skip
            else:
                technique, count, tried = NEAR, launch.items - shadows - seen, 1
                if item < shadows:
                    technique, count, tried = LIGHTS, shadows, candidates
                elif item < shadows + seen:
                    technique, count, tried = SENSOR, seen, seen_candidates
                secondary_sample(
                    mode, scene, launch, film, sensor, sampler, records, cdf, moved, guide, boxes, learned,
                    learns, technique, tried, with_mis, 1.0 / ti.f32(count), image,
                    image_adjoint, gradient, tangents,
                )  # fmt: skip
