"""`prb render`: a picture of a scene."""

import prb
from prb.cli.inputs import check_outputs, load_view, used_settings
from prb.cli.options import SCENE
from prb.cli.output import Output, as_json, one_line, watched
from prb.io.images import check_output, write_image


def add_parser(commands, shared):
    """The command's parser."""
    parser = commands.add_parser("render", parents=[shared.rendering], help="render a scene to a picture")
    parser.add_argument("scene", metavar="SCENE", help=SCENE)
    parser.add_argument("-o", "--output", metavar="FILE",
                        help="png, jpg, exr, hdr or npy (default: the scene's name, .png)")  # fmt: skip
    parser.add_argument("--deterministic", action="store_true",
                        help="the same bits on the same device; pictures always have them")  # fmt: skip
    return parser


def run(args):
    """Run the command: its `Output`."""
    if args.output is not None:
        check_output(args.output)
    scene = load_view(args)
    output = check_output(f"{scene.name}.png" if args.output is None else args.output)
    check_outputs(args, [output])
    spp, max_depth = used_settings(scene, args)
    image = prb.render(scene, spp=spp, seed=args.seed, max_depth=max_depth, progress=watched())
    write_image(output, image)
    mean = image.mean(axis=(0, 1), dtype=float)
    if args.json:
        return Output(as_json(
            scene=args.scene, spp=spp, seed=args.seed, max_depth=max_depth, output=str(output),
            width=image.shape[1], height=image.shape[0], mean=mean.tolist(),
        ))  # fmt: skip
    size, numbers = f"{image.shape[1]} x {image.shape[0]}", " ".join(f"{x:.6f}" for x in mean)
    return Output(one_line(f"{output}: {size}, {spp} spp, mean {numbers}"))
