"""`prb bench`: time and memory of a gradient over depth and samples."""

from pathlib import Path

from prb.bench.report import REFERENCE, markdown
from prb.bench.suite import Settings, run_benchmark
from prb.cli.options import ARCH, JSON, MEMORY_LIMIT, SEED, SIZE, size
from prb.cli.output import Output, as_json, escaped, watched
from prb.estimators.registry import METHODS


def add_parser(commands, shared):
    """The command's parser."""
    parser = commands.add_parser("bench", help="time and memory of a gradient over depth and samples")
    parser.add_argument("scene", metavar="SCENE", nargs="?", default="cornell-box",
                        help="a scene file or a bundled scene's name (default: cornell-box)")  # fmt: skip
    parser.add_argument("--method", action="append", choices=list(METHODS),
                        help=f"may be repeated (default: {REFERENCE} and tape)")  # fmt: skip
    parser.add_argument("--depths", type=int, nargs="+", metavar="N", help="default: 4 8 16 32 64")
    parser.add_argument("--spps", type=int, nargs="+", metavar="N", help="default: 4 16 64")
    parser.add_argument("--full", action="store_true",
                        help="depths x samples; else depths at the fewest samples, samples at the smallest "
                             "depth")  # fmt: skip
    parser.add_argument("--size", type=size, metavar="WxH", help=SIZE)
    parser.add_argument("--param", action="append", metavar="PATTERN",
                        help="what fd differentiates and is compared (default: all)")  # fmt: skip
    parser.add_argument("--memory-limit", type=float, metavar="MIB", help=MEMORY_LIMIT)
    parser.add_argument("--runs", type=int, default=3, metavar="N",
                        help="timed, after the first (default: 3)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help=SEED)
    parser.add_argument("--arch", help=ARCH)
    parser.add_argument("--json", action="store_true", help=JSON)
    parser.add_argument("-o", "--output", metavar="DIR", help="for the results (default: bench-SCENE)")
    parser.add_argument("--resume", action="store_true", help="go on with the run that DIR holds")
    return parser


def run(args):
    """Run the command: its `Output`."""
    given = {"methods": args.method, "depths": args.depths, "spps": args.spps, "params": args.param}
    lists = {name: tuple(values) for name, values in given.items() if values is not None}
    settings = Settings(args.scene, size=args.size, runs=args.runs, seed=args.seed, arch=args.arch,
                        full=args.full, memory_limit_mib=args.memory_limit, **lists)  # fmt: skip
    folder = Path(f"bench-{Path(args.scene).stem}" if args.output is None else args.output)
    results = run_benchmark(settings, folder, resume=args.resume, progress=watched())
    if args.json:
        return Output(as_json(**results))
    return Output(f"{markdown(results)}\nwritten to {escaped(str(folder))}")
