"""One lock around the device, as Taichi has one runtime and launches share arrays: threads take turns.

It is re-entrant, so a function that has the lock may call another one that takes it. A call keeps it from its
first access to the device until its last result has been read back.
"""

import functools
import threading

device_lock = threading.RLock()


def locked(function):
    """The function, which then runs in one thread at a time."""

    @functools.wraps(function)
    def alone(*args, **options):
        with device_lock:
            return function(*args, **options)

    return alone
