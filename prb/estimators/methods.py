"""The protocol of adjoint methods: objects that one passes as `adjoint=` to say how a gradient is found.

A method of one's own derives from `Adjoint` and defines `backward`; all else has a default. prb's own are
listed in prb/estimators/registry.py.
"""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from prb.device.params import records
from prb.errors import ParameterError
from prb.estimators import cross_folds
from prb.estimators.sums import Result

PATHS = ("spp", "seed", "max_depth", "rr_depth", "values", "progress")  # options that any part of a sum takes


class Adjoint(ABC):
    """A way to estimate derivatives, and what it can do.

    A subclass's docstring says what the method is, when to prefer it and what it costs. Its attributes say
    what may be asked of it:

    name: for messages and reports. has_forward: it has `forward`. has_stderr: `backward`, and `forward` if
    there is one, take ``variance=True``. has_deterministic_sums: `backward` takes ``deterministic=True``.
    is_difference: its gradients are finite differences, which cannot test themselves. own_samples: its random
    numbers are not those of a picture with the same seed.

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
    own_samples = False

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

    def beside_others(self, found):
        """Options of `backward` and `forward` where the method is a part of a `Sum`. found: the `Result` of
        the parts before it, or None."""
        return {}

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

    def __add__(self, other):
        """The sum of two methods' derivatives, of which each has a part: see `Sum`."""
        if not isinstance(other, Adjoint):
            return NotImplemented
        mine, theirs = (m.parts if isinstance(m, Sum) else (m,) for m in (self, other))
        return Sum((*mine, *theirs))


class Sum(Adjoint):
    """A sum of methods, each of which has a part of the derivative, such as ``ReplayAdjoint() + Boundary()``.

    parts: the methods. A parameter is differentiated by all of them that can; the picture is that of the
    first. Their random numbers are taken as independent, so that variances are added.
    """

    def __init__(self, parts):
        self.parts = tuple(parts)

    @property
    def name(self):
        return " + ".join(part.name for part in self.parts)

    @property
    def has_forward(self):
        return all(part.has_forward for part in self.parts)

    @property
    def has_stderr(self):
        return all(part.has_stderr for part in self.parts)

    @property
    def has_deterministic_sums(self):
        return all(part.has_deterministic_sums for part in self.parts)

    @property
    def is_difference(self):
        return all(part.is_difference for part in self.parts)

    def __repr__(self):
        return " + ".join(map(repr, self.parts))

    def reason(self, scene, name):
        """As of `Adjoint`: that of the first method, unless one of them can."""
        reasons = [part.reason(scene, name) for part in self.parts]
        return None if None in reasons else reasons[0]

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        able = [part for part in self.parts if part.reason(scene, name) is None]
        return " ".join(filter(None, (part.caveat(scene, name) for part in able)))

    def methods(self, scene, names):
        """As of `Adjoint`."""
        return {
            name: " + ".join(part.name for part in self.parts if part.reason(scene, name) is None)
            for name in names
        }

    def backward(self, scene, image_adjoint, *, names=None, **options) -> Result:
        """As of `Adjoint`."""
        found = None
        for part, own in self._shares(scene, names):
            result = part.backward(scene, image_adjoint, names=own, **part.beside_others(found), **options)
            found = result if found is None else _plus(found, result, "gradient")
        return found

    def forward(self, scene, tangents, *, names=None, **options) -> Result:
        """As of `Adjoint`."""
        found = None
        for part, own in self._shares(scene, names):
            some = only(scene, tangents, own)
            result = part.forward(scene, some, names=own, **part.beside_others(found), **options)
            found = result if found is None else _plus(found, result, "tangent")
        return found

    def value_and_grad(self, scene, derivative_of, *, names=None, **options) -> Result:
        """As of `Adjoint`. Methods whose random numbers are not those of the picture take the loss gradient
        at the whole picture, in one call; the first one, and all if there are others, go by folds."""
        (first, own), *others = self._shares(scene, names)
        if not others or not all(part.own_samples for part, _ in others):
            return super().value_and_grad(scene, derivative_of, names=names, **options)
        result = first.value_and_grad(scene, derivative_of, names=own, **options)
        paths = {key: options[key] for key in PATHS if key in options}
        adjoint = np.asarray(derivative_of(result.image), float)
        for part, own in others:
            more = part.backward(scene, adjoint, names=own, **part.beside_others(result), **paths)
            result = _plus(result, more, "gradient")
        return result

    def device_bytes(self, scene, *, spp, max_depth):
        """As of `Adjoint`: the methods run one after the other."""
        return max(part.device_bytes(scene, spp=spp, max_depth=max_depth) for part in self.parts)

    def _shares(self, scene, names):
        """Each method with the names that it differentiates; those that have none are left out."""
        if names is None:
            names = [name for name, record in records(scene).items() if record.by_default]
        shares = [(m, [name for name in names if m.reason(scene, name) is None]) for m in self.parts]
        return [share for share in shares if share[1]] or [(self.parts[0], [])]


def _plus(found, other, what):
    """The `Result` with the derivative of another method added, and its variance where there is one. what:
    the field that the derivative is, gradient or tangent."""
    variance = None if found.variance is None else found.variance + other.variance
    total = {what: getattr(found, what) + getattr(other, what)}
    return replace(found, variance=variance, rejected=max(found.rejected, other.rejected), **total)


def only(scene, tangents, names):
    """The tangents of the named parameters, zero for the others; None: as they are."""
    if names is None:
        return tangents
    found = np.zeros_like(tangents)
    for name in names:
        record = records(scene)[name]
        record.of(found)[...] = record.of(tangents)
    return found
