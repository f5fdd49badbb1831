"""The scattering at a surface as traced functions: what kernels/material.py computes, with its derivatives by
the directions, the place and the sampled direction.

The decisions stay as they are: which leaf and which of its lobes is sampled. An integral that is a sum over
lobes is estimated by one of them, chosen with a probability that stands in the integrand as a function of the
parameters; its derivative is that of chance / detach(chance), the factor `choice`.
"""

from types import SimpleNamespace

from prb.kernels import bsdf as models
from prb.kernels import material
from prb.kernels.backend import ti
from prb.kernels.step.surface import local
from prb.kernels.traced import (
    Condition,
    Scalar,
    Vec3,
    branch,
    constant,
    cross,
    detach,
    dot,
    maximum,
    minimum,
    normalize,
    raw,
    select,
    sqrt,
)
from prb.kernels.view import (
    FIRST_TEXTURE,
    FLIP_INVALID,
    FRAME,
    FRAME_FLAGS,
    FRAME_TEXTURE,
    KIND,
    NO_FRAME,
    NORMALMAP,
    SHADOWING,
    WEIGHTS,
)


@ti.func
def _code(scene: ti.template(), leaf, column: ti.template()):
    return scene.bsdfs[leaf, column]


@ti.func
def _constant(scene: ti.template(), leaf, column: ti.template()):
    return scene.bsdf_data[leaf, column]


@ti.func
def _leaves(scene: ti.template(), number):
    """(first row, number) of a material's leaves."""
    return scene.materials[number][0], scene.materials[number][1]


@ti.func
def select_leaf(scene: ti.template(), number, cos_i, point, u):
    """(the leaf that `material.sample` selects, counted from the first; a random number for further use)"""
    first, count = scene.materials[number][0], scene.materials[number][1]
    selected, _probability, _total, u_reused = material.select_leaf(scene, first, count, cos_i, point, u)
    return selected, u_reused


# ---------------------------------------------------------------------------------------------------
# A leaf: its frame, weight and parameters
# ---------------------------------------------------------------------------------------------------


class Frame:
    """A leaf's frame in coordinates of the shading frame, as kernels/bump.py has it; `None` axes: the same.

    flip: -1 if the leaf's frame is turned to the other side, else 1.
    """

    def __init__(self, reader, leaf, surface, wi, flip):
        self.flip, self.perturbed, self.axes, self.alpha2 = flip, None, None, None
        scene = reader.scene
        if not scene.features.frames:
            return
        kind = _code(scene, leaf, FRAME)
        index, flags = _code(scene, leaf, FRAME_TEXTURE), _code(scene, leaf, FRAME_FLAGS)
        self.perturbed = Condition(kind != NO_FRAME)

        def by_normal():
            color = reader.color(None, index, surface.place)
            return normalize(2.0 * color - Vec3(constant(1.0), constant(1.0), constant(1.0))), _x_axis()

        def by_height():
            du, dv = local(surface, surface.dp_du), local(surface, surface.dp_dv)
            slope, scale = reader.slope(index, surface.place), constant(_constant(scene, leaf, 0))
            n = normalize(cross(Vec3(du.x, du.y, scale * slope.x), Vec3(dv.x, dv.y, scale * slope.y)))
            return n * select(n.z < 0, -1.0, 1.0), du

        def bumped():
            if "bumpmap" not in scene.features.frames:
                return by_normal()
            if "normalmap" not in scene.features.frames:
                return by_height()
            return branch(Condition(kind == NORMALMAP), by_normal, by_height)

        def axes():
            n, tangent = bumped()
            upper = Vec3(wi.x, wi.y, wi.z * flip)
            invalid = (dot(n, upper) * wi.z * flip <= 0) & Condition((flags & FLIP_INVALID) != 0)
            side = select(invalid, -1.0, 1.0)
            n = Vec3(n.x * side, n.y * side, n.z)
            s = normalize(tangent - n * dot(n, tangent))
            tan2 = (1.0 - n.z * n.z) / maximum(n.z * n.z, 1e-8)
            alpha2 = select(Condition((flags & SHADOWING) != 0), minimum(0.125 * tan2, 1.0), 0.0)
            return s, cross(n, s), n, alpha2

        z = Vec3(constant(0.0), constant(0.0), constant(1.0))
        y = Vec3(constant(0.0), constant(1.0), constant(0.0))
        s, t, n, self.alpha2 = branch(self.perturbed, axes, lambda: (_x_axis(), y, z, constant(0.0)))
        self.axes = s, t, n

    def to_leaf(self, w):
        """A direction of the shading frame in the leaf's frame."""
        v = Vec3(w.x, w.y, w.z * self.flip)
        return v if self.axes is None else Vec3(*(dot(axis, v) for axis in self.axes))

    def from_leaf(self, w):
        """A direction of the leaf's frame in the shading frame."""
        if self.axes is not None:
            s, t, n = self.axes
            w = s * w.x + t * w.y + n * w.z
        return Vec3(w.x, w.y, w.z * self.flip)

    def on_one_side(self, w, z):
        """The condition that a direction lies on one side of both frames. z: its cosine in the leaf's."""
        return (w.z * z > 0) | ~self.perturbed

    def shadowing(self, w):
        """The shadowing function for a direction of the shading frame, 1 in a frame that is not perturbed."""
        if self.axes is None:
            return 1.0
        tan2 = (1.0 - w.z * w.z) / maximum(w.z * w.z, 1e-8)
        shadow = 2.0 / (1.0 + sqrt(1.0 + self.alpha2 * tan2))
        faces = w.z * self.flip * self.to_leaf(w).z > 0
        return select(self.perturbed, select(faces, shadow, 0.0), 1.0)


