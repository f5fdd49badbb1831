"""What both kinds of tape share: arrays with adjoints, and copies of the parameters."""

import numpy as np

from prb.device.arrays import upload, zeros


def with_adjoint(array, adjoint):
    """The array, to which Taichi adds its derivatives in `adjoint`."""
    array._set_grad(adjoint)
    return array


class Parameters:
    """Copies of the parameters' values, which paths use in turn so that additions to their gradients contend
    less. size: numbers of a copy. array: all copies, with an adjoint."""

    def __init__(self, values, copies):
        self.size, self.copies = max(values.size, 1), copies
        own = np.zeros(self.size, np.float32)
        own[: values.size] = values
        self.array = with_adjoint(upload(np.tile(own, copies)), zeros(copies * self.size))

    def gradient(self):
        """The sum of the copies' adjoints, float64."""
        return self.array.grad.to_numpy().reshape(self.copies, self.size).sum(axis=0, dtype=np.float64)
