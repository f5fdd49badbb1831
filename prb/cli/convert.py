"""`prb convert`: a scene in Mitsuba's XML as JSON."""

import prb
from prb.cli.inputs import check_outputs
from prb.cli.options import JSON
from prb.cli.output import Output, as_json, one_line, say
from prb.io.images import check_output


def add_parser(commands, shared):
    """The command's parser."""
    text = "write a scene in Mitsuba's XML as JSON"
    parser = commands.add_parser("convert", parents=[shared.scene], help=text)
    parser.add_argument("scene", metavar="SCENE", help="an XML file")
    parser.add_argument("output", metavar="FILE", help="json; the scene's files are named relative to it")
    parser.add_argument("--json", action="store_true", help=JSON)
    return parser


def run(args):
    """Run the command: its `Output`."""
    output = check_output(args.output, (".json",))
    check_outputs(args, [output])
    model = prb.convert_file(args.scene, output, dict(args.define))
    for warning in model.warnings:
        say(warning)
    counts = {"shapes": len(model.shapes), "emitters": len(model.emitters), "sensors": len(model.sensors)}
    if args.json:
        return Output(as_json(scene=args.scene, output=str(output), **counts))
    return Output(one_line(f"{output}: {', '.join(f'{n} {what}' for what, n in counts.items())}"))
