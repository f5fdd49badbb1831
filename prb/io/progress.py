"""The progress bar that all of prb uses."""

import sys

from tqdm import tqdm


def bar(shown, **options):
    """A progress bar on standard error, which disappears at its end. It is drawn only on a terminal.

    shown: whether to draw it. options: those of `tqdm.tqdm`.
    """
    hidden = not shown or sys.stderr is None
    return tqdm(disable=True if hidden else None, leave=False, **options)  # None: shown on a terminal
