"""The targets of a recovery, and how much their pixels count: saturation, alpha and masks."""

import os

import numpy as np

from prb.errors import ImageError, ParameterError
from prb.estimators.checked import checked_image
from prb.io.images import read_picture, read_texels
from prb.losses import checked_weights


def by_sensor(option, texts, views, *, one_for_all=False):
    """The files that an option names, one for each view: FILE in the order of the views, NAME=FILE for the
    sensor of that name; with one_for_all a single FILE is for all. Raises ParameterError and ImageError."""
    names = [view.sensor.name for view in views]
    named, others = {}, []
    for text in texts:
        name, equals, path = text.partition("=")
        if equals and name in names:
            if name in named:
                raise ParameterError(f"{option}: sensor {name} has two files; give it one")
            named[name] = path
        elif equals and not os.path.exists(text):
            known = ", ".join(names)
            raise ParameterError(f"{option}: {name!r} is no sensor of this run; those are {known}")
        else:
            others.append(text)
    if one_for_all and len(others) == 1 and not named:
        return others * len(views)
    if len(texts) != len(views):
        what = f"got {len(texts)} for {len(views)} sensors ({', '.join(names)})"
        raise ImageError(f"{'targets' if option == '--target' else option}: {what}; give one for each")
    left = iter(others)
    return [named[name] if name in named else next(left) for name in names]


def held_out(given, scene, views):
    """(numbers of the views that --hold-out names, those of the others). Raises ParameterError."""
    names = [view.sensor.name for view in views]
    chosen = {scene.view(sensor).sensor.name for sensor in given}
    missing = sorted(chosen - set(names))
    if missing:
        raise ParameterError(
            f"--hold-out: {missing[0]} is no sensor of this run; those are {', '.join(names)}"
        )
    others = [k for k, name in enumerate(names) if name in chosen]
    if len(others) == len(names):
        raise ParameterError("--hold-out: no sensor is left to recover from; leave one of them out")
    return others, [k for k in range(len(names)) if k not in others]


def read_targets(paths, views, *, clip):
    """The pictures of the files; the weights of each: an array (height, width, 3), or None where all counts
    alike; and lines to say. clip: numbers that a file of 8 or 16 bits has clipped count 0, and a line has
    their share. Raises ImageError."""
    targets, weights, lines = [], [], []
    for path, view in zip(paths, views, strict=True):
        picture = read_picture(path)
        _check_size(path, picture.linear.shape, view.image_shape)
        targets.append(checked_image(picture.linear, view.image_shape, path))
        counts = None
        if picture.alpha is not None and (picture.alpha != 1).any():
            counts = _weights(picture.alpha, view.image_shape, f"{path}: its alpha")
        if clip and picture.saturated is not None and picture.saturated.any():
            pixels = picture.saturated.any(axis=2).mean()
            if picture.saturated.all():
                raise ImageError(f"{path}: all of it is saturated; take another, or --target-clip off")
            what = f"{pixels:.2%} of the pixels are saturated and left out"
            lines.append(f"{path}: {what}; --target-clip off keeps them")
            counts = _product(counts, ~picture.saturated)
            if not counts.any():
                raise ImageError(f"{path}: nothing is left that is seen and not saturated; take another")
        weights.append(counts)
    return targets, weights, lines


def with_masks(weights, paths, views):
    """The weights times the pictures of the files, whose numbers are taken as they are. Raises ImageError."""
    found = []
    for counts, path, view in zip(weights, paths, views, strict=True):
        mask = read_texels(path, raw=True)
        _check_size(path, mask.shape, view.image_shape)
        mask = _weights(mask[..., 0] if mask.shape[2] == 1 else mask, view.image_shape, path)
        found.append(_product(counts, mask))
        if not found[-1].any():
            raise ImageError(f"{path}: leaves nothing of what counts in the target of {view.sensor.name}")
    return found


def _check_size(path, shape, film):
    if shape[:2] != film[:2]:
        (height, width), (film_height, film_width) = shape[:2], film[:2]
        sizes = f"has {width} x {height} pixels and the film {film_width} x {film_height}"
        raise ImageError(f"{path}: {sizes}; resize one of them, for instance with --size {width}x{height}")


def _weights(values, shape, place):
    checked = checked_weights(values, shape, place)
    return np.broadcast_to(checked if checked.ndim == 3 else checked[..., None], shape)


def _product(one, other):
    return np.asarray(other, float) if one is None else one * other
