"""Exceptions of prb: every one that a user's mistake can cause derives from `PrbError`."""

import re

_LONGEST_WORD = 400  # characters; a path may well be long
_LONGEST = 2000


def printable(text: str) -> str:
    """The text of a message as one line that does nothing to a terminal, whatever a damaged file put into it.

    Line ends become blanks, control characters and what else is not printable are escaped, and what is
    overlong loses its middle.
    """
    text = re.sub(r"\s*[\n\r\t]\s*", " ", text)
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    text = re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _shortened(word[0], _LONGEST_WORD), text)
    return _shortened(text, _LONGEST)


def _shortened(text: str, most: int) -> str:
    """The beginning and the end of a text, which name the place and the remedy."""
    half = most // 2 - 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


class PrbError(Exception):
    """A mistake in the input; the message is one `printable` line that names the place and the remedy."""

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(str(message)))


class SceneError(PrbError):
    """A scene that cannot be loaded.

    The message begins with the place, as a path through the scene dictionary:
    ``red.reflectance.value: expected 3 numbers, got 2``.
    """


class ParameterError(PrbError):
    """A parameter name or value that does not fit the scene."""


class NotFiniteError(ParameterError):
    """A loss or a gradient that is not finite."""


class DeviceError(PrbError):
    """An architecture that is not available, or an object that outlived its `prb.init`."""


class MemoryLimitError(PrbError):
    """A method that needs more device memory than it may take. `needed` and `limit` are in bytes."""

    def __init__(self, message: str, needed: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.limit = limit


class MissingPackageError(PrbError, ImportError):
    """A package that is not installed, which a part of prb needs."""


class ImageError(PrbError):
    """A picture that cannot be read, written, or used as it is."""


class VolumeError(PrbError):
    """A volume's file that cannot be read or written."""
