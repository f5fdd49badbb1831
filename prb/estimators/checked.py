"""Derivatives after checks of the user's input, for the public face and all that builds on it."""

import warnings
from collections.abc import Mapping

import numpy as np

from prb.device import runtime
from prb.device.lock import device_lock
from prb.device.params import records, select
from prb.device.scene import Scene
from prb.errors import ImageError, ParameterError
from prb.estimators.registry import method_of
from prb.kernels.estimators import modes

# The host's peak, where a CPU traces and the picture is written afterwards: sums, buffers, copies.
BYTES_PER_PIXEL = {modes.PRIMAL: 72, modes.REVERSE: 100, modes.FORWARD: 100}

BYTES_PER_FOLD = 140  # of a pixel as well, for each fold of a picture

OPTIONAL = {"rr_depth": None, "values": None, "first_sample": 0, "progress": False}  # see `Adjoint`


def backward(
    scene,
    grad_image,
    adjoint=None,
    *,
    sensor=None,
    names=None,
    stderr=False,
    deterministic=False,
    **options,
):
    """As `prb.render_backward`: a `Result` with the flat gradient, and the image of the same paths as well.

    names: the parameters that are differentiated, as `registry.selected` finds them; None: all but vertex
        normals and directions.
    options: those of `Adjoint.backward`.
    """
    scene, method = viewed(scene, sensor), method_of(adjoint)
    check_memory(scene, modes.REVERSE)
    weight = checked_image(grad_image, scene.image_shape, "grad_image")
    special = _special(method, stderr=stderr, deterministic=deterministic)
    with device_lock:
        result = method.backward(scene, weight, names=names, **_given(options), **special)
    report_rejected(result)
    return result


def forward(scene, tangents, adjoint=None, *, sensor=None, sampler=None, stderr=False, **options):
    """As `prb.render_forward`: a `Result` with the derivative image. options: those of `Adjoint.forward`."""
    scene, method = viewed(scene, sensor, sampler), method_of(adjoint)
    check_memory(scene, modes.FORWARD)
    flat, names = flat_tangents(scene, tangents, method), list(tangents)
    special = _special(method, stderr=stderr)
    with device_lock:
        result = method.forward(scene, flat, names=names, **_given(options), **special)
    report_rejected(result)
    return result


def _given(options):
    """The options without those optional ones that have their defaults, which a method need not take."""
    return {key: x for key, x in options.items() if key not in OPTIONAL or x is not OPTIONAL[key]}


def _special(method, *, stderr=False, deterministic=False):
    """The options that not every method offers. Raises ParameterError where this one does not offer them."""
    asked = {
        "stderr": (stderr, method.has_stderr, "variance"),
        "deterministic": (deterministic, method.has_deterministic_sums, "deterministic"),
    }
    for name, (wanted, offered, _) in asked.items():
        if wanted and not offered:
            raise ParameterError(
                f"{name}: {method.name} does not take it; ReplayAdjoint() and AttachedReplay() do"
            )
    return {option: True for wanted, _, option in asked.values() if wanted}


def flat_tangents(scene, tangents, method):
    """A dict name -> tangent as one float32 buffer over all parameters. Raises ParameterError."""
    if not isinstance(tangents, Mapping):
        raise ParameterError(f"tangents: expected a dict name -> tangent, got {type(tangents).__name__}")
    scene.free_corners(tangents)
    known = records(scene)
    flat = np.zeros(max(scene.values.size, 1), np.float32)
    for name, value in tangents.items():
        check_name(scene, name, method, "tangent")
        try:
            with np.errstate(over="ignore"):  # what overflows is reported as not finite
                value = np.broadcast_to(np.asarray(value, np.float32), known[name].shape)
        except (TypeError, ValueError):
            shape = known[name].shape
            got = " ".join(repr(value).split())[:60]
            raise ParameterError(f"{name}: expected a tangent of shape {shape}, got {got}") from None
        if not np.isfinite(value).all():
            raise ParameterError(f"{name}: the tangent has a number that is not finite")
        known[name].of(flat)[...] = value
    return flat


def check_name(scene, name, method, what):
    """Raise ParameterError unless that is one parameter's exact name, and the method can differentiate it.
    what: the thing that is given for the parameter, for the message."""
    select(scene, [name])
    if name not in records(scene):
        article = "an" if what[0] in "aeiou" else "a"
        raise ParameterError(f"{name}: {article} {what} needs one parameter's exact name, not a pattern")
    reason = method.reason(scene, name)
    if reason is not None:
        raise ParameterError(f"{name}: {method.name} cannot differentiate it: {reason}")


def checked_image(image, shape, place):
    """An image as float64 of the given shape. Raises ImageError."""
    try:
        image = np.asarray(image, np.float64)
    except (TypeError, ValueError):
        raise ImageError(f"{place}: expected an array of numbers, got {type(image).__name__}") from None
    if image.shape != shape:
        sizes = f"the film's shape {shape} (height, width, channels), got {image.shape}"
        raise ImageError(f"{place}: expected {sizes}; resize one of them")
    if not np.isfinite(image).all():
        raise ImageError(f"{place}: has numbers that are not finite; replace them")
    return image


def viewed(scene, sensor, sampler=None):
    """The scene as that sensor sees it, with that sampler; None: its own."""
    if not isinstance(scene, Scene):
        what = type(scene).__name__
        raise ParameterError(f"scene: expected what prb.load_file or prb.load_dict returns, got {what}")
    return scene.view(sensor, sampler)


def check_memory(scene, mode, folds=0):
    """Raise ParameterError for a film that does not fit into this machine's memory: the system would kill the
    process while it renders."""
    height, width, _ = scene.image_shape
    needed = height * width * (BYTES_PER_PIXEL[mode] + folds * BYTES_PER_FOLD)
    available = runtime.host_memory()
    if available is not None and needed > available:
        film = f"{width} x {height} pixels need about {needed / 2**30:.1f} GiB of memory"
        raise ParameterError(f"film: {film}, this machine has {available / 2**30:.1f}; choose a smaller size")


def rejected_paths(count):
    """What is said of so many paths of which something was left out."""
    return f"{count} paths had a contribution or a derivative that is not finite and was left out"


def report_rejected(result):
    """Warn of paths of which something was left out."""
    if result.rejected:
        warnings.warn(rejected_paths(result.rejected), stacklevel=3)
