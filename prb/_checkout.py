"""Lets prb find kernels/ and scenes/ in a checkout, where they lie beside prb/; installed, they lie in it."""

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
if not (_here / "kernels").is_dir() and (_here.parent / "kernels" / "__init__.py").is_file():
    sys.modules["prb"].__path__.append(str(_here.parent))
