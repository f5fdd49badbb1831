"""The command `prb`: argument parsing and what it prints. A user's mistake is one line and status 2."""

import argparse
import contextlib
import json
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from prb.cli import optimize as cli_optimize
from prb.errors import ImageError, ParameterError, PrbError
from prb.io.images import atomic, check_output, read_image, write_image

GRADIENT_FORMATS = (".json", ".npz")


def main(argv=None):
    """Run the command line; returns the exit status: 0, 2 for a user's mistake, 130 for an interrupt."""
    args = _parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(message)
        try:
            return _run(args)
        except PrbError as error:
            _say(error)
            return 2
        except MemoryError:
            _say("not enough memory; choose a smaller --size")
            return 2
        except RuntimeError as error:  # how Taichi reports it
            if "memory" not in str(error).lower():
                raise
            _say(f"the device has not enough memory ({str(error).splitlines()[0]}); choose a smaller --size")
            return 2
        except KeyboardInterrupt as error:
            _say(error if error.args else "interrupted")
            return 130


def _run(args):
    """The command itself: its exit status. What it prints goes out at its end, or nothing does."""
    text = args.run(args)
    status = getattr(args, "status", 0)
    if sys.stdout is None:  # closed by the caller, who does not want to know
        return status
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold anything
        print(text, flush=True)
    except BrokenPipeError:  # the reader had enough, as `head` does
        _drop_output()
        return status
    except OSError as error:
        _drop_output()
        raise PrbError(f"standard output: cannot be written: {error.strerror}") from None
    return status


