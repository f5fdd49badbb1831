"""What the command `prb` prints: one line for each message, a table or one JSON object as its result."""

import json
import sys
from typing import NamedTuple


class Output(NamedTuple):
    """What a command returns: its text for standard output, and the exit status."""

    text: str
    status: int = 0


def say(message, name="prb"):
    """Print one line on standard error, unless it is closed: `print(file=None)` means standard output."""
    if sys.stderr is not None:
        print(f"{name}: {one_line(message)}", file=sys.stderr)


def one_line(message):
    """The message in one line: white space as single blanks, all else that does not print as an escape."""
    return escaped(" ".join(str(message).split()))


def escaped(text):
    r"""The text with every character that does not print, such as ESC or a line break, as \x1b or \n.

    Names come from scene files, which may be damaged or malicious: a terminal obeys control characters.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def watched():
    """Whether standard error is a terminal, where a progress bar is shown; not in a log."""
    return sys.stderr is not None and sys.stderr.isatty()


def as_json(**report):
    return json.dumps(report, allow_nan=False)


def as_table(rows, headers):
    """The rows as text; a cell is one line."""
    from tabulate import tabulate  # with --json it is not needed

    rows = [[escaped(str(cell)) for cell in row] for row in rows]
    return tabulate(rows, headers=headers, disable_numparse=True)
