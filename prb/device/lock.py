"""One lock around the device, as Taichi has one runtime and launches share arrays: threads take turns.

It is re-entrant, so whoever holds it may call what takes it again. It is held from the first look at what is
on the device until the last result has been read back.
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