def _drop_output():
    """Python flushes standard output once more at its end, which must not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message):
    """One line on standard error."""
    print("prb:", " ".join(str(message).split()), file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message):
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _parser():
    parser = _Parser(prog="prb", description="A differentiable path tracer by path replay.")
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    define = argparse.ArgumentParser(add_help=False)
    define.add_argument("-D", "--define", action="append", type=_definition, default=[], metavar="NAME=VALUE",
                        help="a parameter of a scene in XML; may be repeated")  # fmt: skip

    common = argparse.ArgumentParser(add_help=False, parents=[define])
    common.add_argument("--spp", type=int, help="samples per pixel (default: the scene's)")
    common.add_argument("--seed", type=int, default=0, help="same seed, same numbers (default: 0)")
    common.add_argument("--max-depth", type=int, metavar="N",
                        help="path edges at most, -1: no limit (default: the scene's)")  # fmt: skip
    common.add_argument("--size", type=_size, metavar="WxH", help="pixels (default: the scene's film)")
    common.add_argument("--sensor", type=_sensor, metavar="N|NAME",
                        help="the sensor's number or name (default: the first, 0)")  # fmt: skip
    common.add_argument("--arch", help="cpu, cuda, metal or vulkan (default: CUDA or Metal, else the CPU)")
    common.add_argument("--json", action="store_true", help="print one JSON object and nothing else")

    render = commands.add_parser("render", parents=[common], help="render a scene to a picture")
    render.add_argument("scene", metavar="SCENE", help="a scene file, or the name of a bundled scene")
    render.add_argument("-o", "--output", metavar="FILE",
                        help="png, jpg, exr, hdr or npy (default: the scene's name, .png)")  # fmt: skip
    render.add_argument("--deterministic", action="store_true",
                        help="the same bits on the same device; pictures always have them")  # fmt: skip
    render.set_defaults(run=_render)

    grad = commands.add_parser("grad", parents=[common], help="the gradient of a picture's objective")
    grad.add_argument("scene", metavar="SCENE", nargs="?", default="cornell-box",
                      help="a scene file, or the name of a bundled scene (default: cornell-box)")  # fmt: skip
    grad.add_argument("--param", action="append", metavar="PATTERN",
                      help="a name, a glob or the alias albedo; may be repeated (default: all)")  # fmt: skip
    grad.add_argument("--target", metavar="IMAGE",
                      help="objective: mean squared difference to it (default: the mean)")  # fmt: skip
    methods = ["replay", "tape", "fd", "all"]
    grad.add_argument("--method", choices=methods, default="replay",
                      help="path replay, the tape, central differences, or all side by side")  # fmt: skip
    grad.add_argument("--passes", type=int, metavar="N",
                      help="parts that replay and tape split the samples into (default: 1)")  # fmt: skip
    grad.add_argument("--memory-limit", type=float, metavar="MIB",
                      help="what the tape may allocate (default: 80 %% of the free memory)")  # fmt: skip
    grad.add_argument("--step", type=float, help="of the central differences (default: 0.01)")
    grad.add_argument("--deterministic", action="store_true",
                      help="the same bits on the same device, however many threads (replay)")  # fmt: skip
    grad.add_argument("--tolerance", type=float, metavar="X",
                      help="add samples until the standard error of each number is at most that part of it, "
                           "such as 0.02 (replay)")  # fmt: skip
    grad.add_argument("--max-spp", type=int, metavar="N",
                      help="samples per pixel that --tolerance may take (default: 65536)")  # fmt: skip
    grad.add_argument("-o", "--output", metavar="FILE", help="also write the gradients, as json or npz")
    grad.add_argument("--images", metavar="DIR",
                      help="also write the derivative image of each number, by path replay: EXR, PNG and a "
                           "contact sheet")  # fmt: skip
    grad.set_defaults(run=_grad)

    cli_optimize.add_parser(commands, common).set_defaults(run=_optimize)

    check = commands.add_parser("check", parents=[common], help="test gradients against finite differences")
    check.add_argument("scene", metavar="SCENE", help="a scene file, or the name of a bundled scene")
    check.add_argument("--param", action="append", metavar="PATTERN",
                       help="a name, a glob or the alias albedo; may be repeated (default: all)")  # fmt: skip
    check.add_argument("--method", choices=("replay", "tape"), help="what is tested (default: replay)")
    check.add_argument("--seeds", type=int, metavar="N", help="independent runs (default: 16)")
    check.add_argument("--steps", type=float, nargs="+", metavar="H",
                       help="parts of a parameter's size (default: 0.1 0.05 0.025)")  # fmt: skip
    check.add_argument("--significance", type=float, metavar="P",
                       help="chance of a false alarm, all components together (default: 1e-3)")  # fmt: skip
    check.add_argument("--tolerance", type=float, metavar="T",
                       help="part of a gradient that it must agree within (default: 0.02)")  # fmt: skip
    check.set_defaults(run=_check)

    bench = commands.add_parser("bench", help="time and memory of a gradient over depth and samples")
    bench.add_argument("scene", metavar="SCENE", nargs="?", default="cornell-box",
                       help="a scene file or a bundled scene's name (default: cornell-box)")  # fmt: skip
    bench.add_argument("--method", action="append", choices=methods[:-1],
                       help="may be repeated (default: replay and tape)")  # fmt: skip
    bench.add_argument("--depths", type=int, nargs="+", metavar="N", help="default: 4 8 16 32 64")
    bench.add_argument("--spps", type=int, nargs="+", metavar="N", help="default: 4 16 64")
    bench.add_argument("--full", action="store_true",
                       help="depths x samples; else depths at the fewest samples, samples at the smallest "
                            "depth")  # fmt: skip
    bench.add_argument("--size", type=_size, metavar="WxH", help="pixels (default: the scene's film)")
    bench.add_argument("--param", action="append", metavar="PATTERN",
                       help="what fd differentiates and is compared (default: all)")  # fmt: skip
    bench.add_argument("--memory-limit", type=float, metavar="MIB",
                       help="what the tape may allocate (default: 80 %% of the free memory)")  # fmt: skip
    bench.add_argument("--runs", type=int, default=3, metavar="N", help="timed, after the first (default: 3)")
    bench.add_argument("--seed", type=int, default=0, help="same seed, same numbers (default: 0)")
    bench.add_argument("--arch", help="cpu, cuda, metal or vulkan (default: CUDA or Metal, else the CPU)")
    bench.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    bench.add_argument("-o", "--output", metavar="DIR", help="for the results (default: bench-SCENE)")
    bench.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")
    bench.set_defaults(run=_bench)

    convert = commands.add_parser("convert", parents=[define], help="write a scene in Mitsuba's XML as JSON")
    convert.add_argument("scene", metavar="SCENE", help="an XML file")
    convert.add_argument("output", metavar="FILE", help="json; the scene's files are named relative to it")
    convert.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    convert.set_defaults(run=_convert)

    params = commands.add_parser("params", parents=[define], help="list a scene's parameters")
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write it as in 256x256") from None
    return width, height


def _sensor(text):
    return int(text) if text.isdecimal() else text


def _definition(text):
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not a parameter; write it as in spp=64")
    return name, value


def _load(args):
    """The scene, with the command line's changes, on the device it names."""
    import prb

    if args.arch is not None:
        prb.init(args.arch)
    scene = _load_scene(args).view(args.sensor)
    if args.size is not None:
        scene.resize(*args.size)
    return scene


