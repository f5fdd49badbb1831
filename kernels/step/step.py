"""One step of a path: from the ray that arrives at a vertex to the one that leaves it, and what it adds.

    (o, d, beta, pdf)  ->  (o', d', beta', pdf'), beta E

o, d: origin and direction of the ray. beta: the throughput before the vertex. pdf: the density of d, which
the MIS weight of emission needs. The random numbers are fixed; whatever they are mapped to moves with the
parameters and with the ray: the point that is met, its frame and texture coordinates, the directions to the
light and from the BSDF, both densities and both MIS weights (Zeltner, Speierer, Georgiev, Jakob, Monte Carlo
Estimators for Differential Light Transport, SIGGRAPH 2021). Decisions stay: which primitive is met, which
leaf, lobe and light are chosen, what is visible, and roulette.
"""

from prb.kernels import light, traced
from prb.kernels.backend import ti
from prb.kernels.emitter import ENVIRONMENTS
from prb.kernels.estimators.vertex import DELTA_DENSITY, power_heuristic
from prb.kernels.material import lookup_point
from prb.kernels.step import lights, scattering, surface
from prb.kernels.step.reader import Found, Reader
from prb.kernels.traced import Condition, Vec3, branch, constant, detach, dot, raw, select


@ti.dataclass
class Decisions:
    """What is decided at a vertex.

    slot: the primitive that the ray met (-1: none). distance: from the ray's origin. first: 1 if the path
    begins with the ray. lit: 1 if next-event estimation found an unoccluded light. continues: 1 if there is a
    next ray. survival: the probability with which roulette let the path go on.
    """

    slot: ti.i32
    distance: ti.f32
    first: ti.i32
    lit: ti.i32
    continues: ti.i32
    survival: ti.f32


@ti.func
def shape_of(scene: ti.template(), slot):
    """(material, emitter) of a primitive."""
    shape = scene.shapes[scene.prim_info[slot][1]]
    return shape[0], shape[1]


def black():
    return Vec3(constant(0.0), constant(0.0), constant(0.0))


def on_surface(reader, at, u_light, u_bsdf):
    """The step at a surface, as a traced function of (o, d, beta, pdf)."""

    def step(o, d, beta, pdf):
        here = surface.at_hit(reader, at.slot, o, d, at.distance)
        following, direct = _scattered(reader, at, here, u_light, u_bsdf, d, beta)
        return *following, beta * (emitted(reader, at, here, o, d, pdf) + direct)

    return step


def arrival(reader, at):
    """The first half of the step: (o, d, beta, pdf) -> the point that the ray meets, and what that emits."""

    def step(o, d, beta, pdf):
        here = surface.at_hit(reader, at.slot, o, d, at.distance)
        return here.p, beta * emitted(reader, at, here, o, d, pdf)

    return step


def departure(reader, at, u_light, u_bsdf):
    """The second half of the step: (o, d, beta) -> (o', d', beta', pdf'), and what light sampling adds."""

    def step(o, d, beta):
        here = surface.at_hit(reader, at.slot, o, d, at.distance)
        following, direct = _scattered(reader, at, here, u_light, u_bsdf, d, beta)
        return *following, beta * direct

    return step


def emitted(reader, at, here, o, d, pdf, held=False):
    """What the surface `here` emits against the ray, times its MIS weight. held: the weight is a constant."""
    scene = reader.scene
    if "area" not in scene.features.emitters:
        return black()
    _material, emitter = shape_of(scene, at.slot)

    def towards_ray():
        first = Condition(at.first == 1)
        pdf_light = lights.hit_density(reader, at.slot, o, here.p, here.ng)
        weight = select(first, 1.0, power_heuristic(select(first, 1.0, pdf), pdf_light))
        return lights.radiance(reader, emitter, here.place) * (detach(weight) if held else weight)

    return branch(Condition(emitter >= 0) & (dot(here.ng, d) < 0), towards_ray, black)


def _scattered(reader, at, here, u_light, u_bsdf, d, beta):
    """The next ray (o', d', beta', pdf'), and light sampling for a throughput of 1, at the surface `here`."""
    material, _emitter = shape_of(reader.scene, at.slot)
    wi = surface.local(here, -d)

    def direct():
        u = [raw(x) for x in constant(u_light)]
        entry = light.choose(reader.scene, u[0], raw(constant(u_bsdf)[3]))
        s = lights.sample(reader, entry, here.p, u[1], u[2])
        f, pdf_bsdf = scattering.towards(reader, material, here, wi, surface.local(here, s.d))
        weight = power_heuristic(s.pdf, select(s.delta, 0.0, pdf_bsdf))  # fault: mis-weight-held-constant
        return lights.radiance(reader, s.emitter, s.place) * f * (s.scale * weight / s.pdf)

    def onwards():
        s = scattering.sampled(reader, material, here, wi, u_bsdf)
        factor = s.f * (s.choice / (s.density * constant(at.survival)))  # fault: density-forgotten
        density = select(s.delta, DELTA_DENSITY, s.density)
        return here.p, surface.world(here, s.wo), beta * factor, density

    def end():
        return black(), black(), black(), constant(0.0)

    added = branch(Condition(at.lit == 1), direct, black)
    return branch(Condition(at.continues == 1), onwards, end), added


