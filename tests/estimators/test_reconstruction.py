"""Reconstruction filters: their tables, the sums of samples over pixels, and the transpose of these sums.

All against NumPy in float64, from where the samples lie.
"""

import numpy as np
import pytest
from helpers.filters import FILTERS, plan_of, small_film

import prb
from prb.device.arrays import fetch, upload
from prb.device.film import filter_table, filter_width, margin, pitch, reach, sampled_size, shifts
from prb.estimators import work
from prb.estimators.reconstruction import Reconstruction, divided, normalised, sample_weights
from prb.estimators.settings import resolved
from prb.kernels.arrays import vec3f
from prb.kernels.estimators import film as kernel

KINKED = 1.2e-3  # a table's error where the filter has a kink between two of its entries
SMOOTH = 2e-5  # elsewhere
MITSUBAS = 1e-3  # the error of the polynomial that it takes for a Gaussian
LAYOUTS = {  # width, height, options
    "1x1": (1, 1, {}),
    "1x7": (1, 7, {}),
    "3x2": (3, 2, {}),
    "crop": (11, 9, {"crop": (2, 3, 7, 5)}),
    "border": (6, 4, {"sample_border": True}),
    "1x1 border": (1, 1, {"sample_border": True}),
    "crop border": (9, 8, {"crop": (1, 0, 7, 5), "sample_border": True}),
}
SPLITS = ((1, 1, 2**19), (5, 1, 7), (5, 3, 10), (4, 4, 23))  # spp, folds, paths of a launch


def empty_scene(filter_name, width=9, height=5, **options):
    return prb.load_dict(
        {
            "type": "scene",
            "camera": {"type": "perspective", "film": small_film(filter_name, width, height, **options)},
            "sky": {"type": "constant"},
        }
    )


def error_of(filter_name):
    if filter_name in ("tent-0.4", "gaussian-0.1"):
        return 4 * KINKED  # narrow, so steep
    return KINKED if filter_name.startswith("tent-") else SMOOTH


# Tables


def tabulated(film, u):
    """What the table says: for places u in a pixel the pixels that count (counted from it), and weights."""
    table, n, width = filter_table(film).astype(float), kernel.STEPS, filter_width(film)
    i = (u * n).astype(int)
    half = table.shape[1] // 2
    low, high = table[i, :width], table[i, half : half + width]
    first = -reach(film) + (shifts(film) & (u >= 0.5)) * (reach(film) > 0)
    return first[:, None] + np.arange(width), low + (u * n - i)[:, None] * (high - low)


@pytest.mark.parametrize("name", FILTERS)
def test_tables_are_the_filters(name):
    """Also that no pixel is left out which the filter reaches."""
    film, value = empty_scene(name).film, FILTERS[name][1]
    u = np.random.default_rng(1).random(3000)
    pixels, weights = tabulated(film, u)
    np.testing.assert_allclose(weights, value(pixels + 0.5 - u[:, None]), atol=error_of(name))
    every = np.arange(-80, 81)
    reached = value(every + 0.5 - u[:, None]) != 0
    counted = (every >= pixels[:, :1]) & (every <= pixels[:, -1:])
    assert not (reached & ~counted).any()


def test_a_radius_of_half_a_pixel_makes_a_box_of_every_filter():
    """As in Mitsuba, whose `is_box_filter` asks for the radius."""
    for rfilter in ({"type": "tent", "radius": 0.5}, {"type": "gaussian", "stddev": 0.125}):
        film = {"type": "hdrfilm", "width": 4, "height": 3, "rfilter": rfilter}
        scene = {
            "type": "scene",
            "camera": {"type": "perspective", "film": film},
            "sky": {"type": "constant"},
        }
        assert reach(prb.load_dict(scene).film) == 0


@pytest.mark.parametrize("name", FILTERS)
def test_tables_are_mitsubas_filters(name):
    mi = pytest.importorskip("mitsuba")
    mi.set_variant("scalar_rgb")
    theirs = mi.load_dict(FILTERS[name][0])
    pixels, weights = tabulated(empty_scene(name).film, np.random.default_rng(2).random(50))
    u = np.random.default_rng(2).random(50)
    for place, columns, found in zip(u, pixels, weights, strict=True):
        expected = [theirs.eval(float(p + 0.5 - place)) for p in columns]
        np.testing.assert_allclose(found, expected, atol=max(error_of(name), MITSUBAS))


# Sums


