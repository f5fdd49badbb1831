"""Options that several commands share, and the types of their values."""

import argparse

from prb.kernels.points import NAMES as SAMPLERS

SCENE = "a scene file, or the name of a bundled scene"
PARAM = "a name, a glob or the alias albedo; may be repeated (default: all)"
SEED = "same seed, same numbers (default: 0)"
ARCH = "cpu, cuda, metal or vulkan (default: CUDA or Metal, else the CPU)"
SIZE = "pixels (default: the scene's film)"
JSON = "print one JSON object and nothing else"
BY_DEFAULT = "default: replay, attached for what only that can differentiate"
MEMORY_LIMIT = "what the tape may allocate (default: 80 %% of the free memory)"


class Shared:
    """Parsers for the `parents` of a command's.

    scene: values of a scene's parameters in XML. rendering: the options of all commands that render, those
    of `scene` among them.
    """

    def __init__(self):
        self.scene = argparse.ArgumentParser(add_help=False)
        self.scene.add_argument("-D", "--define", action="append", type=definition, default=[],
                                metavar="NAME=VALUE",
                                help="a parameter of a scene in XML; may be repeated")  # fmt: skip
        self.rendering = parser = argparse.ArgumentParser(add_help=False, parents=[self.scene])
        parser.add_argument("--spp", type=int, help="samples per pixel (default: the scene's)")
        parser.add_argument("--seed", type=int, default=0, help=SEED)
        parser.add_argument("--max-depth", type=int, metavar="N",
                            help="path edges at most, -1: no limit (default: the scene's)")  # fmt: skip
        parser.add_argument("--size", type=size, metavar="WxH", help=SIZE)
        parser.add_argument("--sensor", type=sensor, metavar="N|NAME",
                            help="the sensor's number or name (default: the first, 0)")  # fmt: skip
        parser.add_argument("--sampler", choices=SAMPLERS, help="random numbers (default: the scene's)")
        parser.add_argument("--arch", help=ARCH)
        parser.add_argument("--json", action="store_true", help=JSON)


def size(text):
    """(width, height) of a text such as 256x256."""
    try:
        width, height = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it as in 256x256") from None
    return width, height


def sensor(text):
    """A sensor's number, or else its name."""
    return int(text) if text.isdecimal() else text


def definition(text):
    """(name, value) of a text such as spp=64."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not a parameter; write it as in spp=64")
    return name, value
