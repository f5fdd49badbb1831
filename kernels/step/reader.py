"""Parameters as traced functions read them: their derivatives arrive at the parameters and at the place.

A `Reader` is made for one mode: with the gradient that reverse mode adds to, or with the parameters' tangents
in forward mode. Without either, parameters are constants of the traced function, which Taichi may
differentiate; what is read still moves with the place.
"""

from typing import NamedTuple

from prb.kernels import moving, texture
from prb.kernels.backend import Expr, ti
from prb.kernels.frame import vec2, vec3
from prb.kernels.gradient import add
from prb.kernels.orientation import normals_offset
from prb.kernels.texture import LookupPoint
from prb.kernels.traced import Condition, Scalar, Vec2, Vec3, branch, constant, raw, read


class Place(NamedTuple):
    """Where a texture is looked up, a `LookupPoint` whose coordinates move. slot: a Taichi integer."""

    uv: Vec2
    slot: object
    u: Scalar
    v: Scalar

    def point(self):
        """The `LookupPoint`."""
        uv = Expr([raw(self.uv.x), raw(self.uv.y)])
        return LookupPoint(uv=uv, slot=self.slot, u=raw(self.u), v=raw(self.v), p=vec3(0.0, 0.0, 0.0))

    @property
    def coordinates(self):
        """The numbers that textures depend on."""
        return self.uv.x, self.uv.y, self.u, self.v


@ti.func
def _cotangents(scene: ti.template(), index, point, grad_color):
    """The cotangents of a place's coordinates, from that of a colour."""
    by_x, by_y, by_u, by_v = texture.slopes(scene, scene.params, index, point)
    return grad_color.dot(by_x), grad_color.dot(by_y), grad_color.dot(by_u), grad_color.dot(by_v)


@ti.func
def _tangent(scene: ti.template(), index, point, dx, dy, du, dv):
    """The tangent of a colour, from those of a place's coordinates."""
    by_x, by_y, by_u, by_v = texture.slopes(scene, scene.params, index, point)
    return dx * by_x + dy * by_y + du * by_u + dv * by_v


@ti.func
def _read(buffer: ti.template(), offset, count: ti.template()):
    return [buffer[offset + i] for i in ti.static(range(count))]


@ti.func
def _add(gradient: ti.template(), offset, x: ti.template()):
    if offset < gradient.size:
        add(gradient, offset, x)


@ti.dataclass
class Found:
    """What is found at a vertex by loops, which Taichi does not differentiate; none of it moves.

    leaf, u: the leaf of the material that is selected, and a random number for further use. d, pdf, uv: the
    direction to an environment that is sampled by tables, its density without that of the entry of `lights`,
    and its texture coordinates.
    """

    leaf: ti.i32
    u: ti.f32
    d: vec3
    pdf: ti.f32
    uv: vec2


@ti.func
def _normals(scene: ti.template(), first):
    return scene.normals[first], scene.normals[first + 1], scene.normals[first + 2]


@ti.func
def _vertices(scene: ti.template(), slot):
    vertices = scene.corners[slot]
    return vertices[0], vertices[1], vertices[2]


@ti.func
def _add_turns(scene: ti.template(), gradient: ti.template(), slot, first, grads: ti.template()):
    """Add the cotangents of a triangle's vertex normals to those of the transforms that turn them."""
    moves = moving.moves_of(scene, slot)
    for k in ti.static(range(3)):
        moving.add_normal(scene, gradient, moves, scene.normals[first + k], grads[k])


@ti.func
def _turns(scene: ti.template(), buffer: ti.template(), slot, first):
    """The tangents of a triangle's vertex normals by the transforms that turn them."""
    moves = moving.moves_of(scene, slot)
    n0 = moving.tangent_of_normal(scene, buffer, moves, scene.normals[first])
    n1 = moving.tangent_of_normal(scene, buffer, moves, scene.normals[first + 1])
    n2 = moving.tangent_of_normal(scene, buffer, moves, scene.normals[first + 2])
    return n0, n1, n2


