"""Light sampling and emission as traced functions, with the entry of `lights` that was chosen as it is."""

from types import SimpleNamespace

from prb.kernels import emitter as emitters
from prb.kernels import hit, light
from prb.kernels.backend import pi, ti
from prb.kernels.emission import FACTOR, TEXTURE
from prb.kernels.emitter import area, envmap
from prb.kernels.emitter.point import in_frame
from prb.kernels.emitter.sample import rows_of
from prb.kernels.frame import vec2, vec3
from prb.kernels.shape import row3
from prb.kernels.step.reader import Place
from prb.kernels.traced import Condition, Vec2, branch, constant, raw, select
from prb.kernels.view import SPHERE


@ti.func
def _row(scene: ti.template(), emitter):
    """(kind, first texture, second texture or -1)."""
    row = scene.emitters[emitter]
    return row[0], row[TEXTURE], row[FACTOR]


@ti.func
def entry_of(scene: ti.template(), entry):
    """(slot, emitter, probability, area) of an entry of `lights`."""
    probability, size = scene.light_pdf[entry][1], scene.light_pdf[entry][2]
    return scene.lights[entry][0], scene.lights[entry][1], probability, size


@ti.func
def _of_primitive(scene: ti.template(), slot):
    """(probability, area) of an emitting primitive."""
    pdf = scene.light_pdf[scene.prim_light[slot]]
    return pdf[1], pdf[2]


@ti.func
def _axes(scene: ti.template(), slot):
    """(local z, local x, handedness) of a sphere."""
    prim = scene.prims[slot]
    return row3(prim, 4), row3(prim, 7), prim[11]


@ti.func
def _sphere(scene: ti.template(), slot):
    """(centre, radius, 1 or -1 for normals that point outwards or inwards, True for a sphere)."""
    prim = scene.prims[slot]
    return vec3(prim[0], prim[1], prim[2]), prim[3], prim[10], scene.prim_info[slot][0] == SPHERE


@ti.func
def _offset(scene: ti.template(), emitter):
    """The offset in `params` of the parameters that say where an emitter is."""
    return ti.i32(scene.emitter_data[scene.emitters[emitter][3]][3])


def _placed(reader, emitter, module):
    """The rows of an emitter in `emitter_data`. They move with its parameters if these are differentiated."""
    rows = constant(rows_of(reader.scene, emitter, module.ROWS))
    if not reader.scene.execution.placements or not hasattr(module, "from_parameters"):
        return rows
    return module.from_parameters(rows, reader.numbers(_offset(reader.scene, emitter), module.NUMBERS))


def _turned(reader, emitter, module, d):
    """A direction to an environment, which turns with the emitter's frame if that is differentiated."""
    if not reader.scene.execution.placements or not hasattr(module, "from_parameters"):
        return d
    rows = constant(rows_of(reader.scene, emitter, module.ROWS))
    return module.in_world(_placed(reader, emitter, module), in_frame(rows, d))


def radiance(reader, emitter, place):
    """What the emitter emits at a place of its textures (Vec3), as `emission.radiance`."""
    _kind, first, second = _row(reader.scene, emitter)
    color = reader.color("light", first, place)
    if reader.scene.features.factors:
        factor = branch(
            Condition(second >= 0),
            lambda: reader.color("factor", second, place),
            lambda: constant(vec3(1.0, 1.0, 1.0)),
        )
        color = color * factor
    return color


def sample(reader, entry, ref, u1, u2, held=None):
    """The direction to a point of a light, as `light.sample`: d, pdf, scale, delta, place, emitter.

    held: a function in the place of `_on_surface`."""
    scene = reader.scene
    _slot, index, probability, _area = entry_of(scene, entry)
    kind, _first, _second = _row(scene, index)
    names = scene.features.emitters

    def of(name):
        module = emitters.of(name)
        if name == "area":
            return (held or _on_surface)(reader, entry, ref, u1, u2)
        if hasattr(module, "connect"):
            d, _distance, pdf, scale, uv = module.connect(_placed(reader, index, module), ref)
            return d, pdf, scale, uv
        # an environment is sampled alike from everywhere
        s = reader.found if name == "envmap" else None
        s = s or module.sample(scene, entry, vec3(0.0, 0.0, 0.0), u1, u2)
        return _turned(reader, index, module, constant(s.d)), constant(s.pdf), constant(1.0), constant(s.uv)

    def among(names):
        if len(names) == 1:
            return of(names[0])
        is_first = Condition(kind == emitters.KINDS[names[0]])
        return branch(is_first, lambda: of(names[0]), lambda: among(names[1:]))

    d, pdf, scale, uv = among(names)
    delta = constant(False)
    for name in names:
        if hasattr(emitters.of(name), "connect"):
            delta = constant(raw(delta) | (kind == emitters.KINDS[name]))
    return SimpleNamespace(
        d=d, pdf=pdf * constant(probability), scale=scale, delta=Condition(raw(delta)), emitter=index,
        place=Place(uv, -1, constant(0.0), constant(0.0)),
    )  # fmt: skip


