"""`prb optimize`: parameters from pictures."""

import argparse

import numpy as np

import prb
from prb.cli.inputs import load_scene, read_target, scene_inputs
from prb.cli.options import SCENE
from prb.cli.output import Output, as_json, as_table, escaped, one_line, watched
from prb.device.params import numbers, records, select
from prb.errors import ParameterError
from prb.estimators import seeds
from prb.estimators.registry import METHODS, selected
from prb.losses import LOSSES
from prb.recover.files import RecoveryFiles, frame_step
from prb.recover.loop import check_number_of_targets

OPTIMIZERS = {
    "adam": {}, "adam-uniform": {"uniform": True}, "amsgrad": {"amsgrad": True}, "sgd": {"momentum": 0.9},
}  # fmt: skip


def add_parser(commands, shared):
    """The command's parser."""
    text = "recover parameters from pictures"
    more = "Recover parameters from pictures by all sensors, or by that of --sensor."
    parser = commands.add_parser("optimize", parents=[shared.rendering], help=text, description=more)
    parser.add_argument("scene", metavar="SCENE", help=SCENE)
    parser.add_argument("--param", action="append", metavar="PATTERN",
                        help="a name, a glob or an alias; may be repeated (default: all)")  # fmt: skip
    parser.add_argument("--target", action="append", metavar="IMAGE",
                        help="a picture, one for each sensor of the scene, in their order")  # fmt: skip
    parser.add_argument("--reference", type=int, metavar="SPP",
                        help="instead of targets, the scene's own pictures with so many samples: are its "
                             "values found again?")  # fmt: skip
    parser.add_argument("--init", action="append", default=[], metavar="[PATTERN=]VALUE|random",
                        help="the start, as in 0.5 or 0.5,0.2,0.9 (default: the scene's)")  # fmt: skip
    parser.add_argument("--loss", choices=LOSSES, default="l2", help="default: l2")
    parser.add_argument("--method", choices=METHODS, default="replay",
                        help="how gradients are found (default: replay)")  # fmt: skip
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam",
                        help="sgd has a momentum of 0.9 (default: adam)")  # fmt: skip
    parser.add_argument("--lr", action="append", type=_rate, metavar="[NAME=]RATE",
                        help="learning rate, also for one parameter (default: 0.05)")  # fmt: skip
    parser.add_argument("--schedule", choices=("constant", "cosine"), default="constant",
                        help="cosine: the rate falls to 0 over the iterations")  # fmt: skip
    parser.add_argument("--iterations", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--spp-grad", type=int, metavar="N",
                        help="samples of the gradient, apart from those of the picture (default: both halves "
                             "of --spp serve both)")  # fmt: skip
    parser.add_argument("--hit-budget", type=float, metavar="MiB",
                        help="memory for the vertices that are kept from the picture for the gradient; where "
                             "it is too little, rays are traced again (default: 256)")  # fmt: skip
    parser.add_argument("--recursive", action="store_true",
                        help="samples of earlier iterations count in the loss gradient, too: for few "
                             "samples at a constant rate")  # fmt: skip
    parser.add_argument("--views-per-iteration", type=int, metavar="N",
                        help="sensors that an iteration takes, at random (default: all)")  # fmt: skip
    parser.add_argument("--every", type=int, default=10, metavar="N",
                        help="iterations between checkpoints (default: 10)")  # fmt: skip
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")
    parser.add_argument("--overwrite", action="store_true",
                        help="replace files in DIR that this run did not make, but none that it "
                             "reads")  # fmt: skip
    parser.add_argument("-o", "--output", metavar="DIR", help="for the results (default: optimize-SCENE)")
    return parser


def run(args):
    """Run the command: its `Output`. An interrupt is raised again once all is written."""
    if args.arch is not None:
        prb.init(args.arch)
    report = _recovered(load_scene(args), args)
    return Output(as_json(**report) if args.json else _as_text(report))