def _load_scene(args):
    import prb

    scene = prb.load_file(args.scene, **dict(args.define))
    for warning in scene.model.warnings:
        _say(warning)
    return scene


def _settings(scene, args):
    """spp and max_depth as they will be used."""
    from prb.estimators.settings import resolved

    settings = resolved(scene, spp=args.spp, seed=args.seed, max_depth=args.max_depth)
    return settings.spp, settings.max_depth


def _render(args):
    import prb

    if args.output is not None:
        check_output(args.output)
    scene = _load(args)
    output = check_output(f"{scene.name}.png" if args.output is None else args.output)
    spp, max_depth = _settings(scene, args)
    image = prb.render(scene, spp=spp, seed=args.seed, max_depth=max_depth, progress=_progress())
    write_image(output, image)
    mean = image.mean(axis=(0, 1), dtype=float)
    if args.json:
        return _json(scene=args.scene, spp=spp, seed=args.seed, max_depth=max_depth, output=str(output),
                     width=image.shape[1], height=image.shape[0], mean=mean.tolist())  # fmt: skip
    return f"{output}: {image.shape[1]} x {image.shape[0]}, {spp} spp, mean {_numbers(mean)}"


def _grad(args):
    import prb
    from prb.device.params import select
    from prb.estimators import seeds
    from prb.estimators import tolerance as to_tolerance
    from prb.estimators.checked import backward
    from prb.estimators.gradients import split
    from prb.report import derivative_images

    if args.output is not None:
        check_output(args.output, GRADIENT_FORMATS)
    if args.images is not None:
        derivative_images.check_folder(args.images)
    _check_certainty(args)
    scene = _load(args)
    spp, max_depth = _settings(scene, args)
    names = select(scene, args.param)
    parts = [] if args.images is None else derivative_images.components(scene, names)
    shape = scene.image_shape
    options = dict(spp=spp, max_depth=max_depth, progress=_progress())
    seed = args.seed
    if args.target is not None:
        target = _target(args.target, shape)
        difference = prb.render(scene, seed=seed, **options).astype(float) - target
        objective = {"name": "mean squared difference", "value": float((difference**2).mean())}
        weight = 2 * difference / difference.size
        seed = seeds.objective_paths(seed)
    else:
        weight = np.full(shape, 1 / np.prod(shape))
    methods = _methods(args)
    special = dict(deterministic=args.deterministic)
    if args.tolerance is None:
        special["stderr"] = args.method == "replay" and spp > 1
    found = {}
    for method in methods:
        if method.name == "fd":
            _say(f"central differences take {method.renders(scene, names)} renders")
        if len(methods) > 1:  # so that what is timed does not compile
            once = {**options, "spp": args.passes or 1}
            backward(scene, weight, method, seed=seed, names=[], **once)
        start = time.perf_counter()
        if args.tolerance is None:
            result = backward(scene, weight, method, seed=seed, names=names, **options, **special)
        else:
            most = to_tolerance.MAX_SAMPLES if args.max_spp is None else args.max_spp
            limits = dict(tolerance=args.tolerance, max_spp=most)
            result = to_tolerance.sample_to_tolerance(
                scene, weight, names, seed=seed, **limits, **options, **special
            )
            spp = result.spp
        seconds = time.perf_counter() - start
        grads = split(scene, result.gradient, names)
        _check_finite(grads)
        memory = method.device_bytes(scene, spp=spp, max_depth=max_depth) + scene.device_bytes()
        found[method.name] = {"gradients": grads, "seconds": seconds, "device_mib": memory / 2**20}
        if args.target is None and method is methods[0]:
            objective = {"name": "mean", "value": float(result.image.mean())}
    grads = found[methods[0].name]["gradients"]
    if not any(np.any(g) for g in grads.values()):
        _say("the gradient is zero everywhere; does light reach these parameters?")
    report = {
        "scene": args.scene, "spp": spp, "seed": args.seed, "max_depth": max_depth, "method": args.method,
        "objective": objective, "gradients": {name: g.tolist() for name, g in grads.items()},
    }  # fmt: skip
    if result.variance is not None:
        errors = split(scene, np.sqrt(result.variance), names)
        report["stderr"] = {name: e.tolist() for name, e in errors.items()}
    if args.tolerance is not None:
        report |= {"tolerance": args.tolerance, "error": result.finite_error, "why_not": result.why_not}
        if result.why_not is not None:
            _say(result.why_not)
    if len(methods) > 1:
        report["methods"] = _compared(found, grads)
    if args.output is not None:
        _write_gradients(Path(args.output), report, grads)
    if args.images is not None:
        files = derivative_images.write(scene, parts, args.images, seed=args.seed, **options)
        report["images"] = [str(file) for file in files]
    return _json(**report) if args.json else _gradients(scene, report, grads)


