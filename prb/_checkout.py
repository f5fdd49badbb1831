"""Lets a checkout find its own kernels/ and scenes/, which lie beside prb/, not in it as once installed."""

import sys
from pathlib import Path

_here = Path(__file__).resolve().parent
if not (_here / "kernels").is_dir() and (_here.parent / "kernels" / "__init__.py").is_file():
    sys.modules["prb"].__path__.append(str(_here.parent))