def _x_axis():
    return Vec3(constant(1.0), constant(0.0), constant(0.0))


def weight(reader, leaf, place):
    """The leaf's weight, in [0, 1]."""
    product = 1.0
    for i in range(reader.scene.features.weights):
        code = _code(reader.scene, leaf, WEIGHTS + i)

        def factor(code=code):
            t = reader.number("weight", code >> 1, place)
            t = select(t < 0, 0.0, select(t > 1, 1.0, t))
            return select(Condition((code & 1) == 1), 1.0 - t, t)

        product = product * branch(Condition(code >= 0), factor, lambda: constant(1.0))
    return product


def by_model(reader, leaf, place, function):
    """function(model, p) for the leaf's model and its parameters at the place."""
    scene, kind = reader.scene, _code(reader.scene, leaf, KIND)

    def parameter(name, i):
        index, use = _code(scene, leaf, FIRST_TEXTURE + i), models.lookup_of(name, i)
        number = models.of(name).PARAMETERS[i].number
        return (reader.number if number else reader.color)(use, index, place)

    def of(name):
        p = [parameter(name, i) for i in range(len(models.of(name).PARAMETERS))]
        p += [constant(_constant(scene, leaf, 1 + i)) for i in range(len(models.constants_of(name)))]
        return function(models.of(name), p)

    def among(names):
        if len(names) == 1:
            return of(names[0])
        is_first = Condition(kind == models.KINDS[names[0]])
        return branch(is_first, lambda: of(names[0]), lambda: among(names[1:]))

    return among(scene.features.bsdfs)


class Leaf:
    """Leaf number k of a material (a Taichi integer), at a surface that is seen from wi."""

    def __init__(self, reader, k, material_number, surface, wi):
        self.reader, self.surface, self.wi = reader, surface, wi
        first, count = _leaves(reader.scene, material_number)
        self.number = first + k
        self.exists = Condition(k < count)
        flip, visible = material.leaf_side(reader.scene, self.number, raw(wi.z))
        self.flip, self.visible = constant(flip), constant(visible)

    def frame(self):
        return Frame(self.reader, self.number, self.surface, self.wi, self.flip)

    def selection(self):
        """(its weight, what it is selected with, up to normalisation)."""
        w = weight(self.reader, self.number, self.surface.place)
        floor = constant(self.reader.scene.min_selection)
        return w, self.visible * maximum(w, floor)

    def values(self, wo, delta):
        """(value, density) towards wo, without the leaf's weight."""
        frame = self.frame()
        wi, to = frame.to_leaf(self.wi), frame.to_leaf(wo)
        scale = self.visible * frame.shadowing(wo)

        def of(model, p):
            density = model.pdf(p, wi, to)
            density = density if isinstance(density, Scalar) else constant(density)
            return model.eval(p, wi, to, delta) * scale, density * self.visible

        return by_model(self.reader, self.number, self.surface.place, of)

    def sample(self, u):
        """(wo, density, delta, chance) as of the model's `sample`, wo in the shading frame."""
        frame = self.frame()
        wi = frame.to_leaf(self.wi)

        def of(model, p):
            wo, density, delta, _eta, chance = model.sample(p, wi, u)
            z, wo = wo.z * self.flip, frame.from_leaf(wo)
            if frame.axes is not None:
                density = select(frame.on_one_side(wo, z), density, 0.0)
            return (
                wo,
                density * self.visible,
                *(x if isinstance(x, Scalar) else constant(x) for x in (1.0 * delta, chance)),
            )

        return by_model(self.reader, self.number, self.surface.place, of)


