"""The lesson's experiment: a Blinn-Phong sphere, and the picture's derivative by the light's direction.

One pixel at a time in reverse mode, in one forward pass, by finite differences and in closed form; with the
light along the view, where every visible point is lit, and with a tilted light, whose shadow begins on the
visible side. The direction is normalised, d = v / |v|, and the derivative is by the components of v.

The light moves no silhouette, and where the shadow begins the cosine is zero, so the picture has no jump that
moves: the derivative that replay finds is the whole one. At the shadow's edge a sample's value has a kink
in v, though, so that central differences of step h are off by O(h) in the pixels there, and only there.
"""

import json

import numpy as np
import pytest

import prb

NAME = "light.direction"
LIGHTS = {"along the view": [0.0, 0.0, -1.0], "tilted": [1.2, -0.9, -0.6]}
SIZE, SPP, SEED = 16, 8, 5
STEPS = (0.02, 0.01)


def lesson(direction, size=SIZE):
    d = json.loads(prb.bundled_scenes()["blinn-phong-sphere"].read_text())
    d["light"]["direction"] = direction  # loading makes it a unit vector
    d["sensor"]["film"].update(width=size, height=size)
    return prb.load_dict(d)


def forward(scene, axis, **options):
    return prb.render_forward(scene, {NAME: np.eye(3)[axis]}, **options).astype(float)


def difference(scene, axis, h, **options):
    params = prb.traverse(scene)
    value = params[NAME]
    images = []
    for sign in (1, -1):
        params.update({NAME: value + sign * h * np.eye(3)[axis]})
        images.append(prb.render(scene, **options).astype(float))
    params.update({NAME: value})
    return (images[0] - images[1]) / (2 * h)


def visible(size, subdivisions):
    """Normals of the sphere at (size * subdivisions)^2 points of the film, and the directions to the camera.

    Two arrays (n, n, 3); the normal is 0 where the ray misses. The scene's camera, in NumPy.
    """
    n = size * subdivisions
    at = ((np.arange(n) + 0.5) / n * 2 - 1) * np.tan(np.radians(16))
    x, y = np.meshgrid(at, -at)
    d = np.stack([x, y, -np.ones_like(x)], axis=2)
    d /= np.linalg.norm(d, axis=2, keepdims=True)
    origin = np.array([0.0, 0.0, 4.0])
    b = d @ origin
    root = b**2 - 15
    hit = (origin + (-b - np.sqrt(np.maximum(root, 0)))[..., None] * d) * (root >= 0)[..., None]
    return hit, -d


def shading(normal, to_camera, v):
    """Radiance (n, n, 3) of the lesson's sphere under light of irradiance 1 that travels along v."""
    light = -v / np.linalg.norm(v)
    h = to_camera + light
    h /= np.linalg.norm(h, axis=2, keepdims=True)
    cosine = np.maximum(normal @ light, 0)[..., None]
    gloss = np.maximum((normal * h).sum(axis=2, keepdims=True), 0) ** 30
    return (np.array([0.75, 0.45, 0.2]) / np.pi + 0.5 * gloss) * cosine


def at_the_shadows_edge(v, margin):
    """The pixels (SIZE, SIZE) in which n . l comes closer to zero than the margin, or changes its sign."""
    normal, _ = visible(SIZE, 16)
    cosine = np.where(normal.any(axis=2), normal @ (-np.array(v) / np.linalg.norm(v)), np.nan)
    cosine = cosine.reshape(SIZE, 16, SIZE, 16).swapaxes(1, 2).reshape(SIZE, SIZE, -1)
    low = np.nanmin(np.where(np.isnan(cosine), np.inf, cosine), axis=2)
    high = np.nanmax(np.where(np.isnan(cosine), -np.inf, cosine), axis=2)
    return (low < margin) & (high > -margin)


