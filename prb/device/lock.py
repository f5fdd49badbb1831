"""One lock around the device, as Taichi has one runtime and launches share arrays: threads take turns.

It is re-entrant, so a function that has the lock may call another one that takes it. A call keeps it from its
first access to the device until its last result has been read back.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, TypeVar

device_lock = threading.RLock()
_Function = TypeVar("_Function", bound=Callable[..., Any])


def locked(function: _Function) -> _Function:
    """The function, which then runs in one thread at a time."""

    @functools.wraps(function)
    def alone(*args: Any, **options: Any) -> Any:
        with device_lock:
            return function(*args, **options)

    return alone  # type: ignore[return-value]
