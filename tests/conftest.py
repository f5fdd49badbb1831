"""One Taichi for the whole run, on the device that PRB_ARCH names; and the statistical tests' yardstick."""

import os
import warnings

import numpy as np
import pytest

os.environ.setdefault("PRB_ARCH", "cpu")
with warnings.catch_warnings():  # Taichi 1.7.4 calls locale.getdefaultlocale, deprecated in Python 3.11
    warnings.simplefilter("ignore", DeprecationWarning)
    import taichi  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def device():
    import prb

    prb.init(os.environ["PRB_ARCH"])