def _optimize(args):
    import prb

    if args.arch is not None:
        prb.init(args.arch)
    report = cli_optimize.run(_load_scene(args), args, read_target=_target, progress=_progress())
    return _json(**report) if args.json else cli_optimize.table(report)


def _check_certainty(args):
    """Raise ParameterError where what concerns the certainty of a gradient does not go together."""
    from prb.estimators.tolerance import check_tolerance

    special = {"--tolerance": args.tolerance is not None, "--deterministic": args.deterministic}
    for option, given in special.items():
        if given and args.method != "replay":
            raise ParameterError(f"{option}: goes with --method replay, not with {args.method}")
    if args.tolerance is None:
        if args.max_spp is not None:
            raise ParameterError("--max-spp: goes with --tolerance; --spp says how many samples to take")
        return
    check_tolerance(args.tolerance)
    if args.passes is not None:
        raise ParameterError("--passes: does not go with --tolerance, whose passes are its batches")


def _check(args):
    from prb.checking.differences import check as check_gradients
    from prb.checking.differences import fit_film
    from prb.estimators.registry import METHODS

    scene = _load(args)
    if args.size is None:
        fit_film(scene)
    given = {key: getattr(args, key) for key in ("seeds", "spp", "steps", "significance", "tolerance")}
    given = {key: value for key, value in given.items() if value is not None}
    report = check_gradients(scene, args.param, adjoint=METHODS[args.method or "replay"](), seed=args.seed,
                          max_depth=args.max_depth, progress=_progress(), **given)  # fmt: skip
    args.status = int(report.refuted)
    return _json(scene=args.scene, **report.to_dict()) if args.json else repr(report)


def _bench(args):
    from prb.bench.report import markdown
    from prb.bench.suite import Settings, bench

    given = {"methods": args.method, "depths": args.depths, "spps": args.spps, "params": args.param}
    lists = {name: tuple(values) for name, values in given.items() if values is not None}
    settings = Settings(args.scene, size=args.size, runs=args.runs, seed=args.seed, arch=args.arch,
                        full=args.full, memory_limit_mib=args.memory_limit, **lists)  # fmt: skip
    folder = Path(f"bench-{Path(args.scene).stem}" if args.output is None else args.output)
    results = bench(settings, folder, resume=args.resume, progress=_progress())
    return _json(**results) if args.json else f"{markdown(results)}\nwritten to {folder}"


