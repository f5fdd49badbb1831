"""Options of `prb optimize` about textures, volumes and shapes, and the values that it starts from."""

import argparse
import os

import numpy as np

from prb import coordinates, priors
from prb.device.params import records, select, traverse
from prb.errors import ParameterError
from prb.estimators import seeds
from prb.io.images import READABLE, read_texels
from prb.io.volumes import read_vol
from prb.kernels.texture import LUMINANCE
from prb.recover.bounds import named
from prb.recover.coordinates import MOTIONS, POSITIONS, TRANSFORM
from prb.recover.grids import is_bitmap, is_volume, resized
from prb.scene.files import scene_dict
from prb.scene.load import named_nodes

RANDOM = "random"
SPHERE = "sphere"
VALUES = "values"  # of --as: the numbers of the matrix themselves


def add_options(parser):
    """--init, --prior, --coarse-to-fine, --as, --smooth-steps and --remesh."""
    parser.add_argument("--init", action="append", default=[],
                        metavar="[PATTERN=]VALUE|IMAGE|VOL|random|sphere",
                        help="the start, as in 0.5 or 0.5,0.2,0.9 or photo.png or smoke.vol, which are "
                             "resized to the texture or the volume; sphere: vertex positions on a ball about "
                             "the middle of the mesh (default: the scene's)")  # fmt: skip
    parser.add_argument("--prior", action="append", type=prior, default=[], metavar="PATTERN=KIND:WEIGHT",
                        help="a term that is added to the loss: tv (total variation), smooth (squared "
                             "differences of neighbouring texels) or l2 (squared differences from the "
                             "start), as in 'floor.*=tv:1e-4'; may be repeated")  # fmt: skip
    parser.add_argument("--coarse-to-fine", action="append", type=schedule, default=[],
                        metavar="PATTERN=N[@K]:N[@K]:...",
                        help="resolutions of a texture or volume, texels along its longest side, one "
                             "after the other: 16:64:128 shares the iterations out evenly, 16:64@50:128@120 "
                             "says at which each begins")  # fmt: skip
    parser.add_argument("--as", action="append", type=motion, default=[], dest="motions",
                        metavar="[PATTERN=]KIND",
                        help=f"how transforms are moved: {', '.join(MOTIONS)}, or {VALUES}, their numbers by "
                             "themselves; rates are in radians and in radii of what moves (default: rigid "
                             "for shapes and sensors)")  # fmt: skip
    parser.add_argument("--smooth-steps", type=float, metavar="LAMBDA",
                        help="how far steps of vertex positions are smoothed along the mesh, 0: not at all "
                             f"(default: {coordinates.LargeSteps().lambda_:g})")  # fmt: skip

    parser.add_argument("--remesh", action="append", type=remesh, default=[], metavar="PATTERN=K[:EDGE],...",
                        help="meshes whose vertex positions are optimised get other triangles before "
                             "iteration K, with edges of length EDGE, or half as long, as in "
                             "'vase.*=50,100:0.02'; what has texture coordinates cannot")  # fmt: skip


def prior(text):
    """(pattern, prior) of a text such as floor.*=tv:1e-4."""
    pattern, _, rest = text.rpartition("=")
    kind, _, weight = rest.partition(":")
    if not pattern or kind not in priors.KINDS or not weight:
        known = ", ".join(priors.KINDS)
        what = f"{text!r} is no prior; write it as in 'floor.*=tv:1e-4', with one of {known}"
        raise argparse.ArgumentTypeError(what)
    try:
        return pattern, priors.KINDS[kind](float(weight))
    except (ValueError, ParameterError):
        what = f"{text!r}: the weight {weight} is no finite number from 0 on"
        raise argparse.ArgumentTypeError(what) from None


def priors_of(given):
    """pattern -> list of priors, of what --prior gives."""
    found = {}
    for pattern, each in given:
        found.setdefault(pattern, []).append(each)
    return found


def motion(text):
    """(pattern or "", kind) of a text such as bunny.to_world=similarity."""
    pattern, _, kind = text.rpartition("=")
    if kind not in (*MOTIONS, VALUES) or text.startswith("="):
        known = ", ".join((*MOTIONS, VALUES))
        what = f"{text!r} is no kind of motion; write it as in 'bunny.to_world=rigid', with one of {known}"
        raise argparse.ArgumentTypeError(what)
    return pattern, kind


def coordinates_given(motions, smooth_steps, names):
    """pattern -> coordinates or None, of what --as and --smooth-steps give. Raises ParameterError."""
    found = {}
    for pattern, kind in motions:
        chosen = named("--as", pattern, names) if pattern else _ending("--as", TRANSFORM, names)
        found |= dict.fromkeys(chosen, None if kind == VALUES else MOTIONS[kind]())
    if smooth_steps is not None:
        smooth = coordinates.LargeSteps(smooth_steps)
        found |= dict.fromkeys(_ending("--smooth-steps", POSITIONS, names), smooth)
    return found


def _ending(option, key, names):
    found = [name for name in names if name.endswith(f".{key}")]
    if not found:
        raise ParameterError(f"{option}: no {key} is optimised; name one with --param")
    return found


def remesh(text):
    """(pattern, pairs of iteration and edge length or None) of a text such as vase.*=50,100:0.02."""
    pattern, _, rest = text.rpartition("=")
    try:
        pairs = [part.partition(":")[::2] for part in rest.split(",")]
        times = [(int(iteration), float(length) if length else None) for iteration, length in pairs]
    except ValueError:
        times = []
    if not pattern or not times:
        form = "write it as in 'vase.*=50,100' or 'vase.*=50:0.05,100:0.02'"
        raise argparse.ArgumentTypeError(f"{text!r} is no list of iterations; {form}")
    return pattern, times


