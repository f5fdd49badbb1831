"""What the commands read: the scene, with the command line's changes, and pictures to compare it with."""

import os
from pathlib import Path

import prb
from prb.cli.output import say
from prb.errors import ImageError
from prb.estimators.checked import checked_image
from prb.estimators.settings import resolved
from prb.io.images import read_image
from prb.io.protect import check_not_read
from prb.scene.files import file_names, scene_file
from prb.scene.load import is_xml, read_dict
from prb.scene.reading.xml import read_xml


def load_scene(args):
    """The scene as its file has it; says what it warns of."""
    scene = prb.load_file(args.scene, **dict(args.define))
    for warning in scene.model.warnings:
        say(warning)
    return scene


def load_view(args):
    """The scene as seen by the chosen sensor, in the chosen size, on the device that the options name."""
    if args.arch is not None:
        prb.init(args.arch)
    scene = load_scene(args).view(args.sensor, args.sampler)
    if args.size is not None:
        scene.resize(*args.size)
    return scene


def used_settings(scene, args):
    """spp and max_depth as they will be used."""
    settings = resolved(scene, spp=args.spp, seed=args.seed, max_depth=args.max_depth)
    return settings.spp, settings.max_depth


def read_target(path, shape):
    """The picture that the film, of the given shape, is compared with."""
    target = read_image(path)
    if target.shape != shape:
        (height, width, _), (film_height, film_width, _) = target.shape, shape
        sizes = f"has {width} x {height} pixels and the film {film_width} x {film_height}"
        raise ImageError(f"{path}: {sizes}; resize one of them, for instance with --size {width}x{height}")
    return checked_image(target, shape, path)


def check_outputs(args, outputs, targets=()):
    """Raise ImageError if a file to write is one that is read: the scene, its files, or a target."""
    outputs = [path for path in outputs if os.path.exists(path)]
    if outputs:
        inputs = [*scene_inputs(args.scene, dict(args.define)), *targets]
        for output in outputs:
            check_not_read(output, inputs)


def scene_inputs(path, definitions):
    """The files of a scene: its own, those that it includes, its meshes and pictures."""
    path = Path(scene_file(path))
    if is_xml(path, path.read_bytes()):
        document = read_xml(path, definitions)
        return [*document.files, *file_names(document.data)]
    return [path, *file_names(read_dict(path, relative_to=os.curdir))]
