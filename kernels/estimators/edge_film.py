"""The film as boundary terms need it: points in space projected onto it, and what counts where they fall.

The ray of film position (x, y) and aperture point (a, b) is start + t direction, both affine in them
(kernels/camera.py). A point X is on it where

    X - start_0 = x start_x + y start_y + t (direction_0 + x direction_x + y direction_y)

with the aperture's part in start_0 and direction_0. Either start_x, start_y or direction_x, direction_y are
zero, so this is a linear system in (x, y, t) or in (x t, y t, t). The gradients of x and y by X say how the
film position moves if X does; if the camera moves, so that the point of the ray at this x, y, t moves by dq,
the film position moves as if X moved by -dq.
"""

from prb.kernels.backend import ti
from prb.kernels.camera import DIRECTION, FAR, LENS, NEAR, START
from prb.kernels.estimators import film as film_kernel
from prb.kernels.frame import read3, vec2, vec3
from prb.kernels.gradient import add
from prb.kernels.warp import square_to_disk


@ti.dataclass
class FilmPoint:
    """A point on the film. x, y: in pixels of the whole film. t: of the ray, in multiples of its direction.
    a, b: the point of the aperture. grad_x, grad_y: of the film position by the point in space. omega: the
    ray's unit direction. speed: length of the direction that is not normalised. exists: 0 if the camera
    cannot see the point wherever it looks."""

    x: ti.f32
    y: ti.f32
    t: ti.f32
    a: ti.f32
    b: ti.f32
    grad_x: vec3
    grad_y: vec3
    omega: vec3
    speed: ti.f32
    exists: ti.i32


@ti.func
def aperture_point(sensor: ti.template(), u1, u2):
    """A uniform point of the aperture, (0, 0) for a camera without one."""
    found = vec2(0.0, 0.0)
    if sensor.camera[LENS] > 0:
        found = square_to_disk(u1, u2)
    return found


@ti.func
def _through(sensor: ti.template(), first: ti.template(), a, b):
    v0 = read3(sensor.camera, first)
    return v0 + a * read3(sensor.camera, first + 9) + b * read3(sensor.camera, first + 12)


@ti.func
def eye(sensor: ti.template(), a, b):
    """(1 if all rays have one direction, that direction or else the point from which the camera looks)."""
    along_x = read3(sensor.camera, DIRECTION + 3)
    parallel = ti.select(along_x.dot(along_x) > 0, 0, 1)
    point, direction = _through(sensor, START, a, b), _through(sensor, DIRECTION, a, b)
    return parallel, ti.select(parallel == 1, direction.normalized(), point)


@ti.func
def project(sensor: ti.template(), p, aperture):
    """The `FilmPoint` of a point in space."""
    a, b = aperture.x, aperture.y
    start, direction = _through(sensor, START, a, b), _through(sensor, DIRECTION, a, b)
    along_x, along_y = read3(sensor.camera, DIRECTION + 3), read3(sensor.camera, DIRECTION + 6)
    central = along_x.dot(along_x) > 0
    column_x, column_y = read3(sensor.camera, START + 3) + along_x, read3(sensor.camera, START + 6) + along_y
    inverse = 1.0 / column_x.dot(column_y.cross(direction))
    row_x = column_y.cross(direction) * inverse
    row_y = direction.cross(column_x) * inverse
    row_t = column_x.cross(column_y) * inverse
    r = p - start
    t = row_t.dot(r)
    w = ti.select(central, t, 1.0)
    exists = ti.select((t > sensor.camera[NEAR]) & (t < sensor.camera[FAR]), 1, 0)
    w = ti.select(exists == 1, w, 1.0)
    x, y = row_x.dot(r) / w, row_y.dot(r) / w
    if central:
        row_x -= x * row_t
        row_y -= y * row_t
        direction += x * along_x + y * along_y
    speed = direction.norm()
    return FilmPoint(
        x=x, y=y, t=t, a=a, b=b, grad_x=row_x / w, grad_y=row_y / w, omega=direction / speed, speed=speed,
        exists=exists,
    )  # fmt: skip


@ti.func
def in_window(launch, film, at):
    """True if samples are taken where a film point lies."""
    x, y = at.x - ti.f32(launch.crop_x), at.y - ti.f32(launch.crop_y)
    inside = (x >= 0) & (y >= 0) & (x < ti.f32(launch.width)) & (y < ti.f32(film.sampled_height))
    return (at.exists == 1) & inside


