"""Exceptions of prb: every one that a user's mistake can cause derives from `PrbError`."""


class PrbError(Exception):
    """A mistake in the input; the message is one line that names the place and the remedy."""


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
