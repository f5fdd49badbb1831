"""The one progress bar there is."""

from tqdm import tqdm


def bar(shown, **options):
    """A bar on standard error that goes away at its end: if it is to be shown, and that is a terminal.

    options: as of `tqdm.tqdm`.
    """
    return tqdm(disable=None if shown else True, leave=False, **options)  # None: shown on a terminal
