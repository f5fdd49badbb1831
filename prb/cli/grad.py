"""`prb grad`: the gradient of a picture's objective, by one method or by all side by side."""

import time
from pathlib import Path

import numpy as np

import prb
from prb.cli.inputs import check_outputs, load_view, read_target, used_settings
from prb.cli.options import BY_DEFAULT, MEMORY_LIMIT, PARAM, SCENE
from prb.cli.output import Output, as_json, as_table, escaped, one_line, say, watched
from prb.device.params import numbers
from prb.errors import ImageError, ParameterError
from prb.estimators import seeds
from prb.estimators.automatic import Automatic
from prb.estimators.checked import backward
from prb.estimators.gradients import split
from prb.estimators.registry import DEFAULT, METHODS, selected
from prb.estimators.tolerance import MAX_SAMPLES, check_tolerance, sample_to_tolerance
from prb.io.images import atomic, check_output
from prb.report import derivative_images

FORMATS = (".json", ".npz")


def add_parser(commands, shared):
    """The command's parser."""
    text = "the gradient of a picture's objective"
    parser = commands.add_parser("grad", parents=[shared.rendering], help=text)
    parser.add_argument("scene", metavar="SCENE", nargs="?", default="cornell-box",
                        help=f"{SCENE} (default: cornell-box)")  # fmt: skip
    parser.add_argument("--param", action="append", metavar="PATTERN", help=PARAM)
    parser.add_argument("--target", metavar="IMAGE",
                        help="objective: mean squared difference to it (default: the mean)")  # fmt: skip
    parser.add_argument("--method", choices=[*METHODS, "all"],
                        help="path replay, detached or attached, the tape, central differences, or all side "
                             f"by side ({BY_DEFAULT})")  # fmt: skip
    parser.add_argument("--passes", type=int, metavar="N",
                        help="parts that the samples are split into (default: 1)")  # fmt: skip
    parser.add_argument("--memory-limit", type=float, metavar="MIB", help=MEMORY_LIMIT)
    parser.add_argument("--step", type=float, help="of the central differences (default: 0.01)")
    parser.add_argument("--deterministic", action="store_true",
                        help="the same bits on the same device, however many threads (replay)")  # fmt: skip
    parser.add_argument("--tolerance", type=float, metavar="X",
                        help="add samples until the standard error of each number is at most that part of "
                             "it, such as 0.02 (replay)")  # fmt: skip
    parser.add_argument("--max-spp", type=int, metavar="N",
                        help="samples per pixel that --tolerance may take (default: 65536)")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the gradients, as json or npz")
    parser.add_argument("--images", metavar="DIR",
                        help="also write the derivative image of each number, by path replay: EXR, PNG and a "
                             "contact sheet")  # fmt: skip
    return parser


def run(args):
    """Run the command: its `Output`."""
    if args.output is not None:
        check_output(args.output, FORMATS)
    if args.images is not None:
        derivative_images.check_folder(args.images)
    _check_options(args)
    scene = load_view(args)
    spp, max_depth = used_settings(scene, args)
    methods = _methods(args)
    names = selected(scene, args.param, methods[0] if len(methods) == 1 else DEFAULT)
    components = [] if args.images is None else derivative_images.components(scene, names)
    files = [] if args.images is None else derivative_images.file_names(components, args.images)
    outputs = files if args.output is None else [args.output, *files]
    check_outputs(args, outputs, [] if args.target is None else [args.target])
    options = dict(spp=spp, max_depth=max_depth, progress=watched())
    weight, objective, seed = _objective(scene, args, options)
    found, result, spp = _gradients(scene, args, methods, weight, seed, names, options)
    if objective is None:
        objective = {"name": "mean", "value": found[next(iter(found))]["mean"]}
    grads = {name: _first(found, name)["gradients"][name] for name in names}
    used = methods[0].methods(scene, names) if len(methods) == 1 else {}
    if not any(np.any(g) for g in grads.values()):
        say("the gradient is zero everywhere; does light reach these parameters?")
    report = {
        "scene": args.scene, "spp": spp, "seed": args.seed, "max_depth": max_depth,
        "method": " and ".join(dict.fromkeys(used.values())) or args.method,
        "objective": objective, "gradients": {name: g.tolist() for name, g in grads.items()},
    }  # fmt: skip
    if used:
        report["by"] = used
    report["notes"] = _notes(scene, names, methods)
    if result.variance is not None:
        errors = split(scene, np.sqrt(result.variance), names)
        report["stderr"] = {name: e.tolist() for name, e in errors.items()}
    if args.tolerance is not None:
        report |= {"tolerance": args.tolerance, "error": result.finite_error, "why_not": result.why_not}
        if result.why_not is not None:
            say(result.why_not)
    if len(found) > 1:
        report["methods"] = _compared(found, grads)
    if args.output is not None:
        _write_gradients(Path(args.output), report, grads)
    if args.images is not None:
        files = derivative_images.write(scene, components, args.images, seed=args.seed, **options)
        report["images"] = [str(file) for file in files]
    return Output(as_json(**report) if args.json else _as_text(scene, report, grads))


def _check_options(args):
    """Raise ParameterError where options about the certainty of a gradient do not go together."""
    methods = _methods(args)
    for option, given, able in (
        ("--tolerance", args.tolerance is not None, all(m.has_stderr for m in methods)),
        ("--deterministic", args.deterministic, all(m.has_deterministic_sums for m in methods)),
    ):
        if given and not able:
            raise ParameterError(f"{option}: goes with --method replay or attached, not with {args.method}")
    if args.tolerance is None:
        if args.max_spp is not None:
            raise ParameterError("--max-spp: goes with --tolerance; --spp says how many samples to take")
        return
    check_tolerance(args.tolerance)
    if args.passes is not None:
        raise ParameterError("--passes: does not go with --tolerance, whose passes are its batches")


