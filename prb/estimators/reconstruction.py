"""Pictures from samples, and their adjoints back to them: the host's side of kernels/estimators/film.py."""

import math

import numpy as np

from prb.device import runtime
from prb.device.arrays import fetch, output, passed, scratch, unused
from prb.device.film import block, margin, pitch, reach, sampled_size
from prb.estimators import work
from prb.estimators.sums import normalised
from prb.kernels.arrays import vec2f, vec3f, vec4f
from prb.kernels.backend import ti
from prb.kernels.estimators import film as kernel

COPIES_BYTES = 2**22


class Reconstruction:
    """The pictures of a call's folds: sums over launches of what samples count in pixels, in float64.

    sums: (folds, height, width, 4), for each pixel sum w L (RGB) and sum w. Samples are given launch by
    launch: `begin`, then what is wanted of them.
    """

    def __init__(self, scene, settings, *, folds=1):
        """settings: of the call, whose samples are split into `folds` parts of about equal size."""
        self._sensor = scene.device_arrays()[1]
        self._film = scene.film
        self._height, self._width, _ = scene.image_shape
        self._folds, self._pitch = folds, pitch(scene.film)
        self._spp, self._sampler = settings.spp, settings.sampler
        self._record = work.new_film(scene, settings, folds)
        self.sums = np.zeros((folds, self._height, self._width, 4))
        self.squares = None

    def begin(self, launch, piece):
        """The samples that follow are those of this piece, in order of pixels; sets no field of `launch`."""
        self._sampled_rows, self._rows = work.set_film(self._record, self._film, piece)
        self._paths, self._launch = piece.paths, launch
        self._folds_here = range(
            self._fold(piece.first_sample), self._fold(piece.first_sample + piece.samples - 1) + 1
        )
        self._positions = unused(1, vec2f)
        if reach(self._film):
            self._positions = scratch("positions", piece.paths, vec2f)
            kernel.place(self._sampler, launch, self._record, self._positions)

    def _fold(self, sample):
        """The fold of a sample, counted from the call's first one."""
        return ((sample + 1) * self._folds - 1) // self._spp

    def add(self, samples):
        """Add the samples' radiances to the sums. samples: (paths, 3) on the device."""
        if runtime.on_cpu() and reach(self._film):
            self._spread(samples, 4)
        else:
            self.sums[:, self._rows] += self._gathered(kernel.gather, samples, self._folds)

    def add_weights(self):
        """Add only the weights of the samples."""
        if runtime.on_cpu() and reach(self._film):
            self._spread(unused(1, vec3f), 1)
        else:
            self.add(output(self._paths, vec3f))

    def _spread(self, samples, channels):
        """`add` on a CPU: as many rows of samples at a time as their copies take about COPIES_BYTES."""
        film, launch, record = self._film, self._launch, self._record
        folds = self._folds_here
        of_row = len(folds) * (2 * reach(film) + 1) * channels * self._pitch
        step = max(1, COPIES_BYTES // (4 * of_row))
        for first in range(self._sampled_rows.start, self._sampled_rows.stop, step):
            rows = min(step, self._sampled_rows.stop - first)
            top = max(first - margin(film) - reach(film), 0)
            bottom = min(first + rows - margin(film) + reach(film), self._height)
            shape = len(folds), bottom - top, self._width, channels
            copies = scratch("copies", rows * of_row, ti.f32)
            sums = scratch("sums", math.prod(shape), ti.f32)
            options = block(film), channels, launch, record, self._sensor, folds.start, len(folds)
            kernel.spread(*options, first, rows, self._positions, samples, copies)
            kernel.collect(launch, record, first, rows, top, bottom - top, channels, len(folds), copies, sums)
            self.sums[folds.start : folds.stop, top:bottom, :, 4 - channels :] += fetch(sums)[
                : math.prod(shape)
            ].reshape(shape)

    def add_squares(self, samples):
        """Add what the variance needs. The samples belong to the sums, of one fold."""
        if self.squares is None:
            self.squares = np.zeros((2, self._height, self._width, 4))
        self.squares[:, self._rows] += self._gathered(kernel.gather_squares, samples, 2)

    def pull_back(self, *image_adjoints):
        """The adjoints of each sample, one after the other: (image_adjoints * paths, 3) on the device.

        image_adjoints: on the device, as `divided` makes them.
        """
        found = scratch("sample adjoint", len(image_adjoints) * self._paths, vec3f)
        place = block(self._film), self._launch, self._record, self._sensor, self._positions
        for k, image_adjoint in enumerate(image_adjoints):
            kernel.pull_back(*place, image_adjoint, k * self._paths, found)
        return found

    def image(self):
        """The picture of all samples: (height, width, 3)."""
        return normalised(self.sums.sum(axis=0))

    def variance(self):
        """Of each number of the picture of one fold: the sum over pixels of n Var(w (L - I)) / W^2, where n
        samples lie in each pixel, so that differences between pixels do not count."""
        image, weights = self.image(), self.sums.sum(axis=0)[..., 3:]
        squares, products = self.squares[0], self.squares[1, ..., :3]
        total = squares[..., :3] - 2 * image * products + image**2 * squares[..., 3:]
        return np.maximum(total, 0) / np.where(weights == 0, np.inf, weights) ** 2

    def _gathered(self, gather, samples, pictures):
        rows = self._rows.stop - self._rows.start
        out = output(pictures * rows * self._width, vec4f)
        gather(self._launch, self._record, self._sensor, self._positions, samples, out)
        return fetch(out).reshape(pictures, rows, self._width, 4)


def sample_weights(scene, settings):
    """W of each pixel, (height, width) float64: the sum of the weights of a call's samples. It depends only
    on where they lie."""
    if not reach(scene.film):
        return np.full(scene.image_shape[:2], float(settings.spp))
    found = Reconstruction(scene, settings)
    plan = work.device_plan()
    launch = work.new_launch(scene, settings)
    width, height = sampled_size(scene.film)
    cut = work.cut_samples(plan, width * height, settings.spp)
    for piece in work.pieces(cut, width * height, settings.spp):
        work.set_samples(
            launch, first_pixel=piece.first_pixel, first_sample=settings.first_sample + piece.first_sample
        )
        found.begin(launch, piece)
        found.add_weights()
    return found.sums[0, ..., 3]


def divided(image_adjoint, film, weights):
    """a_p / W_p on the device, as `kernel.pull_back` reads it.

    image_adjoint: of one picture or of several, (..., height, width, 3). weights: sums, (height, width).
    """
    adjoints = np.asarray(image_adjoint, np.float64)
    adjoints = adjoints.reshape(-1, *adjoints.shape[-3:])
    pictures, height, width, _ = adjoints.shape
    left = margin(film) + reach(film)
    padded = np.zeros((pictures, height, pitch(film), 3), np.float32)
    inverse = 1 / np.where(weights == 0, np.inf, weights)[..., None]
    np.multiply(adjoints, inverse, out=padded[:, :, left : left + width], casting="same_kind")
    return passed(padded.reshape(-1))