class Reader:
    """Reads parameters of a scene (`SceneView`). gradient: a `GradientBlock`. tangents: of the parameters.

    found: a `Found`, instead of loops in the traced functions.
    """

    def __init__(self, scene, gradient=None, tangents=None, found=None):
        self.scene, self.gradient, self.tangents, self.found = scene, gradient, tangents, found
        self.constant = gradient is None and tangents is None

    def numbers(self, offset, count):
        """`count` parameters from an offset of the buffer on, a tuple of scalars."""
        values = tuple(_read(self.scene.params, self.scene.base + offset, count))
        if self.constant:
            return constant(values)

        def pull(grads):
            for i, grad in enumerate(grads):
                _add(self.gradient, offset + i, grad)
            return ()

        return read(values, (), pull, lambda _: tuple(_read(self.tangents, offset, count)))

    def corners(self, slot):
        """The point and the two vectors that a primitive is made of, as `moving.corners_of` (3 Vec3)."""
        scene, values = self.scene, tuple(moving.corners_of(self.scene, slot))
        if self.constant or not scene.execution.shapes:
            return constant(values)

        def pull(grads):
            moving.add_corners(scene, self.gradient, slot, *grads)
            return ()

        return read(values, (), pull, lambda _: tuple(moving.tangents_of_corners(scene, self.tangents, slot)))

    def normals(self, slot, first):
        """The three vertex normals of a triangle (3 Vec3). first: their first row in `normals`."""
        scene, values = self.scene, tuple(_normals(self.scene, first))
        found = constant(values)
        if scene.execution.orientations:
            offset = normals_offset(scene, slot)

            def parameters():
                return tuple(Vec3(*self.numbers(offset + 3 * k, 3)) for k in _vertices(scene, slot))

            found = branch(Condition(offset >= 0), parameters, lambda: constant(values))
        if self.constant or not scene.execution.shapes:
            return found

        def pull(grads):
            _add_turns(scene, self.gradient, slot, first, grads)
            return tuple(grads)

        def push(tangents):
            own = [vec3(*tangents[3 * k : 3 * k + 3]) for k in range(3)]
            turns = _turns(scene, self.tangents, slot, first)
            return tuple(a + b for a, b in zip(own, turns, strict=True))

        return read(values, found, pull, push)

    def _view(self, use):
        return self.scene if use is None else self.scene.lookup(use)

    def color(self, use, index, place):
        """The colour of a texture (Vec3). use: as in `Features.varying`; None for any kind of texture."""
        view, point = self._view(use), place.point()
        fixed = not view.features.varies
        value = texture.fetch(view, self.scene.params, index, point)
        if fixed and self.constant:
            return constant(value)

        def pull(grad):
            texture.scatter(view, self.gradient, index, point, grad)
            return (0.0,) * 4 if fixed else _cotangents(view, index, point, grad)

        def push(tangents):
            if self.constant:
                return _tangent(view, index, point, *tangents)
            tangent = texture.fetch(view, self.tangents, index, point)
            return tangent if fixed else tangent + _tangent(view, index, point, *tangents)

        operands = () if fixed else place.coordinates
        return read(value, operands, (lambda grad: pull(grad)[: len(operands)]), push)

    def number(self, use, index, place):
        """The value of a grey texture, the luminance of a coloured one (Scalar)."""
        weights = constant(texture.number_weights(self._view(use), index, place.point()))
        color = self.color(use, index, place)
        return weights.x * color.x + weights.y * color.y + weights.z * color.z

    def slope(self, index, place):
        """The derivative of an image's luminance by the texture coordinates (Vec2)."""
        scene, point = self.scene, place.point()
        by_place = texture.curvature(scene, scene.params, scene.base, index, point)

        def times(x, y):
            xx, xy, yy = by_place
            return xx * x + xy * y, xy * x + yy * y

        def pull(grad):
            texture.scatter_slope(scene, self.gradient, index, point, grad)
            return times(*map(raw, constant(grad)))

        def push(tangents):
            x, y = times(*tangents)
            if self.constant:
                return vec2(x, y)
            return texture.slope(scene, self.tangents, 0, index, point) + vec2(x, y)

        slope = texture.slope(scene, scene.params, scene.base, index, point)
        return read(slope, (place.uv.x, place.uv.y), pull, push)
