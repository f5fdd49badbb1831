"""The parser of the command line: its commands, each from its own module."""

import argparse

import prb
from prb.cli import bench, check, convert, grad, optimize, params, render
from prb.cli.options import Shared
from prb.cli.output import say

COMMANDS = (render, grad, optimize, check, bench, convert, params)  # in the order of `prb --help`


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line."""

    def error(self, message):
        say(f"{message}; see {self.prog} --help", self.prog)
        raise SystemExit(2)


def make_parser():
    """The parser; what it returns has `run`, a function of the arguments that returns an `Output`."""
    parser = _Parser(prog="prb", description="A differentiable path tracer by path replay.")
    parser.add_argument("--version", action="version", version=f"prb {prb.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = Shared()
    for command in COMMANDS:
        command.add_parser(commands, shared).set_defaults(run=command.run)
    return parser
