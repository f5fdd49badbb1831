"""The one progress bar there is."""

import sys

from tqdm import tqdm


def bar(shown, **options):
    """A bar on standard error that goes away at its end: if it is to be shown, and that is a terminal.

    options: as of `tqdm.tqdm`.
    """
    hidden = not shown or sys.stderr is None
    return tqdm(disable=True if hidden else None, leave=False, **options)  # None: shown on a terminal
