"""Sums of launches in float64, the variance of what they estimate, and the `Result` of an estimate."""

from dataclasses import dataclass

import numpy as np

from prb.device.arrays import clear, fetch
from prb.errors import ParameterError


@dataclass
class Result:
    """What an estimator found: means over samples.

    image: radiance (height, width, 3) float64. gradient: J^T image_adjoint as one float64 vector over all
    parameters, in reverse mode. tangent: J t (height, width, 3), in forward mode.
    variance: of each number of gradient or tangent, where it was asked for. gradient_alone: the gradient that
    is normalised by the weights of its own samples, where the other is not.
    rejected: paths of which a contribution, or a derivative of attached replay, is not finite and was left
    out. spp: samples of each pixel.
    folds: (folds, height, width, 4), for each part of the samples and each pixel the sum of the samples'
    weighted radiances (RGB) and that of their weights; None where the filter weighs all samples alike.
    """

    image: np.ndarray
    gradient: np.ndarray | None = None
    tangent: np.ndarray | None = None
    variance: np.ndarray | None = None
    rejected: int = 0
    spp: int = 0
    folds: np.ndarray | None = None
    gradient_alone: np.ndarray | None = None

    def merge(self, other):
        """The mean of this estimate and an independent one of the same quantities, weighted by their samples.

        Returns a new `Result`. Its image is that of all samples; gradients and tangents differ from those of
        all samples by how they are normalised, except under a box filter. Raises ParameterError where one has
        no number of samples, or only one has a gradient, tangent or variance.
        """
        spp = self.spp + other.spp
        if not (self.spp > 0 and other.spp > 0):
            raise ParameterError("merge: both results have to say their number of samples, spp")
        b = other.spp / spp
        a = 1 - b

        def mean(name, a=a, b=b):
            own, others = getattr(self, name), getattr(other, name)
            if (own is None) != (others is None):
                raise ParameterError(f"merge: only one of the two results has a {name}")
            return None if own is None else a * own + b * others

        folds = None
        image = mean("image")
        if self.folds is not None and other.folds is not None:
            folds = (self.folds.sum(axis=0) + other.folds.sum(axis=0))[None]
            image = normalised(folds[0])
        return Result(
            image, mean("gradient"), mean("tangent"), mean("variance", a**2, b**2),
            self.rejected + other.rejected, spp, folds,
        )  # fmt: skip


def normalised(sums):
    """The picture of sums (..., 4): RGB over weights; zero where there is no weight."""
    weights = sums[..., 3:]
    return sums[..., :3] / np.where(weights == 0, np.inf, weights)


MANY = 2**18  # numbers of copies of a gradient that are added in single precision, as double takes long


