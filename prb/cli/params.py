"""`prb params`: the parameters of a scene."""

import numpy as np

import prb
from prb.cli.inputs import load_scene
from prb.cli.options import JSON, SCENE
from prb.cli.output import Output, as_json


def add_parser(commands, shared):
    """The command's parser."""
    parser = commands.add_parser("params", parents=[shared.scene], help="list a scene's parameters")
    parser.add_argument("scene", metavar="SCENE", help=SCENE)
    parser.add_argument("--json", action="store_true", help=JSON)
    return parser


def run(args):
    """Run the command: its `Output`."""
    params = prb.traverse(load_scene(args))
    if not args.json:
        return Output(repr(params))
    parameters = {
        name: {
            "shape": list(np.shape(value)),
            "value": value.tolist(),
            "differentiable": params.differentiable(name),
            "sampling": list(params.sampling(name)),
            "why_not": params.why_not(name) or None,
        }
        for name, value in params.items()
    }
    return Output(as_json(scene=args.scene, parameters=parameters))