@ti.func
def search(scene: ti.template(), u_light, u_bsdf):
    """(d, pdf, uv) of an environment map's sample, if it is what was chosen."""
    d, pdf, uv = vec3(0.0, 0.0, 1.0), 0.0, vec2(0.0, 0.0)
    if ti.static("envmap" in scene.features.emitters):
        entry = light.choose(scene, u_light[0], u_bsdf[3])
        if scene.emitters[scene.lights[entry][1]][0] == ti.static(emitters.KINDS["envmap"]):
            s = envmap.sample(scene, entry, d, u_light[1], u_light[2])
            d, pdf, uv = s.d, s.pdf, s.uv
    return d, pdf, uv


def _on_surface(reader, entry, ref, u1, u2):
    """(d, pdf, scale, uv) of a surface light."""
    scene = reader.scene
    slot, _emitter, _probability, _area = entry_of(scene, entry)
    at = vec3(raw(ref.x), raw(ref.y), raw(ref.z))
    p, n, uv, by_area, by_cone = (constant(x) for x in area.sample_point(scene, entry, at, u1, u2))

    def seen(p, n, uv, by_cone):
        d, _distance, pdf = area.to_point(p, n, ref, by_area, by_cone)
        return d, pdf, constant(1.0), uv

    if not scene.features.spheres:
        return seen(p, n, uv, by_cone)

    def in_cone():
        center, radius, sign, _is_sphere = (constant(x) for x in _sphere(scene, slot))
        one_minus_cos = area.cone(center, radius, ref)
        outward = area.normal_in_cone(center, radius, ref, constant(u1), constant(u2), one_minus_cos)
        own_uv = uv
        if scene.features.textured:
            own_uv = hit.sphere_uv(outward, *(constant(x) for x in _axes(scene, slot)))
        by_cone = 1.0 / (2.0 * pi * one_minus_cos)
        return seen(center + radius * outward, outward * sign, own_uv, by_cone)

    return branch(by_cone > 0, in_cone, lambda: seen(p, n, uv, by_cone))


def hit_density(reader, slot, ref, p, ng):
    """The density of `sample` for the direction from ref to the point p of an emitting primitive."""
    scene = reader.scene
    if "area" not in scene.features.emitters:
        return constant(0.0)
    probability, size = (constant(x) for x in _of_primitive(scene, slot))
    density = area.by_solid_angle(ref, p, ng, 1.0 / size)
    if scene.features.spheres:
        center, radius, _sign, is_sphere = _sphere(scene, slot)
        center, radius = constant(center), constant(radius)

        def from_outside():
            one_minus_cos = area.cone(center, radius, ref)
            outside = one_minus_cos > 0
            return select(outside, 1.0 / (2.0 * pi * select(outside, one_minus_cos, 1.0)), density)

        return probability * branch(Condition(is_sphere == 1), from_outside, lambda: density)
    return density * probability


def environment(reader, entry, d):
    """(density of `sample`, place) of the environment in direction d; entry: its entry of `lights`."""
    scene = reader.scene
    _slot, index, probability, _area = entry_of(scene, entry)
    names = [name for name in scene.features.emitters if name in emitters.ENVIRONMENTS]
    pdf, uv = uniform = constant(0.25 / pi), Vec2(constant(0.0), constant(0.0))
    if "envmap" in names:
        kind, _first, _second = _row(scene, index)
        is_map = Condition(kind == emitters.KINDS["envmap"])
        pdf, uv = branch(is_map, lambda: _in_map(reader, index, d), lambda: uniform)
    return pdf * constant(probability), Place(uv, -1, constant(0.0), constant(0.0))


def _in_map(reader, index, d):
    """(density, texture coordinates) of an environment map in direction d."""
    rows = _placed(reader, index, envmap)
    w, h = rows[1][3], rows[2][3]
    azimuth, polar, y, one_minus_abs_cos = envmap.place(rows, d)
    image_row = polar * (h - 1.0)
    found = _cell(reader.scene, raw(y), raw(azimuth), raw(image_row), raw(w), raw(h))
    c, column, x0, x1 = (constant(x) for x in found)
    pdf = envmap.density(c, azimuth * w - 0.5 - column, one_minus_abs_cos, x0, x1)
    return pdf, Vec2(azimuth, (image_row + 0.5) / h)


@ti.func
def _cell(scene: ti.template(), y, azimuth, image_row, w, h):
    return envmap.cell(scene, y > 0, azimuth, image_row, ti.i32(w), ti.i32(h))