def _objective(scene, args, options):
    """(derivative of the objective by the picture, the objective for the report, seed of the gradient).

    The objective is None for the mean, whose value comes from the gradient's own paths.
    """
    shape = scene.image_shape
    if args.target is None:
        return np.full(shape, 1 / np.prod(shape)), None, args.seed
    target = read_target(args.target, shape)
    difference = prb.render(scene, seed=args.seed, **options).astype(float) - target
    objective = {"name": "mean squared difference", "value": float((difference**2).mean())}
    return 2 * difference / difference.size, objective, seeds.objective_paths(args.seed)


def _gradients(scene, args, methods, weight, seed, names, options):
    """(what each method found and what it cost, by name; the last one's result; the samples taken)."""
    spp = options["spp"]
    special = dict(deterministic=args.deterministic)
    if args.tolerance is None:
        special["stderr"] = len(methods) == 1 and methods[0].has_stderr and spp > 1
    found = {}
    for method in methods:
        own = _able(scene, names, method)
        if not own:
            continue
        if method.is_difference:
            say(f"central differences take {method.renders(scene, own)} renders")
        if len(methods) > 1:  # so that what is timed does not compile
            once = {**options, "spp": args.passes or 1}
            backward(scene, weight, method, seed=seed, names=[], **once)
        start = time.perf_counter()
        if args.tolerance is None:
            result = backward(scene, weight, method, seed=seed, names=own, **options, **special)
        else:
            most = MAX_SAMPLES if args.max_spp is None else args.max_spp
            limits = dict(tolerance=args.tolerance, max_spp=most)
            limits["adjoint"] = method
            result = sample_to_tolerance(scene, weight, own, seed=seed, **limits, **options, **special)
            spp = result.spp
        seconds = time.perf_counter() - start
        grads = split(scene, result.gradient, own)
        _check_finite(grads)
        memory = method.device_bytes(scene, spp=spp, max_depth=options["max_depth"]) + scene.device_bytes()
        found[method.name] = {
            "gradients": grads, "seconds": seconds, "device_mib": memory / 2**20,
            "mean": float(result.image.mean()),
        }  # fmt: skip
    return found, result, spp


def _methods(args):
    """The adjoint methods that the command line asks for."""
    passes = {} if args.passes is None else {"passes": args.passes}
    limit = {} if args.memory_limit is None else {"memory_limit": int(args.memory_limit * 2**20)}
    step = {} if args.step is None else {"step": args.step}
    options = {"replay": passes, "attached": passes, "tape": {**passes, **limit}, "fd": step}
    made = {name: method(**options.get(name, {})) for name, method in METHODS.items()}
    if args.method is None:
        return [Automatic(made["replay"], made["attached"])]
    return list(made.values()) if args.method == "all" else [made[args.method]]


def _able(scene, names, method):
    """Those of the parameters that the method can differentiate."""
    return [name for name in names if method.reason(scene, name) is None]


def _notes(scene, names, methods):
    """What the methods leave out of the derivatives, one line each."""
    notes = {}
    for method in methods:
        own = _able(scene, names, method)
        for name, used in method.methods(scene, own).items():
            if caveat := method.caveat(scene, name):
                notes[f"{used}: {caveat}"] = None
    return list(notes)


def _first(found, name):
    """What the first method found that differentiates a parameter."""
    return next(entry for entry in found.values() if name in entry["gradients"])


def _check_finite(grads):
    for name, g in grads.items():
        if not np.isfinite(g).all():
            raise ParameterError(f"{name}: its gradient overflowed float32; scale the scene's radiances down")


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


def _write_gradients(path, report, grads):
    try:
        with atomic(path) as temporary:
            if path.suffix.lower() == ".npz":
                np.savez(temporary, **grads)
            else:
                Path(temporary).write_text(as_json(**report) + "\n", encoding="utf-8")
    except OSError as error:
        raise ImageError(f"{path}: cannot be written: {error.strerror}; choose another place") from None


def _as_text(scene, report, grads):
    """The report as text: a table of the parameters, or of parameters and methods."""
    depth = "unlimited" if report["max_depth"] < 0 else report["max_depth"]
    objective = report["objective"]
    head = f"{scene.name}: {report['spp']} spp, seed {report['seed']}, depth {depth}, {report['method']}"
    value = f"objective: {objective['name']} = {objective['value']:.6g}"
    values = prb.traverse(scene)
    files = report.get("images")
    end = f"\n\n{len(files)} files written, the last {escaped(files[-1])}" if files else ""
    notes = "".join(f"\n{escaped(note)}" for note in report["notes"])
    end = f"\n{notes}{end}" if notes else end
    if "methods" in report:
        rows = []
        for name in grads:
            for method, entry in report["methods"].items():
                if name not in entry["gradients"]:
                    continue
                off, cost = entry["relative_difference"][name], f"{entry['seconds']:.2f}"
                gradient = numbers(np.array(entry["gradients"][name]))
                rows.append([name, method, gradient, f"{off:.1e}", cost, f"{entry['device_mib']:.1f}"])
        columns = ["parameter", "method", "derivative", "relative difference", "seconds", "device MiB"]
    else:
        rows = [[name, numbers(values[name]), numbers(g)] for name, g in grads.items()]
        columns = ["parameter", "value", "derivative of the objective"]
        if len(set(report["by"].values())) > 1:
            columns.append("method")
            for row in rows:
                row.append(report["by"][row[0]])
        if "stderr" in report:
            columns.append("standard error")
            for row in rows:
                row.append(numbers(np.array(report["stderr"][row[0]]), digits=2))
    return f"{one_line(head)}\n{value}\n\n{as_table(rows, columns)}{end}"