class Samples:
    """The samples of a call, launch by launch: random radiances, and where they lie on the film."""

    def __init__(self, scene, spp, folds, seed=3, squares=False):
        film, settings = scene.film, resolved(scene, spp=spp, seed=seed)
        width, height = sampled_size(film)
        random = np.random.default_rng(7)
        self.found = Reconstruction(scene, settings, folds=folds)
        self.gathered = np.zeros_like(self.found.sums)
        self.adjoints, parts = [], []
        self.image_adjoint = random.normal(size=(folds, *scene.image_shape))
        adjoint = divided(self.image_adjoint, film, np.ones(scene.image_shape[:2]))
        launch = work.new_launch(scene, settings)
        cut = work.cut_samples(work.device_plan(), width * height, spp)
        self.launches = 0
        for piece in work.pieces(cut, width * height, spp):
            work.set_samples(launch, first_pixel=piece.first_pixel, first_sample=piece.first_sample)
            L = random.uniform(0, 2, (piece.paths, 3)).astype(np.float32)
            self.found.begin(launch, piece)
            samples = upload(L, vec3f)
            self.found.add(samples)
            if squares:
                self.found.add_squares(samples)
            if reach(film):
                u = fetch(self.found._positions)[: piece.paths].astype(float)
            else:
                u = np.full((piece.paths, 2), 0.5)
            rows = self.found._rows
            self.gathered[:, rows] += self.found._gathered(kernel.gather, samples, folds)
            pixel = piece.first_pixel + np.arange(piece.paths) // piece.samples
            number = piece.first_sample + np.arange(piece.paths) % piece.samples
            fold = np.searchsorted(np.arange(1, folds + 1) * spp // folds, number, side="right")
            place = np.stack([pixel % width, pixel // width], axis=1) - margin(film) + u
            self.adjoints.append(fetch(self.found.pull_back(adjoint))[: piece.paths].astype(float))
            parts.append((L.astype(float), place, fold, pixel, number))
            self.launches += 1
        self.L, self.place, self.fold, self.pixel, self.number = map(np.concatenate, zip(*parts, strict=True))
        self.adjoints = np.concatenate(self.adjoints)

    def weights(self, scene, value):
        """w of each sample in each pixel: (samples, height, width)."""
        height, width, _ = scene.image_shape
        x = value(np.arange(width) + 0.5 - self.place[:, :1])
        y = value(np.arange(height) + 0.5 - self.place[:, 1:])
        return y[:, :, None] * x[:, None, :]


EVERY_LAYOUT = ("box", "tent-1.7", "gaussian", "lanczos")


@pytest.mark.parametrize(
    ("name", "layout"),
    [(n, k) for n in FILTERS for k in LAYOUTS if n in EVERY_LAYOUT or k in ("3x2", "border")],
)
def test_sums_and_their_transpose_are_those_of_numpy(name, layout, monkeypatch):
    """Launches begin in the middle of a row, films are smaller than the filter, folds differ by a sample."""
    width, height, options = LAYOUTS[layout]
    scene, value = empty_scene(name, width, height, **options), FILTERS[name][1]
    assert margin(scene.film) == (reach(scene.film) if "sample_border" in options else 0)
    for spp, folds, paths in SPLITS:
        plan_of(monkeypatch, paths=paths)
        samples = Samples(scene, spp, folds)
        assert (samples.launches > 1) == (len(samples.L) > paths)
        w = samples.weights(scene, value)
        of_fold = samples.fold == np.arange(folds)[:, None]
        radiances = np.einsum("fs,shw,sc->fhwc", of_fold, w, samples.L, optimize=True)
        expected = np.concatenate([radiances, np.einsum("fs,shw->fhw", of_fold, w)[..., None]], axis=3)
        tolerance = 4 * error_of(name) * np.abs(expected).max()
        np.testing.assert_allclose(samples.found.sums, expected, atol=tolerance)
        np.testing.assert_allclose(samples.gathered, samples.found.sums, atol=3e-6 * np.abs(expected).max())
        weights = sample_weights(scene, resolved(scene, spp=spp, seed=3))
        np.testing.assert_allclose(weights, samples.found.sums[..., 3].sum(axis=0), rtol=1e-5, atol=1e-5)
        image = samples.found.image()
        np.testing.assert_allclose(image, normalised(samples.found.sums.sum(axis=0)))
        # The adjoint of each sample, and <a, R L> = <R^T a, L>.
        pulled = np.einsum("shw,shwc->sc", w, samples.image_adjoint[samples.fold], optimize=True)
        np.testing.assert_allclose(samples.adjoints, pulled, atol=4 * error_of(name) * np.abs(pulled).max())
        terms = samples.image_adjoint * samples.found.sums[..., :3]
        product = (samples.adjoints * samples.L).sum()
        assert abs(product - terms.sum()) <= 2e-6 * np.abs(samples.adjoints * samples.L).sum()


@pytest.mark.parametrize("name", ["box", "tent-1.7", "gaussian", "lanczos"])
def test_variances_are_those_of_numpy(name, monkeypatch):
    """In launches of one sample of a pixel, second moments; otherwise variances within each pixel."""
    for layout in ("3x2", "crop border"):
        width, height, options = LAYOUTS[layout]
        scene = empty_scene(name, width, height, **options)
        pixels = np.prod(sampled_size(scene.film))
        for per_launch in (1, 3):
            plan_of(monkeypatch, paths=per_launch * pixels)
            samples = Samples(scene, 6, 1, squares=True)
            w = samples.weights(scene, FILTERS[name][1])[..., None]
            wL, expected = w * samples.L[:, None, None], 0
            for part in samples.pixel * 6 + samples.number // per_launch == np.arange(pixels * 6)[:, None]:
                if part.any():
                    a, b = wL[part], w[part]
                    if per_launch > 1:
                        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
                    factor = per_launch / max(per_launch - 1, 1)
                    expected = expected + factor * np.stack(
                        [(a * a).sum(axis=0), (a * b).sum(axis=0), 0 * a[0] + (b * b).sum(axis=0)]
                    )
            squares, products = samples.found.squares
            found = np.stack([squares[..., :3], products[..., :3], squares[..., 3:] + 0 * products[..., :3]])
            np.testing.assert_allclose(found, expected, atol=30 * error_of(name) * np.abs(expected).max())


def test_samples_lie_uniformly_and_independently_in_every_pixel_around_the_film_too():
    """A chi-squared test at 1e-4; and no two pixels, or samples, have the same numbers."""
    scene = empty_scene("gaussian-0.7", 4, 3, sample_border=True)
    samples = Samples(scene, 64, 1)
    assert samples.pixel.max() + 1 == (4 + 6) * (3 + 6)
    u = samples.place - np.floor(samples.place)
    assert len(np.unique(u, axis=0)) == len(u)
    counts, _, _ = np.histogram2d(u[:, 0], u[:, 1], bins=8, range=[[0, 1], [0, 1]])
    statistic = ((counts - len(u) / 64) ** 2 / (len(u) / 64)).sum()
    assert statistic < 118.6  # the quantile at 1 - 1e-4 of 63 degrees of freedom, 116.6, and ties' rounding
    outside = (samples.place < 0).any(axis=1)
    assert outside.sum() == 64 * (10 * 9 - 7 * 6)


@pytest.mark.parametrize("name", ["gaussian", "lanczos"])
def test_a_crop_has_the_samples_of_the_whole_film(name):
    whole, crop = empty_scene(name, 11, 9), empty_scene(name, 11, 9, crop=(2, 3, 7, 5))
    border = empty_scene(name, 11, 9, crop=(2, 3, 7, 5), sample_border=True)
    settings = (6, 1)
    of_whole = {tuple(p): i for i, p in enumerate(Samples(whole, *settings).place)}
    found = Samples(crop, *settings).place
    assert len(found) == 7 * 5 * 6 and all(tuple(p) in of_whole for p in found + [2, 3])
    around = Samples(border, *settings).place + [2, 3]
    inside = ((around >= 0) & (around < [11, 9])).all(axis=1)
    assert all(tuple(p) in of_whole for p in around[inside]) and inside.sum() > 7 * 5 * 6


def test_rows_of_copies_stay_inside():
    """What `spread` and `pull_back` read beyond the picture belongs to the arrays."""
    for name in FILTERS:
        for width, height, options in LAYOUTS.values():
            film = empty_scene(name, width, height, **options).film
            last = sampled_size(film)[0] - 1 + reach(film) + (1 if shifts(film) else 0) - reach(film)
            blocks = filter_table(film).shape[1] // 2
            assert last + reach(film) + blocks <= pitch(film)
            steps = -(-film.crop_size[0] // (kernel.LINE // 4)) * (kernel.LINE // 4)
            assert margin(film) + reach(film) + steps <= pitch(film)
            assert margin(film) + reach(film) + kernel.LINE * -(-film.crop_size[0] // kernel.LINE) <= pitch(
                film
            )
