"""prb where PyTorch is not installed."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("use", ["prb.torch.render", "import prb.torch", "from prb import torch"])
def test_using_it_says_what_to_install(use):
    code = f"""
import sys
sys.modules["torch"] = None
import prb
print(prb.__version__)
try:
    {use}
except prb.PrbError as error:
    assert isinstance(error, ImportError)
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.splitlines()[1:] == ["prb.torch: PyTorch is not installed; pip install torch"]


def test_what_is_not_there_is_an_attribute_error():
    import prb

    with pytest.raises(AttributeError, match="module 'prb' has no attribute 'jax'"):
        prb.jax  # noqa: B018
