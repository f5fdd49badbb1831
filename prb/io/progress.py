"""The progress bar that all of prb uses."""

from tqdm import tqdm


def bar(shown, **options):
    """A progress bar on standard error, which disappears at its end. It is drawn only on a terminal.

    shown: whether to draw it. options: those of `tqdm.tqdm`.
    """
    return tqdm(disable=None if shown else True, leave=False, **options)  # None: shown on a terminal
