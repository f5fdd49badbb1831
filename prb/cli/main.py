"""The command `prb`: runs what the command line asks for. A user's mistake is one line and status 2."""

import contextlib
import logging
import os
import sys
import warnings

from prb.cli.output import escaped, say
from prb.cli.parser import make_parser
from prb.errors import PrbError


def main(argv=None):
    """Run the command line; returns the exit status: 0, 2 for a user's mistake, 130 for an interrupt.

    `prb check` has status 1 where it refutes a gradient.
    """
    _keep_standard_descriptors()
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # without HOME it speaks of its temporary folder
    args = make_parser().parse_args(argv)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: say(message)
        try:
            output = args.run(args)
            _print(output.text)
            return output.status
        except PrbError as error:
            say(error)
            return 2
        except MemoryError:
            say("not enough memory; choose a smaller --size")
            return 2
        except RuntimeError as error:  # how Taichi reports it
            if "memory" not in str(error).lower():
                raise
            say(f"the device has not enough memory ({str(error).splitlines()[0]}); choose a smaller --size")
            return 2
        except KeyboardInterrupt as error:
            say(error if error.args else "interrupted")
            return 130


def _keep_standard_descriptors():
    """Open /dev/null for each of standard input, output and error that the caller closed.

    Otherwise a file that prb writes would get that number, and libraries would print into it. `sys.stdout`
    and `sys.stderr` stay None.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _print(text):
    """Print a command's text on standard output. Raises PrbError where that cannot be written."""
    if sys.stdout is None:  # closed by the caller, who does not want to know
        return
    text = "\n".join(map(escaped, text.split("\n")))
    try:
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold anything
        print(text, flush=True)
    except BrokenPipeError:  # the reader had enough, as `head` does
        _drop_output()
    except OSError as error:
        _drop_output()
        raise PrbError(f"standard output: cannot be written: {error.strerror}") from None


def _drop_output():
    """Python flushes standard output once more at its end, which must not fail again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
