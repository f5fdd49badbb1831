"""The cameras, ray by ray. The reconstruction filters are in tests/estimators/test_reconstruction.py.

Statistical tests use fixed seeds and ask for a p-value above 1e-4.
"""

import numpy as np
import pytest

from prb.device.arrays import upload, uploaded
from prb.device.camera import camera_buffer
from prb.device.film import filter_table
from prb.kernels.arrays import SENSOR, SensorArrays, vec2f, vec3f, vec4f
from prb.kernels.backend import ti
from prb.kernels.camera import CAMERA_SIZE, sample_ray
from prb.kernels.estimators.launch import Launch
from prb.scene import load_model_dict
from prb.scene.model import Film, Sensor

P_MIN = 1e-4


@ti.kernel
def _rays(
    launch: Launch, sensor: SensorArrays,
    pixels: ti.types.ndarray(vec2f, 1), u: ti.types.ndarray(vec4f, 1),
    o: ti.types.ndarray(vec3f, 1), d: ti.types.ndarray(vec3f, 1), t_max: ti.types.ndarray(ti.f32, 1),
):  # fmt: skip
    for i in range(u.shape[0]):
        column, row = ti.i32(pixels[i][0]), ti.i32(pixels[i][1])
        o[i], d[i], t_max[i] = sample_ray(sensor, launch, column, row, u[i])


def sensor(to_world=None, x_fov=50.0, near=0.5, far=20.0, camera=None, **film):
    film = {"width": 6, "height": 4, "crop_size": (6, 4), "rfilter": "box", **film}
    to_world = np.eye(4) if to_world is None else to_world
    return Sensor("camera", to_world, x_fov, Film(**film), near, far, **(camera or {}))


def rays(sensor, pixels, u):
    """Origins, directions and reaches of rays through pixels (n, 2) of the crop window.

    u: (n, 2) numbers for the place on the film, or (n, 4) with those for the place on the aperture.
    """
    film, n = sensor.film, max(len(pixels), len(u))
    launch = Launch(crop_x=film.crop_offset[0], crop_y=film.crop_offset[1], width=film.crop_size[0])
    u = np.asarray(u, np.float32)
    u = np.broadcast_to(np.pad(u, ((0, 0), (0, 4 - u.shape[1]))), (n, 4))
    pixels = np.broadcast_to(np.asarray(pixels, np.float32), (n, 2))
    o, d = (upload(np.zeros((n, 3), np.float32), vec3f) for _ in range(2))
    t_max = upload(np.zeros(n, np.float32))
    host = {
        "camera": camera_buffer(sensor),
        "filter": filter_table(film),
        "by_parameters": np.zeros((0, 1 + CAMERA_SIZE), np.float32),
    }
    _rays(launch, SensorArrays(**uploaded(SENSOR, host)), upload(pixels, vec2f),
          upload(u, vec4f), o, d, t_max)  # fmt: skip
    return o.to_numpy().astype(float), d.to_numpy().astype(float), t_max.to_numpy().astype(float)


def film_positions(sensor, d):
    """Where directions (n, 3) of a camera that looks along +z meet the film, in pixels of the whole film."""
    half = np.tan(np.radians(sensor.x_fov / 2))
    pixel = 2 * half / sensor.film.width
    middle = np.array([sensor.film.width, sensor.film.height]) / 2
    return middle - d[:, :2] / d[:, 2:] / pixel


# Rays


