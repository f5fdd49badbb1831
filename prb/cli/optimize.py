"""`prb optimize`: parameters from pictures."""

import argparse

import numpy as np

import prb
from prb.cli.inputs import load_scene, scene_inputs
from prb.cli.optimize_options import add_options, coordinates_given, initial_values, priors_of
from prb.cli.options import BY_DEFAULT, SCENE, sensor
from prb.cli.output import Output, as_json, as_table, escaped, one_line, say, watched
from prb.cli.targets import by_sensor, held_out, read_targets, with_masks
from prb.device.params import numbers
from prb.errors import ParameterError
from prb.estimators import seeds
from prb.estimators.registry import METHODS, method_of, selected
from prb.losses import FILTERS, LOSSES, made
from prb.recover.bounds import named
from prb.recover.coordinates import coordinates_of
from prb.recover.files import RecoveryFiles, diagnostics, frame_step
from prb.recover.floor import STOPS
from prb.recover.grids import is_volume
from prb.recover.held_out import held_out_losses
from prb.recover.mesh_defects import Defects
from prb.recover.seen import lines as seen_lines
from prb.recover.seen import never_seen

FRAME_SPP = 16  # samples per pixel of an animation's frame, at most
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
    parser.add_argument("--target", action="append", metavar="[SENSOR=]IMAGE",
                        help="a picture, one for each sensor of the scene, by its name or in their order; "
                             "its alpha is a weight of the pixels")  # fmt: skip
    parser.add_argument("--target-clip", choices=("on", "off"), default="on",
                        help="on: what is saturated in a target of 8 or 16 bits (0 or the largest code) does "
                             "not count; off: it does (default: on)")  # fmt: skip
    parser.add_argument("--mask", action="append", metavar="[SENSOR=]IMAGE",
                        help="a grey picture, one for each sensor or one for all, that says how much each "
                             "pixel counts; where it is 0 nothing does")  # fmt: skip
    parser.add_argument("--reference", type=int, metavar="SPP",
                        help="instead of targets, the scene's own pictures with so many samples: are its "
                             "values found again?")  # fmt: skip
    add_options(parser)
    parser.add_argument("--loss", type=_loss, default="l2", metavar="LOSS",
                        help=f"{', '.join(LOSSES)}, or a sum, with filters of the pictures in front of "
                             f"one ({', '.join(FILTERS)}): 'l2 + 0.1*multiscale:l1' "
                             "(default: l2)")  # fmt: skip
    parser.add_argument("--method", choices=METHODS, help=f"how gradients are found ({BY_DEFAULT})")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam",
                        help="sgd has a momentum of 0.9 (default: adam)")  # fmt: skip
    parser.add_argument("--lr", action="append", type=_rate, metavar="[PATTERN=]RATE",
                        help="learning rate, also for some parameters; names go before patterns (default: "
                             "0.05)")  # fmt: skip
    parser.add_argument("--bounds", action="append", type=_bounds, default=[], metavar="PATTERN=LOW,HIGH",
                        help="where values may go; may be repeated (default: the valid range, of roughnesses "
                             "the part with a derivative)")  # fmt: skip
    parser.add_argument("--schedule", choices=("constant", "cosine"), default="constant",
                        help="cosine: the rate falls to 0 over the iterations")  # fmt: skip
    parser.add_argument("--iterations", type=int, default=100, metavar="N", help="default: 100")
    parser.add_argument("--stop", choices=STOPS,
                        help="floor: end before that, once the loss cannot be told from its noise floor; "
                             "plateau: also once it does not fall any more")  # fmt: skip
    parser.add_argument("--spp-grad", type=int, metavar="N",
                        help="samples of the gradient, apart from those of the picture (default: those of "
                             "--spp serve both)")  # fmt: skip
    parser.add_argument("--folds", type=int, metavar="K",
                        help="parts of the samples, of which each carries the loss gradient at the picture "
                             "of the others (default: 8, or --spp if that is less)")  # fmt: skip
    parser.add_argument("--hit-budget", type=float, metavar="MiB",
                        help="memory for the vertices that are kept from the picture for the gradient; where "
                             "it is too little, rays are traced again (default: 256)")  # fmt: skip
    parser.add_argument("--recursive", action="store_true",
                        help="samples of earlier iterations count in the loss gradient, too: for few "
                             "samples at a constant rate")  # fmt: skip
    parser.add_argument("--views-per-iteration", type=int, metavar="N",
                        help="sensors that an iteration takes, at random (default: all)")  # fmt: skip
    parser.add_argument("--hold-out", action="append", type=sensor, default=[], metavar="N|NAME",
                        help="a sensor that the run does not take, and whose picture it is judged by; may be "
                             "repeated")  # fmt: skip
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
    report = _recovered(load_scene(args).view(sampler=args.sampler), args)
    return Output(as_json(**report) if args.json else _as_text(report))