@pytest.mark.parametrize("light", LIGHTS)
def test_pixel_by_pixel_in_reverse_is_one_forward_pass(light):
    """Of the mean of the three channels, as the lesson takes one number of each pixel. Both to rounding."""
    size = 12  # one picture's paths are traced for each pixel
    scene = lesson(LIGHTS[light], size)
    options = dict(spp=SPP, seed=SEED)
    reverse = np.zeros((size, size, 3))
    weight = np.zeros(scene.image_shape)
    for row, column in np.ndindex(size, size):
        weight[row, column] = 1 / 3
        reverse[row, column] = prb.render_backward(scene, weight, [NAME], **options)[NAME]
        weight[row, column] = 0
    for axis in range(3):
        one_pass = forward(scene, axis, **options).mean(axis=2)
        # The third component's derivative is zero with the light along the view: rounding of the others.
        np.testing.assert_allclose(reverse[..., axis], one_pass, rtol=1e-5, atol=2e-6 * np.abs(reverse).max())
    assert np.abs(reverse[..., :2]).max(axis=(0, 1)).min() > 0.05


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("light", LIGHTS)
def test_forward_pass_against_finite_differences(light, axis):
    """Same seed. Away from the shadow's edge to the error of the differences; at the edge to O(h)."""
    scene = lesson(LIGHTS[light])
    options = dict(spp=SPP, seed=SEED)
    derivative = forward(scene, axis, **options)
    coarse, fine = (difference(scene, axis, h, **options) for h in STEPS)
    edge = at_the_shadows_edge(LIGHTS[light], 2 * STEPS[0])
    assert edge.any() == (light == "tilted")
    scale = np.abs(derivative).max()
    smooth = (4 * fine - coarse) / 3  # Richardson: O(h^4) where there is no kink
    np.testing.assert_allclose(derivative[~edge], smooth[~edge], rtol=1e-3, atol=1e-4 * scale)
    if edge.any():
        # Each sample within h of the kink is off by a part of it, 1/2 (0.75 / pi + gloss) at most; few are.
        at_edge = np.abs(derivative - fine)[edge]
        assert at_edge.max() < 0.05 * scale
        assert at_edge.mean() < 0.005 * scale


@pytest.mark.parametrize("light", LIGHTS)
def test_against_the_closed_form(light):
    """The shading formula in NumPy, differentiated there, means over pixels without Monte Carlo."""
    scene = lesson(LIGHTS[light])
    v = prb.traverse(scene)[NAME].astype(float)
    normal, to_camera = visible(SIZE, 32)

    def pixels(image):
        return image.reshape(SIZE, 32, SIZE, 32, 3).mean(axis=(1, 3))

    options = dict(spp=1024, seed=1, stderr=True)
    for axis in (0, 1):
        h = 1e-4 * np.eye(3)[axis]
        high, low = (shading(normal, to_camera, v + sign * h) for sign in (1, -1))
        expected = pixels((high - low) / 2e-4)
        found = prb.render_forward(scene, {NAME: np.eye(3)[axis]}, **options)
        grid = 5e-3 * np.abs(expected).max()  # the error of the means over 32 x 32 points, at the silhouette
        assert np.all(np.abs(found.value - expected) <= 5.5 * found.stderr + grid)
        assert found.stderr.max() < 0.02 * np.abs(expected).max()


def test_light_along_the_view_gives_images_odd_in_x_and_in_y():
    """The picture is even in x and y, so its derivatives by the direction's x and y are odd; other random
    numbers on the other side, hence within 5.5 standard errors."""
    scene = lesson(LIGHTS["along the view"])
    for axis, mirrored in ((0, np.fliplr), (1, np.flipud)):
        image, error = prb.render_forward(scene, {NAME: np.eye(3)[axis]}, spp=1024, seed=3, stderr=True)
        assert np.all(np.abs(image + mirrored(image)) <= 5.5 * np.hypot(error, mirrored(error)) + 1e-3)
        assert np.abs(image).max() > 0.5


def test_length_of_the_direction_only_scales_its_derivative():
    """d = v / |v|: twice as long a v gives the same picture and half the derivative."""
    scene = lesson(LIGHTS["tilted"])
    params = prb.traverse(scene)
    v = params[NAME]
    options = dict(spp=4, seed=2)
    picture, once = prb.render(scene, **options), forward(scene, 0, **options)
    along = prb.render_forward(scene, {NAME: v}, **options)
    assert np.abs(along).max() < 1e-5 * np.abs(once).max()
    params.update({NAME: 2 * v})
    np.testing.assert_allclose(prb.render(scene, **options), picture, rtol=1e-5)
    np.testing.assert_allclose(2 * forward(scene, 0, **options), once, rtol=1e-4, atol=1e-6)


def test_direction_set_before_the_first_render():
    pictures = []
    for rendered in (False, True):
        scene = lesson([0, 0, -1], 8)
        if rendered:
            prb.render(scene, spp=1)
        prb.traverse(scene).update({NAME: LIGHTS["tilted"]})
        pictures.append(prb.render(scene, spp=4))
    np.testing.assert_array_equal(*pictures)
