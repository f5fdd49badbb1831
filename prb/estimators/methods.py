"""The protocol of adjoint methods: objects that one passes as `adjoint=` to say how a gradient is found.

A method of one's own derives from `Adjoint` and defines `backward`; all else has a default. prb's own are
listed in prb/estimators/registry.py.
"""

from abc import ABC, abstractmethod

from prb.errors import ParameterError
from prb.estimators import cross_folds
from prb.estimators.sums import Result


class Adjoint(ABC):
    """A way to estimate derivatives, and what it can do.

    A subclass's docstring says what the method is, when to prefer it and what it costs. Its attributes say
    what may be asked of it:

    name: for messages and reports. has_forward: it has `forward`. has_stderr: `backward`, and `forward` if
    there is one, take ``variance=True``. has_deterministic_sums: `backward` takes ``deterministic=True``.
    is_difference: its gradients are finite differences, which cannot test themselves.

    Options that all methods take, by keyword:

    names: the parameters that are differentiated; None: all but vertex normals and directions, those that
        only attached sampling differentiates, and what moves shapes or the camera.
    spp, seed, max_depth: of the paths; None: the scene's.
    Only passed where they are asked for, so that a method need not take them: rr_depth, vertices before
    Russian roulette; values, the whole parameter buffer (float32) at which the derivative is taken, the
    scene's own by default; first_sample, the number of the first sample; progress, a bar on standard error.
    """

    name = "adjoint"
    has_forward = False
    has_stderr = False
    has_deterministic_sums = False
    is_difference = False

    def reason(self, scene, name):
        """Why the method cannot differentiate that parameter, as the end of a sentence; None where it can.

        It is asked of parameters that the scene lists as differentiable (`prb.device.params.records`).
        """
        return None

    def caveat(self, scene, name):
        """What the method leaves out of the derivative by a parameter that moves no edge by itself, as a
        sentence for reports; "" where nothing."""
        return ""

    def methods(self, scene, names):
        """The names of the methods that differentiate the parameters: parameter -> method, for reports."""
        return dict.fromkeys(names, self.name)

    def takes_picture(self, scene, names):
        """True if `value_and_grad` takes ``picture=``, a `RecursivePicture`, for these parameters."""
        return False

    @abstractmethod
    def backward(self, scene, image_adjoint, *, names=None, spp=None, seed=0, max_depth=None, **options):
        """Reverse mode: J^T image_adjoint over the named parameters, and the image of the same paths.

        image_adjoint: derivative of the objective with respect to the image, (height, width, 3).
        Returns a `Result` with image, gradient (one number for each of the scene's parameters) and spp.
        """

    def forward(self, scene, tangents, *, names=None, spp=None, seed=0, max_depth=None, **options) -> Result:
        """Forward mode: J tangents, and the image. tangents: float32, one number for each parameter.

        Returns a `Result` with image, tangent and spp.
        """
        raise ParameterError(
            f"adjoint: {self.name} has no forward mode; ReplayAdjoint() and FiniteDifference() have one"
        )

    def value_and_grad(
        self, scene, derivative_of, *, names=None, spp=None, seed=0, max_depth=None, kept_budget=0, **options
    ) -> Result:
        """The picture and the gradient of a loss, from one set of samples without bias: each fold of the
        samples carries the derivative that the picture of all others gives.

        derivative_of: picture -> derivative of the loss by it, both (height, width, 3).
        kept_budget: bytes that vertices kept from the picture for the gradient may take, for a method that
        keeps any. Among the options is `folds`, if it was asked for. Raises ParameterError for fewer than two
        samples.
        """
        return cross_folds.by_any_method(
            self.backward, scene, derivative_of, names=names, spp=spp, seed=seed, max_depth=max_depth,
            **options,
        )  # fmt: skip

    def device_bytes(self, scene, *, spp, max_depth):
        """Bytes that it allocates on the device, the scene's arrays not counted."""
        return 0
