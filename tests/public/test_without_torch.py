"""prb where PyTorch or JAX are not installed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("use", ["prb.{0}.render", "import prb.{0}", "from prb import {0}"])
@pytest.mark.parametrize("package, name", [("torch", "PyTorch"), ("jax", "JAX")])
def test_using_it_says_what_to_install(use, package, name):
    code = f"""
import sys
sys.modules[{package!r}] = None
import prb
print(prb.__version__)
try:
    {use.format(package)}
except prb.PrbError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == [f"prb.{package}: {name} is not installed; pip install {package}"]


def test_what_is_not_there_is_an_attribute_error():
    import prb

    with pytest.raises(AttributeError, match="module 'prb' has no attribute 'tensorflow'"):
        prb.tensorflow  # noqa: B018