class Sums:
    """The outputs of all launches, added up in float64.

    picture: a `Reconstruction`, where work items are samples; None where they are sums of a pixel's samples.
    tangents: the same for the tangents. forward: the tangents too, and their squares. variance: of tangents
    or gradient too.
    """

    def __init__(self, pixels, spp, outputs, picture, tangents, *, forward, variance):
        self._spp, self._outputs, self._variance = spp, outputs, variance
        self._picture, self._tangents = picture, tangents
        if picture is None:
            self._image = np.zeros((pixels, 3))
            self._tangent = np.zeros((pixels, 3)) if forward else None
            self._moment = np.zeros((pixels, 3)) if forward else None
        self._gradient = self._alone = self._batches = None
        self._launched = False

    def start_gradient(self, parameters, gradients, copies, size, scale, integers):
        """Sum a number of gradients of `parameters` numbers each, of which launches write the first `size`,
        `copies` times; integers are in `scale` fixed-point steps per unit of gradient."""
        self._gradient = np.zeros(parameters)
        self._alone = np.zeros(parameters) if gradients == 2 else None
        self._copies, self._size, self._scale, self._integers = copies, size, scale, integers
        self._batches = BatchVariance(self._spp, self._gradient) if self._variance else None

    def clear_gradient(self):
        """Set the gradient's output to zero before a launch, which adds to it."""
        if self._launched and self._gradient is not None:
            clear(self._outputs.gradient)
        self._launched = True

    def add(self, piece, *, is_batch, with_image=True):
        """Add the outputs of one launch. is_batch: it has as many samples as the other batches, so that the
        variance can be estimated from it."""
        if self._picture is None:
            self._add_items(piece)
        else:
            if with_image:
                self._picture.add(self._outputs.image)
            if self._tangents is not None:
                self._tangents.add(self._outputs.image_tangent)
                if self._variance:
                    self._tangents.add_squares(self._outputs.image_tangent)
        if self._gradient is not None:
            self._add_gradient(piece.samples if is_batch else None)
        if piece.last and self._batches is not None:
            self._batches.close()

    def _add_items(self, piece):
        drawn = slice(piece.first_pixel, piece.first_pixel + piece.pixels)
        pixels, items = piece.pixels, piece.items_per_pixel
        self._image[drawn] += _summed(self._outputs.image, pixels, items)
        if self._tangent is not None:
            self._tangent[drawn] += _summed(self._outputs.image_tangent, pixels, items)
            self._moment[drawn] += _summed(self._outputs.image_moment, pixels, items)

    def _add_gradient(self, batch):
        found = fetch(self._outputs.gradient)
        if self._integers and found[-1] > 0:
            raise ParameterError(
                "deterministic: a contribution to the gradient is too large to be added as an "
                "integer; scale the scene's radiances down, or leave it out"
            )
        of_copies = self._copies * self._size
        element = np.int64 if self._integers else np.float64 if of_copies < MANY else np.float32
        copies = found[:of_copies].reshape(self._copies, self._size)
        gradient = self._gradient[: self._size]
        if self._copies == 1 and not self._integers:
            gradient += copies[0]  # many parameters: the general case would copy them three times
        else:
            gradient += copies.sum(axis=0, dtype=element) / self._scale
        if self._alone is not None:
            alone = found[of_copies : 2 * of_copies].reshape(self._copies, self._size)
            self._alone[: self._size] += alone.sum(axis=0, dtype=element) / self._scale
        if self._batches is not None and batch is not None:
            self._batches.add(copies / self._scale, batch)

    def result(self, scene):
        """The `Result`, for the scene's film and parameters."""
        spp, shape, parameters = self._spp, scene.image_shape, scene.values.size
        result = Result(None, rejected=int(fetch(self._outputs.rejected)[0]), spp=spp)
        if self._picture is not None:
            result.image, result.folds = self._picture.image(), self._picture.sums
            if self._tangents is not None:
                result.tangent = self._tangents.image()
                result.variance = self._tangents.variance() if self._variance else None
        else:
            result.image = (self._image / spp).reshape(shape)
            if self._tangent is not None:
                result.tangent = (self._tangent / spp).reshape(shape)
                if self._variance:
                    variance = np.maximum(self._moment / spp - (self._tangent / spp) ** 2, 0)
                    result.variance = (variance / (spp - 1)).reshape(shape)
        if self._gradient is not None:
            result.gradient = self._gradient[:parameters]
            result.gradient_alone = None if self._alone is None else self._alone[:parameters]
            result.variance = None if self._batches is None else self._batches.variance[:parameters]
        return result


class BatchVariance:
    """The variance of a gradient from batches of samples, which are independent.

    The pixels of a worker are the same in each batch, so each worker's sums are compared with its own:
    differences between pixels do not count, and a few batches give many degrees of freedom.
    """

    def __init__(self, spp, gradient):
        """spp: samples in all. gradient: an array of the shape of the whole gradient."""
        self.variance = np.zeros_like(gradient)
        self._spp = spp
        self._batches = 0

    def add(self, sums, samples):
        """The workers' sums of one batch of so many samples, the same in all batches: (workers, size)."""
        if self._batches == 0:
            self._samples, self._sum, self._squares = samples, np.zeros(sums.shape), np.zeros(sums.shape)
        self._batches += 1
        self._sum += sums
        self._squares += np.square(sums, dtype=np.float64)

    def close(self):
        """Add the variance of the pixels whose batches are all summed now."""
        b = self._batches
        of_batch = np.maximum(self._squares - self._sum**2 / b, 0).sum(axis=0) / (b - 1)
        self.variance[: len(of_batch)] += of_batch * (self._spp / self._samples)
        self._batches = 0


def _summed(device, pixels, items_per_pixel):
    """The sums of one launch's pixels in float64, always added in the same order: (pixels, 3)."""
    items = fetch(device)[: pixels * items_per_pixel]
    return items.reshape(pixels, items_per_pixel, 3).sum(axis=1, dtype=np.float64)