# ---------------------------------------------------------------------------------------------------
# All leaves of a material
# ---------------------------------------------------------------------------------------------------


def leaves_of(reader, number, surface, wi):
    """(leaves, their weights, the probabilities with which they are selected)."""
    leaves = [Leaf(reader, k, number, surface, wi) for k in range(reader.scene.features.leaves)]
    if len(leaves) == 1:
        w, _selection = leaves[0].selection()
        return leaves, [w], [constant(1.0)]
    pairs = [branch(leaf.exists, leaf.selection, lambda: (constant(0.0), constant(0.0))) for leaf in leaves]
    total = sum((q for _w, q in pairs[1:]), pairs[0][1])
    total = maximum(total, 1e-20)
    return leaves, [w for w, _q in pairs], [q / total for _w, q in pairs]


def towards(reader, number, surface, wi, wo):
    """(f, density) of the whole material for a direction wo that no delta lobe gave."""
    leaves, weights, chances = leaves_of(reader, number, surface, wi)
    f, density = None, None
    for leaf, w, q in zip(leaves, weights, chances, strict=True):

        def values(leaf=leaf):
            return leaf.values(wo, constant(0.0))

        if len(leaves) == 1:
            f_k, density_k = values()
        else:
            f_k, density_k = branch(leaf.exists, values, _nothing)
        f = f_k * w if f is None else f + f_k * w
        density = density_k * q if density is None else density + density_k * q
    return f, density


def _nothing():
    return Vec3(constant(0.0), constant(0.0), constant(0.0)), constant(0.0)


def sampled(reader, number, surface, wi, u):
    """The direction that is sampled from the material.

    u: the four random numbers of the direction, a Taichi vector. Returns wo (Vec3, in the shading frame),
    density, f, delta (Condition) and choice, a factor of value 1, see above.
    """
    scene = reader.scene
    leaves, weights, chances = leaves_of(reader, number, surface, wi)
    if len(leaves) == 1:
        leaf, numbers = leaves[0], constant(u)
        wo, density, delta, chance = leaf.sample(numbers)
        f, _density = leaf.values(wo, detach(delta))
        return SimpleNamespace(
            wo=wo, density=density, f=f * weights[0], delta=delta > 0.5, choice=chance / detach(chance)
        )  # fmt: skip
    numbers = constant(u)
    found = reader.found
    if found is None:
        selected, u_lobe = select_leaf(scene, number, raw(wi.z), surface.place.point(), raw(numbers[2]))
    else:
        selected, u_lobe = found.leaf, found.u
    numbers = (*numbers[:2], constant(u_lobe), numbers[3])
    wo, density, delta, chance = Leaf(reader, selected, number, surface, wi).sample(numbers)
    is_delta = delta > 0.5
    f, mixed, own = None, None, None
    for k, (leaf, w, q) in enumerate(zip(leaves, weights, chances, strict=True)):
        is_own = Condition(selected == k)
        counts = leaf.exists & (is_own | ~is_delta)
        f_k, density_k = branch(counts, lambda leaf=leaf: leaf.values(wo, detach(delta)), _nothing)
        density_k = select(is_own, density, density_k)
        terms = f_k * w, density_k * q, select(is_own, q, 0.0)
        f, mixed, own = terms if f is None else (f + terms[0], mixed + terms[1], own + terms[2])
    density = select(density > 0, mixed, 0.0)
    chance = chance * own
    return SimpleNamespace(wo=wo, density=density, f=f, delta=is_delta, choice=chance / detach(chance))
