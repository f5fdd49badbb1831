"""The command `prb`: argument parsing and what it prints. A user's mistake is one line and status 2."""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np

from prb.errors import ImageError, ParameterError, PrbError
from prb.images import atomic, check_output, read_image, write_image

GRADIENT_FORMATS = (".json", ".npz")
SEED_OF_PATHS = 0x9E3779B9  # added to the seed for the paths of a gradient whose objective is not linear


def main(argv=None):
    """Run the command line; returns the exit status."""
    args = _parser().parse_args(argv)
    warnings.showwarning = lambda message, *_, **__: print(f"prb: {message}", file=sys.stderr)
    try:
        return args.run(args)
    except PrbError as error:
        print(f"prb: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print("prb: not enough memory; use a smaller --size", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except KeyboardInterrupt:
        print("prb: interrupted; nothing was written", file=sys.stderr)
        return 130


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message):
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser():
    parser = _Parser(prog="prb", description="A differentiable path tracer by path replay.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--spp", type=int, help="samples per pixel (default: the scene's)")
    common.add_argument("--seed", type=int, default=0, help="the same seed gives the same numbers (default: 0)")
    common.add_argument("--max-depth", type=int, help="path edges at most, -1: no limit (default: the scene's)")
    common.add_argument("--size", type=_size, metavar="WxH", help="pixels (default: the scene's film)")
    common.add_argument("--arch", help="cpu, cuda, metal or vulkan (default: CUDA or Metal, else the CPU)")
    common.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    render = commands.add_parser("render", parents=[common], help="render a scene to a picture")
    render.add_argument("scene", metavar="SCENE", help="a scene file, or the name of a bundled scene")
    render.add_argument("-o", "--output", help="png, jpg, exr, hdr or npy (default: the scene's name, .png)")
    render.set_defaults(run=_render)

    grad = commands.add_parser("grad", parents=[common], help="the gradient of a picture's objective")
    grad.add_argument("scene", metavar="SCENE", nargs="?", default="cornell-box",
                      help="a scene file, or the name of a bundled scene (default: cornell-box)")  # fmt: skip
    grad.add_argument("--param", action="append", metavar="PATTERN",
                      help="a name, a glob, or an alias such as albedo; may be repeated (default: all)")  # fmt: skip
    grad.add_argument("--target", metavar="IMAGE",
                      help="objective: the mean squared difference to this picture (default: the mean)")  # fmt: skip
    grad.add_argument("-o", "--output", help="also write the gradients, as json or npz")
    grad.set_defaults(run=_grad)

    params = commands.add_parser("params", help="list a scene's parameters")
    params.add_argument("scene", metavar="SCENE", help="a scene file, or the name of a bundled scene")
    params.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    params.set_defaults(run=_params)
    return parser


def _version():
    import prb

    return f"prb {prb.__version__}"


def _size(text):
    try:
        width, height = (int(n) for n in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write WIDTHxHEIGHT, as in 256x256") from None
    return width, height


def _load(args):
    """The scene, with the command line's changes, on the device it names."""
    import prb

    if args.arch:
        prb.init(args.arch)
    scene = prb.load_file(args.scene)
    for warning in scene.model.warnings:
        print(f"prb: {warning}", file=sys.stderr)
    if args.size:
        scene.resize(*args.size)
    return scene


def _settings(scene, args):
    """spp and max_depth as they will be used."""
    from prb.integrate import check_samples

    spp = scene.sensor.sample_count if args.spp is None else args.spp
    max_depth = scene.model.integrator.max_depth if args.max_depth is None else args.max_depth
    check_samples(spp, args.seed, max_depth)
    return spp, max_depth


def _render(args):
    import prb

    if args.output:
        check_output(args.output)
    scene = _load(args)
    output = check_output(args.output or f"{scene.name}.png")
    spp, max_depth = _settings(scene, args)
    image = prb.render(scene, spp=spp, seed=args.seed, max_depth=max_depth, progress=True)
    write_image(output, image)
    mean = image.mean(axis=(0, 1), dtype=float)
    if args.json:
        _print_json(scene=args.scene, spp=spp, seed=args.seed, max_depth=max_depth, output=str(output),
                    width=image.shape[1], height=image.shape[0], mean=mean.tolist())  # fmt: skip
    else:
        print(f"{output}: {image.shape[1]} x {image.shape[0]}, {spp} spp, mean {_numbers(mean)}")
    return 0


def _grad(args):
    import prb
    from prb.params import select
    from prb.render import backward, checked_image, split

    if args.output:
        check_output(args.output, GRADIENT_FORMATS)
    scene = _load(args)
    spp, max_depth = _settings(scene, args)
    names = select(scene, args.param)
    shape = scene.image_shape
    options = dict(spp=spp, max_depth=max_depth, progress=True)
    seed = args.seed
    if args.target:
        target = checked_image(read_image(args.target), shape, args.target)
        difference = prb.render(scene, seed=seed, **options).astype(float) - target
        objective = {"name": "mean squared difference", "value": float((difference**2).mean())}
        weight = 2 * difference / difference.size
        seed = (seed + SEED_OF_PATHS) % 2**32
    else:
        weight = np.full(shape, 1 / np.prod(shape))
    result = backward(scene, weight, seed=seed, **options)
    if not args.target:
        objective = {"name": "mean", "value": float(result.image.mean())}
    grads = split(scene, result.gradient, names)
    _check_finite(grads)
    report = {
        "scene": args.scene, "spp": spp, "seed": args.seed, "max_depth": max_depth, "method": "replay",
        "objective": objective, "gradients": {name: g.tolist() for name, g in grads.items()},
    }  # fmt: skip
    if args.output:
        _write_gradients(Path(args.output), report, grads)
    if args.json:
        _print_json(**report)
    else:
        _print_gradients(scene, report, grads)
    return 0


def _check_finite(grads):
    for name, g in grads.items():
        if not np.isfinite(g).all():
            raise ParameterError(f"{name}: its gradient overflowed float32; scale the scene's radiances down")


def _write_gradients(path, report, grads):
    try:
        with atomic(path) as temporary:
            if path.suffix.lower() == ".npz":
                np.savez(temporary, **grads)
            else:
                Path(temporary).write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}") from None


def _print_gradients(scene, report, grads):
    import prb
    from prb.params import numbers

    depth = "unlimited" if report["max_depth"] < 0 else report["max_depth"]
    objective = report["objective"]
    print(f"{scene.name}: {report['spp']} spp, seed {report['seed']}, depth {depth}, method {report['method']}")
    print(f"objective: {objective['name']} = {objective['value']:.6g}\n")
    values = prb.traverse(scene)
    rows = [[name, numbers(values[name]), numbers(g)] for name, g in grads.items()]
    print(_table(rows, ["parameter", "value", "derivative of the objective"]))


def _params(args):
    import prb

    params = prb.traverse(prb.load_file(args.scene))
    if args.json:
        _print_json(
            scene=args.scene,
            parameters={
                name: {
                    "shape": list(np.shape(value)),
                    "value": value.tolist(),
                    "differentiable": params.differentiable(name),
                }
                for name, value in params.items()
            },
        )
    else:
        print(params)
    return 0


def _table(rows, headers):
    from tabulate import tabulate

    return tabulate(rows, headers=headers, disable_numparse=True)


def _numbers(values):
    return " ".join(f"{x:.6f}" for x in values)


def _print_json(**report):
    print(json.dumps(report))


if __name__ == "__main__":
    sys.exit(main())