def _methods(args):
    """The adjoint methods that the command line asks for."""
    from prb.estimators.registry import METHODS

    passes = {} if args.passes is None else {"passes": args.passes}
    limit = {} if args.memory_limit is None else {"memory_limit": int(args.memory_limit * 2**20)}
    step = {} if args.step is None else {"step": args.step}
    options = {"replay": passes, "tape": {**passes, **limit}, "fd": step}
    wanted = list(METHODS) if args.method == "all" else [args.method]
    return [METHODS[name](**options[name]) for name in wanted]


def _compared(found, reference):
    """What each method found, for JSON: its gradients, how far off the first method's they are, its cost."""
    return {
        name: {
            "gradients": {key: g.tolist() for key, g in entry["gradients"].items()},
            "relative_difference": {
                key: _difference(g, reference[key]) for key, g in entry["gradients"].items()
            },
            "seconds": entry["seconds"],
            "device_mib": entry["device_mib"],
        }
        for name, entry in found.items()
    }


def _difference(gradient, reference):
    """The largest difference over the largest number."""
    scale = np.abs(reference).max(initial=0)
    return float(np.abs(gradient - reference).max(initial=0) / scale) if scale > 0 else 0.0


def _progress():
    """Whether to show a bar: where somebody watches, not in a log."""
    return sys.stderr.isatty()


def _target(path, shape):
    """The picture that the film, of the given shape, is compared with."""
    from prb.estimators.checked import checked_image

    target = read_image(path)
    if target.shape != shape:
        (height, width, _), (film_height, film_width, _) = target.shape, shape
        sizes = f"has {width} x {height} pixels and the film {film_width} x {film_height}"
        raise ImageError(f"{path}: {sizes}; resize one of them, for instance with --size {width}x{height}")
    return checked_image(target, shape, path)


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
                Path(temporary).write_text(_json(**report) + "\n", encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def _gradients(scene, report, grads):
    import prb
    from prb.device.params import numbers

    depth = "unlimited" if report["max_depth"] < 0 else report["max_depth"]
    objective = report["objective"]
    head = f"{scene.name}: {report['spp']} spp, seed {report['seed']}, depth {depth}, {report['method']}"
    value = f"objective: {objective['name']} = {objective['value']:.6g}"
    values = prb.traverse(scene)
    files = report.get("images")
    end = f"\n\n{len(files)} files written, the last {files[-1]}" if files else ""
    if "methods" in report:
        rows = []
        for name in grads:
            for method, entry in report["methods"].items():
                off, cost = entry["relative_difference"][name], f"{entry['seconds']:.2f}"
                gradient = numbers(np.array(entry["gradients"][name]))
                rows.append([name, method, gradient, f"{off:.1e}", cost, f"{entry['device_mib']:.1f}"])
        columns = ["parameter", "method", "derivative", "relative difference", "seconds", "device MiB"]
        return f"{head}\n{value}\n\n{_table(rows, columns)}{end}"
    rows = [[name, numbers(values[name]), numbers(g)] for name, g in grads.items()]
    columns = ["parameter", "value", "derivative of the objective"]
    if "stderr" in report:
        columns.append("standard error")
        for row in rows:
            row.append(numbers(np.array(report["stderr"][row[0]]), digits=2))
    return f"{head}\n{value}\n\n{_table(rows, columns)}{end}"


def _convert(args):
    from prb.scene.files import convert_file

    output = check_output(args.output, (".json",))
    model = convert_file(args.scene, output, dict(args.define))
    for warning in model.warnings:
        _say(warning)
    counts = {"shapes": len(model.shapes), "emitters": len(model.emitters), "sensors": len(model.sensors)}
    if args.json:
        return _json(scene=args.scene, output=str(output), **counts)
    return f"{output}: {', '.join(f'{n} {what}' for what, n in counts.items())}"


def _params(args):
    import prb

    params = prb.traverse(_load_scene(args))
    if not args.json:
        return repr(params)
    return _json(
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


def _table(rows, headers):
    from tabulate import tabulate

    return tabulate(rows, headers=headers, disable_numparse=True)


def _numbers(values):
    return " ".join(f"{x:.6f}" for x in values)


def _json(**report):
    return json.dumps(report, allow_nan=False)