def _recovered(scene, args):
    """Recover the parameters and write all files: the report."""
    progress = watched()
    adjoint = None if args.method is None else METHODS[args.method]()
    names = selected(scene, args.param, method_of(adjoint))
    sensors = range(len(scene.model.sensors)) if args.sensor is None else [args.sensor]
    views = [scene.view(sensor) for sensor in sensors]
    for view in views:
        if args.size is not None:
            view.resize(*args.size)
    others, fitted = held_out(args.hold_out, scene, views)
    if (args.target is None) == (args.reference is None):
        raise ParameterError("targets: give --target, once for each sensor, or --reference and a number")
    paths, masks, weights, lines = [], [], [None] * len(views), []
    if args.target is not None:
        paths = by_sensor("--target", args.target, views)
        targets, weights, lines = read_targets(paths, views, clip=args.target_clip == "on")
    if args.mask is not None:
        masks = by_sensor("--mask", args.mask, views, one_for_all=True)
        weights = with_masks(weights, masks, views)
    coordinates = coordinates_given(args.motions, args.smooth_steps, names)
    smooth = [name for name, each in coordinates_of(scene, names, coordinates).items() if each.uniform]
    optimizer = _optimizer(args, names, smooth)
    params = prb.traverse(scene)
    true = {name: params[name].astype(float) for name in names}
    source = args.scene, dict(args.define)
    start, read = initial_values(scene, args.init, names, args.seed, source)
    files = RecoveryFiles(
        args.output or f"optimize-{scene.name}", scene, names, views, source, resume=args.resume,
        overwrite=args.overwrite, inputs=[*scene_inputs(*source), *paths, *masks, *read],
    )  # fmt: skip
    for line in lines:  # only now, as the line of a mistake is the only one
        say(line)

    options = dict(max_depth=args.max_depth)
    if args.reference is not None:
        seed = seeds.targets(args.seed)
        targets = [prb.render(v, spp=args.reference, seed=seed, progress=progress, **options) for v in views]
    params.update(start)
    shown = dict(seed=args.seed, **options)
    options["folds"] = args.folds
    if args.hit_budget is not None:
        options["hit_budget"] = args.hit_budget * 2**20
    step = frame_step(args.iterations)
    frame = dict(spp=min(args.spp or views[0].sensor.sample_count, FRAME_SPP), **shown)

    def on_iteration(k):
        if k % step == 0:
            files.frames(k, **frame)

    taken = [[of[k] for k in fitted] for of in (sensors, targets, weights)]
    recovery = prb.optimize(
        scene, names, taken[1], sensors=taken[0], weights=taken[2], loss=args.loss, optimizer=optimizer,
        target_spp=args.reference, bounds=dict(args.bounds), priors=priors_of(args.prior),
        coarse_to_fine=dict(args.coarse_to_fine), coordinates=coordinates,
        remesh=dict(args.remesh) or None,
        adjoint=adjoint,
        iterations=args.iterations, spp=args.spp, spp_grad=args.spp_grad, seed=args.seed,
        recursive=args.recursive, views_per_iteration=args.views_per_iteration,
        checkpoint=files.checkpoint, every=args.every, resume=args.resume, log=files.log, stop=args.stop,
        on_iteration=on_iteration, progress=progress, **options,
    )  # fmt: skip
    done = len(recovery.losses)
    files.frames(done, **frame)
    judged = held_out_losses(
        recovery, *([of[k] for k in others] for of in (views, targets, weights)), args.loss, **shown
    )  # fmt: skip
    written = files.write(
        recovery, targets, weights, [*range(0, done, step), done], others=others, judged=judged,
        true=None if args.reference is None else true, **shown,
    )  # fmt: skip
    if recovery.stopped is not None:
        kept = f"{files.folder} has what there is"
        if isinstance(recovery.stopped, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted after {done} iterations; {kept}, --resume goes on")
        raise ParameterError(f"{recovery.stopped}; {kept}")
    report = {
        "scene": args.scene, "iterations": done, "seed": args.seed,
        "loss": recovery.losses[-1] if recovery.losses else None, **diagnostics(recovery),
        "parameters": {
            name: _of_volume(value) if is_volume(scene, name) else value.tolist()
            for name, value in recovery.params.items()
        },
        "files": [str(file) for file in written],
    }  # fmt: skip
    if recovery.prior is not None:
        report["prior"] = recovery.prior
    if judged:
        report["held_out"] = judged
    report["never_seen"] = never_seen(recovery.seen)
    report["at_limit"] = {name: list(counts) for name, counts in recovery.at_limit.items()}
    if args.reference is not None:
        report["squared_error"] = {
            name: float(((recovery.params[name] - value) ** 2).mean())
            for name, value in true.items()
            if recovery.params[name].shape == value.shape  # else the mesh has other vertices
        }
    return report


def _as_text(report):
    """The report as text."""
    volumes = [name for name, value in report["parameters"].items() if isinstance(value, dict)]
    rows = [
        [name, _range_of(value) if name in volumes else numbers(np.array(value))]
        for name, value in report["parameters"].items()
    ]
    columns = ["parameter", "recovered value"]
    if any(_known(errors) for errors in report["stderr"].values()):
        columns.append("standard error")
        for row in rows:
            errors = _known(report["stderr"].get(row[0]))
            row.append(" ".join("-" if x is None else f"{x:.2g}" for x in errors))
    if "squared_error" in report:
        columns.append("mean squared error")
        for row in rows:
            error = report["squared_error"].get(row[0])
            row.append("-" if error is None else f"{error:.2g}")
    if report["at_limit"]:
        columns.append("at its limit")
        for row in rows:
            row.append(_limits_of(report, row[0]))
    loss = "" if report["loss"] is None else f", loss {report['loss']:.4g}"
    if "prior" in report:
        loss += f", priors {report['prior']:.4g}"
    if report["noise_floor"] is not None:
        loss += f", noise floor {report['noise_floor']:.4g}"
    head = one_line(f"{report['scene']}: {report['iterations']} iterations{loss}")
    files = report["files"]
    end = f"{len(files)} files written, the last {escaped(files[-1])}"
    floor = _floor_line(report)
    floor = f"{floor}\n" if floor else ""
    unseen = "".join(f"{escaped(line)}\n" for line in seen_lines(report["never_seen"], volumes))
    unseen += "".join(
        f"{escaped(line)}\n"
        for name, each in report["defects"].items()
        if (line := Defects(**each).line(name))
    )
    unseen += "".join(
        escaped(f"{name}, held out: loss {ends['initial']:.4g} at first, {ends['result']:.4g} in the end")
        + "\n"
        for name, ends in report.get("held_out", {}).items()
    )
    return f"{head}\n{floor}\n{as_table(rows, columns)}\n\n{unseen}{end}"


def _of_volume(voxels):
    """A volume in the report: its voxels stand in a file."""
    ends = {"least": float(voxels.min()), "most": float(voxels.max()), "mean": float(voxels.mean())}
    return {"shape": list(voxels.shape), **ends}


def _range_of(volume):
    """The same as text."""
    return f"{volume['least']:.4g} .. {volume['most']:.4g}, mean {volume['mean']:.4g}"


def _floor_line(report):
    """What to say of the loss beside its noise floor; nothing where that is unknown."""
    if report["at_floor"] is not None:
        end = ", where the run ended" if report["ended"] == "floor" else ""
        return f"loss: at its noise floor after {report['at_floor']} iterations{end}"
    if not report["noise_floor"]:
        return ""
    end = "; the run ended as it did not fall any more" if report["ended"] else ""
    above, error = (report[key] / report["noise_floor"] for key in ("excess", "excess_stderr"))
    if above > 1:
        return f"loss: {1 + above:.3g} times its noise floor, +- {error:.2g}{end}"
    side = "above" if above >= 0 else "below"
    return f"loss: {abs(above):.1%} {side} its noise floor, +- {error:.1%}{end}"


def _known(errors):
    """The numbers of a list of any depth, if one of them at least is known; else none."""
    flat = np.array([] if errors is None else errors, object).ravel().tolist()
    return flat if any(x is not None for x in flat) else []


def _limits_of(report, name):
    """Which of a parameter's numbers ended at the end of their range, as text; empty where none did."""
    low, high = report["at_limit"].get(name, (0, 0))
    value = report["parameters"][name]
    size = np.prod(value["shape"]) if isinstance(value, dict) else np.size(value)
    parts = [(low, "low"), (high, "high")]
    return ", ".join(end if size == 1 else f"{n} of {size} {end}" for n, end in parts if n)


def _loss(text):
    """The text of a loss, which a run is compared by when it is resumed."""
    try:
        made(text)
    except ParameterError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("loss: ")) from None
    return text


def _bounds(text):
    pattern, _, limits = text.rpartition("=")
    try:
        low, high = map(float, limits.split(","))
        if pattern and low <= high:
            return pattern, (low, high)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no range; write it as in '*.alpha=0.01,0.5'")


def _rate(text):
    name, _, rate = text.rpartition("=")
    try:
        return name, float(rate)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate; write it as in 0.05 or PATTERN=0.05"
        ) from None


def _optimizer(args, names, smooth):
    """smooth: names of the parameters for which Adam takes one step size each."""
    rates = dict.fromkeys(names, 0.05)
    for pattern, rate in sorted(args.lr or [], key=lambda given: (given[0] != "", given[0] in names)):
        rates |= dict.fromkeys(named("--lr", pattern, names) if pattern else names, rate)
    if args.schedule == "cosine":
        rates = {name: prb.schedules.Cosine(rate, max(args.iterations, 1)) for name, rate in rates.items()}
    if args.optimizer == "sgd":
        return prb.SGD(rates, **OPTIMIZERS["sgd"])
    return prb.Adam(rates, **{"uniform": smooth, **OPTIMIZERS[args.optimizer]})
