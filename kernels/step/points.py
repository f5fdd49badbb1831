"""One step of a path with points of surfaces held fixed: the three-point form, for what moves shapes.

If a surface moves and sampled directions are held, the whole rest of the path moves with it. Instead each
vertex's integral over directions is taken over the area of the next surface, held fixed. At vertex k the
point x_k slides along the fixed ray that arrives, as its surface moves; the directions to x_{k-1} and x_{k+1}
follow, and the factor is

    f_k |cos| / p_k  times  J / detach(J),       J = |n' . w| / |x_{k+1} - x_k|^2

with w the direction from x_k to x_{k+1} and n' the normal there: J is differentiated through x_k, its value
cancels. The same holds for a point of a light. Densities and MIS weights are constants: they are those of
held points. A direction that leaves the scene is held itself. So each derivative involves three points, and
rough glass needs nothing more.

A ray from the camera, or from a delta lobe, has no such integral: it moves with what it comes from, as in
kernels/step/step.py, and takes along the point where it arrives.

Worchel, Finnendahl, Alexa (2025); Mitsuba's `prb` has the form since its pull request 1680. The area form
of light transport is Veach's (1997, section 8.1).
"""

from prb.kernels import light, traced
from prb.kernels.backend import ti
from prb.kernels.bsdf import has_delta_lobe
from prb.kernels.emitter import area
from prb.kernels.estimators.vertex import DELTA_DENSITY, power_heuristic
from prb.kernels.frame import vec3
from prb.kernels.step import lights, scattering, surface
from prb.kernels.step.reader import Reader
from prb.kernels.step.step import black, emitted, shape_of
from prb.kernels.traced import (
    Condition,
    absolute,
    branch,
    constant,
    detach,
    dot,
    normalize,
    raw,
    select,
)


@ti.dataclass
class Target:
    """Where the path goes on from a vertex: the next vertex.

    p, n: the point and its geometric normal; surface: 1 if there are any, 0 if the ray leaves the scene.
    d, pdf: direction of the ray to it, and its density.
    """

    p: vec3
    n: vec3
    d: vec3
    pdf: ti.f32
    surface: ti.i32


@ti.func
def no_target():
    """That of a path which ends."""
    z = vec3(0.0, 0.0, 1.0)
    return Target(p=z, n=z, d=z, pdf=1.0, surface=0)


@ti.func
def target_of(scene: ti.template(), x, at):
    """A vertex as the `Target` of the one before it. x: its `PathState`. at: its `Decisions`."""
    target = Target(p=x.o + at.distance * x.d, n=x.d, d=x.d, pdf=x.pdf, surface=0)
    if at.slot >= 0:
        target.surface = 1
        target.n = _normal(scene, at, x.o, x.d)
    return target


@traced.traced
def _normal(scene, at, o, d):
    reader = Reader(scene)
    return traced.value(lambda o, d: surface.at_hit(reader, at.slot, o, d, at.distance).ng, o, d)


@ti.func
def moves_along(at, pdf):
    """1 if the ray that arrives moves with what it comes from, 0 if its end is held."""
    return ti.cast((at.first == 1) | (pdf >= DELTA_DENSITY), ti.i32)


def on_surface(reader, at, moving, pdf, target, u_light, u_bsdf):
    """The step at a surface, as a traced function of (o, d, beta): (o', d', beta'), beta E."""

    def step(o, d, beta):
        moves = Condition(moving == 1)
        o_held, d_held = detach(o), detach(d)
        here = surface.at_hit(
            reader, at.slot, select(moves, o, o_held), select(moves, d, d_held), at.distance
        )
        wi = surface.local(here, select(moves, -d, normalize(o - here.p)))
        seen = emitted(reader, at, here, o_held, d_held, constant(pdf), held=True)
        following, direct = _scattered(reader, at, here, wi, target, u_light, u_bsdf, beta)
        return *following, beta * (seen + direct)

    return step


def _scattered(reader, at, here, wi, target, u_light, u_bsdf, beta):
    """The next state (o', d', beta'), and light sampling for a throughput of 1, at the surface `here`."""
    scene = reader.scene
    material, _emitter = shape_of(scene, at.slot)

    def direct():
        u = [raw(x) for x in constant(u_light)]
        entry = light.choose(scene, u[0], raw(constant(u_bsdf)[3]))
        s = lights.sample(reader, entry, here.p, u[1], u[2], held=_held_point)
        f, pdf_bsdf = scattering.towards(reader, material, here, wi, surface.local(here, s.d))
        weight = power_heuristic(s.pdf, select(s.delta, 0.0, pdf_bsdf))
        return lights.radiance(reader, s.emitter, s.place) * f * (s.scale * detach(weight / s.pdf))

    def held():
        is_surface = Condition(target.surface == 1)
        p, n, d = constant(target.p), constant(target.n), constant(target.d)
        r = select(is_surface, p - here.p, d)
        wo = normalize(r)
        J = select(is_surface, absolute(dot(n, wo)) / dot(r, r), 1.0)
        f, _density = scattering.towards(reader, material, here, wi, surface.local(here, wo))
        chance = constant(target.pdf) * constant(at.survival)
        return here.p, d, beta * f * (J / detach(J) / chance)

    def bent():
        s = scattering.sampled(reader, material, here, wi, u_bsdf)
        factor = s.f * (s.choice / (s.density * constant(at.survival)))
        return here.p, surface.world(here, s.wo), beta * factor

    def onwards():
        if not any(map(has_delta_lobe, scene.features.bsdfs)):
            return held()
        return branch(Condition(target.pdf >= DELTA_DENSITY), bent, held)

    added = branch(Condition(at.lit == 1), direct, black)
    return branch(Condition(at.continues == 1), onwards, lambda: (black(), black(), black())), added


def _held_point(reader, entry, ref, u1, u2):
    """As `lights._on_surface`, for a point of the light that stays where it is, seen from ref."""
    scene = reader.scene
    at = vec3(raw(ref.x), raw(ref.y), raw(ref.z))
    p, n, uv, by_area, by_cone = (constant(x) for x in area.sample_point(scene, entry, at, u1, u2))
    d, distance, pdf = area.to_point(p, n, detach(ref), by_area, by_cone)
    if scene.execution.shapes and "light" in scene.features.varying:  # the light slides along the held ray
        slot, _emitter, _probability, _area = lights.entry_of(scene, entry)
        uv = surface.at_hit(reader, slot, detach(ref), d, raw(distance)).place.uv
    r = p - ref
    d = normalize(r)
    J = absolute(dot(n, d)) / dot(r, r)
    return d, pdf, J / detach(J), uv


# ---------------------------------------------------------------------------------------------------
# For kernels
# ---------------------------------------------------------------------------------------------------


@traced.traced
def pull_back(scene, gradient, at, moving, pdf, target, u_light, u_bsdf, state, cotangents):
    """The cotangents of (o, d, beta), from those of what the step at a surface returns; adds those of the
    parameters to the gradient."""
    step = on_surface(Reader(scene, gradient=gradient), at, moving, pdf, target, u_light, u_bsdf)
    _value, found = traced.vjp(step, state, cotangents)
    return found


@traced.traced
def push_forward(scene, tangents, at, moving, pdf, target, u_light, u_bsdf, state, state_tangents):
    """The tangents of what the step at a surface returns, from those of (o, d, beta)."""
    step = on_surface(Reader(scene, tangents=tangents), at, moving, pdf, target, u_light, u_bsdf)
    _value, found = traced.jvp(step, state, state_tangents)
    return found