def schedule(text):
    """(pattern, resolutions) of a text such as floor.*=16:64@50; with iterations if it has any."""
    pattern, _, rest = text.rpartition("=")
    try:
        pairs = [part.partition("@")[::2] for part in rest.split(":")]
        levels = [(int(start) if start else None, int(resolution)) for resolution, start in pairs]
    except ValueError:
        levels = []
    timed = [start is not None for start, _ in levels[1:]]
    if not pattern or not levels or any(timed) != all(timed):
        form = "write it as in 'floor.*=16:64:128' or 'floor.*=16:64@50:128@120'"
        raise argparse.ArgumentTypeError(f"{text!r} is no list of resolutions; {form}")
    if not any(timed) and levels[0][0] is None:
        return pattern, [resolution for _, resolution in levels]
    return pattern, [(start or 0, resolution) for start, resolution in levels]


def initial_values(scene, given, names, seed, source):
    """The values that --init asks for: name -> array, and the files that were read for them. Later ones
    go before. source: the scene's file and the values for its $names. Raises ParameterError, ImageError and
    VolumeError.
    """
    found, files = {}, []
    for text in given:
        pattern, value = ("", text) if os.path.isfile(text) or "=" not in text else text.split("=", 1)
        chosen = select(scene, pattern) if pattern else names
        for name in chosen:
            if name not in names:
                raise ParameterError(f"--init: {name} is not optimised; name it with --param too")
            record = records(scene)[name]
            if value == RANDOM:
                found[name] = _random(name, record, seed)
            elif value == SPHERE:
                found[name] = _sphere(scene, name)
            elif _suffix(value) == ".vol":
                found[name] = _from_volume(scene, name, value)
                files.append(value)
            elif _is_picture(value):
                found[name] = _from_picture(scene, name, value, source)
                files.append(value)
            else:
                found[name] = _given(name, record, value)
    return found, list(dict.fromkeys(files))


def _is_picture(text):
    """True for the name of a file, or what looks like one."""
    return os.path.isfile(text) or _suffix(text) in READABLE


def _suffix(text):
    return os.path.splitext(text)[1].lower()


def _from_volume(scene, name, path):
    """The numbers of a .vol in the size of the scene's grid. Where they lie is the scene's to say."""
    shape = records(scene)[name].shape
    if not is_volume(scene, name):
        raise ParameterError(
            f"--init: {path} is a volume and {name}, with shape {shape}, none; give it numbers"
        )
    voxels = read_vol(path).values
    if not np.isfinite(voxels).all():
        raise ParameterError(f"--init: {path} has voxels that are not finite; replace them")
    if voxels.shape[3] == 3 and shape[3] == 1:
        voxels = voxels @ np.array(LUMINANCE, np.float32)[:, None]
    if voxels.shape[3] not in (1, shape[3]) or (voxels.shape[3], shape[3]) == (1, 6):
        what = f"{path} has {voxels.shape[3]} channels and {name} {shape[3]}"
        raise ParameterError(f"--init: {what}; give it one with as many")
    return np.broadcast_to(resized(voxels, shape), shape)


def _from_picture(scene, name, path, source):
    """A picture as the texels of a bitmap, decoded as the scene's own image is, in the texture's size."""
    record = records(scene)[name]
    if not is_bitmap(scene, name):
        what = f"{path} is a picture and {name}, with shape {record.shape}, no bitmap"
        remedy = "numbers or a .vol" if is_volume(scene, name) else "numbers"
        raise ParameterError(f"--init: {what}; give it {remedy}")
    nodes = named_nodes(scene_dict(*source, relative_to=os.curdir))
    node = nodes.get(name.rpartition(".")[0], {})
    texels = read_texels(path, raw=bool(node.get("raw", False)))
    height, width, channels = record.shape
    if channels == 1 and texels.shape[2] == 3:
        texels = texels @ np.array(LUMINANCE, np.float32)[:, None]
    return np.broadcast_to(_resized(texels, height, width), record.shape)


def _resized(texels, height, width):
    """The texels in another size, interpolated or averaged; their range stays."""
    from PIL import Image  # takes a while to import

    if texels.shape[:2] == (height, width):
        return texels
    channels = [
        Image.fromarray(np.ascontiguousarray(channel)).resize((width, height), Image.Resampling.BILINEAR)
        for channel in np.moveaxis(texels, 2, 0)
    ]
    return np.clip(np.stack(channels, axis=2), texels.min(), texels.max())


def _random(name, record, seed):
    """Numbers in the valid range, or in its first unit where it has no end."""
    low = record.low if np.isfinite(record.low) else -1.0
    high = min(record.high, low + 1 if np.isfinite(record.low) else 1.0)
    return seeds.initial_values(seed, name).uniform(low, high, record.shape)


def _sphere(scene, name):
    """A mesh's positions, each in its direction from the mean of all, at the mean distance from there."""
    if not name.endswith(f".{POSITIONS}"):
        raise ParameterError(f"--init: {name} is no positions of vertices, which a sphere is for")
    positions = traverse(scene)[name].astype(float)
    middle = positions.mean(axis=0)
    offsets = positions - middle
    distances = np.linalg.norm(offsets, axis=1, keepdims=True)
    return middle + offsets * (distances.mean() / np.maximum(distances, np.finfo(np.float32).tiny))


def _given(name, record, text):
    try:
        numbers = [float(x) for x in text.split(",")]
        if len(numbers) == record.size:  # as of a matrix, row by row
            return np.reshape(numbers, record.shape)
        return np.broadcast_to(numbers, record.shape or (1,)).reshape(record.shape)
    except ValueError:
        shape = record.shape
        raise ParameterError(f"--init: {text!r} is no value of {name} with shape {shape}") from None
