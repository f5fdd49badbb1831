"""The protocol of adjoint methods: objects that one passes as `adjoint=` to say how a gradient is found.

A method of one's own derives from `Adjoint` and defines `backward`; all else has a default. prb's own are
listed in prb/estimators/registry.py.
"""

from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from prb.device.lock import locked
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
        mine, theirs = (m.parts if type(m) is Sum else (m,) for m in (self, other))
        return Sum((*mine, *theirs))


class Sum(Adjoint):
    """A sum of methods, each of which has a part of the derivative, such as ``ReplayAdjoint() + Boundary()``.

    parts: the methods. A parameter is differentiated by all of them that can; the picture is that of the
    first. Variances are added for methods with samples of their own. Others follow the same paths, so that
    standard errors are added, which is at most too much.
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

    def parts_of(self, scene, name):
        """The methods that have a part of the derivative by a parameter."""
        return [part for part in self.parts if part.reason(scene, name) is None]

    def reason(self, scene, name):
        """As of `Adjoint`: that of the first method, unless one of them can."""
        reasons = [part.reason(scene, name) for part in self.parts]
        return None if None in reasons else reasons[0]

    def caveat(self, scene, name):
        """As of `Adjoint`."""
        return " ".join(filter(None, (part.caveat(scene, name) for part in self.parts_of(scene, name))))

    def methods(self, scene, names):
        """As of `Adjoint`."""
        return {name: " + ".join(part.name for part in self.parts_of(scene, name)) for name in names}

    def takes_picture(self, scene, names):
        """As of `Adjoint`: True if one method is enough, and takes it."""
        (part, own), *others = self._shares(scene, names)
        return not others and part.takes_picture(scene, own)

    @locked
    def backward(self, scene, image_adjoint, *, names=None, **options) -> Result:
        """As of `Adjoint`."""
        return self._backward(scene, image_adjoint, self._shares(scene, names), None, options)

    @locked
    def forward(self, scene, tangents, *, names=None, **options) -> Result:
        """As of `Adjoint`."""
        total = None
        for part, own in self._shares(scene, names):
            some = only(scene, tangents, own)
            found = part.forward(scene, some, names=own, **part.beside_others(total), **options)
            total = _plus(total, found, "tangent", part)
        return total

    def value_and_grad(self, scene, derivative_of, *, names=None, **options) -> Result:
        """As of `Adjoint`. Methods with samples of their own take the loss gradient at the whole picture, in
        one call; of the others one does as it would alone, and several go by folds."""
        shares = self._shares(scene, names)
        folded = [share for share in shares if not share[0].own_samples]
        if len(folded) == 1:
            part, own = folded[0]
            result = part.value_and_grad(scene, derivative_of, names=own, **options)
        else:

            def backward(scene, image_adjoint, *, names, **options):
                return self._backward(scene, image_adjoint, folded or shares, None, options)

            own = None if names is None else [name for _, some in folded or shares for name in some]
            options.pop("kept_budget", None)
            result = cross_folds.by_any_method(
                backward,
                scene,
                derivative_of,
                names=own,
                **{"spp": None, "seed": 0, "max_depth": None, **options},
            )
        others = [share for share in shares if share[0].own_samples] if folded else []
        if not others:
            return result
        paths = {key: options[key] for key in PATHS if key in options}
        adjoint = np.asarray(derivative_of(result.image), float)
        return self._backward(scene, adjoint, others, result, paths)

    def device_bytes(self, scene, *, spp, max_depth):
        """As of `Adjoint`: the methods run one after the other."""
        return max(part.device_bytes(scene, spp=spp, max_depth=max_depth) for part in self.parts)

    def _backward(self, scene, image_adjoint, shares, total, options):
        """`total`, a `Result` or None, with the gradients of methods added: of each for its own names."""
        for part, own in shares:
            found = part.backward(scene, image_adjoint, names=own, **part.beside_others(total), **options)
            if total is not None or len(shares) > 1:
                found = replace(
                    found,
                    gradient=only(scene, found.gradient, own),
                    variance=only(scene, found.variance, own),
                )
            total = _plus(total, found, "gradient", part)
        return total

    def _shares(self, scene, names):
        """Each method with the names that it differentiates; those that have none are left out. Not empty."""
        if names is None:
            names = [name for name, record in records(scene).items() if record.by_default]
        able = {name: self.parts_of(scene, name) for name in names}
        shares = [(part, [name for name in names if part in able[name]]) for part in self.parts]
        return [share for share in shares if share[1]] or [(self.parts[0], [])]


def _plus(total, found, what, part):
    """The `Result` total, None at first, with a method's derivative added, and its variance where there is
    one. what: the field that the derivative is, gradient or tangent."""
    if total is None:
        return found
    variance = found.variance
    if variance is not None and part.own_samples:
        variance = total.variance + variance
    elif variance is not None:
        variance = (np.sqrt(total.variance) + np.sqrt(variance)) ** 2
    sums = {what: getattr(total, what) + getattr(found, what)}
    return replace(total, variance=variance, rejected=max(total.rejected, found.rejected), **sums)


def only(scene, numbers, names):
    """Of numbers for all parameters those of the named ones, zero for the others; None: as they are."""
    if numbers is None or names is None:
        return numbers
    found = np.zeros_like(numbers)
    for name in names:
        record = records(scene)[name]
        record.of(found)[...] = record.of(numbers)
    return found