def test_the_centre_of_the_film_looks_along_the_axis():
    o, d, t_max = rays(sensor(width=5, height=3, crop_size=(5, 3)), [[2, 1]], [[0.5, 0.5]])
    np.testing.assert_allclose(d, [[0, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(o, [[0, 0, 0.5]], atol=1e-6)
    np.testing.assert_allclose(t_max, 19.5, rtol=1e-6)


@pytest.mark.parametrize("x_fov", [10.0, 50.0, 120.0])
def test_the_film_s_corners_span_the_field_of_view(x_fov):
    s = sensor(x_fov=x_fov)
    last = 1 - 2**-24
    _, d, _ = rays(s, [[0, 0], [5, 0], [0, 3], [5, 3]], [[0, 0], [last, 0], [0, last], [last, last]])
    slope = d[:, :2] / d[:, 2:]
    x = np.tan(np.radians(x_fov / 2))
    y = x * 4 / 6
    # +x is to the left of the picture, +y is up
    np.testing.assert_allclose(slope, [[x, y], [-x, y], [x, -y], [-x, -y]], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1, atol=1e-6)


def test_rays_lie_between_the_near_and_the_far_plane():
    rng = np.random.default_rng(1)
    pixels, u = rng.integers(0, [6, 4], (100, 2)), rng.random((100, 2))
    o, d, t_max = rays(sensor(), pixels, u)
    np.testing.assert_allclose(o[:, 2], 0.5, rtol=1e-6)
    np.testing.assert_allclose((o + t_max[:, None] * d)[:, 2], 20, rtol=1e-5)
    np.testing.assert_allclose(np.cross(o, d), 0, atol=1e-6)  # through the pinhole


def test_the_camera_moves_with_its_transform():
    rng = np.random.default_rng(2)
    to_world = np.eye(4)
    to_world[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    to_world[:3, 3] = 1, 2, 3
    pixels, u = rng.integers(0, [6, 4], (100, 2)), rng.random((100, 2))
    o, d, t_max = rays(sensor(), pixels, u)
    moved_o, moved_d, moved_t = rays(sensor(to_world), pixels, u)
    np.testing.assert_allclose(moved_o, o @ to_world[:3, :3].T + to_world[:3, 3], atol=1e-5)
    np.testing.assert_allclose(moved_d, d @ to_world[:3, :3].T, atol=1e-6)
    np.testing.assert_allclose(moved_t, t_max, rtol=1e-6)


def test_a_crop_window_shows_its_part_of_the_film():
    whole, part = sensor(), sensor(crop_offset=(2, 1), crop_size=(3, 2))
    pixels = np.array([[c, r] for c in range(3) for r in range(2)])
    u = np.random.default_rng(3).random((6, 2))
    for got, want in zip(rays(part, pixels, u), rays(whole, pixels + [2, 1], u), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_the_box_filter_fills_the_pixel():
    s = sensor()
    pixels = np.random.default_rng(4).integers(0, [6, 4], (500, 2))
    u = np.random.default_rng(5).random((500, 2))
    _, d, _ = rays(s, pixels, u)
    np.testing.assert_allclose(film_positions(s, d), pixels + u, atol=1e-4)


def test_principal_point_is_a_part_of_the_film():
    """An offset of 1/6 and 1/4 is one pixel of a film of 6 x 4."""
    pixels = np.array([[c, r] for c in range(4) for r in range(2)])
    u = np.random.default_rng(8).random((8, 2))
    offset = {"principal_point_offset_x": 1 / 6, "principal_point_offset_y": -1 / 4}
    for crop in ({}, {"crop_offset": (1, 1), "crop_size": (4, 2)}):
        moved = rays(sensor(camera=offset, **crop), pixels, u)
        for got, want in zip(moved, rays(sensor(**crop), pixels + [1, -1], u), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def thin_lens(radius=0.4, distance=3.0):
    return {"kind": "thinlens", "aperture_radius": radius, "focus_distance": distance}


def test_rays_of_a_lens_meet_in_the_plane_of_focus_and_begin_on_the_aperture(chi_squared):
    n = 2**15
    u = np.random.default_rng(9).random((n, 4))
    u[:, :2] = 0.3, 0.8
    o, d, t_max = rays(sensor(camera=thin_lens()), [[4, 1]], u)
    pinhole_o, pinhole_d, _ = rays(sensor(), [[4, 1]], u[:1, :2])
    in_focus = pinhole_d * 3 / pinhole_d[:, 2:]
    np.testing.assert_allclose(o + d * ((3 - o[:, 2]) / d[:, 2])[:, None], np.broadcast_to(in_focus, (n, 3)),
                               atol=1e-5)  # fmt: skip
    np.testing.assert_allclose(o[:, 2], 0.5, rtol=1e-6)
    np.testing.assert_allclose((o + t_max[:, None] * d)[:, 2], 20, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1, atol=1e-6)
    lens = (o - d * (o[:, 2] / d[:, 2])[:, None])[:, :2] / 0.4
    r2 = (lens**2).sum(axis=1)
    assert r2.max() < 1 + 1e-4
    angle = np.arctan2(lens[:, 1], lens[:, 0])
    counts, _, _ = np.histogram2d(np.clip(r2, 0, 1), angle, [8, 8], [[0, 1], [-np.pi, np.pi]])
    assert chi_squared(counts, np.full((8, 8), n / 64)) > P_MIN


def test_a_lens_without_an_aperture_is_a_pinhole():
    rng = np.random.default_rng(10)
    pixels, u = rng.integers(0, [6, 4], (50, 2)), rng.random((50, 4))
    lens = rays(sensor(camera=thin_lens(radius=0.0)), pixels, u)
    for got, want in zip(lens, rays(sensor(), pixels, u), strict=True):
        np.testing.assert_array_equal(got, want)


def test_orthographic_rays_are_parallel_and_span_the_scale_of_the_transform():
    to_world = np.diag([3.0, 2.0, 1.0, 1.0])
    to_world[:3, 3] = 1, 2, 3
    last = 1 - 2**-24
    o, d, t_max = rays(sensor(to_world, camera={"kind": "orthographic"}), [[0, 0], [5, 0], [0, 3], [5, 3]],
                       [[0, 0], [last, 0], [0, last], [last, last]])  # fmt: skip
    np.testing.assert_allclose(d, np.broadcast_to([0, 0, 1], (4, 3)), atol=1e-7)
    x, y = 3, 2 * 4 / 6
    np.testing.assert_allclose(o - [1, 2, 3.5], [[x, y, 0], [-x, y, 0], [x, -y, 0], [-x, -y, 0]], atol=1e-5)
    np.testing.assert_allclose(t_max, 19.5, rtol=1e-6)


@pytest.fixture(scope="module")
def mi():
    mitsuba = pytest.importorskip("mitsuba")
    mitsuba.set_variant("scalar_rgb")
    return mitsuba


CROP = {"crop_offset_x": 5, "crop_width": 20, "crop_offset_y": 9, "crop_height": 11}
LENS = {"aperture_radius": 0.3, "focus_distance": 4.0}
PRINCIPAL = {"principal_point_offset_x": 0.2, "principal_point_offset_y": -0.35}
PLACED = [{"rotate": {"axis": [1, 2, 3], "angle": 70}}, {"translate": [3, -2, 1]}]
STRETCHED = [{"scale": [2, 3, 4]}, *PLACED]
MIRRORED = [{"scale": [-1, 1, 1]}, *PLACED]
SHEARED = [{"matrix": [[1, 0.2, 0.3, 0], [0, 1.5, 0.4, 0], [0.1, 0, 2, 0], [0, 0, 0, 1]]}, *PLACED]
AXES = ("x", "y", "diagonal", "smaller", "larger")
CAMERAS = {
    "pinhole": {"type": "perspective", "fov": 50, "to_world": PLACED},
    "mirrored": {"type": "perspective", "fov": 50, "to_world": MIRRORED},
    "millimetres": {"type": "perspective", "focal_length": "35mm"},
    "neither": {"type": "perspective"},
    "principal point": {"type": "perspective", "fov": 50, **PRINCIPAL},
    "lens": {"type": "thinlens", "fov": 70, "to_world": PLACED, **LENS},
    "lens in millimetres": {"type": "thinlens", "focal_length": "35mm", **LENS},
    "lens focused far away": {"type": "thinlens", "fov": 70, "aperture_radius": 0.3},
    "orthographic": {"type": "orthographic", "to_world": PLACED},
    "orthographic, scaled": {"type": "orthographic", "to_world": STRETCHED},
    "orthographic, sheared": {"type": "orthographic", "to_world": SHEARED},
} | {f"lens, {axis}": {"type": "thinlens", "fov": 60, "fov_axis": axis, **LENS} for axis in AXES}


@pytest.mark.parametrize("crop", [{}, CROP], ids=["whole", "crop"])
@pytest.mark.parametrize("name", CAMERAS)
def test_rays_are_mitsubas(mi, name, crop):
    film = {"type": "hdrfilm", "width": 36, "height": 24, "rfilter": {"type": "box"}, **crop}
    camera = {"near_clip": 0.7, "far_clip": 90.0, "film": film, **CAMERAS[name]}
    mine = read(camera)
    theirs = mi.load_dict({**camera, "to_world": mi.ScalarTransform4f(mine.to_world)})
    size, n = np.array(mine.film.crop_size), 40
    rng = np.random.default_rng(11)
    pixels, u = rng.integers(0, size, (n, 2)), rng.random((n, 4)).astype(np.float32)
    o, d, t_max = rays(mine, pixels, u)
    for i, position in enumerate((pixels + u[:, :2]) / size):
        ray, weight = theirs.sample_ray(0.0, 0.0, mi.Point2f(position), mi.Point2f(u[i, 2:]))
        np.testing.assert_allclose(o[i], ray.o, rtol=1e-5, atol=2e-5)
        np.testing.assert_allclose(d[i], ray.d, atol=1e-5)
        assert t_max[i] == pytest.approx(ray.maxt, rel=1e-5) and np.all(np.array(weight) == 1)


def read(camera):
    """The first sensor of a scene with that camera."""
    scene = {"type": "scene", "camera": camera, "light": {"type": "constant"}}
    return load_model_dict(scene).sensors[0]


# Positions on the film


def test_positions_are_uniform_in_the_pixel(chi_squared):
    s = sensor(width=41, height=31, crop_offset=(3, 2), crop_size=(30, 20), rfilter="gaussian")
    n, bins = 2**16, 80
    u = np.random.default_rng(6).integers(0, 2**24, (n, 2)) / 2**24
    u[:2] = 0, 1 - 2**-24
    _, d, _ = rays(s, [[20, 15]], u)
    position = film_positions(s, d) - [23, 17]
    assert position.min() > -1e-4 and position.max() < 1 + 1e-4
    for x in position.T:
        counts, _ = np.histogram(np.clip(x, 0, 1), bins, (0, 1))
        assert chi_squared(counts, np.full(bins, n / bins)) > P_MIN / 2
    assert abs(np.corrcoef(position.T)[0, 1]) < 4 / np.sqrt(n)
