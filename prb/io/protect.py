"""What was read is not written: outputs are compared with the files that a run reads, before it computes."""

import os

from prb.errors import ImageError


def check_not_read(output, inputs):
    """Raise ImageError if the file to write is one of those that are read, by whatever name or link."""
    try:
        own = os.stat(output)
    except (OSError, ValueError):  # a file that is not there is none of them
        return
    for path in inputs:
        try:
            same = os.path.samestat(own, os.stat(path))
        except (OSError, ValueError):
            continue
        if same:
            also = "" if os.fspath(output) == os.fspath(path) else f", as {path}"
            raise ImageError(f"{output}: is a file that this run reads{also}; choose another output")
