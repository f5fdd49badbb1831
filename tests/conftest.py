"""One Taichi for the whole run, on the device that PRB_ARCH names; and the statistical tests' yardstick."""

import os
import signal
import warnings

import numpy as np
import pytest
from scipy import stats

# A shell that starts the tests in the background has SIGINT ignored, and so would what they interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("PRB_ARCH", "cpu")
with warnings.catch_warnings():  # Taichi 1.7.4 calls locale.getdefaultlocale, deprecated in Python 3.11
    warnings.simplefilter("ignore", DeprecationWarning)
    import taichi  # noqa: F401


@pytest.fixture(scope="session", autouse=True)
def device():
    import prb

    prb.init(os.environ["PRB_ARCH"])


@pytest.fixture
def prb_command(capsys):
    """The command line: a function of its arguments that returns (status, output, errors)."""
    from prb.cli.main import main

    def call(*arguments):
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as stop:
            status = stop.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


@pytest.fixture(scope="session")
def chi_squared():
    """A function of observed and expected counts: the chance of a worse fit (Pearson's test).

    Bins that expect fewer than ten are pooled; where nothing is expected nothing may be found.
    """

    def p_value(observed, expected):
        observed, expected = np.ravel(observed).astype(float), np.ravel(expected).astype(float)
        assert not np.any((expected == 0) & (observed > 0)), "samples where the density is zero"
        assert observed.sum() == pytest.approx(expected.sum(), rel=1e-2, abs=5)
        few = expected < 10
        if few.any():
            observed = np.append(observed[~few], observed[few].sum())
            expected = np.append(expected[~few], expected[few].sum())
        observed, expected = observed[expected > 0], expected[expected > 0]
        statistic = np.sum((observed - expected) ** 2 / expected)
        return stats.chi2.sf(statistic, max(len(expected) - 1, 1))

    return p_value