@ti.func
def _place(launch, film, at):
    """(column and row of the pixel, position in it) of a film point, in the sampled window."""
    x, y = at.x - ti.f32(launch.crop_x), at.y - ti.f32(launch.crop_y)
    column, row = ti.i32(ti.floor(x)), ti.i32(ti.floor(y))
    return column, row, ti.min(x - ti.f32(column), 0.99999994), ti.min(y - ti.f32(row), 0.99999994)


@ti.func
def gathered(launch, film, sensor: ti.template(), image_adjoint: ti.template(), at):
    """sum_p w_p a_p: the adjoint of radiance that arrives at a film point in the window, RGB.

    image_adjoint: a_p / W_p, as `pull_back` of kernels/estimators/film.py has it.
    """
    column, row, u, v = _place(launch, film, at)
    total = vec3(0.0, 0.0, 0.0)
    left = column + film.reach + film_kernel.first_pixel(film, u)
    top = row - film.margin + film_kernel.first_pixel(film, v)
    pitch = film_kernel.pitch(launch, film)
    for m in range(film.width_of_filter):
        if 0 <= top + m < film.height:
            for k in range(film.width_of_filter):
                w = 1.0
                if film.reach > 0:
                    w = film_kernel.weight(sensor, film, u, k) * film_kernel.weight(sensor, film, v, m)
                index = ((top + m) * pitch + left + k) * 3
                for c in ti.static(range(3)):
                    total[c] += w * image_adjoint[index + c]
    return total


@ti.func
def splat(launch, film, sensor: ti.template(), image: ti.template(), at, value):
    """Transpose of `gathered`: add w_p value to the pixels of an image of the same layout, atomically."""
    column, row, u, v = _place(launch, film, at)
    left = column + film.reach + film_kernel.first_pixel(film, u)
    top = row - film.margin + film_kernel.first_pixel(film, v)
    pitch = film_kernel.pitch(launch, film)
    for m in range(film.width_of_filter):
        if 0 <= top + m < film.height:
            for k in range(film.width_of_filter):
                w = 1.0
                if film.reach > 0:
                    w = film_kernel.weight(sensor, film, u, k) * film_kernel.weight(sensor, film, v, m)
                index = ((top + m) * pitch + left + k) * 3
                for c in ti.static(range(3)):
                    ti.atomic_add(image[index + c], w * value[c])


@ti.func
def _coefficient(at, i: ti.template()):
    """What the camera's vector i is multiplied by: 1, x, y, a or b."""
    found = 1.0
    if ti.static(i == 1):
        found = at.x
    elif ti.static(i == 2):
        found = at.y
    elif ti.static(i == 3):
        found = at.a
    elif ti.static(i == 4):
        found = at.b
    return found


@ti.func
def add_ray_motion(sensor: ti.template(), gradient: ti.template(), at, grad):
    """Add the cotangent of the point of a camera's ray, at fixed film position, to the camera's
    parameters."""
    for row in range(sensor.by_parameters.shape[0]):
        offset = ti.i32(sensor.by_parameters[row, 0])
        if offset < gradient.size:
            total = 0.0
            for i in ti.static(range(5)):
                for c in ti.static(range(3)):
                    d = sensor.by_parameters[row, 1 + START + 3 * i + c]
                    d += at.t * sensor.by_parameters[row, 1 + DIRECTION + 3 * i + c]
                    total += _coefficient(at, i) * grad[c] * d
            add(gradient, offset, total)


@ti.func
def ray_motion(sensor: ti.template(), tangents: ti.template(), at):
    """The tangent of the point of a camera's ray at fixed film position."""
    total = vec3(0.0, 0.0, 0.0)
    for row in range(sensor.by_parameters.shape[0]):
        rate = tangents[ti.i32(sensor.by_parameters[row, 0])]
        for i in ti.static(range(5)):
            for c in ti.static(range(3)):
                d = sensor.by_parameters[row, 1 + START + 3 * i + c]
                d += at.t * sensor.by_parameters[row, 1 + DIRECTION + 3 * i + c]
                total[c] += rate * _coefficient(at, i) * d
    return total