def _recovered(scene, args):
    """Recover the parameters and write all files: the report."""
    progress = watched()
    method = METHODS[args.method]()
    names = selected(scene, args.param, method)
    sensors = range(len(scene.model.sensors)) if args.sensor is None else [args.sensor]
    views = [scene.view(sensor) for sensor in sensors]
    for view in views:
        if args.size is not None:
            view.resize(*args.size)
    if (args.target is None) == (args.reference is None):
        raise ParameterError("targets: give --target, once for each sensor, or --reference and a number")
    if args.target is not None:
        check_number_of_targets(len(args.target), views)
        targets = [read_target(path, v.image_shape) for path, v in zip(args.target, views, strict=True)]
    optimizer = _optimizer(args, names)
    params = prb.traverse(scene)
    true = {name: params[name].astype(float) for name in names}
    start = _initial(scene, args, names)
    source = args.scene, dict(args.define)
    files = RecoveryFiles(
        args.output or f"optimize-{scene.name}", scene, names, source, resume=args.resume,
        overwrite=args.overwrite, inputs=[*scene_inputs(*source), *(args.target or ())],
    )  # fmt: skip

    options = dict(max_depth=args.max_depth)
    if args.reference is not None:
        seed = seeds.targets(args.seed)
        targets = [prb.render(v, spp=args.reference, seed=seed, progress=progress, **options) for v in views]
    params.update(start)
    shown = dict(seed=args.seed, **options)
    if args.hit_budget is not None:
        options["hit_budget"] = args.hit_budget * 2**20
    step = frame_step(args.iterations)
    frame = dict(spp=min(args.spp or views[0].sensor.sample_count, 16), **shown)

    def on_iteration(k):
        if k % step == 0:
            files.frame(views[0], k, **frame)

    recovery = prb.optimize(
        scene, names, targets, sensors=sensors, loss=args.loss, optimizer=optimizer,
        adjoint=None if args.method == "replay" else method,
        iterations=args.iterations, spp=args.spp, spp_grad=args.spp_grad, seed=args.seed,
        recursive=args.recursive, views_per_iteration=args.views_per_iteration,
        checkpoint=files.checkpoint, every=args.every,
        resume=args.resume, on_iteration=on_iteration, progress=progress, **options,
    )  # fmt: skip
    done = len(recovery.losses)
    files.frame(views[0], done, **frame)
    written = files.write(recovery, views, targets, [*range(0, done, step), done], **shown)
    if recovery.stopped is not None:
        kept = f"{files.folder} has what there is"
        if isinstance(recovery.stopped, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted after {done} iterations; {kept}, --resume goes on")
        raise ParameterError(f"{recovery.stopped}; {kept}")
    report = {
        "scene": args.scene, "iterations": done, "seed": args.seed,
        "loss": recovery.losses[-1] if recovery.losses else None,
        "parameters": {name: value.tolist() for name, value in recovery.params.items()},
        "files": [str(file) for file in written],
    }  # fmt: skip
    if args.reference is not None:
        errors = {name: float(((recovery.params[name] - true[name]) ** 2).mean()) for name in names}
        report["squared_error"] = errors
    return report


def _as_text(report):
    """The report as text."""
    rows = [[name, numbers(np.array(value))] for name, value in report["parameters"].items()]
    columns = ["parameter", "recovered value"]
    if "squared_error" in report:
        columns.append("mean squared error")
        for row in rows:
            row.append(f"{report['squared_error'][row[0]]:.2g}")
    loss = "" if report["loss"] is None else f", loss {report['loss']:.4g}"
    head = one_line(f"{report['scene']}: {report['iterations']} iterations{loss}")
    files = report["files"]
    end = f"{len(files)} files written, the last {escaped(files[-1])}"
    return f"{head}\n\n{as_table(rows, columns)}\n\n{end}"


def _rate(text):
    name, _, rate = text.rpartition("=")
    try:
        return name, float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no rate; write it as in 0.05 or NAME=0.05") from None


def _optimizer(args, names):
    given = dict(args.lr or [])
    unknown = next((name for name in given if name and name not in names), None)
    if unknown is not None:
        raise ParameterError(f"--lr: {unknown} is not optimised; those are {', '.join(names)}")
    rates = {name: given.get(name, given.get("", 0.05)) for name in names}
    if args.schedule == "cosine":
        rates = {name: prb.schedules.Cosine(rate, max(args.iterations, 1)) for name, rate in rates.items()}
    return (prb.SGD if args.optimizer == "sgd" else prb.Adam)(rates, **OPTIMIZERS[args.optimizer])


def _initial(scene, args, names):
    """The values that --init asks for: name -> array. Later ones go before."""
    found = {}
    for text in args.init:
        pattern, _, value = text.rpartition("=")
        chosen = select(scene, pattern) if pattern else names
        for name in chosen:
            if name not in names:
                raise ParameterError(f"--init: {name} is not optimised; name it with --param too")
            slot = records(scene)[name]
            found[name] = _random(name, slot, args.seed) if value == "random" else _given(name, slot, value)
    return found


def _random(name, slot, seed):
    """Numbers in the valid range, or in its first unit where it has no end."""
    low = slot.low if np.isfinite(slot.low) else -1.0
    high = min(slot.high, low + 1 if np.isfinite(slot.low) else 1.0)
    return seeds.initial_values(seed, name).uniform(low, high, slot.shape)


def _given(name, slot, text):
    try:
        return np.broadcast_to([float(x) for x in text.split(",")], slot.shape or (1,)).reshape(slot.shape)
    except ValueError:
        shape = slot.shape
        raise ParameterError(f"--init: {text!r} is no value of {name} with shape {shape}") from None
