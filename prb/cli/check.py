"""`prb check`: gradients against finite differences."""

import prb
from prb.checking.differences import fit_film
from prb.cli.inputs import load_view
from prb.cli.options import PARAM, SCENE
from prb.cli.output import Output, as_json, watched
from prb.estimators.registry import METHODS


def add_parser(commands, shared):
    """The command's parser."""
    text = "test gradients against finite differences"
    parser = commands.add_parser("check", parents=[shared.rendering], help=text)
    parser.add_argument("scene", metavar="SCENE", help=SCENE)
    parser.add_argument("--param", action="append", metavar="PATTERN", help=PARAM)
    parser.add_argument(
        "--method",
        choices=[name for name, method in METHODS.items() if not method.is_difference],
        help="what is tested (default: for each parameter what prb grad takes)",
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="independent runs (default: 16)")
    parser.add_argument("--steps", type=float, nargs="+", metavar="H",
                        help="parts of a parameter's size (default: 0.1 0.05 0.025)")  # fmt: skip
    parser.add_argument("--significance", type=float, metavar="P",
                        help="chance of a false alarm, all components together (default: 1e-3)")  # fmt: skip
    parser.add_argument("--tolerance", type=float, metavar="T",
                        help="part of a gradient that it must agree within (default: 0.02)")  # fmt: skip
    return parser


def run(args):
    """Run the command: its `Output`, with status 1 where a gradient is refuted."""
    scene = load_view(args)
    if args.size is None:
        fit_film(scene)
    given = {key: getattr(args, key) for key in ("seeds", "spp", "steps", "significance", "tolerance")}
    given = {key: value for key, value in given.items() if value is not None}
    adjoint = None if args.method is None else METHODS[args.method]()
    report = prb.check(scene, args.param, adjoint=adjoint, seed=args.seed, max_depth=args.max_depth,
                       progress=watched(), **given)  # fmt: skip
    text = as_json(scene=args.scene, **report.to_dict()) if args.json else repr(report)
    return Output(text, int(report.refuted))