def beyond(reader, entry, first):
    """What a ray that left the scene adds, as a traced function of (o, d, beta, pdf)."""

    def step(o, d, beta, pdf):
        pdf_light, place = lights.environment(reader, entry, d)
        is_first = Condition(first == 1)
        weight = power_heuristic(select(is_first, 1.0, pdf), pdf_light)
        seen = 0.0 if reader.scene.features.hide_emitters else 1.0
        _slot, emitter, _probability, _area = lights.entry_of(reader.scene, entry)
        return beta * lights.radiance(reader, emitter, place) * select(is_first, seen, weight)

    return step


# ---------------------------------------------------------------------------------------------------
# For kernels
# ---------------------------------------------------------------------------------------------------


@traced.traced
def has_environment(scene):
    """True if some emitter of the scene surrounds it."""
    return any(name in ENVIRONMENTS for name in scene.features.emitters)


@traced.traced
def has_loops(features):
    """True if the step takes loops: over the leaves of a material, or to search an environment's tables."""
    return features.leaves > 1 or "envmap" in features.emitters


@ti.func
def search(scene: ti.template(), vertex, u_light, u_bsdf):
    """What these loops find at a vertex."""
    leaf, u = 0, u_bsdf[2]
    if vertex.material >= 0:
        selected, reused = scattering.select_leaf(
            scene, vertex.material, vertex.wi.z, lookup_point(vertex), u
        )
        leaf, u = selected, reused
    d, pdf, uv = lights.search(scene, u_light, u_bsdf)
    return Found(leaf=leaf, u=u, d=d, pdf=pdf, uv=uv)


@traced.traced
def forward(scene, found, at, u_light, u_bsdf, state):
    """What the step at a surface returns for the state, as code that Taichi may differentiate."""
    return traced.value(on_surface(Reader(scene, found=found), at, u_light, u_bsdf), *state)


@traced.traced
def forward_beyond(scene, found, entry, first, state):
    """What a ray adds that left the scene, as code that Taichi may differentiate."""
    return traced.value(beyond(Reader(scene, found=found), entry, first), *state)


@traced.traced
def pull_back(scene, gradient, at, u_light, u_bsdf, state, cotangents):
    """The cotangents of (o, d, beta, pdf), from those of what the step at a surface returns; adds those of
    the parameters to the gradient."""
    step = on_surface(Reader(scene, gradient=gradient), at, u_light, u_bsdf)
    _value, found = traced.vjp(step, state, cotangents)
    return found


@traced.traced
def pull_back_beyond(scene, gradient, entry, first, state, grad_L):
    """The cotangents of (o, d, beta, pdf), from that of what a ray adds that left the scene."""
    _value, found = traced.vjp(beyond(Reader(scene, gradient=gradient), entry, first), state, grad_L)
    return found


@traced.traced
def pull_back_arrival(scene, gradient, at, state, cotangents):
    """The cotangents of (o, d, beta, pdf), from those of the point and of what is emitted there."""
    _value, found = traced.vjp(arrival(Reader(scene, gradient=gradient), at), state, cotangents)
    return found


@traced.traced
def pull_back_departure(scene, gradient, at, u_light, u_bsdf, state, cotangents):
    """Add the cotangents of the parameters, from those of (o', d', beta', pdf') and of what light sampling
    adds, to the gradient. state: (o, d, beta)."""
    step = departure(Reader(scene, gradient=gradient), at, u_light, u_bsdf)
    traced.vjp(step, state, cotangents, wrt=())


@traced.traced
def push_forward(scene, tangents, at, u_light, u_bsdf, state, state_tangents):
    """The tangents of what the step at a surface returns, from those of (o, d, beta, pdf)."""
    step = on_surface(Reader(scene, tangents=tangents), at, u_light, u_bsdf)
    _value, found = traced.jvp(step, state, state_tangents)
    return found


@traced.traced
def push_forward_beyond(scene, tangents, entry, first, state, state_tangents):
    """The tangent of what a ray adds that left the scene."""
    _value, found = traced.jvp(beyond(Reader(scene, tangents=tangents), entry, first), state, state_tangents)
    return found


@traced.traced
def push_forward_arrival(scene, at, state, state_tangents):
    """The tangents of the point and of what is emitted there, by the ray alone."""
    _value, found = traced.jvp(arrival(Reader(scene), at), state, state_tangents)
    return found


@traced.traced
def push_forward_departure(scene, at, u_light, u_bsdf, state, state_tangents):
    """The tangents of (o', d', beta', pdf') and of what light sampling adds, by the ray alone."""
    _value, found = traced.jvp(departure(Reader(scene), at, u_light, u_bsdf), state, state_tangents)
    return found


@traced.traced
def normal(scene, at, o, d):
    """The geometric normal where the ray meets the surface."""
    reader = Reader(scene)
    return traced.value(lambda o, d: surface.at_hit(reader, at.slot, o, d, at.distance).ng, o, d)
